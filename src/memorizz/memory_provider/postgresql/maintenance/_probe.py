"""Proving that tenants are kept apart: what a role can do to another one's rows, tried with SQL of every kind.

Everything happens in one transaction that is undone: two tenants get a row in every table, and as the first of them, or
as none, each statement is sent that could read or change what is the second's. Where the memories of a tenant are kept
apart too, the same is tried as one of its memories on what is another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import LiteralString
from uuid import uuid4

from psycopg import sql

from memorizz.errors import ConfigurationError, MemorizzError
from memorizz.memory_provider.postgresql import wall
from memorizz.memory_provider.postgresql._errors import is_unsupported, lacks_right
from memorizz.memory_provider.postgresql._steps import CopyOut, Operation, Query, Script, Step, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import Layout
from memorizz.memory_provider.postgresql.sql import citus, key


@dataclass(frozen=True, slots=True)
class Reached:
    """A statement that reached what is another tenant's, or did what the role must not do; and what came of it."""

    table: str
    statement: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What was tried, as which role; `exempt` says why nothing is kept from it, and then nothing was tried."""

    role: str
    exempt: str | None
    tables: int
    tried: int
    reached: Sequence[Reached]

    @property
    def ok(self) -> bool:
        """Whether nothing of another tenant can be reached."""
        return self.exempt is None and not self.reached


# Must bring no row of the other side. A CASE keeps its cast from rows of one's own.
_READS: tuple[LiteralString, ...] = (
    "SELECT 1 FROM {table} WHERE {foreign}",
    "SELECT 1 FROM {table} WHERE {foreign} AND id = {id}",
    "SELECT 1 FROM {table} WHERE id = {id} FOR UPDATE",
    "SELECT 1 FROM {table} WHERE CASE WHEN {foreign} THEN (tenant || id)::numeric > 0 END",
    "WITH found AS (SELECT * FROM {table} JOIN (SELECT id AS same FROM {table}) AS ids ON same = id) "
    "SELECT 1 FROM found WHERE {foreign}",
    "UPDATE {table} SET id = id WHERE {foreign} RETURNING 1",
    "UPDATE {table} SET id = gen_random_uuid() WHERE id = {id} RETURNING 1",
    "DELETE FROM {table} WHERE {foreign} RETURNING 1",
    "DELETE FROM {table} WHERE id = {id} RETURNING 1",
)
# What asks the indexes of a store for the owner.
_LOOKUPS: tuple[LiteralString, ...] = (
    "SELECT 1 FROM {lookup}(NULL, NULL, true, NULL, NULL, NULL) AS id WHERE id NOT IN (SELECT id FROM {table})",
    "SELECT 1 FROM {lookup}(NULL, NULL, true, NULL, ARRAY['{{}}'::jsonb], NULL) AS id "
    "WHERE id NOT IN (SELECT id FROM {table})",
    "SELECT 1 FROM {lookup}(NULL, NULL, true, {other_memory}, NULL, NULL) AS id "
    "WHERE id NOT IN (SELECT id FROM {table})",
)
# Must leave the rows of the other side as they are.
_CHANGES: tuple[LiteralString, ...] = (
    "MERGE INTO {table} AS d USING (SELECT {id} AS id) AS s ON d.id = s.id WHEN MATCHED THEN DELETE",
    "MERGE INTO {table} AS d USING (SELECT {id} AS id) AS s ON d.id = s.id WHEN MATCHED THEN UPDATE SET id = s.id",
)
# Must be refused.
_REFUSED: tuple[LiteralString, ...] = (
    "INSERT INTO {table} ({columns}) VALUES ({other}, gen_random_uuid(){values})",
    "INSERT INTO {table} ({columns}) VALUES ('', gen_random_uuid(){values})",
    "INSERT INTO {table} ({columns}) VALUES ({other}, {id}{values}) ON CONFLICT DO NOTHING",
    "INSERT INTO {table} ({columns}) VALUES ({other}, {id}{values}) ON CONFLICT ({conflict}) DO UPDATE SET id = {id}",
    "UPDATE {table} SET tenant = {other} WHERE tenant = {own}",
    "SET LOCAL row_security TO off; SELECT 1 FROM {table}",
    "TRUNCATE {table} CASCADE",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} OWNER TO CURRENT_USER",
    "DROP POLICY memorizz_tenant ON {table}",
    "CREATE POLICY memorizz_probe ON {table} USING (true)",
    "CREATE INDEX ON {table} (id)",
    "DROP TABLE {table} CASCADE",
)
# Must be refused to a memory: of any table, and of those whose rows say their memory.
_REFUSED_TO_MEMORY: tuple[LiteralString, ...] = (
    "INSERT INTO {table} ({columns}) VALUES ({own}, {id}{values})",
    "INSERT INTO {table} ({columns}) VALUES ({own}, gen_random_uuid(){values})",
    "SET LOCAL row_security TO off; SELECT 1 FROM {table}",
    "DROP POLICY memorizz_memory ON {table}",
)
_REFUSED_OF_MEMORY: tuple[LiteralString, ...] = (
    "INSERT INTO {table} ({columns}, memory_id) VALUES ({own}, gen_random_uuid(){values}, {other_memory})",
    "INSERT INTO {table} ({columns}, memory_id) VALUES ({own}, {id}{values}, {other_memory}) ON CONFLICT DO NOTHING",
    "UPDATE {table} SET memory_id = {other_memory} WHERE memory_id = {own_memory}",
    "UPDATE {table} SET memory_id = NULL WHERE memory_id = {own_memory}",
)
_REFUSED_OF_DOCUMENTS: tuple[LiteralString, ...] = (
    "INSERT INTO {table} ({columns}, memory_id) VALUES ({own}, {id}{values}, {own_memory}) "
    "ON CONFLICT ({conflict}) DO UPDATE SET memory_id = {own_memory}",
)
_REFUSED_OF_PARTS: tuple[LiteralString, ...] = ("UPDATE {table} SET id = {id} WHERE id <> {id}",)
_COPIES: tuple[LiteralString, ...] = ("COPY {table} TO STDOUT", "COPY (SELECT tenant, id FROM {table}) TO STDOUT")
# Of the schema; these bring nothing, and those are refused.
_READS_OF_SCHEMA: tuple[LiteralString, ...] = (
    "SELECT tablename FROM pg_stats WHERE schemaname = {schema} AND tablename = ANY ({names})",
    # What sessions of the role begin with.
    "SELECT setting || ', of ' || coalesce(nullif(setrole, 0)::regrole::text, 'every role') "
    "FROM pg_db_role_setting, unnest(setconfig) AS setting "
    "WHERE starts_with(setting, 'memorizz.tenant=') AND setrole IN (0, current_user::regrole) "
    "AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))",
    # What an owner reads for others.
    "SELECT DISTINCT view.oid::regclass::text FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid "
    "JOIN pg_class AS view ON view.oid = ev_class JOIN pg_class AS read ON read.oid = refobjid "
    "WHERE read.relnamespace = {schema}::regnamespace AND read.relname = ANY ({names}) AND view.oid <> read.oid "
    "AND has_table_privilege(view.oid, 'SELECT') "
    "AND NOT coalesce(view.reloptions @> '{{security_invoker=true}}', false)",
    "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class AS parent ON parent.oid = inhparent "
    "WHERE parent.relnamespace = {schema}::regnamespace AND parent.relname = ANY ({names}) "
    "AND has_table_privilege(inhrelid, 'SELECT')",
    "SELECT pg_proc.oid::regprocedure::text FROM pg_proc WHERE pronamespace = {schema}::regnamespace AND prosecdef "
    "AND has_function_privilege(pg_proc.oid, 'EXECUTE') AND proname <> ALL ({lookups})",
)
_REFUSED_BY_SCHEMA: tuple[LiteralString, ...] = (
    "SELECT 1 FROM pg_statistic",
    "SET LOCAL ROLE {owner}",
    "SET LOCAL SESSION AUTHORIZATION {owner}",
    "UPDATE {settings} SET application_role = NULL",
    "DELETE FROM {stores}",
)

_SAVEPOINT, _ROLLBACK = Script(b"SAVEPOINT memorizz_probe"), Script(b"ROLLBACK TO SAVEPOINT memorizz_probe")


def probe(known: Facts) -> Operation[Probe]:
    """Try everything, as the role of the session; the caller runs this in one transaction that is undone.

    Raises ConfigurationError where no wall stands.
    """
    if known.application_role is None:
        raise ConfigurationError(
            f"nothing keeps the tenants of schema {known.layout.schema!r} apart: put a wall up, with "
            f"`memorizz tenants enable --role NAME --schema {known.layout.schema}`"
        )
    settings = sql.Literal(known.layout.table("settings").as_string(None))
    [(role, owner)] = yield from fetch(Query(_WHO.format(settings=settings).as_bytes(None)))
    exempt = yield from wall.exempt(known.layout)
    if exempt is not None:
        return Probe(role, exempt, 0, 0, ())
    mine, theirs, beside = _Side.made(), _Side.made(), _Side.made()
    beside = replace(beside, tenant=mine.tenant)
    tables = [each for store in known.stores.values() for each in _tables(store)]
    for table in tables:
        for side in (mine, theirs, beside):
            yield _as(known.layout, side.tenant)
            yield Script(_row(table, side))
    # A tenant and another one; one of its memories, and another one.
    borders = [_Border(replace(mine, memory=""), theirs)]
    if known.memories_apart:
        borders.append(_Border(mine, beside))
    reached: list[Reached] = []
    tried = 0
    for border in borders:
        attempts = [(table, attempt) for table in tables for attempt in _attempts(table, border)]
        if not border.of_memories:
            attempts += [(None, attempt) for attempt in _of_schema(known, [table.name for table in tables], owner)]
        for table, (kind, statement, as_own) in attempts:
            outcome = yield from _tried(known.layout, kind, statement, as_own, table, border)
            if outcome is not None:
                name = known.layout.schema if table is None else table.name.as_string(None)
                reached.append(Reached(name, statement.decode(), outcome))
        tried += len(attempts)
    return Probe(role, None, len(tables), tried, reached)


@dataclass(frozen=True, slots=True)
class _Side:
    """Whose a row is, and its id; without a memory it is the whole tenant."""

    tenant: str
    memory: str
    id: str

    @classmethod
    def made(cls) -> _Side:
        return cls(f"memorizz-probe-{uuid4()}", f"memorizz-probe-{uuid4()}", str(uuid4()))


@dataclass(frozen=True, slots=True)
class _Border:
    """Who tries, and whose rows are to be out of reach."""

    own: _Side
    other: _Side

    @property
    def of_memories(self) -> bool:
        return self.own.tenant == self.other.tenant


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a store, and what a row takes there."""

    name: sql.Identifier
    columns: sql.Composable
    values: sql.Composable
    conflict: sql.Composable
    says_memory: bool
    # Of the documents themselves.
    lookup: sql.Identifier | None = None
    of_parts: bool = False
    # Where a memory has no row.
    of_tenants: bool = False


