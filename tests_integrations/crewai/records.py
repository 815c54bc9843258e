"""Records for the tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import pytest
from crewai.memory.types import MemoryRecord

# Before, some of what CrewAI's own storages answer is not what it describes.
beside_crewais_own = pytest.mark.skipif(
    tuple(map(int, version("crewai").split(".")[:3])) < (1, 15, 30), reason="CrewAI's own storages of then differ"
)
BEGIN = datetime(2026, 3, 1, 12, 0, 0, 123456)


def record(id: str, embedding: list[float] | None = None, **given: Any) -> MemoryRecord:
    return MemoryRecord(**{"id": id, "content": f"content of {id}", "embedding": embedding, **given})


def seven() -> list[MemoryRecord]:
    """Records of several scopes, categories, times and directions, none of whose scopes begins like another one."""
    given: list[tuple[str, list[float], str, list[str], dict[str, Any]]] = [
        ("tea", [1.0, 0.0, 0.0], "/crew/kitchen", ["drink", "habit"], {"who": "ada", "n": 1}),
        ("milk", [0.875, 0.125, 0.0], "/crew/kitchen", ["drink"], {"who": "ben", "n": 2}),
        ("train", [0.0, 1.0, 0.0], "/crew/travel/rail", ["habit"], {"who": "ada", "deep": {"a": [1, None]}}),
        ("plane", [0.125, 0.875, 0.125], "/crew/travel/air", [], {}),
        ("rent", [0.0, 0.0, 1.0], "/flow/money", ["bill"], {"n": "1"}),
        ("tax", [0.0, 0.125, 0.875], "/flow/money", ["bill", "habit"], {"n": None}),
        ("root", [0.5, 0.5, 0.5], "/", [], {"ok": True}),
    ]
    return [
        record(
            id,
            vector,
            scope=scope,
            categories=categories,
            metadata=metadata,
            importance=0.1 * number,
            created_at=BEGIN + timedelta(days=number),
            last_accessed=BEGIN,
            source="ada" if number % 2 else None,
            private=number == 3,
        )
        for number, (id, vector, scope, categories, metadata) in enumerate(given)
    ]


def ids(found: Iterable[Any]) -> list[str]:
    """Return the ids of records, or of what a search found."""
    return [each[0].id if isinstance(each, tuple) else each.id for each in found]
