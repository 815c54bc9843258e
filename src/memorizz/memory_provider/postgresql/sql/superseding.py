"""The statements that end one document where another begins, which takes its place."""

from __future__ import annotations

from uuid import UUID

from psycopg import sql

from memorizz.memory_provider._documents import SUPERSEDED_BY, VALID_UNTIL
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.rows import Row
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.reads import bound
from memorizz.memory_provider.postgresql.sql.visible import visible
from memorizz.memory_provider.postgresql.sql.writes import CLOCK, moment


@composed_once
def _found(store: Store, brings_memory: bool) -> bytes:
    template = sql.SQL(
        "SELECT true FROM {table} AS d WHERE {is_it} AND {visible} AND d.memory_id IS NOT DISTINCT FROM {memory} "
        "AND NOT EXISTS (SELECT FROM {table} AS n WHERE {new_is} AND n.data ? {by})"
    )
    stored = sql.SQL("(SELECT n.memory_id FROM {} AS n WHERE {})").format(store.table, key.NEW_IS)
    return template.format(
        table=store.table,
        is_it=key.is_it(store),
        visible=visible(store),
        memory=sql.SQL("%(memory_id)s::text") if brings_memory else stored,
        new_is=key.NEW_IS,
        by=sql.Literal(SUPERSEDED_BY),
    ).as_bytes(None)


def found(store: Store, id: UUID, row: Row) -> Query:
    """Return a row where there is a document of this id and of the same memory as that of `row`, stored or not.

    What has been superseded itself supersedes nothing: a ring of such documents would be in no search.
    """
    given = {name: row.values[name] for name in ("memory_id",) if name in row.values}
    return Query(_found(store, bool(given)), bound(store, id=id, new=row.values["id"], **given))


@composed_once
def _end(store: Store) -> bytes:
    # At the time of the transaction, so that in this very one, too, it is over.
    template = sql.SQL(
        "UPDATE {table} AS d SET valid_until = greatest(d.valid_from, least(d.valid_until, coalesce(n.valid_from, "
        "clock.now))), data = (d.data - {until}) || jsonb_build_object({by}, %(name)s::text), "
        "updated_at = {moment} FROM {table} AS n, {clock} WHERE {is_it} AND {new_is}"
    )
    return template.format(
        table=store.table,
        moment=moment(store),
        clock=CLOCK,
        until=sql.Literal(VALID_UNTIL),
        by=sql.Literal(SUPERSEDED_BY),
        is_it=key.is_it(store),
        new_is=key.NEW_IS,
    ).as_bytes(None)


def end(store: Store, id: UUID, name: str, row: Row) -> Query:
    """End a document where that of `row` begins, or now; no later than it had ended, no sooner than it began."""
    values = bound(store, id=id, new=row.values["id"], name=row.name)
    return Query(_end(store), values, repeatable=False, writes=(name, row.name))