_WHO = sql.SQL(
    "SELECT current_user::text, pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = {settings}::regclass"
)
_Attempt = tuple[str, bytes, bool]


def _tables(store: Store) -> Iterator[_Table]:
    of_key = key.NAMES
    yield _Table(store.table, of_key, sql.SQL(""), of_key, True, store.lookup)
    of_part = sql.SQL("{}, path, start, stop, digest").format(of_key)
    part = sql.SQL(", 'memorizz-probe', 0, 1, '00000000-0000-0000-0000-000000000000'::uuid")
    yield _Table(store.parts, of_part, part, of_part, False, of_parts=True)
    of_change = sql.SQL("{}, changed_at, operation, call, has_vector").format(of_key)
    change = sql.SQL(", now(), 'insert', 'memorizz-probe', false")
    yield _Table(store.history, of_change, change, sql.SQL("{}, version").format(of_key), True)
    of_change = sql.SQL("{}, after, changed_at, was").format(of_part)
    change = sql.SQL("{}, 0, now(), false").format(part)
    number = sql.SQL("{}, after, number").format(of_key)
    yield _Table(store.parts_history, of_change, change, number, False, of_tenants=True)


def _uuid(id: str) -> sql.Composed:
    return sql.SQL("{}::uuid").format(sql.Literal(id))


