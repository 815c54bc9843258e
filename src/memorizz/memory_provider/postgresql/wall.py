"""The wall between tenants: row-level security on the table of every store, for a role that applications connect as.

A second one may stand behind it, between the memories of one tenant. That it stands is a fact of the schema,
`application_role`, as is the second, `memories_apart`. Then every statement of an operation tells the server whose
rows it is about, in its own transaction and round trip: behind a pooler the next one may be on another connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from memorizz.errors import ConfigurationError, DatabaseError, quoted
from memorizz.memory_provider._arguments import text_argument
from memorizz.memory_provider.postgresql import distribution, facts
from memorizz.memory_provider.postgresql._errors import breaks_policy, lacks_right
from memorizz.memory_provider.postgresql._steps import Batch, Operation, Query, Script, Step, T, fetch, led_by
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import Layout
from memorizz.memory_provider.postgresql.sql import citus, key
from memorizz.memory_provider.postgresql.sql.reads import sql_file
from memorizz.memory_provider.postgresql.sql.visible import HOLDS, LIVE
from memorizz.memory_provider.scopes import Scope

# --- what travels with each statement -----------------------------------------------------------------------------


def telling(layout: Layout, scope: Scope, operation: Operation[T]) -> Operation[T]:
    """Run an operation whose every statement tells the server whose rows it is about.

    What asks the history says the tenant alone: a version's vector, or the change that ended it, may be of a memory
    that the document came into later. There the memory is the statement's to keep to. So does what asks whose an id is.
    """
    of_all = _telling(layout, scope)
    if scope.memory is None or scope.as_of is not None:
        return led_by(operation, of_all)
    of_memory = _telling(layout, scope, scope.memory)

    def failed(error: Exception, step: Step) -> Exception:
        # That of another memory under the same id: to say more would be to say whose.
        if not (breaks_policy(error) and isinstance(step, Query | Batch) and step.writes):
            return error
        taken = scope.taken(*dict.fromkeys(step.writes))
        taken.__cause__ = error
        return taken

    return led_by(operation, lambda step: of_all if step.of_tenant else of_memory, failed=failed)


def _telling(layout: Layout, scope: Scope, memory: str = "") -> Query:
    before = citus.said(layout, key.scope_settings(scope.tenant, memory))
    return Query(key.SET_SCOPE, {**scope.parameters, "memory": memory}, before=before)


def of_owner(known: Facts, operation: Operation[T]) -> Operation[T]:
    """Run an operation on the tables themselves, which behind the wall are their owner's alone."""
    try:
        return (yield from operation)
    except DatabaseError as error:
        if not lacks_right(error):
            raise
        raise DatabaseError(
            "row-level security keeps the tenants apart here, and the tables are their owner's to make and to change, "
            f"not the application's: do this as the owner, and then connect as {known.application_role!r} again"
        ) from error.__cause__


def maintained(known: Facts, operation: Operation[T]) -> Operation[T]:
    """Run an operation of maintenance: behind the wall as the owner's, and with what Citus needs of its statements."""
    if known.application_role is not None:
        operation = of_owner(known, operation)
    return citus.fitted(operation) if known.layout.distributed else operation


# --- for whom it does not stand -----------------------------------------------------------------------------------

_EXEMPT = sql.SQL("""
SELECT rolname::text, CASE
    WHEN rolsuper THEN 'a superuser'
    WHEN rolbypassrls THEN 'a role with BYPASSRLS'
    WHEN rolcreaterole THEN 'a role with CREATEROLE, which makes members of roles'
    WHEN rolreplication THEN 'a role with REPLICATION, which reads all that is written'
    WHEN oid = owner THEN 'the owner of the tables'
    ELSE 'a role that reads files of the server'
END
FROM pg_roles, (SELECT relowner AS owner FROM pg_class WHERE oid = {settings}::regclass) AS tables
WHERE pg_has_role(coalesce(%(role)s::name, session_user), oid, 'MEMBER') AND (
    rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication OR oid = owner
    OR rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
) ORDER BY NOT rolsuper, rolname <> coalesce(%(role)s::name, session_user), rolname LIMIT 1
""")


