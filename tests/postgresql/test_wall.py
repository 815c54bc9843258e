"""Row-level security: tenants that the database keeps apart, for a role that applications connect as."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from apis import Loop
from contract.test_scopes import ATTACKS, NAME, SECRET, THEIRS, filled, state
from memorizz.errors import ConfigurationError, DatabaseError, InvalidDocument, MemorizzError, ReadOnlyError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.memory_provider.stores import StoreSpec
from poolers import pgbouncer

LONG = MemoryType.LONG_TERM_MEMORY
VECTOR = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture(params=[18, 16], ids=["PostgreSQL 18", "PostgreSQL 16"])
def pg_version(request: pytest.FixtureRequest) -> int:
    return request.param


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


def test_meaning_and_words_of_one_tenant(config: PostgreSQLConfig, role: str) -> None:
    """In a memory that is ranked by bits: what comparing all would find, and nothing of another's."""
    config = config.replace(schema="wide", embedding_dimensions=128, index="none")
    PostgreSQLProvider(config).close()
    with Maintenance(config) as maintenance:
        assert maintenance.enable_tenants(role).made
    drawn = np.random.default_rng(7)
    made = (drawn.standard_normal((1100, 4)) @ drawn.standard_normal((4, 128))).astype(np.float32)
    with PostgreSQLProvider(config.replace(user=role)) as provider:
        for tenant in ("mine", "theirs"):
            words = ({"content": "letter", "embedding": vector, "memory_id": "m", "of": tenant} for vector in made)
            provider.tenant(tenant).store_many(words, LONG)
        mine = provider.tenant("mine")
        mine.store({"content": "zebra letter", "memory_id": "m", "of": "mine"}, LONG)
        query = {"embedding": made[7], "$text": {"$search": "letter zebra"}}
        for api, filter in ((mine, {"memory_id": "m"}), (mine, {"of": "mine"}), (mine.memory("m"), {})):
            hits = api.retrieve_by_query(query | filter, LONG, 5, explain=True)
            best = api.retrieve_by_query(query | filter, LONG, 5, exact=True)
            assert hits.explanation is not None
            assert hits.explanation["route"] == "bits"
            assert [hit["id"] for hit in hits] == [hit["id"] for hit in best]
            assert {hit["of"] for hit in hits} == {"mine"}


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
    provider.keep_history("pages")
    with PostgreSQLProvider(walled) as application:
        application.tenant("acme").store(
            {"id": "a", "content": "x", "embedding": [{"path": "content", "embedding": VECTOR}]}, "pages"
        )
        assert application.tenant("other").list_all("pages") == []
        for call in (
            lambda: application.create_store(StoreSpec("mine")),
            lambda: application.keep_history("pages"),
            lambda: application.drop_history("pages", yes=True),
            lambda: application.drop_store("pages", yes=True),
            lambda: application.set_policy("pages", None),
        ):
            # Not that a right is to be granted, which would be another hole.
            with pytest.raises(DatabaseError, match="do this as the owner, and then connect as"):
                call()
    with psycopg.connect(migrated_dsn, user=role) as connection:
        assert connection.execute("SELECT count(*) FROM pages, memorizz_pages_parts").fetchone() == (0,)
    provider.drop_history("pages", yes=True)
    provider.drop_store("pages", yes=True)
    with PostgreSQLProvider(walled) as application:
        assert "pages" not in [spec.name for spec in application.stores()]


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
        assert (probe.ok, probe.role, probe.tables, probe.reached) == (True, role, 28, [])
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


