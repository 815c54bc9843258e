"""Stores that Citus has distributed: docs/how-to/scale-out.md. There is no Citus here.

What the library sends then is tried on PostgreSQL, where it does the same, and is looked at by Citus's rules.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from test_routing import partition, partitions

from citus import Planner
from memorizz.errors import ConfigurationError, DatabaseError, InvalidDocument, SchemaError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider, distribution, tables
from memorizz.memory_provider.postgresql import provider as sent_by
from memorizz.memory_provider.postgresql._errors import breaks_policy, translated
from memorizz.memory_provider.postgresql._steps import Batch, Query, Script
from memorizz.memory_provider.postgresql.driver._shared import numbered
from memorizz.memory_provider.postgresql.driver._sync import perform
from memorizz.memory_provider.postgresql.maintenance import Level, Maintenance, Reembedding, _measuring
from memorizz.memory_provider.postgresql.sql import citus
from memorizz.memory_provider.stores import StoreSpec
from querytrees import parsed

LONG = MemoryType.LONG_TERM_MEMORY
SCRIPT = Path(__file__).parents[2] / "scripts" / "make_statements.py"
# What is of whole stores; a view has none.
OF_WHOLE_STORES = {"set_policy", "create_store"}


def script() -> Any:
    spec = importlib.util.spec_from_file_location("make_statements", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


class Tenant:
    """One tenant's view, which asks the provider for what is of whole stores."""

    def __init__(self, provider: PostgreSQLProvider) -> None:
        self._provider, self._view = provider, provider.tenant("acme")

    def tenant(self, name: str) -> Any:
        return self._view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider if name in OF_WHOLE_STORES else self._view, name)


def mark(dsn: str) -> None:
    """Note what `memorizz scale-out` notes: from then on the library says what Citus wants to hear."""
    with psycopg.connect(dsn, autocommit=True) as database:
        database.execute("UPDATE memorizz_settings SET distributed = true, version = version + 1")


@pytest.fixture
def distributed(dsn: str) -> str:
    """A schema that is noted as distributed, with a store of documents of several vectors."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=128)) as provider:
        provider.create_store(StoreSpec("notes", index="none"))
        provider.create_store(StoreSpec("pages", fields=("content", "notes[*].body")))
    mark(dsn)
    return dsn


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The steps that providers send, as they go out."""
    steps: list[Any] = []
    perform = sent_by.perform

    def noting(connection: Any, step: Any) -> Any:
        steps.append(step)
        return perform(connection, step)

    monkeypatch.setattr(sent_by, "perform", noting)
    return steps


def statements(steps: list[Any]) -> list[str]:
    return [query.sql.decode() for step in steps for query in (step.queries if isinstance(step, Batch) else [step])]


def make_calls(provider: PostgreSQLProvider, made: Any) -> Iterator[str]:
    """Make the calls of a tenant, those of histories left out, which are none there; yield what was called."""
    for name, call in made.calls(Tenant(provider)):
        if name == "keep_history":
            break
        if name != "drop_store":
            call()
            yield name
    memory = provider.tenant("acme").memory("m", agent="a")
    memory.store({"id": "m1", "content": "x", "ttl": 5}, LONG)
    memory.store({"id": "m1", "content": "y", "created_at": "2020-01-01", "ttl": 9}, LONG)
    memory.store_many([{"id": f"m{n}", "content": "x", "expires_at": "2090-01-01"} for n in range(3)], LONG)
    memory.store_many([{"id": f"m{n}", "content": "y", "ttl": 100 + n} for n in range(3)], LONG)
    for view in (memory, provider.tenant("acme").memory("n"), provider.tenant("acme")):
        for _ in range(2):
            view.store_many([{"id": f"{id(view)}/{n}", "k": n} for n in range(2)], "notes")
    provider.set_policy("notes", Policy(keep_last=1, max_documents=2))
    provider.tenant("acme").apply_policies()
    memory.update_by_id("m1", {"ttl": 7}, LONG)
    memory.update(LONG, {"content": "y"}, {"expires_at": "2095-01-01"})
    for filter in (
        {"created_at": {"$gt": "2020-01-01"}, "id": {"$ne": "x"}, "metadata.a": {"$in": [1, None, "2"]}},
        {"$nor": [{"k": {"$contains": "a"}}, {"k.b": {"$prefix": ["a"]}}, {"name": {"$suffix": "b"}}]},
        {"n": {"$lte": 3}, "ttl": {"$exists": True}, "embedding": {"$exists": True}, "content": {"$nin": ["z"]}},
    ):
        memory.update(LONG, filter, {"content": "z"})
        memory.update(LONG, filter, {"k": 1})
        memory.delete(LONG, filter)
    memory.retrieve_by_query({"content": "z"}, LONG, touch=True)
    memory.delete_by_id("m1", LONG)
    memory.forget()
    yield "memory"
    provider.tenant("acme").forget(everything=True)
    yield "forget"


