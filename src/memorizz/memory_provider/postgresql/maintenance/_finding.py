"""One thing that the doctor has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
