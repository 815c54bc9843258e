"""The SQL of a search.

Where the distance alone ranks, it is one SELECT that returns the nearest documents; where more makes the score, it is
made of parts (WITH):

    asked           the words of the question
    near            the nearest `depth` rows, with their exact distance
    with_words      the best `depth` rows by words
    candidate       near and with_words together
    scored, ranked  the candidates with the parts of their score

Every row has a document's columns, then distance, score, the parts of the score, seq, and what the route says of its
answer: `seen`, and `distances` (plan.Answer). Parts are MATERIALIZED, or the planner computes them again for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from memorizz.memory_provider._questions import weights
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, composed_once
from memorizz.memory_provider.postgresql.rows import SELECTED
from memorizz.memory_provider.postgresql.search.plan import MAX_SCANNED, MAX_WORDS, MIN_FOUND, Route, Search
from memorizz.memory_provider.postgresql.sql.key import KEY, among, same
from memorizz.memory_provider.postgresql.sql.reads import selected, trusted_sql
from memorizz.memory_provider.postgresql.sql.visible import visible

# Where a row of a search has what comes behind the document.
DISTANCE, SCORE, BY_PART, SEQ, SEEN, DISTANCES = range(-6, 0)

PARTS = ("meaning", "words", "speaker", "session", "recency", "importance")

# pgvector's operators; and the score of a distance, as StoreSpec.score has it.
OPERATORS: Mapping[str, LiteralString] = {"cosine": "<=>", "l2": "<->", "inner_product": "<#>"}
_SIMILARITY: Mapping[str, LiteralString] = {
    "cosine": "1 - {distance}",
    "l2": "1 / (1 + {distance})",
    "inner_product": "-({distance})",
}


class _Form(NamedTuple):
    """What makes two searches share one statement."""

    route: Route
    meaning: bool
    words: bool
    scored: bool
    fusion: str
    include_embedding: bool


def statement(search: Search, store: Store, route: Route) -> Query:
    """Return what serves a search by one route, once the settings of that route are made."""
    form = _Form(
        route,
        search.vector is not None,
        search.words is not None,
        search.scored,
        search.ranking.fusion,
        search.options.include_embedding,
    )
    return Query(_statement(store, form, search.condition.sql), _parameters(search, store))


def _parameters(search: Search, store: Store) -> dict[str, Any]:
    parameters: dict[str, Any] = {**search.condition.parameters, **store.scope.parameters, "limit": search.limit}
    if search.vector is not None:
        parameters |= {
            "vector": search.vector,
            "depth": search.depth,
            "wide": search.wide,
            "compared": search.compared,
        }
    if search.words is not None:
        parameters |= {"question": search.words, "max_words": MAX_WORDS, "depth": search.depth}
        parameters["config"] = store.layout.text_search_config
    if search.scored:
        ranking = weights(search.ranking, store.spec, meaning=search.vector is not None, names_cut=search.names_cut)
        parameters |= {part: getattr(ranking, part) for part in PARTS}
        parameters |= {"half_life": ranking.half_life, "names": list(search.names)}
    return parameters


@composed_once
def _statement(store: Store, form: _Form, where: str) -> bytes:
    pieces: dict[str, sql.Composable] = {
        "table": store.table,
        "columns": selected(store, form.include_embedding),
        # By name: somebody may have added a column of any name.
        "needed": sql.SQL(", ").join(sql.Identifier("d", name) for name in (*SELECTED, "seq", store.vector_column)),
        "where": sql.SQL("{} AND {}").format(visible(store), trusted_sql(where)),
        "key": KEY,
        "same": same("d", "near"),
        "max_scanned": sql.Literal(MAX_SCANNED),
        "min_found": sql.Literal(MIN_FOUND),
        "unscored": _UNSCORED,
        **_distances(store),
    }
    half = store.vector.index == "halfvec"
    pieces["by_index"] = (_BY_HALFVEC_INDEX if half else _BY_INDEX).format(**pieces)
    if not form.scored:
        flat = _NEAREST if form.route is not Route.INDEX else _NEAREST_BY_HALFVEC if half else _NEAREST_BY_INDEX
        pieces["near"] = _NEAR[form.route].format(**pieces)
        return (_SCANNED if form.route is Route.SCAN else flat).format(**pieces).as_bytes(None)
    pieces["rank"] = _RANK if form.words else sql.SQL("NULL::float8")
    pieces["seen"] = sql.SQL("coalesce((SELECT max(seen) FROM near), 0)" if form.meaning else "0::bigint")
    pieces["distances"] = sql.SQL(
        "ARRAY(SELECT distance FROM near_all ORDER BY distance)" if form.route is Route.INDEX else "NULL::float8[]"
    )
    pieces["not_too_many"] = sql.SQL(
        "AND coalesce((SELECT max(seen) FROM near), 0) <= {max_scanned}" if form.route is Route.SCAN else ""
    ).format(**pieces)
    pieces["found_distance"] = pieces["distance"] if form.meaning else sql.SQL("NULL::float8")
    pieces["near"] = _NEAR[form.route].format(**pieces)
    pieces["is_found"] = among(_SOURCES[form.meaning, form.words])
    parts = [part.format(**pieces) for part in _parts(form)]
    return sql.SQL("WITH {} {}").format(sql.SQL(", ").join(parts), _RANKED_HITS.format(**pieces)).as_bytes(None)


def _parts(form: _Form) -> list[sql.SQL]:
    near = [_NEAR_OF_INDEX, _NEAR_BY_INDEX] if form.route is Route.INDEX else [_NEAR_PART]
    return [
        *([_ASKED] if form.words else []),
        *(near if form.meaning else []),
        *([_WITH_WORDS] if form.words else []),
        _CANDIDATE,
        _SCORED[form.fusion],
        _RANKED,
    ]


def _distances(store: Store) -> dict[str, sql.Composable]:
    """Return the column of the vectors and its distances from the query's: exact, by bits, and of a halfvec index."""
    space = store.layout.vector_schema
    column = sql.Identifier("d", store.vector_column)
    operator = sql.SQL("OPERATOR({}.{})").format(sql.Identifier(space), sql.SQL(OPERATORS[store.spec.distance]))
    vector = sql.SQL("%(vector)s::{}").format(sql.Identifier(space, "vector"))
    bit = sql.SQL("bit({})").format(sql.Literal(store.model.dimensions))
    half = sql.SQL("{}({})").format(sql.Identifier(space, "halfvec"), sql.Literal(store.model.dimensions))
    quantize, normalize = sql.Identifier(space, "binary_quantize"), sql.Identifier(space, "l2_normalize")
    distance = sql.SQL("({} {} {})").format(column, operator, vector)
    return {
        "column": column,
        "bits": sql.Identifier(store.bits_column),
        "embedded": sql.SQL("{} IS NOT NULL").format(column),
        "distance": distance,
        "similarity": sql.SQL(_SIMILARITY[store.spec.distance]).format(distance=sql.SQL("distance")),
        # A row that was written by other hands may lack its bits.
        "bits_distance": sql.SQL(
            "(coalesce(d.{bits}, {quantize}({column})::{bit}) OPERATOR({space}.<~>) {quantize}({vector})::{bit})"
        ).format(
            bits=sql.Identifier(store.bits_column),
            column=column,
            quantize=quantize,
            bit=bit,
            space=sql.Identifier(space),
            vector=vector,
        ),
        # Also under a generic plan, the vector of the question is computed once.
        "half_distance": sql.SQL("({n}({column})::{half} {operator} (SELECT {n}({vector})::{half}))").format(
            n=normalize, column=column, half=half, operator=operator, vector=vector
        ),
    }


