"""How hits are ranked: by meaning, by words, by both, and by what else the caller weighs; and what comes with them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorizz.errors import ConfigurationError, FilterError, MemorizzError
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import PARTS
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.search.plan import MAX_SCANNED

LONG, SHORT, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.SHORT_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
EAST, NORTH = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
START = datetime(2026, 1, 1, tzinfo=UTC)
STEMS = {"tea", "garden", "train", "winter", "letter", "harbour", "music"}


def towards(degrees: float) -> list[float]:
    """A direction so many degrees from EAST."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0, 0.0]


def numbers(hits: Any) -> list[int]:
    return [hit["n"] for hit in hits]


def ask(words: str | None = None, vector: Any = None, **filter: Any) -> dict[str, Any]:
    query: dict[str, Any] = dict(filter)
    if words is not None:
        query["$text"] = {"$search": words}
    if vector is not None:
        query["embedding"] = vector
    return query


TALK = [
    ("Ada", "s1", "The train to Oxford was late again.", 10),
    ("Bob", "s1", "Trains! I drink tea until they come.", 40),
    ("Ada", "s1", "Milk first, says my brother.", 60),
    ("Bob", "s2", "The garden is white, it is winter.", 80),
    ("Ada", "s2", "Winter tea in the garden, then.", 30),
    ("Bob", "s2", "A letter came from the harbour.", None),
    ("Ada Lovelace", None, "Music after tea.", 20),
]


def turns() -> list[dict[str, Any]]:
    """A talk of seven turns in one memory."""
    return [
        {
            "n": n,
            "memory_id": "m",
            "role": role,
            "content": content,
            "timestamp": START + timedelta(minutes=n),
            "importance_score": n / 10,
        }
        | ({"conversation_id": session} if session else {})
        | ({"embedding": towards(degrees)} if degrees is not None else {})
        for n, (role, session, content, degrees) in enumerate(TALK)
    ]


@pytest.fixture
def talk(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """A provider whose conversations hold the talk."""
    provider.store_many(turns(), TURNS)
    return provider


@pytest.fixture
def statements() -> Iterator[list[logging.LogRecord]]:
    """The round trips, as they are logged."""
    records: list[logging.LogRecord] = []
    handler, logger = logging.Handler(), logging.getLogger("memorizz.postgresql")
    handler.emit = records.append  # type: ignore[method-assign]
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield records
    logger.removeHandler(handler)
    logger.setLevel(before)


# --- words --------------------------------------------------------------------------------------------------------


def test_one_word_of_many_is_enough(talk: PostgreSQLProvider) -> None:
    """A question never holds all the words of its answer; more of them rank higher."""
    hits = talk.retrieve_by_query("Where was the garden tea in that winter, zebra?", TURNS, 10)
    assert numbers(hits)[0] == 4
    assert set(numbers(hits)) == {1, 3, 4, 6}


def test_words_are_stemmed(talk: PostgreSQLProvider) -> None:
    """In the language of the schema, English by default."""
    assert set(numbers(talk.retrieve_by_query("training trains", TURNS, 10))) == {0, 1}


def test_who_spoke_is_among_the_words(talk: PostgreSQLProvider) -> None:
    """A name finds the turns of its speaker."""
    assert set(numbers(talk.retrieve_by_query("bob", TURNS, 10))) == {1, 3, 5}
    assert set(numbers(talk.retrieve_by_query("Lovelace", TURNS, 10))) == {6}


@pytest.mark.parametrize(
    "words", ["", " ", "the", "what is it that the", "?!", "a & | !", "'", "''", "\\", ":*", "\x00"]
)
def test_words_that_say_nothing_find_nothing(talk: PostgreSQLProvider, words: str) -> None:
    """Stop words, punctuation and operators are an empty list, alone and in a dict."""
    assert talk.retrieve_by_query(words, TURNS, 10) == []
    assert talk.retrieve_by_query(ask(words, memory_id="m"), TURNS, 10) == []


@pytest.mark.parametrize("words", ["", "the", "a & | !"])
def test_words_that_say_nothing_leave_the_meaning(talk: PostgreSQLProvider, words: str) -> None:
    """Beside a vector they add nothing and take nothing away."""
    hits = talk.retrieve_by_query(ask(words, EAST), TURNS, 10, explain=True)
    assert numbers(hits) == [0, 6, 4, 1, 2, 3] or set(numbers(hits)) == {0, 1, 2, 3, 4, 6}
    assert all("words" not in hit["_explanation"] for hit in hits)


def _memory(rows: int, random: Random) -> list[dict[str, Any]]:
    """A memory of turns that share few words, of which some have a vector and some a session."""
    return [
        {
            "n": n,
            "memory_id": "m",
            "role": random.choice(("Ada", "Bob")),
            "content": " ".join(random.choices(sorted(STEMS), k=random.randint(1, 4))) + random.choice(("", "?")),
            "timestamp": START + timedelta(minutes=n),
            **random.choice(({}, {"conversation_id": f"s{n // 20}"})),
            **({"embedding": towards(random.randrange(180))} if random.random() < 0.7 else {}),
        }
        for n in range(rows)
    ]


@pytest.mark.parametrize("rows", [60, MAX_SCANNED, MAX_SCANNED + 1])
def test_a_memory_that_is_read_ranks_as_by_the_index_of_the_words(provider: PostgreSQLProvider, rows: int) -> None:
    """The same hits with the same scores in the same order, however many turns the memory has."""
    random = Random(rows)
    provider.store_many(_memory(rows, random), TURNS)
    for turn in range(20):
        words = " ".join(random.choices([*sorted(STEMS), "zebra", "the"], k=random.randint(1, 3)))
        question = ask(words, random.choice((None, EAST)), memory_id="m")
        if turn % 4 == 0:
            question["role"] = "Ada"
        served, exact = (
            [provider.retrieve_by_query(question, TURNS, limit, exact=exact, explain=True) for limit in (1, 40)]
            for exact in (False, True)
        )
        for found, wanted in zip(served, exact, strict=True):
            assert [(hit["n"], hit["_explanation"]) for hit in found] == [
                (hit["n"], hit["_explanation"]) for hit in wanted
            ]


@pytest.mark.parametrize("vector", [None, EAST], ids=str)
@pytest.mark.parametrize("first_asked", [0, MAX_SCANNED + 20])
def test_a_memory_that_is_too_large_to_be_read_is_searched_all_the_same(
    provider: PostgreSQLProvider, vector: Any, first_asked: int
) -> None:
    """Also where no document of it has a vector, or none the words, and though it was read in vain before."""
    # Some are not read, among them the first or the last; what was read in vain is remembered.
    last = MAX_SCANNED + 20
    provider.store_many([{"memory_id": "m", "content": f"tea {n}", "n": n} for n in range(last + 1)], LONG)
    for _ in range(2):
        for n in (first_asked, 0, MAX_SCANNED, last):
            hits = provider.retrieve_by_query(ask(f"{n}", vector, memory_id="m"), LONG, 5, explain=True)
            assert numbers(hits) == [n]
            assert hits.explanation is not None
            assert hits.explanation["route"] != "scan"
        assert provider.retrieve_by_query(ask("zebra", vector, memory_id="m"), LONG, 5) == []


SCRIPTS = [
    "我喜欢喝茶",
    "أنا أحب الشاي",
    "मुझे चाय पसंद है",
    "☕🍵",
    "Ich trinke Tee",
    "чай с лимоном",  # noqa: RUF001
    "お茶が好きです",
]


@pytest.mark.parametrize("config", ["simple", "english", "german", "russian", "arabic"])
def test_any_language_and_any_script(dsn: str, config: str) -> None:
    """No text fails under any configuration; a text of any script is found again."""
    options = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, text_search_config=config, max_size=2)
    with PostgreSQLProvider(options) as provider:
        provider.store_many([{"n": n, "content": text, "role": text} for n, text in enumerate(SCRIPTS)], TURNS)
        for n, text in enumerate(SCRIPTS):
            hits = provider.retrieve_by_query(text, TURNS, 10)
            assert numbers(hits)[:1] == [n]
            both = provider.retrieve_by_query(ask(text, EAST), TURNS, 10)
            assert numbers(both) == numbers(hits)


