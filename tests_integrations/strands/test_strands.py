"""MemorizzMemoryStore: what Strands asks of a memory store, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from strands import Agent
from strands.memory import ExtractionResult, InvocationTrigger, MemoryManager
from strands.models import Model

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, ConnectionFailed, InvalidDocument, ProviderClosed
from memorizz.integrations.strands import MemorizzMemoryStore


class Letters:
    """Two texts are as near as they share letters."""

    name = "letters"
    dimensions = 4

    def embed(self, texts: list[str], *, kind: str = "document") -> list[list[float]]:
        return [[1.0 + text.count(letter) for letter in "aest"] for text in texts]


def run(awaitable: Any) -> Any:
    return asyncio.run(awaitable)


def contents(found: Any) -> list[str]:
    return [entry.content for entry in found]


def test_what_is_added_is_found(config: PostgreSQLConfig) -> None:
    """By its words, with its metadata, its id, its score and when it was added; a blank question finds nothing."""
    with MemorizzMemoryStore("ada", config) as store:
        id = run(store.add("Ada drinks green tea.", {"source": "chat", "n": [1, None]}))
        run(store.add("The bicycle is red."))
        (found,) = run(store.search("green tea"))
        assert found.content == "Ada drinks green tea."
        assert found.metadata["id"] == id
        assert {key: found.metadata[key] for key in ("source", "n")} == {"source": "chat", "n": [1, None]}
        assert found.metadata["score"] > 0
        assert found.metadata["created_at"].endswith("+00:00")
        assert run(store.search("nothing of it")) == run(store.search("  ")) == []


def test_a_text_is_one_memory(config: PostgreSQLConfig) -> None:
    """Added again, as the SDK does after a lost answer, it is no second one; in another memory it is."""
    with PostgreSQLProvider(config) as provider:
        ada, ben = MemorizzMemoryStore("ada", provider), MemorizzMemoryStore("ben", provider)
        first = run(ada.add("tea", {"n": 1}))
        assert run(ada.add("tea")) == run(ada.add("tea", {"n": 2})) == first
        assert run(ben.add("tea")) != first
        (found,) = run(ada.search("tea"))
        assert found.metadata["n"] == 2
        assert "n" not in run(ben.search("tea"))[0].metadata


@pytest.mark.parametrize("other", ["ad", "ada ", "ada\0", "", '["ada"]', "%", "x" * 5000])
def test_nobody_finds_what_is_another_ones(config: PostgreSQLConfig, other: str) -> None:
    """A memory is that of one whole name, whatever is in a name."""
    with PostgreSQLProvider(config) as provider:
        run(MemorizzMemoryStore("ada", provider).add("tea of Ada"))
        of_other = MemorizzMemoryStore(other, provider)
        assert run(of_other.search("tea")) == []
        run(of_other.add("tea of another one"))
        assert contents(run(of_other.search("tea"))) == ["tea of another one"]


def test_how_many_are_returned(config: PostgreSQLConfig) -> None:
    """The call says it, else the store, else it is 3; 0 is none; what is no number is refused."""
    with MemorizzMemoryStore("ada", config) as three, MemorizzMemoryStore("ada", config, max_search_results=4) as four:
        for number in range(6):
            run(three.add(f"tea {number}"))
        assert [len(run(store.search("tea"))) for store in (three, four)] == [3, 4]
        assert [len(run(four.search("tea", {"max_search_results": most}))) for most in (0, 1, 10)] == [0, 1, 6]
        for wrong in (-1, True, "3", 1.5):
            with pytest.raises(ConfigurationError, match="max_search_results"):
                run(four.search("tea", {"max_search_results": wrong}))  # type: ignore[typeddict-item]
    with pytest.raises(ConfigurationError, match="max_search_results=-1"):
        MemorizzMemoryStore("ada", config, max_search_results=-1)


def test_with_an_embedder_meaning_counts(config: PostgreSQLConfig) -> None:
    """What shares no word with the question is found by its vector, the nearest first."""
    with MemorizzMemoryStore("ada", config, embedder=Letters()) as store:
        for text in ("seat", "bbbb", "aaaa aaaa"):
            run(store.add(text))
        assert contents(run(store.search("east"))) == ["seat", "bbbb", "aaaa aaaa"]


def test_the_manager_searches_and_adds(config: PostgreSQLConfig) -> None:
    """As the SDK calls it: two stores of two names, one of them not to be written to."""
    with PostgreSQLProvider(config) as provider:
        own = MemorizzMemoryStore("ada", provider, name="own")
        shared = MemorizzMemoryStore("all", provider, name="shared", description="of the team", writable=False)
        run(shared.add("The team drinks tea."))
        manager = MemoryManager(stores=[own, shared])
        run(manager.add("Ada drinks tea.", {"metadata": {"n": 1}}))
        found = run(manager.search("tea"))
        assert {(entry.store_name, entry.content) for entry in found} == {
            ("own", "Ada drinks tea."),
            ("shared", "The team drinks tea."),
        }
        assert contents(run(shared.search("tea"))) == ["The team drinks tea."]


class Silent(Model):
    """A model that says one thing."""

    def update_config(self, **config: Any) -> None: ...

    def get_config(self) -> Any:
        return {}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any: ...

    async def stream(self, *args: Any, **kwargs: Any) -> Any:
        for event in ({"contentBlockDelta": {"delta": {"text": "Noted."}}}, {"contentBlockStop": {}}):
            yield event
        yield {"messageStop": {"stopReason": "end_turn"}}


class Facts:
    """Takes what the user says for facts."""

    async def extract(self, messages: Any, context: Any = None) -> list[ExtractionResult]:
        said = [block["text"] for message in messages if message["role"] == "user" for block in message["content"]]
        return [ExtractionResult(text, {"of": "a conversation"}) for text in said]


def test_facts_are_taken_out_of_a_conversation(config: PostgreSQLConfig) -> None:
    """By the extractor of the SDK's manager, which calls add; said in two conversations, a fact is one memory."""
    with PostgreSQLProvider(config) as provider:
        for _ in range(2):
            extraction: Any = {"trigger": InvocationTrigger(), "extractor": Facts()}
            store = MemorizzMemoryStore("ada", provider, extraction=extraction)
            manager = MemoryManager(stores=[store])

            async def converse(manager: MemoryManager = manager) -> None:
                agent = Agent(model=Silent(), memory_manager=manager, callback_handler=None)
                await agent.invoke_async("I drink green tea.")
                await manager.flush()

            run(converse())
        (found,) = run(store.search("tea"))
        assert (found.content, found.metadata["of"]) == ("I drink green tea.", "a conversation")


