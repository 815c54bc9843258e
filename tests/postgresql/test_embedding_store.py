"""Documents and questions that the provider's embedder embeds: which text, when, and what happens where it fails."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from apis import Blocking, Loop
from memorizz.errors import ConfigurationError, EmbeddingFailed, InvalidDocument, ProviderClosed
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider

LONG, TURNS, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY, MemoryType.MEMAGENT
DIMENSIONS = 4


def vector_of(text: str, dimensions: int = DIMENSIONS) -> np.ndarray:
    """The vector that Hashes makes of a text: the same for the same text, another for another."""
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(list(digest)).standard_normal(dimensions).astype(np.float32)


class Hashes:
    """An embedder that needs no model; it notes what it was asked, and may do something before it answers."""

    def __init__(
        self, name: str = "hashes", dimensions: int = DIMENSIONS, before: Callable[[Sequence[str]], None] | None = None
    ) -> None:
        self.name = name
        self.dimensions = dimensions
        self.before = before
        self.asked: list[tuple[str, list[str]]] = []

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        self.asked.append((kind, list(texts)))
        if self.before is not None:
            self.before(texts)
        return [vector_of(text, self.dimensions).tolist() for text in texts]

    @property
    def texts(self) -> list[str]:
        """Every text it was asked for."""
        return [text for _, texts in self.asked for text in texts]


class AwaitedHashes(Hashes):
    """The same, awaited."""

    async def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        await asyncio.sleep(0)
        return super().embed(texts, kind=kind)


@pytest.fixture
def embedder() -> Hashes:
    return Hashes()


@pytest.fixture
def api(open_api: Callable[..., Any], config: PostgreSQLConfig, embedder: Hashes) -> Iterator[Any]:
    """A provider on either API with an embedder, and one connection, which nothing may hold meanwhile."""
    with open_api(config.replace(max_size=1, pool_timeout=5.0), embedder=embedder) as provider:
        yield provider


def stored_vector(api: Any, id: str, store: MemoryType = LONG) -> Any:
    return api.retrieve_by_id(id, store, include_embedding=True)["embedding"]


def has_vector_of(api: Any, id: str, text: str, store: MemoryType = LONG) -> bool:
    vector = stored_vector(api, id, store)
    return vector is not None and np.allclose(vector, vector_of(text))


# --- which text ---------------------------------------------------------------------------------------------------

RULES = [
    # The name, and the speaker of a turn, belong to the meaning.
    (LONG, {"content": "tea"}, "tea"),
    (LONG, {"content": "tea", "name": "Drinks"}, "Drinks: tea"),
    (LONG, {"content": "tea", "name": "Drinks", "role": "Ada"}, "Drinks: tea"),
    (TURNS, {"content": "tea"}, "tea"),
    (TURNS, {"content": "tea", "role": "Ada"}, "Ada: tea"),
    (TURNS, {"content": "tea", "role": "Ada", "name": "Drinks"}, "Ada: tea"),
    # A name that the content begins with is not said twice; who speaks is another matter.
    (LONG, {"content": "Ada told Kim of tea", "name": " Ada "}, "Ada told Kim of tea"),
    (LONG, {"content": "Ada told Kim of tea", "name": "Kim"}, "Kim: Ada told Kim of tea"),
    (LONG, {"content": "Ada's tea", "name": "Ada"}, "Ada's tea"),
    (LONG, {"content": "Adam likes tea", "name": "Ada"}, "Ada: Adam likes tea"),
    (LONG, {"content": "C++ is hard", "name": "C"}, "C: C++ is hard"),
    (LONG, {"content": "रामायण", "name": "राम"}, "राम: रामायण"),
    (LONG, {"content": "tea", "name": "tea"}, "tea"),
    (TURNS, {"content": "Ada likes tea", "role": "Ada"}, "Ada: Ada likes tea"),
    (LONG, {"content": "tea", "name": ""}, "tea"),
    (LONG, {"content": "tea", "name": " "}, "tea"),
    (LONG, {"content": "tea", "name": None}, "tea"),
    (LONG, {"content": " tea\n"}, " tea\n"),
    (LONG, {"content": "tea", "metadata": {"a": 1}, "other": "x"}, "tea"),
    # Of a content in parts it is the text of the parts.
    (
        TURNS,
        {"content": [{"type": "text", "text": "tea"}, {"type": "image_url"}, "milk"], "role": "Ada"},
        "Ada: tea\nmilk",
    ),
    (LONG, {"content": [{"type": "image_url", "image_url": {"url": "data:"}}], "name": "Drinks"}, None),
    (LONG, {"content": []}, None),
    # What says nothing is not embedded, and neither is an agent.
    (LONG, {"content": ""}, None),
    (LONG, {"content": " \n\t"}, None),
    (LONG, {"content": None}, None),
    (LONG, {"name": "Drinks"}, None),
    (TURNS, {"role": "Ada"}, None),
    (LONG, {}, None),
    (AGENTS, {"content": "tea", "name": "Barista"}, None),
]


@pytest.mark.parametrize(("store", "document", "text"), RULES, ids=str)
def test_the_text_that_is_embedded(
    api: Any, embedder: Hashes, store: MemoryType, document: dict[str, Any], text: str | None
) -> None:
    """By one rule, however it is stored; the caller's dict is not changed."""
    before = dict(document)
    ids = [api.store(document, store), *api.store_many([document, document], store)]
    assert document == before
    assert embedder.asked == ([("document", [text]), ("document", [text, text])] if text is not None else [])
    for id in ids:
        assert has_vector_of(api, id, text, store) if text is not None else stored_vector(api, id, store) is None


