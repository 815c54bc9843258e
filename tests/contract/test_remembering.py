"""remember and recall: a text in, the memories that answer a question out."""

from __future__ import annotations

from typing import Any

import pytest

from memorizz.errors import ConfigurationError, FilterError, InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType

FACTS, SHORT, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.SHORT_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY


def contents(hits: Any) -> list[str]:
    return [hit["content"] for hit in hits]


def test_what_is_remembered_is_recalled(api: Any) -> None:
    """A text becomes a long-term memory of its id, and answers a question that shares a word, with a score."""
    id = api.remember("Ada drinks her tea without milk.", memory_id="ada")
    api.remember("The train to Oxford is late.", memory_id="ada")
    assert api.retrieve_by_id(id, FACTS)["memory_id"] == "ada"
    (hit,) = api.recall("How does she take her tea?", memory_id="ada")
    assert (hit["id"], hit["score"] > 0) == (id, True)
    assert "embedding" not in hit


def test_keys_and_store(api: Any) -> None:
    """Further keys stand in the document, another store may be named, and without a memory there is none."""
    id = api.remember("Tea at five.", store=SHORT, name="tea", metadata={"topic": "food"})
    found = api.retrieve_by_id(id, SHORT)
    assert (found["name"], found["metadata"], found.get("memory_id")) == ("tea", {"topic": "food"}, None)
    assert api.count(FACTS) == 0


def test_a_turn_says_what_was_recalled_for_it(api: Any) -> None:
    """Where each hit is kept, and its score, stand in the turn; of a search in one store, with its name beside."""
    tea = api.remember("Ada drinks tea.", "ada", store=SHORT)
    api.remember("Ada drinks tea at five.", "ada")
    hits = api.recall("What does Ada drink?", "ada")
    assert {hit["_store"] for hit in hits} == {SHORT, FACTS}
    turn = api.remember("What does Ada drink?", "ada", store=TURNS, role="user", recalled=hits)
    kept = [{"store": hit["_store"], "id": hit["id"], "score": hit["score"]} for hit in hits]
    assert api.retrieve_by_id(turn, TURNS)["recalled"] == kept
    for recalled in (iter(hits), kept, api.retrieve_by_id(turn, TURNS)["recalled"]):
        again = api.remember("And?", "ada", store=TURNS, recalled=recalled)
        assert api.retrieve_by_id(again, TURNS)["recalled"] == kept
    (found,) = api.retrieve_by_query({"$text": {"$search": "tea"}}, SHORT)
    again = api.remember("And?", store=TURNS, recalled=[{**found, "store": SHORT}])
    assert api.retrieve_by_id(again, TURNS)["recalled"] == [{"store": SHORT, "id": tea, "score": found["score"]}]
    assert "recalled" not in api.retrieve_by_id(api.remember("none"), FACTS)
    assert api.retrieve_by_id(api.remember("nothing", recalled=[]), FACTS)["recalled"] == []
    # A hit that is stored back has no store of its own.
    assert "_store" not in api.retrieve_by_id(api.store(hits[0], SHORT), SHORT)


@pytest.mark.parametrize(
    "recalled", [{}, "x", 5, [5], [{"id": "x"}], [{"store": "toolbox"}], [{"_store": 5, "id": "x"}]]
)
def test_what_are_no_hits_was_not_recalled(api: Any, recalled: Any) -> None:
    """It is refused, and nothing is stored."""
    with pytest.raises(InvalidDocument, match="recalled"):
        api.remember("tea", recalled=recalled)
    assert api.count(FACTS) == 0


def test_what_is_recalled_says_why(api: Any) -> None:
    """With explain=True each hit has the parts that its score is the sum of, whichever stores are searched."""
    api.store_many(
        [
            {"content": f"tea at {n}", "memory_id": "ada", "conversation_id": "c", "role": "user"}
            for n in ("noon", "one", "two")
        ],
        TURNS,
    )
    api.remember("tea and tea, with tea", "ada")
    api.remember("A kettle for tea.", "ada", store=SHORT)
    hits = api.recall("tea at noon", explain=True)
    assert {hit["_store"] for hit in hits} == {FACTS, SHORT, TURNS}
    assert {"words", "session"} <= {part for hit in hits for part in hit["_explanation"]}
    for hit in hits:
        assert sum(hit["_explanation"].values()) == pytest.approx(hit["score"])
    assert [hit["id"] for hit in api.recall("tea at noon")] == [hit["id"] for hit in hits]
    assert "_explanation" not in api.recall("tea")[0]
    with pytest.raises(ConfigurationError, match="explain"):
        api.recall("tea", explain="plan")


