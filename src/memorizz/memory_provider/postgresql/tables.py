"""The tables of the stores: made with a schema, or later for a store of a caller's own, and dropped again."""

from __future__ import annotations

import json
from collections.abc import Mapping

from psycopg import sql

from memorizz.errors import ConfigurationError, SchemaError, quoted
from memorizz.memory_provider.postgresql import distribution, facts, history, indexes, wall
from memorizz.memory_provider.postgresql._errors import VALIDITY_CHECK, taken_name
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Maker, Model, Store
from memorizz.memory_provider.postgresql.layout import history_table, parts_history_table, parts_table
from memorizz.memory_provider.postgresql.sql.citus import IN_SEQUENCE
from memorizz.memory_provider.postgresql.sql.key import BY_TENANT
from memorizz.memory_provider.postgresql.sql.reads import sql_file
from memorizz.memory_provider.stores import SEVEN, StoreSpec, VectorField, check_droppable, check_same, checked_spec

_CONSTRAINTS = {"primary_key": "pkey", "objects_check": "objects_check", "validity_check": VALIDITY_CHECK}


_FILLED = sql.SQL("WITH (fillfactor = 85)")


def _pieces(store: Store) -> dict[str, sql.Composable]:
    """Return what stands in the templates of a store's tables."""
    schema, space = store.layout.schema, store.layout.vector_schema
    names: Mapping[str, sql.Composable] = {
        name: sql.Identifier(f"{store.name}_{ending}") for name, ending in _CONSTRAINTS.items()
    }
    return dict(
        table=store.table,
        # A document with a place in time always has one.
        timestamp=sql.SQL("NOT NULL DEFAULT statement_timestamp()" if store.spec.timeline else ""),
        vector=store.embedding,
        bits=sql.Identifier(store.bits_column),
        dimensions=sql.Literal(store.model.dimensions),
        vector_type=store.vector_type,
        quantize=sql.Identifier(space, "binary_quantize"),
        words=sql.Identifier(schema, "memorizz_words"),
        bits_check=sql.Identifier(f"{store.bits_column}_check"),
        parts=store.parts,
        parts_key=sql.Identifier(f"{parts_table(store.name)}_pkey"),
        parts_document=sql.Identifier(f"{parts_table(store.name)}_fkey"),
        history=store.history,
        history_key=sql.Identifier(f"{history_table(store.name)}_pkey"),
        parts_history=store.parts_history,
        parts_history_key=sql.Identifier(f"{parts_history_table(store.name)}_pkey"),
        history_memory=sql.Identifier(f"{history_table(store.name)}_idx"),
        history_call=sql.Identifier(f"memorizz_{store.name}_call_idx"),
        forget_pieces=sql.Identifier(schema, "memorizz_forget_pieces"),
        storage=_FILLED if store.spec.partitions is None else BY_TENANT,
        partitioned=sql.SQL("") if store.spec.partitions is None else BY_TENANT,
        **names,
    )


def create(
    store: Store, role: str | None = None, memories: bool = False, beside: Store | None = None
) -> Operation[None]:
    """Make the table of a store with all its indexes, and note it; the caller runs this in one transaction.

    `role` is the one that row-level security keeps tenants apart for, `memories` whether the memories of one too.
    `beside` is a store in whose shards it is to be, where Citus has distributed them.
    """
    pieces = _pieces(store)
    of = "parts_of_fields.sql" if store.spec.fields or beside is not None else "parts_of_long_texts.sql"
    for file in ("store.sql", "parts.sql", of, "history.sql"):
        yield Script(sql_file(file).format(**pieces).as_bytes(None))
    for number in range(store.spec.partitions or 0):
        one = {
            "partition": store.partition(number),
            "partition_of_parts": store.partition(number, of_parts=True),
            "partitions": sql.Literal(store.spec.partitions),
            "number": sql.Literal(number),
            "filled": _FILLED,
        }
        yield Script(sql_file("partition.sql").format(**pieces, **one).as_bytes(None))
    for index in indexes.named(store).values():
        yield Script(index.as_bytes(None))
    if role is not None:
        yield from wall.secure(store, role, memories)
    if beside is not None:
        yield IN_SEQUENCE
        for statement in distribution.joined(store, beside):
            yield Script(statement)
    note = sql.SQL(
        "INSERT INTO {} (name, spec, model, m, ef_construction) "
        "VALUES (%(name)s, %(spec)s::jsonb, %(model)s, %(m)s, %(ef_construction)s)"
    ).format(store.layout.table("stores"))
    noted = {
        "name": store.name,
        "spec": json.dumps(store.spec.as_json()),
        "model": store.model.id,
        "m": store.vector.m,
        "ef_construction": store.vector.ef_construction,
    }
    yield from fetch(Query(note.as_bytes(None), noted))


