"""Documents that are stored again: the vector follows the text, and stays where the text does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any

import numpy as np
import pytest

import ways
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.sql import reads
from ways import WAYS

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
OWN = [1.0, 2.0, 3.0, 4.0]
EXPIRED = "2020-01-01T00:00:00Z"


class Counting:
    """An embedder that notes its texts; each vector tells which text it is of."""

    name = "counting"
    dimensions = 4

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> list[list[float]]:
        self.texts += texts
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> list[float]:
        return [-1.0 - self.texts.index(text), 1.0, 0.0, 0.0]


@pytest.fixture
def embedder() -> Counting:
    return Counting()


@pytest.fixture
def memory(config: PostgreSQLConfig, embedder: Counting) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config, embedder=embedder) as provider:
        yield provider


Change = Callable[..., None]


@pytest.fixture(params=["update_by_id", "store", "store_many"])
def change(request: pytest.FixtureRequest, memory: PostgreSQLProvider) -> Change:
    """Merge keys into the document "x", by each of the methods that do."""

    def change(data: dict[str, Any], store: MemoryType = LONG) -> None:
        if request.param == "update_by_id":
            assert memory.update_by_id("x", data, store)
        elif request.param == "store":
            memory.store({"id": "x"} | data, store)
        else:
            memory.store_many(iter([{"_id": "x"} | data]), store)

    return change


def vector(memory: PostgreSQLProvider, id: str = "x", store: MemoryType = LONG) -> Any:
    document = memory.retrieve_by_id(id, store, include_embedding=True)
    assert document is not None
    return document["embedding"]


# --- a text that is taken away ------------------------------------------------------------------------------------


@pytest.mark.parametrize("blank", [None, "", " \n"])
def test_without_a_text_there_is_no_vector(memory: PostgreSQLProvider, change: Change, blank: str | None) -> None:
    """The vector of the old content goes with it; so does one of the caller's own, which was of that content."""
    for own in ({}, {"embedding": OWN}):
        memory.store({"id": "x", "content": "tea", "name": "Ada"} | own, LONG)
        change({"content": blank})
        assert vector(memory) is None


def test_a_vector_that_is_given_with_a_blank_content_is_kept(memory: PostgreSQLProvider, change: Change) -> None:
    """Whoever gives one means it."""
    memory.store({"id": "x", "content": "tea"}, LONG)
    change({"content": None, "embedding": OWN})
    assert np.allclose(vector(memory), OWN)
    change({"content": "", "name": "Ada"})
    assert np.allclose(vector(memory), OWN)


@pytest.mark.parametrize("blank", [None, "", " "])
def test_a_new_document_without_a_text(memory: PostgreSQLProvider, embedder: Counting, blank: str | None) -> None:
    """It has no vector, under an id or without one."""
    ids = [memory.store({"content": blank}, LONG), memory.store({"id": "x", "content": blank}, LONG)]
    assert [vector(memory, id) for id in ids] == [None, None]
    assert memory.update_by_id("nobody", {"content": blank}, LONG) is False
    assert embedder.texts == []


def test_without_an_embedder_the_vector_stays(config: PostgreSQLConfig) -> None:
    """There the vectors are the caller's business."""
    with PostgreSQLProvider(config) as memory:
        memory.store({"id": "x", "content": "tea", "embedding": OWN}, LONG)
        memory.update_by_id("x", {"content": None}, LONG)
        assert np.allclose(vector(memory), OWN)


# --- a text that stays --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", [LONG, TURNS])
@pytest.mark.parametrize("parts", [{"content": "tea"}, {"content": "tea", "role": "Ada", "name": "Ada"}], ids=str)
def test_a_document_that_is_stored_back_keeps_its_vector(
    memory: PostgreSQLProvider, embedder: Counting, change: Change, store: MemoryType, parts: dict[str, Any]
) -> None:
    """Recalled without its embedding; the caller's own vector as well as the embedder's, or none."""
    for given in ({"embedding": OWN}, {"embedding": None}, {}):
        memory.delete_all(store)
        memory.store({"id": "x"} | parts | given, store)
        before = vector(memory, store=store)
        embedder_texts = list(embedder.texts)
        recalled = memory.retrieve_by_id("x", store)
        assert recalled is not None
        change(recalled | {"seen": True}, store)
        assert embedder.texts == embedder_texts
        after = vector(memory, store=store)
        assert after is None if before is None else np.allclose(before, after)


