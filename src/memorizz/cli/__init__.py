"""The `memorizz` command.

    _common.py     the options of every command, and what they mean
    _show.py       how the commands speak: tables for people, JSON for programs
    demo.py        memorizz demo
    ...

Whatever a command needs beside typer is loaded when it runs, so that `memorizz --help` is there at once.
"""

from memorizz.cli._app import app

__all__ = ["app"]
