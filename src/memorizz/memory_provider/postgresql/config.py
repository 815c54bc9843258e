"""What to connect to, and how."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, cast, get_args

from psycopg.conninfo import make_conninfo

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider._values import InvalidText
from memorizz.memory_provider.postgresql._conninfo import (
    DEFAULTS,
    Password,
    Secrets,
    check_place,
    environment,
    named_server,
    names_a_server,
    replica_server,
    unknown_keywords,
)
from memorizz.memory_provider.stores import (
    DEFAULT_DIMENSIONS,
    DEFAULT_EF_CONSTRUCTION,
    DEFAULT_M,
    MAX_DIMENSIONS,
    IndexKind,
    VectorType,
    check_index,
    most_indexed,
)

logger = logging.getLogger("memorizz.config")

# Fields that are made of what is given.
_MADE = ("libpq", "secrets", "embedded_server")
# A machine that is gone without a word is noticed within a minute, also where nothing else limits the wait.
_DEAD_PEER = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds; where the system knows it
}


# What a connection string of several hosts has, and one of their address.
_OF_PRIMARY = ("port", "hostaddr", "target_session_attrs", "load_balance_hosts")

# What the log has been told of.
_announced: set[str] = set()


@dataclass(frozen=True)
class EmbeddedPath:
    """Mark an embedded server, and say where its data is; None is the default place.

    `by_default` says that nobody asked for it: there was no other server.
    """

    path: Path | None = None
    by_default: bool = field(default=False, compare=False)


@dataclass(frozen=True, init=False)
class PostgreSQLConfig:
    """Say what to connect to and how.

    `host`, `port`, `database`, `user` and `password` come from the argument, else from POSTGRES_HOST, POSTGRES_PORT,
    POSTGRES_DB, POSTGRES_USER and POSTGRES_PASSWORD, else they are localhost, 5432, memorizz, postgres and none, so
    that libpq's PGPASSWORD and ~/.pgpass work. Where neither an argument nor a variable names any of them, it is the
    embedded server in its default place, as with `PostgreSQLConfig.embedded()`. `dsn` is a libpq string or a
    postgresql:// URL in place of all of these; an argument beside it wins over what it says. Any other libpq keyword
    (`sslmode`, `sslrootcert`, `application_name`, `target_session_attrs` ...) is passed on, save `client_encoding`,
    which is always UTF-8. `password` may be a function that returns it and is called for each new connection, as
    tokens want that expire; an async provider awaits one that has to be awaited.

    schema: where the tables live; made when missing. None is the connection's own schema.
    embedding_dimensions: the length of the vectors, fixed when the schema is made; 1536 by default. None takes the
        length of a schema that exists.
    index: "hnsw", "halfvec" (half the size, the vectors stay exact) or "none". Above 2,000 dimensions hnsw becomes
        halfvec, above 4,000 none, which are pgvector's limits.
    vector_type: how the vectors of the seven stores are kept, fixed when the schema is made: "vector", exact, or
        "halfvec", rounded to half precision, in half the room; the index "hnsw" is of the same then, up to 4,000
        dimensions.
    hnsw_m, hnsw_ef_construction: how the index is built; 24 and 128.
    text_search_config: the language of the words, one of PostgreSQL's text search configurations, fixed when the
        schema is made.
    auto_migrate: create and upgrade the tables when the provider opens; else `memorizz migrate` does it.
    min_size, max_size: connections kept, and at most; 1 and 10.
    pool_timeout: seconds to wait for a pooled connection; 30.
    connect_timeout: seconds to wait for the server to accept a connection; 10.
    operation_timeout: seconds to wait for the answer to one statement; 60. None waits for ever.
    replicas: hot standbys of this server to read from, each a libpq string or a URL with its host and port; the rest,
        the password too, is as here. What this provider has written it also reads (docs/how-to/replicas.md).
    replica_lag: seconds that a replica may be behind, by its own account, to be read; 10. None is any time.
    prepare_threshold: after how many executions a statement is prepared; None never, for poolers that cannot.
    on_invalid_text: what to do with NUL characters and lone surrogates, "error" or "replace" (by U+FFFD).
    require_tenant, require_memory: refuse every call that is not made through `provider.tenant(...)`, and through
        `.memory(...)`; off by default.

    Frozen and compared by value; no password is in a repr, in vars() or asdict(), or in a pickle, which leaves it out.
    Raises ConfigurationError for a wrong option, and where
    no server is named and MEMORIZZ_EMBEDDED=0 forbids the embedded one.
    """

    host: str | None
    port: int | None
    database: str | None
    user: str | None
    schema: str | None
    embedding_dimensions: int | None
    index: IndexKind
    vector_type: VectorType
    hnsw_m: int
    hnsw_ef_construction: int
    text_search_config: str
    auto_migrate: bool
    min_size: int
    max_size: int
    pool_timeout: float
    connect_timeout: float
    operation_timeout: float | None
    replicas: tuple[str, ...]
    replica_lag: float | None
    prepare_threshold: int | None
    on_invalid_text: InvalidText
    require_tenant: bool
    require_memory: bool
    libpq: Mapping[str, str] = field(hash=False, repr=False)
    secrets: Secrets = field(repr=False)
    embedded_server: EmbeddedPath | None

    def __init__(
        self,
        host: str | None = None,
        port: int | str | None = None,
        database: str | None = None,
        user: str | None = None,
        password: Password | None = None,
        *,
        dsn: str | None = None,
        schema: str | None = None,
        embedding_dimensions: int | None = 1536,
        index: IndexKind = "hnsw",
        vector_type: VectorType = "vector",
        hnsw_m: int = DEFAULT_M,
        hnsw_ef_construction: int = DEFAULT_EF_CONSTRUCTION,
        text_search_config: str = "english",
        auto_migrate: bool = True,
        min_size: int = 1,
        max_size: int = 10,
        pool_timeout: float = 30.0,
        connect_timeout: float = 10.0,
        operation_timeout: float | None = 60.0,
        replicas: Sequence[str] = (),
        replica_lag: float | None = 10.0,
        prepare_threshold: int | None = 5,
        on_invalid_text: InvalidText = "error",
        require_tenant: bool = False,
        require_memory: bool = False,
        **libpq: Any,
    ) -> None:
        _check_known(libpq)
        given = {"host": host, "port": port, "database": database, "user": user, "password": password}
        is_named = dsn is not None or names_a_server(given | libpq) or environment()
        self._set(
            **named_server(given, dsn, libpq),
            embedded_server=None,
            schema=schema,
            embedding_dimensions=embedding_dimensions,
            index=index,
            vector_type=vector_type,
            hnsw_m=hnsw_m,
            hnsw_ef_construction=hnsw_ef_construction,
            text_search_config=text_search_config,
            auto_migrate=auto_migrate,
            min_size=min_size,
            max_size=max_size,
            pool_timeout=pool_timeout,
            connect_timeout=connect_timeout,
            operation_timeout=operation_timeout,
            replicas=replicas,
            replica_lag=replica_lag,
            prepare_threshold=prepare_threshold,
            on_invalid_text=on_invalid_text,
            require_tenant=require_tenant,
            require_memory=require_memory,
        )
        self._check()
        if not is_named:
            self._embed_by_default()

    def _embed_by_default(self) -> None:
        if os.environ.get("MEMORIZZ_EMBEDDED") == "0":
            raise ConfigurationError(
                "no server is configured: set POSTGRES_HOST (and POSTGRES_PORT, POSTGRES_DB, POSTGRES_USER, "
                "POSTGRES_PASSWORD), pass a PostgreSQLConfig, or unset MEMORIZZ_EMBEDDED to use the embedded server"
            )
        _check_embedded({"replicas": self.replicas})
        self._set(host="embedded", embedded_server=EmbeddedPath(by_default=True))

    def _embed(self, path: Path | None) -> None:
        self._set(host="embedded", secrets=self.secrets.replaced(None), embedded_server=EmbeddedPath(path))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def embedded(cls, path: str | Path | None = None, **options: Any) -> Self:
        """Describe a local server out of the `embedded` extra, with its data at `path`; takes every other option.

        Nothing is started by this: the first provider starts the server, the last close in any process stops it.
        """
        _check_embedded(options)
        config = cls(**DEFAULTS, **options)
        config._embed(None if path is None else Path(path).absolute())
        return config

    @classmethod
    def auto(cls, **options: Any) -> Self:
        """Take the server of the POSTGRES_* variables where one of them is set, else the embedded one.

        That is what every configuration does that names no server.
        """
        return cls(**options)

    @classmethod
    def of(cls, config: object) -> Self:
        """Return the configuration that is meant: one that is given, a connection string's, or without one auto()."""
        if config is None or isinstance(config, str):
            return cls() if config is None else cls(dsn=config)
        if not isinstance(config, cls):
            raise ConfigurationError(
                f"config is of type {type(config).__name__}: expected a PostgreSQLConfig, or a connection string"
            )
        return config

    def replace(self, **changes: Any) -> Self:
        """Return the same configuration with some fields changed."""
        if unknown := set(changes).difference(_own_options(), ("libpq", "embedded_server")):
            raise ConfigurationError(f"unknown option {', '.join(sorted(unknown))}: expected a field of this object")
        if self.embedded_server is not None:
            _check_embedded(changes)
        for name in DEFAULTS.keys() & changes:
            if changes[name] is not None:
                check_place(name, changes[name], name)
        if changes.get("port") is not None:
            changes["port"] = int(changes["port"])
        if "password" in changes:
            changes["secrets"] = self.secrets.replaced(changes.pop("password"))
        changed = copy(self)
        changed._set(**changes)
        changed._check()
        return changed

    @property
    def password(self) -> Password | None:
        """What was given as password, a text or a function; neither is shown, copied by asdict() or pickled."""
        return self.secrets.password

    @property
    def of_replicas(self) -> list[Self]:
        """The configurations of the replicas: this one, with another host and port."""
        # The first of several hosts that may be written to is the primary.
        libpq = {name: value for name, value in self.libpq.items() if name not in _OF_PRIMARY}
        servers = (replica_server(each, {}) for each in self.replicas)
        return [self.replace(host=host, port=port or self.port, libpq=libpq, replicas=()) for host, port in servers]

    @property
    def conninfo(self) -> str:
        """The libpq connection string, with the password; for an embedded server valid while a provider is open.

        Where the password is a function, it is called for each.
        """
        if self.embedded_server is not None:
            from memorizz.memory_provider.postgresql.embedded import EmbeddedServer

            running = EmbeddedServer(self.embedded_server.path).status().conninfo
            if running is None:
                raise ConfigurationError("the embedded server is not running: it runs while a provider is open")
            return self.complete(running)
        return self._conninfo(self.secrets.texts())

    async def awaited_conninfo(self) -> str:
        """Return the same for an event loop, which a password that is a function does not block."""
        if self.embedded_server is not None:
            return await asyncio.to_thread(lambda: self.conninfo)
        return self._conninfo(await self.secrets.awaited_texts())

    def _conninfo(self, secrets: Mapping[str, str]) -> str:
        server = {"host": self.host, "port": self.port, "dbname": self.database, "user": self.user}
        if self.host is not None:
            # PGHOSTADDR would win over the host that was named, and belongs to another.
            server["hostaddr"] = "" if "PGHOSTADDR" in os.environ else None
        return self.complete(make_conninfo("", **server, **secrets))

    def complete(self, conninfo: str) -> str:
        """Add to a connection string what every connection has."""
        common = {"connect_timeout": max(2, round(self.connect_timeout)), "application_name": "memorizz"}
        # Whatever a database, a role or PGCLIENTENCODING says: what is sent and read is UTF-8.
        return make_conninfo(conninfo, **(common | _DEAD_PEER | dict(self.libpq) | {"client_encoding": "utf8"}))

    @property
    def where(self) -> str:
        """What this connects to, in words for messages, without the password."""
        if self.embedded_server is not None:
            from memorizz.memory_provider.postgresql.embedded import default_path

            return f"the embedded server in {self.embedded_server.path or default_path()}"
        named = {"host": self.host, "port": self.port, "database": self.database, "user": self.user}
        return ", ".join(
            f"{name} {value}" for name, value in (named | dict(self.libpq)).items() if name in named and value
        )

    def announce(self, schema: str) -> None:
        """Log where memories are kept, once in a process for each place."""
        place = f"{self.where}, schema {schema}"
        if place in _announced:
            return
        _announced.add(place)
        if self.embedded_server is not None and self.embedded_server.by_default:
            logger.warning("no POSTGRES_* variable is set: memories are kept in %s", place)
        else:
            logger.info("memories are kept in %s", place)

    @property
    def effective_index(self) -> IndexKind:
        """The index that pgvector can make for this number of dimensions."""
        dimensions = self.embedding_dimensions or DEFAULT_DIMENSIONS
        kinds: tuple[IndexKind, ...] = (self.index, "halfvec", "none")
        return next(kind for kind in kinds if dimensions <= most_indexed(kind, self.vector_type))

    def _check_replicas(self) -> None:
        given = cast(object, self.replicas)
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise ConfigurationError("replicas: expected a list of connection strings, one for each")
        own = {"dbname": self.database, "user": self.user, **self.libpq}
        if isinstance(self.password, str):
            own["password"] = self.password
        servers = (replica_server(each, own) for each in cast("Sequence[object]", given))
        self._set(replicas=tuple(make_conninfo(host=host, port=port) for host, port in servers))

    def _check(self) -> None:
        _check_choice("index", self.index, get_args(IndexKind))
        _check_choice("vector_type", self.vector_type, get_args(VectorType))
        check_index(self.index, self.vector_type)
        _check_choice("on_invalid_text", self.on_invalid_text, get_args(InvalidText))
        if self.embedding_dimensions is not None:
            _check_range("embedding_dimensions", self.embedding_dimensions, 1, MAX_DIMENSIONS)
        _check_range("hnsw_m", self.hnsw_m, 2, 100)
        _check_range("hnsw_ef_construction", self.hnsw_ef_construction, max(4, 2 * self.hnsw_m), 1000)
        _check_range("max_size", self.max_size, 1, 10_000)
        _check_range("min_size", self.min_size, 0, self.max_size)
        for name in ("pool_timeout", "connect_timeout", "operation_timeout"):
            seconds = getattr(self, name)
            if not (isinstance(seconds, int | float) and seconds > 0) and (seconds is not None or name[0] != "o"):
                raise ConfigurationError(f"{name}={quoted(seconds)}: expected a number of seconds above 0")
        if self.replica_lag is not None and not (_is_number(self.replica_lag) and self.replica_lag > 0):
            raise ConfigurationError(f"replica_lag={quoted(self.replica_lag)}: expected seconds above 0, or None")
        self._check_replicas()
        if self.prepare_threshold is not None:
            _check_range("prepare_threshold", self.prepare_threshold, 0, 1_000_000)
        if not isinstance(cast(object, self.text_search_config), str):
            raise ConfigurationError(f"text_search_config={quoted(self.text_search_config)}: expected a name")
        for name in ("require_tenant", "require_memory"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name}={quoted(getattr(self, name))}: expected True or False")
        if self.schema is not None and not _is_schema(self.schema):
            raise ConfigurationError(
                f"schema={quoted(self.schema)}: expected a name of 1 to 63 bytes without NUL and %, and not $user"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _own_options() -> list[str]:
    """Return the names of the options that are no libpq keywords, those of the server first."""
    others = [item.name for item in fields(PostgreSQLConfig) if item.name not in (*DEFAULTS, *_MADE)]
    return [*DEFAULTS, "password", *others]


def _check_known(libpq: Mapping[str, Any]) -> None:
    if unknown := unknown_keywords(libpq):
        raise ConfigurationError(
            f"unknown option {', '.join(unknown)}: expected dsn, {', '.join(_own_options())}, or a libpq keyword such "
            "as sslmode"
        )


def _check_embedded(options: Mapping[str, Any]) -> None:
    if misplaced := names_a_server(options):
        raise ConfigurationError(
            f"the embedded server has its own {', '.join(misplaced)}: leave it out, or use PostgreSQLConfig(...)"
        )
    if options.get("replicas"):
        raise ConfigurationError("replicas: the embedded server has none: leave them out, or name the primary")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name}={quoted(value)}: expected one of {', '.join(choices)}")


def _is_schema(name: object) -> bool:
    # The driver takes % for the beginning of a parameter, and in a search_path $user is somebody's name.
    if not isinstance(name, str) or {"\0", "%"} & set(name) or name == "$user":
        return False
    try:
        return 0 < len(name.encode()) < 64
    except UnicodeEncodeError:
        return False


def _check_range(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigurationError(f"{name}={quoted(value)}: expected a whole number from {low} to {high}")
