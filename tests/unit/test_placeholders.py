"""The placeholders of a statement become numbers."""

from __future__ import annotations

import pytest

from memorizz.memory_provider.postgresql.driver._shared import numbered


def test_a_name_has_one_number_however_often_it_is_used() -> None:
    """Names are numbered in the order in which they first appear, also those of settings, which have a point."""
    statement = b"SELECT %(b)s::text, set_config('hnsw.ef_search', %(hnsw.ef_search)s, true), %(b)s"
    assert numbered(statement) == (
        b"SELECT $1::text, set_config('hnsw.ef_search', $2, true), $1",
        ("b", "hnsw.ef_search"),
    )


@pytest.mark.parametrize(
    ("statement", "sent"),
    [
        (b"SELECT 1", b"SELECT 1"),
        (b"SELECT a LIKE '50%%' AND b = 7 %% 2", b"SELECT a LIKE '50%' AND b = 7 % 2"),
        (b"SELECT '%%(a)s'", b"SELECT '%(a)s'"),
    ],
)
def test_two_percent_signs_are_one(statement: bytes, sent: bytes) -> None:
    """A percent sign that is doubled is none of a placeholder's."""
    assert numbered(statement) == (sent, ())


def test_a_value_that_is_to_travel_in_binary_has_no_number() -> None:
    """Such a statement is left to the driver as it is."""
    assert numbered(b"SELECT %(a)s, %(places)b::integer[]") is None
