"""The arguments of every public method: a value is compared, and never an operator, a flag or anything else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from bson import ObjectId

from memorizz.errors import ConfigurationError, InvalidDocument, MemorizzError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBProvider
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec

LONG = MemoryType.LONG_TERM_MEMORY
STORES = (LONG, MemoryType.CONVERSATION_MEMORY, MemoryType.MEMAGENT)
EAST = [1.0, 0.0, 0.0, 0.0]

# What is given for the other parameters, so that only one is wrong.
GIVEN: dict[str, Any] = {
    "data": {"n": 1},
    "documents": [{"n": 1}],
    "memory_store_type": LONG,
    "id": "a",
    "name": "Ada",
    "query": "tea",
    "memory_id": "m",
    "agent": {"id": "agent", "n": 1},
    "memory_ids": ["m"],
    "spec": StoreSpec("tickets"),
}
# Parameters that take a dict or a list, a function, or an id, which finds nothing where it is none.
OTHERS = {"data", "documents", "agent", "watch", "id"}
# What a message says in the place of the parameter's name.
SAID = {
    "memory_store_type": "unknown memory store",
    "memory_type": "unknown memory store",
    "spec": "StoreSpec",
    "query": r"\$text|a query is",
    "query_embedding": "embedding",
    "name": "name=|unknown memory store",
}
# The dicts and lists that are taken, and what MongoDB has no use for.
TAKEN = [
    ("retrieve_by_query", "query", "dict"),
    ("count", "filter", "dict"),
    ("iterate", "filter", "dict"),
    ("update_memagent_memory_ids", "memory_ids", "list"),
]
UNUSED = {"embedded", "loading", "note_embedding_model"}
METHODS = {
    name: inspect.signature(method)
    for provider in (PostgreSQLProvider, MongoDBProvider)
    for name, method in inspect.getmembers(provider, callable)
    if not name.startswith("_") and name not in ("run", "run_in_transaction")
}
PARAMETERS = [
    (method, name)
    for method, signature in METHODS.items()
    for name in signature.parameters
    if name not in ("self", *OTHERS)
]


def call(face: Any, method: str, **arguments: Any) -> Any:
    """Call a method with right arguments for all that is not given."""
    signature = METHODS[method]
    needed = {
        name: GIVEN[name]
        for name, each in signature.parameters.items()
        if name != "self" and each.default is inspect.Parameter.empty
    }
    if method == "drop_store":
        needed["yes"] = True
    result = getattr(face, method)(**{**needed, **arguments})
    if isinstance(result, AbstractContextManager):
        with result:
            return None
    return list(result) if inspect.isgenerator(result) else result


@pytest.fixture
def memories(face: Any) -> Any:
    """A provider with memories of two owners."""
    for store in STORES:
        turns = [{"name": each, "memory_id": each, "content": "tea", "embedding": EAST} for each in ("m", "other")]
        face.store_many(turns, store)
    return face


def held(face: Any) -> list[Any]:
    return [face.list_all(store) for store in STORES]


@pytest.mark.parametrize("value", [{"$ne": 1}, ["m"]], ids=["dict", "list"])
@pytest.mark.parametrize(("method", "parameter"), PARAMETERS)
def test_a_dict_or_a_list_is_no_value(memories: Any, server_name: str, method: str, parameter: str, value: Any) -> None:
    """Each parameter that takes a value refuses them by its name, and nothing is read or changed."""
    provider = MongoDBProvider if server_name == "MongoDB" else PostgreSQLProvider
    unused = not hasattr(provider, method) or (provider is MongoDBProvider and method in UNUSED)
    if unused or (method, parameter, type(value).__name__) in TAKEN:
        return
    before = held(memories)
    with pytest.raises(MemorizzError, match=SAID.get(parameter, parameter)):
        call(memories, method, **{parameter: value})
    assert held(memories) == before
    assert len(memories.stores()) == 7


@pytest.mark.parametrize("id", [{"$ne": 1}, ["a"], {"$in": ["a"]}, np.array(["a"])], ids=["ne", "list", "in", "array"])
def test_an_id_that_is_none_finds_nothing(memories: Any, id: Any) -> None:
    """As any other id that no document has."""
    memories.store({"id": "a"}, LONG)
    memories.store_memagent({"id": "a", "memory_ids": ["m"]})
    before = held(memories)
    for method in ("retrieve_by_id", "delete_by_id", "update_by_id", "retrieve_memagent", "delete_memagent",
                   "update_memagent_memory_ids", "delete_memagent_memory_ids"):  # fmt: skip
        assert call(memories, method, id=id) in (None, False)
    assert held(memories) == before


@pytest.mark.parametrize("memory_id", [UUID(int=7), ObjectId("65a000000000000000000001")], ids=["UUID", "ObjectId"])
def test_an_id_of_another_program_is_its_text(face: Any, memory_id: Any) -> None:
    """A UUID and an ObjectId find what was stored under their texts, as a memory, as a name and in an agent."""
    face.store({"memory_id": str(memory_id), "name": str(memory_id), "embedding": EAST}, "conversation_memory")
    assert len(face.retrieve_conversation_history_ordered_by_timestamp(memory_id)) == 1
    assert len(face.retrieve_memory_components_by_query(None, EAST, memory_id)) == 1
    assert face.retrieve_by_name(memory_id, "conversation_memory") is not None
    face.store_memagent({"id": "a"})
    assert face.update_memagent_memory_ids("a", [memory_id]) is True
    assert face.retrieve_memagent("a")["memory_ids"] == [str(memory_id)]
    assert face.delete_memagent("a", cascade=True) is True
    assert face.count("conversation_memory") == 0


def test_memory_ids_may_come_one_by_one(face: Any) -> None:
    """From a generator too, which can be read only once."""
    face.store_memagent({"id": "a"})
    assert face.update_memagent_memory_ids("a", (each for each in ("m1", "m2"))) is True
    assert face.retrieve_memagent("a")["memory_ids"] == ["m1", "m2"]


WRONG: list[Callable[[Any], Any]] = [
    lambda face: face.store_many(5, LONG),
    lambda face: face.store_many(b"ab", LONG),
    lambda face: face.update_memagent_memory_ids("a", 5),
    lambda face: face.update_memagent_memory_ids("a", {"$each": 1}),
    lambda face: face.update_memagent_memory_ids("a", [datetime.now(UTC)]),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_list(face: Any, wrong: Callable[[Any], Any]) -> None:
    """A list that is none is an error of this library, not of Python's."""
    with pytest.raises(InvalidDocument):
        wrong(face)


@pytest.mark.parametrize("value", ["yes", 1, None, {"$ne": 1}], ids=repr)
def test_a_flag_is_true_or_false(face: Any, value: Any) -> None:
    """What is no flag is refused, rather than taken for yes."""
    face.store({"memory_id": "m"}, LONG)
    agent = face.store_memagent({"memory_ids": ["m"]})
    with pytest.raises(ConfigurationError, match=r"cascade=.*: expected True or False"):
        face.delete_memagent(agent, cascade=value)
    with pytest.raises(ConfigurationError, match=r"include_embedding=.*: expected True or False"):
        face.list_all(LONG, include_embedding=value)
    assert face.count(LONG) == 1
