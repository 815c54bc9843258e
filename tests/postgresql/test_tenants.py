"""Views of tenants and memories on PostgreSQL: embedding in them, a change of the model, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from models import Model
from psycopg_pool import ConnectionPool

import attacks
from apis import reembedding
from memorizz import MemoryType, PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, EmbeddingFailed, InvalidDocument
from memorizz.memory_provider.base import Call

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY


@pytest.fixture
def model() -> Model:
    return Model("old", 4)


@pytest.fixture
def embedding(open_api: Callable[..., Any], config: PostgreSQLConfig, model: Model) -> Iterator[Any]:
    """A provider on either API that embeds, with empty stores."""
    with open_api(config, embedder=model) as provider:
        yield provider


def test_documents_are_embedded_in_a_view(embedding: Any, model: Model) -> None:
    """Every way into a store of a view embeds, in its transaction too, as that of the provider does."""
    view = embedding.tenant("acme").memory("ada")
    view.store({"id": "a", "content": "tea"}, LONG)
    view.store_many([{"id": "b", "content": "milk"}], LONG)
    view.run_many([Call("store_many", [{"id": "c", "content": "rum"}], LONG)])
    with view.transaction() as tx:
        tx.store_many([{"id": "d", "content": "gin"}], LONG)
        tx.memory("ada").store({"id": "e", "content": "ale"}, LONG)
    view.update(LONG, {"id": "e"}, {"content": "port"})
    assert view.embedded([{"content": "tea"}], LONG)[0]["embedding"] is not None
    texts = {"a": "tea", "b": "milk", "c": "rum", "d": "gin", "e": "port"}
    found = {each["id"]: each["embedding"] for each in view.list_all(LONG, include_embedding=True)}
    assert all(model.made(found[id], text) for id, text in texts.items())
    assert view.recall("tea")[0]["id"] == "a"


def test_a_view_embeds_what_it_lacks_itself(embedding: Any) -> None:
    """embed_missing of a view embeds the documents of that view, and counts them."""
    views = [embedding, embedding.tenant("acme"), embedding.memory("ada"), embedding.tenant("acme").memory("ada")]
    for view in views:
        view.store_many([{"content": f"tea {n}", "embedding": None} for n in range(3)], LONG)
    embedded = {"embedding": {"$exists": True}}
    assert views[3].embed_missing(LONG) == 3
    assert [view.count(LONG, embedded) for view in views] == [0, 3, 0, 3]
    assert views[1].embed_missing(LONG) == 3
    assert views[2].embed_missing(LONG) == 3
    assert [view.count(LONG, embedded) for view in views] == [3, 6, 3, 3]
    assert views[1].measure_recall(LONG)["rows"] == 6


def test_a_long_text_is_refused_under_the_id_of_another_memory(open_api: Any, config: PostgreSQLConfig) -> None:
    """Neither its row nor its pieces are written, and the pieces of the other stay."""
    model = Model("old", 4)
    model.max_tokens = 16  # type: ignore[attr-defined]
    with open_api(config, embedder=model) as provider:
        theirs, mine = provider.memory("theirs"), provider.memory("mine")
        theirs.store({"id": "a", "content": "tea and milk. " * 40}, LONG)
        before = theirs.retrieve_by_id("a", LONG, include_embedding=True)
        assert len(before["embedding"]) > 1
        for if_absent in (True, False):
            with pytest.raises(InvalidDocument, match="another id"):
                mine.store({"id": "a", "content": "rum and ale. " * 40}, LONG, if_absent=if_absent)
        with pytest.raises(InvalidDocument, match="another id"):
            mine.store_many([{"id": "a", "content": "rum and ale. " * 40}, {"id": "b"}], LONG)
        assert theirs.retrieve_by_id("a", LONG, include_embedding=True) == before


def test_a_model_is_changed_for_every_tenant(
    open_api: Any, open_maintenance: Callable[..., Any], config: PostgreSQLConfig, model: Model
) -> None:
    """All their documents get a vector of the new model, whatever their ids, in batches smaller than a tenant."""
    new = Model("new", 6)
    with open_api(config, embedder=[model, new]) as provider, open_maintenance(config) as maintenance:
        views = [provider, provider.tenant("acme"), provider.tenant("o'hara").memory("ada")]
        for view in views:
            view.store_many([{"id": f"{n}", "content": f"tea {n}"} for n in range(7)], LONG)
        change = reembedding(maintenance, new, batch=3)
        change.begin()
        assert change.fill() == 21
        list(maintenance.make(change.plan_indexes()))
        change.switch()
        for view in views:
            for found in view.list_all(LONG, include_embedding=True):
                assert new.made(found["embedding"], found["content"])
            assert len(view.recall("tea 3", limit=7)) == 7


def test_a_failing_embedder_tells_nothing_of_others(embedding: Any, model: Model) -> None:
    """Its error names the documents of the view."""
    for name in ("acme", "other"):
        embedding.tenant(name).store({"id": f"of-{name}", "content": "tea", "embedding": None}, LONG)

    def refuse(texts: Any) -> None:
        raise EmbeddingFailed("old", "no")

    model.before = refuse
    with pytest.raises(EmbeddingFailed) as caught:
        embedding.tenant("acme").embed_missing(LONG)
    assert "of-other" not in str(caught.value)


def test_one_statement_serves_every_tenant(migrated_dsn: str, config: PostgreSQLConfig) -> None:
    """A hundred tenants have the server prepare what two have it prepare; so have memories."""
    connect = {"autocommit": True, "prepare_threshold": 0}
    with (
        ConnectionPool(migrated_dsn, min_size=1, max_size=1, kwargs=connect, open=True) as pool,
        PostgreSQLProvider(config, pool=pool) as provider,
    ):
        prepared: list[int] = []
        for n in range(100):
            for view in (provider.tenant(f"tenant {n}"), provider.tenant(f"tenant {n}").memory(f"{n}")):
                view.store({"id": "a", "n": n}, LONG)
                view.retrieve_by_id("a", LONG)
                view.delete_by_id("a", LONG)
            with pool.connection() as connection:
                rows = connection.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%tenant%'")
                prepared.append(rows.fetchone()[0])
        assert len(set(prepared[1:])) == 1


def test_a_view_of_a_tenant_adds_the_condition_to_every_table(provider: PostgreSQLProvider, migrated_dsn: str) -> None:
    """What is stored in a view has its tenant in the key, of the document and of its parts."""
    provider.tenant("acme").memory("ada").store({"id": "a", "content": "tea"}, TURNS)
    with psycopg.connect(migrated_dsn) as connection:
        row = connection.execute("SELECT tenant, memory_id, data FROM conversation_memory").fetchone()
    assert row == ("acme", "ada", {"_id": "a"})


@pytest.mark.parametrize("wrong", [1, "yes", None])
def test_whether_a_scope_is_required_is_true_or_false(wrong: Any) -> None:
    """Anything else is told as the configuration is made."""
    for option in ("require_tenant", "require_memory"):
        with pytest.raises(ConfigurationError, match=f"{option}=.*expected True or False"):
            PostgreSQLConfig(host="localhost", **{option: wrong})


# --- generated calls ------------------------------------------------------------------------------------------------


def test_generated_calls_reach_nothing_of_others(migrated_dsn: str, config: PostgreSQLConfig) -> None:
    """Whatever is called, on the views of a tenant, a memory and an agent, with hostile filters, ids, cursors, exports
    and files, it reads and changes nothing of anybody else; scripts/attack_scopes.py makes a hundred thousand."""
    with PostgreSQLProvider(config, embedder=attacks.Letters()) as provider:
        attacks.prepare(provider)
        found = attacks.attack(provider, migrated_dsn, 200, seed=2)
    assert found.foreign == []
    # Not all of them were refused.
    assert found.raised < found.calls.total() * 0.7


def test_every_argument_of_a_method_has_something_to_attack_with() -> None:
    """A method or an argument that is added is drawn too."""
    assert attacks.unknown(PostgreSQLProvider) == set()