def test_hits_that_are_stored_back_keep_their_vectors(memory: PostgreSQLProvider, embedder: Counting) -> None:
    """All at once, with one look-up for them."""
    memory.store_many([{"content": f"tea {n}", "embedding": OWN} for n in range(3)], LONG)
    hits = memory.retrieve_by_query({"$text": {"$search": "tea"}}, LONG, 3)
    assert len(hits) == 3
    memory.store_many(hits, LONG)
    assert embedder.texts == []
    assert all(np.allclose(each["embedding"], OWN) for each in memory.list_all(LONG, include_embedding=True))


@pytest.mark.parametrize("method", ["store", "store_many", "update_by_id"])
def test_a_text_that_changes_replaces_a_vector(memory: PostgreSQLProvider, embedder: Counting, method: str) -> None:
    """The caller's own one, too: it was of the old text. What is not part of the text replaces nothing."""
    for parts, text in (
        ({"content": "milk"}, "Ada: milk"),
        ({"name": "Bob"}, "Bob: tea"),
        ({"name": None}, "tea"),
        ({"role": "Bob"}, None),
    ):
        memory.store({"id": "x", "content": "tea", "name": "Ada", "embedding": OWN}, LONG)
        embedder.texts.clear()
        if method == "store":
            memory.store({"id": "x"} | parts, LONG)
        elif method == "store_many":
            memory.store_many([{"id": "x"} | parts], LONG)
        else:
            memory.update_by_id("x", parts, LONG)
        assert embedder.texts == ([] if text is None else [text])
        assert np.allclose(vector(memory), OWN if text is None else embedder.vector(text))


def test_what_has_expired_is_not_there(memory: PostgreSQLProvider, embedder: Counting) -> None:
    """The same text under the same id is embedded, for the old row is replaced and its vector with it."""
    old = {"content": "tea", "name": "Ada", "embedding": OWN, "expires_at": EXPIRED}
    memory.store_many([{"id": "x"} | old, {"id": "y"} | old], LONG)
    memory.store({"id": "x", "content": "tea", "name": "Ada"}, LONG)
    memory.store_many([{"id": "y", "content": "tea"}], LONG)
    assert embedder.texts == ["Ada: tea", "tea"]
    assert np.allclose(vector(memory, "x"), embedder.vector("Ada: tea"))
    assert np.allclose(vector(memory, "y"), embedder.vector("tea"))


class Speaker(Enum):
    ADA = "Ada"


def test_texts_are_compared_as_they_are_stored(config: PostgreSQLConfig, embedder: Counting) -> None:
    """An Enum by its value, and what no database can hold by what replaces it."""
    document = {"id": "x", "role": Speaker.ADA, "content": "te\0a"}
    with PostgreSQLProvider(config.replace(on_invalid_text="replace"), embedder=embedder) as memory:
        memory.store(document, TURNS)
        memory.store(document, TURNS)
        memory.update_by_id("x", {"role": "Ada", "content": "te\ufffda"}, TURNS)
    assert embedder.texts == ["Ada: te\ufffda"]


# --- one id more than once ----------------------------------------------------------------------------------------

SEQUENCES: list[tuple[list[dict[str, Any]], list[str], Any]] = [
    ([{"content": "tea", "role": "Ada"}, {"role": "Bob"}], ["Ada: tea", "Bob: tea"], "Bob: tea"),
    ([{"role": "Ada"}, {"content": "tea"}], ["Ada: tea"], "Ada: tea"),
    ([{"content": "tea"}, {"content": "milk"}, {"role": "Ada"}], ["tea", "milk", "Ada: milk"], "Ada: milk"),
    ([{"content": "tea"}, {"content": "tea"}, {"n": 1}], ["tea"], "tea"),
    ([{"content": "tea"}, {"content": "milk"}, {"content": "tea"}], ["tea", "milk", "tea"], "tea"),
    ([{"content": "tea"}, {"content": None}], ["tea"], None),
    ([{"content": "tea"}, {"content": " "}, {"role": "Ada"}, {"content": "milk"}], ["tea", "Ada: milk"], "Ada: milk"),
    # A vector that is given is of the text as it is then.
    ([{"content": "tea", "embedding": OWN}, {"content": "tea"}], [], OWN),
    ([{"content": "tea", "embedding": OWN}, {"role": "Ada"}], ["Ada: tea"], "Ada: tea"),
    ([{"content": "tea"}, {"role": "Ada", "embedding": OWN}, {"role": "Ada", "content": "tea"}], ["tea"], OWN),
]


