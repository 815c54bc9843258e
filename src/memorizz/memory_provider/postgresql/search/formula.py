"""The score of a search in SQL: of each candidate the parts, by their weights, and their sum.

docs/search.md has the formula for a person to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

from psycopg import sql

from memorizz.memory_provider._wording import BEGINNING, END, GREEK_QUESTION, QUESTION
from memorizz.memory_provider.options import PARTS
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.sql.key import KEY, among
from memorizz.memory_provider.postgresql.sql.visible import rows_of

# What the templates say of the row `d`, and of the `best`.
PIECES_OF_SCORE: Mapping[str, sql.Composable] = {
    "scored_by": sql.SQL(
        "{key}, d.seq, d.memory_id, d.conversation_id, d.role, d.importance_score, "
        'coalesce(d."timestamp", d.created_at) AS moment'
    ).format(key=KEY),
    # What weighs nothing is not read: a content may be long.
    "asks": sql.SQL(
        "CASE WHEN %(asking)s::float8 > 0 "
        "THEN right(d.content, {end}) ~ {question} "
        "OR strpos(right(d.content, {end}), ';') > 0 AND right(d.content, {end}) ~ {greek} END"
    ).format(end=sql.Literal(END), question=sql.Literal(QUESTION), greek=sql.Literal(GREEK_QUESTION)),
    "says_when": sql.SQL(
        "CASE WHEN %(time)s::float8 > 0 THEN left(d.content, {beginning}) ~* %(time_words)s END"
    ).format(beginning=sql.Literal(BEGINNING)),
    "parts_of_score": sql.SQL("ARRAY[{}]").format(
        sql.SQL(", ").join(sql.Identifier("best", name) for name in (*PARTS, "best_rank"))
    ),
}
# Without regard to length: normalising by it buries the short turns of a conversation.
RANK = sql.SQL("ts_rank(d.words, {asked}, 0)")
# Of a memory the planner would intersect the rows with those of the whole store that have the words, which the index
# brings in a time that grows with the store. Read instead, nothing depends on how many have them.
ASKED = sql.SQL("asked AS MATERIALIZED (SELECT {question} AS words)")
ASKED_ONCE = sql.SQL("(SELECT words FROM asked)")
IDS_OF_NEAR = sql.SQL("ARRAY(SELECT id FROM near)")
_IDS_OF_BEST = sql.SQL("ARRAY(SELECT id FROM best)")


def hits(store: Store) -> dict[str, sql.Composable]:
    """Return where the documents of hits are read, which are few; of what was at a time, by their ids.

    A join alone would look for each in all of it.
    """
    by_ids = sql.SQL("" if store.scope.as_of is None else "AND {}")
    return {
        "documents": rows_of(store, few=True),
        "among_near": by_ids.format(among(store, IDS_OF_NEAR)),
        "among_best": by_ids.format(among(store, _IDS_OF_BEST)),
    }


# The documents themselves are read of the best alone: to carry those of all candidates along takes longer.
CANDIDATE = sql.SQL("""candidate AS MATERIALIZED (
    SELECT {scored_by}, {asks} AS asks, {says_when} AS says_when,
        {found_distance} AS distance, {rank}::float8 AS rank
    FROM {documents} AS d WHERE {is_found}
)""")
# The rows of a memory, read once: the nearest of them, and the best by words. Where there are too many no distance is
# computed, and one is a candidate all the same, which says so. A row with none of the words ranks 0.
CANDIDATE_READ = sql.SQL("""candidate AS MATERIALIZED (
    SELECT *, {asks} AS asks, {says_when} AS says_when FROM (
        SELECT *, {place} AS by_distance, row_number() OVER (ORDER BY rank DESC NULLS LAST, seq) AS by_rank FROM (
            SELECT {key}, seq, memory_id, conversation_id, role, importance_score, moment, content, rank, seen,
                {found_distance} AS distance
            FROM (
                SELECT *, {counted} AS seen FROM (
                    SELECT {scored_by}{compared}, nullif({rank}, 0)::float8 AS rank,
                        CASE WHEN %(asking)s::float8 > 0 OR %(time)s::float8 > 0 THEN d.content END AS content
                    FROM {table} AS d WHERE {where} {no_more}
                ) AS d
            ) AS d
        ) AS d
    ) AS d WHERE distance IS NOT NULL AND by_distance <= %(depth)s OR rank IS NOT NULL AND by_rank <= %(depth)s
        OR seen > {max_scanned} AND by_rank = 1
)""")
# Where all rows that match are read for their bits, they are read for their words too, and once.
READ = sql.SQL("""read AS MATERIALIZED (
    SELECT {key}, d.seq{compared}, {bits_distance} AS apart, nullif({rank}, 0) AS rank
    FROM {table} AS d WHERE {where}
)""")
AMONG_READ: dict[str, sql.Composable] = {
    "table": sql.SQL("read"),
    "where": sql.SQL("TRUE"),
    "bits_distance": sql.SQL("d.apart"),
}
WITH_WORDS_READ = sql.SQL("""with_words AS MATERIALIZED (
    SELECT {key} FROM read AS d WHERE d.rank IS NOT NULL ORDER BY d.rank DESC, d.seq LIMIT %(depth)s
)""")
# The exponent is bounded, for PostgreSQL takes an underflow for an error.
_OTHER_PARTS: LiteralString = """
        CASE WHEN %(speaker)s::float8 <> 0 AND regexp_split_to_array(lower(role), '[^[:alnum:]_]+') && %(names)s::text[]
            THEN %(speaker)s::float8 ELSE 0 END AS speaker,
        CASE WHEN %(recency)s::float8 <> 0 THEN %(recency)s::float8 * exp(-least(
            ln(2) * greatest(extract(epoch FROM now()) - extract(epoch FROM moment), 0) / 86400
                / %(half_life)s::float8, 500
        )) ELSE 0 END AS recency,
        %(importance)s::float8 * greatest(least(coalesce(importance_score, 0), 1e6), -1e6) AS importance,
        CASE WHEN says_when THEN %(time)s::float8 ELSE 0 END AS time,
        CASE WHEN asks THEN -%(asking)s::float8 ELSE 0 END AS asking
    FROM candidate AS d
)"""
SCORED: Mapping[str, sql.SQL] = {
    "score": sql.SQL(
        """scored AS (
    SELECT d.*, max(rank) OVER () AS best_rank,
        %(meaning)s::float8 * coalesce({similarity} - %(center)s::float8, 0) AS meaning,
        %(words)s::float8 * coalesce(rank / nullif(max(rank) OVER (), 0), 0) AS words,"""
        + _OTHER_PARTS
    ),
    "rrf": sql.SQL(
        """scored AS (
    SELECT d.*, NULL::float8 AS best_rank,
        CASE WHEN distance IS NULL THEN 0
            ELSE %(meaning)s::float8 / (10 + row_number() OVER (ORDER BY distance, seq)) END AS meaning,
        CASE WHEN coalesce(rank, 0) = 0 THEN 0
            ELSE %(words)s::float8 / (10 + row_number() OVER (ORDER BY coalesce(rank, 0) DESC, seq)) END AS words,"""
        + _OTHER_PARTS
    ),
}
IN_SESSIONS = sql.SQL("""CASE WHEN conversation_id IS NULL THEN 0
            ELSE %(session)s::float8 * max(base) OVER (PARTITION BY memory_id, conversation_id) END AS session,
            CASE WHEN conversation_id IS NULL THEN 0 ELSE %(neighbours)s::float8 * coalesce(greatest(
                lag(base) OVER (PARTITION BY memory_id, conversation_id ORDER BY moment, seq),
                lead(base) OVER (PARTITION BY memory_id, conversation_id ORDER BY moment, seq)
            ), 0) END AS neighbours""")
IN_NONE = sql.SQL("0::float8 AS session, 0::float8 AS neighbours")
RANKED = sql.SQL("""ranked AS (
    SELECT d.*, base + session + neighbours + time + asking AS score
    FROM (
        SELECT *, {in_sessions}
        FROM (SELECT *, meaning + words + speaker + recency + importance AS base FROM scored) AS summed
    ) AS d
), best AS MATERIALIZED (SELECT * FROM ranked ORDER BY score DESC, seq LIMIT %(limit)s)""")
