"""Long and odd texts, stored and asked with, on every provider: each is kept whole, and each question is answered."""

from __future__ import annotations

from typing import Any

import pytest

from memorizz.errors import FilterError

STORE = "long_term_memory"
# One API of each provider, for the texts are long.
once = pytest.mark.parametrize(("kind", "server_name"), [("blocking", "PostgreSQL 18"), ("blocking", "MongoDB")])

TEXTS = {
    "one letter": "a" * 1_000_000,
    "one letter, apart": "a " * 500_000,
    "lone marks": "\u0301" * 200_000,
    "marks in no order": "\u0301\u0316" * 100_000,
    "vowel points in no order": "\u05b0\u064e" * 100_000,
    "right to left": "\u200f\u202e\u2067\u202c\u2069" * 50_000,
    "right to left around words": "\u202e\u05e9\u05dc\u05d5\u05dd\u202c " * 50_000,
    "han, apart": "".join(chr(0x4E00 + n * 7919 % 20_000) + " " * (n % 7 == 0) for n in range(200_000)),
    "han": "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(3_333_334)),
}
# Words of ten languages that say nothing by themselves.
STOP_WORDS = [
    "the of and to", "der die das und", "au du de la et", "el la los y", "il lo la e",
    "de het een en", "и в не на", "och att det som", "o a os e", "ve bu da",
]  # fmt: skip


@once
@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_kept_whole_and_answered(api: Any, text: str) -> None:
    """It is stored, changed, and asked with; what it begins with finds it where that has words."""
    content = TEXTS[text]
    id = api.store({"content": f"beginning {content}"}, STORE)
    assert api.retrieve_by_id(id, STORE)["content"] == f"beginning {content}"
    assert [hit["id"] for hit in api.retrieve_by_query("beginning", STORE, 5, unique=True)] == [id]
    api.update_by_id(id, {"content": content}, STORE)
    assert api.retrieve_by_id(id, STORE)["content"] == content
    assert api.retrieve_by_query("beginning", STORE, 5) == []
    assert {hit["id"] for hit in api.retrieve_by_query(content, STORE, 5, unique=True)} <= {id}
    assert {hit["id"] for hit in api.recall(content[:5000], limit=5)} <= {id}


@once
def test_questions_of_stop_words_alone(api: Any) -> None:
    """In ten languages: what has none of the words is not found, and it is no error; nor is a blank question."""
    api.store({"content": "tea"}, STORE)
    for question in (*STOP_WORDS, "", " ", "\u0301", "\u200f", "?", "\x00"):
        assert api.retrieve_by_query(question, STORE, 5) == [], question
        assert api.recall(question) == [], question
    with pytest.raises(FilterError):
        api.retrieve_by_query({"$text": {"$search": None}}, STORE, 5)
