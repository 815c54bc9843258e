"""Write docs/statements.sql: every statement that the methods of a provider send, to be read and tried in psql.

Each method is called once on an embedded server; what it sends is written down as it goes out.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from memorizz import MemoryType, Policy, PostgreSQLConfig, PostgreSQLProvider, StoreSpec
from memorizz.memory_provider.base import Call
from memorizz.memory_provider.postgresql import provider as sent_by
from memorizz.memory_provider.postgresql._steps import Batch, Query, Script

TARGET = Path(__file__).parent.parent / "docs" / "statements.sql"
HEAD = """\
-- What each method of a provider sends, on a schema "public" with vectors of 128 dimensions.
-- Values are bound; here they stand as variables of psql:  \\set tenant ''
-- Statements of one paragraph go out in one round trip. Written by `make docs`.
"""
DIMENSIONS = 128
LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
MANY = 1200  # more than are read and compared under a filter


class Embedder:
    """Stands in for a model: each text has a direction of its own."""

    name, dimensions = "model", DIMENSIONS

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        return [np.random.default_rng(len(text)).standard_normal(DIMENSIONS) for text in texts]


def calls(provider: PostgreSQLProvider) -> Iterator[tuple[str, Any]]:
    """Yield what is called, as text and to be called."""
    vectors = np.random.default_rng(1).standard_normal((MANY + 1, DIMENSIONS))
    embedding = vectors[MANY]
    document = {"id": "a", "name": "tea", "content": "Ada drinks tea.", "memory_id": "m", "n": 1}
    turn = {"role": "Ada", "content": "Tea, please.", "memory_id": "m", "conversation_id": "c"}
    yield "store(document)", lambda: provider.store({"name": "tea", "embedding": embedding}, LONG)
    yield "store(document with id)", lambda: provider.store(document, LONG)
    yield (
        "store_many(new documents)",
        lambda: provider.store_many([{"memory_id": "many", "embedding": vector} for vector in vectors[:MANY]], LONG),
    )
    yield "store_many(documents with ids)", lambda: provider.store_many([document, {"id": "b", "n": 2}], LONG)
    same_keys = [{"id": "a", "n": 1}, {"id": "b", "n": 2}]
    yield "store_many(documents with ids and the same keys)", lambda: provider.store_many(same_keys, LONG)
    yield "retrieve_by_id", lambda: provider.retrieve_by_id("a", LONG)
    yield "retrieve_by_name", lambda: provider.retrieve_by_name("tea", LONG)
    yield "update_by_id", lambda: provider.update_by_id("a", {"content": "Ada drinks milk."}, LONG)
    yield "store(document, if_absent=True)", lambda: provider.store({"id": "b", "n": 1}, LONG, if_absent=True)
    yield "store(document, supersedes=id)", lambda: provider.store({"content": "no"}, LONG, supersedes="b")
    yield "update", lambda: provider.update(LONG, {"id": "a", "n": 1}, {"n": 2})
    yield "update(what is embedded)", lambda: provider.update(LONG, {"n": 2}, {"name": "drinks"})
    yield (
        "retrieve_by_query(filter)",
        lambda: provider.retrieve_by_query(
            {"memory_id": "m", "n": {"$gte": 1}, "$or": [{"name": "tea"}, {"tags": {"$contains": "x"}}]}, LONG, 5
        ),
    )
    yield (
        "retrieve_by_query(filter, order_by, offset)",
        lambda: provider.retrieve_by_query({"memory_id": "m"}, LONG, 5, order_by="-n", offset=5),
    )
    yield "retrieve_by_query(embedding)", lambda: provider.retrieve_by_query({"embedding": embedding}, LONG, 5)
    yield (
        "retrieve_by_query(embedding, exact=True)",
        lambda: provider.retrieve_by_query({"embedding": embedding}, LONG, 5, exact=True),
    )
    yield (
        "retrieve_by_query(embedding and filter), many rows that match",
        lambda: provider.retrieve_by_query({"embedding": embedding, "memory_id": "many"}, LONG, 5),
    )
    yield "retrieve_by_query(words)", lambda: provider.retrieve_by_query({"$text": {"$search": "tea"}}, LONG, 5)
    provider.store(turn, TURNS)
    yield (
        "retrieve_by_query(question, touch=True, context=1)",
        lambda: provider.retrieve_by_query("What did Ada drink?", TURNS, 5, touch=True, context=1),
    )
    yield "count(filter)", lambda: provider.count(LONG, {"name": {"$in": ["tea", None]}})
    yield (
        "distinct",
        lambda: provider.distinct(LONG, "metadata.space", {"metadata.space": {"$prefix": ["a", "b"]}}, 10, depth=3),
    )
    yield "distinct(a column)", lambda: provider.distinct(LONG, "conversation_id", limit=10)
    yield "list_all", lambda: provider.list_all(LONG)
    yield "iterate", lambda: list(provider.iterate(LONG, batch_size=1000))
    yield (
        "retrieve_conversation_history_ordered_by_timestamp",
        lambda: provider.retrieve_conversation_history_ordered_by_timestamp("m", limit=5, before="2030-01-01"),
    )
    yield (
        "run_many",
        lambda: provider.run_many([Call("retrieve_by_id", "a", LONG), Call("update", LONG, {"id": "a"}, {"n": 3})]),
    )
    yield "embed_missing", lambda: provider.embed_missing(LONG)
    yield "update_memagent_memory_ids", lambda: provider.update_memagent_memory_ids("x", ["m"])
    yield "delete_memagent(cascade=True)", lambda: provider.delete_memagent("x", cascade=True)
    yield "delete_by_id", lambda: provider.delete_by_id("a", LONG)
    yield "delete", lambda: provider.delete(LONG, {"memory_id": "m", "n": 7})
    yield "delete_by_name", lambda: provider.delete_by_name("tea", LONG)
    yield "forget(memory_id)", lambda: provider.forget("m")
    yield "purge_expired", lambda: provider.purge_expired(LONG)
    yield "delete_all", lambda: provider.delete_all(LONG)
    yield "create_store", lambda: provider.create_store(StoreSpec("notes", index="none"))
    provider.store_many([{"memory_id": "many", "embedding": vector} for vector in vectors[:MANY]], "notes")
    yield (
        "retrieve_by_query(embedding and filter), without a vector index",
        lambda: provider.retrieve_by_query({"embedding": embedding, "memory_id": "many"}, "notes", 5),
    )
    yield "drop_store", lambda: provider.drop_store("notes", yes=True)
    parts = StoreSpec("pages", fields=("content", "notes[*].body"))
    yield "create_store(fields)", lambda: provider.create_store(parts)
    page = {"id": "p", "content": "Ada drinks tea.", "notes": [{"body": "Milk first."}]}
    yield "store(document with parts)", lambda: provider.store(page, "pages")
    yield "update_by_id(a part)", lambda: provider.update_by_id("p", {"content": "Ada drinks milk."}, "pages")
    yield "update(a part)", lambda: provider.update("pages", {"id": "p"}, {"content": "Ada drinks tea."})
    yield (
        "store(document with parts, if_absent=True)",
        lambda: provider.store({"content": "a"}, "pages", if_absent=True),
    )
    provider.store_many([page | {"id": f"{n}", "memory_id": "many"} for n in range(MANY)], "pages")
    yield (
        "retrieve_by_query(embedding), parts",
        lambda: provider.retrieve_by_query({"embedding": embedding}, "pages", 5),
    )
    yield (
        "retrieve_by_query(embedding and filter), parts of many documents that match",
        lambda: provider.retrieve_by_query({"embedding": embedding, "memory_id": "many"}, "pages", 5),
    )
    yield "retrieve_by_query(question), parts", lambda: provider.retrieve_by_query("Who drinks tea?", "pages", 5)
    yield "embed_missing, parts", lambda: provider.embed_missing("pages")
    yield "set_policy", lambda: provider.set_policy(LONG, Policy(expire_after=timedelta(days=90), keep_last=1))
    yield "policies", provider.policies
    yield "health", provider.health
    yield "position", provider.position
    yield "after(...).retrieve_by_id", lambda: provider.after("1/0/1A2B3C").retrieve_by_id("a", LONG)
    yield "apply_policies", provider.apply_policies
    yield "keep_history", lambda: provider.keep_history(LONG)
    yield "acting(...).store(document)", lambda: provider.acting("Ada").store(document, LONG)
    began = provider.versions("a", LONG)[0].since
    yield "versions", lambda: provider.versions("a", LONG)
    yield "diff_memory", lambda: provider.diff_memory("m", LONG, began or "")
    yield "diff", lambda: provider.diff("a", LONG, began or "")
    past = provider.at(began or "")
    yield "at(...).retrieve_by_id", lambda: past.retrieve_by_id("a", LONG)
    yield "at(...).retrieve_by_query(embedding)", lambda: past.retrieve_by_query({"embedding": embedding}, LONG, 5)
    yield "restore", lambda: provider.restore("a", LONG, began or "")
    provider.acting("Ada", call="c").update_by_id("a", {"n": 9}, LONG)
    yield "undo", lambda: provider.undo(call="c")
    provider.store_many([{**document, "id": id} for id in ("a", "b")], LONG)
    yield "consolidate", lambda: provider.consolidate(LONG, "m")
    yield "forget(memory_id), with a history", lambda: provider.forget("m")
    yield "drop_history", lambda: provider.drop_history(LONG, yes=True)
    yield "tenant(...).forget(everything=True)", lambda: provider.tenant("acme").forget(everything=True)
    ada = provider.memory("m")
    yield "memory(...).store(document with id)", lambda: ada.store(document, LONG)
    yield "memory(...).store_many(documents with ids)", lambda: ada.store_many([document, {"id": "b", "n": 2}], LONG)
    yield "memory(...).retrieve_by_id", lambda: ada.retrieve_by_id("a", LONG)
    yield "memory(..., agent=...).retrieve_by_id", lambda: provider.memory("m", agent="a").retrieve_by_id("a", LONG)
    yield "memory(...).retrieve_by_query(embedding)", lambda: ada.retrieve_by_query({"embedding": embedding}, LONG, 5)
    yield "memory(...).delete", lambda: ada.delete(LONG, {"n": 2})
    yield "memory(...).delete_by_id", lambda: ada.delete_by_id("a", LONG)


def sent(
    config: PostgreSQLConfig, seen: Callable[[PostgreSQLProvider], Any] = lambda provider: provider
) -> Iterator[tuple[str, list[Any]]]:
    """Yield each call and what it sends; the schema of the config is empty, `seen` gives what is called."""
    steps: list[Any] = []
    perform = sent_by.perform

    def noted(connection: Any, step: Any) -> Any:
        steps.append(step)
        return perform(connection, step)

    sent_by.perform = noted
    try:
        with PostgreSQLProvider(config, embedder=Embedder()) as provider:
            for name, call in calls(seen(provider)):
                steps.clear()
                call()
                yield name, list(steps)
    finally:
        sent_by.perform = perform


def page(config: PostgreSQLConfig) -> str:
    """Return the page; the schema of the config is empty."""
    parts: list[str] = [HEAD]
    written: set[str] = set()
    for name, steps in sent(config):
        new = [text for text in dict.fromkeys(map(_text, steps)) if text not in written]
        written.update(new)
        parts.append("\n".join((f"-- {name}\n", *new)) if new else f"-- {name}: as above\n")
    return "\n".join(parts)


def _text(step: Query | Batch | Script) -> str:
    if isinstance(step, Batch):
        return "".join(_text(query) for query in step.queries)
    sql = re.sub(r"%\(([\w.]+)\)[sb]", lambda found: f":'{found[1].rpartition('.')[2]}'", step.sql.decode())
    sql = _MOMENT.sub("'2026-01-01 00:00:00+00:00'", sql.replace("%%", "%"))
    lines = (line.rstrip() for line in _BREAK.sub("\n", sql).splitlines())
    return "\n".join(line for line in lines if line) + ";\n"


# Since when a model's vectors are searched, which is another time in each schema.
_MOMENT = re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*[+-]\d\d:\d\d'")
# Before a clause; a statement of one line is a long one.
_BREAK = re.compile(
    r" (?=(?:SELECT|FROM|WHERE|ORDER BY|LIMIT|ON CONFLICT|DO UPDATE|RETURNING|VALUES|SET|LEFT JOIN|CROSS JOIN|UNION) ?)"
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="memorizz-statements-") as folder:
        Path(folder).chmod(0o755)
        text = page(PostgreSQLConfig.embedded(Path(folder) / "data", embedding_dimensions=DIMENSIONS))
    if "--check" in sys.argv:
        if TARGET.read_text("utf-8") != text:
            sys.exit(f"{TARGET.name} is not what is sent: run `make docs`")
    else:
        TARGET.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
