"""MemorizzStorage: what CrewAI asks of a storage, on a real PostgreSQL, and beside its own where that is right."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from crewai.memory.storage.backend import EmbeddingDimensionMismatchError, StorageBackend
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from records import BEGIN, beside_crewais_own, ids, record, seven

from memorizz import PostgreSQLConfig, PostgreSQLProvider, StoreSpec
from memorizz.errors import ConfigurationError, InvalidDocument, ProviderClosed
from memorizz.integrations.crewai import MemorizzStorage

X, Y, Z = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


@pytest.fixture
def filled(storage: MemorizzStorage) -> MemorizzStorage:
    storage.save(seven())
    return storage


def test_it_is_a_storage(storage: MemorizzStorage) -> None:
    """CrewAI takes it for what its protocol describes; a copy of a Memory shares it."""
    assert isinstance(storage, StorageBackend)
    assert copy.deepcopy({"storage": storage})["storage"] is storage


# --- beside the reference -----------------------------------------------------------------------------------------

ASKED: list[Callable[[Any], Any]] = [
    lambda storage: ids(storage.search(X, limit=2)),
    lambda storage: ids(storage.search(X, limit=100))[:3],
    lambda storage: ids(storage.search(Y, scope_prefix="/crew/travel")),
    lambda storage: ids(storage.search(Y, scope_prefix="/")) == ids(storage.search(Y)),
    lambda storage: ids(storage.search(Z, scope_prefix="/nowhere")),
    lambda storage: ids(storage.search(X, categories=["bill", "drink"], limit=2)),
    lambda storage: sorted(ids(storage.search(X, categories=["habit"]))),
    lambda storage: len(storage.search(X, categories=[])),
    lambda storage: ids(storage.search(X, categories=["no such"])),
    lambda storage: sorted(ids(storage.search(X, metadata_filter={"who": "ada"}))),
    lambda storage: ids(storage.search(X, metadata_filter={"who": "ada", "n": 1})),
    lambda storage: ids(storage.search(X, metadata_filter={"n": "1"})),
    lambda storage: ids(storage.search(X, metadata_filter={"deep": {"a": [1, None]}})),
    lambda storage: sorted(ids(storage.search(X, metadata_filter={"n": None}))),
    lambda storage: len(storage.search(X, metadata_filter={})),
    lambda storage: ids(storage.search(X, min_score=0.95)),
    lambda storage: ids(storage.list_records()),
    lambda storage: ids(storage.list_records("crew/travel/")),
    lambda storage: ids(storage.list_records(limit=0)),
    lambda storage: ids(storage.list_records(offset=100)),
    lambda storage: [storage.count(scope) for scope in (None, "/", "/crew", "/crew/kitchen", "/crew/kit/chen")],
    lambda storage: [storage.list_scopes(parent) for parent in ("/", "/crew", "/crew/travel/", "/crew/kitchen")],
    lambda storage: [storage.get_scope_info(scope) for scope in ("/", "/crew/", "/crew/travel", "/no")],
    lambda storage: [storage.list_categories(scope) for scope in (None, "/crew", "/no")],
    lambda storage: storage.get_record("tea"),
    lambda storage: storage.get_record("tea").embedding == X,
    lambda storage: storage.get_record("no such"),
]
CHANGES: list[Callable[[Any], Any]] = [
    lambda storage: (storage.update(record("new", X, scope="/new")), storage.count("/new"))[1],
    lambda storage: (storage.update(record("tea", Y, content="cold")), storage.get_record("tea").content)[1],
    lambda storage: storage.delete(record_ids=["tea", "no such"]),
    lambda storage: (storage.delete(older_than=BEGIN + timedelta(days=2)), sorted(ids(storage.list_records()))),
    lambda storage: storage.delete(categories=["drink", "bill"]),
    lambda storage: storage.delete(scope_prefix="/crew", categories=["habit"]),
    lambda storage: storage.delete(metadata_filter={"who": "ada"}, older_than=BEGIN + timedelta(days=1)),
    lambda storage: (storage.delete(), storage.count()),
    lambda storage: (storage.reset("/crew/travel"), sorted(ids(storage.list_records()))),
    lambda storage: (storage.reset(), storage.count(), storage.list_scopes(), storage.get_scope_info("/")),
]


@beside_crewais_own
def test_it_answers_as_crewais_own_storage(filled: MemorizzStorage, tmp_path: Path) -> None:
    """Where LanceDBStorage does what CrewAI describes, the answers are the same, and so is what a change leaves."""
    theirs = LanceDBStorage(path=tmp_path, compact_every=0)
    theirs.save(seven())
    for number, ask in enumerate(ASKED):
        assert ask(filled) == ask(theirs), number
    for number, change in enumerate(CHANGES):
        for storage in (filled, theirs):
            storage.reset()
            storage.save(seven())
        assert change(filled) == change(theirs), number
        assert sorted(ids(filled.list_records())) == sorted(ids(theirs.list_records())), number


def test_everything_of_a_record_comes_back(filled: MemorizzStorage) -> None:
    """Each field, the vector too, from a search, a list and by id; what comes back is a copy."""
    expected = {each.id: each for each in seven()}
    for found in (filled.list_records(), [each for each, _ in filled.search(X)]):
        assert {each.id: each for each in found} == expected
    one = filled.get_record("tea")
    assert one is not None
    one.metadata["who"] = "changed"
    again = filled.get_record("tea")
    assert again is not None
    assert again.metadata["who"] == "ada"


# --- scopes -------------------------------------------------------------------------------------------------------

HARD = ["/a", "/ab", "/a_", "/a%", "/a.b", "/A", "/a'b\"c", "/a b", "/ä", "/a\\b", "/[x]", "/" + "k" * 10_000]


def test_scopes_are_compared_by_whole_names(storage: MemorizzStorage) -> None:
    """No scope holds another one that begins alike, however hard its names are; a delete takes its own only."""
    storage.save([record(scope, X, scope=scope) for scope in HARD])
    storage.save([record(scope + "/below", X, scope=scope + "/below/deep") for scope in HARD])
    storage.save([record("root", X, scope="/")])
    assert sorted(storage.list_scopes()) == sorted(HARD)
    for scope in HARD:
        assert storage.count(scope) == storage.count(scope.lstrip("/") + "//") == 2
        assert storage.list_scopes(scope) == storage.get_scope_info(scope).child_scopes == [scope + "/below"]
        assert sorted(ids(storage.search(X, scope_prefix=scope))) == sorted([scope, scope + "/below"])
        assert storage.count(scope + "/below") == storage.count(scope + "/below/deep") == 1
        assert storage.count(scope + "/below/de") == storage.count(scope + "/below/deep/er") == 0
    assert storage.delete(scope_prefix="/a") == 2
    assert sorted(storage.list_scopes()) == sorted(HARD[1:])
    assert storage.get_record("root") is not None
    storage.reset("/ab")
    assert storage.count() == 2 * len(HARD) + 1 - 4


def test_a_filter_takes_any_name(storage: MemorizzStorage) -> None:
    """Metadata is found by keys with dots, percent and nothing in them, and comes back under these."""
    metadata: dict[str, Any] = {"a.b": 1, "100%": 2, "%2E": 3, "": 4, "$gt": 5, "0": 6, "a": {"b": 7}}
    storage.save([record("one", X, metadata=metadata), record("two", X)])
    for name, value in metadata.items():
        assert ids(storage.search(X, metadata_filter={name: value})) == ["one"], name
        assert storage.search(X, metadata_filter={name: 8}) == []
    one = storage.get_record("one")
    assert one is not None
    assert one.metadata == metadata


def test_metadata_is_equal_by_kind(storage: MemorizzStorage) -> None:
    """1 is not "1", and neither is True; 1.0 is 1; an object and a list are compared whole."""
    values: list[Any] = [1, "1", True, [1], {"a": 1}]
    storage.save([record(str(number), X, metadata={"v": value}) for number, value in enumerate(values)])
    for number, value in enumerate(values):
        assert ids(storage.search(X, metadata_filter={"v": value})) == [str(number)]
    assert ids(storage.search(X, metadata_filter={"v": 1.0})) == ["0"]
    assert storage.delete(metadata_filter={"v": {"$gt": 0}}) == 0


# --- saving -------------------------------------------------------------------------------------------------------


def test_saving_again_replaces(storage: MemorizzStorage) -> None:
    """A record is there once, and nothing of the one before is left; of two in one batch the last one counts."""
    storage.save([record("one", X, scope="/a", categories=["c"], metadata={"old": 1}, source="s", private=True)])
    storage.save([record("one", Y, metadata={"new": 1}), record("two", X), record("two", Z)])
    assert storage.count() == 2
    one, two = storage.get_record("one"), storage.get_record("two")
    assert one is not None
    assert two is not None
    assert (one.scope, one.categories, one.metadata, one.source, one.private) == ("/", [], {"new": 1}, None, False)
    assert (one.embedding, two.embedding) == (Y, Z)
    assert storage.list_categories() == {}


def test_nothing_is_deleted_for_an_empty_list(filled: MemorizzStorage) -> None:
    """An empty list of ids names none, whatever else is asked; other empty criteria alone delete nothing."""
    for asked in ({}, {"scope_prefix": "/"}, {"categories": ["drink"]}, {"older_than": datetime.max}):
        assert filled.delete(record_ids=[], **asked) == 0
    assert asyncio.run(filled.adelete(record_ids=[])) == 0
    assert filled.delete(categories=[]) == filled.delete(metadata_filter={}) == 0
    wrong: Any = "rent"
    for ask in (lambda: filled.delete(record_ids=wrong), lambda: filled.touch_records(wrong)):
        with pytest.raises(ConfigurationError, match="list of ids"):
            ask()
    assert filled.count() == 7
    # Beside another criterion they are none.
    assert filled.delete(scope_prefix="/crew/kitchen", categories=[], metadata_filter={}) == 2
    # All that is asked must hold.
    assert filled.delete(scope_prefix="/crew", record_ids=["rent", "train"]) == 1
    assert filled.delete() == 4


def test_a_score_is_the_similarity(storage: MemorizzStorage) -> None:
    """1 for the same direction, 0 for a right angle and beyond, the nearest first all the same."""
    storage.save(
        [
            record("away", [-1.0, 0.0]),
            record("right", [0.0, 2.0]),
            record("same", [3.0, 0.0]),
            record("half", [1.0, 1.0]),
        ]
    )
    found = storage.search([1.0, 0.0])
    assert ids(found) == ["same", "half", "right", "away"]
    assert [score for _, score in found] == pytest.approx([1.0, 0.5**0.5, 0.0, 0.0])
    assert ids(storage.search([1.0, 0.0], min_score=0.7)) == ["same", "half"]
    assert ids(storage.search([1.0, 0.0], min_score=-1.0)) == ids(found)


def test_limits(filled: MemorizzStorage) -> None:
    """0 is none, None is all, the newest are listed first; what is no number of records is refused."""
    assert filled.search(X, limit=0) == filled.list_records(limit=0) == []
    assert len(filled.search(X, limit=None)) == len(filled.list_records(limit=None)) == 7
    assert ids(filled.list_records("/crew", limit=2, offset=1)) == ["train", "milk"]
    assert ids(filled.list_records(limit=None, offset=1)) == ids(filled.list_records())[1:]
    with pytest.raises(ConfigurationError, match="limit"):
        filled.search(X, limit=-1)


def test_times_are_naive_and_in_utc(storage: MemorizzStorage) -> None:
    """To the microsecond, from whatever zone they were given in; also where a delete asks for older ones."""
    summer = timezone(timedelta(hours=2))
    times = {"naive": BEGIN, "utc": BEGIN.replace(tzinfo=UTC), "zone": BEGIN.replace(tzinfo=UTC).astimezone(summer)}
    storage.save([record(id, X, created_at=time, last_accessed=time) for id, time in times.items()])
    for each in storage.list_records():
        assert each.created_at == each.last_accessed == BEGIN
    info = storage.get_scope_info("/")
    assert info.oldest_record == info.newest_record == BEGIN
    assert storage.delete(older_than=BEGIN) == storage.delete(older_than=times["zone"]) == 0
    assert storage.delete(older_than=times["utc"] + timedelta(microseconds=1)) == 3


def test_touching_moves_the_last_access(filled: MemorizzStorage) -> None:
    """Of those records only, and of nothing else."""
    filled.touch_records(["tea", "no such"])
    filled.touch_records([])
    tea, milk = filled.get_record("tea"), filled.get_record("milk")
    assert tea is not None
    assert milk is not None
    assert abs(tea.last_accessed - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=5)
    assert tea.model_copy(update={"last_accessed": BEGIN}) == seven()[0]
    assert milk == seven()[1]


# --- bad input ----------------------------------------------------------------------------------------------------


def test_a_vector_of_another_length_is_refused(filled: MemorizzStorage) -> None:
    """By the error that CrewAI does not swallow, with both lengths; nothing of its batch is kept."""
    assert not issubclass(EmbeddingDimensionMismatchError, RuntimeError)
    for call in (
        lambda: filled.save([record("new", X), record("short", [1.0])]),
        lambda: filled.save([record("short", [1.0])]),
        lambda: filled.update(record("tea", [1.0])),
        lambda: filled.search([1.0]),
        lambda: asyncio.run(filled.asearch([1.0])),
    ):
        with pytest.raises(EmbeddingDimensionMismatchError, match=r"1-dim|3-dim") as raised:
            call()
        assert {raised.value.stored_dim, raised.value.new_dim} == {1, 3}
    assert {each.id: each for each in filled.list_records()} == {each.id: each for each in seven()}


def test_a_batch_of_several_lengths_makes_no_store(storage: MemorizzStorage) -> None:
    """The first batch may not decide by chance how long vectors are."""
    with pytest.raises(EmbeddingDimensionMismatchError):
        storage.save([record("a", X), record("b", [1.0])])
    storage.save([record("b", [1.0])])
    assert ids(storage.search([1.0])) == ["b"]


@pytest.mark.parametrize(
    "given",
    [
        {"metadata": {"deep": {"value": object()}}},
        {"content": "NUL \0"},
        {"scope": "/a\0"},
        {"id": ""},
        {"embedding": [float("nan"), 0.0, 1.0]},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_cannot_be_kept_is_refused_whole(filled: MemorizzStorage, given: dict[str, Any]) -> None:
    """The error says where; nothing of the batch is kept."""
    bad = record("bad", X).model_copy(update=given)
    with pytest.raises(InvalidDocument, match=next(iter(given))):
        filled.save([record("new", X), bad])
    assert filled.count() == 7


def test_ids_of_any_text_are_kept(storage: MemorizzStorage) -> None:
    """Dots, quotes, 10 kB and what looks like a UUID are ids as any other, and come back as they were."""
    strange = ["a.b", "100%", "'; --", "x" * 10_000, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", " ", "None"]
    storage.save([record(id, X) for id in strange])
    assert sorted(ids(storage.list_records())) == sorted(strange)
    for id in strange:
        assert ids([storage.get_record(id)]) == [id]
        assert storage.delete(record_ids=[id]) == 1


# --- without a vector ---------------------------------------------------------------------------------------------


def test_a_record_without_a_vector_is_kept(storage: MemorizzStorage) -> None:
    """It may be the first of all: the vectors that come later say how long they are."""
    storage.save([record("none", scope="/a", categories=["c"]), record("empty", []), record("gone")])
    storage.update(record("none", scope="/a/b", categories=["c"]))
    assert storage.count() == 3
    assert storage.count("/a") == 1
    assert storage.list_scopes("/a") == ["/a/b"]
    assert storage.list_categories() == storage.list_categories("/a") == {"c": 1}
    assert storage.delete(record_ids=["gone"]) == 1
    assert storage.search(X) == []
    storage.save([record("vector", X, scope="/a")])
    assert ids(storage.search(X)) == ["vector"]
    assert sorted(ids(storage.list_records())) == ["empty", "none", "vector"]
    assert storage.count("/a") == 2
    found = storage.get_record("none")
    assert found is not None
    assert found.embedding is None
    storage.update(found.model_copy(update={"embedding": Y}))
    assert ids(storage.search(Y)) == ["none", "vector"]
    storage.update(found)
    assert ids(storage.search(Y)) == ["vector"]


def test_what_waited_is_taken_in_after_a_crash(provider: PostgreSQLProvider, name: str) -> None:
    """Where a process died after it had made the store, the next one that opens it finds all."""
    MemorizzStorage(provider, store=name).save([record("first")])
    provider.create_store(StoreSpec(name, 3, embedded=False, memories=False))
    assert ids(MemorizzStorage(provider, store=name).list_records()) == ["first"]


def test_a_vector_of_zeros_is_none(filled: MemorizzStorage) -> None:
    """That is how CrewAI's own storages keep a record without one: it points nowhere, and nothing is near it."""
    filled.save([record("zero", [0.0, 0.0, 0.0])])
    assert filled.search([0.0, 0.0, 0.0]) == []
    assert "zero" not in ids(filled.search(X, limit=None))
    assert filled.get_record("zero") is not None


