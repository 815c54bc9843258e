"""Write docs/reference.md from the docstrings, or with --check say whether it is up to date."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

import memorizz
import memorizz.embeddings
import memorizz.importers
import memorizz.moving
from memorizz import (
    AsyncMongoDBProvider,
    AsyncPostgreSQLProvider,
    MemoryProvider,
    MemoryType,
    MongoDBConfig,
    MongoDBProvider,
    Policy,
    PooledPostgreSQLProvider,
    PostgreSQLConfig,
    PostgreSQLProvider,
    StoreSpec,
    errors,
)
from memorizz.cli import app
from memorizz.memory_provider.base import (
    Consolidation,
    Duplicates,
    Health,
    Hits,
    MemoryOperations,
    Ranking,
    Receipt,
    SearchOptions,
    Version,
    without_twins,
)
from memorizz.memory_provider.postgresql.maintenance import (
    AsyncMaintenance,
    AsyncReembedding,
    Maintenance,
    Reembedding,
    Tidied,
)

TARGET = Path(__file__).parent.parent / "docs" / "reference.md"

HEAD = """\
<!-- Written by scripts/make_reference.py from the docstrings: change those, then run `make docs`. -->

# Reference

Every public name. These are importable from `memorizz`, which loads what you use when you use it:

{names}

The same names and all others are where they belong: `memorizz.memory_provider.postgresql`,
`memorizz.memory_provider.mongodb`, `memorizz.memory_provider.base` (`SearchOptions`, `Ranking`, `Hits`,
`Health`, `Receipt` and `Version`, too), `memorizz.memory_provider.memory_type`, `memorizz.embeddings`,
`memorizz.moving`, `memorizz.importers`, `memorizz.errors`.
Modules that begin with an underscore are no part of this.
"""


_ON_POSTGRESQL = (PostgreSQLProvider, AsyncPostgreSQLProvider, PooledPostgreSQLProvider)
_ON_MONGODB = (MongoDBProvider, AsyncMongoDBProvider)


def main() -> None:
    """Write the page, or compare."""
    text = "\n".join(page()).rstrip() + "\n"
    if sys.argv[1:] == ["--check"]:
        if not TARGET.exists() or TARGET.read_text("utf-8") != text:
            sys.exit(f"{TARGET.name} is not what the docstrings say: run `make docs`")
    else:
        TARGET.write_text(text, "utf-8")


def page() -> Iterator[str]:
    yield HEAD.format(names=", ".join(f"`{name}`" for name in memorizz.__all__))
    yield "## Providers\n"
    for provider in (*_ON_POSTGRESQL, *_ON_MONGODB):
        yield from described(provider, level=3)
    yield "## Methods\n"
    yield "Of every provider. On the async ones each is awaited, and `iterate` is an `async for`."
    yield "`embed_missing` and `measure_recall` are of those on PostgreSQL.\n"
    for name in members(MemoryOperations):
        yield from described(getattr(MemoryOperations, name), level=3)
    yield from described(SearchOptions, level=3)
    yield from described(Ranking, level=3)
    yield from described(Hits, level=3, signed=False)
    yield from described(Receipt, level=3, signed=False)
    yield from described(Health, level=3, signed=False)
    yield from described(Version, level=3, signed=False)
    yield from described(Duplicates, level=3, signed=False)
    yield from described(Consolidation, level=3, signed=False)
    yield from described(Policy, level=3)
    yield from described(without_twins, level=3)
    yield from described(PostgreSQLProvider.transaction, level=3)
    yield from described(PostgreSQLProvider.embed_missing, level=3)
    yield from described(PostgreSQLProvider.measure_recall, level=3)
    for name in (
        "create_store",
        "stores",
        "drop_store",
        "keep_history",
        "drop_history",
        "set_policy",
        "policies",
        "position",
        "note_embedding_model",
        "embedded",
    ):
        yield from described(getattr(MemoryProvider, name), level=3)
    yield from described(MemoryProvider.loading, level=3)
    yield from described(MemoryProvider.health, level=3)
    yield from described(MemoryProvider.close, level=3)
    for name in ("location", "identity", "embedding_dimensions", "embedding_model", "has_embedder"):
        yield from described(getattr(MemoryProvider, name), level=3, name=name)
    yield "## Configuration\n"
    yield from described(PostgreSQLConfig, level=3)
    for name in ("embedded", "auto", "replace", "conninfo", "where", "effective_index"):
        yield from described(getattr(PostgreSQLConfig, name), level=3, name=f"PostgreSQLConfig.{name}")
    yield from described(MongoDBConfig, level=3)
    yield "## Embedders\n"
    yield "In `memorizz.embeddings`. [Embed](how-to/embed.md) shows them at work.\n"
    for name in ("Embedder", "AsyncEmbedder"):
        protocol = getattr(memorizz.embeddings, name)
        yield from described(protocol, level=3, signed=False)
        yield from described(protocol.embed, level=4, name=f"{name}.embed")
    for name in ("OpenAIEmbedder", "SentenceTransformerEmbedder"):
        embedder = getattr(memorizz.embeddings, name)
        yield from described(embedder, level=3)
        yield markdown(inspect.getdoc(embedder.__init__) or "") + "\n"
    yield from described(memorizz.embeddings.AsyncOpenAIEmbedder, level=3, signed=False)
    yield "## Moving\n"
    yield "In `memorizz.moving`. [Move](how-to/move.md) shows it at work.\n"
    for name in memorizz.moving.__all__:
        yield from described(getattr(memorizz.moving, name), level=3, signed=name.islower())
    yield "## Importing\n"
    yield "In `memorizz.importers`. [Import from other programs](how-to/import.md) shows it at work.\n"
    for name in ("import_file", "read", "opened", "Import", "Report", "Noted", "Progress", "Found", "LeftOut"):
        yield from described(getattr(memorizz.importers, name), level=3, signed=name.islower())
    yield "## Maintenance\n"
    yield "In `memorizz.memory_provider.postgresql.maintenance`. [At work](how-to/change-model.md)."
    names = " and ".join(f"`{each.__name__}`" for each in (AsyncMaintenance, AsyncReembedding))
    yield f"{names} are the same on the async API: each method is awaited, `make` is an `async for`,"
    yield "and the embedder may be an AsyncEmbedder.\n"
    yield from described(Maintenance, level=3)
    for name in ("migrate", "examine", "make", "tidy", "enable_tenants", "disable_tenants", "probe_tenants"):
        yield from described(getattr(Maintenance, name), level=4, name=f"Maintenance.{name}")
    yield from described(Tidied, level=3, signed=False)
    yield from described(Reembedding, level=3)
    for name in members(Reembedding):
        yield from described(getattr(Reembedding, name), level=4, name=f"Reembedding.{name}")
    yield "## Stores\n"
    yield from described(MemoryType, level=3, signed=False)
    yield "| name | value |\n|---|---|"
    yield from (f"| `MemoryType.{member.name}` | `{member.value}` |" for member in MemoryType)
    yield ""
    yield from described(StoreSpec, level=3)
    yield "## Contract\n"
    for name in memorizz.__all__:
        if inspect.isabstract(contract := getattr(memorizz, name)):
            yield from described(contract, level=3, signed=False)
    yield "## Commands\n"
    yield from commands()
    yield "## Errors\n"
    yield "[Errors](errors.md) has the messages, and what to do.\n"
    for error in vars(errors).values():
        if isinstance(error, type) and error.__module__ == errors.__name__:
            yield from described(error, level=3, signed=False)


def commands() -> Iterator[str]:
    """Yield a table of the command line's commands."""
    yield "With the extra `cli`. Each has `--json`; `--help` tells the options.\n"
    yield "| command | what it does |\n|---|---|"
    for path, command in sorted(leaves(get_command(app), "memorizz")):
        yield f"| `{path}` | {inspect.cleandoc(command.help or '').splitlines()[0]} |"
    yield ""


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
    else:
        for name, each in inner.items():
            yield from leaves(each, f"{path} {name}")


