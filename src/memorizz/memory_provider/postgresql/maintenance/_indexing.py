"""What is to be done about the indexes of the stores: planned first, so that it can be said before it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from psycopg import sql

from memorizz.errors import ConfigurationError, OperationTimeout, quoted
from memorizz.memory_provider.postgresql import facts, indexes
from memorizz.memory_provider.postgresql._steps import Operation, Query, Script, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store
from memorizz.memory_provider.postgresql.indexes import HNSW, Progress
from memorizz.memory_provider.postgresql.maintenance import _measuring
from memorizz.memory_provider.postgresql.maintenance._measuring import IndexFacts, StoreFacts
from memorizz.memory_provider.stores import IndexKind, is_one_of_seven, most_indexed


@dataclass(frozen=True, slots=True)
class Job:
    """An index that is to be made: `create` it, `reindex` it where it is, or `replace` it by another one.

    `rows` are those that it will cover, None where they could not be counted; `memory` is what maintenance_work_mem
    should be for that, in bytes, 0 for what is no vector index. `mends` says that something invalid makes way for it,
    `switches` that its kind becomes another, `standby` that its vectors are those of a model that is not searched yet.
    """

    action: Literal["create", "reindex", "replace"]
    name: str
    store: str
    kind: str
    rows: int | None
    memory: int = 0
    hnsw: HNSW | None = None
    mends: bool = False
    switches: bool = False
    standby: bool = False


Watch = Callable[[Job, Progress], None]


@dataclass(frozen=True, slots=True)
class Made:
    """A job that is done: how large the index is, how long it took, and what the server had to say of it."""

    job: Job
    bytes: int
    seconds: float
    notices: Sequence[str] = ()


class Busy(OperationTimeout):
    """What was built is kept for the next try."""


class BuiltElsewhere(ConfigurationError):
    """Somebody else is at an index: what there is of it is theirs."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is being built by somebody else: `memorizz index list` shows when it is done")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asked for; None is the present value, or the default."""

    store: str | None = None
    kind: IndexKind | None = None
    m: int | None = None
    ef_construction: int | None = None

    def hnsw(self, default: HNSW) -> HNSW:
        m = default.m if self.m is None else self.m
        return HNSW(m, max(default.ef_construction, 2 * m) if self.ef_construction is None else self.ef_construction)


@dataclass(frozen=True, slots=True)
class Found:
    """What there is: the stores, their sizes and their indexes."""

    known: Facts
    stores: Sequence[StoreFacts]
    indexes: Sequence[IndexFacts]

    def kind(self, store: Store) -> IndexKind:
        """Return the kind of vector index that a store gets: its spec's, else that of others, else what can be made."""
        there = _measuring.vector_kind(self.indexes)
        possible = store.spec.possible_index(store.model.dimensions)
        fits = possible == "hnsw" and store.spec.distance == "cosine" and store.spec.vector_type == "vector"
        return store.spec.index or (there if there is not None and fits else possible)

    def table(self, name: str, standby: bool = False) -> Store:
        """Return a store: with the vectors that are searched, or with those on standby."""
        return self.known.standby[name] if standby else self.known.store(name)

    def chosen(self, store: str | None) -> list[StoreFacts]:
        """Return the facts of one store, or of all; raises ConfigurationError for one that does not exist."""
        name = None if store is None else self.known.store(store).name
        return [each for each in self.stores if name in (None, each.name)]

    def index(self, name: str) -> IndexFacts | None:
        return next((each for each in self.indexes if each.name == name), None)

    def is_being_built(self, name: str) -> bool:
        """Return True for an index that somebody is at, in whichever partition."""
        return any(each.being_built and indexes.is_own(each.name, name) for each in self.indexes)

    def lacks(self, job: Job) -> bool:
        """Return True if an index is still to be made."""
        index = self.index(job.name)
        return index is None or not index.valid


def look(known: Facts) -> Operation[Found]:
    stores, found = yield from _measuring.measure(known)
    return Found(known, stores, found)


