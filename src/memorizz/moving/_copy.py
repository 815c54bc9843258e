"""All memories, or some stores of them, from one provider to another: every document as it was, under its own id."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from memorizz.errors import ConfigurationError, FilterError, InvalidDocument
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.base import Document, MemoryProvider, StoreName
from memorizz.memory_provider.stores import StoreSpec, check_same
from memorizz.moving._compare import Comparison
from memorizz.moving._journal import Journal, Stage
from memorizz.moving._reading import Batch, read
from memorizz.moving._report import Contents, Existing, Phase, Problems, Progress, Report, StoreReport, check_existing
from memorizz.moving._streams import ProviderSource, Source, check_provider, choose, make_stores


@dataclass(slots=True)
class _Job:
    """A copy that is under way."""

    source: Source
    target: MemoryProvider
    existing: Existing
    batch_size: int
    listed: int
    progress: Callable[[Progress], None]
    confirm: Callable[[Mapping[str, int]], object]

    def at(self, phase: Phase, store: str, done: float, total: float) -> None:
        self.progress(Progress(phase, store, done, total))


def copy(
    source: Source | MemoryProvider,
    target: MemoryProvider,
    stores: Iterable[StoreName] | None = None,
    *,
    batch_size: int = 500,
    existing: Existing = "refuse",
    dry_run: bool = False,
    journal: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    listed: int = 20,
    confirm: Callable[[Mapping[str, int]], object] | None = None,
) -> Report:
    """Copy memories into another provider, compare both sides, and report.

    Every document keeps its id, its times, its vector to the last bit, and its place among the others. What the target
    cannot hold is not copied and listed in the report, whose `ok` says whether all of it arrived. A copy that was
    interrupted, however, goes on where it was when it is started again, without loss or doubles.

    source: a provider, or a `Dump`.
    stores: some of those of the source; by default all of them. One of the caller's own that the target lacks is made.
    batch_size: documents that are written at once, all or nothing.
    existing: where a store of the target has documents already, "refuse" raises ConfigurationError before anything is
        written, "merge" keeps them and merges those of the same id as `store` does, "replace" deletes them once the
        first documents of the source are read.
    dry_run: write nothing; report what is stored, and what would not fit.
    journal: the file that says how far the copy has come; by default one in the platform's folder for the state of
        programs. Removed when the copy is finished.
    progress: is called after each batch.
    listed: how many problems and differences of each store the report names; all are counted.
    confirm: is called before "replace" deletes anything, with the number of documents by store; raise to stop there.

    Raises ConfigurationError where source and target are the same, by whatever address they are reached, or hold
    vectors of two models, and whatever the providers raise where a server cannot be reached or has no room left; what
    was copied until then stays.
    """
    _check(source, target, existing, batch_size, listed)
    origin = ProviderSource(source, batch_size) if isinstance(source, MemoryProvider) else source
    job = _Job(origin, target, existing, batch_size, listed, progress or (lambda _: None), confirm or (lambda _: None))
    _check_pair(origin, target, existing)
    specs = {spec.name: spec for spec in origin.stores()}
    chosen = [specs[name] for name in choose(stores, specs, origin.location)]
    started = time.monotonic()
    if dry_run:
        report = Report(origin.location, target.location, existing, True, False, _dry_run(job, chosen))
    else:
        report = _copy(job, chosen, Journal.of(origin.location, target.location, existing, journal))
    report.left_out = list(origin.left_out())
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _check(source: object, target: object, existing: Existing, batch_size: int, listed: int) -> None:
    check_provider(target, "target")
    if not hasattr(source, "documents"):
        check_provider(source, "source")
    check_existing(existing)
    if batch_size < 1 or listed < 0:
        raise ConfigurationError(f"batch_size={batch_size}, listed={listed}: expected at least 1, and at least 0")


def _check_pair(source: Source, target: MemoryProvider, existing: Existing) -> None:
    identities = target.identity, source.identity
    if source.location == target.location:
        raise ConfigurationError(f"source and target are the same: {source.location}")
    if identities[0] is not None and identities[0] == identities[1]:
        raise ConfigurationError(
            f"source and target are the same memories by two addresses: {source.location}; {target.location}. If one "
            "of them is a restored backup of the other, give it an identity of its own first (docs/how-to/move.md)"
        )
    if identities == (None, None) and existing == "replace":
        raise ConfigurationError(
            "neither source nor target has an identity, so they may be the same memories, and what is deleted in one "
            "would be gone in both: open the target with create_indexes=True, which gives it one"
        )
    if isinstance(source, ProviderSource) and _share(source.provider, target):
        raise ConfigurationError(
            f"source and target have documents in common: {source.location}; {target.location}. Copy between views of "
            "two tenants or memories, or to another schema"
        )
    models = source.embedding_model, target.embedding_model
    if None not in models and models[0] != models[1]:
        raise ConfigurationError(
            f"the vectors of the source were made by {models[0]!r}, those of the target by {models[1]!r}, and vectors "
            "of two models cannot be compared: copy into a schema of its own, and embed again there"
        )


def _share(source: MemoryProvider, target: MemoryProvider) -> bool:
    """Return True if two views of one schema have documents in common, which a copy would delete or double."""
    wholes = {
        provider.identity and provider.identity.removesuffix(f", {provider.scope}") for provider in (source, target)
    }
    return None not in wholes and len(wholes) == 1 and source.scope.overlaps(target.scope)


def _copy(job: _Job, specs: Sequence[StoreSpec], journal: Journal) -> Report:
    stores = [spec.name for spec in specs]
    begun = {store for store in journal.stages if store in stores}
    if job.existing == "refuse":
        held = _held(job.target, [store for store in stores if store not in begun])
        if held:
            found = ", ".join(f"{count} in {store}" for store, count in held.items())
            raise ConfigurationError(
                f"the target holds documents already ({found}): say existing='merge' to keep them, or 'replace' to "
                f"delete them first (--merge, --replace); {job.target.location}"
            )
    # What cannot be read to its end says so before anything is written.
    totals = {store: job.source.count(store) for store in stores}
    expiring = {store: job.source.expiring(store) for store in stores}
    if job.existing == "replace":
        _before_deleting(job, [store for store in stores if store not in begun])
    make_stores(job.target, specs)
    model = job.source.embedding_model
    if model is not None and not _held(job.target):
        # So that no embedder of another model is taken there.
        job.target.note_embedding_model(model)
    for store in stores:
        stage = journal.stages.get(store)
        if stage is None:
            if job.existing == "replace":
                job.target.delete_all(store)
            stage = journal.stages[store] = Stage()
            journal.write()
        if not stage.done:
            _move(job, store, stage, journal, totals[store], resumed=store in begun)
    reports = [_verified(job, store, journal.stages[store], totals[store], expiring[store]) for store in stores]
    journal.remove()
    return Report(job.source.location, job.target.location, job.existing, False, journal.resumed, reports)


def _held(target: MemoryProvider, stores: Sequence[str] | None = None) -> dict[str, int]:
    """Return how many documents there are in those of the stores, or of all, that the target has and that hold any."""
    counts = {spec.name: target.count(spec.name) for spec in target.stores() if stores is None or spec.name in stores}
    return {store: count for store, count in counts.items() if count}


def _before_deleting(job: _Job, stores: Sequence[str]) -> None:
    """Have the deletion of what stores hold confirmed, once it is seen that the source can be read."""
    held = _held(job.target, stores)
    if held:
        for store in stores:
            with closing(read(job.source, store, job.batch_size)) as batches:
                next(batches, None)
        job.confirm(held)


def _move(job: _Job, store: str, stage: Stage, journal: Journal, total: int, resumed: bool) -> None:
    """Copy what is left of one store; the journal knows of each batch as soon as the target has it."""
    with job.target.loading(store, lambda share: job.at("indexing", store, share, 1)):
        try:
            _copy_batches(job, store, stage, journal, total, compare=resumed)
        except _PlaceLost:
            journal.stages[store] = stage = Stage()
            _copy_batches(job, store, stage, journal, total, compare=True)
    stage.done = True
    journal.write()


class _PlaceLost(Exception):
    """The document after which a copy was to go on is no longer there."""


def _copy_batches(job: _Job, store: str, stage: Stage, journal: Journal, total: int, *, compare: bool) -> None:
    """Copy what is behind `stage.after`, looking first at what the target has where that is asked for.

    The last batch before an interruption may be in the target without the journal's knowing, and what is stored again
    is merged: its updated_at would move.
    """
    problems = Problems(job.listed, stage.not_copied, stage.problems)
    omissions = Problems(job.listed, stage.incomplete, stage.omissions)
    everything = compare and stage.after is None
    with closing(read(job.source, store, job.batch_size, stage.after)) as batches:
        for batch in _reading_from_place(batches):
            problems.extend(batch.refused)
            omissions.extend(batch.omissions)
            if batch.documents:
                _write(job, store, stage, batch.documents, problems, compare or job.existing == "merge")
                stage.after = batch.documents[-1]["id"]
                compare = everything
            stage.expired += batch.expired
            stage.not_copied, stage.problems = problems.count, problems.listed
            stage.incomplete, stage.omissions = omissions.count, omissions.listed
            journal.write()
            job.at("copying", store, stage.copied + stage.present + stage.not_copied, total)


def _reading_from_place(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Pass batches on; the place to go on from is looked for when the first one is read."""
    try:
        yield from batches
    except FilterError as error:
        raise _PlaceLost from error


