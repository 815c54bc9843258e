"""memorizz doctor: what is connected to, what is wrong with it, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from memorizz.cli._common import DSN, AsJSON, Embedded, SchemaName, config, existing, place

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.facts import Facts
    from memorizz.memory_provider.postgresql.maintenance import Examination


def doctor(dsn: DSN = None, schema: SchemaName = None, embedded: Embedded = None, as_json: AsJSON = False) -> None:
    """Say on one page what is connected to, what endangers or slows it, and what to do.

    Changes nothing. The exit code is 1 when something endangers the memories or keeps them out of reach.
    """
    from memorizz.cli import _show
    from memorizz.errors import MemorizzError
    from memorizz.memory_provider.postgresql.maintenance import Finding, Level, Maintenance

    settings = config(dsn, schema, embedded)
    where = place(settings)
    facts: Examination | None = None
    try:
        with _show.waiting(f"looking at {where}"), Maintenance(existing(settings)) as maintenance:
            facts, findings = maintenance.examine()
    except MemorizzError as error:
        findings = [Finding(Level.DANGER, "connection", str(error))]
    ok = not any(finding.level is Level.DANGER for finding in findings)
    if as_json:
        _show.print_json({"ok": ok, "where": where, **_report(facts), "findings": findings})
    else:
        from memorizz.cli import _doctor_page

        _doctor_page.show(where, facts, findings)
    if not ok:
        raise typer.Exit(1)


_KEYS = (
    "server",
    "database",
    "text_search_config",
    "embedding_models",
    "rights",
    "settings",
    "migrations",
    "stores",
    "indexes",
)


def _report(facts: Examination | None) -> dict[str, Any]:
    """Return the facts as JSON has them: the same keys, whatever could be found out."""
    if facts is None:
        return dict.fromkeys(_KEYS)
    known = facts.facts
    return {
        "server": facts.server,
        "database": facts.database,
        "text_search_config": None if known is None else known.layout.text_search_config,
        "embedding_models": _models(known),
        "rights": facts.rights,
        "settings": facts.settings,
        "migrations": {"applied": facts.applied, "pending": facts.pending},
        "stores": facts.stores,
        "indexes": facts.indexes,
    }


def _models(known: Facts | None) -> dict[str, Any]:
    """Return the embedding model of the seven stores, and the one on standby there."""
    if known is None:
        return {"searched": None, "standby": None}
    of_seven = (each.model for name, each in known.standby.items() if known.stores[name].model == known.model)
    return {"searched": known.model, "standby": next(of_seven, None)}
