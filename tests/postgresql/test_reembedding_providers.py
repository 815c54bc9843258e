"""Providers that are open while the embedding model changes: they follow, or say what is to be done; none mixes two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest
from models import Model, vector_by

from memorizz.errors import ConfigurationError, MemorizzError, SchemaError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.options import SearchOptions
from memorizz.memory_provider.postgresql import PostgreSQLConfig, reload
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding
from naming import stable

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY


@pytest.fixture
def old() -> Model:
    return Model("old", 4)


@pytest.fixture(params=[6, 4], ids=["another length", "the same length"])
def new(request: pytest.FixtureRequest) -> Model:
    return Model("new", request.param)


@pytest.fixture
def both(open_api: Callable[..., Any], config: PostgreSQLConfig, old: Model, new: Model) -> Iterator[Any]:
    """A provider on either API with embedders of both models, and some memories by the old one."""
    with open_api(config, embedder=[old, new]) as api:
        api.store_many([{"id": f"{n}", "content": f"text {n}", "memory_id": "m"} for n in range(5)], LONG)
        yield api


@pytest.fixture
def switch(config: PostgreSQLConfig, new: Model) -> Callable[[], None]:
    """Change the model to the new one."""

    def change() -> None:
        with Maintenance(config) as maintenance:
            reembedding = Reembedding(maintenance, new)
            reembedding.begin()
            reembedding.switch()

    return change


def vector(api: Any, id: str) -> Any:
    return api.retrieve_by_id(id, LONG, include_embedding=True)["embedding"]


CALLS: dict[str, Callable[[Any], Any]] = {
    "store": lambda api: api.store({"id": "x", "content": "tea"}, LONG),
    "merge": lambda api: api.store({"id": "1", "content": "tea"}, LONG),
    "update": lambda api: api.update_by_id("1", {"content": "tea"}, LONG),
    "store_many": lambda api: api.store_many([{"id": "x", "content": "tea"}, {"id": "y", "content": "milk"}], LONG),
    "copied": lambda api: api.store_many([{"content": "tea"}] * 3, LONG),
    "search": lambda api: api.retrieve_by_query("text 3", LONG, 2),
    "filtered": lambda api: api.retrieve_by_query({"embedding": {"$exists": True}, "memory_id": "m"}, LONG, 9),
    "components": lambda api: api.retrieve_memory_components_by_query("text 3", memory_id="m"),
    "by id": lambda api: api.retrieve_by_id("3", LONG, include_embedding=True),
    "listed": lambda api: api.list_all(LONG, include_embedding=True),
    "counted": lambda api: api.count(LONG, {"embedding": {"$exists": True}}),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_provider_of_both_models_follows(both: Any, switch: Callable[[], None], new: Model, call: str) -> None:
    """Whatever is called first after the switch is done with the new model, as if nothing had been."""
    CALLS[call](both)
    switch()
    CALLS[call](both)
    found = both.list_all(LONG, include_embedding=True)
    assert all(new.made(each["embedding"], each["content"]) for each in found)
    assert (both.embedding_model, both.embedding_dimensions) == ("new", new.dimensions)


@pytest.mark.parametrize("call", ["store", "merge", "update", "store_many", "copied"])
def test_another_thread_follows_while_documents_are_embedded(
    both: Any, switch: Callable[[], None], old: Model, new: Model, call: str
) -> None:
    """What the old model made for a call is not written as the new one's; the call is made again."""

    def before(_: Sequence[str]) -> None:
        old.before = None
        switch()
        assert both.retrieve_by_query("text 3", LONG, 1)

    old.before = before
    CALLS[call](both)
    assert old.before is None
    stored = [each for each in both.list_all(LONG, include_embedding=True) if each["content"] in ("tea", "milk")]
    assert stored
    assert all(new.made(each["embedding"], each["content"]) for each in stored)


def test_prepared_statements_are_no_way_round(
    open_api: Callable[..., Any], config: PostgreSQLConfig, switch: Callable[[], None], old: Model, new: Model
) -> None:
    """What the server has planned for the old columns it plans again, and finds them gone."""
    with open_api(config.replace(prepare_threshold=0, max_size=1), embedder=[old, new]) as api:
        for n in range(8):
            api.store({"id": f"{n}", "content": f"text {n}"}, LONG)
            assert old.made(vector(api, "0"), "text 0")
        switch()
        assert new.made(vector(api, "0"), "text 0")
        api.store({"id": "9", "content": "text 9"}, LONG)
        assert new.made(vector(api, "9"), "text 9")


def test_there_and_back_again(both: Any, switch: Callable[[], None], config: PostgreSQLConfig, old: Model) -> None:
    """A provider follows as often as the model changes, also where it slept meanwhile."""
    switch()
    assert both.retrieve_by_query("text 3", LONG)[0]["id"] == "3"
    with Maintenance(config) as maintenance:
        Reembedding(maintenance, old).back()
    assert old.made(vector(both, "3"), "text 3")
    switch()
    with Maintenance(config) as maintenance:
        Reembedding(maintenance, old).back()
    assert old.made(vector(both, "3"), "text 3")