def _write(job: _Job, store: str, stage: Stage, batch: Sequence[Document], problems: Problems, compare: bool) -> None:
    """Store a batch, without what is there already and what the target cannot hold."""
    if compare:
        equal = Comparison(job.target, store, job.existing == "merge").equal(batch)
        stage.present += len(equal)
        batch = [document for document in batch if document["id"] not in equal]
    if job.existing == "merge":
        # What has no vector here keeps the one that it has there.
        batch = [_without_none(document) for document in batch]
    try:
        stage.copied += len(job.target.store_many(batch, store))
    except InvalidDocument:
        batch = [document for document in batch if _fits(job.target, store, document, problems)]
        stage.copied += len(job.target.store_many(batch, store))


def _without_none(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != EMBEDDING or value is not None}


def _fits(target: MemoryProvider, store: str, document: Document, problems: Problems) -> bool:
    """Return True if the target can hold a document; note the reason if it cannot."""
    try:
        target.check(document, store)
    except InvalidDocument as error:
        problems.add(document["id"], str(error))
        return False
    return True


# --- before and after ---------------------------------------------------------------------------------------------


def _dry_run(job: _Job, specs: Sequence[StoreSpec]) -> list[StoreReport]:
    """Read stores and report what is in them, and what the target could not hold."""
    there = {spec.name: spec for spec in job.target.stores()}
    for spec in specs:
        check_same(there.get(spec.name, spec), spec)
    return [_dry_run_of_store(job, spec.name, spec.name in there) for spec in specs]


