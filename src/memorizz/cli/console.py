"""memorizz console: the memories, in a browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from functools import partial
from threading import Thread
from typing import Annotated, Any

import typer

from memorizz.cli._common import Server, Whose, load_extra, open_maintenance
from memorizz.cli._embedder import Model, embedder, embedder_of

Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on, 0 for any that is free.")]
Write = Annotated[bool, typer.Option("--write", help="Offer what changes memories: edit, delete, forget, undo.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address, and open no browser.")]


def console(
    write: Write = False,
    port: Port = 0,
    no_browser: NoBrowser = False,
    model: Model = None,
    *,
    whose: Whose,
    server: Server,
) -> None:
    """Look at the memories in a browser, on this machine: what is stored, what a search finds and why.

    The address that is printed has a key in it, new each time. Nothing can be changed without --write.
    """
    browser: Any = load_extra("memorizz.console")
    from memorizz.embeddings import LocalEmbedder
    from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider
    from memorizz.memory_provider.postgresql.maintenance import AsyncMaintenance

    settings = server.config(auto_migrate=False)
    with open_maintenance(server) as maintenance:
        name = maintenance.facts().model.name
        made, missing = embedder_of(name) if model is None else (embedder(model, None, None), "")
        if made is None and not missing:
            missing = "the schema does not say whose vectors it has; --model names an embedder"
        if isinstance(made, LocalEmbedder):
            # Loaded while the browser opens, so that no search waits for it.
            Thread(target=made.embed, args=(["memory"],), daemon=True).start()
        shown = browser.Console(
            provider=AsyncPostgreSQLProvider(settings, embedder=made),
            tenant=whose.tenant,
            memory=whose.memory,
            write=write,
            database=lambda: AsyncMaintenance(settings),
            without_meaning=missing,
        )
        # The maintenance stays open: an embedded server of its own stays with it.
        browser.serve(shown, port, partial(_opened, no_browser))


def _opened(no_browser: bool, address: str) -> None:
    print(f"memorizz: {address}", file=sys.stderr, flush=True)
    on_a_screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    # Elsewhere it might be one that takes the terminal.
    if on_a_screen and not no_browser:
        webbrowser.open(address)