def _row(table: _Table, side: _Side) -> bytes:
    """Return the statement that makes the row of a side."""
    return (
        sql.SQL("INSERT INTO {table} ({columns}{memory_id}) VALUES ({tenant}, {id}{values}{memory})")
        .format(
            table=table.name,
            columns=table.columns,
            memory_id=sql.SQL(", memory_id" if table.says_memory else ""),
            tenant=sql.Literal(side.tenant),
            id=_uuid(side.id),
            values=table.values,
            memory=sql.SQL(", {}").format(sql.Literal(side.memory)) if table.says_memory else sql.SQL(""),
        )
        .as_bytes(None)
    )


def _foreign(table: _Table, border: _Border) -> sql.Composed:
    """Return the condition that a row is not of one's own side."""
    if not border.of_memories:
        return sql.SQL("tenant IS DISTINCT FROM {}").format(sql.Literal(border.own.tenant))
    if table.says_memory:
        return sql.SQL("memory_id IS DISTINCT FROM {}").format(sql.Literal(border.own.memory))
    return sql.SQL("(id <> {} OR {})").format(_uuid(border.own.id), sql.Literal(table.of_tenants))


def _attempts(table: _Table, border: _Border) -> Iterator[_Attempt]:
    """Yield what is tried on a table: what must come of it, the statement, and whether a tenant is said."""
    names: dict[str, sql.Composable] = {
        "table": table.name,
        "columns": table.columns,
        "values": table.values,
        "conflict": table.conflict,
        "lookup": table.lookup or sql.SQL(""),
        "foreign": _foreign(table, border),
        "own": sql.Literal(border.own.tenant),
        "own_memory": sql.Literal(border.own.memory),
        "other": sql.Literal(border.other.tenant),
        "other_memory": sql.Literal(border.other.memory),
        "id": _uuid(border.other.id),
    }
    refused = _REFUSED
    if border.of_memories:
        refused = (
            *_REFUSED_TO_MEMORY,
            *(_REFUSED_OF_MEMORY if table.says_memory else ()),
            *(_REFUSED_OF_DOCUMENTS if table.lookup is not None else ()),
            *(_REFUSED_OF_PARTS if table.of_parts else ()),
        )
    for kind, statements in {"read": _READS, "change": _CHANGES, "refused": refused, "copy": _COPIES}.items():
        for each in statements:
            yield kind, sql.SQL(each).format(**names).as_bytes(None), True
    if table.lookup is not None:
        for each in _LOOKUPS:
            for as_own in (True, False):
                yield "read", sql.SQL(each).format(**names).as_bytes(None), as_own
    yield "read", sql.SQL("SELECT 1 FROM {}").format(table.name).as_bytes(None), False
    yield "copy", sql.SQL("COPY {} TO STDOUT").format(table.name).as_bytes(None), False


