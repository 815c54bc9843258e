"""The replicas of a provider of the async API: which of them serves a read, and when one is left out."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from memorizz.errors import MemorizzError, one_line
from memorizz.memory_provider._drive._async import drive
from memorizz.memory_provider.postgresql._errors import DriverError, NoneFree, Unreadable, translated
from memorizz.memory_provider.postgresql._steps import Embed, Operation, Statement, Step, T
from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.driver._async import AsyncConnection, AsyncPool, perform
from memorizz.memory_provider.postgresql.driver._shared import hang_up, is_alive, logger, unfit
from memorizz.memory_provider.postgresql.facts import Facts
from memorizz.memory_provider.postgresql.reload import may_be_stale
from memorizz.memory_provider.postgresql.sql.replay import POSITION, Replayed, replayed
from memorizz.memory_provider.scopes import wal_position

# For so long a connection is taken to be to a replica that is fit, as it was when it was asked, and so long it may take
# to say so.
FIT_SECONDS = 1.0
# For so long one that is not is left out, until one read tries it again.
LEFT_OUT_SECONDS = 5.0
# A read waits so long for a connection to a replica, and then goes elsewhere.
_WAIT_SECONDS = 0.05
# Those that are so much further than the nearest are as near.
_AS_NEAR_SECONDS = 0.01


class _Elsewhere(Exception):
    """A step is to be done on another server; never leaves this module."""


class AsyncReplica:
    """One replica: connections to it, how far it is, and until when it is left out."""

    def __init__(self, config: PostgreSQLConfig, max_lag: float | None) -> None:
        self.pool = AsyncPool(config, None)
        self._where = config.where
        self._max_lag = max_lag
        self._left_out_until = 0.0
        # Until it has shown that it is fit.
        self._is_out = True
        # In seconds, smoothed.
        self.round_trip = 0.0

    @property
    def is_left_out(self) -> bool:
        return time.monotonic() < self._left_out_until

    def admits(self) -> bool:
        """Return True where a read may go here; of those that could try one that was left out, one does."""
        if self.is_left_out:
            return False
        if self._is_out:
            self._left_out_until = time.monotonic() + LEFT_OUT_SECONDS
        return True

    def leave_out(self, reason: str) -> None:
        """Let no read go here for a while."""
        was_out, self._is_out = self._is_out, True
        self._left_out_until = time.monotonic() + LEFT_OUT_SECONDS
        level = logger.debug if was_out else logger.warning
        level("the replica is left out for %.0f s: %s (%s)", LEFT_OUT_SECONDS, reason, self._where)

    async def perform(self, step: Statement, facts: Facts, position: int) -> Any:
        """Perform a step here; raises _Elsewhere where another server has to."""
        try:
            while True:
                connection = await self.pool.getconn(_WAIT_SECONDS)
                try:
                    if is_alive(connection):
                        await self._check(connection, facts, position)
                        return await perform(connection, step)
                    hang_up(connection)
                finally:
                    await self.pool.putconn(connection)
        except NoneFree as error:
            # One whose connections are all in use is fit, also while it is being connected to once more.
            if self.pool.attempts.unanswered > FIT_SECONDS:
                self.leave_out("it cannot be reached")
            raise _Elsewhere from error
        except Unreadable as error:
            # Of the statement's values, and the same on every server.
            raise translated(error, self._where) from error
        except DriverError as error:
            self.leave_out(one_line(str(error)))
            raise _Elsewhere from error

    async def _check(self, connection: AsyncConnection, facts: Facts, position: int) -> None:
        """Raise _Elsewhere unless this is a replica of the primary that has replayed enough."""
        if connection.fit_until > time.monotonic() and connection.replayed >= position:
            return
        started, patience = time.monotonic(), connection.operation_timeout
        connection.operation_timeout = FIT_SECONDS
        try:
            [row] = await perform(connection, replayed(facts.layout))
        finally:
            connection.operation_timeout = patience
        found, now = Replayed(*row), time.monotonic()
        reason = unfit(found, facts, self._max_lag)
        if reason is not None:
            self.leave_out(reason)
            raise _Elsewhere
        self.round_trip = now - started if self._is_out else 0.8 * self.round_trip + 0.2 * (now - started)
        connection.fit_until, connection.replayed = now + FIT_SECONDS, wal_position(found.position)
        if self._is_out:
            logger.info("reads go to the replica (%s)", self._where)
            self._left_out_until, self._is_out = 0.0, False
        if connection.replayed < position:
            raise _Elsewhere


class AsyncReplicas:
    """The replicas of a provider, and the position behind what it has written itself."""

    def __init__(self, config: PostgreSQLConfig) -> None:
        self._replicas = [AsyncReplica(each, config.replica_lag) for each in config.of_replicas]
        # Another object after each write, and of which the position is known. Threads assign them whole.
        self._written: object = None
        self._known: tuple[object, int] = None, 0

    def note_write(self) -> None:
        """Note that the provider may have written something just now."""
        if self._replicas:
            self._written = object()

    @property
    def pools(self) -> list[AsyncPool]:
        return [each.pool for each in self._replicas]

    async def run(
        self,
        begin: Callable[[], Operation[T]],
        facts: Facts,
        after: int | None,
        primary: Callable[[Step], Awaitable[Any]],
    ) -> T:
        """Run an operation: one that only reads on a replica that is fit and has replayed the log up to `after`.

        `after` is None for one that may write. `primary` performs what is of the primary.
        """
        if after is None:
            try:
                return await drive(begin(), primary)
            finally:
                self.note_write()
        if all(each.is_left_out for each in self._replicas):
            return await drive(begin(), primary)
        reading = AsyncReading(self._by_distance(), facts, max(after, await self._own(primary)), primary)
        try:
            return await drive(begin(), reading.perform)
        except MemorizzError as error:
            if reading.replica is None or not may_be_stale(error):
                raise
            # Of the two, the primary has the facts of today.
            reading.replica.leave_out("it knows of other stores or indexes than were expected")
        return await drive(begin(), primary)

    def _by_distance(self) -> list[AsyncReplica]:
        """Return the replicas, the nearest first; those that are about as near in any order."""
        nearest = min(each.round_trip for each in self._replicas) + _AS_NEAR_SECONDS
        return sorted(self._replicas, key=lambda each: (max(each.round_trip, nearest), random.random()))  # noqa: S311

    async def _own(self, primary: Callable[[Step], Awaitable[Any]]) -> int:
        """Return a position behind all that this provider has written."""
        written = self._written
        if self._known[0] is not written:
            [(position,)] = await primary(POSITION)
            self._known = written, wal_position(position)
        return self._known[1]


class AsyncReading:
    """One operation that reads: each of its steps goes to the first server that does it, and the next ones stay there.

    `replica` is the one that did the last step, None where that was the primary.
    """

    def __init__(
        self,
        replicas: list[AsyncReplica],
        facts: Facts,
        position: int,
        primary: Callable[[Step], Awaitable[Any]],
    ) -> None:
        self._left = replicas
        self._facts = facts
        self._position = position
        self._primary = primary
        self.replica: AsyncReplica | None = None

    async def perform(self, step: Step) -> Any:
        if isinstance(step, Embed):
            return await self._primary(step)
        while self._left:
            replica = self._left[0]
            if replica is self.replica or replica.admits():
                try:
                    result = await replica.perform(step, self._facts, self._position)
                except _Elsewhere:
                    pass
                else:
                    self.replica = replica
                    return result
            self._left.pop(0)
        self.replica = None
        return await self._primary(step)
