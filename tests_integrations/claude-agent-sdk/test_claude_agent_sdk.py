"""MemorizzSessionStore: the SDK's own suite, what it says in words, and sessions of its real command line."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from claude_agent_sdk import InMemorySessionStore, fold_session_summary
from claude_agent_sdk.testing import run_session_store_conformance
from claude_agent_sdk.types import SessionKey

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.integrations.claude_agent_sdk import ENTRIES, TRANSCRIPTS, MemorizzSessionStore

KEY: SessionKey = {"project_key": "p", "session_id": "s"}
HARD_NAMES = ["a.b", "100%", "a_b", "quo'te\"s", "a/b", "[x]", "sha256:x", "k" * 10_000]


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config) as provider:
        yield provider


@pytest.fixture
def store(provider: PostgreSQLProvider) -> MemorizzSessionStore:
    return MemorizzSessionStore(provider)


def entry(uuid: str | None, **others: Any) -> Any:
    return {"type": "user"} | ({} if uuid is None else {"uuid": uuid}) | others


def test_the_sdks_own_suite_passes(config: PostgreSQLConfig, provider: PostgreSQLProvider) -> None:
    """All 14 contracts hold, those of the optional methods too."""
    schemas = itertools.count()
    opened: list[PostgreSQLProvider] = []

    def fresh() -> MemorizzSessionStore:
        opened.append(PostgreSQLProvider(config.replace(schema=f"suite_{next(schemas)}", max_size=1)))
        return MemorizzSessionStore(opened[-1])

    try:
        asyncio.run(run_session_store_conformance(fresh))
    finally:
        for each in opened:
            each.close()
    assert len(opened) > 13


def test_entries_come_back_equal(store: MemorizzSessionStore) -> None:
    """Whatever JSON an entry is made of comes back deep-equal, NUL characters and lone surrogates included."""
    entries = [
        entry("1", text="NUL \0, half \ud83d", id="x", _id=5, score=1, numbers=[1.0, 10**400, -0.0, True, None]),
        entry(None, embedding="none", created_at="yesterday", metadata=[], nested={"": {"a": [{}]}}),
    ]
    before = copy.deepcopy(entries)

    async def main() -> None:
        await store.append(KEY, entries)
        loaded = await store.load(KEY)
        assert loaded == before == entries
        loaded[0]["type"] = "changed"
        assert await store.load(KEY) == before

    asyncio.run(main())


def test_a_retry_doubles_nothing(store: MemorizzSessionStore) -> None:
    """Entries are unique by uuid within their transcript, in one call and over calls; those without are all kept."""

    async def main() -> None:
        await store.append(KEY, [entry("a"), entry("b"), entry("a", again=True), entry(None)])
        await store.append(KEY, [entry("b", again=True), entry("c"), entry(None)])
        found = await store.load(KEY)
        assert found == [entry("a"), entry("b"), entry(None), entry("c"), entry(None)]
        other: SessionKey = {**KEY, "subpath": "subagents/1"}
        await store.append(other, [entry("a")])
        assert await store.load(other) == [entry("a")]

    asyncio.run(main())


def test_a_late_retry_changes_no_summary(store: MemorizzSessionStore) -> None:
    """The summary is folded of what was new: a batch that comes once more does not bring back an older title."""
    first, second = [entry("a", customTitle="first")], [entry("b", customTitle="second")]

    async def main() -> None:
        for batch in (first, second, first):
            await store.append(KEY, batch)
        (summary,) = await store.list_session_summaries("p")
        expected = fold_session_summary(fold_session_summary(None, KEY, first), KEY, second)
        assert summary["data"] == expected["data"]
        (listed,) = await store.list_sessions("p")
        assert listed == {"session_id": "s", "mtime": summary["mtime"]}

    asyncio.run(main())


def test_nothing_and_never_are_two_things(store: MemorizzSessionStore) -> None:
    """A transcript that nothing was appended to is empty; one that was never written, or is deleted, is None."""

    async def main() -> None:
        for reference in (InMemorySessionStore(), store):
            assert await reference.load(KEY) is None
            await reference.append(KEY, [])
            assert await reference.load(KEY) == []
            assert [each["session_id"] for each in await reference.list_sessions("p")] == ["s"]
            await reference.delete(KEY)
            await reference.delete(KEY)
            assert await reference.load(KEY) is None
            assert await reference.list_sessions("p") == []

    asyncio.run(main())


@pytest.mark.parametrize("name", HARD_NAMES)
def test_any_text_is_a_name(store: MemorizzSessionStore, name: str) -> None:
    """Projects, sessions and subpaths are compared whole, whatever is in them; a slash in one is no other's."""
    near = [other for other in (*HARD_NAMES, name + "x", name[:-1], "%", "a") if other != name]
    keys: list[SessionKey] = [
        {"project_key": name, "session_id": "s"},
        {"project_key": "p", "session_id": name},
        {"project_key": "p", "session_id": "s", "subpath": name},
    ]

    async def main() -> None:
        for key in keys:
            await store.append(key, [entry("1")])
        assert [each["session_id"] for each in await store.list_sessions(name)] == ["s"]
        assert [each["session_id"] for each in await store.list_sessions("p")] == [name]
        assert await store.list_subkeys(KEY) == [name]
        for other in near:
            assert await store.list_sessions(other) == []
            await store.delete({"project_key": other, "session_id": "s"})
            await store.delete({"project_key": "p", "session_id": other})
            await store.delete({"project_key": "p", "session_id": "s", "subpath": other})
        assert [await store.load(key) for key in keys] == [[entry("1")]] * 3
        await store.delete({"project_key": "p", "session_id": "s"})
        assert [await store.load(key) for key in keys] == [[entry("1")], [entry("1")], None]

    asyncio.run(main())


