"""Stores spread over several servers by Citus: all that is of a tenant is on one of them, in one shard of each table.

That they are is a fact of the schema, `distributed`. What goes with each statement then: sql/citus.py. The tables of
documents and of their parts are distributed, and so are later ones. What is of the schema stays on the coordinator,
which programs connect to; so do the histories, which are empty there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from memorizz.errors import ConfigurationError, SchemaError, quoted
from memorizz.memory_provider.postgresql import facts
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.layout import Layout, parts_table
from memorizz.memory_provider.postgresql.sql.citus import IN_SEQUENCE
from memorizz.memory_provider.postgresql.sql.key import COLUMNS, NAMES, same_of_all
from memorizz.memory_provider.postgresql.sql.reads import sql_file

# Older ones copy the policies of a table to its shards in another form, or take no row with a number of its own.
_OLDEST = (13, 0, 2)


@dataclass(frozen=True, slots=True)
class Distributed:
    """What was distributed, or is to be: how many tables over how many servers, and by which statements.

    There are no tables and no statements where Citus has distributed the stores before.
    """

    tables: int
    servers: int
    statements: Sequence[str] = ()


def check_whole(layout: Layout, what: str, why: str) -> None:
    """Raise ConfigurationError for what cannot be done with stores that Citus has distributed."""
    if layout.distributed:
        raise ConfigurationError(
            f"{what}: Citus has distributed the stores of schema {layout.schema!r}, and {why}; what there is instead "
            "says docs/how-to/scale-out.md"
        )


# --- the statements -----------------------------------------------------------------------------------------------

_TRIGGERS = ("memorizz_replaced", "memorizz_deleted")
_DROP_TRIGGER = sql.SQL("DROP TRIGGER IF EXISTS {} ON {}")
_FORCE = sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY")
_DROP_KEY = sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}")


def _key(store: Store) -> sql.Identifier:
    return sql.Identifier(f"{parts_table(store.name)}_fkey")


def _name(table: sql.Identifier) -> sql.Literal:
    return sql.Literal(table.as_string(None))


def own_parts(store: Store) -> Iterator[bytes]:
    """Yield what has the parts of a store's documents go with these by a foreign key, as Citus takes no triggers.

    The pieces of a text that was replaced stay until the store is tidied: nothing finds them.
    """
    if store.spec.fields:
        return
    for name in _TRIGGERS:
        yield _DROP_TRIGGER.format(sql.Identifier(name), store.table).as_bytes(None)
    left = sql.SQL("DELETE FROM {} AS p WHERE NOT EXISTS (SELECT FROM {} AS d WHERE {})")
    yield left.format(store.parts, store.table, same_of_all("d", "p")).as_bytes(None)
    yield _DROP_KEY.format(store.parts, _key(store)).as_bytes(None)
    add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ON DELETE CASCADE")
    yield add.format(store.parts, _key(store), NAMES, store.table).as_bytes(None)


def joined(store: Store, first: Store | None, shards: int | None = None) -> Iterator[bytes]:
    """Yield what distributes the tables of a store: in the shards that those of `first` have, or in their own.

    The documents before the parts, whose foreign key is to them.
    """
    whose = sql.Literal(COLUMNS[0])
    alone = sql.SQL("SELECT create_distributed_table({}, {}, colocate_with => 'none'{})")
    together = sql.SQL("SELECT create_distributed_table({}, {}, colocate_with => {})")
    if first is None:
        count = sql.SQL("") if shards is None else sql.SQL(", shard_count => {}").format(sql.Literal(shards))
        yield alone.format(_name(store.table), whose, count).as_bytes(None)
    else:
        yield together.format(_name(store.table), whose, _name(first.table)).as_bytes(None)
    yield together.format(_name(store.parts), whose, _name((first or store).table)).as_bytes(None)


def _replaced_again(store: Store) -> Iterator[bytes]:
    """Yield what has the pieces of a store's long texts go by its triggers once more."""
    if store.spec.fields:
        return
    for name in _TRIGGERS:
        yield _DROP_TRIGGER.format(sql.Identifier(name), store.table).as_bytes(None)
    yield _DROP_KEY.format(store.parts, _key(store)).as_bytes(None)
    forget = sql.Identifier(store.layout.schema, "memorizz_forget_pieces")
    yield sql_file("parts_of_long_texts.sql").format(table=store.table, forget_pieces=forget).as_bytes(None)


def _tables(known: Facts) -> list[sql.Identifier]:
    return [table for store in known.stores.values() for table in (store.table, store.parts)]


