"""memorizz re-embed: another embedding model, while the stores are in use."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from memorizz.cli import _progress, _re_embed_page
from memorizz.cli._common import AsJSON, Server, Yes, confirm, interruptible, open_maintenance
from memorizz.cli._embedder import HELP, Dimensions, ModelName, embedder
from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.embeddings import Embedder
    from memorizz.memory_provider.postgresql.maintenance import Filled, Maintenance, Reembedding

_INSTEAD = "Instead of going on"
_KEPT = "what is made is kept: the same command again goes on, `memorizz re-embed --abandon` gives up"

Model = Annotated[str | None, typer.Option(metavar="MODEL", help=HELP)]
Store = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A store with a model of its own; the model of the seven stores by default."),
]
Batch = Annotated[int, typer.Option(min=1, help="Documents that are embedded at once.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0.001, metavar="NUMBER", help="Documents a second at most; as fast as it goes by default."),
]
NoSwitch = Annotated[bool, typer.Option("--no-switch", help="Make the vectors and indexes, and do not use them yet.")]
DropWithoutText = Annotated[
    bool,
    typer.Option(
        "--drop-without-text", help="Let documents lose a vector of which there is no text to make another one."
    ),
]
Memory = Annotated[
    str | None, typer.Option("--maintenance-work-mem", metavar="SIZE", help="Memory for the indexes, such as 2GB.")
]
Status = Annotated[bool, typer.Option("--status", help="Say how far it is.", rich_help_panel=_INSTEAD)]
Back = Annotated[
    bool,
    typer.Option(
        "--back",
        help="Search the model before again; give it as --model where anything was stored since.",
        rich_help_panel=_INSTEAD,
    ),
]
Finish = Annotated[
    bool,
    typer.Option("--finish", help="Drop the vectors of the model before: no way back.", rich_help_panel=_INSTEAD),
]
Abandon = Annotated[
    bool, typer.Option("--abandon", help="Give up a change that is not done.", rich_help_panel=_INSTEAD)
]


def re_embed(
    model: Model = None,
    name: ModelName = None,
    dimensions: Dimensions = None,
    store: Store = None,
    batch: Batch = 64,
    rate: Rate = None,
    no_switch: NoSwitch = False,
    drop_without_text: DropWithoutText = False,
    maintenance_work_mem: Memory = None,
    status: Status = False,
    back: Back = False,
    finish: Finish = False,
    abandon: Abandon = False,
    yes: Yes = False,
    *,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Change the embedding model: make every vector again, beside the old ones, then use the new.

    Memories can be read and stored meanwhile. Interrupted, even killed, the same command again goes on where it was.
    The old vectors are kept until --finish.
    """
    from memorizz.memory_provider.postgresql.maintenance import Reembedding
    from memorizz.memory_provider.stores import CONVERSATIONS

    if sum((status, back, finish, abandon)) > 1 or (model is None and not (status or back or finish or abandon)):
        raise ConfigurationError(
            "what is to be done? give --model MODEL, or one of --status, --back, --finish, --abandon"
        )
    made = None if model is None else embedder(model, name, dimensions)
    with open_maintenance(server) as maintenance:
        change = Reembedding(maintenance, made, batch=batch, rate=rate, store=store or CONVERSATIONS)
        page = _re_embed_page.Page(maintenance.database(), server.where, as_json)
        with interruptible(_KEPT):
            if back:
                page.switched(change.back(drop_without_text=drop_without_text))
            elif finish or abandon:
                _drop(change, finish, yes)
                page.dropped(finish)
            elif not status:
                assert made is not None
                _change(page, change, maintenance, made, no_switch, drop_without_text, maintenance_work_mem)
            page.show(change.change())


def _change(
    page: _re_embed_page.Page,
    change: Reembedding,
    maintenance: Maintenance,
    made: Embedder,
    no_switch: bool,
    drop_without_text: bool,
    memory: str | None,
) -> None:
    """Do what is still to be done."""
    if change.change().searched.name == made.name:
        page.say(f"the vectors are of {made.name} already")
        return
    change.begin()
    with _embedding() as watch:
        page.filled(change.fill(watch))
    with _progress.of_build() as watch:
        for each in maintenance.make(change.plan_indexes(), memory=memory, watch=watch):
            page.built(each)
    if no_switch:
        return
    with _embedding() as watch:
        page.switched(change.switch(drop_without_text=drop_without_text, watch=watch))


@contextmanager
def _embedding() -> Generator[Callable[[Filled], None] | None]:
    with _progress.of_store("embedding", "documents") as watch:
        yield None if watch is None else lambda filled: watch(filled.done, filled.total)


def _drop(change: Reembedding, finish: bool, yes: bool) -> None:
    standby = change.change().standby
    of = "" if standby is None or standby.name is None else f" of {standby.name}"
    confirm(f"Drop the vectors{of}? They cannot be had back but by making them again.", yes)
    if finish:
        change.finish()
    else:
        change.abandon()
