"""What is said of a database in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memorizz.errors import SchemaError

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.migrations import Database


def server_of(found: Database) -> str:
    """Return the product and its version."""
    return f"PostgreSQL {found.server_version // 10_000}.{found.server_version % 10_000}"


def check_none_pending(found: Database, count: int) -> None:
    """Raise SchemaError where a schema lacks migrations."""
    if count:
        raise SchemaError(
            f"schema {found.schema!r} of database {found.name!r} lacks {count} migration(s): run `memorizz migrate`, "
            "or open the provider with auto_migrate=True"
        )
