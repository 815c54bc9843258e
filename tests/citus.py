"""What Citus refuses of a statement of one tenant, by the rules of its planner: ours, for there is no Citus here.

They are those of version 13 (multi_router_planner.c, insert_select_planner.c and its executor), and of its
documentation. Whether a statement needs one shard is another question, which tables in partitions answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from querytrees import Node, conversions, volatilities, walk

_SELECT, _UPDATE, _INSERT, _DELETE = "1", "2", "3", "4"
_FUNCTIONS = ("funcid", "opfuncid", "aggfnoid", "winfnoid")
_TYPES = ("vartype", "paramtype", "funcresulttype", "opresulttype", "resulttype", "consttype", "coalescetype")


def _subqueries(query: Node) -> list[Node]:
    """Return the subqueries in FROM; of an INSERT, what is inserted."""
    tables = [each for each in walk(query.of("rtable"), into_queries=False) if each.of("subquery")]
    return [each for table in tables for each in table.of("subquery")]


# With one of these a subquery is computed by itself.
_OWN = ("cteList", "setOperations", "groupClause", "distinctClause", "rowMarks", "limitOffset", "limitCount")


def _is_pulled_up(subquery: Node) -> bool:
    flags = ("hasAggs", "hasWindowFuncs", "hasTargetSRFs")
    return all(subquery.of(name) in ([], ["<>"]) for name in _OWN) and not any(
        subquery.text(name) == "true" for name in flags
    )


@dataclass(frozen=True)
class Planner:
    """What is known of a database: how volatile its functions are, and which tables are on one server alone."""

    volatile: Mapping[str, str]
    conversions: Mapping[str, tuple[str, str]]
    local: Collection[str]
    distributed: Collection[str]

    @classmethod
    def of(cls, database: psycopg.Connection[Any], distributed: Collection[str]) -> Planner:
        """Return it for a database in which these tables are distributed, and all others of the schema are not."""
        rows = database.execute("SELECT oid::text, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        tables = dict(rows.fetchall())
        return cls(
            volatilities(database),
            conversions(database),
            {oid for oid, name in tables.items() if name not in distributed},
            {oid for oid, name in tables.items() if name in distributed},
        )

    def refused(self, query: Node) -> list[str]:
        """Return why Citus refuses a statement, in its words."""
        those = [each for each in walk(query) if each.kind == "QUERY"]
        return [*self._tables(query), *self._pulled_up(query), *(why for each in those for why in self._one(each))]

    def _tables(self, query: Node) -> Iterator[str]:
        relations = {each.text("relid") for each in walk(query) if each.text("rtekind") == "0"}
        if relations & set(self.local) and relations & set(self.distributed):
            yield "local tables joined with distributed ones"

    def _pulled_up(self, query: Node) -> Iterator[str]:
        """Yield the clocks that PostgreSQL puts in the place of a subquery's columns before Citus looks.

        It does so in the statement itself, and in copies of what is WITH it.
        """
        if query.text("commandType") not in (_UPDATE, _DELETE):
            return
        for subquery in _subqueries(query):
            called = {self._volatility(each) for each in walk(subquery.of("targetList"))}
            if "s" in called and "v" not in called and _is_pulled_up(subquery):
                yield "non-IMMUTABLE functions of a subquery in FROM, which PostgreSQL pulls up"

    def _one(self, query: Node) -> Iterator[str]:
        command = query.text("commandType")
        if command == _INSERT:
            if query.text("hasSubLinks") == "true":
                yield "subqueries are not supported within INSERT queries"
            if query.of("cteList") != ["<>"]:
                yield "common table expressions with INSERT queries"
            yield from self._conflict(query)
            if _subqueries(query):
                yield from self._of_select(query)
        if command in (_UPDATE, _DELETE):
            if any(self._volatility(each) == "v" for each in walk(query)):
                yield "functions in UPDATE or DELETE must not be VOLATILE"
            [tree] = query.of("jointree")
            for part in (query.of("targetList") if command == _UPDATE else [], tree.of("quals")):
                yield from self._irreducible(part)
        if command != _SELECT and self._mutable(query.of("returningList")):
            yield "non-IMMUTABLE functions are not allowed in the RETURNING clause"

    def _conflict(self, query: Node) -> Iterator[str]:
        for conflict in (each for each in query.of("onConflict") if isinstance(each, Node)):
            for target in (each for each in walk(conflict.of("onConflictSet")) if each.kind == "TARGETENTRY"):
                [expression] = target.of("expr")
                if expression.kind != "VAR" and self._mutable(expression):
                    yield f"functions in DO UPDATE SET must be IMMUTABLE: {target.text('resname')}"
            if self._mutable(conflict.of("arbiterWhere")) or self._mutable(conflict.of("onConflictWhere")):
                yield "functions in the WHERE clause of ON CONFLICT must be IMMUTABLE"

    @staticmethod
    def _of_select(query: Node) -> Iterator[str]:
        """Yield what does not get a value, of the rows of a SELECT, which go to the shards by themselves."""
        for part in ("onConflict", "returningList"):
            if any(each.kind == "PARAM" for each in walk(query.of(part))):
                yield f"parameters of an INSERT of a SELECT outside of that: {part}"

    def _irreducible(self, expression: Any) -> Iterator[str]:
        """Yield what the coordinator cannot compute before, and does not leave to the shards."""
        for node in walk(expression, into_queries=False):
            if node.kind in ("COALESCE", "COALESCEEXPR", "CASE", "CASEEXPR") and self._mutable(node):
                yield "non-IMMUTABLE functions are not allowed in CASE or COALESCE statements"
            if self._volatility(node) == "s" and self._has_column(node):
                yield f"STABLE functions cannot be called with column references: {node.kind} {node.fields}"

    @staticmethod
    def _has_column(node: Node) -> bool:
        return any(each.kind == "VAR" for each in walk(node, into_queries=False))

    def _mutable(self, value: Any) -> bool:
        return any(self._volatility(each) != "i" for each in walk(value))

    def _volatility(self, node: Node) -> str:
        """Return how volatile a node is by itself."""
        if node.kind == "NEXTVALUEEXPR":
            return "v"
        if node.kind == "SQLVALUEFUNCTION":
            return "s"
        called = [node.text(name) for name in _FUNCTIONS if node.of(name)]
        if node.kind == "COERCEVIAIO":
            argument = next(each for each in node.of("arg") if isinstance(each, Node))
            types = [argument.text(name) for name in _TYPES if argument.of(name)]
            called += [self.conversions[node.text("resulttype")][0], *(self.conversions[each][1] for each in types[:1])]
        return max((self.volatile.get(each, "i") for each in called), key="isv".index, default="i")
