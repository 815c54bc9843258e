"""MemorizzMemoryService: what ADK's service in memory says in words, and what it gets wrong."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.adk.events import Event
from google.adk.memory import BaseMemoryService, InMemoryMemoryService
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.sessions import Session
from google.genai import types

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.embeddings.base import Kind
from memorizz.errors import ConfigurationError, EmbeddingFailed, InvalidDocument
from memorizz.integrations.google_adk import FORGOTTEN, MEMORIES, MemorizzMemoryService

HARD_NAMES = ["a.b", "100%", "a_b", "quo'te\"s", "", " padded ", "[x]", '["a","b"]', "NUL\0", "\ud800", "k" * 10_000]


class Topics:
    """Embeds a text by what it is about: drinks, trains, or neither; counts what it was given."""

    name = "topics"
    dimensions = 4

    def __init__(self) -> None:
        self.given: list[str] = []
        self.fails = False

    def embed(self, texts: Sequence[str], kind: Kind) -> list[list[float]]:
        if self.fails:
            raise RuntimeError("the model is away")
        self.given += texts
        topics = (("tea", "coffee", "thirsty"), ("train", "station", "travel"))
        return [[*(float(any(word in text.lower() for word in topic)) for topic in topics), 0.1, 0.1] for text in texts]


@pytest.fixture(scope="module")
def topics() -> Topics:
    return Topics()


@pytest.fixture(scope="module")
def embedding(shared_dsn: str, topics: Topics) -> Iterator[PostgreSQLProvider]:
    """A provider with an embedder."""
    config = PostgreSQLConfig(dsn=shared_dsn, schema="embedding", embedding_dimensions=4, max_size=4)
    with PostgreSQLProvider(config, embedder=topics) as provider:
        yield provider


@pytest.fixture
def service(provider: PostgreSQLProvider) -> MemorizzMemoryService:
    return MemorizzMemoryService(provider)


@pytest.fixture(params=["in memory", "here"])
def each(request: pytest.FixtureRequest, service: MemorizzMemoryService) -> BaseMemoryService:
    """ADK's own service, or ours."""
    return InMemoryMemoryService() if request.param == "in memory" else service


def said(text: str, id: str = "", author: str = "user") -> Event:
    event = Event(author=author, content=types.Content(role="user", parts=[types.Part(text=text)]))
    return event.model_copy(update={"id": id}) if id else event


def session(app: str, *events: Event, user: str = "ada", id: str = "s") -> Session:
    return Session(id=id, app_name=app, user_id=user, events=list(events))


def found(service: BaseMemoryService, app: str, query: str, user: str = "ada") -> list[MemoryEntry]:
    return asyncio.run(service.search_memory(app_name=app, user_id=user, query=query)).memories


def texts(entries: list[MemoryEntry]) -> list[Any]:
    return [entry.content.parts[0].text for entry in entries if entry.content.parts]


def ids(entries: list[MemoryEntry]) -> list[str | None]:
    return sorted((entry.id for entry in entries), key=str)


def test_what_shares_a_word_is_found(each: BaseMemoryService, app: str) -> None:
    """In any case, the one that shares more before the other; nothing, or what nobody said, finds nothing."""
    events = (said("Ada drinks Tea.", "1"), said("Ben drinks coffee", "2"), said("Trains are late", "3", "agent"))
    asyncio.run(each.add_session_to_memory(session(app, *events)))
    assert ids(found(each, app, "tea")) == ids(found(each, app, "Does anybody like TEA?")) == ["1"]
    assert [entry.id for entry in found(each, app, "drinks coffee")] == ["2", "1"]
    assert ids(found(each, app, "late tea")) == ["1", "3"]
    for nothing in ("", "   ", "?!", "wine"):
        assert found(each, app, nothing) == []
    (entry,) = found(each, app, "trains")
    assert (entry.id, entry.author, entry.content) == ("3", "agent", events[2].content)
    assert datetime.datetime.fromisoformat(entry.timestamp or "").timestamp() == pytest.approx(events[2].timestamp)


