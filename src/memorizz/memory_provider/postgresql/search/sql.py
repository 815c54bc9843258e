"""The SQL of a search.

Where the distance alone ranks, it is one SELECT that returns the nearest documents; where more makes the score, it is
made of parts (WITH):

    near            the nearest `depth` rows, with their exact distance
    with_words      the best `depth` rows by words
    read            of what matches what ranks it, where all of that is read: it is read once
    candidate       near and with_words together; of a few rows, while they are read
    scored, ranked  the candidates with the parts of their score: formula.py
    best            the first of them, whose documents are read

Every row has a document's columns, then distance, score, the parts of the score, seq, and what the route says of its
answer: `seen`, and `distances` (plan.Answer). Parts that are used twice are MATERIALIZED, and what the planner would
compute again for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from memorizz.memory_provider._cosines import standard
from memorizz.memory_provider._questions import weights
from memorizz.memory_provider._wording import asks_when, time_words
from memorizz.memory_provider.options import PARTS
from memorizz.memory_provider.postgresql import facts
from memorizz.memory_provider.postgresql._steps import Query
from memorizz.memory_provider.postgresql.facts import Store, check_compared, composed_once
from memorizz.memory_provider.postgresql.rows import PIECES, SELECTED
from memorizz.memory_provider.postgresql.search.distances import COUNTED_ALL, distance, distances
from memorizz.memory_provider.postgresql.search.formula import (
    AMONG_READ,
    ASKED,
    ASKED_ONCE,
    CANDIDATE,
    CANDIDATE_READ,
    IDS_OF_NEAR,
    IN_NONE,
    IN_SESSIONS,
    PIECES_OF_SCORE,
    RANK,
    RANKED,
    READ,
    SCORED,
    WITH_WORDS_READ,
    hits,
)
from memorizz.memory_provider.postgresql.search.plan import MAX_SCANNED, MAX_WORDS, Route, Search
from memorizz.memory_provider.postgresql.sql import lookup
from memorizz.memory_provider.postgresql.sql.key import COLUMNS, IS_FOUND, KEY, among, same
from memorizz.memory_provider.postgresql.sql.reads import selected, trusted_sql
from memorizz.memory_provider.postgresql.sql.vectors import nearest_part
from memorizz.memory_provider.postgresql.sql.visible import holding, rows_of

# Where a row of a search has what comes behind the document.
DISTANCE, SCORE, BY_PART, SEQ, SEEN, DISTANCES = range(-6, 0)
# Of a store whose documents have parts, where a vector ranks: which of them is the nearest.
NEAREST_PART = -7


class _Form(NamedTuple):
    """What makes two searches share one statement."""

    route: Route
    meaning: bool
    words: bool
    scored: bool
    fusion: str
    include_embedding: bool
    # Whether the words of every row that matches are read, and not their index: of those that are read anyway.
    reads_words: bool
    # Whether a document's session or its neighbours count.
    in_sessions: bool
    # Whether what has ended is found too.
    ended: bool
    # The column whose index has what SCAN reads, one row behind the other.
    along: str | None

    @property
    def reads_once(self) -> bool:
        """Return whether that also gives the candidates, which are not looked for again then."""
        return self.reads_words and self.route is Route.SCAN


def statement(search: Search, store: Store, route: Route, version: int) -> Query:
    """Return what serves a search by one route, once the settings of that route are made, by facts of a version."""
    if search.vector is not None:
        check_compared(store)
    parameters = _parameters(search, store)
    form = _Form(
        route,
        search.vector is not None,
        search.words is not None,
        search.scored,
        search.ranking.fusion,
        search.options.include_embedding,
        search.words is not None and (route is Route.BITS or (search.led_to and route is Route.SCAN)),
        bool(parameters.get("session") or parameters.get("neighbours")),
        search.options.ended,
        search.along if route is Route.SCAN else None,
    )
    # Few of what the vector index finds are looked at: it filters.
    found = search.condition if route is Route.INDEX else lookup.indexed(store, search.condition)
    statement = _statement(store, form, search.condition.sql, found.sql)
    if _asks_facts(store, form):
        parameters["version"] = version
    # To plan the past anew takes longer than to read it.
    scans_any = route is Route.SCAN and form.along is None and store.scope.as_of is None
    return Query(statement, parameters, custom_plan=scans_any or (form.words and not form.reads_words))


def _asks_facts(store: Store, form: _Form) -> bool:
    """Return whether the statement asks for the version of the facts: no other does, and the weights go by them.

    Citus joins no table of a tenant with one that has no tenants.
    """
    return form.route is Route.SCAN and form.scored and not store.layout.distributed


def _parameters(search: Search, store: Store) -> dict[str, Any]:
    parameters: dict[str, Any] = {**search.condition.parameters, **store.scope.parameters, "limit": search.limit}
    if lookup.serves(store):
        parameters |= lookup.parameters(store, search.condition)
    if search.vector is not None:
        parameters |= {
            "vector": search.vector,
            "depth": search.depth,
            "wide": search.wide,
            "compared": search.compared,
            "sure": search.sure,
        }
    if search.words is not None:
        parameters |= {"question": search.words, "depth": search.depth}
    if search.scored:
        language = store.layout.text_search_config
        stretched, center = standard(store.model.cosines, store.spec.distance)
        ranking = weights(
            search.ranking,
            store.spec,
            meaning=search.vector is not None,
            names_cut=search.names_cut,
            asks_when=asks_when(search.words, language),
            stretched=stretched,
        )
        parameters |= {part: getattr(ranking, part) for part in PARTS}
        parameters |= {"center": center}
        parameters |= {"half_life": ranking.half_life, "names": list(search.names)}
        parameters |= {"time_words": rf"\y(?:{time_words(language)})\y"}
    return parameters


@composed_once
def _statement(store: Store, form: _Form, where: str, indexed: str) -> bytes:
    pieces: dict[str, sql.Composable] = {
        **PIECES_OF_SCORE,
        "table": rows_of(store, form.route is Route.SCAN),
        "columns": _columns(store, form),
        # By name: somebody may have added a column of any name.
        "needed": sql.SQL(", ").join(sql.Identifier("d", name) for name in _needed(store, form)),
        "where": sql.SQL("{} AND {}").format(holding(store, form.ended), trusted_sql(indexed)),
        "matches": sql.SQL("{} AND {}").format(holding(store, form.ended), trusted_sql(where)),
        "key": KEY,
        "same": same("d", "near"),
        "max_scanned": sql.Literal(MAX_SCANNED),
        "no_more": _no_more(form.along),
        "unscored": _UNSCORED,
        **distances(store),
        **hits(store),
    }
    half = store.vector.index == "halfvec"
    pieces["by_index"] = (_BY_HALFVEC_INDEX if half else _BY_INDEX).format(**pieces)
    looked_in = pieces | AMONG_READ if form.reads_words and not form.reads_once else pieces
    pieces["near"] = _near(store, form.route).format(**looked_in, by_bits=_BITS.format(**looked_in))
    if not form.scored:
        flat = _NEAREST if form.route is not Route.INDEX else _NEAREST_BY_HALFVEC if half else _NEAREST_BY_INDEX
        if store.has_parts and form.route is Route.INDEX:
            flat = _NEAREST_OF_PARTS
        return (_SCANNED if form.route is Route.SCAN else flat).format(**pieces).as_bytes(None)
    question = sql.Identifier(store.layout.schema, "memorizz_question")
    pieces["question"] = _QUESTION.format(question=question, max_words=sql.Literal(MAX_WORDS))
    pieces["is_it"], pieces["asked"] = IS_FOUND, ASKED_ONCE if form.reads_words else pieces["question"]
    # Of those that match the words alone, no more are wanted.
    most = sql.SQL("%(depth)s" if where == "TRUE" else "NULL")
    pieces["looked_up"] = lookup.ids(store, pieces["question"], most, sql.Literal(form.ended))
    pieces["rank"] = RANK.format(**pieces) if form.words else sql.SQL("NULL::float8")
    pieces["seen"] = _SEEN_BY_READING if form.reads_once else _SEEN_BY_NEAR if form.meaning else sql.SQL("0::bigint")
    if _asks_facts(store, form):
        pieces["seen"] = _SEEN_BY_FACTS.format(version=facts.version(store.layout), seen=pieces["seen"])
    pieces["in_sessions"] = IN_SESSIONS if form.in_sessions else IN_NONE
    pieces["distances"] = sql.SQL(
        "ARRAY(SELECT distance FROM near_all ORDER BY distance)" if form.route is Route.INDEX else "NULL::float8[]"
    )
    pieces["not_too_many"] = sql.SQL(
        "AND coalesce((SELECT max(seen) FROM near), 0) <= {max_scanned}" if form.route is Route.SCAN else ""
    ).format(**pieces)
    pieces["is_found"] = among(store, _SOURCES[form.meaning, form.words])
    pieces["same_best"] = same("d", "best")
    pieces |= _found(form, pieces)
    parts = [part.format(**pieces) for part in _parts(store, form)]
    return sql.SQL("WITH {} {}").format(sql.SQL(", ").join(parts), _RANKED_HITS.format(**pieces)).as_bytes(None)


def _no_more(along: str | None) -> sql.Composable:
    """Return what ends a read of few rows: it brings one more than are compared, if there are more."""
    limit = sql.SQL("LIMIT {} + 1").format(sql.Literal(MAX_SCANNED))
    return limit if along is None else sql.SQL("ORDER BY {}, d.seq {}").format(sql.Identifier("d", along), limit)


def _found(form: _Form, pieces: Mapping[str, sql.Composable]) -> dict[str, sql.Composable]:
    """Return what is known of a candidate: its distance, and its place by that where the rows are read once."""
    if not form.meaning:
        nothing = {"found_distance": sql.SQL("NULL::float8"), "place": sql.SQL("NULL::bigint")}
        return {**nothing, "compared": sql.SQL(""), "counted": COUNTED_ALL}
    few = "CASE WHEN seen <= {max_scanned} THEN {distance} END" if form.reads_once else "{distance}"
    place = sql.SQL("row_number() OVER (ORDER BY distance, seq)")
    return {"found_distance": sql.SQL(few).format(**pieces), "place": place}


def _near(store: Store, route: Route) -> sql.SQL:
    """Return what gives the nearest documents by a route."""
    if route is Route.INDEX and store.has_parts:
        return _NEAR_BY_PARTS if store.spec.fields else _NEAR_BY_ROWS_AND_PARTS
    return _BITS_AND_PIECES if route is Route.BITS and store.pieces else _NEAR[route]


def _parts(store: Store, form: _Form) -> list[sql.SQL]:
    scored = [SCORED[form.fusion], RANKED]
    if form.reads_once:
        return [ASKED, CANDIDATE_READ, *scored]
    if form.reads_words:
        return [ASKED, READ, _NEAR_PART, WITH_WORDS_READ, CANDIDATE, *scored]
    near = [_NEAR_OF_INDEX, _NEAR_BY_INDEX] if form.route is Route.INDEX else [_NEAR_PART]
    with_words = _WITH_WORDS_LOOKED_UP if lookup.serves(store) else _WITH_WORDS
    return [*(near if form.meaning else []), *([with_words] if form.words else []), CANDIDATE, *scored]


def _needed(store: Store, form: _Form) -> tuple[str, ...]:
    # The vectors of a document's parts are found by its key.
    keyed = store.has_parts or form.include_embedding
    single = not store.spec.fields
    return (
        *SELECTED,
        "seq",
        *(name for name in COLUMNS if keyed and name not in SELECTED),
        *([PIECES, store.vector_column] if single else []),
    )


def _columns(store: Store, form: _Form) -> sql.Composed:
    columns = selected(store, form.include_embedding)
    if not (store.has_parts and form.meaning):
        return columns
    return sql.SQL("{}, {} AS part").format(columns, nearest_part(store, distance(store, "p")))


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
    SELECT *, {counted} AS seen
    FROM (SELECT {needed} FROM {table} AS d WHERE {where} AND {embedded} {no_more}) AS d
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
_HITS: LiteralString = """
WITH near AS ({near}) SELECT {columns}, near.distance, {unscored}, near.seq, near.seen, NULL::float8[] AS distances
FROM near JOIN {documents} AS d ON {same} {among_near} ORDER BY near.distance, near.seq"""
_NEAREST, _NEAREST_OF_PARTS = sql.SQL(_HITS + " LIMIT %(limit)s"), sql.SQL(_HITS)
# The index gives as many parts as it looks at; a document counts once, by the nearest of them.
_NEAR_BY_PARTS = sql.SQL("""
    SELECT {key}, d.seq, min(p.distance) AS distance, 0::bigint AS seen
    FROM (
        SELECT {part_key}, {part_distance} AS distance FROM {parts} AS p WHERE {of_parts} ORDER BY {part_ordered}
        LIMIT {looked_at}
    ) AS p JOIN {table} AS d ON {same_document} WHERE {where}
    GROUP BY {key}, d.seq ORDER BY distance, d.seq LIMIT %(wide)s
