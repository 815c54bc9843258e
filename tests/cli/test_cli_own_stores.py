"""A store of a caller's own has everything that the seven have, on the command line too."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec

TICKETS = StoreSpec("tickets", dimensions=3, distance="l2")
NAME = "tickets_embedding_2_idx"
Run = Callable[..., Any]


@pytest.fixture
def tickets(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """A provider with twenty tickets, in two memories."""
    provider.create_store(TICKETS)
    provider.store_many(
        [
            {"id": f"t{n}", "memory_id": f"m{n % 2}", "content": "printer" + " on fire" * n, "embedding": [n, 1, 2]}
            for n in range(20)
        ],
        "tickets",
    )
    return provider


@pytest.fixture
def run(memorizz: Run, tickets: PostgreSQLProvider, migrated_dsn: str) -> Run:
    return lambda *words, **options: memorizz(*words, "--dsn", migrated_dsn, **options)


@pytest.fixture
def embedders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with embedders of two lengths, in the folder that the command is run in."""
    text = """
        class Three:
            name, dimensions = "three", 3

            def embed(self, texts, *, kind="document"):
                return [[float(len(text)), 1.0, 2.0] for text in texts]


        class Two:
            name, dimensions = "two", 2

            def embed(self, texts, *, kind="document"):
                return [[float(len(text)), 1.0] for text in texts]


        class Four:
            name, dimensions = "four", 4

            def embed(self, texts, *, kind="document"):
                return [[1.0, 2.0, 3.0, float(len(text))] for text in texts]
    """
    (tmp_path / "embedders_of_tickets.py").write_text(textwrap.dedent(text))
    monkeypatch.chdir(tmp_path)
    yield "embedders_of_tickets"
    sys.modules.pop("embedders_of_tickets", None)


def vectors(provider: PostgreSQLProvider) -> dict[str, list[float] | None]:
    return {each["id"]: each["embedding"] for each in provider.list_all("tickets", include_embedding=True)}


# --- looking ------------------------------------------------------------------------------------------------------


def test_stats_and_doctor_count_it(run: Run) -> None:
    """Its rows, its vectors, the size of its index; and the doctor finds nothing amiss with it."""
    stores = {store["name"]: store for store in run("stats", "--json").json["stores"]}
    assert list(stores)[7:] == ["tickets"]
    assert (stores["tickets"]["rows"], stores["tickets"]["with_embedding"]) == (20, 20)
    assert "tickets" in run("stats").stdout
    found = run("doctor", "--json").json
    assert [store["rows"] for store in found["stores"] if store["name"] == "tickets"] == [20]
    assert found["embedding_models"]["searched"]["dimensions"] == 4
    assert not any("tickets" in finding["subject"] for finding in found["findings"])