def test_the_language_decides_about_stems_and_stop_words(dsn: str) -> None:
    """`simple` keeps every word as it is, German knows German."""
    documents = [{"n": 1, "content": "Die Häuser der Stadt"}, {"n": 2, "content": "the houses"}]
    for schema, config, question, expected in (
        ("german", "german", "Haus", {1}),
        ("german", "german", "die", set()),
        ("simple", "simple", "Häuser", {1}),
        ("simple", "simple", "house", set()),
        ("simple", "simple", "the", {2}),
        ("english", "english", "house", {2}),
    ):
        options = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4, schema=schema, text_search_config=config)
        with PostgreSQLProvider(options) as provider:
            if not provider.count(LONG):
                provider.store_many(documents, LONG)
            assert set(numbers(provider.retrieve_by_query(question, LONG, 10))) == expected, question


@given(st.text(max_size=200))
@settings(max_examples=150)
def test_no_text_is_an_error(talk: PostgreSQLProvider, words: str) -> None:
    """Whatever is searched for, alone or beside a vector."""
    alone = talk.retrieve_by_query(words, TURNS, 3)
    assert len(talk.retrieve_by_query(ask(words, EAST), TURNS, 3)) == 3
    assert all(hit["score"] > 0 for hit in alone)


def test_a_long_text_is_searched(talk: PostgreSQLProvider) -> None:
    """100 kB, as when a whole page is the question."""
    page = " ".join(f"word{n} harbour" if n % 1000 == 0 else f"word{n}" for n in range(10_000))
    assert numbers(talk.retrieve_by_query(page, TURNS, 10)) == [5]
    assert talk.retrieve_by_query("a" * 100_000, TURNS, 10) == []


@pytest.mark.parametrize("operand", [{}, {"$find": "tea"}, {"$search": "tea", "$language": "en"}, "tea", None, ["tea"]])
def test_a_malformed_text_is_refused(provider: PostgreSQLProvider, operand: Any) -> None:
    """An unknown key under $text says what is expected."""
    with pytest.raises(FilterError, match="the words"):
        provider.retrieve_by_query({"$text": operand}, LONG)


# --- the score ----------------------------------------------------------------------------------------------------


