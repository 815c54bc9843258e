"""Changing the embedding model while the stores are in use: what becomes of the vectors, and who may do what when."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from models import Model

from apis import reembedding
from memorizz.errors import ConfigurationError, ConnectionFailed, EmbeddingFailed, OperationTimeout
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.driver import _async, _sync
from memorizz.memory_provider.postgresql.maintenance import (
    Maintenance,
    _changing,
    _reembedding_async,
    _reembedding_sync,
)

LONG, TURNS, TOOLS, AGENTS = (
    MemoryType.LONG_TERM_MEMORY,
    MemoryType.CONVERSATION_MEMORY,
    MemoryType.TOOLBOX,
    MemoryType.MEMAGENT,
)


@pytest.fixture
def old() -> Model:
    return Model("old", 4)


@pytest.fixture(params=[6, 4], ids=["another length", "the same length"])
def new(request: pytest.FixtureRequest) -> Model:
    return Model("new", request.param)


@pytest.fixture
def provider(config: PostgreSQLConfig, old: Model, new: Model) -> Iterator[PostgreSQLProvider]:
    """A provider that has embedders of both models."""
    with PostgreSQLProvider(config, embedder=[old, new]) as provider:
        yield provider


@pytest.fixture
def maintenance(open_maintenance: Callable[..., Any], config: PostgreSQLConfig) -> Iterator[Any]:
    with open_maintenance(config) as maintenance:
        yield maintenance


@pytest.fixture
def change(maintenance: Any, new: Model) -> Any:
    return reembedding(maintenance, new, batch=8)


@pytest.fixture
def connection(migrated_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for reembedding_module, driver in ((_reembedding_sync, _sync), (_reembedding_async, _async)):
        monkeypatch.setattr(reembedding_module, "_PAUSE", 0.01)
        monkeypatch.setattr(driver, "IN_USE_PAUSE", 0.01)


def texts(provider: Any, store: MemoryType = LONG) -> dict[str, Any]:
    """Return the vector of every document of a store, by its text."""
    return {each.get("content"): each["embedding"] for each in provider.list_all(store, include_embedding=True)}


def are_all_of(provider: Any, model: Model, store: MemoryType = LONG) -> bool:
    found = texts(provider, store)
    return bool(found) and all(model.made(vector, text) for text, vector in found.items())


def columns(connection: psycopg.Connection[Any]) -> set[str]:
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'long_term_memory'::regclass AND attname ~ '^embedding' "
        "AND NOT attisdropped"
    ).fetchall()
    return {name for (name,) in rows}


def run(change: Any, maintenance: Any, **options: Any) -> float:
    """Do all that `memorizz re-embed` does."""
    change.begin()
    change.fill()
    list(maintenance.make(change.plan_indexes()))
    return change.switch(**options)


# --- the whole way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pg_version", [18, 16])
def test_the_whole_way(provider: Any, maintenance: Any, change: Any, old: Model, new: Model, pg_version: int) -> None:
    """Every document of every store gets the new vector of its text, by the one rule; reads go on with the old."""
    provider.store_many([{"content": f"text {n}", "n": n} for n in range(30)], LONG)
    turn = provider.store({"content": "tea", "role": "Ada"}, TURNS)
    named = provider.store({"content": "boils", "name": "kettle"}, TOOLS)
    bare = provider.store({"name": "no content"}, LONG)
    stamps = [(each["id"], each["updated_at"]) for each in provider.list_all(LONG)]
    applied = [(each.version, each.at) for each in maintenance.examine()[0].applied]
    change.begin()
    assert change.change().waiting == 32
    assert change.fill() == 32
    assert old.made(texts(provider)["text 7"], "text 7")
    list(maintenance.make(change.plan_indexes()))
    change.switch()

    found = provider.list_all(LONG, include_embedding=True)
    assert all(new.made(each["embedding"], each["content"]) for each in found if "n" in each)
    assert new.made(provider.retrieve_by_id(turn, TURNS, include_embedding=True)["embedding"], "Ada: tea")
    assert new.made(provider.retrieve_by_id(named, TOOLS, include_embedding=True)["embedding"], "kettle: boils")
    assert provider.retrieve_by_id(bare, LONG, include_embedding=True)["embedding"] is None
    assert [(each["id"], each["updated_at"]) for each in found] == stamps
    assert provider.embedding_model == "new"
    assert provider.embedding_dimensions == new.dimensions
    hits = provider.retrieve_by_query("text 7", LONG, limit=3, explain=True)
    assert hits[0]["n"] == 7
    assert hits[0]["_distance"] == pytest.approx(0, abs=1e-6)
    assert hits.explanation["tried"][0] == "index"
    assert [(each.version, each.at) for each in maintenance.examine()[0].applied] == applied
    done = change.change()
    assert (done.searched.name, done.standby and done.standby.name, done.waiting) == ("new", "old", 0)


@pytest.mark.usefixtures("new")
def test_the_columns(
    provider: PostgreSQLProvider,
    maintenance: Any,
    change: Any,
    connection: psycopg.Connection[Any],
) -> None:
    """Each model has its own; those that are not searched are on standby, until they are dropped."""
    provider.store({"content": "tea"}, LONG)
    assert columns(connection) == {"embedding", "embedding_bits"}
    change.begin()
    standby = {"embedding_2_standby", "embedding_2_bits_standby", "embeddings_of"}
    assert columns(connection) == {"embedding", "embedding_bits"} | standby
    storage = (
        "SELECT attstorage FROM pg_attribute WHERE attrelid = 'agents'::regclass AND attname LIKE 'embedding_2_s%'"
    )
    assert connection.execute(storage).fetchone() == ("e",)
    run(change, maintenance)
    kept = {"embedding_standby", "embedding_bits_standby", "embeddings_of"}
    assert columns(connection) == {"embedding_2", "embedding_2_bits"} | kept
    reembedding(maintenance).finish()
    assert columns(connection) == {"embedding_2", "embedding_2_bits"}
    assert connection.execute("SELECT relname FROM pg_class WHERE relname = 'toolbox_embedding_idx'").fetchone() is None
    provider.store({"content": "milk"}, LONG)
    bits = "SELECT bool_and(embedding_2_bits = binary_quantize(embedding_2)) FROM long_term_memory"
    assert connection.execute(bits).fetchone() == (True,)
    third = reembedding(maintenance, Model("third", 5))
    run(third, maintenance)
    assert columns(connection) == {
        "embedding_3",
        "embedding_3_bits",
        "embedding_2_standby",
        "embedding_2_bits_standby",
    } | {"embeddings_of"}


def test_every_vector_index_is_made_for_the_new_model_too(
    provider: PostgreSQLProvider, maintenance: Any, change: Any
) -> None:
    """As it was made, of the same kind where that is possible; the list tells them apart."""
    provider.store_many([{"content": f"text {n}", "memory_id": "m"} for n in range(9)], TOOLS)
    list(maintenance.make(maintenance.plan_rebuild(store="toolbox", kind="halfvec", m=8, ef_construction=32)))
    change.begin()
    jobs = {job.name: job for job in change.plan_indexes()}
    made = {name: (job.kind, job.hnsw and job.hnsw.m) for name, job in jobs.items() if job.store == "toolbox"}
    assert made == dict.fromkeys(["toolbox_embedding_2_idx", "toolbox_pieces_2_idx"], ("halfvec", 8))
    list(maintenance.make(list(jobs.values())))
    assert change.plan_indexes() == []
    change.switch()
    listed = {index.name: index for index, _ in maintenance.indexes()}
    assert listed["toolbox_embedding_2_idx"].column == "embedding_2"
    assert listed["toolbox_embedding_idx"].standby
    assert maintenance.plan_build() == []
    assert all(not job.name.endswith("_embedding_idx") for job in maintenance.plan_rebuild())


def test_vectors_that_are_too_long_for_an_index(provider: PostgreSQLProvider, maintenance: Any, new: Model) -> None:
    """They get the index that pgvector can make of them, or none."""
    provider.store({"content": "tea"}, LONG)
    for dimensions, kinds in ((2001, {"halfvec"}), (4001, set())):
        long = reembedding(maintenance, Model(f"long {dimensions}", dimensions))
        long.begin()
        assert {job.kind for job in long.plan_indexes()} == kinds
        long.abandon()


# --- what changes meanwhile ---------------------------------------------------------------------------------------


def test_what_changes_while_it_is_embedded(
    provider: PostgreSQLProvider, connection: psycopg.Connection[Any], maintenance: Any, old: Model, new: Model
) -> None:
    """Between reading a text and writing its vector anything may happen to the document: the vector is today's."""
    for name in ("changed", "gone", "again", "cleared", "emptied", "renamed", "expired", "own"):
        provider.store({"id": name, "content": f"{name} before"}, LONG)
    at = "2020-01-01T00:00:00Z"
    provider.delete_by_id("again", LONG)
    provider.store({"id": "again", "content": "again before", "updated_at": at}, LONG)
    once = threading.Event()

    def change_all(texts: Sequence[str]) -> None:
        if once.is_set():
            return
        once.set()
        provider.update_by_id("changed", {"content": "changed after"}, LONG)
        provider.delete_by_id("gone", LONG)
        # The same id and the same time, and another text.
        provider.delete_by_id("again", LONG)
        provider.store({"id": "again", "content": "again after", "updated_at": at}, LONG)
        provider.update_by_id("cleared", {"embedding": None}, LONG)
        provider.update_by_id("emptied", {"content": ""}, LONG)
        provider.update_by_id("renamed", {"name": "Ada"}, LONG)
        provider.update_by_id("own", {"embedding": [1, 2, 3, 4]}, LONG)
        provider.store({"id": "added", "content": "added after"}, LONG)
        connection.execute("UPDATE long_term_memory SET expires_at = now() WHERE data ->> '_id' = 'expired'")

    new.before = change_all
    run(reembedding(maintenance, new, batch=100), maintenance)
    found = {each["id"]: each for each in provider.list_all(LONG, include_embedding=True)}
    assert set(found) == {"changed", "again", "cleared", "emptied", "renamed", "own", "added"}
    for name, text in {
        "changed": "changed after",
        "again": "again after",
        "renamed": "Ada: renamed before",
        "own": "own before",
        "added": "added after",
    }.items():
        assert new.made(found[name]["embedding"], text), name
    assert found["cleared"]["embedding"] is None
    assert found["emptied"]["embedding"] is None