def _dry_run_of_store(job: _Job, store: str, is_there: bool) -> StoreReport:
    total, contents = job.source.count(store), Contents()
    problems, omissions, done, expired = Problems(job.listed), Problems(job.listed), 0, 0
    with closing(read(job.source, store, job.batch_size)) as batches:
        for batch in batches:
            problems.extend(batch.refused)
            omissions.extend(batch.omissions)
            for document in batch.documents:
                contents.add(document)
                if is_there:
                    _fits(job.target, store, document, problems)
            done += len(batch.documents)
            expired += batch.expired
            job.at("reading", store, done, total)
    return StoreReport(
        store,
        in_source=total,
        in_target=job.target.count(store) if is_there else 0,
        expired=expired,
        not_copied=problems.count,
        problems=problems.listed,
        incomplete=omissions.count,
        omissions=omissions.listed,
        keys={key: dict(kinds) for key, kinds in sorted(contents.keys.items())},
        dimensions=dict(sorted(contents.dimensions.items())),
    )


def _verified(job: _Job, store: str, stage: Stage, total: int, expiring: int) -> StoreReport:
    """Read one store on both sides, and report how they compare and whether the sums are right."""
    comparison = Comparison(job.target, store, job.existing == "merge", job.listed)
    done = 0
    with closing(read(job.source, store, job.batch_size)) as batches:
        for batch in batches:
            comparison.compare(batch.documents)
            done += len(batch.documents)
            job.at("verifying", store, done, total)
    handled = stage.copied + stage.present + stage.expired + stage.not_copied
    unread = max(total - handled, 0)
    expired_since = min(unread, expiring)
    return replace(
        comparison.report(),
        in_source=handled + unread,
        copied=stage.copied,
        present=stage.present,
        expired=stage.expired + expired_since,
        not_copied=stage.not_copied,
        problems=stage.problems,
        missing=unread - expired_since,
        incomplete=stage.incomplete,
        omissions=stage.omissions,
    )
