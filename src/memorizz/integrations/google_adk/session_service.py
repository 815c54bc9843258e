"""A session service of ADK: sessions with their state and their events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event
from google.adk.platform import time as platform_time
from google.adk.platform import uuid as platform_uuid
from google.adk.sessions import BaseSessionService, Session, State
from google.adk.sessions.base_session_service import GetSessionConfig, ListSessionsResponse

from memorizz.integrations._providers import Opened, in_thread, key_of, made_again, to_json
from memorizz.integrations.google_adk._json import Delta, model_to_plain, state_in
from memorizz.memory_provider.base import Call, MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document
from memorizz.memory_provider.stores import StoreSpec

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

# A session is a row here, with its state; `revision` counts its events. `log` is another one each time that a session
# of the same names is created: its events have it as their memory_id.
SESSIONS = StoreSpec("google_adk_sessions", index="none", embedded=False, memories=False)
EVENTS = StoreSpec("google_adk_events", index="none", embedded=False, memories=False)
# The state of each app, and of each of its users.
STATES = StoreSpec("google_adk_states", index="none", embedded=False, memories=False)

# So many appends of one process may be under way; of one session there is one at a time.
_TURNS = 64


class _Mark(NamedTuple):
    """Which revision of a session an object shows: ADK keeps it in the object for whoever stored it."""

    log: str
    revision: int

    @classmethod
    def of(cls, session: Session) -> _Mark | None:
        log, _, revision = (session._storage_update_marker or "").partition(":")  # pyright: ignore[reportPrivateUsage]
        return cls(log, int(revision)) if revision.isdecimal() else None

    def put(self, session: Session) -> None:
        session._storage_update_marker = f"{self.log}:{self.revision}"  # pyright: ignore[reportPrivateUsage]

    def next(self) -> _Mark:
        return _Mark(self.log, self.revision + 1)


class _Refused(Exception):
    """Rolls an append back that was made before, or by an object that shows another revision."""


class _Append(NamedTuple):
    """An event to be appended, as it is stored."""

    id: str
    timestamp: float
    written: str
    delta: Delta


class MemorizzSessionService(Opened, BaseSessionService):
    """Keep the sessions of ADK's agents; give it as `Runner(..., session_service=)`.

    One object may serve several threads and event loops at once, and many may share a provider. An app, a user and a
    session are named by any text, which is compared as it is.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.

    Raises what opening a provider raises.
    """

    def __init__(self, source: MemoryProvider | PostgreSQLConfig | str | None = None) -> None:
        self._open(source, SESSIONS, EVENTS, STATES)
        self._turns = [Lock() for _ in range(_TURNS)]

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Create a session and return it; its id is made where it is None.

        What of the state begins with `app:` or `user:` is merged into the state of the app or the user; `temp:` is not
        kept. Raises AlreadyExistsError where the user has a session of this id, InvalidDocument for a state that JSON
        cannot hold; then nothing is kept.
        """
        session_id = platform_uuid.new_uuid() if session_id is None else session_id
        names = (app_name, user_id, session_id)
        key_of(*names)
        return await in_thread(self._create, names, Delta(state or {}), platform_time.get_time())

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session with its state and its events, or None.

        Of the events, those at or after `config.after_timestamp`, and of these the newest `config.num_recent_events`.
        """
        return await in_thread(self._get, (app_name, user_id, session_id), config or GetSessionConfig())

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return the sessions of a user, or of all users, without events; the one that was last changed comes last."""
        return ListSessionsResponse(sessions=await in_thread(self._list, app_name, user_id))

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session and its events, where it is there; the state of the app and of the user stays."""
        await in_thread(self._delete, key_of(app_name, user_id, session_id))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user, without the prefix; empty where there is none."""
        return state_in(await in_thread(self.provider.retrieve_by_id, key_of(app_name, user_id), STATES.name))

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append an event to a session, with its change of state: both are kept and shown by the object, or neither.

        An event that the session has, by its id, is there already, as after a retry; a partial one is not kept. Also
        where the caller is cancelled, the object shows what was kept.

        Raises StaleSessionError where the object does not show the newest event: get the session again;
        SessionNotFoundError where there is none, InvalidDocument for what JSON cannot hold.
        """
        if event.partial:
            return event
        delta = Delta(event.actions.state_delta)
        # Without what is temporary; the object of the caller is changed only when this is kept.
        actions = event.actions.model_copy(update={"state_delta": {}})
        plain = model_to_plain(event.model_copy(update={"actions": actions}), "event")
        plain.setdefault("actions", {})["state_delta"] = delta.plain
        append = _Append(event.id, event.timestamp, to_json(plain, "event"), delta)
        loop = asyncio.get_running_loop()
        # In this thread, in the order in which they are kept.
        await in_thread(
            self._append, session, append, lambda: loop.call_soon_threadsafe(lambda: self._show(session, event))
        )
        return event

    def _show(self, session: Session, event: Event) -> None:
        """Change the object of a caller as what is stored was changed."""
        self._apply_temp_state(session, event)
        self._commit_event_to_session(session, self._trim_temp_delta_state(event))
        session.last_update_time = event.timestamp

    # --- sessions ---------------------------------------------------------------------------------------------------

    @made_again
    def _create(self, names: tuple[str, str, str], delta: Delta, now: float) -> Session:
        app, user, _ = names
        row: Document = {
            "id": key_of(*names),
            "memory_id": key_of(app),
            "conversation_id": key_of(app, user),
            "names": json.dumps(names),
            "log": uuid4().hex,
            "revision": 0,
            "changed": now,
            **delta.session,
        }
        with self.provider.transaction() as tx:
            if tx.store(row, SESSIONS.name, if_absent=True) is None:
                raise AlreadyExistsError(
                    f"the user {user!r} of {app!r} has a session {names[2]!r}: get it, or create one of another id"
                )
            *_, states = tx.run_many([*_changes(app, user, delta), _states(app, user)])
        return _session_of(row, _by_id(states))

    def _get(self, names: tuple[str, str, str], config: GetSessionConfig) -> Session | None:
        app, user, _ = names
        row, states = self.provider.run_many(
            [Call("retrieve_by_id", key_of(*names), SESSIONS.name), _states(app, user)]
        )
        if row is None:
            return None
        session = _session_of(row, _by_id(states))
        if config.num_recent_events != 0:
            # What was appended meanwhile is of another revision.
            where: dict[str, Any] = {"memory_id": row["log"], "number": {"$lte": row["revision"]}}
            if config.after_timestamp is not None:
                where["at"] = {"$gte": config.after_timestamp}
            most = MAX_LIMIT if config.num_recent_events is None else min(config.num_recent_events, MAX_LIMIT)
            found = self.provider.retrieve_by_query(where, EVENTS.name, most, order_by="-number")
            session.events = [Event.model_validate(json.loads(each["event"])) for each in reversed(found)]
        return session

    def _list(self, app: str, user: str | None) -> list[Session]:
        if user is None:
            where, states = {"memory_id": key_of(app)}, _by_filter({"memory_id": key_of(app)}, STATES)
        else:
            where, states = {"conversation_id": key_of(app, user)}, _states(app, user)
        rows, found = self.provider.run_many([_by_filter(where, SESSIONS), states])
        by_id = _by_id(found)
        sessions = [_session_of(row, by_id) for row in rows]
        return sorted(sessions, key=lambda session: (session.last_update_time, session.user_id, session.id))

    @made_again
    def _delete(self, key: str) -> None:
        with self.provider.transaction() as tx:
            row = tx.retrieve_by_id(key, SESSIONS.name)
            # Locks the session: who appends meanwhile has done so before, or finds it gone.
            if row is not None and tx.delete(SESSIONS.name, {"id": key, "log": row["log"]}):
                tx.delete(EVENTS.name, {"memory_id": row["log"]})

    # --- events -----------------------------------------------------------------------------------------------------

    def _append(self, session: Session, append: _Append, show: Callable[[], object]) -> None:
        key = key_of(session.app_name, session.user_id, session.id)
        # Agents that run side by side append through one object, which shows a revision after the other.
        with self._turns[hash(key) % _TURNS]:
            mark = _Mark.of(session) or self._shown(session, key)
            try:
                self._keep(session, key, append, mark)
            except _Refused:
                if not self._is_kept(session, key, append, mark):
                    return
            mark.next().put(session)
            show()

    @made_again
    def _keep(self, session: Session, key: str, append: _Append, mark: _Mark) -> None:
        """Store an event and its change of state; raises _Refused, and keeps nothing, unless it is the next one."""
        event = {
            "id": key_of(mark.log, append.id),
            "memory_id": mark.log,
            "number": mark.revision + 1,
            "at": append.timestamp,
            "event": append.written,
        }
        as_shown = {"id": key, "log": mark.log, "revision": mark.revision}
        changed = {"revision": mark.revision + 1, "changed": append.timestamp, **append.delta.session}
        with self.provider.transaction() as tx:
            if tx.store(event, EVENTS.name, if_absent=True) is None:
                raise _Refused
            revised, *_ = tx.run_many(
                [
                    Call("update", SESSIONS.name, as_shown, changed),
                    *_changes(session.app_name, session.user_id, append.delta),
                ]
            )
            if not revised:
                raise _Refused

    def _is_kept(self, session: Session, key: str, append: _Append, mark: _Mark) -> bool:
        """Return True if what was refused is kept, as the next event after those that the object shows.

        False where the object shows it, or where others stand between. Raises the error for what is not kept.
        """
        row, event = self.provider.run_many(
            [
                Call("retrieve_by_id", key, SESSIONS.name),
                Call("retrieve_by_id", key_of(mark.log, append.id), EVENTS.name),
            ]
        )
        if row is None:
            raise _not_found(session)
        if event is None:
            raise StaleSessionError(
                f"the session {session.id!r} has changed since this object of it was read: get it again, and append to "
                "what you get"
            )
        return event["number"] == mark.revision + 1

    def _shown(self, session: Session, key: str) -> _Mark:
        """Return which revision an object shows that was not made here: that of its last event."""
        row = self.provider.retrieve_by_id(key, SESSIONS.name)
        if row is None:
            raise _not_found(session)
        if not session.events:
            return _Mark(row["log"], 0)
        last = self.provider.retrieve_by_id(key_of(row["log"], session.events[-1].id), EVENTS.name)
        return _Mark(row["log"], -1 if last is None else last["number"])


def _not_found(session: Session) -> SessionNotFoundError:
    return SessionNotFoundError(
        f"there is no session {session.id!r} of the user {session.user_id!r} of {session.app_name!r}: it was never "
        "created, or is deleted"
    )


def _by_filter(where: dict[str, Any], store: StoreSpec) -> Call:
    return Call("retrieve_by_query", where, store.name, MAX_LIMIT)


def _states(app: str, user: str) -> Call:
    return _by_filter({"id": {"$in": [key_of(app), key_of(app, user)]}}, STATES)


def _changes(app: str, user: str, delta: Delta) -> list[Call]:
    """Return what merges a change into the states of an app and of its user, in the order in which all take them."""
    documents = [
        {"id": key_of(*names), "memory_id": key_of(app), **changed}
        for names, changed in (((app,), delta.app), ((app, user), delta.user))
        if changed
    ]
    return [Call("store_many", documents, STATES.name)] if documents else []


def _by_id(documents: list[Document]) -> dict[str, Document]:
    return {document["id"]: document for document in documents}


def _session_of(row: Document, states: dict[str, Document]) -> Session:
    app, user, id = json.loads(row["names"])
    state = {
        **state_in(row),
        **state_in(states.get(key_of(app)), State.APP_PREFIX),
        **state_in(states.get(key_of(app, user)), State.USER_PREFIX),
    }
    session = Session(app_name=app, user_id=user, id=id, state=state, last_update_time=row["changed"])
    _Mark(row["log"], row["revision"]).put(session)
    return session
