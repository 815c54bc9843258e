"""A program that changes the embedding model, and is killed at a point that it is told."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from models import Model

from memorizz.memory_provider.postgresql import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding, _models


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_before(operation: Any) -> Any:
    def wrapped(*arguments: Any) -> Iterator[Any]:
        die()
        yield from operation(*arguments)

    return wrapped


def killed_after(operation: Any) -> Any:
    def wrapped(*arguments: Any) -> Iterator[Any]:
        yield from operation(*arguments)
        die()

    return wrapped


def main(dsn: str, point: str, dimensions: str) -> None:
    calls = 0

    def embedding(texts: Sequence[str]) -> None:
        nonlocal calls
        calls += 1
        if point == f"batch {calls}":
            die()

    if point == "columns added":
        _models.begin = killed_after(_models.begin)
    elif point == "half exchanged":
        _models.exchange = killed_after(_models.exchange)
    elif point == "about to exchange":
        _models.exchange = killed_before(_models.exchange)
    elif point == "vectors written":
        _models.fill = killed_after(_models.fill)
    with Maintenance(PostgreSQLConfig(dsn=dsn, embedding_dimensions=None)) as maintenance:
        change = Reembedding(maintenance, Model("new", int(dimensions), embedding), batch=16)
        change.begin()
        change.fill()
        for made in maintenance.make(change.plan_indexes()):
            if point == "index" and made.job.store == "long_term_memory":
                die()
        change.switch()
        die()


if __name__ == "__main__":
    main(*sys.argv[1:])