@pytest.mark.parametrize("memory_type", MemoryType)
def test_every_store_but_the_agents(api: Any, embedder: Hashes, memory_type: MemoryType) -> None:
    """What an agent is, is no memory."""
    id = api.store({"content": "tea"}, memory_type)
    assert (stored_vector(api, id, memory_type) is None) is (memory_type is AGENTS)
    assert bool(embedder.asked) is (memory_type is not AGENTS)


def test_an_agent_is_not_embedded(api: Any, embedder: Hashes) -> None:
    """By none of the methods for agents."""
    id = api.store_memagent({"name": "Barista", "content": "tea", "memory_ids": []})
    api.update_memagent({"id": id, "content": "milk"})
    api.update_memagent_memory_ids(id, ["m"])
    assert embedder.asked == []


@pytest.mark.parametrize("given", [[1.0, 2.0, 3.0, 4.0], (1, 2, 3, 4), np.arange(1, 5)], ids=str)
def test_an_embedding_that_is_given_is_kept(api: Any, embedder: Hashes, given: Any) -> None:
    """The caller's own vector, stored and updated."""
    document = {"content": "tea", "embedding": given}
    for id in (api.store(document, LONG), *api.store_many([document], LONG)):
        assert np.allclose(stored_vector(api, id), [1, 2, 3, 4])
        assert api.update_by_id(id, {"content": "milk", "embedding": given}, LONG)
        assert np.allclose(stored_vector(api, id), [1, 2, 3, 4])
    assert embedder.asked == []


def test_an_embedding_of_none_means_none(api: Any, embedder: Hashes) -> None:
    """A document that is not to be embedded is not."""
    id = api.store({"content": "tea", "embedding": None}, LONG)
    api.store_many([{"content": "tea", "embedding": None}], LONG)
    assert all(each["embedding"] is None for each in api.list_all(LONG, include_embedding=True))
    api.store({"id": id, "content": "milk", "embedding": None}, LONG)
    assert embedder.asked == []
    # It is cleared as it is without an embedder, too.
    api.update_by_id(id, {"content": "water"}, LONG)
    assert has_vector_of(api, id, "water")
    api.update_by_id(id, {"embedding": None}, LONG)
    assert stored_vector(api, id) is None


# --- changes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", [LONG, TURNS])
@pytest.mark.parametrize("method", ["update_by_id", "store", "store_many"])
def test_a_change_of_a_part_embeds_the_whole(api: Any, embedder: Hashes, store: MemoryType, method: str) -> None:
    """The meaning is of the whole text; what does not change the text embeds nothing."""
    prefix = "role" if store is TURNS else "name"
    id = api.store({"id": "x", "content": "tea", prefix: "Ada"}, store)

    def change(data: dict[str, Any]) -> None:
        if method == "update_by_id":
            assert api.update_by_id(id, data, store)
        elif method == "store":
            assert api.store({"_id": id, **data}, store) == id
        else:
            assert api.store_many([{"id": id, **data}], store) == [id]

    for data, text in (
        ({"content": "milk"}, "Ada: milk"),
        ({prefix: "Bob"}, "Bob: milk"),
        ({prefix: None}, "milk"),
        ({prefix: "Eve", "content": "water"}, "Eve: water"),
    ):
        embedder.asked.clear()
        change(data)
        assert embedder.asked == [("document", [text])]
        assert has_vector_of(api, id, text, store)
    embedder.asked.clear()
    change({"importance_score": 1.0, "other": "x"})
    assert embedder.asked == []
    assert has_vector_of(api, id, "Eve: water", store)


def test_a_change_of_a_name_without_content_embeds_nothing(api: Any, embedder: Hashes) -> None:
    """There is nothing to be embedded."""
    id = api.store({"name": "Drinks"}, LONG)
    assert api.update_by_id(id, {"name": "Food"}, LONG)
    assert embedder.asked == []


def test_an_update_of_nothing_embeds_nothing_that_is_kept(api: Any) -> None:
    """An unknown id is False, and there is no document afterwards."""
    assert api.update_by_id("nobody", {"content": "tea"}, LONG) is False
    assert api.update_by_id("nobody", {"name": "tea"}, LONG) is False
    assert api.count(LONG) == 0


def test_an_expired_document_lends_nothing(api: Any, embedder: Hashes) -> None:
    """What is stored under the id of an expired document is a new one."""
    api.store({"id": "x", "content": "tea", "name": "Ada", "expires_at": "2020-01-01T00:00:00Z"}, LONG)
    api.store({"id": "x", "content": "milk"}, LONG)
    assert has_vector_of(api, "x", "milk")


@pytest.mark.parametrize("content", [None, "", " "])
def test_a_text_that_is_taken_away_takes_its_vector_along(api: Any, content: Any) -> None:
    """A vector of a text that is no longer there would be found by it."""
    id = api.store({"content": "tea"}, LONG)
    api.update_by_id(id, {"content": content}, LONG)
    assert stored_vector(api, id) is None


