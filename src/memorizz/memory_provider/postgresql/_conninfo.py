"""What names a server: arguments, POSTGRES_* variables, connection strings; and its passwords, which are not shown."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self, cast
from urllib.parse import parse_qsl

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from memorizz.errors import ConfigurationError, ConnectionFailed, quoted

Password = str | Callable[[], str] | Callable[[], Awaitable[str]]

_ENVIRONMENT = {
    "host": "POSTGRES_HOST",
    "port": "POSTGRES_PORT",
    "database": "POSTGRES_DB",
    "user": "POSTGRES_USER",
    "password": "POSTGRES_PASSWORD",
}
DEFAULTS = {"host": "localhost", "port": "5432", "database": "memorizz", "user": "postgres"}
_LIBPQ_NAMES = {"database": "dbname"}
# libpq's other keywords that say which server it is; all the rest say how to talk to it.
_ALSO_NAME_A_SERVER = ("hostaddr", "service", "servicefile")

_OPTIONS = {option.keyword.decode(): option for option in Conninfo.get_defaults()}
# libpq marks what a form should hide while it is typed; the keys of SCRAM are as good as a password.
_SECRET = {name for name, option in _OPTIONS.items() if option.dispchar == b"*"} | {
    "scram_client_key",
    "scram_server_key",
}

_DSN_EXPECTED = "expected 'host=... dbname=... user=...' or 'postgresql://user@host:port/database'"
# What other tools write into a URL, and what says the same here.
_INSTEAD = {
    "pgbouncer": "; say PostgreSQLConfig(prepare_threshold=None) instead, where the pooler needs it",
    "schema": "; say PostgreSQLConfig(schema=...) instead",
    "connection_limit": "; say PostgreSQLConfig(max_size=...) instead",
    "pool_timeout": "; say PostgreSQLConfig(pool_timeout=...) instead",
}


class Secrets:
    """Passwords by libpq's names. Whatever shows a configuration, prints, copies or pickles it shows none of them."""

    __slots__ = ("_left_out", "_values")

    def __init__(self, values: Mapping[str, Password], left_out: tuple[str, ...] = ()) -> None:
        self._values = dict(values)
        self._left_out = left_out

    @property
    def password(self) -> Password | None:
        return self._values.get("password")

    def replaced(self, password: Password | None) -> Secrets:
        """Return the same with another password."""
        others = {name: value for name, value in self._values.items() if name != "password"}
        left_out = tuple(name for name in self._left_out if name != "password")
        return Secrets(others | ({} if password is None else {"password": checked_password(password)}), left_out)

    def texts(self) -> dict[str, str]:
        """Return what a connection is made with; a password that is a function is asked for."""
        self._check_whole()
        return {name: value if isinstance(value, str) else _asked(value) for name, value in self._values.items()}

    async def awaited_texts(self) -> dict[str, str]:
        """Return what texts() does, for an event loop: a function that blocks runs in a thread."""
        self._check_whole()
        return {
            name: value if isinstance(value, str) else await _awaited(value) for name, value in self._values.items()
        }

    def _check_whole(self) -> None:
        in_environment = {"password"} if {"PGPASSWORD", "PGPASSFILE"} & set(os.environ) else set[str]()
        if missing := sorted(set(self._left_out) - in_environment):
            raise ConfigurationError(
                f"{', '.join(missing)} was left out when this configuration was pickled: make it again where it is "
                "used, pass config.replace(password=...), a function in place of the password, or set POSTGRES_PASSWORD"
            )

    def __repr__(self) -> str:
        return f"<{', '.join((*self._values, *self._left_out)) or 'none'}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secrets) and (self._values, self._left_out) == (other._values, other._left_out)

    def __hash__(self) -> int:
        return hash(frozenset(self._values))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> Any:
        functions = {name: value for name, value in self._values.items() if not isinstance(value, str)}
        left_out = (name for name in self._values if name not in functions)
        return _unpickled, (functions, (*self._left_out, *left_out))


def _unpickled(functions: dict[str, Password], left_out: tuple[str, ...]) -> Secrets:
    known = os.environ.get(_ENVIRONMENT["password"])
    if known and "password" in left_out:
        return Secrets(functions | {"password": known}, tuple(name for name in left_out if name != "password"))
    return Secrets(functions, left_out)


