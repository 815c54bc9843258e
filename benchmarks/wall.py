"""What row-level security costs: the same calls on the same documents, as the application's role behind the wall, and
without one. Tenants have from 0.1 to 50 % of the documents, and the owner of the tables is no superuser.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.data import Data
from benchmarks.lab import Lab
from benchmarks.report import Part, Record, Table, number, target
from benchmarks.timing import Way, in_turns
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance

TAKES = "3 minutes, of which 2 store the documents and build the indexes, twice"
LONG = MemoryType.LONG_TERM_MEMORY
ROWS, DIMENSIONS = 100_000, 64
OWNER, ROLE = "memorizz_benchmark_owner", "memorizz_benchmark_app"
# Of the numbers of the documents, which are a tenant's.
TENANTS = {"50 %": (2, 0), "10 %": (10, 7), "1 %": (100, 95), "0.1 %": (1000, 991)}
_SECONDS = 5.0
GOALS = {
    "one by its id": 1.1, "store one": 1.1, "20, oldest first": 1.1, "the nearest ten": 1.1,
    "ten by a word of 1 %": 1.5, "ten by a word of all": 1.5, "count by a key of 1 %": 1.5, "20 by a key of 1 %": 1.5,
}  # fmt: skip


def _tenant(n: int) -> str:
    return next((name for name, (of, rest) in TENANTS.items() if n % of == rest), "others")


def measure(lab: Lab) -> Iterator[Part]:
    data = Data(lab.rows or ROWS, lab.dimensions or DIMENSIONS)
    with lab.connect() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for role in (OWNER, ROLE):
            _drop(connection, role)
        for role in (OWNER, ROLE):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, sql.Identifier(OWNER)))
        version = connection.info.server_version // 10_000
    try:
        without, walled = (_filled(lab, f"memorizz_benchmark_{name}", data) for name in ("open", "walled"))
        with Maintenance(walled) as maintenance:
            maintenance.enable_tenants(ROLE)
        with PostgreSQLProvider(without) as plain, PostgreSQLProvider(walled.replace(user=ROLE)) as behind:
            results = [
                {"tenant": tenant, "call": call, "ms": {way: median(times) for way, times in took.items()}}
                for tenant in TENANTS
                for call in GOALS
                for took in [in_turns(_ways(call, tenant, plain, behind, data), lab.repeat, seconds=_SECONDS)]
            ]
    finally:
        with lab.connect() as connection:
            for role in (ROLE, OWNER):
                _drop(connection, role)
    about = f"{data.rows:,} documents of {data.dimensions} dimensions, PostgreSQL {version}"
    yield Part(f"wall/{version}", {"results": results}, about)


def _drop(connection: psycopg.Connection[Any], role: str) -> None:
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).rowcount:
        connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(role)))


def _filled(lab: Lab, schema: str, data: Data) -> PostgreSQLConfig:
    config = lab.config(schema, embedding_dimensions=data.dimensions).replace(user=OWNER)
    print(f"storing {data.rows:,} documents ...")
    with PostgreSQLProvider(config) as provider:
        indexes = lab.without_vector_indexes(schema)
        documents: dict[str, list[Any]] = {}
        for n, document in enumerate(data.documents()):
            document |= {"id": str(n), "kind": n // 1000 % 100, "content": f"{document['content']} k{n // 1000 % 100}"}
            documents.setdefault(_tenant(n), []).append(document)
        for tenant, those in documents.items():
            provider.tenant(tenant).store_many(those, LONG)
    with Maintenance(config) as maintenance:
        list(maintenance.make(maintenance.plan_build(LONG.value, json_keys=True)))
    with lab.connect() as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(OWNER)))
        for index in indexes:
            if f"{schema}.{LONG.value} " in index:
                connection.execute(index.encode())
        connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(schema, LONG.value)))
    return config


def _ways(call: str, tenant: str, plain: PostgreSQLProvider, behind: PostgreSQLProvider, data: Data) -> dict[str, Way]:
    of, rest = TENANTS[tenant]

    def asked(view: Any, turn: int) -> Any:
        id, part = str(abs(turn) * of % data.rows + rest), abs(turn) % max(1, min(100, data.rows // 1000))
        match call:
            case "one by its id":
                return view.retrieve_by_id(id, LONG)
            case "store one":
                return view.store({"id": id, "seen": turn}, LONG)
            case "20, oldest first":
                return view.retrieve_by_query({}, LONG, limit=20)
            case "the nearest ten":
                return view.retrieve_by_query({"embedding": data.questions[turn]}, LONG, limit=10)
            case "ten by a word of 1 %":
                return view.retrieve_by_query({"$text": {"$search": f"k{part}"}}, LONG, limit=10)
            case "ten by a word of all":
                return view.retrieve_by_query({"$text": {"$search": "tea"}}, LONG, limit=10)
            case "count by a key of 1 %":
                return view.count(LONG, {"kind": part})
            case _:
                return view.retrieve_by_query({"kind": part}, LONG, limit=20)

    return {
        "without": partial(asked, plain.tenant(tenant)),
        "with": partial(asked, behind.tenant(tenant)),
    }


def tables(record: Record) -> list[Table]:
    ms = {(each["call"], each["tenant"]): each["ms"] for each in record["results"]}
    body = [
        (
            call,
            *(f"{number(each['without'], 'ms')}, {number(each['with'], 'ms')}: {ratio:.2f}" for each, ratio in found),
            f"≤ {goal}",
            target(all(ratio <= goal for _, ratio in found)),
        )
        for call, goal in GOALS.items()
        for found in [
            [(each, each["with"] / each["without"]) for tenant in TENANTS for each in [ms[call, tenant]]],
        ]
    ]
    head = ("without and with the wall", *(f"tenant of {name}" for name in TENANTS), "goal", "")
    return [Table("Row-level security", head, body)]