def test_the_doctor_misses_what_it_lacks(run: Run, migrated_dsn: str) -> None:
    """An index that is gone and a table that is gone are found, and the advice makes the index again."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute(f"DROP INDEX {NAME}")
        findings = {finding["subject"]: finding for finding in run("doctor", "--json").json["findings"]}
        assert findings[NAME]["advice"] == "`memorizz index build --store tickets`"
        assert run("index", "build", "--store", "tickets").code == 0
        connection.execute("DROP TABLE tickets")
    findings = {finding["subject"]: finding for finding in run("doctor", "--json").json["findings"]}
    assert "tickets" in findings["tables"]["text"]


def test_search_and_show(run: Run) -> None:
    """Its documents are found by their words, and shown, with or without its name."""
    for words in (["search", "printer", "--limit", 30], ["search", "printer", "--limit", 30, "--store", "tickets"]):
        hits = run(*words, "--json").json["hits"]
        assert {hit["document"]["id"] for hit in hits} == {f"t{n}" for n in range(20)}
        assert {hit["store"] for hit in hits} == {"tickets"}
    (shown,) = run("show", "t3", "--json").json["documents"]
    assert (shown["store"], shown["embedding_dimensions"]) == ("tickets", 3)
    assert run("search", "printer", "--store", "invoices").code == 1


def test_recall(run: Run) -> None:
    """It is measured with the others, and by itself."""
    for words in ([], ["--store", "tickets"]):
        (report,) = run("recall", "--sample", 5, *words, "--json").json["stores"]
        assert (report["store"], report["rows"]) == ("tickets", 20)
        assert {way["recall"] for way in report["ways"]} == {1}


# --- indexes ------------------------------------------------------------------------------------------------------


def test_its_indexes(run: Run, tickets: PostgreSQLProvider) -> None:
    """Listed, dropped, built, built anew with other parameters; searches stay right."""

    def listed() -> dict[str, Any]:
        indexes = run("index", "list", "--store", "tickets", "--json").json["indexes"]
        return {index["name"]: index for index in indexes}

    assert (listed()[NAME]["rows"], listed()[NAME]["method"]) == (20, "hnsw")
    assert run("index", "drop", NAME, "--yes").code == 0
    assert NAME not in listed()
    (made,) = run("index", "build", "--json").json["made"]
    assert (made["name"], made["kind"], made["rows"]) == (NAME, "hnsw", 20)
    made = next(each for each in run("index", "rebuild", "--store", "tickets", "--m", 16, "--json").json["made"])
    assert (made["name"], made["action"], listed()[NAME]["m"]) == (NAME, "replace", 16)
    assert run("index", "build", "--store", "tickets", "--json-keys", "--yes").code == 0
    assert "tickets_keys_idx" in listed()
    assert tickets.retrieve_by_query({"embedding": [7, 1, 2]}, "tickets")[0]["id"] == "t7"


def test_a_kind_that_it_cannot_have(run: Run) -> None:
    """Asked for by its name, that is said; where all stores are meant, it keeps the kind that it has."""
    wrong = run("index", "rebuild", "--store", "tickets", "--kind", "halfvec")
    assert wrong.code == 1
    assert "halfvec compares directions only, tickets has l2" in wrong.stderr
    assert run("index", "rebuild", "--kind", "halfvec").code == 0
    methods = {index["store"]: index["method"] for index in run("index", "list", "--json").json["indexes"]
               if "_embedding" in index["name"]}  # fmt: skip
    assert methods.pop("tickets") == "hnsw"
    assert set(methods.values()) == {"halfvec"}


def test_a_store_that_is_to_have_no_vector_index(run: Run, tickets: PostgreSQLProvider) -> None:
    """What is said of a store when it is made holds for the commands that make what is missing."""
    tickets.create_store(StoreSpec("notes_of_mine", index="none"))
    assert "nothing is missing" in run("index", "build").stdout
    assert not any("notes" in finding["subject"] for finding in run("doctor", "--json").json["findings"])


# --- embedding ----------------------------------------------------------------------------------------------------


def test_embed(run: Run, tickets: PostgreSQLProvider, embedders: str) -> None:
    """Its documents are embedded by a model of its own, those of the seven by another."""
    tickets.store({"id": "new", "content": "printer"}, "tickets")
    tickets.store({"id": "fact", "content": "tea"}, "toolbox")
    done = run("embed", "--model", f"{embedders}:Three", "--store", "tickets", "--json")
    assert done.json == {"embedded": {"tickets": 1}}, done.stderr
    assert vectors(tickets)["new"] == [len("printer"), 1, 2]
    done = run("embed", "--model", f"{embedders}:Four", "--json").json["embedded"]
    assert (done["toolbox"], "tickets" in done) == (1, False)
    wrong = run("embed", "--model", f"{embedders}:Two", "--store", "tickets")
    assert wrong.code == 1
    assert "'two'" in wrong.stderr


def test_re_embed(run: Run, tickets: PostgreSQLProvider, embedders: str, config: PostgreSQLConfig) -> None:
    """Its model is changed, gone back to, and ended, and that of the seven stays."""
    tickets.store({"id": "fact", "content": "tea", "embedding": [1, 2, 3, 4]}, "toolbox")
    before = vectors(tickets)
    shown = run("re-embed", "--model", f"{embedders}:Two", "--store", "tickets", "--json")
    assert shown.code == 0, shown.stderr
    assert (shown.json["embedded"], shown.json["searched"]["name"], shown.json["standby"]["dimensions"]) == (
        20,
        "two",
        3,
    )
    with PostgreSQLProvider(config) as now:
        assert vectors(now) == {f"t{n}": [len("printer" + " on fire" * n), 1] for n in range(20)}
        hit = now.retrieve_by_query({"embedding": [len("printer on fire"), 1]}, "tickets")[0]
        assert (hit["id"], hit["distance"]) == ("t1", 0)
    advice = [
        each["advice"] for each in run("doctor", "--json").json["findings"] if each["subject"] == "embedding model"
    ]
    assert advice == ["`memorizz re-embed --finish --store tickets` drops them"]
    models = run("doctor", "--json").json["embedding_models"]
    assert (models["searched"]["dimensions"], models["standby"]) == (4, None)
    assert run("re-embed", "--status", "--json").json["searched"]["dimensions"] == 4
    assert "switched" in run("re-embed", "--back", "--store", "tickets").stdout
    with PostgreSQLProvider(config) as now:
        assert vectors(now) == before
    assert "finished" in run("re-embed", "--finish", "--yes", "--store", "tickets").stdout
    assert run("re-embed", "--status", "--store", "tickets", "--json").json["standby"] is None
    assert run("index", "build", "--json").json["made"] == []
