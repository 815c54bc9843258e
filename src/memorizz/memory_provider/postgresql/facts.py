"""What may change under an open provider: the stores, their indexes, the embedding model that is searched.

Facts are read when a provider opens and have a version, which whoever changes one of them moves on in the same
transaction (`moved_on`). A search that chooses its route by them learns the version of today in a statement that it
sends anyway; where that is another, the provider reads the facts again and the search goes once more. A write needs no
version: the columns of a model that is no longer current have another name, so that a stale one fails and does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from psycopg import sql

from memorizz.errors import ConfigurationError, MemorizzError
from memorizz.memory_provider import _values
from memorizz.memory_provider._cosines import Cosines
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql._steps import Operation, Query, Row, Script, fetch, led_by
from memorizz.memory_provider.postgresql.layout import (
    STANDBY,
    Layout,
    history_table,
    lookup_function,
    membership_function,
    partition_of,
    parts_history_table,
    parts_table,
    tables_of,
    vector_column,
)
from memorizz.memory_provider.postgresql.rows import Vector, to_binary
from memorizz.memory_provider.scopes import EVERYTHING, Scope
from memorizz.memory_provider.stores import CONVERSATIONS, StoreSpec, VectorField, unknown_store


@dataclass(frozen=True, slots=True)
class Model:
    """An embedding model.

    `name` is None where nobody has said whose vectors they are, `current_since` where it has never been searched.
    """

    id: int
    name: str | None
    dimensions: int
    current_since: datetime | None = None
    # None until they have been measured.
    cosines: Cosines | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Since when the history of a store is whole, and for how long it is kept; None for ever."""

    since: datetime
    retention: timedelta | None = None

    @property
    def begins(self) -> datetime:
        """Before which nothing is known."""
        return self.since if self.retention is None else max(self.since, datetime.now(UTC) - self.retention)


# Compared by identity.
@dataclass(eq=False)
class Store:
    """One table, and what is known of it.

    `vector` says which index searches can use now. `embedder` is the name of the model that a provider embeds with.
    `standby`: its vector column is that of a model which is not searched.
    """

    layout: Layout
    spec: StoreSpec
    model: Model
    vector: VectorField
    # Its number in the schema; a store that is dropped and made again has another one. 0 while it is being made.
    id: int = 0
    embedder: str | None = None
    # How many tokens of a text that model reads at once; None where that is not known.
    max_tokens: int | None = None
    # Whether some of its documents have, or have had, the vectors of pieces.
    pieces: bool = False
    # None where no history is kept.
    kept: Kept | None = None
    standby: bool = False
    # Whether row-level security keeps its tenants apart.
    walled: bool = False
    # Whether an index is on the keys that have no column of their own.
    keys_indexed: bool = False
    # Only `within` makes a store of another one.
    scope: Scope = EVERYTHING

    name: str = field(init=False)
    vector_column: str = field(init=False)
    bits_column: str = field(init=False)
    table: sql.Identifier = field(init=False)
    # Where the vectors of its documents' parts are.
    parts: sql.Identifier = field(init=False)
    # Where their changes are.
    history: sql.Identifier = field(init=False)
    # Where the changes of their parts are.
    parts_history: sql.Identifier = field(init=False)
    # What asks its indexes behind the wall.
    lookup: sql.Identifier = field(init=False)
    # What says behind it whether a document is there.
    has: sql.Identifier = field(init=False)
    embedding: sql.Identifier = field(init=False)
    # The type of its vectors, as pgvector calls it.
    vector_type: sql.Identifier = field(init=False)
    # The statements that were composed for this store: they go with it.
    statements: dict[Any, bytes] = field(default_factory=dict[Any, bytes])
    # What searches under a filter have shown of it (search/plan.py).
    shown: dict[int, Any] = field(default_factory=dict[int, Any])

    def __post_init__(self) -> None:
        self.name = self.spec.name
        column, suffix = vector_column(self.model.id), STANDBY * self.standby
        self.vector_column, self.bits_column = column + suffix, f"{column}_bits{suffix}"
        self.table = sql.Identifier(self.layout.schema, self.name)
        self.embedding = sql.Identifier(self.vector_column)
        self.vector_type = sql.Identifier(self.layout.vector_schema, self.spec.vector_type)
        self.parts = sql.Identifier(self.layout.schema, parts_table(self.name))
        self.history = sql.Identifier(self.layout.schema, history_table(self.name))
        self.parts_history = sql.Identifier(self.layout.schema, parts_history_table(self.name))
        self.lookup = sql.Identifier(self.layout.schema, lookup_function(self.name))
        self.has = sql.Identifier(self.layout.schema, membership_function(self.name))

    def within(self, scope: Scope) -> Store:
        """Return the same store for a scope; the two share their statements, and what searches have shown."""
        store = copy(self)
        store.scope = scope
        return store

    @property
    def tables(self) -> list[sql.Identifier]:
        """All tables with documents of it, or what was made of them."""
        return [sql.Identifier(self.layout.schema, name) for name in tables_of(self.name)]

    def partition(self, number: int, of_parts: bool = False) -> sql.Identifier:
        """Return one partition of its table, or of that of its parts."""
        table = parts_table(self.name) if of_parts else self.name
        return sql.Identifier(self.layout.schema, partition_of(table, number))

    @property
    def partitions(self) -> list[sql.Identifier]:
        """All partitions of its table and of that of its parts; none where it is in one."""
        count = self.spec.partitions or 0
        return [self.partition(number, of_parts) for of_parts in (False, True) for number in range(count)]

    @property
    def sends(self) -> sql.Identifier:
        """What makes the binary form of a vector."""
        return sql.Identifier(self.layout.vector_schema, f"{self.spec.vector_type}_send")

    @property
    def has_parts(self) -> bool:
        """Whether some of its documents have vectors of parts."""
        return self.pieces or bool(self.spec.fields)

    @property
    def embeds(self) -> bool:
        """Whether documents that are stored here without an embedding get one."""
        return self.embedder is not None and self.spec.embedded

    def checked_vector(self, value: Any) -> Any:
        """Return a vector as an array of the precision of its vectors; raises InvalidDocument or DimensionMismatch."""
        half = self.spec.vector_type == "halfvec"
        return _values.vector(value, dimensions=self.model.dimensions, store=self.name, half=half)

    def vector_of(self, value: Any) -> Vector:
        """Return a vector as a parameter; raises InvalidDocument or DimensionMismatch."""
        return to_binary(self.checked_vector(value))


