"""memorizz stats: how much is stored, and how much room it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Server, open_maintenance

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.maintenance import IndexFacts, StoreFacts


Note = Annotated[bool, typer.Option("--note", help="Note it, too: the console shows what was noted over time.")]


def stats(
    note: Note = False,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Show the rows, sizes and ages of each store, and the sizes of its indexes."""
    from memorizz.memory_provider.postgresql.maintenance import Noted

    with open_maintenance(server) as maintenance:
        stores, indexes = maintenance.measure()
        found = maintenance.database()
        if note:
            measured = [Noted(each.name, each.rows, each.table_bytes + each.index_bytes) for each in stores]
            maintenance.note(measured)
    if as_json:
        _show.print_json({"schema": found.schema, "stores": stores, "indexes": indexes})
        return
    server.say_schema(found)
    _show.say()
    _show.show(_table(stores, indexes))


def _table(stores: Sequence[StoreFacts], indexes: Sequence[IndexFacts]) -> Table:
    columns = dict.fromkeys(("store", "rows", "table", "vector\nindex", "other\nindexes"), _show.RIGHT)
    columns |= {"store": _show.LEFT, "oldest": _show.LEFT, "newest": _show.LEFT}
    vectors = Counter[str]()
    for index in indexes:
        if index.method in ("hnsw", "halfvec"):
            vectors[index.store] += index.bytes
    rows = [
        [
            store.name,
            _show.number(store.rows, estimated=store.estimated),
            *map(_show.size, _sizes(store, vectors[store.name])),
            _day(store.oldest),
            _day(store.newest),
        ]
        for store in stores
    ]
    sizes = [sum(column) for column in zip(*(_sizes(each, vectors[each.name]) for each in stores), strict=True)]
    counts = [store.rows for store in stores if store.rows is not None]
    total = ["all", f"{sum(counts):,}" if counts else "?", *map(_show.size, sizes)]
    return _show.table(columns, rows, total)


def _sizes(store: StoreFacts, vectors: int) -> tuple[int, int, int]:
    return store.table_bytes, vectors, store.index_bytes - vectors


def _day(moment: datetime | str | None) -> str:
    if isinstance(moment, str):
        return moment.partition(" ")[0]
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d}"
