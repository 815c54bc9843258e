"""After a mass delete the room is given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest

from memorizz import PostgreSQLConfig, StoreSpec

ROWS = 12_000
VECTORS = np.random.default_rng(1).standard_normal((ROWS, 4)).astype(np.float32)


def check_nearest(api: Any) -> None:
    """The nearest of what is left are found."""
    question = np.ones(4, np.float32)
    left = VECTORS[::12]
    cosines = left @ question / np.linalg.norm(left, axis=1)
    hits = api.tenant("t").retrieve_by_query({"embedding": question}, "own", limit=10)
    assert [hit["n"] for hit in hits] == (np.argsort(-cosines)[:10] * 12).tolist()


@pytest.mark.parametrize("how", [{}, {"partitions": 2}], ids=["one table", "partitions"])
def test_the_room_is_given_back(
    open_api: Callable[..., Any],
    open_maintenance: Callable[..., Any],
    config: PostgreSQLConfig,
    wait_for: Callable[..., Any],
    how: Any,
) -> None:
    """Of each store of which much was deleted; what is near is found before, between and after."""
    with (
        open_api(config) as api,
        open_maintenance(config) as maintenance,
        psycopg.connect(config.conninfo, autocommit=True) as database,
    ):
        api.create_store(StoreSpec("own", **how))
        # What deleted rows leave behind is to be seen, however soon autovacuum begins.
        for (table,) in database.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relname ~ '^(memorizz_)?own' AND relkind = 'r'"
        ).fetchall():
            database.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        with api.loading("own"):
            api.tenant("t").store_many(
                ({"n": n, "stays": n % 12 == 0, "embedding": each} for n, each in enumerate(VECTORS)), "own"
            )
        assert list(maintenance.reclaim()) == []
        assert api.tenant("t").delete("own", {"stays": False}) == 11_000
        check_nearest(api)
        # The server counts what has died a little later.
        wait_for(lambda: any(each.subject == "own" for each in maintenance.examine()[1]), "the finding")
        (finding,) = (each for each in maintenance.examine()[1] if each.subject == "own")
        assert "reclaim --store own" in finding.advice
        (done,) = maintenance.reclaim()
        assert done.store == "own"
        assert done.after < done.before / 2
        wait_for(lambda: not any(each.subject == "own" for each in maintenance.examine()[1]), "no finding")
        assert list(maintenance.reclaim()) == []
        check_nearest(api)
        api.drop_store("own", yes=True)


def test_a_store_is_named(
    open_api: Callable[..., Any], open_maintenance: Callable[..., Any], config: PostgreSQLConfig
) -> None:
    """Of a store that is named the room is given back, whatever was deleted of it; also without a vector index."""
    with open_api(config) as api, open_maintenance(config) as maintenance:
        api.create_store(StoreSpec("own", index="none"))
        assert [done.store for done in maintenance.reclaim("own")] == ["own"]
        assert [done.store for done in maintenance.reclaim("toolbox")] == ["toolbox"]
        api.drop_store("own", yes=True)
