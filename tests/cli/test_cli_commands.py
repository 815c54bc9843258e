"""memorizz migrate, stats, search, show and server."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Noted

# --- migrate ------------------------------------------------------------------------------------------------------


def test_check_lists_what_is_pending(memorizz: Callable[..., Any], dsn: str) -> None:
    """--check names the migrations, changes nothing, and its exit code is 1 until they are applied."""
    for _ in range(2):
        shown = memorizz("migrate", "--check", "--dsn", dsn)
        assert shown.code == 1
        assert "pending  1 stores_and_words" in shown.stdout
    assert memorizz("migrate", "--dsn", dsn).code == 0
    shown = memorizz("migrate", "--check", "--dsn", dsn)
    assert shown.code == 0
    assert "nothing is pending" in shown.stdout


def test_migrate_makes_what_a_provider_opens(memorizz: Callable[..., Any], dsn: str) -> None:
    """The options of a new schema are those that a provider with auto_migrate=False then finds."""
    options = ["--schema", "mine", "--dimensions", "8", "--index", "halfvec", "--language", "german"]
    result = memorizz("migrate", "--json", "--dsn", dsn, *options).json
    assert result == {"schema": "mine", "dimensions": 8, "applied": [{"version": 1, "name": "stores_and_words"}]}
    config = PostgreSQLConfig(dsn=dsn, schema="mine", embedding_dimensions=8, auto_migrate=False)
    with PostgreSQLProvider(config) as provider:
        provider.store({"content": "Häuser", "embedding": [1.0] * 8}, "toolbox")
        assert provider.retrieve_by_query("Haus", "toolbox")
    found = memorizz("doctor", "--json", "--dsn", dsn, "--schema", "mine").json
    assert {index["method"] for index in found["indexes"]} == {"brin", "btree", "gin", "halfvec"}


def test_migrate_twice_does_nothing(memorizz: Callable[..., Any], migrated_dsn: str) -> None:
    """Where nothing is pending nothing is done."""
    assert memorizz("migrate", "--json", "--dsn", migrated_dsn).json["applied"] == []


def test_migrate_says_when_the_dimensions_are_others(memorizz: Callable[..., Any], migrated_dsn: str) -> None:
    """A schema that exists keeps its dimensions, and asking for others is an error."""
    shown = memorizz("migrate", "--dsn", migrated_dsn, "--dimensions", "8")
    assert shown.code == 1
    assert "holds vectors of 4 dimensions" in shown.stderr


def test_a_wrong_index_is_refused(memorizz: Callable[..., Any], dsn: str) -> None:
    """An option that the configuration refuses is an error that lists what there is."""
    shown = memorizz("migrate", "--dsn", dsn, "--index", "ivfflat")
    assert shown.code == 1
    assert "hnsw, halfvec, none" in shown.stderr


# --- stats --------------------------------------------------------------------------------------------------------


def test_stats(memorizz: Callable[..., Any], migrated_dsn: str, provider: PostgreSQLProvider) -> None:
    """Rows, sizes, and the oldest and newest of each store."""
    provider.store_many(
        [{"content": "old", "created_at": "2020-02-03T12:00Z"}, {"content": "new", "created_at": "2024-05-06T12:00Z"}],
        "toolbox",
    )
    result = memorizz("stats", "--json", "--dsn", migrated_dsn).json
    assert set(result) == {"schema", "stores", "indexes"}
    stores = {store["name"]: store for store in result["stores"]}
    assert set(stores) == {each.value for each in MemoryType}
    assert stores["toolbox"]["rows"] == 2
    assert stores["toolbox"]["oldest"].startswith("2020-02-03")
    assert stores["toolbox"]["newest"].startswith("2024-05-06")
    assert stores["agents"]["oldest"] is None
    sizes = sum(index["bytes"] for index in result["indexes"] if index["store"] == "toolbox")
    assert sizes == stores["toolbox"]["index_bytes"]
    page = memorizz("stats", "--dsn", migrated_dsn).stdout
    assert all(len(line) <= 80 for line in page.splitlines())
    assert "2020-02-03" in page
    assert page.splitlines()[-1].split()[:2] == ["all", "2"]


def test_what_is_measured_is_noted(
    memorizz: Callable[..., Any], migrated_dsn: str, provider: PostgreSQLProvider, config: PostgreSQLConfig
) -> None:
    """With --note sizes, shares and times stand in the schema; without it nothing does, nor of a view."""
    provider.store_many([{"n": n, "embedding": [1.0, n, 0.0, 0.0]} for n in range(20)], "toolbox")
    memorizz("stats", "--dsn", migrated_dsn)
    assert memorizz("recall", "--dsn", migrated_dsn, "--note", "--memory", "m").code == 1
    with Maintenance(config) as maintenance:
        assert maintenance.noted() == []
        assert memorizz("stats", "--note", "--dsn", migrated_dsn).code == 0
        stores = {each.name: each for each in maintenance.measure()[0]}
        found = {each.store: each for each in maintenance.noted()}
        assert {*found} == {*stores}
        assert (found["toolbox"].documents, found["agents"].documents, found["toolbox"].recall) == (20, 0, None)
        assert found["toolbox"].bytes == stores["toolbox"].table_bytes + stores["toolbox"].index_bytes
        assert memorizz("recall", "--note", "--sample", 5, "--dsn", migrated_dsn).code == 0
        last = maintenance.noted()[-1]
        assert (last.store, last.recall, last.documents) == ("toolbox", 1, None)
        assert last.median_ms is not None
        assert last.median_ms > 0


def test_what_was_noted_goes_after_two_years(
    memorizz: Callable[..., Any], migrated_dsn: str, config: PostgreSQLConfig
) -> None:
    """The next that is noted takes its place."""
    with Maintenance(config) as maintenance:
        maintenance.note([Noted("toolbox", documents=1), Noted("agents", documents=2)])
        with psycopg.connect(migrated_dsn, autocommit=True) as connection:
            connection.execute(
                "UPDATE memorizz_measurements SET noted_at = now() - CASE store "
                "WHEN 'agents' THEN interval '2 years 1 s' "
                "ELSE interval '2 years' - interval '1 hour' END"
            )
        maintenance.note([Noted("personas", recall=0.5)])
        assert [(each.store, each.documents, each.recall) for each in maintenance.noted()] == [
            ("toolbox", 1, None),
            ("personas", None, 0.5),
        ]


# --- search -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(provider: PostgreSQLProvider) -> dict[str, str]:
    """A few memories in three stores, their ids by name."""
    facts = [
        {"name": "green", "memory_id": "ada", "content": "green tea in the morning", "metadata": {"topic": "food"}},
        {"name": "black", "memory_id": "ben", "content": "black tea with milk", "importance_score": 0.9},
    ]
    ids = provider.store_many(facts, "long_term_memory")
    turn = provider.store({"memory_id": "ada", "role": "user", "content": "Tea, please"}, "conversation_memory")
    agent = provider.store({"id": "agent-7", "name": "Butler", "instruction": "Serve the tea"}, "agents")
    return {"green": ids[0], "black": ids[1], "turn": turn, "agent": agent}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tea"], {"green", "black", "turn"}),
        (["teas"], {"green", "black", "turn"}),
        (["milk"], {"black"}),
        (["coffee"], set()),
        (["tea", "--store", "long_term_memory"], {"green", "black"}),
        (["tea", "--memory", "ada"], {"green", "turn"}),
        (["tea", "--filter", '{"metadata.topic": "food"}'], {"green"}),
        (["tea", "--filter", '{"importance_score": {"$gte": 0.5}}'], {"black"}),
        (["--memory", "ada"], {"green", "turn"}),
        (["--store", "agents"], {"agent"}),
    ],
)
def test_search(
    memorizz: Callable[..., Any], migrated_dsn: str, stored: dict[str, str], arguments: list[str], expected: set[str]
) -> None:
    """By words in every store or one, inside a memory, under a filter; without words, all that match."""
    hits = memorizz("search", *arguments, "--json", "--dsn", migrated_dsn).json["hits"]
    assert {hit["document"]["id"] for hit in hits} == {stored[name] for name in expected}
    page = memorizz("search", *arguments, "--dsn", migrated_dsn).stdout
    assert all(stored[name] in page for name in expected)
    assert expected or page == "nothing found\n"


def test_the_best_of_all_stores_come_first(
    memorizz: Callable[..., Any], migrated_dsn: str, stored: dict[str, str]
) -> None:
    """The limit holds over all stores together, the best first."""
    hits = memorizz("search", "black tea", "--limit", 2, "--json", "--dsn", migrated_dsn).json["hits"]
    assert len(hits) == 2
    assert hits[0] == {"store": "long_term_memory", "document": hits[0]["document"]}
    assert hits[0]["document"]["id"] == stored["black"]
    scores = [hit["document"]["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_hits_of_all_stores_are_ranked_as_by_the_provider(
    memorizz: Callable[..., Any], migrated_dsn: str, provider: PostgreSQLProvider
) -> None:
    """The best of a store whose best is poor does not stand before what is about the question."""
    provider.store({"content": "Gardens: water the roses, and renew the passport some day."}, "toolbox")
    about = {"name": "passport", "content": "The passport number is X123, the number of the old passport was X99."}
    provider.store_many([about, {"content": "A number of roses."}], "long_term_memory")
    hits = memorizz("search", "passport number", "--json", "--dsn", migrated_dsn).json["hits"]
    found = provider.retrieve_memory_components_by_query("passport number")
    assert hits[0]["document"]["name"] == "passport"
    assert [hit["document"]["content"] for hit in hits] == [each["content"] for each in found]
    assert [hit["document"]["score"] for hit in hits] == pytest.approx([each["score"] for each in found])


@pytest.mark.parametrize("store", [[], ["--store", "long_term_memory"]])
def test_a_schema_that_knows_its_model_is_searched_by_meaning(
    memorizz: Callable[..., Any], dsn: str, store: list[str]
) -> None:
    """Where its embedder is at hand; the answer shares no word with the question."""
    with PostgreSQLProvider(dsn, embedder="local") as provider:
        facts = [{"content": "She is afraid of dogs."}, {"content": "The bus is late."}]
        provider.store_many(facts, "long_term_memory")
        provider.store({"name": "Butler", "instruction": "Serve the puppies"}, "agents")
    found = memorizz("search", "who would not want a puppy?", *store, "--json", "--dsn", dsn).json
    assert found["by"] == "meaning and words"
    assert "She is afraid of dogs." in [hit["document"].get("content") for hit in found["hits"]][:2]
    assert memorizz("search", "who would not want a puppy?", *store, "--model", "local", "--dsn", dsn).stderr == ""


def test_a_model_that_is_not_at_hand_is_said(memorizz: Callable[..., Any], dsn: str) -> None:
    """Words are searched then, and the page says why and what to give; a wrong embedder is an error."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)) as provider:
        provider.store({"content": "green tea", "embedding": [1, 0, 0, 0]}, "long_term_memory")
        provider.note_embedding_model("of-our-own")
    page = memorizz("search", "tea", "--dsn", dsn).stdout
    assert "green tea" in page
    assert "by words alone: the vectors are those of 'of-our-own'; --model names an embedder" in page
    assert memorizz("search", "tea", "--json", "--dsn", dsn).json["by"] == "words"
    refused = memorizz("search", "tea", "--model", "local", "--dsn", dsn)
    assert (refused.code, "'of-our-own'" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--filter", "{topic: food}"], "--filter is no JSON"),
        (["--filter", "[1]"], "expected a JSON object"),
        (["--filter", '{"a": {"$near": 1}}'], "$near"),
        (["--store", "memories"], "conversation_memory"),
    ],
)
def test_a_wrong_search(memorizz: Callable[..., Any], migrated_dsn: str, arguments: list[str], said: str) -> None:
    """What is wrong with a filter or a store is one message."""
    shown = memorizz("search", "tea", *arguments, "--dsn", migrated_dsn)
    assert shown.code == 1
    assert said in shown.stderr
    assert shown.stdout == ""


