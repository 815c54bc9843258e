"""Exports that other programs and people read: Markdown, the memory file of MCP's reference server, mem0's list."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from documents import documents, moments, same, texts
from memorizz.errors import ConfigurationError, StorageFull
from memorizz.importers import import_file
from memorizz.importers.mcp import read_graph
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.moving import _front_matter, _markdown, export, graph

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY


def read_back(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the files of a folder say, by store and id."""
    found = {}
    for path in folder.rglob("*.md"):
        front, body = _front_matter.split(path.read_bytes().decode())
        assert front is not None
        store, document = _markdown.document_of(_front_matter.parse(front), body)
        found[store, document["id"]] = document
    return found


# --- Markdown -----------------------------------------------------------------------------------------------------

ids = texts.filter(bool) | st.sampled_from(
    ["..", "../up", "a/b", "A", "a", "con", "NUL", "a" * 300, "tea-0123456789abcdef", ".hidden", "é", "日本", "a b.md"]
)


@settings(max_examples=40)
@given(
    stored=st.lists(
        st.tuples(st.sampled_from(list(MemoryType)), ids, documents, moments),
        max_size=6,
        unique_by=lambda each: each[:2],
    )
)
@example(
    [(LONG, "x", {"memorizz": {"version": 1}, "store": "mine", "content": "---\n...\n"}, datetime(1, 1, 1, tzinfo=UTC))]
)
@example(
    [
        (
            LONG,
            "x",
            {"content": "\ufeffa\r\n\n", "k": "\x85\u2028\x7f\U0001f600", "yes": 1e23},
            datetime(1, 1, 1, tzinfo=UTC),
        )
    ]
)
def test_whatever_is_exported_as_markdown_comes_back(
    provider: Any, target: Any, tmp_path: Path, stored: list[tuple[MemoryType, str, dict[str, Any], datetime]]
) -> None:
    """Ids, stores, times, keys of any name and texts with any line ends are the same again; no two share a file."""
    for store in MemoryType:
        provider.delete_all(store)
        target.delete_all(store)
    for store, id, document, created in stored:
        provider.store({**document, "id": id, "created_at": created}, store)
    folder = tmp_path / uuid4().hex
    assert export(provider, folder, format="markdown").ok
    if stored:
        assert sum(import_file(folder, target).stored.values()) == len(stored)
    for store in MemoryType:
        assert same(target.list_all(store), provider.list_all(store))


