"""Loading an empty store: the vector index is put off and comes back as it was, whatever happens meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
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


def test_the_planner_knows_what_was_loaded(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """At the end of the block the store is analyzed, and the first search reads its memory alone."""
    with open_api(config) as provider:
        with provider.loading(LONG):
            provider.store_many(({"memory_id": f"m{n % 100}", **each} for n, each in enumerate(numbered(2000))), LONG)
        query = {"embedding": [1, 0, 0, 0], "memory_id": "m7"}
        hits = provider.retrieve_by_query(query, LONG, limit=5, explain="plan")
    (plan,) = hits.explanation["plan"]
    assert "_pkey" not in repr(plan)
    assert "long_term_memory_memory_id_idx" in repr(plan)


def test_analyzing_takes_as_long_as_it_needs(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """No timeout of operations ends it, which a store of a million rows takes longer than."""
    provider.store_many(numbered(30), LONG)
    with (
        psycopg.connect(config.conninfo) as beside,
        Maintenance(config.replace(operation_timeout=0.2)) as maintenance,
        ThreadPoolExecutor(1) as aside,
    ):
        beside.execute("LOCK TABLE long_term_memory IN SHARE UPDATE EXCLUSIVE MODE")
        analyzing = aside.submit(maintenance.analyze, "long_term_memory")
        with pytest.raises(TimeoutError):
            analyzing.result(0.6)
        beside.rollback()
        analyzing.result()
        known = beside.execute("SELECT reltuples FROM pg_class WHERE oid = 'long_term_memory'::regclass").fetchone()
    assert known == (30.0,)


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


def test_two_who_load_it_at_once(config: PostgreSQLConfig) -> None:
    """Whoever is done first builds the index, and the other one leaves it to that."""
    before = index(config)
    barrier = Barrier(2)

    def run(_: int) -> None:
        with PostgreSQLProvider(config) as provider, provider.loading(LONG):
            provider.store_many(numbered(500), LONG)
            barrier.wait()

    with ThreadPoolExecutor(2) as aside:
        for _ in range(3):
            list(aside.map(run, range(2)))
            assert index(config) == before
            assert not is_deferred(config)
            with PostgreSQLProvider(config) as provider:
                provider.delete_all(LONG)


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
    """Documents that come together, with and without ids, go in as they would one by one."""
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


# --- a first large import, by the plain call ----------------------------------------------------------------------


def is_deferred(config: PostgreSQLConfig) -> bool:
    """Return whether the catalogs note how the vector index of long_term_memory is to be built."""
    with psycopg.connect(config.conninfo) as connection:
        note = connection.execute(
            "SELECT col_description(attrelid, attnum) FROM pg_attribute "
            "WHERE attrelid = 'long_term_memory'::regclass AND attname = 'embedding'"
        ).fetchone()
    return note is not None and note[0] is not None


def oid(config: PostgreSQLConfig) -> int:
    """Return what tells an index from one that was built anew."""
    with psycopg.connect(config.conninfo) as connection:
        (found,) = connection.execute("SELECT %s::regclass::oid::bigint", [INDEX]).fetchone() or (0,)
    return found


@pytest.mark.parametrize("form", [list, iter])
def test_a_first_large_import_builds_the_index_after(
    open_api: Callable[..., Any], config: PostgreSQLConfig, form: Callable[..., Any]
) -> None:
    """Meanwhile others read and write; nothing of an iterator is lost, and the index is as it was."""
    seen: list[Any] = []

    def documents() -> Iterator[dict[str, Any]]:
        for each in numbered(2500):
            if each["n"] == 2400:
                with PostgreSQLProvider(config) as other:
                    seen.append(index(config))
                    other.store({"id": "other", "embedding": [0, 0, 0, 1]}, LONG)
                    (hit,) = other.retrieve_by_query({"embedding": [0, 0, 0, 1]}, LONG, limit=1)
                    seen.append(hit["id"])
            yield each

    with open_api(config) as provider:
        before = index(config)
        ids = provider.store_many(form(documents()), LONG)
        assert len(set(ids)) == 2500
        assert provider.count(LONG) == 2501
        assert [provider.retrieve_by_id(ids[n], LONG)["n"] for n in (0, 1999, 2000, 2499)] == [0, 1999, 2000, 2499]
    # A list is read before anything of it is stored.
    assert seen == [before if form is list else None, "other"]
    assert index(config) == before
    assert not is_deferred(config)


@pytest.mark.parametrize(
    "view", [lambda whole: whole.tenant("acme"), lambda whole: whole.memory("ada"), lambda whole: whole.acting("Ada")]
)
def test_so_does_one_through_a_view(
    open_api: Callable[..., Any], config: PostgreSQLConfig, view: Callable[[Any], Any]
) -> None:
    """What counts is what the whole store holds: the next tenant's or memory's enters the index."""
    with open_api(config) as provider:
        before = oid(config)
        ids = view(provider).store_many(numbered(2500), LONG)
        built = oid(config)
        assert built != before
        assert view(provider).count(LONG) == len(set(ids)) == 2500
        other = provider.tenant("other").store_many([{**each, "id": None} for each in numbered(2000)], LONG)
        assert len(set(other)) == 2000
        assert oid(config) == built
    assert not is_deferred(config)


def test_an_import_that_fails_leaves_the_index(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """Nothing of it is kept, and the empty store has its index."""
    with open_api(config) as provider:
        before = index(config)
        with pytest.raises(InvalidDocument):
            provider.store_many([*numbered(2500), {"n": object()}], LONG)
        assert provider.count(LONG) == 0
    assert index(config) == before
    assert not is_deferred(config)


@pytest.mark.parametrize("case", ["few come", "many are there", "no vectors", "a transaction", "in use"])
def test_an_index_stays_where_it_is_of_use(provider: PostgreSQLProvider, config: PostgreSQLConfig, case: str) -> None:
    """Few vectors enter it soon; those that are there are searched by it; nobody who uses the store is waited for."""
    before = oid(config)
    if case == "few come":
        provider.store_many(numbered(1999), LONG)
    elif case == "many are there":
        provider.store_many(({"n": n} for n in range(1001)), LONG)
        provider.store_many(numbered(2000), LONG)
    elif case == "no vectors":
        provider.store_many([{"n": n} for n in range(2500)], LONG)
    elif case == "a transaction":
        with provider.transaction() as transaction:
            transaction.store_many(numbered(2000), LONG)
    else:
        with psycopg.connect(config.conninfo) as other:
            other.execute("SELECT count(*) FROM long_term_memory")
            provider.store_many(numbered(2000), LONG)
    assert oid(config) == before
    assert not is_deferred(config)


def test_a_block_of_loading_builds_the_index_once(provider: PostgreSQLProvider, config: PostgreSQLConfig) -> None:
    """Each of its large imports leaves that to its end."""
    with provider.loading(LONG):
        provider.store_many(numbered(2000), LONG)
        assert index(config) is None
        provider.store_many(numbered(2000), LONG)
        assert index(config) is None
    assert index(config) == ("hnsw", 24, 128, True)


def test_an_import_does_not_wait_for_the_build_of_another_program(
    provider: PostgreSQLProvider,
    config: PostgreSQLConfig,
    wait_for: Callable[..., Any],
) -> None:
    """One that itself waits for a transaction of somebody else has the index when that is over."""

    def build() -> None:
        with Maintenance(config) as maintenance:
            list(maintenance.make(maintenance.plan_build("long_term_memory")))

    with psycopg.connect(config.conninfo) as idle, ThreadPoolExecutor(2) as aside:
        idle.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        idle.execute("SELECT count(*) FROM toolbox")

        def documents() -> Iterator[dict[str, Any]]:
            yield from numbered(2500)
            building.append(aside.submit(build))
            wait_for(lambda: index(config) is not None, "the other build")

        building: list[Any] = []
        storing = aside.submit(provider.store_many, documents(), LONG)
        assert len(storing.result(20)) == 2500
        idle.rollback()
        building[0].result()
    assert index(config) == ("hnsw", 24, 128, True)


_IMPORT = """
import sys
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

