"""Driver error -> memorizz error, in one table. No other module names the driver's exceptions."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from shlex import quote

import psycopg
import psycopg_pool
from psycopg import errors

from memorizz.errors import (
    ConnectionFailed,
    DatabaseError,
    MemorizzError,
    OperationTimeout,
    PoolTimeout,
    ProviderClosed,
    ReadOnlyError,
    SchemaError,
    StorageFull,
    TransactionConflict,
)
from memorizz.memory_provider._documents import ends_too_soon
from memorizz.memory_provider._drive import OUTCOME_UNKNOWN

DriverError = psycopg.Error
NoneFree = psycopg_pool.PoolTimeout
# A value that came, and that its reader cannot make anything of.
Unreadable = psycopg.DataError
# How the constraint ends, in each store, that no document holds until before it does.
VALIDITY_CHECK = "validity_check"

# SQLSTATE's class 08, of which the driver makes no common class.
_LOST_CONNECTION = (
    errors.ConnectionException,
    errors.ConnectionDoesNotExist,
    errors.ConnectionFailure,
    errors.SqlclientUnableToEstablishSqlconnection,
    errors.SqlserverRejectedEstablishmentOfSqlconnection,
)
_GOING_OR_COMING = (errors.CrashShutdown, errors.CannotConnectNow)

# The first that fits wins, so that what is special stands before what is general.
_TABLE: tuple[tuple[type[psycopg.Error] | tuple[type[psycopg.Error], ...], type[MemorizzError], str], ...] = (
    (psycopg_pool.PoolClosed, ProviderClosed, "the provider is closed: open a new one"),
    (psycopg_pool.PoolTimeout, PoolTimeout, "no pooled connection became free in time: raise max_size or pool_timeout"),
    (psycopg_pool.TooManyRequests, PoolTimeout, "too many callers wait for a pooled connection: raise max_size"),
    (errors.QueryCanceled, OperationTimeout, "the server ended the statement"),
    (errors.LockNotAvailable, OperationTimeout, "a lock was not free in time"),
    (errors.IdleInTransactionSessionTimeout, OperationTimeout, "the server ended an idle transaction"),
    (errors.TransactionTimeout, OperationTimeout, "this took longer than the server's transaction_timeout allows"),
    (errors.ReadOnlySqlTransaction, ReadOnlyError, "the server or the transaction is read-only: write to the primary"),
    ((errors.DiskFull, errors.OutOfMemory, errors.ConfigurationLimitExceeded), StorageFull,
     "the server has no room left: make room, then try again"),
    ((errors.DeadlockDetected, errors.SerializationFailure), TransactionConflict,
     "another transaction was in the way, and nothing of this one was kept: do it again"),
    (errors.TooManyConnections, ConnectionFailed, "the server takes no more connections"),
    ((errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName), SchemaError,
     "the schema is not as it was made: run `memorizz doctor`"),
    ((errors.DuplicateTable, errors.DuplicateObject), SchemaError,
     "the schema already holds something of this name that is not memorizz's: use PostgreSQLConfig(schema=...)"),
    (_LOST_CONNECTION, ConnectionFailed, "the connection was lost"),
    (_GOING_OR_COMING, ConnectionFailed,
     "the server is going down or coming up"),
    (errors.AdminShutdown, ConnectionFailed,
     "the server ended this connection on purpose: it shuts down, or an administrator ended the session"),
    (errors.IdleSessionTimeout, ConnectionFailed, "the server ended an idle connection"),
)  # fmt: skip

# Rolled back whole or never begun, for the server said so, where it hangs up too: they may be tried again whatever they
# do. Not AdminShutdown: whoever ends a session means what it does, and not that another one goes on with it.
_ROLLED_BACK = (errors.SerializationFailure, errors.DeadlockDetected, errors.IdleSessionTimeout, *_GOING_OR_COMING)

# What a right is missing for, as the server names it in English, and how it is granted.
_GRANTS = {
    "table": ("SELECT, INSERT, UPDATE, DELETE", "{}"),
    "view": ("SELECT", "{}"),
    "sequence": ("USAGE", "SEQUENCE {}"),
    "schema": ("USAGE, CREATE", "SCHEMA {}"),
    "database": ("CREATE", "DATABASE {}"),
    "function": ("EXECUTE", "FUNCTION {}"),
}
_POLICY = ("ExecWithCheckOptions", "check_enable_rls")  # the server's functions that keep policies
# What a worker says, of which Citus tells the words alone, in English where its language is that.
_BREAKS_POLICY = "new row violates row-level security policy"


def translated(error: psycopg.Error, where: str, writes: Sequence[str] | None = None) -> MemorizzError:
    """Return the memorizz error for a driver error; `where` names the server without a secret.

    `writes` are the ids of what may have been written although no answer came; None where that is nothing.
    """
    if writes is not None and _is_unanswered(error):
        kind = OperationTimeout if is_overdue(error) else ConnectionFailed
        return kind(f"{translated(error, where)}; {OUTCOME_UNKNOWN}", ids=writes)
    if is_overdue(error):
        return OperationTimeout(f"no answer within operation_timeout from {where}; the connection was given up")
    if isinstance(error, errors.InsufficientPrivilege):
        return DatabaseError(_lacking(error, where))
    said = _text(error)
    # In the words of the server alone: of what a worker says Citus passes on no more. There it may have a number. How a
    # name is quoted depends on the language of the server.
    if isinstance(error, errors.CheckViolation) and re.search(rf"_{VALIDITY_CHECK}(_\d+)?\b", said):
        return ends_too_soon()
    if _never_left_the_pooler(error):
        return PoolTimeout(
            "the pooler had no connection to the server free in time: raise its pool size or its query_wait_timeout "
            f"({said}; {where})"
        )
    if isinstance(error, errors.DiskFull) and "shared memory" in said:
        return StorageFull(
            "the server's shared memory is too small to build an index in parallel: start its container with "
            f"--shm-size=1g, or set max_parallel_maintenance_workers to 0 ({said}; {where})"
        )
    for kinds, kind, advice in _TABLE:
        if isinstance(error, kinds):
            return kind(f"{advice} ({said}; {where})")
    if _is_lost(error):
        return ConnectionFailed(f"the connection to PostgreSQL was lost: {where}: {said}")
    return DatabaseError(f"{type(error).__name__}: {said}")


def _lacking(error: psycopg.Error, where: str) -> str:
    """Return what a user may not do, and who can help."""
    said = _text(error)
    if error.diag.source_function in _POLICY or said.startswith(_BREAKS_POLICY):
        # Not which part of the policy: that would tell of rows which this user may not see.
        [*_, table] = ["this table", *re.findall(r'"([^"]+)"', said)]
        return (
            f"a row-level security policy on {table} keeps this user from it: the row is not one of its own ({where})"
        )
    found = re.fullmatch(r"permission denied for (?:materialized )?(\w+) (.+)", said)
    if found is None or found[1] not in _GRANTS:
        return f"this user may not do that: have the owner do it, or grant the right ({said}; {where})"
    rights, place = _GRANTS[found[1]]
    return f"{said}: its owner must GRANT {rights} ON {place.format(found[2])} TO this user ({where})"


def _is_unanswered(error: psycopg.Error) -> bool:
    """Return True if the server may have done what was sent, although it did not answer."""
    return (is_overdue(error) or _is_lost(error)) and not isinstance(error, _ROLLED_BACK)


def _never_left_the_pooler(error: Exception) -> bool:
    return isinstance(error, psycopg.OperationalError) and "query_wait_timeout" in str(error)


def _is_lost(error: Exception) -> bool:
    if _never_left_the_pooler(error):
        return False
    if isinstance(error, errors.ProtocolViolation):
        # A pooler says so that the server has hung up.
        return error.diag.severity == "FATAL"
    silent = type(error) is psycopg.OperationalError and error.sqlstate is None
    return silent or isinstance(error, (*_LOST_CONNECTION, *_GOING_OR_COMING))


def failed_to_connect(error: psycopg.Error, where: str, database: str | None) -> MemorizzError:
    """Return the error for a connection that could not be made."""
    cause = _text(error)
    advice = "check that the server runs and that host, port, user and password are right"
    if "does not exist" in cause and "database" in cause:
        advice = f"create the database: createdb {quote(database or '')}"
    elif "definition of service" in cause:
        advice = "unset PGSERVICE, or define the service in ~/.pg_service.conf"
    elif "certificate" in cause:
        advice = "check sslrootcert, sslcert and sslkey, also where PGSSLROOTCERT and the like say them"
    elif "too many clients" in cause or "connection slots" in cause or "max_client_conn" in cause:
        advice = "the server takes no more connections: end some, lower max_size, or raise its limit"
    return ConnectionFailed(f"Failed to connect to PostgreSQL: {where}: {cause}; {advice}")


@contextmanager
def translating(where: str) -> Generator[None]:
    """Raise driver errors as memorizz errors, the original as the cause."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, where) from error


