"""The driver of the blocking face: opens a client and performs steps on it."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient, timeout
from pymongo.client_session import ClientSession
from pymongo.read_preferences import Nearest

from memorizz.memory_provider.mongodb._driver_shared import (
    CODEC,
    TAKEN,
    changed,
    client_options,
    is_one_upsert,
    log,
    logger,
    sent,
)
from memorizz.memory_provider.mongodb._errors import DriverError, Refused, connecting, is_race, translated, translating
from memorizz.memory_provider.mongodb._steps import Command, Read, Record, Step, Write
from memorizz.memory_provider.mongodb.config import MongoDBConfig

Session = ClientSession


class Connection:
    """A client, and the one database of it that is used."""

    def __init__(self, config: MongoDBConfig) -> None:
        self._where = config.where
        self._connect_timeout = config.connect_timeout
        with connecting(self._where):
            self._client: MongoClient[Record] = MongoClient(config.uri, **client_options(config))
            self._database = self._client.get_database(config.db_name, codec_options=CODEC)

    def close(self) -> None:
        self._client.close()

    def perform(self, step: Step, session: Session | None = None) -> Any:
        """Perform a step, inside a session's transaction where one is given; raises errors of this library."""
        started = time.perf_counter()
        with translating(self._where):
            self._find_server()
            try:
                brought = self._perform(step, session)
            except DriverError as error:
                if session is not None or not is_one_upsert(step) or not is_race(error):
                    raise
                brought = self._perform(step, session)
        log(step, started, brought)
        return brought

    def _find_server(self) -> None:
        """Wait for a server where none is known: the driver would do so for as long as an operation may take."""
        if not self._client.topology_description.has_readable_server(Nearest()):
            with timeout(self._connect_timeout):
                self._client.admin.command("ping")

    def _perform(self, step: Step, session: Session | None) -> Any:
        if isinstance(step, Command):
            database = self._client.admin if step.admin else self._database
            try:
                return database.command(dict(step.command), session=session)
            except Refused as error:
                if not step.optional:
                    raise
                logger.info("the server has refused %s: %s", next(iter(step.command)), error)
                return None
        collection = self._database[step.collection]
        if isinstance(step, Read):
            with collection.aggregate(list(step.pipeline), session=session) as cursor:
                return cursor.to_list()
        if isinstance(step, Write):
            return changed(collection.bulk_write(sent(step.changes), session=session))
        return collection.find_one_and_delete(
            step.filter, projection=TAKEN, sort=list(step.order.items()) or None, session=session
        )

    @contextmanager
    def transaction(self) -> Generator[Session]:
        """Open a transaction; kept at the end of the block, rolled back where that fails."""
        of_caller: BaseException | None = None
        try:
            with self._client.start_session() as session, session.start_transaction():
                try:
                    yield session
                except BaseException as error:
                    of_caller = error
                    raise
        except DriverError as error:
            if error is of_caller:
                raise
            raise translated(error, self._where) from error
