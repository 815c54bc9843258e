"""The formats that are known, and which of them a source is of."""

from __future__ import annotations

from memorizz.importers import chatgpt, claude, claude_code, codex, discord, slack, whatsapp
from memorizz.importers._formats import Format
from memorizz.importers._source import Source

# What a source is asked one after the other; it is of one of them at most.
FORMATS: tuple[Format, ...] = (
    chatgpt.FORMAT,
    claude.FORMAT,
    claude_code.FORMAT,
    codex.FORMAT,
    slack.FORMAT,
    whatsapp.FORMAT,
    discord.FORMAT,
)


def recognised(source: Source) -> Format | None:
    """Return the format of a source, None where it is of none."""
    return next((each for each in FORMATS if each.recognises(source)), None)
