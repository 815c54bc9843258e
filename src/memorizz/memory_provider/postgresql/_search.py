"""How a search is planned and ranked, and its SQL.

Three ways to rank: by meaning (cosine distance to a vector), by words (full text, terms ORed), by both (their scores
added up). A search by meaning is served by the HNSW index only where nothing is filtered: pgvector filters after it has
searched, so that under a filter the index can lose rows. Everywhere else every candidate is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, cast

from psycopg import sql

from memorizz.errors import ConfigurationError, FilterError
from memorizz.memory_provider.postgresql import _values
from memorizz.memory_provider.postgresql._filters import Condition, condition
from memorizz.memory_provider.postgresql._queries import LIVE, raw, selected
from memorizz.memory_provider.postgresql._steps import Query, Row
from memorizz.memory_provider.postgresql._stores import EMBEDDING, SELECTED, Schema, Store, Vector

# pgvector's default and its largest hnsw.ef_search.
_EF_SEARCH = 40
_MAX_EF_SEARCH = 1000

# Where both rank: the weights of cosine similarity and of the text score as a share of the best. Measured on
# conversations against vectors of a small model: .7 and .3 find more than either alone and more than rank fusion.
_MEANING_WEIGHT = 0.7
_WORDS_WEIGHT = 0.3


class Route(Enum):
    """The way a search is served."""

    EXACT = "exact"
    HNSW = "hnsw"


@dataclass(frozen=True, slots=True)
class Search:
    """What a caller asked for, checked."""

    vector: Vector | None
    words: str | None
    filter: Condition
    limit: int
    exact: bool
    include_embedding: bool

    @property
    def ranked(self) -> bool:
        return self.vector is not None or self.words is not None


def parse(
    store: Store, query: Mapping[str, Any] | str, limit: int, *, include_embedding: bool, exact: bool
) -> tuple[Search, dict[str, Any]]:
    """Return the search that a query asks for, and its filter."""
    if isinstance(query, str):
        query = {"$text": {"$search": query}}
    if not isinstance(cast(object, query), Mapping):
        raise FilterError(f"a query is a dict or a str, got {type(query).__name__}")
    filter = dict(query)
    limit = checked_limit(filter.pop("limit", limit))
    words = _words(filter.pop("$text")) if "$text" in filter else None
    vector = None
    if EMBEDDING in filter and not isinstance(filter[EMBEDDING], Mapping):
        vector = store.vector(filter.pop(EMBEDDING))
    return Search(vector, words, condition(filter), limit, exact, include_embedding), filter


def checked_limit(limit: Any) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise ConfigurationError(f"limit={limit!r}: expected a whole number of at least 0")
    return limit


def _words(operand: Any) -> str:
    words: object = None
    if isinstance(operand, Mapping) and len(cast("Mapping[str, Any]", operand)) == 1:
        words = cast("Mapping[str, Any]", operand).get("$search")
    if not isinstance(words, str):
        raise FilterError(f'$text: expected {{"$search": "the words"}}, got {operand!r:.80}')
    return _values.text(words, "$search", "replace")


def route(search: Search, schema: Schema) -> Route:
    """Decide how to serve a search: by the index only where it can lose nothing."""
    if search.vector is None or search.words is not None or search.exact or schema.index == "none":
        return Route.EXACT
    if search.filter.sql != "TRUE" or search.limit > _MAX_EF_SEARCH:
        return Route.EXACT
    return Route.HNSW


def statements(search: Search, stores: Sequence[Store], way: Route) -> list[Query]:
    """Return what serves a search in one store, or in several merged by score: the last of them brings the rows."""
    schema = stores[0].schema
    kind = "meaning" if search.words is None else "words" if search.vector is None else "both"
    parts = [_ranked(store, kind, way, search.filter.sql, search.include_embedding) for store in stores]
    text = parts[0] if len(parts) == 1 else _merged(tuple(parts))
    parameters = dict(search.filter.parameters)
    if search.vector is not None:
        parameters["vector"] = search.vector
    if search.words is not None:
        parameters |= {"words": search.words, "config": schema.text_search_config}
    parameters["limit"] = search.limit
    return [*_settings(search, way), Query(text, parameters, custom_plan=True)]


def _settings(search: Search, way: Route) -> list[Query]:
    """Return what the search needs set in its transaction: HNSW must look at more than it is to return."""
    if way is Route.EXACT or search.limit * 2 <= _EF_SEARCH:
        return []
    ef_search = str(min(2 * search.limit, _MAX_EF_SEARCH))
    return [Query(_SET_HNSW, {"ef_search": ef_search})]


_SET_HNSW = (
    b"SELECT set_config('hnsw.ef_search', %(ef_search)s, true), "
    b"set_config('hnsw.iterative_scan', 'relaxed_order', true)"
)


def hits(store: Store, search: Search, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the documents of a search, with their score and, where a vector ranked, their distance."""
    read = store.document_with_embedding if search.include_embedding else store.document
    return [_hit(read(row), row[-3], row[-2]) for row in rows]


def _hit(document: dict[str, Any], distance: float | None, score: float | None) -> dict[str, Any]:
    if distance is not None:
        document["_distance"] = distance
        document.setdefault("distance", distance)
        score = 1.0 - distance if score is None else score
    document["_score"] = score
    document.setdefault("score", score)
    return document