def make_calls_with_pieces(provider: PostgreSQLProvider) -> Iterator[str]:
    """Make those of texts that are longer than a model reads, for which there is a provider of its own."""
    acme, text = provider.tenant("acme"), "one two three four five six. " * 20
    acme.store({"id": "a", "content": text}, LONG)
    acme.store_many([{"id": "a", "content": text + "seven"}, {"content": text}, {"id": "c", "content": "one"}], LONG)
    acme.update_by_id("c", {"content": text}, LONG)
    acme.update(LONG, {"content": "one"}, {"content": text})
    for query in ("one", {"embedding": [1.0] * 128}, {"embedding": [1.0] * 128, "k": 1}):
        acme.retrieve_by_query(query, LONG)
        acme.retrieve_by_query(query, LONG, exact=True)
    acme.embed_missing(LONG)
    acme.purge_expired()
    yield "pieces"


def test_statements_of_a_tenant_have_nothing_that_citus_refuses(distributed: str, sent: list[Any]) -> None:
    """In any call: no clock where there may be none, no table of one server joined to those of several, no LOCK.

    And each needs one shard: PostgreSQL's planner says so of tables in partitions by the hash of the tenant. What is
    set is local, and in a transaction block.
    """
    made = script()
    config = PostgreSQLConfig(dsn=distributed, embedding_dimensions=128)
    called: dict[str, tuple[str, Query]] = {}
    makings = (made.Embedder(), lambda provider: make_calls(provider, made)), (Reader(), make_calls_with_pieces)
    for embedder, making in makings:
        with PostgreSQLProvider(config, embedder=embedder) as provider:
            sent.clear()
            for name in making(provider):
                # What makes a store goes to the coordinator.
                for step in [] if name.startswith("create_store") else sent:
                    queries = step.queries if isinstance(step, Batch) else [step]
                    texts = [query.sql.decode() for query in queries]
                    assert isinstance(step, Query | Batch), step
                    assert step.begins if isinstance(step, Batch) else not texts[0].startswith("SET"), texts
                    for query, text in zip(queries, texts, strict=True):
                        called.setdefault(text, (name, query))
                sent.clear()
    refused: list[str] = []
    with psycopg.connect(distributed, autocommit=True) as database:
        tables = partition(database)
        planner = Planner.of(database, {name for name in tables if not name.endswith("_history")})
        for text, (name, query) in called.items():
            if text.startswith("SET LOCAL"):
                continue
            raw = re.sub(r"%\((\w+)\)[bt]", r"%(\1)s", text).encode()
            numbers, names = numbered(raw) or (raw, ())
            tree = parsed(database, numbers.decode(), [query.parameters[each] for each in names])
            refused += [f"{name}: {why}: {text}" for why in planner.refused(tree)]
            if any(f'"{table}"' in text for table in tables):
                [(found,)] = perform(database, replace(query, sql=b"EXPLAIN (FORMAT JSON) " + query.sql, before=()))
                refused += [
                    f"{name}: {len(read)} shards of {table}: {text}"
                    for table, read in partitions(found[0]["Plan"]).items()
                    if len(read) > 1
                ]
    assert refused == []
    assert len(called) > 200
    assert not any("_history" in text for text in called)
    # Without its values Citus knows the shard of the simplest statements alone.
    assert "SET LOCAL \"plan_cache_mode\" TO 'force_custom_plan'" in called
    assert not any("force_generic_plan" in text for text in called)


def test_documents_of_several_vectors_are_counted(distributed: str) -> None:
    """`update` and `embed_missing` say how many documents they have changed, the first included."""
    config = PostgreSQLConfig(dsn=distributed, embedding_dimensions=128)
    with PostgreSQLProvider(config) as provider:
        acme = provider.tenant("acme")
        acme.store_many([{"content": "tea", "k": 1}, {"content": "rain", "k": 1}, {"content": "x", "k": 2}], "pages")
        assert acme.update("pages", {"k": 1}, {"content": "snow"}) == 2
    with PostgreSQLProvider(config, embedder=script().Embedder()) as provider:
        assert provider.tenant("acme").embed_missing("pages") == 3


