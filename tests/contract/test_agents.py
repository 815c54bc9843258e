"""The agents: store_memagent and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from bson import ObjectId

from memorizz.errors import InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType
from naming import stable

AGENTS = MemoryType.MEMAGENT
MEMORIES = [member for member in MemoryType if member is not AGENTS]


def a_tool(city: str) -> str:
    return city


@dataclass
class Persona:
    """Describes itself by to_dict(), as a MongoDB provider's objects do."""

    name: str
    goals: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "goals": self.goals}

    def __call__(self) -> None:
        raise AssertionError("an object that describes itself is no tool to call")


class Agent:
    """Describes itself by model_dump(), as pydantic's models do."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def model_dump(self) -> dict[str, Any]:
        return self.values


def own(agent: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in agent.items() if key not in ("id", "_id", "created_at", "updated_at")}


AGENT = {
    "instruction": "be kind",
    "model": {"name": "small", "temperature": 0.5},
    "persona": {"name": "Ada", "goals": ["tea"]},
    "tools": [{"name": "weather", "function": {"parameters": {"city": "str"}}}],
    "memory_ids": ["m1", "m2"],
    "memory_mode": None,
    "max_steps": 20,
}


def test_an_agent_comes_back_as_it_went_in(api: Any) -> None:
    """A dict is stored and retrieved with every key, and stands among the agents' store."""
    id = api.store_memagent(AGENT)
    assert own(api.retrieve_memagent(id)) == AGENT
    assert api.retrieve_memagent(id) == api.retrieve_by_id(id, AGENTS)
    assert [agent["id"] for agent in api.list_memagents()] == [id]


@pytest.mark.parametrize(
    "make", [dict, Agent, lambda **values: Persona(**values)], ids=["dict", "model_dump", "to_dict"]
)
def test_an_agent_may_describe_itself(api: Any, make: Any) -> None:
    """A dict, and any object with model_dump() or to_dict(), is an agent."""
    id = api.store_memagent(make(name="Ada", goals=["tea"]))
    assert own(api.retrieve_memagent(id)) == {"name": "Ada", "goals": ["tea"]}


def test_what_is_inside_may_describe_itself(api: Any) -> None:
    """Objects inside an agent are described too, callable or not."""
    id = api.store_memagent(Agent(persona=Persona("Ada"), more=[Agent(a=(1, Persona("Bob")))]))
    assert own(api.retrieve_memagent(id)) == {
        "persona": {"name": "Ada", "goals": []},
        "more": [{"a": [1, {"name": "Bob", "goals": []}]}],
    }


def test_callables_are_left_out(api: Any) -> None:
    """Functions, classes and methods inside tools go, everything beside them stays; the agent is not changed."""
    tools = [{"name": "weather", "function": a_tool, "type": Persona, "bound": "".join}, a_tool, {"name": "plain"}]
    agent = {"tools": tools, "on_start": print, "n": 1}
    id = api.store_memagent(agent)
    assert own(api.retrieve_memagent(id)) == {"tools": [{"name": "weather"}, {"name": "plain"}], "n": 1}
    assert agent == {"tools": tools, "on_start": print, "n": 1}
    assert tools[0]["function"] is a_tool


@pytest.mark.parametrize("key", ["id", "_id", "agent_id"])
def test_an_agent_has_its_own_id(api: Any, key: str) -> None:
    """`id`, `_id` or `agent_id` is the agent's id; storing it again merges."""
    oid = ObjectId()
    assert api.store_memagent({key: oid, "a": 1, "b": 1}) == str(oid)
    assert api.store_memagent({key: str(oid), "b": 2}) == str(oid)
    agent = api.retrieve_memagent(oid)
    assert (agent["a"], agent["b"], agent["_id"]) == (1, 2, str(oid))
    assert len(api.list_memagents()) == 1


@pytest.mark.parametrize("agent_id", [None, ""], ids=repr)
def test_an_agent_without_agent_id_gets_a_new_one(api: Any, agent_id: Any) -> None:
    """An empty agent_id is none."""
    assert api.store_memagent({"agent_id": agent_id}) != api.store_memagent({"agent_id": agent_id})


@pytest.mark.parametrize("agent", [None, 5, "Ada", ["Ada"], object(), a_tool, Agent], ids=stable)
def test_what_is_no_agent_is_refused(api: Any, agent: Any) -> None:
    """Anything that is no dict and does not describe itself is an InvalidDocument."""
    for call in (api.store_memagent, api.update_memagent):
        with pytest.raises(InvalidDocument):
            call(agent)
    assert api.list_memagents() == []


def test_an_agent_in_itself_is_refused(api: Any) -> None:
    """An agent that holds itself cannot be written down, and that is said."""
    agent: dict[str, Any] = {"name": "Ada"}
    agent["self"] = [agent]
    with pytest.raises(InvalidDocument, match="nested"):
        api.store_memagent(agent)