def _of_schema(known: Facts, tables: Sequence[sql.Identifier], owner: str) -> Iterator[_Attempt]:
    schema = known.layout.schema
    names: dict[str, sql.Composable] = {
        "schema": sql.Literal(sql.Identifier(schema).as_string(None)),
        "names": sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(sql.Literal(_name(table)) for table in tables)),
        "lookups": sql.SQL("ARRAY[{}]").format(
            sql.SQL(", ").join(sql.Literal(_name(store.lookup)) for store in known.stores.values())
        ),
        "owner": sql.Identifier(owner),
        "settings": known.layout.table("settings"),
        "stores": known.layout.table("stores"),
    }
    for kind, statements in {"read": _READS_OF_SCHEMA, "refused": _REFUSED_BY_SCHEMA}.items():
        for each in statements:
            yield kind, sql.SQL(each).format(**names).as_bytes(None), True


def _name(table: sql.Identifier) -> str:
    return table._obj[-1]  # pyright: ignore[reportPrivateUsage] - it has no other way to its parts


def _as(layout: Layout, tenant: str, memory: str = "") -> Query:
    before = citus.said(layout, key.scope_settings(tenant, memory))
    return Query(key.SET_SCOPE, {"tenant": tenant, "memory": memory}, before=before)


def _count(layout: Layout, table: _Table, side: _Side) -> Operation[int]:
    """Return how many rows of a side there are, as its whole tenant."""
    yield _as(layout, side.tenant)
    count = sql.SQL("SELECT count(*) FROM {} WHERE id = {}").format(table.name, _uuid(side.id))
    [(rows,)] = yield from fetch(Query(count.as_bytes(None)))
    return rows


def _tried(
    layout: Layout, kind: str, statement: bytes, as_own: bool, table: _Table | None, border: _Border
) -> Operation[str | None]:
    """Send a statement as a side, or as none, and undo it; return what it has reached, None for nothing."""
    own, other = border.own, border.other
    yield _SAVEPOINT
    before = (yield from _count(layout, table, other)) if kind == "change" and table is not None else 0
    yield _as(layout, own.tenant if as_own else "", own.memory)
    step: Step = CopyOut(statement) if kind == "copy" else Query(statement) if kind == "read" else Script(statement)
    whose = "memory" if border.of_memories else "tenant"
    outcome: str | None = None
    try:
        result = yield step
        if kind == "read" and result:
            outcome = f"it brought {len(result)} rows: {result[0][0]}"
        elif kind == "copy" and (other.id.encode() in result or (result and not as_own)):
            outcome = f"it brought rows of another {whose}"
        elif kind == "refused":
            outcome = "it was not refused"
        elif kind == "change" and table is not None and (yield from _count(layout, table, other)) != before:
            outcome = f"it changed rows of another {whose}"
    except MemorizzError as error:
        # Whatever else is said of a row, was said because the row was looked at. Citus looks at a statement first.
        if not (lacks_right(error) or (layout.distributed and is_unsupported(error))):
            outcome = str(error)
    yield _ROLLBACK
    return outcome
