"""CrewAI's Memory and Crew on the storage, with a model and an embedder that are stubs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from crewai import Agent, Crew, Memory, Task
from crewai.events import crewai_event_bus
from crewai.events.types.memory_events import MemorySaveFailedEvent
from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
from crewai.memory.storage.factory import set_memory_storage_factory
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from stubs import Model, embed, memory_on

from memorizz import PostgreSQLProvider
from memorizz.integrations.crewai import MemorizzStorage, storage_factory

TEA, TRAIN = "Tea at four.", "The train leaves at nine."


def remember(memory: Memory, text: str, **given: Any) -> str:
    found = memory.remember(text, **{"scope": "/", "categories": [], "importance": 0.5, **given})
    assert found is not None
    return found.id


def contents(memory: Memory, asked: str, **given: Any) -> list[str]:
    return [match.record.content for match in memory.recall(asked, **given)]


@pytest.fixture
def memory(storage: MemorizzStorage) -> Memory:
    return memory_on(storage, consolidation_threshold=1.0)


@pytest.mark.parametrize("depth", ["shallow", "deep"])
def test_what_is_remembered_is_recalled(memory: Memory, storage: MemorizzStorage, depth: str) -> None:
    """The best first, in its scope, and noted as recalled; what is forgotten is not."""
    assert contents(memory, "tea", depth=depth) == []
    tea = remember(memory, TEA, scope="/kitchen", categories=["drink"])
    remember(memory, TRAIN, scope="/travel")
    before = storage.get_record(tea)
    assert contents(memory, "tea", depth=depth)[0] == TEA
    after = storage.get_record(tea)
    assert before is not None
    assert after is not None
    assert after.last_accessed > before.last_accessed
    assert contents(memory, "tea", depth=depth, scope="/travel") == [TRAIN]
    assert contents(memory, "tea", depth=depth, categories=["drink"]) == [TEA]
    assert memory.tree() == "/ (2 records)\n  /kitchen (1 records)\n  /travel (1 records)"
    assert memory.scope("/kitchen").recall("train", depth=depth)[0].record.id == tea
    assert memory.forget(scope="/kitchen") == 1
    assert contents(memory, "tea", depth=depth) == [TRAIN]


def test_many_are_saved_in_the_background(memory: Memory, storage: MemorizzStorage) -> None:
    """From the memory's own thread, and there when the next call asks; doubles within a batch are CrewAI's to drop."""
    memory.remember_many([TEA, TRAIN, "Tea at four!"], scope="/a", categories=["c"], importance=0.5)
    assert contents(memory, "train", depth="shallow")[0] == TRAIN
    assert storage.list_categories("/a") == {"c": 2}
    memory.update(storage.list_records()[0].id, content="Milk at five.", metadata={"new": 1})
    assert contents(memory, "milk", depth="shallow")[0] == "Milk at five."
    assert storage.count() == 2
    memory.reset()
    assert storage.count() == 0


def test_private_memories_are_for_their_source(memory: Memory) -> None:
    """What CrewAI hides by source and private, which come back with each record."""
    remember(memory, TEA, source="ada", private=True)
    assert contents(memory, "tea", depth="shallow", source="ben") == contents(memory, "tea", depth="shallow") == []
    assert contents(memory, "tea", depth="shallow", source="ada") == [TEA]


def test_what_is_alike_is_consolidated(storage: MemorizzStorage) -> None:
    """A similarity above CrewAI's threshold has the model decide; it changes a record, or deletes it."""
    memory = memory_on(storage)
    old = remember(memory, TEA)
    remember(memory, TRAIN)
    assert storage.count() == 2
    plan = {"actions": [{"action": "update", "record_id": old, "new_content": "Tea at five."}], "insert_new": False}
    remember(memory_on(storage, {"ConsolidationPlan": plan}), "The tea is at five.")
    assert contents(memory, "tea", depth="shallow") == ["Tea at five.", TRAIN]
    plan = {"actions": [{"action": "delete", "record_id": old}]}
    remember(memory_on(storage, {"ConsolidationPlan": plan}), "No tea any more.")
    assert contents(memory, "tea", depth="shallow") == ["No tea any more.", TRAIN]