TABLE = "public.long_term_memory"
ID = "0" * 32
INSERTED = f"INSERT INTO {TABLE} AS d (tenant, id) VALUES ('a', '{ID}') ON CONFLICT (tenant, id) DO UPDATE SET"
SELECTED = f"INSERT INTO {TABLE} AS d (tenant, id) SELECT $1, unnest($2::uuid[])"
REFUSED = {
    f"UPDATE {TABLE} SET updated_at = clock_timestamp() WHERE tenant = 'a'": "VOLATILE",
    f"UPDATE {TABLE} SET access_count = r.n FROM (SELECT random() AS n) AS r WHERE tenant = 'a'": "VOLATILE",
    f"UPDATE {TABLE} SET expires_at = coalesce(expires_at, now()) WHERE tenant = 'a'": "CASE or COALESCE",
    f"UPDATE {TABLE} SET name = CASE WHEN now() > '2000-01-01' THEN 'x' END WHERE tenant = 'a'": "CASE or COALESCE",
    f"UPDATE {TABLE} SET expires_at = created_at + interval '1 day' WHERE tenant = 'a'": "column references",
    f"UPDATE {TABLE} SET name = created_at::text WHERE tenant = 'a'": "column references",
    f"DELETE FROM {TABLE} WHERE tenant = 'a' AND to_jsonb(name) = data": "column references",
    f"DELETE FROM {TABLE} WHERE tenant = 'a' RETURNING expires_at > now()": "RETURNING",
    f"WITH gone AS (DELETE FROM {TABLE} WHERE tenant = 'a' RETURNING now()) SELECT * FROM gone": "RETURNING",
    f"{INSERTED} updated_at = now()": "DO UPDATE SET",
    f"{INSERTED} name = 'x' WHERE d.expires_at > now()": "WHERE clause of ON CONFLICT",
    f"INSERT INTO {TABLE} AS d (tenant, id) VALUES ('a', (SELECT gen_random_uuid()))": "within INSERT",
    f"DELETE FROM {TABLE} AS d USING (SELECT now() AS now) AS c WHERE tenant = 'a' RETURNING d.id": "pulls up",
    f"{SELECTED} ON CONFLICT (tenant, id) DO UPDATE SET name = 'x' WHERE d.tenant = $1": "onConflict",
    f"{SELECTED} RETURNING $1": "returningList",
    f"SELECT * FROM {TABLE}, public.memorizz_settings WHERE tenant = 'a'": "local tables",
    f"UPDATE {TABLE} SET name = (SELECT name FROM public.memorizz_stores LIMIT 1) WHERE tenant = 'a'": "local tables",
}
TAKEN = [
    f"UPDATE {TABLE} SET updated_at = statement_timestamp(), data = data || '{{}}' WHERE tenant = 'a' AND id = '{ID}'",
    f"UPDATE {TABLE} SET expires_at = least(NULL, now() + interval '1 day') WHERE tenant = 'a' AND expires_at > now()",
    f"DELETE FROM {TABLE} USING (SELECT now() AS now OFFSET 0) AS c WHERE tenant = 'a' RETURNING expires_at > c.now",
    f"{SELECTED} ON CONFLICT (tenant, id) DO UPDATE SET name = 'x' WHERE d.tenant = excluded.tenant RETURNING d.id",
    f"INSERT INTO {TABLE} AS d (tenant, id) VALUES ($1, $2) ON CONFLICT (tenant, id) DO UPDATE SET name = $1",
    f"{INSERTED} updated_at = excluded.updated_at WHERE d.tenant = 'a'",
    f"INSERT INTO {TABLE} (tenant, id, expires_at) VALUES ('a', '{ID}', clock_timestamp())",
    f"SELECT now(), clock_timestamp() FROM {TABLE} WHERE tenant = 'a' AND expires_at > now()",
]


def test_the_rules_of_citus_are_seen_to(migrated_dsn: str) -> None:
    """Of each thing that it refuses, one statement is refused, for that alone; what it takes is taken."""
    with psycopg.connect(migrated_dsn, autocommit=True) as database:
        planner = Planner.of(database, {"long_term_memory"})
        for statement, why in REFUSED.items():
            reasons = planner.refused(parsed(database, statement, ["", ""] if "$2" in statement else []))
            assert reasons, statement
            assert all(why in each for each in reasons), (statement, reasons)
        for statement in TAKEN:
            values = ["", ""] if "$2" in statement else []
            assert planner.refused(parsed(database, statement, values)) == [], statement


# --- it does what it does elsewhere -------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["one server", "distributed"])
def acme(request: pytest.FixtureRequest, config: PostgreSQLConfig, migrated_dsn: str) -> Iterator[Any]:
    """A tenant's view, of stores on one server and of those that are noted as distributed."""
    if request.param:
        mark(migrated_dsn)
    with PostgreSQLProvider(config) as provider:
        yield provider.tenant("acme")


def test_what_has_expired_is_not_merged_with(acme: Any) -> None:
    """By store and store_many: a document under the id of an expired one is a new one."""
    for store in (acme.store, lambda document, of: acme.store_many([document, {"id": "b", "n": 2}], of)):
        acme.store({"id": "a", "old": 1, "expires_at": datetime.now(UTC) - timedelta(days=1)}, LONG)
        assert acme.retrieve_by_id("a", LONG) is None
        store({"id": "a", "new": 2}, LONG)
        found = acme.retrieve_by_id("a", LONG)
        assert (found.get("old"), found["new"]) == (None, 2)
        store({"id": "a", "more": 3}, LONG)
        assert acme.retrieve_by_id("a", LONG) | {"new": 2, "more": 3} == acme.retrieve_by_id("a", LONG)
        acme.delete_by_id("a", LONG)


def test_times_move_on_as_they_do(acme: Any) -> None:
    """What is merged has been updated then; what a document brings of its own times is kept where it is new."""
    acme.store({"id": "a", "created_at": "2020-01-01", "updated_at": "2020-01-02"}, LONG)
    first = acme.retrieve_by_id("a", LONG)
    assert (first["created_at"].year, first["updated_at"].day) == (2020, 2)
    acme.store({"id": "a", "n": 1}, LONG)
    second = acme.retrieve_by_id("a", LONG)
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]
    acme.store({"id": "t", "ttl": 100}, LONG)
    before = acme.retrieve_by_id("t", LONG)["expires_at"]
    [hit] = acme.retrieve_by_query({"id": "t"}, LONG, touch=True)
    after = acme.retrieve_by_id("t", LONG)
    assert before < after["expires_at"] < before + timedelta(seconds=60)
    assert after["expires_at"] - after["last_accessed"] == timedelta(seconds=100)
    assert hit["id"] == "t"
    acme.update_by_id("t", {"expires_at": "2090-01-01"}, LONG)
    assert acme.retrieve_by_id("t", LONG)["expires_at"].year == 2090