def test_a_long_text_is_shortened(
    memorizz: Callable[..., Any], provider: PostgreSQLProvider, migrated_dsn: str
) -> None:
    """A list of hits stays one; show has the whole."""
    name = provider.store({"content": "tea " * 1000 + "END"}, "toolbox")
    assert "END" not in memorizz("search", "tea", "--dsn", migrated_dsn).stdout
    assert "END" in memorizz("show", name, "--dsn", migrated_dsn).stdout


# --- show ---------------------------------------------------------------------------------------------------------


def test_show(memorizz: Callable[..., Any], provider: PostgreSQLProvider, migrated_dsn: str) -> None:
    """A memory is printed whole, of its embedding the length."""
    name = provider.store(
        {"name": "green", "content": "tea", "metadata": {"cups": [1, 2]}, "own": "é", "embedding": [1, 0, 0, 0]},
        "long_term_memory",
    )
    found = memorizz("show", name, "--json", "--dsn", migrated_dsn).json["documents"]
    assert [(each["store"], each["embedding_dimensions"]) for each in found] == [("long_term_memory", 4)]
    assert found[0]["document"]["metadata"] == {"cups": [1, 2]}
    assert "embedding" not in found[0]["document"]
    page = memorizz("show", name, "--dsn", migrated_dsn).stdout
    for part in ("long_term_memory", name, '{"cups": [1, 2]}', "é", "4 dimensions", "created_at"):
        assert part in page


