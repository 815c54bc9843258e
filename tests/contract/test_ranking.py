"""What else than meaning and words counts for a turn: its neighbours, that it asks, and that it says when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorizz.memory_provider.base import Ranking

TURNS, FACTS = "conversation_memory", "long_term_memory"
START = datetime(2026, 1, 1, tzinfo=UTC)


def said(*contents: str, conversation: str | None = "c") -> list[dict[str, Any]]:
    """Turns of one memory, a minute apart."""
    return [
        {"id": str(n), "memory_id": "m", "conversation_id": conversation, "content": content}
        | {"timestamp": START + timedelta(minutes=n)}
        for n, content in enumerate(contents)
    ]


def parts(api: Any, question: str, store: str = TURNS, ranking: Ranking | None = None) -> dict[str, dict[str, float]]:
    """The parts of each hit's score, by its id."""
    query = {"$text": {"$search": question}}
    hits = api.retrieve_by_query(query, store, 20, ranking=ranking, explain=True)
    return {hit["id"]: hit["_explanation"] for hit in hits}


ASKED = ["Who brews tea?", "Who brews tea?\u201d ", "Tea\uff1f", "Tea \u061f", "\u03a4\u03b9 tea;", "Tea\u037e"]
ASKED += ["Tea?\u00a0", "\u300cTea\uff1f\u300d"]
NOT_ASKED = ["Tea.", "Tea? Yes.", "Milk; tea;", "tea"]


def test_a_turn_that_asks_counts_less(api: Any) -> None:
    """By its last mark, in any script; a semicolon asks in Greek alone."""
    api.store_many(said(*ASKED, *NOT_ASKED), TURNS)
    found = parts(api, "tea")
    asking = {int(id): each.get("asking") for id, each in found.items()}
    assert asking == {n: pytest.approx(-0.05) if n < len(ASKED) else None for n in range(len(ASKED + NOT_ASKED))}


def test_what_answers_stands_before_what_asks(api: Any) -> None:
    """Of two turns with the same words."""
    api.store_many(said("Ada brews the tea?", "Ada brews the tea.", conversation=None), TURNS)
    hits = api.retrieve_by_query({"$text": {"$search": "tea"}}, TURNS, 2)
    assert [hit["id"] for hit in hits] == ["1", "0"]


def test_a_when_question_prefers_what_says_when(api: Any) -> None:
    """A question that asks something else does not, nor does a weight of 0."""
    api.store_many(said("Tea with Ada.", "Tea last Friday.", "Tea in 2019."), TURNS)
    asked = {id: each.get("time") for id, each in parts(api, "When was the tea?").items()}
    assert asked == {"0": None, "1": pytest.approx(0.05), "2": pytest.approx(0.05)}
    for question, ranking in (("Who had tea?", None), ("When was the tea?", Ranking(time=0))):
        assert all("time" not in each for each in parts(api, question, ranking=ranking).values())


def test_the_better_neighbour_counts(api: Any) -> None:
    """Of the hits just before and after in the conversation; a turn without a conversation has none."""
    api.store_many(said("Tea, tea, tea.", "Tea.", "Tea with milk."), TURNS)
    api.store({**said("Tea.", conversation=None)[0], "id": "alone"}, TURNS)
    api.store({**said("Tea.", conversation="d")[0], "id": "d"}, TURNS)
    found = parts(api, "tea milk")
    neighbours = {id: each.get("neighbours", 0.0) / 0.05 for id, each in found.items()}
    words = {id: each["words"] for id, each in found.items()}
    assert neighbours == {
        "0": pytest.approx(words["1"]),
        "1": pytest.approx(max(words["0"], words["2"])),
        "2": pytest.approx(words["1"]),
        "alone": 0.0,
        "d": 0.0,
    }


def test_they_are_off_outside_of_conversations(api: Any) -> None:
    """There they count where the caller says so."""
    api.store_many(said("Tea today?", "Tea."), FACTS)
    assert all(each.keys() == {"words"} for each in parts(api, "When was tea?", FACTS).values())
    found = parts(api, "When was tea?", FACTS, Ranking(neighbours=0.1, time=0.2, asking=0.3))
    assert found["0"]["time"] == pytest.approx(0.2)
    assert found["0"]["asking"] == pytest.approx(-0.3)
    assert found["0"]["neighbours"] == pytest.approx(0.1 * found["1"]["words"])
