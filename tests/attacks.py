"""Generated calls on views: what any of them reads or changes beyond its view is counted.

Whose rows are attacked is laid out in one schema: tenants with equal ids and others, memories and agents of one tenant,
and documents of none. Their texts hold a secret that no call is given, and all that is theirs has a digest, which SQL
takes beside the library. `python scripts/attack_scopes.py` makes a hundred thousand calls, the suite a few hundred.
"""

from __future__ import annotations

import inspect
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql

from memorizz.errors import MemorizzError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.stores import StoreSpec
from memorizz.moving import copy, export, load

SECRET = "xyzzy"
PAGES = StoreSpec("attacked_pages", fields=("content", "notes[*].body"))
STORES = [*map(str, MemoryType), PAGES.name]
LONG, TURNS, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY, MemoryType.MEMAGENT
WITH_HISTORY = (LONG, AGENTS, PAGES.name)
# The tenant that what is taken in comes from.
_FILE = "file"
LATER = datetime(2999, 1, 1, tzinfo=UTC)
# What is taken together between two looks at what belongs to others.
_BETWEEN = 25

# Who attacks, and the condition that says what is theirs in a table.
ATTACKERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a tenant": (lambda api: api.tenant("one"), "tenant = 'one'"),
    "a memory of a tenant": (lambda api: api.tenant("two").memory("ada"), "tenant = 'two' AND memory_id = 'ada'"),
    "an agent": (
        lambda api: api.tenant("three").memory("ada", agent="desk"),
        "tenant = 'three' AND memory_id = 'ada' AND data ->> 'agent_id' = 'desk'",
    ),
    "a memory of no tenant": (lambda api: api.memory("ada"), "tenant = '' AND memory_id = 'ada'"),
}
# Who is attacked, and what their ids begin with.
VICTIMS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda api: api.tenant("victim"), ""),
    (lambda api: api.tenant("victim").memory("ada"), "of-ada-"),
    (lambda api: api.tenant("two").memory("bob"), ""),
    (lambda api: api.tenant("three").memory("ada", agent="phone"), ""),
    (lambda api: api.tenant("three").memory("bob", agent="desk"), "of-bob-"),
    (lambda api: api, ""),
    (lambda api: api.memory("bob"), "of-bob-"),
]
_OF_ATTACKERS = " OR ".join(f"({condition})" for _, condition in ATTACKERS.values())


@dataclass
class Outcome:
    """What some calls did: how many of each method, and how many of them raised; what was read or changed of others."""

    calls: Counter[str] = field(default_factory=Counter[str])
    raised: int = 0
    foreign: list[str] = field(default_factory=list[str])


class Letters:
    """Embeds a text by its letters."""

    name, dimensions = "letters", 4

    def embed(self, texts: list[str], *, kind: str = "document") -> list[list[float]]:
        return [[1.0 + text.count(letter) for letter in "aeot"] for text in texts]


def prepare(api: Any) -> None:
    """Put documents of everybody into every store, those of two stores with their history."""
    api.create_store(PAGES)
    for store in WITH_HISTORY:
        api.keep_history(store)
    moved = [{"id": "0", "content": "tea"}, {"id": "of-bob-0", "memory_id": "bob"}, {"id": "2", "agent_id": "phone"}]
    api.tenant(_FILE).store_many([*moved, {"id": "own-1", "content": "tea of my own"}], LONG)
    for view_of, prefix in VICTIMS:
        view = view_of(api)
        for store in STORES:
            for n in range(4):
                view.store(_secret(f"{prefix}{n}", n, store), store)
            expired = _secret(f"{prefix}expired", 5, store)
            view.store({**expired, "expires_at": datetime.now(UTC) - timedelta(days=1)}, store)
        for store in WITH_HISTORY:
            view.update_by_id(f"{prefix}0", {"n": 9, "note": SECRET}, store)


def _secret(id: str, n: int, store: str) -> dict[str, Any]:
    text = f"tea {SECRET}"
    vector: Any = [{"path": "content", "embedding": [1.0, n / 10, 0.0, 0.0]}] if store == PAGES.name else [1.0, n, 0, 0]
    return {
        "id": id, "name": "tea", "content": text, "embedding": vector, "conversation_id": "c", "n": n,
        "memory_ids": ["ada", "bob"], "role": "user", "metadata": {"topic": SECRET}, "secret": SECRET,
    }  # fmt: skip


