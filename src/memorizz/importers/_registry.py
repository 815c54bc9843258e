"""The formats that are known, and which of them a source is of."""

from __future__ import annotations

from memorizz.importers import chatgpt
from memorizz.importers._formats import Format
from memorizz.importers._source import Source

# What a source is asked one after the other; it is of one of them at most.
FORMATS: tuple[Format, ...] = (chatgpt.FORMAT,)


def recognised(source: Source) -> Format | None:
    """Return the format of a source, None where it is of none."""
    return next((each for each in FORMATS if each.recognises(source)), None)