# --- by distance alone --------------------------------------------------------------------------------------------

_BY_INDEX = sql.SQL("ORDER BY {distance} LIMIT %(wide)s")
# The index ranks in half precision; twice as many are taken from it and compared exactly.
_BY_HALFVEC_INDEX = sql.SQL("ORDER BY {half_distance} LIMIT %(wide)s * 2")
_UNSCORED = sql.SQL("NULL::float8 AS score, NULL::float8[] AS parts")

# Nothing more is read, and nothing is compared, once it is seen that there are too many.
_SCANNED = sql.SQL("""
SELECT {columns}, CASE WHEN d.seen <= {max_scanned} THEN {distance} END AS distance, {unscored}, d.seq, d.seen,
    NULL::float8[] AS distances
FROM (
    SELECT *, count(*) OVER () AS seen
    FROM (SELECT {needed} FROM {table} AS d WHERE {where} AND {embedded} LIMIT {max_scanned} + 1) AS d
) AS d
ORDER BY distance, d.seq LIMIT %(limit)s
""")
_NEAREST_BY_INDEX = sql.SQL("""
SELECT {columns}, {distance} AS distance, {unscored}, d.seq, NULL::bigint AS seen, NULL::float8[] AS distances
FROM {table} AS d WHERE {where} AND {embedded} {by_index}
""")
_NEAREST_BY_HALFVEC = sql.SQL("""
SELECT * FROM (
    SELECT {columns}, {distance} AS distance, {unscored}, d.seq, NULL::bigint AS seen, NULL::float8[] AS distances
    FROM {table} AS d WHERE {where} AND {embedded} {by_index}
) AS d ORDER BY distance, seq LIMIT %(wide)s
""")
_NEAREST = sql.SQL("""
SELECT {columns}, near.distance, {unscored}, near.seq, near.seen, NULL::float8[] AS distances
FROM ({near}) AS near JOIN {table} AS d ON {same} ORDER BY near.distance, near.seq LIMIT %(limit)s
""")

