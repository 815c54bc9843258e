"""memorizz embed: vectors for the memories that have none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from memorizz.cli import _progress, _show
from memorizz.cli._common import AsJSON, Server, Whose, interruptible, open_provider
from memorizz.cli._embedder import HELP, Dimensions, ModelName, embedder

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLProvider
    from memorizz.memory_provider.postgresql._steps import Operation
    from memorizz.memory_provider.postgresql.facts import Facts


def embed(
    model: Annotated[str, typer.Option(metavar="MODEL", help=HELP)],
    name: ModelName = None,
    dimensions: Dimensions = None,
    store: Annotated[
        str | None, typer.Option(metavar="NAME", help="One store; all whose vectors are of this model by default.")
    ] = None,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Embed the memories that have a text and no vector, such as those stored before there was an embedder.

    Memories can be read and stored meanwhile. Interrupted, even killed, the same command again goes on where it was.
    """
    with open_provider(server, whose, embedder(model, name, dimensions)) as provider:
        stores = provider.run(_embedded) if store is None else [store]
        made = {each: _embed_missing(provider, each) for each in stores}
    if as_json:
        _show.print_json({"embedded": made})
        return
    _show.say(server.where, "dim")
    for each, count in made.items():
        if count:
            _show.say(f"embedded  {count:,} of {each}")
    if not any(made.values()):
        _show.say("there is no memory that has a text and no vector")


def _embed_missing(provider: PostgreSQLProvider, store: str) -> int:
    waiting = provider.count(store, {"embedding": {"$exists": False}, "content": {"$exists": True}})
    with (
        _progress.of_store("embedding", store) as watch,
        interruptible("what is embedded is kept: the same command again goes on"),
    ):
        return provider.embed_missing(store, None if watch is None else lambda done: watch(done, waiting))


def _embedded(facts: Facts) -> Operation[list[str]]:
    """Return the stores that the provider embeds in."""
    yield from ()
    return [store.name for store in facts.stores.values() if store.spec.embedded and store.embedder is not None]