def _finished(known: Facts, table: sql.Identifier) -> Iterator[bytes]:
    """Yield what empties a table on the coordinator, and those that refer to it."""
    emptied = sql.SQL("SELECT truncate_local_data_after_distributing_table({})")
    yield emptied.format(_name(table)).as_bytes(None)
    if known.application_role is not None:
        yield _FORCE.format(table).as_bytes(None)


def statements(known: Facts, shards: int | None) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[bytes]]:
    """Return what distributes the stores of a schema: what prepares it, does it, and frees the coordinator of them.

    The first two are a transaction each, the last one for each table.
    """
    stores, tables = [*known.stores.values()], _tables(known)
    prepared = [each for store in stores for each in own_parts(store)]
    if known.application_role is not None:
        # What takes the rows to the shards is COPY, which heeds no policy.
        unforced = sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY")
        prepared += [unforced.format(table).as_bytes(None) for table in tables]
    # All of them at once, so that none is waited for, and given up, once others have been copied.
    locked = sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.SQL(", ").join(tables))
    done = [IN_SEQUENCE.sql, locked.as_bytes(None), b"SET LOCAL lock_timeout TO DEFAULT"]
    for store in stores:
        done += joined(store, None if store is stores[0] else stores[0], shards)
    # What the tables need is on every server with them; a question needs this.
    question = sql.Identifier(known.layout.schema, "memorizz_question").as_string(None) + "(text, integer)"
    done.append(sql.SQL("SELECT create_distributed_function({})").format(sql.Literal(question)).as_bytes(None))
    noted = sql.SQL("UPDATE {} SET distributed = true").format(known.layout.table("settings"))
    finished = [each for table in tables for each in _finished(known, table)]
    return prepared, [*done, noted.as_bytes(None), facts.moved_on(known.layout).sql], finished


# --- distributing -------------------------------------------------------------------------------------------------

_EXTENSION = b"SELECT extversion FROM pg_extension WHERE extname = 'citus'"
# That of the extension does not say the last number.
_VERSION = b"SELECT coalesce(substring(citus_version() FROM '[0-9]+(?:[.][0-9]+)*'), '')"
_SERVERS = b"SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards AND noderole = 'primary'"
# What Citus cannot take along, and is not ours.
_FOREIGN = sql.SQL("""
SELECT conrelid::regclass::text, 'a foreign key' FROM pg_constraint
WHERE contype = 'f' AND (confrelid = ANY ({tables}) OR conrelid = ANY ({tables}))
    AND NOT (confrelid = ANY ({tables}) AND conrelid = ANY ({tables}))
UNION ALL SELECT tgrelid::regclass::text, 'a trigger' FROM pg_trigger
WHERE tgrelid = ANY ({tables}) AND NOT tgisinternal AND tgname <> ALL (%(triggers)s::text[]) ORDER BY 1 LIMIT 1
""")


def servers() -> Operation[int]:
    """Return over how many servers Citus distributes tables; raises SchemaError where it is not, or is too old."""
    rows = yield from fetch(Query(_EXTENSION))
    if not rows:
        raise SchemaError(
            "the database has no extension citus: scale-out needs a coordinator of Citus 13 or 14, with its workers "
            "added; on one server a store in partitions is what there is"
        )
    [(version,)] = yield from fetch(Query(_VERSION))
    if tuple(map(int, re.findall("[0-9]+", version))) < _OLDEST:
        raise SchemaError(f"Citus is {version} here: scale-out needs 13.0.2 or newer")
    [(count,)] = yield from fetch(Query(_SERVERS))
    if not count:
        raise SchemaError("Citus knows no server that takes shards: add workers to it, with citus_add_node()")
    return count


def check(known: Facts) -> Operation[None]:
    """Raise ConfigurationError where something of a schema cannot be distributed, which says what and what to do."""
    kept = [name for name, store in known.stores.items() if store.kept is not None]
    in_partitions = [name for name, store in known.stores.items() if store.spec.partitions is not None]
    changing = [*known.standby]
    schema = known.layout.schema
    reason = None
    if kept:
        reason = f"a history of {kept[0]} is kept, by triggers, which Citus refuses: end it with `memorizz history off`"
    elif known.memories_apart:
        reason = (
            "row-level security keeps memories apart too, by policies that ask other rows, which Citus refuses: take "
            "that down with `memorizz tenants enable --no-memories`"
        )
    elif in_partitions:
        reason = f"{in_partitions[0]} is in partitions, as its shards will be: copy it into a store that is in none"
    elif changing:
        reason = f"the embedding model of {changing[0]} is being changed: finish `memorizz re-embed` first"
    else:
        array = sql.SQL("ARRAY[{}]::regclass[]").format(sql.SQL(", ").join(map(_name, _tables(known))))
        foreign = Query(_FOREIGN.format(tables=array).as_bytes(None), {"triggers": list(_TRIGGERS)})
        for table, what in (yield from fetch(foreign)):
            reason = f"{table} has {what} that is not the library's, which Citus would not keep: drop it"
    if reason is not None:
        raise ConfigurationError(f"schema {schema!r} cannot be distributed: {reason}")


