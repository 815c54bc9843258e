"""Conversations and memory of Pydantic AI's agents, side by side with its own store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_ai import (
    Agent,
    AgentRunResult,
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.integrations.pydantic_ai import ENTRIES, MEMORIES, RECORDS, MemorizzConversationStore, MemorizzMemory

HARD_NAMES = ["a.b", "100%", "a_b", "quo'te\"s", "", "[x]", "NUL\0", "\ud800", "k" * 10_000]


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config) as provider:
        yield provider


@pytest.fixture
def store(provider: PostgreSQLProvider) -> MemorizzConversationStore:
    return MemorizzConversationStore(provider)


def asked(text: str) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(text, timestamp=datetime(2026, 1, 2, 3, 4, 5, 678901, UTC))])


def conversation(name: str, *texts: str) -> Conversation:
    return Conversation(conversation_id=name, messages=[asked(text) for text in texts])


def texts(found: Conversation | None) -> list[Any] | None:
    return None if found is None else [message.parts[0].content for message in found.messages]  # type: ignore[union-attr]


async def script(store: ConversationStore) -> list[Any]:
    """Save, extend, rewrite, fork, branch, scope, list and delete; return what each showed."""
    seen: list[Any] = []
    await store.save(conversation("a", "1", "2", "3"), scope="ada")
    await store.save(conversation("b", "x"), scope="ben")
    first = await store.load("a")
    assert first is not None
    first.messages.append(asked("4"))
    seen.append(len(await store.save(first)))
    for limit in (None, 0, 1, 3, 9):
        seen.append(texts(await store.load("a", limit=limit)))
    seen += [texts(await store.load("a", scope=scope)) for scope in ("ada", "ben", "ad", "")]
    for wrong in (conversation("a", "new"), conversation("b", "x", "y")):
        with pytest.raises(ConversationConflict):
            await store.save(wrong)
    with pytest.raises(ConversationConflict):
        await store.save(first, scope="ben")
    fork = await store.fork("a", at=2, new_conversation_id="fork")
    fork.messages.append(asked("forked"))
    await store.save(fork)
    rewritten = Conversation(conversation_id="a", messages=[asked("other"), asked("4")], revision=first.revision)
    await store.save(rewritten)
    seen += [texts(await store.load(name)) for name in ("a", "fork", "b")]
    record = await store.read_record("a")
    assert record is not None
    seen.append(len(record.branches))
    seen.append([entry.message for entry in await store.read_history(record.branches[0])])
    for scope in (None, "ada", "ben", "nobody"):
        for limit in (None, 0, 1):
            seen.append([each.conversation_id for each in await store.list_conversations(scope=scope, limit=limit)])
    await store.delete("a", scope="ben")
    seen.append(texts(await store.load("a")))
    await store.delete("a")
    await store.delete("a")
    seen += [texts(await store.load(name)) for name in ("a", "fork")]
    with pytest.raises(LookupError):
        await store.read_history(record.branches[0])
    with pytest.raises(LookupError):
        await store.read_entry(record.branches[0])
    with pytest.raises(ConversationConflict):
        await store.save(rewritten)
    again = conversation("a", "again")
    await store.save(again)
    seen.append(texts(await store.load("a")))
    for name in ("a", "b", "fork"):
        await store.delete(name)
    return seen


def test_it_does_as_the_store_in_memory(store: MemorizzConversationStore, provider: PostgreSQLProvider) -> None:
    """Over one script, each answer and each conflict is the same; at its end no message is left."""
    assert asyncio.run(script(store)) == asyncio.run(script(InMemoryConversationStore()))
    assert provider.count(RECORDS.name) == provider.count(ENTRIES.name) == 0


def record(name: str, head: str | None, revision: str = "1") -> ConversationRecord:
    return ConversationRecord(conversation_id=name, head_id=head, revision=revision)


def entries(*links: str) -> list[ConversationEntry]:
    """Entries of links such as "b<a": the entry b, and a before it; "a<" is the first of a history."""
    pairs = [link.split("<") for link in links]
    return [ConversationEntry(id=id, parent_id=before or None, message=asked(id)) for id, before in pairs]


# The head of a record, and its entries.
WRITES = [
    ("a", ["a<"]),
    ("c", ["a<", "b<a", "c<a"]),
    ("a", ["a<", "b<a"]),
    ("d", ["a<", "b<a", "c<", "d<c"]),
    ("missing", ["a<"]),
    ("missing", []),
    (None, ["a<"]),
    ("z", ["z<"]),
]


def test_entries_of_any_shape_are_a_history_of_each(store: MemorizzConversationStore) -> None:
    """Also where they branch, or are written again; a head that is nowhere is a conflict, and nothing is kept."""

    async def seen(store: ConversationStore, head: str | None, links: list[str], is_new: bool) -> Any:
        await store.write_record(record("c", "z"), new_entries=entries("z<"), expected_revision=None)
        name, expected = ("new", None) if is_new else ("c", "1")
        told: list[Any] = []
        try:
            await store.write_record(record(name, head, "2"), new_entries=entries(*links), expected_revision=expected)
        except ConversationConflict:
            told.append("conflict")
        for id in "abcdz":
            for limit in (None, -1, 0, 1, 2):
                try:
                    told.append([each.id for each in await store.read_history(id, limit=limit)])
                except KeyError:
                    told.append("nothing")
        told += [(each.conversation_id, each.head_id, each.revision) for each in await store.read_records()]
        for name in ("c", "new"):
            await store.delete(name)
        return told

    for head, links in WRITES:
        for is_new in (True, False):
            mine = asyncio.run(seen(store, head, links, is_new))
            assert mine == asyncio.run(seen(InMemoryConversationStore(), head, links, is_new)), (head, links, is_new)


def test_no_record_goes_on_from_the_history_of_another(store: MemorizzConversationStore) -> None:
    """Unless it is a fork from its first entry on: what it would leave behind is nobody's, and could not be deleted."""

    async def main() -> None:
        await store.write_record(record("c", "a"), new_entries=entries("a<"), expected_revision=None)
        await store.write_record(record("d", "b"), new_entries=entries("b<"), expected_revision=None)
        wrong = [("c", "x", ["x<b"], "1"), ("c", "b", ["x<a"], "1"), ("e", "a", ["x<b"], None)]
        for name, head, links, expected in wrong:
            with pytest.raises(ConversationConflict):
                await store.write_record(
                    record(name, head, "2"), new_entries=entries(*links), expected_revision=expected
                )
        await store.write_record(record("e", "a"), new_entries=entries("x<"), expected_revision=None)
        await store.delete("c")
        assert [each.id for each in await store.read_history("a")] == ["a"]
        for name in ("d", "e"):
            await store.delete(name)
        assert store.provider.count(ENTRIES.name) == 0

    asyncio.run(main())


