"""The logs of Claude Code and of Codex."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from samples import claude_code_line, codex, codex_line, codex_message, documents, left_out, lines, written

from memorizz.importers import import_file, read
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TALK = "conversation_memory"


def test_claude_code_keeps_what_the_two_have_said(tmp_path: Path) -> None:
    """Not what tools, agents of agents and the program itself wrote; each is named with its line."""
    image = {"type": "image", "source": {"type": "base64", "data": "x"}}
    log = lines(
        claude_code_line("a", "user", "Make tea."),
        claude_code_line("b", "assistant", [{"type": "thinking", "thinking": "Hm."}]),
        claude_code_line("c", "assistant", [{"type": "tool_use", "name": "Bash", "input": {}}]),
        claude_code_line("d", "user", [{"type": "tool_result", "tool_use_id": "1", "content": "done"}]),
        claude_code_line("e", "assistant", [{"type": "text", "text": "It is made."}]),
        claude_code_line("f", "user", [{"type": "text", "text": "What is this?"}, image]),
        claude_code_line("g", "user", "Look for tea.", isSidechain=True),
        claude_code_line("h", "user", "Caveat: ...", isMeta=True),
        claude_code_line("i", "user", "<command-name>/clear</command-name>"),
        claude_code_line("j", "user", [image]),
        {"type": "system", "uuid": "k", "sessionId": "session-1"},
        claude_code_line("l", "user", "no session", sessionId=None),
        claude_code_line("", "user", "no id"),
        [],
    )
    path = written(tmp_path / "a.jsonl", log)
    found = documents(path)
    assert [(each["role"], each["content"]) for each in found] == [
        ("user", "Make tea."), ("assistant", "It is made."), ("user", "What is this?"),
    ]  # fmt: skip
    assert found[1] == {
        "conversation_id": "claude-code:session-1",
        "role": "assistant",
        "content": "It is made.",
        "model": "claude-1",
        "timestamp": datetime(2025, 5, 26, 7, 27, 40, 79000, UTC),
        "source": {"format": "claude-code", "id": "e", "conversation": "session-1", "project": "/home/ada/tea"},
    }
    assert left_out(path) == {
        "what a model thought before it answered": ["line 2"],
        "a call of a tool, or its answer": ["line 3", "line 4"],
        "what an agent was told, or said, that another one had started": ["line 7"],
        "a command, or what the program says by itself": ["line 8", "line 9"],
        "a message without text: an image, a file, a call": ["line 10"],
        "an event of the program, and no message": ["line 11", "line 14"],
        "it is not as this format has it": ["line 12"],
        "it has no id of its own": ["line 13"],
    }


def test_a_session_that_was_gone_on_with_is_there_once(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """The program may copy what was said into the log of the next session."""
    said = claude_code_line("a", "user", "Make tea.")
    written(tmp_path / "x" / "1.jsonl", lines(said))
    written(
        tmp_path / "x" / "2.jsonl",
        lines(said | {"sessionId": "s2"}, claude_code_line("b", "user", "More.", sessionId="s2")),
    )
    report = import_file(tmp_path / "x", provider)
    assert report.stored == {TALK: 2}
    assert report.left_out["another one before it in the file has the same id"].places == ["2.jsonl, line 1"]


def test_a_line_that_is_cut_off_is_left_out(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """A log may be written meanwhile; when the line is whole, another import adds it, and nothing else."""
    whole = lines(claude_code_line("a", "user", "Make tea."), claude_code_line("b", "user", "And cake."))
    path = written(tmp_path / "a.jsonl", whole[:-30])
    report = import_file(path, provider)
    assert (report.stored, report.left_out["the line is cut off, or no JSON"].places) == ({TALK: 1}, ["line 2"])
    report = import_file(written(path, whole), provider)
    assert (report.stored, report.there) == ({TALK: 1}, {TALK: 1})


def test_codex_keeps_what_the_two_have_said(tmp_path: Path) -> None:
    """In both of its layouts; what the program tells the model stands in the user's name, and is left out."""
    _, folder, first = codex(tmp_path)
    assert documents(folder)[1] == {
        "conversation_id": "codex:session-1",
        "role": "assistant",
        "content": "I make tea.",
        "timestamp": datetime(2025, 10, 29, 0, 59, 38, 317000, UTC),
        "source": {
            "format": "codex", "id": "session-1:7", "conversation": "session-1", "project": "/home/ada/tea",
        },
    }  # fmt: skip
    places = {reason: [int(place[-1]) for place in found] for reason, found in left_out(folder).items()}
    assert places == {
        "what the program tells the model": [2],
        "an event of the program, and no message": [4, 5, 6],
    }
    [old] = documents(first)
    assert (old["content"], old["timestamp"]) == ("Make tea.", datetime(2025, 6, 1, 10, tzinfo=UTC))
    assert [each.remarks for each in read(first) if hasattr(each, "remarks")] == [
        ("it says no time: given that of what was said before it",)
    ]


def test_a_log_of_codex_that_grows_adds_what_is_new(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """The same words twice in a session are two messages; a line before any session is none's."""
    log = [
        codex_line("response_item", **codex_message("user", "Lost.")),
        codex_line("session_meta", id="s"),
        codex_line("response_item", **codex_message("user", "Go on.")),
        codex_line("response_item", **codex_message("developer", "Be kind.")),
        codex_line("response_item", **codex_message("user", "Go on.")),
        codex_line("response_item", **codex_message("assistant", "")),
    ]
    path = written(tmp_path / "rollout-1.jsonl", lines(*log[:3]))
    assert import_file(path, provider).stored == {TALK: 1}
    report = import_file(written(path, lines(*log)), provider)
    assert (report.stored, report.there) == ({TALK: 1}, {TALK: 1})
    assert {reason: noted.places for reason, noted in report.left_out.items()} == {
        "it is of no session: none is named before it": ["line 1"],
        "what the program tells the model": ["line 4"],
        "a message without text: an image, a file, a call": ["line 6"],
    }