def test_the_last_few_are_embedded_while_writers_wait(
    provider: PostgreSQLProvider, maintenance: Any, new: Model
) -> None:
    """Where something is stored all the time, the switch ends it: what was stored until then is there, and embedded."""
    stored: list[str] = []

    def store_another(texts: Sequence[str]) -> None:
        # Once writers wait, so does this one, and it is not waited for.
        thread = threading.Thread(target=lambda: stored.append(provider.store({"content": f"{uuid4()}"}, LONG)))
        threads.append(thread)
        thread.start()
        thread.join(0.3)

    threads: list[threading.Thread] = []
    provider.store({"content": "tea"}, LONG)
    new.before = store_another
    held = run(reembedding(maintenance, new, batch=4), maintenance)
    new.before = None
    for thread in threads:
        thread.join()
    assert held < 5
    assert provider.count(LONG) == len(stored) + 1
    assert are_all_of(provider, new)


def test_an_expired_document_is_not_embedded(provider: Any, maintenance: Any, change: Any, new: Model) -> None:
    """It is in no read, and a model costs money."""
    provider.store({"content": "tea", "expires_at": "2020-01-01"}, LONG)
    provider.store({"content": "milk"}, LONG)
    run(change, maintenance)
    assert new.texts == ["milk"]


def test_nothing_is_embedded_twice(provider: PostgreSQLProvider, maintenance: Any, change: Any, new: Model) -> None:
    """What is done is done, also for the next who goes on with it."""
    provider.store_many([{"content": f"text {n}"} for n in range(20)], LONG)
    change.begin()
    calls = 0

    def fail_later(texts: Sequence[str]) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise EmbeddingFailed("new", "out of order")

    new.before = fail_later
    with pytest.raises(EmbeddingFailed, match="out of order"):
        change.fill()
    assert change.change().waiting == 12
    new.before = None
    new.texts.clear()
    run(reembedding(maintenance, new), maintenance)
    assert len(new.texts) == 12


