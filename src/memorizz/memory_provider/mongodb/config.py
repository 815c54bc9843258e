"""What to connect to, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import cast, get_args

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider._values import InvalidText
from memorizz.memory_provider.stores import MAX_DIMENSIONS

_SCHEMES = ("mongodb://", "mongodb+srv://")
_NOT_IN_NAMES = re.compile(r'[/\\. "$*<>:|?\0]')


@dataclass(frozen=True)
class MongoDBConfig:
    """Say what to connect to and how.

    uri: a MongoDB connection string, mongodb:// or mongodb+srv://; every option of the driver's that it can hold is
        passed on (`maxPoolSize`, `tls`, `authSource`, `readPreference` ...).
    db_name: the database that holds the stores, whatever the uri names.
    embedding_dimensions: the length of the vectors. None takes vectors of any length, and a search compares those that
        are as long as its own; then no index for $vectorSearch is made.
    text_language: the language of the words, one of MongoDB's text search languages, or "none"; fixed when a
        collection gets its text index.
    create_indexes: make collections and indexes where they are missing, when the provider opens.
    vector_search: use $vectorSearch where the server has it.
    connect_timeout: seconds to wait for a server that can be used; 10.
    operation_timeout: seconds to wait for the answer to one operation; 60. None waits for ever.
    on_invalid_text: what to do with NUL characters and lone surrogates, "error" or "replace" (by U+FFFD).
    require_memory: refuse every call that is not made through `provider.memory(...)`; off by default.

    Frozen and compared by value; the uri, which may hold a password, is in no repr. Raises ConfigurationError for a
    wrong option.
    """

    uri: str = field(default="mongodb://localhost:27017", repr=False)
    db_name: str = "memorizz"
    embedding_dimensions: int | None = None
    text_language: str = "english"
    create_indexes: bool = True
    vector_search: bool = True
    connect_timeout: float = 10.0
    operation_timeout: float | None = 60.0
    on_invalid_text: InvalidText = "error"
    require_memory: bool = False

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.uri), str) or not self.uri.startswith(_SCHEMES):
            # Not quoted: it may hold a password.
            raise ConfigurationError(f"uri is no connection string: expected one that begins with {_SCHEMES[0]}")
        name = cast(object, self.db_name)
        if not isinstance(name, str) or not 0 < len(name.encode(errors="replace")) < 64 or _NOT_IN_NAMES.search(name):
            raise ConfigurationError(
                f'db_name={quoted(name)}: expected 1 to 63 bytes without any of / \\ . " $ * < > : | ?'
            )
        dimensions = cast(object, self.embedding_dimensions)
        if dimensions is not None and not (
            isinstance(dimensions, int) and not isinstance(dimensions, bool) and 0 < dimensions <= MAX_DIMENSIONS
        ):
            raise ConfigurationError(
                f"embedding_dimensions={quoted(dimensions)}: expected None or a whole number from 1 to {MAX_DIMENSIONS}"
            )
        for option in ("connect_timeout", "operation_timeout"):
            seconds = getattr(self, option)
            if not (isinstance(seconds, int | float) and seconds > 0) and (seconds is not None or option[0] != "o"):
                raise ConfigurationError(f"{option}={quoted(seconds)}: expected a number of seconds above 0")
        if self.on_invalid_text not in get_args(InvalidText):
            raise ConfigurationError(
                f"on_invalid_text={quoted(self.on_invalid_text)}: expected one of {', '.join(get_args(InvalidText))}"
            )
        if not isinstance(cast(object, self.require_memory), bool):
            raise ConfigurationError(f"require_memory={quoted(self.require_memory)}: expected True or False")
        if not isinstance(cast(object, self.text_language), str):
            raise ConfigurationError(f"text_language={quoted(self.text_language)}: expected a name such as 'english'")

    @property
    def where(self) -> str:
        """What this connects to, in words for messages, without user and password."""
        hosts = self.uri.partition("://")[2].rpartition("@")[2].partition("?")[0].partition("/")[0]
        return f"{hosts}, database {self.db_name}"
