"""memorizz tenants."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from memorizz import PostgreSQLProvider

LONG = "long_term_memory"


def test_a_wall_is_put_up_and_taken_down(memorizz: Callable[..., Any], dsn: str) -> None:
    """The page says what a person does next; a role that nothing is kept from is an error, and nothing is done."""
    role = f"memorizz_app_{uuid.uuid4().hex[:12]}"
    with PostgreSQLProvider(dsn) as provider:
        provider.store({"n": 1}, "long_term_memory")
    refused = memorizz("tenants", "enable", "--role", "postgres", "--dsn", dsn)
    assert (refused.code, "postgres is a superuser" in refused.stderr) == (1, True)
    try:
        shown = memorizz("tenants", "enable", "--role", role, "--dsn", dsn).stdout
        assert f"28 tables keep tenants apart for role {role}" in shown
        assert "no password yet" in shown
        assert "1 documents are of no tenant" in shown
        assert "memories" not in shown
        second = memorizz("tenants", "enable", "--role", role, "--memories", "--dsn", dsn).stdout
        assert "they keep the memories of a tenant apart too" in second
        again = memorizz("tenants", "enable", "--role", role, "--json", "--dsn", dsn).json
        of_owner = memorizz("doctor", "--tenants", "--dsn", dsn)
        assert (of_owner.code, "nothing is kept from this user: postgres is a superuser" in of_owner.stdout) == (
            1,
            True,
        )
        proved = memorizz("doctor", "--tenants", "--dsn", make_conninfo(dsn, user=role))
        assert (proved.code, f"28 tables as role {role}: none reached" in proved.stdout) == (0, True)
        as_role = memorizz("stats", "--json", "--dsn", make_conninfo(dsn, user=role)).json
        assert {store["rows"] for store in as_role["stores"]} == {None}, "what is kept from a role is not 0"
        assert "?" in memorizz("stats", "--dsn", make_conninfo(dsn, user=role)).stdout
        looked = memorizz("doctor", "--dsn", make_conninfo(dsn, user=role)).stdout
        assert "was not looked at" in looked
        assert "Nothing endangers it" not in looked
        assert memorizz("stats", "--json", "--dsn", dsn).json["stores"][3]["rows"] == 1
        for command in (
            ("stats", "--note"), ("language", "german"), ("tenants", "disable"),
            ("index", "rebuild", "long_term_memory_embedding_idx"),
        ):  # fmt: skip
            refused = memorizz(*command, "--dsn", make_conninfo(dsn, user=role))
            assert (refused.code, "do this as the owner" in refused.stderr, "GRANT" in refused.stderr) == (
                1,
                True,
                False,
            ), (command, refused.stderr)
        refused = memorizz("recall", "--note", "--dsn", dsn)
        assert (refused.code, "the owner's too: leave out --note" in refused.stderr) == (1, True)
        assert (again["made"], again["out_of_reach"], again["memories"]) == (False, 1, True)
        assert memorizz("tenants", "disable", "--json", "--dsn", dsn).json == {"role": role}
        assert "there is no wall" in memorizz("tenants", "disable", "--dsn", dsn).stdout
    finally:
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_commands_stay_in_a_tenant_and_a_memory(memorizz: Callable[..., Any], dsn: str, tmp_path: Path) -> None:
    """Each command that reads or writes documents has --tenant and --memory, and reaches nothing beyond."""
    here, file = ("--tenant", "acme", "--dsn", dsn), str(tmp_path / "acme.jsonl")
    with PostgreSQLProvider(dsn) as provider:
        for tenant in ("acme", "other"):
            view = provider.tenant(tenant)
            view.store_many([{"id": f"{n}", "memory_id": f"m{n}", "content": f"tea {tenant}"} for n in range(3)], LONG)
        hits = memorizz("search", "tea", "--json", *here).json["hits"]
        assert {hit["document"]["content"] for hit in hits} == {"tea acme"}
        of_memory = memorizz("search", "--memory", "m1", "--filter", '{"$not": {"memory_id": "m1"}}', "--json", *here)
        assert of_memory.json["hits"] == []
        assert memorizz("show", "1", "--json", *here).json["documents"][0]["document"]["content"] == "tea acme"
        assert memorizz("show", "1", "--memory", "m2", *here).code == 1
        assert memorizz("export", file, "--memory", "m1", "--json", *here).json["stores"][LONG] == 1
        assert memorizz("export", file, "--force", *here).code == 0
        assert memorizz("forget", "m2", "--yes", "--json", *here).json["deleted"] == {LONG: 1}
        memorizz("import", file, "--tenant", "new", "--dsn", dsn)
        assert [provider.tenant(name).count(LONG) for name in ("acme", "other", "new")] == [2, 3, 3]
        assert provider.count(LONG) == 0
        assert '"--tenant"' in memorizz("mcp", "config", "cursor", "--memory", "kg", *here).stdout
