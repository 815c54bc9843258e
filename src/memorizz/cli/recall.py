"""memorizz recall: how much of the truth searches find, on one's own memories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memorizz.cli import _progress, _recall_page, _show
from memorizz.cli._common import AsJSON, Server, Whose, open_maintenance, open_provider
from memorizz.cli.stats import Note
from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.facts import Facts
    from memorizz.memory_provider.postgresql.maintenance import Noted


def recall(
    store: Annotated[
        str | None, typer.Option(metavar="NAME", help="One store; all that have vectors by default.")
    ] = None,
    sample: Annotated[int, typer.Option(help="How many memories to search for, taken at random.", min=1)] = 50,
    limit: Annotated[int, typer.Option(help="How many hits each search is to find.", min=1, max=1000)] = 10,
    note: Note = False,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Compare what searches find with what is there, on your own memories, and say what to change.

    Takes as long as that many exact searches. Changes nothing, save with --note.
    """
    if note and whose != Whose():
        raise ConfigurationError("--note notes what is found in whole stores: leave out --tenant and --memory")
    if note:
        with open_maintenance(server) as maintenance:
            _check_notable(maintenance.facts())
    reports: list[_recall_page.Report] = []
    with open_provider(server, whose) as provider:
        for each in [spec.name for spec in provider.stores()] if store is None else [store]:
            if store is None and not provider.count(each, {"embedding": {"$exists": True}}):
                continue
            with _progress.of_store("searching", each) as watch:
                reports.append(provider.measure_recall(each, sample=sample, limit=limit, watch=watch))
    if note:
        with open_maintenance(server) as maintenance:
            maintenance.note([_noted(report) for report in reports])
    if as_json:
        _show.print_json({"stores": reports})
        return
    _show.say(server.where, "dim")
    _recall_page.show(reports)


def _check_notable(known: Facts) -> None:
    """Raise ConfigurationError where row-level security leaves no search of a whole store to be noted."""
    if known.application_role is not None:
        raise ConfigurationError(
            "--note notes what is found in whole stores, and where row-level security keeps tenants apart each search "
            "is of one of them, the owner's too: leave out --note, and name a --tenant"
        )


def _noted(report: _recall_page.Report) -> Noted:
    """Return what is noted of a report: how searches in the whole store went."""
    from memorizz.memory_provider.postgresql.maintenance import Noted

    of_all = next((way for way in report["ways"] if way["search"] == "all"), {"recall": None, "median_ms": None})
    return Noted(report["store"], recall=of_all["recall"], median_ms=of_all["median_ms"])
