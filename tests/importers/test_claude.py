"""The export of Claude."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from samples import claude, claude_conversation, claude_message, documents, left_out, written, zipped

from memorizz.importers import import_file
from memorizz.memory_provider.postgresql import PostgreSQLProvider


def test_a_conversation_is_what_was_said(tmp_path: Path) -> None:
    """With times to the microsecond, whose words they are, and where they come from."""
    first, second, *_ = documents(claude(tmp_path)[0])
    assert first["role"] == "user"
    assert second == {
        "conversation_id": "claude:tea-0",
        "role": "assistant",
        "content": "Green tea.",
        "timestamp": datetime(2024, 5, 1, 10, 0, 5, 123456, UTC),
        "source": {"format": "claude", "id": "0-said", "conversation": "tea-0", "title": "About tea-0"},
    }


def test_what_is_no_text_is_left_out(tmp_path: Path) -> None:
    """Tools and thoughts, each named; the names of files are kept, and text that has no blocks."""
    messages = [
        claude_message("a", "human", "See this.", attachments=[{"file_name": "tea.txt", "extracted_content": "x"}]),
        claude_message("b", "assistant", {"type": "thinking", "thinking": "Hm."}),
        claude_message("c", "assistant", {"type": "tool_use", "name": "search"}, {"type": "tool_result"}),
        claude_message("d", "assistant", {"type": "thinking", "thinking": "Hm."}, "One.", {"type": "tool_use"}, "Two."),
        claude_message("e", "human") | {"content": [], "text": "No blocks."},
        claude_message("f", "human", files=[{"file_name": "tea.png"}]),
        claude_message("g", "somebody", "x"),
        {"sender": "human", "text": "no id"},
    ]
    path = written(tmp_path / "a.json", [claude_conversation("one", *messages)])
    found = documents(path)
    assert [each["content"] for each in found] == ["See this.", "One.\nTwo.", "No blocks."]
    assert found[0]["attachments"] == ["tea.txt"]
    assert {reason: [place[-1] for place in places] for reason, places in left_out(path).items()} == {
        "what a model thought before it answered": ["2"],
        "a call of a tool, or its answer": ["3"],
        "a message without text: an image, a file, a call": ["6"],
        "it is not as this format has it": ["7"],
        "it has no id of its own": ["8"],
    }


def test_only_the_branch_that_was_shown_last_is_kept(tmp_path: Path) -> None:
    """Where the file says which it is; a circle comes to an end, and what is no conversation is named."""
    messages = [
        claude_message("a", "human", "A", parent_message_uuid="root"),
        claude_message("b", "human", "B", parent_message_uuid="root"),
        claude_message("c", "assistant", "C", parent_message_uuid="b"),
    ]
    circle = [claude_message("d", "human", "D", parent_message_uuid="d")]
    path = written(
        tmp_path / "a.json",
        [
            claude_conversation("one", *messages, current_leaf_message_uuid="c"),
            claude_conversation("two", *circle, current_leaf_message_uuid="d"),
            claude_conversation("three", *messages, current_leaf_message_uuid="lost"),
            {"uuid": "four", "chat_messages": None},
            {"chat_messages": []},
            7,
        ],
    )
    assert [each["content"] for each in documents(path)] == ["B", "C", "D", "A", "B", "C"]
    assert left_out(path) == {
        "it is on another branch than the conversation ended with": ["conversation 1, message 1"],
        "it is not as this format has it": ["conversation 4", "conversation 6"],
        "it has no id of its own": ["conversation 5"],
    }


def test_what_claude_has_noted_is_a_memory(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Of all conversations, and of each project; one that has changed since is another."""
    noted = {"conversations_memory": "Ada likes tea.", "project_memories": {"p1": "A tea house.", "p2": ""},
             "account_uuid": "a1"}  # fmt: skip
    talk = claude_conversation("one", claude_message("m", "human", "Tea?"))
    path = zipped(tmp_path / "a.zip", {"conversations.json": [talk], "memories.json": [noted]})
    first, second, said = documents(path)
    assert first == {
        "name": "conversations",
        "content": "Ada likes tea.",
        "kind": "memory",
        "source": {"format": "claude", "id": "conversations", "account": "a1"},
    }
    assert (second["name"], second["content"], said["content"]) == ("p1", "A tea house.", "Tea?")
    assert left_out(path) == {"a note without text": ["memories.json, account 1, p2"]}
    assert import_file(path, provider).stored == {"long_term_memory": 2, "conversation_memory": 1}
    changed = noted | {"conversations_memory": "Ada likes coffee.", "memory_files": [{}]}
    for path in (
        written(tmp_path / "memories.json", changed),
        zipped(tmp_path / "b.zip", {"memories/a1.json": changed}),
    ):
        report = import_file(path, provider, dry_run=True)
        assert (report.stored, report.there) == ({"long_term_memory": 1}, {"long_term_memory": 1})
        assert "files of Claude's memory, whose layout is not known here" in report.left_out
