"""Where the vectors of a document are: in a column, in rows of its parts, or in both; and when they stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg import sql

from memorizz.memory_provider._documents import CONTENT
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.sql.key import same, same_of_all
from memorizz.memory_provider.postgresql.sql.past import parts_of

# Of the row `d`; `p` is one of its parts.
_PARTS = sql.SQL("FROM {parts} AS p WHERE {same} AND p.{embedding} IS NOT NULL{of_today}")


def _of_parts(store: Store, of_all: bool = False) -> sql.Composed:
    of_today = sql.SQL("" if store.spec.fields else " AND p.digest = d.pieces")
    is_same = (same_of_all if of_all else same)("p", "d")
    return _PARTS.format(parts=parts_of(store), same=is_same, embedding=store.embedding, of_today=of_today)


def embedding_of(store: Store) -> str:
    """Return the SQL of an embedding of the row `d`: NULL where it has none."""
    if not store.spec.fields:
        return sql.Identifier("d", store.vector_column).as_string(None)
    return sql.SQL("(SELECT p.{} {} LIMIT 1)").format(store.embedding, _of_parts(store)).as_string(None)


def is_embedded(store: Store, *, of_all: bool = False) -> sql.Composed:
    """Return the condition that the row `d` has a vector; in a statement of one tenant, or `of_all`."""
    if store.spec.fields:
        return sql.SQL("EXISTS (SELECT {})").format(_of_parts(store, of_all))
    return sql.SQL("{} IS NOT NULL").format(sql.Identifier("d", store.vector_column))


def is_wholly_embedded(store: Store, *, of_all: bool = False) -> sql.Composed:
    """Return the condition that the row `d` has its vector, and its pieces, which a copy of a long one by SQL lacks.

    It stands in a statement of one tenant, or `of_all`.
    """
    if store.spec.fields:
        return is_embedded(store, of_all=of_all)
    template = sql.SQL("({} AND (d.pieces IS NULL OR EXISTS (SELECT FROM {} AS p WHERE {} AND p.digest = d.pieces)))")
    return template.format(is_embedded(store), store.parts, (same_of_all if of_all else same)("p", "d"))


_NTH_GIVEN = sql.SQL("(%(vectors)s::real[])[(place - 1) * {dimensions} + 1 : place * {dimensions}]::{type}")


def nth_given(store: Store) -> sql.Composed:
    """Return the vector of the number `place`: all are one array, so that a thousand are sent as fast as one."""
    return _NTH_GIVEN.format(dimensions=sql.Literal(store.model.dimensions), type=store.vector_type)


def least_distance(store: Store, distance: sql.Composable) -> sql.Composed:
    """Return the distance of the part of `d` that is nearest; `distance` is that of `p`."""
    return sql.SQL("(SELECT min({}) {})").format(distance, _of_parts(store))


def distance_of_long(store: Store, distance: sql.Composable, of_part: sql.Composable) -> sql.Composed:
    """Return the distance of `d`, or of the nearest of its pieces where its text is long.

    Where a model is changed, it may be long for the other one alone.
    """
    return sql.SQL("coalesce(CASE WHEN d.pieces IS NOT NULL THEN {} END, {})").format(
        least_distance(store, of_part), distance
    )


def nearest_part(store: Store, distance: sql.Composable) -> sql.Composed:
    """Return which part of `d` is nearest, as JSON."""
    # OFFSET keeps the planner from the vector index, which does not know of the document.
    template = sql.SQL(
        "(SELECT jsonb_build_object('path', p.path, 'start', p.start, 'stop', p.stop) "
        "FROM (SELECT p.path, p.start, p.stop, {distance} AS distance {parts} OFFSET 0) AS p "
        "ORDER BY p.distance, p.path, p.start LIMIT 1)"
    )
    return template.format(distance=distance, parts=_of_parts(store))


def sent(store: Store) -> sql.Composed:
    """Return the embedding of the row `d`, as bytes: a connection may have a reader for vectors of its own.

    Of a document with parts it is their list, as JSON; in bytes, where a document may have a single vector.
    """
    listed = sql.SQL(
        "(SELECT jsonb_agg(jsonb_build_object('path', p.path, 'start', p.start, 'stop', p.stop, "
        "'embedding', p.{embedding}::real[]) ORDER BY p.path, p.start) {parts})"
    ).format(embedding=store.embedding, parts=_of_parts(store))
    if store.spec.fields:
        return sql.SQL("{} AS embedding").format(listed)
    # Whoever reads may not know yet that some text is long.
    template = sql.SQL(
        "coalesce(CASE WHEN d.pieces IS NOT NULL THEN convert_to({listed}::text, 'UTF8') END, {send}(d.{embedding})) "
        "AS embedding"
    )
    send = store.sends
    return template.format(listed=listed, send=send, embedding=store.embedding)


def text_is_seen(store: Store) -> sql.Composed:
    """Return what says that a document has the text that was seen when its vector was decided."""
    return sql.SQL(
        "coalesce(d.{label}, '') = %(seen_label)s::text AND coalesce(d.content, '') = %(seen_content)s::text"
    ).format(label=sql.Identifier(store.spec.label))


def text_stays(store: Store, merged: Sequence[str], source: Mapping[str, sql.Composable]) -> sql.Composable | None:
    """Return what says that a document keeps the text that its vector is of; None where nothing can change it.

    A label alone is no text. Vectors of a model that nobody has named, and those of a store that is not embedded, are
    their callers' business; whether it has a name is asked there and then, for another provider may name it.
    """
    label = store.spec.label
    changing = {CONTENT, label}.intersection(merged)
    if not (store.spec.embedded and changing) or store.spec.fields or store.vector_column in merged:
        return None
    same = sql.SQL("coalesce(d.{name}, '') = coalesce({value}, '')")
    conditions: list[sql.Composable] = [
        same.format(name=sql.Identifier(name), value=source[name]) for name in (CONTENT, label) if name in changing
    ]
    if label in changing:
        conditions[-1] = sql.SQL("({} OR coalesce(d.content, '') !~ '[^[:space:]]')").format(conditions[-1])
    if store.layout.distributed:
        # Citus joins no table of one server to those of several.
        return sql.SQL("({} OR {})").format(sql.SQL(" AND ").join(conditions), sql.Literal(store.model.name is None))
    is_own = sql.SQL("(SELECT name IS NULL FROM {} WHERE id = {})").format(
        store.layout.table("embedding_models"), sql.Literal(store.model.id)
    )
    return sql.SQL("({} OR {})").format(sql.SQL(" AND ").join(conditions), is_own)
