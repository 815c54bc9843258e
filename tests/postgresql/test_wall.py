"""Row-level security: tenants that the database keeps apart, for a role that applications connect as."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql

from contract.test_scopes import ATTACKS, NAME, SECRET, THEIRS, filled, state
from memorizz.errors import ConfigurationError, DatabaseError, MemorizzError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.memory_provider.stores import StoreSpec

LONG = MemoryType.LONG_TERM_MEMORY
VECTOR = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture(params=[18, 16], ids=["PostgreSQL 18", "PostgreSQL 16"])
def pg_version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def role(migrated_dsn: str) -> Iterator[str]:
    """The name of a role that is not there, and is dropped again: roles are of the whole server."""
    name = f"memorizz_app_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(migrated_dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.fixture
def walled(config: PostgreSQLConfig, role: str) -> PostgreSQLConfig:
    """What opens the database as the application's role, behind the wall."""
    with Maintenance(config) as maintenance:
        assert maintenance.enable_tenants(role).made
    return config.replace(user=role)


@pytest.fixture
def api(open_api: Callable[..., Any], walled: PostgreSQLConfig) -> Iterator[Any]:
    with open_api(walled) as provider:
        yield provider


def _document(id: str, **keys: Any) -> dict[str, Any]:
    return {"id": id, "content": f"{id} drinks tea", "embedding": VECTOR, **keys}


def test_a_tenant_reaches_nothing_of_another(api: Any) -> None:
    """Every method does behind the wall what it does without: no row of another tenant is read or changed."""
    theirs, mine = filled(api.tenant("theirs")), api.tenant("mine")
    before = state(theirs)
    assert len(before[LONG]) == 1
    for method, attack in ATTACKS.items():
        mine.store({"id": "of-mine", "name": NAME, "embedding": VECTOR, "n": 1}, LONG)
        try:
            said = repr(attack(mine, THEIRS))
        except MemorizzError as error:
            said = str(error)
        assert SECRET not in said, method
        assert state(theirs) == before, method


def test_tidying_behind_the_wall(
    config: PostgreSQLConfig, walled: PostgreSQLConfig, open_api: Callable[..., Any]
) -> None:
    """A view tidies its own, and a whole tenant is forgotten; through all tenants goes the owner alone, who says it."""
    with PostgreSQLProvider(config) as owner:
        owner.set_policy(LONG, Policy(keep_last=1))
        owner.keep_history(LONG)
    with open_api(walled) as api:
        acme, other = api.tenant("acme"), api.tenant("other")
        for view in (acme, other):
            view.store_many([_document("a"), _document("b"), _document("c")], LONG)
        assert acme.policies() == {LONG.value: Policy(keep_last=1)}
        assert (acme.apply_policies().documents, acme.count(LONG), other.count(LONG)) == (2, 1, 3)
        with pytest.raises(ConfigurationError, match="owner"), Maintenance(walled) as maintenance:
            maintenance.tidy()
        with Maintenance(config) as maintenance:
            done = {each.tenant: each.receipt.documents for each in maintenance.tidy()}
        assert (done, other.count(LONG)) == ({"acme": 0, "other": 2}, 1)
        other.store_many([_document("d"), _document("e")], LONG)
        call = other.consolidate(LONG, where={"id": {"$ne": "c"}}, similarity=0.9).call
        assert (other.count(LONG), len(other.undo(call=call)[LONG.value])) == (2, 2)
        assert other.forget(everything=True).documents == 3
        assert (other.versions("a", LONG), len(acme.versions("a", LONG))) == ([], 2)


def test_everything_works_behind_the_wall(api: Any) -> None:
    """Documents are stored one by one and in numbers, found by every way, changed, deleted, and undone."""
    acme = api.tenant("acme")
    assert acme.store_many([_document(f"d{n}", n=n, memory_id="ada") for n in range(30)], LONG)[0] == "d0"
    acme.store(_document("d0", n=100), LONG)
    assert acme.retrieve_by_id("d0", LONG)["n"] == 100
    assert acme.count(LONG, {"n": {"$lt": 10}}) == 9
    assert len(acme.retrieve_by_query({"embedding": VECTOR, "n": {"$gt": 20}}, LONG, limit=50)) == 10
    assert len(acme.retrieve_by_query("tea", LONG, limit=50)) == 30
    assert acme.memory("ada").update(LONG, {"n": 3}, {"m": 1}) == 1
    assert acme.delete_by_id("d3", LONG)
    with pytest.raises(DatabaseError), acme.transaction() as tx:  # noqa: PT012 - both are needed
        tx.delete_all(LONG)
        raise DatabaseError("undone")
    assert len(acme.list_all(LONG)) == 29
    assert api.tenant("other").count(LONG) == 0


