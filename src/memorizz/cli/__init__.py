"""The `memorizz` command.

    _app.py        the command and its subcommands; errors become one message and an exit code
    _common.py     the options that most of them have, which server and whose memories, and what is opened by them
    _show.py       how they speak: tables for people, JSON for programs
    _progress.py   how far they are, on a terminal
    _embedder.py   the embedder that --model names
    _mcp_hosts.py  how hosts are told of `memorizz mcp`
    _*_page.py     what a command prints that prints a page
    changing.py    memorizz list, add, edit, delete
    consolidate.py memorizz duplicates, consolidate
    documents.py   memorizz search, show
    tidy.py        memorizz tidy, policy

Each other module is the command of its name. A driver, numpy and whatever an extra brings are loaded when a command
runs, so that `memorizz --help` is there at once.
"""

from memorizz.cli._app import app

__all__ = ["app"]
