"""The words of long and odd texts: whatever a text holds, it can be stored, and its beginning is found."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LONG = MemoryType.LONG_TERM_MEMORY
_ALPHABET = string.ascii_lowercase


def distinct(length: int) -> Iterator[str]:
    """Different words of a length, without end."""
    for repeat in itertools.count():
        for letters in itertools.product(_ALPHABET, repeat=length):
            yield "".join(letters) + (str(repeat) if repeat else "")


def fill(pieces: Iterator[str], size: int = 200_000) -> str:
    """Join pieces until they are so many bytes."""
    out: list[str] = []
    while size > 0:
        out.append(next(pieces))
        size -= len(out[-1].encode()) + 1
    return " ".join(out)


# Texts that make as many and as long lexemes as their bytes allow.
TEXTS: dict[str, Callable[[], str]] = {
    "words": lambda: fill(distinct(3)),
    "numbers": lambda: fill(str(n) for n in itertools.count()),
    "urls": lambda: fill(f"{word}.com/{word}" for word in distinct(3)),
    "short urls": lambda: fill(f"{word}.eu/a" for word in distinct(2)),
    "paths": lambda: fill(f"/{word}/a" for word in distinct(3)),
    "hyphens": lambda: fill(f"{word}-{word[::-1]}-x" for word in distinct(3)),
    "long hyphens": lambda: "-".join(itertools.islice(distinct(3), 50_000)),
    "emails": lambda: fill(f"{word}@{word}.com" for word in distinct(3)),
    "one word": lambda: "x" * 300_000,
    "umlauts": lambda: fill("ü" + word for word in distinct(2)),
    "emoji": lambda: "\U0001f600" * 60_000 + " tea",
    "han": lambda: fill(chr(0x4E00 + n % 20_000) + chr(0x4E00 + n // 20_000) for n in itertools.count()),
    "mixed sizes": lambda: "a " * 60_000 + "ü " * 60_000 + "\U0001f600 " * 20_000,
    "tags": lambda: fill(f"<{word}/>&amp;{word};" for word in distinct(2)),
    "noise": lambda: "".join(random.Random(7).choices([chr(n) for n in range(1, 0xD7FF)], k=150_000)),
}


@pytest.mark.parametrize("text", TEXTS)
def test_any_long_text_is_stored_whole(provider: PostgreSQLProvider, text: str) -> None:
    """As a new document and as an update, beside the longest name and role; its first word finds it."""
    content = "beginning " + TEXTS[text]()
    longest = {"name": fill(distinct(2), 1000), "role": fill(distinct(3), 1000)}
    id = provider.store({"content": content, **longest}, LONG)
    provider.update_by_id(id, {"content": content + " end"}, LONG)
    stored = provider.retrieve_by_id(id, LONG)
    assert stored is not None
    assert stored["content"] == content + " end"
    assert [hit["id"] for hit in provider.retrieve_by_query("beginning", LONG)] == [id]


def test_the_end_of_a_long_text_is_not_found(provider: PostgreSQLProvider) -> None:
    """The words are those of the first 200 kB."""
    provider.store({"content": "beginning " + "filler " * 60_000 + "ending"}, LONG)
    assert len(provider.retrieve_by_query("beginning", LONG)) == 1
    assert provider.retrieve_by_query("ending", LONG) == []


def test_a_text_of_two_megabytes_is_stored_whole(provider: PostgreSQLProvider) -> None:
    """The text itself has no limit of ours."""
    content = "tea " * 500_000
    stored = provider.retrieve_by_id(provider.store({"content": content, "also": content}, LONG), LONG)
    assert stored is not None
    assert stored["content"] == stored["also"] == content


STOP_WORDS = {
    "english": "the of and to",
    "german": "der die das und",
    "french": "au du de la et",
    "spanish": "el la los y",
    "italian": "il lo la e",
    "dutch": "de het een en",
    "russian": "и в не на",
    "swedish": "och att det som",
    "portuguese": "o a os e",
    "turkish": "ve bu da",
}


@pytest.mark.parametrize("language", STOP_WORDS)
def test_a_question_of_stop_words(dsn: str, language: str) -> None:
    """In its own language it finds nothing, and is no error."""
    question = STOP_WORDS[language]
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, text_search_config=language, max_size=2)
    with PostgreSQLProvider(config) as provider:
        provider.store({"content": f"{question} tea"}, LONG)
        assert provider.retrieve_by_query(question, LONG) == []


@pytest.mark.parametrize(
    "question", ["a" * 1_000_000, "\u0301" * 10_000, "队列" * 50_000, "\u200f" * 100, "a.b" * 30_000]
)
def test_any_question_is_answered(provider: PostgreSQLProvider, question: str) -> None:
    """However long and odd, a question finds what it finds, and is no error."""
    provider.store({"content": "tea"}, LONG)
    assert provider.retrieve_by_query(question, LONG, 5) == []


def test_words_of_a_memory_do_not_read_the_words_of_all(provider: PostgreSQLProvider, migrated_dsn: str) -> None:
    """A search by two common words in one memory of many reads that memory, not every document with the words."""
    provider.store_many(({"content": f"tea and bread {n}", "memory_id": f"m{n % 200}"} for n in range(20_000)), LONG)
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")
    hits = provider.retrieve_by_query({"$text": {"$search": "tea bread"}, "memory_id": "m7"}, LONG, 5, explain="plan")
    assert len(hits) == 5
    assert hits.explanation is not None
    scanned = [node for node in nodes(hits.explanation["plan"][0]["Plan"]) if "Scan" in node["Node Type"]]
    assert max(node["Actual Rows"] for node in scanned) <= 200


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's nodes."""
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)
