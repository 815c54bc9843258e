"""That reads use an index, and that what is written on every read stays out of all of them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY


def test_the_newest_turns_of_a_conversation_come_from_an_index(config: PostgreSQLConfig) -> None:
    """Of a long store, the newest of one conversation are read by its index, in order, and no others."""
    with PostgreSQLProvider(config) as provider:
        provider.store_many([{"conversation_id": f"c{n % 50}", "n": n} for n in range(5000)], TURNS)
        with psycopg.connect(config.conninfo, autocommit=True) as connection:
            connection.execute("ANALYZE conversation_memory")
            plan = connection.execute(
                "EXPLAIN SELECT * FROM conversation_memory "
                "WHERE tenant = '' AND (expires_at IS NULL OR expires_at > now()) AND conversation_id = 'c7' "
                'ORDER BY "timestamp" DESC, seq DESC LIMIT 5'
            ).fetchall()
        text = " ".join(line for (line,) in plan)
        assert "conversation_memory_conversation_id_idx" in text
        assert "Sort" not in text
        found = provider.retrieve_conversation_history_ordered_by_timestamp(limit=2, conversation_id="c7")
        assert [each["n"] for each in found] == [4907, 4957]


def test_what_begins_with_a_text_comes_from_an_index(config: PostgreSQLConfig) -> None:
    """$prefix of a conversation_id reads those that begin so and no others, in a database of any collation."""
    with PostgreSQLProvider(config) as provider:
        provider.store_many([{"conversation_id": f"c{n % 500:03}/{n}"} for n in range(5000)], LONG)
        with psycopg.connect(config.conninfo, autocommit=True) as connection:
            connection.execute("ANALYZE long_term_memory")
            plan = connection.execute(
                "EXPLAIN SELECT * FROM long_term_memory WHERE tenant = '' AND conversation_id ^@ 'c007/'"
            ).fetchall()
        assert "long_term_memory_conversation_id_idx" in " ".join(line for (line,) in plan)
        found = provider.distinct(LONG, "conversation_id", {"conversation_id": {"$prefix": "c007/"}})
        assert found == sorted(f"c007/{n}" for n in range(7, 5000, 500))


def test_the_first_of_many_values_are_all_that_is_read(config: PostgreSQLConfig) -> None:
    """`distinct` with a limit reads conversation_ids in the order of their index and stops there, sorted or not.

    The index alone is read where nothing expires.
    """
    with PostgreSQLProvider(config) as provider:
        provider.store_many(
            [{"conversation_id": f"C{n % 500:03}" if n % 2 else f"c{n % 500:03}"} for n in range(5000)], LONG
        )
        with psycopg.connect(config.conninfo, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE long_term_memory")
            some_expire = "EXISTS (SELECT FROM long_term_memory AS d WHERE d.tenant = '' AND d.expires)"
            listed = "SELECT DISTINCT conversation_id AS value FROM long_term_memory WHERE tenant = ''"
            page = "conversation_id IS NOT NULL ORDER BY value USING OPERATOR(pg_catalog.~<~) LIMIT 3"
            plan = connection.execute(
                f"EXPLAIN ({listed} AND NOT {some_expire} AND {page}) UNION ALL "
                f"({listed} AND (expires_at IS NULL OR expires_at > now()) AND {some_expire} AND {page})"
            ).fetchall()
        text = " ".join(line for (line,) in plan)
        assert "Index Only Scan using long_term_memory_conversation_id_idx" in text
        assert "Sort" not in text
        assert provider.distinct(LONG, "conversation_id", limit=3) == ["C001", "C003", "C005"]
        assert provider.distinct(LONG, "conversation_id", limit=2, offset=249) == ["C499", "c000"]


def test_the_index_of_a_memory_brings_no_rows_of_other_tenants(config: PostgreSQLConfig) -> None:
    """Where many tenants have a memory of one name, a call reads the rows of its own and none of theirs."""
    with PostgreSQLProvider(config) as provider:
        for number in range(20):
            documents = [{"name": "note", "memory_id": "default", "n": n} for n in range(100)]
            provider.tenant(f"t{number}").store_many(documents, LONG)
        with psycopg.connect(config.conninfo, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE long_term_memory")
            for key, value, ordered in (("memory_id", "default", '"timestamp"'), ("name", "note", "created_at")):
                plan = connection.execute(
                    "EXPLAIN (ANALYZE, FORMAT JSON) SELECT id FROM long_term_memory "
                    f"WHERE tenant = 't7' AND {key} = '{value}' ORDER BY {ordered} DESC, seq DESC LIMIT 50"
                ).fetchall()[0][0][0]["Plan"]
                while "Index Name" not in plan:
                    (plan,) = plan["Plans"]
                assert plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) <= 100
        assert provider.tenant("t7").count(LONG, {"memory_id": "default"}) == 100


def test_what_a_document_lacks_is_in_no_index(config: PostgreSQLConfig) -> None:
    """A document of no name, memory, conversation and text is in the indexes of its key and its age alone."""
    with PostgreSQLProvider(config) as provider:
        provider.store_many([{"n": n} for n in range(1000)], LONG)
        with psycopg.connect(config.conninfo, autocommit=True) as connection:
            connection.execute("VACUUM long_term_memory")
            sizes = connection.execute(
                "SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index "
                "WHERE indrelid = 'long_term_memory'::regclass AND pg_relation_size(indexrelid) > 3 * 8192"
            ).fetchall()
        assert {name for name, _ in sizes} == {"long_term_memory_pkey", "long_term_memory_created_at_idx"}
        assert provider.retrieve_by_query({"$text": {"$search": "anything"}}, LONG) == []
        assert provider.retrieve_by_query({"name": None, "n": 7}, LONG)[0]["n"] == 7


@pytest.mark.parametrize("read", ["by_id", "by_query"])
def test_a_touch_enters_no_index(config: PostgreSQLConfig, read: str) -> None:
    """Counting a document with a ttl as accessed, and letting it live on, is an update within its page (HOT).

    Not before PostgreSQL 16, where a BRIN index is in the way of that.
    """
    pool = ConnectionPool(config.conninfo, min_size=1, max_size=1)
    with pool, PostgreSQLProvider(config, pool=pool) as provider:
        provider.store_many([{"id": f"{n}", "ttl": 3600, "name": "x"} for n in range(20)], LONG)
        before = _updates(pool)
        for n in range(20):
            if read == "by_id":
                provider.retrieve_by_id(f"{n}", LONG, touch=True)
            else:
                provider.retrieve_by_query({"id": f"{n}"}, LONG, touch=True)
        with pool.connection() as connection:
            ours = 20 if connection.info.server_version >= 160_000 else 0
        updated, hot = (now - then for now, then in zip(_updates(pool), before, strict=True))
    assert (updated, hot) == (20, ours)


def test_the_nearest_of_a_whole_store_as_of_a_time_are_looked_for_once(config: PostgreSQLConfig) -> None:
    """Their documents are read by their keys: no row is read more often than what compares all of them does."""
    pool = ConnectionPool(config.conninfo, min_size=1, max_size=1)
    with pool, PostgreSQLProvider(config, pool=pool) as provider:
        provider.keep_history(LONG)
        provider.store_many([{"id": f"{n}", "embedding": [1, n, 0, 0]} for n in range(3000)], LONG)
        then = provider.retrieve_by_id("2999", LONG)["updated_at"]
        for n in range(0, 3000, 30):
            provider.update_by_id(f"{n}", {"n": n}, LONG)
        with pool.connection() as connection:
            connection.execute("ANALYZE long_term_memory, memorizz_long_term_memory_history")
        before = _read(pool)
        hits = provider.at(then).retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, limit=10, exact=True)
        assert [hit["id"] for hit in hits] == [f"{n}" for n in range(10)]
        assert _read(pool) - before < 10_000


@pytest.mark.parametrize("kept_by", ["tenant", "memory"])
@pytest.mark.parametrize("asked", ["meaning", "words", "both", "filtered"])
def test_a_search_of_few_rows_reads_no_others_whatever_was_searched_before(
    config: PostgreSQLConfig, kept_by: str, asked: str
) -> None:
    """In a small tenant or memory its rows are read and none else, by a session that has searched large ones."""
    vector = {"embedding": [1, 0, 0, 0]}
    words = {"$text": {"$search": "tea"}}
    filtered = {**vector, "importance_score": {"$gte": 0.5}}
    query = {"meaning": vector, "words": words, "both": vector | words, "filtered": filtered}[asked]
    few = config.replace(schema="few", index="none")
    pool = ConnectionPool(config.conninfo, min_size=1, max_size=1)
    with pool, PostgreSQLProvider(few, pool=pool) as provider:
        views = [getattr(provider, kept_by)(name) for name in ("large", "middling", "small")]
        for view, rows in zip(views, (20_000, 900, 10), strict=True):
            view.store_many([{"content": "tea", "importance_score": 1.0, **vector} for _ in range(rows)], LONG)
        with pool.connection() as connection:
            connection.execute("ANALYZE few.long_term_memory")
        for view in views[:2]:
            for _ in range(20):
                view.retrieve_by_query(query, LONG, limit=3)
        before = _read(pool)
        for _ in range(10):
            assert len(views[2].retrieve_by_query(query, LONG, limit=3)) == 3
        assert _read(pool) - before < 10 * 3 * 10


@pytest.mark.parametrize("asked", ["words", "both"])
def test_the_documents_of_many_hits_are_read_once_each(config: PostgreSQLConfig, asked: str) -> None:
    """A search by a score with a large limit reads what matches, what is scored and what is returned, no more often."""
    query: dict[str, Any] = {"$text": {"$search": "tea"}} | ({"embedding": [1, 0, 0, 0]} if asked == "both" else {})
    pool = ConnectionPool(config.conninfo, min_size=1, max_size=1)
    with pool, PostgreSQLProvider(config.replace(schema="many", index="none"), pool=pool) as provider:
        view = provider.tenant("acme")
        view.store_many([{"content": "tea", "embedding": [1, n, 0, 0]} for n in range(1500)], LONG)
        provider.store_many([{"n": n} for n in range(4500)], LONG)
        with pool.connection() as connection:
            connection.execute("ANALYZE many.long_term_memory")
        before = _read(pool)
        assert len(view.retrieve_by_query(query, LONG, limit=500)) == 500
        assert _read(pool) - before < 20_000


def _read(pool: Any) -> int:
    """Return how many rows of a store were read, one after the other or by an index."""
    with pool.connection() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.commit()
        return connection.execute(
            "SELECT sum(seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_user_tables "
            "WHERE relname = 'long_term_memory'"
        ).fetchone()[0]


def _updates(pool: Any) -> tuple[int, int]:
    """Return how many rows were updated, and how many of them within their page."""
    with pool.connection() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.commit()
        return connection.execute(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'long_term_memory'"
        ).fetchone()