def test_a_transaction_may_be_of_several_tenants(api: Any) -> None:
    """Each of its calls is of its own, whichever came before."""
    with api.transaction() as tx:
        one, other = tx.tenant("one"), tx.tenant("other")
        one.store(_document("a", of="one"), LONG)
        other.store(_document("a", of="other"), LONG)
        assert [view.retrieve_by_id("a", LONG)["of"] for view in (one, other, one)] == ["one", "other", "one"]
    assert [api.tenant(name).retrieve_by_id("a", LONG)["of"] for name in ("one", "other")] == ["one", "other"]


def test_without_a_tenant_there_is_nothing(api: Any, migrated_dsn: str, role: str) -> None:
    """A call without one is an error; plain SQL without one, or with an empty one, has no rows and stores none."""
    filled(api.tenant("theirs"))
    for call in (lambda: api.list_all(LONG), lambda: api.memory("m").count(LONG), lambda: api.store({}, LONG)):
        with pytest.raises(ConfigurationError, match="row-level security keeps the tenants of this schema apart"):
            call()
    with psycopg.connect(migrated_dsn, user=role, autocommit=True) as connection:
        for tenant in (None, ""):
            with connection.transaction(force_rollback=True):
                if tenant is not None:
                    connection.execute("SELECT set_config('memorizz.tenant', %s, true)", (tenant,))
                assert connection.execute("SELECT count(*) FROM long_term_memory").fetchone() == (0,)
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                    connection.execute("INSERT INTO long_term_memory (id) VALUES (gen_random_uuid())")


def test_a_store_that_is_made_later_has_the_wall(
    walled: PostgreSQLConfig, provider: PostgreSQLProvider, migrated_dsn: str, role: str
) -> None:
    """That it stands is a fact of the schema, for tables of parts too."""
    provider.create_store(StoreSpec("pages", fields=("content",)))
    with PostgreSQLProvider(walled) as application:
        application.tenant("acme").store(
            {"id": "a", "content": "x", "embedding": [{"path": "content", "embedding": VECTOR}]}, "pages"
        )
        assert application.tenant("other").list_all("pages") == []
        with pytest.raises(DatabaseError, match="owner"):
            application.create_store(StoreSpec("mine"))
    with psycopg.connect(migrated_dsn, user=role) as connection:
        assert connection.execute("SELECT count(*) FROM pages, memorizz_pages_parts").fetchone() == (0,)


def test_the_wall_is_taken_down_again(
    config: PostgreSQLConfig, walled: PostgreSQLConfig, migrated_dsn: str, role: str
) -> None:
    """Without it, the role has no rights, the tables no policies, and untenanted calls are as they were."""
    with PostgreSQLProvider(walled) as application:
        application.tenant("acme").store(_document("a"), LONG)
    with Maintenance(config) as maintenance:
        assert maintenance.disable_tenants() == role
        assert maintenance.disable_tenants() is None
    with PostgreSQLProvider(config) as provider:
        assert (provider.count(LONG), provider.tenant("acme").count(LONG)) == (0, 1)
    with pytest.raises(DatabaseError, match="permission denied"), PostgreSQLProvider(walled):
        pass
    with psycopg.connect(migrated_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM pg_policies").fetchone() == (0,)


def test_a_role_that_nothing_is_kept_from_is_refused(
    config: PostgreSQLConfig, migrated_dsn: str, role: str, caplog: Any
) -> None:
    """It is not called safe: where the wall is put up, and where a provider opens."""
    with psycopg.connect(migrated_dsn, autocommit=True) as owner, Maintenance(config) as maintenance:
        name = sql.Identifier(role)
        for option in ("SUPERUSER", "BYPASSRLS", "CREATEROLE", "REPLICATION"):
            owner.execute(sql.SQL("CREATE ROLE {} LOGIN {}").format(name, sql.SQL(option)))
            with pytest.raises(ConfigurationError, match=f"nothing is kept from it, for {role} is"):
                maintenance.enable_tenants(role)
            owner.execute(sql.SQL("DROP ROLE {}").format(name))
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        owner.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(name))
        owner.execute(sql.SQL("GRANT postgres TO {}").format(name))
        with pytest.raises(ConfigurationError, match=f"{role} may become postgres, a superuser"):
            maintenance.enable_tenants(role)
        owner.execute(sql.SQL("REVOKE postgres FROM {}").format(name))
        maintenance.enable_tenants(role)
    with pytest.raises(ConfigurationError, match="apart for this user: postgres is a superuser"):
        PostgreSQLProvider(config.replace(require_tenant=True))
    with PostgreSQLProvider(config), PostgreSQLProvider(config.replace(user=role)):
        assert [
            record.message.partition(";")[0] for record in caplog.records if "keeps no tenants" in record.message
        ] == ["row-level security keeps no tenants of schema 'public' apart for this user: postgres is a superuser"]


