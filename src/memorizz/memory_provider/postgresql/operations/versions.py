"""What the methods of time do: what a document was, in what two versions differ, and what is taken back.

Nothing is rewritten: what is restored is another change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from memorizz.errors import ConfigurationError, InvalidDocument, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import text_argument
from memorizz.memory_provider._versions import difference, moment, version_of
from memorizz.memory_provider.base import StoreName, Version
from memorizz.memory_provider.postgresql._steps import Operation, Query, Row, fetch, fetch_all
from memorizz.memory_provider.postgresql.facts import Facts, Store, check_kept, check_known, today
from memorizz.memory_provider.postgresql.operations.embedding import embed_texts
from memorizz.memory_provider.postgresql.rows import SELECTED, document_of
from memorizz.memory_provider.postgresql.sql import forgetting, history, writes

Since = TypeVar("Since", datetime, datetime | int)

# Where a row of changes has what comes behind the version that the change ended.
_SEQ, _IN_SCOPE, _FORGOTTEN, _NUMBER, _AT, _CHANGE = (len(SELECTED) + place for place in range(6))


def versions(facts: Facts, id: Any, memory_store_type: StoreName) -> Operation[list[Version]]:
    store = facts.store(memory_store_type)
    check_kept(store)
    name = _values.id_text(id)
    if name is None:
        return []
    # The table of a history that another program has ended is there, and empty.
    return versions_of((yield from facts.of_today(fetch(history.changes(store, _values.id_key(name))))))


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
    before, after = _past(moment(since, "since")), None if until is None else moment(until, "until")
    for each in (before, after):
        if isinstance(each, datetime):
            check_known(store, each)
    found = yield from versions(facts, id, memory_store_type)
    documents = [_document(found, before, id, store), found[-1].document if found else None]
    if after is not None:
        documents[1] = _document(found, after, id, store)
    return difference(*documents)


def diff_memory(
    facts: Facts, memory_id: str | None, memory_store_type: StoreName, since: Any, until: Any = None
) -> Operation[dict[str, dict[str, Any]]]:
    store, memory = facts.store(memory_store_type), text_argument(memory_id, "memory_id")
    before, after = _past(_time(since, "since")), None if until is None else _time(until, "until")
    times = [time for time in (before, after) if time is not None]
    for time in times:
        check_known(store, time)
    of_memory = () if memory_id is None else (memory,)
    sides = [store.within(store.scope if time is None else store.scope.of_time(time)) for time in (before, after)]
    rows = yield from facts.of_today(fetch_all([history.changed(each, min(times), *of_memory) for each in sides]))
    was, there = ({document["id"]: document for document in map(document_of, found)} for found in rows)
    changed = {id: difference(was[id], there[id]) for id in sorted(was.keys() & there.keys())}
    return {
        "added": {id: there[id] for id in sorted(there.keys() - was.keys())},
        "changed": {id: keys for id, keys in changed.items() if keys},
        "gone": {id: was[id] for id in sorted(was.keys() - there.keys())},
    }


# What was a moment ago for a server may be to come by the clock of a program.
_CLOCKS_DIFFER = timedelta(hours=1)


def _past(since: Since) -> Since:
    """Return a time, or the number of a version; raises ConfigurationError for a time that is to come."""
    if isinstance(since, datetime) and since > datetime.now(UTC) + _CLOCKS_DIFFER:
        raise ConfigurationError(f"since={since.isoformat()}: expected a time that is past, and this is to come")
    return since


def _time(given: Any, name: str) -> datetime:
    """Return a time; raises ConfigurationError for what is none, the number of a version included."""
    time = None if isinstance(given, int) else moment(given, name)
    if not isinstance(time, datetime):
        raise ConfigurationError(f"{name}={quoted(given)}: expected a datetime, or a text in ISO 8601")
    return time


def _document(found: Sequence[Version], to: datetime | int, id: Any, store: Store) -> Any:
    version = version_of(found, to)
    if version is None and isinstance(to, int):
        raise ConfigurationError(f"{store.name}: {quoted(id)} has no version {to}; versions() lists those that it has")
    return None if version is None else version.document


# --- taking back --------------------------------------------------------------------------------------------------

# How many documents an error names.
_LISTED = 10


def restore(facts: Facts, id: Any, memory_store_type: StoreName, to: Any) -> Operation[bool]:
    store, wanted = facts.store(memory_store_type), moment(to, "to")
    check_kept(store)
    if isinstance(wanted, datetime):
        check_known(store, wanted)
    name = _values.id_text(id)
    if name is None:
        return False
    key = _values.id_key(name)
    *_, rows = yield from facts.of_today(fetch_all([*writes.locked(store, [key]), history.changes(store, key)]))
    version = version_of(versions_of(rows), wanted)
    if version is None or version.document is None:
        if version is not None and any(row[_FORGOTTEN] for row in rows):
            raise _gone(store, [name])
        return False
    ended = next(row[_NUMBER] for row in rows if row[_NUMBER] is None or row[_NUMBER] > version.number)
    if ended is not None:
        yield from _take_back({store: [(key, ended)]}, {}, "restore")
    return True


def undo(facts: Facts, *, call: Any = None, since: Any = None) -> Operation[dict[str, list[str]]]:
    of_call, time = _undone(call, since)
    # Of each store, also where another program has begun its history since.
    known = yield from today(facts)
    stores = [store for store in known.stores.values() if store.kept is not None]
    if not stores:
        check_kept(known.store(next(iter(known.stores))))
    if time is not None:
        for store in stores:
            check_known(store, time)
    firsts = yield from fetch_all([history.first_changes(store, of_call, time) for store in stores])
    # Once more, when nobody else changes them any more.
    steps: list[Query] = []
    for store, rows in zip(stores, firsts, strict=True):
        steps += [*writes.locked(store, [row[0] for row in rows]), history.first_changes(store, of_call, time)]
    firsts = (yield from fetch_all(steps))[2::3]
    ended: dict[Store, list[tuple[UUID, int]]] = {}
    begun: dict[Store, list[UUID]] = {}
    for store, rows in zip(stores, firsts, strict=True):
        forgotten = [row[_FIRST_NAME] for row in rows if row[_FIRST_FORGOTTEN]]
        if forgotten:
            raise _gone(store, forgotten)
        changed = [row[_FIRST_NAME] for row in rows if row[_FIRST_CHANGED]]
        if changed:
            raise ConfigurationError(
                f"nothing is undone: others have changed {_listed(changed)} of {store.name} since; restore() in "
                "Python takes back one of them"
            )
        ended[store] = [(row[0], row[1]) for row in rows if row[2]]
        begun[store] = [row[0] for row in rows if not row[2]]
    return (yield from _take_back(ended, begun, "undo"))


_FIRST_FORGOTTEN, _FIRST_NAME, _FIRST_CHANGED = 3, 4, 5


def _undone(call: Any, since: Any) -> tuple[str | None, datetime | None]:
    """Return the call or the time; raises ConfigurationError unless one of the two is given."""
    if (call is None) == (since is None):
        raise ConfigurationError("undo: expected call= or since=, one of the two")
    if since is None:
        if not isinstance(call, str):
            raise ConfigurationError(f"call={quoted(call)}: expected what a version has as its call, a text")
        return call, None
    return None, _past(_time(since, "since"))


# How many documents a statement restores: each enters the vector index again, and an answer is waited for so long.
_AT_ONCE = 500


def _take_back(
    ended: Mapping[Store, Sequence[tuple[UUID, int]]], begun: Mapping[Store, Sequence[UUID]], operation: str
) -> Operation[dict[str, list[str]]]:
    """Restore what some changes ended and delete what they began; return the ids of each store."""
    done: dict[str, list[str]] = {}
    yield from fetch(forgetting.operation(operation))
    for store, versions in ended.items():
        for start in range(0, len(versions), _AT_ONCE):
            some = versions[start : start + _AT_ONCE]
            found = yield from fetch(history.restore(store, some))
            done.setdefault(store.name, []).extend(name for _, name in found)
            if store.has_parts:
                restored = {id for id, _ in found}
                yield from fetch(history.restore_parts(store, [each for each in some if each[0] in restored]))
    for store, ids in begun.items():
        if ids:
            found = yield from fetch(history.delete(store, ids))
            done.setdefault(store.name, []).extend(name for _, name in found)
    yield from fetch(forgetting.operation())
    return {name: sorted(ids) for name, ids in done.items() if ids}


def embed_restored(facts: Facts, restored: Mapping[str, Sequence[str]]) -> Operation[None]:
    """Embed those documents that have a text and got no vector, for it was gone."""
    for name, ids in restored.items():
        store = facts.store(name)
        if store.embeds:
            yield from embed_texts(store, [_values.id_key(id) for id in ids])


def _gone(store: Store, names: Sequence[str]) -> InvalidDocument:
    return InvalidDocument(
        "id", f"{_listed(names)} of {store.name} has been forgotten, and is gone: no version of it is left"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(map(quoted, names[:_LISTED])) + more