def test_no_number_is_lost_and_what_no_json_holds_is_refused(store: MemorizzConversationStore) -> None:
    """Infinities are kept, and of a message with a value that no JSON holds nothing is; the error says which it is."""
    numbers = {"most": float("inf"), "least": -float("inf"), "tiny": 5e-324}
    given = Conversation(conversation_id="c", messages=[ModelResponse(parts=[ToolCallPart("t", numbers)])])
    asyncio.run(store.save(given))
    found = asyncio.run(store.load("c"))
    assert found is not None
    assert found.messages == given.messages
    for wrong in (object(), "\ud800", {"a": [object()]}):
        found.messages += [asked("fine"), ModelRequest(parts=[ToolReturnPart("t", wrong, tool_call_id="1")])]
        with pytest.raises(InvalidDocument, match=r"entries\[1\].*JSON"):
            asyncio.run(store.save(found))
        found.messages[1:] = []
    assert (asyncio.run(store.load("c")) or given).messages == found.messages


def test_messages_come_back_equal(store: MemorizzConversationStore) -> None:
    """Times to the microsecond, floats, bytes and whatever else a message holds survive exactly."""
    file = BinaryContent(b"\x00\xff", media_type="application/pdf")
    messages: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(["NUL \0", file])], instructions="do"),
        ModelResponse(
            parts=[TextPart("x"), ToolCallPart("t", {"f": 0.1 + 0.2, "n": 10**30, "none": None}, tool_call_id="1")],
            model_name="m",
        ),
    ]
    given = Conversation(conversation_id="c", messages=messages)
    given.usage.input_tokens = 7
    asyncio.run(store.save(given))
    found = asyncio.run(store.load("c"))
    assert found is not None
    assert found.messages == messages
    assert found.usage == given.usage
    found.messages.clear()
    assert (asyncio.run(store.load("c")) or found).messages == messages


