"""The five tools, the resources and the prompt, in the newest revision of the protocol and in that of the handshake."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import psycopg
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from conftest import HANDSHAKE, NEWEST, STORE, Caller
from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.mcp import Memory, Scope, server

TOOLS = ["search_memory", "add_memory", "update_memory", "delete_memory", "recent_memory"]


def test_both_revisions_are_served(memory: Memory) -> None:
    """One server answers the newest revision and the handshake."""
    served = server(memory, Scope("ada"))

    async def version(client: Client) -> str:
        return client.protocol_version

    assert Caller(served, "auto").run(version) == NEWEST
    assert Caller(served, "legacy").run(version) == HANDSHAKE


def test_the_list_of_tools_is_short(call: Caller) -> None:
    """Five tools take fewer than 4,000 characters of JSON, with their schemas; every request of a model has them."""
    listed = call.run(lambda client: client.list_tools()).tools
    assert [tool.name for tool in listed] == TOOLS
    text = json.dumps([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listed])
    assert len(text) < 4000
    for tool in listed:
        assert tool.title
        assert tool.description
        assert tool.output_schema["required"] == ["count", "memories", "note"]
        assert tool.input_schema["additionalProperties"] is False


def test_the_annotations_say_what_a_tool_does(call: Caller) -> None:
    """Who asks before a tool writes or destroys is told which do."""
    hints = {tool.name: tool.annotations for tool in call.run(lambda client: client.list_tools()).tools}
    assert [name for name, hint in hints.items() if hint.read_only_hint] == ["search_memory", "recent_memory"]
    assert [name for name, hint in hints.items() if hint.destructive_hint] == ["update_memory", "delete_memory"]
    assert [name for name, hint in hints.items() if not hint.idempotent_hint] == ["add_memory"]
    assert not any(hint.open_world_hint for hint in hints.values())


def test_no_tool_takes_who_is_meant(call: Caller) -> None:
    """Memory, agent and tenant are no arguments, and given all the same they are refused."""
    for tool in call.run(lambda client: client.list_tools()).tools:
        taken = {*tool.input_schema["properties"]}
        assert not {"memory_id", "memory", "agent_id", "agent", "tenant", "user_id"} & taken
        said = call.error(tool.name, memory_id="eve")
        assert "memory_id" in said


def test_a_memory_is_added_found_changed_and_forgotten(call: Caller) -> None:
    """The life of a memory, with the id that each result has."""
    added = call("add_memory", text="Ada takes her tea without milk.", kind="preference", tags=["tea"])
    assert added["count"] == 1
    (memory,) = added["memories"]
    assert memory.keys() == {"id", "text", "kind", "tags", "created_at"}
    found = call("search_memory", query="milk in tea")
    assert [each["id"] for each in found["memories"]] == [memory["id"]]
    assert found["memories"][0]["score"] > 0
    changed = call("update_memory", id=memory["id"], text="Ada takes her tea with lemon.")
    assert changed["memories"][0]["text"] == "Ada takes her tea with lemon."
    assert changed["memories"][0]["kind"] == "preference"
    assert call("search_memory", query="milk")["count"] == 0
    assert call("search_memory", query="lemon")["count"] == 1
    assert call("delete_memory", id=memory["id"])["count"] == 1
    again = call("delete_memory", id=memory["id"])
    assert (again["count"], "nothing was deleted" in again["note"]) == (0, True)
    assert call("recent_memory")["count"] == 0


def test_a_result_says_what_is_known_of_a_memory(call: Caller) -> None:
    """Its key, its time as ISO 8601, a score that is no longer than it has to be, and where the older ones are."""
    call("add_memory", text="Ada likes tea.", key="drink")
    (found,) = call("search_memory", query="tea")["memories"]
    assert found["key"] == "drink"
    assert "T" in found["created_at"]
    assert datetime.fromisoformat(found["created_at"]).tzinfo is not None
    assert found["score"] == round(found["score"], 4)
    recent = call("recent_memory", limit=1)
    assert recent["note"] == f'For older ones: before="{found["id"]}".'
    assert call("recent_memory", limit=2)["note"] == ""


def test_nothing_found_is_said(call: Caller) -> None:
    """An empty result is an object with a note, as text too: a host that shows no structured content shows it."""
    result = call.run(lambda client: client.call_tool("search_memory", {"query": "tea"}))
    assert result.structured_content["count"] == 0
    assert result.structured_content["note"].startswith("Nothing found")
    assert json.loads(result.content[0].text) == result.structured_content


def test_a_key_makes_a_repetition_the_same_memory(call: Caller) -> None:
    """The same key again replaces the text and adds nothing; another key, however alike, is another memory."""
    first = call("add_memory", text="Ada drinks tea.", key="drink", kind="fact")
    again = call("add_memory", text="Ada drinks coffee.", key="drink")
    assert again["memories"][0]["id"] == first["memories"][0]["id"]
    assert "Replaced" in again["note"]
    assert again["memories"][0]["kind"] == "fact"
    for key in ("drink.", "drink%", "dr_nk", "'drink'", "Drink", "d" * 10_000, '["drink"]'):
        call("add_memory", text=f"of {key[:20]}", key=key)
    assert call("recent_memory")["count"] == 8


def test_a_key_of_one_memory_is_not_that_of_another(memory: Memory) -> None:
    """Ids are made of memory, agent and key, so that no two scopes share one, wherever their texts are cut."""
    ids = {
        memory.add(scope, "x", key=key)["id"]
        for scope, key in [
            (Scope("a"), "b"), (Scope("a", "b"), "b"), (Scope("b"), "b"), (Scope('a", "b'), "b"), (Scope("ab"), ""),
        ]
    }  # fmt: skip
    assert len(ids) == 5


def test_search_takes_kind_since_and_filter(call: Caller) -> None:
    """Each narrows what is found; they are joined."""
    call("add_memory", text="tea in the morning", kind="preference", tags=["home"])
    call("add_memory", text="tea at work", kind="fact", tags=["work"])
    assert call("search_memory", query="tea", kind="fact")["count"] == 1
    assert call("search_memory", query="tea", since="2020-01-01")["count"] == 2
    assert call("search_memory", query="tea", since="2999-01-01T00:00:00Z")["count"] == 0
    assert call("search_memory", query="tea", filter={"tags": {"$contains": "work"}})["count"] == 1
    nothing = call("search_memory", query="tea", kind="fact", filter={"tags": {"$contains": "home"}})
    assert (nothing["count"], "Without kind" in nothing["note"]) == (0, True)
    assert call("search_memory", query="tea", limit=1)["count"] == 1


def test_recent_memory_pages_back(call: Caller, provider: PostgreSQLProvider) -> None:
    """The newest come first, and `before` the last of them gives the older ones, each once, also of one moment."""
    provider.store_many([{"content": f"fact {n}", "memory_id": "ada"} for n in range(7)], STORE)
    pages, before = [], {}
    while (page := call("recent_memory", limit=3, **before))["count"]:
        pages.append([each["text"] for each in page["memories"]])
        before = {"before": page["memories"][-1]["id"]}
    assert pages == [["fact 6", "fact 5", "fact 4"], ["fact 3", "fact 2", "fact 1"], ["fact 0"]]
    assert call("recent_memory", before="2020-01-01")["count"] == 0
    assert call("recent_memory", before="2999-01-01")["count"] == 7


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("search_memory", {}, "'query' is a required property"),
    ("search_memory", {"query": ""}, "query"),
    ("search_memory", {"query": "tea", "limit": "7"}, "limit: '7' is not of type 'integer'"),
    ("search_memory", {"query": "tea", "limit": 0}, "minimum of 1"),
    ("search_memory", {"query": "tea", "limit": 51}, "maximum of 50"),
    ("search_memory", {"query": "tea", "limit": None}, "limit"),
    ("search_memory", {"query": "tea", "since": "yesterday"}, "expected a time such as"),
    ("search_memory", {"query": "tea", "filter": {"kind": {"$like": "f%"}}}, "$like"),
    ("search_memory", {"query": "tea", "filter": {"kind": {"$in": "fact"}}}, "$in"),
    ("search_memory", {"query": "tea", "filter": "kind = 'fact'"}, "filter"),
    ("search_memory", {"query": "tea", "filter": {"memory_id": 7}}, "memory_id"),
    ("add_memory", {"text": 7}, "text: 7 is not of type 'string'"),
    ("add_memory", {"text": ""}, "text"),
    ("add_memory", {"text": "tea\x00"}, "NUL"),
    ("add_memory", {"text": "tea", "tags": "drinks"}, "tags"),
    ("add_memory", {"text": "tea", "tags": [1]}, "tags.0"),
    ("update_memory", {"id": "nobody", "text": "tea"}, "take one from search_memory or recent_memory"),
    ("recent_memory", {"before": "nobody"}, "expected the id of a memory or a time"),
]


def test_a_wrong_argument_says_what_was_expected(call: Caller) -> None:
    """A model that calls a tool wrongly is told what to change, and nothing is done."""
    for tool, arguments, said in WRONG:
        assert said in call.error(tool, **arguments)
    assert call("recent_memory")["count"] == 0


def test_an_unknown_tool_is_an_error_of_the_protocol(call: Caller) -> None:
    """It is the host that took it from nowhere; the message names the five."""
    with pytest.raises(MCPError, match="there are search_memory"):
        call.run(lambda client: client.call_tool("read_graph", {}))


def test_a_long_text_is_cut_and_its_resource_is_whole(call: Caller) -> None:
    """A result does not fill a model's context; the note says where the rest is."""
    text = "tea " * 5000
    added = call("add_memory", text=text)
    assert len(added["memories"][0]["text"]) < 4100
    assert "cut" in added["note"]
    listed = call.run(lambda client: client.list_resources()).resources
    read = call.run(lambda client: client.read_resource(listed[0].uri))
    assert read.contents[0].text == text