def test_a_rate_is_kept(provider: PostgreSQLProvider, maintenance: Any, new: Model) -> None:
    """So many documents a second, so that a server or an account has room for others; and progress is told."""
    provider.store_many([{"content": f"text {n}"} for n in range(12)], LONG)
    change = reembedding(maintenance, new, batch=4, rate=40)
    change.begin()
    told: list[tuple[int, int, str]] = []
    started = time.monotonic()
    change.fill(lambda filled: told.append((filled.done, filled.total, filled.store)))
    assert time.monotonic() - started >= 0.2
    assert told == [(4, 12, LONG.value), (8, 12, LONG.value), (12, 12, LONG.value)]


# --- without a text -----------------------------------------------------------------------------------------------


def test_a_vector_without_a_text(provider: Any, maintenance: Any, change: Any, new: Model) -> None:
    """It cannot be made again: the switch refuses and lists it, unless it may be lost; the way back brings it back."""
    provider.store({"id": "picture", "embedding": [1, 2, 3, 4]}, LONG)
    provider.store({"id": "barista", "content": "tea", "embedding": [1, 2, 3, 4]}, AGENTS)
    provider.store({"content": "tea"}, TURNS)
    with pytest.raises(ConfigurationError, match=r"2 documents .*long_term_memory picture, agents barista.*drop"):
        run(change, maintenance)
    assert change.change().searched.name == "old"
    run(change, maintenance, drop_without_text=True)
    assert provider.retrieve_by_id("picture", LONG, include_embedding=True)["embedding"] is None
    reembedding(maintenance).back()
    assert provider.retrieve_by_id("picture", LONG, include_embedding=True)["embedding"] == [1, 2, 3, 4]