def test_apps_and_users_are_apart(each: BaseMemoryService, app: str) -> None:
    """One of them finds and deletes nothing of the other's."""
    asyncio.run(each.add_session_to_memory(session(app, said("tea of ada", "1"))))
    asyncio.run(each.add_session_to_memory(session(app, said("tea of ben", "1"), user="ben")))
    asyncio.run(each.add_session_to_memory(session(app + "x", said("tea of x", "1"))))
    for where, user, text in ((app, "ada", "tea of ada"), (app, "ben", "tea of ben"), (app + "x", "ada", "tea of x")):
        assert texts(found(each, where, "tea", user)) == [text]
    assert found(each, app, "tea", "ad") == found(each, app + "x", "tea", "ben") == []
    asyncio.run(each.delete_memory(app_name=app, user_id="ben", memory_id="1"))
    assert texts(found(each, app, "tea")) == ["tea of ada"]
    assert found(each, app, "tea", "ben") == []


def test_adding_again_doubles_nothing(each: BaseMemoryService, app: str) -> None:
    """A session is added as often as one likes; the same words under other ids are other memories."""
    events = [said("tea", "1"), said("tea", "2")]
    for _ in range(2):
        asyncio.run(each.add_session_to_memory(session(app, *events)))
    assert ids(found(each, app, "tea")) == ["1", "2"]
    asyncio.run(each.add_session_to_memory(session(app, *events, said("tea", "3"))))
    more = [said("tea", "3"), said("tea", "4"), said("tea", "4")]
    asyncio.run(each.add_events_to_memory(app_name=app, user_id="ada", events=more, session_id="s"))
    assert ids(found(each, app, "tea")) == ["1", "2", "3", "4"]
    asyncio.run(each.add_session_to_memory(session(app, said("tea of another", "1"), id="t")))
    assert ids(found(each, app, "tea")) == ["1", "1", "2", "3", "4"]


def test_what_is_deleted_stays_so(each: BaseMemoryService, app: str) -> None:
    """It does not come back with its session; None, "" and an unknown id delete nothing."""
    whole = session(app, said("tea", "1"), said("green tea", "2"))
    asyncio.run(each.add_session_to_memory(whole))
    for id in (None, "", "unknown", "1"):
        asyncio.run(each.delete_memory(app_name=app, user_id="ada", memory_id=id))
    assert ids(found(each, app, "tea")) == ["2"]
    asyncio.run(each.add_session_to_memory(whole))
    asyncio.run(each.add_events_to_memory(app_name=app, user_id="ada", events=whole.events, session_id="s"))
    assert ids(found(each, app, "tea")) == ["2"]


def test_what_has_no_text_is_no_memory(each: BaseMemoryService, app: str) -> None:
    """Calls, files and events without content are left out; a text beside them is found with them, as a copy."""
    file = types.Part(inline_data=types.Blob(data=b"\xff\xfb", mime_type="image/png"))
    call = types.Part(function_call=types.FunctionCall(name="tea", args={"tea": 1}))
    mixed = Event(author="a", content=types.Content(role="model", parts=[file, types.Part(text="a pot of tea"), call]))
    given = [Event(author="a"), Event(author="a", content=types.Content(parts=[call])), mixed]
    before = mixed.content.model_copy(deep=True) if mixed.content else None
    asyncio.run(each.add_session_to_memory(session(app, *given)))
    mixed.content = None
    for _ in range(2):
        (entry,) = found(each, app, "tea")
        assert entry.content == before
        entry.content.parts = None


# --- what only this one does --------------------------------------------------------------------------------------


def test_a_part_of_a_session_takes_nothing_away(service: MemorizzMemoryService, app: str) -> None:
    """Of a session that was read with its newest events alone, the older memories stay."""
    first, second = said("old tea", "1"), said("new tea", "2")
    asyncio.run(service.add_session_to_memory(session(app, first)))
    asyncio.run(service.add_session_to_memory(session(app, second)))
    assert ids(found(service, app, "tea")) == ["1", "2"]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_any_text_is_a_name_and_a_memory(service: MemorizzMemoryService, app: str, name: str) -> None:
    """Users, sessions, ids and texts may be anything; names are compared whole."""
    near = [other for other in (*HARD_NAMES, name + "x", name.strip(), "%") if other != name]
    event = said(f"tea {name}", name)
    asyncio.run(service.add_session_to_memory(session(app, event, user=name, id=name)))
    asyncio.run(
        service.add_memory(
            app_name=app,
            user_id=name,
            memories=[MemoryEntry(content=types.Content(parts=[types.Part(text="coffee")]), id=f"{name}!")],
        )
    )
    assert texts(found(service, app, "tea", name)) == [f"tea {name}"]
    assert [entry.id for entry in found(service, app, "coffee", name)] == [f"{name}!"]
    for other in near:
        assert found(service, app, "tea", other) == []
        asyncio.run(service.delete_memory(app_name=app, user_id=name, memory_id=other))
        asyncio.run(service.delete_memory(app_name=app, user_id=other, memory_id=name))
    assert ids(found(service, app, "tea", name)) == [event.id]


