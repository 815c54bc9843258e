"""Values of a caller's in messages: whatever they hold, an error and a log line are one line that can be read."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from memorizz.errors import MemorizzError
from memorizz.memory_provider import _questions
from memorizz.memory_provider.base import MemoryProvider
from strange import LINES, VALUES, Mute

STORE = "long_term_memory"
TURNS = "conversation_memory"


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Yield documents and filters that hold a value where it does not belong, and keys that are one."""
    for key in ("id", "_id", "content", "embedding", "created_at", "importance_score", "access_count", "metadata"):
        yield {key: value}
    yield {LINES: value}
    yield {"metadata": {LINES: [value, object()]}}
    if isinstance(value, str | int | Mute):
        yield {value: object()}  # type: ignore[dict-item]


def filters(value: Any) -> Iterator[dict[str, Any]]:
    yield from inside(value)
    for operator in ("$in", "$gt", "$exists", "$not", "$contains", LINES, f"${LINES}"):
        yield {LINES: {operator: value}}
        yield {"name": {operator: value, LINES: value}}
    for operator in ("$and", "$nor", "$not", "$text", f"${LINES}"):
        yield {operator: value}


def calls(api: Any, value: Any) -> Iterator[Callable[[], Any]]:
    """Yield calls of the contract, with a value in the place of each argument."""
    for document in inside(value):
        yield lambda document=document: api.store(document, STORE)
        yield lambda document=document: api.check(document, STORE)
        yield lambda document=document: api.store_many([document], STORE)
        yield lambda document=document: api.update_by_id("known", document, STORE)
        yield lambda document=document: api.store_memagent(document)
        yield lambda document=document: api.update_memagent({"id": "known", **document})
    for filter in filters(value):
        yield lambda filter=filter: api.count(STORE, filter)
        yield lambda filter=filter: api.retrieve_by_query(filter, STORE)
    for name in ("store", "store_many", "check"):
        yield lambda name=name: getattr(api, name)(value, STORE)
        yield lambda name=name: getattr(api, name)({"content": "tea"}, value)
    for name in ("list_all", "count", "delete_all", "purge_expired", "iterate"):
        yield lambda name=name: _read(getattr(api, name)(value))
    for name in ("retrieve_by_id", "retrieve_by_name", "delete_by_id", "delete_by_name"):
        yield lambda name=name: getattr(api, name)(value, STORE)
        yield lambda name=name: getattr(api, name)("known", value)
    for name in ("retrieve_memagent", "delete_memagent", "delete_memagent_memory_ids", "store_memagent"):
        yield lambda name=name: getattr(api, name)(value)
    yield lambda: api.store_memagent(SimpleNamespace(to_dict=lambda: value))
    yield lambda: api.update_by_id(value, {"content": "tea"}, STORE)
    yield lambda: api.update_by_id("known", {"id": value}, STORE)
    yield lambda: api.update_memagent_memory_ids("known", value)
    yield lambda: api.update_memagent_memory_ids("known", [value])
    yield lambda: api.retrieve_conversation_history_ordered_by_timestamp(value, before=LINES)
    yield lambda: api.retrieve_conversation_history_ordered_by_timestamp(LINES, before=value)
    yield lambda: api.retrieve_conversation_history_ordered_by_timestamp("m", value)
    for name in ("query", "query_embedding", "memory_id", "memory_type", "limit"):
        yield lambda name=name: api.retrieve_memory_components_by_query(**{"query": "tea", name: value})
    for name in ("text", "memory_id", "store", "name", "recalled"):
        yield lambda name=name: api.remember(**{"text": "tea", name: value})
    for name in ("text", "memory_id", "limit", "where"):
        yield lambda name=name: api.recall(**{"text": "tea", name: value})
    for name in ("batch_size", "after", "include_embedding"):
        yield lambda name=name: list(api.iterate(STORE, **{name: value}))
    for name in inspect.signature(MemoryProvider.retrieve_by_query).parameters.keys() - {"self", "query"}:
        given = {"query": "tea", "memory_store_type": TURNS, name: value}
        yield lambda given=given: api.retrieve_by_query(**given)


def _read(found: Any) -> Any:
    return list(found) if hasattr(found, "__next__") else found


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_message_is_one_line(api: Any, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """In the place of any argument, a document or a filter: what is refused is refused in one line, and logged so."""
    caplog.set_level(logging.DEBUG, "memorizz")
    api.store({"id": "known", "content": "tea"}, STORE)
    said: list[str] = []
    for call in calls(api, value):
        # What cannot be iterated over is Python's own error.
        with suppress(TypeError):
            try:
                call()
            except MemorizzError as error:
                said.append(str(error))
    assert len(said) > 10
    said += [record.getMessage() for record in caplog.records]
    assert [each for each in said if len(each.splitlines()) > 1 or "\x1b" in each] == []
    assert max(map(len, said)) < 5000


def _ask(api: Any, how: str, text: str) -> None:
    if how == "query":
        api.retrieve_by_query(text, "long_term_memory")
    elif how == "recall":
        api.recall(text)
    else:
        api.retrieve_memory_components_by_query(text)


@pytest.mark.parametrize("how", ["query", "recall", "components"])
def test_a_sentence_without_an_embedder_is_told_of_once(
    api: Any, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who asks by a sentence is told once that words alone were searched, and what to do; not what was asked."""
    monkeypatch.setattr(_questions, "_told", set())
    _ask(api, how, "kettle tea milk")
    api.retrieve_by_query({"$text": {"$search": "is the kettle on?"}}, "long_term_memory")
    api.retrieve_by_query({}, "long_term_memory")
    assert caplog.records == []
    for _ in range(2):
        _ask(api, how, "is the kettle on?")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("memorizz.embeddings", "WARNING")
    assert "words alone" in record.getMessage()
    assert "embedder" in record.getMessage()
    assert "kettle" not in record.getMessage()
