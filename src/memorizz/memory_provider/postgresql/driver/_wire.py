"""How values are sent and read: a map of adapters of our own, whatever a program has registered for its connections."""

from __future__ import annotations

import json
from typing import Any

from psycopg import postgres
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.pq import Format
from psycopg.types.array import register_all_arrays

from memorizz.memory_provider.postgresql.rows import Bits, Vector


class BinaryDumper(Dumper):
    """Send what is in binary form as it is; the statement names its type, so that its oid need not be known."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return obj


class JsonbLoader(Loader):
    """Read JSONB without guessing its encoding or looking for blanks: a third of the time of json.loads."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Any:
        return _decode(str(data, "utf-8"), 1)[0]  # behind the version, a byte


_decode = json.JSONDecoder().raw_decode

# psycopg's own adapters and ours. A program may have set others for all connections, or for those of its pool.
ADAPTERS = AdaptersMap(types=postgres.types)
postgres.register_default_adapters(ADAPTERS)
register_all_arrays(ADAPTERS)
ADAPTERS.register_dumper(Vector, BinaryDumper)
ADAPTERS.register_dumper(Bits, BinaryDumper)
ADAPTERS.register_loader("jsonb", JsonbLoader)
