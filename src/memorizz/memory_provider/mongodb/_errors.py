"""Driver error -> memorizz error, in one table. No other module names the driver's exceptions."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from bson.errors import BSONError
from pymongo import errors

from memorizz.errors import (
    ConfigurationError,
    ConnectionFailed,
    DatabaseError,
    FilterError,
    InvalidDocument,
    MemorizzError,
    OperationTimeout,
    PoolTimeout,
    ProviderClosed,
    ReadOnlyError,
    StorageFull,
    TransactionConflict,
)
from memorizz.memory_provider._drive import OUTCOME_UNKNOWN
from memorizz.memory_provider.mongodb._bson import TOO_LARGE

DriverError = (errors.PyMongoError, BSONError)
Refused = errors.OperationFailure

# The server's codes, https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_UNAUTHORIZED, _AUTHENTICATION_FAILED, _ATLAS = 13, 18, 8000
# The label of what a server has rolled back whole.
_ROLLED_BACK = "TransientTransactionError"
_NO_DISK, _NO_CACHE, _DUPLICATE_KEY = 14031, 388, 11000
_TOO_LARGE = (10334, 17419, 17420)
# A server that only reads says so before it does anything.
_NOT_PRIMARY = (10058, 10107, 13435)
# Something was interrupted, or a server behind the one that answers has not answered that one.
_INTERRUPTED = (6, 7, 50, 89, 262, 9001, 11601)


def translated(
    error: Exception, where: str, writes: Sequence[str] | None = None, *, in_transaction: bool = False
) -> MemorizzError:
    """Return the memorizz error for a driver error; `where` names the server without a secret.

    `writes` are the ids of what may have been written although no answer came; None where that is nothing.
    `in_transaction`: of one that is open.
    """
    if writes is not None:
        kind = OperationTimeout if isinstance(error, errors.PyMongoError) and error.timeout else ConnectionFailed
        return kind(f"{translated(error, where)}; {OUTCOME_UNKNOWN}", ids=writes)
    text = _text(error)
    if isinstance(error, errors.DocumentTooLarge):
        if text.startswith("aggregate"):
            return FilterError("the query is larger than the 16 MB that MongoDB takes: ask for less at once")
        return InvalidDocument("", TOO_LARGE)
    if isinstance(error, errors.WaitQueueTimeoutError):
        return PoolTimeout(f"no pooled connection became free in time: raise maxPoolSize in the uri ({where})")
    if isinstance(error, errors.NotPrimaryError) and code_of(error) in _NOT_PRIMARY:
        return ReadOnlyError(f"the server only reads: connect to the primary, or to the whole set ({text}; {where})")
    if isinstance(error, errors.ServerSelectionTimeoutError):
        return failed_to_connect(text, where)
    if isinstance(error, errors.PyMongoError) and error.timeout:
        return OperationTimeout(f"no answer within operation_timeout from {where}")
    if isinstance(error, errors.ConnectionFailure):
        return ConnectionFailed(f"the connection to MongoDB was lost: {where}: {text}")
    if isinstance(error, errors.ConfigurationError):
        return ConfigurationError(f"the driver cannot connect to {where} so: {text}")
    if isinstance(error, errors.InvalidOperation):
        return ProviderClosed("the provider is closed: open a new one")
    if isinstance(error, errors.OperationFailure):
        return _refused(error, text, where, in_transaction)
    return DatabaseError(f"{type(error).__name__}: {text}")


def _refused(error: errors.OperationFailure, text: str, where: str, in_transaction: bool) -> MemorizzError:
    """Return the error for what the server has refused."""
    code = code_of(error)
    if code == _AUTHENTICATION_FAILED:
        return failed_to_connect(text, where)
    if code in (_UNAUTHORIZED, _ATLAS):
        return DatabaseError(f"this user lacks a right: have the owner grant it ({text}; {where})")
    if code == _NO_DISK:
        return StorageFull(f"the server has no space left: free some, then try again ({text}; {where})")
    if code == _NO_CACHE:
        return StorageFull(f"the transaction is larger than the cache of the server: store less at once ({where})")
    if code in _TOO_LARGE:
        return InvalidDocument("", TOO_LARGE)
    if error.has_error_label(_ROLLED_BACK) or (in_transaction and is_race(error)):
        return TransactionConflict(
            f"another transaction was in the way, and nothing of this one was kept: do it again ({text}; {where})"
        )
    return DatabaseError(f"{type(error).__name__} {code}: {text}")


def failed_to_connect(cause: str, where: str) -> ConnectionFailed:
    """Return the error for a server that cannot be reached or refuses the connection."""
    advice = "check that the server runs and that the hosts, the user and the password in the uri are right"
    return ConnectionFailed(f"Failed to connect to MongoDB: {where}: {cause}; {advice}")


@contextmanager
def translating(where: str) -> Generator[None]:
    """Raise driver errors as memorizz errors, the original as the cause."""
    try:
        yield
    except DriverError as error:
        raise translated(error, where) from error


@contextmanager
def connecting(where: str) -> Generator[None]:
    """Raise what the driver says of a uri as errors of this library."""
    try:
        yield
    except (errors.InvalidURI, ValueError):
        # The driver's message quotes the uri at times, and the uri may hold a password.
        raise ConfigurationError(
            "uri is no connection string that the driver takes: expected mongodb://user:password@host:port/?options "
            "where in user and password the characters : / ? # [ ] @ % are to be percent-encoded"
        ) from None
    except DriverError as error:
        raise translated(error, where) from error


def is_unanswered(error: Exception) -> bool:
    """Return True if the server may have done what was sent, or some of it, although it has not said so.

    The driver sends what changes one document again, under a number by which a replica set knows it; what it raises is
    then that there was no answer at all.
    """
    if isinstance(error, errors.ServerSelectionTimeoutError | errors.WaitQueueTimeoutError):
        # Nothing was sent.
        return False
    if isinstance(error, errors.NotPrimaryError):
        return code_of(error) not in _NOT_PRIMARY
    if isinstance(error, errors.BulkWriteError) and not _write_errors(error):
        # Done by one server, and perhaps by no other.
        return True
    if isinstance(error, errors.OperationFailure):
        return isinstance(error, errors.WriteConcernError) or code_of(error) in _INTERRUPTED
    return isinstance(error, errors.PyMongoError) and (isinstance(error, errors.ConnectionFailure) or error.timeout)


def may_be_committed(error: Exception) -> bool:
    """Return True if a commit that failed so may have succeeded."""
    return isinstance(error, errors.PyMongoError) and error.has_error_label("UnknownTransactionCommitResult")


def code_of(error: Exception) -> int | None:
    """Return the server's code, that of the first write where there were several."""
    if isinstance(error, errors.NotPrimaryError):
        details: Any = error.errors
        return cast("dict[str, Any]", details).get("code") if isinstance(details, dict) else None
    if isinstance(error, errors.BulkWriteError):
        failed = _write_errors(error)
        return failed[0].get("code") if failed else error.code
    return error.code if isinstance(error, errors.OperationFailure) else None


def _write_errors(error: errors.BulkWriteError) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", error.details.get("writeErrors") or [])


def is_race(error: Exception) -> bool:
    """Return True if an upsert lost against another one: sent again, it finds the record of that."""
    return code_of(error) == _DUPLICATE_KEY


def was_rolled_back(error: Exception) -> bool:
    """Return True if a transaction that failed so was rolled back whole, and may be tried again."""
    cause = error.__cause__
    if not isinstance(cause, errors.PyMongoError):
        return False
    return cause.has_error_label(_ROLLED_BACK) or is_race(cause)


def _text(error: Exception) -> str:
    """Return what the server or the driver said, on one line, without the driver's own state."""
    if isinstance(error, errors.BulkWriteError) and (failed := _write_errors(error)):
        text = str(failed[0].get("errmsg"))
    else:
        text = str(error)
    text = text.partition(", full error:")[0].partition(", Timeout: ")[0].partition(" (configured timeouts:")[0]
    return " ".join(text.split())[:500] or type(error).__name__