_NEAR: Mapping[Route, sql.SQL] = {
    Route.SCAN: sql.SQL("""
    SELECT {key}, seq, CASE WHEN seen <= {max_scanned} THEN {distance} END AS distance, seen
    FROM (
        SELECT *, count(*) OVER () AS seen
        FROM (SELECT {key}, seq, {column} FROM {table} AS d WHERE {where} AND {embedded} LIMIT {max_scanned} + 1) AS d
    ) AS d ORDER BY distance, seq LIMIT %(depth)s
"""),
    Route.INDEX: sql.SQL("""
    SELECT {key}, seq, {distance} AS distance, 0::bigint AS seen
    FROM {table} AS d WHERE {where} AND {embedded} {by_index}
"""),
    Route.BITS: sql.SQL("""
    SELECT {key}, seq, distance, max(place) OVER () AS seen
    FROM (
        SELECT {key}, seq, {distance} AS distance, count(*) OVER (ORDER BY apart) AS place
        FROM (
            SELECT {key}, seq, {column}, {bits_distance} AS apart FROM {table} AS d WHERE {where} AND {embedded}
            ORDER BY apart, seq LIMIT %(compared)s
        ) AS d ORDER BY distance, seq LIMIT greatest(%(depth)s, {min_found})
    ) AS d ORDER BY distance, seq LIMIT %(depth)s
"""),
    # OFFSET keeps the planner from the index, and each distance is computed once.
    Route.EXACT: sql.SQL("""
    SELECT {key}, seq, distance, 0::bigint AS seen
    FROM (SELECT {key}, seq, {distance} AS distance FROM {table} AS d WHERE {where} AND {embedded} OFFSET 0) AS d
    ORDER BY distance, seq LIMIT %(depth)s
"""),
}

# --- by a score of several parts ----------------------------------------------------------------------------------

