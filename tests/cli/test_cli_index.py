"""memorizz index: what it shows, asks, and does; and memorizz recall."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from memorizz.cli import _common, _index_page, _recall_page
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import _maintenance_sync as _maintenance
from memorizz.memory_provider.postgresql.maintenance import _watching_sync

NAME = "toolbox_embedding_idx"


@pytest.fixture
def run(memorizz: Callable[..., Any], migrated_dsn: str) -> Callable[..., Any]:
    """Run `memorizz index`, or another command by its name, on the database."""

    def run_it(*arguments: object, columns: int = 80) -> Any:
        words = arguments if arguments[0] == "recall" else ("index", *arguments)
        return memorizz(*words, "--dsn", migrated_dsn, columns=columns)

    return run_it


@pytest.fixture
def database(migrated_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def stored(provider: PostgreSQLProvider) -> None:
    """A few memories with vectors in one store."""
    provider.store_many(
        ({"memory_id": f"m{n % 2}", "embedding": [n + 1, n % 3, n % 5, 1]} for n in range(30)), "toolbox"
    )


def listed(run: Callable[..., Any]) -> dict[str, Any]:
    return {index["name"]: index for index in run("list", "--json").json["indexes"]}


# --- list ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stored")
def test_list(run: Callable[..., Any]) -> None:
    """Every index of every store, or of one: what it is, what it covers, and whether it is valid."""
    indexes = listed(run)
    assert len(indexes) == 7 * 11
    vectors = indexes[NAME]
    assert vectors["bytes"] > 0
    expected = {"store": "toolbox", "method": "hnsw", "m": 24, "ef_construction": 128, "rows": 30, "valid": True,
                "being_built": False, "condition": None}  # fmt: skip
    assert {key: vectors[key] for key in expected} == expected
    assert indexes["toolbox_words_idx"]["method"] == "gin"
    assert indexes["toolbox_expires_at_idx"]["rows"] == 0
    assert [name for name, index in indexes.items() if index["constraint"]] == [
        n for n in indexes if n.endswith("_pkey")
    ]
    page = run("list", "--store", "toolbox").stdout
    assert "hnsw 24/128" in page
    assert NAME in page
    assert "agents" not in page
    assert all(len(line) <= 80 for line in run("list").stdout.splitlines()[1:])


@pytest.mark.usefixtures("stored")
def test_list_what_is_odd(run: Callable[..., Any], database: psycopg.Connection[Any]) -> None:
    """An index that is invalid and one that a rebuild has left are told from the others; a partial one is counted."""
    database.execute("CREATE INDEX mine ON toolbox (name) WHERE memory_id = 'm1'")
    database.execute("CREATE INDEX toolbox_embedding_idx_new ON toolbox USING hnsw (embedding vector_cosine_ops)")
    database.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agents_embedding_idx'::regclass")
    lines = [" ".join(line.split()) for line in run("list", columns=120).stdout.splitlines()]
    assert any(line.startswith("toolbox_embedding_idx_new hnsw") and line.endswith("left over") for line in lines)
    assert any(line.startswith("agents_embedding_idx hnsw") and line.endswith("invalid") for line in lines)
    mine = listed(run)["mine"]
    assert (mine["rows"], mine["condition"]) == (15, "(memory_id = 'm1'::text)")


# --- build, rebuild -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stored")
def test_build(run: Callable[..., Any], database: psycopg.Connection[Any]) -> None:
    """What is missing is said, built and said again; then nothing is missing."""
    database.execute(f"DROP INDEX {NAME}")
    shown = run("build")
    assert (shown.code, shown.stderr) == (0, "")
    assert f"{NAME}: hnsw 24/128 over 30 vectors" in shown.stdout
    assert f"built  {NAME}" in shown.stdout
    assert "nothing is missing" in run("build").stdout
    assert run("build", "--json").json == {"schema": "public", "made": []}


@pytest.mark.usefixtures("stored")
def test_rebuild(run: Callable[..., Any]) -> None:
    """As it is, or of another kind or other parameters."""
    (made,) = run("rebuild", "--store", "toolbox", "--json").json["made"]
    assert (made["action"], made["name"], made["rows"], made["m"]) == ("reindex", NAME, 30, 24)
    assert made["bytes"] > 0
    shown = run("rebuild", "--store", "toolbox", "--kind", "halfvec", "--m", "16")
    assert f"replaced  {NAME}  (halfvec" in shown.stdout
    assert (listed(run)[NAME]["method"], listed(run)[NAME]["m"]) == ("halfvec", 16)
    assert f"rebuilt  {NAME}" in run("rebuild", NAME).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "--kind", "ivfflat"], "hnsw, halfvec, none"),
        (["rebuild", "--kind", "none"], "memorizz index drop"),
        (["rebuild", "nothing"], "memorizz index list"),
        (["drop"], "NAME of an index, or --invalid"),
        (["drop", NAME, "--invalid"], "NAME of an index, or --invalid"),
        (["drop", "toolbox_pkey", "--yes"], "keeps a rule"),
        (["list", "--store", "memories"], "conversation_memory"),
        (["build", "--json-keys", "--maintenance-work-mem", "a lot", "--yes"], "a lot"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_one_message(run: Callable[..., Any], arguments: list[str], said: str) -> None:
    """A wrong option ends with exit code 1 and what would be right."""
    shown = run(*arguments)
    assert shown.code == 1
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


def test_an_interrupted_build(
    ctrl_c: None,
    run: Callable[..., Any],
    stored: None,
    database: psycopg.Connection[Any],
    migrated_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C ends it with 130; what was begun is removed, or it is said how it can be."""
    database.execute(f"DROP INDEX {NAME}")
    for seconds, said, left in ((0.1, "memorizz index drop --invalid", True), (20, "is removed again", False)):
        monkeypatch.setattr(_maintenance, "_CLEAN_SECONDS", seconds)
        with psycopg.connect(migrated_dsn) as writer:
            writer.execute("UPDATE toolbox SET role = 'nobody' WHERE false")
            interruption = threading.Thread(target=_interrupt, args=(migrated_dsn, None if left else writer))
            interruption.start()
            shown = run("build")
            interruption.join()
        assert shown.code == 130
        assert said in shown.stderr
        assert (NAME in listed(run)) is left
        run("drop", "--invalid", "--yes")
        assert NAME not in listed(run)