def attack(api: Any, dsn: str, calls: int, seed: int, tools: Tools | None = None) -> Outcome:
    """Make so many calls on the views of the attackers, some of them by `tools`."""
    outcome = Outcome()
    views = {name: view_of(api) for name, (view_of, _) in ATTACKERS.items()}
    with psycopg.connect(dsn, autocommit=True) as connection:
        whole, done = _digest(connection), 0
        while done < calls:
            said: list[str] = []
            for number in range(done, min(done + _BETWEEN, calls)):
                generated = Generated(Random(f"{seed} {number}"), api)
                name = generated.rng.choice([*views])
                said.append(_called(generated, views[name], ATTACKERS[name][1], connection, outcome, tools))
            done += len(said)
            found = _digest(connection)
            if found != whole:
                outcome.foreign.append(f"changed by one of {said}: {found.items() ^ whole.items()}")
                whole = found
    return outcome


def _called(
    generated: Generated,
    view: Any,
    own: str,
    connection: psycopg.Connection[Any],
    outcome: Outcome,
    tools: Tools | None,
) -> str:
    """Make a call; return what it was, and note what it did."""
    if tools is not None and generated.rng.random() < 0.05:
        said, result = tools(view, generated)
        outcome.calls[said.partition("(")[0]] += 1
    else:
        method, arguments = generated.call(view)
        said = f"{method}({arguments})"
        most = _own(connection, own) if method in ("count", "update", "delete") else None
        outcome.calls[method] += 1
        try:
            result = generated.made(view, method, arguments)
        except MemorizzError as error:
            outcome.raised += 1
            result = str(error)
        if most is not None and isinstance(result, int) and result > most:
            outcome.foreign.append(f"{said}: {result} of {most} documents")
    if SECRET in repr(result):
        outcome.foreign.append(f"{said}: {result!r}"[:2_000])
    return said


# --- beside the library ---------------------------------------------------------------------------------------------


@cache
def _digests() -> sql.Composed:
    """Return the statement for how many rows of others each table has, and their digest."""
    tables = [(name, name) for name in STORES]
    tables += [(f"memorizz_{name}_history", name) for name in map(str, WITH_HISTORY)]
    tables += [(f"memorizz_{name}_parts", name) for name in STORES]
    tables += [(f"memorizz_{name}_parts_history", name) for name in map(str, WITH_HISTORY)]
    of_rows = sql.SQL(
        "SELECT {name}, count(*), md5(string_agg(d::text, '|' ORDER BY d::text)) FROM {table} AS d WHERE {others}"
    )
    others = sql.SQL(f"({_OF_ATTACKERS}) IS NOT TRUE")
    of_version = sql.SQL("seq IS NOT NULL AND {}").format(others)
    of_part = sql.SQL("(d.tenant, d.id) IN (SELECT tenant, id FROM {} WHERE {})")
    return sql.SQL(" UNION ALL ").join(
        of_rows.format(
            name=sql.Literal(table),
            table=sql.Identifier(table),
            others=of_part.format(sql.Identifier(store), others) if table.endswith(("_parts", "_parts_history"))
            else of_version if table.endswith("_history") else others,
        )
        for table, store in tables
    )  # fmt: skip


