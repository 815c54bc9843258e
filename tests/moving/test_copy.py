"""Copying from one provider to another: nothing is lost, doubled or changed, and what is wrong is said."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from memorizz.errors import ConfigurationError, ConnectionFailed
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from memorizz.moving import Problem, Progress, ProviderSource, Report, StoreReport, copy
from relay import relay

LONG, TALK, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY, MemoryType.MEMAGENT
LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)


def numbered(count: int, **keys: Any) -> list[dict[str, Any]]:
    return [{"id": f"d{n}", "n": n, "embedding": [1, n, 0, 0], **keys} for n in range(count)]


def of(report: Report, store: str) -> StoreReport:
    return next(each for each in report.stores if each.store == store)


def everything(provider: PostgreSQLProvider) -> dict[str, list[dict[str, Any]]]:
    return {store.value: provider.list_all(store, include_embedding=True) for store in MemoryType}


# --- what arrives -------------------------------------------------------------------------------------------------


def test_every_document_of_every_store_arrives_as_it_was(
    source: PostgreSQLProvider, target: PostgreSQLProvider
) -> None:
    """Ids of any kind, times, vectors to the last bit, keys that are None, any JSON, and the order."""
    vector = np.random.default_rng(1).normal(size=4).astype(np.float32)
    for store in MemoryType:
        source.store_many(
            [
                {"id": "user-42", "content": "tea", "name": None, "embedding": vector, "created_at": LONG_AGO},
                {"_id": "507f1f77bcf86cd799439011", "metadata": {"a": [1, 2.5, None, {"b": "ü"}]}, "big": 10**30},
                {"role": "user", "access_count": 3, "last_accessed": LONG_AGO, "score": 5, "when": LONG_AGO},
            ],
            store,
        )
    before = everything(source)
    report = copy(source, target)
    assert report.ok
    assert everything(target) == before == everything(source)
    assert [each.copied for each in report.stores] == [3] * 7
    assert of(report, "personas").source_checksum == of(report, "personas").target_checksum


def test_agents_keep_their_memories(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """An agent's id and its memory_ids are those it had, so that deleting it there takes its memories along."""
    id = source.store_memagent({"name": "Ada", "memory_ids": ["m1", "m2"], "tools": [{"name": "clock"}]})
    source.store({"content": "tea", "memory_id": "m1"}, LONG)
    assert copy(source, target).ok
    assert target.retrieve_memagent(id) == source.retrieve_memagent(id)
    assert target.delete_memagent(id, cascade=True)
    assert target.count(LONG) == 0


