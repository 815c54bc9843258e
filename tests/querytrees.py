"""What PostgreSQL makes of a statement: the tree of its query, with every function that it calls.

It is read from a function with a body in the SQL standard, which PostgreSQL keeps as such a tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

_TOKEN = re.compile(r"[(){}]|(?:\\.|[^\s(){}\\])+")


@dataclass
class Node:
    """One node: what it is, and its fields as they are written."""

    kind: str
    fields: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])

    def of(self, name: str) -> list[Any]:
        return self.fields.get(name, [])

    def text(self, name: str) -> str:
        return " ".join(each for each in self.of(name) if isinstance(each, str))


def read(text: str) -> list[Any]:
    """Return the nodes of a pg_node_tree."""
    found, _ = _list(_TOKEN.findall(text), 0)
    return found


def _list(tokens: Sequence[str], place: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while place < len(tokens) and tokens[place] not in ")}":
        value, place = _value(tokens, place)
        found.append(value)
    return found, place


def _value(tokens: Sequence[str], place: int) -> tuple[Any, int]:
    if tokens[place] == "(":
        found, place = _list(tokens, place + 1)
        return found, place + 1
    if tokens[place] != "{":
        return tokens[place], place + 1
    node, place = Node(tokens[place + 1]), place + 2
    while tokens[place] != "}":
        name, place = tokens[place][1:], place + 1
        node.fields[name] = values = []
        while tokens[place] != "}" and not tokens[place].startswith(":"):
            value, place = _value(tokens, place)
            values.append(value)
    return node, place + 1


def walk(value: Any, *, into_queries: bool = True) -> Iterator[Node]:
    """Yield the nodes of a value, with those within; those of queries in it only where that is asked for."""
    if isinstance(value, Node):
        if value.kind == "QUERY" and not into_queries:
            return
        yield value
        for each in value.fields.values():
            yield from walk(each, into_queries=into_queries)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each, into_queries=into_queries)


def parsed(database: psycopg.Connection[Any], statement: str, values: Sequence[Any] = ()) -> Node:
    """Return the query of a statement whose parameters are numbered, for values as these."""
    sent = ["bigint" if type(value) is int else "unknown" for value in values]
    named = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.SQL, sent))) if sent else sql.SQL("")
    prepare = sql.SQL("PREPARE parsed {} AS {}")
    database.execute(prepare.format(named, sql.SQL(statement)))  # pyright: ignore[reportArgumentType]
    found = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'parsed'"
    [(types,)] = database.execute(found).fetchall()
    database.execute("DEALLOCATE parsed")
    create = sql.SQL("CREATE FUNCTION pg_temp.parsed({}) RETURNS void LANGUAGE sql BEGIN ATOMIC {}; END")
    arguments = sql.SQL(", ").join(map(sql.SQL, types))
    database.execute(create.format(arguments, sql.SQL(statement)))  # pyright: ignore[reportArgumentType]
    [(body,)] = database.execute("SELECT prosqlbody::text FROM pg_proc WHERE proname = 'parsed'").fetchall()
    database.execute("DROP FUNCTION pg_temp.parsed")
    return next(node for node in walk(read(body)) if node.kind == "QUERY")


def volatilities(database: psycopg.Connection[Any]) -> Mapping[str, str]:
    """Return how volatile each function is, by its number: i, s or v."""
    return dict(database.execute("SELECT oid::text, provolatile::text FROM pg_proc").fetchall())


def conversions(database: psycopg.Connection[Any]) -> Mapping[str, tuple[str, str]]:
    """Return the functions that read and write a value of each type as text, by the number of the type."""
    rows = database.execute("SELECT oid::text, typinput::oid::text, typoutput::oid::text FROM pg_type")
    return {oid: (reads, writes) for oid, reads, writes in rows}
