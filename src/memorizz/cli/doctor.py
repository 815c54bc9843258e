"""memorizz doctor: what is connected to, what is wrong with it, and what to do about it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Server, open_maintenance, require_server
from memorizz.errors import MemorizzError

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.facts import Facts
    from memorizz.memory_provider.postgresql.maintenance import Examination


def doctor(
    tenants: Annotated[
        bool, typer.Option("--tenants", help="Try instead, as this user, to reach another tenant's rows, or memory's.")
    ] = False,
    health: Annotated[
        bool, typer.Option("--health", help="Say instead in a line whether calls can be made now; for probes.")
    ] = False,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Say on one page what is connected to, what endangers or slows it, and what to do.

    Changes nothing. The exit code is 1 when something endangers the memories or keeps them out of reach.
    """
    if health:
        _health(server, as_json)
        return
    from memorizz.memory_provider.postgresql.maintenance import Finding, Level, Maintenance

    if tenants:
        _probe(server, as_json)
        return
    where = server.where
    facts: Examination | None = None
    try:
        with _show.waiting(f"looking at {where}"), Maintenance(require_server(server.config())) as maintenance:
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


# How long a probe waits for a connection, and then for each answer.
_PROBE_SECONDS = 3.0


def _health(server: Server, as_json: bool) -> None:
    """Say whether calls can be made, soon and without looking further."""
    from memorizz.memory_provider._drive import described
    from memorizz.memory_provider.base import Health
    from memorizz.memory_provider.postgresql import migrations
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    started = time.monotonic()
    version = pending = error = None
    soon = server.config().replace(connect_timeout=_PROBE_SECONDS, operation_timeout=_PROBE_SECONDS)
    try:
        with Maintenance(require_server(soon)) as maintenance:
            found = maintenance.database()
            version = found.server
            migrations.check_versions(found)
            pending = len(maintenance.pending())
            migrations.check_none_pending(found, pending)
    except MemorizzError as failed:
        error = described(failed)
    well = Health(error, time.monotonic() - started, version, pending)
    if as_json:
        _show.print_json({"where": server.where, **well.as_json()})
    else:
        _show.say(well.error or f"ok: {well.server}, {server.where}")
    if not well.ok:
        raise typer.Exit(1)


def _probe(server: Server, as_json: bool) -> None:
    """Say what can be reached of another tenant."""
    where = server.where
    with _show.waiting(f"trying {where}"), open_maintenance(server) as maintenance:
        probe = maintenance.probe_tenants()
    if as_json:
        _show.print_json({"ok": probe.ok, "where": where, **asdict(probe)})
    else:
        _show.say(where, "dim")
        if probe.exempt is not None:
            _show.say(f"nothing is kept from this user: {probe.exempt}; connect as the role of the application")
        else:
            of = f"{probe.tried:,} statements on {probe.tables} tables as role {probe.role}"
            _show.say(f"{of}: {len(probe.reached) or 'none'} reached what is another's")
        for each in probe.reached:
            _show.say(f"{each.table}: {each.outcome}")
            _show.code(each.statement, 2)
    if not probe.ok:
        raise typer.Exit(1)


def _report(facts: Examination | None) -> dict[str, Any]:
    """Return the facts as JSON has them: the same keys, whatever could be found out."""
    known = facts and facts.facts
    return {
        "server": facts and facts.server,
        "database": facts and facts.database,
        "text_search_config": known and known.layout.text_search_config,
        "embedding_models": facts and _models(known),
        "rights": facts and facts.rights,
        "settings": facts and facts.settings,
        "migrations": facts and {"applied": facts.applied, "pending": facts.pending},
        "stores": facts and facts.stores,
        "indexes": facts and facts.indexes,
    }


def _models(known: Facts | None) -> dict[str, Any]:
    """Return the embedding model of the seven stores, and the one on standby there."""
    if known is None:
        return {"searched": None, "standby": None}
    of_seven = (each.model for name, each in known.standby.items() if known.stores[name].model == known.model)
    return {"searched": known.model, "standby": next(of_seven, None)}