def test_memories_are_resources(call: Caller, provider: PostgreSQLProvider) -> None:
    """Each memory is listed once, page after page, and read by the URI that it is listed under, whatever its id is."""
    ids = ["a/b", "50%", "memorizz://memory/x", "ü", "with space", *(f"id {n}" for n in range(250))]
    provider.store_many([{"id": id, "content": f"text of {id}", "memory_id": "ada"} for id in ids], STORE)
    listed, cursor = [], None
    while True:
        page = call.run(lambda client, cursor=cursor: client.list_resources(cursor=cursor))
        listed += page.resources
        if (cursor := page.next_cursor) is None:
            break
    assert [each.name for each in listed] == [f"text of {id}" for id in ids]
    for resource in listed[:6]:
        read = call.run(lambda client, uri=resource.uri: client.read_resource(uri))
        assert read.contents[0].text == resource.name
        assert read.contents[0].uri == resource.uri


def test_a_resource_of_another_program_is_listed(call: Caller, provider: PostgreSQLProvider) -> None:
    """Whatever its keys hold: a kind that is no text is left out, and without a text the id is the name."""
    provider.store({"id": "other", "memory_id": "ada", "kind": 7}, STORE)
    provider.update(STORE, {"id": "other"}, {"kind": 8})
    (listed,) = call.run(lambda client: client.list_resources()).resources
    (stored,) = provider.list_all(STORE)
    assert (listed.name, listed.description) == ("other", None)
    assert datetime.fromisoformat(listed.annotations.last_modified) == stored["updated_at"] > stored["created_at"]