def rank_of(provider: PostgreSQLProvider, words: str, store: MemoryType = TURNS) -> dict[int, float]:
    """Return what ts_rank says of each document, as it is documented: any term, no regard to length."""
    statement = f"""
        SELECT (data->>'n')::int, ts_rank(words, replace(plainto_tsquery('english', %s)::text, '&', '|')::tsquery, 0)
        FROM {store.value} WHERE expires_at IS NULL OR expires_at > now()"""
    with psycopg.connect(provider.config.conninfo) as connection:
        return {n: rank for n, rank in connection.execute(statement, [words]) if rank > 0}


RANKINGS = [
    Ranking(),
    Ranking(meaning=1.0, words=0.5, speaker=0.4, session=0.0),
    Ranking(meaning=0.2, words=2.0, speaker=0.1, session=0.5),
    Ranking(recency=0.3, half_life=7, importance=0.2),
    Ranking(meaning=0.0),
    Ranking(words=0.0, speaker=0.0, session=0.0, importance=1.0, neighbours=0.3),
]


@pytest.mark.parametrize("ranking", RANKINGS, ids=str)
@pytest.mark.parametrize("vector", [EAST, None], ids=["meaning and words", "words"])
def test_the_score_is_the_documented_sum(talk: PostgreSQLProvider, ranking: Ranking, vector: Any) -> None:
    """Every part of it, computed again in Python."""
    words = "Did Ada have tea in the garden?"
    hits = talk.retrieve_by_query(ask(words, vector), TURNS, 10, ranking=ranking, explain=True)
    rank = rank_of(talk, words)
    candidates = set(rank) if vector is None else set(rank) | {n for n, turn in enumerate(TALK) if turn[3] is not None}
    assert set(numbers(hits)) == candidates
    said = ranking.words if ranking.words is not None else 1.0 if vector is None else 0.6
    session = 0.4 if ranking.session is None else ranking.session
    neighbours = 0.05 if ranking.neighbours is None else ranking.neighbours
    expected: dict[int, dict[str, float]] = {}
    for n in candidates:
        role, _, _, degrees = TALK[n]
        age = (datetime.now(UTC) - START - timedelta(minutes=n)) / timedelta(days=1)
        expected[n] = {
            "meaning": 0 if vector is None or degrees is None else ranking.meaning * math.cos(math.radians(degrees)),
            "words": said * rank.get(n, 0) / max(rank.values()),
            "speaker": (ranking.speaker or 0) * ("ada" in role.lower().split()),
            "recency": ranking.recency * 0.5 ** (age / ranking.half_life),
            "importance": ranking.importance * n / 10,
        }
    sums = {n: sum(parts.values()) for n, parts in expected.items()}
    for n in candidates:
        if TALK[n][1] is not None:
            of_session = sorted(other for other in candidates if TALK[other][1] == TALK[n][1])
            expected[n]["session"] = session * max(sums[other] for other in of_session)
            place = of_session.index(n)
            beside = [*of_session[max(place - 1, 0) : place], *of_session[place + 1 : place + 2]]
            expected[n]["neighbours"] = neighbours * max((sums[other] for other in beside), default=0.0)
    for hit in hits:
        explained = {part: hit["_explanation"].get(part, 0.0) for part in PARTS}
        assert explained == pytest.approx(dict.fromkeys(PARTS, 0.0) | expected[hit["n"]], abs=1e-6)
        # A part that is left out is not there.
        assert all(hit["_explanation"].values())
        assert hit["_score"] == hit["score"] == pytest.approx(sum(explained.values()))
    scores = [hit["_score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("meaning", "words"), [(0.7, None), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_reciprocal_rank_fusion(talk: PostgreSQLProvider, meaning: float, words: float | None) -> None:
    """1 / (10 + rank) in either part; what a part does not find has nothing of it."""
    question = "tea in the garden"
    ranking = Ranking(meaning=meaning, words=words, fusion="rrf", session=0.0, neighbours=0.0)
    hits = talk.retrieve_by_query(ask(question, EAST), TURNS, 10, ranking=ranking, explain=True)
    rank = rank_of(talk, question)
    by_words = sorted(rank, key=lambda n: (-rank[n], n))
    by_meaning = sorted((n for n, turn in enumerate(TALK) if turn[3] is not None), key=lambda n: TALK[n][3] or 0)
    said = 0.6 if words is None else words
    for hit in hits:
        n = hit["n"]
        expected = {
            "meaning": meaning / (11 + by_meaning.index(n)) if n in by_meaning else 0,
            "words": said / (11 + by_words.index(n)) if n in by_words else 0,
        }
        assert hit["_explanation"] == pytest.approx({part: value for part, value in expected.items() if value})
        assert hit["_score"] == pytest.approx(sum(expected.values()))
    assert set(numbers(hits)) == {*by_meaning, *by_words}


def test_meaning_alone_is_the_cosine_similarity(talk: PostgreSQLProvider) -> None:
    """No other part has a say, whatever is in the session, and whoever speaks."""
    hits = talk.retrieve_by_query(ask(vector=EAST), TURNS, 10, explain=True)
    assert numbers(hits) == [0, 6, 4, 1, 2, 3]
    for hit in hits:
        similarity = math.cos(math.radians(TALK[hit["n"]][3] or 0))
        assert hit["score"] == pytest.approx(similarity)
        assert hit["distance"] == pytest.approx(1 - similarity)
        assert hit["_explanation"] == pytest.approx({"meaning": similarity})


def test_a_weight_of_0_leaves_a_part_out(talk: PostgreSQLProvider) -> None:
    """Meaning alone, words alone, or neither."""
    question = ask("tea", EAST)
    by_meaning = talk.retrieve_by_query(
        question, TURNS, 10, ranking=Ranking(meaning=1, words=0, session=0, neighbours=0)
    )
    assert numbers(by_meaning) == numbers(talk.retrieve_by_query(ask(vector=EAST), TURNS, 10))
    assert by_meaning[0]["score"] == pytest.approx(by_meaning[0]["_distance"] * -1 + 1)
    ranking = Ranking(meaning=0, session=0, neighbours=0)
    by_words = talk.retrieve_by_query(question, TURNS, 10, ranking=ranking, explain=True)
    assert {n for n, hit in zip(numbers(by_words), by_words, strict=True) if hit["score"]} == {1, 4, 6}
    assert all(set(hit["_explanation"]) <= {"words"} for hit in by_words)


def test_a_document_without_vector_or_without_the_words_can_be_a_hit(talk: PostgreSQLProvider) -> None:
    """Its share is 0 there; it has no distance where it has no vector."""
    hits = {hit["n"]: hit for hit in talk.retrieve_by_query(ask("harbour", EAST), TURNS, 10, explain=True)}
    assert "_distance" not in hits[5]
    assert hits[5]["_explanation"].keys() == {"words", "session", "neighbours"}
    assert hits[2]["_explanation"].keys() == {"meaning", "session", "neighbours"}


def test_recency_counts_from_created_at_elsewhere(provider: PostgreSQLProvider) -> None:
    """By the age of `timestamp`, or else of `created_at`; what lies ahead is of now."""
    now = datetime.now(UTC)
    ages = (0, 10, 20, 400, 40_000, -5)
    documents = [{"n": n, "embedding": EAST, "created_at": now - timedelta(days=age)} for n, age in enumerate(ages)]
    documents.append({"n": 6, "embedding": EAST, "created_at": now, "timestamp": now - timedelta(days=10)})
    provider.store_many(documents, LONG)
    ranking = Ranking(meaning=0.0, recency=1.0, half_life=10)
    scores = {hit["n"]: hit["score"] for hit in provider.retrieve_by_query(ask(vector=EAST), LONG, 10, ranking=ranking)}
    assert scores == pytest.approx({0: 1, 1: 0.5, 2: 0.25, 3: 0.5**40, 4: 0, 5: 1, 6: 0.5}, abs=1e-5)


def test_importance_of_nothing_is_0(provider: PostgreSQLProvider) -> None:
    """A document without `importance_score` has no share of it."""
    provider.store_many([{"n": 0, "embedding": EAST}, {"n": 1, "embedding": EAST, "importance_score": 0.5}], LONG)
    hits = provider.retrieve_by_query(ask(vector=EAST), LONG, 5, ranking=Ranking(importance=2), explain=True)
    assert [(hit["n"], hit["_explanation"].get("importance")) for hit in hits] == [(1, 1.0), (0, None)]
    assert hits[0]["score"] == pytest.approx(1.7)


def test_the_speaker_counts_where_the_caller_says_so(talk: PostgreSQLProvider) -> None:
    """Any name of a role of several, and not a part of a name; off while nothing was cut out of the question."""
    question = ask("Has lovelace or BOB any?", EAST)
    for ranking, expected in ((Ranking(speaker=0.5), {1, 3, 5, 6}), (Ranking(), set())):
        hits = talk.retrieve_by_query(question, TURNS, 10, ranking=ranking, explain=True)
        assert {hit["n"] for hit in hits if "speaker" in hit["_explanation"]} == expected


def test_roles_that_everybody_has_are_no_names(provider: PostgreSQLProvider) -> None:
    """`user` and `assistant` in a question name nobody."""
    provider.store_many([{"role": role, "content": "tea", "embedding": EAST} for role in ("user", "assistant")], TURNS)
    hits = provider.retrieve_by_query(
        ask("the user and the assistant", EAST), TURNS, 5, ranking=RANKINGS[1], explain=True
    )
    assert len(hits) == 2
    assert all("speaker" not in hit["_explanation"] for hit in hits)


def test_sessions_of_two_memories_are_two(provider: PostgreSQLProvider) -> None:
    """The same conversation_id in another memory is another session; a turn without one has none."""
    common = {"content": "tea", "conversation_id": "s", "embedding": EAST}
    provider.store_many(
        [
            {**common, "n": 0, "memory_id": "a", "embedding": NORTH},
            {**common, "n": 1, "memory_id": "b"},
            {**common, "n": 2, "memory_id": "b", "embedding": NORTH},
            {**common, "n": 3, "memory_id": "b", "conversation_id": None},
        ],
        TURNS,
    )
    hits = provider.retrieve_by_query(ask("tea", EAST), TURNS, 5, explain=True)
    sessions = {hit["n"]: hit["_explanation"].get("session") for hit in hits}
    assert sessions == {0: pytest.approx(0.24), 1: pytest.approx(0.52), 2: pytest.approx(0.52), 3: None}


def test_no_session_outside_of_conversations(provider: PostgreSQLProvider) -> None:
    """Nor a speaker; elsewhere they count where the caller says so."""
    provider.store_many([{"content": "tea", "conversation_id": "s", "role": "Ada", "embedding": EAST}], LONG)
    (hit,) = provider.retrieve_by_query(ask("Ada tea", EAST), LONG, 5, explain=True)
    assert hit["_explanation"].keys() == {"meaning", "words"}
    ranking = Ranking(speaker=0.1, session=0.2)
    (hit,) = provider.retrieve_by_query(ask("Ada tea", EAST), LONG, 5, ranking=ranking, explain=True)
    assert hit["_explanation"] == pytest.approx({"meaning": 0.7, "words": 0.6, "speaker": 0.1, "session": 0.28})


def test_min_score(talk: PostgreSQLProvider) -> None:
    """Hits below are left out, whatever ranks and whichever route serves; at it they stay."""
    for question in (ask(vector=EAST), ask("tea", EAST), ask("tea"), "tea"):
        for filter in ({}, {"memory_id": "m"}):
            query = question if isinstance(question, str) else question | filter
            every = talk.retrieve_by_query(query, TURNS, 10)
            middle = every[len(every) // 2]["score"]
            kept = talk.retrieve_by_query(query, TURNS, 10, min_score=middle - 1e-9)
            assert numbers(kept) == [hit["n"] for hit in every if hit["score"] >= middle - 1e-9]
            assert 0 < len(kept) < len(every)
            assert talk.retrieve_by_query(query, TURNS, 10, min_score=9) == []
            assert numbers(talk.retrieve_by_query(query, TURNS, 10, min_score=-9)) == numbers(every)


def test_ties_are_in_the_order_of_storing(provider: PostgreSQLProvider) -> None:
    """Of equal scores the one stored first is first, in every kind of search."""
    provider.store_many([{"n": n, "content": "tea", "embedding": EAST, "memory_id": "m"} for n in range(8)], LONG)
    for question in (ask(vector=EAST), ask("tea", EAST), ask("tea"), ask(vector=EAST, memory_id="m")):
        assert numbers(provider.retrieve_by_query(question, LONG, 8)) == list(range(8))
        assert numbers(provider.retrieve_by_query(question, LONG, 3, exact=True)) == [0, 1, 2]
        assert numbers(provider.retrieve_by_query(question, LONG, 3)) == [0, 1, 2]


# --- filters and ranking ------------------------------------------------------------------------------------------


def test_filters_hold_in_both_parts(talk: PostgreSQLProvider) -> None:
    """Nothing of another memory, however near and however well it says it."""
    talk.store_many(
        [{"n": 100 + n, "memory_id": "other", "content": "tea tea tea", "embedding": EAST} for n in range(20)], TURNS
    )
    for question in (ask("tea", EAST, memory_id="m"), ask("tea", memory_id="m"), ask(vector=EAST, memory_id="m")):
        for exact in (False, True):
            assert max(numbers(talk.retrieve_by_query(question, TURNS, 50, exact=exact))) < 100


FILTERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    ({"memory_id": "a"}, lambda d: d["memory_id"] == "a"),
    ({"memory_id": {"$in": ["a", "c"]}}, lambda d: d["memory_id"] in "ac"),
    ({"kind": 1}, lambda d: d["kind"] == 1),
    ({"$or": [{"memory_id": "b"}, {"kind": 2}]}, lambda d: d["memory_id"] == "b" or d["kind"] == 2),
    ({"$not": {"memory_id": "a"}}, lambda d: d["memory_id"] != "a"),
    ({"memory_id": "nobody"}, lambda d: False),
]


@given(
    documents=st.lists(
        st.fixed_dictionaries(
            {
                "memory_id": st.sampled_from("abc"),
                "kind": st.integers(0, 2),
                "content": st.lists(st.sampled_from(sorted(STEMS)), max_size=4).map(" ".join),
                "embedding": st.none() | st.integers(0, 180).map(towards),
                "expires_at": st.sampled_from([None, None, START]),
            }
        ),
        max_size=12,
    ),
    words=st.none() | st.lists(st.sampled_from(sorted(STEMS)), min_size=1, max_size=3).map(" ".join),
    degrees=st.none() | st.integers(0, 180),
    chosen=st.sampled_from(FILTERS),
    options=st.sampled_from([{}, {"exact": True}, {"touch": True}, {"ranking": Ranking(fusion="rrf", recency=0.1)}]),
)
@settings(max_examples=60)
def test_no_document_that_does_not_match(
    provider: PostgreSQLProvider, documents: Any, words: Any, degrees: Any, chosen: Any, options: Any
) -> None:
    """Whatever is stored and asked: every live document that matches and has a vector or a word of it, and no other."""
    provider.delete_all(SHORT)
    provider.store_many([{**document, "n": n} for n, document in enumerate(documents)], SHORT)
    filter, matches = chosen
    vector = None if degrees is None else towards(degrees)
    hits = provider.retrieve_by_query({**filter, **ask(words, vector)}, SHORT, 100, **options)
    expected = {
        n
        for n, document in enumerate(documents)
        if matches(document)
        and document["expires_at"] is None
        and (
            (vector is not None and document["embedding"] is not None)
            or (words is not None and set(words.split()) & set(document["content"].split()))
            or (vector is None and words is None)
        )
    }
    assert set(numbers(hits)) == expected
    assert len(hits) == len(expected)


def test_expired_documents_are_in_no_search(provider: PostgreSQLProvider) -> None:
    """By filter, meaning, words or both, in one store or in all, as hits or around them."""
    gone = {"n": 1, "content": "tea", "embedding": EAST, "memory_id": "m", "expires_at": START}
    for store in (LONG, TURNS):
        provider.store_many([gone, {**gone, "n": 2, "expires_at": None}, {**gone, "n": 3}], store)
        for question in ({}, ask("tea"), ask(vector=EAST), ask("tea", EAST), ask("tea", EAST, memory_id="m"), "tea"):
            assert numbers(provider.retrieve_by_query(question, store, 5)) == [2] if question else True
    (hit,) = provider.retrieve_by_query("tea", TURNS, 5, context=5)
    assert hit["_context"] == {"before": [], "after": []}
    assert numbers(provider.retrieve_memory_components_by_query("tea", EAST, "m")) == [2, 2]


# --- touch --------------------------------------------------------------------------------------------------------


def accesses(provider: PostgreSQLProvider, store: MemoryType = TURNS) -> dict[int, Any]:
    return {each["n"]: each.get("access_count") for each in provider.list_all(store)}


QUESTIONS = [
    ask(vector=EAST),
    ask(vector=EAST, memory_id="m"),
    ask("tea", EAST),
    ask("tea", EAST, memory_id="m"),
    ask("tea"),
    ask(memory_id="m"),
    "tea",
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
@pytest.mark.parametrize("exact", [False, True])
def test_touch_counts_the_hits(
    talk: PostgreSQLProvider, question: Any, exact: bool, statements: list[logging.LogRecord]
) -> None:
    """Only those that were returned, once they are known: one round trip more."""
    plain = talk.retrieve_by_query(question, TURNS, 2, exact=exact)
    assert accesses(talk) == dict.fromkeys(range(len(TALK)))
    statements.clear()
    talk.retrieve_by_query(question, TURNS, 2, exact=exact)
    trips = len(statements)
    assert trips
    statements.clear()
    before = datetime.now(UTC)
    hits = talk.retrieve_by_query(question, TURNS, 2, exact=exact, touch=True)
    assert len(statements) == trips + 1
    assert numbers(hits) == numbers(plain)
    assert [hit.get("_score") for hit in hits] == [hit.get("_score") for hit in plain]
    assert accesses(talk) == {n: 1 if n in numbers(hits) else None for n in range(len(TALK))}
    talk.retrieve_by_query(question, TURNS, 2, exact=exact, touch=True)
    for document in talk.list_all(TURNS):
        assert document.get("access_count") == (2 if document["n"] in numbers(hits) else None)
        assert ("last_accessed" in document) is (document["n"] in numbers(hits))
        if "last_accessed" in document:
            assert abs(document["last_accessed"] - before) < timedelta(minutes=5)
            assert document["updated_at"] < document["last_accessed"]


def test_touch_leaves_out_what_min_score_leaves_out(talk: PostgreSQLProvider) -> None:
    """And what lies around a hit."""
    for query in (ask(vector=EAST), ask(vector=EAST, memory_id="m")):
        talk.retrieve_by_query(query, TURNS, 5, min_score=0.9, touch=True, context=2)
    assert {n for n, count in accesses(talk).items() if count} == {0, 6}


def test_touch_counts_what_has_no_vector(provider: PostgreSQLProvider) -> None:
    """Where a vector and words are asked for and only the words find anything."""
    provider.store_many([{"n": n, "content": "tea", "memory_id": "m"} for n in range(3)], LONG)
    query = {**ask(vector=EAST, memory_id="m"), "$text": {"$search": "tea"}}
    assert len(provider.retrieve_by_query(query, LONG, 5, touch=True)) == 3
    assert accesses(provider, LONG) == {0: 1, 1: 1, 2: 1}


def test_touch_counts_the_hits_of_every_search(provider: PostgreSQLProvider) -> None:
    """Of rows that are known to be few as of others; what has expired or has no vector is no hit."""
    documents: list[dict[str, Any]] = [{"n": n, "memory_id": "m", "embedding": towards(n)} for n in range(6)]
    documents[0]["embedding"] = None
    documents[1]["expires_at"] = "2020-01-01"
    provider.store_many(documents, LONG)
    for searches in (1, 2, 3):
        hits = provider.retrieve_by_query(ask(vector=EAST, memory_id="m"), LONG, 3, touch=True, include_embedding=True)
        assert numbers(hits) == [2, 3, 4]
        assert all(len(hit["embedding"]) == 4 for hit in hits)
        counted = {n: count for n, count in accesses(provider, LONG).items() if count}
        assert counted == dict.fromkeys((2, 3, 4), searches)


def test_touch_counts_once_whatever_routes_were_tried(provider: PostgreSQLProvider) -> None:
    """A route whose answer was not taken has counted nothing."""
    provider.store_many([{"n": n, "embedding": towards(90 + n / 20), "memory_id": "far"} for n in range(1200)], LONG)
    provider.store_many([{"n": 1200 + n, "embedding": towards(n / 10), "memory_id": "near"} for n in range(450)], LONG)
    hits = provider.retrieve_by_query(ask(vector=EAST, memory_id="far"), LONG, 3, touch=True, explain=True)
    assert hits.explanation is not None
    assert len(hits.explanation["tried"]) == 3
    assert {n for n, count in accesses(provider, LONG).items() if count} == {0, 1, 2}
    assert {count for count in accesses(provider, LONG).values() if count} == {1}


def test_touch_waits_for_nobody(talk: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """A document that somebody is changing is a hit, and is not counted; all others are."""
    talk.update_by_id(talk.list_all(TURNS)[4]["id"], {"access_count": 7}, TURNS)
    with psycopg.connect(config.conninfo) as other:
        other.execute(f"UPDATE {TURNS.value} SET name = 'x' WHERE data @> '{{\"n\": 4}}'")
        hits = talk.retrieve_by_query(ask("tea", EAST), TURNS, 10, touch=True)
        assert set(numbers(hits)) == {0, 1, 2, 3, 4, 6}
    assert accesses(talk) == dict.fromkeys((0, 1, 2, 3, 6), 1) | {4: 7, 5: None}


def test_every_access_is_counted(provider: PostgreSQLProvider) -> None:
    """Eight threads that find the same documents in other orders count each of them once a search."""
    provider.store_many([{"n": n, "embedding": towards(n / 2)} for n in range(100)], LONG)

    def search(thread: int) -> None:
        for _ in range(6):
            provider.retrieve_by_query({"embedding": towards(thread * 10)}, LONG, 100, touch=True)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(search, range(8)))
    assert accesses(provider, LONG) == dict.fromkeys(range(100), 48)


def test_touch_in_a_transaction_is_rolled_back_with_it(talk: PostgreSQLProvider) -> None:
    """It is a part of what was done there."""

    def touch_and_fail() -> None:
        with talk.transaction() as transaction:
            assert len(transaction.retrieve_by_query("tea", TURNS, 5, touch=True)) == 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        touch_and_fail()
    assert set(accesses(talk).values()) == {None}


# --- context ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns_around", [1, 2, 100])
def test_context_is_the_turns_around_a_hit(talk: PostgreSQLProvider, turns_around: int) -> None:
    """In order, fewer at the ends, none of another memory; of the same time in the order they were stored."""
    talk.store_many([{**turn, "n": 100 + turn["n"], "memory_id": "other", "role": "Eve"} for turn in turns()], TURNS)
    same_time = [{"n": n, "memory_id": "m", "content": "z", "timestamp": START} for n in (10, 11)]
    talk.store_many(same_time, TURNS)
    order = [0, 10, 11, 1, 2, 3, 4, 5, 6]
    hits = talk.retrieve_by_query(ask("ada bob z", EAST, memory_id="m"), TURNS, 20, context=turns_around)
    assert len(hits) == len(order)
    for hit in hits:
        place = order.index(hit["n"])
        assert numbers(hit["_context"]["before"]) == order[max(place - turns_around, 0) : place]
        assert numbers(hit["_context"]["after"]) == order[place + 1 : place + 1 + turns_around]
        assert all("embedding" not in turn and "_score" not in turn for turn in hit["_context"]["before"])


def test_context_of_every_kind_of_query(talk: PostgreSQLProvider) -> None:
    """Also of a filter alone; not asked for it is not there, and of nothing it is nothing."""
    for question in (ask(n=3), ask("white"), ask(vector=towards(80))):
        (hit,) = talk.retrieve_by_query(question, TURNS, 1, context=1)
        assert (numbers(hit["_context"]["before"]), numbers(hit["_context"]["after"])) == ([2], [4])
        (hit,) = talk.retrieve_by_query(question, TURNS, 1)
        assert "_context" not in hit
    assert talk.retrieve_by_query(ask("zebra"), TURNS, 5, context=3) == []


def test_context_is_one_round_trip_more(talk: PostgreSQLProvider, statements: list[logging.LogRecord]) -> None:
    """For all hits together."""
    for context, trips in ((0, 1), (3, 2)):
        statements.clear()
        talk.retrieve_by_query("tea winter ada bob", TURNS, 10, context=context)
        assert len(statements) == trips


@pytest.mark.parametrize("context", [-1, True, 1.0, "1", None])
def test_a_context_that_cannot_be(provider: PostgreSQLProvider, context: Any) -> None:
    """A number of turns; and only turns have others around them."""
    with pytest.raises(ConfigurationError, match="context"):
        provider.retrieve_by_query("tea", TURNS, 5, context=context)
    with pytest.raises(ConfigurationError, match="context"):
        provider.retrieve_by_query("tea", LONG, 5, context=1)


# --- explain ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "route", "tried"),
    [
        (ask(vector=EAST), "exact", ["index", "index", "exact"]),
        (ask(vector=EAST, memory_id="m"), "scan", ["scan"]),
        (ask("tea", EAST, memory_id="m"), "scan", ["scan"]),
        (ask("tea", memory_id="m"), "scan", ["scan"]),
        (ask("tea"), "exact", ["exact"]),
        ("tea", "exact", ["exact"]),
        (ask(memory_id="m"), "exact", ["exact"]),
    ],
    ids=str,
)
def test_a_search_explains_itself(talk: PostgreSQLProvider, question: Any, route: str, tried: list[str]) -> None:
    """The route, why, what was tried, and the statement with its parameters, but not the vector."""
    assert talk.retrieve_by_query(question, TURNS, 10).explanation is None
    explanation = talk.retrieve_by_query(question, TURNS, 10, explain=True).explanation
    assert explanation is not None
    assert (explanation["route"], explanation["tried"]) == (route, tried)
    assert explanation["why"]
    # By meaning alone, what has no vector is no match.
    assert explanation["matching"] == ((7 if "tea" in str(question) else 6) if route == "scan" else None)
    assert "SELECT" in explanation["statement"]
    assert "plan" not in explanation
    parameters = explanation["parameters"]
    assert all(f"%({name})s" in explanation["statement"] for name in parameters if name.startswith("f"))
    if isinstance(question, dict) and "embedding" in question:
        assert parameters["vector"] == "<4 numbers>"
    if "tea" in str(question):
        assert parameters["question"] == "tea"
    assert not any(isinstance(value, bytes) for value in parameters.values())


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_a_plan_is_of_the_statement_and_touches_nothing_twice(talk: PostgreSQLProvider, question: Any) -> None:
    """PostgreSQL's own EXPLAIN, of the statement as it is run."""
    hits = talk.retrieve_by_query(question, TURNS, 2, explain="plan", touch=True)
    assert hits.explanation is not None
    (plan,) = hits.explanation["plan"]
    assert plan["Execution Time"] > 0
    assert {count for count in accesses(talk).values() if count} == {1}
    assert numbers(hits) == numbers(talk.retrieve_by_query(question, TURNS, 2))


# --- hits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", [ask("tea", EAST), ask("tea"), ask(vector=EAST)], ids=str)
def test_hits_can_be_stored_back_as_they_are(talk: PostgreSQLProvider, question: Any) -> None:
    """What the search added is dropped, and nothing else changes."""
    before = {each["n"]: each for each in talk.list_all(TURNS, include_embedding=True)}
    hits = talk.retrieve_by_query(question, TURNS, 10, include_embedding=True, explain=True, context=2)
    talk.store_many(hits, TURNS)
    for hit in hits:
        assert {"_score", "_explanation", "_context", "score"} <= set(hit)
        talk.update_by_id(hit["id"], hit, TURNS)
    after = {each["n"]: each for each in talk.list_all(TURNS, include_embedding=True)}
    for n, document in before.items():
        assert set(after[n]) == set(document)
        changed = {key for key in document if not np.array_equal(after[n][key], document[key])}
        assert changed <= {"updated_at"}


def test_a_score_of_the_users_own_stays(provider: PostgreSQLProvider) -> None:
    """Its key is not overwritten by the search."""
    provider.store({"n": 1, "content": "tea", "score": "A+", "distance": 7, "embedding": EAST}, LONG)
    for question in (ask("tea", EAST), ask("tea"), ask(vector=EAST)):
        (hit,) = provider.retrieve_by_query(question, LONG, 1)
        assert (hit["score"], hit["distance"]) == ("A+", 7)
        assert isinstance(hit["_score"], float)


# --- components ---------------------------------------------------------------------------------------------------


def test_components_of_all_stores_but_the_agents(provider: PostgreSQLProvider) -> None:
    """Merged by score, of one memory, with their embedding."""
    for place, store in enumerate(MemoryType):
        for memory in ("m", "other"):
            provider.store({"n": place, "memory_id": memory, "content": "tea", "embedding": towards(10 * place)}, store)
    stores = [place for place, store in enumerate(MemoryType) if store is not MemoryType.MEMAGENT]
    for query, vector in ((None, EAST), ("tea", EAST), ("tea", None)):
        hits = provider.retrieve_memory_components_by_query(query, vector, "m", limit=50)
        assert sorted(numbers(hits)) == stores
        assert {hit["memory_id"] for hit in hits} == {"m"}
        assert all(len(hit["embedding"]) == 4 for hit in hits)
        scores = [hit["_score"] for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert scores == [hit["score"] for hit in hits]
        best = provider.retrieve_memory_components_by_query(query, vector, "m", limit=2)
        assert [hit["_score"] for hit in best] == scores[:2]
    assert len(provider.retrieve_memory_components_by_query("tea", EAST, limit=50)) == 2 * len(stores)


def test_components_by_meaning_alone_are_those_of_one_big_store(provider: PostgreSQLProvider) -> None:
    """The nearest of all, however they are spread over the stores."""
    random = np.random.default_rng(1)
    vectors = random.standard_normal((60, 4))
    stores = [store for store in MemoryType if store is not MemoryType.MEMAGENT]
    for n, vector in enumerate(vectors):
        provider.store({"n": n, "memory_id": "m", "embedding": vector}, stores[n % 3])
    question = random.standard_normal(4)
    order = np.argsort(-(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ question)
    hits = provider.retrieve_memory_components_by_query(None, question, "m", limit=20)
    assert numbers(hits) == order[:20].tolist()


def test_components_of_one_store(talk: PostgreSQLProvider) -> None:
    """`memory_type` searches there alone, a member or its value."""
    talk.store({"n": 50, "content": "tea", "memory_id": "m", "embedding": EAST}, LONG)
    for store in (TURNS, "conversation_memory"):
        hits = talk.retrieve_memory_components_by_query("tea", EAST, "m", store, limit=50)
        assert set(numbers(hits)) == {0, 1, 2, 3, 4, 6}


def test_components_need_something_to_search_for(provider: PostgreSQLProvider) -> None:
    """A query, a vector or both; words that say nothing find nothing."""
    with pytest.raises(ConfigurationError, match="query"):
        provider.retrieve_memory_components_by_query(memory_id="m")
    assert provider.retrieve_memory_components_by_query("the") == []
    assert provider.retrieve_memory_components_by_query("") == []
    assert provider.retrieve_memory_components_by_query("tea", EAST, limit=0) == []
    for limit in (-1, "5", None):
        with pytest.raises(MemorizzError):
            provider.retrieve_memory_components_by_query("tea", limit=limit)  # type: ignore[arg-type]