def test_what_another_memory_has_under_an_id_is_not_merged_with(acme: Any) -> None:
    """By store and store_many, for a memory or an agent in it: the document of the others stays as it is."""
    mine = acme.memory("m", agent="a")
    mine.store_many([{"id": f"d{n}", "n": n} for n in range(3)], LONG)
    mine.store_many([{"id": f"d{n}", "k": n} for n in range(3)], LONG)
    before = mine.list_all(LONG)
    assert [(each["n"], each["k"]) for each in before] == [(n, n) for n in range(3)]
    for other in (acme.memory("m", agent="b"), acme.memory("n", agent="a"), acme.memory("n")):
        with pytest.raises(InvalidDocument, match="d1"):
            other.store({"id": "d1", "n": 9}, LONG)
        with pytest.raises(InvalidDocument, match="d1"):
            other.store_many([{"id": "d1", "n": 9}, {"id": "d2", "n": 9}], LONG)
    assert mine.list_all(LONG) == before
    acme.memory("m").store_many([{"id": f"d{n}", "n": 7} for n in range(3)], LONG)
    assert [each["n"] for each in mine.list_all(LONG)] == [7] * 3


def test_several_statements_happen_together_or_not_at_all(acme: Any) -> None:
    """A batch that fails leaves nothing of it, and a connection that goes on; inside of a transaction too."""
    with pytest.raises(InvalidDocument):
        acme.run_many([Call("store", {"id": "a"}, LONG), Call("store", {"id": "b", "access_count": 2**70}, LONG)])
    acme.store_many([{"id": f"d{n}", "n": n} for n in range(5)], LONG)
    acme.store_many([{"id": f"d{n}", "k": n} for n in range(3, 8)], LONG)
    assert acme.count(LONG) == 8
    with acme.transaction() as transaction:
        transaction.store({"id": "d9"}, LONG)
        assert transaction.retrieve_by_query({"embedding": [1.0] * 4}, LONG) == []
        assert transaction.count(LONG) == 9

    def fail() -> None:
        with acme.transaction() as transaction:
            transaction.delete(LONG, {"n": 3})
            transaction.run_many([Call("delete_by_id", "d1", LONG), Call("count", LONG)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert acme.count(LONG) == 9


def test_a_failed_batch_is_taken_back(distributed: str, sent: list[Any]) -> None:
    """The server refuses one of its statements: nothing of those before stays, and the connection is used again."""
    with PostgreSQLProvider(PostgreSQLConfig(dsn=distributed, embedding_dimensions=128, max_size=1)) as provider:
        acme = provider.tenant("acme")
        acme.store({"id": "a"}, LONG)
        with psycopg.connect(distributed, autocommit=True) as database:
            database.execute("ALTER TABLE toolbox ADD CONSTRAINT refused CHECK (name <> 'refused')")
        sent.clear()
        calls = [Call("delete_by_id", "a", LONG), Call("store", {"name": "refused"}, "toolbox")]
        with pytest.raises(Exception, match="refused"):
            acme.run_many(calls)
        assert any(isinstance(step, Batch) and step.begins for step in sent)
        assert acme.count(LONG) == 1
        assert acme.run_many([Call("delete_by_id", "a", LONG), Call("count", LONG)]) == [True, 0]


@pytest.fixture
def walled(distributed: str) -> Iterator[tuple[str, str]]:
    """A distributed schema whose tenants row-level security keeps apart, and the role for which it does."""
    role = f"citus_app_{conninfo_to_dict(distributed)['dbname']}"
    with Maintenance(PostgreSQLConfig(dsn=distributed)) as maintenance:
        maintenance.enable_tenants(role)
    yield distributed, role
    with psycopg.connect(distributed, autocommit=True) as database:
        name = sql.Identifier(role)
        database.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(name, name))


def as_role(dsn: str, role: str) -> PostgreSQLConfig:
    return PostgreSQLConfig(dsn=make_conninfo(dsn, user=role), embedding_dimensions=None)


def test_behind_the_wall_each_statement_says_its_tenant_literally(walled: tuple[str, str], sent: list[Any]) -> None:
    """With SET LOCAL, told to be passed on, before anything else; and no function is asked, which a shard could not."""
    dsn, role = walled
    with PostgreSQLProvider(as_role(dsn, role)) as provider:
        sent.clear()
        acme = provider.tenant("acme")
        acme.store({"id": "a", "name": "tea", "k": 1}, LONG)
        assert [hit["id"] for hit in acme.retrieve_by_query({"$text": {"$search": "tea"}, "k": 1}, LONG)] == ["a"]
        assert provider.tenant("other").retrieve_by_id("a", LONG) is None
        acme.store_many([{"n": n} for n in range(3)], LONG)
        for step in sent:
            first, tenant, *_ = statements([step])
            assert first == "SET LOCAL citus.propagate_set_commands TO 'local'"
            assert re.fullmatch('SET LOCAL "memorizz"."tenant" TO \'(acme|other)\'', tenant)
        assert not any("_ids" in text for text in statements(sent))
        # Else Citus would send the rows by COPY, which no table behind policies takes.
        together = [text for text in statements(sent) if text.startswith("INSERT") and " SELECT " in text]
        assert together
        assert all(" ON CONFLICT " in text for text in together)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tenant=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=30))