def test_remembered_again_under_an_id(api: Any) -> None:
    """The same id twice is one memory, with the newer text."""
    for text in ("Ada likes tea.", "Ada likes coffee."):
        assert api.remember(text, id="taste") == "taste"
    assert contents(api.recall("What does Ada like?")) == ["Ada likes coffee."]


def test_every_store_of_memories_is_recalled_from(api: Any) -> None:
    """Facts and turns come merged by score, agents never; of all memories where none is named."""
    api.remember("Ada drinks tea.", memory_id="ada")
    api.store({"content": "More tea?", "role": "user", "memory_id": "ada"}, TURNS)
    api.remember("Bob drinks tea.", memory_id="bob")
    api.store({"name": "tea agent", "content": "tea"}, MemoryType.MEMAGENT)
    assert set(contents(api.recall("tea", memory_id="ada"))) == {"Ada drinks tea.", "More tea?"}
    hits = api.recall("tea")
    assert len(hits) == 3
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_limit_and_where(api: Any) -> None:
    """No more than asked for, none for 0, five by default; a filter must hold too, and widens nothing."""
    for n in range(7):
        api.remember(f"tea {n}", memory_id="m" if n else "other", n=n)
    assert len(api.recall("tea")) == 5
    assert len(api.recall("tea", limit=2)) == 2
    assert api.recall("tea", limit=0) == []
    assert {hit["n"] for hit in api.recall("tea", "m", where={"n": {"$lt": 3}})} == {1, 2}
    assert api.recall("tea", "m", where={"memory_id": "other"}) == []
    with pytest.raises(FilterError):
        api.recall("tea", where={"n": {"$near": 3}})


@pytest.mark.parametrize("text", ["", " \n", None, 3, ["tea"], {"content": "tea"}])
def test_what_is_no_text_is_not_remembered(api: Any, text: Any) -> None:
    """It is an error that says what is expected, and nothing is stored."""
    with pytest.raises(InvalidDocument, match="expected a text"):
        api.remember(text)
    with pytest.raises(InvalidDocument, match="the content"):
        api.remember("tea", content="coffee")
    assert api.count(FACTS) == 0


def test_questions_that_find_nothing(api: Any) -> None:
    """A blank question finds nothing; what is no text is an error."""
    api.remember("tea")
    assert api.recall(" ") == []
    assert api.recall("tea", memory_id="nobody") == []
    for text in (None, 3, {"query": "tea"}):
        with pytest.raises(ConfigurationError, match="expected a str"):
            api.recall(text)


def test_inside_a_transaction(api: Any) -> None:
    """What a transaction remembers it recalls, and an error takes it back."""

    class Stop(Exception):
        pass

    def remember_and_stop() -> None:
        with api.transaction() as transaction:
            transaction.remember("tea")
            assert contents(transaction.recall("tea")) == ["tea"]
            raise Stop

    with pytest.raises(Stop):
        remember_and_stop()
    assert api.recall("tea") == []


def test_a_question_in_a_dict_is_no_filter(api: Any) -> None:
    """{"query": text} says how to ask; a key of that name is filtered by with an operator, or beside the question."""
    id = api.remember("tea", query="asked")
    with pytest.raises(FilterError, match=r"give the text.*where=.*\$eq"):
        api.retrieve_by_query({"query": "tea"}, FACTS)
    for query, where in (({"query": {"$eq": "asked"}}, None), ("tea", {"query": "asked"}), ({}, {"query": "asked"})):
        assert [hit["id"] for hit in api.retrieve_by_query(query, FACTS, where=where)] == [id]
