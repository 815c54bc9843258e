"""How the indexes of the stores are made and taken away: at once, or partition by partition and then joined."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from memorizz.errors import SchemaError
from memorizz.memory_provider.postgresql import facts, indexes
from memorizz.memory_provider.postgresql._errors import taken_name
from memorizz.memory_provider.postgresql._steps import Operation, Script, fetch
from memorizz.memory_provider.postgresql.indexes import HNSW, How
from memorizz.memory_provider.postgresql.maintenance._indexing import BuiltElsewhere, Found, Job, Watch
from memorizz.memory_provider.postgresql.maintenance._measuring import IndexFacts, all_indexes
from memorizz.memory_provider.stores import IndexKind


def steps(found: Found, job: Job) -> Sequence[int | None]:
    """Return what `make` is called with, one after another: each partition, or None for the whole."""
    partitions = found.table(job.store).spec.partitions
    return [None] if partitions is None or job.action == "reindex" else range(partitions)


def watched(found: Found, job: Job, partition: int | None, watch: Watch) -> Watch:
    """Return what tells `watch` of one partition's build as of a part of the whole."""
    partitions = found.table(job.store).spec.partitions
    if partition is None or partitions is None:
        return watch
    return lambda job, progress: watch(job, progress.of_partition(partition, partitions))


def make(found: Found, job: Job, partition: int | None) -> Operation[None]:
    """Do a job, or what it has to do in one partition; what is to be put in its place stands beside until then."""
    table = found.table(job.store, job.standby)
    if job.action == "reindex":
        yield Script(indexes.reindex(table, job.name).as_bytes(None))
        yield from fetch(facts.moved_on(found.known.layout))
        return
    base = made_as(job)
    name = base if partition is None else indexes.of_partition(base, partition)
    index = next((each for each in (yield from all_indexes(found.known)) if each.name == name), None)
    if index is not None and index.valid and index.method == job.kind and _is_built_as(index, job.hnsw):
        # A replacement that an earlier run has finished.
        return
    if index is not None and index.being_built and not index.valid:
        raise BuiltElsewhere(job.name)
    if index is not None:
        yield Script(indexes.drop(table, name).as_bytes(None))
    try:
        yield Script(_statement(found, job, base, How(concurrently=True, partition=partition)).as_bytes(None))
    except SchemaError as error:
        # Begun by somebody else since.
        if taken_name(error) is None:
            raise
        raise BuiltElsewhere(job.name) from error
    if partition is None:
        yield from fetch(facts.moved_on(found.known.layout))


def made_as(job: Job) -> str:
    """Return the name that an index has while it is made."""
    return job.name if job.action == "create" else indexes.replacement(job.name)


def is_put_in_place(found: Found, job: Job) -> bool:
    """Return True for a job at whose end `swap_index` has to be done."""
    return job.action == "replace" or steps(found, job) != [None]


def _is_built_as(index: IndexFacts, hnsw: HNSW | None) -> bool:
    return hnsw is None or (index.m, index.ef_construction) == (hnsw.m, hnsw.ef_construction)


def _statement(found: Found, job: Job, name: str, how: How) -> sql.Composed:
    table = found.table(job.store, job.standby)
    if job.hnsw is not None:
        kind: IndexKind = "halfvec" if job.kind == "halfvec" else "hnsw"
        return indexes.create_embedding(table, kind, job.hnsw, name, how)
    if job.name == indexes.keys_index(table):
        return indexes.create_keys(table, how)
    return indexes.named(table, how)[name]


def swap_index(found: Found, job: Job, lock_seconds: float) -> Operation[None]:
    """Put a replacement in the place of the index that it replaces; the caller runs this in one transaction."""
    table = found.table(job.store, job.standby)
    if table.spec.partitions is None:
        swap = indexes.swap_index(table, job.name, lock_seconds)
    else:
        whole = _statement(found, job, job.name, How(only=True))
        swap = indexes.join(table, whole, job.name, made_as(job), lock_seconds)
    yield Script(swap.as_bytes(None))
    yield from fetch(facts.moved_on(found.known.layout))


def clean(found: Found, job: Job) -> Operation[None]:
    """Remove what a job that was given up has left: what is invalid, and a replacement."""
    for index in (yield from all_indexes(found.known)):
        if indexes.is_own(index.name, job.name) and index.left_over and not index.constraint:
            yield Script(indexes.drop(found.table(index.store), index.name).as_bytes(None))


def size(found: Found, job: Job) -> Operation[int]:
    """Return how large the index of a job is, in bytes."""
    now = yield from all_indexes(found.known)
    return sum(index.bytes for index in now if index.name == job.name)


def remove(found: Found, index: IndexFacts) -> Operation[None]:
    drop = indexes.drop(found.table(index.store), index.name, concurrently=not index.partitioned)
    yield Script(drop.as_bytes(None))
    yield from fetch(facts.moved_on(found.known.layout))
