"""What the drivers of both faces share: how a vector is sent, what is logged, when to try again."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

from memorizz.memory_provider._drive import check_process as check_process
from memorizz.memory_provider.postgresql._steps import Batch, Statement
from memorizz.memory_provider.postgresql._stores import Bits, Vector
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

logger = logging.getLogger("memorizz.postgresql")

Rows = list[tuple[Any, ...]]

# How long a statement whose connection broke, or that lost against another transaction, is tried again.
RETRY_SECONDS = 5.0
FIRST_PAUSE = 0.02
# How long the server is asked to stop what nobody waits for any longer.
CANCEL_SECONDS = 1.0


class BinaryDumper(Dumper):
    """Send what is in binary form as it is; the statement names its type, so that its oid need not be known."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


class JsonbLoader(Loader):
    """Read JSONB without guessing its encoding or looking for blanks: a third of the time of json.loads."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return _decode(str(data, "utf-8"), 1)[0]  # behind the version, a byte


_decode = json.JSONDecoder().raw_decode

# For every connection made from now on; the types are ours alone.
psycopg.adapters.register_dumper(Vector, BinaryDumper)
psycopg.adapters.register_dumper(Bits, BinaryDumper)


def prepare(connection: psycopg.BaseConnection[Any]) -> None:
    """Have a connection that was made before this library was loaded send vectors."""
    connection.adapters.register_dumper(Vector, BinaryDumper)
    connection.adapters.register_dumper(Bits, BinaryDumper)


def brings_rows(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]) -> bool:
    """Say whether a statement has rows to fetch; to ask for the cursor's description would describe every column."""
    return cursor.pgresult is not None and cursor.pgresult.nfields > 0


def find_server(config: PostgreSQLConfig, server: EmbeddedServer | None) -> str:
    """Return what to connect to; an embedded server in use that has died is started again."""
    if server is None:
        return config.conninfo
    conninfo = server.acquire()
    server.release()
    return config.complete(conninfo)


def cannot_connect(config: PostgreSQLConfig, stats: Mapping[str, int]) -> bool:
    """Say whether a pool that had no connection in time may have lacked a server, and not been used up."""
    return config.embedded_server is not None or stats.get("connections_errors", 0) > 0


def default_config(pool: Any) -> PostgreSQLConfig:
    """Return what holds where no configuration was given: the server of the pool, if there is one."""
    if pool is None:
        return PostgreSQLConfig()
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


def detach(connection: psycopg.BaseConnection[Any], opener: int) -> None:
    """In a forked child turn the parent's connection into one to nowhere, so that nothing is said on it any more."""
    if opener == os.getpid():
        return
    near, far = socket.socketpair()
    far.close()
    os.dup2(near.fileno(), connection.fileno())
    near.close()


def log(step: Statement, started: float, brought: Any) -> None:
    """Log what a step was and how long it took; what is bound is never logged, for it may be a secret."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    took = (time.perf_counter() - started) * 1000
    if isinstance(step, Batch):
        text = f"{len(step.queries)} statements, the last: {step.queries[-1].sql.decode()}"
    else:
        text = step.sql.decode()
    logger.debug("%.2f ms, %d rows: %s", took, 0 if brought is None else len(brought), text)


def is_alive(connection: psycopg.BaseConnection[Any]) -> bool:
    """Say whether the server has not spoken on an idle connection: unasked it says that it hangs up, and little else.

    Asks the socket, not the server.
    """
    return not connection.closed and not _is_readable(connection.pgconn.socket)


def hang_up(connection: psycopg.BaseConnection[Any]) -> None:
    """Close a connection for good; close() may only give it back, where a pool of the caller's wants that."""
    connection.pgconn.finish()


def _is_readable(descriptor: int) -> bool:
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])
