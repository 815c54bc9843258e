"""One made-up data set, stored by the provider and in a minimal table beside it; kept where the server's data is."""

from __future__ import annotations

import time

from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.raw_tables import RawTable, make_minimal, minimal, own
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

LONG = MemoryType.LONG_TERM_MEMORY


class Stored:
    """The data set of a name, with the table of the provider's own and the minimal one."""

    def __init__(self, lab: Lab, name: str, data: Data) -> None:
        self._lab = lab
        self.schema = f"memorizz_benchmark_{name}_{data.rows}_{data.dimensions}"
        self.config: PostgreSQLConfig = lab.config(self.schema, embedding_dimensions=data.dimensions)
        self.build_seconds = self._fill(data)
        self.tables: list[RawTable] = [self._minimal, own(lab, self.schema, LONG.value)]

    @property
    def _minimal(self) -> RawTable:
        return minimal(f"{self.schema}_minimal", "documents")

    def _fill(self, data: Data) -> float | None:
        """Store what is not there yet; return how long it took the provider."""
        if self._lab.holds(self.schema, LONG, data.rows):
            return None
        print(f"storing {data.rows:,} rows of {data.dimensions:,} dimensions, twice ...")
        self.drop()
        started = time.perf_counter()
        with self._lab.filling(self.config) as provider:
            provider.store_many(data.documents(), LONG)
        took = time.perf_counter() - started
        with PostgreSQLProvider(self.config) as provider:
            make_minimal(self._lab, self._minimal, data.dimensions, provider.iterate(LONG, include_embedding=True))
        return took

    def close(self) -> None:
        if self._lab.keep is None:
            self.drop()

    def drop(self) -> None:
        for schema in (self.schema, self._minimal.schema):
            self._lab.drop(schema)