def create_store(known: Facts, spec: StoreSpec, models: Mapping[str, Maker]) -> Operation[None]:
    """Make a store, unless there is one of this very spec; the caller runs this in one transaction.

    `models` are those that the provider has an embedder for.
    """
    spec = checked_spec(spec)
    # Of ten who make it at once, nine wait here and find it made.
    known = yield from facts.locked(known.layout, shortly=False)
    if spec.name in known.stores:
        check_same(known.stores[spec.name].spec, spec)
        return
    if spec.partitions is not None:
        distribution.check_whole(known.layout, f"partitions={spec.partitions}", "a store is in shards by that")
    model = known.model if spec.dimensions is None else (yield from _model(known, spec.dimensions, models))
    seven = known.store(SEVEN[0].name).vector
    vector: VectorField = spec.vector(model.dimensions, seven.m, seven.ef_construction)
    beside = known.store(SEVEN[0].name) if known.layout.distributed else None
    store = Store(known.layout, spec, model, vector)
    try:
        yield from create(store, known.application_role, known.memories_apart, beside)
    except SchemaError as error:
        taken = taken_name(error)
        if taken is None:
            raise
        # As the changes of the parts of `a` and those of the documents of `a_parts` do.
        raise ConfigurationError(
            f"a store {quoted(spec.name)} cannot be made, for its tables and indexes are named after it, and something "
            f"in schema {quoted(known.layout.schema)} has one of their names, another store for one: choose another "
            f"name ({taken})"
        ) from error.__cause__
    yield from fetch(facts.moved_on(known.layout))


def _model(known: Facts, dimensions: int, models: Mapping[str, Maker]) -> Operation[Model]:
    """Return the model of a store with vectors of its own length: that of an embedder of this length, if any."""
    name = next((each for each, maker in models.items() if maker.dimensions == dimensions), None)
    shared = {store.model.id: store.model for store in known.stores.values()}
    for model in shared.values():
        if name is not None and (model.name, model.dimensions) == (name, dimensions):
            return model
    statement = sql.SQL(
        "INSERT INTO {} (name, dimensions, current_since) VALUES (%(name)s, %(dimensions)s, now()) RETURNING id"
    ).format(known.layout.table("embedding_models"))
    rows = yield from fetch(Query(statement.as_bytes(None), {"name": name, "dimensions": dimensions}))
    return Model(rows[0][0], name, dimensions)


def drop_store(known: Facts, name: str) -> Operation[None]:
    """Drop a store of a caller's own with all its documents; the caller runs this in one transaction.

    Raises ConfigurationError for the seven and for an unknown one, OperationTimeout where it is in use.
    """
    known = yield from facts.locked(known.layout)
    store = known.store(name)
    check_droppable(name)
    if known.layout.distributed:
        yield IN_SEQUENCE
    yield Script(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(reversed(store.tables))).as_bytes(None))
    if store.kept is not None:
        yield from history.forget_recording(store)
    yield wall.forget_functions(store)
    forget = sql.SQL("DELETE FROM {} WHERE name = %(name)s").format(known.layout.table("stores"))
    yield from fetch(Query(forget.as_bytes(None), {"name": name}))
    yield from fetch(facts.moved_on(known.layout))


def specs(known: Facts) -> Operation[list[StoreSpec]]:
    """Return what each store is, the seven first, in the order in which they were made."""
    return [store.spec for store in (yield from facts.read(known.layout)).stores.values()]
