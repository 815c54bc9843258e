"""python -m benchmarks.retrieval: how much of what answers a question is found, on the questions of LoCoMo.

LoCoMo (Maharana et al., ACL 2024) is ten long conversations, questions about them, and the turns that answer each. Its
file, locomo10.json, is licensed CC BY-NC 4.0 and no part of this project: its path is the argument. No language model
takes part: what is measured is which turns come back, by Recall@10 and nDCG@10.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from memorizz.embeddings import Embedder, SentenceTransformerEmbedder
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

LIMIT = 10
TURNS, FACTS = MemoryType.CONVERSATION_MEMORY, MemoryType.LONG_TERM_MEMORY
# Where the same texts are with the vectors of their bare content.
BARE = {TURNS: MemoryType.SHORT_TERM_MEMORY, FACTS: MemoryType.WORKFLOW_MEMORY}
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}

Document = dict[str, Any]


# --- the data -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A question about one memory, and the ids of the documents that answer it."""

    memory_id: str
    text: str
    category: int
    answers: frozenset[str]


@dataclass(frozen=True)
class Set:
    """Documents of one store, and the questions about them."""

    name: str
    store: MemoryType
    documents: Sequence[Document]
    questions: Sequence[Question]


def load(path: Path) -> tuple[Set, Set]:
    """Return the turns, and the observations about them as long-term memories, each with its questions."""
    turns, facts = Set("turns", TURNS, [], []), Set("observations", FACTS, [], [])
    for sample in json.loads(path.read_text("utf-8")):
        memory_id = sample["sample_id"]
        said = list(_turns(memory_id, sample["conversation"]))
        observed = list(_facts(memory_id, sample["observation"]))
        turns.documents.extend(said)
        facts.documents.extend({key: value for key, value in fact.items() if key != "of"} for fact in observed)
        known = {turn["id"] for turn in said}
        for asked in sample["qa"]:
            evidence = frozenset(f"{memory_id}/{each}" for each in _turn_ids(asked["evidence"])) & known
            about = frozenset(fact["id"] for fact in observed if evidence & fact["of"])
            for target, answers in ((turns, evidence), (facts, about)):
                if answers:
                    target.questions.append(Question(memory_id, asked["question"], asked["category"], answers))
    return turns, facts


