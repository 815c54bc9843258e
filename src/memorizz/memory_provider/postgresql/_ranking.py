"""The SQL of a search.

Where the distance alone ranks, it is one SELECT from the nearest rows; where more makes the score, from parts (WITH):

    near            the nearest `depth` rows, with their exact distance and what `accepted` asks for (seen)
    said            the best `depth` rows by words
    candidate       near and said together
    scored, ranked  the candidates with the parts of their score

Every row brings a document's columns, then distance, score, the parts of the score, its place and `seen`. Parts are
MATERIALIZED, or the planner computes them again for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, LiteralString, NamedTuple

from psycopg import sql

from memorizz.memory_provider._questions import weights
from memorizz.memory_provider.postgresql._queries import LIVE, cached_by_shape, raw, selected, touched
from memorizz.memory_provider.postgresql._search import BY_BITS, BY_BITS_OF_SOME, MOST, MOST_WORDS, Search, Way
from memorizz.memory_provider.postgresql._steps import Query, Row
from memorizz.memory_provider.postgresql._stores import Store

# Where a row of a search has what comes behind the document.
DISTANCE, SCORE, BY_PART, SEQ, SEEN = range(-5, 0)

PARTS = ("meaning", "words", "speaker", "session", "recency", "importance")


class _Form(NamedTuple):
    """What makes two searches share one statement."""

    way: Way
    bits: bool
    meaning: bool
    words: bool
    scored: bool
    fusion: str
    include_embedding: bool
    touch: bool


def statement(search: Search, store: Store, way: Way) -> Query:
    """Return what serves a search in one way, once the settings of that way are made."""
    options = search.options
    form = _Form(
        way,
        store.name in store.schema.bits,
        search.vector is not None,
        search.words is not None,
        search.scored,
        search.ranking.fusion,
        options.include_embedding,
        options.touch,
    )
    # What is touched is not to be counted twice.
    return Query(
        _statement(store, form, search.condition.sql),
        _parameters(search, store, way),
        repeatable=not options.touch,
    )


def hits(store: Store, search: Search, rows: list[Row], explain: bool) -> list[dict[str, Any]]:
    """Return the documents of a search, with their score and, where a vector ranked, their distance.

    What scores too little comes from the server all the same: a way that found it has found enough.
    """
    read = store.document_with_embedding if search.options.include_embedding else store.document
    found = [_hit(read(row), row, explain) for row in rows]
    least = search.options.min_score
    return found if least is None else [hit for hit in found if hit["_score"] >= least]


def _hit(document: dict[str, Any], row: Row, explain: bool) -> dict[str, Any]:
    distance, score, parts = row[DISTANCE], row[SCORE], row[BY_PART]
    if distance is not None:
        document["_distance"] = distance
        document.setdefault("distance", distance)
        if score is None:
            score = 1.0 - distance
            parts = (score,)
    document["_score"] = score
    document.setdefault("score", score)
    if explain:
        document["_explanation"] = {part: value for part, value in zip(PARTS, parts or (), strict=False) if value}
    return document


def merged(search: Search, found: Sequence[tuple[Store, list[Row]]]) -> list[dict[str, Any]]:
    """Return the best documents of several stores.

    A store's text scores are shares of its own best; to be compared they become shares of the best of all.
    """
    most = max((row[BY_PART][-1] or 0.0 for _, rows in found for row in rows if row[BY_PART]), default=0.0)
    documents: list[dict[str, Any]] = []
    for store, rows in found:
        for document, row in zip(hits(store, search, rows, False), rows, strict=True):
            if row[BY_PART] and most:
                score = document["_score"] - row[BY_PART][1] * (1 - (row[BY_PART][-1] or 0.0) / most)
                document["_score"] = score
                if document["score"] == row[SCORE]:
                    document["score"] = score
            documents.append(document)
    return sorted(documents, key=lambda document: document["_score"], reverse=True)[: search.limit]


def seen(rows: list[Row]) -> int:
    """Return what `accepted` asks for; where the rows do not say it they are what was seen."""
    told = rows[0][SEEN] if rows else 0
    return len(rows) if told is None else told


def best(search: Search, way: Way, rows: list[Row]) -> list[Row]:
    """Return the hits of what a way brought: the index brings some more, and those of one distance in any order."""
    if way is Way.INDEX and not search.scored:
        rows.sort(key=itemgetter(DISTANCE, SEQ))
        del rows[search.limit :]
    return rows


def _parameters(search: Search, store: Store, way: Way) -> dict[str, Any]:
    parameters: dict[str, Any] = {**search.condition.parameters, "limit": search.limit}
    if search.options.touch:
        parameters["min_score"] = search.options.min_score
    if search.vector is not None:
        compared = BY_BITS_OF_SOME if way is Way.SOME else store.schema.bits.get(store.name, BY_BITS)
        parameters |= {
            "vector": search.vector,
            "depth": search.depth,
            "wide": search.wide,
            "by_bits": search.by_bits(compared),
        }
        if way is Way.SOME:
            parameters["most"] = MOST
    if search.words is not None:
        parameters |= {"question": search.words, "most_words": MOST_WORDS, "depth": search.depth}
        parameters["config"] = store.schema.text_search_config
    if search.scored:
        ranking = weights(
            search.ranking, store.memory_type, meaning=search.vector is not None, names_cut=search.names_cut
        )
        parameters |= {part: getattr(ranking, part) for part in PARTS}
        parameters |= {"half_life": ranking.half_life, "names": list(search.names)}
    return parameters


@cached_by_shape
def _statement(store: Store, form: _Form, where: str) -> bytes:
    pieces: dict[str, sql.Composable] = {
        "table": store.table,
        "columns": selected(store, form.include_embedding),
        "where": sql.SQL("{} AND {}").format(LIVE, raw(where)),
        "unscored": _UNSCORED,
        **_distances(store),
    }
    # The index brings more than the hits, on a halfvec index twice as many; and only of the hits is access counted.
    cut = form.way is Way.INDEX and (form.touch or store.index == "halfvec")
    whole = form.way in _WHOLE and not (form.scored or cut)
    pieces["by_index"] = sql.SQL(_BY_INDEX_IN_HALFVEC if store.index == "halfvec" else _BY_INDEX).format(**pieces)
    pieces["the_best_by_bits"] = sql.SQL(_THE_BEST_BY_BITS if form.bits else "").format(**pieces)
    pieces["rank"] = _RANK if form.words else sql.SQL("NULL::float8")
    pieces["found_distance"] = pieces["distance"] if form.meaning else sql.SQL("NULL::float8")
    pieces["not_too_many"] = sql.SQL(_NOT_TOO_MANY if form.way is Way.SOME else "")
    seen = _SEEN if form.scored else "near.seen"
    pieces["seen"] = sql.SQL(seen if form.meaning and form.way in _TRUSTED else "NULL::bigint")
    pieces["near"] = sql.SQL(_NEAR.get(form.way, "")).format(**pieces)
    parts = [raw(text).format(**pieces) for text in _parts(form)]
    select = (_RANKED_HITS if form.scored else _WHOLE[form.way] if whole else _NEAREST_HITS).format(**pieces)
    if form.touch:
        parts.append(sql.SQL("hits AS MATERIALIZED ({})").format(select))
        parts.append(touched(store, _TOUCHED + (_TRUSTED.get(form.way, "") if form.meaning else "")))
        # A materialized part is read in the order in which it was made.
        select = sql.SQL("SELECT * FROM hits")
    if not parts:
        return select.as_bytes(None)
    return sql.SQL("WITH {} {}").format(sql.SQL(", ").join(parts), select).as_bytes(None)


def _parts(form: _Form) -> list[str]:
    """Return the parts of a statement, in order."""
    if not form.scored:
        return []
    return [
        *([_ASKED] if form.words else []),
        *(["near AS MATERIALIZED ({near})"] if form.meaning else []),
        *([_SAID] if form.words else []),
        _CANDIDATE.replace("{sources}", _SOURCES[form.meaning, form.words]),
        _SCORED[form.fusion],
        _RANKED,
    ]


def _distances(store: Store) -> Mapping[str, sql.Composable]:
    """Return the column of the vectors and the distances: cosine, by bits, and as the halfvec index has it."""
    schema, column = store.schema, sql.Identifier("d", store.schema.vector_column)
    space, bit = schema.vector_schema, sql.SQL("bit({})").format(sql.Literal(schema.dimensions))
    quantize = sql.Identifier(space, "binary_quantize")
    nearer = sql.SQL("OPERATOR({}.<=>)").format(sql.Identifier(space))
    vector = sql.SQL("%(vector)s::{}").format(sql.Identifier(space, "vector"))
    half = sql.SQL("{}({})").format(sql.Identifier(space, "halfvec"), sql.Literal(schema.dimensions))
    normalize = sql.Identifier(space, "l2_normalize")
    return {
        "column": column,
        "bits": sql.Identifier(schema.bits_column),
        "embedded": sql.SQL("{} IS NOT NULL").format(column),
        "distance": sql.SQL("({} {} {})").format(column, nearer, vector),
        # A row that was written by other hands may lack its bits.
        "bits_distance": sql.SQL(
            "(coalesce(d.{bits}, {quantize}({column})::{bit}) OPERATOR({space}.<~>) {quantize}({vector})::{bit})"
        ).format(
            bits=sql.Identifier(schema.bits_column),
            column=column,
            quantize=quantize,
            bit=bit,
            space=sql.Identifier(space),
            vector=vector,
        ),
        # Also where the plan is kept, the vector of the question is computed once.
        "half_distance": sql.SQL("({n}({column})::{half} {nearer} (SELECT {n}({vector})::{half}))").format(
            n=normalize, column=column, half=half, nearer=nearer, vector=vector
        ),
    }


# Words are ORed: a question never holds all the words of its answer. Of a page that is asked, those that it says most
# often are taken, of equals the first.
_ASKED = """asked AS MATERIALIZED (
    SELECT string_agg(array_to_tsvector(ARRAY[lexeme])::text, ' | ')::tsquery AS words
    FROM (
        SELECT lexeme FROM unnest(to_tsvector(%(config)s::regconfig, %(question)s))
        ORDER BY cardinality(positions) DESC, positions[1] LIMIT %(most_words)s
    ) AS said
)"""
# Without regard to length: normalising by it buries the short turns of a conversation.
_RANK = sql.SQL("ts_rank(d.words, (SELECT words FROM asked), 0)")

_BY_INDEX: LiteralString = "ORDER BY {distance} LIMIT %(wide)s"
# The index ranks in half precision; twice as many are taken from it and compared exactly.
_BY_INDEX_IN_HALFVEC: LiteralString = "ORDER BY {half_distance} LIMIT %(wide)s * 2"
_NEAR: Mapping[Way, LiteralString] = {
    # Nothing more is read once it is seen that there are too many.
    Way.SOME: """
    SELECT d.id, d.seq, CASE WHEN seen <= %(most)s THEN {distance} END AS distance, seen FROM (
        SELECT *, count(*) OVER () AS seen FROM (
            SELECT d.id, d.seq, {column}, d.{bits} FROM {table} AS d WHERE {where} AND {embedded} LIMIT %(most)s + 1
        ) AS d {the_best_by_bits}
    ) AS d ORDER BY distance, d.seq LIMIT %(depth)s