def test_records_are_read_by_scope(store: MemorizzConversationStore) -> None:
    """Whole, the last saved first: of one scope, or of all and of none where None is asked for; the newest `limit`."""
    scopes = {"a": "ada", "b": "ben", "c": None, "d": "ada", "e": "ada.b"}

    async def main() -> None:
        for name, scope in scopes.items():
            await store.save(conversation(name, name), scope=scope)
        saved = await store.load("a", scope="ada")
        assert saved is not None
        saved.messages.append(asked("more"))
        await store.save(saved)

        async def read(**asked: Any) -> list[str]:
            return [each.conversation_id for each in await store.read_records(**asked)]

        assert await read() == await read(scope=None, limit=None) == ["a", "e", "d", "c", "b"]
        assert await read(scope="ada") == ["a", "d"]
        assert [await read(scope=other) for other in ("ada.b", "ad", "ada%", "")] == [["e"], [], [], []]
        assert [await read(scope="ada", limit=limit) for limit in (0, 1, 9)] == [[], ["a"], ["a", "d"]]
        assert await read(limit=2) == ["a", "e"]
        for record in await store.read_records():
            assert record == await store.read_record(record.conversation_id)
            assert record.scope == scopes[record.conversation_id]

    asyncio.run(main())


@pytest.mark.parametrize("name", HARD_NAMES)
def test_any_text_is_a_name(store: MemorizzConversationStore, name: str) -> None:
    """Conversations and scopes are compared whole."""
    near = [other for other in (*HARD_NAMES, name + "x", "%") if other != name]
    try:
        asyncio.run(store.save(conversation(name, "1"), scope=name))
    except ValueError:
        assert name == "\ud800"  # no JSON holds it
        return

    async def main() -> None:
        assert texts(await store.load(name, scope=name)) == ["1"]
        assert [each.conversation_id for each in await store.list_conversations(scope=name)] == [name]
        for other in near:
            assert await store.load(other) is None
            assert await store.list_conversations(scope=other) == []

    asyncio.run(main())


def test_of_many_who_save_at_once_one_wins(store: MemorizzConversationStore) -> None:
    """Each other one is told, and leaves nothing; who loads again and repeats loses nothing."""

    async def add(text: str) -> int:
        for attempt in range(1000):
            found = await store.load("c") or Conversation(conversation_id="c")
            found.messages.append(asked(text))
            try:
                await store.save(found)
            except ConversationConflict:
                continue
            return attempt
        raise AssertionError

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: asyncio.run(add(str(number))), range(20)))
    found = texts(asyncio.run(store.load("c")))
    assert found is not None
    assert sorted(found) == sorted(map(str, range(20)))
    entries = asyncio.run(store.load_entries("c")) or []
    assert store.provider.count(ENTRIES.name) == len(entries) + 1


def test_a_fork_of_what_is_deleted_meanwhile_is_whole_or_refused(store: MemorizzConversationStore) -> None:
    """No fork is left whose messages went with the original."""

    async def one(number: int) -> None:
        name, fork = f"c{number}", f"f{number}"
        await store.save(conversation(name, "1", "2"))

        async def forked() -> None:
            try:
                await store.fork(name, new_conversation_id=fork)
            except Exception as error:  # it is a conflict, or the original is not in the store
                assert "store" in str(error)  # noqa: PT017

        await asyncio.gather(forked(), store.delete(name))
        assert texts(await store.load(fork)) in (None, ["1", "2"])
        assert await store.load(name) is None

    for number in range(20):
        asyncio.run(one(number))


def test_who_deletes_what_has_changed_meanwhile_is_told(store: MemorizzConversationStore) -> None:
    """A record of another revision than is expected stays, as in the store in memory."""

    async def main() -> None:
        for each in (InMemoryConversationStore(), store):
            await each.save(conversation("c", "1"))
            for name in ("c", "nothing"):
                with pytest.raises(ConversationConflict):
                    await each.delete_record(name, expected_revision="another")
            assert texts(await each.load("c")) == ["1"]

    asyncio.run(main())


