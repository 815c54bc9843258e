"""LoCoMo (Maharana et al., ACL 2024): ten long conversations, questions about them, and the turns that answer each.

Its file, locomo10.json, is licensed CC BY-NC 4.0 and no part of this project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.data import Document
from memorizz.memory_provider.memory_type import MemoryType

TURNS, FACTS = MemoryType.CONVERSATION_MEMORY, MemoryType.LONG_TERM_MEMORY
CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}


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


def load(path: Path) -> tuple[Set, Set, Set]:
    """Return the turns, the same without any conversation_id, and the observations about them as long-term memories.

    Each has its questions.
    """
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
    return turns, _without_conversations(turns), facts


def _without_conversations(turns: Set) -> Set:
    """Return turns in memories of their own, as of one that knows no conversations."""
    return Set(
        "turns without conversation_id",
        turns.store,
        [
            {key: f"plain/{value}" if key in ("id", "memory_id") else value for key, value in each.items()}
            for each in ({key: turn[key] for key in turn if key != "conversation_id"} for turn in turns.documents)
        ],
        [
            replace(each, memory_id=f"plain/{each.memory_id}", answers=frozenset(f"plain/{id}" for id in each.answers))
            for each in turns.questions
        ],
    )


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
