"""What the drivers of both APIs do without waiting."""

from __future__ import annotations

import logging
import os
import re
import select
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import Ready, Wait

from memorizz.errors import ConfigurationError, one_line
from memorizz.memory_provider.postgresql._errors import DriverError
from memorizz.memory_provider.postgresql._steps import Batch, Statement
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.sql.replay import Replayed

logger = logging.getLogger("memorizz.postgresql")

# The name of the pools of ours, by which their log records are told from those of others.
POOL = "memorizz-provider"


class _OfOthers(logging.Filter):
    """Take what the driver's pool warns of in a pool of ours to our own log, at DEBUG.

    While a server is gone, that is two lines for each attempt to connect; and each caller gets an error that says more.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        about = record.args[0] if isinstance(record.args, tuple) and record.args else None
        is_ours = about == POOL or hasattr(about, "operation_timeout")
        if is_ours:
            logger.debug("%s", one_line(record.getMessage()))
        return not is_ours


logging.getLogger("psycopg.pool").addFilter(_OfOthers())

Rows = list[tuple[Any, ...]]

# How long the server is asked to stop what nobody waits for any longer.
CANCEL_SECONDS = 1.0
# How long a change of the schema is tried while stores are in use, and what it rests after the first try.
IN_USE_SECONDS = 60.0
IN_USE_PAUSE = 0.25


class Cursor(Protocol):
    """A cursor that keeps what went wrong."""

    failure: DriverError | None


_PLACEHOLDER = re.compile(rb"%(?:%|\(([^)]+)\)([sb]))")


@lru_cache(maxsize=500)
def numbered(statement: bytes) -> tuple[bytes, tuple[str, ...]] | None:
    """Return a statement with numbers in the place of its placeholders, and the names of these in that order.

    The driver looks for the placeholders of more than 4 kB anew each time, which took 0.13 of the 1 ms of a search.
    None where one says how its value travels, for which numbers have no word.
    """
    names: dict[bytes, int] = {}

    def number(found: re.Match[bytes]) -> bytes:
        return b"%" if found[1] is None else b"$%d" % names.setdefault(found[1], len(names) + 1)

    if any(found[2] == b"b" for found in _PLACEHOLDER.finditer(statement)):
        return None
    return _PLACEHOLDER.sub(number, statement), tuple(name.decode() for name in names)


class Attempts:
    """What a pool knows of its attempts to connect."""

    _first_unanswered: float | None = None

    def note(self, *, answered: bool) -> None:
        if answered:
            self._first_unanswered = None
        elif self._first_unanswered is None:
            self._first_unanswered = time.monotonic()

    @property
    def unanswered(self) -> float:
        """For how many seconds it has tried; 0 where the last attempt has succeeded."""
        return 0.0 if self._first_unanswered is None else time.monotonic() - self._first_unanswered


def check_encoding(connection: psycopg.BaseConnection[Any]) -> None:
    """Refuse a connection of the caller's on which the server takes what is sent for another encoding."""
    encoding = connection.pgconn.parameter_status(b"client_encoding") or b""
    if encoding != b"UTF8":
        raise ConfigurationError(
            f"the pool has connections with client_encoding={encoding.decode()}: make them with client_encoding='utf8'"
        )


def unfit(found: Replayed, facts: Facts, max_lag: float | None) -> str | None:
    """Return why a server serves no reads as a replica, by what it says of itself; None where it does."""
    if not found.in_recovery or found.position is None:
        return "it follows no primary: it was promoted, or never was a replica"
    if found.identity != facts.layout.identity:
        return f"it holds other memories in schema {facts.layout.schema!r}: it is no replica of this primary"
    if max_lag is not None and (found.behind is None or found.behind > max_lag):
        behind = "an unknown time" if found.behind is None else f"{found.behind:.1f} s"
        return f"it is {behind} behind, and replica_lag is {max_lag} s"
    if found.version < facts.version:
        return "it has not replayed the last change of the stores or their indexes"
    return None


def last_words(error: DriverError, cursors: Sequence[Cursor]) -> DriverError:
    """Return what the server ended a connection with; of a pipeline the driver tells only that it is broken."""
    return next((each.failure for each in cursors if each.failure is not None and error.sqlstate is None), error)


def sent(connection: psycopg.BaseConnection[Any]) -> PQGen[None]:
    """Wait until the server has all that was said to it; of a large statement the rest would wait for its answer."""
    while connection.pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            connection.pgconn.consume_input()


def config_for(config: PostgreSQLConfig | str | None, pool: Any) -> PostgreSQLConfig:
    """Return the configuration that is meant; where none is given, that of the server of the pool, if there is one."""
    if config is not None or pool is None:
        found = PostgreSQLConfig.of(config)
        if pool is not None and found.replicas:
            raise ConfigurationError(
                "replicas: a pool of your own connects to the primary alone, and may do so as somebody else: leave one "
                "of the two out"
            )
        return found
    # Computed anew for each connection, it may hold a token; then no server is named in messages.
    conninfo = pool.conninfo if isinstance(pool.conninfo, str) else ""
    return PostgreSQLConfig(dsn=conninfo, embedding_dimensions=None)


@contextmanager
def without_timeout(connection: Any) -> Generator[None]:
    """Wait as long as it takes, on a connection of ours: others may be migrating. A given pool is as it is."""
    timeout = getattr(connection, "operation_timeout", None)
    if timeout is not None:
        connection.operation_timeout = None
    try:
        yield
    finally:
        if timeout is not None:
            connection.operation_timeout = timeout


def orphan_socket(connection: psycopg.BaseConnection[Any], opener: int) -> None:
    """In a forked child turn the parent's connection into one to nowhere, so that nothing is said on it any more."""
    if opener == os.getpid():
        return
    near, far = socket.socketpair()
    far.close()
    os.dup2(near.fileno(), connection.fileno())
    near.close()


def log(step: Statement, started: float, result: Any) -> None:
    """Log what a step was and how long it took; what is bound is never logged, for it may be a secret."""
    seconds = time.perf_counter() - started
    if isinstance(step, Batch):
        text = f"{len(step.queries)} statements, the last: {step.queries[-1].sql.decode()}"
    else:
        text = step.sql.decode()
    rows = 0 if result is None else len(result)
    statements = len(step.queries) if isinstance(step, Batch) else 1
    told = {"seconds": seconds, "rows": rows, "statements": statements}
    logger.debug("%.2f ms, %d rows: %s", seconds * 1000, rows, one_line(" ".join(text.split())), extra=told)


def state_of(pool: Any) -> dict[str, int]:
    """Return how many connections of a pool there are, are idle, may be, and how many calls wait for one."""
    stats = pool.get_stats()
    return {
        "open": stats.get("pool_size", 0),
        "idle": stats.get("pool_available", 0),
        "most": stats.get("pool_max", 0),
        "waiting": stats.get("requests_waiting", 0),
    }


def is_alive(connection: psycopg.BaseConnection[Any]) -> bool:
    """Return True unless an idle connection's socket has data or its end: unasked, a server says that it hangs up.

    Asks the socket, not the server.
    """
    if connection.closed:
        return False
    descriptor = connection.pgconn.socket
    if not hasattr(select, "poll"):
        return not select.select([descriptor], [], [], 0)[0]
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(0)


def hang_up(connection: psycopg.BaseConnection[Any]) -> None:
    """Close a connection for good; close() may only give it back, where a pool of the caller's wants that."""
    connection.pgconn.finish()
