"""Rows that another program has written with SQL: they can be read, and what cannot be moved is named."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.postgresql import PostgreSQLConfig
from memorizz.moving import copy, export, load

LONG, TURNS = "long_term_memory", "conversation_memory"
# The values of its columns, and why no provider stores it.
ROWS = {
    "a number of 5,001 digits": ({"data": "('{\"n\": -' || repeat('9', 5001) || '}')::jsonb"}, "more than 4300 digits"),
    "a value nested 3,000 levels deep": (
        {"data": "jsonb_build_object('n', (repeat('[', 3000) || '\"a\\\"[,\"' || repeat(']', 3000))::jsonb)"},
        "nested more than 256 levels deep",
    ),
    "an infinite importance": ({"importance_score": "'Infinity'"}, "'importance_score': expected a finite number"),
    "a time without end": ({'"timestamp"': "'infinity'"}, "'timestamp': 'infinity' is not"),
    "a time without beginning": ({"updated_at": "'-infinity'"}, "'updated_at': '-infinity' is not"),
    "a time before Christ": ({"created_at": "'0044-03-15 12:30 BC'"}, "'0044-03-15 12:30:00+00 BC' is not"),
    "the last time": ({"expires_at": "'294276-12-31 23:59:59.999999+00'"}, "'294276-12-31 23:59:59.999999+00' is not"),
    "the year 10000": ({"last_accessed": "'10000-01-01 00:00:00.5+00'"}, "'10000-01-01 00:00:00.5+00' is not"),
}


@pytest.fixture(params=ROWS)
def what(request: pytest.FixtureRequest) -> str:
    return request.param


def insert(dsn: str, values: dict[str, str], store: str = LONG) -> None:
    """Write a row as another program does."""
    values = {"id": "gen_random_uuid()", "content": "'tea'", "memory_id": "'m'", "data": "'{}'", **values}
    with psycopg.connect(dsn) as connection:
        connection.execute(f"INSERT INTO {store} ({', '.join(values)}) VALUES ({', '.join(values.values())})".encode())


@pytest.fixture
def written(provider: Any, migrated_dsn: str, what: str) -> Any:
    """A provider with two documents of its own and a row of another program's."""
    provider.store({"id": "a", "content": "tea"}, LONG)
    insert(migrated_dsn, ROWS[what][0])
    provider.store({"id": "b", "content": "tea"}, LONG)
    return provider


def test_a_store_with_such_a_row_can_be_read(
    open_api: Callable[..., Any], config: PostgreSQLConfig, written: Any
) -> None:
    """Every read returns it among the others."""
    with open_api(config) as api:
        assert len(api.list_all(LONG)) == 3
        assert len(list(api.iterate(LONG, batch_size=1))) == 3
        assert len(api.retrieve_by_query("tea", LONG, limit=5)) == 3
        assert len(api.retrieve_by_query({"content": "tea"}, LONG, limit=5)) == 3
        ranking = Ranking(recency=0.2, importance=0.2)
        assert len(api.retrieve_by_query("tea", LONG, limit=5, ranking=ranking, touch=True)) == 3
        [key] = {each["id"] for each in api.list_all(LONG)} - {"a", "b"}
        assert api.update_by_id(key, {"m": 1}, LONG)
        assert api.retrieve_by_id(key, LONG)["m"] == 1
        assert len(list(api.iterate(LONG, after=key))) < 3
        assert api.delete_by_id(key, LONG)


def test_it_is_read_as_it_is(written: Any, what: str) -> None:
    """To the last digit, to the last level, and each time as PostgreSQL writes it."""
    [row] = [each for each in written.list_all(LONG) if each["id"] not in ("a", "b")]
    value = row.get("n")
    if what == "a number of 5,001 digits":
        assert value == -(10**5001 - 1)
    elif what == "a value nested 3,000 levels deep":
        depth = 0
        while isinstance(value, list):
            [value] = value
            depth += 1
        assert (depth, value) == (3000, 'a"[,')
    elif "time" in what or "year" in what:
        [(column, _)] = ROWS[what][0].items()
        assert row[column.strip('"')] in ROWS[what][1]


@pytest.mark.parametrize("id", [5, [5], {"a": None}, True])
def test_an_id_that_is_no_text_is_its_json(provider: Any, target: Any, migrated_dsn: str, id: Any) -> None:
    """In every read; and so it is moved."""
    insert(migrated_dsn, {"data": f"jsonb_build_object('_id', '{json.dumps(id)}'::jsonb)"})
    [hit] = provider.retrieve_by_query("tea", LONG, touch=True, context=0)
    assert (hit["id"], hit["_id"]) == (json.dumps(id), json.dumps(id))
    assert copy(provider, target).ok
    assert [each["id"] for each in target.list_all(LONG)] == [json.dumps(id)]


