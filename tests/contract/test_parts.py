"""A content in parts, as chat APIs send turns: kept as it is, found and compared by its text."""

from __future__ import annotations

from typing import Any

import pytest

from memorizz.errors import InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.example/kettle.png", "detail": "low"}}
OPENAI = [{"type": "text", "text": "What is in this photo of a kettle?"}, IMAGE]
ANTHROPIC = [
    {"type": "text", "text": "I look the weather up.", "cache_control": {"type": "ephemeral"}},
    {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "weather",
        "input": {"city": "Orl\u00e9ans", "days": 2, "unit": None},
    },
]
CONTENTS = [
    OPENAI,
    ANTHROPIC,
    [
        {
            "type": "tool_result",
            "tool_use_id": "toolu_1",
            "content": [{"type": "text", "text": "rain"}],
            "is_error": False,
        }
    ],
    [
        {"type": "input_text", "text": "hello"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="},
    ],
    [{"text": "a part of Gemini"}, {"inline_data": {"mime_type": "image/png", "data": "iVBORw0KGgo="}}],
    [{"type": "text", "text": {"value": "an assistant's", "annotations": []}}],
    ["a bare text", "another"],
    [{"type": "text", "text": ""}],
    [{"$type": "a.b", "1.5": 1e23, "": [None, 10**30]}, {}],
    [],
]


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
@pytest.mark.parametrize("call", ["store", "store_many", "many", "update", "merge", "transaction"])
def test_parts_come_back_as_they_went_in(api: Any, content: list[Any], call: str) -> None:
    """Whichever way they are stored, in every read."""
    document = {"id": "a", "memory_id": "m", "role": "user", "embedding": EAST}
    if call in ("update", "merge"):
        api.store({**document, "content": "before", "n": 1}, TURNS)
    if call == "store":
        api.store({**document, "content": content}, TURNS)
    elif call == "store_many":
        api.store_many([{**document, "content": content}], TURNS)
    elif call == "many":
        api.store_many([{**document, "content": content}, *({"content": "tea"} for _ in range(20))], TURNS)
    elif call == "update":
        assert api.update_by_id("a", {"content": content}, TURNS) is True
    elif call == "merge":
        api.store({"id": "a", "content": content}, TURNS)
    else:
        with api.transaction() as transaction:
            transaction.store({**document, "content": content}, TURNS)
    assert api.update_by_id("a", {"other": 1}, TURNS) is True
    api.store({"id": "a", "other": 2}, TURNS)
    found = [
        api.retrieve_by_id("a", TURNS),
        api.list_all(TURNS)[0],
        *api.retrieve_by_query({"id": "a"}, TURNS),
        *api.retrieve_by_query({"embedding": EAST, "memory_id": "m"}, TURNS),
        *api.iterate(TURNS, {"memory_id": "m"}),
        *api.retrieve_conversation_history_ordered_by_timestamp("m"),
        *api.retrieve_memory_components_by_query(None, EAST, "m"),
    ]
    assert [each["content"] for each in found] == [content] * 7
    assert {"parts", "_memorizz"}.isdisjoint(found[0])
    # A document that was read can be stored back.
    api.store(found[2], TURNS)
    assert api.retrieve_by_id("a", TURNS)["content"] == content


def test_what_is_stored_over_parts_takes_their_place(api: Any) -> None:
    """A text, other parts or None; and a tuple is a list."""
    for id in ("new", "old"):
        api.store({"id": id, "content": OPENAI}, TURNS)
    for content, kept in (("text", "text"), (tuple(ANTHROPIC), ANTHROPIC), (None, None), ([], []), ("", "")):
        api.store({"id": "new", "content": content}, TURNS)
        assert api.update_by_id("old", {"content": content}, TURNS) is True
        assert [each["content"] for each in api.list_all(TURNS)] == [kept, kept]


def test_the_caller_keeps_its_parts(api: Any) -> None:
    """They are not changed by storing them."""
    document = {"content": [{"type": "text", "text": "tea"}]}
    api.store(document, TURNS)
    assert document == {"content": [{"type": "text", "text": "tea"}]}


def test_words_are_those_of_the_text_parts(api: Any) -> None:
    """Not those of addresses and names of fields, and after a change those of today."""
    api.store({"id": "a", "memory_id": "m", "content": [*OPENAI, {"type": "text", "text": "It whistles."}]}, TURNS)

    def found(words: str) -> list[str]:
        hits = api.retrieve_by_query({"$text": {"$search": words}}, TURNS, 5)
        assert hits == api.retrieve_by_query(words, TURNS, 5)
        return [hit["id"] for hit in hits]

    assert (found("kettle"), found("whistle"), found("image_url"), found("low")) == (["a"], ["a"], [], [])
    [hit] = api.retrieve_memory_components_by_query("kettle", memory_id="m")
    assert hit["content"][:2] == OPENAI
    api.update_by_id("a", {"content": ANTHROPIC}, TURNS)
    assert (found("kettle"), found("weather")) == ([], ["a"])


def test_filters_compare_the_text_and_the_parts(api: Any) -> None:
    """A text with the text, a list or an object with the parts, a path leads into them."""
    texts = {"openai": OPENAI, "anthropic": ANTHROPIC, "text": OPENAI[0]["text"], "empty": [], "none": None}
    api.store_many([{"id": id, "content": content} for id, content in texts.items()], TURNS)

    def found(filter: dict[str, Any]) -> list[str]:
        return [each["id"] for each in api.retrieve_by_query(filter, TURNS, 9)]

    assert found({"content": OPENAI}) == ["openai"]
    assert found({"content": {"$in": [ANTHROPIC, OPENAI[0]["text"], []]}}) == ["openai", "anthropic", "text", "empty"]
    assert found({"content": {"$ne": OPENAI}}) == ["anthropic", "text", "empty", "none"]
    assert found({"content": OPENAI[0]["text"]}) == ["openai", "text"]
    assert found({"content": {"$contains": "kettle"}}) == ["openai", "text"]
    assert found({"content": {"$contains": IMAGE}}) == ["openai"]
    assert found({"content": {"$not": {"$contains": {"type": "image_url"}}}}) == list(texts)
    assert found({"content.1.image_url.detail": "low"}) == ["openai"]
    assert found({"content.1.input.days": {"$gte": 2}}) == ["anthropic"]
    assert found({"content.0.text": {"$exists": True}}) == ["openai", "anthropic"]
    assert found({"content": None}) == ["none"]
    assert found({"content": {"$exists": True}}) == list(texts)


@pytest.mark.parametrize(
    ("content", "path", "reason"),
    [
        ([1], "content[0]", "expected a part"),
        (["a", None], "content[1]", "expected a part"),
        ([{"type": "text", "text": "a\0b"}], "content[0].text", "NUL"),
        (["fine", "a\0b"], "content[1]", "NUL"),
        ([{"type": "image", "source": {"data": b"png"}}], "content[0].source.data", "bytes"),
        ({"type": "text", "text": "a"}, "content", "a list of parts"),
        (5, "content", "expected a str, a list of parts or None"),
    ],
    ids=repr,
)
def test_what_are_no_parts_is_refused(api: Any, content: Any, path: str, reason: str) -> None:
    """By the path of what is wrong, and nothing is stored."""
    with pytest.raises(InvalidDocument, match=reason) as caught:
        api.store({"content": content}, TURNS)
    assert caught.value.path == path
    assert api.count(TURNS) == 0
