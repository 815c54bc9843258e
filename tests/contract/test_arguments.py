"""The arguments of every public method: a value is compared, and never an operator, a flag or anything else."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from bson import ObjectId

from memorizz.errors import ConfigurationError, InvalidDocument, MemorizzError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBProvider
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec
from naming import stable

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
    "filter": {"n": 1},
    "key": "n",
    "calls": [],
    "text": "tea",
    "memory_id": "m",
    "agent": {"id": "agent", "n": 1},
    "memory_ids": ["m"],
    "spec": StoreSpec("tickets"),
    "actor": "Ada",
    "policy": Policy(keep_last=5),
    "time": datetime(2026, 1, 1, tzinfo=UTC),
    "position": "1/0/1A2B3C",
    "since": datetime(2026, 1, 1, tzinfo=UTC),
    "to": 1,
    "timeout": 25.0,
}
# Parameters that take a dict or a list, a function, or an id, which finds nothing where it is none.
OTHERS = {"data", "documents", "agent", "watch", "id"}
# What a message says in the place of the parameter's name.
SAID = {
    "memory_store_type": "unknown memory store|keeps no history",
    "memory_type": "unknown memory store",
    "memory_id": "memory_id|keeps no history",
    "store": "unknown memory store",
    "spec": "StoreSpec",
    "query": r"\$text|a query is",
    "query_embedding": "embedding",
    "name": "name=|unknown memory store",
    "where": r"where|\$ne",
    "yes": "yes|keeps no history",
    "actor": "name=|history",
    "call": "name=|call=|history",
    "time": "time|history",
    "since": "since|history",
    "to": "to=|history",
    "until": "until|history",
    "retention": "retention|history",
}
# The dicts and lists that are taken, and what MongoDB has no use for.
TAKEN = [
    ("retrieve_by_query", "query", "dict"),
    *((method, "where", "dict") for method in ("consolidate", "duplicates", "retrieve_by_query")),
    *((method, "filter", "dict") for method in ("count", "delete", "distinct", "forget", "update")),
    ("iterate", "filter", "dict"),
    ("update_memagent_memory_ids", "memory_ids", "list"),
]
UNUSED = {"apply_policies", "consolidate", "duplicates", "embedded", "loading", "note_embedding_model", "set_policy"}
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
    if name not in ("self", *OTHERS) and signature.parameters[name].kind is not inspect.Parameter.VAR_KEYWORD
]


def call(api: Any, method: str, **arguments: Any) -> Any:
    """Call a method with right arguments for all that is not given."""
    signature = METHODS[method]
    needed = {
        name: GIVEN[name]
        for name, each in signature.parameters.items()
        if name != "self" and each.default is inspect.Parameter.empty and each.kind is not inspect.Parameter.VAR_KEYWORD
    }
    if method in ("drop_store", "drop_history"):
        needed["yes"] = True
    if "memory_id" in signature.parameters and "conversation_id" in signature.parameters:
        needed["memory_id"] = "m"
    result = getattr(api, method)(**{**needed, **arguments})
    if isinstance(result, AbstractContextManager):
        with result:
            return None
    return list(result) if inspect.isgenerator(result) else result


@pytest.fixture
def memories(api: Any) -> Any:
    """A provider with memories of two owners."""
    for store in STORES:
        turns = [{"name": each, "memory_id": each, "content": "tea", "embedding": EAST} for each in ("m", "other")]
        api.store_many(turns, store)
    return api


def held(api: Any) -> list[Any]:
    return [api.list_all(store) for store in STORES]


def test_a_dict_or_a_list_is_no_value(memories: Any, server_name: str) -> None:
    """Each parameter that takes a value refuses them by its name, and nothing is read or changed."""
    provider = MongoDBProvider if server_name == "MongoDB" else PostgreSQLProvider
    unused = UNUSED if provider is MongoDBProvider else ()
    before = held(memories)
    for method, parameter in PARAMETERS:
        if not hasattr(provider, method) or method in unused:
            continue
        for value in ({"$ne": 1}, ["m"]):
            if (method, parameter, type(value).__name__) not in TAKEN:
                with pytest.raises(MemorizzError, match=SAID.get(parameter, parameter)):
                    call(memories, method, **{parameter: value})
                assert held(memories) == before, (method, parameter, value)
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


class Owner(Enum):
    """Ids as a program may list them."""

    ADA = "ada"
    BOB = UUID(int=8)


IDS_OF_OTHERS = [
    (UUID(int=7), str(UUID(int=7))),
    (ObjectId("65a000000000000000000001"), "65a000000000000000000001"),
    (Owner.ADA, "ada"),
    (Owner.BOB, str(UUID(int=8))),
]
REFERENCES = ("memory_id", "conversation_id", "name", "role")


@pytest.mark.parametrize(("id", "text"), IDS_OF_OTHERS, ids=["UUID", "ObjectId", "Enum", "Enum of a UUID"])
@pytest.mark.parametrize("stored_as_text", [True, False])
def test_an_id_of_another_program_is_its_text(api: Any, id: Any, text: str, stored_as_text: bool) -> None:
    """A UUID, an ObjectId and an Enum are their text: in a document, in each operator of a filter, as an argument."""
    given = text if stored_as_text else id
    keys = {**dict.fromkeys(REFERENCES, given), "id": given, "user_id": given, "metadata": {"agent_id": given}}
    assert api.store({**keys, "embedding": EAST}, "conversation_memory") == text
    stored = api.retrieve_by_id(id, "conversation_memory")
    assert {key: stored[key] for key in (*REFERENCES, "id", "user_id")} == dict.fromkeys(
        (*REFERENCES, "id", "user_id"), text
    )
    for key in (*REFERENCES, "id", "_id", "user_id", "metadata.agent_id"):
        for operand in (id, {"$eq": id}, {"$in": [id, "other"]}, {"$gte": id}, {"$contains": id}):
            assert api.count("conversation_memory", {key: operand}) == 1, (key, operand)
        for operand in ({"$ne": id}, {"$nin": [id]}, {"$lt": id}):
            assert api.count("conversation_memory", {key: operand}) == 0, (key, operand)
    assert len(api.retrieve_by_query({"embedding": EAST, "memory_id": id}, "conversation_memory")) == 1
    assert len(api.retrieve_conversation_history_ordered_by_timestamp(id)) == 1
    assert len(api.retrieve_memory_components_by_query(None, EAST, id)) == 1
    assert api.retrieve_by_name(id, "conversation_memory") is not None
    assert api.update_by_id(id, {"id": id, "memory_id": id}, "conversation_memory") is True


@pytest.mark.parametrize(("id", "text"), IDS_OF_OTHERS, ids=["UUID", "ObjectId", "Enum", "Enum of a UUID"])
def test_an_agent_lists_memories_by_their_texts(api: Any, id: Any, text: str) -> None:
    """However they are given, and the agent's own id too: so a cascade finds them."""
    for give in (lambda: api.store_memagent({"agent_id": id, "memory_ids": [id]}),
                 lambda: api.update_memagent({"id": id, "memory_ids": (id,)}),
                 lambda: api.update_memagent_memory_ids(id, [id])):  # fmt: skip
        assert give() in (text, True)
        assert api.retrieve_memagent(id)["memory_ids"] == [text]
    api.store({"memory_id": text}, "conversation_memory")
    assert api.delete_memagent(id, cascade=True) is True
    assert api.count("conversation_memory") == 0


