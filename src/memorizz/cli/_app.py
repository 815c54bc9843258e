"""The command `memorizz` and its subcommands."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from memorizz.cli import (
    _show,
    changing,
    chat,
    console,
    consolidate,
    demo,
    doctor,
    documents,
    embed,
    export,
    forget,
    history,
    import_,
    index,
    language,
    mcp,
    migrate,
    migrate_from,
    re_embed,
    recall,
    reclaim,
    scale_out,
    server,
    stats,
    tenants,
    tidy,
)
from memorizz.cli._common import Commands
from memorizz.errors import MemorizzError


class _Commands(TyperGroup):
    """Commands whose expected errors are one message and an exit code, and no traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for arg in args:
            try:
                arg.encode()
            except UnicodeEncodeError:
                # Bytes of another encoding; no command has a use for them.
                raise typer.BadParameter(f"{arg!a} is not UTF-8") from None
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MemorizzError as error:
            _show.complain(str(error))
            raise typer.Exit(1) from None


app = Commands(
    cls=_Commands,
    help="Long-term memory for AI agents, in PostgreSQL with pgvector.",
    no_args_is_help=True,
    # An unexpected error is shown by Python: a prettier one would show the local variables, passwords included.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"memorizz-postgresql {version('memorizz-postgresql')}")
        raise typer.Exit


@app.callback()
def _memorizz(  # pyright: ignore[reportUnusedFunction] - typer calls it
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # What a terminal or a file cannot write is replaced, and does not end the command.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


for command in (
    chat.chat,
    console.console,
    demo.demo,
    doctor.doctor,
    migrate.migrate,
    migrate_from.migrate_from,
    stats.stats,
    recall.recall,
    documents.search,
    documents.show,
    changing.add,
    changing.edit,
    changing.delete,
    export.export,
    forget.forget,
    consolidate.duplicates,
    consolidate.consolidate,
    embed.embed,
    re_embed.re_embed,
    language.language,
    scale_out.scale_out,
):
    app.command()(command)
app.command("list")(changing.list_)
app.command("import")(import_.import_)
app.add_typer(index.commands, name="index")
app.add_typer(history.commands, name="history")
app.add_typer(server.commands, name="server")
app.add_typer(mcp.commands, name="mcp")
app.command()(tidy.tidy)
app.command()(reclaim.reclaim)
app.add_typer(tidy.policy, name="policy")
app.add_typer(tenants.commands, name="tenants")
