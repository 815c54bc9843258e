"""Stores of a caller's own: made, used by every method, listed, dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memorizz.errors import ConfigurationError, DimensionMismatch, InvalidDocument
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.stores import StoreSpec

TICKETS = StoreSpec("tickets", dimensions=3, distance="l2")


@pytest.fixture
def tickets(api: Any) -> Iterator[Any]:
    """A provider with a store `tickets`, of vectors of three dimensions, compared by their distance."""
    api.create_store(TICKETS)
    yield api
    if any(spec.name == "tickets" for spec in api.stores()):
        api.drop_store("tickets", yes=True)


def test_a_store_is_listed_until_it_is_dropped(api: Any) -> None:
    """stores() has the seven, then those that were made, as they were described."""
    assert [spec.name for spec in api.stores()] == [member.value for member in MemoryType]
    api.create_store(TICKETS)
    api.create_store(TICKETS)
    assert api.stores()[7:] == [TICKETS]
    with pytest.raises(ConfigurationError, match=r"drop_store\('tickets'\) deletes every document.*yes=True"):
        api.drop_store("tickets")
    api.drop_store("tickets", yes=True)
    assert len(api.stores()) == 7
    with pytest.raises(ConfigurationError, match="unknown memory store 'tickets'"):
        api.count("tickets")


@pytest.mark.parametrize(
    "name", ["", "Tickets", "my tickets", "1st", "pg_x", "memorizz_x", "x" * 41, 'a"b', "tickets;", 7]
)
def test_what_is_no_name(name: Any) -> None:
    """A name that is no good name for a table is refused before anything is asked of a server."""
    with pytest.raises(ConfigurationError, match="is no name for a store"):
        StoreSpec(name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dimensions": 0}, "dimensions=0: expected 1 to 16,000"),
        ({"dimensions": "3"}, "dimensions='3'"),
        ({"distance": "manhattan"}, "distance='manhattan': expected one of cosine, l2, inner_product"),
        ({"index": "ivfflat"}, "index='ivfflat': expected hnsw, halfvec or none"),
        ({"index": "halfvec", "distance": "l2"}, "it takes distance='cosine'"),
        ({"vector_type": "bit"}, "vector_type='bit': expected one of vector, halfvec"),
        ({"vector_type": "halfvec", "index": "halfvec"}, "with vector_type='halfvec', index='hnsw' is as small"),
        ({"label": "title"}, "label='title': expected one of name, role"),
    ],
)
def test_what_a_store_cannot_be(options: dict[str, Any], said: str) -> None:
    """A spec says at once what it cannot have."""
    with pytest.raises(ConfigurationError) as caught:
        StoreSpec("tickets", **options)
    assert said in str(caught.value)


def test_another_spec_of_the_same_name(tickets: Any) -> None:
    """A name that is taken with another spec is an error that says what differs, also for the seven."""
    with pytest.raises(ConfigurationError, match=r"'tickets' is there with another spec: dimensions is 3, not 4"):
        tickets.create_store(StoreSpec("tickets", dimensions=4, distance="l2"))
    with pytest.raises(ConfigurationError, match="'personas' is there with another spec"):
        tickets.create_store(StoreSpec("personas", distance="l2"))
    with pytest.raises(ConfigurationError, match="personas is one of the seven stores"):
        tickets.drop_store("personas", yes=True)


def test_every_method_takes_it(tickets: Any) -> None:
    """Store, read, search, change, count, iterate and delete, in the store of one's own as in the seven."""
    near, far = {"name": "near", "memory_id": "m", "content": "green tea", "embedding": [1, 0, 0]}, {
        "name": "far", "memory_id": "m", "content": "black coffee", "embedding": [0, 5, 0],
    }  # fmt: skip
    id = tickets.store(near, "tickets")
    (other,) = tickets.store_many([far], "tickets")
    assert tickets.retrieve_by_id(id, "tickets")["content"] == "green tea"
    assert tickets.retrieve_by_name("far", "tickets")["id"] == other
    hits = tickets.retrieve_by_query({"embedding": [2, 0, 0], "memory_id": "m"}, "tickets", limit=2)
    assert [(hit["id"], hit["distance"], hit["score"]) for hit in hits] == [
        (id, 1.0, 0.5),
        (other, pytest.approx(29**0.5), pytest.approx(1 / (1 + 29**0.5))),
    ]
    assert [hit["id"] for hit in tickets.retrieve_by_query({"$text": {"$search": "coffee"}}, "tickets")] == [other]
    assert tickets.update_by_id(id, {"name": "nearest", "embedding": [2, 0, 0]}, "tickets")
    assert tickets.retrieve_by_query({"embedding": [2, 0, 0]}, "tickets")[0]["distance"] == 0
    assert [each["name"] for each in tickets.list_all("tickets")] == ["nearest", "far"]
    assert tickets.count("tickets", {"memory_id": "m"}) == 2
    assert [each["id"] for each in tickets.iterate("tickets", batch_size=1, after=id)] == [other]
    found = tickets.retrieve_memory_components_by_query(None, [2, 0, 0], "m", "tickets")
    assert [each["id"] for each in found] == [id, other]
    assert found[0]["embedding"] == [2, 0, 0]
    assert tickets.delete_by_id(id, "tickets")
    assert tickets.delete_by_name("far", "tickets")
    assert tickets.purge_expired("tickets") == 0
    assert tickets.delete_all("tickets")
    assert tickets.count("tickets") == 0