def test_a_role_in_use_gets_no_wall(config: PostgreSQLConfig, migrated_dsn: str, role: str) -> None:
    """A provider that is open knows of none, and would find nothing any more."""
    with psycopg.connect(migrated_dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    with (
        psycopg.connect(migrated_dsn, user=role),
        Maintenance(config) as maintenance,
        pytest.raises(ConfigurationError, match="1 sessions of it are connected"),
    ):
        maintenance.enable_tenants(role)


def test_the_probe_says_what_can_be_reached(
    config: PostgreSQLConfig, walled: PostgreSQLConfig, migrated_dsn: str, role: str
) -> None:
    """Nothing behind the wall as it was put up, and each hole that is made in it; nothing of it stays."""
    holes = [
        "GRANT TRUNCATE ON toolbox TO {}",
        "ALTER TABLE personas DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY more ON memorizz_agents_parts FOR SELECT USING (true)",
        "CREATE POLICY more ON workflow_memory FOR INSERT WITH CHECK (true)",
        "CREATE VIEW everything AS SELECT * FROM agents; GRANT SELECT ON everything TO {}",
        "CREATE FUNCTION every() RETURNS bigint LANGUAGE sql SECURITY DEFINER RETURN (SELECT count(*) FROM agents)",
        "GRANT UPDATE ON memorizz_settings TO {}",
    ]
    with Maintenance(walled) as application:
        probe = application.probe_tenants()
        assert (probe.ok, probe.role, probe.tables, probe.reached) == (True, role, 21, [])
        assert probe.tried > 14 * 25
        with psycopg.connect(migrated_dsn, autocommit=True) as owner:
            for hole in holes:
                owner.execute(sql.SQL(hole).format(sql.Identifier(role)))  # pyright: ignore[reportArgumentType]
            reached = application.probe_tenants().reached
            assert {each.table for each in reached} == {
                '"public"."toolbox"', '"public"."personas"', '"public"."memorizz_agents_parts"',
                '"public"."workflow_memory"', "public",
            }  # fmt: skip
            assert [each.outcome for each in reached if each.table == "public"] == [
                "it brought 1 rows: everything", "it brought 1 rows: every()", "it was not refused",
            ]  # fmt: skip
            assert owner.execute("SELECT count(*) FROM personas").fetchone() == (0,)
    with Maintenance(config) as maintenance:
        assert maintenance.probe_tenants().exempt == "postgres is a superuser"
        maintenance.disable_tenants()
        with pytest.raises(ConfigurationError, match="nothing keeps the tenants"):
            maintenance.probe_tenants()


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not installed")
def test_the_tenant_is_right_behind_a_pooler(
    walled: PostgreSQLConfig, migrated_dsn: str, pooler: Callable[..., int]
) -> None:
    """Eight tenants at once on two connections, each handed on after a transaction, with errors: none sees another."""
    port = pooler(migrated_dsn, walled.user)
    behind = walled.replace(host="127.0.0.1", port=port, prepare_threshold=None)
    with PostgreSQLProvider(behind) as application:

        def use(n: int) -> list[str]:
            view, seen = application.tenant(f"tenant {n}"), list[str]()
            for k in range(40):
                view.store_many([{"id": f"{k}", "of": n}, {"of": n}], LONG)
                with contextlib.suppress(DatabaseError), view.transaction() as tx:
                    tx.store({"of": n, "undone": True}, LONG)
                    raise DatabaseError("undone")
                seen += [each["of"] for each in view.list_all(LONG)]
                seen += [each["of"] for each in view.retrieve_by_query({"embedding": VECTOR}, LONG, limit=5)]
            return [each for each in seen if each != n] + [f"{view.count(LONG)} documents"]

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(use, range(8))) == [["80 documents"]] * 8
