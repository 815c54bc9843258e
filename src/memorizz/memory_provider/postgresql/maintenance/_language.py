"""Changing the language of the words of a schema while it is in use.

From one moment on whatever is stored gets words of the new language, and questions look for those of both. Then the
words of the other documents are made again, batch by batch, and last, questions look for the new language alone. So
nothing is out of reach at any time; killed at any point, it goes on when it is asked for again.
"""

from __future__ import annotations

from shlex import quote
from typing import NamedTuple, cast
from uuid import UUID

from psycopg import sql

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider._arguments import text_argument
from memorizz.memory_provider.postgresql import distribution, facts, migrations
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import Layout
from memorizz.memory_provider.postgresql.maintenance import _models
from memorizz.memory_provider.postgresql.maintenance._changing import IDLE_SECONDS, LOCK_SECONDS
from memorizz.memory_provider.postgresql.sql import key

# Documents whose words are made at once: for as long, their writers may wait.
BATCH = 100


class Batch(NamedTuple):
    """Up to where a store is done, how many documents were looked at, and how many got other words."""

    last: tuple[str, UUID] | None
    seen: int
    changed: int

    @property
    def is_last(self) -> bool:
        return self.seen < BATCH


def _locked(known: Facts) -> Operation[tuple[str, str | None]]:
    """Keep others from changing the language in this transaction; return what it is, and what it was before."""
    yield from _models.lock_models(known.layout, LOCK_SECONDS)
    statement = sql.SQL("SELECT text_search_config, text_search_config_before FROM {}").format(
        known.layout.table("settings")
    )
    return (yield from fetch(Query(statement.as_bytes(None))))[0]


def begin(known: Facts, name: str) -> Operation[str | None]:
    """Begin a change, or join one; return the language's whole name, None where there is nothing to do.

    The caller runs this in one transaction, which waits for nobody for long.
    """
    if not isinstance(cast(object, name), str) or not name.strip():
        raise ConfigurationError(f"language={quoted(name)}: expected a text search configuration, such as 'german'")
    language = yield from migrations.qualified_config(text_argument(name, "language") or "")
    now, before = yield from _locked(known)
    if now != language:
        why = "does not make the words of all tenants' documents again"
        distribution.check_whole(known.layout, f"language={quoted(name)}", why)
    if now == language:
        return None if before is None else language
    if before is not None:
        raise ConfigurationError(
            f"the language of schema {known.layout.schema!r} is being changed from {before} to {now}: finish that "
            f"first, with `memorizz language {now} --schema {quote(known.layout.schema)}`"
        )
    # Whoever has stored words of the language before has committed them then, so that they are found below.
    # A store that another program has made meanwhile is among those of today.
    today = yield from facts.read(known.layout)
    yield from _models.block_writers(list(today.stores.values()), IDLE_SECONDS)
    yield from _note(known.layout, language, now)
    return language


def finish(known: Facts, language: str) -> Operation[None]:
    """Have questions look for words of the new language alone; the caller runs this in one transaction."""
    now, before = yield from _locked(known)
    if now == language and before is not None:
        yield from _note(known.layout, language, None)


def again(store: Store, after: tuple[str, UUID] | None) -> Operation[Batch]:
    """Make the words of the next documents of a store again, where they are those of another language."""
    # Its words are made again because a column that they are made of is set; nothing else of a document changes.
    statement = sql.SQL("""
        WITH batch AS MATERIALIZED (
            SELECT {key} FROM {table} AS d WHERE {behind} ORDER BY {key} LIMIT {limit}
        ), changed AS (
            UPDATE {table} AS d SET content = d.content FROM batch
            WHERE {same} AND d.words IS DISTINCT FROM {words}(d.name, d.role, d.content)
            RETURNING 1
        )
        SELECT {key}, (SELECT count(*) FROM changed) FROM batch AS d ORDER BY {key}
    """).format(
        table=store.table,
        key=key.KEY,
        behind=key.BEHIND,
        same=key.same_of_all("d", "batch"),
        limit=sql.Literal(BATCH),
        words=sql.Identifier(store.layout.schema, "memorizz_words"),
    )
    bound = {"after_tenant": after and after[0], "after": after and after[1]}
    rows = yield from fetch(Query(statement.as_bytes(None), bound, custom_plan=True))
    return Batch(tuple(rows[-1][:2]), len(rows), rows[-1][2]) if rows else Batch(after, 0, 0)


def _note(layout: Layout, language: str, before: str | None) -> Operation[None]:
    statement = sql.SQL(
        "UPDATE {} SET text_search_config = %(language)s, text_search_config_before = %(before)s, version = version + 1"
    ).format(layout.table("settings"))
    yield from fetch(Query(statement.as_bytes(None), {"language": language, "before": before}))
    path = sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(layout.schema))
    yield Script(path.as_bytes(None))
    yield Script(migrations.words(language, before))
