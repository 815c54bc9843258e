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
├── EmbeddingFailed                       an embedder returned no vectors, or not the ones it was asked for
└── DatabaseError                         anything else of the driver, the original as __cause__
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

# A longer message is cut in the middle: the beginning says what was wrong, the end what to do.
_MAX_MESSAGE = 4000
_MAX_END = 1000


def quoted(value: object, most: int = 80) -> str:
    """Return a caller's value as a message shows it: its repr, on one line, cut off after `most` characters."""
    try:
        # Of a long text no more is written out than is shown.
        text = one_line(repr(value[: most + 1] if isinstance(value, str) else value))
    except Exception:  # Python writes no integer of over 4,300 digits, and a class may have any __repr__.
        return f"<{type(value).__name__}>"
    return text if len(text) <= most + 2 else f"{text[:most]}..."


def one_line(text: str) -> str:
    """Return a text with escapes in the place of line breaks and of characters that are not shown."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


class MemorizzError(Exception):
    """The base of every error that this library raises on purpose.

    Its message is one line, whatever values of the caller's it quotes. It can be pickled and copied with all its
    attributes, and so comes whole out of another process; the cause and the traceback stay there.
    """

    def __init__(self, message: str = "") -> None:
        message = one_line(message)
        if len(message) > _MAX_MESSAGE:
            message = f"{message[: _MAX_MESSAGE - _MAX_END]} ... {message[-_MAX_END:]}"
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        # A subclass makes its message of other arguments, so that it cannot be made of its message again.
        return _remade, (type(self), self.args), self.__dict__


def _remade(kind: type[MemorizzError], args: tuple[Any, ...]) -> MemorizzError:
    error = kind.__new__(kind)
    error.args = args
    return error


class ConfigurationError(MemorizzError, ValueError):
    """An option is wrong, or something that an option asks for is not installed."""


class _Unanswered(MemorizzError):
    def __init__(self, message: str = "", *, ids: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class ConnectionFailed(_Unanswered, ConnectionError):
    """The server cannot be reached, refuses the connection, or was lost.

    `ids` are those of the documents that a write was about when the connection was lost before the answer came:
    whether they were written is unknown, as the message then says, and a read tells. A transaction, which is done whole
    or not at all, names the first 1,000. It is empty where nothing was written.
    """


class PoolTimeout(MemorizzError, TimeoutError):
    """No pooled connection became free within the pool's deadline."""


class OperationTimeout(_Unanswered, TimeoutError):
    """The server did not answer within the operation's deadline.

    `ids` are as in ConnectionFailed: of a write that may have been done all the same.
    """


class ProviderClosed(MemorizzError):
    """The provider was used after close()."""


class SchemaError(MemorizzError):
    """The database lacks something that this version needs, or is newer than this version."""


class InvalidDocument(MemorizzError, ValueError):
    """A document holds a value that cannot be stored.

    `path` is the way to the value ("metadata.tags[2]"), `reason` what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot store {quoted(path, 200) if path else 'the document'}: {reason}")
        self.path = path
        self.reason = one_line(reason)


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
        self.reason = one_line(reason)


class ReadOnlyError(MemorizzError):
    """A write reached a read-only transaction, or a standby server."""


class StorageFull(MemorizzError):
    """No room is left: on the server, of disk, quota or memory, or on the disk that an export is written to."""


class EmbeddingFailed(MemorizzError):
    """An embedder returned no vectors, or not the ones it was asked for.

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
        super().__init__(f"cannot embed with {quoted(model)}: {reason}")
        self.model = model
        self.reason = one_line(reason)
        self.status = status
        self.transient = transient
        self.retry_after = retry_after


class DatabaseError(MemorizzError):
    """Any other error of the driver; the original is its __cause__."""


class TransactionConflict(DatabaseError):
    """Another transaction was in the way of this one, of which nothing was kept: do it again as a whole."""
