"""The closed set of stores."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

# By their names, for a type checker and an editor to offer.
SevenStores = Literal[
    "personas",
    "toolbox",
    "short_term_memory",
    "long_term_memory",
    "conversation_memory",
    "workflow_memory",
    "agents",
]


class MemoryType(StrEnum):
    """A store: its value is the name of the store's table."""

    PERSONAS = "personas"
    TOOLBOX = "toolbox"
    SHORT_TERM_MEMORY = "short_term_memory"
    LONG_TERM_MEMORY = "long_term_memory"
    CONVERSATION_MEMORY = "conversation_memory"
    WORKFLOW_MEMORY = "workflow_memory"
    MEMAGENT = "agents"
