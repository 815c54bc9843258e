"""The `memorizz` command.

    _app.py        the command and its subcommands; errors become one message and an exit code
    _common.py     the options that all of them have: which server, which schema
    _show.py       how they speak: tables for people, JSON for programs
    _progress.py   how far they are, on a terminal
    changing.py    memorizz list, add, edit, delete
    console.py     memorizz console
    demo.py        memorizz demo; its page is _demo_page.py
    doctor.py      memorizz doctor; its page is _doctor_page.py
    documents.py   memorizz search, memorizz show
    embed.py       memorizz embed; what --model names is in _embedder.py
    export.py      memorizz export, memorizz import
    forget.py      memorizz forget
    index.py       memorizz index list, build, rebuild, drop; its page is _index_page.py
    language.py    memorizz language
    mcp.py         memorizz mcp, and config and import below it; how hosts are told of it is in _mcp_hosts.py
    migrate.py     memorizz migrate
    migrate_from.py  memorizz migrate-from; its page is _move_page.py
    re_embed.py    memorizz re-embed; its page is _re_embed_page.py
    recall.py      memorizz recall; its page is _recall_page.py
    server.py      memorizz server start, stop, status
    stats.py       memorizz stats

Whatever a command needs beside typer is loaded when it runs, so that `memorizz --help` is there at once.
"""

from memorizz.cli._app import app

__all__ = ["app"]