def test_another_embedder_is_no_silent_loss(memory: Memory, storage: MemorizzStorage) -> None:
    """Saving with vectors of another length raises; in the background it is the event that CrewAI has for it."""
    remember(memory, TEA)
    other = Memory(llm=Model(model="stub"), embedder=lambda texts: [[1.0, 0.0] for _ in texts], storage=storage)
    with pytest.raises(EmbeddingDimensionMismatchError):
        remember(other, TRAIN)
    failed: list[str] = []
    told = threading.Event()
    with crewai_event_bus.scoped_handlers():

        @crewai_event_bus.on(MemorySaveFailedEvent)
        def note(source: Any, event: MemorySaveFailedEvent) -> None:
            failed.append(str(event.error))
            told.set()

        other.remember_many([TRAIN], scope="/", categories=[], importance=0.5)
        other.drain_writes()
        assert told.wait(60)
    assert "dimension mismatch" in failed[0]
    assert storage.count() == 1


def test_no_scope_that_a_model_names_leads_out_of_a_memory(provider: PostgreSQLProvider, name: str) -> None:
    """In a deep recall the model says which scopes are searched, outside of the root scope too: of one memory only."""
    ada = memory_on(MemorizzStorage(provider, store=name, memory_id="ada"))
    remember(ada, TEA, scope="/secret")
    asked = {"QueryAnalysis": {"suggested_scopes": ["/secret", "/"], "recall_queries": ["tea"]}}
    ben = MemorizzStorage(provider, store=name, memory_id="ben")
    recalled = memory_on(ben, asked, root_scope="/users/ben", query_analysis_threshold=0)
    remember(recalled, TRAIN)
    assert contents(recalled, "tea", depth="deep") == [TRAIN]


# --- the factory --------------------------------------------------------------------------------------------------


@pytest.fixture
def registered() -> Iterator[None]:
    set_memory_storage_factory(storage_factory)
    yield
    set_memory_storage_factory(None)


@pytest.mark.usefixtures("registered")
def test_a_connection_string_is_a_storage(dsn: str, tmp_path: Any) -> None:
    """Once the factory is registered; other specs are CrewAI's own."""
    assert dsn.startswith("postgresql://") or " " in dsn
    url = dsn if "://" in dsn else url_of(dsn)
    for number in range(2):
        memory = memory_on(url, consolidation_threshold=1.0)
        assert isinstance(memory._storage, MemorizzStorage)
        remember(memory, f"Tea, cup {number}.")
        assert memory.info().record_count == number + 1
        memory.close()
    assert isinstance(memory_on(str(tmp_path))._storage, LanceDBStorage)
    assert storage_factory("lancedb") is storage_factory("qdrant-edge") is storage_factory("/postgresql://") is None


def url_of(dsn: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    given = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    return "postgresql:///?" + "&".join(f"{name}={value}" for name, value in given.items())


@pytest.mark.usefixtures("registered")
def test_memorizz_is_the_server_of_the_environment(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no password stands in what CrewAI shows of a Memory."""
    for key, value in environment.items():
        if key.startswith("POSTGRES_"):
            monkeypatch.setenv(key, value)
    memory = memory_on("memorizz")
    remember(memory, TEA)
    memory.close()
    with MemorizzStorage() as storage:
        assert storage.count() == 1


# --- a crew -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings", "ignore:.*deprecated:DeprecationWarning")
def test_a_crew_remembers(storage: MemorizzStorage) -> None:
    """What a task has shown is kept under the crew's scope, and handed to the model of the next crew."""
    answers = {
        "ExtractedMemories": {"memories": [TEA]},
        "MemoryAnalysis": {"suggested_scope": "/habits", "categories": ["drink"]},
    }
    asked: list[str] = []

    class Listening(Model):
        def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append(str(messages))
            return super().call(messages, *args, **kwargs)

    for _ in range(2):
        model = Listening(model="stub", answers=answers)
        agent = Agent(role="guide", goal="help", backstory="a guide", llm=model)
        task = Task(description="When is tea?", expected_output="a time", agent=agent)
        memory = Memory(llm=model, embedder=embed, storage=storage, root_scope="/crew/house")
        crew = Crew(agents=[agent], tasks=[task], memory=memory)
        assert crew.kickoff().raw == "Tea at four."
        assert crew.copy().memory is not None
    assert {each.scope for each in storage.list_records()} == {"/crew/house/agent/guide/habits"}
    first = next(messages for messages in asked if "When is tea?" in messages)
    last = [messages for messages in asked if "When is tea?" in messages and "expected criteria" in messages][-1]
    assert TEA not in first
    assert TEA in last