# --- what only the caller can do again ----------------------------------------------------------------------------

OWN: dict[str, Callable[[Any, Any], Any]] = {
    "store": lambda api, given: api.store({"embedding": given}, LONG),
    "store_many": lambda api, given: api.store_many([{"content": "tea"}, {"embedding": given}], LONG),
    "update": lambda api, given: api.update_by_id("1", {"embedding": given}, LONG),
    "search": lambda api, given: api.retrieve_by_query({"embedding": given}, LONG),
    "components": lambda api, given: api.retrieve_memory_components_by_query(query_embedding=given, memory_id="m"),
    "agent": lambda api, given: api.store_memagent({"embedding": given}),
}


@pytest.mark.parametrize("call", OWN)
def test_a_vector_of_the_callers_own_is_never_taken_for_one_of_the_new_model(
    both: Any, switch: Callable[[], None], new: Model, call: str
) -> None:
    """Nobody knows whose it is: the call is refused once, does nothing, and the next one is believed."""
    given = [1.0, 2.0, 3.0, 4.0]
    OWN[call](both, given)
    switch_dropping(both, switch)
    count = both.count(LONG)
    with pytest.raises(SchemaError, match=r"changed to 'new'.*nothing of it was kept: do it again"):
        OWN[call](both, given)
    assert both.count(LONG) == count
    OWN[call](both, [float(n + 1) for n in range(new.dimensions)])


def switch_dropping(api: Any, switch: Callable[[], None]) -> None:
    """Switch, once what has no text is out of the way."""
    for store in (LONG, MemoryType.MEMAGENT):
        for each in api.list_all(store):
            if "content" not in each:
                api.delete_by_id(each["id"], store)
    switch()


def test_a_generator_is_used_up(both: Any, switch: Callable[[], None], new: Model) -> None:
    """It cannot be read a second time: nothing of it is stored, and the error says so."""
    switch()
    with pytest.raises(SchemaError, match="nothing of it was kept: do it again"):
        both.store_many(({"content": f"more {n}"} for n in range(700)), LONG)
    assert both.count(LONG) == 5
    both.store_many(({"id": f"more {n}", "content": f"more {n}"} for n in range(700)), LONG)
    assert new.made(vector(both, "more 600"), "more 600")


def test_a_stream_of_vectors_does_not_change_its_model(both: Any, switch: Callable[[], None]) -> None:
    """Who reads vectors one after the other gets those of one model, or an error; without them it goes on."""
    stream = both.iterate(LONG, batch_size=2, include_embedding=True)
    plain = both.iterate(LONG, batch_size=2)
    assert len(next(stream)["embedding"]) == 4
    next(plain)
    switch()
    assert len(next(stream)["embedding"]) == 4
    with pytest.raises(SchemaError, match="do it again"):
        next(stream)
    assert len(list(plain)) == 4


def test_a_transaction_is_done_again_as_a_whole(both: Any, switch: Callable[[], None], new: Model) -> None:
    """What failed in it has undone all of it, also where the error was caught in the block; the next one follows."""
    switch()

    def work(catch: bool) -> None:
        with both.transaction() as tx:
            tx.store({"id": "bare", "name": "no content"}, LONG)
            with suppress(*[MemorizzError] if catch else []):
                tx.store({"id": "x", "content": "tea"}, LONG)

    with pytest.raises(SchemaError, match=r"changed to 'new'.*do it again"):
        work(catch=False)
    assert both.retrieve_by_id("bare", LONG) is None
    work(catch=False)
    assert new.made(vector(both, "x"), "tea")


def test_an_error_that_was_caught_in_the_block(both: Any, switch: Callable[[], None]) -> None:
    """The end of the block says what happened, so that the next one works."""
    switch()
    with pytest.raises(SchemaError, match="do it again"), both.transaction() as tx, suppress(MemorizzError):
        tx.store({"id": "x", "content": "tea"}, LONG)
    with both.transaction() as tx:
        tx.store({"id": "x", "content": "tea"}, LONG)