@pytest.mark.parametrize("number", [5, 5.0, True, Decimal(5), np.int64(5)], ids=stable)
def test_a_number_is_no_id(api: Any, number: Any) -> None:
    """It is refused wherever it would find nothing, and where 5 and "5" would become one."""
    api.store({"id": "5", "memory_id": "5", "name": "5", "embedding": EAST}, "conversation_memory")
    refused: list[Callable[[], Any]] = [
        *(lambda key=key: api.store({key: number}, LONG) for key in ("id", "_id", *REFERENCES)),
        *(lambda key=key: api.store_many([{key: number}], LONG) for key in ("id", "_id", *REFERENCES)),
        lambda: api.update_by_id("5", {"memory_id": number}, "conversation_memory"),
        lambda: api.store_memagent({"agent_id": number}),
        lambda: api.store_memagent({"memory_ids": [number]}),
        lambda: api.update_memagent_memory_ids("5", [number]),
        lambda: api.retrieve_conversation_history_ordered_by_timestamp(number),
        lambda: api.retrieve_memory_components_by_query("tea", None, number),
        lambda: api.retrieve_by_name(number, "conversation_memory"),
        lambda: api.delete_by_name(number, "conversation_memory"),
        *(lambda key=key: api.count("conversation_memory", {key: number}) for key in ("id", "_id", *REFERENCES[:2])),
        lambda: api.retrieve_by_query({"memory_id": {"$in": ["5", number]}}, "conversation_memory"),
        lambda: list(api.iterate("conversation_memory", {"$or": [{"conversation_id": {"$ne": number}}]})),
    ]
    for call in refused:
        with pytest.raises(MemorizzError, match=r"expect|no id"):
            call()
    assert api.retrieve_by_id(number, "conversation_memory") is None
    assert (api.count(LONG), api.count("conversation_memory"), api.list_memagents()) == (0, 1, [])


def test_a_number_among_the_memories_of_an_agent_is_none(api: Any) -> None:
    """Stored as any document is, an agent may list one; a cascade deletes nothing by it."""
    api.store({"id": "a", "memory_ids": [5, "m", None, {"b": 1}]}, "agents")
    api.store_many([{"memory_id": id} for id in ("5", "m", '{"b": 1}')], LONG)
    assert api.delete_memagent("a", cascade=True) is True
    assert sorted(each["memory_id"] for each in api.list_all(LONG)) == ["5", '{"b": 1}']


def test_memory_ids_may_come_one_by_one(api: Any) -> None:
    """From a generator too, which can be read only once."""
    api.store_memagent({"id": "a"})
    assert api.update_memagent_memory_ids("a", (each for each in ("m1", "m2"))) is True
    assert api.retrieve_memagent("a")["memory_ids"] == ["m1", "m2"]


WRONG: list[Callable[[Any], Any]] = [
    lambda api: api.store_many(5, LONG),
    lambda api: api.store_many(b"ab", LONG),
    lambda api: api.update_memagent_memory_ids("a", 5),
    lambda api: api.update_memagent_memory_ids("a", {"$each": 1}),
    lambda api: api.update_memagent_memory_ids("a", [datetime.now(UTC)]),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_list(api: Any, wrong: Callable[[Any], Any]) -> None:
    """A list that is none is an error of this library, not of Python's."""
    with pytest.raises(InvalidDocument):
        wrong(api)


@pytest.mark.parametrize("value", ["yes", 1, None, {"$ne": 1}], ids=repr)
def test_a_flag_is_true_or_false(api: Any, value: Any) -> None:
    """What is no flag is refused, rather than taken for yes."""
    api.store({"memory_id": "m"}, LONG)
    agent = api.store_memagent({"memory_ids": ["m"]})
    with pytest.raises(ConfigurationError, match=r"cascade=.*: expected True or False"):
        api.delete_memagent(agent, cascade=value)
    with pytest.raises(ConfigurationError, match=r"include_embedding=.*: expected True or False"):
        api.list_all(LONG, include_embedding=value)
    assert api.count(LONG) == 1
