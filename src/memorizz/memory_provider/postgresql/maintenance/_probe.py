"""Proving that tenants are kept apart: what a role can do to another one's rows, tried with SQL of every kind.

Everything happens in one transaction that is undone: two tenants get a row in every table, and as the first of them, or
as none, each statement is sent that could read or change what is the second's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import uuid4

from psycopg import sql

from memorizz.errors import ConfigurationError, MemorizzError
from memorizz.memory_provider.postgresql import wall
from memorizz.memory_provider.postgresql._errors import lacks_right
from memorizz.memory_provider.postgresql._steps import CopyOut, Operation, Query, Script, Step, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.sql import key


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


# Must bring no row of another tenant. A CASE keeps its cast from rows of one's own.
_READS: tuple[LiteralString, ...] = (
    "SELECT 1 FROM {table} WHERE tenant IS DISTINCT FROM {own}",
    "SELECT 1 FROM {table} WHERE tenant = {other} AND id = {id}",
    "SELECT 1 FROM {table} WHERE id = {id} FOR UPDATE",
    "SELECT 1 FROM {table} WHERE CASE WHEN tenant <> {own} THEN (tenant || id)::numeric > 0 END",
    "WITH found AS (SELECT * FROM {table}) SELECT 1 FROM found AS a JOIN found AS b USING (id) WHERE a.tenant <> {own}",
    "UPDATE {table} SET id = id WHERE tenant <> {own} RETURNING 1",
    "UPDATE {table} SET id = gen_random_uuid() WHERE id = {id} RETURNING 1",
    "DELETE FROM {table} WHERE tenant <> {own} RETURNING 1",
    "DELETE FROM {table} WHERE id = {id} RETURNING 1",
)
# What asks the indexes of a store for the owner.
_LOOKUPS: tuple[LiteralString, ...] = (
    "SELECT 1 FROM {lookup}(NULL, NULL, true, NULL, NULL, NULL) AS id WHERE id NOT IN (SELECT id FROM {table})",
    "SELECT 1 FROM {lookup}(NULL, NULL, true, NULL, ARRAY['{{}}'::jsonb], NULL) AS id "
    "WHERE id NOT IN (SELECT id FROM {table})",
)
# Must leave the rows of another tenant as they are.
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
    [(role, owner)] = yield from fetch(Query(_WHO.format(settings=_regclass(known)).as_bytes(None)))
    exempt = yield from wall.exempt(known.layout)
    if exempt is not None:
        return Probe(role, exempt, 0, 0, ())
    own, other, id = f"memorizz-probe-{uuid4()}", f"memorizz-probe-{uuid4()}", uuid4()
    # A part has a document.
    own_id = uuid4()
    tables: list[tuple[sql.Identifier, dict[str, sql.Composable]]] = []
    for store in known.stores.values():
        for table, names in _tables(store):
            names |= {
                "own": sql.Literal(own),
                "other": sql.Literal(other),
                "id": sql.SQL("{}::uuid").format(sql.Literal(str(id))),
            }
            tables.append((table, names))
            for tenant in ("own", "other"):
                yield _as(own if tenant == "own" else other)
                insert = sql.SQL("INSERT INTO {table} ({columns}) VALUES ({tenant}, {row}{values})")
                row = names["id"] if tenant == "other" else sql.SQL("{}::uuid").format(sql.Literal(str(own_id)))
                yield Script(insert.format(**names, tenant=names[tenant], row=row).as_bytes(None))
    attempts = [(table, attempt) for table, names in tables for attempt in _attempts(table, names)]
    attempts += [(None, attempt) for attempt in _of_schema(known, [table for table, _ in tables], owner)]
    reached: list[Reached] = []
    for table, (kind, statement, tenant) in attempts:
        outcome = yield from _tried(kind, statement, tenant, table, own, other)
        if outcome is not None:
            name = known.layout.schema if table is None else table.as_string(None)
            reached.append(Reached(name, statement.decode(), outcome))
    return Probe(role, None, len(tables), len(attempts), reached)


_WHO = sql.SQL(
    "SELECT current_user::text, pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = {settings}::regclass"
)
_Attempt = tuple[str, bytes, bool]


def _regclass(known: Facts) -> sql.Literal:
    return sql.Literal(sql.Identifier(known.layout.schema, "memorizz_settings").as_string(None))


def _tables(store: Store) -> Iterator[tuple[sql.Identifier, dict[str, sql.Composable]]]:
    """Yield the tables of a store, and what a row takes there."""
    of_key = sql.SQL(", ").join(map(sql.Identifier, key.COLUMNS))
    of_store = {"table": store.table, "lookup": store.lookup, "columns": of_key, "values": sql.SQL("")}
    yield store.table, {**of_store, "conflict": of_key}
    of_part = sql.SQL("{}, path, start, stop, digest").format(of_key)
    part = sql.SQL(", 'memorizz-probe', 0, 1, '00000000-0000-0000-0000-000000000000'::uuid")
    yield store.parts, {"table": store.parts, "columns": of_part, "values": part, "conflict": of_part}
    of_change = sql.SQL("{}, changed_at, operation, call, has_vector").format(of_key)
    change = sql.SQL(", now(), 'insert', 'memorizz-probe', false")
    names = {"table": store.history, "columns": of_change, "values": change}
    yield store.history, {**names, "conflict": sql.SQL("{}, version").format(of_key)}
    of_change = sql.SQL("{}, after, changed_at, was").format(of_part)
    change = sql.SQL("{}, 0, now(), false").format(part)
    names = {"table": store.parts_history, "columns": of_change, "values": change}
    yield store.parts_history, {**names, "conflict": sql.SQL("{}, after, number").format(of_key)}


def _attempts(table: sql.Identifier, names: Mapping[str, sql.Composable]) -> Iterator[_Attempt]:
    """Yield what is tried on a table: what must come of it, the statement, and whether a tenant is said."""
    kinds = {"read": _READS, "change": _CHANGES, "refused": _REFUSED, "copy": _COPIES}
    for kind, statements in kinds.items():
        for each in statements:
            yield kind, sql.SQL(each).format(**names).as_bytes(None), True
    if "lookup" in names:
        for each in _LOOKUPS:
            for as_own in (True, False):
                yield "read", sql.SQL(each).format(**names).as_bytes(None), as_own
    yield "read", sql.SQL("SELECT 1 FROM {}").format(table).as_bytes(None), False
    yield "copy", sql.SQL("COPY {} TO STDOUT").format(table).as_bytes(None), False


def _of_schema(known: Facts, tables: Sequence[sql.Identifier], owner: str) -> Iterator[_Attempt]:
    schema = known.layout.schema
    names: dict[str, sql.Composable] = {
        "schema": sql.Literal(sql.Identifier(schema).as_string(None)),
        "names": sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(sql.Literal(_name(table)) for table in tables)),
        "lookups": sql.SQL("ARRAY[{}]").format(
            sql.SQL(", ").join(sql.Literal(_name(store.lookup)) for store in known.stores.values())
        ),
        "owner": sql.Identifier(owner),
        "settings": sql.Identifier(schema, "memorizz_settings"),
        "stores": sql.Identifier(schema, "memorizz_stores"),
    }
    for kind, statements in {"read": _READS_OF_SCHEMA, "refused": _REFUSED_BY_SCHEMA}.items():
        for each in statements:
            yield kind, sql.SQL(each).format(**names).as_bytes(None), True


def _name(table: sql.Identifier) -> str:
    return table._obj[-1]  # pyright: ignore[reportPrivateUsage] - it has no other way to its parts


def _as(tenant: str) -> Query:
    return Query(key.SET_TENANT, {"tenant": tenant})


def _tried(
    kind: str, statement: bytes, as_own: bool, table: sql.Identifier | None, own: str, other: str
) -> Operation[str | None]:
    """Send a statement as a tenant, or as none, and undo it; return what it has reached, None for nothing."""
    yield _SAVEPOINT
    yield _as(own if as_own else "")
    step: Step = CopyOut(statement) if kind == "copy" else Query(statement) if kind == "read" else Script(statement)
    outcome: str | None = None
    try:
        result = yield step
        if kind == "read" and result:
            outcome = f"it brought {len(result)} rows: {result[0][0]}"
        elif kind == "copy" and (other.encode() in result or (result and not as_own)):
            outcome = "it brought rows of another tenant"
        elif kind == "refused":
            outcome = "it was not refused"
        elif kind == "change" and table is not None:
            yield _as(other)
            count = sql.SQL("SELECT 1 FROM {}").format(table)
            if len((yield Query(count.as_bytes(None)))) != 1:
                outcome = "it changed rows of another tenant"
    except MemorizzError as error:
        # Whatever else is said of a row, was said because the row was looked at.
        if not lacks_right(error):
            outcome = str(error)
    yield _ROLLBACK
    return outcome
