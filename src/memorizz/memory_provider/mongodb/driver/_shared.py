"""What the drivers of both APIs do without waiting: how a client is opened, how changes are sent, what is logged."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import DeleteMany, InsertOne, UpdateMany, UpdateOne
from pymongo.results import BulkWriteResult

from memorizz.errors import one_line
from memorizz.memory_provider.mongodb._steps import Changed, Command, Delete, Insert, Read, Record, Step, Update, Write
from memorizz.memory_provider.mongodb.config import MongoDBConfig

logger = logging.getLogger("memorizz.mongodb")

Change = InsertOne[Record] | UpdateOne | UpdateMany | DeleteMany

# Times are aware. A date that Python lacks, a text that is none and a UUID of another length are no reason to fail: the
# driver would make no UUID of what is none, and no document of what holds one.
CODEC: CodecOptions[Record] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    unicode_decode_error_handler="replace",
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
TAKEN = {"_id": 1, "expires_at": 1}


def client_options(config: MongoDBConfig) -> Mapping[str, Any]:
    """Return what a client is opened with beside the uri, which wins where it says otherwise."""
    options: dict[str, Any] = {
        "appname": "memorizz",
        "serverSelectionTimeoutMS": round(config.connect_timeout * 1000),
        "connectTimeoutMS": round(config.connect_timeout * 1000),
    }
    if config.operation_timeout is not None:
        options["timeoutMS"] = round(config.operation_timeout * 1000)
    lowered = config.uri.lower()
    return {name: value for name, value in options.items() if f"{name.lower()}=" not in lowered}


def sent(changes: Sequence[Insert | Update | Delete]) -> list[Change]:
    """Return changes as the driver takes them."""
    return [_sent(each) for each in changes]


def _sent(change: Insert | Update | Delete) -> Change:
    if isinstance(change, Insert):
        return InsertOne(change.record)
    if isinstance(change, Delete):
        return DeleteMany(change.filter)
    if change.many:
        return UpdateMany(change.filter, list(change.pipeline))
    return UpdateOne(change.filter, list(change.pipeline), upsert=change.upsert)


def changed(result: BulkWriteResult) -> Changed:
    """Return what changes have done."""
    written = result.inserted_count + result.upserted_count + result.modified_count
    return Changed(result.matched_count, result.deleted_count, written)


def is_one_upsert(step: Step) -> bool:
    """Return True if a step may be sent again where it lost against another one."""
    return isinstance(step, Write) and len(step.changes) == 1


def log(step: Step, started: float, result: Any) -> None:
    """Log what a step was and how long it took; what is bound is never logged, for it may be a secret."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    seconds = time.perf_counter() - started
    if isinstance(step, Command):
        what = next(iter(step.command))
    elif isinstance(step, Read):
        what = f"{step.collection}: {' '.join(next(iter(stage)) for stage in step.pipeline)}"
    elif isinstance(step, Write):
        what = f"{step.collection}: {len(step.changes)} changes"
    else:
        what = f"{step.collection}: delete one"
    count = len(result) if isinstance(result, list) else 0  # pyright: ignore[reportUnknownArgumentType]
    store = {} if isinstance(step, Command) else {"store": step.collection}
    told = {"seconds": seconds, "rows": count, "statements": 1, **store}
    logger.debug("%.2f ms, %d records: %s", seconds * 1000, count, one_line(what), extra=told)
