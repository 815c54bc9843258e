"""memorizz policy and memorizz tidy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from memorizz import PostgreSQLProvider

LONG = "long_term_memory"


def test_a_policy_is_set_shown_applied_and_taken_away(memorizz: Callable[..., Any], dsn: str) -> None:
    """In every tenant or in one; a dry run deletes nothing."""
    with PostgreSQLProvider(dsn) as provider:
        acme = provider.tenant("acme")
        for view in (provider, acme):
            view.store_many([{}, {}, {"expires_at": datetime.now(UTC)}], LONG)
        rules = ("--keep-last", "1", "--expire-after", "90", "--half-life", "30", "--least-importance", "0.1")
        assert "expire_after 90 days" in memorizz("policy", "set", LONG, *rules, "--dsn", dsn).stdout
        assert memorizz("policy", "set", LONG, "--keep-last", "1", "--dsn", dsn, "--json").json == {
            "policies": {LONG: {"keep_last": 1}}
        }
        refused = memorizz("policy", "set", LONG, "--half-life", "3", "--dsn", dsn)
        assert refused.code == 1
        assert "needs a rule: --expire-after" in refused.stderr
        assert "would be deleted" in memorizz("tidy", "--dry-run", "--dsn", dsn).stdout
        [done] = memorizz("tidy", "--tenant", "acme", "--by", "nightly", "--json", "--dsn", dsn).json["tidied"]
        assert (done["tenant"], done["expired"], done["deleted"], done["by"]) == ("acme", 1, {LONG: 1}, "nightly")
        assert (acme.count(LONG), provider.count(LONG)) == (1, 2)
        done = memorizz("tidy", "--json", "--dsn", dsn).json["tidied"]
        assert [(each["tenant"], each["expired"], each["deleted"]) for each in done] == [
            ("", 1, {LONG: 1}),
            ("acme", 0, {}),
        ]
        assert "nothing is due" in memorizz("tidy", "--dsn", dsn).stdout
        assert "no store has a policy" in memorizz("policy", "off", LONG, "--dsn", dsn).stdout