def test_a_file_can_be_read_by_a_person(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """The text below, everything else above it, and no vector; any reader of YAML reads the front matter."""
    moment = datetime(2026, 1, 31, 11, 59, 0, 123456, tzinfo=UTC)
    given = {"id": "tea", "content": "Ada likes tea", "tags": ["a", "b"], "embedding": [1, 2, 3, 4], "when": "12:30"}
    provider.store({**given, "memory_id": "ada", "created_at": moment, "updated_at": moment}, LONG)
    export(provider, tmp_path / "notes", format="markdown")
    text = (tmp_path / "notes" / "long_term_memory" / "tea.md").read_text()
    assert text.endswith("\n---\nAda likes tea\n")
    assert yaml.safe_load(text.split("---\n")[1]) == {
        "memorizz": {"version": 1, "store": "long_term_memory"},
        "id": "tea",
        "tags": ["a", "b"],
        "when": "12:30",
        "memory_id": "ada",
        "created_at": moment,
        "updated_at": moment,
    }
    about = json.loads((tmp_path / "notes" / "memorizz.json").read_text())
    assert about["stores"]["long_term_memory"] == 1


def test_names_of_files_are_safe(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Whatever an id is, its file lies in the folder of its store, and on no other's where case does not count."""
    odd = ["../../up", "/etc/passwd", "CON", "con", "A", "a", "x" * 500, "..", "a\nb", "~", "tea-0123456789abcdef"]
    provider.store_many([{"id": id, "content": id} for id in odd], LONG)
    export(provider, tmp_path / "notes", format="markdown")
    names = os.listdir(tmp_path / "notes" / "long_term_memory")
    assert len({name.lower() for name in names}) == len(odd)
    assert all(len(name) < 100 and name.isascii() and name.isprintable() for name in names)
    assert os.listdir(tmp_path) == ["notes"]
    assert {document["content"] for document in read_back(tmp_path / "notes").values()} == set(odd)


def test_a_folder_with_something_in_it_is_kept(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """By force, too: there may be notes of a person's in it. An empty folder is one to write to."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.md").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "notes")
    for name in ("notes", "link"):
        for force in (False, True):
            with pytest.raises(ConfigurationError, match="exists, and is not replaced"):
                export(provider, tmp_path / name, format="markdown", force=force)
    (tmp_path / "notes" / "mine.md").unlink()
    assert export(provider, tmp_path / "notes", format="markdown").ok
    with pytest.raises(ConfigurationError, match="name a folder"):
        export(provider, io.BytesIO(), format="markdown")


def test_no_half_a_folder_is_left(
    provider: PostgreSQLProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file cannot be written, nothing is there."""
    provider.store_many([{"id": "a"}, {"id": "b"}], LONG)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="no room to write"):
        export(provider, tmp_path / "notes", format="markdown")
    assert os.listdir(tmp_path) == []


def test_what_no_front_matter_holds_is_named(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """A key that is a text of its own, values nested without end: the others are exported."""
    deep: Any = 1
    for _ in range(120):
        deep = [deep]
    provider.store_many([{"id": "long", "x" * 2000: 1}, {"id": "deep", "a": deep}, {"id": "fine"}], LONG)
    exported = export(provider, tmp_path / "notes", format="markdown")
    assert not exported.ok
    assert exported[LONG] == 1
    assert [each.id for each in exported.not_exported[LONG].listed] == ["long", "deep"]


# --- MCP ----------------------------------------------------------------------------------------------------------

ADA = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea", "works: on Mondays"]}
ACME = {"type": "entity", "name": "Acme: Inc", "entityType": "company", "observations": []}
WORKS = {"type": "relation", "from": "Ada", "to": "Acme: Inc", "relationType": "works at"}


def exported_graph(provider: PostgreSQLProvider, tmp_path: Path) -> list[dict[str, Any]]:
    export(provider, path := tmp_path / f"{uuid4().hex}.jsonl", format="mcp")
    return [json.loads(line) for line in path.read_text().splitlines()]


def stored_graph(provider: PostgreSQLProvider, path: Path) -> None:
    provider.store_many(graph.documents(read_graph(path), lambda *parts: json.dumps(parts)), LONG)


def test_the_memory_file_of_mcp_comes_back_as_it_was(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """What was read from such a file is written as it stood there."""
    lines = [ADA, ACME, WORKS]
    (tmp_path / "memory.jsonl").write_text("\n".join(map(json.dumps, lines)))
    stored_graph(provider, tmp_path / "memory.jsonl")
    assert exported_graph(provider, tmp_path) == lines


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
entities = st.lists(
    st.builds(graph.Entity, names, names, st.lists(names, max_size=3, unique=True).map(tuple)),
    max_size=4,
    unique_by=lambda entity: entity.name,
)
relations = st.lists(st.builds(graph.Relation, names, names, names), max_size=3, unique=True)


@settings(max_examples=40)
@given(entities=entities, relations=relations)
def test_any_graph_comes_back(
    provider: PostgreSQLProvider, tmp_path: Path, entities: list[graph.Entity], relations: list[graph.Relation]
) -> None:
    """Every entity, observation and relation, whatever its text; one that says no more than the kind is the kind."""
    provider.delete_all(LONG)
    given = graph.Graph(entities, relations)
    provider.store_many(graph.documents(given, lambda *parts: json.dumps(parts)), LONG)
    export(provider, path := tmp_path / uuid4().hex, format="mcp")
    found = read_graph(path)

    def plain(some: graph.Graph) -> Any:
        known = {(e.name, e.kind, *sorted(text for text in e.observations if text != e.kind)) for e in some.entities}
        return known, set(some.relations)

    assert plain(found) == plain(given)


def test_other_memories_are_observations_about_whose_they_are(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """About the name, the memory or the store; who has said it stands before it, and what has no text is named."""
    provider.store({"content": "Ada likes tea", "memory_id": "ada"}, LONG)
    provider.store({"content": "Hello", "role": "user", "memory_id": "ada"}, TURNS)
    provider.store({"content": ["Hi"], "role": "assistant", "memory_id": "ada"}, TURNS)
    provider.store({"content": "lost"}, LONG)
    provider.store({"id": "agent"}, MemoryType.MEMAGENT)
    exported = export(provider, path := tmp_path / "memory", format="mcp")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {(line["name"], line["entityType"], *sorted(line["observations"])) for line in lines} == {
        ("ada", "memory", "Ada likes tea", "assistant: Hi", "user: Hello"),
        ("long_term_memory", "memory", "lost"),
    }
    assert [each.id for each in exported.not_exported["agents"].listed] == ["agent"]
    assert (exported[LONG], exported[TURNS], exported.ok) == (2, 2, False)


# --- mem0 ---------------------------------------------------------------------------------------------------------


def test_a_list_as_mem0_has_it(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Each memory with whose it is under mem0's names, and what mem0 has no place for in its metadata."""
    moment = datetime(2026, 1, 31, 11, 59, tzinfo=UTC)
    provider.store(
        {"id": "tea", "content": "Ada likes tea", "memory_id": "ada", "agent_id": "desk", "conversation_id": "c",
         "metadata": {"kind": "fact", "n": 2}, "created_at": moment, "updated_at": moment, "embedding": [1, 2, 3, 4]},
        LONG,
    )  # fmt: skip
    provider.store({"id": "two", "content": ["a", {"text": "b"}], "agent_id": 7}, LONG)
    provider.store({"id": "none"}, LONG)
    exported = export(provider, path := tmp_path / "memories.json", format="mem0", stores=[LONG])
    tea, two = json.loads(path.read_text())
    assert tea == {
        "id": "tea",
        "memory": "Ada likes tea",
        "user_id": "ada",
        "agent_id": "desk",
        "run_id": "c",
        "metadata": {"kind": "fact", "n": 2},
        "created_at": "2026-01-31T11:59:00+00:00",
        "updated_at": "2026-01-31T11:59:00+00:00",
    }
    assert (two["memory"], two["metadata"]) == ("a\nb", {"agent_id": 7})
    assert [each.id for each in exported.not_exported[LONG].listed] == ["none"]


def test_no_memories_are_a_list_too(provider: PostgreSQLProvider) -> None:
    """An empty one."""
    export(provider, file := io.BytesIO(), format="mem0")
    assert json.loads(file.getvalue()) == []
    export(provider, file := io.BytesIO(), format="mcp")
    assert file.getvalue() == b""


def test_one_tenant_or_memory_is_exported(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """A view exports what it reaches and nothing else, in every format."""
    provider.store({"content": "mine", "memory_id": "a"}, LONG)
    provider.store({"content": "yours", "memory_id": "b"}, LONG)
    provider.tenant("acme").store({"content": "theirs", "memory_id": "a"}, LONG)
    for format in ("markdown", "mcp", "mem0"):
        path = tmp_path / format
        assert sum(export(provider.memory("a"), path, format=format).values()) == 1
        written = "".join(file.read_text() for file in ([path] if path.is_file() else path.rglob("*.md")))
        assert "mine" in written
        assert "yours" not in written
        assert "theirs" not in written
