"""One thing that the doctor has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from shlex import quote

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig


class Level(StrEnum):
    """How bad it is: memories are in danger or out of reach; slower or less than it could be; good to know."""

    DANGER = "danger"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, and what to do about it."""

    level: Level
    subject: str
    text: str
    advice: str = ""


def command(words: str, config: PostgreSQLConfig) -> str:
    """Return a command for the same schema; which server it is, the reader knows."""
    schema = "" if config.schema is None else f" --schema {quote(config.schema)}"
    return f"`memorizz {words}{schema}`"