def test_parts_of_a_text_in_one_store_many(api: Any) -> None:
    """The same id twice merges in order, and so does its text."""
    api.store_many([{"id": "x", "content": "tea", "name": "Ada"}, {"id": "x", "name": "Bob"}], LONG)
    api.store_many([{"id": "y", "name": "Ada"}, {"id": "y", "content": "tea"}], LONG)
    assert has_vector_of(api, "x", "Bob: tea")
    assert has_vector_of(api, "y", "Ada: tea")


# --- batches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("many", [3, 30])
def test_new_documents_stand_in_the_order_of_the_call(api: Any, many: int) -> None:
    """Whether they bring an id or not, and whatever of a text they bring."""
    turns = [{"content": f"turn {n}"} | ({"id": f"t{n}"} if n % 2 else {}) for n in range(many)]
    api.store_many(turns, TURNS)
    assert [each["content"] for each in api.list_all(TURNS)] == [each["content"] for each in turns]


def test_many_documents_are_embedded_in_batches(api: Any, embedder: Hashes) -> None:
    """Far fewer calls than documents, in order; those that have a vector, or no text, are left out."""
    documents = [
        {"n": n}
        | ({"content": f"text {n}"} if n % 3 else {})
        | ({"embedding": [1.0, 0.0, 0.0, 0.0]} if n % 5 == 0 else {})
        for n in range(1200)
    ]
    ids = api.store_many(documents, LONG)
    assert embedder.texts == [f"text {n}" for n in range(1200) if n % 3 and n % 5]
    assert len(embedder.asked) == 3
    for n in (1, 5, 9, 499, 500, 501, 1199):
        vector = stored_vector(api, ids[n])
        expected = [1, 0, 0, 0] if n % 5 == 0 else vector_of(f"text {n}") if n % 3 else None
        assert vector is None if expected is None else np.allclose(vector, expected)


class Text(str):
    """A text that knows whether it is still there."""

    alive = 0
    most = 0

    def __new__(cls, text: str) -> Text:
        Text.alive += 1
        Text.most = max(Text.most, Text.alive)
        return super().__new__(cls, text)

    def __del__(self) -> None:
        Text.alive -= 1


def test_a_generator_is_spooled(api: Any, config: PostgreSQLConfig, embedder: Hashes) -> None:
    """It is read once, a batch at a time, and nothing is stored before all of it was embedded."""
    Text.alive = Text.most = 0

    def documents() -> Iterator[dict[str, Any]]:
        for n in range(2000):
            if n % 500 == 0:
                assert rows(config) == 0
                embedder.asked.clear()
            yield {"n": n, "content": Text(f"text {n}")}

    assert len(api.store_many(documents(), LONG)) == 2000
    assert rows(config) == 2000
    assert 500 <= Text.most <= 1500
    assert all(each["embedding"] is not None for each in api.list_all(LONG, include_embedding=True))


def rows(config: PostgreSQLConfig) -> int:
    """Count the documents without the provider, which may be busy."""
    with psycopg.connect(config.conninfo) as connection:
        row = connection.execute(f"SELECT count(*) FROM {LONG.value}").fetchone()
        assert row is not None
        return row[0]


def test_a_text_of_any_class_is_a_text(api: Any) -> None:
    """What parsers of HTML give is a str, and more that nobody wants to keep."""

    class Parsed(str):
        """A text that cannot be pickled."""

    (id,) = api.store_many([{"content": Parsed("tea"), "name": Parsed("Ada")}], LONG)
    assert has_vector_of(api, id, "Ada: tea")
    assert type(api.retrieve_by_id(id, LONG)["content"]) is str


def test_a_generator_that_fails_stores_nothing(api: Any) -> None:
    """All or nothing, and its own error."""

    def documents() -> Iterator[dict[str, Any]]:
        yield from ({"content": f"text {n}"} for n in range(700))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        api.store_many(documents(), LONG)
    assert api.count(LONG) == 0


def test_a_document_that_cannot_be_stored_stores_nothing(api: Any) -> None:
    """All or nothing, with an embedder too."""
    documents = [{"content": f"text {n}"} for n in range(700)]
    with pytest.raises(InvalidDocument, match="importance_score"):
        api.store_many([*documents, {"content": "x", "importance_score": "high"}], LONG)
    assert api.count(LONG) == 0


def test_what_is_no_document_is_refused(api: Any) -> None:
    """As it is without an embedder."""
    for document in (["tea"], "tea", None, 5):
        with pytest.raises(InvalidDocument, match="dict"):
            api.store(document, LONG)
        with pytest.raises(InvalidDocument, match="dict"):
            api.store_many([{"content": "tea"}, document], LONG)
    assert api.count(LONG) == 0


# --- the connection -----------------------------------------------------------------------------------------------