def _asked(function: Callable[[], Any]) -> str:
    answer = _called(function)
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise ConfigurationError(
            "the password is a function that must be awaited: give it to an async provider, or give this one an "
            "ordinary function"
        )
    return _checked_answer(answer)


async def _awaited(function: Callable[[], Any]) -> str:
    # What must be awaited is called where its event loop is; anything else may block.
    answer = function() if inspect.iscoroutinefunction(function) else await asyncio.to_thread(_called, function)
    if inspect.isawaitable(answer):
        try:
            answer = await answer
        except Exception as error:
            raise _failed(error) from error
    return _checked_answer(answer)


def _called(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Exception as error:
        raise _failed(error) from error


def _failed(error: Exception) -> ConnectionFailed:
    # Its text is not ours, and may hold what it asked with.
    return ConnectionFailed(f"the function that was given as password failed with a {type(error).__name__}")


def _checked_answer(answer: Any) -> str:
    if not isinstance(answer, str):
        raise ConfigurationError(
            f"the function that was given as password returned a {type(answer).__name__}: expected a text"
        )
    return cast(str, checked_password(answer))


def checked_password(password: Any) -> Password:
    """Return a password that can be one; the error names no more than its type."""
    if isinstance(password, str):
        _check_writable(password, "the password")
    elif not callable(password):
        raise ConfigurationError(
            f"the password is of type {type(password).__name__}: expected a text, or a function that returns one"
        )
    return cast(Password, password)


# --- which server it is -------------------------------------------------------------------------------------------


def names_a_server(options: Mapping[str, Any]) -> list[str]:
    """Return the options that say which server it is."""
    return sorted(name for name in ("dsn", *_ENVIRONMENT, *_ALSO_NAME_A_SERVER) if options.get(name) is not None)


def environment() -> dict[str, str]:
    """Return what the POSTGRES_* variables say of the server."""
    found = {name: value for name, variable in _ENVIRONMENT.items() if (value := os.environ.get(variable))}
    # Kubernetes says so where a service of the cluster is named postgres, to every program in it.
    if re.match(r"(tcp|udp|sctp)://", found.get("port", "")):
        del found["port"]
    return found


def named_server(given: Mapping[str, Any], dsn: str | None, libpq: Mapping[str, Any]) -> dict[str, Any]:
    """Return host, port, database and user, `libpq`, which is every other keyword, and `secrets`, which are in neither.

    An argument wins over the dsn, or without one over the environment.
    """
    said = _parsed(dsn) if dsn is not None else {}
    around = {} if dsn is not None else environment()
    server: dict[str, Any] = {}
    for name, value in given.items():
        in_dsn = said.pop(_LIBPQ_NAMES.get(name, name), None)
        fallback = in_dsn if dsn is not None else around.get(name, DEFAULTS.get(name))
        server[name] = value if value is not None else fallback
        label = _ENVIRONMENT[name] if value is None and name in around else name
        if name != "password" and server[name] is not None:
            check_place(name, server[name], label)
    if server["port"] is not None:
        first, *others = str(server["port"]).split(",")
        server["port"] = int(first)
        if others:  # one for each of several hosts
            said["port"] = ",".join((first, *others))
    rest = said | {name: str(value) for name, value in libpq.items() if value is not None}
    for name, value in rest.items():
        _check_writable(value, name)
    secrets = {name: rest.pop(name) for name in sorted(_SECRET & set(rest))}
    password = server.pop("password")
    return server | {"libpq": rest, "secrets": Secrets(secrets).replaced(password)}


def replica_server(dsn: object, own: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return the host of a replica and its port, None where that is not said; `own` is what the primary's say.

    A replica is a copy of the primary, with its databases, users and passwords: whatever else is said must be the same.
    """
    said = _parsed(dsn)
    host, port = said.pop("host", ""), said.pop("port", None)
    others = sorted(name for name, value in said.items() if value != str(own.get(name)))
    if not host or "," in f"{host}{port}" or others:
        wrong = f"{', '.join(others)} of a replica is not the primary's" if others else "a replica without one host"
        raise ConfigurationError(
            f"replicas: {wrong}: say 'host=... port=...' of each, and the rest once, for all servers, beside them"
        )
    check_place("host", host, "the host of a replica")
    if port is not None:
        check_place("port", port, "the port of a replica")
    return host, None if port is None else int(port)


def unknown_keywords(libpq: Mapping[str, Any]) -> list[str]:
    """Return the names that libpq does not know."""
    return sorted(set(libpq) - set(_OPTIONS))


def without_secrets(dsn: str) -> tuple[str, list[str]]:
    """Return a connection string without its passwords, and the names of those that it had."""
    said = _parsed(dsn)
    secrets = sorted(_SECRET & set(said))
    return make_conninfo(**{name: value for name, value in said.items() if name not in secrets}), secrets


def _parsed(dsn: Any) -> dict[str, str]:
    """Take a connection string apart; no error quotes it, for it may hold a password."""
    if not isinstance(dsn, str):
        raise ConfigurationError(f"dsn is of type {type(dsn).__name__}: {_DSN_EXPECTED}")
    _check_writable(dsn, "dsn")
    scheme, is_url, _ = dsn.partition("://")
    is_url = is_url and re.fullmatch(r"[A-Za-z][\w+.-]*", scheme)
    if is_url:
        _check_url(dsn, scheme)
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.ProgrammingError:
        raise ConfigurationError(f"dsn is no connection string: {_DSN_EXPECTED}") from None
    # Where a password ends too early, what is left of it stands in the parts behind it.
    if is_url and (
        "@" in parts.get("host", "") + parts.get("dbname", "") or re.search("[^0-9,]", parts.get("port", ""))
    ):
        raise ConfigurationError(
            "dsn cannot be read: the port must be a number, and in a user name or password write @ as %40, : as %3A, "
            "/ as %2F, ? as %3F, # as %23 and % as %25"
        )
    return parts


def _check_url(dsn: str, scheme: str) -> None:
    if scheme not in ("postgresql", "postgres"):
        raise ConfigurationError(f"dsn is a URL of another tool, {scheme}://...: {_DSN_EXPECTED}")
    # Not before an @, where a ? is one of the password.
    query = dsn.rpartition("@")[2].partition("?")[2]
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in {*_OPTIONS, "ssl"}:
            raise ConfigurationError(
                f"dsn has ?{name}=, which libpq does not know: take it out{_INSTEAD.get(name, '')}; {_DSN_EXPECTED}, "
                "with libpq's parameters such as ?sslmode=require"
            )


def check_place(name: str, value: Any, label: str) -> None:
    """Raise for a host, port, database or user that cannot be one; a whole connection string is not quoted."""
    if name == "port":
        for port in value.split(",") if isinstance(value, str) else [value]:
            _check_port(port, label)
        return
    if not isinstance(value, str):
        raise ConfigurationError(f"{label} is of type {type(value).__name__}: expected a text")
    _check_writable(value, label)
    is_path = value.startswith(("/", "@"))
    if "://" in value or (name == "host" and not is_path and re.search(r"[@=\s]", value)):
        raise ConfigurationError(f"{label} is a whole connection string: pass it as dsn=, PostgreSQLConfig(dsn=...)")
    for host in value.split(",") if name == "host" and not is_path else ():
        if host.count(":") == 1:
            raise ConfigurationError(f"{label} holds a port too: pass it as port=")


def _check_writable(text: str, label: str) -> None:
    """Raise for a text that no connection string can hold; it is not quoted."""
    if "\0" in text:
        raise ConfigurationError(f"{label} holds a NUL character, which no connection string can")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{label} holds a lone surrogate, which is no character: expected UTF-8") from None


def _check_port(port: Any, label: str) -> None:
    number = int(port) if isinstance(port, str) and port.isdecimal() and len(port) < 10 else port
    if type(number) is not int or not 0 < number < 65_536:
        raise ConfigurationError(f"{label}={quoted(port)}: expected a number from 1 to 65535")


# --- what a connection is made with -------------------------------------------------------------------------------


# What the options that have no value compiled in mean where nothing is said, and will not be told by an empty one.
_PLAIN = {"connect_timeout": "0", "sslcertmode": "allow", "min_protocol_version": "3.0", "max_protocol_version": "3.0"}


def without_environment(conninfo: str) -> str:
    """Return a connection string that libpq's PG* variables add nothing to: they are meant for another server."""
    given = conninfo_to_dict(conninfo)
    # A service may say anything; that one is named cannot be undone, only that it says something.
    all_of_them = "PGSERVICE" in os.environ
    said = {
        name: _PLAIN.get(name, (option.compiled or b"").decode())
        for name, option in _OPTIONS.items()
        if option.envvar and (all_of_them or option.envvar.decode() in os.environ)
        if name not in given and name != "service"
    }
    return make_conninfo(conninfo, **said)
