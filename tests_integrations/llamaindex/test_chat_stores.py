"""MemorizzChatStore, and MemorizzMemoryChatStore with LlamaIndex's Memory, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.memory import ChatMemoryBuffer, Memory, VectorMemoryBlock
from llama_index.core.storage.chat_store.base_db import MessageStatus

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, ProviderClosed
from memorizz.integrations.llamaindex import MemorizzChatStore, MemorizzMemoryChatStore, MemorizzVectorStore

KEYS = ["", " ", "a", "a.b", "a%2Eb", "../a", "ü" * 2000, "a\x00", '["a"]', "\N{TEAPOT}"]


def run(awaitable: Any) -> Any:
    return asyncio.run(awaitable)


def said(texts: str) -> list[ChatMessage]:
    return [ChatMessage(text, role="assistant" if n % 2 else "user") for n, text in enumerate(texts)]


def contents(messages: Any) -> str:
    return "".join(message.content for message in messages)


@pytest.fixture
def chats(provider: PostgreSQLProvider) -> MemorizzChatStore:
    return MemorizzChatStore(provider)


@pytest.fixture
def queue(provider: PostgreSQLProvider) -> MemorizzMemoryChatStore:
    return MemorizzMemoryChatStore(provider)


MESSAGES = [
    ChatMessage("Be short.", role=MessageRole.SYSTEM),
    ChatMessage(
        role="user",
        blocks=[TextBlock(text="What\x00 is it? \ud83c"), ImageBlock(image=b"aGk=", image_mimetype="image/png")],
        additional_kwargs={"z": 1, "a": {"b": [None, 2.5]}},
    ),
    ChatMessage(
        role="assistant", blocks=[ToolCallBlock(tool_call_id="1", tool_name="add", tool_kwargs={"b": 1, "a": 2})]
    ),
    ChatMessage("3", role="tool", additional_kwargs={"tool_call_id": "1"}),
]


def test_messages_come_back_as_they_were(chats: MemorizzChatStore) -> None:
    """In their order, whatever is in them: blocks, calls of tools, keywords, a NUL; and they are copies."""
    chats.set_messages("s", MESSAGES)
    found = chats.get_messages("s")
    assert [each.model_dump() for each in found] == [each.model_dump() for each in MESSAGES]
    found[0].additional_kwargs["x"] = 1
    assert chats.get_messages("s")[0].additional_kwargs == {}
    assert chats.get_messages("another") == []


def test_changing_a_chat(chats: MemorizzChatStore) -> None:
    """Adding, replacing, deleting by place, the last and all; what is not there is None."""
    for message in said("abc"):
        chats.add_message("s", message)
    assert contents(chats.get_messages("s")) == "abc"
    assert contents([chats.delete_message("s", 1)]) == "b"
    assert chats.delete_message("s", 2) is chats.delete_message("s", -3) is chats.delete_message("t", 0) is None
    chats.add_message("s", ChatMessage("d"))
    assert contents([chats.delete_last_message("s")]) == "d"
    assert contents(chats.get_messages("s")) == "ac"
    chats.set_messages("s", said("xyz"))
    assert contents(chats.get_messages("s")) == "xyz"
    assert contents(chats.delete_messages("s")) == "xyz"
    assert chats.get_messages("s") == []
    assert chats.delete_messages("s") is chats.delete_last_message("s") is None


def test_any_text_is_a_key(chats: MemorizzChatStore) -> None:
    """Whatever is in it, no two are one, and all are listed in the order of their first message."""
    for number, key in enumerate(KEYS):
        chats.set_messages(key, said(str(number)))
    assert [contents(chats.get_messages(key)) for key in KEYS] == [str(number) for number in range(len(KEYS))]
    chats.add_message(KEYS[0], ChatMessage("again"))
    assert chats.get_keys() == KEYS
    chats.delete_messages("a")
    assert chats.get_keys() == [key for key in KEYS if key != "a"]
    with pytest.raises(ConfigurationError, match="expected a str"):
        chats.get_messages(7)  # type: ignore[arg-type]


def test_awaited(chats: MemorizzChatStore) -> None:
    """Each method has an async face."""

    async def all_of_them() -> None:
        await chats.aset_messages("s", said("ab"))
        await chats.async_add_message("s", ChatMessage("c"))
        assert contents(await chats.aget_messages("s")) == "abc"
        assert contents([await chats.adelete_message("s", 0), await chats.adelete_last_message("s")]) == "ac"
        assert await chats.aget_keys() == ["s"]
        assert contents(await chats.adelete_messages("s")) == "b"

    run(all_of_them())


def test_a_buffer_goes_on_in_another_process(config: PostgreSQLConfig) -> None:
    """As many of its newest messages as it has room for."""
    for text in "ab":
        with MemorizzChatStore(config) as chats:
            buffer = ChatMemoryBuffer.from_defaults(
                chat_store=chats, chat_store_key="s", token_limit=100, tokenizer_fn=str.split
            )
            buffer.put(ChatMessage(text))
    with MemorizzChatStore(config) as chats:
        buffer = ChatMemoryBuffer.from_defaults(
            chat_store=chats, chat_store_key="s", token_limit=100, tokenizer_fn=str.split
        )
        assert contents(buffer.get()) == "ab"


def test_only_one_gets_the_last(chats: MemorizzChatStore) -> None:
    """Fifty threads that add lose nothing, and of fifty that take the last one each gets another."""
    together = threading.Barrier(50)

    def add(number: int) -> None:
        together.wait(60)
        chats.add_message("s", ChatMessage(f"{number}."))

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(add, range(50)))
        assert len(chats.get_messages("s")) == 50
        taken = list(threads.map(lambda _: chats.delete_last_message("s"), range(60)))
    assert sorted(each.content for each in taken if each) == sorted(f"{n}." for n in range(50))


# --- of a Memory --------------------------------------------------------------------------------------------------


def test_a_queue(queue: MemorizzMemoryChatStore, chats: MemorizzChatStore) -> None:
    """Active messages are archived, or deleted, the oldest first; each status is read, counted and deleted alone."""

    async def all_of_them() -> None:
        await queue.add_messages("s", said("abc"))
        await queue.add_message("s", ChatMessage("d"))
        await queue.add_message("s", ChatMessage("z"), MessageStatus.ARCHIVED)
        assert contents(await queue.get_messages("s")) == "abcd"
        assert contents(await queue.get_messages("s", status=None)) == "abcdz"
        assert contents(await queue.get_messages("s", limit=2, offset=1)) == "bc"
        assert await queue.get_messages("s", limit=0) == []
        assert contents(await queue.archive_oldest_messages("s", 2)) == "ab"
        assert contents(await queue.delete_oldest_messages("s", 1)) == "c"
        assert contents(await queue.get_messages("s", MessageStatus.ARCHIVED)) == "abz"
        counts = [await queue.count_messages("s", status) for status in (*MessageStatus, None)]
        assert counts == [1, 3, 4]
        assert contents([await queue.delete_message("s", 0)]) == "a"
        await queue.delete_messages("s", MessageStatus.ARCHIVED)
        assert contents(await queue.get_messages("s", status=None)) == "d"
        assert await queue.get_keys() == ["s"]
        await queue.set_messages("s", said("xy"))
        assert contents(await queue.get_messages("s", status=None)) == "xy"
        await queue.delete_messages("s")
        assert await queue.get_keys() == await queue.get_messages("s", status=None) == []
        assert await queue.archive_oldest_messages("s", 1) == await queue.delete_oldest_messages("s", 1) == []
        assert await queue.delete_message("s", 0) is None
        await queue.delete_messages("s")
        assert await queue.count_messages("s") == 0

    run(all_of_them())
    run(queue.set_messages("s", MESSAGES))
    assert [each.model_dump() for each in chats.get_messages("s")] == [each.model_dump() for each in MESSAGES]


def test_a_memory_goes_on_in_another_process(config: PostgreSQLConfig) -> None:
    """What does not fit any more is archived, and found by its block of vectors."""

    def opened(provider: PostgreSQLProvider) -> Memory:
        block = VectorMemoryBlock(
            vector_store=MemorizzVectorStore(provider, embed_dim=2),
            embed_model=MockEmbedding(embed_dim=2),
            similarity_top_k=9,
        )
        return Memory.from_defaults(
            "s",
            token_limit=40,
            chat_history_token_ratio=0.5,
            token_flush_size=10,
            chat_store=MemorizzMemoryChatStore(provider),
            memory_blocks=[block],
            tokenizer_fn=str.split,
        )

    with PostgreSQLProvider(config) as provider:
        memory = opened(provider)
        for n in range(6):
            role = "assistant" if n % 2 else "user"
            run(memory.aput(ChatMessage(f"banana {n} and a few more words", role=role)))
    with PostgreSQLProvider(config) as provider:
        memory = opened(provider)
        active, every = run(memory.aget_all(MessageStatus.ACTIVE)), run(memory.aget_all())
        assert 0 < len(active) < len(every) == 6
        given = run(memory.aget())
        assert "<memory>" in given[0].content
        assert "banana 0" in given[0].content
        assert given[-1].content == every[-1].content
        run(memory.areset())
        assert run(memory.aget_all()) == []


def test_what_is_taken_is_taken_once(queue: MemorizzMemoryChatStore) -> None:
    """Several loops that archive at once get each message once."""
    run(queue.add_messages("s", [ChatMessage(f"{n}.") for n in range(40)]))
    with ThreadPoolExecutor(20) as threads:
        taken = list(threads.map(lambda _: run(queue.archive_oldest_messages("s", 3)), range(20)))
    assert sorted(each.content for some in taken for each in some) == sorted(f"{n}." for n in range(40))


def test_what_is_closed_says_so(config: PostgreSQLConfig) -> None:
    """A closed store is an error."""
    with MemorizzMemoryChatStore(config) as queue, MemorizzChatStore(config) as chats:
        pass
    with pytest.raises(ProviderClosed):
        run(queue.get_messages("s"))
    with pytest.raises(ProviderClosed):
        chats.get_messages("s")
