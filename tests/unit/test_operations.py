"""Operations without a database: driven by next() and send(), as a driver drives them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from memorizz.memory_provider.postgresql._stores import Schema

from memorizz.errors import (
    ConfigurationError,
    ConnectionFailed,
    DatabaseError,
    DimensionMismatch,
    FilterError,
    InvalidDocument,
    SchemaError,
)
from memorizz.memory_provider import base
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import SearchOptions
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql import _changes as changes
from memorizz.memory_provider.postgresql import _migrate as migrate
from memorizz.memory_provider.postgresql import _operations as operations
from memorizz.memory_provider.postgresql._steps import Batch, Operation, Query, Script

LONG = MemoryType.LONG_TERM_MEMORY
SCHEMA = Schema("public", "public", 4)
NOON = datetime(2024, 5, 6, 12)


def run(operation: Operation[Any], *answers: Any) -> tuple[list[Any], Any]:
    """Drive an operation with the answers to its steps; return the steps and the result."""
    steps = []
    try:
        step = next(operation)
        for answer in answers:
            steps.append(step)
            step = operation.throw(answer) if isinstance(answer, Exception) else operation.send(answer)
    except StopIteration as done:
        assert len(steps) == len(answers)
        return steps, done.value
    raise AssertionError(f"another step than expected: {step}")


def record(name: str = "x", *rest: Any) -> tuple[Any, ...]:
    """A row as a read brings it: id, data, eight columns, five times, and what the read adds."""
    return (UUID(int=7), {"_id": name}, *[None] * 8, *[NOON] * 5, *rest)


# --- storing ------------------------------------------------------------------------------------------------------


def test_store_is_one_statement() -> None:
    """One upsert under an id that is made here, so that sending it twice stores once."""
    [step], id = run(operations.store(SCHEMA, {"name": "Ada", "free": [1]}, LONG), [(True,)])
    assert isinstance(step, Query)
    assert step.repeatable
    assert step.sql.startswith(b'INSERT INTO "public"."long_term_memory"')
    assert id == str(step.parameters["id"])
    assert (step.parameters["name"], step.parameters["data"]) == ("Ada", '{"free":[1]}')
    assert b"Ada" not in step.sql


def test_documents_with_the_same_keys_share_a_statement() -> None:
    """In whatever order the keys come; keys without a column make no difference."""
    texts = {
        run(operations.store(SCHEMA, document, LONG), [(True,)])[0][0].sql
        for document in (
            {"name": "a", "role": "b"},
            {"role": "c", "name": None, "free": 1},
            {"x'y": 2, "name": "", "role": ""},
        )
    }
    assert len(texts) == 1


def test_an_expired_document_makes_way() -> None:
    """Where the upsert brings no row the expired one is deleted and the document stored, both or neither."""
    [_, again], id = run(operations.store(SCHEMA, {"id": "x"}, LONG), [], [[(1,)], [(True,)]])
    assert isinstance(again, Batch)
    assert [query.sql.split()[0] for query in again.queries] == [b"WITH", b"INSERT"]
    assert not again.repeatable
    assert id == "x"


def test_a_bad_document_asks_for_nothing() -> None:
    """A mistake is found before anything is sent."""
    for document, error in (({"a": object()}, InvalidDocument), ({"embedding": [1]}, DimensionMismatch)):
        with pytest.raises(error):
            next(operations.store(SCHEMA, document, LONG))
    with pytest.raises(ConfigurationError, match="personas"):
        next(operations.store(SCHEMA, {}, "nope"))


def test_store_many_sends_batches() -> None:
    """Each batch is looked up and copied; the source is read no further than the batch that is sent."""
    read: list[int] = []

    def documents() -> Any:
        for n in range(1100):
            read.append(n)
            yield {"id": f"{n}"}

    operation = operations.store_many(SCHEMA, documents(), LONG)
    sizes: list[int] = []
    step = next(operation)
    while sum(sizes) < 1100:
        sizes.append(len(step.parameters["ids"]))
        assert len(read) == sum(sizes)
        operation.send([])  # none of them is there
        copied = operation.send(None)
        assert len(copied.rows) == sizes[-1]
        assert isinstance(operation.send(None), Script)
        with suppress(StopIteration):
            step = operation.send(None)
    assert sizes == [500, 500, 100]


def test_a_copy_that_the_server_refuses_is_inserted() -> None:
    """What was copied is taken back, and the same documents go as a pipeline; those that exist come behind them."""
    documents = [{"id": f"{n}"} for n in range(20)]
    operation = operations.store_many(SCHEMA, documents, LONG)
    held = [(next(operation).parameters["ids"][3],)]
    assert operation.send(held).sql == changes.SAVEPOINT
    assert len(operation.send(None).rows) == 19
    assert operation.throw(DatabaseError("row-level security")).sql == changes.ROLLBACK_TO_SAVEPOINT
    pipeline = operation.send(None)
    ids = [query.parameters["id"] for query in pipeline.queries]
    assert (len(ids), ids[-1]) == (20, held[0][0])
    with pytest.raises(StopIteration) as done:
        operation.send([[(True,)]] * 20)
    assert done.value.value == [f"{n}" for n in range(20)]


def test_a_few_documents_are_one_pipeline() -> None:
    """There COPY would take more round trips than it saves."""
    operation = operations.store_many(SCHEMA, [{"n": 1}, {"id": "a"}, {"n": 2}], LONG)
    assert len(next(operation).queries) == 3
    with pytest.raises(StopIteration):
        operation.send([[(True,)]] * 3)


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["", None, 5, "\0"], ids=repr)
def test_a_malformed_id_asks_for_nothing(id: Any) -> None:
    """What can be no id needs no round trip."""
    assert run(operations.retrieve_by_id(SCHEMA, id, LONG)) == ([], None)
    assert run(operations.delete_by_id(SCHEMA, id, LONG)) == ([], False)
    assert run(operations.update_by_id(SCHEMA, id, {}, LONG)) == ([], False)


def test_a_read_is_one_statement_with_its_values_bound() -> None:
    """A filter's values and keys are parameters, and the document is made of the row."""
    query = {"memory_id": "m'1", "we'ird": 5, "limit": 3}
    [step], found = run(operations.retrieve_by_query(SCHEMA, query, LONG, 1, SearchOptions()), [record("mine")])
    assert b"m'1" not in step.sql
    assert b"we'ird" not in step.sql
    assert step.parameters["limit"] == 3
    assert [(each["id"], each["_id"], each["created_at"]) for each in found] == [
        ("mine", "mine", NOON.replace(tzinfo=UTC))
    ]


