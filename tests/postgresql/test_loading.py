"""Loading an empty store: the vector index is put off and comes back as it was, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from memorizz.errors import DatabaseError, InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance

LONG = MemoryType.LONG_TERM_MEMORY
INDEX = "long_term_memory_embedding_idx"


def index(config: PostgreSQLConfig) -> tuple[Any, ...] | None:
    """Return the kind and the parameters of the vector index of long_term_memory."""
    with Maintenance(config) as maintenance:
        found = [each for each, _ in maintenance.indexes() if each.name == INDEX]
    return (found[0].method, found[0].m, found[0].ef_construction, found[0].valid) if found else None


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"n": n, "embedding": [1, n, 0, 0]} for n in range(count)]


@pytest.mark.parametrize(("kind", "m", "ef"), [("hnsw", 24, 128), ("halfvec", 8, 40)])
def test_the_index_of_an_empty_store_is_built_at_the_end(
    open_api: Callable[..., Any], config: PostgreSQLConfig, kind: Any, m: int, ef: int
) -> None:
    """Of the same kind and with the same parameters; meanwhile there is none, and searches are complete."""
    config = config.replace(schema="own", index=kind, hnsw_m=m, hnsw_ef_construction=ef)
    told: list[float] = []
    with open_api(config) as provider:
        before = index(config)
        assert before == (kind, m, ef, True)
        with provider.loading(LONG, told.append):
            assert index(config) is None
            provider.store_many(numbered(30), LONG)
            assert len(provider.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, limit=20)) == 20
        assert index(config) == before
        assert len(provider.retrieve_by_query({"embedding": [1, 0, 0, 0]}, LONG, limit=20)) == 20
    assert all(0 <= share <= 1 for share in told)


def test_a_block_that_fails_leaves_it_to_the_next(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """The catalogs keep what is to be built, so that any later program completes it, although the store has rows."""
    with open_api(config) as provider:
        fails_and_is_completed(open_api, provider, config)


def fails_and_is_completed(open_api: Callable[..., Any], provider: Any, config: PostgreSQLConfig) -> None:
    before = index(config)
    with pytest.raises(InvalidDocument), provider.loading(LONG):
        provider.store_many([*numbered(600), {"n": object()}], LONG)
    assert index(config) is None
    with open_api(config) as another, another.loading(LONG):
        another.store_many(numbered(3), LONG)
        assert index(config) is None
    assert index(config) == before
    with provider.loading(LONG):
        assert index(config) == before


def test_an_index_that_somebody_built_meanwhile_is_kept(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """Also where it has other parameters; nothing is built then, and nothing is put off any more."""
    with provider.loading(LONG), Maintenance(config) as maintenance:
        list(maintenance.make(maintenance.plan_build("long_term_memory", m=7)))
    assert index(config) == ("hnsw", 7, 128, True)
    with psycopg.connect(config.conninfo) as connection:
        note = connection.execute(
            "SELECT col_description(attrelid, attnum) FROM pg_attribute "
            "WHERE attrelid = 'long_term_memory'::regclass AND attname = 'embedding'"
        )
        assert note.fetchone() == (None,)


def test_a_store_with_documents_keeps_its_index(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """One is enough, an expired one too: its searches stay fast."""
    provider.store({"expires_at": "2001-01-01", "embedding": [1, 0, 0, 0]}, LONG)
    before = index(config)
    with provider.loading(LONG):
        assert index(config) == before


def test_a_store_without_a_vector_index_gets_none(config: PostgreSQLConfig) -> None:
    """It was made so on purpose."""
    config = config.replace(schema="own", index="none")
    with PostgreSQLProvider(config) as provider, provider.loading(LONG):
        provider.store_many(numbered(3), LONG)
    assert index(config) is None


@pytest.fixture
def guest(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> Iterator[PostgreSQLConfig]:
    """What opens the tables as a user who may read and write them, and does not own them."""
    role = f"guest_{config.database}"
    with psycopg.connect(config.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
    yield config.replace(user=role, password="x")
    with psycopg.connect(config.conninfo, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


def test_a_user_who_may_not_drop_it_loads_with_the_index(guest: PostgreSQLConfig, config: PostgreSQLConfig) -> None:
    """The tables are another one's: documents are stored all the same."""
    with PostgreSQLProvider(guest) as provider:
        with provider.loading(LONG):
            assert index(config) == ("hnsw", 24, 128, True)
            provider.store_many(numbered(3), LONG)
        assert provider.count(LONG) == 3


def test_under_row_level_security_documents_are_inserted(guest: PostgreSQLConfig, config: PostgreSQLConfig) -> None:
    """PostgreSQL refuses COPY there; new documents, with and without ids, go in as they would one by one."""
    with psycopg.connect(config.conninfo, autocommit=True) as connection:
        connection.execute("ALTER TABLE long_term_memory ENABLE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY own ON long_term_memory USING (memory_id = 'mine')")
    with PostgreSQLProvider(guest) as provider:
        documents = [{"n": n, "memory_id": "mine"} | ({"id": f"d{n}"} if n % 2 else {}) for n in range(30)]
        ids = provider.store_many(documents, LONG)
        assert [each["id"] for each in provider.list_all(LONG)] == ids
        with pytest.raises(DatabaseError, match="row-level security"):
            provider.store_many([*documents, {"memory_id": "another's"}], LONG)


def test_an_index_in_use_is_kept(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """Another transaction that has read the store is waited for no longer than two seconds."""
    with psycopg.connect(config.conninfo) as other:
        other.execute("SELECT count(*) FROM long_term_memory")
        with provider.loading(LONG):
            assert index(config) == ("hnsw", 24, 128, True)


def test_a_pool_that_was_given_loads_with_the_index(config: PostgreSQLConfig) -> None:
    """It does not say how to connect for as long as a build takes."""
    with (
        ConnectionPool(config.conninfo, min_size=1, open=True) as pool,
        PostgreSQLProvider(config, pool=pool) as provider,
        provider.loading(LONG),
    ):
        assert index(config) == ("hnsw", 24, 128, True)