def test_what_cannot_be_kept_is_refused_whole(store: MemorizzSessionStore) -> None:
    """An append with such an entry leaves neither entries nor a summary; a key that is no text names nothing."""

    async def main() -> None:
        with pytest.raises(InvalidDocument, match=r"entries\[1\]"):
            await store.append(KEY, [entry("a"), entry("b", value={1, 2})])
        with pytest.raises(InvalidDocument, match=r"entries\[1\]"):
            await store.append(KEY, [entry("a"), "b"])  # type: ignore[list-item]
        with pytest.raises(ConfigurationError, match="expected a list"):
            await store.append(KEY, entry("a"))  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="expected a str"):
            await store.append({"project_key": "p", "session_id": 5}, [])  # type: ignore[typeddict-item]
        assert (await store.load(KEY), await store.list_session_summaries("p")) == (None, [])

    asyncio.run(main())


def test_writers_of_one_session_lose_nothing(store: MemorizzSessionStore, provider: PostgreSQLProvider) -> None:
    """Appends from threads, each with its event loop, keep their batches whole, and the summary has all of them."""

    def append(writer: int) -> None:
        for batch in range(5):
            named = f"{writer}-{batch}"
            asyncio.run(store.append(KEY, [entry(f"{named}-{n}", lastPrompt=named) for n in range(3)]))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(append, range(12)))
    found: list[Any] = asyncio.run(store.load(KEY)) or []
    batches = [each["uuid"].rpartition("-")[0] for each in found]
    assert len(found) == 12 * 5 * 3
    assert all(batches[at] == batches[at + 1] == batches[at + 2] for at in range(0, len(batches), 3))
    (summary,) = asyncio.run(store.list_session_summaries("p"))
    assert summary["data"]["last_prompt"] == batches[-1]
    asyncio.run(store.delete(KEY))
    assert provider.count(ENTRIES.name) == provider.count(TRANSCRIPTS.name) == 0


def test_what_a_store_opens_it_closes(dsn: str) -> None:
    """A connection string is enough."""
    with MemorizzSessionStore(dsn) as store:
        asyncio.run(store.append(KEY, [entry("1")]))
    with MemorizzSessionStore(dsn) as store:
        assert asyncio.run(store.load(KEY)) == [entry("1")]


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """A session of the real command line is resumed by another process from what the store has."""
    assert len(run_page("claude-agent-sdk.md")) >= 2
