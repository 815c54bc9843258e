"""Every statement that writes the vectors of parts, or reads which there are.

What follows from a document is written with it, in one transaction, while its row is locked: so the parts are always
those of the text that is stored, whoever else writes. They are deleted with it by their foreign key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider._documents import CONTENT
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.rows import Pieces, Replaced, Row, Vector
from memorizz.memory_provider.postgresql.sql import key, writes
from memorizz.memory_provider.postgresql.sql.conditions import condition
from memorizz.memory_provider.postgresql.sql.reads import NAME, bound, selected, trusted_sql
from memorizz.memory_provider.postgresql.sql.vectors import nth_given
from memorizz.memory_provider.postgresql.sql.visible import visible
from memorizz.memory_provider.postgresql.sql.writes import merge, new, values_given

# A part that is given without a vector keeps the one of the same text, where that is stored.
_REPLACE = sql.SQL(
    "given AS MATERIALIZED (SELECT path, start, stop, digest, CASE WHEN place > 0 THEN {nth_given} END AS embedding "
    "FROM unnest(%(paths)s::text[], %(starts)s::integer[], %(stops)s::integer[], %(digests)s::uuid[], "
    "%(places)s::integer[]) AS given (path, start, stop, digest, place)), "
    "gone AS (DELETE FROM {parts} AS p USING stored WHERE {same} AND substring(p.path FROM '^[^.[]+') = "
    "ANY (%(roots)s::text[]) AND NOT EXISTS (SELECT FROM given WHERE given.embedding IS NULL "
    "AND (given.path, given.start, given.digest) = (p.path, p.start, p.digest)) RETURNING 1), "
    "added AS (INSERT INTO {parts} ({key}, path, start, stop, digest, {embedding}) "
    "SELECT {of_stored}, path, start, stop, digest, embedding FROM stored CROSS JOIN given "
    "WHERE (SELECT count(*) FROM gone) >= 0 ON CONFLICT DO NOTHING RETURNING {embedding} IS NULL AS waits) "
    "SELECT (SELECT count(*) FROM stored), (SELECT count(*) FROM added WHERE waits)"
)


def _replace(store: Store, stored: sql.Composable) -> bytes:
    """Return the statement that replaces the parts of the documents that `stored` returns."""
    replaced = _REPLACE.format(
        nth_given=nth_given(store),
        parts=store.parts,
        same=key.same("p", "stored"),
        key=key.NAMES,
        of_stored=key.of("stored"),
        embedding=store.embedding,
    )
    return sql.SQL("WITH stored AS MATERIALIZED ({}), {}").format(stored, replaced).as_bytes(None)


@composed_once
def _of_document(store: Store) -> bytes:
    stored = sql.SQL("SELECT {key} FROM {table} AS d WHERE {is_it} AND {visible}")
    return _replace(
        store, stored.format(key=key.KEY, table=store.table, is_it=key.is_it(store), visible=visible(store))
    )


def replace(store: Store, id: UUID, replaced: Replaced) -> Query:
    """Replace parts of a document that this transaction has written; the row says how many wait for a vector."""
    return Query(_of_document(store), bound(store, id=id, **replaced.parameters()), repeatable=False)


@composed_once
def _lock(store: Store) -> bytes:
    # LOCK TABLE wants a BEGIN before it; this takes the same lock.
    return sql.SQL("DELETE FROM {} WHERE false").format(store.table).as_bytes(None)


def locked(store: Store, ids: Sequence[UUID]) -> list[Query]:
    """Lock documents in the order of their keys, so that the next statement sees the parts that they have by then."""
    found = writes.locked(store, ids)[-1]
    return [found] if store.layout.distributed else [Query(_lock(store)), found]


@composed_once
def _insert(store: Store, inserted: tuple[str, ...]) -> bytes:
    stored = sql.SQL("INSERT INTO {table} AS d {new} ON CONFLICT ({key}) DO NOTHING RETURNING {returned}")
    return _replace(
        store,
        stored.format(
            table=store.table,
            new=new(store, inserted),
            key=key.NAMES,
            returned=key.KEY,
        ),
    )


def insert(store: Store, row: Row, replaced: Replaced) -> Query:
    """Insert a document with its parts, where there is none of its id; the row says how many were."""
    values = {**row.values, **replaced.parameters()}
    return Query(_insert(store, row.inserted), values, repeatable=False, writes=(row.name,))


@composed_once
def _update(store: Store, merged: tuple[str, ...], where: str) -> bytes:
    stored = sql.SQL("UPDATE {table} AS d SET {merge} WHERE {is_it} AND {visible} AND {where} RETURNING {key}")
    return _replace(
        store,
        stored.format(
            table=store.table,
            merge=merge(store, merged, values_given(store, merged), False),
            is_it=key.is_it(store),
            visible=visible(store),
            where=trusted_sql(where),
            key=key.KEY,
        ),
    )


def update(
    store: Store, row: Row, id: UUID, name: str, replaced: Replaced, filter: Mapping[str, Any] | None = None
) -> Query:
    """Merge a document, whose row this transaction has locked, and its parts into the one of an id, where it matches.

    The row says how many were, and how many parts wait for a vector.
    """
    found = condition(filter, store)
    values = {**row.values, **replaced.parameters(), "id": id, **found.parameters}
    return Query(_update(store, row.merged, found.sql), values, repeatable=False, writes=(name,))


# --- pieces of a long text ----------------------------------------------------------------------------------------


@composed_once
def _add_pieces(store: Store) -> bytes:
    template = sql.SQL(
        "INSERT INTO {parts} ({key}, path, start, stop, digest, {embedding}) "
        "SELECT {of_document}, {content}, given.start, given.stop, d.pieces, "
        "{nth_given} FROM {table} AS d CROSS JOIN unnest(%(starts)s::integer[], %(stops)s::integer[]) WITH ORDINALITY "
        "AS given (start, stop, place) WHERE {is_it} AND d.pieces = %(pieces)s::uuid ON CONFLICT DO NOTHING"
    )
    return template.format(
        parts=store.parts,
        key=key.NAMES,
        embedding=store.embedding,
        of_document=key.KEY,
        content=sql.Literal(CONTENT),
        nth_given=nth_given(store),
        table=store.table,
        is_it=key.is_it(store),
    ).as_bytes(None)


def add_pieces(store: Store, id: UUID, pieces: Pieces) -> Query:
    """Add the pieces of a document that this transaction has written, unless it has got another text.

    Sent twice, it changes nothing more. The pieces of the text before are deleted by a trigger.
    """
    return Query(_add_pieces(store), bound(store, id=id, **pieces.parameters()))


@composed_once
def _delete_replaced(store: Store) -> bytes:
    template = sql.SQL("DELETE FROM {} AS p USING {} AS d WHERE {} AND {} AND p.digest IS DISTINCT FROM d.pieces")
    return template.format(store.parts, store.table, key.same("p", "d"), key.OF_TENANT).as_bytes(None)


def delete_replaced(store: Store) -> list[Query]:
    """Delete the pieces of texts that have been replaced, where no trigger does it. Sent twice, it deletes no more."""
    if not store.layout.distributed or store.spec.fields:
        return []
    return [Query(_delete_replaced(store), bound(store))]


# --- what is there, and what waits --------------------------------------------------------------------------------


@composed_once
def _digests(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT d.id, d.path, d.start, d.digest FROM {parts} AS d WHERE {among} AND d.{embedding} IS NOT NULL"
    )
    return template.format(parts=store.parts, among=key.PARTS_AMONG, embedding=store.embedding).as_bytes(None)


def digests(store: Store, ids: Sequence[UUID]) -> Query:
    """Return which parts of some documents have a vector: ids, paths, starts and digests."""
    return Query(_digests(store), bound(store, ids=list(ids)))


_LISTED = sql.SQL(
    "ARRAY(SELECT jsonb_build_array(p.path, p.start, p.stop, p.digest) FROM {parts} AS p WHERE {same}{which} "
    "ORDER BY p.path, p.start)"
)
_IS_WAITING = sql.SQL("{visible} AND EXISTS (SELECT FROM {parts} AS p WHERE {same} AND p.{embedding} IS NULL)")


@composed_once
def _waiting(store: Store, of_one: bool) -> bytes:
    template = sql.SQL(
        "SELECT {columns}, {name}, {listed}, d.id "
        "FROM {table} AS d WHERE {is_waiting} AND {which} ORDER BY {key} LIMIT %(limit)s"
    )
    pieces = {"parts": store.parts, "same": key.same("p", "d"), "embedding": store.embedding}
    return template.format(
        columns=selected(store, False),
        name=NAME,
        listed=_LISTED.format(which=sql.SQL(" AND p.{} IS NULL").format(store.embedding), **pieces),
        table=store.table,
        is_waiting=_IS_WAITING.format(visible=visible(store), **pieces),
        which=key.is_it(store) if of_one else key.AFTER,
        key=key.KEY,
        **pieces,
    ).as_bytes(None)


def with_parts(store: Store) -> sql.Composed:
    """Return the columns of a document with the list of all its parts, as a document that waits has those that wait."""
    listed = _LISTED.format(parts=store.parts, same=key.same_of_all("p", "d"), which=sql.SQL(""))
    return sql.SQL("{}, {}, {}").format(selected(store, False), NAME, listed)


def waiting(store: Store, after: UUID | None, limit: int) -> Query:
    """Return the next documents with parts that have no vector: their columns, ids, parts and keys."""
    return Query(_waiting(store, False), bound(store, after=after, limit=limit), custom_plan=True)


def waiting_of(store: Store, id: UUID) -> Query:
    """Return the same of one document."""
    return Query(_waiting(store, True), bound(store, id=id, limit=1))


@composed_once
def _add_vector(store: Store) -> bytes:
    template = sql.SQL(
        "UPDATE {parts} AS d SET {embedding} = %(vector)s::{vector} WHERE {is_it} AND d.path = %(path)s::text "
        "AND d.start = %(start)s::integer AND d.digest = %(digest)s::uuid AND d.{embedding} IS NULL RETURNING true"
    )
    return template.format(
        parts=store.parts,
        embedding=store.embedding,
        vector=store.vector_type,
        is_it=key.PART_IS,
    ).as_bytes(None)


def add_vector(store: Store, id: UUID, path: str, start: int, digest: str, vector: Vector) -> Query:
    """Give a part the vector of its text; no row comes back where it has got another text or a vector meanwhile.

    Sent twice, it changes nothing more.
    """
    bind = bound(store, id=id, path=path, start=start, digest=digest, vector=vector)
    return Query(_add_vector(store), bind)