""",
    Way.INDEX: """
    SELECT d.id, d.seq, d.distance, count(*) OVER () AS seen FROM (
        SELECT d.id, d.seq, {distance} AS distance FROM {table} AS d WHERE {where} AND {embedded} {by_index}
    ) AS d ORDER BY distance, d.seq LIMIT %(depth)s
""",
    Way.BITS: """
    SELECT d.id, d.seq, {distance} AS distance FROM (
        SELECT d.id, d.seq, {column} FROM {table} AS d WHERE {where} AND {embedded}
        ORDER BY {bits_distance} LIMIT %(by_bits)s
    ) AS d ORDER BY distance, d.seq LIMIT %(depth)s
""",
    # OFFSET keeps the planner from the index, and each distance is computed once.
    Way.EXACT: """
    SELECT * FROM (
        SELECT d.id, d.seq, {distance} AS distance FROM {table} AS d WHERE {where} AND {embedded} OFFSET 0
    ) AS d ORDER BY distance, seq LIMIT %(depth)s
""",
}
# Reading the vectors is what takes the time, and the bits say which of them can be left.
_THE_BEST_BY_BITS: LiteralString = (
    "ORDER BY CASE WHEN count(*) OVER () <= %(most)s THEN {bits_distance} END LIMIT %(by_bits)s"
)
_SAID = """said AS MATERIALIZED (
    SELECT d.id FROM {table} AS d WHERE {where} AND d.words @@ (SELECT words FROM asked) {not_too_many}
    ORDER BY {rank} DESC, d.seq LIMIT %(depth)s
)"""
_CANDIDATE = """candidate AS MATERIALIZED (
    SELECT d.id, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score,
        coalesce(d."timestamp", d.created_at) AS moment, {found_distance} AS distance, {rank}::float8 AS rank
    FROM {table} AS d WHERE d.id = ANY (ARRAY({sources}))
)"""
_SOURCES = {
    (True, True): "SELECT id FROM near UNION SELECT id FROM said",
    (True, False): "SELECT id FROM near",
    (False, True): "SELECT id FROM said",
}
# The exponent is bounded, for PostgreSQL takes an underflow for an error.
_OTHER_PARTS = """
        CASE WHEN regexp_split_to_array(lower(role), '\\W+') && %(names)s::text[]
            THEN %(speaker)s::float8 ELSE 0 END AS speaker,
        %(recency)s::float8 * exp(-least(
            ln(2) * greatest(extract(epoch FROM now() - moment), 0) / 86400 / %(half_life)s::float8, 500
        )) AS recency,
        %(importance)s::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance
    FROM candidate
)"""
_SCORED = {
    "score": """scored AS MATERIALIZED (
    SELECT id, seq, memory_id, conversation_id, distance, max(rank) OVER () AS best,
        %(meaning)s::float8 * coalesce(1 - distance, 0) AS meaning,
        %(words)s::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,"""
    + _OTHER_PARTS,
    "rrf": """scored AS MATERIALIZED (
    SELECT id, seq, memory_id, conversation_id, distance, NULL::float8 AS best,
        CASE WHEN distance IS NULL THEN 0
            ELSE %(meaning)s::float8 / (10 + row_number() OVER (ORDER BY distance, seq)) END AS meaning,
        CASE WHEN coalesce(rank, 0) = 0 THEN 0
            ELSE %(words)s::float8 / (10 + row_number() OVER (ORDER BY coalesce(rank, 0) DESC, seq)) END AS words,"""
    + _OTHER_PARTS,
}
_RANKED = """ranked AS MATERIALIZED (
    SELECT id, seq, distance, base + session AS score,
        ARRAY[meaning, words, speaker, session, recency, importance, best] AS parts
    FROM (
        SELECT *, CASE WHEN conversation_id IS NULL THEN 0
            ELSE %(session)s::float8 * max(base) OVER (PARTITION BY memory_id, conversation_id) END AS session
        FROM (SELECT *, meaning + words + speaker + recency + importance AS base FROM scored) AS summed
    ) AS each
)"""

# How many rows the way has seen, and what `accepted` says of it, of the part `hits`.
_SEEN: LiteralString = "coalesce((SELECT max(seen) FROM near), 0)"
_TRUSTED: Mapping[Way, LiteralString] = {
    Way.SOME: " AND hits.seen <= %(most)s",
    Way.INDEX: " AND hits.seen >= %(wide)s",
}
_TOUCHED: LiteralString = (
    "AND (%(min_score)s::float8 IS NULL OR coalesce(hits.score, 1 - hits.distance) >= %(min_score)s)"
)
_NOT_TOO_MANY: LiteralString = f"AND {_SEEN} <= %(most)s"
# To plan a join with the row's own table, or to count in the server, takes longer than comparing some ten rows does.
_WHOLE: Mapping[Way, sql.SQL] = {
    # Adding 0 keeps the planner from the vector index.
    Way.FEW: sql.SQL(
        "SELECT {columns}, {distance} + 0 AS distance, {unscored}, d.seq, NULL::bigint AS seen FROM {table} AS d "
        "WHERE {where} AND {embedded} ORDER BY distance, d.seq LIMIT %(limit)s"
    ),
    Way.INDEX: sql.SQL(
        "SELECT {columns}, {distance} AS distance, {unscored}, d.seq, NULL::bigint AS seen FROM {table} AS d "
        "WHERE {where} AND {embedded} {by_index}"
    ),
}
_UNSCORED = sql.SQL("NULL::float8 AS score, NULL::float8[] AS parts")
_NEAREST_HITS = sql.SQL(
    "SELECT {columns}, near.distance, {unscored}, near.seq, {seen} AS seen "
    "FROM ({near}) AS near JOIN {table} AS d USING (id) ORDER BY near.distance, near.seq LIMIT %(limit)s"
)
_RANKED_HITS = sql.SQL(
    "SELECT {columns}, hit.distance, hit.score, hit.parts, hit.seq, {seen} AS seen "
    "FROM ranked AS hit JOIN {table} AS d USING (id) ORDER BY hit.score DESC, hit.seq LIMIT %(limit)s"
)