def test_answers_are_the_same_behind_the_wall(config: PostgreSQLConfig, walled: PostgreSQLConfig) -> None:
    """By words and by keys in JSON, with their index and without, each answer is what it is without the wall."""
    documents = [
        {
            "id": f"d{n}", "content": "tea " * (n % 3) + "drinks " * (n % 5) + f"w{n % 7}", "embedding": [1.0, n, 0, 0],
            "memory_id": f"m{n % 4}", "topic": f"t{n % 6}", "n": n % 9, "nested": {"k": n % 2},
            "metadata": {"of": n % 5, "other": [n]}, "expires_at": "2020-01-01T00:00:00Z" if n % 10 == 0 else None,
            "valid_until": "2020-01-01T00:00:00Z" if n % 11 == 0 else None,
        }
        for n in range(1050)
    ]  # fmt: skip
    filters: list[dict[str, Any]] = [
        {}, {"topic": "t1", "n": 4}, {"topic": {"$in": ["t1", "t2"]}, "metadata.of": 3},
        {"topic": "t1", "memory_id": "m3"}, {"nested.k": 1, "n": {"$gt": 3}}, {"$and": [{"n": 1}, {"n": 2}]},
        {"$or": [{"n": 1}, {"topic": "t2"}]}, {"$not": {"topic": "t1"}}, {"topic": "\0"},
        {"id": "d7", "topic": "t1"},
    ]  # fmt: skip

    def asked(view: Any) -> Iterator[Any]:
        for filter in filters:
            yield view.count(LONG, filter)
            yield [each["id"] for each in view.retrieve_by_query(filter, LONG, limit=40)]
            for query in ({"$text": {"$search": "tea w3"}}, {"embedding": [1.0, 3, 0, 0]}):
                yield [hit["id"] for hit in view.retrieve_by_query({**query, **filter}, LONG, limit=20)]
            both = {"embedding": [1.0, 3, 0, 0], "$text": {"$search": "drinks"}, **filter}
            yield [hit["id"] for hit in view.retrieve_by_query(both, LONG, limit=20)]

    def answers(provider: PostgreSQLProvider) -> list[Any]:
        view = provider.tenant("acme")
        return [answer for each in (view, view.memory("m1")) for answer in asked(each)]

    with PostgreSQLProvider(walled) as application, Maintenance(config) as maintenance:
        for tenant in ("acme", "globex"):
            application.tenant(tenant).store_many(documents, LONG)
        # Whoever opens as the owner measures the vectors, which counts in a score.
        PostgreSQLProvider(config).close()
        behind = [answers(application)]
        assert [*maintenance.make(maintenance.plan_build(LONG, json_keys=True))]
        behind.append(answers(application))
        acme = application.tenant("acme")
        assert acme.update(LONG, {"topic": "t1", "n": 1}, {"topic": "gone"}) == acme.count(LONG, {"topic": "gone"})
        assert application.tenant("globex").count(LONG, {"topic": "gone"}) == 0
        behind.append(answers(application))
        maintenance.disable_tenants()
    with PostgreSQLProvider(config) as provider:
        assert answers(provider) == behind[2]
    assert behind[0] == behind[1] != behind[2]
    assert any(behind[0])