def test_memories_are_found_by_meaning(embedding: PostgreSQLProvider, topics: Topics, app: str) -> None:
    """Where there is an embedder the nearest come first, also without a word in common; each is embedded once."""
    service = MemorizzMemoryService(embedding, limit=1)
    whole = session(app, said("Ada likes tea", "1"), said("The station is far", "2"))
    for _ in range(3):
        asyncio.run(service.add_session_to_memory(whole))
    assert [topics.given.count(text) for text in ("Ada likes tea", "The station is far")] == [1, 1]
    assert ids(found(service, app, "I am thirsty")) == ["1"]
    assert ids(found(service, app, "Where to travel?")) == ["2"]
    assert found(service, app, "") == []


def test_an_embedder_of_another_length_is_refused(shared_dsn: str, embedding: PostgreSQLProvider) -> None:
    """In a second process too: where the vectors of the schema have another length, nothing is opened."""
    longer = Topics()
    longer.dimensions = 8
    config = PostgreSQLConfig(dsn=shared_dsn, schema="embedding")
    with pytest.raises(ConfigurationError, match="8"):
        MemorizzMemoryService(config, embedder=longer)
    with pytest.raises(ConfigurationError, match="embedder"):
        MemorizzMemoryService(embedding, embedder=longer)


def test_a_search_that_fails_says_so(embedding: PostgreSQLProvider, topics: Topics, app: str) -> None:
    """It is an error, and not an empty answer."""
    service = MemorizzMemoryService(embedding)
    topics.fails = True
    try:
        with pytest.raises(EmbeddingFailed, match="away"):
            found(service, app, "tea")
        with pytest.raises(EmbeddingFailed, match="away"):
            asyncio.run(service.add_session_to_memory(session(app, said("tea"))))
    finally:
        topics.fails = False
    assert found(service, app, "tea") == []


@pytest.mark.parametrize(("limit", "expected"), [(0, 0), (3, 3), (None, 25)])
def test_so_many_are_found_as_are_wanted(
    provider: PostgreSQLProvider, app: str, limit: int | None, expected: int
) -> None:
    """0 is none, None is all, and without a word ten; more than a batch at once is added."""
    events = [said(f"tea number {number}") for number in range(25)]
    asyncio.run(MemorizzMemoryService(provider).add_session_to_memory(session(app, *events)))
    assert len(found(MemorizzMemoryService(provider, limit=limit), app, "tea")) == expected
    assert len(found(MemorizzMemoryService(provider), app, "tea")) == 10


def test_memories_are_added_as_they_are(service: MemorizzMemoryService, app: str) -> None:
    """One of an id takes the place of that one, also of a session's, which does not come back; one without is new."""

    def memory(text: str, **others: Any) -> MemoryEntry:
        return MemoryEntry(content=types.Content(parts=[types.Part(text=text)]), **others)

    def add(*memories: MemoryEntry, **others: Any) -> None:
        asyncio.run(service.add_memory(app_name=app, user_id="ada", memories=memories, **others))

    add(
        memory("tea at noon", id="m", author="ada", timestamp="noon", custom_metadata={"a": 1, "b": None}),
        custom_metadata={"a": 2, "when": datetime.date(2026, 11, 28)},
    )
    (entry,) = found(service, app, "tea")
    assert (entry.id, entry.author, entry.timestamp) == ("m", "ada", "noon")
    assert entry.custom_metadata == {"a": 2, "b": None, "when": "2026-11-28"}
    add(memory("tea at ten", id="m"), memory("tea", id="n"))
    assert sorted(texts(found(service, app, "tea"))) == ["tea", "tea at ten"]
    add(memory("tea"), memory("tea"))
    assert len({entry.id for entry in found(service, app, "tea")}) == 4
    whole = session(app, said("coffee", "e"))
    asyncio.run(service.add_session_to_memory(whole))
    add(memory("no coffee any more", id="e"))
    asyncio.run(service.add_session_to_memory(whole))
    assert texts(found(service, app, "coffee")) == ["no coffee any more"]
    add(memory("first", id="same"), memory("second", id="same"))
    assert texts(found(service, app, "first second")) == ["second"]
    asyncio.run(
        service.add_events_to_memory(app_name=app, user_id="ada", events=[said("cocoa")], custom_metadata={"k": [1]})
    )
    assert found(service, app, "cocoa")[0].custom_metadata == {"k": [1]}