def test_update_merges_into_the_agent(api: Any) -> None:
    """update_memagent merges by the agent's id and says whether there was one."""
    id = api.store_memagent(AGENT)
    assert api.update_memagent({"id": id, "instruction": "be brief", "tool": a_tool}) is True
    assert own(api.retrieve_memagent(id)) == {**AGENT, "instruction": "be brief"}
    assert api.update_memagent(Agent(agent_id="nobody", a=1)) is False
    assert api.retrieve_memagent("nobody") is None


def test_an_agent_that_was_retrieved_can_be_updated(api: Any) -> None:
    """What list_memagents and retrieve_memagent return goes back in."""
    id = api.store_memagent(AGENT)
    [agent] = api.list_memagents()
    agent["instruction"] = "be brief"
    assert api.update_memagent(agent) is True
    assert own(api.retrieve_memagent(id)) == {**AGENT, "instruction": "be brief"}


def test_update_without_an_id_is_refused(api: Any) -> None:
    """There is nothing to update without an id."""
    with pytest.raises(InvalidDocument, match="id"):
        api.update_memagent({"name": "Ada"})


def test_agents_are_listed_oldest_first(api: Any) -> None:
    """All of them, in the order of storing."""
    ids = [api.store_memagent({"n": n}) for n in range(4)]
    assert [agent["id"] for agent in api.list_memagents()] == ids


def test_memory_ids_are_replaced_and_emptied(api: Any) -> None:
    """update_memagent_memory_ids replaces the list, delete_memagent_memory_ids empties it, nothing else changes."""
    id = api.store_memagent(AGENT)
    api.store({"memory_id": "m1"}, MEMORIES[0])
    assert api.update_memagent_memory_ids(id, ["m3"]) is True
    assert own(api.retrieve_memagent(id)) == {**AGENT, "memory_ids": ["m3"]}
    assert api.update_memagent_memory_ids(id, ("m4", "m5")) is True
    assert api.retrieve_memagent(id)["memory_ids"] == ["m4", "m5"]
    assert api.delete_memagent_memory_ids(id) is True
    assert own(api.retrieve_memagent(id)) == {**AGENT, "memory_ids": []}
    assert api.count(MEMORIES[0]) == 1


@pytest.mark.parametrize("memory_ids", ["m1", [1], [None], [["m1"]]], ids=repr)
def test_memory_ids_are_a_list_of_texts(api: Any, memory_ids: Any) -> None:
    """One text in place of a list is a mistake that is said, as is what is no text."""
    id = api.store_memagent(AGENT)
    with pytest.raises(InvalidDocument, match="memory_ids"):
        api.update_memagent_memory_ids(id, memory_ids)
    assert api.retrieve_memagent(id)["memory_ids"] == ["m1", "m2"]


# --- delete_memagent ----------------------------------------------------------------------------------------------


def memories(api: Any) -> set[tuple[str, str]]:
    return {
        (store.value, each["memory_id"]) for store in MEMORIES for each in api.list_all(store) if "memory_id" in each
    }


def test_deleting_an_agent_leaves_its_memories(api: Any) -> None:
    """Without cascade only the agent goes."""
    id = api.store_memagent(AGENT)
    for store in MEMORIES:
        api.store({"memory_id": "m1"}, store)
    assert api.delete_memagent(id) is True
    assert api.retrieve_memagent(id) is None
    assert len(memories(api)) == len(MEMORIES)
    assert api.delete_memagent(id) is False


def test_cascade_deletes_the_memories_of_the_agent_alone(api: Any) -> None:
    """In every other store, except memory that another agent lists, and memory of nobody's."""
    id = api.store_memagent({"memory_ids": ["own", "shared", "twice", "twice"]})
    api.store_memagent({"memory_ids": ["shared"]})
    api.store_memagent({"memory_ids": None})
    api.store_memagent({"memory_ids": "own"})
    api.store_memagent({"name": "without"})
    for store in MEMORIES:
        api.store_many([{"memory_id": m} for m in ("own", "own", "shared", "twice", "other")] + [{}], store)
    assert api.delete_memagent(id, cascade=True) is True
    assert api.retrieve_memagent(id) is None
    assert memories(api) == {(store.value, memory) for store in MEMORIES for memory in ("shared", "other")}
    assert api.count(MEMORIES[0]) == 3
    assert len(api.list_memagents()) == 4


def test_cascade_without_memories_deletes_the_agent(api: Any) -> None:
    """An agent with no, empty or malformed memory_ids goes, and nothing else."""
    api.store({"memory_id": "m1"}, MEMORIES[0])
    for agent in ({}, {"memory_ids": []}, {"memory_ids": None}, {"memory_ids": {"m1": 1}}, {"memory_ids": "m1"}):
        id = api.store_memagent(agent)
        assert api.delete_memagent(id, True) is True
    assert api.list_memagents() == []
    assert api.count(MEMORIES[0]) == 1


def test_cascade_for_an_unknown_agent_deletes_nothing(api: Any) -> None:
    """No agent, no deletion."""
    api.store({"memory_id": "m1"}, MEMORIES[0])
    assert api.delete_memagent("nobody", cascade=True) is False
    assert api.count(MEMORIES[0]) == 1