# --- back, finish, abandon ----------------------------------------------------------------------------------------


def test_the_way_back(provider: PostgreSQLProvider, maintenance: Any, change: Any, old: Model, new: Model) -> None:
    """What was stored and changed since is embedded with the model before, nothing else is; and so forth again."""
    provider.store_many([{"id": f"{n}", "content": f"text {n}"} for n in range(10)], LONG)
    run(change, maintenance)
    provider.store({"id": "later", "content": "later", "updated_at": "2000-01-01"}, LONG)
    provider.update_by_id("3", {"content": "changed"}, LONG)
    provider.update_by_id("4", {"embedding": None, "content": ""}, LONG)
    provider.delete_by_id("5", LONG)
    with pytest.raises(ConfigurationError, match="say the model that is on standby"):
        reembedding(maintenance).back()
    assert are_all_of_but(provider, new, "4")
    old.texts.clear()
    reembedding(maintenance, old).back()
    assert sorted(old.texts) == ["changed", "later"]
    assert are_all_of_but(provider, old, "4")
    assert provider.embedding_model == "old"
    provider.store({"id": "latest", "content": "latest"}, LONG)
    new.texts.clear()
    change.switch()
    assert new.texts == ["latest"]
    assert are_all_of_but(provider, new, "4")
    change.finish()
    assert change.change().standby is None


def are_all_of_but(provider: Any, model: Model, but: str) -> bool:
    found = provider.list_all(LONG, include_embedding=True)
    assert next(each for each in found if each["id"] == but)["embedding"] is None
    return all(model.made(each["embedding"], each["content"]) for each in found if each["id"] != but)


def test_abandoning(
    provider: PostgreSQLProvider, maintenance: Any, change: Any, connection: psycopg.Connection[Any]
) -> None:
    """Before a switch everything is as it was; then another model may come."""
    provider.store({"content": "tea"}, LONG)
    change.begin()
    change.fill()
    list(maintenance.make(change.plan_indexes()))
    change.abandon()
    assert columns(connection) == {"embedding", "embedding_bits"}
    assert connection.execute("SELECT name FROM memorizz_embedding_models").fetchall() == [("old",)]
    assert "tea" in texts(provider)
    run(reembedding(maintenance, Model("third", 3)), maintenance)


