"""The statements that look for what says the same: which documents are compared, and by what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.sql import key
from memorizz.memory_provider.postgresql.sql.conditions import condition
from memorizz.memory_provider.postgresql.sql.reads import NAME, bound, selected, trusted_sql
from memorizz.memory_provider.postgresql.sql.visible import visible


@composed_once
def _compared(store: Store, where: str, of_some: bool) -> bytes:
    # Those with a vector first: what stays has one where any has.
    template = sql.SQL(
        "SELECT d.id FROM {table} AS d WHERE {visible} AND {where} AND {among} AND d.expires_at IS NULL "
        "AND d.valid_from IS NULL AND d.valid_until IS NULL "
        "AND jsonb_typeof(d.data -> 'content') IS DISTINCT FROM 'array' "
        "ORDER BY d.{vector} IS NULL OR d.pieces IS NOT NULL, d.created_at DESC, d.seq DESC LIMIT %(limit)s"
    )
    return template.format(
        table=store.table,
        visible=visible(store),
        where=trusted_sql(where),
        among=key.among(store) if of_some else sql.SQL("true"),
        vector=store.embedding,
    ).as_bytes(None)


def compared(store: Store, filter: Mapping[str, Any], ids: Sequence[UUID] | None, limit: int) -> Query:
    """Return the keys of the documents that match, or of those among some, in the order in which they are compared."""
    found = condition(filter, store)
    parameters = bound(store, **found.parameters, ids=None if ids is None else list(ids), limit=limit)
    return Query(_compared(store, found.sql, ids is not None), parameters, custom_plan=True)


@composed_once
def _texts_and_vectors(store: Store) -> bytes:
    template = sql.SQL(
        "SELECT d.id, {name}, CASE WHEN d.content ~ '[^[:space:]]' "
        "THEN sha256(convert_to(jsonb_build_array(coalesce(d.{label}, ''), d.content)::text, 'UTF8')) END, "
        "CASE WHEN d.pieces IS NULL THEN {send}(d.{vector}) END FROM {table} AS d WHERE {among} AND {visible}"
    )
    return template.format(
        name=NAME,
        label=sql.Identifier(store.spec.label),
        send=store.sends,
        vector=store.embedding,
        table=store.table,
        among=key.among(store),
        visible=visible(store),
    ).as_bytes(None)


def texts_and_vectors(store: Store, ids: Sequence[UUID]) -> Query:
    """Return by what some documents are compared: of each its key, its id, a digest of its text, its vector in binary.

    Without a text the digest is NULL; of a long text, whose pieces have the vectors, the vector is.
    """
    return Query(_texts_and_vectors(store), bound(store, ids=list(ids)))


@composed_once
def _documents(store: Store) -> bytes:
    template = sql.SQL("SELECT {columns} FROM {table} AS d WHERE {among} AND {visible}")
    return template.format(
        columns=selected(store, False), table=store.table, among=key.among(store), visible=visible(store)
    ).as_bytes(None)


def documents(store: Store, ids: Sequence[UUID]) -> Query:
    """Return some documents, in any order."""
    return Query(_documents(store), bound(store, ids=list(ids)))
