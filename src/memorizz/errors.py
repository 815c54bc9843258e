"""What can go wrong, as one tree.

MemorizzError
├── ConfigurationError (ValueError)       a bad option, a missing extra, dimensions out of range
├── ConnectionFailed (ConnectionError)    the server cannot be reached or refuses the connection
├── PoolTimeout (TimeoutError)            no pooled connection became free in time
├── OperationTimeout (TimeoutError)       the server did not answer in time
├── ProviderClosed                        a call after close()
├── SchemaError                           no extension, not migrated, newer than this code, server too old
├── InvalidDocument (ValueError)          a value that cannot be stored, with its key path
│   └── DimensionMismatch                 an embedding of the wrong length
├── FilterError (ValueError)              an unknown operator or a malformed operand
├── InvalidFile (ValueError)              an export that is altered, cut off, of another version, or none
├── ReadOnlyError                         the transaction or the server only reads
├── StorageFull                           the server, or the disk of an export, has no room left
├── EmbeddingFailed                       an embedder brought no vectors, or not the ones it was asked for
└── DatabaseError                         anything else of the driver, the original as __cause__
"""

from __future__ import annotations


class MemorizzError(Exception):
    """The base of every error that this library raises on purpose."""


class ConfigurationError(MemorizzError, ValueError):
    """An option is wrong, or something that an option asks for is not installed."""


class ConnectionFailed(MemorizzError, ConnectionError):
    """The server cannot be reached, refuses the connection, or was lost."""


class PoolTimeout(MemorizzError, TimeoutError):
    """No pooled connection became free within the pool's deadline."""


class OperationTimeout(MemorizzError, TimeoutError):
    """The server did not answer within the operation's deadline."""


class ProviderClosed(MemorizzError):
    """The provider was used after close()."""


class SchemaError(MemorizzError):
    """The database lacks something that this version needs, or is newer than this version."""


class InvalidDocument(MemorizzError, ValueError):
    """A document holds a value that cannot be stored.

    `path` is the way to the value ("metadata.tags[2]"), `reason` what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot store {path!r}: {reason}" if path else f"cannot store the document: {reason}")
        self.path = path
        self.reason = reason


class DimensionMismatch(InvalidDocument):
    """An embedding has another length than the store's vectors."""

    def __init__(self, *, expected: int, got: int, store: str) -> None:
        InvalidDocument.__init__(
            self,
            "embedding",
            f"vector dimension mismatch: {store} holds vectors of {expected} dimensions, got {got}; use the "
            "embedding model that the store was made for, or another schema or database with "
            f"embedding_dimensions={got}",
        )
        self.expected = expected
        self.got = got
        self.store = store


class FilterError(MemorizzError, ValueError):
    """A filter uses an unknown operator or an operand of the wrong form."""


class InvalidFile(MemorizzError, ValueError):
    """A file is no export, or not one as it was written.

    `file` is its name, `where` the line, row group or part of it, `reason` what is wrong there.
    """

    def __init__(self, file: str, where: str, reason: str) -> None:
        super().__init__(f"{file}, {where}: {reason}")
        self.file = file
        self.where = where
        self.reason = reason


class ReadOnlyError(MemorizzError):
    """A write reached a read-only transaction, or a standby server."""


class StorageFull(MemorizzError):
    """No room is left: on the server, of disk, quota or memory, or on the disk that an export is written to."""


class EmbeddingFailed(MemorizzError):
    """An embedder brought no vectors, or not the ones it was asked for.

    `model` is its name, `reason` what went wrong, `status` what an HTTP endpoint answered. `transient` says that the
    same call may succeed later, `retry_after` in how many seconds, where the endpoint said so.
    """

    def __init__(
        self,
        model: str,
        reason: str,
        *,
        status: int | None = None,
        transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"cannot embed with {model!r}: {reason}")
        self.model = model
        self.reason = reason
        self.status = status
        self.transient = transient
        self.retry_after = retry_after


class DatabaseError(MemorizzError):
    """Any other error of the driver; the original is its __cause__."""
