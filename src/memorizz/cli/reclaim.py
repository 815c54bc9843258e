"""memorizz reclaim: give back the room of what was deleted, while the stores stay in use."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from memorizz.cli import _progress, _show
from memorizz.cli._common import AsJSON, Server, open_maintenance
from memorizz.cli.index import LockTimeout, Memory, Store

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.maintenance import Reclaimed


def reclaimed_line(done: Reclaimed) -> str:
    """Return what is said of a store whose room was given back."""
    return f"{done.store}: {_show.size(done.before)} before, {_show.size(done.after)} now, in {done.seconds:.1f} s"


def reclaim(
    store: Store = None,
    maintenance_work_mem: Memory = None,
    lock_timeout: LockTimeout = 0,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Give back the room of deleted documents: build vector indexes of what is left, then VACUUM.

    Of each store of which many were deleted, or of one. Memories can be read and stored meanwhile.
    """
    done: list[dict[str, Any]] = []
    with open_maintenance(server) as maintenance:
        found = maintenance.database()
        if not as_json:
            server.say_schema(found)
        with _progress.of_build() as watch:
            for each in maintenance.reclaim(store, memory=maintenance_work_mem, lock_seconds=lock_timeout, watch=watch):
                done.append(asdict(each))
                if not as_json:
                    _show.say(reclaimed_line(each))
    if as_json:
        _show.print_json({"schema": found.schema, "reclaimed": done})
    elif not done:
        _show.say("of no store so much was deleted")