def test_a_transaction_holds_the_switch_off(
    both: Any, config: PostgreSQLConfig, new: Model, old: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside of one that has begun nothing changes: all that it reads and stores is of one model."""
    from memorizz.memory_provider.postgresql.driver import _sync

    monkeypatch.setattr(_sync, "IN_USE_SECONDS", 0.2)
    with Maintenance(config) as maintenance:
        change = Reembedding(maintenance, new)
        change.begin()
        with both.transaction() as tx:
            tx.store({"id": "x", "content": "tea"}, LONG)
            with pytest.raises(MemorizzError, match="in use all the time"):
                change.switch()
            assert old.made(tx.retrieve_by_id("x", LONG, include_embedding=True)["embedding"], "tea")
        change.switch()
    assert new.made(vector(both, "x"), "tea")


# --- those left behind --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("embeds", [True, False], ids=["of the old model", "without an embedder"])
@pytest.mark.usefixtures("both")
def test_a_provider_that_is_left_behind(
    open_api: Callable[..., Any],
    config: PostgreSQLConfig,
    switch: Callable[[], None],
    old: Model,
    embeds: bool,
) -> None:
    """Every call with vectors is refused, however often; the error names the new model. All others go on."""
    with open_api(config, embedder=old if embeds else None) as api:
        api.count(LONG)
        switch()
        for _ in range(2):
            for call in (
                lambda: api.store({"content": "tea", "embedding": [1, 2, 3, 4]}, LONG),
                lambda: api.retrieve_by_query({"embedding": [1, 2, 3, 4]}, LONG),
                lambda: api.retrieve_by_id("1", LONG, include_embedding=True),
                lambda: api.store_many([{"embedding": [1, 2, 3, 4]}], LONG),
            ):
                with pytest.raises(SchemaError, match=r"was changed while this provider was open.*'new'.*embedder=\["):
                    call()
        assert api.count(LONG) == 5
        assert api.retrieve_by_id("1", LONG)["content"] == "text 1"
        # What a name and a content say is embedded, and may take the vector of the text before along.
        api.store({"id": "plain", "kind": "neither"}, LONG)
        assert api.delete_by_id("plain", LONG)
        if not embeds:
            assert api.delete_by_id(api.store({"content": "no vector"}, LONG), LONG)


@pytest.mark.usefixtures("both")
def test_whoever_opens_later(
    open_api: Callable[..., Any], config: PostgreSQLConfig, switch: Callable[[], None], old: Model, new: Model
) -> None:
    """The model decides which of the embedders is used; one that has none of it is told whose the vectors are."""
    switch()
    for embedder in (new, [new], [old, new], [new, old]):
        with open_api(config, embedder=embedder) as api:
            assert api.retrieve_by_query("text 3", LONG)[0]["id"] == "3"
    for embedder in (old, [old, Model("third", 4)]):
        with (
            pytest.raises(ConfigurationError, match=r"made by 'new', the embedder is 'old'.*`memorizz re-embed`"),
            open_api(config, embedder=embedder) as api,
        ):
            api.count(LONG)
    with pytest.raises(ConfigurationError, match="two embedders have the name 'old'"):
        open_api(config, embedder=[old, Model("old", 4)])


def test_a_schema_that_is_damaged_is_called_so(both: Any, migrated_dsn: str) -> None:
    """A missing column alone is no change of the model."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE long_term_memory DROP COLUMN content CASCADE")
    with pytest.raises(SchemaError, match="not as it was made: run `memorizz doctor`"):
        both.list_all(LONG)


# --- the parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        (None, False), ("text", False), (5, False), (0.5, False), (LONG, False), (SearchOptions(exact=True), False),
        ({"content": "tea"}, False), ({"embedding": None}, False), ({"embedding": {"$exists": True}}, False),
        ([{"content": "tea"}, {"content": "milk"}], False), (["m1", "m2"], False), ([], False),
        ({"embedding": [0.5, 1]}, True), ([{"content": "tea"}, {"embedding": [1, 2]}], True), ([0.1, 0.2], True),
        (np.ones(3), True), ({"embedding": np.ones(3)}, True), (iter([]), True), (({} for _ in ()), True),
        (object(), True),
    ],
    ids=stable,
)  # fmt: skip
def test_what_can_be_called_again(argument: Any, expected: bool) -> None:
    """Texts, filters and documents without vectors; not vectors, what is used up, or what nobody knows.

    Where no model was changed, all of it.
    """
    before, now, error = facts_of("old"), facts_of("new"), SchemaError("a column is gone")
    reload.check_repeatable(before, before, [argument], error)
    with pytest.raises(SchemaError, match=r"changed to 'new'.*do it again") if expected else nullcontext():
        reload.check_repeatable(before, now, ["text", argument], error)


def facts_of(model: str) -> Any:
    """Return what stands for the facts of a schema with one store."""
    known = SimpleNamespace(id=model, name=model)
    return SimpleNamespace(
        layout=SimpleNamespace(schema="public"), model=known, stores={LONG: SimpleNamespace(id=1, model=known)}
    )


def test_a_vector_is_of_its_model_alone() -> None:
    """What these tests rest on."""
    assert not np.allclose(vector_by("old", "tea", 4), vector_by("new", "tea", 4))
    texts: Sequence[str] = ["tea"]
    assert Model("old", 4).made(Model("old", 4).embed(texts)[0], "tea")
