"""What ADK hands over as JSON text, and back; and state as keys of a document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from google.adk.sessions import State
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from memorizz.errors import InvalidDocument, quoted
from memorizz.integrations._providers import to_json
from memorizz.memory_provider.options import Document


def to_plain(value: Any, path: str) -> Any:
    """Return what JSON has for a value: a time is its text, a set a list, a model an object.

    Raises InvalidDocument for what JSON has nothing for.
    """
    try:
        return to_jsonable_python(value)
    # pydantic's errors have no other base in common; a __repr__ or a serializer of the user's may raise anything.
    except Exception as error:
        raise InvalidDocument(path, f"{error}; expected what JSON can hold") from None


def model_to_plain(model: BaseModel, path: str) -> dict[str, Any]:
    """Return a model of ADK's as JSON, without what is None; raises InvalidDocument for what JSON cannot hold."""
    try:
        return model.model_dump(mode="json", exclude_none=True)
    except Exception as error:
        raise InvalidDocument(path, f"{error}; expected what JSON can hold") from None


class Delta:
    """A change of state, by whose it is: the app's, the user's and the session's; what is temporary is in none.

    Each holds keys of a document: a key of the state as JSON text, which begins with a quotation mark and so is none of
    the document's own, with its value as JSON text. Merged into the document, it changes these keys of the state and no
    other. `plain` has all of them as JSON.

    Raises InvalidDocument for what JSON cannot hold.
    """

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.plain: dict[str, Any] = {}
        self.app: dict[str, str] = {}
        self.user: dict[str, str] = {}
        self.session: dict[str, str] = {}
        for key, value in state.items():
            if not isinstance(cast(object, key), str):
                raise InvalidDocument("state", f"the key {quoted(key)} is no str")
            if key.startswith(State.TEMP_PREFIX):
                continue
            path = f"state[{key!r}]"
            self.plain[key] = to_plain(value, path)
            written = to_json(self.plain[key], path)
            if key.startswith(State.APP_PREFIX):
                self.app[json.dumps(key.removeprefix(State.APP_PREFIX))] = written
            elif key.startswith(State.USER_PREFIX):
                self.user[json.dumps(key.removeprefix(State.USER_PREFIX))] = written
            else:
                self.session[json.dumps(key)] = written


def state_in(document: Document | None, prefix: str = "") -> dict[str, Any]:
    """Return the state that a document has, with a prefix before each key."""
    keys = () if document is None else (key for key in document if key.startswith('"'))
    return {prefix + json.loads(key): json.loads(cast(Document, document)[key]) for key in keys}
