"""The second wall: the memories of one tenant, kept apart by the database for a transaction that is of one of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from apis import Loop
from contract.test_scopes import ATTACKS, NAME, SECRET, THEIRS, filled, state
from memorizz.errors import ConfigurationError, DatabaseError, InvalidDocument, InvalidFile, MemorizzError
from memorizz.importers import import_file
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.memory_provider.stores import StoreSpec
from memorizz.moving import export
from poolers import pgbouncer

LONG = MemoryType.LONG_TERM_MEMORY
VECTOR = [1.0, 0.0, 0.0, 0.0]
PAGES = StoreSpec("pages", fields=("content", "notes[*].body"))


@pytest.fixture(params=[18, 16], ids=["PostgreSQL 18", "PostgreSQL 16"])
def pg_version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def walled(config: PostgreSQLConfig, role: str) -> PostgreSQLConfig:
    """What opens the database as the application's role, behind both walls, with histories and a store of parts."""
    with PostgreSQLProvider(config) as owner:
        owner.create_store(PAGES)
        owner.keep_history(LONG)
    with Maintenance(config) as maintenance:
        assert maintenance.enable_tenants(role, memories=True).memories
    with PostgreSQLProvider(config) as owner:
        owner.keep_history("pages")
    return config.replace(user=role)


@pytest.fixture
def api(open_api: Callable[..., Any], walled: PostgreSQLConfig) -> Iterator[Any]:
    with open_api(walled) as provider:
        yield provider


@contextlib.contextmanager
def plain_sql(dsn: str, role: str, tenant: str, memory: str | None = None) -> Iterator[Any]:
    """Give a transaction of SQL beside the library, which is undone."""
    with psycopg.connect(dsn, user=role) as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('memorizz.tenant', %s, true)", (tenant,))
        if memory is not None:
            connection.execute("SELECT set_config('memorizz.memory', %s, true)", (memory,))
        yield connection


def test_a_memory_reaches_nothing_of_another(api: Any) -> None:
    """Every method does behind the wall what it does without: no row of another memory is read or changed."""
    theirs, mine = filled(api.tenant("acme").memory("theirs")), api.tenant("acme").memory("mine")
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


def test_plain_sql_has_the_rows_of_its_memory(api: Any, migrated_dsn: str, role: str) -> None:
    """In every table those of the memory that is said, without one those of the whole tenant; what is of no memory is
    the tenant's alone."""
    acme = api.tenant("acme")
    for name, view in (("ada", acme.memory("ada")), ("bob", acme.memory("bob")), ("none", acme)):
        view.store({"id": name, "content": "tea", "embedding": VECTOR}, LONG)
        view.update(LONG, {"id": name}, {"content": "coffee"})
        page = {"id": name, "content": "tea", "embedding": [{"path": "content", "embedding": VECTOR}]}
        view.store(page, "pages")
        view.delete_by_id(name, LONG)
        view.store({"id": name, "content": "water"}, LONG)
    ids = {name: acme.memory(name) for name in ("ada", "bob")}
    assert [[each["id"] for each in view.list_all("pages")] for view in ids.values()] == [["ada"], ["bob"]]
    counts = {
        "long_term_memory": (3, 1), "pages": (3, 1), "memorizz_pages_parts": (3, 1),
        "memorizz_long_term_memory_history": (12, 4), "memorizz_pages_history": (3, 1),
        "memorizz_pages_parts_history": (3, 0),
    }  # fmt: skip
    for table, (of_tenant, of_memory) in counts.items():
        count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        for memory, seen in ((None, of_tenant), ("", of_tenant), ("ada", of_memory), ("nobody", 0)):
            with plain_sql(migrated_dsn, role, "acme", memory) as connection:
                assert connection.execute(count).fetchone() == (seen,), (table, memory)
        with plain_sql(migrated_dsn, role, "other", "ada") as connection:
            assert connection.execute(count).fetchone() == (0,)
    with plain_sql(migrated_dsn, role, "acme", "ada") as connection:
        # The function that asks the indexes brings ids of the memory, whatever it is asked.
        for memory, seen in ((None, 1), ("ada", 1), ("bob", 0)):
            lookup = "SELECT * FROM memorizz_long_term_memory_ids('water', NULL, true, %s, NULL, NULL)"
            assert len(connection.execute(lookup, (memory,)).fetchall()) == seen
    for statement in (
        "UPDATE long_term_memory SET memory_id = 'bob'",
        "UPDATE long_term_memory SET memory_id = NULL",
        "INSERT INTO long_term_memory (tenant, id) VALUES ('acme', gen_random_uuid())",
        "INSERT INTO memorizz_pages_parts SELECT tenant, gen_random_uuid(), 'x', 0, 1, digest "
        "FROM memorizz_pages_parts",
        "UPDATE memorizz_long_term_memory_history SET content = 'x'",
        "SELECT memorizz_forget_pieces()",
        "CREATE TEMP TABLE forged (LIKE long_term_memory); CREATE TRIGGER forged AFTER INSERT ON forged "
        "REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION memorizz_long_term_memory_record()",
    ):
        with (
            plain_sql(migrated_dsn, role, "acme", "ada") as connection,
            pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)),
        ):
            connection.execute(statement.encode())