def exempt(layout: Layout, role: str | None = None) -> Operation[str | None]:
    """Return why the wall does not stand for a role, by default that of the session; None where it does."""
    settings = sql.Literal(layout.table("settings").as_string(None))
    rows = yield from fetch(Query(_EXEMPT.format(settings=settings).as_bytes(None), {"role": role}))
    if not rows:
        return None
    [(name, what)] = rows
    return f"{name} is {what}" if role is None or name == role else f"{role} may become {name}, {what}"


# --- putting it up and taking it down -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wall:
    """What was put up: for which role, whether that was made, and how many documents nobody reaches behind it.

    These were stored by no view of a tenant. `memories` says that it stands between the memories of a tenant too.
    """

    role: str
    made: bool
    tables: int
    out_of_reach: int
    memories: bool = False


# Of which memory the transaction is; asked once for a statement, and not for each row.
_MEMORY = sql.SQL("(SELECT nullif(current_setting('memorizz.memory', true), ''))")


def secure(store: Store, role: str, memories: bool, owner: sql.Composable | None = None) -> Operation[None]:
    """Put the wall into the tables of a store, by default those of whoever makes them; and what looks up behind it.

    `memories` says whether the second wall goes with it.
    """
    names: dict[str, sql.Composable] = {"role": sql.Identifier(role), "owner": owner or sql.SQL("CURRENT_USER")}
    for table in (*store.tables, *store.partitions):
        yield Script(sql_file("wall.sql").format(table=table, **names).as_bytes(None))
    grant = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {role}")
    yield Script(grant.format(sql.SQL(", ").join(store.tables), **names).as_bytes(None))
    names |= {
        "lookup": store.lookup,
        "schema": sql.Identifier(store.layout.schema),
        "store": sql.Identifier(store.name),
        "live": LIVE,
        "holds": HOLDS,
        # The one partition to be asked is known by the tenant alone, and others have rows of it too.
        "whose": sql.SQL("") if store.spec.partitions is None else key.AND_MINE,
    }
    yield Script(sql_file("lookup.sql").format(**names).as_bytes(None))
    if memories:
        tables = dict(zip(("table", "parts", "history", "parts_history"), store.tables, strict=True))
        of_memories = sql_file("wall_of_memories.sql").format(**names, **tables, has=store.has, memory=_MEMORY)
        yield Script(of_memories.as_bytes(None))


def forget_functions(store: Store) -> Script:
    """Return what drops its functions again, where they are."""
    both = sql.SQL("DROP FUNCTION IF EXISTS {}; DROP FUNCTION IF EXISTS {}").format(store.lookup, store.has)
    return Script(both.as_bytes(None))


# A role sees which stores, models and indexes there are; it says that a text is long, and that facts have changed.
_GRANT = sql.SQL("""
GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT SELECT ON {migrations}, {settings}, {stores}, {models} TO {role};
GRANT UPDATE (version) ON {settings} TO {role};
GRANT UPDATE (pieces) ON {stores} TO {role};
""")
_REVOKE = sql.SQL("""
REVOKE ALL ON {migrations}, {settings}, {stores}, {models} FROM {role};
REVOKE ALL (version) ON {settings} FROM {role};
REVOKE ALL (pieces) ON {stores} FROM {role};
REVOKE ALL ON SCHEMA {schema} FROM {role};
""")
_TAKE_DOWN = sql.SQL("""
ALTER TABLE {table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS memorizz_tenant ON {table};
DROP POLICY IF EXISTS memorizz_owner ON {table};
DROP POLICY IF EXISTS memorizz_memory ON {table};
DROP POLICY IF EXISTS memorizz_memory_deletes ON {table};
REVOKE ALL ON {table} FROM {role};
""")


