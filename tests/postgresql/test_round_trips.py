"""How many round trips run_many takes."""

from __future__ import annotations

import logging

import pytest

from memorizz.memory_provider.base import Call
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LONG = MemoryType.LONG_TERM_MEMORY


def test_calls_of_one_statement_each_are_one_round_trip(
    config: PostgreSQLConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Reads and writes of different kinds go out as one pipeline; inside a transaction too."""
    calls = [
        Call("store", {"n": 1}, LONG),
        Call("retrieve_by_id", "a", LONG),
        Call("retrieve_by_query", {"n": 1}, LONG, 5, order_by="-n"),
        Call("count", LONG),
        Call("distinct", LONG, "n"),
        Call("retrieve_conversation_history_ordered_by_timestamp", conversation_id="c"),
        Call("update", LONG, {"n": 1}, {"n": 2}),
        Call("delete", LONG, {"n": 2}),
    ]
    with PostgreSQLProvider(config) as provider, caplog.at_level(logging.DEBUG, "memorizz.postgresql"):
        caplog.clear()
        provider.run_many(calls)
        with provider.transaction() as transaction:
            transaction.run_many(calls)
    sent = [record.getMessage() for record in caplog.records if "statements, the last" in record.getMessage()]
    assert len(sent) == 2
    assert all(" 8 statements" in each or "8 rows: 8 statements" in each for each in sent)
    assert len([each for each in caplog.records if " ms, " in each.getMessage()]) == 2
