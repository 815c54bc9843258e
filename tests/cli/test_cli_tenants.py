"""memorizz tenants."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from memorizz import PostgreSQLProvider


def test_a_wall_is_put_up_and_taken_down(memorizz: Callable[..., Any], dsn: str) -> None:
    """The page says what a person does next; a role that nothing is kept from is an error, and nothing is done."""
    role = f"memorizz_app_{uuid.uuid4().hex[:12]}"
    with PostgreSQLProvider(dsn) as provider:
        provider.store({"n": 1}, "long_term_memory")
    refused = memorizz("tenants", "enable", "--role", "postgres", "--dsn", dsn)
    assert (refused.code, "postgres is a superuser" in refused.stderr) == (1, True)
    try:
        shown = memorizz("tenants", "enable", "--role", role, "--dsn", dsn).stdout
        assert f"21 tables keep tenants apart for role {role}" in shown
        assert "no password yet" in shown
        assert "1 documents are of no tenant" in shown
        again = memorizz("tenants", "enable", "--role", role, "--json", "--dsn", dsn).json
        of_owner = memorizz("doctor", "--tenants", "--dsn", dsn)
        assert (of_owner.code, "nothing is kept from this user: postgres is a superuser" in of_owner.stdout) == (
            1,
            True,
        )
        proved = memorizz("doctor", "--tenants", "--dsn", make_conninfo(dsn, user=role))
        assert (proved.code, f"14 tables as role {role}: none reached" in proved.stdout) == (0, True)
        assert (again["made"], again["out_of_reach"]) == (False, 1)
        assert memorizz("tenants", "disable", "--json", "--dsn", dsn).json == {"role": role}
        assert "there is no wall" in memorizz("tenants", "disable", "--dsn", dsn).stdout
    finally:
        with psycopg.connect(dsn, autocommit=True) as owner:
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