class Maker(NamedTuple):
    """What is known of an embedder: the length of its vectors, how many tokens of a text it reads, if it says so."""

    dimensions: int
    max_tokens: int | None = None


P = ParamSpec("P")
T = TypeVar("T")
# Of a store; a condition of thousands of alternatives is not asked twice, and would fill the memory with megabytes.
_MAX_STATEMENTS = 256
_MAX_SHAPE = 4096
# Whose stores are kept ready, so that a call makes nothing.
_MAX_SCOPES = 256


def composed_once(build: Callable[Concatenate[Store, P], bytes]) -> Callable[Concatenate[Store, P], bytes]:
    """Keep the statements that a function composes for a store, by their shape, save very long ones."""

    @wraps(build)
    def statement(store: Store, *shape: P.args, **none: P.kwargs) -> bytes:
        # One text serves every tenant; that of a memory or an agent has a condition more, that of a time another table.
        scope = store.scope
        key = (build, scope.memory is None, scope.agent is None, scope.as_of is None, *shape)
        found = store.statements.get(key)
        if found is None:
            found = build(store, *shape, **none)
            if sum(len(each) for each in shape if isinstance(each, str)) <= _MAX_SHAPE:
                if len(store.statements) >= _MAX_STATEMENTS:
                    store.statements.clear()
                store.statements[key] = found
        return found

    return statement


