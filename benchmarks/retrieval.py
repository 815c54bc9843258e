"""How much of what answers a question is found, on the questions of LoCoMo, by Recall@10 and nDCG@10.

No language model takes part: what is measured is which turns come back. Nothing here is timed; the figures of a run
repeat to the digit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.data import Document
from benchmarks.lab import Lab
from benchmarks.locomo import CATEGORIES, FACTS, TURNS, Question, Set, load
from benchmarks.report import Part, Record, Table
from benchmarks.report import target as reached
from memorizz.embeddings import Embedder, LocalEmbedder, SentenceTransformerEmbedder
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider

TAKES = "12 minutes; needs --locomo, and --model: local, or a folder in the environment of `make models`"
SCHEMA = "memorizz_benchmark_retrieval"
LIMIT = 10
# Where the same texts are with the vectors of their bare content.
BARE = {TURNS: MemoryType.SHORT_TERM_MEMORY, FACTS: MemoryType.WORKFLOW_MEMORY}
_AS_ASKED, _AS_TEXT = "score fusion, as asked, defaults", "a str, with an embedder"
# Recall@10 and nDCG@10 that are to be reached, in percent.
TARGETS = {
    ("turns", _AS_ASKED): (73.0, 55.0),
    ("turns", _AS_TEXT): (78.0, 59.0),
    ("turns without conversation_id", _AS_TEXT): (75.0, 57.0),
    ("observations", _AS_TEXT): (76.0, 64.0),
}


def measure(lab: Lab) -> Iterator[Part]:
    if lab.locomo is None or lab.model is None:
        raise SystemExit("retrieval needs --locomo FILE and --model FOLDER, or --model local")
    embedder = LocalEmbedder() if lab.model == "local" else SentenceTransformerEmbedder(lab.model)
    lab.drop(SCHEMA)
    with PostgreSQLProvider(
        lab.config(SCHEMA, embedding_dimensions=embedder.dimensions), embedder=embedder
    ) as provider:
        for chosen in load(lab.locomo):
            print(f"  {chosen.name} ...")
            yield _part(provider, embedder, chosen)
    lab.drop(SCHEMA)


def _part(provider: PostgreSQLProvider, embedder: Embedder, chosen: Set) -> Part:
    _store(provider, embedder, chosen)
    vectors = np.asarray(embedder.embed([question.text for question in chosen.questions], kind="query"))
    found = {name: _scores(find, chosen.questions, vectors) for name, find in _ways(provider, chosen.store).items()}
    data = f"LoCoMo, {len(chosen.documents):,} {chosen.name}, {len(chosen.questions):,} questions, {embedder.name}"
    return Part(f"retrieval/{chosen.name.replace(' ', '-')}", {"set": chosen.name, "ways": found}, data)


def tables(record: Record) -> list[Table]:
    kinds = ["all", *CATEGORIES.values()]
    body: list[tuple[str, ...]] = []
    for name, scores in record["ways"].items():
        wanted = TARGETS.get((record["set"], name))
        met = None if wanted is None else all(got >= goal for got, goal in zip(scores["all"], wanted, strict=True))
        cells = (f"{recall:.1f} / {ndcg:.1f}" for recall, ndcg in (scores[kind] for kind in kinds))
        goal = "" if wanted is None else f"≥ {wanted[0]:.0f} / {wanted[1]:.0f}"
        body.append((name, *cells, goal, reached(met)))
    return [Table(f"Recall@{LIMIT} / nDCG@{LIMIT} in percent", ("way", *kinds, "target", ""), body)]


# --- the ways -----------------------------------------------------------------------------------------------------

Find = Callable[[Question, np.ndarray], Sequence[Document]]


def _ways(provider: PostgreSQLProvider, store: MemoryType) -> dict[str, Find]:
    """Return what is compared: a name, and how it answers a question whose vector as asked is at hand."""

    def by_query(question: Question, store: MemoryType = store, **asked: Any) -> Sequence[Document]:
        ranking = asked.pop("ranking", None)
        return provider.retrieve_by_query({"memory_id": question.memory_id, **asked}, store, LIMIT, ranking=ranking)

    def both(question: Question, vector: np.ndarray, ranking: Ranking | None = None) -> Sequence[Document]:
        words = {"$search": question.text}
        return by_query(question, embedding=vector, ranking=ranking, **{"$text": words})

    plain = Ranking(speaker=0, session=0)
    fused = Ranking(meaning=1, words=1, fusion="rrf", speaker=0, session=0)
    return {
        "cosine on the content": lambda question, vector: by_query(question, BARE[store], embedding=vector),
        "cosine on what is embedded": lambda question, vector: by_query(question, embedding=vector),
        "words": lambda question, _: by_query(question, ranking=plain, **{"$text": {"$search": question.text}}),
        "words, defaults": lambda question, _: by_query(question, **{"$text": {"$search": question.text}}),
        "rank fusion, as asked": lambda question, vector: both(question, vector, fused),
        "score fusion, as asked": lambda question, vector: both(question, vector, plain),
        _AS_ASKED: both,
        _AS_TEXT: lambda question, _: provider.retrieve_memory_components_by_query(
            question.text, memory_id=question.memory_id, memory_type=store, limit=LIMIT
        ),
    }


def recall(found: Sequence[str], answers: frozenset[str]) -> float:
    """Return which share of the answers was found."""
    return len(answers.intersection(found)) / len(answers)


def ndcg(found: Sequence[str], answers: frozenset[str]) -> float:
    """Return the normalised discounted cumulative gain; an answer gains 1, wherever it stands among the answers."""
    gained = sum(1 / math.log2(place + 2) for place, name in enumerate(found) if name in answers)
    return gained / sum(1 / math.log2(place + 2) for place in range(min(len(answers), LIMIT)))


Scores = dict[str, tuple[float, float]]


def _scores(find: Find, questions: Sequence[Question], vectors: np.ndarray) -> Scores:
    """Return Recall@10 and nDCG@10 in percent, of all questions and of each category."""
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for question, vector in zip(questions, vectors, strict=True):
        found = [hit["id"] for hit in find(question, vector)]
        score = recall(found, question.answers), ndcg(found, question.answers)
        for kind in ("all", CATEGORIES[question.category]):
            scores[kind].append(score)
    return {kind: tuple((100 * np.mean(each, axis=0)).tolist()) for kind, each in scores.items()}


def _store(provider: PostgreSQLProvider, embedder: Embedder, chosen: Set) -> None:
    """Store the documents twice: as the provider embeds them, and with the vectors of their bare content."""
    provider.store_many(chosen.documents, chosen.store)
    vectors = embedder.embed([document["content"] for document in chosen.documents], kind="document")
    bare = [{**document, "embedding": vector} for document, vector in zip(chosen.documents, vectors, strict=True)]
    provider.store_many(bare, BARE[chosen.store])
