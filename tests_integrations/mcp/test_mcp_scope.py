"""A model stays in the memory that it was given, whatever it asks."""

from __future__ import annotations

from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from conftest import STORE, Caller
from memorizz import PostgreSQLProvider
from memorizz.errors import ConfigurationError
from memorizz.mcp import Memory, Scope, server

SECRET = "the secret of eve is tea"


@pytest.fixture
def eve(provider: PostgreSQLProvider) -> str:
    """The id of a memory that is not ada's."""
    return provider.store({"content": SECRET, "memory_id": "eve", "kind": "secret"}, STORE)


HOSTILE: list[dict[str, Any]] = [
    {"memory_id": "eve"},
    {"memory_id": {"$ne": "ada"}},
    {"memory_id": {"$exists": True}},
    {"memory_id": {"$in": ["ada", "eve"]}},
    {"memory_id": None},
    {"$or": [{"memory_id": "eve"}, {"memory_id": "ada"}]},
    {"$or": [{}, {"memory_id": "eve"}]},
    {"$and": [{"$or": [{"memory_id": "eve"}, {"kind": "secret"}]}]},
    {"$nor": [{"memory_id": "ada"}]},
    {"$not": {"memory_id": "ada"}},
    {"kind": "secret"},
    {"id": {"$exists": True}},
    {"$text": {"$search": "secret"}},
    {"embedding": [1, 0, 0, 0]},
    {"embedding": "secret"},
    {"limit": 1000},
    {"$where": "true"},
    {"memory_id": {"$not": {"$eq": "ada"}}},
    {"memory_id') OR ('1": "1"},
    {},
]


def test_no_filter_leaves_the_memory(call: Caller, eve: str) -> None:
    """A filter can find fewer memories, or be refused; never one of another memory."""
    call("add_memory", text="the secret of ada is tea")
    for filter in HOSTILE:
        asked = {"query": "secret tea", "limit": 50, "filter": filter}
        result = call.run(lambda client, asked=asked: client.call_tool("search_memory", asked))
        assert SECRET not in result.content[0].text, filter
        assert eve not in result.content[0].text, filter
        assert result.is_error or result.structured_content["count"] <= 1, filter


def test_a_filter_that_is_true_of_the_memory_finds_it(call: Caller, eve: str) -> None:
    """The condition is joined, and not put in the place of another: what both match is found."""
    call("add_memory", text="the secret of ada is tea")
    for filter in ({"memory_id": "ada"}, {"memory_id": {"$ne": "eve"}}, {}):
        assert call("search_memory", query="secret", filter=filter)["count"] == 1, filter


def test_another_memorys_id_does_not_exist(call: Caller, eve: str, provider: PostgreSQLProvider) -> None:
    """It is not updated, deleted, read, or paged from, and the answer is that for an id that nobody has."""
    assert call.error("update_memory", id=eve, text="mine") == call.error(
        "update_memory", id="0" * len(eve), text="mine"
    ).replace("0" * len(eve), eve)
    assert call("delete_memory", id=eve) == call("delete_memory", id="nobody")
    assert "expected" in call.error("recent_memory", before=eve)
    assert call("recent_memory")["count"] == 0
    assert call.run(lambda client: client.list_resources()).resources == []
    for ask in (
        lambda client: client.read_resource(f"memorizz://memory/{eve}"),
        lambda client: client.list_resources(cursor=eve),
    ):
        with pytest.raises(MCPError):
            call.run(ask)
    kept = provider.retrieve_by_id(eve, STORE)
    assert kept is not None
    assert kept["content"] == SECRET


def test_a_key_does_not_reach_another_memory(call: Caller, memory: Memory) -> None:
    """The same key in two memories is two memories."""
    theirs = memory.add(Scope("eve"), "eve's", key="k")
    call("add_memory", text="ada's", key="k")
    kept = memory.read(Scope("eve"), theirs["id"])
    assert kept is not None
    assert kept["content"] == "eve's"


def test_an_agent_sees_its_own_memories(memory: Memory) -> None:
    """With an agent the scope is its memories in the memory; without one, those of all."""
    desk = Caller(server(memory, Scope("ada", "desk")), "auto")
    phone = Caller(server(memory, Scope("ada", "phone")), "auto")
    everybody = Caller(server(memory, Scope("ada")), "auto")
    (added,) = desk("add_memory", text="tea at the desk", key="k")["memories"]
    assert phone("search_memory", query="tea")["count"] == 0
    assert phone("search_memory", query="tea", filter={"$or": [{"agent_id": "desk"}, {}]})["count"] == 0
    assert phone("delete_memory", id=added["id"])["count"] == 0
    phone("add_memory", text="tea on the phone", key="k")
    assert desk("search_memory", query="tea")["memories"][0]["text"] == "tea at the desk"
    assert everybody("search_memory", query="tea")["count"] == 2


def test_a_memory_moved_elsewhere_is_gone(call: Caller, provider: PostgreSQLProvider) -> None:
    """Which memory a document is in, its keys say at that moment."""
    (added,) = call("add_memory", text="tea")["memories"]
    provider.update_by_id(added["id"], {"memory_id": "eve"}, STORE)
    assert call("search_memory", query="tea")["count"] == 0
    assert call("delete_memory", id=added["id"])["count"] == 0


def test_a_memory_may_have_any_name(memory: Memory) -> None:
    """A memory is its whole name: no pattern, no prefix."""
    for memory_id in ("a.b", "100%", "a_b", "a'b", 'a"b', "$or", " ", "ä", "x" * 1000):
        call = Caller(server(memory, Scope(memory_id)), "auto")
        other = Caller(server(memory, Scope(memory_id + "x")), "auto")
        call("add_memory", text="tea", key="k")
        assert call("search_memory", query="tea")["count"] == 1
        assert other("search_memory", query="tea")["count"] == 0


@pytest.mark.parametrize("wrong", ["", None, 7, {"$ne": ""}])
def test_a_scope_is_a_text(wrong: Any) -> None:
    """A scope that would be no condition, or an operator, cannot be made."""
    with pytest.raises(ConfigurationError):
        Scope(wrong)
    if wrong is not None:
        with pytest.raises(ConfigurationError):
            Scope("ada", wrong)