def test_the_probe_proves_the_second_wall_too(
    config: PostgreSQLConfig, walled: PostgreSQLConfig, migrated_dsn: str, role: str
) -> None:
    """It tries as one memory of a tenant what it tries as one tenant, and says what is reached through each hole."""
    holes = {
        "DROP POLICY memorizz_memory ON toolbox": '"public"."toolbox"',
        "DROP POLICY memorizz_memory ON memorizz_agents_parts": '"public"."memorizz_agents_parts"',
        "DROP POLICY memorizz_memory ON memorizz_personas_history": '"public"."memorizz_personas_history"',
        "DROP POLICY memorizz_memory ON memorizz_pages_parts_history": '"public"."memorizz_pages_parts_history"',
        "CREATE OR REPLACE FUNCTION memorizz_pages_has(of text, document uuid) RETURNS boolean LANGUAGE sql "
        "RETURN true": '"public"."memorizz_pages_parts"',
    }
    with Maintenance(walled) as application, psycopg.connect(migrated_dsn, autocommit=True) as owner:
        probe = application.probe_tenants()
        assert (probe.reached, probe.ok, probe.tables) == ([], True, 32)
        with Maintenance(config) as maintenance:
            maintenance.enable_tenants(role, memories=False)
            assert application.probe_tenants().tried < probe.tried - 32 * 15
            assert not maintenance.enable_tenants(role).memories
            assert maintenance.enable_tenants(role, memories=True).memories
        assert application.probe_tenants() == probe
        for hole in holes:
            owner.execute(hole.encode())
        reached = application.probe_tenants().reached
        # What a part is of, its document says.
        assert {each.table for each in reached} == {*holes.values(), '"public"."memorizz_toolbox_parts"'}
        assert "it changed rows of another memory" in {each.outcome for each in reached}
        assert owner.execute("SELECT count(*) FROM toolbox").fetchone() == (0,)


_CATALOGUE = """
SELECT 'table', relname::text, relrowsecurity::text, relforcerowsecurity::text, relacl::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT 'function', proname, prosecdef::text, proconfig::text, proacl::text FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'memorizz%'
UNION ALL SELECT 'policy', tablename || policyname, permissive, qual, with_check FROM pg_policies ORDER BY 1, 2
"""


def test_the_second_wall_is_put_up_and_taken_down(config: PostgreSQLConfig, migrated_dsn: str, role: str) -> None:
    """Off by default, and again as before, alone or with the first; a store that is made later has it."""

    def catalogue() -> list[Any]:
        with psycopg.connect(migrated_dsn) as owner:
            return owner.execute(_CATALOGUE).fetchall()

    def told(provider: PostgreSQLProvider, store: str) -> int:
        """Return how many rows plain SQL finds of a tenant, as one memory, where it has another's."""
        provider.tenant("acme").memory("bob").store({"id": f"of {store}"}, store)
        with plain_sql(migrated_dsn, role, "acme", "ada") as connection:
            found = connection.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier(store)))
            return found.rowcount

    with Maintenance(config) as maintenance, PostgreSQLProvider(config) as owner:
        assert not maintenance.enable_tenants(role).memories
        first = catalogue()
        application = PostgreSQLProvider(config.replace(user=role))
        assert told(application, "toolbox") == 1
        # An open provider says the memory as it is, and works on.
        assert maintenance.enable_tenants(role, memories=True).memories
        assert told(application, "toolbox") == 0
        assert not maintenance.enable_tenants(role, memories=False).memories
        assert told(application, "toolbox") == 1
        assert catalogue() == first
        application.close()
        maintenance.enable_tenants(role, memories=True)
        maintenance.disable_tenants()
        maintenance.enable_tenants(role)
        assert catalogue() == first
        maintenance.enable_tenants(role, memories=True)
        owner.create_store(StoreSpec("later"))
        with PostgreSQLProvider(config.replace(user=role)) as application:
            assert told(application, "later") == 0