def _planned(known: Facts, shards: int | None) -> Operation[Distributed]:
    if shards is not None and shards not in range(1, 64001):
        raise ConfigurationError(f"shards={quoted(shards)}: expected a number from 1 to 64000")
    count = yield from servers()
    if known.layout.distributed:
        return Distributed(0, count)
    yield from check(known)
    listed = [each.decode() for part in statements(known, shards) for each in part]
    return Distributed(2 * len(known.stores), count, listed)


def planned(layout: Layout, shards: int | None) -> Operation[Distributed]:
    """Return what `prepare`, `distribute` and `finish` do to a schema, in this order."""
    return (yield from _planned((yield from facts.read(layout)), shards))


def prepare(layout: Layout, shards: int | None) -> Operation[None]:
    """Make the tables of a schema fit to be distributed; the caller runs this in one transaction."""
    known = yield from facts.locked(layout)
    if (yield from _planned(known, shards)).tables:
        for statement in statements(known, shards)[0]:
            yield Script(statement)


def distribute(layout: Layout, shards: int | None) -> Operation[Distributed]:
    """Distribute the stores of a schema, once they are fit; the caller runs this in one transaction.

    Their readers go on meanwhile, and their writers wait.
    """
    known = yield from facts.locked(layout)
    done = yield from _planned(known, shards)
    if done.tables:
        for statement in statements(known, shards)[1]:
            yield Script(statement)
    return done


def put_back(layout: Layout) -> Operation[None]:
    """Make the tables of a schema what they were before `prepare`, unless they are distributed; in one transaction."""
    known = yield from facts.locked(layout)
    if known.layout.distributed:
        return
    for store in known.stores.values():
        for statement in _replaced_again(store):
            yield Script(statement)
    if known.application_role is not None:
        for table in _tables(known):
            yield Script(_FORCE.format(table).as_bytes(None))


_UNFINISHED = b"""
SELECT place FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS asked (name, place)
JOIN pg_class ON pg_class.oid = to_regclass(name)
WHERE pg_relation_size(pg_class.oid) > 0 OR relrowsecurity AND NOT relforcerowsecurity ORDER BY place
"""


def unfinished(layout: Layout) -> Operation[list[sql.Identifier]]:
    """Return the tables of which the coordinator still has what was distributed, or which lack some of their wall."""
    known = yield from facts.read(layout)
    tables = _tables(known) if known.layout.distributed else []
    rows = yield from fetch(Query(_UNFINISHED, {"tables": [table.as_string(None) for table in tables]}))
    return [tables[place - 1] for (place,) in rows]


def finish(layout: Layout, table: sql.Identifier) -> Operation[None]:
    """Free the coordinator of a table that was distributed; in one transaction, once nobody reads it for a moment."""
    known = yield from facts.read(layout)
    yield facts.WAIT_SHORTLY
    for statement in _finished(known, table):
        yield Script(statement)


_INTERRUPTED = b"""
SELECT conname::text FROM pg_constraint JOIN pg_namespace ON pg_namespace.oid = connamespace
WHERE contype = 'f' AND nspname = %(schema)s AND conname = ANY (%(keys)s::text[]) ORDER BY conname
"""


def half_done(known: Facts) -> Operation[list[str]]:
    """Return the tables, or foreign keys, of what a distribution has left when it was interrupted."""
    if known.layout.distributed:
        return [table.as_string(None) for table in (yield from unfinished(known.layout))]
    keys = [f"{parts_table(store.name)}_fkey" for store in known.stores.values() if not store.spec.fields]
    rows = yield from fetch(Query(_INTERRUPTED, {"schema": known.layout.schema, "keys": keys}))
    return [name for (name,) in rows]


_MISSING = b"""
SELECT relname FROM unnest(%(tables)s::text[]) AS asked (relname)
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass(relname))
"""


def missing(known: Facts) -> Operation[list[str]]:
    """Return the tables that are to be distributed and are not; all of them where there is no Citus."""
    if not known.layout.distributed:
        return []
    names = [table.as_string(None) for table in _tables(known)]
    [(is_there,)] = yield from fetch(Query(b"SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL"))
    if not is_there:
        return names
    return [name for (name,) in (yield from fetch(Query(_MISSING, {"tables": names})))]
