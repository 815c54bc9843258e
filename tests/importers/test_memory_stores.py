"""Memory stores of other programs: their files, their databases, and what comes back of what was exported from here."""

from __future__ import annotations

import io
import json
import pickle
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from samples import documents, left_out, lines, written
from samples_of_stores import (
    ACME,
    ADA,
    GRAPH,
    LANGGRAPH_ITEMS,
    LANGGRAPH_TABLES,
    TEA,
    WORKS,
    langgraph,
    letta_agent,
    letta_call,
    letta_message,
    mcp,
    mem0,
    mem0_memories,
    mem0_point,
    model,
    pickled,
    qdrant,
    qdrant_of,
)

from memorizz.errors import ConfigurationError, ConnectionFailed, InvalidFile
from memorizz.importers import Found, _database, import_file, opened, read
from memorizz.importers._qdrant import attributes
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec
from memorizz.moving import export

FACTS = "long_term_memory"


@pytest.fixture
def target(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    """Another schema, beside that of `provider`."""
    with PostgreSQLProvider(config.replace(schema="moved")) as provider:
        yield provider


# --- Letta --------------------------------------------------------------------------------------------------------


def test_an_agent_is_its_blocks_and_what_was_said(tmp_path: Path) -> None:
    """What a person packed and an agent sent is unpacked; thoughts, tools and empty blocks are left out and counted."""
    path = written(tmp_path / "desk.af", letta_agent())
    human, asked, sent, welcome = documents(path)
    assert (human["content"], human["name"]) == ("Ada likes tea.", "human")
    assert human["metadata"] == {"description": "About the user"}
    assert human["source"] == {"format": "letta", "id": "human", "agents": ["Desk"]}
    assert [(each["role"], each["content"]) for each in (asked, sent, welcome)] == [
        ("user", "Which tea?"),
        ("assistant", "Green tea."),
        ("assistant", "You are welcome."),
    ]
    assert asked["timestamp"] == datetime(2025, 10, 31, 22, 56, 1, 459100, tzinfo=UTC)
    assert {each["conversation_id"] for each in (asked, sent, welcome)} == {"letta:Desk"}
    assert {reason: len(places) for reason, places in left_out(path).items()} == {
        "a memory block without text": 1,
        "a message of the system, or of a tool": 2,
        "a note of Letta's to the agent": 1,
        "what an agent said to a tool": 1,
        "an agent's tool, file or group, which is no memory": 1,
    }


def test_a_later_agent_file_adds_what_is_new(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Although each export numbers its messages and blocks anew, and a block has changed meanwhile."""
    agent = letta_agent()
    import_file(written(tmp_path / "desk.af", agent), provider)
    [first] = agent["agents"]
    first["messages"] = [{**each, "id": f"message-{n}"} for n, each in enumerate(first["messages"][2:])]
    first["messages"].append(letta_message(50, "user", "Thanks.", tool_calls=letta_call("x")))
    agent["blocks"][0] |= {"value": "Ada likes coffee.", "id": "block-7"}
    first["block_ids"] = ["block-7"]
    report = import_file(written(tmp_path / "desk.af", agent), provider)
    assert report.stored == {FACTS: 1, "conversation_memory": 1}


# --- mem0 ---------------------------------------------------------------------------------------------------------


def test_a_memory_of_mem0(tmp_path: Path) -> None:
    """Whose it is, its times and metadata are kept; one that ends on a day holds until the end of it."""
    tea, turin = documents(written(tmp_path / "all.json", {"results": mem0_memories()}))
    assert tea == {
        "content": "Ada likes tea",
        "memory_id": "ada",
        "agent_id": "desk",
        "role": "user",
        "metadata": {"n": 1, "kind": "fact"},
        "created_at": datetime(2026, 1, 30, 3, 14, 44, 479243, tzinfo=UTC),
        "updated_at": datetime(2026, 1, 31, 3, 14, 44, 479243, tzinfo=UTC),
        "source": {"format": "mem0", "id": "981dd7bb-a450-47a0-8c9d-301eb68f218a"},
    }
    assert (turin["conversation_id"], turin["categories"]) == ("r1", ["home"])
    assert turin["expires_at"] == datetime(2999, 1, 2, tzinfo=UTC)


def test_what_was_exported_for_mem0_comes_back(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """The text, whose it is and when it was made."""
    provider.store({"id": "tea", "content": "Ada likes tea", "memory_id": "ada", "agent_id": "desk", "n": 1}, FACTS)
    export(provider, path := tmp_path / "memories.json", format="mem0")
    [tea] = documents(path)
    [stored] = provider.list_all(FACTS)
    assert all(tea[key] == stored[key] for key in ("content", "memory_id", "agent_id", "created_at", "updated_at"))
    assert tea["metadata"] == {"n": 1}


def test_a_view_says_whose_memories_are(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """In the place of what the file says."""
    path = written(tmp_path / "all.json", mem0_memories())
    assert import_file(path, provider.memory("bob")).stored == {FACTS: 2}
    assert {document["memory_id"] for document in provider.list_all(FACTS)} == {"bob"}
    assert {document.get("agent_id") for document in provider.list_all(FACTS)} == {"desk", None}


def test_the_folder_of_qdrant_holds_what_get_all_returns(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Whichever is read first, the other adds nothing; vectors come only where they are asked for."""
    folder, path = mem0(tmp_path)[:2]
    by_text = [{each["content"]: each for each in documents(source)} for source in (folder, path)]
    assert by_text[0] == by_text[1]
    report = import_file(folder, provider, embeddings=True)
    assert (report.format, report.stored) == ("mem0", {FACTS: 2})
    assert [each["embedding"] for each in provider.list_all(FACTS, include_embedding=True)] == [[1, 2, 3, 4]] * 2
    assert import_file(path, provider).there == {FACTS: 2}


def test_of_a_point_that_stands_there_twice_the_newest_is_read(tmp_path: Path) -> None:
    """As Qdrant's client does, which another version of Python makes write another key for the same point."""
    memory = mem0_memories()[0]
    points = [mem0_point({**memory, "memory": text}) for text in ("Ada likes tea", "Ada likes coffee")]
    report = import_file(qdrant(tmp_path / "qdrant", *points), None, dry_run=True)
    assert report.stored == {FACTS: 1}
    [first, _] = documents(tmp_path / "qdrant")
    assert first["content"] == "Ada likes coffee"


SHARED = ["tea"]
REFUSED_POINTS = {
    "an object of datetime.timedelta, and only points of Qdrant are read": timedelta(days=1),
    "an object of test_memory_stores.Bread, and only points of Qdrant are read": "Bread",
    "a value stands in it twice": [SHARED, SHARED],
    "the step TUPLE1, which no point of Qdrant needs": ("tea",),
    "the step BINBYTES, which no point of Qdrant needs": b"x" * 300,
}


class Bread:
    """An object that no point has."""


@pytest.mark.parametrize("reason", REFUSED_POINTS)
def test_a_point_is_not_run(tmp_path: Path, reason: str) -> None:
    """Whatever makes an object but a point is refused by name, and left out; the other points are read."""
    value = Bread() if REFUSED_POINTS[reason] == "Bread" else REFUSED_POINTS[reason]
    tea, turin = map(mem0_point, mem0_memories())
    tea[2]["kind"] = value
    folder = qdrant(tmp_path / "qdrant", tea, turin)
    assert [each["content"] for each in documents(folder)] == ["Ada lives in Turin"]
    [(_, [place])] = left_out(folder).items()
    assert place == f"collection/mem0/storage.sqlite, point 2: {reason}"


def test_a_point_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    """Wherever that is, and named; a pickle of another thing, too."""
    id, vector, payload = mem0_point(mem0_memories()[0])
    whole = pickled(model("PointStruct", id=id, vector=vector[""], payload=payload))
    cut = [whole[:length] for length in range(0, len(whole), 7)]
    folder = qdrant_of(tmp_path / "qdrant", *cut, pickle.dumps(7), pickle.dumps({"data": "tea"}), whole)
    assert [each["content"] for each in documents(folder)] == ["Ada likes tea"]
    [places] = left_out(folder).values()
    assert len(places) == len(cut) + 2


@given(st.binary(max_size=60), st.integers(0, 300))
def test_any_bytes_are_a_point_or_refused(noise: bytes, at: int) -> None:
    """Wherever they stand in one."""
    whole = pickled(model("PointStruct", id=1, vector=[1.0], payload={"data": "tea", "n": {"a": [1, "b"]}}))
    with suppress(ValueError):
        assert isinstance(attributes(whole[:at] + noise + whole[at + len(noise) :]), dict)


def test_a_collection_of_another_program_is_of_no_format(tmp_path: Path) -> None:
    """What has no memories of mem0's in it."""
    folder = qdrant(tmp_path / "qdrant", (1, [1.0], {"page_content": "tea"}))
    with pytest.raises(ConfigurationError, match="of no format that is known here"):
        [*read(folder)]


# --- Graphiti -----------------------------------------------------------------------------------------------------


def test_a_graph(tmp_path: Path) -> None:
    """A fact holds while it did; an entity is what is said of it, an episode what was said."""
    said, ada, works = documents(written(tmp_path / "graph.json", GRAPH))
    assert (works["content"], works["kind"], works["memory_id"]) == ("Ada works at Acme", "WORKS_AT", "ada")
    assert (works["valid_from"].year, works["valid_until"].year) == (2023, 2025)
    assert (ada["content"], ada["name"], ada["kind"]) == ("Ada: Likes tea.", "Ada", "Person")
    assert ada["metadata"] == {"age": 36}
    assert (said["content"], said["conversation_id"]) == ("Ada: I work at Acme", "graphiti:ada")
    assert said["timestamp"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert left_out(tmp_path / "graph.json") == {
        "an entity or an episode of which nothing is said": ["nodes[2]"],
    }


def test_facts_of_the_past_are_found_as_such(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Not by a search of today, unless it asks for them."""
    import_file(written(tmp_path / "edges.json", GRAPH["edges"]), provider)
    asked = {"$text": {"$search": "Acme"}}
    assert provider.retrieve_by_query(asked, FACTS) == []
    assert [hit["content"] for hit in provider.retrieve_by_query(asked, FACTS, ended=True)] == ["Ada works at Acme"]


KUZU = b"KUZU" + b"\0" * 100


def test_a_database_of_kuzu_names_the_extra_that_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed."""
    monkeypatch.setitem(sys.modules, "kuzu", None)
    (tmp_path / "graph.kuzu").write_bytes(KUZU)
    with pytest.raises(ConfigurationError, match=r"is of Kuzu: .*memorizz-postgresql\[graphiti\]"):
        [*read(tmp_path / "graph.kuzu")]


def test_what_ends_the_reader_of_kuzu_does_not_end_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how it was ended."""
    reader = written(tmp_path / "reader.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    monkeypatch.setattr(_database, "_KUZU_READER", reader)
    monkeypatch.setattr(_database, "find_spec", lambda name: name)
    (tmp_path / "graph.kuzu").write_bytes(KUZU)
    with pytest.raises(InvalidFile, match=r"graph\.kuzu, the database: .*Kuzu was ended by signal 9"):
        [*read(tmp_path / "graph.kuzu")]


# --- LangGraph ----------------------------------------------------------------------------------------------------


def test_items_of_langgraph(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """As MemorizzStore keeps them; what has expired, vectors and checkpoints are left out and named."""
    [path] = langgraph(tmp_path)
    report = import_file(path, provider)
    assert report.stored == {"langgraph_items": 3}
    assert {places.places[0] for places in report.left_out.values()} == {
        "store_vectors", "checkpoints", "store, users.bob, over",
    }  # fmt: skip
    prefs = provider.retrieve_by_id('["users", "ada", "prefs"]', "langgraph_items")
    assert prefs is not None
    assert prefs["value"] == {"likes": "tea", "a%2Eb": {"c": [1, 2.5, None]}}
    assert (prefs["namespace"], prefs["key"], prefs["conversation_id"]) == (["users", "ada"], "prefs", "users\1ada\1")
    assert prefs["created_at"] == prefs["updated_at"] == datetime(2026, 1, 30, 3, 14, 27, tzinfo=UTC)
    short = provider.retrieve_by_id('["users", "ada", "short"]', "langgraph_items")
    assert short is not None
    assert (short["ttl"], short["expires_at"]) == (3600, datetime(2999, 1, 30, 3, 14, 27, tzinfo=UTC))
    provider.drop_store("langgraph_items", yes=True)


def test_a_store_that_is_there_takes_the_items(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Whatever it is: one that is searched by meaning, too."""
    provider.create_store(StoreSpec("langgraph_items", dimensions=3, embedded=False, memories=False))
    assert import_file(langgraph(tmp_path)[0], provider).stored == {"langgraph_items": 3}
    provider.drop_store("langgraph_items", yes=True)


@pytest.mark.parametrize("damage", ["cut off", "altered", "not UTF-8"])
def test_a_damaged_database_stores_nothing(provider: PostgreSQLProvider, tmp_path: Path, damage: str) -> None:
    """The error names the file, and the table or the row."""
    [path] = langgraph(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO store VALUES ('a', ?, ?, '2026-01-30', '2026-01-30', NULL, NULL)",
            [(f"{n}", json.dumps({"text": "x" * 3000})) for n in range(200)],
        )
        if damage == "not UTF-8":
            connection.execute("UPDATE store SET value = CAST(x'7b2261223a22e9227d' AS TEXT) WHERE key = '150'")
        connection.commit()
    whole = path.read_bytes()
    if damage == "cut off":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "altered":
        path.write_bytes(whole[:40_000] + b"\xff" * 200_000 + whole[240_000:])
    with pytest.raises(InvalidFile, match=r"store\.db, .*cannot be read on"):
        import_file(path, provider, format="langgraph")
    assert "langgraph_items" not in {spec.name for spec in provider.stores()}


# --- databases of PostgreSQL --------------------------------------------------------------------------------------


@pytest.fixture
def other(migrated_dsn: str) -> Iterator[Callable[..., str]]:
    """Fill a schema as another program does, and return the URL that leads to it."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other_program")
        connection.execute("SET search_path TO other_program, public")

        def fill(*statements: str, **options: str) -> str:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]
            named = conninfo_to_dict(migrated_dsn) | {"options": "-csearch_path=other_program,public"} | options
            return f"postgresql://?{urlencode(named)}"

        yield fill
        connection.execute("DROP SCHEMA other_program CASCADE")


MEM0_TABLES = (
    "CREATE TABLE mem0 (id uuid PRIMARY KEY, vector public.vector(4), payload jsonb)",
    "CREATE TABLE mem0_entities (LIKE mem0)",
    """INSERT INTO mem0 VALUES
    ('981dd7bb-a450-47a0-8c9d-301eb68f218a', '[1,2,3,4]', '{"data": "Ada likes tea", "user_id": "ada", "hash": "1bc6",
      "created_at": "2026-01-30T03:14:44+00:00", "kind": "fact", "text_lemmatized": "Ada like tea"}'),
    ('d8ef8b19-1ada-46c9-88bc-4d6d75a2cd17', '[4,3,2,1]', '{"user_id": "ada"}')""",
    """INSERT INTO mem0_entities VALUES (gen_random_uuid(), '[1,2,3,4]', '{"data": "Ada"}')""",
)


def of_langgraph() -> list[str]:
    kinds = {"json": "jsonb", "time": "timestamptz", "number": "int", "vector": "public.vector(4)"}
    return LANGGRAPH_TABLES.format(**kinds).split(";")


def test_the_tables_of_mem0(provider: PostgreSQLProvider, other: Callable[..., str]) -> None:
    """Its memories, and not the entities that it has found in them; vectors only where they are asked for."""
    url = other(*MEM0_TABLES)
    [tea] = documents(url)  # type: ignore[arg-type]
    assert (tea["content"], tea["memory_id"], tea["metadata"]) == ("Ada likes tea", "ada", {"kind": "fact"})
    assert "embedding" not in tea
    report = import_file(url, provider, embeddings=True)
    assert report.stored == {FACTS: 1}
    assert [(noted.count, "which model made it" in remark) for remark, noted in report.remarks.items()] == [(1, True)]
    assert provider.list_all(FACTS, include_embedding=True)[0]["embedding"] == [1, 2, 3, 4]
    assert import_file(url, provider).there == {FACTS: 1}


def test_vectors_of_another_length_are_refused(provider: PostgreSQLProvider, other: Callable[..., str]) -> None:
    """Before anything is stored; without them the memories are taken."""
    url = other(
        "CREATE TABLE mem0 (id uuid PRIMARY KEY, vector public.vector(3), payload jsonb)",
        """INSERT INTO mem0 VALUES (gen_random_uuid(), '[1,2,3]', '{"data": "Ada likes tea"}')""",
    )
    with pytest.raises(ConfigurationError, match="3 dimensions, those of the target 4"):
        import_file(url, provider, embeddings=True)
    assert provider.count(FACTS) == 0
    assert import_file(url, provider).stored == {FACTS: 1}


def test_a_database_is_read_as_it_was_at_one_moment(other: Callable[..., str]) -> None:
    """What is put and deleted meanwhile is in no part of an import, and nothing is written there."""
    insert = "INSERT INTO store VALUES ('users.ada', '{}', '{{\"n\": 1}}', now(), now(), NULL, NULL)"
    url = other(*of_langgraph(), *(insert.format(n) for n in range(1200)))
    with opened(url) as found:
        before = [each.place for each in found.documents()]
        assert len(before) == 1202
        other(insert.format("more"), "DELETE FROM store WHERE key = '7'")
        assert [each.place for each in found.documents()] == before
    assert len([*read(url)]) == 1202


def test_items_of_a_postgres_store(provider: PostgreSQLProvider, other: Callable[..., str]) -> None:
    """The same as those of a file, times with zones included."""
    url = other(*of_langgraph())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone TO 'UTC'")
        for prefix, key, value, made, *rest in LANGGRAPH_ITEMS:
            row = (prefix, key, value, made, made, *rest)
            connection.execute("INSERT INTO store VALUES (%s, %s, %s::jsonb, %s, %s, %s, %s)", row)
    assert import_file(url, provider).stored == {"langgraph_items": 3}
    short = provider.retrieve_by_id('["users", "ada", "short"]', "langgraph_items")
    assert short is not None
    assert (short["ttl"], short["expires_at"]) == (3600, datetime(2999, 1, 30, 3, 14, 27, tzinfo=UTC))
    provider.drop_store("langgraph_items", yes=True)


def test_values_that_are_none_of_ours_end_no_import(provider: PostgreSQLProvider, other: Callable[..., str]) -> None:
    """A time without end, before our era, a value nested without end, half a character: named, or left out."""
    deep = "(repeat('[', 3000) || repeat(']', 3000))"
    insert = "INSERT INTO store VALUES ('a', '{}', {}, {}, now(), {}, NULL)"
    made = "'2026-01-30'"
    url = other(
        *of_langgraph(),
        insert.format("endless", "'{\"n\": 1}'", made, "'infinity'"),
        insert.format("old", "'{\"n\": 1}'", "'0044-03-15 BC'", "NULL"),
        insert.format("deep", f"('{{\"n\": ' || {deep} || '}}')::jsonb", made, "NULL"),
        insert.format("list", "'[1]'", made, "NULL"),
        *MEM0_TABLES,
        f'INSERT INTO mem0 VALUES (gen_random_uuid(), NULL, (\'{{"data": "a", "n": \' || {deep} || \'}}\')::jsonb)',
    )
    report = import_file(url, provider, format="langgraph")
    assert report.stored == {"langgraph_items": 2}
    assert sorted(report.left_out["it is not as this format has it"].places) == ["store, a, deep", "store, a, list"]
    endless = provider.retrieve_by_id('["a", "endless"]', "langgraph_items")
    assert endless is not None
    assert endless["expires_at"] is None
    report = import_file(url, provider, format="mem0")
    assert report.stored == {FACTS: 1}
    assert report.left_out["it is not as this format has it"].count == 1
    provider.drop_store("langgraph_items", yes=True)


def test_half_a_character_is_named(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """JSON can write one, and nothing can store it; the other memories are taken."""
    path = tmp_path / "memories.json"
    path.write_text('[{"memory": "\\ud800", "user_id": "ada"}, {"memory": "tea", "user_id": "ada"}]')
    report = import_file(path, provider)
    assert report.stored == {FACTS: 1}
    assert [noted.places for noted in report.refused.values()] == [["memory 1"]]


def test_a_database_of_two_programs_is_asked_about(other: Callable[..., str]) -> None:
    """The message says which they are, and `format` which is meant."""
    url = other(*MEM0_TABLES, *of_langgraph())
    with pytest.raises(ConfigurationError, match="holds memories of mem0, langgraph: say with --format"):
        [*read(url)]
    assert len([*read(url, format="mem0")]) == 2


def test_a_database_of_no_program_is_refused(other: Callable[..., str]) -> None:
    """The message names its tables."""
    with pytest.raises(ConfigurationError, match=r"of no format that is known here \(its tables: .*bread"):
        [*read(other("CREATE TABLE bread (a int)"))]
    with pytest.raises(ConfigurationError, match="holds no memories of mem0"):
        [*read(other("CREATE TABLE more_bread (a int)"), format="mem0")]


def test_a_password_is_in_no_message(provider: PostgreSQLProvider, other: Callable[..., str]) -> None:
    """Neither of a report nor of an error."""
    url = other(*MEM0_TABLES, password="hunter2secret")
    report = import_file(url, provider)
    assert "hunter2secret" not in f"{report}{report.to_dict()}"
    wrong = other(password="hunter2secret", dbname="no_such_database")
    with pytest.raises(ConnectionFailed) as refused:
        [*read(wrong)]
    assert "hunter2secret" not in str(refused.value)
    assert "no_such_database" in str(refused.value)


# --- Markdown -----------------------------------------------------------------------------------------------------


def test_a_note(tmp_path: Path) -> None:
    """The text with its links, the front matter as it was meant, and the times."""
    written(tmp_path / "vault" / "a" / "Tea.md", TEA)
    [tea] = documents(tmp_path / "vault")
    assert tea == {
        "name": "Tea",
        "content": "# Tea\n\nAda likes [[Green tea|it]]. ![[cup.png]]",
        "tags": ["drinks", "hot"],
        "metadata": {
            "title": "Tea",
            "aliases": ["teas"],
            "tags": "drinks, hot",
            "created": "2026-01-30",
            "updated": "2026-01-31T10:00:00+01:00",
            "at": "12:30",
            "code": "007",
        },
        "created_at": datetime(2026, 1, 30, tzinfo=UTC),
        "updated_at": datetime(2026, 1, 31, 9, tzinfo=UTC),
        "source": {"format": "markdown", "id": "a/Tea.md", "path": "a/Tea.md"},
    }


def test_a_note_that_has_moved_is_the_same_where_it_has_an_id(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Else its path tells it from the others."""
    folder = tmp_path / "vault"
    for name, text in (("a.md", "---\nid: 7\n---\nfirst"), ("b.md", "second")):
        written(folder / name, text)
    assert import_file(folder, provider).stored == {FACTS: 2}
    for name in ("a.md", "b.md"):
        (folder / name).rename(folder / f"moved-{name}")
    report = import_file(folder, provider)
    assert (report.stored, report.there) == ({FACTS: 1}, {FACTS: 1})


UNREADABLE = {
    "a: [1": "line 3: expected",
    "a: 1\na: 2": "line 3: the key 'a' stands here twice",
    "a: !!python/object/apply:os.system ['touch harmed']": "line 2: the tag 'tag:yaml.org,2002:python",
    "a: !!binary aGk=": "line 2: the tag 'tag:yaml.org,2002:binary' is not read",
    "a: &x [1]\nb: *x": "line 2: an alias is used for this",
    "- a\n- b": "line 2: expected keys with values",
    "? [a]\n: 1": "line 2: a key is no text",
    "a: " + "9" * 5000: "line 2: this number has too many digits",
    "just words": "line 2: expected keys with values",
}


@pytest.mark.parametrize("front", UNREADABLE)
def test_front_matter_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front: str) -> None:
    """With file and line, and nothing in it is run; the other notes are read."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "vault" / "wrong.md", f"---\n{front}\n---\ntext")
    written(tmp_path / "vault" / "fine.md", "fine")
    [fine] = documents(tmp_path / "vault")
    assert fine["content"] == "fine"
    [place] = left_out(tmp_path / "vault")["its front matter cannot be read"]
    assert re.match(f"wrong\\.md, {UNREADABLE[front]}", place), place
    assert not (tmp_path / "harmed").exists()


def test_front_matter_that_does_not_end_is_named(tmp_path: Path) -> None:
    """A file that is cut off there is no note without front matter."""
    written(tmp_path / "vault" / "a.md", "---\ntitle: a\n")
    assert left_out(tmp_path / "vault") == {
        "its front matter cannot be read": [
            "a.md, line 1: the front matter that begins here does not end: expected a line of ---"
        ]
    }


def test_a_note_in_another_encoding_is_refused(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """With the place; nothing of the folder is stored."""
    written(tmp_path / "vault" / "a.md", "fine")
    (tmp_path / "vault" / "b.md").write_bytes("Café".encode("latin-1"))
    with pytest.raises(InvalidFile, match=r"b\.md, byte 3: this is not UTF-8"):
        import_file(tmp_path / "vault", provider)
    assert provider.count(FACTS) == 0


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    """Neither to a file nor to a folder, nor round in circles."""
    secret = written(tmp_path / "outside" / "secret.md", "secret")
    written(tmp_path / "vault" / "a.md", "fine")
    (tmp_path / "vault" / "link.md").symlink_to(secret)
    (tmp_path / "vault" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "vault" / "round").symlink_to(tmp_path / "vault")
    assert [each["content"] for each in documents(tmp_path / "vault")] == ["fine"]


def test_stores_of_ones_own_come_back(provider: PostgreSQLProvider, target: Any, tmp_path: Path) -> None:
    """The folder says what they are, and they are made where they are missing."""
    provider.create_store(StoreSpec("notes", dimensions=3, label="name"))
    provider.store({"id": "a", "name": "A", "content": "text", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}, "notes")
    export(provider, tmp_path / "notes", format="markdown", stores=["notes"])
    assert import_file(tmp_path / "notes", target, dry_run=True).stored == {"notes": 1}
    assert import_file(tmp_path / "notes", target).stored == {"notes": 1}
    assert target.list_all("notes") == provider.list_all("notes")
    assert [spec for spec in target.stores() if spec.name == "notes"] == [
        spec for spec in provider.stores() if spec.name == "notes"
    ]
    for each in (provider, target):
        each.drop_store("notes", yes=True)


def test_an_id_of_another_memory_is_found_before_anything_is_stored(
    provider: PostgreSQLProvider, tmp_path: Path
) -> None:
    """Wherever in the export it stands; into the memory that it is of, and into none, the export can be imported."""
    ada = provider.memory("ada")
    export(provider, tmp_path / "empty", format="markdown")
    ada.store_many([{"id": f"n{number:04}", "content": f"tea {number}"} for number in range(1200)], FACTS)
    export(ada, tmp_path / "notes", format="markdown")
    ada.delete_all(FACTS)
    provider.memory("bob").store({"id": "n1199", "content": "coffee"}, FACTS)
    for dry_run in (True, False):
        with pytest.raises(InvalidFile, match=r"n1199\.md: its id, 'n1199', is one of a document of another memory"):
            import_file(tmp_path / "notes", ada, dry_run=dry_run)
        assert ada.count(FACTS) == 0
    report = import_file(tmp_path / "notes", provider)
    assert (report.stored, report.there) == ({FACTS: 1199}, {FACTS: 1})
    with pytest.raises(InvalidFile, match="is one of a document of another memory or agent"):
        import_file(tmp_path / "notes", provider.memory("ada", agent="desk"))
    assert import_file(tmp_path / "notes", provider.tenant("acme").memory("ada")).stored == {FACTS: 1200}


def test_an_export_of_another_version_is_refused(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """As one whose store nobody knows is not stored, and named."""
    provider.store({"id": "a", "content": "text"}, FACTS)
    export(provider, tmp_path / "notes", format="markdown")
    path = tmp_path / "notes" / FACTS / "a.md"
    text = path.read_text()
    path.write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(InvalidFile, match=r"a\.md, its front matter: it has version 2"):
        import_file(tmp_path / "notes", provider)
    path.write_text(text.replace(FACTS, "elsewhere"))
    report = import_file(tmp_path / "notes", provider)
    assert not report.ok
    assert "there is no store elsewhere" in next(iter(report.refused))


# --- MCP ----------------------------------------------------------------------------------------------------------


def test_every_dialect_says_the_same(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Whichever comes first, the others add nothing."""
    paths = mcp(tmp_path)
    assert [sum(import_file(path, provider).stored.values()) for path in paths] == [4] + [0] * (len(paths) - 1)
    assert {document["content"] for document in provider.list_all(FACTS)} == {
        "Ada: likes tea", "Ada: works on Mondays", "Acme: company", "Ada works at Acme",
    }  # fmt: skip


def test_lines_that_are_none_are_named(tmp_path: Path) -> None:
    """The others are read, up to one that is cut off."""
    text = lines(ADA, {"type": "entity", "name": 7}, {"type": "x"}, ["a"], WORKS) + json.dumps(ACME)[:30]
    path = written(tmp_path / "memory.jsonl", text)
    assert len(documents(path)) == 3
    assert left_out(path) == {
        "it is not as this format has it": ["line 2", "line 3", "line 4"],
        "the line is cut off, or no JSON": ["line 6"],
    }


def test_the_memory_file_goes_there_and_back(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """What was imported is exported as it stood there."""
    import_file(written(tmp_path / "memory.jsonl", lines(ADA, ACME, WORKS)), provider)
    export(provider, file := io.BytesIO(), format="mcp")
    assert [json.loads(line) for line in file.getvalue().splitlines()] == [ADA, ACME, WORKS]
    assert all(isinstance(each, Found) for each in read(tmp_path / "memory.jsonl"))
