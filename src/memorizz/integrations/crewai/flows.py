"""The persistence of CrewAI's flows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from crewai.flow.async_feedback.types import PendingFeedbackContext
from crewai.flow.persistence.base import FlowPersistence
from pydantic import BaseModel, ConfigDict, PrivateAttr, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import to_jsonable_python

from memorizz.errors import InvalidDocument
from memorizz.integrations._providers import check_of_no_memory, key_of, opened, to_json
from memorizz.memory_provider.base import MemoryProvider
from memorizz.memory_provider.options import Document
from memorizz.memory_provider.stores import StoreSpec

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

# A document for each flow: its newest state, and what it waits for, if it does.
STATES = StoreSpec("crewai_flow_states", index="none", embedded=False, memories=False)


class MemorizzFlowPersistence(FlowPersistence):
    """Keep the newest state of each flow, and what it asked a human: `@persist(MemorizzFlowPersistence())`.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.

    Raises what opening a provider raises. Saving raises InvalidDocument for a state that JSON cannot hold; a flow that
    is serialized takes its persistence along only without a source.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    persistence_type: str = "MemorizzFlowPersistence"
    _provider: MemoryProvider = PrivateAttr()
    _is_own: bool = PrivateAttr()
    _is_named: bool = PrivateAttr()

    def __init__(self, source: MemoryProvider | PostgreSQLConfig | str | None = None, /, **given: Any) -> None:
        super().__init__(**given)
        self._provider, self._is_own = opened(source, STATES)
        check_of_no_memory(self._provider, type(self).__name__)
        self._is_named = source is not None

    def close(self) -> None:
        """Close the provider, unless it was given; twice is fine."""
        if self._is_own:
            self._provider.close()

    def init_db(self) -> None:
        """Do nothing: the store is made where the persistence is."""

    def save_state(self, flow_uuid: str, method_name: str, state_data: dict[str, Any] | BaseModel) -> None:
        """Keep the state of a flow in the place of the one before."""
        self._keep(flow_uuid, method=method_name, state=_text(state_data))

    def load_state(self, flow_uuid: str) -> dict[str, Any] | None:
        """Return the newest state of a flow, or None."""
        found = self._found(flow_uuid)
        return None if found is None else json.loads(found["state"])

    def save_pending_feedback(
        self, flow_uuid: str, context: PendingFeedbackContext, state_data: dict[str, Any] | BaseModel
    ) -> None:
        """Keep the state of a flow that waits for a human, and what it asked."""
        state = _text(state_data)
        asked = {"context": _text(context.to_dict()), "state": state}
        self._keep(flow_uuid, method=context.method_name, state=state, pending=asked)

    def load_pending_feedback(self, flow_uuid: str) -> tuple[dict[str, Any], PendingFeedbackContext] | None:
        """Return the state with which a flow began to wait and what it asked, or None where it does not wait."""
        found = self._found(flow_uuid)
        pending = found and found.get("pending")
        if not pending:
            return None
        return json.loads(pending["state"]), PendingFeedbackContext.from_dict(json.loads(pending["context"]))

    def clear_pending_feedback(self, flow_uuid: str) -> None:
        """Note that a flow waits no longer; its state stays."""
        self._provider.update(STATES.name, {"id": _key(flow_uuid)}, {"pending": None})

    def _keep(self, flow_uuid: str, **values: Any) -> None:
        self._provider.store({"id": _key(flow_uuid), **values}, STATES.name)

    def _found(self, flow_uuid: str) -> Document | None:
        return self._provider.retrieve_by_id(_key(flow_uuid), STATES.name)

    @model_serializer(mode="wrap")
    def _serialized(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        if self._is_named:
            raise ValueError(
                "a provider, a configuration or a connection string is no part of a serialized flow: make the "
                "MemorizzFlowPersistence without one, on the server that POSTGRES_* name, or give it to the flow again"
            )
        return plain(self)


def _key(flow_uuid: object) -> str:
    return key_of(str(flow_uuid))


def _text(state: object) -> str:
    """Return a state as JSON text, models and times as pydantic writes them; raises InvalidDocument."""
    try:
        plain = to_jsonable_python(state, inf_nan_mode="constants")
    except ValueError as error:
        raise InvalidDocument("state", f"{error}; expected what JSON can hold") from None
    return to_json(plain, "state")
