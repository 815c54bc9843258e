"""How many round trips run_many and store_many take."""

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


def test_documents_of_the_same_keys_are_stored_by_one_statement(
    config: PostgreSQLConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """New ones, those with ids, again under the same, and in a view: without a transaction around it."""
    new, named = [{"n": n} for n in range(9)], [{"id": f"d{n}", "n": n} for n in range(9)]
    with PostgreSQLProvider(config) as provider, caplog.at_level(logging.DEBUG, "memorizz.postgresql"):
        for store, documents in (
            (provider, new),
            (provider, named),
            (provider, named),
            (provider.memory("m"), [{**each, "id": f"m{each['id']}"} for each in named]),
        ):
            caplog.clear()
            store.store_many(documents, LONG)
            [sent] = [record.getMessage() for record in caplog.records if " ms, " in record.getMessage()]
            assert " statements, the last" not in sent
        assert provider.count(LONG) == 27