def test_turns_of_the_same_time_keep_their_order(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """A history reads the same on both sides, also where every time in it is the same."""
    turns = [{"memory_id": "m", "n": n, "timestamp": LONG_AGO, "created_at": LONG_AGO} for n in range(7)]
    source.store_many(turns, TALK)
    assert copy(source, target, batch_size=2).ok
    history = target.retrieve_conversation_history_ordered_by_timestamp("m")
    assert [turn["n"] for turn in history] == list(range(7))


def test_only_the_stores_that_are_asked_for_are_copied(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """By member or by name; the others are neither read nor written."""
    for store in MemoryType:
        source.store({"n": 1}, store)
    report = copy(source, target, [LONG, "agents"])
    assert [each.store for each in report.stores] == ["long_term_memory", "agents"]
    assert {store for store in MemoryType if target.count(store)} == {LONG, AGENTS}


def test_what_has_expired_stays_behind(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """It is in no read; what expires later goes along and expires later there."""
    soon = datetime.now(UTC) + timedelta(days=1)
    source.store_many([{"id": "gone", "expires_at": LONG_AGO}, {"id": "soon", "expires_at": soon}], LONG)
    report = copy(source, target)
    assert report.ok
    assert [(each["id"], each["expires_at"]) for each in target.list_all(LONG)] == [("soon", soon)]


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_of_any_size_bring_the_same(
    source: PostgreSQLProvider, target: PostgreSQLProvider, batch_size: int
) -> None:
    """A batch may end anywhere; progress is told after each."""
    source.store_many(numbered(7), LONG)
    told: list[Progress] = []
    assert copy(source, target, batch_size=batch_size, progress=told.append).ok
    assert everything(target) == everything(source)
    copied = [each.done for each in told if each.phase == "copying"]
    assert copied == [min(done, 7) for done in range(batch_size, 7 + batch_size, batch_size)]
    assert {each.total for each in told if each.phase == "copying"} == {7}


# --- a target that holds something --------------------------------------------------------------------------------


def test_a_target_that_holds_documents_is_refused(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """Before anything is written, also where only the last store holds one; the message says which and what to do."""
    source.store({"n": 1}, LONG)
    target.store({"n": 2}, AGENTS)
    with pytest.raises(ConfigurationError, match=r"1 in agents\): say existing='merge' .* --replace"):
        copy(source, target)
    assert target.count(LONG) == 0
    assert copy(source, target, [LONG]).ok


def test_merge_keeps_what_is_there(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """Keys of the source win, keys and vectors that only the target has stay, and so do its other documents."""
    source.store_many([{"id": "a", "n": 1, "embedding": [1, 0, 0, 0]}, {"id": "b", "n": 2}, {"id": "c", "n": 3}], LONG)
    target.store_many([{"id": "own"}, {"id": "a", "n": 0, "kept": True}, {"id": "b", "embedding": [0, 1, 0, 0]}], LONG)
    report = copy(source, target, existing="merge")
    assert report.ok
    assert of(report, "long_term_memory").copied == 3
    found = {each["id"]: each for each in target.list_all(LONG, include_embedding=True)}
    assert set(found) == {"a", "b", "c", "own"}
    assert (found["a"]["n"], found["a"]["kept"], found["a"]["embedding"]) == (1, True, [1, 0, 0, 0])
    assert (found["b"]["n"], found["b"]["embedding"]) == (2, [0, 1, 0, 0])


def test_merging_again_changes_nothing(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """What is there as it is is not written once more, so that no updated_at moves."""
    source.store_many(numbered(5), LONG)
    copy(source, target)
    before = everything(target)
    report = copy(source, target, existing="merge")
    assert everything(target) == before
    assert (of(report, "long_term_memory").copied, of(report, "long_term_memory").present) == (0, 5)


def test_replace_deletes_first(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """Only in the stores that are copied; afterwards they hold what the source holds."""
    source.store_many(numbered(3), LONG)
    target.store_many([{"id": "d0", "other": 1}, {"id": "own"}], LONG)
    target.store({"id": "agent"}, AGENTS)
    assert copy(source, target, [LONG], existing="replace").ok
    assert target.list_all(LONG, include_embedding=True) == source.list_all(LONG, include_embedding=True)
    assert target.count(AGENTS) == 1


# --- what does not fit --------------------------------------------------------------------------------------------


def test_embeddings_of_another_length_are_not_copied_and_named(
    source: PostgreSQLProvider, config: PostgreSQLConfig
) -> None:
    """All else goes along; each is counted, the first ones are listed with the reason."""
    source.store_many([*numbered(30), {"id": "plain"}], LONG)
    with PostgreSQLProvider(config.replace(schema="short", embedding_dimensions=3)) as target:
        for dry_run in (True, False):
            report = of(copy(source, target, dry_run=dry_run, listed=2, batch_size=8), "long_term_memory")
            assert not report.ok
            assert (report.not_copied, [each.id for each in report.problems]) == (30, ["d0", "d1"])
            assert "vector dimension mismatch: long_term_memory holds vectors of 3" in report.problems[0].reason
        assert [each["id"] for each in target.list_all(LONG)] == ["plain"]
        # What cannot be held is no difference between what was copied.
        assert (report.copied, report.different) == (1, 0)


def test_a_dry_run_says_what_there_is_and_writes_nothing(
    source: PostgreSQLProvider, target: PostgreSQLProvider, state_folder: Path
) -> None:
    """Counts, the kinds of values of each key, the lengths of embeddings, what the target holds."""
    source.store_many([*numbered(3, tags=["a"]), {"id": "x", "n": "text", "metadata": {}}], LONG)
    target.store({"id": "own"}, LONG)
    report = copy(source, target, dry_run=True)
    found = of(report, "long_term_memory")
    assert report.ok
    assert (found.in_source, found.in_target, found.copied, found.dimensions) == (4, 1, 0, {4: 3})
    assert found.keys["n"] == {"integer": 3, "text": 1}
    assert found.keys["tags"] == {"list": 3}
    assert found.keys["metadata"] == {"object": 1}
    assert [each["id"] for each in target.list_all(LONG)] == ["own"]
    assert list(state_folder.iterdir()) == []


# --- verification -------------------------------------------------------------------------------------------------


def test_differences_are_listed(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """A document that somebody changes, deletes or adds in the target meanwhile is found, with the keys that differ."""
    source.store_many(numbered(6), LONG)

    def meddle(progress: Progress) -> None:
        if progress.phase == "copying":
            target.update_by_id("d1", {"n": "changed", "extra": 1}, LONG)
            target.update_by_id("d2", {"embedding": [0, 0, 0, 1]}, LONG)
            target.delete_by_id("d3", LONG)
            target.store_many([{"n": 1}, {"n": 2}], LONG)

    report = copy(source, target, progress=meddle)
    found = of(report, "long_term_memory")
    assert not report.ok
    assert found.source_checksum != found.target_checksum
    assert {each.id: each.reason for each in found.differences} == {
        "d1": "differs in extra, n, updated_at",
        "d2": "differs in embedding, updated_at",
        "d3": "is not in the target",
        "(others)": "the target holds 2 documents that did not come from the source",
    }


# --- pairs --------------------------------------------------------------------------------------------------------


def test_the_model_of_the_vectors_goes_along(config: PostgreSQLConfig, target: PostgreSQLProvider) -> None:
    """An empty target remembers whose vectors it got, and takes those of no other model from then on."""

    def embedder(name: str) -> Any:
        return SimpleNamespace(name=name, dimensions=4, embed=lambda texts, kind: [[1, 0, 0, 0]] * len(texts))

    with PostgreSQLProvider(config, embedder=embedder("ours")) as source:
        source.store({"content": "tea"}, LONG)
        assert copy(source, target).ok
        assert target.embedding_model == "ours"
    with pytest.raises(ConfigurationError, match="were made by 'ours'"):
        PostgreSQLProvider(target.config, embedder=embedder("another's"))
    with (
        PostgreSQLProvider(config.replace(schema="third"), embedder=embedder("another's")) as third,
        pytest.raises(ConfigurationError, match="vectors of two models cannot be compared"),
    ):
        copy(target, third)


def test_a_copy_onto_itself_is_refused(source: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """Also through another provider of the same tables."""
    with (
        PostgreSQLProvider(config) as same,
        pytest.raises(ConfigurationError, match="source and target are the same"),
    ):
        copy(source, same, existing="replace")


@pytest.mark.parametrize("existing", ["refuse", "merge", "replace"])
def test_a_copy_onto_itself_by_another_address_is_refused(
    source: PostgreSQLProvider,
    migrated_dsn: str,
    existing: Any,
) -> None:
    """Another name of the host, another port: the same memories are known by their identity, and all of them stay."""
    source.store_many(numbered(30), LONG)
    with relay(migrated_dsn) as port:
        for host in ("localhost", "127.0.0.1"):
            dsn = make_conninfo(migrated_dsn, host=host, port=port, sslmode="disable")
            with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)) as same:
                assert same.location != source.location
                for dry_run in (True, False):
                    with pytest.raises(ConfigurationError, match="are the same memories by two addresses"):
                        copy(source, same, existing=existing, dry_run=dry_run)
                assert same.count(LONG) == 30


def test_an_embedded_server_and_its_connection_string_are_the_same() -> None:
    """The data folder and what `memorizz server status` prints are two addresses of the same memories."""
    folder = Path(tempfile.mkdtemp(prefix="memorizz-test-same-"))
    folder.chmod(0o711)
    try:
        options = {"embedding_dimensions": 4, "index": "none"}
        with PostgreSQLProvider(PostgreSQLConfig.embedded(folder / "data", **options)) as source:
            source.store_many(numbered(3), LONG)
            server = EmbeddedServer(folder / "data")
            with PostgreSQLProvider(PostgreSQLConfig(dsn=server.acquire(), **options)) as same:
                for pair in ((source, same), (same, source)):
                    with pytest.raises(ConfigurationError, match="are the same memories by two addresses"):
                        copy(*pair, existing="replace")
                assert same.count(LONG) == 3
            server.release()
    finally:
        shutil.rmtree(folder)


def test_a_restored_backup_can_be_given_an_identity_of_its_own(
    source: PostgreSQLProvider, server: str, templates: dict[str, str]
) -> None:
    """A database made of a backup has the identity of the one that was saved, until one statement changes it."""
    source.store_many(numbered(3), LONG)
    name = f"{templates[server]}_restored"
    with psycopg.connect(server, autocommit=True) as connection:
        # The source was made of the same template.
        connection.execute(
            SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(templates[server]))
        )
        config = PostgreSQLConfig(dsn=make_conninfo(server, dbname=name), embedding_dimensions=4)
        try:
            with (
                PostgreSQLProvider(config) as restored,
                pytest.raises(ConfigurationError, match="give it an identity of its own first"),
            ):
                copy(source, restored)
            with psycopg.connect(config.conninfo) as there:
                there.execute("UPDATE memorizz_settings SET identity = gen_random_uuid()")
            with PostgreSQLProvider(config) as restored:
                assert copy(source, restored).ok
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def test_two_schemas_of_a_database_have_identities_of_their_own(
    source: PostgreSQLProvider, target: PostgreSQLProvider
) -> None:
    """So that one is copied into the other."""
    assert source.identity
    assert target.identity
    assert source.identity != target.identity


# --- before anything is deleted, and after ------------------------------------------------------------------------


class Unreadable(ProviderSource):
    """A source that can be counted and not read."""

    def documents(self, store: str, after: str | None = None) -> Iterator[Any]:
        raise ConnectionFailed("the connection was lost")


def test_a_source_that_cannot_be_read_leaves_the_target_as_it_is(
    source: PostgreSQLProvider, target: PostgreSQLProvider
) -> None:
    """What is to be replaced is deleted only once the first documents of every store are read."""
    source.store_many(numbered(3), LONG)
    target.store({"id": "own"}, LONG)
    with pytest.raises(ConnectionFailed):
        copy(Unreadable(source), target, existing="replace")
    assert target.count(LONG) == 1


def test_what_is_deleted_is_confirmed(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """With the number of documents of each store, before any is deleted; whoever raises ends the copy there."""
    source.store_many(numbered(3), LONG)
    target.store_many([{"id": "own"}, {"id": "d0"}], LONG)
    target.store({"id": "agent"}, AGENTS)

    def refuse(held: Any) -> None:
        assert held == {"long_term_memory": 2, "agents": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, existing="replace", confirm=refuse)
    assert (target.count(LONG), target.count(AGENTS)) == (2, 1)
    asked: list[Any] = []
    assert copy(source, target, existing="replace", confirm=asked.append).ok
    assert (target.count(LONG), target.count(AGENTS), len(asked)) == (3, 0, 1)
    target.delete_all(LONG)
    assert copy(source, target, existing="replace", confirm=asked.append).ok
    assert len(asked) == 1


def test_a_copy_that_goes_on_asks_only_for_what_it_is_yet_to_delete(
    source: PostgreSQLProvider, target: PostgreSQLProvider
) -> None:
    """What was copied before the interruption is not deleted again."""
    source.store_many(numbered(20), LONG)
    target.store({"id": "agent"}, AGENTS)
    asked: list[Any] = []

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, existing="replace", batch_size=5, progress=stop, confirm=asked.append)
    assert copy(source, target, existing="replace", batch_size=5, confirm=asked.append).ok
    assert asked == [{"agents": 1}, {"agents": 1}]
    assert (target.count(LONG), target.count(AGENTS)) == (20, 0)


def test_a_copy_that_lost_documents_is_not_ok(
    source: PostgreSQLProvider, target: PostgreSQLProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every document that was counted is copied, present, expired, refused, or missing."""
    source.store_many(numbered(10), LONG)
    with monkeypatch.context() as lossy:
        lossy.setattr(target, "store_many", lambda documents, store: [])
        report = of(copy(source, target, [LONG]), "long_term_memory")
        assert (report.ok, report.in_source, report.copied, report.missing) == (False, 10, 0, 10)

    def delete(progress: Progress) -> None:
        if progress.phase == "copying" and progress.done == 2:
            source.delete_by_id("d8", LONG)

    report = of(copy(source, target, [LONG], batch_size=2, progress=delete), "long_term_memory")
    assert (report.ok, report.in_source, report.copied, report.missing, report.different) == (False, 10, 9, 1, 0)


def test_documents_that_expire_meanwhile_are_not_missing(
    source: PostgreSQLProvider, target: PostgreSQLProvider, migrated_dsn: str
) -> None:
    """They are counted as expired, and the sums are right."""
    soon = datetime.now(UTC) + timedelta(days=1)
    source.store_many([*numbered(6), *({"id": f"e{n}", "expires_at": soon} for n in range(4))], LONG)

    def expire(progress: Progress) -> None:
        if progress.phase == "copying" and progress.done == 2:
            with psycopg.connect(migrated_dsn) as connection:
                connection.execute("UPDATE long_term_memory SET expires_at = now() WHERE data ->> '_id' >= 'e2'")

    report = of(copy(source, target, [LONG], batch_size=2, progress=expire), "long_term_memory")
    assert (report.ok, report.in_source, report.copied, report.expired, report.missing) == (True, 10, 8, 2, 0)


def test_documents_that_cannot_be_read_are_listed(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """With their id and the reason; the others are copied, also on the way back from an interruption."""

    class Damaged(ProviderSource):
        def documents(self, store: str, after: str | None = None) -> Iterator[Any]:
            for document in super().documents(store, after):
                yield Problem("d2", "its expires_at is infinity") if document["id"] == "d2" else document

    source.store_many(numbered(5), LONG)
    for dry_run in (True, False):
        report = copy(Damaged(source), target, dry_run=dry_run, batch_size=2)
        found = of(report, "long_term_memory")
        assert not report.ok
        assert found.problems == [Problem("d2", "its expires_at is infinity")]
        assert (found.in_source, found.not_copied, found.different) == (5, 1, 0)
    assert [each["id"] for each in target.list_all(LONG)] == ["d0", "d1", "d3", "d4"]


@pytest.mark.parametrize(
    "options", [{"existing": "overwrite"}, {"batch_size": 0}, {"listed": -1}, {"stores": ["memories"]}], ids=repr
)
def test_wrong_options_are_refused(
    source: PostgreSQLProvider, target: PostgreSQLProvider, options: dict[str, Any]
) -> None:
    """Each is a ConfigurationError that says what was expected."""
    with pytest.raises(ConfigurationError, match="expected"):
        copy(source, target, **options)


# --- going on -----------------------------------------------------------------------------------------------------


def test_a_copy_that_was_interrupted_goes_on(
    source: PostgreSQLProvider, target: PostgreSQLProvider, tmp_path: Path
) -> None:
    """From the batch that is next, under the rule that it began with; the journal is gone when it is finished."""
    source.store_many(numbered(20), LONG)
    source.store_many(numbered(3), AGENTS)
    journal = tmp_path / "journal.json"

    def stop(progress: Progress) -> None:
        if progress.done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, batch_size=4, journal=journal, progress=stop)
    assert (target.count(LONG), target.count(AGENTS)) == (12, 0)
    times = [each["updated_at"] for each in target.list_all(LONG)]
    report = copy(source, target, batch_size=4, journal=journal)
    assert report.ok
    assert report.resumed
    assert of(report, "long_term_memory").copied == 20
    assert everything(target) == everything(source)
    assert [each["updated_at"] for each in target.list_all(LONG)][:12] == times
    assert not journal.exists()


def test_a_batch_that_the_journal_does_not_know_of_is_not_stored_twice(
    source: PostgreSQLProvider, target: PostgreSQLProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the commit of a batch and its line in the journal, the copy finds the batch there."""
    source.store_many(numbered(10), LONG)
    real, calls = target.store_many, []

    def dies(*args: Any) -> Any:
        calls.append(real(*args))
        if len(calls) == 2:
            raise ConnectionFailed("the wire was cut just after the commit")
        return calls[-1]

    monkeypatch.setattr(target, "store_many", dies)
    with pytest.raises(ConnectionFailed):
        copy(source, target, batch_size=4)
    before = target.list_all(LONG)
    assert len(before) == 8
    report = copy(source, target, batch_size=4)
    assert report.ok
    assert target.list_all(LONG)[:8] == before
    assert (of(report, "long_term_memory").copied, of(report, "long_term_memory").present) == (6, 4)


def test_a_copy_goes_on_where_its_place_was_deleted(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """The document that it was to go on after is gone: it begins anew, and writes what is missing."""
    source.store_many(numbered(10), LONG)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, batch_size=4, progress=stop)
    source.delete_by_id("d3", LONG)
    before = target.list_all(LONG)
    report = copy(source, target, batch_size=4)
    found = of(report, "long_term_memory")
    assert (found.copied, found.present) == (6, 3)
    assert [each.id for each in found.differences] == ["(others)"]
    assert target.list_all(LONG)[:4] == before


def test_a_journal_of_another_copy_is_refused(
    source: PostgreSQLProvider, target: PostgreSQLProvider, config: PostgreSQLConfig, tmp_path: Path
) -> None:
    """It is bound to its source, its target, and what it does with what is there."""
    source.store_many(numbered(3), LONG)
    journal = tmp_path / "journal.json"

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, batch_size=1, journal=journal, progress=stop)
    with pytest.raises(ConfigurationError, match=r"is of another copy, refuse from .*schema public to .*schema moved"):
        copy(source, target, journal=journal, existing="replace")
    with (
        PostgreSQLProvider(config.replace(schema="third")) as third,
        pytest.raises(ConfigurationError, match="is of another copy"),
    ):
        copy(source, third, journal=journal)
    assert target.count(LONG) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 1}', '{"source": 1, "stores": {"x": {}}}'])
def test_a_damaged_journal_is_refused(
    source: PostgreSQLProvider, target: PostgreSQLProvider, tmp_path: Path, text: str
) -> None:
    """With its path and the way out; nothing is written."""
    source.store_many(numbered(3), LONG)
    journal = tmp_path / "journal.json"
    journal.write_text(text)
    with pytest.raises(ConfigurationError, match=r"journal.json cannot be read .*existing='merge'"):
        copy(source, target, journal=journal)
    assert target.count(LONG) == 0


def test_a_journal_that_cannot_be_written_is_an_error(
    source: PostgreSQLProvider, target: PostgreSQLProvider, tmp_path: Path
) -> None:
    """Before the first document is written."""
    source.store_many(numbered(3), LONG)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        copy(source, target, journal=tmp_path / "file" / "journal.json")
    assert target.count(LONG) == 0