def test_a_memory_of_a_file_is_kept_and_not_found(embedding: PostgreSQLProvider, app: str) -> None:
    """It has no text; where it takes the place of a text, that is found no more, by meaning neither."""
    service = MemorizzMemoryService(embedding)
    file = types.Part(inline_data=types.Blob(data=b"\xff", mime_type="image/png"))
    for part in (types.Part(text="tea"), file):
        entry = MemoryEntry(content=types.Content(parts=[part]), id="m")
        asyncio.run(service.add_memory(app_name=app, user_id="ada", memories=[entry]))
    assert found(service, app, "I am thirsty for tea") == []
    assert embedding.count(MEMORIES.name, {"memory_id": f'["{app}", "ada"]'}) == 1


def test_what_json_cannot_hold_is_refused_whole(
    service: MemorizzMemoryService, provider: PostgreSQLProvider, app: str
) -> None:
    """The error says which; nothing is kept."""
    good = MemoryEntry(content=types.Content(parts=[types.Part(text="tea")]))
    bad = good.model_copy(update={"custom_metadata": {"x": object()}})
    with pytest.raises(InvalidDocument, match=r"memories\[1\]"):
        asyncio.run(service.add_memory(app_name=app, user_id="ada", memories=[good, bad]))
    with pytest.raises(InvalidDocument, match=r"events\[0\]"):
        asyncio.run(
            service.add_events_to_memory(
                app_name=app, user_id="ada", events=[said("tea")], custom_metadata={"x": object()}
            )
        )
    for time in (1e30, float("nan")):
        late = said("tea").model_copy(update={"timestamp": time})
        with pytest.raises(InvalidDocument, match="timestamp"):
            asyncio.run(service.add_session_to_memory(session(app, said("tea"), late)))
    for wrong in (None, 5, b"ada"):
        with pytest.raises(ConfigurationError, match="expected a str"):
            found(service, app, "tea", wrong)  # type: ignore[arg-type]
    assert found(service, app, "tea") == []
    for limit in (-1, 1.5, True, "10"):
        with pytest.raises(ConfigurationError, match="limit"):
            MemorizzMemoryService(provider, limit=limit)  # type: ignore[arg-type]


def test_fifty_threads_and_three_event_loops_add_to_one_memory(
    service: MemorizzMemoryService, provider: PostgreSQLProvider, app: str
) -> None:
    """One object serves them all, and what several add is there once; what is deleted meanwhile is gone for good."""
    shared = session(app, said("shared tea", "1"), said("forgotten tea", "2"))
    asyncio.run(service.add_session_to_memory(shared))

    def one(number: int) -> None:
        async def main() -> None:
            own = session(app, said("own tea", f"own{number}"), id=str(number))
            await asyncio.gather(*(service.add_session_to_memory(each) for each in (shared, own, shared)))

        if number == 20:
            asyncio.run(service.delete_memory(app_name=app, user_id="ada", memory_id="2"))
        else:
            asyncio.run(main())

    with ThreadPoolExecutor(53) as pool:
        list(pool.map(one, range(53)))
    expected = sorted(["1", *(f"own{number}" for number in range(53) if number != 20)])
    assert ids(found(MemorizzMemoryService(provider, limit=None), app, "tea")) == expected
    assert provider.count(MEMORIES.name, {"memory_id": f'["{app}", "ada"]'}) == len(expected)
    assert provider.count(FORGOTTEN.name, {"id": f'["{app}", "ada", "2"]'}) == 1