def test_show_an_id_of_two_stores(
    memorizz: Callable[..., Any], provider: PostgreSQLProvider, migrated_dsn: str
) -> None:
    """An id that two stores have is shown from both, or from the one that is named."""
    for store in ("personas", "agents"):
        provider.store({"id": "butler", "name": store}, store)
    found = memorizz("show", "butler", "--json", "--dsn", migrated_dsn).json["documents"]
    assert [each["store"] for each in found] == ["personas", "agents"]
    found = memorizz("show", "butler", "--store", "agents", "--json", "--dsn", migrated_dsn).json["documents"]
    assert [each["store"] for each in found] == ["agents"]


def test_show_an_unknown_id(memorizz: Callable[..., Any], migrated_dsn: str) -> None:
    """What no store has is an error; as JSON, an empty list."""
    shown = memorizz("show", "nobody", "--dsn", migrated_dsn)
    assert (shown.code, shown.stdout) == (1, "")
    assert "nobody" in shown.stderr
    shown = memorizz("show", "nobody", "--json", "--dsn", migrated_dsn)
    assert (shown.code, shown.json) == (1, {"documents": []})


# --- server -------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder that the server's own user can reach; its server is stopped in the end."""
    path = tmp_path_factory.mktemp("server")
    # Below the folder of all temporary files: in parallel there is one more in between.
    for folder in (path, *path.parents[: len(path.relative_to(tempfile.gettempdir()).parts) - 1]):
        folder.chmod(folder.stat().st_mode | 0o011)
    yield path / "data"
    EmbeddedServer(path / "data").stop()


