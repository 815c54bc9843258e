"""A text that somebody else changes while a model embeds it: a vector is never beside a text that it is not of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from models import Model

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
LABELS = {LONG: "name", TURNS: "role"}

Call = Callable[[Any, MemoryType], Any]
FIRST: dict[str, Call] = {
    "update of the content": lambda api, store: api.update_by_id("x", {"content": "green tea"}, store),
    "update of the label": lambda api, store: api.update_by_id("x", {LABELS[store]: "Ada"}, store),
    "update of both": lambda api, store: api.update_by_id("x", {LABELS[store]: "Ada", "content": "milk"}, store),
    "store": lambda api, store: api.store({"id": "x", "content": "green tea"}, store),
    "store_many": lambda api, store: api.store_many([{"n": 1, "content": "new"}, {"id": "x", "content": "tea"}], store),
    "store_many of a generator": lambda api, store: api.store_many(
        (document for document in [{"id": "x", "content": "tea"}, {"id": "x", LABELS[store]: "Ada"}]), store
    ),
    "embed_missing": lambda api, store: api.embed_missing(store),
}
SECOND: dict[str, Call] = {
    "another content": lambda api, store: api.update_by_id("x", {"content": "coffee"}, store),
    "another label": lambda api, store: api.update_by_id("x", {LABELS[store]: "Bob"}, store),
    "no content": lambda api, store: api.update_by_id("x", {"content": None}, store),
    "another document": lambda api, store: (
        api.delete_by_id("x", store),
        api.store({"id": "x", "content": "cocoa"}, store),
    ),
    "nothing of the text": lambda api, store: api.update_by_id("x", {"n": 7}, store),
    "there and back": lambda api, store: (
        api.update_by_id("x", {"content": "coffee"}, store),
        api.update_by_id("x", {"content": "water"}, store),
    ),
}


@pytest.mark.parametrize("store", [LONG, TURNS], ids=str)
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_a_vector_is_of_the_text_beside_it(
    open_api: Callable[..., Any], config: PostgreSQLConfig, first: str, second: str, store: MemoryType
) -> None:
    """Whatever the first does and the second changes while it embeds; what is left without a vector can be embedded."""
    others: list[Any] = []
    model = Model("model", 4, before=lambda texts: others.pop()() if others else None)
    with PostgreSQLProvider(config) as plain, PostgreSQLProvider(config, embedder=Model("model", 4)) as other:
        document = {"id": "x", LABELS[store]: "Eve", "content": "water"}
        (plain if first == "embed_missing" else other).store(document, store)
        with open_api(config, embedder=model) as api:
            others.append(lambda: SECOND[second](other, store))
            FIRST[first](api, store)
        assert others == []
        check(other, model, store)
        other.embed_missing(store)
        assert check(other, model, store)


@pytest.mark.parametrize("count", [1, 20])
def test_two_who_store_the_same_leave_its_vectors(
    open_api: Callable[..., Any], config: PostgreSQLConfig, count: int
) -> None:
    """Whoever brings the whole text brings its vector, whatever was stored meanwhile."""
    documents = [{"id": f"x{n}", "role": "Eve", "content": f"water {n}"} for n in range(count)]
    with PostgreSQLProvider(config, embedder=Model("model", 4)) as other:
        others = [lambda: other.store_many(documents, TURNS)]
        model = Model("model", 4, before=lambda texts: others.pop()() if others else None)
        with open_api(config, embedder=model) as api:
            api.store_many(documents, TURNS)
        assert others == []
        assert other.count(TURNS) == count
        assert check(other, model, TURNS)


def check(other: PostgreSQLProvider, model: Model, store: MemoryType) -> bool:
    """Return True if every text has its vector; fail where one has another."""
    whole = True
    for document in other.list_all(store, include_embedding=True):
        vector, content = document.get("embedding"), document.get("content")
        label = document.get(LABELS[store])
        text = ": ".join(part for part in (label, content) if part)
        if vector is not None:
            assert content
            assert model.made(vector, text), f"{text!r} has the vector of another text"
        whole = whole and (vector is not None or not content)
    return whole