def test_an_id_of_another_memory_is_taken(api: Any, migrated_dsn: str, role: str) -> None:
    """The error names the ids that were given and nothing else, and nothing is changed; no policy is quoted."""
    acme = api.tenant("acme")
    ada, bob = acme.memory("ada"), acme.memory("bob")
    for store in (LONG, "pages"):
        bob.store({"id": "a", "secret": SECRET}, store)
        before = bob.list_all(store)
        calls: list[Callable[[], Any]] = [
            lambda store=store: ada.store({"id": "a"}, store),
            lambda store=store: ada.store({"id": "a"}, store, if_absent=True),
            lambda store=store: ada.store_many([{"id": "a"}], store),
            lambda store=store: ada.store_many([{"id": "b"}, {"id": "a"}, {"id": "c"}], store),
        ]
        for call in calls:
            with pytest.raises(
                InvalidDocument, match=r"no document can be stored under .*'a'.* in this memory"
            ) as raised:
                call()
            assert not {"policy", "bob", SECRET} & {*str(raised.value).split()}
        with pytest.raises(InvalidDocument), ada.transaction() as tx:  # noqa: PT012 - both are needed
            tx.store({"id": "d"}, store)
            tx.store({"id": "a"}, store)
        assert (bob.list_all(store), ada.list_all(store)) == (before, [])
        assert not ada.update_by_id("a", {"n": 1}, store)
        with pytest.raises(InvalidDocument):
            bob.update_by_id("a", {"memory_id": "ada"}, store)
        assert acme.update_by_id("a", {"memory_id": "ada"}, store)
        assert ([each["id"] for each in ada.list_all(store)], bob.list_all(store)) == (["a"], [])


_IDS = ["a", "b", "c", "d"]
_TEXTS = ["tea", "tea and milk", "coffee", "water"]


class _Letters:
    """Embeds by letters, and reads so few of them that a text of several words has pieces."""

    name, dimensions, max_tokens = "letters", 4, 16

    def embed(self, texts: list[str], kind: str) -> list[list[float]]:
        return [[1.0, *(float(text.count(each)) for each in "aeo")] for text in texts]


def _document(chance: random.Random, store: str) -> dict[str, Any]:
    text = chance.choice(_TEXTS)
    document: dict[str, Any] = {"content": text, "topic": chance.choice("xyz"), "n": chance.randrange(3)}
    if store == "pages":
        document["notes"] = [{"body": chance.choice(_TEXTS)} for _ in range(chance.randrange(3))]
        document["embedding"] = [
            {"path": "content", "embedding": [1.0, float(len(text)), 0, 0]},
            *({"path": f"notes[{n}].body", "embedding": [0, 1.0, float(n), 1]} for n in range(len(document["notes"]))),
        ]
    else:
        document["embedding"] = [1.0, float(len(text)), float(document["n"]), 0]
    return document


def _step(chance: random.Random, acme: Any, times: list[datetime], store: str) -> Any:
    """Do something to the tenant, or to a memory of it; return what came of it, without what differs by the clock."""
    ada, bob = acme.memory("ada"), acme.memory("bob")
    view = chance.choice([acme, ada, ada, bob])
    id, call = chance.choice(_IDS), f"call {chance.randrange(6)}"
    acting = view.acting("me", call=call)
    match chance.randrange(11):
        case 0 | 1:
            return acting.store({"id": id, **_document(chance, store)}, store)
        case 2:
            return acting.store_many(
                [{"id": each, **_document(chance, store)} for each in chance.sample(_IDS, 2)], store
            )
        case 3:
            return acting.update(store, {"topic": chance.choice("xyz")}, {"n": chance.randrange(9)})
        case 4:
            # The tenant's view moves it.
            return acme.acting("me", call=call).update(store, {"id": id}, {"memory_id": chance.choice(["ada", "bob"])})
        case 5:
            return acting.delete_by_id(id, store)
        case 6:
            return view.restore(id, store, to=chance.choice(times))
        case 7:
            return view.undo(call=call)
        case 8:
            return view.undo(since=times[-1])
        case 9 if chance.random() < 0.5:
            receipt = view.forget(filter={"topic": chance.choice("xyz"), "n": {"$lt": 2}})
            return receipt.deleted, receipt.versions, receipt.left
        case _:
            return (
                [[change, *sorted(found)] for change, found in view.diff_memory(None, store, times[0]).items()]
                if (view is not acme)
                else acme.count(store)
            )


