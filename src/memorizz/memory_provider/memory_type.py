"""The closed set of stores."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from typing import Literal, cast

from memorizz.errors import ConfigurationError, quoted

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

    @classmethod
    def of(cls, value: MemoryType | str) -> MemoryType:
        """Return the member for a member or its value.

        Raises ConfigurationError, which lists the seven, for anything else.
        """
        # Of anything else Enum's own error would write out the value.
        if isinstance(cast(object, value), str):
            with suppress(ValueError):
                return cls(value)
        known = ", ".join(member.value for member in cls)
        raise ConfigurationError(f"unknown memory store {quoted(value)}: expected a MemoryType or one of {known}")
