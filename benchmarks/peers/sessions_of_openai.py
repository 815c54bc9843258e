"""What stands in the process of a session of the OpenAI Agents SDK, of this project or the SDK's on SQLAlchemy.

A line of JSON comes in for each thing to do, a line of JSON goes out with how long that took.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from agents.memory import Session

ITEMS = 50


def sqlalchemy(conninfo: str) -> Any:
    """Return what makes a session, as the SDK's page shows it: on one engine, with asyncpg."""
    from agents.extensions.memory import SQLAlchemySession
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import create_async_engine

    of = conninfo_to_dict(conninfo)
    url = URL.create("postgresql+asyncpg", of["user"], of.get("password"), database=of["dbname"], query={})
    engine = create_async_engine(url.update_query_dict({"host": of["host"], "port": str(of["port"])}))
    return lambda name: SQLAlchemySession(name, engine=engine, create_tables=True)


def memorizz(conninfo: str) -> Any:
    from memorizz.integrations.openai_agents import MemorizzSession
    from memorizz.memory_provider.postgresql import PostgreSQLProvider

    provider = PostgreSQLProvider(conninfo)
    return lambda name: MemorizzSession(name, provider)


def items(of: int) -> list[Any]:
    return [
        {"role": "user" if n % 2 == 0 else "assistant", "content": f"turn {n} of conversation {of}, as people talk"}
        for n in range(ITEMS)
    ]


async def at_once(session: Session, turn: int) -> None:
    """Add 50 items, read them back."""
    await session.add_items(items(turn))
    assert len(await session.get_items()) == ITEMS


async def one_by_one(session: Session, turn: int) -> None:
    """Add 50 items, two with each run, as an agent does that reads what there is before each."""
    added = items(turn)
    for first in range(0, ITEMS, 2):
        assert len(await session.get_items()) == first
        await session.add_items(added[first : first + 2])


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    make = {"sqlalchemy": sqlalchemy, "memorizz": memorizz}[told["session"]](told["conninfo"])
    print(json.dumps({"ready": True}), flush=True)
    while line := sys.stdin.readline():
        asked = json.loads(line)
        do = {"at_once": at_once, "one_by_one": one_by_one}[asked["do"]]
        session = make(f"{asked['do']}-{asked['turn']}")
        started = time.perf_counter()
        await do(session, asked["turn"])
        print(json.dumps({"ms": (time.perf_counter() - started) * 1000}), flush=True)


asyncio.run(main())