def test_any_tenant_is_said_as_it_is(walled: tuple[str, str], tenant: str) -> None:
    """Quotes, backslashes, what looks like the place of a parameter: a tenant is a value, and sees what is its own."""
    dsn, role = walled
    with PostgreSQLProvider(as_role(dsn, role)) as provider:
        for name in (tenant, "%(tenant)s", "'; SELECT 1 --", "\\', '", "%s%%"):
            try:
                view = provider.tenant(name)
            except ConfigurationError:
                continue
            view.store({"id": "a", "n": name}, LONG)
            assert [each["n"] for each in view.list_all(LONG)] == [name]
            view.delete_all(LONG)


# --- distributing -------------------------------------------------------------------------------------------------

# Citus's functions take the same arguments.
STANDINS = """
CREATE TABLE said (place serial, what text);
CREATE FUNCTION create_distributed_table(t regclass, c text, colocate_with text, shard_count int DEFAULT NULL)
    RETURNS void LANGUAGE sql AS
$$ INSERT INTO said (what) VALUES (concat_ws(' ', t::text, c, colocate_with, shard_count::text)) $$;
CREATE FUNCTION truncate_local_data_after_distributing_table(t regclass) RETURNS void LANGUAGE sql AS
$$ INSERT INTO said (what) VALUES ('emptied ' || t::text) $$;
CREATE FUNCTION create_distributed_function(f regprocedure) RETURNS void LANGUAGE sql AS
$$ INSERT INTO said (what) VALUES (f::text) $$;
"""


def test_the_statements_of_scale_out_run_and_keep_what_is_stored(config: PostgreSQLConfig, migrated_dsn: str) -> None:
    """With stand-ins for Citus's own functions, which only note what they are told.

    Documents come before their parts, whose foreign key is to them, all in the shards of the first; the triggers are
    gone. A later store follows.
    """
    with PostgreSQLProvider(config) as provider:
        provider.create_store(StoreSpec("pages", fields=("content",)))
        provider.tenant("acme").store({"id": "a", "content": "tea"}, LONG)
        provider.tenant("acme").store({"id": "a", "content": "tea"}, "pages")
    with Maintenance(config) as maintenance, psycopg.connect(migrated_dsn, autocommit=True) as database:
        known = maintenance.facts()
        database.execute(STANDINS)
        for part in distribution.statements(known, 16):
            with database.transaction():
                for statement in part:
                    database.execute(statement)
        said = [what for (what,) in database.execute("SELECT what FROM said ORDER BY place")]
        said, emptied = [[each for each in said if each.startswith("emptied") is is_so] for is_so in (False, True)]
        stores = list(known.stores)
        assert len(emptied) == 2 * len(stores)
        assert said[0] == f"{stores[0]} tenant none 16"
        assert (
            said[1:-1]
            == [
                f'{table} tenant "public"."{stores[0]}"'
                for store in stores
                for table in (store, f"memorizz_{store}_parts")
            ][1:]
        )
        assert said[-1] == "memorizz_question(text,integer)"
        count = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'long_term_memory'::regclass"
        assert database.execute(count).fetchone() == (0,)
        with PostgreSQLProvider(config) as provider:
            acme = provider.tenant("acme")
            assert (acme.count(LONG), acme.count("pages")) == (1, 1)
            database.execute("DELETE FROM said")
            provider.create_store(StoreSpec("later"))
            said = [what for (what,) in database.execute("SELECT what FROM said ORDER BY place")]
            assert said == [f'{table} tenant "public"."{stores[0]}"' for table in ("later", "memorizz_later_parts")]
            acme.store({"id": "a", "content": "tea"}, "later")
            provider.drop_store("later", yes=True)


class Reader:
    """Stands in for a model that reads sixteen words."""

    name, dimensions, max_tokens = "model", 128, 16

    def embed(self, texts: Any, *, kind: str = "document") -> Any:
        return [[float(len(text))] + [1.0] * 127 for text in texts]

    def count_tokens(self, texts: Any) -> Any:
        return [len(text.split()) for text in texts]


TABLE = "SELECT relforcerowsecurity FROM pg_class WHERE relname IN ('pages', 'memorizz_long_term_memory_parts')"
TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'long_term_memory'::regclass"
KEYS = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text ~ 'long_term|pages'"


@pytest.fixture
def two_servers(monkeypatch: pytest.MonkeyPatch, dsn: str) -> Iterator[psycopg.Connection]:
    """A database with stand-ins for Citus's functions, and a wall between its tenants."""

    def servers() -> Any:
        yield from ()
        return 2

    monkeypatch.setattr(distribution, "servers", servers)
    role = f"citus_two_{conninfo_to_dict(dsn)['dbname']}"
    with PostgreSQLProvider(PostgreSQLConfig(dsn=dsn, embedding_dimensions=128)) as provider:
        provider.create_store(StoreSpec("pages", fields=("content",)))
        provider.tenant("acme").store({"id": "a", "content": "tea"}, LONG)
    with Maintenance(PostgreSQLConfig(dsn=dsn)) as maintenance:
        maintenance.enable_tenants(role)
    with psycopg.connect(dsn, autocommit=True) as database:
        database.execute(STANDINS)
        yield database
        name = sql.Identifier(role)
        database.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(name, name))