def test_what_makes_no_sense(
    provider: PostgreSQLProvider, maintenance: Any, change: Any, old: Model, new: Model
) -> None:
    """Each step says what is in its way, and what to do."""
    provider.store({"content": "tea"}, LONG)
    bare = reembedding(maintenance)
    for step in (bare.finish, bare.back, bare.abandon, bare.fill, bare.switch):
        with pytest.raises(ConfigurationError, match=r"no change .* is under way"):
            step()
    with pytest.raises(ConfigurationError, match="begins with an embedder"):
        bare.begin()
    with pytest.raises(ConfigurationError, match="are of 'old' already"):
        reembedding(maintenance, old).begin()
    with pytest.raises(ConfigurationError, match="above 0"):
        reembedding(maintenance, old, batch=0)
    change.begin()
    for step in (bare.finish, bare.back):
        with pytest.raises(ConfigurationError, match="not searched yet"):
            step()
    with pytest.raises(ConfigurationError, match="from 'old' to 'new' is under way, the embedder is 'third'"):
        reembedding(maintenance, Model("third", 3)).begin()
    with pytest.raises(ConfigurationError, match=f"have {new.dimensions} dimensions here, the embedder makes 9"):
        reembedding(maintenance, Model("new", 9)).begin()
    change.switch()
    with pytest.raises(ConfigurationError, match="'new' is searched already"):
        bare.abandon()


def test_two_at_once_begin_one_change(
    provider: PostgreSQLProvider, config: PostgreSQLConfig, connection: psycopg.Connection[Any], new: Model
) -> None:
    """Whoever comes second finds the columns there, and both go on to the end."""
    provider.store_many([{"content": f"text {n}"} for n in range(40)], LONG)
    errors: list[BaseException] = []
    start = threading.Barrier(3)

    def re_embed() -> None:
        try:
            with Maintenance(config) as maintenance:
                start.wait()
                change = reembedding(maintenance, new, batch=4)
                with suppress(ConfigurationError):  # where the other one has done it all
                    change.begin()
                change.fill()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=re_embed) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert columns(connection) == {"embedding", "embedding_bits", "embedding_2_standby", "embedding_2_bits_standby"} | {
        "embeddings_of"
    }


class Awaited(Model):
    """A model that is asked without holding up the event loop."""

    async def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        await asyncio.sleep(0)
        return super().embed(texts, kind=kind)


def test_a_model_that_is_awaited(provider: PostgreSQLProvider, maintenance: Any, new: Model) -> None:
    """The async API takes one, the sync API refuses it before anything is changed."""
    provider.store({"content": "tea"}, LONG)
    awaited = Awaited(new.name, new.dimensions)
    if isinstance(maintenance, Maintenance):
        with pytest.raises(ConfigurationError, match="must be awaited"):
            reembedding(maintenance, awaited)
    else:
        run(reembedding(maintenance, awaited), maintenance)
        assert new.made(texts(provider)["tea"], "tea")


# --- who is in the way --------------------------------------------------------------------------------------------


def test_a_transaction_that_reads_and_then_writes_is_let_through(
    provider: PostgreSQLProvider,
    change: Any,
    connection: psycopg.Connection[Any],
    old: Model,
    new: Model,
    wait_for: Callable[..., Any],
) -> None:
    """Where it waits to write when the models are to change places, the switch gives way, and is tried again."""
    blocked = (
        "SELECT true FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        "AND query LIKE 'INSERT%'"
    )
    embedding = threading.Event()
    calls = 0

    def before(texts: Sequence[str]) -> None:
        nonlocal calls
        calls += 1
        if calls <= 2:
            # Something is left for the moment in which writers wait.
            provider.store({"content": f"milk {calls}"}, LONG)
        elif calls == 3:
            embedding.set()
            wait_for(lambda: connection.execute(blocked).fetchone(), "the transaction to wait")

    new.before = before
    provider.store({"content": "tea"}, LONG)
    with PostgreSQLProvider(provider.config, embedder=old) as other, ThreadPoolExecutor(1) as thread:
        change.begin()
        switching = thread.submit(change.switch)
        assert embedding.wait(30)
        with other.transaction() as tx:
            assert tx.count(LONG) == 3
            tx.store({"id": "x", "content": "beer"}, LONG)
        switching.result(30)
    assert calls > 3
    assert change.change().searched.name == "new"
    assert all(new.made(vector, text) for text, vector in texts(provider).items())
    assert len(texts(provider)) == 4