def test_what_asks_the_indexes_tells_nothing_of_others(
    config: PostgreSQLConfig, walled: PostgreSQLConfig, migrated_dsn: str, role: str
) -> None:
    """The role may call it with any values, and with any settings: no row and no message is of another tenant."""
    with PostgreSQLProvider(walled) as application:
        application.tenant("mine").store({"id": "a", "content": "tea", "topic": "tea"}, LONG)
        application.tenant("theirs").store_many([{"content": "tea secret", "topic": "secret"}] * 50, LONG)
    call = (
        "SELECT d.tenant FROM memorizz_long_term_memory_ids({}) AS found LEFT JOIN public.long_term_memory AS d "
        "ON d.id = found"
    )
    words = ("NULL", "'tea'", "'secret'", "'!tea'", "'secret:*'", "''")
    keys = ("NULL", "'{}'", "ARRAY['{}'::jsonb]", 'ARRAY[\'{"topic": "secret"}\'::jsonb]', "ARRAY[NULL::jsonb]")
    calls = [
        f"{asked}, {most}, true, {memory}, {key}, {other}"
        for asked in words for most, memory in (("NULL", "NULL"), ("1", "''")) for key, other in product(keys, keys[:3])
    ]  # fmt: skip
    with psycopg.connect(migrated_dsn, user=role, autocommit=True) as connection:
        said = list[str]()
        connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
        connection.execute("SET client_min_messages = debug5; SET debug_print_plan = on")
        connection.execute("SELECT * FROM memorizz_long_term_memory_ids('secret', NULL, true, NULL, NULL, NULL)")
        # Of the statement of the caller, and of none inside.
        assert said.count("plan:") == 1
        connection.execute("RESET ALL")
        connection.execute("SET search_path = pg_temp; CREATE TEMP TABLE long_term_memory (tenant text)")
        connection.execute("SET search_path = public")
        for tenant, seen in (("mine", {("mine",)}), ("", set[Any]()), ("nobody", set[Any]())):
            with connection.transaction():
                connection.execute("SELECT set_config('memorizz.tenant', %s, true)", (tenant,))
                rows = [row for each in calls for row in connection.execute(call.format(each).encode())]
                assert set(rows) == seen
        for denied in (
            "CREATE OR REPLACE FUNCTION public.every_id() RETURNS SETOF uuid LANGUAGE sql RETURN gen_random_uuid()",
            "ALTER FUNCTION memorizz_long_term_memory_ids RESET ALL",
            "ALTER FUNCTION memorizz_long_term_memory_ids SECURITY INVOKER",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(denied.encode())
    with psycopg.connect(migrated_dsn, autocommit=True) as owner:
        owner.execute("CREATE ROLE memorizz_anybody LOGIN")
        try:
            with psycopg.connect(migrated_dsn, user="memorizz_anybody") as connection:  # noqa: SIM117
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("SELECT memorizz_long_term_memory_ids(NULL, NULL, true, NULL, NULL, NULL)")
        finally:
            owner.execute("DROP ROLE memorizz_anybody")


def test_a_history_is_of_its_tenant_alone(
    config: PostgreSQLConfig, walled: PostgreSQLConfig, migrated_dsn: str, role: str
) -> None:
    """What another tenant's documents were is neither read nor put back, by a call or by plain SQL."""
    with PostgreSQLProvider(config) as owner:
        owner.keep_history(LONG)
    with PostgreSQLProvider(walled) as application:
        theirs, mine = application.tenant("theirs"), application.tenant("mine")
        theirs.store(_document("a", n=1), LONG)
        theirs.store(_document("a", n=2), LONG)
        one, two = theirs.versions("a", LONG)
        assert (one.until, two.until) == (two.since, None)
        assert one.since is not None
        assert two.since is not None
        assert two.call is not None
        assert mine.versions("a", LONG) == []
        assert mine.at(two.since).list_all(LONG) == []
        # As of an id that nobody has.
        for id in ("a", "of nobody"):
            with pytest.raises(ConfigurationError, match=f"'{id}' has no version {one.number}; versions"):
                mine.diff(id, LONG, one.number, two.number)
            assert not mine.restore(id, LONG, to=two.since)
        assert mine.undo(call=two.call) == mine.undo(since=one.since) == {}
        with psycopg.connect(migrated_dsn, user=role, autocommit=True) as connection:
            for tenant, seen in (("mine", 0), ("", 0), ("theirs", 2)):
                with connection.transaction(force_rollback=True):
                    connection.execute("SELECT set_config('memorizz.tenant', %s, true)", (tenant,))
                    for statement in (
                        "SELECT FROM memorizz_long_term_memory_history",
                        "UPDATE memorizz_long_term_memory_history SET content = 'x'",
                        "DELETE FROM memorizz_long_term_memory_history",
                    ):
                        assert connection.execute(statement.encode()).rowcount == seen
            with connection.transaction(force_rollback=True):
                connection.execute("SELECT set_config('memorizz.tenant', 'mine', true)")
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                    connection.execute(
                        "INSERT INTO memorizz_long_term_memory_history (tenant, id, changed_at, operation, call, "
                        "has_vector) VALUES ('theirs', gen_random_uuid(), now(), 'insert', 'x', false)"
                    )
        assert [version.number for version in theirs.versions("a", LONG)] == [one.number, two.number]
        assert theirs.restore("a", LONG, to=one.number)
        assert theirs.retrieve_by_id("a", LONG)["n"] == 1


def test_a_tenant_that_connections_bring_along_counts_for_nothing(
    open_api: Callable[..., Any], walled: PostgreSQLConfig, migrated_dsn: str, role: str
) -> None:
    """What a session says wins over no call, stays as it was behind each, and is what `doctor --tenants` finds."""
    with psycopg.connect(migrated_dsn, autocommit=True) as owner:
        name = sql.Identifier(role)
        owner.execute(sql.SQL("ALTER ROLE {} SET memorizz.tenant = 'theirs'").format(name))
    with open_api(walled.replace(max_size=1)) as leaking:
        mine, theirs = leaking.tenant("mine"), leaking.tenant("theirs")
        theirs.store(_document("a", of="theirs"), LONG)
        assert mine.list_all(LONG) == []
        mine.store_many([_document("a", of="mine"), _document("b", of="mine")], LONG)
        with leaking.transaction() as tx:
            assert tx.tenant("mine").delete_by_id("b", LONG)
            assert tx.tenant("theirs").count(LONG) == 1
        with pytest.raises(ConfigurationError, match="row-level security"):
            leaking.list_all(LONG)
        for view, of in ((mine, "mine"), (theirs, "theirs")):
            for query in ({}, {"embedding": VECTOR}, {"$text": {"$search": "tea"}}):
                assert [each["of"] for each in view.retrieve_by_query(query, LONG)] == [of]
    with Maintenance(walled) as maintenance:
        assert [each.outcome for each in maintenance.probe_tenants().reached] == [
            f"it brought 1 rows: memorizz.tenant=theirs, of {role}"
        ]
    leaking_dsn = make_conninfo(migrated_dsn, user=role, options="-c memorizz.tenant=theirs")
    with ConnectionPool(leaking_dsn, min_size=1, max_size=1, open=True) as pool:
        with PostgreSQLProvider(pool=pool) as provider:
            assert [each["of"] for each in provider.tenant("mine").list_all(LONG)] == ["mine"]
        with pool.connection() as connection:
            # It is the caller's own, which comes back as it was.
            assert connection.execute("SELECT current_setting('memorizz.tenant')").fetchone() == ("theirs",)


def test_the_wall_stands_on_a_standby(own_database: Any, standby: Any) -> None:
    """A replica that follows the server reads as one tenant or as none, by every kind of search, and writes nothing."""
    role = f"memorizz_app_{uuid.uuid4().hex[:12]}"
    with Maintenance(own_database.config()) as maintenance:
        maintenance.enable_tenants(role)
    with PostgreSQLProvider(own_database.config().replace(user=role)) as application:
        for tenant in ("theirs", "mine"):
            application.tenant(tenant).store(_document("a", of=tenant), LONG)
    standby.catch_up(own_database.dsn)
    dsn = standby.dsn(own_database.dsn)
    with PostgreSQLProvider(own_database.config(dsn).replace(user=role)) as application:
        for tenant in ("theirs", "mine"):
            view = application.tenant(tenant)
            assert view.retrieve_by_id("a", LONG)["of"] == tenant
            for query in ({}, {"of": tenant}, {"embedding": VECTOR}, {"$text": {"$search": "tea"}}):
                assert [each["of"] for each in view.retrieve_by_query(query, LONG)] == [tenant]
        with pytest.raises(ReadOnlyError):
            application.tenant("mine").store(_document("b"), LONG)
    with psycopg.connect(dsn, user=role, autocommit=True) as connection:
        assert connection.execute("SELECT pg_is_in_recovery(), count(*) FROM long_term_memory").fetchone() == (True, 0)
        with connection.transaction():
            connection.execute("SELECT set_config('memorizz.tenant', 'mine', true)")
            assert connection.execute("SELECT tenant FROM long_term_memory").fetchall() == [("mine",)]


@pytest.mark.skipif(not pgbouncer(), reason="PgBouncer is not installed")
def test_the_tenant_is_right_behind_a_pooler(
    walled: PostgreSQLConfig, migrated_dsn: str, pooler: Callable[..., int], loop: Loop
) -> None:
    """Sixteen tenants at once on two connections, each handed on after a transaction, with errors and calls that are
    given up in between: none sees another, and nothing goes wrong that was not provoked."""
    port = pooler(migrated_dsn, walled.user)
    behind = walled.replace(host="127.0.0.1", port=port, prepare_threshold=None, max_size=16)

    async def use(application: AsyncPostgreSQLProvider, n: int) -> list[Any]:
        view, seen = application.tenant(f"tenant {n}"), list[Any]()
        chance = random.Random(n)
        for k in range(25):
            await view.store_many([{"id": f"{k}", "of": n, "content": "tea"}, {"of": n, "embedding": VECTOR}], LONG)
            with contextlib.suppress(DatabaseError):
                async with view.transaction() as tx:
                    await tx.store({"of": n, "undone": True}, LONG)
                    raise DatabaseError("undone")
            with pytest.raises(InvalidDocument):
                await view.store({"of": n, "embedding": [1.0]}, LONG)
            given_up = asyncio.ensure_future(view.list_all(LONG) if k % 2 else view.update(LONG, {"of": n}, {"k": k}))
            await asyncio.sleep(chance.random() / 100)
            given_up.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await given_up
            for query in ({}, {"embedding": VECTOR}, {"$text": {"$search": "tea"}}):
                found = await view.retrieve_by_query(query, LONG, limit=100)
                assert found
                seen += [each["of"] for each in found]
        return [each for each in seen if each != n] + [f"{await view.count(LONG)} documents"]

    async def all_at_once() -> list[list[Any]]:
        async with AsyncPostgreSQLProvider(behind) as application:
            return await asyncio.gather(*(use(application, n) for n in range(16)))

    assert loop.run(all_at_once()) == [["50 documents"]] * 16