def test_no_connection_waits_for_the_embedder(
    config: PostgreSQLConfig, open_api: Callable[..., Any], migrated_dsn: str
) -> None:
    """While it embeds, somebody else uses the one connection that there is; nothing is open in the server either."""
    used: list[tuple[int, str]] = []

    def use_the_connection(texts: Sequence[str]) -> None:
        with psycopg.connect(migrated_dsn) as watching:
            busy = watching.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND application_name = 'memorizz' AND state <> 'idle'"
            ).fetchone()
        assert busy == (0,)
        stats = api.pool_stats()
        assert stats["pool_available"] == stats["pool_size"] == 1
        used.append((stats["pool_size"], texts[0]))

    embedder = Hashes(before=use_the_connection)
    with open_api(config.replace(min_size=1, max_size=1, pool_timeout=5.0), embedder=embedder) as api:
        api.pool_stats = lambda: api._pool.get_stats()
        id = api.store({"id": "x", "content": "tea", "name": "Ada"}, LONG)
        api.store_many([{"content": f"text {n}"} for n in range(600)], LONG)
        api.update_by_id(id, {"name": "Bob"}, LONG)
        api.retrieve_by_query("Did Bob have tea?", TURNS, 3)
        api.retrieve_memory_components_by_query("Did Bob have tea?")
        assert [text for _, text in used] == ["Ada: tea", "text 0", "text 500", "Bob: tea", *["Did Bob have tea?"] * 2]


@pytest.mark.parametrize("given", [False, True], ids=["own pool", "given pool"])
def test_what_is_closed_while_it_embeds_stores_nothing(
    config: PostgreSQLConfig, migrated_dsn: str, given: bool
) -> None:
    """Also where the pool is the caller's, and still open."""
    embedder = Hashes(before=lambda texts: provider.close())
    with ConnectionPool(migrated_dsn, min_size=1, open=True) as pool:
        provider = PostgreSQLProvider(config, embedder=embedder, pool=pool if given else None)
        with pytest.raises(ProviderClosed):
            provider.store({"content": "tea"}, LONG)
        with PostgreSQLProvider(config) as other:
            assert other.count(LONG) == 0


def test_others_search_while_the_embedder_works(config: PostgreSQLConfig) -> None:
    """A slow embedder of one thread holds up nobody else."""
    entered, go_on = threading.Event(), threading.Event()

    def wait(texts: Sequence[str]) -> None:
        entered.set()
        assert go_on.wait(30)

    with PostgreSQLProvider(config.replace(max_size=1, pool_timeout=5.0), embedder=Hashes(before=wait)) as provider:
        storing = threading.Thread(target=provider.store, args=({"content": "tea"}, LONG))
        storing.start()
        try:
            assert entered.wait(30)
            assert provider.count(LONG) == 0
        finally:
            go_on.set()
            storing.join()
        assert provider.count(LONG) == 1


def test_in_a_transaction_too(api: Any) -> None:
    """There the connection is the caller's; what was embedded is rolled back with the rest."""
    with api.transaction() as transaction:
        id = transaction.store({"content": "tea"}, LONG)
        transaction.store_many(({"content": f"text {n}"} for n in range(3)), LONG)
    assert has_vector_of(api, id, "tea")
    assert all(each["embedding"] is not None for each in api.list_all(LONG, include_embedding=True))

    def fail() -> None:
        with api.transaction() as transaction:
            transaction.store({"content": "milk"}, LONG)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert api.count(LONG) == 4


# --- the model ----------------------------------------------------------------------------------------------------


def noted_model(config: PostgreSQLConfig) -> Any:
    with psycopg.connect(config.conninfo) as connection:
        return connection.execute("SELECT name, dimensions FROM memorizz_embedding_models").fetchall()