def test_scale_out_goes_on_where_it_has_ended(dsn: str, two_servers: psycopg.Connection) -> None:
    """Documents are copied while no policy holds for their owner; the coordinator is freed of them afterwards."""
    two_servers.execute(
        "CREATE FUNCTION check_copied() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "ASSERT NOT (SELECT relforcerowsecurity FROM pg_class WHERE relname = 'pages'); RETURN NEW; END $$; "
        "CREATE TRIGGER copied BEFORE INSERT ON said FOR EACH ROW WHEN (NOT starts_with(NEW.what, 'emptied')) "
        "EXECUTE FUNCTION check_copied()"
    )
    emptied = "SELECT what FROM said WHERE starts_with(what, 'emptied')"
    with Maintenance(PostgreSQLConfig(dsn=dsn)) as maintenance:
        planned = maintenance.scale_out(dry_run=True)
        done = maintenance.scale_out()
        assert (done.tables, done.servers, planned.tables) == (16, 2, 16)
        assert two_servers.execute(TABLE).fetchall() == [(True,), (True,)]
        assert (two_servers.execute(TRIGGERS).fetchone(), two_servers.execute(KEYS).fetchone()) == ((0,), (2,))
        # One has something, and the others only lacked their policies for the owner.
        assert two_servers.execute(emptied + " AND what LIKE '% long_term_memory'").fetchall()
        two_servers.execute("DELETE FROM said")
        assert maintenance.scale_out().tables == 0
        assert two_servers.execute("SELECT what FROM said").fetchall() == [("emptied long_term_memory",)]


def test_a_scale_out_that_is_refused_leaves_everything_as_it_was(dsn: str, two_servers: psycopg.Connection) -> None:
    two_servers.execute(
        "CREATE OR REPLACE FUNCTION create_distributed_function(f regprocedure) RETURNS void LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'not this one' USING ERRCODE = 'feature_not_supported'; END $$"
    )
    before = two_servers.execute(TRIGGERS).fetchone()
    with Maintenance(PostgreSQLConfig(dsn=dsn)) as maintenance:
        # As one that is killed leaves it.
        with maintenance.transaction():
            maintenance.run(distribution.prepare(maintenance.facts().layout, None))
        [found] = [each for each in maintenance.examine()[1] if each.subject == "distribution"]
        assert "left foreign keys in the place of triggers" in found.text
        with pytest.raises(DatabaseError, match="not this one"):
            maintenance.scale_out()
        assert not maintenance.facts().layout.distributed
        assert not [each for each in maintenance.examine()[1] if each.subject == "distribution"]
    assert before == two_servers.execute(TRIGGERS).fetchone() == (2,)
    assert two_servers.execute(KEYS).fetchone() == (1,)
    assert two_servers.execute(TABLE).fetchall() == [(True,), (True,)]


def test_without_citus_it_says_so_and_does_nothing(config: PostgreSQLConfig, migrated_dsn: str) -> None:
    """Planned or done: no extension, no distribution."""
    with Maintenance(config) as maintenance:
        for dry_run in (True, False):
            with pytest.raises(
                SchemaError, match="no extension citus: scale-out needs a coordinator of Citus 13 or 14"
            ):
                maintenance.scale_out(dry_run=dry_run)
            with pytest.raises(ConfigurationError, match="shards=0: expected a number from 1"):
                maintenance.scale_out(0, dry_run=dry_run)
        assert not maintenance.facts().layout.distributed


@pytest.mark.parametrize(
    ("version", "fits"), [("12.1.6", False), ("13.0.1", False), ("13.0.2", True), ("14.0.0", True)]
)
def test_a_version_of_citus_that_does_not_do_is_refused(
    dsn: str, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool
) -> None:
    """The extension says 13.0-1 of each 13.0, and of these the first takes no row with a number of its own."""
    monkeypatch.setattr(distribution, "_EXTENSION", b"SELECT '13.0-1'")
    with psycopg.connect(dsn, autocommit=True) as database:
        said = sql.Literal(f"Citus {version} on x86_64-pc-linux-gnu, compiled by gcc 14.2.1, 64-bit")
        database.execute(
            sql.SQL("CREATE FUNCTION citus_version() RETURNS text LANGUAGE sql AS {}").format(
                sql.Literal(f"SELECT {said.as_string(None)}")
            )
        )
        database.execute(
            "CREATE TABLE pg_dist_node AS SELECT true AS isactive, true AS shouldhaveshards, 'primary' AS noderole"
        )
    with Maintenance(PostgreSQLConfig(dsn=dsn)) as maintenance:
        if fits:
            assert maintenance.run(distribution.servers()) == 1
        else:
            with pytest.raises(SchemaError, match=f"Citus is {version} here: scale-out needs 13.0.2"):
                maintenance.run(distribution.servers())


