"""The data of the demo: whole, of one size, and honest about what its questions find."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from memorizz import demo
from memorizz.memory_provider.memory_type import MemoryType

DATA = demo.load()
DOCUMENTS = [(store, document) for store, members in DATA.documents.items() for document in members]
BY_ID = {document["id"]: document for _, document in DOCUMENTS}


def test_every_store_has_documents() -> None:
    """The demo shows all seven stores."""
    assert set(DATA.documents) == {store.value for store in MemoryType}
    assert all(DATA.documents.values())


def test_ids_are_unique_and_canonical() -> None:
    """A second run stores the same documents under the same ids."""
    assert len(BY_ID) == len(DOCUMENTS)
    assert all(str(UUID(name)) == name for name in BY_ID)


def test_vectors_are_of_one_size_and_length() -> None:
    """Every document but an agent has a vector of 384 numbers and of length one, and so has every question."""
    assert all(("embedding" in document) == (store != "agents") for store, document in DOCUMENTS)
    vectors = [document["embedding"] for store, document in DOCUMENTS if store != "agents"]
    vectors += [query.embedding for query in DATA.queries]
    assert {(vector.shape, vector.dtype) for vector in vectors} == {((demo.DIMENSIONS,), np.dtype(np.float32))}
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_times_are_utc() -> None:
    """Every time is written in ISO 8601, in UTC."""
    times = [datetime.fromisoformat(document["timestamp"]) for _, document in DOCUMENTS if "timestamp" in document]
    assert times
    assert all(moment.tzinfo == UTC for moment in times)


def test_turns_of_a_conversation_follow_one_another() -> None:
    """A conversation that is sorted by time is read in the order in which it is written."""
    conversations: dict[str, list[str]] = {}
    for turn in DATA.documents["conversation_memory"]:
        conversations.setdefault(turn["conversation_id"], []).append(turn["timestamp"])
    assert all(times == sorted(set(times)) for times in conversations.values())


def test_agents_name_what_is_there() -> None:
    """The persona, the memories and the tools of an agent are among the documents."""
    personas = {persona["name"] for persona in DATA.documents["personas"]}
    tools = {tool["name"] for tool in DATA.documents["toolbox"]}
    memories = {document["memory_id"] for _, document in DOCUMENTS if "memory_id" in document}
    agents = DATA.documents["agents"]
    assert {agent["persona"] for agent in agents} == personas
    assert {tool for agent in agents for tool in agent["tools"]} == tools
    assert {memory for agent in agents for memory in agent["memory_ids"]} == memories


@pytest.mark.parametrize("query", DATA.queries, ids=lambda query: f"{query.text} {query.filter or ''}".strip())
def test_a_question_finds_the_document_it_is_for(query: demo.DemoQuery) -> None:
    """The document that a question is for comes first by exact cosine, without sharing a longer word with it."""
    candidates = [document for document in DATA.documents[query.store] if _admitted(query, document)]
    nearest = max(candidates, key=lambda document: float(document["embedding"] @ query.embedding))
    assert nearest["id"] == query.intended
    intended = BY_ID[query.intended]
    assert not _words(query.text) & _words(f"{intended.get('name', '')} {intended['content']}")


def _admitted(query: demo.DemoQuery, document: dict[str, Any]) -> bool:
    if query.memory_id is not None and document["memory_id"] != query.memory_id:
        return False
    return all(_value(document, path) == wanted for path, wanted in (query.filter or {}).items())


def _value(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for key in path.split("."):
        value = value[key]
    return value


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 4}
