"""How far a row is from the question, in SQL: exact, by bits, and as an index in half precision has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString

from psycopg import sql

from memorizz.memory_provider.options import MAX_EF_SEARCH
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.sql.key import in_partition, of, same
from memorizz.memory_provider.postgresql.sql.vectors import distance_of_long, is_embedded, least_distance

# pgvector's operators; and the score of a distance, as StoreSpec.score has it.
OPERATORS: Mapping[str, LiteralString] = {"cosine": "<=>", "l2": "<->", "inner_product": "<#>"}
_SIMILARITY: Mapping[str, LiteralString] = {
    "cosine": "1 - {distance}",
    "l2": "1 / (1 + {distance})",
    "inner_product": "-({distance})",
}
# Whoever reads few documents asks for no version of the facts, and may not know yet that some text is long.
COUNTED_ALL = sql.SQL("count(*) OVER ()")
_COUNTED = sql.SQL("CASE WHEN count(d.pieces) OVER () > 0 THEN -1 ELSE count(*) OVER () END")


def distance(store: Store, of: str) -> sql.Composed:
    """Return the distance of a row's vector from the query's."""
    space = store.layout.vector_schema
    return sql.SQL("({} OPERATOR({}.{}) %(vector)s::{})").format(
        sql.Identifier(of, store.vector_column),
        sql.Identifier(space),
        sql.SQL(OPERATORS[store.spec.distance]),
        store.vector_type,
    )


def distances(store: Store) -> dict[str, sql.Composable]:
    """Return the column of the vectors and its distances from the query's: exact, by bits, and of a halfvec index."""
    space = store.layout.vector_schema
    column = sql.Identifier("d", store.vector_column)
    vector = sql.SQL("%(vector)s::{}").format(store.vector_type)
    bit = sql.SQL("bit({})").format(sql.Literal(store.model.dimensions))
    of_row, of_part = distance(store, "d"), distance(store, "p")
    half = store.vector.index == "halfvec"
    return {
        "compared": sql.SQL("" if store.spec.fields else ", {}, d.pieces").format(column),
        "embedded": is_embedded(store),
        "distance": least_distance(store, of_part)
        if store.spec.fields
        else distance_of_long(store, of_row, of_part)
        if store.pieces
        else of_row,
        "row_distance": of_row,
        "half_distance": _half_distance(store, "d"),
        "row_ordered": _half_distance(store, "d") if half else of_row,
        "part_distance": of_part,
        "part_ordered": _half_distance(store, "p") if half else of_part,
        "looked_at": sql.Literal(MAX_EF_SEARCH),
        "parts": store.parts,
        "embedding": store.embedding,
        "same_document": same("p", "d"),
        "part_key": of("p"),
        "of_rows": in_partition(store, "d"),
        "of_parts": in_partition(store, "p"),
        "short": sql.SQL(" AND d.pieces IS NULL" if store.pieces else ""),
        "counted": COUNTED_ALL if store.has_parts else _COUNTED,
        "similarity": sql.SQL(_SIMILARITY[store.spec.distance]).format(distance=sql.SQL("distance")),
        # A row that was written by other hands may lack its bits.
        "bits_distance": sql.SQL(
            "(coalesce(d.{bits}, {quantize}({column})::{bit}) OPERATOR({space}.<~>) {quantize}({vector})::{bit})"
        ).format(
            bits=sql.Identifier(store.bits_column),
            column=column,
            quantize=sql.Identifier(space, "binary_quantize"),
            bit=bit,
            space=sql.Identifier(space),
            vector=vector,
        ),
    }


def _half_distance(store: Store, of: str) -> sql.Composed:
    """Return the distance of a row's vector as the index in half precision has it."""
    space = store.layout.vector_schema
    # Also under a generic plan, the vector of the question is computed once.
    return sql.SQL("({n}({column})::{half} {operator} (SELECT {n}({vector})::{half}))").format(
        n=sql.Identifier(space, "l2_normalize"),
        column=sql.Identifier(of, store.vector_column),
        half=sql.SQL("{}({})").format(sql.Identifier(space, "halfvec"), sql.Literal(store.model.dimensions)),
        operator=sql.SQL("OPERATOR({}.{})").format(sql.Identifier(space), sql.SQL(OPERATORS[store.spec.distance])),
        vector=sql.SQL("%(vector)s::{}").format(store.vector_type),
    )