def test_what_cannot_be_distributed_is_named(config: PostgreSQLConfig, migrated_dsn: str) -> None:
    """Each with what to do: a history, partitions, and what others have put on the tables."""
    with PostgreSQLProvider(config) as provider, Maintenance(config) as maintenance:

        def refused() -> str:
            with pytest.raises(ConfigurationError, match="cannot be distributed: ") as found:
                maintenance.run(distribution.check(maintenance.facts()))
            return str(found.value)

        provider.keep_history(LONG)
        assert "a history of long_term_memory is kept" in refused()
        provider.drop_history(LONG, yes=True)
        provider.create_store(StoreSpec("split", partitions=2))
        assert "split is in partitions" in refused()
        provider.drop_store("split", yes=True)
        with psycopg.connect(migrated_dsn, autocommit=True) as database:
            database.execute("CREATE TABLE mine (tenant text, id uuid, FOREIGN KEY (tenant, id) REFERENCES personas)")
            assert "mine has a foreign key that is not the library's" in refused()
            database.execute("DROP TABLE mine")
            database.execute(
                "CREATE TRIGGER mine BEFORE UPDATE ON personas FOR EACH ROW "
                "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            )
            assert "personas has a trigger that is not the library's" in refused()
            database.execute("DROP TRIGGER mine ON personas")
        maintenance.run(distribution.check(maintenance.facts()))


def test_what_there_is_not_with_citus_is_refused(distributed: str) -> None:
    """With the reason: a history, partitions, another language or model, a wall between the memories of a tenant."""
    config = PostgreSQLConfig(dsn=distributed, embedding_dimensions=128)
    said = "Citus has distributed the stores of schema 'public', and "
    with PostgreSQLProvider(config) as provider, Maintenance(config) as maintenance:
        with pytest.raises(ConfigurationError, match=f"a history of long_term_memory: {said}takes no triggers"):
            provider.keep_history(LONG)
        with pytest.raises(ConfigurationError, match=f"partitions=2: {said}a store is in shards"):
            provider.create_store(StoreSpec("split", partitions=2))
        with pytest.raises(ConfigurationError, match=f"memories=True: {said}takes no policies"):
            maintenance.enable_tenants("somebody", memories=True)
        with pytest.raises(ConfigurationError, match=f"language='german': {said}does not make"):
            maintenance.change_language("german")
        with pytest.raises(ConfigurationError, match=f"another embedding model, 'model': {said}takes no"):
            Reembedding(maintenance, Reader()).begin()


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have each script be one statement, which the server says of one that is prepared; the scripts, as they go out."""
    scripts: list[str] = []
    plain = Maintenance.perform

    def performed(self: Maintenance, step: Any) -> Any:
        if isinstance(step, Script) and b"_timeout" not in step.sql:
            scripts.append(step.sql.decode())
            step = Query(step.sql)
        return plain(self, step)

    monkeypatch.setattr(Maintenance, "perform", performed)
    return scripts


def test_statements_that_change_tables_go_out_one_by_one(distributed: str, one_by_one: list[str]) -> None:
    """To the shards, Citus sends the whole text that one of them stands in, and takes only one of them there."""
    config = PostgreSQLConfig(dsn=distributed, embedding_dimensions=128)
    role = f"citus_apart_{conninfo_to_dict(distributed)['dbname']}"
    with Maintenance(config) as maintenance:
        [*maintenance.make(maintenance.plan_rebuild(store="long_term_memory", m=8))]
        assert maintenance.defer_index("personas")
        maintenance.build_deferred("personas")
        maintenance.enable_tenants(role)
        maintenance.disable_tenants()
        with maintenance.transaction():
            maintenance.run(tables.drop_store(maintenance.facts(), "notes"))
    with psycopg.connect(distributed) as database:
        database.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    for begin in ("ALTER INDEX", "DROP INDEX", "CREATE POLICY", "ALTER TABLE", "DROP TABLE", "REVOKE", "GRANT"):
        assert any(each.startswith(begin) for each in one_by_one), begin
    # What changes roles or functions beside tables takes no two connections to a server.
    assert one_by_one.count("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'") == 3


def test_scripts_are_taken_apart_where_their_statements_end() -> None:
    script = rb"""-- It's a comment; with all that.
    SELECT ';--' || 'it''s' AS "a;b"; SELECT 1 - -1, $1;;
    CREATE FUNCTION f() LANGUAGE plpgsql AS $f$ BEGIN; -- this stays; $$;$$ END $f$; -- last
    CREATE FUNCTION g() BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END FROM x; END;
    COMMIT"""
    assert [*citus.one_by_one(script)] == [
        b"""SELECT ';--' || 'it''s' AS "a;b\"""",
        b"SELECT 1 - -1, $1",
        b"CREATE FUNCTION f() LANGUAGE plpgsql AS $f$ BEGIN; -- this stays; $$;$$ END $f$",
        b"CREATE FUNCTION g() BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END FROM x; END",
        b"COMMIT",
    ]


def test_a_role_is_tried_on_what_is_distributed(walled: tuple[str, str]) -> None:
    """It has its rows, whose tenant is said as Citus passes it on."""
    dsn, role = walled
    with Maintenance(as_role(dsn, role)) as maintenance:
        assert maintenance.probe_tenants().ok