def test_what_has_no_direction_is_refused(tickets: Any) -> None:
    """The checks of a vector are those of every store: its length, finite numbers, no zero vector."""
    with pytest.raises(DimensionMismatch, match="tickets"):
        tickets.store({"embedding": [1, 0, 0, 0]}, "tickets")
    for vector in ([0, 0, 0], [float("nan"), 0, 0], [1e30, 0, 0], [1e-20, 0, 0]):
        with pytest.raises(InvalidDocument):
            tickets.store({"embedding": vector}, "tickets")


@pytest.mark.parametrize(("distance", "first"), [("cosine", "same way"), ("l2", "close by"), ("inner_product", "long")])
def test_each_distance_ranks_in_its_own_way(api: Any, distance: Any, first: str) -> None:
    """Cosine asks for the direction, l2 for the place, the inner product for length too; more score is better."""
    api.create_store(StoreSpec("compared", dimensions=2, distance=distance))
    try:
        vectors = {"same way": [0.1, 0.0], "close by": [1.0, 0.2], "long": [9.0, 9.0], "other way": [-1.0, 0.0]}
        api.store_many([{"name": name, "embedding": vector} for name, vector in vectors.items()], "compared")
        for exact in (False, True):
            hits = api.retrieve_by_query({"embedding": [1, 0]}, "compared", limit=4, exact=exact)
            assert hits[0]["name"] == first
            assert hits[-1]["name"] == ("long" if distance == "l2" else "other way")
            assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
            assert [hit["distance"] for hit in hits] == sorted(hit["distance"] for hit in hits)
    finally:
        api.drop_store("compared", yes=True)


def test_other_providers_see_it(tickets: Any, config: Any, open_api: Callable[[Any], Any]) -> None:
    """A provider that was open before, and one that opens afterwards, know the store; and that it is gone."""
    with open_api(config) as other:
        other.create_store(StoreSpec("notes_of_mine"))
        assert tickets.count("notes_of_mine") == 0
        tickets.store({"name": "Ada"}, "notes_of_mine")
        assert other.count("notes_of_mine") == 1
        other.drop_store("notes_of_mine", yes=True)
        with pytest.raises(ConfigurationError, match="unknown memory store 'notes_of_mine'"):
            tickets.count("notes_of_mine")


def test_a_cascade_takes_its_memories_too(api: Any) -> None:
    """What carries the memory of an agent is deleted with it, in a store of one's own as in the seven."""
    api.create_store(StoreSpec("notes_of_mine"))
    try:
        api.store({"memory_id": "m"}, "notes_of_mine")
        agent = api.store_memagent({"memory_ids": ["m"]})
        assert api.delete_memagent(agent, cascade=True)
        assert api.count("notes_of_mine") == 0
    finally:
        api.drop_store("notes_of_mine", yes=True)


def test_a_transaction_takes_it(tickets: Any) -> None:
    """What is done in it inside a transaction happens together with the rest, or not at all."""
    with tickets.transaction() as tx:
        tx.store({"name": "kept", "embedding": [1, 0, 0]}, "tickets")
        tx.store({"name": "kept"}, MemoryType.PERSONAS)
        assert tx.retrieve_by_query({"embedding": [1, 0, 0]}, "tickets")[0]["name"] == "kept"

    def fails() -> None:
        with tickets.transaction() as tx:
            tx.store({"name": "lost"}, "tickets")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert [each["name"] for each in tickets.list_all("tickets")] == ["kept"]