@pytest.mark.parametrize(
    ("content", "metadata"),
    [
        ("nul \0", None),
        ("\ud800", None),
        (None, None),
        (["tea"], None),
        ("tea", {"x": object()}),
        ("tea", {"x": float("nan")}),
    ],
)
def test_what_cannot_be_kept_is_refused(config: PostgreSQLConfig, content: Any, metadata: Any) -> None:
    """With an error that says what, and nothing is kept."""
    with MemorizzMemoryStore("ada", config) as store:
        with pytest.raises(InvalidDocument):
            run(store.add(content, metadata))
        assert store.provider.count("strands_memories") == 0


@pytest.mark.parametrize("wrong", [None, 7, b"ada"])
def test_a_memory_has_a_name(config: PostgreSQLConfig, wrong: Any) -> None:
    """Whose memory it is, is a text."""
    with pytest.raises(ConfigurationError, match="is no name"):
        MemorizzMemoryStore(wrong, config)


def test_a_search_that_fails_says_so(config: PostgreSQLConfig) -> None:
    """No empty list stands for a server that is not there."""
    with PostgreSQLProvider(config) as provider:
        store = MemorizzMemoryStore("ada", provider)
    with pytest.raises(ProviderClosed):
        run(store.search("tea"))
    with pytest.raises(ConnectionFailed):
        MemorizzMemoryStore("ada", "postgresql://127.0.0.1:1/none?connect_timeout=2")


def test_one_store_serves_threads_and_loops(config: PostgreSQLConfig) -> None:
    """Fifty threads, each with an event loop of its own, lose nothing."""
    with MemorizzMemoryStore("ada", config) as store:
        together = threading.Barrier(50)

        def add(number: int) -> None:
            together.wait(60)
            run(store.add(f"tea {number % 25}"))

        with ThreadPoolExecutor(50) as pool:
            list(pool.map(add, range(50)))
        assert len(run(store.search("tea", {"max_search_results": 100}))) == 25


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """Memory is kept over two processes."""
    run_page("strands.md")