@pytest.mark.usefixtures("stored")
def test_a_build_that_is_interrupted_twice(
    run: Callable[..., Any], database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while it removes what was begun leaves that, and it is said."""

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    database.execute(f"DROP INDEX {NAME}")
    monkeypatch.setattr(_maintenance.Maintenance, "_make", interrupt)
    monkeypatch.setattr(_maintenance._making, "clean", interrupt)
    shown = run("build")
    assert shown.code == 130
    assert f"what was built of {NAME} is left, invalid: `memorizz index drop --invalid` removes it" in " ".join(
        shown.stderr.split()
    )


def _interrupt(dsn: str, writer: psycopg.Connection[Any] | None) -> None:
    """Press Ctrl-C as soon as a build waits, as a person does again where nothing happens.

    Then let the one in its way go, once what is left of it is dropped.
    """
    pressed, give_up = 0.0, time.monotonic() + 30
    here = "datname = current_database()"
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < give_up:
            building = connection.execute(f"SELECT phase FROM pg_stat_progress_create_index WHERE {here}").fetchone()
            if building and building[0].startswith("waiting") and time.monotonic() - pressed > 10:
                os.kill(os.getpid(), signal.SIGINT)
                pressed = time.monotonic()
            dropping = f"SELECT FROM pg_stat_activity WHERE {here} AND query ~ '^DROP INDEX C'"
            if pressed and (connection.execute(dropping).rowcount if writer else not building):
                break
    if writer:
        writer.rollback()


# --- what is asked ------------------------------------------------------------------------------------------------


def test_drop_asks(run: Callable[..., Any], database: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An index is dropped after a yes, from the keyboard or as an option, and not in a script that does not say it."""
    database.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'agents_embedding_idx'::regclass")
    shown = run("drop", "--invalid")
    assert shown.code == 1
    assert "stdin is not a terminal: pass --yes" in shown.stderr
    assert "agents_embedding_idx" in shown.stderr
    assert run("drop", "--invalid", "--yes").stdout == "dropped  agents_embedding_idx\n"
    assert run("drop", "--invalid").stdout == "no index is invalid\n"
    assert run("drop", "--invalid", "--json").json == {"dropped": []}
    monkeypatch.setattr(_common.sys.stdin, "isatty", lambda: True, raising=False)
    for answer, dropped in ((False, True), (True, False)):
        monkeypatch.setattr(_common.typer, "confirm", lambda question, answer=answer, **_: answer or _abort())
        run("drop", NAME)
        assert (NAME in listed(run)) is dropped


def _abort() -> None:
    import typer

    raise typer.Abort


def test_json_keys_ask(run: Callable[..., Any]) -> None:
    """What makes every update slower is not built without a yes, and help says why."""
    shown = run("build", "--store", "toolbox", "--json-keys")
    assert shown.code == 1
    assert "Every update of a key without a column" in shown.stderr
    assert "built  toolbox_keys_idx" in run("build", "--store", "toolbox", "--json-keys", "--yes").stdout
    assert "enters the vector into its index again" in run("build", "--help", columns=200).stdout


# --- how it is shown ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stored")
def test_a_terminal_sees_progress(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, migrated_dsn: str) -> None:
    """On a terminal a bar moves, on stderr; what was done stays on stdout alone."""
    assert run("rebuild", NAME).stderr == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(_watching_sync, "_POLL_SECONDS", 0.01)
    with psycopg.connect(migrated_dsn) as writer:
        writer.execute("UPDATE toolbox SET role = 'nobody' WHERE false")
        said = f"waits for process {writer.info.backend_pid}"
        rest = threading.Thread(target=_let_go_when_said, args=(writer, said))
        rest.start()
        shown = run("rebuild", NAME, columns=160)
        rest.join()
    assert said in shown.stderr
    assert "waits" not in shown.stdout
    assert f"rebuilt  {NAME}" in shown.stdout


def _let_go_when_said(writer: psycopg.Connection[Any], said: str) -> None:
    """End a transaction as soon as the terminal shows that it is waited for."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up and said not in getattr(sys.stderr, "getvalue", str)():
        time.sleep(0.01)
    writer.rollback()


@pytest.mark.parametrize(
    ("rows", "work_mem", "given", "expected"),
    [
        (10, 2**26, None, None),
        (100_000, 2**26, None, "needs about 276 MB of maintenance_work_mem, which is 64 MB: with less it takes several "
         "times as long; --maintenance-work-mem 320MB sets it for this build"),
        (100_000, 2**30, None, "needs about 276 MB of maintenance_work_mem, which is 1.0 GB"),
        (100_000, 2**26, "1GB", "needs about 276 MB of maintenance_work_mem; it gets 1GB"),
    ],
)  # fmt: skip
def test_the_memory_is_said_beforehand(rows: int, work_mem: int, given: str | None, expected: str | None) -> None:
    """What the largest graph needs, what it has, and the option that gives it more."""
    need = _maintenance.HNSW().memory("hnsw", 384, rows)
    jobs = [_maintenance.Job("create", NAME, "toolbox", "hnsw", rows, size) for size in (need, need // 2)]
    assert _index_page.memory_need(jobs, work_mem, given) == expected


# --- recall -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stored")
def test_recall(run: Callable[..., Any]) -> None:
    """Every store that has vectors is measured, or the one that is named."""
    result = run("recall", "--sample", 5, "--limit", 3, "--json").json
    (report,) = result["stores"]
    assert (report["store"], report["rows"], report["sample"], report["limit"]) == ("toolbox", 30, 5, 3)
    assert {way["search"] for way in report["ways"]} == {"all", "one memory"}
    assert all(way["recall"] == 1 for way in report["ways"])
    page = run("recall", "--sample", 5).stdout
    for part in ("toolbox", "30 vectors, 5 searched for", "100 %", "one memory"):
        assert part in page
    assert all(len(line) <= 80 for line in page.splitlines()[1:])
    (empty,) = run("recall", "--store", "agents", "--json").json["stores"]
    assert empty["rows"] == 0


def test_recall_of_nothing(run: Callable[..., Any]) -> None:
    """Where no store has vectors, that is all there is to say."""
    assert "no store has vectors" in run("recall").stdout
    assert "there is nothing to measure" in run("recall", "--store", "agents").stdout


def test_the_page_of_recall(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not all does not look like all; advice is printed whole."""
    way = {"search": "all", "routes": {"index": 9, "scan": 1}, "recall": 0.99996, "median_ms": 1.25, "exact_ms": 30.0}
    report: dict[str, Any] = {"store": "toolbox", "rows": 12_345, "sample": 10, "limit": 10, "ways": [way],
                              "advice": ["Do [this]."]}  # fmt: skip
    _recall_page.show([report])
    page = " ".join(capsys.readouterr().out.split())
    for part in ("12,345 vectors", "99.99 %", "index 9, scan 1", "Do [this]."):
        assert part in page


@pytest.mark.parametrize(("share", "expected"), [(1, "100 %"), (0.99999, "99.99 %"), (0.5, "50 %"), (0, "0 %")])
def test_percent(share: float, expected: str) -> None:
    """Only all is 100 %."""
    assert _recall_page.percent(share) == expected