_NEAR_PART = sql.SQL("near AS MATERIALIZED ({near})")
_NEAR_OF_INDEX = sql.SQL("near_all AS MATERIALIZED ({near})")
_NEAR_BY_INDEX = sql.SQL("near AS MATERIALIZED (SELECT * FROM near_all ORDER BY distance, seq LIMIT %(depth)s)")
# Words are ORed: a question never holds all the words of its answer. Of a page that is asked, those that it says most
# often are taken, of equals the first.
_ASKED = sql.SQL("""asked AS MATERIALIZED (
    SELECT string_agg(array_to_tsvector(ARRAY[lexeme])::text, ' | ')::tsquery AS words
    FROM (
        SELECT lexeme FROM unnest(to_tsvector(%(config)s::regconfig, %(question)s))
        ORDER BY cardinality(positions) DESC, positions[1] LIMIT %(max_words)s
    ) AS lexemes
)""")
# Without regard to length: normalising by it buries the short turns of a conversation.
_RANK = sql.SQL("ts_rank(d.words, (SELECT words FROM asked), 0)")
_WITH_WORDS = sql.SQL("""with_words AS MATERIALIZED (
    SELECT {key} FROM {table} AS d WHERE {where} AND d.words @@ (SELECT words FROM asked) {not_too_many}
    ORDER BY {rank} DESC, d.seq LIMIT %(depth)s
)""")
_CANDIDATE = sql.SQL("""candidate AS MATERIALIZED (
    SELECT {key}, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score,
        coalesce(d."timestamp", d.created_at) AS moment, {found_distance} AS distance, {rank}::float8 AS rank
    FROM {table} AS d WHERE {is_found}
)""")
_SOURCES: Mapping[tuple[bool, bool], sql.SQL] = {
    (True, True): sql.SQL("ARRAY(SELECT id FROM near UNION SELECT id FROM with_words)"),
    (True, False): sql.SQL("ARRAY(SELECT id FROM near)"),
    (False, True): sql.SQL("ARRAY(SELECT id FROM with_words)"),
}
# The exponent is bounded, for PostgreSQL takes an underflow for an error.
_OTHER_PARTS: LiteralString = """
        CASE WHEN regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && %(names)s::text[]
            THEN %(speaker)s::float8 ELSE 0 END AS speaker,
        %(recency)s::float8 * exp(-least(
            ln(2) * greatest(extract(epoch FROM now()) - extract(epoch FROM moment), 0) / 86400
                / %(half_life)s::float8, 500
        )) AS recency,
        %(importance)s::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance
    FROM candidate AS d
)"""
_SCORED: Mapping[str, sql.SQL] = {
    "score": sql.SQL(
        """scored AS MATERIALIZED (
    SELECT {key}, seq, memory_id, conversation_id, distance, max(rank) OVER () AS best,
        %(meaning)s::float8 * coalesce({similarity}, 0) AS meaning,
        %(words)s::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,"""
        + _OTHER_PARTS
    ),
    "rrf": sql.SQL(
        """scored AS MATERIALIZED (
    SELECT {key}, seq, memory_id, conversation_id, distance, NULL::float8 AS best,
        CASE WHEN distance IS NULL THEN 0
            ELSE %(meaning)s::float8 / (10 + row_number() OVER (ORDER BY distance, seq)) END AS meaning,
        CASE WHEN coalesce(rank, 0) = 0 THEN 0
            ELSE %(words)s::float8 / (10 + row_number() OVER (ORDER BY coalesce(rank, 0) DESC, seq)) END AS words,"""
        + _OTHER_PARTS
    ),
}
_RANKED = sql.SQL("""ranked AS MATERIALIZED (
    SELECT {key}, seq, distance, base + session AS score,
        ARRAY[meaning, words, speaker, session, recency, importance, best] AS parts
    FROM (
        SELECT *, CASE WHEN conversation_id IS NULL THEN 0
            ELSE %(session)s::float8 * max(base) OVER (PARTITION BY memory_id, conversation_id) END AS session
        FROM (SELECT *, meaning + words + speaker + recency + importance AS base FROM scored) AS summed
    ) AS d
)""")
_RANKED_HITS = sql.SQL("""
SELECT {columns}, near.distance, near.score, near.parts, near.seq, {seen} AS seen, {distances} AS distances
FROM ranked AS near JOIN {table} AS d ON {same} ORDER BY near.score DESC, near.seq LIMIT %(limit)s
""")
