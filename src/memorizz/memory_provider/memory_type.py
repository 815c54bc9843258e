"""The closed set of stores."""

from __future__ import annotations

from enum import StrEnum

from memorizz.errors import ConfigurationError


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
        try:
            return cls(value)
        except ValueError:
            known = ", ".join(member.value for member in cls)
            raise ConfigurationError(
                f"unknown memory store {value!r}: expected a MemoryType or one of {known}"
            ) from None