def test_the_embedded_server(memorizz: Callable[..., Any], data: Path) -> None:
    """It is started, runs on without this program, can be connected to, and is stopped."""
    keys = {"path", "version", "running", "pid", "conninfo", "users"}
    before = memorizz("server", "status", "--json", "--embedded", data).json
    assert set(before) == keys
    assert before["running"] is False
    assert not data.exists()
    started = memorizz("server", "start", "--json", "--embedded", data).json
    assert set(started) == keys
    assert started["running"] is True
    with psycopg.connect(started["conninfo"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    page = memorizz("server", "status", "--embedded", data).stdout
    assert f"pid {started['pid']}" in page
    assert f'psql "{started["conninfo"]}"' in page
    assert memorizz("demo", "--embedded", data).code == 0
    assert memorizz("server", "status", "--json", "--embedded", data).json["running"] is True
    stopped = memorizz("server", "stop", "--embedded", data)
    assert stopped.code == 0
    assert "not running" in stopped.stdout


def test_the_servers_of_a_user_are_listed(
    memorizz: Callable[..., Any], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every data folder that a server was started in is listed while it is there, and whether it runs, and for whom."""
    for variable in ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(data.parent))
    assert "no embedded server yet" in memorizz("server", "list").stdout
    started = memorizz("server", "start", "--json", "--embedded", data).json
    page = memorizz("server", "list", columns=200).stdout
    assert [line.split() for line in page.splitlines()[2:]] == [
        [str(data), "running,", "pid", str(started["pid"]), "-"]
    ]
    server = EmbeddedServer(data)
    server.acquire()
    [listed] = memorizz("server", "list", "--json").json
    assert (listed["path"], listed["running"], listed["users"]) == (str(data), True, [os.getpid()])
    server.release()
    memorizz("server", "stop", "--embedded", data)
    assert "not running" in memorizz("server", "list", columns=60).stdout
    shutil.rmtree(data)
    assert memorizz("server", "list", "--json").json == []


def test_a_demo_leaves_no_server_running(memorizz: Callable[..., Any], data: Path) -> None:
    """A command that started the embedded server stops it, and names it in what can be done next."""
    page = memorizz("demo", "--embedded", data).stdout
    assert f"memorizz doctor --embedded {data} --schema memorizz_demo" in page
    assert memorizz("server", "status", "--json", "--embedded", data).json["running"] is False
    assert "Already there" in memorizz("demo", "--embedded", data).stdout


# --- narrow terminals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 60, 100])
@pytest.mark.parametrize("command", ["stats", "index list", "doctor", "recall"])
def test_a_narrow_terminal_loses_no_figure_and_breaks_no_name(
    memorizz: Callable[..., Any], migrated_dsn: str, provider: PostgreSQLProvider, command: str, columns: int
) -> None:
    """What does not fit beside each other stands below each other."""
    provider.store_many([{"n": n, "embedding": [n % 7, n % 5, n % 3, 1]} for n in range(1200)], "long_term_memory")
    shown = memorizz(*command.split(), "--dsn", migrated_dsn, columns=columns).stdout
    named = ["conversation_memory", "1,200"]
    if command == "index list":
        with psycopg.connect(migrated_dsn) as connection:
            rows = connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'short_term_memory'")
            named = ["1,200", *(name for (name,) in rows.fetchall())]
    elif command == "recall":
        named = ["long_term_memory", "1,200 vectors", "100 %"]
    assert [each for each in named if each not in shown] == []
    assert "\u2026" not in shown


def test_language_changes_the_words(memorizz: Callable[..., Any], migrated_dsn: str) -> None:
    """It says the language and how many memories got other words; a second time nothing is to be done."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4)) as provider:
        provider.store({"content": "alte Häuser"}, "toolbox")
        assert memorizz("language", "german", "--json", "--dsn", migrated_dsn).json == {
            "language": "pg_catalog.german",
            "changed": 1,
        }
        assert provider.retrieve_by_query("Haus", "toolbox")
    shown = memorizz("language", "german", "--dsn", migrated_dsn)
    assert "words are in german; 0 memories got other words" in shown.stdout
    failed = memorizz("language", "klingon", "--dsn", migrated_dsn)
    assert (failed.code, "klingon" in failed.stderr) == (1, True)