def documents():
    for n in range(3000):
        if n == 2900:
            print("now", flush=True)
            sys.stdin.read()
        yield {"n": n, "embedding": [1, n, 0, 0]}

with PostgreSQLProvider(PostgreSQLConfig(dsn=sys.argv[1], embedding_dimensions=4)) as provider:
    provider.store_many(documents(), "long_term_memory")
"""


@pytest.mark.parametrize("by", ["again", "index build"])
def test_after_an_import_that_was_killed_the_index_comes_back(
    provider: PostgreSQLProvider, config: PostgreSQLConfig, by: str, wait_for: Callable[..., Any]
) -> None:
    """Its documents are gone, `doctor` says that the index is missing, and the next import or build makes it."""
    before = index(config)
    program = [sys.executable, "-c", _IMPORT, config.conninfo]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"now\n"
        killed.kill()
    assert index(config) is None
    with Maintenance(config) as maintenance:
        _, findings = maintenance.examine()
        assert any(INDEX in each.text and "missing" in each.text for each in findings)
    assert provider.count(LONG) == 0
    if by == "again":

        def stored() -> bool:
            # The server may still hold the lock of the program that is gone.
            provider.store_many(numbered(2000), LONG)
            return index(config) is not None

        assert wait_for(stored, "the index")
    else:
        with Maintenance(config) as maintenance:
            list(maintenance.make(maintenance.plan_build("long_term_memory")))
    assert index(config) == before
