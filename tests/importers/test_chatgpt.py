"""The export of ChatGPT."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samples import chatgpt_conversation, chatgpt_conversations, chatgpt_message, documents, left_out, written

from memorizz.importers import Found, read


def test_a_conversation_is_the_branch_that_it_ended_with(tmp_path: Path) -> None:
    """In order, with times, whose words they are, and where they come from."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(1))
    assert documents(path) == [
        {
            "conversation_id": "chatgpt:tea-0",
            "role": "user",
            "content": "Which tea does Ada like? 0",
            "timestamp": datetime.fromtimestamp(1_700_000_002, UTC),
            "source": {"format": "chatgpt", "id": "0-asked", "conversation": "tea-0", "title": "About tea-0"},
        },
        {
            "conversation_id": "chatgpt:tea-0",
            "role": "assistant",
            "content": "Ada likes green tea.",
            "timestamp": datetime.fromtimestamp(1_700_000_003.25, UTC),
            "model": "gpt-4o",
            "source": {"format": "chatgpt", "id": "0-said", "conversation": "tea-0", "title": "About tea-0"},
        },
    ]
    assert left_out(path) == {
        "it is on another branch than the conversation ended with": ["conversation 1, message 0-first"],
        "a message of the system, or of a tool": ["conversation 1, message 0-system"],
    }


def test_what_is_no_text_of_the_two_is_left_out(tmp_path: Path) -> None:
    """Tools, thoughts, hidden messages and images without words, each named; words beside an image are kept."""
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1"}
    spoken = {"content_type": "audio_transcription", "text": "What I say.", "direction": "in"}
    nodes = [
        chatgpt_message(
            "a", "user", {"content_type": "multimodal_text", "parts": [picture, "What is this?"]}, "root", 1
        ),
        chatgpt_message("b", "user", {"content_type": "multimodal_text", "parts": [picture]}, "a", 2),
        chatgpt_message("c", "user", {"content_type": "multimodal_text", "parts": [spoken]}, "b", 3),
        chatgpt_message("d", "assistant", {"content_type": "thoughts", "thoughts": []}, "c", 4),
        chatgpt_message("e", "assistant", {"content_type": "code", "text": "search()"}, "d", 5, recipient="browser"),
        chatgpt_message("f", "tool", {"content_type": "execution_output", "text": "1"}, "e", 6),
        chatgpt_message("g", "user", "x", "f", 7, metadata={"is_visually_hidden_from_conversation": True}),
        chatgpt_message("h", "assistant", {"content_type": "code", "text": "print(1)"}, "g"),
    ]
    path = written(tmp_path / "conversations.json", [chatgpt_conversation("one", *nodes)])
    assert [each["content"] for each in documents(path)] == ["What is this?", "What I say.", "print(1)"]
    assert {reason: [place[-1] for place in places] for reason, places in left_out(path).items()} == {
        "a message without text: an image, a file, a call": ["b"],
        "what a model thought before it answered": ["d"],
        "what an assistant said to a tool": ["e"],
        "a message of the system, or of a tool": ["f"],
        "a message that ChatGPT does not show": ["g"],
    }
    # The last one says no time.
    assert documents(path)[-1]["timestamp"] == datetime.fromtimestamp(3, UTC)
    assert [each.remarks for each in read(path) if isinstance(each, Found)] == [
        (),
        (),
        ("it says no time: given that of what was said before it",),
    ]


def test_a_text_is_as_a_page_shows_it(tmp_path: Path) -> None:
    """With names, links and what the message says of its sources in the place of the marks; without them, nothing."""
    source = "\ue200cite\ue202turn0search1\ue201"
    entity, link = "\ue200entity\ue202{}\ue201".format, "\ue200url\ue202Tea\ue202https://tea.example\ue201"
    named = entity('["people","Ada","a person"]')
    words = (
        f"{named} likes tea. {source} Really {source.replace('1', '2')}. "
        f"See {link}, {entity('Green tea')}, {entity('[')}.\ue200"
    )
    said = {"matched_text": source, "alt": "([Tea](https://tea.example))"}
    metadata = {"content_references": [said, None, {"matched_text": None}]}
    node = chatgpt_message("a", "assistant", words, "root", 1, metadata=metadata)
    [found] = documents(written(tmp_path / "conversations.json", [chatgpt_conversation("one", node)]))
    assert found["content"] == (
        "Ada likes tea. ([Tea](https://tea.example)) Really. See Tea (https://tea.example), Green tea, [.\ue200"
    )


def test_files_and_the_gpt_are_named_and_conversations_may_have_a_key(tmp_path: Path) -> None:
    """As some exports have it: an object with `conversations` in it."""
    metadata = {"attachments": [{"name": "tea.pdf", "id": "file-1"}, None]}
    node = chatgpt_message("a", "user", "Read this.", "root", 1, metadata=metadata)
    conversation = chatgpt_conversation("one", node, gizmo_id="g-tea")
    path = written(tmp_path / "a.json", {"more": [1], "conversations": [conversation]})
    [found] = documents(path)
    assert (found["attachments"], found["source"]["gpt"]) == (["tea.pdf"], "g-tea")
    assert [found] == documents(written(tmp_path / "b.json", [conversation]))


def test_trees_that_are_no_trees_come_to_an_end(tmp_path: Path) -> None:
    """Circles, missing nodes, other kinds of values: what can be read is, and what cannot is named."""
    circle = chatgpt_conversation(
        "circle", chatgpt_message("a", "user", "A", "root"), chatgpt_message("b", "user", "B", "a")
    )
    circle["mapping"]["a"]["parent"] = "b"
    endless = circle | {"current_node": None, "id": "endless", "conversation_id": "endless"}
    lost = chatgpt_conversation("lost", chatgpt_message("c", "user", "C", "root"), end="nowhere")
    strange: list[Any] = [
        None,
        1,
        {"mapping": []},
        {"mapping": {}},
        {"id": "x", "mapping": {"a": 1, "b": {"message": 2}}},
    ]
    path = written(tmp_path / "conversations.json", [circle, endless, lost, *strange])
    assert [each["content"] for each in documents(path)] == ["A", "B", "A", "B", "C"]
    assert left_out(path)["it is not as this format has it"] == [f"conversation {number}" for number in (4, 5, 6)]
    assert left_out(path)["it has no id of its own"] == ["conversation 7"]