@pytest.mark.parametrize("others", [0, 600], ids=["one batch", "batches"])
@pytest.mark.parametrize(("documents", "texts", "left"), SEQUENCES, ids=str)
def test_one_id_in_one_store_many(
    memory: PostgreSQLProvider,
    embedder: Counting,
    others: int,
    documents: list[dict[str, Any]],
    texts: list[str],
    left: Any,
) -> None:
    """Later documents see the earlier ones, in the same batch and in another."""
    given = ({} if n else each for each in documents for n in range(others + 1))
    memory.store_many([{"id": "x"} | each if each else {"n": 0} for each in given], TURNS)
    assert embedder.texts == texts
    found = vector(memory, store=TURNS)
    assert found is None if left is None else np.allclose(found, embedder.vector(left) if left in texts else OWN)


@pytest.mark.parametrize("others", [0, 600], ids=["one batch", "batches"])
def test_the_batch_comes_before_the_database(memory: PostgreSQLProvider, embedder: Counting, others: int) -> None:
    """What it does not say is as it is stored."""
    memory.store_many([{"id": id, "content": "tea", "role": "Ada", "embedding": OWN} for id in "xyz"], TURNS)
    filler: list[dict[str, Any]] = [{"n": n} for n in range(others)]
    first = [{"id": "x", "role": "Bob"}, {"id": "y", "content": "milk", "embedding": OWN}, {"id": "z", "n": 1}]
    second = [{"id": "x", "content": "milk"}, {"id": "y", "content": "water"}, {"id": "z", "role": "Eve"}]
    memory.store_many([*first, *filler, *second], TURNS)
    left = {"x": "Bob: milk", "y": "Ada: water", "z": "Eve: tea"}
    assert embedder.texts == ["Bob: tea", *left.values()]
    for id, text in left.items():
        assert np.allclose(vector(memory, id, TURNS), embedder.vector(text))


def test_one_look_up_for_a_batch(memory: PostgreSQLProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none where no document with an id of the caller's may need one."""
    asked: list[int] = []

    def texts(store: Any, ids: Sequence[Any], ask: Any = reads.texts) -> Any:
        asked.append(len(ids))
        return ask(store, ids)

    monkeypatch.setattr(reads, "texts", texts)
    memory.store_many([{"id": f"{n % 700}", "content": "tea"} for n in range(1000)], LONG)
    assert asked == [500, 500]
    memory.store({"content": "tea"}, LONG)
    memory.store({"id": "1", "content": "tea", "embedding": OWN}, LONG)
    memory.update_by_id("1", {"importance_score": 1.0}, LONG)
    assert asked == [500, 500]
    memory.update_by_id("1", {"content": "milk"}, LONG)
    assert asked == [500, 500, 1]


@pytest.mark.parametrize("way", WAYS)
def test_a_text_that_changes_without_an_embedder_takes_its_vector_along(
    api: Any, config: PostgreSQLConfig, way: str
) -> None:
    """Nobody here makes another of the model that is known: the document is no longer found by what it meant before."""
    api.count(TURNS)
    with PostgreSQLProvider(config) as other:
        other.note_embedding_model("tea leaves")
    for data in ({"content": "coffee"}, {"role": "Ada"}, {"content": None}, {"content": ["tea", "coffee"]}):
        api.delete_all(TURNS)
        api.store({"id": "a", "content": "tea", "role": "user", "embedding": OWN}, TURNS)
        ways.change(api, way, TURNS, data)
        assert api.retrieve_by_id("a", TURNS, include_embedding=True)["embedding"] is None
        assert api.retrieve_by_query({"embedding": OWN}, TURNS, 5) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_text_that_stays_keeps_its_vector_without_an_embedder(api: Any, way: str) -> None:
    """So does one that is given with its vector, a name without a content, and any text that is not embedded."""
    api.note_embedding_model("tea leaves")
    for store, before, data in (
        (TURNS, {"content": "tea", "role": "user"}, {"content": "tea", "role": "user", "n": 1}),
        (TURNS, {"content": "tea", "role": "user"}, {"name": "Ada", "n": 1}),
        (TURNS, {"content": "tea"}, {"content": "coffee", "embedding": OWN}),
        (LONG, {"name": "a photo"}, {"name": "her photo", "content": ""}),
        (MemoryType.MEMAGENT, {"content": "tea"}, {"content": "coffee"}),
    ):
        api.delete_all(store)
        api.store({"id": "a", **before, "embedding": OWN}, store)
        ways.change(api, way, store, data)
        assert api.retrieve_by_id("a", store, include_embedding=True)["embedding"] == OWN
