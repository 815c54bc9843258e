"""Whatever stands in a file: what is read is what is there, and what is wrong is an error of ours."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from samples import (
    SAMPLES,
    chatgpt_conversations,
    claude_code_line,
    claude_conversation,
    claude_message,
    codex_line,
    codex_message,
    discord_channel,
    discord_message,
    slack_members,
    zipped,
)

from memorizz.errors import InvalidFile, MemorizzError
from memorizz.importers import Found, read
from memorizz.importers._json import JSONReader, beginnings

VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["user", "message", "\0", "9" * 30, "1e999", "2024-01-01", "\ud800", "id"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
# What JSON can be written of, with every float as it is.
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def reader(data: bytes, chunk: int) -> JSONReader:
    """Return a reader of bytes, of which each read brings so many, whatever it asks for."""
    at = 0

    def more(_: int) -> bytes:
        nonlocal at
        at += chunk
        return data[at - chunk : at]

    return JSONReader(more, lambda where, why: InvalidFile("file", where, why), 2**20)


@given(st.lists(JSON, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
@example(["é" * 20, {"😀": 12345}], 1, None, False)
def test_json_is_read_piece_by_piece(values: list[Any], chunk: int, indent: int | None, escaped: bool) -> None:
    """However few bytes come at a time, the elements of an array are those that are in it."""
    data = json.dumps(values, indent=indent, ensure_ascii=escaped).encode()
    text = reader(data, chunk)
    assert [*text.elements()] == values
    text.end()


@given(st.lists(JSON, min_size=1, max_size=4), st.integers(1, 40), st.floats(0, 1, exclude_max=True))
@example([1e16], 1, 3 / 7)
@example([-2.5e-300], 1, 6 / 11)
def test_json_that_is_cut_off_is_refused_where_it_ends(values: list[Any], chunk: int, share: float) -> None:
    """At whatever byte, within a number too; elements before it are as they were."""
    whole = json.dumps(values, ensure_ascii=False).encode()
    length = min(int(len(whole) * share), len(whole) - 1)
    found: list[Any] = []
    with pytest.raises(InvalidFile) as refused:  # noqa: PT012
        for value in reader(whole[:length], chunk).elements():
            found.append(value)
    assert found == values[: len(found)]
    place = int(refused.value.where.removeprefix("byte ").replace(",", ""))
    assert length - 3 <= place <= length


@given(st.binary(max_size=60), st.integers(1, 9))
def test_bytes_that_are_no_json_are_refused(data: bytes, chunk: int) -> None:
    """As the library of Python refuses them, with a place that is in the file."""
    try:
        expected = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        expected = None
    text = reader(data, chunk)
    if isinstance(expected, list):
        assert repr([*text.elements()]) == repr(expected)
        text.end()
        return
    with pytest.raises(InvalidFile) as refused:  # noqa: PT012
        [*text.elements()]
        text.end()
    assert 0 <= int(refused.value.where.removeprefix("byte ").replace(",", "")) <= len(data)


@given(st.text(max_size=80))
@example('[{"a": {"b": [1, 2')
@example('{"a": 1}{"b": tru')
def test_the_beginning_of_any_text_can_be_looked_at(text: str) -> None:
    """It is an array of objects, or objects, or nothing."""
    in_array, found = beginnings(text)
    assert isinstance(in_array, bool)
    assert all(isinstance(each, dict) for each in found)


def changed(value: Any, data: st.DataObject) -> Any:
    """Return a value with something else in the place of one of its parts, or without one."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []

    def walk(inside: Any) -> None:
        for key in inside if isinstance(inside, dict) else range(len(inside)):
            places.append((inside, key))
            if isinstance(inside[key], dict | list):
                walk(inside[key])

    walk(value)
    for _ in range(data.draw(st.integers(1, 3))):
        inside, key = data.draw(st.sampled_from(places))
        if isinstance(inside, list) or key in inside:
            inside[key] = data.draw(VALUES)
    return value


WHOLE: dict[str, Any] = {
    "conversations.json": [
        *chatgpt_conversations(2),
    ],
    "claude/conversations.json": [
        claude_conversation("a", claude_message("m", "human", "Tea?"), claude_message("n", "assistant", "Tea.")),
        claude_conversation("b", claude_message("m", "human", "Tea?"), current_leaf_message_uuid="m"),
    ],
    "session.jsonl": [
        claude_code_line("a", "user", "Tea?"),
        claude_code_line("b", "assistant", [{"type": "text", "text": "Tea."}, {"type": "tool_use"}]),
    ],
    "rollout-1.jsonl": [
        codex_line("session_meta", id="s", cwd="/"),
        codex_line("response_item", **codex_message("user", "Tea?")),
    ],
    **slack_members(),
    "discord.json": discord_channel(discord_message("1", "Tea?"), discord_message("2", "Tea.", type="Reply")),
    "messages/c1/messages.json": [{"ID": 1, "Timestamp": "2023-01-15 09:30:00", "Contents": "Tea?"}],
    "messages/c1/channel.json": {"id": "1", "name": "tea", "guild": {"name": "house"}},
    "account/user.json": {"id": "7", "username": "ada"},
    "chat.txt": "13/1/2024, 10:00 - Ada: Tea?\n",
}


@pytest.mark.parametrize("name", list(SAMPLES))
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """No format is brought down by what it does not expect: it is left out, or an error of ours."""
    members = changed(WHOLE, data)
    files: dict[str, bytes] = {}
    for path, value in members.items():
        is_lines = path.endswith("l") and isinstance(value, list)
        text = "\n".join(map(json.dumps, value)) if is_lines else value if isinstance(value, str) else json.dumps(value)
        files[path] = text.encode("utf-8", "surrogatepass")
    with tempfile.TemporaryDirectory() as folder:
        path = zipped(Path(folder, "a.zip"), files)
        try:
            for each in read(path, format=name):
                if isinstance(each, Found):
                    assert all(isinstance(part, str) for part in each.key)
                    assert isinstance(each.document["content"], str)
        except MemorizzError:
            pass


@settings(deadline=None)
@given(st.text(alphabet="[]0123456789/.-,: \u202fAPM\u200e\n<>ab\u0663", max_size=120))
@example("31/12/2023, 25:00 - Ada: x")
@example("[31/12/2023, 23:59:58] Ada: x\n[32/12/2023, 23:59:58] Ada: x")
def test_any_text_is_a_chat_or_refused(text: str) -> None:
    """Whatever looks like a date."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.txt")
        path.write_text(text, "utf-8")
        try:
            for each in read(path, format="whatsapp"):
                assert each.place.startswith("line ")
        except MemorizzError:
            pass
