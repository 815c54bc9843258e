"""memorizz recall: how much of the truth searches find, on one's own memories."""

from __future__ import annotations

from typing import Annotated

import typer

from memorizz.cli._common import DSN, AsJSON, Embedded, MemoryID, SchemaName, Tenant, config, memories, place


def recall(
    store: Annotated[
        str | None, typer.Option(metavar="NAME", help="One store; all that have vectors by default.")
    ] = None,
    sample: Annotated[int, typer.Option(help="How many memories to search for, taken at random.", min=1)] = 50,
    limit: Annotated[int, typer.Option(help="How many hits each search is to find.", min=1, max=1000)] = 10,
    tenant: Tenant = None,
    memory: MemoryID = None,
    dsn: DSN = None,
    schema: SchemaName = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """Compare what searches find with what is there, on your own memories, and say what to change.

    Takes as long as that many exact searches. Changes nothing.
    """
    from memorizz.cli import _recall_page, _show

    settings = config(dsn, schema, embedded, auto_migrate=False)
    reports: list[_recall_page.Report] = []
    with memories(settings, tenant=tenant, memory=memory) as provider:
        for each in [spec.name for spec in provider.stores()] if store is None else [store]:
            if store is None and not provider.count(each, {"embedding": {"$exists": True}}):
                continue
            with _show.waiting(f"searching for {sample} memories of {each}"):
                reports.append(provider.measure_recall(each, sample=sample, limit=limit))
    if as_json:
        _show.print_json({"stores": reports})
        return
    _show.say(place(settings), "dim")
    _recall_page.show(reports)