def _digest(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    return {name: tuple(found) for name, *found in connection.execute(_digests()).fetchall()}


def _own(connection: psycopg.Connection[Any], own: str) -> int:
    """Return how many documents the attacker has in the fullest of its stores."""
    counts = " UNION ALL ".join(f"SELECT count(*) AS n FROM {name} WHERE {own}" for name in STORES)
    (most,) = connection.execute(f"SELECT max(n) FROM ({counts}) AS stores".encode()).fetchone() or (0,)
    return most


# --- calls ----------------------------------------------------------------------------------------------------------

_IDS = ["0", "1", "2", "3", "expired", "of-ada-0", "of-bob-0", "of-bob-1", "own-1", "own-2", "own-3",
        "018f3c5e-0000-7000-8000-00000000abcd", "' OR true --", "x" * 1_000, "", "\0"]  # fmt: skip
_NAMES = ["one", "two", "three", "victim", "ada", "bob", "desk", "phone", "", "a'b", "a\nb", "\u0430da", "x" * 1_024,
          "x" * 1_025, "\0", "%(tenant)s"]  # fmt: skip
_KEYS = ["id", "_id", "memory_id", "tenant", "agent_id", "n", "name", "content", "secret", "memory_ids", "d.tenant",
         "metadata.topic", "conversation_id", "created_at", "embedding", "role", "seq", "data"]  # fmt: skip
_VALUES = [None, True, 0, 1, 5.5, "tea", "c", "", "of_memory", *_IDS[:8], *_NAMES[:10]]
# What leads out of a view or makes none of a document, so that it is no call by itself.
_NO_CALLS = {
    "close", "config", "create_store", "drop_history", "embedding_dimensions", "embedding_model", "has_embedder",
    "has_large_transactions", "health", "identity", "keep_history", "location", "operations", "scope", "stores",
    "note_embedding_model", "position", "run", "run_in_transaction",
}  # fmt: skip
# What gives a view or a transaction, on which a call is made.
_VIEWS = {"acting", "after", "at", "memory", "tenant", "transaction"}
# Those that delete everything that is there are made seldom, or there would be nothing to find.
_SELDOM = {
    "delete_all",
    "forget",
    "delete",
    "purge_expired",
    "delete_memagent",
    "loading",
    "measure_recall",
    "undo",
    "export",
    "load",
    "copy",
}


@dataclass
class Generated:
    """A call, drawn at random; the same of the same seed. `api` is where what is moved comes from."""

    rng: Random
    api: Any

    def call(self, view: Any) -> tuple[str, Mapping[str, Any]]:
        """Return a method of a view, any of the public ones, and what it is given."""
        names = _methods(type(view))
        name = self.rng.choice(names)
        if name in _SELDOM and self.rng.random() < 0.8:
            name = self.rng.choice(["store", "store_many", "remember", "retrieve_by_query", "update_by_id"])
        if name in _MOVING:
            return name, {}
        return name, self._arguments(getattr(view, name), on_a_view=name in _VIEWS)

    def _arguments(self, method: Callable[..., Any], on_a_view: bool = False) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name, parameter in inspect.signature(method).parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= self.document()
                given.pop("content", None)
            elif parameter.default is parameter.empty or self.rng.random() < 0.35:
                given[name] = self.argument(name, on_a_view)
        return given

    def argument(self, name: str, on_a_view: bool = False) -> Any:
        """Return what a parameter of this name may be given; raises KeyError for one that nothing is said of."""
        if on_a_view and name in ("name", "agent"):
            return self.rng.choice(_NAMES)
        return _ARGUMENTS[name](self)

    def made(self, view: Any, name: str, arguments: Mapping[str, Any]) -> Any:
        """Make a call, and read all that it gives."""
        if name in _MOVING:
            return _MOVING[name](self, view)
        result = getattr(view, name)(**arguments)
        if name == "transaction":
            with result as tx:
                return [self.made(tx, *self._in_a_view(tx)) for _ in range(self.rng.randrange(1, 4))]
        if name == "loading":
            with result:
                return None
        if name in _VIEWS:
            return self.made(result, *self._in_a_view(result))
        return list(result) if isinstance(result, Iterator) else result

    def _in_a_view(self, view: Any) -> tuple[str, Mapping[str, Any]]:
        while True:
            name, arguments = self.call(view)
            if name not in _VIEWS | _MOVING.keys():
                return name, arguments

    # --- what they are given ----------------------------------------------------------------------------------------

    def one_of(self, *values: Any) -> Any:
        return self.rng.choice(values)

    def some(self, make: Callable[[], Any], most: int) -> list[Any]:
        return [make() for _ in range(self.rng.randrange(most + 1))]

    def id(self) -> str:
        return self.rng.choice(_IDS)

    def value(self) -> Any:
        return self.rng.choice(_VALUES)

    def vector(self) -> list[float]:
        return [1.0, self.rng.random(), 0.0, 0.0]

    def operand(self) -> Any:
        operator = self.one_of(
            "plain", "$ne", "$gte", "$lt", "$exists", "$in", "$nin", "$not", "$prefix", "$contains", "$or"
        )
        if operator == "plain":
            return self.value()
        if operator in ("$in", "$nin"):
            return {operator: self.some(self.value, 4)}
        if operator == "$exists":
            return {operator: self.one_of(True, False)}
        return {operator: {"$eq": self.value()} if operator == "$not" else self.value()}

    def filter(self, depth: int = 0) -> dict[str, Any]:
        kind = self.rng.random()
        if depth < 3 and kind < 0.3:
            operator = self.one_of("$or", "$and", "$nor")
            return {operator: [self.filter(depth + 1) for _ in range(self.rng.randrange(1, 4))]}
        if depth < 3 and kind < 0.4:
            return {"$not": self.filter(depth + 1)}
        return {self.rng.choice(_KEYS): self.operand() for _ in range(self.rng.randrange(3))}

    def document(self) -> dict[str, Any]:
        made: dict[str, Any] = {"content": self.one_of("tea", "tea of my own", "", None), "n": self.rng.randrange(5)}
        for key in ("id", "memory_id", "tenant", "agent_id", "conversation_id", "name", "memory_ids", "embedding"):
            if self.rng.random() < 0.25:
                made[key] = self._of_key(key)
        return made

    def _of_key(self, key: str) -> Any:
        if key == "id":
            return self.id()
        if key == "memory_ids":
            return self.some(lambda: self.rng.choice(_NAMES), 3)
        return self.vector() if key == "embedding" else self.rng.choice(_NAMES)

    def query(self) -> Any:
        asked = self.filter(2)
        if self.rng.random() < 0.5:
            asked["embedding"] = self.vector()
        if self.rng.random() < 0.4:
            asked["$text"] = {"$search": self.one_of("tea", "own", "")}
        if self.rng.random() < 0.2:
            asked["limit"] = self.rng.randrange(200)
        return self.one_of("tea", {}, asked, asked, asked)

    def moment(self) -> Any:
        return self.one_of(LATER, datetime.now(UTC), "2026-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC))

    def store(self) -> str:
        return self.one_of(*STORES, LONG, LONG)

    def calls(self) -> list[Call]:
        from memorizz.memory_provider.base import MemoryOperations

        names = [name for name in _methods(MemoryOperations) if name not in _VIEWS | {"iterate", "run_many"}]
        chosen = [self.rng.choice(names) for _ in range(self.rng.randrange(1, 5))]
        return [Call(name, **_named(self._arguments(getattr(MemoryOperations, name)))) for name in chosen]


def _named(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "self"}


@cache
def _methods(of: type) -> list[str]:
    """Return the names of all public methods, and of what moves documents through a view."""
    names = [name for name in dir(of) if not name.startswith("_") and name not in _NO_CALLS]
    return [*names, *_MOVING] if hasattr(of, "close") else names


def unknown(of: type) -> set[str]:
    """Return the parameters of public methods that nothing is said of here."""
    methods = [getattr(of, name) for name in _methods(of) if name not in _MOVING]
    named = {each for method in methods for each in inspect.signature(method).parameters.values()}
    return {each.name for each in named if each.kind is not each.VAR_KEYWORD} - _ARGUMENTS.keys()


def _number(most: int) -> Callable[[Generated], Any]:
    return lambda drawn: drawn.one_of(None, 0, 1, 3, most, -1)


_NOTHING: Callable[[Generated], Any] = lambda _: None  # noqa: E731
_BOOL: Callable[[Generated], Any] = lambda drawn: drawn.one_of(True, False)  # noqa: E731
_WORDS: Callable[[Generated], Any] = lambda drawn: drawn.one_of("tea", "own", "my tea")  # noqa: E731
_NAME: Callable[[Generated], Any] = lambda drawn: drawn.one_of("tea", *_NAMES)  # noqa: E731
# What each parameter of a public method may be given, by its name: a new one wants a line.
_ARGUMENTS: dict[str, Callable[[Generated], Any]] = {
    "self": _NOTHING,
    "actor": _NAME, "call": _NAME, "by": _NAME, "name": _NAME, "memory_id": _NAME, "conversation_id": _NAME,
    "text": _WORDS,
    "id": Generated.id,
    "supersedes": lambda drawn: drawn.one_of(None, drawn.id()),
    "data": Generated.document, "agent": Generated.document,
    "documents": lambda drawn: drawn.some(drawn.document, 12),
    "memory_store_type": Generated.store, "memory_type": Generated.store, "store": Generated.store,
    "filter": Generated.filter, "where": Generated.filter,
    "query": Generated.query, "query_embedding": Generated.vector,
    "calls": Generated.calls,
    "memory_ids": lambda drawn: drawn.some(lambda: drawn.rng.choice(_NAMES), 3),
    "key": lambda drawn: drawn.rng.choice(_KEYS),
    "order_by": lambda drawn: drawn.one_of("", "-") + drawn.rng.choice(_KEYS),
    "time": Generated.moment,
    "since": Generated.moment,
    "until": lambda drawn: drawn.one_of(drawn.moment(), 1, 2),
    "to": lambda drawn: drawn.one_of(drawn.moment(), 0, 1),
    "position": lambda drawn: drawn.one_of("1/0/0", "1/0/1", "tea"),
    "recalled": lambda drawn: drawn.some(lambda: {"store": drawn.store(), "id": drawn.id(), "score": 0.5}, 2),
    "before": lambda drawn: drawn.one_of(drawn.id(), drawn.moment()),
    "after": lambda drawn: drawn.one_of(drawn.id(), drawn.id(), None),
    "limit": _number(100), "offset": _number(3), "depth": _number(2), "batch_size": _number(3), "sample": _number(5),
    "ef_search": _number(100), "context": _number(2), "rerank_limit": _number(50), "max_tokens": _number(1_000),
    "max_limit": _number(5), "min_score": _number(1), "diverse": _number(1), "rerank_timeout": _number(1),
    "cascade": _BOOL, "include_embedding": _BOOL, "touch": _BOOL, "exact": _BOOL, "if_absent": _BOOL, "unique": _BOOL,
    "ended": _BOOL,
    "newest_first": _BOOL,
    "similarity": lambda drawn: drawn.one_of(0.5, 0.97, 1.0),
    "dry_run": _BOOL, "everything": _BOOL, "yes": _BOOL,
    "explain": lambda drawn: drawn.one_of(True, False, "plan"),
    "watch": _NOTHING, "rerank": _NOTHING, "count_tokens": _NOTHING, "ranking": _NOTHING, "options": _NOTHING,
    "retention": _NOTHING,
    "policy": lambda drawn: drawn.one_of(None, Policy(keep_last=1)),
}  # fmt: skip


def _exported(drawn: Generated, view: Any) -> str:
    """Return what an export of a view holds."""
    file = io.BytesIO()
    export(view, file, format="jsonl")
    return file.getvalue().decode()


def _loaded(drawn: Generated, view: Any) -> Any:
    """Take in a file with ids of others, and documents of other memories."""
    file = io.BytesIO(_exported(drawn, drawn.api.tenant(_FILE)).encode())
    return load(file, view, existing=drawn.one_of("refuse", "merge", "replace"))


def _copied(drawn: Generated, view: Any) -> Any:
    """Copy the same."""
    existing, dry_run = drawn.one_of("refuse", "merge", "replace"), drawn.one_of(True, False)
    with TemporaryDirectory() as folder:
        return copy(
            drawn.api.tenant(_FILE), view, existing=existing, dry_run=dry_run, journal=Path(folder) / "journal"
        ).to_dict()


_MOVING: dict[str, Callable[[Generated, Any], Any]] = {"export": _exported, "load": _loaded, "copy": _copied}


# --- the tools of MCP ------------------------------------------------------------------------------------------------

# Makes a call of a tool in a view; returns what it was, and what it gave.
Tools = Callable[[Any, Generated], tuple[str, Any]]


def tools() -> Tools | None:
    """Return what calls the tools and reads the resources of an MCP server; None where its SDK is not installed."""
    try:
        from memorizz.mcp import Memory, Scope, _tools
    except ImportError:
        return None

    def call(view: Any, drawn: Generated) -> tuple[str, Any]:
        scope = view.scope
        memory = Memory(drawn.api, LONG)
        of = Scope(scope.memory or "ada", scope.agent, scope.tenant or None)
        before = drawn.one_of(None, drawn.id(), "2999-01-01")
        given: dict[str, dict[str, Any]] = {
            "search_memory": {"query": "tea", "limit": 50, "filter": drawn.filter(), "kind": drawn.one_of(None, "tea")},
            "add_memory": {"text": "tea of my own", "key": drawn.one_of("k", drawn.id()), "kind": "tea"},
            "update_memory": {"id": drawn.id(), "text": "tea of my own"},
            "delete_memory": {"id": drawn.id()},
            "recent_memory": {"limit": 100, "before": before},
        }
        name = drawn.one_of(*given, "a resource", "a page")
        if name == "a resource":
            return name, memory.read(of, drawn.id())
        if name == "a page":
            after = drawn.id()
            return name, None if memory.read(of, after) is None else memory.page(of, 100, after)
        arguments = {key: value for key, value in given[name].items() if value is not None}
        return f"{name}({arguments})", repr(_tools.call(memory, of, name, arguments))

    return call