def _turns(memory_id: str, conversation: dict[str, Any]) -> Generator[Document]:
    sessions = (key for key in conversation if re.fullmatch(r"session_\d+", key))
    for session in sessions:
        start = datetime.strptime(conversation[f"{session}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for place, turn in enumerate(conversation[session]):
            caption = turn.get("blip_caption")
            yield {
                "id": f"{memory_id}/{turn['dia_id']}",
                "memory_id": memory_id,
                "conversation_id": session.removeprefix("session_"),
                "role": turn["speaker"],
                "content": turn["text"] + (f" [shares {caption}]" if caption else ""),
                "timestamp": start + timedelta(seconds=30 * place),
            }


def _facts(memory_id: str, observation: dict[str, Any]) -> Generator[Document]:
    for session, speakers in observation.items():
        for speaker, pairs in speakers.items():
            for place, (fact, source) in enumerate(pairs):
                sources = _turn_ids([source] if isinstance(source, str) else source)
                yield {
                    "id": f"{memory_id}/{session}/{speaker}/{place}",
                    "memory_id": memory_id,
                    "name": speaker,
                    "content": fact,
                    "of": {f"{memory_id}/{each}" for each in sources},
                }


def _turn_ids(texts: Iterable[str]) -> list[str]:
    """Return the ids of turns in texts, some of which hold several, or one in a stray form ("D:11:26", "D30:05")."""
    found = re.findall(r"D:?(\d+):(\d+)", " ".join(texts))
    return [f"D{int(session)}:{int(turn)}" for session, turn in found]


# --- the ways -----------------------------------------------------------------------------------------------------

Find = Callable[[Question, np.ndarray], Sequence[Document]]


def ways(provider: PostgreSQLProvider, store: MemoryType) -> dict[str, Find]:
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
        "cosine on 'who: content'": lambda question, vector: by_query(question, embedding=vector),
        "words": lambda question, _: by_query(question, ranking=plain, **{"$text": {"$search": question.text}}),
        "words, defaults": lambda question, _: by_query(question, **{"$text": {"$search": question.text}}),
        "rank fusion, as asked": lambda question, vector: both(question, vector, fused),
        "score fusion, as asked": lambda question, vector: both(question, vector, plain),
        "score fusion, as asked, defaults": both,
        "a str, with an embedder": lambda question, _: provider.retrieve_memory_components_by_query(
            question.text, memory_id=question.memory_id, memory_type=store, limit=LIMIT
        ),
    }


# --- the measure --------------------------------------------------------------------------------------------------


def recall(found: Sequence[str], answers: frozenset[str]) -> float:
    """Return which share of the answers was found."""
    return len(answers.intersection(found)) / len(answers)


def ndcg(found: Sequence[str], answers: frozenset[str]) -> float:
    """Return the normalised discounted cumulative gain; an answer gains 1, wherever it stands among the answers."""
    gained = sum(1 / math.log2(place + 2) for place, name in enumerate(found) if name in answers)
    return gained / sum(1 / math.log2(place + 2) for place in range(min(len(answers), LIMIT)))


Scores = dict[str, tuple[float, float]]


def measure(find: Find, questions: Sequence[Question], vectors: np.ndarray) -> Scores:
    """Return Recall@10 and nDCG@10 in percent, of all questions and of each category."""
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for question, vector in zip(questions, vectors, strict=True):
        found = [hit["id"] for hit in find(question, vector)]
        score = recall(found, question.answers), ndcg(found, question.answers)
        for kind in ("all", CATEGORIES[question.category]):
            scores[kind].append(score)
    return {kind: tuple(100 * np.mean(each, axis=0)) for kind, each in scores.items()}


def store(provider: PostgreSQLProvider, embedder: Embedder, chosen: Set) -> None:
    """Store the documents twice: as the provider embeds them, and with the vectors of their bare content."""
    provider.store_many(chosen.documents, chosen.store)
    vectors = embedder.embed([document["content"] for document in chosen.documents], kind="document")
    bare = [{**document, "embedding": vector} for document, vector in zip(chosen.documents, vectors, strict=True)]
    provider.store_many(bare, BARE[chosen.store])


# --- the command --------------------------------------------------------------------------------------------------


def main() -> None:
    options = _options()
    embedder = SentenceTransformerEmbedder(options.model)
    sets = load(options.path)
    with _server(options.dsn) as conninfo:
        config = PostgreSQLConfig(
            dsn=conninfo, schema="memorizz_retrieval", embedding_dimensions=embedder.dimensions, index=options.index
        )
        with PostgreSQLProvider(config, embedder=embedder) as provider:
            for name, fact in report.machine(conninfo, 0).items():
                if name != "data":
                    print(f"{name}: {fact}")
            print(f"model: {embedder.name}, {embedder.dimensions} dimensions; index: {options.index}")
            for chosen in sets:
                if options.only in chosen.name:
                    show(provider, embedder, chosen)


def show(provider: PostgreSQLProvider, embedder: Embedder, chosen: Set) -> None:
    """Measure one set and print its table."""
    store(provider, embedder, chosen)
    vectors = np.asarray(embedder.embed([question.text for question in chosen.questions], kind="query"))
    kinds = ["all", *(kind for kind in CATEGORIES.values())]
    lines = []
    for name, find in ways(provider, chosen.store).items():
        scores = measure(find, chosen.questions, vectors)
        lines.append((name, *(f"{scores[kind][0]:.1f} / {scores[kind][1]:.1f}" for kind in kinds)))
    title = f"LoCoMo, {len(chosen.documents):,} {chosen.name}, {len(chosen.questions):,} questions"
    report.show(f"{title}: Recall@{LIMIT} / nDCG@{LIMIT} in percent", ("way", *kinds), lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("path", type=Path, help="the file locomo10.json")
    parser.add_argument("--model", required=True, help="a model of sentence-transformers: a folder")
    parser.add_argument("--only", default="", metavar="NAME", help="turns or observations")
    parser.add_argument("--index", default="hnsw", choices=("hnsw", "halfvec", "none"), help="the vector index (hnsw)")
    parser.add_argument(
        "--dsn", help="a database to use, whose schema memorizz_retrieval it makes; else an embedded one"
    )
    return parser.parse_args()


@contextmanager
def _server(dsn: str | None) -> Generator[str]:
    """Give the connection string of a database: the one named, or that of an embedded server of this run."""
    if dsn is not None:
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="memorizz-benchmark-") as folder:
        # The server's own user must reach its data.
        Path(folder).chmod(0o711)
        server = EmbeddedServer(Path(folder) / "data", settings={"fsync": "off", "synchronous_commit": "off"})
        try:
            yield server.acquire()
        finally:
            server.release()


if __name__ == "__main__":
    main()