def test_a_long_reader_is_in_the_way_of_the_switch_alone(
    provider: PostgreSQLProvider,
    maintenance: Any,
    change: Any,
    connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried for a while, in pieces too short to hold up anybody; then it says so, and nothing was changed."""
    for driver in (_sync, _async):
        monkeypatch.setattr(driver, "IN_USE_SECONDS", 0.6)
    monkeypatch.setattr(_changing, "LOCK_SECONDS", 0.1)
    provider.store({"content": "tea"}, LONG)
    change.begin()
    change.fill()
    with connection.transaction():
        connection.execute("SELECT count(*) FROM long_term_memory")
        with pytest.raises(OperationTimeout, match="in use all the time, and nothing was changed: try again"):
            change.switch()
        started = time.monotonic()
        provider.store({"content": "milk"}, LONG)
        assert time.monotonic() - started < 1
    assert change.change().searched.name == "old"
    change.switch()
    assert change.change().searched.name == "new"


def test_a_program_that_hangs_holds_nobody_up(
    provider: PostgreSQLProvider, change: Any, new: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a model does not answer while writers wait, the server ends that, and they go on."""
    monkeypatch.setattr(_changing, "IDLE_SECONDS", 0.2)
    provider.store({"content": "tea"}, LONG)
    change.begin()
    waited: list[float] = []
    calls = 0

    def hang(texts: Sequence[str]) -> None:
        nonlocal calls
        calls += 1
        started = time.monotonic()
        # The first two are left for the next time, the last of which is the moment in which writers wait.
        provider.store({"content": f"milk {calls}"}, LONG)
        waited.append(time.monotonic() - started)

    new.before = hang
    with pytest.raises((ConnectionFailed, OperationTimeout), match="run the same again"):
        change.switch()
    assert calls == 3
    assert 0.1 < waited[2] < 5
    assert set(texts(provider)) == {"tea", "milk 1", "milk 2", "milk 3"}
    assert provider.embedding_model == "old"


def test_a_row_that_somebody_holds_is_left_for_later(
    provider: PostgreSQLProvider, change: Any, connection: psycopg.Connection[Any], new: Model
) -> None:
    """Nobody is waited for while the vectors are made, so that no two wait for each other."""
    provider.store_many([{"id": f"{n}", "content": f"text {n}"} for n in range(3)], LONG)
    change.begin()
    with connection.transaction():
        connection.execute("SELECT FROM long_term_memory WHERE content = 'text 1' FOR UPDATE")
        assert change.fill() == 3
        assert change.change().waiting == 1
    assert change.fill() == 1
    assert change.change().waiting == 0


def test_a_history_outlives_the_change(provider: Any, maintenance: Any, change: Any, new: Model) -> None:
    """Changes are kept before it, while it goes on, and after it; by vector only what is of the model searched."""
    provider.keep_history(LONG)
    provider.store({"id": "a", "content": "Rome"}, LONG)
    first = provider.versions("a", LONG)[0].since
    assert first is not None
    change.begin()
    provider.update_by_id("a", {"content": "Oslo"}, LONG)
    change.fill()
    list(maintenance.make(change.plan_indexes()))
    change.switch()
    provider.update_by_id("a", {"content": "Bergen"}, LONG)
    provider.update_by_id("a", {"n": 1}, LONG)
    last = provider.versions("a", LONG)[-1].since
    assert last is not None
    for then in (change.finish, list):
        contents = [each.document["content"] for each in provider.versions("a", LONG) if each.document is not None]
        assert [contents[0], *contents[-3:]] == ["Rome", "Oslo", "Bergen", "Bergen"]
        [hit] = provider.at(last).retrieve_by_query("Bergen", LONG, include_embedding=True)
        assert new.made(hit["embedding"], "Bergen")
        assert provider.at(first).retrieve_by_id("a", LONG, include_embedding=True)["embedding"] is None
        assert provider.at(first).retrieve_by_query({"$text": {"$search": "Rome"}}, LONG)[0]["id"] == "a"
        with pytest.raises(ConfigurationError, match="are of another model since"):
            provider.at(first).retrieve_by_query("Rome", LONG)
        then()
    assert provider.restore("a", LONG, first) is True
    assert new.made(provider.retrieve_by_id("a", LONG, include_embedding=True)["embedding"], "Rome")