def covered(found: Found) -> Operation[dict[str, int | None]]:
    """Return how many rows each index covers, None where counting them takes too long."""
    rows: dict[str, int | None] = {}
    stores = {store.name: store for store in found.stores}
    for index in found.indexes:
        store = stores[index.store]
        of_pieces = indexes.is_of_pieces(found.table(index.store), index.name)
        if index.condition is None and not index.standby and not of_pieces:
            is_vector = index.method in indexes.VECTOR_INDEXES
            rows[index.name] = store.with_embedding if is_vector else store.rows
        elif store.estimated or indexes.is_of_partition(index.name):
            rows[index.name] = None
        else:
            table = found.table(index.store, index.standby)
            statement = indexes.count_covered(table, index.name, index.method, index.condition)
            rows[index.name] = (yield from fetch(Query(statement)))[0][0]
    return rows


# --- planning -----------------------------------------------------------------------------------------------------


def missing(found: Found, wanted: Wanted, default: HNSW) -> list[Job]:
    """Plan to make what the stores lack."""
    hnsw = wanted.hnsw(default)
    jobs: list[Job] = []
    for store in found.chosen(wanted.store):
        table = found.table(store.name)
        kind = _asked_kind(table, wanted) or found.kind(table)
        _check_kind(table, kind)
        for name in indexes.named(replace(table, vector=replace(table.vector, index=kind))):
            index = found.index(name)
            is_vector = name in indexes.vector_indexes(table)
            if index is None or not index.valid:
                if found.is_being_built(name):
                    raise BuiltElsewhere(name)
                jobs.append(_job("create", found, store, name, kind if is_vector else _method(name), hnsw, index))
            elif is_vector and not _is_as(index, wanted) and not _is_of_no_pieces(found, index):
                raise ConfigurationError(
                    f"{name} is there, {index.method} with m={index.m} and ef_construction={index.ef_construction}: "
                    "`memorizz index rebuild` changes that"
                )
    return jobs


def keys(found: Found, wanted: Wanted) -> list[Job]:
    """Plan to make the indexes on the keys that have no column."""
    jobs: list[Job] = []
    for store in found.chosen(wanted.store):
        name = indexes.keys_index(found.table(store.name))
        index = found.index(name)
        if not found.is_being_built(name) and (index is None or not index.valid):
            jobs.append(_job("create", found, store, name, "gin", HNSW(), index))
    return jobs


def again(found: Found, name: str | None, wanted: Wanted, default: HNSW, rows: dict[str, int | None]) -> list[Job]:
    """Plan to make indexes again: one by its name, else the vector indexes, as they are or as is wanted."""
    changes = (wanted.kind, wanted.m, wanted.ef_construction) != (None, None, None)
    if name is not None and (changes or wanted.store is not None):
        raise ConfigurationError("an index that is named is made again as it is: leave out the other options")
    chosen = {store.name: store for store in found.chosen(wanted.store)}
    kinds: dict[str, IndexKind | None] = {each: _asked_kind(found.table(each), wanted) for each in chosen}
    for each, asked in kinds.items():
        if asked is not None:
            _check_kind(found.table(each), asked)
    again = (
        [found.index(name)]
        if name is not None
        else [
            index
            for index in found.indexes
            if index.method in indexes.VECTOR_INDEXES
            and index.store in chosen
            and not (index.standby or indexes.is_passing(index.name))
            and (changes or not _is_of_no_pieces(found, index))
        ]
    )
    jobs: list[Job] = []
    for index in again:
        if index is None:
            raise ConfigurationError(f"no store has an index {quoted(name)}: `memorizz index list` lists them")
        hnsw = wanted.hnsw(HNSW(index.m or default.m, index.ef_construction or default.ef_construction))
        kind = kinds.get(index.store) or index.method
        if found.is_being_built(index.name):
            raise BuiltElsewhere(index.name)
        is_as_wanted = name is not None or _is_as(index, replace(wanted, kind=kinds.get(index.store)))
        action = "reindex" if is_as_wanted else "replace"
        job = _job(action, found, chosen[index.store], index.name, kind, hnsw, index)
        count = rows[index.name]
        memory = _memory(found, chosen[index.store], kind, hnsw, count) if job.memory else 0
        jobs.append(replace(job, rows=count, memory=memory))
    if not jobs:
        raise ConfigurationError("there is no vector index to make again: `memorizz index build` makes what is missing")
    return jobs


