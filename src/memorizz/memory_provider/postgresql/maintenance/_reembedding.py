"""Changing the embedding model of a schema while it is in use.

The vectors of the new model are made beside those that are searched, batch by batch; whatever is stored or changed
meanwhile is done again until nearly nothing waits. Then, while writers wait for a moment, the last few are made, it is
verified that none is missing, and the two models change places. Killed at any point, it goes on where it was: what is
still to be done, the rows themselves say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from memorizz.embeddings.base import Embedder, check_blocking, embed_blocking
from memorizz.errors import ConfigurationError, ConnectionFailed, OperationTimeout, SchemaError
from memorizz.memory_provider.postgresql._steps import Operation, T
from memorizz.memory_provider.postgresql.driver._sync import when_free
from memorizz.memory_provider.postgresql.facts import Model, Store
from memorizz.memory_provider.postgresql.maintenance import _models
from memorizz.memory_provider.postgresql.maintenance._indexing import Job
from memorizz.memory_provider.postgresql.maintenance._maintenance import Maintenance
from memorizz.memory_provider.postgresql.maintenance._models import Count, Models, Waiting
from memorizz.memory_provider.postgresql.operations.embedding import embedded_text
from memorizz.memory_provider.postgresql.rows import Text, Vector
from memorizz.memory_provider.stores import CONVERSATIONS

# A lock is waited for less long than the server takes to look for a deadlock (1 s): whoever is in the way goes on, and
# it is tried again.
_LOCK_SECONDS = 0.5
_PAUSE = 0.25
# How long the server leaves the stores to this program while it makes the last few vectors.
_IDLE_SECONDS = 10.0
# How many documents are left to be embedded while writers wait, at most: each enters the new index, too.
_LAST = 64
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Change:
    """How far a change of the embedding model is.

    `standby` is the model to come, or the one before where `standby.current_since` is set; None where no change is
    under way. `without_text` are stores and ids of documents whose vector cannot be made again, up to ten of a store.
    """

    searched: Model
    standby: Model | None
    counts: Sequence[Count] = ()
    without_text: Sequence[tuple[str, str]] = ()

    @property
    def waiting(self) -> int:
        """How many documents are still to be embedded."""
        return sum(count.waiting for count in self.counts)


@dataclass(frozen=True, slots=True)
class Filled:
    """How many documents have been embedded, of how many that are known to be due."""

    done: int
    total: int
    store: str


Watch = Callable[[Filled], None]


class Reembedding:
    """A change of the embedding model, one step after the other; each may be repeated, whatever became of it before.

    embedder: makes the vectors of the model that is on standby; None where none has to be made.
    batch: documents that are embedded at once.
    rate: documents a second at most; as fast as it goes by default.
    store: one of those whose model is changed, which is that of all stores that share it; by default of the seven.
    """

    def __init__(
        self,
        maintenance: Maintenance,
        embedder: Embedder | None = None,
        *,
        batch: int = 64,
        rate: float | None = None,
        store: str = CONVERSATIONS,
    ) -> None:
        if batch < 1 or (rate is not None and rate <= 0):
            raise ConfigurationError(f"batch={batch}, rate={rate}: expected numbers above 0")
        if embedder is not None:
            check_blocking(embedder)
        self._maintenance = maintenance
        self._store = store
        self._embedder = embedder
        self._batch = batch
        self._last = min(batch, _LAST)
        self._rate = rate
        self._still_since = 0.0

    def change(self) -> Change:
        """Return how far the change is."""
        now = self._models()
        if now.standby is None:
            return Change(now.searched, None)
        counts = self._run(_models.counts(now))
        return Change(now.searched, now.standby, counts, self._run(_models.without_text(now, _LISTED)))

    def begin(self) -> None:
        """Add the columns of the embedder's model, where they are not there yet.

        Raises ConfigurationError where the vectors are of that model already, or another change is under way.
        """
        embedder = self._embedder
        if embedder is None:
            raise ConfigurationError("a change of the embedding model begins with an embedder of the new one")

        def add(now: Models) -> Operation[None]:
            if now.searched.name == embedder.name:
                raise ConfigurationError(
                    f"the vectors of schema {now.layout.schema!r} are of {embedder.name!r} already"
                )
            if now.standby is None:
                yield from _models.begin(now, embedder.name, embedder.dimensions)

        self._with_short_locks(add)
        self._checked(self._models())

    def fill(self, watch: Watch | None = None) -> int:
        """Embed the documents that wait, and those that are changed meanwhile, until few are left; return how many."""
        now = self._checked(self._models())
        done, total = 0, 0 if watch is None else self.change().waiting
        while True:
            before = done
            for store, standby in now.pairs:
                for count in self._fill_store(store, standby):
                    done += count
                    if watch is not None:
                        watch(Filled(done, max(done, total), store.name))
            if done - before <= self._last:
                return done

    def plan_indexes(self) -> list[Job]:
        """Return the indexes that the vectors on standby lack, for Maintenance.make."""
        return self._maintenance.plan_standby()

    def switch(self, *, drop_without_text: bool = False, watch: Watch | None = None) -> float:
        """Let the model on standby be searched, and put the other one there; return for how long writers waited.

        Raises ConfigurationError where documents would lose a vector that cannot be made again, unless
        `drop_without_text`; OperationTimeout where the stores are in use all the time.
        """
        self.fill(watch)
        self._check_texts(self.change(), drop_without_text)
        while True:
            # Little time is to pass, and little to be stored, until writers wait.
            self.fill(watch)
            try:
                self._with_short_locks(lambda now: self._exchanged(now, drop_without_text))
            except _Behind:
                time.sleep(_PAUSE)
            else:
                return time.monotonic() - self._still_since

    def back(self, *, drop_without_text: bool = False, watch: Watch | None = None) -> float:
        """Let the model before be searched again, as `switch` does; what was stored since is embedded with it first."""
        self._check_searched_before(True)
        return self.switch(drop_without_text=drop_without_text, watch=watch)

    def finish(self) -> None:
        """Drop the vectors of the model before: there is no way back to it."""
        self._check_searched_before(True)
        self._with_short_locks(_models.drop)

    def abandon(self) -> None:
        """Drop the vectors of a model that was never searched."""
        self._check_searched_before(False)
        self._with_short_locks(_models.drop)

    # --- one batch ------------------------------------------------------------------------------------------------

    def _fill_store(self, store: Store, standby: Store) -> Iterator[int]:
        """Embed the documents of a store that wait, a batch at a time; yield how many each batch was."""
        after: UUID | None = None
        while True:
            started = time.monotonic()
            rows = self._run(_models.waiting(store, standby, after, self._batch))
            if rows:
                self._fill(store, standby, rows)
                after = rows[-1].id
                yield len(rows)
            # What is stored from here on is for the next round.
            if len(rows) < self._batch:
                return
            if self._rate is not None:
                time.sleep(max(0.0, started + len(rows) / self._rate - time.monotonic()))

    def _fill(self, store: Store, standby: Store, rows: Sequence[Waiting]) -> None:
        self._run(_models.fill(standby, list(zip(rows, self._vectors(store, standby, rows), strict=True))))

    def _vectors(self, store: Store, standby: Store, rows: Sequence[Waiting]) -> list[Vector | None]:
        """Return the vectors of documents, None for one without a text, and for one that has lost its vector."""
        texts = [_text(store, row) for row in rows]
        wanted = [text for text in texts if text is not None]
        if not wanted:
            return [None] * len(rows)
        if self._embedder is None:
            raise ConfigurationError(
                "documents were stored or changed since the models changed places: say the model that is on standby, "
                "so that they can be embedded with it"
            )
        made = iter(embed_blocking(self._embedder, wanted, "document"))
        return [None if text is None else standby.vector_of(next(made)) for text in texts]

    # --- one moment -----------------------------------------------------------------------------------------------

    def _with_short_locks(self, work: Callable[[Models], Operation[None]]) -> None:
        """Run an operation in one transaction, as soon as nobody is in the way for a moment."""

        def change() -> None:
            try:
                with self._maintenance.transaction():
                    self._run(_models.lock_models(self._models().layout, _LOCK_SECONDS))
                    # Only now nobody else can change them.
                    self._run(work(self._models()))
            except (OperationTimeout, ConnectionFailed) as error:
                if self._maintenance.lost:
                    raise ConnectionFailed(f"{error}; run the same again, it goes on where it is") from error
                raise

        when_free(change)

    def _exchanged(self, now: Models, drop_without_text: bool) -> Operation[None]:
        """Make the last few vectors, verify that none is missing, and let the models change places."""
        self._checked(now)
        yield from _models.block_writers(now, _IDLE_SECONDS)
        self._still_since = time.monotonic()
        counts = yield from _models.counts(now)
        waiting = sum(count.waiting for count in counts)
        if waiting > self._last:
            raise _Behind
        if waiting:
            for store, standby in now.pairs:
                rows = yield from _models.waiting(store, standby, None, self._last)
                yield from _models.fill(standby, list(zip(rows, self._vectors(store, standby, rows), strict=True)))
            counts = yield from _models.counts(now)
        if any(count.waiting for count in counts):
            # Somebody holds a row with SELECT ... FOR UPDATE.
            raise _Behind
        self._check_texts(Change(now.searched, now.standby, counts), drop_without_text)
        wrong = [each.store for each in counts if each.vectors != each.both + each.without_text]
        if wrong:
            raise SchemaError(
                f"vectors are missing in {', '.join(wrong)}, and nothing was changed: report this, please"
            )
        yield from _models.exchange(now)

    # --- checks ---------------------------------------------------------------------------------------------------

    def _run(self, operation: Operation[T]) -> T:
        return self._maintenance.run(operation)

    def _models(self) -> Models:
        return _models.models(self._maintenance.facts(), self._store)

    def _checked(self, now: Models) -> Models:
        """Return the models after checking that the embedder is of the one that is on standby."""
        standby, embedder = now.standby, self._embedder
        if standby is None:
            raise ConfigurationError(f"no change of the embedding model of schema {now.layout.schema!r} is under way")
        if embedder is None:
            return now
        if standby.name not in (None, embedder.name):
            raise ConfigurationError(
                f"a change from {now.searched.name!r} to {standby.name!r} is under way, the embedder is "
                f"{embedder.name!r}: go on with {standby.name!r}, or end that change first (--abandon, --finish)"
            )
        if embedder.dimensions != standby.dimensions:
            raise ConfigurationError(
                f"vector dimension mismatch: the vectors of {embedder.name!r} have {standby.dimensions} dimensions "
                f"here, the embedder makes {embedder.dimensions}"
            )
        return now

    def _check_searched_before(self, before: bool) -> None:
        now = self._models()
        if now.standby is None:
            raise ConfigurationError(f"no change of the embedding model of schema {now.layout.schema!r} is under way")
        if before and now.standby.current_since is None:
            raise ConfigurationError(
                f"{now.standby.name!r} is not searched yet, so there is no way back and nothing to finish: go on with "
                "--model, or give it up with --abandon"
            )
        if not before and now.standby.current_since is not None:
            raise ConfigurationError(
                f"{now.searched.name!r} is searched already: --back goes back to {now.standby.name!r}, "
                "--finish drops it"
            )

    def _check_texts(self, change: Change, drop_without_text: bool) -> None:
        lost = sum(count.without_text for count in change.counts)
        if lost and not drop_without_text:
            listed = ", ".join(f"{store} {id}" for store, id in change.without_text)
            raise ConfigurationError(
                f"{lost} documents have a vector and no text that another could be made of{listed and f' ({listed})'}: "
                "store vectors of the new model with them, or let them lose theirs with --drop-without-text"
            )


class _Behind(Exception):
    """More has been stored meanwhile than can be done while writers wait."""


def _text(store: Store, row: Waiting) -> str | None:
    """Return what is to be embedded of a document."""
    if not row.embedded or not store.spec.embedded:
        return None
    return embedded_text(store.spec.label, Text(row.label or "", row.content or ""))