def _seen(acme: Any, times: list[datetime], store: str) -> Iterator[Any]:
    """Yield what each view answers, of now and of each time."""
    for view in (acme, acme.memory("ada"), acme.memory("bob")):
        for each in (view, *(view.at(time) for time in times)):
            for query in (
                {}, {"topic": "x"}, {"$text": {"$search": "tea"}}, {"embedding": VECTOR},
                {"embedding": VECTOR, "n": {"$lt": 2}}, {"embedding": VECTOR, "$text": {"$search": "milk"}},
            ):  # fmt: skip
                hits = each.retrieve_by_query(query, store, limit=10, include_embedding=True)
                yield sorted((hit["id"], hit["content"], hit.get("memory_id"), repr(hit["embedding"])) for hit in hits)
            yield each.count(store, {"topic": {"$in": ["x", "y"]}, "n": 1})
        for id in _IDS:
            found = view.versions(id, store)
            yield [
                (one.operation, one.actor, one.document and (one.document["content"], one.document["n"]))
                for one in found
            ]


def _told(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except MemorizzError as error:
        return type(error)


def test_an_import_into_a_memory_is_refused_before_anything_is_stored(api: Any, tmp_path: Path) -> None:
    """Where an id of it is that of a document of another memory, of one that has expired too."""
    ada, bob = (api.tenant("acme").memory(name) for name in ("ada", "bob"))
    ada.store_many([{"id": id, "content": f"tea {id}"} for id in "ab"], LONG)
    if isinstance(api, PostgreSQLProvider):
        export(ada, tmp_path / "notes", format="markdown")
    ada.delete_all(LONG)
    past = datetime.now(UTC) - timedelta(days=1)
    for document in ({"id": "b"}, {"id": "b", "expires_at": past}):
        bob.store(document, LONG)
        assert ada.run(ada.operations.taken, ["a", "b", "", None], LONG) == ["b"]
        if isinstance(api, PostgreSQLProvider):
            with pytest.raises(InvalidFile, match=r"b\.md: its id, 'b', is one of a document of another memory"):
                import_file(tmp_path / "notes", ada)
    assert ada.count(LONG) == 0
    assert api.tenant("acme").run(api.operations.taken, ["a", "b"], LONG) == []


@pytest.mark.parametrize("store", ["long_term_memory", "pages"])
def test_answers_are_the_same_behind_the_second_wall(
    config: PostgreSQLConfig, walled: PostgreSQLConfig, migrated_dsn: str, store: str
) -> None:
    """Whatever is stored, moved, undone, restored and forgotten in views of a tenant and of its memories: each view
    finds, of now and of any time, what it finds without a wall, and each call does the same."""
    with PostgreSQLProvider(config) as owner, PostgreSQLProvider(walled) as application:
        for seed in range(6):
            views = [owner.tenant(f"open {seed}"), application.tenant(f"walled {seed}")]
            chances, times = [random.Random(seed) for _ in views], [list[datetime]() for _ in views]
            for n in range(40):
                if n % 8 == 0:
                    for of_view in times:
                        with psycopg.connect(migrated_dsn) as connection:
                            of_view += connection.execute("SELECT clock_timestamp()").fetchone() or ()
                did = [_told(lambda each=each: _step(*each, store)) for each in zip(chances, views, times, strict=True)]
                assert did[0] == did[1], (seed, n)
            seen = [[*_seen(view, of_view[1:], store)] for view, of_view in zip(views, times, strict=True)]
            for n, (open_answer, answer) in enumerate(zip(*seen, strict=True)):
                assert open_answer == answer, (seed, n)


def test_pieces_of_long_texts_go_with_their_document(
    config: PostgreSQLConfig, walled: PostgreSQLConfig, migrated_dsn: str
) -> None:
    """Stored, replaced, moved and deleted in a view of a memory, no piece is left behind or missing."""
    text = "tea with milk and honey, and a spoon of sugar, " * 8
    with PostgreSQLProvider(config, embedder=_Letters()):
        pass
    with (
        PostgreSQLProvider(walled, embedder=_Letters()) as application,
        psycopg.connect(migrated_dsn, autocommit=True) as owner,
    ):
        acme = application.tenant("acme")
        ada, bob = acme.memory("ada"), acme.memory("bob")

        def pieces() -> int:
            return (owner.execute("SELECT count(*) FROM memorizz_long_term_memory_parts").fetchone() or (0,))[0]

        ada.store_many([{"id": "a", "content": text}, {"id": "b", "content": text}], LONG)
        ada.store({"id": "c", "content": text}, LONG)
        assert pieces() > 6
        each = pieces() // 3
        assert len(ada.retrieve_by_query("sugar", LONG, limit=9)) == 3
        assert acme.update_by_id("a", {"memory_id": "bob"}, LONG)
        assert ([hit["id"] for hit in bob.retrieve_by_query("sugar", LONG, limit=9)], pieces()) == (["a"], 3 * each)
        assert ada.delete_by_id("b", LONG)
        assert pieces() == 2 * each
        assert ada.update_by_id("c", {"content": "tea"}, LONG)
        assert pieces() == each
        assert bob.forget(filter={"id": "a"}).documents == 1
        assert pieces() == 0


@pytest.mark.skipif(not pgbouncer(), reason="PgBouncer is not installed")
def test_the_memory_is_right_behind_a_pooler(
    walled: PostgreSQLConfig, migrated_dsn: str, pooler: Callable[..., int], loop: Loop
) -> None:
    """Twelve memories of one tenant at once on two connections, with errors and calls given up in between: none sees
    another, beside a view of all of them."""
    port = pooler(migrated_dsn, walled.user)
    behind = walled.replace(host="127.0.0.1", port=port, prepare_threshold=None, max_size=16)

    async def use(application: AsyncPostgreSQLProvider, n: int) -> list[Any]:
        view, seen = application.tenant("acme").memory(f"memory {n}"), list[Any]()
        chance = random.Random(n)
        for k in range(12):
            await view.store_many([{"id": f"{n}.{k}", "of": n, "content": "tea"}, {"of": n, "embedding": VECTOR}], LONG)
            with pytest.raises(InvalidDocument):
                await view.store({"id": "taken"}, LONG)
            with contextlib.suppress(DatabaseError):
                async with view.transaction() as tx:
                    await tx.store({"of": n, "undone": True}, LONG)
                    raise DatabaseError("undone")
            given_up = asyncio.ensure_future(view.list_all(LONG) if k % 2 else view.update(LONG, {"of": n}, {"k": k}))
            await asyncio.sleep(chance.random() / 100)
            given_up.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await given_up
            assert await view.versions(f"{n}.{k}", LONG)
            for query in ({}, {"embedding": VECTOR}, {"$text": {"$search": "tea"}}, {"of": {"$gte": 0}}):
                found = await view.retrieve_by_query(query, LONG, limit=100)
                assert found
                seen += [each["of"] for each in found]
        return [each for each in seen if each != n] + [f"{await view.count(LONG)} documents"]

    async def all_at_once() -> tuple[list[list[Any]], int]:
        async with AsyncPostgreSQLProvider(behind) as application:
            await application.tenant("acme").store({"id": "taken"}, LONG)
            found = await asyncio.gather(*(use(application, n) for n in range(12)))
            return found, await application.tenant("acme").count(LONG)

    assert loop.run(all_at_once()) == ([["24 documents"]] * 12, 12 * 24 + 1)


def test_a_role_without_the_first_wall_gets_no_second(config: PostgreSQLConfig, role: str) -> None:
    """It is put up by the same call, and what is no answer is refused."""
    with Maintenance(config) as maintenance:
        with pytest.raises(ConfigurationError, match="memories='yes'"):
            maintenance.enable_tenants(role, memories="yes")  # pyright: ignore[reportArgumentType]
        assert maintenance.enable_tenants(role, memories=True).tables == 28
