"""The formats that are known, and which of them a source is of."""

from __future__ import annotations

from memorizz.errors import ConfigurationError
from memorizz.importers import (
    chatgpt,
    claude,
    claude_code,
    codex,
    discord,
    graphiti,
    langgraph,
    letta,
    markdown,
    mcp,
    mem0,
    slack,
    whatsapp,
)
from memorizz.importers._formats import Format
from memorizz.importers._source import Source

# What a source is asked one after the other; it is of one of them at most.
_MODULES = (
    chatgpt, claude, claude_code, codex, slack, whatsapp, discord, letta, mem0, langgraph, graphiti, markdown, mcp,
)  # fmt: skip
FORMATS: tuple[Format, ...] = tuple(each.FORMAT for each in _MODULES)


def recognised(source: Source) -> Format | None:
    """Return the format of a source, None where it is of none.

    Raises ConfigurationError for a database in which several programs keep memories.
    """
    found = [each for each in FORMATS if each.recognises(source)]
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise ConfigurationError(f"{source.name} holds memories of {names}: say with --format which are meant")
    return found[0] if found else None
