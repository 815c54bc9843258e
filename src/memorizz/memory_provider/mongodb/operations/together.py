"""What run_many does: the operations of several calls, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memorizz.memory_provider._calls import noted
from memorizz.memory_provider.mongodb import operations
from memorizz.memory_provider.mongodb._steps import Operation
from memorizz.memory_provider.mongodb._stores import Database
from memorizz.memory_provider.options import Call


def run_many(database: Database, calls: Sequence[Call]) -> Operation[list[Any]]:
    results: list[Any] = []
    for operation, args, kwargs in noted(operations, calls):
        args, kwargs = database.scope.call(operation, args, kwargs)
        results.append((yield from operation(database, *args, **kwargs)))
    return results
