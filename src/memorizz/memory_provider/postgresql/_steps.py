"""What an operation may ask of the world outside: the steps that it yields.

An operation is a generator. It yields steps, is sent back their results, and returns its result; a driver on the
sync or the async API performs the steps. Nothing in here does any IO.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]


@dataclass(slots=True)
class Query:
    """One statement: one round trip. Brings back its rows, as tuples.

    `repeatable` says that running the statement twice leaves what running it once leaves, also where somebody else has
    written in between, so that it may be sent again when the connection breaks under it; `writes` are the ids that an
    error then names. `custom_plan` has it planned for its very values, never once for all of them: how large one memory
    is decides how it is read.
    """

    sql: bytes
    parameters: Parameters = field(default_factory=dict[str, Any])
    repeatable: bool = True
    custom_plan: bool = False
    writes: tuple[str, ...] = ()
    # Whatever comes back, its operation asks for nothing more.
    last: bool = False
    # Also for a memory it asks what is the whole tenant's: the history, where a document may have been of several, or
    # whose an id is.
    of_tenant: bool = False
    # What has to be sent before it where Citus has distributed the stores; its rows are nobody's.
    before: Sequence[Query] = ()


@dataclass(slots=True)
class Batch:
    """Several statements, sent as one pipeline: all or nothing. Brings back the rows of each, in order.

    `undo` returns the statement that takes back what the batch has set, where its transaction goes on after it;
    `meanwhile` is called while the server works on them. `begins` says that BEGIN and COMMIT go with them, where no
    transaction is open.
    """

    queries: Sequence[Query]
    undo: Callable[[], Query | Batch] | None = None
    meanwhile: Callable[[], None] | None = None
    begins: bool = False

    @property
    def repeatable(self) -> bool:
        return all(query.repeatable for query in self.queries)

    @property
    def writes(self) -> tuple[str, ...]:
        return tuple(id for query in self.queries for id in query.writes)

    @property
    def of_tenant(self) -> bool:
        return any(query.of_tenant for query in self.queries)


@dataclass(frozen=True, slots=True)
class CopyOut:
    """COPY ... TO STDOUT. Brings back what came, as one text of bytes."""

    sql: bytes
    repeatable: ClassVar[bool] = True
    writes: ClassVar[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """DDL: any number of statements without parameters, in the transaction of the operation. Brings back nothing."""

    sql: bytes
    repeatable: ClassVar[bool] = False
    writes: ClassVar[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Embed:
    """Texts for an embedder, while no connection is held. Brings back one vector for each, in order.

    `model` is the name of the one that the operation's vectors are of.
    """

    texts: Sequence[str]
    kind: Literal["query", "document"]
    model: str


Statement = Query | Batch | CopyOut | Script
Step = Statement | Embed

T = TypeVar("T")
Operation = Generator[Step, Any, T]


def fetch(query: Query) -> Operation[list[Row]]:
    """Ask for the rows of one statement; `yield from` it."""
    rows: list[Row] = yield query
    return rows


def fetch_last(query: Query, last: bool = True) -> Operation[list[Row]]:
    """Ask for the rows of the last statement of an operation; `yield from` it. `last` says whether it is."""
    query.last = last
    rows: list[Row] = yield query
    return rows


def fetch_all(queries: Sequence[Query], undo: Callable[[], Query | Batch] | None = None) -> Operation[list[list[Row]]]:
    """Ask for the rows of each of several statements, all or nothing; `yield from` it."""
    if not queries:
        return []
    if len(queries) == 1:
        return [(yield queries[0])]
    results: list[list[Row]] = yield Batch(queries, undo)
    return results


def led_by(
    operation: Operation[T],
    first: Query | Callable[[Query | Batch], Query],
    undo: Callable[[], Query | Batch] | None = None,
    check: Callable[[Row], None] | None = None,
    failed: Callable[[Exception, Step], Exception] | None = None,
) -> Operation[T]:
    """Send a statement, or the one for it, before each of an operation's, in the transaction of that.

    `check` is given its row; `failed` returns what the operation is told of an error of one of its own.

    `undo` as of Batch. What only reads needs nothing of what is set, and goes out as it is where there is one.
    """
    return sent_as(operation, lambda step: _led(step, first, undo, check), failed)


def sent_as(
    operation: Operation[T],
    sent: Callable[[Step], Operation[Any]],
    failed: Callable[[Exception, Step], Exception] | None = None,
) -> Operation[T]:
    """Return an operation with each of its steps sent in another way; `failed` as of `led_by`."""
    with closing(operation):
        result: Any = None
        error: Exception | None = None
        while True:
            try:
                step = operation.send(result) if error is None else operation.throw(error)
            except StopIteration as done:
                return done.value
            result = error = None
            try:
                result = yield from sent(step)
            except Exception as raised:
                error = raised if failed is None else failed(raised, step)


def _led(
    step: Step,
    first: Query | Callable[[Query | Batch], Query],
    undo: Callable[[], Query | Batch] | None,
    check: Callable[[Row], None] | None,
) -> Operation[Any]:
    if not isinstance(step, Query | Batch) or (undo is not None and isinstance(step, Batch) and step.undo is not None):
        return (yield step)
    first = first if isinstance(first, Query) else first(step)
    single = isinstance(step, Query)
    queries = [step] if single else step.queries
    rows, *results = yield (
        Batch([first, step], undo) if single else Batch([first, *queries], undo or step.undo, step.meanwhile)
    )
    if check is not None:
        check(rows[0])
    return results[0] if single else results
