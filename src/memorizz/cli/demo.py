"""memorizz demo: memories stored, found by meaning, filtered and read back, in a schema of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memorizz.cli import _show
from memorizz.cli._common import DSN, AsJSON, Embedded, Server
from memorizz.errors import ConfigurationError

if TYPE_CHECKING:
    from memorizz.demo import DemoData, DemoQuery
    from memorizz.memory_provider.postgresql import PostgreSQLProvider

SCHEMA = "memorizz_demo"


def demo(
    question: Annotated[
        str | None, typer.Argument(help="A question of your own, which is asked by its meaning.", show_default=False)
    ] = None,
    dsn: DSN = None,
    embedded: Embedded = None,
    as_json: AsJSON = False,
) -> None:
    """See memories stored, found by meaning, filtered and read back; or ask them a question of your own.

    Everything happens in the schema memorizz_demo; what is there stays for the next time.
    """
    from memorizz.demo import DIMENSIONS, MODEL, load
    from memorizz.memory_provider.postgresql import PostgreSQLProvider

    asked = None if question is None else _own(question)
    server = Server(dsn, SCHEMA, embedded)
    settings = server.config(embedding_dimensions=DIMENSIONS)
    with _show.waiting(f"opening {settings.where}"), PostgreSQLProvider(settings) as provider:
        data = load()
        provider.note_embedding_model(MODEL)
        result: dict[str, Any] = {
            "where": settings.where,
            "schema": SCHEMA,
            "server": _server(provider),
            "stored": _store(provider, data),
        }
        if asked is not None:
            result["searches"] = {"by_meaning": _search(provider, asked, limit=5)}
        else:
            result |= {
                "searches": {name: _search(provider, query) for name, query in _chosen(data).items()},
                "history": _history(provider),
                "agent": _agent(provider, data),
            }
    if as_json:
        _show.print_json(result)
    else:
        from memorizz.cli import _demo_page

        _demo_page.show(result, server.typed)


def _own(text: str) -> DemoQuery:
    """Return a question of one's own, with its vector; raises ConfigurationError without the embedder for it."""
    from memorizz.demo import DemoQuery
    from memorizz.embeddings import LocalEmbedder  # the demo's vectors were made with its model

    if not text.strip():
        raise ConfigurationError(
            'the question is blank: expected one such as memorizz demo "Who cannot stand fireworks?"'
        )
    (vector,) = LocalEmbedder().embed([text], kind="query")
    return DemoQuery(text, vector, "long_term_memory", "The nearest memories, whatever words they have")


def _server(provider: PostgreSQLProvider) -> dict[str, str]:
    from memorizz.memory_provider.postgresql.maintenance import Maintenance

    with Maintenance(provider.config) as maintenance:
        found = maintenance.database()
    version = found.server_version
    return {"postgresql": f"{version // 10_000}.{version % 10_000}", "pgvector": found.vector_version or ""}


def _store(provider: PostgreSQLProvider, data: DemoData) -> dict[str, Any]:
    """Store the data unless it is there, all of it or nothing."""
    started = time.perf_counter()
    wanted = {store: len(documents) for store, documents in data.documents.items()}
    found = {store: provider.count(store) for store in wanted}
    missing = any(found[store] < count for store, count in wanted.items())
    if missing:
        with provider.transaction() as transaction:
            for store, documents in data.documents.items():
                transaction.store_many(documents, store)
        found = {store: provider.count(store) for store in wanted}
    oldest = provider.retrieve_by_query({}, "agents", limit=1)
    return {
        "now": missing,
        "seconds": round(time.perf_counter() - started, 3),
        "since": oldest[0]["created_at"],
        "documents": sum(found.values()),
        "by_store": found,
    }


def _chosen(data: DemoData) -> dict[str, DemoQuery]:
    """Return the questions that are asked, by what they show."""

    def first(store: str, *, inside: bool = False, filtered: bool = False, text: str | None = None) -> DemoQuery:
        return next(
            query
            for query in data.queries
            if query.store == store
            and (query.memory_id is not None) == inside
            and (query.filter is not None) == filtered
            and text in (None, query.text)
        )

    filtered = first("long_term_memory", filtered=True)
    return {
        "by_meaning": first("long_term_memory"),
        "inside_one_memory": first("long_term_memory", inside=True),
        "without_filter": first("long_term_memory", text=filtered.text),
        "with_filter": filtered,
        "tool": first("toolbox"),
    }


def _search(provider: PostgreSQLProvider, query: DemoQuery, limit: int = 3) -> dict[str, Any]:
    conditions = dict(query.filter or {})
    if query.memory_id is not None:
        conditions = {"memory_id": query.memory_id, **conditions}
    started = time.perf_counter()
    hits = provider.retrieve_by_query({"embedding": query.embedding, **conditions}, query.store, limit=limit)
    return {
        "text": query.text,
        "store": query.store,
        "conditions": conditions,
        "limit": limit,
        "caption": query.caption,
        "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        "hits": hits,
    }


def _history(provider: PostgreSQLProvider, memory_id: str = "tomas", limit: int = 5) -> dict[str, Any]:
    started = time.perf_counter()
    turns = provider.retrieve_conversation_history_ordered_by_timestamp(memory_id, limit=limit)
    return {
        "memory_id": memory_id,
        "limit": limit,
        "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        "turns": turns,
        "of": provider.count("conversation_memory", {"memory_id": memory_id}),
    }


def _agent(provider: PostgreSQLProvider, data: DemoData) -> dict[str, Any]:
    """Return an agent, and what it knows, in whatever store, when it is asked a question about one of its people."""
    wanted = data.documents["agents"][0]["id"]
    agent = provider.retrieve_memagent(wanted)
    if agent is None:
        raise LookupError(f"the demo's data has no agent {wanted}")
    question = next(query for query in data.queries if query.store == "conversation_memory")
    started = time.perf_counter()
    hits = provider.retrieve_memory_components_by_query(
        query_embedding=question.embedding, memory_id=question.memory_id, limit=4
    )
    return {
        "agent": agent,
        "memories": {
            memory_id: sum(
                provider.count(store, {"memory_id": memory_id}) for store in data.documents if store != "agents"
            )
            for memory_id in agent["memory_ids"]
        },
        "question": question.text,
        "memory_id": question.memory_id,
        "milliseconds": round((time.perf_counter() - started) * 1000, 2),
        "hits": [{key: value for key, value in hit.items() if key != "embedding"} for hit in hits],
    }
