"""What needs no server: mistakes that are found before anything is sent, versions, and that both APIs are alike."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from memorizz.errors import ConfigurationError, DimensionMismatch, InvalidDocument, SchemaError
from memorizz.memory_provider import base
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import SearchOptions
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLProvider, operations
from memorizz.memory_provider.postgresql._steps import Operation
from memorizz.memory_provider.postgresql.facts import Facts, Model, Store
from memorizz.memory_provider.postgresql.layout import Layout
from memorizz.memory_provider.postgresql.migrations import Database, check_versions
from memorizz.memory_provider.stores import SEVEN

LONG = MemoryType.LONG_TERM_MEMORY
LAYOUT = Layout("public", "an identity", "public", "pg_catalog.english")
FACTS = Facts(LAYOUT, 1, {spec.name: Store(LAYOUT, spec, Model(1, None, 4), spec.vector(4)) for spec in SEVEN}, {})


def without_a_step(operation: Operation[Any]) -> Any:
    """Return the result of an operation that asks for nothing."""
    with pytest.raises(StopIteration) as done:
        next(operation)
    return done.value.value


# --- what asks for nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "store", "error"),
    [
        ({"a": object()}, LONG, InvalidDocument),
        ({"embedding": [1]}, LONG, DimensionMismatch),
        ({"id": "a", "_id": "b"}, LONG, InvalidDocument),
        ({}, "nope", ConfigurationError),
    ],
)
def test_a_bad_document_asks_for_nothing(document: Any, store: Any, error: type[Exception]) -> None:
    """A mistake is found before anything is sent."""
    with pytest.raises(error):
        next(operations.store(FACTS, document, store))
    with pytest.raises(error):
        next(operations.update_by_id(FACTS, "a", document | {"id": "a"}, store))


@pytest.mark.parametrize("id", ["", None, 5, "\0"], ids=repr)
def test_a_malformed_id_asks_for_nothing(id: Any) -> None:
    """What can be no id needs no round trip."""
    assert without_a_step(operations.retrieve_by_id(FACTS, id, LONG)) is None
    assert without_a_step(operations.delete_by_id(FACTS, id, LONG)) is False
    assert without_a_step(operations.update_by_id(FACTS, id, {}, LONG)) is False
    assert without_a_step(operations.delete_memagent(FACTS, id, cascade=True)) is False


def test_a_limit_of_nothing_asks_for_nothing() -> None:
    """limit=0 needs no round trip where something ranks."""
    for query in ({"embedding": [1, 0, 0, 0]}, "tea", {}):
        assert without_a_step(operations.retrieve_by_query(FACTS, query, LONG, 0, SearchOptions())) == []


# --- versions -----------------------------------------------------------------------------------------------------


def database(**changes: Any) -> Database:
    """Make what the catalogs say of a database that is as it should be."""
    said: dict[str, Any] = {
        "name": "db", "schema": "public", "schema_exists": True, "server_version": 180_000, "encoding": "UTF8",
        "vector_version": "0.8.1", "vector_schema": "public", "may_use_vector": True,
        "has_migrations": True,
    }  # fmt: skip
    return Database(**said | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"server_version": 140_010}, "PostgreSQL 14 is too old: 15 or newer"),
        ({"vector_version": "0.7.4"}, "pgvector 0.7.4 is too old: 0.8.0 or newer"),
        ({"encoding": "SQL_ASCII"}, "'db' has the encoding SQL_ASCII.*ENCODING 'UTF8'"),
    ],
)
def test_what_is_too_old_is_said(changes: dict[str, Any], said: str) -> None:
    """A server, a pgvector or a database that cannot be worked with says so, and what is needed."""
    with pytest.raises(SchemaError, match=said):
        check_versions(database(**changes))


@pytest.mark.parametrize("changes", [{}, {"vector_version": "0.10.0"}, {"vector_version": None}])
def test_what_is_new_enough(changes: dict[str, Any]) -> None:
    """Versions compare as numbers: 0.10.0 is newer than 0.8.0; an extension that is missing will be made."""
    check_versions(database(**changes))


# --- parity -------------------------------------------------------------------------------------------------------

METHODS = [name for name, each in inspect.getmembers(base.MemoryProvider, callable) if not name.startswith("_")]


@pytest.mark.parametrize("method", METHODS)
def test_both_apis_and_the_contract_have_the_same_signature(method: str) -> None:
    """Names, kinds and defaults of the parameters are the same in the contract and on both APIs."""
    classes = [base.MemoryProvider, base.AsyncMemoryProvider, PostgreSQLProvider, AsyncPostgreSQLProvider]
    told = {
        tuple((p.name, p.kind, p.default) for p in inspect.signature(getattr(each, method)).parameters.values())
        for each in classes
    }
    assert len(told) == 1


@pytest.mark.parametrize("method", [name for name in METHODS if hasattr(base.MemoryOperations, name)])
def test_a_transaction_has_the_same_methods(method: str) -> None:
    """What a provider can do, its transaction can, on both APIs."""
    from memorizz.memory_provider.postgresql.provider import Transaction
    from memorizz.memory_provider.postgresql.provider_async import AsyncTransaction

    told = {
        tuple(inspect.signature(getattr(each, method)).parameters)
        for each in (base.MemoryOperations, Transaction, AsyncTransaction)
    }
    assert len(told) == 1


@pytest.mark.parametrize("name", ["close", "transaction"])
def test_what_is_no_operation_is_alike_too(name: str) -> None:
    """close and transaction take the same on both APIs."""
    told = {
        str(inspect.signature(getattr(each, name)).parameters.keys())
        for each in (PostgreSQLProvider, AsyncPostgreSQLProvider)
    }
    assert len(told) == 1


def test_the_apis_open_alike() -> None:
    """Both are constructed with the same parameters."""
    told = [list(inspect.signature(each).parameters) for each in (PostgreSQLProvider, AsyncPostgreSQLProvider)]
    assert told[0] == told[1]