@dataclass(frozen=True, eq=False, slots=True)
class Facts:
    """What is known of a schema, in one version of it.

    `standby` are the stores that have vectors of another model too, with those in the place of the ones searched;
    `application_role` is the role that row-level security is made for, None where there is none; `memories_apart` says
    that it keeps the memories of a tenant apart too.
    """

    layout: Layout
    version: int
    stores: Mapping[str, Store]
    standby: Mapping[str, Store]
    application_role: str | None = None
    memories_apart: bool = False
    scope: Scope = EVERYTHING
    scoped: dict[Scope, Facts] = field(default_factory=dict["Scope", "Facts"])

    def within(self, scope: Scope) -> Facts:
        """Return the same facts for a scope."""
        found = self.scoped.get(scope)
        if found is None:
            stores = {name: store.within(scope) for name, store in self.stores.items()}
            standby = {name: store.within(scope) for name, store in self.standby.items()}
            found = replace(self, stores=stores, standby=standby, scope=scope, scoped={})
            if len(self.scoped) >= _MAX_SCOPES:
                self.scoped.clear()
            self.scoped[scope] = found
        return found

    def store(self, name: MemoryType | str) -> Store:
        """Return a store by its name; raises ConfigurationError, which lists them, for an unknown one."""
        try:
            found = self.stores[name]
        except (KeyError, TypeError):
            raise unknown_store(name, self.stores) from None
        if self.scope.as_of is not None:
            check_known(found, self.scope.as_of)
        return found

    def accompanied(self, scope: Scope, operation: Operation[T]) -> Operation[T]:
        """Return an operation whose statements say in whose name they write, or are of the facts of today."""
        if scope.as_of is not None:
            return self.of_today(operation)
        if all(store.kept is None for store in self.stores.values()):
            return operation
        return led_by(operation, named(scope.actor, scope.call_id), named)

    def of_today(self, operation: Operation[T]) -> Operation[T]:
        """Return an operation that raises StaleFacts where its facts are not those of today."""
        now = sql.SQL("SELECT {}").format(version(self.layout))
        return led_by(operation, Query(now.as_bytes(None)), check=self._check_version)

    def _check_version(self, row: Row) -> None:
        if row[0] != self.version:
            raise StaleFacts("another history is kept")

    @property
    def model(self) -> Model:
        """The embedding model of the seven stores."""
        return self.stores[CONVERSATIONS].model


class UnknownHistory(ConfigurationError):
    """A store of which no history is kept; another process may have begun one since."""


def check_kept(store: Store) -> Kept:
    """Return since when the history of a store is kept; raises UnknownHistory where none is."""
    if store.kept is None:
        raise UnknownHistory(
            f"no history of {store.name} is kept: keep_history({store.name!r}), or `memorizz history on {store.name}`, "
            "begins one, of what changes from then on"
        )
    return store.kept


def check_known(store: Store, time: datetime) -> None:
    """Raise ConfigurationError where the history of a store does not reach back to a time."""
    begins = check_kept(store).begins
    if time < begins:
        raise ConfigurationError(
            f"the history of {store.name} begins at {begins.isoformat()}, and {time.isoformat()} is before that"
        )


def check_compared(store: Store) -> None:
    """Raise ConfigurationError where vectors of the time of a store's scope cannot be compared."""
    time, since = store.scope.as_of, store.model.current_since
    if time is None:
        return
    if since is not None and time < since:
        raise ConfigurationError(
            f"the vectors of {store.name} are of another model since {since.isoformat()}: search what was before that "
            "by words or by a filter"
        )


class StaleFacts(MemorizzError):
    """The facts that a search was planned by are not those of today; never leaves the provider."""


# LIMIT says what PostgreSQL does not know of a table that was never analyzed: that it has one row. Else it expects five
# hundred times as many rows of the whole as there are, and compiles this statement for seconds where it has a compiler.
_FACTS = sql.SQL("""
SELECT settings.version, store.id, store.name, store.spec, store.m, store.ef_construction, store.pieces,
    store.history_since AT TIME ZONE INTERVAL '0', extract(epoch FROM store.history_retention)::float8,
    coalesce(index.kind, 'none'),
    model.id, model.name, model.dimensions, model.current_since, model.cosine_mean, model.cosine_deviation,
    standby.id, standby.name, standby.dimensions, standby.current_since,
    EXISTS (
        SELECT FROM pg_class AS index
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        JOIN pg_index ON indexrelid = index.oid AND indisvalid
        WHERE nspname = %(schema)s AND relname = store.name || '_keys_idx'
    ),
    settings.application_role, settings.memories_apart, settings.distributed, settings.text_search_config
FROM (SELECT * FROM {settings} LIMIT 1) AS settings
CROSS JOIN {stores} AS store
JOIN {models} AS model ON model.id = store.model
LEFT JOIN {models} AS standby ON standby.id = store.standby_model
LEFT JOIN LATERAL (
    SELECT CASE indkey[0] WHEN 0 THEN 'halfvec' ELSE 'hnsw' END AS kind
    FROM pg_class AS index
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    JOIN pg_index ON indexrelid = index.oid AND indisvalid
    WHERE nspname = %(schema)s
        AND relname = store.name || '_embedding' || CASE WHEN model.id > 1 THEN '_' || model.id ELSE '' END || '_idx'
) AS index ON true
ORDER BY store.id
""")


