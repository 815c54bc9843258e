"""The driver of the async API: opens a client and performs steps on it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient, timeout
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_preferences import Nearest

from memorizz.errors import one_line
from memorizz.memory_provider.mongodb._errors import (
    DriverError,
    Refused,
    connecting,
    is_race,
    is_unanswered,
    may_be_committed,
    translated,
    translating,
)
from memorizz.memory_provider.mongodb._steps import Command, Read, Record, Step, Write
from memorizz.memory_provider.mongodb.config import MongoDBConfig
from memorizz.memory_provider.mongodb.driver._shared import (
    CODEC,
    TAKEN,
    changed,
    client_options,
    is_one_upsert,
    log,
    logger,
    sent,
)

AsyncSession = AsyncClientSession


class AsyncConnection:
    """A client, and the one database of it that is used."""

    def __init__(self, config: MongoDBConfig) -> None:
        self._where = config.where
        self._connect_timeout = config.connect_timeout
        with connecting(self._where):
            self._client: AsyncMongoClient[Record] = AsyncMongoClient(config.uri, **client_options(config))
            self._database = self._client.get_database(config.db_name, codec_options=CODEC)

    async def close(self) -> None:
        await self._client.close()

    async def perform(self, step: Step, session: AsyncSession | None = None) -> Any:
        """Perform a step, inside a session's transaction where one is given; raises errors of this library."""
        started = time.perf_counter()
        with translating(self._where):
            await self._find_server()
        try:
            try:
                result = await self._perform(step, session)
            except DriverError as error:
                if session is not None or not is_one_upsert(step) or not is_race(error):
                    raise
                result = await self._perform(step, session)
        except DriverError as error:
            # What a transaction has done is kept by its commit only.
            unknown = session is None and is_unanswered(error)
            writes = step.writes if unknown else None
            raise translated(error, self._where, writes, in_transaction=session is not None) from error
        log(step, started, result)
        return result

    async def version(self, seconds: float) -> str:
        """Return the server's version, within so many seconds."""
        with translating(self._where), timeout(seconds):
            return (await self._client.admin.command("buildInfo"))["version"]

    async def _find_server(self) -> None:
        """Wait for a server where none is known: the driver would do so for as long as an operation may take."""
        if not self._client.topology_description.has_readable_server(Nearest()):
            with timeout(self._connect_timeout):
                await self._client.admin.command("ping")

    async def _perform(self, step: Step, session: AsyncSession | None) -> Any:
        if isinstance(step, Command):
            database = self._client.admin if step.admin else self._database
            try:
                return await database.command(dict(step.command), session=session)
            except Refused as error:
                if not step.optional:
                    raise
                logger.info("the server has refused %s: %s", next(iter(step.command)), one_line(str(error)))
                return None
        collection = self._database[step.collection]
        if isinstance(step, Read):
            async with await collection.aggregate(list(step.pipeline), session=session) as cursor:
                return await cursor.to_list()
        if isinstance(step, Write):
            return changed(await collection.bulk_write(sent(step.changes), session=session))
        return await collection.find_one_and_delete(
            step.filter, projection=TAKEN, sort=list(step.order.items()) or None, session=session
        )

    @asynccontextmanager
    async def transaction(self, writes: Sequence[str]) -> AsyncGenerator[AsyncSession]:
        """Open a transaction; kept at the end of the block, rolled back where that fails.

        `writes` are the ids that the block has written by its end.
        """
        of_caller: BaseException | None = None
        try:
            async with self._client.start_session() as session, await session.start_transaction():
                try:
                    yield session
                except BaseException as error:
                    of_caller = error
                    raise
        except DriverError as error:
            if error is of_caller:
                raise
            raise translated(error, self._where, writes if may_be_committed(error) else None) from error