def put_up(layout: Layout, role: str, memories: bool | None) -> Operation[Wall]:
    """Put up the wall, or put it into what lacks it; the caller runs this in one transaction, as the owner.

    `memories` says whether the second one stands with it, None that this stays as it is.
    The role is made where there is none of the name. Raises ConfigurationError for a role that nothing is kept from,
    or that has sessions, which know of no wall.
    """
    role = text_argument(role, "role") or ""
    if memories not in (None, True, False):
        raise ConfigurationError(f"memories={quoted(memories)}: expected True, False, or None for as it is")
    known = yield from _locked(layout)
    if known.application_role not in (None, role):
        raise ConfigurationError(
            f"role={quoted(role)}: the wall of schema {layout.schema!r} is for {quoted(known.application_role)}; take "
            f"it down first, with `memorizz tenants disable --schema {layout.schema}`"
        )
    if memories:
        why = "takes no policies that ask other rows: it is the tenants that are kept apart there"
        distribution.check_whole(known.layout, "memories=True", why)
    made = not (yield from fetch(Query(b"SELECT 1 FROM pg_roles WHERE rolname = %(role)s", {"role": role})))
    names = _names(layout, role)
    if made:
        yield Script(sql.SQL("CREATE ROLE {role} LOGIN").format(**names).as_bytes(None))
    reason = yield from exempt(layout, role)
    if reason is not None:
        raise ConfigurationError(f"role={quoted(role)}: nothing is kept from it, for {reason}; name another one")
    if known.application_role is None:
        yield from _check_unused(role)
    owner = sql.SQL("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = {}::regclass")
    settings = sql.Literal(layout.table("settings").as_string(None))
    [(name,)] = yield from fetch(Query(owner.format(settings).as_bytes(None)))
    yield Script(_REVOKE.format(**names).as_bytes(None) + _GRANT.format(**names).as_bytes(None))
    memories = known.memories_apart if memories is None else memories
    stores = [*known.stores.values()]
    out_of_reach = 0
    for store in stores:
        yield from _clear(store, role)
        yield from secure(store, role, memories, sql.Identifier(name))
        count = sql.SQL("SELECT count(*) FROM {} AS d WHERE {}").format(store.table, key.OF_NOBODY)
        [(rows,)] = yield from fetch(Query(count.as_bytes(None)))
        out_of_reach += rows
    yield from _note(layout, role, memories)
    return Wall(role, made, sum(len(store.tables) for store in stores), out_of_reach, memories)


def take_down(layout: Layout) -> Operation[str | None]:
    """Take down the wall and return the role that it was for, which stays, without rights; None where there is none.

    The caller runs this in one transaction, as the owner.
    """
    known = yield from _locked(layout)
    role = known.application_role
    if role is None:
        return None
    for store in known.stores.values():
        yield from _clear(store, role)
    yield Script(_REVOKE.format(**_names(layout, role)).as_bytes(None))
    yield from _note(layout, None, False)
    return role


def _locked(layout: Layout) -> Operation[Facts]:
    """Lock the list of stores and each of them, and return the facts of then."""
    known = yield from facts.locked(layout)
    if known.layout.distributed:
        yield citus.IN_SEQUENCE
    yield facts.lock_tables(known.stores.values())
    return known


def _check_unused(role: str) -> Operation[None]:
    """Raise ConfigurationError where somebody is connected as a role: a provider that is open knows of no wall."""
    sessions = b"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = %(role)s"
    rows: Sequence[tuple[int]] = yield from fetch(Query(sessions, {"role": role}))
    if rows:
        raise ConfigurationError(
            f"role={quoted(role)}: {len(rows)} sessions of it are connected, pid {rows[0][0]} for one, whose providers "
            "would find nothing any more: close them, and open them again afterwards"
        )


def _clear(store: Store, role: str) -> Operation[None]:
    for table in (*store.tables, *store.partitions):
        yield Script(_TAKE_DOWN.format(table=table, role=sql.Identifier(role)).as_bytes(None))
    yield forget_functions(store)


def _note(layout: Layout, role: str | None, memories: bool) -> Operation[None]:
    statement = sql.SQL("UPDATE {} SET application_role = %(role)s, memories_apart = %(memories)s").format(
        layout.table("settings")
    )
    yield from fetch(Query(statement.as_bytes(None), {"role": role, "memories": memories}))
    yield from fetch(facts.moved_on(layout))


def _names(layout: Layout, role: str) -> dict[str, sql.Composable]:
    return {
        "role": sql.Identifier(role),
        "schema": sql.Identifier(layout.schema),
        "models": layout.table("embedding_models"),
        **{name: layout.table(name) for name in ("migrations", "settings", "stores")},
    }
