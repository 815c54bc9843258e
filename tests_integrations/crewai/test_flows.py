"""MemorizzFlowPersistence: flows that go on in another process, beside CrewAI's own persistence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from crewai.flow.async_feedback.types import HumanFeedbackPending, PendingFeedbackContext
from crewai.flow.flow import Flow, listen, start
from crewai.flow.human_feedback import human_feedback
from crewai.flow.persistence import FlowPersistence, SQLiteFlowPersistence, persist
from pydantic import BaseModel
from records import beside_crewais_own

from memorizz import PostgreSQLProvider
from memorizz.errors import InvalidDocument, ProviderClosed
from memorizz.integrations.crewai import MemorizzFlowPersistence
from memorizz.integrations.crewai.flows import STATES


@pytest.fixture
def persistence(provider: PostgreSQLProvider) -> MemorizzFlowPersistence:
    return MemorizzFlowPersistence(provider)


class Counted(BaseModel):
    id: str = "counted"
    count: int = 0
    days: set[date] = set()


@pytest.fixture(params=["here", pytest.param("crewais", marks=beside_crewais_own)])
def kept(request: pytest.FixtureRequest, persistence: MemorizzFlowPersistence, tmp_path: Path) -> FlowPersistence:
    return persistence if request.param == "here" else SQLiteFlowPersistence(str(tmp_path / "flows.db"))


def test_it_keeps_what_crewais_own_keeps(kept: FlowPersistence) -> None:
    """The newest state of a flow, and what it asked, which later states do not change."""
    context = PendingFeedbackContext("f", "a.Flow", "ask", {"draft": 1}, "Fine?", emit=["yes", "no"])
    assert kept.load_state("f") is kept.load_pending_feedback("f") is None
    kept.save_state("f", "one", {"id": "f", "n": [1, None, {"b": 1, "a": 2.5}], "day": date(2026, 3, 1)})
    expected = {"id": "f", "n": [1, None, {"b": 1, "a": 2.5}], "day": "2026-03-01"}
    state = kept.load_state("f")
    assert state == expected
    state["n"].clear()
    assert kept.load_state("f") == expected
    kept.save_state("f", "two", Counted(count=2, days={date(2026, 3, 1)}))
    assert kept.load_state("f") == {"id": "counted", "count": 2, "days": ["2026-03-01"]}
    kept.save_pending_feedback("f", context, {"id": "f", "n": 3})
    kept.save_state("f", "three", {"id": "f", "n": 4})
    assert kept.load_state("f") == {"id": "f", "n": 4}
    assert kept.load_pending_feedback("f") == ({"id": "f", "n": 3}, context)
    kept.clear_pending_feedback("f")
    kept.clear_pending_feedback("no such")
    assert kept.load_pending_feedback("f") is None
    assert kept.load_state("f") == {"id": "f", "n": 4}


def test_any_text_names_a_flow(persistence: MemorizzFlowPersistence) -> None:
    """Each its own, also where NUL or 10 kB are in it; a NUL in a state comes back."""
    names = ["a.b", "100%", "quo'te\"s", " ", "NUL\0", "k" * 10_000]
    for name in names:
        persistence.save_state(name, "m", {"id": name, "text": "NUL\0"})
    for name in names:
        assert persistence.load_state(name) == {"id": name, "text": "NUL\0"}


def test_what_json_cannot_hold_is_an_error(persistence: MemorizzFlowPersistence) -> None:
    """And no text in its place; the state before stays."""
    persistence.save_state("g", "m", {"id": "g"})
    with pytest.raises(InvalidDocument, match="state"):
        persistence.save_state("g", "m", {"id": "g", "value": object()})
    assert persistence.load_state("g") == {"id": "g"}


def test_many_threads_save(persistence: MemorizzFlowPersistence) -> None:
    """Each flow has one document, and one of the states that were saved."""
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: persistence.save_state(f"t{n % 5}", "m", {"n": n}), range(100)))
    assert all(persistence.load_state(f"t{n}")["n"] % 5 == n for n in range(5))


def test_a_flow_goes_on(provider: PostgreSQLProvider) -> None:
    """A flow that is started again by its id has its state, with another object of the persistence."""

    def flow() -> Flow[Any]:
        @persist(MemorizzFlowPersistence(provider))
        class Counting(Flow[Counted]):
            @start()
            def add(self) -> None:
                self.state.count += 1

            @listen(add)
            def add_again(self) -> int:
                self.state.count += 10
                return self.state.count

        return Counting(suppress_flow_events=True)

    assert flow().kickoff(inputs={"id": "flow"}) == 11
    assert flow().kickoff(inputs={"id": "flow"}) == 22
    assert flow().kickoff(inputs={"id": "other"}) == 11
    assert provider.count(STATES.name, {"id": {"$in": ["flow", "other"]}}) == 2


class Waiting:
    def request_feedback(self, context: PendingFeedbackContext, flow: Flow[Any]) -> str:
        raise HumanFeedbackPending(context=context)


class Reviewed(Flow[dict[str, Any]]):
    @start()
    @human_feedback(message="Fine?", provider=Waiting())
    def draft(self) -> str:
        self.state["drafted"] = True
        return "a draft"

    @listen(draft)
    def publish(self, result: Any) -> str:
        return f"{result.output}: {result.feedback}, {self.state['drafted']}"


def test_a_flow_waits_for_a_human(provider: PostgreSQLProvider) -> None:
    """What it asked is there for whoever has the answer, once."""
    waiting = Reviewed(persistence=MemorizzFlowPersistence(provider), suppress_flow_events=True)
    pending = waiting.kickoff(inputs={"id": "review"})
    assert isinstance(pending, HumanFeedbackPending)
    kept = MemorizzFlowPersistence(provider)
    again = Reviewed.from_pending("review", kept, suppress_flow_events=True)
    assert again.resume("yes") == "a draft: yes, True"
    assert kept.load_pending_feedback("review") is None


def test_a_serialized_flow_names_no_server(
    dsn: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in it opens that of the environment again; with a server of its own it is refused, unnamed."""
    for key, value in environment.items():
        if key.startswith("POSTGRES_"):
            monkeypatch.setenv(key, value)
    plain = MemorizzFlowPersistence()
    again = MemorizzFlowPersistence.model_validate(plain.model_dump(mode="json"))
    plain.save_state("f", "m", {"n": 1})
    assert again.load_state("f") == {"n": 1}
    for each in (plain, again):
        each.close()
        each.close()
    with pytest.raises(ProviderClosed):
        plain.load_state("f")
    named = MemorizzFlowPersistence(dsn)
    with pytest.raises(ValueError, match="no part of a serialized flow") as raised:
        named.model_dump(mode="json")
    assert dsn not in str(raised.value) + repr(named)
    named.close()