def test_a_history_is_read_backwards_and_turned_round() -> None:
    """The newest come first from the index, the oldest first to the caller."""
    rows: Sequence[Any] = [record("new"), record("old")]
    call = operations.retrieve_conversation_history_ordered_by_timestamp
    [step], found = run(call(SCHEMA, "m", 2), list(rows))
    assert b'ORDER BY d."timestamp" DESC, d.seq DESC' in step.sql
    assert [turn["id"] for turn in found] == ["old", "new"]


def test_before_is_an_id_first_and_then_a_time() -> None:
    """An id is looked up; what is no turn's id is read as a time; neither is a FilterError."""
    call = operations.retrieve_conversation_history_ordered_by_timestamp
    steps, _ = run(call(SCHEMA, "m", before="turn"), [(NOON, 7)], [])
    assert (steps[1].parameters["timestamp"], steps[1].parameters["seq"]) == (NOON.replace(tzinfo=UTC), 7)
    steps, _ = run(call(SCHEMA, "m", before="2024-05-06T12:00:00"), [], [])
    assert (steps[1].parameters["timestamp"], steps[1].parameters["seq"]) == (NOON.replace(tzinfo=UTC), -1)
    operation = call(SCHEMA, "m", before="turn")
    next(operation)
    with pytest.raises(FilterError, match="turn"):
        operation.send([])


def test_an_iteration_goes_on_from_where_it_was() -> None:
    """A full page says where to go on, a short one that it was the last."""
    page = operations.page(SCHEMA, LONG, None, 2, False, operations.BEGINNING)
    _, (found, place) = run(page, [record("a", NOON, 1), record("b", NOON, 2)])
    assert [each["id"] for each in found] == ["a", "b"]
    assert place == (NOON.replace(tzinfo=UTC), 2)
    [step], (_, place) = run(operations.page(SCHEMA, LONG, None, 2, False, place), [record("c", NOON, 3)])
    assert (step.parameters["seq"], place) == (2, None)


def test_a_limit_of_nothing_asks_for_nothing() -> None:
    """limit=0 needs no round trip."""
    for query in ({}, {"embedding": [1, 0, 0, 0]}, "tea"):
        assert run(operations.retrieve_by_query(SCHEMA, query, LONG, 0, SearchOptions())) == ([], [])


# --- agents -------------------------------------------------------------------------------------------------------


def test_cascade_is_one_statement() -> None:
    """The agent and its memories go together, in one round trip that is not sent twice."""
    [step], deleted = run(operations.delete_memagent(SCHEMA, "a", cascade=True), [(True,)])
    assert isinstance(step, Query)
    assert not step.repeatable
    assert deleted is True