# What Citus does the first time, and the server without it never.
REFUSAL = """
CREATE SEQUENCE tries;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('tries') = 1 THEN
        RAISE 'could not run distributed query' USING ERRCODE = 'feature_not_supported';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refused BEFORE INSERT ON long_term_memory FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def test_a_program_that_is_open_while_the_stores_are_distributed_follows(dsn: str, sent: list[Any]) -> None:
    """Once Citus has refused a statement; what it refuses for another reason is said, and not sent again."""
    config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=128)
    with PostgreSQLProvider(config) as provider, psycopg.connect(dsn, autocommit=True) as database:
        acme = provider.tenant("acme")
        acme.store({"id": "a", "content": "tea"}, LONG)
        database.execute(REFUSAL)
        with pytest.raises(DatabaseError, match="could not run distributed query"):
            acme.store({"id": "b", "content": "tea"}, LONG)
        database.execute("ALTER SEQUENCE tries RESTART")
        mark(dsn)
        sent.clear()
        acme.store_many([{"id": "b", "content": "tea"}, {"id": "c", "content": "tea"}], LONG)
        assert acme.count(LONG) == 3
        last = [step for step in sent if isinstance(step, Batch)][-1]
        assert last.begins


@pytest.mark.parametrize("suffix", ["", "_102008"])
def test_what_a_worker_says_is_understood(suffix: str) -> None:
    """Citus tells the code and the words of an error of a worker, where a table has the number of its shard."""
    table = f"long_term_memory{suffix}"
    check = f'new row for relation "{table}" violates check constraint "long_term_memory_validity_check{suffix}"'
    assert isinstance(translated(psycopg.errors.CheckViolation(check), "here"), InvalidDocument)
    other = f'new row for relation "{table}" violates check constraint "mine{suffix}"'
    assert not isinstance(translated(psycopg.errors.CheckViolation(other), "here"), InvalidDocument)
    policy = psycopg.errors.InsufficientPrivilege(f'new row violates row-level security policy for table "{table}"')
    found = translated(policy, "here")
    found.__cause__ = policy
    assert breaks_policy(found)
    assert "is not one of its own" in str(found)


def test_the_doctor_says_whether_the_stores_are_distributed(distributed: str) -> None:
    """Here they are noted so, and are not: whoever connects to another server than the coordinator hears of it."""
    with Maintenance(PostgreSQLConfig(dsn=distributed)) as maintenance:
        _, findings = maintenance.examine()
    [found] = [each for each in findings if each.subject == "distribution"]
    assert found.level is Level.DANGER
    assert "18 tables" in found.text


SIZES = """
CREATE TABLE pg_dist_partition AS
    SELECT oid::regclass AS logicalrelid FROM pg_class WHERE relname IN ('personas', 'memorizz_personas_parts');
CREATE FUNCTION citus_relation_size(r regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 2000000000';
CREATE FUNCTION citus_table_size(r regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 3000000000';
CREATE FUNCTION citus_total_relation_size(r regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 5000000000';
"""


@pytest.mark.parametrize(("version", "of_indexes"), [("13.0-1", False), ("13.1-1", True), ("14.0-1", True)])
def test_sizes_are_those_of_the_shards(
    distributed: str, monkeypatch: pytest.MonkeyPatch, version: str, of_indexes: bool
) -> None:
    """The coordinator's tables are empty, and its statistics would say that there is nothing; rows are counted."""
    monkeypatch.setattr(_measuring, "_CITUS", f"SELECT '{version}'".encode())
    config = PostgreSQLConfig(dsn=distributed, embedding_dimensions=128)
    with PostgreSQLProvider(config) as provider:
        provider.tenant("acme").store({"content": "tea"}, "personas")
    with psycopg.connect(distributed, autocommit=True) as database:
        database.execute("ANALYZE personas")
        database.execute(SIZES)
    with Maintenance(config) as maintenance:
        stores, indexes = maintenance.measure()
        by_name = {store.name: store for store in stores}
        personas = by_name["personas"]
        assert (personas.rows, personas.estimated) == (1, False)
        assert (personas.table_bytes, personas.index_bytes) == (6_000_000_000, 4_000_000_000)
        assert by_name["toolbox"].bytes < 10_000_000
        sizes = {index.bytes for index in indexes if index.store == "personas"}
        assert (sizes == {3_000_000_000}) is of_indexes
        rows, _ = maintenance.glance()
        assert "personas" not in rows
        assert not [each for each in maintenance.examine()[1] if each.subject == "shared_buffers"]


def test_pieces_of_a_text_that_was_replaced_go_when_it_is_tidied(distributed: str) -> None:
    """No trigger deletes them there; nothing finds them until they go."""
    with psycopg.connect(distributed, autocommit=True) as database:
        with Maintenance(PostgreSQLConfig(dsn=distributed)) as maintenance:
            known = maintenance.facts()
        for statement in distribution.own_parts(known.store(LONG)):
            database.execute(statement)
        count = "SELECT count(*) FROM memorizz_long_term_memory_parts"
        config = PostgreSQLConfig(dsn=distributed, embedding_dimensions=128)
        with PostgreSQLProvider(config, embedder=Reader()) as provider:
            acme = provider.tenant("acme")
            acme.store({"id": "a", "content": "one two three four five six. " * 20}, LONG)
            [(pieces,)] = database.execute(count).fetchall()
            assert pieces > 2
            acme.update_by_id("a", {"content": "one"}, LONG)
            assert [hit["id"] for hit in acme.retrieve_by_query("one", LONG)] == ["a"]
            assert database.execute(count).fetchone() == (pieces,)
            acme.purge_expired()
            assert database.execute(count).fetchone() == (0,)
            acme.store({"id": "a", "content": "one two three four five six. " * 20}, LONG)
            acme.delete_by_id("a", LONG)
            assert database.execute(count).fetchone() == (0,)
