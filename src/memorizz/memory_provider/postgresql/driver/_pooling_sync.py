"""What a thread of the pool does to connect. Nobody cancels it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

C = TypeVar("C", bound=psycopg.Connection[Any])


def pooled(kind: type[C]) -> type[C]:
    """Return a kind of connection."""
    return kind


def find_server(config: PostgreSQLConfig, server: EmbeddedServer | None) -> str:
    """Return what to connect to."""
    return config.conninfo if server is None else config.complete(server.reach())


find_server_for_pool = find_server
