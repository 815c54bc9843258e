"""Driver errors become memorizz errors, by one table; what may be sent again."""

from __future__ import annotations

import psycopg
import psycopg_pool
import pytest
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
from memorizz.memory_provider.postgresql._errors import failed_to_connect, may_repeat, translated, translating

TABLE = [
    (psycopg_pool.PoolClosed, ProviderClosed),
    (psycopg_pool.PoolTimeout, PoolTimeout),
    (psycopg_pool.TooManyRequests, PoolTimeout),
    (errors.QueryCanceled, OperationTimeout),
    (errors.LockNotAvailable, OperationTimeout),
    (errors.IdleInTransactionSessionTimeout, OperationTimeout),
    (errors.TransactionTimeout, OperationTimeout),
    (errors.ReadOnlySqlTransaction, ReadOnlyError),
    (errors.DiskFull, StorageFull),
    (errors.OutOfMemory, StorageFull),
    (errors.ConfigurationLimitExceeded, StorageFull),
    (errors.TooManyConnections, ConnectionFailed),
    (errors.UndefinedTable, SchemaError),
    (errors.UndefinedColumn, SchemaError),
    (errors.InvalidSchemaName, SchemaError),
    (errors.DuplicateTable, SchemaError),
    (errors.DuplicateObject, SchemaError),
    (errors.InsufficientPrivilege, DatabaseError),
    (errors.ConnectionFailure, ConnectionFailed),
    (errors.SqlclientUnableToEstablishSqlconnection, ConnectionFailed),
    (errors.AdminShutdown, ConnectionFailed),
    (errors.CrashShutdown, ConnectionFailed),
    (errors.CannotConnectNow, ConnectionFailed),
    (errors.IdleSessionTimeout, ConnectionFailed),
    (psycopg.OperationalError, ConnectionFailed),
    (errors.SyntaxError, DatabaseError),
    (errors.DeadlockDetected, TransactionConflict),
    (errors.UniqueViolation, DatabaseError),
    (psycopg.DataError, DatabaseError),
    (psycopg.InterfaceError, DatabaseError),
]


@pytest.mark.parametrize(("driver", "ours"), TABLE, ids=lambda kind: kind.__name__)
def test_each_driver_error_has_its_own(driver: type[psycopg.Error], ours: type[MemorizzError]) -> None:
    """The class tells a caller what to do; the driver's words and the server's place are kept, on one line."""
    error = translated(driver("what the\nserver said"), "host h, port 1")
    assert type(error) is ours
    assert "what the server said" in str(error)


def test_timeouts_are_timeouts_and_lost_connections_connection_errors() -> None:
    """Python's own classes catch them."""
    assert isinstance(translated(psycopg_pool.PoolTimeout("x"), ""), TimeoutError)
    assert isinstance(translated(errors.QueryCanceled("x"), ""), TimeoutError)
    assert isinstance(translated(errors.AdminShutdown("x"), ""), ConnectionError)


def test_the_original_is_the_cause() -> None:
    """What the driver raised is not lost."""
    original = errors.SyntaxError("x")
    with pytest.raises(DatabaseError) as caught, translating("h"):
        raise original
    assert caught.value.__cause__ is original


def test_other_exceptions_pass() -> None:
    """What is not the driver's is not touched."""
    with pytest.raises(KeyError), translating("h"):
        raise KeyError("x")


@pytest.mark.parametrize(
    ("error", "ours", "advice"),
    [
        (errors.ProtocolViolation("query_wait_timeout"), PoolTimeout, "the pooler had no connection"),
        (psycopg.OperationalError("FATAL:  query_wait_timeout\nserver closed it"), PoolTimeout, "the pooler had no"),
        (errors.DiskFull('could not resize shared memory segment "/x"'), StorageFull, "--shm-size=1g"),
        (errors.DiskFull("could not extend file"), StorageFull, "make room"),
        (errors.InsufficientPrivilege("keine Berechtigung"), DatabaseError, "have the owner do it, or grant the right"),
    ],
    ids=["pooler", "pooler that hangs up", "shared memory", "disk", "another language"],
)  # fmt: skip
def test_the_advice_fits_what_the_server_said(error: psycopg.Error, ours: type[MemorizzError], advice: str) -> None:
    """One class of the driver's may have several causes, and each its own way out."""
    told = translated(error, "host h")
    assert type(told) is ours
    assert advice in str(told)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('FATAL:  database "my db" does not exist', "createdb 'my db'"),
        ('definition of service "x" not found', "unset PGSERVICE"),
        ('root certificate file "/x" does not exist', "PGSSLROOTCERT"),
        ("FATAL:  sorry, too many clients already", "takes no more connections"),
        ("FATAL:  no more connections allowed (max_client_conn)", "takes no more connections"),
        ("Connection refused", "check that the server runs"),
    ],
    ids=["database", "service", "certificate", "clients", "pooler", "refused"],
)
def test_a_connection_that_could_not_be_made_says_what_to_look_at(said: str, advice: str) -> None:
    """The advice fits the cause, which is told too."""
    told = failed_to_connect(psycopg.OperationalError(said), "host h", "my db")
    assert type(told) is ConnectionFailed
    assert said in str(told) or " ".join(said.split()) in str(told)
    assert advice in str(told)


@pytest.mark.parametrize(
    ("error", "once", "twice"),
    [
        (errors.SerializationFailure, True, True),
        (errors.DeadlockDetected, True, True),
        (errors.AdminShutdown, False, False),
        (errors.TransactionTimeout, False, False),
        (errors.IdleSessionTimeout, True, True),
        (errors.CannotConnectNow, True, True),
        (psycopg.OperationalError, False, True),
        (psycopg_pool.PoolTimeout, False, False),
        (errors.QueryCanceled, False, False),
        (errors.UniqueViolation, False, False),
        (lambda said: errors.ProtocolViolation(f"query_wait_timeout {said}"), False, False),
        (errors.DiskFull, False, False),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_sent_again(error: type[psycopg.Error], once: bool, twice: bool) -> None:
    """What was not done always, what may have been done only where doing it twice is doing it once."""
    assert may_repeat(error("x"), False) is once
    assert may_repeat(error("x"), True) is twice


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (psycopg.OperationalError("the server closed the connection unexpectedly"), True),
        (errors.ConnectionFailure("x"), True),
        (psycopg.OperationalError("FATAL:  query_wait_timeout\nserver closed it"), False),
        (errors.AdminShutdown("x"), False),
        (errors.IdleSessionTimeout("x"), False),
        (errors.DeadlockDetected("x"), False),
        (errors.QueryCanceled("x"), False),
        (errors.DiskFull("x"), False),
    ],
    ids=["lost", "lost, by its class", "pooler", "ended", "idle", "deadlock", "cancelled", "full"],
)
def test_an_outcome_that_is_unknown_is_said(error: psycopg.Error, unknown: bool) -> None:
    """Where nobody can know; what the server says it has not done is known, as is what has written nothing."""
    told = translated(error, "host h", ["a", "b"])
    assert ("the outcome is unknown" in str(told)) is unknown
    assert getattr(told, "ids", ()) == (("a", "b") if unknown else ())
    assert "unknown" not in str(translated(error, "host h"))