""")

# Of texts and of pieces as many as the index looks at. A document that is not among them is farther than what either
# ends with; than what the texts end with, where there are no more pieces.
_NEAR_BY_ROWS_AND_PARTS = sql.SQL("""
    WITH of_rows AS MATERIALIZED (
        SELECT {key}, NULL::uuid AS digest, {row_distance} AS distance FROM {table} AS d WHERE {of_rows}
        ORDER BY {row_ordered} LIMIT {looked_at}
    ), of_parts AS MATERIALIZED (
        SELECT {part_key}, p.digest, {part_distance} AS distance FROM {parts} AS p WHERE {of_parts}
        ORDER BY {part_ordered} LIMIT {looked_at}
    )
    SELECT {key}, d.seq, min(p.distance) AS distance, 0::bigint AS seen
    FROM (SELECT * FROM of_rows UNION ALL SELECT * FROM of_parts) AS p JOIN {table} AS d ON {same_document}
    WHERE {where} AND (p.digest IS NULL OR p.digest = d.pieces) AND p.distance <= (
        SELECT least((SELECT coalesce(max(distance), '-infinity') FROM of_rows), CASE WHEN count(*) < (
            SELECT count(*) FROM (
                SELECT FROM {parts} AS p WHERE {of_parts} AND p.{embedding} IS NOT NULL
                LIMIT (SELECT count(*) + 1 FROM of_parts)
            ) AS p
        ) THEN coalesce(max(distance), '-infinity') ELSE 'infinity' END) FROM of_parts
    )
    GROUP BY {key}, d.seq ORDER BY distance, d.seq LIMIT %(wide)s
