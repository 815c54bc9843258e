"""Changing the embedding model of a schema while it is in use.

The vectors of the new model are made beside those that are searched, batch by batch; whatever is stored or changed
meanwhile is done again until nearly nothing waits. Then, while writers wait for a moment, the last few are made, it is
verified that none is missing, and the two models change places. Killed at any point, it goes on where it was: what is
still to be done, the rows themselves say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from memorizz.embeddings.base import AsyncEmbedder, Embedder, embed_awaiting, window
from memorizz.errors import ConfigurationError, ConnectionFailed, OperationTimeout
from memorizz.memory_provider._drive._async import drive
from memorizz.memory_provider.postgresql._steps import Embed, Operation, Step, T
from memorizz.memory_provider.postgresql.driver._async import when_free
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.maintenance import _changing, _models
from memorizz.memory_provider.postgresql.maintenance._apart_async import check_kind
from memorizz.memory_provider.postgresql.maintenance._changing import Behind, Change, Filled, Watch
from memorizz.memory_provider.postgresql.maintenance._indexing import Job
from memorizz.memory_provider.postgresql.maintenance._maintenance_async import AsyncMaintenance
from memorizz.memory_provider.postgresql.maintenance._models import Models
from memorizz.memory_provider.stores import CONVERSATIONS

_PAUSE = 0.25


class AsyncReembedding:
    """A change of the embedding model, one step after the other; each may be repeated, whatever became of it before.

    embedder: makes the vectors of the model that is on standby; None where none has to be made.
    batch: documents that are embedded at once.
    rate: documents a second at most; as fast as it goes by default.
    store: one of those whose model is changed, which is that of all stores that share it; by default of the seven.
    """

    def __init__(
        self,
        maintenance: AsyncMaintenance,
        embedder: Embedder | AsyncEmbedder | None = None,
        *,
        batch: int = 64,
        rate: float | None = None,
        store: str = CONVERSATIONS,
    ) -> None:
        if batch < 1 or (rate is not None and rate <= 0):
            raise ConfigurationError(f"batch={batch}, rate={rate}: expected numbers above 0")
        if embedder is not None:
            check_kind(embedder)
        self._maintenance = maintenance
        self._store = store
        self._embedder = embedder
        self._max_tokens = None if embedder is None else window(embedder)
        self._batch = batch
        self._last = min(batch, _changing.LAST)
        self._rate = rate

    async def change(self) -> Change:
        """Return how far the change is."""
        return await self._run(_changing.change(await self._models()))

    async def begin(self) -> None:
        """Add the columns of the embedder's model, where they are not there yet.

        Raises ConfigurationError where the vectors are of that model already, or another change is under way.
        """
        embedder = self._embedder
        if embedder is None:
            raise ConfigurationError("a change of the embedding model begins with an embedder of the new one")
        await self._with_short_locks(lambda now: _changing.begin(now, embedder))
        _changing.check_embedder(await self._models(), embedder)

    async def fill(self, watch: Watch | None = None) -> int:
        """Embed the documents that wait, and those that are changed meanwhile, until few are left; return how many."""
        now = await self._models()
        _changing.check_embedder(now, self._embedder)
        done, total = 0, 0 if watch is None else (await self.change()).waiting
        while True:
            before = done
            for store, standby in now.pairs:
                async for count in self._fill_store(store, standby):
                    done += count
                    if watch is not None:
                        watch(Filled(done, max(done, total), store.name))
            if done - before <= self._last:
                return done

    async def plan_indexes(self) -> list[Job]:
        """Return the indexes that the vectors on standby lack, for Maintenance.make."""
        return await self._maintenance.plan_standby()

    async def switch(self, *, drop_without_text: bool = False, watch: Watch | None = None) -> float:
        """Let the model on standby be searched, and put the other one there; return for how long writers waited.

        Raises ConfigurationError where documents would lose a vector that cannot be made again, unless
        `drop_without_text`; OperationTimeout where the stores are in use all the time.
        """

        def exchange(now: Models) -> Operation[float]:
            return _changing.exchange(now, self._embedder, self._last, drop_without_text)

        await self.fill(watch)
        _changing.check_texts(await self.change(), drop_without_text)
        while True:
            # Little time is to pass, and little to be stored, until writers wait.
            await self.fill(watch)
            try:
                since = await self._with_short_locks(exchange)
            except Behind:
                await asyncio.sleep(_PAUSE)
            else:
                return time.monotonic() - since

    async def back(self, *, drop_without_text: bool = False, watch: Watch | None = None) -> float:
        """Let the model before be searched again, as `switch` does; what was stored since is embedded with it first."""
        _changing.check_searched_before(await self._models(), True)
        return await self.switch(drop_without_text=drop_without_text, watch=watch)

    async def finish(self) -> None:
        """Drop the vectors of the model before: there is no way back to it."""
        _changing.check_searched_before(await self._models(), True)
        await self._drop()

    async def abandon(self) -> None:
        """Drop the vectors of a model that was never searched."""
        _changing.check_searched_before(await self._models(), False)
        await self._drop()

    async def _drop(self) -> None:
        """Drop the vectors on standby, and then, while the stores are in use again, the pieces that only they had."""
        await self._with_short_locks(_models.drop)
        await self._run(_models.forget_pieces(await self._models()))

    async def _fill_store(self, store: Store, standby: Store) -> AsyncIterator[int]:
        """Embed the documents of a store that wait, a batch at a time; yield how many each batch was."""
        after: _models.Waiting | None = None
        while True:
            started = time.monotonic()
            rows = await self._run(_models.waiting(store, standby, after, self._batch))
            if rows:
                await self._run(_changing.fill(store, standby, rows, self._max_tokens))
                after = rows[-1]
                yield len(rows)
            # What is stored from here on is for the next round.
            if len(rows) < self._batch:
                return
            if self._rate is not None:
                await asyncio.sleep(max(0.0, started + len(rows) / self._rate - time.monotonic()))

    async def _with_short_locks(self, work: Callable[[Models], Operation[T]]) -> T:
        """Run an operation in one transaction, as soon as nobody is in the way for a moment."""

        async def change() -> T:
            try:
                async with self._maintenance.transaction():
                    layout = (await self._models()).layout
                    await self._run(_models.lock_models(layout, _changing.LOCK_SECONDS))
                    # Only now nobody else can change them.
                    return await self._run(work(await self._models()))
            except (OperationTimeout, ConnectionFailed) as error:
                if self._maintenance.lost:
                    raise ConnectionFailed(f"{error}; run the same again, it goes on where it is") from error
                raise

        return await when_free(change)

    async def _models(self) -> Models:
        return _models.models(await self._maintenance.facts(), self._store)

    async def _run(self, operation: Operation[T]) -> T:
        return await drive(operation, self._perform)

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, Embed):
            if self._embedder is None:
                raise _changing.no_embedder()
            return await embed_awaiting(self._embedder, step.texts, step.kind)
        return await self._maintenance.perform(step)
