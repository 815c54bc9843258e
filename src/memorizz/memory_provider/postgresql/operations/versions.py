"""What the methods of time do: what a document was, in what two versions differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider._versions import difference, moment, version_of
from memorizz.memory_provider.base import StoreName, Version
from memorizz.memory_provider.postgresql._steps import Operation, Row, fetch
from memorizz.memory_provider.postgresql.facts import Facts, Store, check_kept, check_known
from memorizz.memory_provider.postgresql.rows import SELECTED, document_of
from memorizz.memory_provider.postgresql.sql import history

# Where a row of changes has what comes behind the version that the change ended.
_SEQ, _IN_SCOPE, _NUMBER, _AT, _CHANGE = (len(SELECTED) + place for place in range(5))


def versions(facts: Facts, id: Any, memory_store_type: StoreName) -> Operation[list[Version]]:
    store = facts.store(memory_store_type)
    check_kept(store)
    name = _values.id_text(id)
    if name is None:
        return []
    return versions_of((yield from fetch(history.changes(store, _values.id_key(name)))))


class _Begun(NamedTuple):
    """The change that began a version; nothing is known of what the history began with."""

    number: int = 0
    at: datetime | None = None
    operation: str | None = None
    actor: str | None = None
    call: str | None = None


def versions_of(rows: Sequence[Row]) -> list[Version]:
    """Return the versions that a document's changes make, each begun by one and ended by the next."""
    changes = [row for row in rows if row[_NUMBER] is not None]
    present = rows[len(changes)] if len(rows) > len(changes) else None
    begun = _Begun()
    found: list[Version] = []
    # Of a document that is gone, what it was before says whether it was of the scope.
    of_scope = False
    for row in (*changes, present):
        document: Any = None
        if row is not None and row[_SEQ] is not None:
            document = document_of(row) if row[_IN_SCOPE] else None
            of_scope = document is not None
        ended = None if row is None or row is present else _begun_by(row, begun.at)
        if of_scope and (document is not None or begun.number):
            found.append(Version(begun.number, begun.at, ended and ended.at, *begun[2:], document=document))
        of_scope = of_scope or (row is not None and row[_IN_SCOPE])
        begun = ended or begun
    return found


def _begun_by(row: Row, before: datetime | None) -> _Begun:
    at: datetime = row[_AT].replace(tzinfo=UTC)
    # Clocks jump, and a change that waited for another one is dated before it: versions follow one another.
    return _Begun(row[_NUMBER], at if before is None else max(before, at), *row[_CHANGE:])


def diff(
    facts: Facts, id: Any, memory_store_type: StoreName, since: Any, until: Any = None
) -> Operation[dict[str, dict[str, Any]]]:
    store = facts.store(memory_store_type)
    before, after = moment(since, "since"), None if until is None else moment(until, "until")
    for each in (before, after):
        if isinstance(each, datetime):
            check_known(store, each)
    found = yield from versions(facts, id, memory_store_type)
    documents = [_document(found, before, id, store), found[-1].document if found else None]
    if after is not None:
        documents[1] = _document(found, after, id, store)
    return difference(*documents)


def _document(found: Sequence[Version], to: datetime | int, id: Any, store: Store) -> Any:
    version = version_of(found, to)
    if version is None and isinstance(to, int):
        raise ConfigurationError(f"{store.name}: {quoted(id)} has no version {to}; versions() lists those that it has")
    return None if version is None else version.document