def test_what_never_expires_is_moved(provider: Any, target: Any, migrated_dsn: str) -> None:
    """To expire at infinity is not to expire, so that the document has no such key."""
    insert(migrated_dsn, {"expires_at": "'infinity'"})
    [document] = provider.list_all(LONG)
    assert "expires_at" not in document
    assert provider.purge_expired(LONG) == 0
    assert copy(provider, target).ok
    assert target.list_all(LONG) == [document]


def test_a_history_with_such_times_has_its_order(
    open_api: Callable[..., Any], config: PostgreSQLConfig, provider: Any, migrated_dsn: str
) -> None:
    """And is paged through turn by turn."""
    provider.store({"id": "now", "memory_id": "m", "content": "tea"}, TURNS)
    for time in ("infinity", "0001-01-01 00:00+00 BC", "-infinity", "20000-02-29 00:00+00", "4713-01-01 00:00+00 BC"):
        insert(migrated_dsn, {'"timestamp"': f"'{time}'"}, TURNS)
    with open_api(config) as api:
        turns = api.retrieve_conversation_history_ordered_by_timestamp("m")
        times = [str(turn["timestamp"]) for turn in turns if turn["id"] != "now"]
        assert times == [
            "-infinity", "4713-01-01 00:00:00+00 BC", "0001-01-01 00:00:00+00 BC", "20000-02-29 00:00:00+00", "infinity"
        ]  # fmt: skip
        paged: list[Any] = []
        while page := api.retrieve_conversation_history_ordered_by_timestamp("m", 1, paged[0]["id"] if paged else None):
            paged = page + paged
        assert paged == turns
        for hit in api.retrieve_by_query("tea", TURNS, limit=9, context=1, ranking=Ranking(recency=0.5)):
            assert set(hit["_context"]) == {"before", "after"}
        assert len(api.retrieve_by_query({"timestamp": {"$lt": "2000-01-01"}}, TURNS, limit=9)) == 3


@pytest.mark.parametrize("width", [1, 100])
def test_a_store_is_read_from_its_first_time_to_its_last(provider: Any, migrated_dsn: str, width: int) -> None:
    """Whatever was created when."""
    times = ["-infinity", "4713-01-01 00:00:00+00 BC", "0001-01-01 00:00:00+00", "20000-01-01 00:00:00+00", "infinity"]
    for time in times:
        insert(migrated_dsn, {"created_at": f"'{time}'"})
    found = [str(each["created_at"])[:13] for each in provider.iterate(LONG, batch_size=width)]
    assert found == [time[:13] for time in times]


def test_an_export_and_a_copy_name_it(written: Any, target: Any, what: str) -> None:
    """With the reason; the others arrive, and the file can be loaded."""
    for dry_run in (True, False):
        report = next(each for each in copy(written, target, dry_run=dry_run).stores if each.store == LONG)
        assert not report.ok
        assert [ROWS[what][1] in problem.reason for problem in report.problems] == [True]
        assert (report.in_source, report.not_copied, report.missing, report.different) == (3, 1, 0, 0)
    merged = next(each for each in copy(written, target, existing="merge").stores if each.store == LONG)
    assert (merged.present, merged.not_copied) == (2, 1)
    exported = export(written, file := io.BytesIO())
    assert (exported[LONG], exported.ok) == (2, False)
    assert ROWS[what][1] in exported.not_exported[LONG].listed[0].reason
    file.seek(0)
    load(file, target, existing="replace")
    assert [each["id"] for each in target.list_all(LONG)] == ["a", "b"]


@pytest.mark.parametrize("column", ["data", "metadata"])
def test_what_is_no_object_is_kept_out(provider: Any, migrated_dsn: str, column: str) -> None:
    """By a CHECK, as nothing could be made of it."""
    with pytest.raises(psycopg.errors.CheckViolation, match="objects_check"):
        insert(migrated_dsn, {column: "'[1]'"})
    assert provider.count(LONG) == 0


def test_a_text_that_sql_has_changed_is_told(provider: Any, migrated_dsn: str) -> None:
    """In the place of the parts that were stored, whose text was another one; and it is found by its words."""
    provider.store({"id": "a", "content": [{"type": "text", "text": "black tea"}]}, LONG)
    with psycopg.connect(migrated_dsn) as connection:
        connection.execute("UPDATE long_term_memory SET content = 'green tea'")
    assert provider.retrieve_by_id("a", LONG)["content"] == "green tea"
    assert [hit["content"] for hit in provider.retrieve_by_query("green", LONG)] == ["green tea"]
