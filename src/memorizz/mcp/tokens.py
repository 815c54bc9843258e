"""Which bearer token opens which memory, of which tenant."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from memorizz.errors import ConfigurationError
from memorizz.mcp.memory import Scope

_KEYS = {"tenant", "memory", "agent"}
# Whoever guesses a shorter one has time enough for it.
SHORTEST = 16


class Tokens:
    """The tokens that open a server, and the scope of each.

    `scopes` is a mapping from token to Scope, or a function that returns the scope of a token and None for one that it
    does not know; the function is called in a thread, for every request. Tokens of a mapping are kept as hashes and
    compared in constant time. Raises ConfigurationError for an empty mapping, and for a token of fewer than 16
    characters.
    """

    def __init__(self, scopes: Mapping[str, Scope] | Callable[[str], Scope | None]) -> None:
        self._scope_of: Callable[[str], Scope | None]
        self._known: list[tuple[bytes, Scope]] = []
        if callable(scopes):
            self._scope_of = scopes
            return
        if not scopes:
            raise ConfigurationError("there is no token: nobody could reach the server")
        for number, token in enumerate(scopes, 1):
            if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
                raise ConfigurationError(
                    f"token {number} of {len(scopes)}: expected {SHORTEST} or more letters, digits and signs without "
                    "a space, such as `openssl rand -hex 32` prints"
                )
        self._known = [(_hashed(token), scope) for token, scope in scopes.items()]
        self._scope_of = self._find

    @classmethod
    def of_file(cls, path: Path) -> Tokens:
        """Return the tokens of a JSON file: {"the token": {"tenant": "acme", "memory": "ada", "agent": "desk"}}.

        `tenant` and `agent` may be left out.

        Raises ConfigurationError, which shows no token, for a file that cannot be read or holds anything else.
        """
        try:
            found: Any = json.loads(path.read_text("utf-8"), object_pairs_hook=_once)
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        except ValueError as error:
            # Its own message may quote what stands there.
            place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else str(error)
            raise ConfigurationError(f"{path}: no JSON object of tokens, {place}") from None
        if not isinstance(found, dict):
            raise ConfigurationError(f"{path}: expected a JSON object, of tokens and the memory of each")
        entries = cast("dict[str, Any]", found)
        return cls({token: _scope(entry, f"{path}, token {n}") for n, (token, entry) in enumerate(entries.items(), 1)})

    @property
    def known(self) -> list[Scope]:
        """The scopes that are known before a token comes."""
        return [scope for _, scope in self._known]

    def scope_of(self, token: str) -> Scope | None:
        """Return the scope of a token, None for one that opens nothing.

        Raises ConfigurationError where the function returns anything else.
        """
        found = self._scope_of(token)
        if found is not None and not isinstance(cast(object, found), Scope):
            raise ConfigurationError(
                f"the function of tokens returned a {type(found).__name__}: expected a Scope, or None for another token"
            )
        return found

    def _find(self, token: str) -> Scope | None:
        asked, found = _hashed(token), None
        # All are compared, so that the time tells nothing.
        for known, scope in self._known:
            if hmac.compare_digest(known, asked):
                found = scope
        return found


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key that stands there twice")
    return dict(pairs)


def _scope(entry: Any, where: str) -> Scope:
    expected = f'{where}: expected {{"tenant": "...", "memory": "...", "agent": "..."}}, where only the memory must be'
    if not isinstance(entry, dict) or not {"memory"} <= cast("dict[str, Any]", entry).keys() <= _KEYS:
        raise ConfigurationError(expected)
    given = cast("dict[str, Any]", entry)
    try:
        return Scope(given["memory"], given.get("agent"), given.get("tenant"))
    except ConfigurationError:
        raise ConfigurationError(expected) from None