""")
# The bits are those of one vector; a document of several is compared.
_BITS = sql.SQL("""
    SELECT {key}, seq, distance, max(place) FILTER (WHERE nth <= %(sure)s) OVER () AS seen
    FROM (
        SELECT *, row_number() OVER (ORDER BY distance, seq) AS nth
        FROM (
            SELECT {key}, seq, {row_distance} AS distance, count(*) OVER (ORDER BY apart) AS place
            FROM (
                SELECT {key}, seq{compared}, {bits_distance} AS apart
                FROM {table} AS d WHERE {where} AND {embedded}{short}
                ORDER BY apart, seq LIMIT %(compared)s
            ) AS d
        ) AS d ORDER BY distance, seq LIMIT greatest(%(depth)s, %(sure)s)
    ) AS d ORDER BY distance, seq LIMIT %(depth)s
""")
_BITS_AND_PIECES = sql.SQL("""
    SELECT {key}, seq, distance, max(seen) OVER () AS seen
    FROM (
        ({by_bits}) UNION ALL
        SELECT {key}, seq, {distance}, 0 FROM {table} AS d WHERE {where} AND {embedded} AND d.pieces IS NOT NULL
    ) AS d ORDER BY distance, seq LIMIT %(depth)s
""")

_NEAR: Mapping[Route, sql.SQL] = {
    Route.SCAN: sql.SQL("""
    SELECT {key}, seq, CASE WHEN seen <= {max_scanned} THEN {distance} END AS distance, seen
    FROM (
        SELECT *, {counted} AS seen
        FROM (SELECT {key}, seq{compared} FROM {table} AS d WHERE {where} AND {embedded} {no_more}) AS d
    ) AS d ORDER BY distance, seq LIMIT %(depth)s
