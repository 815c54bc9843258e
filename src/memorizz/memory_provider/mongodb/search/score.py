"""The score of a hit: the parts that docs/search.md names, computed for the candidates that a search has found."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np

from memorizz.memory_provider._cosines import Cosines, standard
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider._questions import supported, weights
from memorizz.memory_provider._wording import asks_when, is_question, says_when
from memorizz.memory_provider.mongodb._bson import OWN, as_mapping
from memorizz.memory_provider.mongodb._steps import Record
from memorizz.memory_provider.mongodb._stores import Store, key_of, numbers
from memorizz.memory_provider.mongodb.search.pipelines import DISTANCE, RANK
from memorizz.memory_provider.mongodb.search.plan import Search
from memorizz.memory_provider.options import Document, Ranking
from memorizz.memory_provider.stores import Distance

# In the place of the 60 of Cormack et al., as measured: docs/search.md.
_RRF = 10
_IMPORTANCE = 1e6


@dataclass
class Candidate:
    """A record that may be a hit. `rank` is its text score, `parts` are those of its score."""

    record: Record
    distance: float | None = None
    rank: float = 0.0
    parts: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def score(self) -> float:
        return sum(self.parts.values())

    @property
    def seq(self) -> bytes:
        seq = own(self.record, "seq")
        return seq if isinstance(seq, bytes) else b""


def own(record: Record, key: str) -> Any:
    """Return what is ours in a record."""
    return as_mapping(record.get(OWN)).get(key)


def candidates(
    search: Search, store: Store, nearest: Iterable[Record], with_words: Iterable[Record]
) -> list[Candidate]:
    """Return the records that were found, each once, with its distance and its text score."""
    found: dict[Any, Candidate] = {}
    for record in nearest:
        found[key_of(record)] = Candidate(record, own(record, DISTANCE))
    for record in with_words:
        distance = _distance(search, record, store.spec.distance)
        candidate = found.setdefault(key_of(record), Candidate(record, distance))
        candidate.rank = own(record, RANK)
    return list(found.values())


def _distance(search: Search, record: Record, kind: Distance) -> float | None:
    """Return the distance of a record that was found by its words."""
    values: Any = numbers(record.get(EMBEDDING)) if search.vector is not None else None
    if not isinstance(values, list) or not all(isinstance(each, float) for each in cast("list[Any]", values)):
        return None
    vector, other = np.array(search.vector), np.array(cast("list[float]", values))
    if len(vector) != len(other):
        return None
    with np.errstate(all="ignore"):
        distance = _computed(vector, other, kind)
    return distance if math.isfinite(distance) else None


def _computed(vector: Any, other: Any, kind: Distance) -> float:
    """Return a distance as the aggregation computes it; infinite or NaN where a vector has no direction or no end."""
    if kind == "l2":
        return float(np.linalg.norm(vector - other))
    product = float(vector @ other)
    if kind == "inner_product":
        return -product
    lengths = float(np.linalg.norm(vector) * np.linalg.norm(other))
    return 1.0 - max(-1.0, min(1.0, product / lengths)) if 0 < lengths < math.inf else math.nan


def rank(search: Search, store: Store, found: list[Candidate]) -> list[Candidate]:
    """Return the hits, the best first."""
    if search.scored:
        asks = asks_when(search.words, store.database.language)
        stretched, center = standard(cosines_of(store), store.spec.distance)
        ranking = weights(
            search.ranking,
            store.spec,
            meaning=search.vector is not None,
            names_cut=False,
            asks_when=asks,
            stretched=stretched,
        )
        _score(search, store, ranking, found, center)
    else:
        for each in found:
            each.parts = {"meaning": store.spec.score(each.distance or 0.0)}
    least = search.options.min_score
    hits = [each for each in found if least is None or each.score >= least]
    return sorted(hits, key=lambda each: (-each.score, each.seq))[: search.limit]


def cosines_of(store: Store) -> Cosines | None:
    """Return how far apart the vectors of a store lie, which are those of the seven, or of another length."""
    return store.database.cosines if store.dimensions == store.database.dimensions else None


def _score(search: Search, store: Store, ranking: Ranking, found: list[Candidate], center: float) -> None:
    meaning, words = _shares(store, found, center) if ranking.fusion == "score" else _reciprocal_ranks(found)
    now = datetime.now(UTC)
    for each, nearness, share in zip(found, meaning, words, strict=True):
        each.parts = {
            "meaning": ranking.meaning * nearness,
            "words": (ranking.words or 0.0) * share,
            "speaker": (ranking.speaker or 0.0) * _is_named(each.record, search.names),
            "recency": ranking.recency * _recency(each.record, ranking.half_life, now) if ranking.recency else 0.0,
            "importance": ranking.importance * _importance(each.record),
        }
    best: dict[tuple[Any, Any], float] = {}
    for each in found:
        session = _session(each.record)
        best[session] = max(each.score, best.get(session, each.score))
    neighbours = _neighbours(found)
    for each in found:
        content = each.record.get("content")
        content = content if isinstance(content, str) else ""
        others = {"time": 0.0, "asking": 0.0}
        if ranking.time:
            others["time"] = ranking.time * says_when(content, store.database.language)
        if ranking.asking:
            others["asking"] = -ranking.asking * is_question(content)
        if each.record.get("conversation_id") is not None:
            others["session"] = (ranking.session or 0.0) * best[_session(each.record)]
            others["neighbours"] = (ranking.neighbours or 0.0) * neighbours[id(each)]
        each.parts |= others


def _neighbours(found: Sequence[Candidate]) -> dict[int, float]:
    """Return the better score of the two that stand just before and after each in its conversation, 0 without any."""
    turns: dict[tuple[Any, Any], list[Candidate]] = {}
    for each in sorted(found, key=lambda each: (_moment(each.record), each.seq)):
        turns.setdefault(_session(each.record), []).append(each)
    better: dict[int, float] = {}
    for conversation in turns.values():
        scores = [each.score for each in conversation]
        for place, each in enumerate(conversation):
            better[id(each)] = max([*scores[max(place - 1, 0) : place], *scores[place + 1 : place + 2]], default=0.0)
    return better


def _shares(store: Store, found: Sequence[Candidate], center: float) -> tuple[list[float], list[float]]:
    """Return by how much each similarity is more than `center`, and its text score as a share of the best."""
    best = max((each.rank for each in found), default=0.0) or 1.0
    similarities = [0.0 if each.distance is None else store.spec.score(each.distance) - center for each in found]
    return similarities, [each.rank / best for each in found]


def _reciprocal_ranks(found: Sequence[Candidate]) -> tuple[list[float], list[float]]:
    """Return 1 / (10 + place) of each, in the order by distance and in that by text score; 0 for what is in neither."""
    nearest = sorted((each for each in found if each.distance is not None), key=lambda each: (each.distance, each.seq))
    with_words = sorted((each for each in found if each.rank), key=lambda each: (-each.rank, each.seq))
    by_distance = {id(each): 1 / (_RRF + place) for place, each in enumerate(nearest, 1)}
    by_words = {id(each): 1 / (_RRF + place) for place, each in enumerate(with_words, 1)}
    return [by_distance.get(id(each), 0.0) for each in found], [by_words.get(id(each), 0.0) for each in found]


def _is_named(record: Record, names: Sequence[str]) -> bool:
    role = record.get("role")
    return isinstance(role, str) and not set(re.split(r"\W+", role.lower())).isdisjoint(names)


_NEVER = datetime.min.replace(tzinfo=UTC)


def _moment(record: Record) -> datetime:
    moment = record.get("timestamp") or record.get("created_at")
    return moment if isinstance(moment, datetime) else _NEVER


def _recency(record: Record, half_life: float, now: datetime) -> float:
    moment = _moment(record)
    if moment == _NEVER:
        return 0.0
    days = max((now - moment).total_seconds(), 0) / 86400
    return math.exp(-min(math.log(2) * days / half_life, 500))


def _importance(record: Record) -> float:
    importance = record.get("importance_score")
    if not isinstance(importance, int | float) or not math.isfinite(importance):
        return 0.0
    return max(-_IMPORTANCE, min(_IMPORTANCE, importance))


def _session(record: Record) -> tuple[Any, Any]:
    return str(record.get("memory_id")), str(record.get("conversation_id"))


# --- hits ---------------------------------------------------------------------------------------------------------


def hit(store: Store, search: Search, found: Candidate, explain: bool) -> Document:
    """Return the document of a hit, with its score and, where a vector ranked, its distance."""
    document = store.document(found.record, search.options.include_embedding)
    computed = {"score": found.score} if found.distance is None else {"distance": found.distance, "score": found.score}
    for key, value in computed.items():
        document[f"_{key}"] = value
        document.setdefault(key, value)
    if explain:
        document["_explanation"] = {part: value for part, value in found.parts.items() if value}
    return document


def merged(search: Search, found: Sequence[tuple[Store, list[Candidate], float]]) -> list[tuple[Store, Document]]:
    """Return the best documents of several stores, each with its store; those come with their hits and best text score.

    A store's text scores are shares of its own best; to be compared they become shares of the best of all. The part of
    the session, which only some stores have, is divided out: else no fact stands before the turns of a conversation.
    """
    best_of_all = max((best for _, _, best in found), default=0.0)
    if best_of_all and search.ranking.fusion == "score":
        for _, hits, best in found:
            for each in hits:
                each.parts["words"] *= best / best_of_all
    if search.scored and len(found) > 1:
        for store, hits, _ in found:
            support = supported(search.ranking, store.spec)
            for each in (hit for hit in hits if hit.parts.get("session")):
                each.parts = {part: value / support for part, value in each.parts.items()}
    ranked = [(store, each) for store, hits, _ in found for each in hits]
    ranked.sort(key=lambda pair: pair[1].score, reverse=True)
    return [(store, hit(store, search, each, bool(search.options.explain))) for store, each in ranked[: search.limit]]