def test_an_unknown_resource_is_not_found(call: Caller) -> None:
    """What is no memory cannot be read; the error has the URI."""
    for uri in ("memorizz://memory/nobody", "memorizz://memory/", "file:///etc/passwd", "memorizz://x"):
        with pytest.raises(MCPError) as raised:
            call.run(lambda client, uri=uri: client.read_resource(uri))
        assert raised.value.code == -32602
        assert raised.value.data == {"uri": uri}


def test_a_foreign_cursor_is_refused(call: Caller) -> None:
    """A cursor that no page gave is an error, and no page from the beginning."""
    with pytest.raises(MCPError, match="cursor"):
        call.run(lambda client: client.list_resources(cursor="nobody"))


def test_a_prompt_says_when_to_remember(call: Caller) -> None:
    """The prompt names the tools that it is about, and there is no other."""
    (listed,) = call.run(lambda client: client.list_prompts()).prompts
    got = call.run(lambda client: client.get_prompt(listed.name))
    for tool in TOOLS:
        assert tool in got.messages[0].content.text
    with pytest.raises(MCPError, match="Unknown prompt"):
        call.run(lambda client: client.get_prompt("forget"))


def test_without_an_embedder_words_are_searched(call: Caller) -> None:
    """It works, and the note says what is missing."""
    call("add_memory", text="Ada takes the train.")
    found = call("search_memory", query="trains")
    assert found["count"] == 1
    assert "no embedding model" in found["note"]


def test_meaning_and_words_are_searched_together(config: PostgreSQLConfig, embedder: Any) -> None:
    """With an embedder a memory is found that has none of the words, and one that has them; update embeds again."""
    with PostgreSQLProvider(config, embedder=embedder) as provider:
        call = Caller(server(Memory(provider, STORE), Scope("ada")), "auto")
        (tea,) = call("add_memory", text="Ada likes tea in the morning.")["memories"]
        call("add_memory", text="Ada likes the train.")
        found = call("search_memory", query="something to drink", limit=1)
        assert [each["text"] for each in found["memories"]] == ["Ada likes tea in the morning."]
        assert "no embedding model" not in found["note"]
        assert call("search_memory", query="morning", limit=1)["memories"][0]["id"] == tea["id"]
        call("update_memory", id=tea["id"], text="Ada likes python.")
        assert call("search_memory", query="code", limit=1)["memories"][0]["id"] == tea["id"]


def test_a_failing_embedder_is_said(config: PostgreSQLConfig) -> None:
    """A search that fails is an error and no empty result; what the embedder said stays in the server's log."""

    class Failing:
        name, dimensions = "failing", 4

        def embed(self, texts: list[str], *, kind: str = "document") -> Any:
            raise RuntimeError("key sk-secret was refused")

    with PostgreSQLProvider(config, embedder=Failing()) as provider:
        call = Caller(server(Memory(provider, STORE), Scope("ada")), "auto")
        said = call.error("search_memory", query="tea")
        assert "server's log" in said
        assert "sk-secret" not in said


def test_an_unknown_outcome_is_said(config: PostgreSQLConfig, dsn: str) -> None:
    """Of a write without an answer a model is told to look before it repeats it; of a read, that nothing was done."""
    with PostgreSQLProvider(config) as provider, psycopg.connect(dsn) as other:
        call = Caller(server(Memory(provider, STORE), Scope("ada")), "auto")
        call("add_memory", text="tea")
        with PostgreSQLProvider(config.replace(operation_timeout=0.5)) as hurried:
            held_up = Caller(server(Memory(hurried, STORE), Scope("ada")), "auto")
            other.execute("LOCK TABLE long_term_memory")
            assert "unknown whether this was done" in held_up.error("add_memory", text="coffee")
            assert "nothing was done" in held_up.error("search_memory", query="tea")
            other.rollback()
