"""The semantic cache, alone and under LangChain's own models."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, Generation
from topics import Topics

from memorizz import PostgreSQLProvider
from memorizz.integrations.langchain import MemorizzSemanticCache


@pytest.fixture
def cache(provider: PostgreSQLProvider, embedding: Topics) -> MemorizzSemanticCache:
    return MemorizzSemanticCache(embedding, provider)


def prompt(*messages: BaseMessage) -> str:
    """What LangChain gives a cache for messages."""
    return dumps(list(messages))


def said(text: str) -> list[Generation]:
    return [ChatGeneration(message=AIMessage(text))]


def test_the_text_is_embedded_and_not_the_json(cache: MemorizzSemanticCache, embedding: Topics) -> None:
    """A question is compared by what it says: no JSON, no class names, none of the messages before."""
    cache.update(prompt(SystemMessage("Be brief."), HumanMessage("Is there tea?")), "model", said("Yes."))
    assert embedding.given[1:] == ["Is there tea?"]
    again = prompt(SystemMessage("Be brief."), HumanMessage([{"type": "text", "text": "tea?"}]))
    assert cache.lookup(again, "model") == said("Yes.")
    assert embedding.given[2:] == ["tea?"]


@pytest.mark.parametrize("question", ["tea \0?", "tea \ud83d?", "[" * 100_000])
def test_a_question_may_have_any_characters(cache: MemorizzSemanticCache, question: str) -> None:
    """What no text in a database has, and what looks like deep JSON, is a question like any other."""
    for asked in (prompt(HumanMessage(question)), question):
        cache.update(asked, "model", said("Yes \0."))
        assert cache.lookup(asked, "model") == said("Yes \0.")


@pytest.mark.parametrize(
    ("messages", "model"),
    [
        ([HumanMessage("tea?")], "another model"),
        ([SystemMessage("Answer in French."), HumanMessage("tea?")], "model"),
        ([HumanMessage("train?")], "model"),
        ([AIMessage("tea?")], "model"),
        ([HumanMessage("Hello"), HumanMessage("tea?")], "model"),
        ([HumanMessage([{"type": "text", "text": "tea?"}, {"type": "image", "url": "x"}])], "model"),
    ],
)
def test_everything_but_the_question_must_be_the_same(
    cache: MemorizzSemanticCache, messages: list[BaseMessage], model: str
) -> None:
    """Another model, instruction, speaker, conversation or picture is another question, however alike the words."""
    cache.update(prompt(HumanMessage("Is there tea?")), "model", said("Yes."))
    assert cache.lookup(prompt(HumanMessage("tea?")), "model") == said("Yes.")
    assert cache.lookup(prompt(*messages), model) is None


def test_the_very_same_prompt_comes_first(cache: MemorizzSemanticCache, embedding: Topics) -> None:
    """It needs no model, and beats another one whose vector is just as near; the last answer to it stays."""
    cache.update("tea in a cup", "model", [Generation(text="one")])
    cache.update("tea or a cup", "model", [Generation(text="two")])
    cache.update("tea or a cup", "model", [Generation(text="three")])
    embedding.given.clear()
    assert cache.lookup("tea or a cup", "model") == [Generation(text="three")]
    assert cache.lookup("tea in a cup", "model") == [Generation(text="one")]
    assert embedding.given == []


def test_hits_are_fresh(cache: MemorizzSemanticCache) -> None:
    """LangChain writes into what a cache returns; the next hit does not have it, nor has what was given."""
    kept = [ChatGeneration(message=AIMessage("Yes.", usage_metadata=None), generation_info={"n": 1})]
    cache.update("tea", "model", kept)
    first = cache.lookup("tea", "model")
    assert first is not None
    assert first == kept
    first[0].generation_info = {"changed": True}
    assert cache.lookup("tea", "model") == kept


def test_what_a_model_said_comes_back(cache: MemorizzSemanticCache) -> None:
    """Tool calls, usage, characters that PostgreSQL's text lacks, and several answers."""
    message = AIMessage(
        "a\x00b",
        tool_calls=[{"name": "look", "args": {"at": "x"}, "id": "call-1"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    kept = [ChatGeneration(message=message), Generation(text="plain", generation_info={"reason": "stop"})]
    cache.update("tea", "model", kept)
    assert cache.lookup("tea", "model") == kept


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]", '[{"kwargs": 5}]', "null", '"tea"', "[[]]", '[{"id": 1}]'])
def test_a_prompt_may_be_any_text(cache: MemorizzSemanticCache, text: str) -> None:
    """Prompts of models that take texts are kept whole, also where they look like JSON."""
    assert cache.lookup(text, "model") is None
    cache.update(text, "model", [Generation(text="kept")])
    assert cache.lookup(text, "model") == [Generation(text="kept")]


@pytest.mark.parametrize("ttl", [timedelta(hours=1), 3600, 3600.0])
def test_an_answer_is_given_for_its_time(
    provider: PostgreSQLProvider, embedding: Topics, ttl: timedelta | float
) -> None:
    """After the ttl the question is asked again; an answer that is kept anew without one is kept for ever."""
    cache = MemorizzSemanticCache(embedding, provider, ttl=ttl)
    cache.update("tea", "model", [Generation(text="kept")])
    assert cache.lookup("tea", "model") is not None
    (document,) = provider.list_all(cache.store)
    assert timedelta(hours=1) <= document["expires_at"] - document["updated_at"] < timedelta(hours=2)
    provider.update_by_id(document["id"], {"expires_at": document["created_at"]}, cache.store)
    assert cache.lookup("tea", "model") is None
    cache.update("tea", "model", [Generation(text="kept")])
    MemorizzSemanticCache(embedding, provider).update("tea", "model", [Generation(text="for ever")])
    (document,) = provider.list_all(cache.store)
    assert document.get("expires_at") is None
    provider.retrieve_by_id(document["id"], cache.store, touch=True)
    assert [each.get("expires_at") for each in provider.list_all(cache.store)] == [None]


def test_the_threshold_decides(provider: PostgreSQLProvider, embedding: Topics) -> None:
    """What is less alike than the threshold is no hit."""
    cache = MemorizzSemanticCache(embedding, provider, score_threshold=0.5)
    cache.update("tea tea snow", "model", [Generation(text="kept")])
    assert cache.lookup("tea", "model") is not None
    strict = MemorizzSemanticCache(embedding, provider, score_threshold=0.99)
    assert strict.lookup("tea", "model") is None


async def test_models_use_it(cache: MemorizzSemanticCache) -> None:
    """A model is not asked for what was asked already, sync and async, as chat and as text."""
    model = FakeListChatModel(responses=["first", "second", "third"], cache=cache)
    assert model.invoke("Is there tea?").text == "first"
    assert model.invoke("tea").text == "first"
    assert (await model.ainvoke("tea, please")).text == "first"
    assert (await model.ainvoke("snow")).text == "second"
    texts = FakeListLLM(responses=["one", "two"], cache=cache)
    assert (texts.invoke("Is there tea?"), await texts.ainvoke("tea")) == ("one", "one")


def test_clear(cache: MemorizzSemanticCache) -> None:
    """Nothing is left."""
    cache.update(json.dumps([]), "model", [Generation(text="kept")])
    cache.clear()
    assert cache.lookup(json.dumps([]), "model") is None


def test_an_id_of_a_message_makes_no_difference(cache: MemorizzSemanticCache) -> None:
    """What tells one run from another is not asked for."""
    said_before: Any = AIMessage("Hello", id="run-1", response_metadata={"took": 1})
    said_again: Any = AIMessage("Hello", id="run-2", response_metadata={"took": 2})
    cache.update(prompt(said_before, HumanMessage("tea")), "model", said("Yes."))
    assert cache.lookup(prompt(said_again, HumanMessage("tea!")), "model") == said("Yes.")