def standby(found: Found, default: HNSW) -> list[Job]:
    """Plan to make for the vectors on standby what indexes there are on those that are searched."""
    jobs: list[Job] = []
    stores = {store.name: store for store in found.stores}
    for index in found.indexes:
        is_searched = index.method in indexes.VECTOR_INDEXES and not (index.standby or indexes.is_passing(index.name))
        if not is_searched or index.store not in found.known.standby:
            continue
        table = found.table(index.store, standby=True)
        dimensions = table.model.dimensions
        method: IndexKind = "halfvec" if index.method == "halfvec" else "hnsw"
        fits = dimensions <= most_indexed(method, table.spec.vector_type)
        kind = method if fits else table.spec.possible_index(dimensions)
        of_pieces = indexes.is_of_pieces(table, index.name)
        name = (indexes.pieces_index if of_pieces else indexes.embedding_index)(table)
        there = found.index(name)
        if kind == "none" or (there is not None and there.valid):
            continue
        hnsw = HNSW(index.m or default.m, index.ef_construction or default.ef_construction)
        rows = stores[index.store].with_embedding
        memory = _memory(found, stores[index.store], kind, hnsw, rows, standby=True)
        jobs.append(Job("create", name, index.store, kind, rows, memory, hnsw, there is not None, standby=True))
    return jobs


def _is_of_no_pieces(found: Found, index: IndexFacts) -> bool:
    """Return True for the index of the pieces of a store in which no text has been long: it is empty."""
    store = found.table(index.store)
    return not store.pieces and indexes.is_of_pieces(store, index.name)


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
    is_vector = kind in indexes.VECTOR_INDEXES
    rows = store.with_embedding if is_vector else store.rows
    return Job(
        action,
        name,
        store.name,
        kind,
        rows,
        _memory(found, store, kind, hnsw, rows) if is_vector else 0,
        hnsw if is_vector else None,
        mends=index is not None and not index.valid,
        switches=action == "replace" and index is not None and index.method != kind,
    )


def _memory(found: Found, store: StoreFacts, kind: str, hnsw: HNSW, rows: int | None, *, standby: bool = False) -> int:
    """Return how much memory holds the graph of so many rows of a store while it is built, partition by partition."""
    table = found.table(store.name, standby)
    precision = "halfvec" if table.spec.vector_type == "halfvec" else kind
    return hnsw.memory(precision, table.model.dimensions, round((rows or 0) * store.largest))


def _asked_kind(store: Store, wanted: Wanted) -> IndexKind | None:
    """Return the kind that was asked for; of a store of a caller's own, only where that was named."""
    is_meant = wanted.store is not None or is_one_of_seven(store.name) or wanted.kind == "none"
    return wanted.kind if is_meant else None


def _check_kind(store: Store, kind: IndexKind) -> None:
    dimensions, possible = store.model.dimensions, store.spec.possible_index(store.model.dimensions)
    way_out = "no index at all" if possible == "none" else f"--kind {possible}"
    if (kind, store.spec.vector_type) == ("halfvec", "halfvec"):
        raise ConfigurationError(f"the vectors of {store.name} are in half precision themselves: {way_out}")
    if dimensions > (most := most_indexed(kind, store.spec.vector_type)):
        raise ConfigurationError(
            f"pgvector indexes up to {most:,} dimensions as {kind}, the vectors of {store.name} have "
            f"{dimensions:,}: {way_out}"
        )
    if kind == "halfvec" and store.spec.distance != "cosine":
        raise ConfigurationError(f"halfvec compares directions only, {store.name} has {store.spec.distance}: {way_out}")


