"""memorizz duplicates, memorizz consolidate and memorizz history undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memorizz import PostgreSQLProvider

LONG = "long_term_memory"


def test_what_says_the_same_is_shown_merged_and_taken_back(memorizz: Callable[..., Any], dsn: str) -> None:
    """A dry run and a no merge nothing; what was merged is undone by the call that was printed."""
    with PostgreSQLProvider(dsn) as provider:
        provider.keep_history(LONG)
        provider.store_many([{"id": f"{n}", "memory_id": "ada", "content": "Ada likes tea."} for n in range(3)], LONG)
        of_ada = (LONG, "--memory", "ada", "--dsn", dsn)
        shown = memorizz("duplicates", *of_ada)
        assert (shown.code, "1.000  1" in shown.stdout, "Ada likes tea." in shown.stdout) == (0, True, True)
        assert memorizz("duplicates", *of_ada, "--json").json == {"groups": [{"kept": "2", "others": {"1": 1, "0": 1}}]}
        assert memorizz("duplicates", LONG, "--dsn", dsn).stdout.strip() == "nothing says the same"
        assert memorizz("consolidate", *of_ada, "--dry-run", "--json").json["call"] is None
        assert "Merge 2 documents into 1 others?" in memorizz("consolidate", *of_ada).stderr
        assert provider.count(LONG) == 3
        done = memorizz("consolidate", *of_ada, "--by", "support", "--yes", "--json").json
        assert ([group["kept"] for group in done["groups"]], provider.count(LONG)) == (["2"], 1)
        assert provider.versions("1", LONG)[-1].actor == "support"
        undone = memorizz("history", "undo", done["call"], "--json", "--dsn", dsn).json
        assert undone == {"undone": {LONG: ["0", "1", "2"]}}
        assert provider.count(LONG) == 3
        assert "nothing" in memorizz("history", "undo", "other", "--dsn", dsn).stdout
        refused = memorizz("history", "off", LONG, "--dsn", dsn)
        assert (refused.code, "pass --yes" in refused.stderr) == (1, True)
        # Where there is none, nothing is asked.
        for _ in range(2):
            ended = memorizz("history", "off", LONG, "--dsn", dsn, "--yes")
            assert (ended.code, f"{LONG}: none" in ended.stdout) == (0, True)
        assert memorizz("history", "off", LONG, "--dsn", dsn).code == 0
        unkept = memorizz("history", "undo", "other", "--dsn", dsn)
        assert (unkept.code, "memorizz history on" in unkept.stderr) == (1, True)
        provider.keep_history(LONG)
        assert "merged 2 documents" in memorizz("consolidate", *of_ada, "--yes").stdout
