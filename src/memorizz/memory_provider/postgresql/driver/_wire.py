"""How values are sent and read: a map of adapters of our own, whatever a program has registered for its connections."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import postgres
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper, Loader, Transformer
from psycopg.pq import Format
from psycopg.pq.abc import PGresult
from psycopg.types.array import register_all_arrays

from memorizz.memory_provider._values import decode_any
from memorizz.memory_provider.postgresql.rows import Floats, Vector


class BinaryDumper(Dumper):
    """Send what is in binary form as it is; the statement names its type, so that its oid need not be known."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


class JsonbLoader(Loader):
    """Read JSONB without guessing its encoding or looking for blanks: a third of the time of json.loads."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        text = str(data, "utf-8")
        try:
            return _decode(text, 1)[0]  # behind the version, a byte
        except (ValueError, RecursionError):
            # One row of another program's must not make its store unreadable.
            return decode_any(text[1:])


_decode = json.JSONDecoder().raw_decode


class TimeLoader(Loader):
    """Read a timestamp; one that Python lacks is the text that PostgreSQL writes of it in UTC, such as infinity."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime | str:
        microseconds = int.from_bytes(data, signed=True)
        if microseconds in _INFINITE:
            return _INFINITE[microseconds]
        cycles, rest = divmod(microseconds, _CYCLE)
        moment = _EPOCH + timedelta(microseconds=rest)
        year = moment.year + 400 * cycles
        if 1 <= year <= 9999:
            return moment.replace(year=year)
        era, year = ("", year) if year > 0 else (" BC", 1 - year)
        return f"{year:04}-{moment:%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".") + f"+00{era}"


class AwareTimeLoader(TimeLoader):
    """Read a timestamptz, whatever zone the session is in."""

    def load(self, data: Buffer) -> datetime | str:
        moment = super().load(data)
        return moment if isinstance(moment, str) else moment.replace(tzinfo=UTC)


_INFINITE = {2**63 - 1: "infinity", -(2**63): "-infinity"}
_EPOCH = datetime(2000, 1, 1)
# The calendar begins anew every 400 years.
_CYCLE = 146_097 * 86_400 * 1_000_000

# psycopg's own adapters and ours. A program may have set others for all connections, or for those of its pool.
ADAPTERS = AdaptersMap(types=postgres.types)
postgres.register_default_adapters(ADAPTERS)
register_all_arrays(ADAPTERS)
ADAPTERS.register_dumper(Vector, BinaryDumper)
ADAPTERS.register_dumper(Floats, BinaryDumper)
ADAPTERS.register_loader("jsonb", JsonbLoader)


class _AnyTime:
    """Where values are read with TimeLoader, in four times the time of psycopg's own."""

    connection = None

    def __init__(self) -> None:
        self.adapters = AdaptersMap(ADAPTERS)
        self.adapters.register_loader("timestamp", TimeLoader)
        self.adapters.register_loader("timestamptz", AwareTimeLoader)


_ANY_TIME = _AnyTime()


def read_again(result: PGresult) -> list[tuple[Any, ...]]:
    """Return the rows of a result that has a time which psycopg's reader refuses."""
    transformer = Transformer(_ANY_TIME)
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)