# --- in runs ------------------------------------------------------------------------------------------------------


def run(agent: Agent[Any, str], text: str, **options: Any) -> AgentRunResult[str]:
    """Run in an event loop that is closed, as that of run_sync is not."""
    return asyncio.run(agent.run(text, **options))


def test_a_run_goes_on_where_the_last_one_ended(store: MemorizzConversationStore) -> None:
    """What a result's conversation holds is saved, and sent with the next prompt."""
    agent = Agent(TestModel(custom_output_text="Yes."))

    async def main() -> None:
        result = await agent.run("I am Ada.", conversation=Conversation(conversation_id="c"))
        await store.save(result, scope="ada")
        result = await agent.run("Who am I?", conversation=await store.load("c", scope="ada"))
        await store.save(result, scope="ada")
        found = await store.load("c")
        assert found is not None
        assert found.messages == result.all_messages()
        assert len(found.messages) == 4

    asyncio.run(main())


def test_memory_is_a_capability(provider: PostgreSQLProvider) -> None:
    """The model adds and finds through two tools, in the memory of whoever the run is for, and in no other."""
    given: list[Any] = []

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert {tool.name for tool in info.function_tools} == {"search_memory", "add_memory"}
        assert "memory" in (info.instructions or "")
        last = messages[-1].parts[-1]
        if isinstance(last, UserPromptPart):
            if str(last.content).endswith("?"):
                return ModelResponse(parts=[ToolCallPart("search_memory", {"query": last.content})])
            return ModelResponse(parts=[ToolCallPart("add_memory", {"text": last.content})])
        given.append(last.content)
        return ModelResponse(parts=[TextPart("done")])

    agent = Agent(FunctionModel(model), deps_type=str, capabilities=[MemorizzMemory(lambda ctx: ctx.deps, provider)])
    run(agent, "Ada drinks tea.", deps="ada")
    run(agent, "Who drinks tea?", deps="ada")
    run(agent, "Who drinks tea?", deps="ben")
    assert given[1]["memories"] == [{"id": given[0]["id"], "text": "Ada drinks tea."}]
    assert given[2] == {"count": 0, "memories": []}
    assert provider.count(MEMORIES.name, {"memory_id": "ada"}) == 1
    tools = MemorizzMemory("ada", provider, read_only=True).get_toolset().tools
    assert list(tools) == ["search_memory"]


def test_a_text_that_cannot_be_kept_is_for_the_model_to_repair(provider: PostgreSQLProvider) -> None:
    """The run goes on, and the model is told what is wrong with it."""
    told: list[Any] = []

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        last = messages[-1].parts[-1]
        if isinstance(last, UserPromptPart):
            return ModelResponse(parts=[ToolCallPart("add_memory", {"text": "tea\0"})])
        told.append(last.content)
        if len(told) == 1:
            return ModelResponse(parts=[ToolCallPart("add_memory", {"text": "tea"})])
        return ModelResponse(parts=[TextPart("done")])

    agent = Agent(FunctionModel(model), capabilities=[MemorizzMemory("ada", provider)])
    assert run(agent, "Ada drinks tea.").output == "done"
    assert "NUL" in told[0]
    assert [each["content"] for each in provider.list_all(MEMORIES.name)] == ["tea"]


@pytest.mark.parametrize("wrong", [None, 5, b"ada"])
def test_what_is_no_text_names_no_memory(provider: PostgreSQLProvider, wrong: Any) -> None:
    """Neither when it is made nor as what a function of the run returns."""
    with pytest.raises(ConfigurationError, match="expected a str"):
        MemorizzMemory(wrong, provider)
    agent = Agent(TestModel(), capabilities=[MemorizzMemory(lambda _: wrong, provider)])
    with pytest.raises(ConfigurationError, match="expected a str"):
        run(agent, "tea")
    assert provider.count(MEMORIES.name) == 0


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """A conversation and a memory of one process are there in the next."""
    assert len(run_page("pydantic-ai.md")) >= 2
