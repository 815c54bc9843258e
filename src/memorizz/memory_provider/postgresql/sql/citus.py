"""What statements need besides where Citus has distributed the stores: docs/how-to/scale-out.md.

DDL goes out one by one, for Citus sends the shards the whole text that a statement of it stands in. A statement of one
tenant goes to one shard as it is. Three things go with it that PostgreSQL does not need:

- BEGIN. The statements of a pipeline are one transaction to PostgreSQL. To Citus each is one by itself, unless a BEGIN
  stands before them.
- SET LOCAL, literally. Of what is set Citus tells the shards this alone, and only where it is told to.
- What is to be done before, for Citus takes no clock in ON CONFLICT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql

from memorizz.memory_provider.postgresql._steps import Batch, Operation, Query, Script, Step, T, sent_as
from memorizz.memory_provider.postgresql.layout import Layout

# The distribution of several tables is one transaction only where no two connections to a server take part in it, as is
# what changes roles or functions besides tables.
IN_SEQUENCE = Script(b"SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")
_PROPAGATE = Query(b"SET LOCAL citus.propagate_set_commands TO 'local'")


def said(layout: Layout, settings: Mapping[str, str | None]) -> Sequence[Query]:
    """Return the statements that set something on the shards too, until the transaction ends; None is its default.

    There are none where Citus has not distributed the stores.
    """
    return [_PROPAGATE, *map(_set, settings.items())] if layout.distributed else ()


def _set(setting: tuple[str, str | None]) -> Query:
    name, value = setting
    given = sql.SQL("DEFAULT") if value is None else sql.Literal(value)
    statement = sql.SQL("SET LOCAL {} TO {}").format(sql.Identifier(*name.split(".")), given)
    # SET takes no parameters: what looks like the place of one is a part of the value. Not prepared: tenants are many.
    return Query(statement.as_bytes(None).replace(b"%", b"%%"), custom_plan=True)


def fitted(operation: Operation[T]) -> Operation[T]:
    """Return an operation with what its statements need besides; the rows of that do not come back."""
    return sent_as(operation, _sent)


_PIECE = re.compile(rb"""--.*|'[^']*'|"[^"]*"|(?P<tag>[$][0-9A-Za-z_]*[$])(?s:.*?)(?P=tag)|;|[^-'"$;]+|.""")


def one_by_one(script: bytes) -> Iterator[bytes]:
    """Yield the statements of a script, without comments; the last one of a body in SQL does not end with END."""
    statement = b""
    for piece in _PIECE.finditer(script + b";"):
        in_body = b"BEGIN ATOMIC" in statement and not statement.endswith(b"END")
        if piece[0] == b";" and not in_body:
            if statement.strip():
                yield statement.strip()
            statement = b""
        elif not piece[0].startswith(b"--"):
            statement += piece[0]


def _sent(step: Step) -> Operation[Any]:
    if isinstance(step, Script):
        for statement in one_by_one(step.sql):
            yield Script(statement)
        return None
    if isinstance(step, Query) and step.before:
        return (yield _together(Batch([step])))[-1]
    if not isinstance(step, Batch):
        return (yield step)
    results = iter((yield _together(step)))
    # One result for each statement of the batch: the last of those that went out for it.
    return [[next(results) for _ in (*query.before, query)][-1] for query in step.queries]


def _together(batch: Batch) -> Batch:
    queries = [each for query in batch.queries for each in (*query.before, query)]
    undo = batch.undo
    if undo is None:
        return replace(batch, queries=queries, begins=True)

    def undone() -> Batch:
        taken_back = undo()
        return _together(taken_back if isinstance(taken_back, Batch) else Batch([taken_back]))

    return replace(batch, queries=queries, undo=undone, begins=True)