def test_meaning_and_words_together(tickets: Any) -> None:
    """The parts of a score are those of the seven stores, with the similarity that the store's distance has."""
    tickets.store({"content": "green tea", "embedding": [2, 0, 0]}, "tickets")
    query = {"embedding": [1, 0, 0], "$text": {"$search": "tea"}}
    [hit] = tickets.retrieve_by_query(query, "tickets", ranking=Ranking(meaning=0.5, words=0.25), explain=True)
    assert hit["_explanation"] == pytest.approx({"meaning": 0.25, "words": 0.25})
    assert (hit["distance"], hit["score"]) == (1.0, pytest.approx(0.5))


def test_where_no_store_is_named(tickets: Any) -> None:
    """Searched are the stores of memories whose vectors can be compared: of the seven stores' length and distance."""
    specs = [StoreSpec("comparable"), StoreSpec("by_length", distance="inner_product"), StoreSpec("not_of_memories",
             memories=False)]  # fmt: skip
    for spec in specs:
        tickets.create_store(spec)
    try:
        for store in ("long_term_memory", *(spec.name for spec in specs)):
            tickets.store({"name": store, "memory_id": "m", "embedding": [1, 0, 0, 0]}, store)
        tickets.store({"name": "tickets", "memory_id": "m", "embedding": [1, 0, 0]}, "tickets")
        found = tickets.retrieve_memory_components_by_query(None, [1, 0, 0, 0], "m", limit=9)
        assert sorted(each["name"] for each in found) == ["comparable", "long_term_memory"]
        for spec in specs:
            [hit] = tickets.retrieve_memory_components_by_query(None, [1, 0, 0, 0], "m", spec.name)
            assert (hit["name"], hit["score"]) == (spec.name, pytest.approx(1.0))
    finally:
        for spec in specs:
            tickets.drop_store(spec.name, yes=True)


@pytest.mark.parametrize("distance", ["l2", "inner_product"])
@pytest.mark.parametrize("length", [1e-45, 1e-16, 1e19, 3e38])
def test_vectors_that_cannot_be_compared_are_refused_there_too(api: Any, distance: Any, length: float) -> None:
    """By whichever distance: squares that leave single precision would make every distance infinite or zero."""
    api.create_store(StoreSpec("tickets", dimensions=3, distance=distance))
    try:
        for call in (
            lambda: api.store({"embedding": [length, 0, 0]}, "tickets"),
            lambda: api.store_many([{"embedding": [1, 0, 0]}, {"embedding": [length, 0, 0]}], "tickets"),
            lambda: api.retrieve_by_query({"embedding": [length, 0, 0]}, "tickets"),
        ):
            with pytest.raises(InvalidDocument, match="length"):
                call()
        assert api.count("tickets") == 0
    finally:
        api.drop_store("tickets", yes=True)


def test_documents_of_several_vectors_are_found_once_or_refused_at_once(api: Any, server_name: str) -> None:
    """A store with fields finds a document by its best part; a provider that has no such stores says so."""
    spec = StoreSpec("pages", dimensions=2, fields=("text", "notes[*]"))
    if server_name == "MongoDB":
        with pytest.raises(ConfigurationError, match="fields"):
            api.create_store(spec)
        return
    api.create_store(spec)
    try:
        parts = [{"path": "text", "embedding": [1, 0]}, {"path": "notes[0]", "embedding": [0, 1]}]
        api.store({"id": "a", "text": "one", "notes": ["two"], "embedding": parts}, "pages")
        api.store({"id": "b", "text": "three", "embedding": [{"path": "text", "embedding": [1, 1]}]}, "pages")
        hits = api.retrieve_by_query({"embedding": [0, 1]}, "pages", 5)
        assert [(hit["id"], hit["_part"]["path"]) for hit in hits] == [("a", "notes[0]"), ("b", "text")]
        api.update_by_id("a", {"notes": []}, "pages")
        hits = api.retrieve_by_query({"embedding": [0, 1]}, "pages", 5)
        assert [(hit["id"], hit["_part"]["path"]) for hit in hits] == [("b", "text"), ("a", "text")]
    finally:
        api.drop_store("pages", yes=True)
