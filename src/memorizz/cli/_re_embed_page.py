"""What `memorizz re-embed` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memorizz.cli import _index_page, _show
from memorizz.cli._progress import duration

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql.maintenance import Change, Database, Made, Model


class Page:
    """Says what is done as soon as it is; or all of it at the end, as JSON."""

    def __init__(self, found: Database, where: str, as_json: bool) -> None:
        self._as_json = as_json
        self._report: dict[str, Any] = {"schema": found.schema, "embedded": 0, "built": []}
        self.say(f"schema {found.schema} of database {found.name}: {where}", "dim")
        self.say()

    def say(self, text: str = "", style: str = "") -> None:
        if not self._as_json:
            _show.say(text, style)

    def filled(self, count: int) -> None:
        self._report["embedded"] = count
        self.say(f"embedded  {count:,} documents")

    def built(self, made: Made) -> None:
        self._report["built"].append(_index_page.report(made))
        if not self._as_json:
            _index_page.show_made(made)

    def switched(self, seconds: float) -> None:
        self._report["held_seconds"] = round(seconds, 3)
        self.say(f"switched  writers waited for {duration(seconds)}")

    def dropped(self, finish: bool) -> None:
        self.say("finished  the vectors before are dropped" if finish else "given up  the new vectors are dropped")

    def show(self, change: Change) -> None:
        """Say how it stands."""
        if self._as_json:
            listed = [{"store": store, "id": id} for store, id in change.without_text]
            stores = [count for count in change.counts if count.vectors]
            _show.print_json(
                {
                    **self._report,
                    "searched": change.searched,
                    "standby": change.standby,
                    "waiting": change.waiting,
                    "stores": stores,
                    "without_text": listed,
                }
            )
            return
        rows = [("searched", described(change.searched))]
        if change.standby is not None:
            kept = change.standby.current_since is not None
            rows.append(("kept" if kept else "to come", described(change.standby)))
        _show.show(_show.pairs(rows))
        if change.standby is not None:
            self._show_counts(change)

    def _show_counts(self, change: Change) -> None:
        columns = {"store": _show.LEFT} | dict.fromkeys(("vectors", "of both", "no text", "waiting"), _show.RIGHT)
        rows = [
            [each.store, *(f"{n:,}" for n in (each.vectors, each.both, each.without_text, each.waiting))]
            for each in change.counts
            if each.vectors or each.waiting
        ]
        if rows:
            _show.say()
            _show.show(_show.table(columns, rows))
        for store, id in change.without_text:
            self.say(f"no text: {store} {id}", "yellow")
        _show.say()
        assert change.standby is not None
        if change.standby.current_since is not None:
            self.say(_show.to_type("`memorizz re-embed --back` goes back, `--finish` drops what is kept"), "dim")
        else:
            self.say(
                _show.to_type("the same command with --model goes on, `memorizz re-embed --abandon` gives up"), "dim"
            )


def described(model: Model) -> str:
    """Return a model in a few words."""
    since = "" if model.current_since is None else f", searched since {_show.when(model.current_since)}"
    return f"{model.name or 'a model that nobody has named'}, {model.dimensions:,} dimensions{since}"
