"""Documents stored before there was an embedder: which of them get a vector, and what may happen meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from models import Model

from memorizz.errors import ConfigurationError, EmbeddingFailed
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding

LONG, TURNS, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY, MemoryType.MEMAGENT
DIMENSIONS = 4


@pytest.fixture
def model() -> Model:
    return Model("hashes", DIMENSIONS)


@pytest.fixture
def before(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    """A provider without an embedder."""
    with PostgreSQLProvider(config) as provider:
        yield provider


@pytest.fixture
def api(
    before: PostgreSQLProvider, open_api: Callable[..., Any], config: PostgreSQLConfig, model: Model
) -> Iterator[Any]:
    """A provider on either API with an embedder, and one connection, which nothing may hold meanwhile."""
    with open_api(config.replace(max_size=1, pool_timeout=5.0), embedder=model) as provider:
        yield provider


def vectors(provider: Any, store: MemoryType = LONG) -> dict[str, Any]:
    """Return the vector of every document of a store, by its id."""
    return {each["id"]: each["embedding"] for each in provider.list_all(store, include_embedding=True)}


def test_what_has_a_text_and_no_vector_is_embedded(before: PostgreSQLProvider, api: Any, model: Model) -> None:
    """As if it were stored now: together with who says it; what has no text, a vector or an end in the past is left."""
    for id, document in {
        "named": {"content": "tea", "name": "Drinks"},
        "said": {"content": "coffee", "role": "Ada"},
        "none": {"content": "milk", "embedding": None},
        "blank": {"content": " \n"},
        "silent": {"name": "Drinks"},
        "given": {"content": "cake", "embedding": [1, 2, 3, 4]},
        "over": {"content": "toast", "expires_at": "2020-01-01"},
    }.items():
        before.store({"id": id, **document}, LONG)
    before.store({"id": "turn", "content": "tea", "role": "Ada"}, TURNS)
    before.store({"id": "agent", "content": "tea", "name": "Barista"}, AGENTS)
    assert [api.embed_missing(store) for store in (LONG, TURNS)] == [3, 1]
    found = vectors(before) | vectors(before, TURNS) | vectors(before, AGENTS)
    expected = {"named": "Drinks: tea", "said": "coffee", "none": "milk", "turn": "Ada: tea"}
    assert all(model.made(found[id], text) for id, text in expected.items())
    assert found["given"] == [1, 2, 3, 4]
    assert [found[id] for id in ("blank", "silent", "agent")] == [None, None, None]
    assert [api.embed_missing(store) for store in (LONG, TURNS)] == [0, 0]
    with pytest.raises(ConfigurationError, match="agents: these documents are not embedded"):
        api.embed_missing(AGENTS)


def test_any_number_is_embedded_in_batches(before: PostgreSQLProvider, api: Any, model: Model) -> None:
    """And what is embedded is found."""
    batches: list[int] = []
    model.before = lambda texts: batches.append(len(texts))
    before.store_many([{"content": f"memory {n}"} for n in range(130)], LONG)
    assert api.embed_missing(LONG) == 130
    assert batches == [64, 64, 2]
    assert api.count(LONG, {"embedding": {"$exists": False}}) == 0
    assert api.retrieve_by_query({"embedding": "memory 77"}, LONG)[0]["content"] == "memory 77"


def test_a_document_is_changed_by_it(before: PostgreSQLProvider, api: Any) -> None:
    """So that whoever looks for changes finds it; nothing but its vector and the time is another."""
    before.store({"id": "m", "content": "tea", "importance_score": 0.5, "tags": ["a"]}, LONG)
    old = before.retrieve_by_id("m", LONG)
    api.embed_missing(LONG)
    new = before.retrieve_by_id("m", LONG)
    assert old is not None
    assert new is not None
    assert new.pop("updated_at") > old.pop("updated_at")
    assert new == old


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"content": "coffee"}, None),
        ({"name": "Drinks"}, None),
        ({"embedding": [1, 2, 3, 4]}, [1, 2, 3, 4]),
        ({"content": None}, None),
        (None, None),
    ],
    ids=str,
)
def test_what_is_changed_meanwhile_is_left_to_whoever_changes_it(
    before: PostgreSQLProvider, api: Any, model: Model, change: dict[str, Any] | None, left: Any
) -> None:
    """The vector of a text that is no longer there is not stored; other documents are."""

    def interfere(texts: Sequence[str]) -> None:
        if change is None:
            before.delete_by_id("m", LONG)
        else:
            before.update_by_id("m", change, LONG)

    before.store_many([{"id": "m", "content": "tea"}, {"id": "n", "content": "cake"}], LONG)
    model.before = interfere
    assert api.embed_missing(LONG) == 1
    found = vectors(before)
    assert found.get("m") == left
    assert model.made(found["n"], "cake")


def test_it_says_how_far_it_is(before: PostgreSQLProvider, api: Any) -> None:
    """How many it has gone through, up to all of them, whether or not each of them has a text."""
    before.store_many([{"content": f"memory {n}" if n else " "} for n in range(130)], LONG)
    told: list[int] = []
    assert api.embed_missing(LONG, told.append) == 129
    assert told == sorted(told)
    assert (len(told) > 1, told[-1]) == (True, 130)


def test_what_is_done_stays_done(before: PostgreSQLProvider, api: Any, model: Model) -> None:
    """An embedder that fails in the middle leaves the rest to the next call."""

    def fail(texts: Sequence[str]) -> None:
        if len(model.texts) > 64:
            raise TimeoutError("no answer")

    before.store_many([{"content": f"memory {n}"} for n in range(100)], LONG)
    model.before = fail
    with pytest.raises(EmbeddingFailed, match="TimeoutError: no answer"):
        api.embed_missing(LONG)
    assert api.count(LONG, {"embedding": {"$exists": True}}) == 64
    model.before = None
    assert api.embed_missing(LONG) == 36


def refuse(*refused: str) -> Callable[[Sequence[str]], None]:
    """Have a model refuse some texts, and all that come with them."""

    def check(texts: Sequence[str]) -> None:
        if any(text.endswith(refused) for text in texts):
            raise EmbeddingFailed("hashes", "too long", status=400)

    return check


def test_one_that_is_refused_is_in_nobodys_way(before: PostgreSQLProvider, api: Any, model: Model) -> None:
    """The others are embedded, those that come with it and those behind it; and it is named, in every call."""
    before.store_many([{"id": f"m{n}", "content": f"memory {n}"} for n in range(150)], LONG)
    model.before = refuse(" 3", " 70", " 149")
    with pytest.raises(EmbeddingFailed) as raised:
        api.embed_missing(LONG)
    assert "3 documents of long_term_memory could not be embedded, 147 were (" in str(raised.value)
    assert all(f"m{n}: too long" in str(raised.value) for n in (3, 70, 149))
    assert {id for id, vector in vectors(before).items() if vector is None} == {"m3", "m70", "m149"}
    # Halves of halves, not one by one.
    assert len(model.texts) < 150 * 4
    model.before = refuse(" 149")
    with pytest.raises(EmbeddingFailed, match=r"1 documents .* could not be embedded, 2 were \(m149: too long"):
        api.embed_missing(LONG)


@pytest.mark.parametrize("transient", [False, True])
def test_a_model_that_refuses_all_ends_it(before: PostgreSQLProvider, api: Any, model: Model, transient: bool) -> None:
    """It is not for the sake of a text; and one that may answer later is not asked for each."""

    def fail(texts: Sequence[str]) -> None:
        raise EmbeddingFailed("hashes", "wrong key", transient=transient)

    before.store_many([{"content": f"memory {n}"} for n in range(200)], LONG)
    model.before = fail
    with pytest.raises(EmbeddingFailed, match="cannot embed with 'hashes': wrong key"):
        api.embed_missing(LONG)
    assert set(model.texts) == set(model.texts[:64])
    assert len(model.texts) == (64 if transient else 64 * 7)


def test_without_an_embedder_there_is_nothing_to_embed_with(before: PostgreSQLProvider) -> None:
    """Which the error says, and what to do."""
    with pytest.raises(ConfigurationError, match="embedder="):
        before.embed_missing(LONG)


def test_a_change_of_the_model_takes_the_new_vectors_along(
    before: PostgreSQLProvider, api: Any, config: PostgreSQLConfig
) -> None:
    """What gets its vector while the model changes is embedded with the other model too."""
    before.store({"content": "tea"}, LONG)
    with Maintenance(config) as maintenance:
        change = Reembedding(maintenance, Model("new", 6))
        change.begin()
        assert change.fill() == 0
        api.embed_missing(LONG)
        assert change.change().waiting == 1
        assert change.fill() == 1