def members(contract: type) -> list[str]:
    """Return the public methods of a class in the order in which they are written, without those left to be defined."""
    return [
        name
        for name, each in vars(contract).items()
        if not name.startswith("_") and inspect.isfunction(each) and not getattr(each, "__isabstractmethod__", False)
    ]


def described(thing: Any, *, level: int, name: str | None = None, signed: bool = True) -> Iterator[str]:
    """Yield the heading, the signature and the docstring of one name."""
    name = name or thing.__name__
    yield f"{'#' * level} {name}\n"
    target = thing.fget if isinstance(thing, property) else thing
    if signed and not isinstance(thing, property):
        yield f"```text\n{signature(name, target)}\n```\n"
    yield markdown(inspect.getdoc(target) or "") + "\n"


def signature(name: str, thing: Any) -> str:
    """Return how a name is called, on one line where it fits, else a line for each parameter."""
    given = inspect.signature(thing)
    parameters = [each for each in given.parameters.values() if each.name != "self"]
    returned = annotation(given.return_annotation)
    if hasattr(thing, "__wrapped__"):
        # A context manager is written as the generator that it is made from.
        returned = re.sub(r"^(Async)?Generator\[(.*)\]$", r"\1ContextManager[\2]", returned)
    end = "" if isinstance(thing, type) else f" -> {returned}"
    short = given.replace(parameters=[bare(each) for each in parameters], return_annotation=inspect.Signature.empty)
    line = f"{name}{short}{end}"
    if len(line) <= 100:
        return line
    parts = [str(part) for part in [bare(each) for each in parameters]]
    first = next((n for n, each in enumerate(parameters) if each.kind is each.KEYWORD_ONLY), None)
    if first is not None:
        parts.insert(first, "*")
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


def bare(parameter: inspect.Parameter) -> inspect.Parameter:
    if parameter.annotation is parameter.empty:
        return parameter
    return parameter.replace(annotation=_Plain(annotation(parameter.annotation)))


class _Plain:
    """An annotation that is shown as its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def annotation(given: Any) -> str:
    return given if isinstance(given, str) else getattr(given, "__name__", str(given))


def markdown(text: str) -> str:
    """Return a docstring as Markdown: what is listed as `name: text` becomes a list."""
    lines = [
        re.sub(r"^((?:[a-z_]+)(?:, [a-z_]+)*): (?=\S)", lambda m: f"- `{m[1]}`: ", line) for line in text.splitlines()
    ]
    out: list[str] = []
    for line in lines:
        if line.startswith("- ") and out and out[-1] and not out[-1].startswith(("- ", "  ")):
            out.append("")
        out.append(re.sub(r"^    (?=\S)", "  ", line))
    return "\n".join(out)


if __name__ == "__main__":
    main()