# --- the store ----------------------------------------------------------------------------------------------------


def test_after_a_reset_vectors_may_be_longer(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """What CrewAI's error advises after a change of the embedder; who has the storage open meanwhile goes on."""
    with MemorizzStorage(config) as one, MemorizzStorage(config) as other:
        one.save([record("a", X), record("b", X)])
        assert other.count() == 2
        one.reset()
        assert (other.count(), other.search(X), other.get_record("a"), other.list_records()) == (0, [], None, [])
        assert other.get_scope_info("/").record_count == other.delete() == 0
        other.touch_records(["a"])
        other.save([record("c", [1.0, 0.0])])
        assert ids(one.search([1.0, 0.0])) == ["c"]
        with pytest.raises(EmbeddingDimensionMismatchError):
            one.save([record("a", X)])


def test_another_store_is_not_taken(provider: PostgreSQLProvider, storage: MemorizzStorage, name: str) -> None:
    """A store of other documents, or of vectors of another length, is an error that says what differs."""
    with pytest.raises(ConfigurationError, match="another spec"):
        MemorizzStorage(provider, store="long_term_memory")
    storage.save([record("a", X)])
    with pytest.raises(ConfigurationError, match="dimensions is 3, not 4"):
        MemorizzStorage(provider, store=name, dimensions=4)
    with pytest.raises(ConfigurationError, match="connection string"):
        MemorizzStorage(5)  # type: ignore[arg-type]


def test_what_is_opened_here_is_closed(dsn: str, provider: PostgreSQLProvider, name: str) -> None:
    """Not a provider that was given."""
    own = MemorizzStorage(dsn)
    own.close()
    own.close()
    with pytest.raises(ProviderClosed):
        own.count()
    with MemorizzStorage(provider, store=name) as given:
        assert given.count() == 0
    assert provider.count("personas") == 0


# --- whose memories -----------------------------------------------------------------------------------------------


def test_a_memory_sees_nothing_of_another(provider: PostgreSQLProvider, name: str) -> None:
    """Whatever scope, id or filter is asked for: it is not read, changed or deleted."""
    ada = MemorizzStorage(provider, store=name, memory_id="ada")
    ben = MemorizzStorage(provider, store=name, memory_id="ben")
    all_of_it = MemorizzStorage(provider, store=name)
    ada.save([record("a", X, scope="/secret/ada", categories=["c"], metadata={"m": 1}, last_accessed=BEGIN)])
    ben.save([record("b", X, scope="/secret/ben")])
    for scope in (None, "/", "/secret", "/secret/ada"):
        assert "a" not in ids(ben.search(X, scope_prefix=scope, limit=None))
        assert "a" not in ids(ben.list_records(scope))
        assert ben.count(scope) == (0 if scope == "/secret/ada" else 1)
    assert ben.get_record("a") is None
    assert (ben.list_scopes("/secret"), ben.list_categories()) == (["/secret/ben"], {})
    assert ben.get_scope_info("/").record_count == 1
    assert ben.delete(record_ids=["a"]) == ben.delete(scope_prefix="/secret/ada") == 0
    assert ben.delete(metadata_filter={"m": 1}) == ben.delete(categories=["c"]) == 0
    ben.touch_records(["a"])
    with pytest.raises(InvalidDocument, match="another id"):
        ben.save([record("new", X), record("a", Y)])
    assert ben.delete() == 1
    ben.reset()
    (kept,) = ada.list_records()
    assert (kept.last_accessed, kept.embedding) == (BEGIN, X)
    # Without a memory_id all are seen, and a record that is changed stays whose it was.
    all_of_it.update(kept.model_copy(update={"content": "corrected"}))
    (corrected,) = ada.list_records()
    assert corrected.content == "corrected"
    assert ben.count() == 0


# --- threads and loops --------------------------------------------------------------------------------------------


def test_one_storage_serves_threads_and_loops(dsn: str) -> None:
    """50 threads and three event loops make the store, write, find and delete with one object at once."""
    storage = MemorizzStorage(dsn)

    def in_thread(number: int) -> int:
        storage.save([record(f"{number}", [1.0, float(number)], scope=f"/t/{number}"), record(f"{number}x")])
        assert ids(storage.search([1.0, float(number)], scope_prefix=f"/t/{number}")) == [f"{number}"]
        storage.touch_records([f"{number}"])
        return storage.delete(record_ids=[f"{number}x"])

    async def in_loop(number: int) -> int:
        await storage.asave([record(f"{number}", [1.0, float(number)], scope=f"/t/{number}"), record(f"{number}x")])
        found = await asyncio.gather(*(storage.asearch([1.0, 0.0], scope_prefix=f"/t/{number}") for _ in range(3)))
        assert [ids(each) for each in found] == [[f"{number}"]] * 3
        # A sync method in a running loop is one like elsewhere.
        assert storage.count(f"/t/{number}") == 1
        return await storage.adelete(record_ids=[f"{number}x"])

    with storage, ThreadPoolExecutor(53) as pool:
        loops = [pool.submit(asyncio.run, in_loop(number)) for number in range(50, 53)]
        assert [*pool.map(in_thread, range(50)), *(loop.result() for loop in loops)] == [1] * 53
        assert storage.count() == storage.count("/t") == len(storage.list_scopes("/t")) == 53