# --- migrations ---------------------------------------------------------------------------------------------------


def found(**changes: Any) -> tuple[Any, ...]:
    """What the catalogs say of a schema that is as it should be."""
    fields = {
        "name": "db", "schema": "public", "schema_exists": True, "server_version": 180_000,
        "vector_version": "0.8.1", "vector_schema": "public", "model_id": 1, "dimensions": 4,
        "aside_id": None, "aside_dimensions": None, "has_migrations": True,
    }  # fmt: skip
    return tuple((fields | changes).values())


APPLIED = [(migration.version, migration.name, NOON) for migration in migrate.migrations()]


@pytest.mark.parametrize(
    ("catalog", "applied", "said"),
    [
        ({"server_version": 140_010}, APPLIED, "PostgreSQL 14 is too old: 15 or newer"),
        ({"vector_version": "0.7.4"}, APPLIED, "pgvector 0.7.4 is too old: 0.8.0 or newer"),
        ({"dimensions": None}, APPLIED, "damaged"),
        ({"vector_version": None, "vector_schema": None}, APPLIED, "damaged"),
        ({}, [*APPLIED, (9999, "later", NOON)], "version 9999"),
    ],
)
def test_a_schema_that_cannot_be_used_is_said(catalog: dict[str, Any], applied: Any, said: str) -> None:
    """Server or pgvector too old, damaged, or newer than this code."""
    operation = migrate.opened(PostgreSQLConfig(embedding_dimensions=4))
    next(operation)
    operation.send([found(**catalog)])
    with pytest.raises(SchemaError, match=said):
        operation.send(applied)


def test_a_new_pgvector_is_new_enough() -> None:
    """Versions compare as numbers: 0.10.0 is newer than 0.8.0."""
    operation = migrate.opened(PostgreSQLConfig(embedding_dimensions=4))
    next(operation)
    operation.send([found(vector_version="0.10.0")])
    assert isinstance(operation.send(APPLIED), Query)


def test_an_empty_database_is_to_be_migrated() -> None:
    """Nothing there is None, for the face to apply, or a SchemaError where it may not."""
    empty = found(dimensions=None, has_migrations=False, vector_version=None, vector_schema=None)
    assert run(migrate.opened(PostgreSQLConfig()), [empty])[1] is None
    operation = migrate.opened(PostgreSQLConfig(auto_migrate=False))
    next(operation)
    with pytest.raises(SchemaError, match="memorizz migrate"):
        operation.send([empty])


# --- parity -------------------------------------------------------------------------------------------------------

METHODS = [name for name, each in inspect.getmembers(base.MemoryProvider, callable) if not name.startswith("_")]


@pytest.mark.parametrize("method", METHODS)
def test_both_faces_and_the_contract_have_the_same_signature(method: str) -> None:
    """Names, kinds and defaults of the parameters are the same in the contract and on both faces."""
    classes = [base.MemoryProvider, base.AsyncMemoryProvider, PostgreSQLProvider, AsyncPostgreSQLProvider]
    told = {
        tuple((p.name, p.kind, p.default) for p in inspect.signature(getattr(each, method)).parameters.values())
        for each in classes
    }
    assert len(told) == 1


@pytest.mark.parametrize("method", [name for name in METHODS if hasattr(base.MemoryOperations, name)])
def test_a_transaction_has_the_same_methods(method: str) -> None:
    """What a provider can do, its transaction can, on both faces."""
    from memorizz.memory_provider.postgresql.provider import Transaction
    from memorizz.memory_provider.postgresql.provider_async import AsyncTransaction

    told = {
        tuple(inspect.signature(getattr(each, method)).parameters)
        for each in (base.MemoryOperations, Transaction, AsyncTransaction)
    }
    assert len(told) == 1


@pytest.mark.parametrize("name", ["close", "transaction"])
def test_what_is_no_operation_is_alike_too(name: str) -> None:
    """close and transaction take the same on both faces."""
    told = {
        str(inspect.signature(getattr(each, name)).parameters.keys())
        for each in (PostgreSQLProvider, AsyncPostgreSQLProvider)
    }
    assert len(told) == 1


def test_the_faces_open_alike() -> None:
    """Both are constructed with the same parameters."""
    told = [list(inspect.signature(each).parameters) for each in (PostgreSQLProvider, AsyncPostgreSQLProvider)]
    assert told[0] == told[1]


def test_errors_of_a_driver_are_told_to_the_operation() -> None:
    """An error that is thrown in comes out where the operation does not know better."""
    operation = operations.count(SCHEMA, LONG)
    next(operation)
    with pytest.raises(ConnectionFailed, match="gone"):
        operation.throw(ConnectionFailed("gone"))
