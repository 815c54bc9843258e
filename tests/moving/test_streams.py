"""What documents add up to: the same wherever they are kept, another one where anything of them differs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorizz.moving._streams import Checksum, digest

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DOCUMENT: dict[str, Any] = {"id": "a", "content": "tea", "metadata": {"n": 1}, "embedding": [0.1, 0.2], "none": None}


@pytest.mark.parametrize(
    "same",
    [
        dict(reversed(list(DOCUMENT.items()))),
        DOCUMENT | {"embedding": np.array([0.1, 0.2], np.float32)},
        {**DOCUMENT, "_id": "a", "_score": 0.5, "score": 0.5},
        DOCUMENT | {"created_at": None},
    ],
    ids=["order of keys", "kind of vector", "what a search adds", "a time that is always there"],
)
def test_the_same_document_has_the_same_digest(same: dict[str, Any]) -> None:
    """Whatever the order of its keys and the type of its vector, with and without what a search has added."""
    assert digest(same) == digest(DOCUMENT)


@pytest.mark.parametrize(
    "other",
    [
        DOCUMENT | {"id": "b"},
        DOCUMENT | {"content": "Tea"},
        DOCUMENT | {"metadata": {"n": 1.0}},
        DOCUMENT | {"metadata": {"n": "1"}},
        DOCUMENT | {"embedding": [0.1, 0.20000002]},
        DOCUMENT | {"embedding": None},
        {key: value for key, value in DOCUMENT.items() if key != "none"},
    ],
    ids=repr,
)
def test_what_differs_has_another_digest(other: dict[str, Any]) -> None:
    """An id, a text, a number's type, the last bit of a vector, a key that is None or missing."""
    assert digest(other) != digest(DOCUMENT)


def test_zero_has_no_sign_and_other_numbers_have_theirs() -> None:
    """PostgreSQL forgets the sign of zero in JSON, and of nothing else."""

    def of(x: Any) -> bytes:
        return digest({"id": "a", "x": x})

    assert of(-0.0) == of(0.0)
    assert of([-0.0, -0.0]) == of([0.0, 0.0])
    assert of(-0.05) != of(0.05)
    assert of("1-0.0") != of("10.0")


def test_times_and_numbers_are_compared_as_they_are_given_back() -> None:
    """A time may be a text or have another offset, and a number with a column may be an int."""
    stored = {"id": "a", "created_at": NOON, "importance_score": 1.0, "when": NOON.isoformat()}
    given_as = {"id": "a", "created_at": "2026-01-31T13:00:00+01:00", "importance_score": 1, "when": NOON}
    assert digest(stored) == digest(given_as)


@given(st.permutations([{"id": str(n), "n": n} for n in range(6)]))
def test_a_checksum_does_not_depend_on_the_order(documents: list[dict[str, Any]]) -> None:
    """The same documents in any order add up to the same, and one twice is not the same as once."""
    ordered, shuffled = Checksum(), Checksum()
    for document in sorted(documents, key=lambda document: document["n"]):
        ordered.add(document)
    for document in documents:
        shuffled.add(document)
    assert (ordered.count, ordered.hexdigest()) == (shuffled.count, shuffled.hexdigest())
    shuffled.add(documents[0])
    assert shuffled.hexdigest() != ordered.hexdigest()
