"""Which columns a store has, and how a document becomes a row and a row a document.

The seven stores share one set of columns, so that a key means the same in each of them. Keys with a column go to the
column; every other key goes to the JSONB column `data`. A key that was given as None is remembered in `data` too,
because NULL in a column means that the key is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, Literal, cast
from uuid import UUID

import numpy as np
from psycopg import sql

from memorizz.errors import InvalidDocument
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import _values
from memorizz.memory_provider.postgresql._values import InvalidText

IndexKind = Literal["hnsw", "halfvec", "none"]


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    NUMBER = "double precision"
    INTEGER = "bigint"
    TIME = "timestamp with time zone"
    OBJECT = "jsonb"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that holds one key of a document; `limit` is in bytes, for text that is indexed."""

    name: str
    kind: Kind
    limit: int | None = None


_INDEXED_TEXT = 1024

COLUMNS: Mapping[str, Column] = {
    column.name: column
    for column in (
        Column("name", Kind.TEXT, _INDEXED_TEXT),
        Column("memory_id", Kind.TEXT, _INDEXED_TEXT),
        Column("conversation_id", Kind.TEXT, _INDEXED_TEXT),
        Column("role", Kind.TEXT, _INDEXED_TEXT),
        Column("content", Kind.TEXT),
        Column("importance_score", Kind.NUMBER),
        Column("access_count", Kind.INTEGER),
        Column("metadata", Kind.OBJECT),
        Column("timestamp", Kind.TIME),
        Column("created_at", Kind.TIME),
        Column("updated_at", Kind.TIME),
        Column("last_accessed", Kind.TIME),
        Column("expires_at", Kind.TIME),
    )
}

# Keys of a document that no column of their own and no `data` holds: the id is the primary key, the vector is apart.
ID_KEYS = ("id", "_id")
EMBEDDING = "embedding"
# Under this key of `data` stands the id's text where it is no canonical UUID.
GIVEN_ID = "_id"
