"""memorizz forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memorizz import PostgreSQLProvider

LONG = "long_term_memory"


def test_a_memory_is_forgotten_after_a_question(memorizz: Callable[..., Any], dsn: str) -> None:
    """A dry run and a no leave everything; --yes needs no answer, and the receipt says what went."""
    with PostgreSQLProvider(dsn) as provider:
        provider.store_many([{"memory_id": "ada", "n": n} for n in range(3)] + [{"memory_id": "bob"}], LONG)
        provider.store_memagent({"agent_id": "one", "memory_ids": ["ada"]})
        shown = memorizz("forget", "ada", "--dry-run", "--dsn", dsn)
        assert (shown.code, "would be forgotten: ada" in shown.stdout) == (0, True)
        refused = memorizz("forget", "ada", "--dsn", dsn)
        assert refused.code != 0
        assert "3 documents and 1 agents" in refused.stderr
        assert provider.count(LONG) == 4
        done = memorizz("forget", "ada", "--by", "support", "--yes", "--json", "--dsn", dsn).json
        assert (done["deleted"], done["agents"], done["by"], done["left"]) == ({LONG: 3}, ["one"], "support", 0)
        assert provider.count(LONG) == 1
        assert "digest" in memorizz("forget", "ada", "--yes", "--dsn", dsn).stdout


def test_a_tenant_is_forgotten_whole(memorizz: Callable[..., Any], dsn: str) -> None:
    """All of it and nobody else's; without a tenant nothing is meant."""
    with PostgreSQLProvider(dsn) as provider:
        for view in (provider, provider.tenant("acme"), provider.tenant("other")):
            view.store({"memory_id": "ada"}, LONG)
        assert "tenant" in memorizz("forget", "--everything", "--yes", "--dsn", dsn).stderr
        done = memorizz("forget", "--everything", "--tenant", "acme", "--yes", "--json", "--dsn", dsn).json
        assert (done["deleted"], done["tenant"], done["left"]) == ({LONG: 1}, "acme", 0)
        assert provider.tenant("acme").count(LONG) == 0
        assert provider.count(LONG) == provider.tenant("other").count(LONG) == 1