def _is_as(index: IndexFacts, wanted: Wanted) -> bool:
    return (
        wanted.kind in (None, "none", index.method)
        and wanted.m in (None, index.m)
        and wanted.ef_construction in (None, index.ef_construction)
    )


def _method(name: str) -> str:
    return "gin" if name.endswith("_words_idx") else "btree"


# --- deferred while a store is loaded ------------------------------------------------------------------------------


def defer_index(found: Found, name: str, most: int, lock_seconds: float) -> Operation[bool]:
    """Drop the vector index of a store of `most` documents at most, and note it; return whether it is deferred.

    It may have been before. The caller runs this in one transaction, which has read nothing of the store: of two who
    do so at once, each would be in the other's way.
    """
    (store,) = found.chosen(name)
    index = found.index(indexes.embedding_index(found.table(name)))
    if index is None:
        return (yield from deferred_index(found, name)) is not None
    if not index.valid or store.rows is None or store.rows > most or store.estimated:
        return False
    assert index.m is not None
    assert index.ef_construction is not None
    hnsw = HNSW(index.m, index.ef_construction)
    yield Script(indexes.defer_index(found.table(name), index.method, hnsw, lock_seconds).as_bytes(None))
    yield from fetch(facts.moved_on(found.known.layout))
    return True


def deferred_index(found: Found, name: str) -> Operation[Job | None]:
    """Return the job to build the index of a store that was deferred, None where nobody has."""
    table = found.table(name)
    wanted = {"schema": table.layout.schema, "store": name, "column": table.vector_column}
    rows = yield from fetch(Query(indexes.NOTE, wanted))
    noted = indexes.noted(rows[0][0] if rows else None)
    if noted is None:
        return None
    kind, hnsw = noted
    index = indexes.embedding_index(table)
    return _job("create", found, found.chosen(name)[0], index, kind, hnsw, found.index(index))


def as_noted(found: Found, jobs: Sequence[Job]) -> Operation[list[Job]]:
    """Return jobs, with an index that was deferred as it was before."""
    noted: list[Job] = []
    for job in jobs:
        is_deferrable = job.name == indexes.embedding_index(found.table(job.store))
        before = (yield from deferred_index(found, job.store)) if is_deferrable else None
        noted.append(before or job)
    return noted


def note_built(found: Found, name: str) -> Operation[None]:
    yield Script(indexes.built(found.table(name)).as_bytes(None))


def analyze(found: Found, name: str, vacuum: bool) -> Operation[None]:
    """Have the planner learn what a store holds; a user who may not is told so by the server alone."""
    store = found.known.store(name)
    for table in (store.table, store.parts):
        yield Script(sql.SQL("VACUUM (ANALYZE) {}" if vacuum else "ANALYZE {}").format(table).as_bytes(None))


def removable(found: Found, name: str | None) -> list[IndexFacts]:
    """Return the index of a name, or without one all that are invalid; raises for what must not be dropped."""
    if name is None:
        return [each for each in found.indexes if not (each.valid or each.being_built or each.constraint)]
    index = found.index(name)
    if index is None:
        raise ConfigurationError(f"no store has an index {quoted(name)}: `memorizz index list` lists them")
    if index.constraint:
        raise ConfigurationError(f"{name} is more than an index: it keeps a rule of the table, and is not dropped")
    if index.being_built:
        raise ConfigurationError(f"{name} is being built: stop the program that builds it first")
    return [index]


def memory_and_process() -> Operation[tuple[int, int]]:
    """Return maintenance_work_mem in bytes, and the server's process of this session."""
    row = (yield from fetch(Query(indexes.MEMORY)))[0]
    return row[0], row[1]


def progress(pid: int) -> Operation[Progress | None]:
    rows = yield from fetch(Query(indexes.PROGRESS, {"pid": pid}))
    return Progress(*rows[0]) if rows else None
