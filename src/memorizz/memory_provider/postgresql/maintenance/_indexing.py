"""What is to be done about the indexes of the stores: planned first, so that it can be said before it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _indexes
from memorizz.memory_provider.postgresql._indexes import HNSW, Progress
from memorizz.memory_provider.postgresql._migrate import Database
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch
from memorizz.memory_provider.postgresql._stores import IndexKind, Schema, Store
from memorizz.memory_provider.postgresql.maintenance import _doctor
from memorizz.memory_provider.postgresql.maintenance._doctor import IndexFacts, StoreFacts
from memorizz.memory_provider.postgresql.maintenance._models import schema_of


@dataclass(frozen=True, slots=True)
class Job:
    """An index that is to be made: `create` it, `reindex` it where it is, or `replace` it by another one.

    `rows` are those that it will cover, None where they could not be counted; `memory` is what maintenance_work_mem
    should be for that, in bytes, 0 for what is no vector index. `mends` says that something invalid makes way for it,
    `switches` that its kind becomes another, `aside` that its vectors are those of a model that is not searched yet.
    """

    action: Literal["create", "reindex", "replace"]
    name: str
    store: str
    kind: str
    rows: int | None
    memory: int = 0
    hnsw: HNSW | None = None
    memory_id: str | None = None
    mends: bool = False
    switches: bool = False
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asked for; None is what there is, or the default."""

    store: str | None = None
    kind: IndexKind | None = None
    m: int | None = None
    ef_construction: int | None = None

    def hnsw(self, default: HNSW) -> HNSW:
        m = default.m if self.m is None else self.m
        return HNSW(m, max(default.ef_construction, 2 * m) if self.ef_construction is None else self.ef_construction)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is: the database, its stores and their indexes."""

    database: Database
    stores: Sequence[StoreFacts]
    indexes: Sequence[IndexFacts]

    @property
    def dimensions(self) -> int:
        return self.database.dimensions or 0

    @property
    def kind(self) -> IndexKind:
        """The kind of vector index that a store gets: what others have, else what pgvector can make."""
        return _doctor.vector_kind(self.indexes) or _possible(self.dimensions)

    def schema(self, kind: IndexKind) -> Schema:
        return schema_of(self.database, kind)

    def table(self, name: str, aside: bool = False) -> Store:
        """Return a store: with the vectors that are searched, or with those that stand aside."""
        return schema_of(self.database, "none", aside).store(name)

    def chosen(self, store: str | None) -> list[StoreFacts]:
        """Return the facts of one store, or of all; raises ConfigurationError for one that does not exist."""
        name = None if store is None else MemoryType.of(store).value
        return [each for each in self.stores if name in (None, each.name)]

    def index(self, name: str) -> IndexFacts | None:
        return next((each for each in self.indexes if each.name == name), None)

    def lacks(self, job: Job) -> bool:
        """Say whether an index is still to be made."""
        index = self.index(job.name)
        return index is None or not index.valid


def look(database: Database) -> Operation[Found]:
    stores, indexes = yield from _doctor.measure(database)
    return Found(database, stores, indexes)


def covered(found: Found) -> Operation[dict[str, int | None]]:
    """Return how many rows each index covers, None where counting them takes too long."""
    rows: dict[str, int | None] = {}
    stores = {store.name: store for store in found.stores}
    for index in found.indexes:
        store = stores[index.store]
        if index.condition is None and not index.aside:
            is_vector = index.method in _indexes.VECTOR_INDEXES
            rows[index.name] = store.with_embedding if is_vector else store.rows
        elif store.estimated:
            rows[index.name] = None
        else:
            statement = _indexes.count_covered(found.table(index.store, index.aside), index.method, index.condition)
            rows[index.name] = (yield from fetch(Query(statement)))[0][0]
    return rows


# --- planning -----------------------------------------------------------------------------------------------------


def missing(found: Found, wanted: Wanted, default: HNSW) -> list[Job]:
    """Plan to make what the stores lack."""
    kind = wanted.kind or found.kind
    _check_kind(found, kind)
    hnsw = wanted.hnsw(default)
    jobs: list[Job] = []
    for store in found.chosen(wanted.store):
        for name in _indexes.named(found.schema(kind).store(store.name), hnsw):
            index = found.index(name)
            is_vector = name == _indexes.embedding_index(found.table(store.name))
            if index is not None and index.being_built:
                raise ConfigurationError(
                    f"{name} is being built by somebody else: `memorizz index list` shows when it is done"
                )
            if index is None or not index.valid:
                jobs.append(_job("create", found, store, name, kind if is_vector else _method(name), hnsw, index))
            elif is_vector and not _is_as(index, wanted):
                raise ConfigurationError(
                    f"{name} is there, {index.method} with m={index.m} and ef_construction={index.ef_construction}: "
                    "`memorizz index rebuild` changes that"
                )
    return jobs


def own_index(found: Found, memory_id: str, wanted: Wanted, default: HNSW) -> Operation[Job]:
    """Plan to make the vector index that one memory has of its own; raises where there is nothing to index."""
    if wanted.store is None:
        raise ConfigurationError("a memory's own index is made in one store: say which with --store")
    (store,) = found.chosen(wanted.store)
    table = found.table(store.name)
    whole = found.index(_indexes.embedding_index(table))
    if whole is None or not whole.valid:
        raise ConfigurationError(
            f"{store.name} has no vector index, and without one no search uses a memory's own: "
            f"`memorizz index build --store {store.name}` comes first"
        )
    if wanted.kind not in (None, whole.method):
        raise ConfigurationError(f"a memory's own index is of the kind that its store has: {whole.method}")
    memory_id = _indexes.checked_memory_id(memory_id)
    rows = (yield from fetch(Query(_indexes.count_memory(table), {"memory_id": memory_id})))[0][0]
    if rows == 0:
        raise ConfigurationError(f"{store.name} has no vectors in a memory {memory_id!r}: there is nothing to index")
    name = _indexes.memory_index(table, memory_id)
    index = found.index(name)
    if index is not None and (index.valid or index.being_built):
        state = "is being built" if index.being_built else "is there: `memorizz index rebuild` makes it again"
        raise ConfigurationError(f"the index {name} of the memory {memory_id!r} {state}")
    hnsw = wanted.hnsw(default)
    job = _job("create", found, store, name, whole.method, hnsw, index)
    return replace(job, rows=rows, memory=hnsw.memory(whole.method, found.dimensions, rows), memory_id=memory_id)


def keys(found: Found, wanted: Wanted) -> list[Job]:
    """Plan to make the indexes on the keys that have no column."""
    jobs: list[Job] = []
    for store in found.chosen(wanted.store):
        name = _indexes.keys_index(found.table(store.name))
        index = found.index(name)
        if index is None or not (index.valid or index.being_built):
            jobs.append(_job("create", found, store, name, "gin", HNSW(), index))
    return jobs


def again(found: Found, name: str | None, wanted: Wanted, default: HNSW, rows: dict[str, int | None]) -> list[Job]:
    """Plan to make indexes again: one by its name, else the vector indexes, as they are or as is wanted."""
    changes = (wanted.kind, wanted.m, wanted.ef_construction) != (None, None, None)
    if name is not None and (changes or wanted.store is not None):
        raise ConfigurationError("an index that is named is made again as it is: leave out the other options")
    _check_kind(found, wanted.kind or "none")
    chosen = {store.name: store for store in found.chosen(wanted.store)}
    indexes = (
        [found.index(name)]
        if name is not None
        else [
            index
            for index in found.indexes
            if index.method in _indexes.VECTOR_INDEXES
            and index.store in chosen
            and not (index.aside or _indexes.is_passing(index.name))
        ]
    )
    jobs: list[Job] = []
    for index in indexes:
        if index is None:
            raise ConfigurationError(f"no store has an index {name!r}: `memorizz index list` shows what there is")
        hnsw = wanted.hnsw(HNSW(index.m or default.m, index.ef_construction or default.ef_construction))
        kind = wanted.kind or index.method
        if index.being_built:
            raise ConfigurationError(f"{index.name} is being built by somebody else")
        action = "reindex" if name is not None or _is_as(index, wanted) else "replace"
        job = _job(action, found, chosen[index.store], index.name, kind, hnsw, index)
        count = rows[index.name]
        memory = hnsw.memory(kind, found.dimensions, count or 0) if job.memory else 0
        jobs.append(replace(job, rows=count, memory=memory))
    if not jobs:
        raise ConfigurationError("there is no vector index to make again: `memorizz index build` makes what is missing")
    return jobs


def aside(found: Found, default: HNSW) -> list[Job]:
    """Plan to make for the vectors that stand aside what indexes there are on those that are searched."""
    jobs: list[Job] = []
    dimensions = found.database.aside_dimensions or 0
    stores = {store.name: store for store in found.stores}
    for index in found.indexes:
        searched = index.method in _indexes.VECTOR_INDEXES and not (index.aside or _indexes.is_passing(index.name))
        if not searched or (kind := _for_length(index.method, dimensions)) == "none":
            continue
        table = found.table(index.store, aside=True)
        of = index.memory_id
        name = _indexes.embedding_index(table) if of is None else _indexes.memory_index(table, of)
        there = found.index(name)
        if there is not None and there.valid:
            continue
        hnsw = HNSW(index.m or default.m, index.ef_construction or default.ef_construction)
        rows = stores[index.store].with_embedding
        memory = hnsw.memory(kind, dimensions, rows or 0)
        jobs.append(Job("create", name, index.store, kind, rows, memory, hnsw, of, mends=there is not None, aside=True))
    return jobs


def _for_length(kind: str, dimensions: int) -> str:
    """Return the kind of vector index that comes nearest to one of other vectors."""
    return kind if dimensions <= _indexes.MOST_DIMENSIONS[kind] else _possible(dimensions)


def _job(
    action: Literal["create", "reindex", "replace"],
    found: Found,
    store: StoreFacts,
    name: str,
    kind: str,
    hnsw: HNSW,
    index: IndexFacts | None,
) -> Job:
    """Return a job over a whole store."""
    is_vector = kind in _indexes.VECTOR_INDEXES
    rows = store.with_embedding if is_vector else store.rows
    return Job(
        action,
        name,
        store.name,
        kind,
        rows,
        hnsw.memory(kind, found.dimensions, rows or 0) if is_vector else 0,
        hnsw if is_vector else None,
        index.memory_id if index is not None else None,
        mends=index is not None and not index.valid,
        switches=action == "replace" and index is not None and index.method != kind,
    )


def _possible(dimensions: int) -> IndexKind:
    """Return the kind of vector index that pgvector can make of vectors this long."""
    return "hnsw" if dimensions <= 2000 else "halfvec" if dimensions <= 4000 else "none"


def _check_kind(found: Found, kind: IndexKind) -> None:
    most = _indexes.MOST_DIMENSIONS.get(kind)
    if most is not None and found.dimensions > most:
        possible = _possible(found.dimensions)
        way_out = "no index at all" if possible == "none" else f"--kind {possible}"
        raise ConfigurationError(
            f"pgvector indexes up to {most:,} dimensions as {kind}, these vectors have {found.dimensions:,}: {way_out}"
        )


def _is_as(index: IndexFacts, wanted: Wanted) -> bool:
    return (
        wanted.kind in (None, "none", index.method)
        and wanted.m in (None, index.m)
        and wanted.ef_construction in (None, index.ef_construction)
    )


def _method(name: str) -> str:
    return "gin" if name.endswith("_words_idx") else "btree"


# --- doing --------------------------------------------------------------------------------------------------------


def make(found: Found, job: Job) -> Operation[None]:
    """Do a job; a replacement stands beside the old index until it takes its place."""
    table = found.table(job.store, job.aside)
    if job.action == "reindex":
        yield Script(_indexes.reindex(table, job.name).as_bytes(None))
        return
    name = job.name if job.action == "create" else _indexes.replacement(job.name)
    index = next((each for each in (yield from _doctor.indexes(found.database)) if each.name == name), None)
    if index is not None and index.valid and index.method == job.kind and _is_built_as(index, job.hnsw):
        # A replacement that an earlier run has finished.
        return
    if index is not None:
        yield Script(_indexes.drop(table, name).as_bytes(None))
    yield Script(_statement(found, job, name))
    if job.memory_id is not None:
        yield Script(_indexes.comment(table, name, job.memory_id).as_bytes(None))


def _is_built_as(index: IndexFacts, hnsw: HNSW | None) -> bool:
    return hnsw is None or (index.m, index.ef_construction) == (hnsw.m, hnsw.ef_construction)


def _statement(found: Found, job: Job, name: str) -> bytes:
    table = found.table(job.store, job.aside)
    if job.hnsw is not None:
        kind: IndexKind = "halfvec" if job.kind == "halfvec" else "hnsw"
        made = _indexes.create_embedding(table, kind, job.hnsw, name, memory_id=job.memory_id, concurrently=True)
    elif job.name == _indexes.keys_index(table):
        made = _indexes.create_keys(table)
    else:
        made = _indexes.named(table, HNSW(), concurrently=True)[name]
    return made.as_bytes(None)


def take_place(found: Found, job: Job, lock_seconds: float) -> Operation[None]:
    """Put a replacement in the place of the index that it replaces; the caller runs this in one transaction."""
    yield Script(_indexes.take_place(found.table(job.store), job.name, lock_seconds).as_bytes(None))


def clean(found: Found, job: Job) -> Operation[None]:
    """Remove what a job that was given up has left: what is invalid, and a replacement."""
    for index in (yield from _doctor.indexes(found.database)):
        is_own = index.name == job.name or (_indexes.is_passing(index.name) and index.name.startswith(job.name))
        if is_own and index.left_over and not index.constraint:
            yield Script(_indexes.drop(found.table(index.store), index.name).as_bytes(None))


def size(found: Found, job: Job) -> Operation[int]:
    """Return how large the index of a job is, in bytes."""
    now = yield from _doctor.indexes(found.database)
    return sum(index.bytes for index in now if index.name == job.name)


# --- put off while a store is loaded ------------------------------------------------------------------------------


def put_off(found: Found, name: str, lock_seconds: float) -> Operation[None]:
    """Drop the vector index of a store that is empty, and note it; the caller runs this in one transaction."""
    (store,) = found.chosen(name)
    index = found.index(_indexes.embedding_index(found.table(name)))
    if index is None or not index.valid or store.rows != 0 or store.estimated:
        return
    assert index.m is not None
    assert index.ef_construction is not None
    hnsw = HNSW(index.m, index.ef_construction)
    yield Script(_indexes.put_off(found.table(name), index.method, hnsw, lock_seconds).as_bytes(None))


def that_was_put_off(found: Found, name: str) -> Operation[Job | None]:
    """Return the job to build the index of a store that was put off, None where there is none."""
    table = found.table(name)
    bound = {"schema": found.database.schema, "store": name, "column": table.schema.vector_column}
    rows = yield from fetch(Query(_indexes.NOTE, bound))
    noted = _indexes.noted(rows[0][0] if rows else None)
    if noted is None:
        return None
    kind, hnsw = noted
    index = _indexes.embedding_index(table)
    return _job("create", found, found.chosen(name)[0], index, kind, hnsw, found.index(index))


def note_built(found: Found, name: str) -> Operation[None]:
    yield Script(_indexes.built(found.table(name)).as_bytes(None))


def removable(found: Found, name: str | None) -> list[IndexFacts]:
    """Return the index of a name, or without one all that are invalid; raises for what must not be dropped."""
    if name is None:
        return [each for each in found.indexes if not (each.valid or each.being_built or each.constraint)]
    index = found.index(name)
    if index is None:
        raise ConfigurationError(f"no store has an index {name!r}: `memorizz index list` shows what there is")
    if index.constraint:
        raise ConfigurationError(f"{name} is more than an index: it keeps a rule of the table, and is not dropped")
    if index.being_built:
        raise ConfigurationError(f"{name} is being built: stop the program that builds it first")
    return [index]


def remove(found: Found, index: IndexFacts) -> Operation[None]:
    yield Script(_indexes.drop(found.table(index.store), index.name).as_bytes(None))


def memory_and_process() -> Operation[tuple[int, int]]:
    """Return maintenance_work_mem in bytes, and the server's process of this session."""
    row = (yield from fetch(Query(_indexes.MEMORY)))[0]
    return row[0], row[1]


def progress(pid: int) -> Operation[Progress | None]:
    rows = yield from fetch(Query(_indexes.PROGRESS, {"pid": pid}))
    return Progress(*rows[0]) if rows else None