"""),
    Route.INDEX: sql.SQL("""
    SELECT {key}, seq, {distance} AS distance, 0::bigint AS seen
    FROM {table} AS d WHERE {where} AND {embedded} {by_index}
"""),
    Route.BITS: _BITS,
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
# A constant to the planner, where it plans for the value: so it knows how many documents have the words.
_QUESTION = sql.SQL("{question}(%(question)s, {max_words})")
_WITH_WORDS = sql.SQL("""with_words AS MATERIALIZED (
    SELECT {key} FROM {table} AS d WHERE {where} AND d.words @@ {asked} {not_too_many}
    ORDER BY {rank} DESC, d.seq LIMIT %(depth)s
)""")
# Behind the wall. They come in their order, so that no more are read than match.
_WITH_WORDS_LOOKED_UP = sql.SQL("""with_words AS MATERIALIZED (
    SELECT {key} FROM {looked_up} WITH ORDINALITY AS found (id, rank) JOIN {table} AS d ON {is_it}
    WHERE {matches} {not_too_many} ORDER BY found.rank LIMIT %(depth)s
)""")
_SOURCES: Mapping[tuple[bool, bool], sql.SQL] = {
    (True, True): sql.SQL("ARRAY(SELECT id FROM near UNION SELECT id FROM with_words)"),
    (True, False): IDS_OF_NEAR,
    (False, True): sql.SQL("ARRAY(SELECT id FROM with_words)"),
}
# How many match, or more than are read; or that a text is long.
_SEEN_BY_READING = sql.SQL("best.seen")
_SEEN_BY_NEAR = sql.SQL("(SELECT max(seen) FROM near)")
_SEEN_BY_FACTS = sql.SQL("CASE WHEN {version} = %(version)s::bigint THEN {seen} ELSE -1 END")
_RANKED_HITS = sql.SQL("""
SELECT {columns}, best.distance, best.score, {parts_of_score} AS parts, best.seq, {seen} AS seen,
    {distances} AS distances
FROM best JOIN {documents} AS d ON {same_best} {among_best} ORDER BY best.score DESC, best.seq
""")