# --- SQL ----------------------------------------------------------------------------------------------------------

# Terms are ORed: a question never holds all the words of its answer. In a subquery of its own it is computed once.
_ASKED = sql.SQL("(SELECT replace(plainto_tsquery(%(config)s::regconfig, %(words)s)::text, ' & ', ' | ')::tsquery)")
# Rank without regard to length: normalising by it buries the short turns of a conversation.
_RANK = sql.SQL("ts_rank(d.words, {asked}, 0)").format(asked=_ASKED)


@lru_cache(maxsize=1024)
def _ranked(store: Store, kind: str, way: Route, where: str, include_embedding: bool) -> bytes:
    """Return the statement of one store: the columns of a document, then distance, score and seq."""
    forms = {"meaning": _BY_MEANING[way], "words": _BY_WORDS, "both": _BY_BOTH}
    schema = store.schema
    distance = sql.SQL("(d.embedding OPERATOR({}.<=>) %(vector)s::{})").format(
        sql.Identifier(schema.vector_schema), sql.Identifier(schema.vector_schema, "vector")
    )
    if way is Route.HNSW and schema.index == "halfvec":
        forms["meaning"] = _BY_MEANING_IN_HALFVEC
    return (
        forms[kind]
        .format(
            columns=selected(include_embedding),
            names=sql.SQL(", ").join(map(sql.Identifier, (*SELECTED, EMBEDDING) if include_embedding else SELECTED)),
            table=store.table,
            distance=distance,
            half_distance=_half_distance(schema),
            asked=_ASKED,
            rank=_RANK,
            where=sql.SQL("{} AND {}").format(LIVE, raw(where)),
            meaning_weight=sql.Literal(_MEANING_WEIGHT),
            words_weight=sql.Literal(_WORDS_WEIGHT),
        )
        .as_bytes(None)
    )


@lru_cache(maxsize=256)
def _merged(parts: tuple[bytes, ...]) -> bytes:
    """Return the statement that merges those of several stores, the best scores first."""
    union = b" UNION ALL ".join(b"(" + part + b")" for part in parts)
    return b"SELECT * FROM (" + union + b") AS hit ORDER BY coalesce(score, 1 - distance) DESC LIMIT %(limit)s"


def _half_distance(schema: Schema) -> sql.Composed:
    """The distance as the halfvec index has it: see _indexes.create_embedding."""
    space = schema.vector_schema
    return sql.SQL("({}(d.embedding)::{half} OPERATOR({}.<=>) {}(%(vector)s::{})::{half})").format(
        sql.Identifier(space, "l2_normalize"),
        sql.Identifier(space),
        sql.Identifier(space, "l2_normalize"),
        sql.Identifier(space, "vector"),
        half=sql.SQL("{}({})").format(sql.Identifier(space, "halfvec"), sql.Literal(schema.dimensions)),
    )


_BY_MEANING = {
    # Adding 0 keeps the planner from the index, which would not compare every candidate.
    Route.EXACT: sql.SQL(
        "SELECT {columns}, {distance} AS distance, NULL::float8 AS score, d.seq FROM {table} AS d "
        "WHERE {where} AND d.embedding IS NOT NULL ORDER BY {distance} + 0, d.seq LIMIT %(limit)s"
    ),
    Route.HNSW: sql.SQL(
        "SELECT * FROM (SELECT {columns}, {distance} AS distance, NULL::float8 AS score, d.seq FROM {table} AS d "
        "WHERE {where} AND d.embedding IS NOT NULL ORDER BY {distance} LIMIT %(limit)s) AS hit ORDER BY distance, seq"
    ),
}
# The index ranks in half precision; twice as many are taken from it and compared exactly.
_BY_MEANING_IN_HALFVEC = sql.SQL(
    "SELECT {names}, distance, score, seq FROM ("
    "SELECT {columns}, {distance} AS distance, NULL::float8 AS score, d.seq FROM {table} AS d "
    "WHERE {where} AND d.embedding IS NOT NULL ORDER BY {half_distance} LIMIT %(limit)s * 2) AS hit "
    "ORDER BY distance, seq LIMIT %(limit)s"
)
_BY_WORDS = sql.SQL(
    "SELECT {columns}, NULL::float8 AS distance, {rank}::float8 AS score, d.seq FROM {table} AS d "
    "WHERE {where} AND d.words @@ {asked} ORDER BY score DESC, d.seq LIMIT %(limit)s"
)
# MATERIALIZED, or the planner computes the ranks again for each row.
_BY_BOTH = sql.SQL(
    "WITH candidate AS MATERIALIZED (SELECT d.id, d.seq, {distance} AS distance, "
    "CASE WHEN d.words @@ {asked} THEN {rank} ELSE 0 END AS rank FROM {table} AS d "
    "WHERE {where} AND (d.embedding IS NOT NULL OR d.words @@ {asked})), "
    "scored AS MATERIALIZED (SELECT id, distance, ({meaning_weight} * coalesce(1 - distance, 0) "
    "+ {words_weight} * coalesce(rank / nullif(max(rank) OVER (), 0), 0))::float8 AS score "
    "FROM candidate ORDER BY score DESC, seq LIMIT %(limit)s) "
    "SELECT {columns}, scored.distance, scored.score, d.seq FROM scored JOIN {table} AS d USING (id) "
    "ORDER BY scored.score DESC, d.seq"
)