def may_repeat(error: Exception, repeatable: bool) -> bool:
    """Return True if a statement that failed so may be sent again: nothing of it is left, or twice is as once."""
    return isinstance(error, _ROLLED_BACK) or (repeatable and _is_lost(error))


def names_what_is_gone(error: MemorizzError) -> bool:
    """Return True where a statement names a column or a table that is not there: it may have been until a change."""
    return isinstance(error.__cause__, errors.UndefinedColumn | errors.UndefinedTable)


def is_unsupported(error: MemorizzError) -> bool:
    """Return True for what Citus does not do: it has been sent what is for one server, maybe."""
    return isinstance(error.__cause__, errors.FeatureNotSupported)


def was_rolled_back(error: Exception) -> bool:
    """Return True if a transaction that failed so lost against another one, and may be tried again as a whole."""
    return isinstance(error.__cause__, _ROLLED_BACK)


def is_in_use(error: Exception) -> bool:
    """Return True if a change of the schema failed because somebody was in the way for a moment."""
    return isinstance(error, OperationTimeout) or was_rolled_back(error)


def lacks_right(error: MemorizzError) -> bool:
    """Return True if the user may not do what failed so."""
    return isinstance(error.__cause__, errors.InsufficientPrivilege)


def breaks_policy(error: Exception) -> bool:
    """Return True for what row-level security has kept from being written, by where the server says so."""
    cause = error.__cause__
    return isinstance(cause, errors.InsufficientPrivilege) and (
        cause.diag.source_function == "ExecWithCheckOptions" or _text(cause).startswith(_BREAKS_POLICY)
    )


def was_refused(error: MemorizzError) -> bool:
    """Return True for a statement that leaves a column without its value where it is to be undone."""
    return isinstance(error.__cause__, errors.NotNullViolation)


def taken_name(error: MemorizzError) -> str | None:
    """Return what the server says where something of a name is there already, None for any other error."""
    cause = error.__cause__
    return _text(cause) if isinstance(cause, errors.DuplicateTable | errors.DuplicateObject) else None


def is_overdue(error: psycopg.Error) -> bool:
    """Return True if the driver gave up waiting for the server; its class for that is not public."""
    return type(error).__name__ == "_WaitTimeout"


def is_starting_up(error: psycopg.Error) -> bool:
    """Return True if a server that refused a connection is about to accept one."""
    return "starting up" in str(error) or "not yet accepting connections" in str(error)


def _text(error: psycopg.Error) -> str:
    """Return what the server or the driver said, on one line."""
    primary = error.diag.message_primary
    return " ".join((primary or str(error) or type(error).__name__).split())