def test_the_model_is_noted(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """A provider without an embedder notes nothing and may work with it."""
    with open_api(config) as provider:
        provider.store({"content": "tea"}, LONG)
    assert noted_model(config) == [(None, 4)]
    for _ in range(2):
        with open_api(config, embedder=Hashes("first")) as provider:
            provider.store({"content": "tea"}, LONG)
        assert noted_model(config) == [("first", 4)]
    with open_api(config) as provider:
        assert provider.count(LONG) == 3


def test_another_model_is_refused(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """Of the same length, for their vectors cannot be compared; the error names both and the way out."""
    with open_api(config, embedder=Hashes("first")) as provider:
        provider.store({"content": "tea"}, LONG)
    with (
        pytest.raises(ConfigurationError, match=r"'first'.*'second'.*another schema"),
        open_api(config, embedder=Hashes("second")) as provider,
    ):
        provider.count(LONG)
    with open_api(config.replace(schema="other"), embedder=Hashes("second")) as provider:
        assert provider.count(LONG) == 0
    assert noted_model(config) == [("first", 4)]


def test_a_model_of_another_length_is_refused(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """At once, and the error says what to configure; nothing is noted."""
    with (
        pytest.raises(ConfigurationError, match=r"dimension.* 5 .*holds 4.*embedding_dimensions=5"),
        open_api(config, embedder=Hashes(dimensions=5)) as provider,
    ):
        provider.count(LONG)
    assert noted_model(config) == [(None, 4)]


def test_an_awaited_embedder_on_the_blocking_api(config: PostgreSQLConfig) -> None:
    """It cannot be awaited there; the error says what to do, before its model is noted."""
    with pytest.raises(ConfigurationError, match="awaited"):
        PostgreSQLProvider(config, embedder=AwaitedHashes())  # type: ignore[arg-type]
    assert noted_model(config) == [(None, 4)]


def test_a_name_that_many_documents_share_is_a_speakers(api: Any, embedder: Hashes) -> None:
    """Outside of conversations it is cut out of what is embedded as a speaker's is; a title stays."""
    api.store_many([{"name": "Ada", "content": f"fact {n}", "memory_id": "m"} for n in range(10)], LONG)
    api.store({"name": "tea", "content": "no milk", "memory_id": "m"}, LONG)
    embedder.asked.clear()
    api.retrieve_memory_components_by_query("What tea does Ada's sister drink?", memory_id="m", memory_type=LONG)
    assert embedder.texts == ["What tea does sister drink?"]


def test_names_are_looked_up_in_every_store_that_is_searched(api: Any, embedder: Hashes) -> None:
    """Where no store is named, who is spoken of in facts is cut out as who speaks is, and the facts score the same."""
    api.store_many([{"name": "Ada", "content": f"fact {n} of tea", "memory_id": "m"} for n in range(10)], LONG)
    api.store({"role": "Bob", "content": "I drink tea.", "memory_id": "m"}, TURNS)
    api.store({"name": "Eve", "content": "tea", "memory_id": "m"}, "workflow_memory")
    embedder.asked.clear()
    question = "Does Ada drink tea with Bob and Eve?"
    everywhere = api.retrieve_memory_components_by_query(question, memory_id="m", limit=20)
    assert embedder.texts == ["Does drink tea with and Eve?"]
    assert len(everywhere) == 12
    embedder.asked.clear()
    question = "Does Ada drink tea?"
    everywhere = api.retrieve_memory_components_by_query(question, memory_id="m", limit=20)
    facts = api.retrieve_memory_components_by_query(question, memory_id="m", memory_type=LONG, limit=20)
    assert embedder.texts == ["Does drink tea?"] * 2
    assert [each for each in everywhere if each.get("name") == "Ada"] == facts


def test_a_content_in_parts_is_embedded_again_where_its_text_changes(api: Any, embedder: Hashes) -> None:
    """Another image leaves the vector as it is; another text does not, and where none is left, neither is a vector."""
    tea, image = {"type": "text", "text": "tea"}, {"type": "image_url", "image_url": {"url": "a"}}
    [id] = api.store_many([{"content": [tea, image]}], LONG)
    assert has_vector_of(api, id, "tea")
    embedder.asked.clear()
    api.update_by_id(id, {"content": [tea, {**image, "image_url": {"url": "b"}}]}, LONG)
    api.store({"id": id, "content": "tea"}, LONG)
    api.store_many([{"id": id, "content": [tea]}], LONG)
    assert embedder.asked == []
    assert has_vector_of(api, id, "tea")
    api.update_by_id(id, {"content": [{"type": "text", "text": "milk"}]}, LONG)
    assert has_vector_of(api, id, "milk")
    api.update_by_id(id, {"content": [image]}, LONG)
    assert stored_vector(api, id) is None
    (document,) = api.embedded([{"content": [tea, image]}], LONG)
    assert np.allclose(document["embedding"], vector_of("tea"))
    api.store({"id": id, "content": [tea, image], "embedding": None}, LONG)
    assert api.embed_missing(LONG) == 1
    assert has_vector_of(api, id, "tea")
    assert api.retrieve_by_id(id, LONG)["content"] == [tea, image]


def test_a_text_that_sql_has_changed_is_told(api: Any, config: PostgreSQLConfig) -> None:
    """The parts that were stored with the text before are not."""
    id = api.store({"content": [{"type": "text", "text": "a secret"}]}, LONG)
    with psycopg.connect(config.conninfo) as connection:
        connection.execute("UPDATE long_term_memory SET content = 'nothing'")
    assert api.retrieve_by_id(id, LONG)["content"] == "nothing"


# --- failures -----------------------------------------------------------------------------------------------------


class Failing(Hashes):
    """An embedder that fails at a text, in one of many ways."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        vectors = super().embed(texts, kind=kind)
        return self.answer(vectors) if any("bad" in text for text in texts) else vectors


def raises(error: BaseException) -> Callable[[Any], Any]:
    def answer(vectors: Any) -> Any:
        raise error

    return answer


FAILURES = {
    "raises": raises(RuntimeError("out of order")),
    "is used up": raises(StopIteration()),
    "ends": raises(StopAsyncIteration()),
    "closes": raises(GeneratorExit()),
    "is cancelled": raises(asyncio.CancelledError()),
    "too few": lambda vectors: vectors[1:],
    "too many": lambda vectors: [*vectors, [1.0] * 4],
    "too short": lambda vectors: [vector[1:] for vector in vectors],
    "NaN": lambda vectors: [[float("nan")] * 4 for _ in vectors],
    "zero": lambda vectors: [[0.0] * 4 for _ in vectors],
    "None": lambda vectors: None,
    "a str": lambda vectors: "vectors",
}


class FailingAwaited(Failing):
    async def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        await asyncio.sleep(0)
        return Failing.embed(self, texts, kind=kind)


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
def test_an_embedder_that_fails_stores_nothing(
    open_api: Callable[..., Any], config: PostgreSQLConfig, answer: Any
) -> None:
    """Neither one document nor many, nor a change; and the provider goes on."""
    with open_api(config, embedder=Failing(answer)) as api:
        assert_nothing_is_stored(api)


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
def test_an_awaited_embedder_that_fails_stores_nothing(config: PostgreSQLConfig, loop: Loop, answer: Any) -> None:
    """The same for one that is awaited."""
    with Blocking(AsyncPostgreSQLProvider(config, embedder=FailingAwaited(answer)), loop) as api:
        assert_nothing_is_stored(api)


def assert_nothing_is_stored(api: Any) -> None:
    id = api.store({"content": "good"}, LONG)
    for work in (
        lambda: api.store({"content": "bad"}, LONG),
        lambda: api.store_many([{"content": "bad" if n == 700 else f"text {n}"} for n in range(900)], LONG),
        lambda: api.update_by_id(id, {"content": "bad"}, LONG),
        lambda: api.store({"id": id, "content": "bad"}, LONG),
        lambda: api.retrieve_by_query("bad", LONG),
        lambda: api.retrieve_memory_components_by_query("bad"),
    ):
        with pytest.raises(EmbeddingFailed):
            work()
    (document,) = api.list_all(LONG, include_embedding=True)
    assert document["content"] == "good"
    assert np.allclose(document["embedding"], vector_of("good"))
    assert api.store({"content": "better"}, LONG)


# --- questions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def talk(api: Any, embedder: Hashes) -> Any:
    """A provider whose conversations hold what three people said, in two memories."""
    api.store_many(
        [
            {"n": 0, "memory_id": "m", "role": "Ada", "content": "The train was late."},
            {"n": 1, "memory_id": "m", "role": "Bob", "content": "I drink tea."},
            {"n": 2, "memory_id": "m", "role": "Ada", "content": "Milk first."},
            {"n": 3, "memory_id": "other", "role": "Eve", "content": "I drink water."},
            {"n": 4, "memory_id": "other", "role": "user", "content": "I drink tea."},
        ],
        TURNS,
    )
    embedder.asked.clear()
    return api


def test_a_question_is_asked_by_meaning_and_words(talk: Any, embedder: Hashes) -> None:
    """A str is embedded as a query; its words count too."""
    hits = talk.retrieve_by_query("Who drinks tea?", TURNS, 10, explain=True)
    assert embedder.asked == [("query", ["Who drinks tea?"])]
    assert {hit["n"] for hit in hits} == {0, 1, 2, 3, 4}
    assert {hit["n"] for hit in hits if "words" in hit["_explanation"]} == {1, 3, 4}
    for hit in hits:
        text = vector_of(f"{hit['role']}: {hit['content']}")
        asked = vector_of("Who drinks tea?")
        similarity = float(text @ asked / np.linalg.norm(text) / np.linalg.norm(asked))
        assert hit["_explanation"]["meaning"] == pytest.approx(0.7 * similarity, abs=1e-6)
        assert hit["_distance"] == pytest.approx(1 - similarity, abs=1e-6)


@pytest.mark.parametrize(
    ("question", "embedded", "of_speaker"),
    [
        ("When did Ada take the train?", "When did take the train?", {0, 2}),
        ("what was BOB's tea", "what was tea", {1}),
        ("Ada and Bob and Eve", "and and", {0, 1, 2, 3}),
        # Nobody of that name has spoken, and everybody is a user.
        ("When did Zoe take the train?", "When did Zoe take the train?", set()),
        ("When did the user drink tea?", "When did the user drink tea?", set()),
        ("Adam's train", "Adam's train", set()),
        ("who of us is called ada?", "who of us is called ada?", set()),
        ("Ada", "Ada", {0, 2}),
    ],
)
def test_names_of_speakers_are_cut_out(
    talk: Any, embedder: Hashes, question: str, embedded: str, of_speaker: set[int]
) -> None:
    """They are no part of what is embedded, and come back as a boost for the turns of that speaker."""
    hits = talk.retrieve_by_query(question, TURNS, 10, explain=True)
    assert embedder.asked == [("query", [embedded])]
    assert {hit["n"]: hit["_explanation"].get("speaker") for hit in hits} == {
        n: pytest.approx(0.05) if n in of_speaker else None for n in range(5)
    }


@pytest.mark.parametrize(
    ("role", "question"),
    [
        ("model", "Which model did we choose?"),
        ("model", "Model or make?"),
        ("developer", "Which developer wrote the parser?"),
        ("Data Analyst", "What data did we use?"),
        ("Head of Sales", "How much were the sales in May?"),
        ("Planner", "Where is my planner?"),
    ],
)
def test_words_that_are_roles_stay_in_a_question(api: Any, embedder: Hashes, role: str, question: str) -> None:
    """What the roles of APIs and agents are called is embedded as it was asked, and is nobody's name."""
    turns = [{"memory_id": "m", "role": role, "content": f"turn {n}", "conversation_id": "c"} for n in range(12)]
    api.store_many([*turns, {"memory_id": "m", "name": role, "content": "sales data of a model"}], TURNS)
    embedder.asked.clear()
    hits = api.retrieve_by_query(question, TURNS, 9, explain=True)
    hits += api.retrieve_memory_components_by_query(question, memory_id="m")
    assert embedder.texts == [question, question]
    assert all("speaker" not in hit.get("_explanation", ()) for hit in hits)


def test_a_role_that_is_used_as_a_name_is_one(api: Any, embedder: Hashes) -> None:
    """Written as a name, in the middle of a question."""
    api.store({"role": "Planner", "content": "turn"}, TURNS)
    embedder.asked.clear()
    api.retrieve_by_query("What did Planner say about the planner?", TURNS, 9)
    assert embedder.texts == ["What did say about the planner?"]


def test_a_boost_that_the_caller_does_not_want(talk: Any) -> None:
    """0 leaves it out."""
    hits = talk.retrieve_by_query("When did Ada take the train?", TURNS, 10, ranking=Ranking(speaker=0), explain=True)
    assert all("speaker" not in hit["_explanation"] for hit in hits)


def test_names_of_another_memory_are_no_names(talk: Any, embedder: Hashes) -> None:
    """Who speaks elsewhere may be somebody else."""
    hits = talk.retrieve_memory_components_by_query("Did Eve meet Ada?", memory_id="m", memory_type=TURNS)
    assert embedder.asked == [("query", ["Did Eve meet ?"])]
    assert {hit["n"] for hit in hits} == {0, 1, 2}


def test_names_stay_in_other_stores(talk: Any, embedder: Hashes) -> None:
    """Only who speaks in a conversation is a speaker."""
    talk.store({"content": "Ada drinks tea", "role": "Ada", "embedding": [1.0, 0.0, 0.0, 0.0]}, LONG)
    (hit,) = talk.retrieve_by_query("What does Ada drink?", LONG, explain=True)
    assert embedder.asked == [("query", ["What does Ada drink?"])]
    assert hit["_explanation"].keys() == {"meaning", "words"}


def test_components_are_asked_by_meaning_and_words(talk: Any, embedder: Hashes) -> None:
    """A question alone is embedded, once for all stores; a vector that is given is taken."""
    talk.store({"n": 9, "content": "tea", "memory_id": "m"}, LONG)
    embedder.asked.clear()
    hits = talk.retrieve_memory_components_by_query("Who drinks tea?", memory_id="m")
    assert embedder.asked == [("query", ["Who drinks tea?"])]
    assert {hit["n"] for hit in hits} == {0, 1, 2, 9}
    hits = talk.retrieve_memory_components_by_query("Who drinks tea?", [1.0, 0.0, 0.0, 0.0], "m")
    assert {hit["n"] for hit in hits} == {0, 1, 2, 9}
    talk.retrieve_memory_components_by_query(None, [1.0, 0.0, 0.0, 0.0], "m")
    assert len(embedder.asked) == 1


def test_a_text_in_the_place_of_a_vector(talk: Any, embedder: Hashes) -> None:
    """Under a filter it is embedded as a question is, without names; with its words it ranks as a str does."""
    question = "Did Ada drink tea?"
    both = {"embedding": question, "$text": {"$search": question}}
    assert talk.retrieve_by_query(both, TURNS, 9) == talk.retrieve_by_query(question, TURNS, 9)
    hits = talk.retrieve_by_query(both | {"memory_id": "m"}, TURNS, 9, explain=True)
    assert {hit["n"] for hit in hits} == {0, 1, 2}
    assert {hit["n"] for hit in hits if "words" in hit["_explanation"]} == {0, 1, 2}
    alone = talk.retrieve_by_query({"embedding": question, "memory_id": "other"}, TURNS, 9)
    assert {hit["n"] for hit in alone} == {3, 4}
    assert all(hit["score"] == pytest.approx(1 - hit["distance"]) for hit in alone)
    assert [texts for _, texts in embedder.asked] == [["Did drink tea?"]] * 3 + [[question]]


@pytest.mark.parametrize("question", ["", " ", "\n"])
def test_an_empty_question_is_not_embedded(talk: Any, embedder: Hashes, question: str) -> None:
    """It finds nothing."""
    assert talk.retrieve_by_query(question, TURNS, 5) == []
    assert talk.retrieve_by_query({"embedding": question, "memory_id": "m"}, TURNS, 5) == []
    assert talk.retrieve_memory_components_by_query(question) == []
    assert embedder.asked == []


def test_a_question_of_stop_words_has_a_meaning(talk: Any, embedder: Hashes) -> None:
    """It has no words that are searched, but a vector."""
    assert len(talk.retrieve_by_query("Who is it?", TURNS, 5)) == 5
    assert embedder.asked == [("query", ["Who is it?"])]


def test_a_limit_of_0_asks_nobody(talk: Any, embedder: Hashes) -> None:
    """Nothing is wanted, so nothing is embedded."""
    assert talk.retrieve_by_query("tea", TURNS, 0) == []
    assert talk.retrieve_memory_components_by_query("tea", limit=0) == []
    assert embedder.asked == []


def test_a_vector_or_a_filter_asks_nobody(talk: Any, embedder: Hashes) -> None:
    """Only a question is embedded."""
    talk.retrieve_by_query({"embedding": [1.0, 0.0, 0.0, 0.0], "$text": {"$search": "tea"}}, TURNS, 5)
    talk.retrieve_by_query({"memory_id": "m"}, TURNS, 5)
    talk.retrieve_by_name("tea", TURNS)
    assert embedder.asked == []


# --- the async API -----------------------------------------------------------------------------------------------


def test_an_awaited_embedder_is_awaited(config: PostgreSQLConfig, loop: Loop) -> None:
    """For documents and questions."""
    embedder = AwaitedHashes()
    with Blocking(AsyncPostgreSQLProvider(config, embedder=embedder), loop) as api:
        id = api.store({"content": "tea"}, LONG)
        api.store_many([{"content": "milk"}], LONG)
        api.update_by_id(id, {"name": "Ada"}, LONG)
        assert has_vector_of(api, id, "Ada: tea")
        assert len(api.retrieve_by_query("tea", LONG, 5)) == 2
    assert [kind for kind, _ in embedder.asked] == ["document"] * 3 + ["query"]


def test_a_blocking_embedder_does_not_block_the_loop(config: PostgreSQLConfig) -> None:
    """It runs in a thread: what it waits for here is done by the loop meanwhile."""
    threads: set[int] = set()

    async def work() -> int:
        running = asyncio.get_running_loop()

        def ask_the_loop(texts: Sequence[str]) -> None:
            threads.add(threading.get_ident())
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), running).result(timeout=30)

        embedder = Hashes(before=ask_the_loop)
        async with AsyncPostgreSQLProvider(config, embedder=embedder) as provider:
            id = await provider.store({"content": "tea"}, LONG)
            await provider.store_many([{"content": "milk"}], LONG)
            await provider.update_by_id(id, {"name": "Ada"}, LONG)
            return len(await provider.retrieve_by_query("tea", LONG, 5))

    assert asyncio.run(work()) == 2
    assert threading.get_ident() not in threads


def test_documents_can_be_embedded_before_a_transaction(api: Any, embedder: Hashes) -> None:
    """By the text that they bring, where they have one and no embedding; the transaction then asks no model."""
    documents = [
        {"id": "a", "content": "tea", "name": "Ada"},
        {"id": "b", "content": "coffee", "embedding": [1, 0, 0, 0]},
        {"id": "c", "content": "water", "embedding": None},
        {"id": "d", "name": "nothing"},
    ]
    ready = api.embedded(iter(documents), LONG)
    assert [document.get("embedding", "none") for document in ready[1:]] == [[1, 0, 0, 0], None, "none"]
    assert documents[0] == {"id": "a", "content": "tea", "name": "Ada"}
    assert api.count(LONG) == 0
    assert embedder.texts == ["Ada: tea"]
    with api.transaction() as transaction:
        transaction.store_many(ready, LONG)
    assert embedder.texts == ["Ada: tea"]
    assert has_vector_of(api, "a", "Ada: tea")
    assert api.embedded([{"content": "an agent"}], AGENTS) == [{"content": "an agent"}]


def test_without_an_embedder_documents_stay_what_they_are(open_api: Callable[..., Any], config: Any) -> None:
    """And the provider says so."""
    with open_api(config) as api:
        api.count(LONG)
        assert not api.has_embedder
        assert api.embedded(iter([{"content": "tea"}]), LONG) == [{"content": "tea"}]


# --- several at once ----------------------------------------------------------------------------------------------


def test_update_embeds_each_text_that_it_makes(api: Any, embedder: Hashes) -> None:
    """Each match has the vector of its own text; what keeps its text keeps its vector, and no model is asked for it."""
    api.store_many(
        [
            {"id": "a", "name": "Ada", "content": "tea", "kind": 1},
            {"id": "b", "name": "Bob", "content": "tea", "kind": 1},
            {"id": "c", "content": "milk", "kind": 1, "embedding": [1, 0, 0, 0]},
            {"id": "d", "content": "tea", "kind": 2},
        ],
        LONG,
    )
    embedder.asked.clear()
    assert api.update(LONG, {"kind": 1}, {"content": "milk"}) == 3
    assert sorted(embedder.texts) == ["Ada: milk", "Bob: milk"]
    assert has_vector_of(api, "a", "Ada: milk")
    assert has_vector_of(api, "b", "Bob: milk")
    assert stored_vector(api, "c") == [1, 0, 0, 0]
    assert has_vector_of(api, "d", "tea")
    assert api.update(LONG, {"kind": 1}, {"content": None, "kind": 3}) == 3
    assert [stored_vector(api, id) for id in "abc"] == [None] * 3
    assert api.update(LONG, {"kind": 1}, {"content": "cocoa"}) == 0


def test_update_of_other_keys_asks_no_model(api: Any, embedder: Hashes) -> None:
    """Vectors stay, and one that is given is kept."""
    api.store({"id": "a", "content": "tea"}, LONG)
    embedder.asked.clear()
    assert api.update(LONG, {"id": "a"}, {"n": 1}) == 1
    assert has_vector_of(api, "a", "tea")
    assert api.update(LONG, {"id": "a"}, {"content": "milk", "embedding": [1, 0, 0, 0]}) == 1
    assert stored_vector(api, "a") == [1, 0, 0, 0]
    assert embedder.asked == []


def test_update_compares_again_after_the_model(api: Any, embedder: Hashes, config: PostgreSQLConfig) -> None:
    """What has been changed while the model embedded, and does not match any more, is left as it is."""
    api.store({"id": "a", "content": "tea", "revision": 7}, LONG)

    def meanwhile(texts: Sequence[str]) -> None:
        with psycopg.connect(config.conninfo, autocommit=True) as other:
            other.execute("UPDATE long_term_memory SET data = data || '{\"revision\": 8}'")

    embedder.before = meanwhile
    assert api.update(LONG, {"id": "a", "revision": 7}, {"content": "milk", "revision": 8}) == 0
    assert has_vector_of(api, "a", "tea")


def test_if_absent_asks_no_model_for_nothing(api: Any, embedder: Hashes) -> None:
    """A document that is new is embedded; where one of its id is there, no model is asked."""
    assert api.store({"id": "a", "content": "tea"}, LONG, if_absent=True) == "a"
    assert has_vector_of(api, "a", "tea")
    assert api.store({"id": "a", "content": "milk"}, LONG, if_absent=True) is None
    assert embedder.texts == ["tea"]