def read(layout: Layout) -> Operation[Facts]:
    """Return the facts of today."""
    statement = _FACTS.format(
        settings=layout.table("settings"), stores=layout.table("stores"), models=layout.table("embedding_models")
    )
    rows = yield from fetch(Query(statement.as_bytes(None), {"schema": layout.schema}))
    stores: dict[str, Store] = {}
    standby: dict[str, Store] = {}
    if rows:
        layout = replace(layout, distributed=rows[0][-2], text_search_config=rows[0][-1])
    role, memories_apart = rows[0][-4:-2] if rows else (None, False)
    of_store = (row[:-4] for row in rows)
    for _, id, name, noted, m, ef_construction, pieces, since, retention, kind, *models, keys_indexed in of_store:
        spec = StoreSpec.from_json(noted)
        cosines = None if models[5] is None else Cosines(*models[4:6])
        kept = None if since is None else Kept(since.replace(tzinfo=UTC), retention and timedelta(seconds=retention))
        model, other = Model(*models[:4], cosines=cosines), models[6:]
        vector = VectorField(model.dimensions, spec.distance, kind, m, ef_construction)
        said: Mapping[str, Any] = {"pieces": pieces, "walled": role is not None, "keys_indexed": keys_indexed}
        stores[name] = Store(layout, spec, model, vector, id, kept=kept, **said)
        if other[0] is not None:
            model = Model(*other)
            vector = VectorField(model.dimensions, spec.distance, "none", m, ef_construction)
            standby[name] = Store(layout, spec, model, vector, id, kept=kept, standby=True, **said)
    return Facts(layout, rows[0][0] if rows else 0, stores, standby, role, memories_apart)


def today(known: Facts) -> Operation[Facts]:
    """Return the facts of today: the known ones, by which statements are composed already, where they still hold."""
    now = sql.SQL("SELECT {}").format(version(known.layout))
    if (yield from fetch(Query(now.as_bytes(None)))) == [(known.version,)]:
        return known
    return (yield from read(known.layout)).within(known.scope)


# A change of the schema that waits for a lock has others wait behind it: whoever is in the way goes on, and it is tried
# again.
WAIT_SHORTLY = Script(b"SET LOCAL lock_timeout = 200")


def locked(layout: Layout, *, shortly: bool = True) -> Operation[Facts]:
    """Return the facts of today, which nobody else changes until the end of the transaction.

    `shortly`: OperationTimeout is raised where this lock, or a later one of the transaction, is not free soon.
    """
    if shortly:
        yield WAIT_SHORTLY
    lock = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(layout.table("stores"))
    yield Script(lock.as_bytes(None))
    return (yield from read(layout))


def lock_tables(stores: Iterable[Store]) -> Script:
    """Return what locks the tables of stores, in one order, before any of them is changed."""
    tables = [table for store in sorted(stores, key=lambda store: store.name) for table in store.tables]
    return Script(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.SQL(", ").join(tables)).as_bytes(None))


def version(layout: Layout) -> sql.Composed:
    """Return the expression that reads the version of today's facts."""
    return sql.SQL("(SELECT version FROM {})").format(layout.table("settings"))


_NAMED = b"SELECT set_config('memorizz.actor', %(actor)s, true), set_config('memorizz.call', %(call)s, true)"


def named(actor: str | None = None, call: str | None = None) -> Query:
    """Return the statement that says who writes in its transaction, and for which call; by default nobody."""
    return Query(_NAMED, {"actor": actor or "", "call": call or ""})


def moved_on(layout: Layout) -> Query:
    """Return the statement that whoever changes a fact sends in the same transaction."""
    statement = sql.SQL("UPDATE {} SET version = version + 1").format(layout.table("settings"))
    return Query(statement.as_bytes(None))


def has_pieces(store: Store) -> Query:
    """Return the statement that whoever gives a document the vectors of pieces sends before."""
    # The settings are locked first, for two who do so in two stores each.
    statement = sql.SQL(
        "WITH moved AS (UPDATE {settings} SET version = version + 1 "
        "WHERE EXISTS (SELECT FROM {stores} WHERE name = %(name)s AND NOT pieces) RETURNING 1) "
        "UPDATE {stores} SET pieces = true WHERE name = %(name)s AND EXISTS (SELECT FROM moved)"
    ).format(settings=store.layout.table("settings"), stores=store.layout.table("stores"))
    return Query(statement.as_bytes(None), {"name": store.name})
