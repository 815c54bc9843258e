"""Documents of the seven stores whose text is longer than a model reads: embedded in pieces, found by the best."""

from __future__ import annotations

import itertools
import os
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from memorizz import MemoryType, PostgreSQLConfig, PostgreSQLProvider, StoreSpec, moving
from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.memory_provider._parts import windows
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding
from memorizz.memory_provider.postgresql.search import plan

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
DIMENSIONS = 64


def vector(text: str) -> np.ndarray:
    made = np.zeros(DIMENSIONS, np.float32)
    for word in text.lower().split():
        made += np.random.default_rng(zlib.crc32(word.strip(".,:").encode())).standard_normal(DIMENSIONS)
    return made if made.any() else made + 1


class Words:
    """An embedder whose texts are near each other where they share words; `before` is called before it answers."""

    dimensions = DIMENSIONS

    def __init__(self, name: str = "words", max_tokens: Any = 64) -> None:
        self.name, self.max_tokens = name, max_tokens
        self.texts: list[str] = []
        self.before: Callable[[], Any] | None = None

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        if kind == "document":
            self.texts += texts
        before, self.before = self.before, None
        if before is not None:
            before()
        return [vector(text) for text in texts]


def book(title: str = "subject", sentences: int = 60) -> str:
    return " ".join(f"Now {title}{n} has {title}{n} and {title}{n} of {title}{n}." for n in range(sentences))


@pytest.fixture
def model() -> Words:
    return Words()


@pytest.fixture(scope="module")
def database(servers: Callable[[int], str]) -> Iterator[str]:
    """The connection string of a database of these tests: to make one takes longer than most of them."""
    server, name = servers(18), f"memorizz_long_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield make_conninfo(server, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def config(database: str) -> PostgreSQLConfig:
    return PostgreSQLConfig(dsn=database, embedding_dimensions=DIMENSIONS, max_size=4)


_numbers = itertools.count()


@pytest.fixture
def fresh(config: PostgreSQLConfig) -> PostgreSQLConfig:
    """What opens a schema that nobody has used."""
    return config.replace(schema=f"fresh_{next(_numbers)}")


@pytest.fixture
def memory(open_api: Callable[..., Any], config: PostgreSQLConfig, model: Words) -> Iterator[Any]:
    """A provider on either API with an embedder that reads 64 tokens, and empty stores."""
    with open_api(config, embedder=model) as provider:
        for store in (LONG, TURNS):
            provider.delete_all(store)
        yield provider


@pytest.fixture
def pieces(config: PostgreSQLConfig) -> Iterator[Callable[..., int]]:
    """How many rows of pieces the facts of a schema have."""
    with psycopg.connect(config.conninfo, autocommit=True) as connection:

        def counted(schema: str | None = None) -> int:
            table = f"{schema or 'public'}.memorizz_long_term_memory_parts"
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert row is not None
            return row[0]

        yield counted


def best(provider: Any, text: str, store: Any = LONG) -> dict[str, Any]:
    return provider.retrieve_by_query({"embedding": text}, store, 1)[0]


# --- cutting --------------------------------------------------------------------------------------------------------


TEXTS = {
    "english": book(),
    "one letter": "a" * 50_000,
    "chinese": "\u6c34" * 20_000,
    "base64": "Ab3/+" * 5_000,
    "russian": "\u0430\u0431 " * 9_000,
    "blank": " " * 30_000 + "end",
    "emoji": "\U0001f600" * 4_000,
}
# How many characters of a token a model takes at most.
DENSE = {"one letter": 1, "chinese": 1, "base64": 1, "emoji": 1, "russian": 3}


@pytest.mark.parametrize("kind", TEXTS)
def test_pieces_hold_the_whole_text_and_fit_the_model(kind: str) -> None:
    """Any text: pieces overlap or touch, and none is longer than what a model of few tokens reads."""
    text = TEXTS[kind]
    found = windows(text, 256, "Ada")
    assert not text[: found[0][0]].strip()
    assert found[-1][1] == len(text)
    assert all(before[0] < after[0] <= before[1] < after[1] for before, after in itertools.pairwise(found))
    assert all(stop - start <= 256 * DENSE.get(kind, 4) for start, stop in found)


def test_a_short_text_is_one_piece() -> None:
    """What a model reads whole is not cut."""
    assert windows("Ada drinks tea.", 256, "Ada") == [(0, 15)]
    assert windows("word " * 150, 256, "") == [(0, 750)]


# --- storing and finding --------------------------------------------------------------------------------------------


def test_a_long_text_is_found_by_its_best_piece_which_is_named(memory: Any, model: Words) -> None:
    """A hit says from where to where the piece stands in its content; words see the whole text."""
    text = book()
    memory.store({"id": "book", "name": "Harbours", "content": text}, LONG)
    memory.store({"id": "bob", "content": "Bob paints walls."}, LONG)
    assert all(piece.startswith("Harbours: ") for piece in model.texts[:-1])
    assert model.texts[-1] == "Bob paints walls."
    for exact in (True, False):
        hits = memory.retrieve_by_query({"embedding": vector(model.texts[4])}, LONG, 5, exact=exact)
        assert [hit["id"] for hit in hits] == ["book", "bob"]
        part = hits[0]["_part"]
        assert part["path"] == "content"
        assert f"Harbours: {text[part['start'] : part['stop']]}" == model.texts[4]
        assert hits[0]["_score"] == pytest.approx(1.0, abs=1e-5)
        assert "_part" not in hits[1]
    hit = memory.retrieve_by_query("subject59", LONG, 5)[0]
    assert (hit["id"], hit["_part"]["stop"]) == ("book", len(text))
    assert memory.retrieve_by_query({"$text": {"$search": "subject59"}}, LONG, 5)[0]["id"] == "book"
    # A hit may be stored back, and every read shows the same document.
    assert memory.store(hit, LONG) == "book"
    assert best(memory, model.texts[4])["id"] == "book"


def test_a_turn_in_parts_is_cut_by_its_text(memory: Any, model: Words) -> None:
    """The content is a list as chat APIs send it; a piece stands in its text."""
    content = [{"type": "text", "text": book("tea")}, {"type": "text", "text": book("milk")}]
    memory.store({"id": "t", "role": "Ada", "memory_id": "m", "content": content}, TURNS)
    assert all(text.startswith("Ada: ") for text in model.texts)
    part = best(memory, "about milk30", TURNS)["_part"]
    assert "milk30" in "\n".join(each["text"] for each in content)[part["start"] : part["stop"]]


@pytest.mark.parametrize("way", ["store", "many", "update", "filter", "transaction", "absent", "embedded", "loading"])
def test_every_write_embeds_a_long_text_in_pieces(memory: Any, pieces: Callable[..., int], way: str) -> None:
    """Whichever way it comes in, and in its place a short one leaves no piece."""
    document = {"id": "book", "content": book()}
    if way in ("update", "filter"):
        memory.store({"id": "book", "content": "short"}, LONG)
    if way == "store":
        memory.store(document, LONG)
    elif way == "many":
        memory.store_many([document, *({"content": f"short {n}"} for n in range(20))], LONG)
    elif way == "update":
        assert memory.update_by_id("book", {"content": book()}, LONG)
    elif way == "filter":
        assert memory.update(LONG, {"id": "book"}, {"content": book()}) == 1
    elif way == "transaction":
        with memory.transaction() as transaction:
            transaction.store(document, LONG)
            assert best(transaction, "about subject30")["id"] == "book"
    elif way == "absent":
        assert memory.store(document, LONG, if_absent=True) == "book"
        assert memory.store(document, LONG, if_absent=True) is None
    elif way == "embedded":
        memory.store_many(memory.embedded([document], LONG), LONG)
    else:
        with memory.loading(LONG):
            memory.store_many([document], LONG)
    count = pieces()
    assert count > 10
    hit = best(memory, "about subject30")
    assert "subject30" in hit["content"][hit["_part"]["start"] : hit["_part"]["stop"]]
    memory.store({"id": "book", "n": 1}, LONG)
    assert memory.update_by_id("book", {"n": 2}, LONG)
    assert pieces() == count
    if way == "filter":
        assert memory.update(LONG, {"n": 2}, {"content": "short"}) == 1
    elif way == "many":
        memory.store_many([{"id": "book", "content": "short"}, *({"content": f"{n}"} for n in range(12))], LONG)
    else:
        memory.store({"id": "book", "content": "short"}, LONG)
    assert pieces() == 0
    assert "_part" not in best(memory, "short")


@pytest.mark.parametrize("how", ["id", "name", "filter", "all", "expired"])
def test_pieces_go_with_their_document(memory: Any, pieces: Callable[..., int], how: str) -> None:
    """However it is deleted, and an expired one leaves none to the next of its id."""
    memory.store({"id": "book", "name": "Harbours", "content": book()}, LONG)
    assert pieces() > 10
    if how == "id":
        assert memory.delete_by_id("book", LONG)
    elif how == "name":
        assert memory.delete_by_name("Harbours", LONG)
    elif how == "filter":
        assert memory.delete(LONG, {"id": "book"}) == 1
    elif how == "all":
        memory.delete_all(LONG)
    else:
        memory.update_by_id("book", {"expires_at": "2001-01-01T00:00:00+00:00"}, LONG)
        memory.store({"id": "book", "content": "short"}, LONG)
        assert memory.retrieve_by_id("book", LONG)["content"] == "short"
    assert pieces() == 0


def test_vectors_of_pieces_are_read_and_stored_back(memory: Any, model: Words, pieces: Callable[..., int]) -> None:
    """They are a list, as of a store with fields; one vector of the caller's own, and None, take them away."""
    memory.store({"id": "book", "content": book()}, LONG)
    document = memory.retrieve_by_id("book", LONG, include_embedding=True)
    listed = document["embedding"]
    assert [set(part) for part in listed] == [{"path", "start", "stop", "embedding"}] * pieces()
    assert [part["start"] for part in listed] == sorted(part["start"] for part in listed)
    model.texts.clear()
    memory.store(document | {"id": "copy", "_id": "copy"}, LONG)
    assert memory.update_by_id("book", {"content": book(), "embedding": listed}, LONG)
    for id in ("book", "copy"):
        assert memory.retrieve_by_id(id, LONG, include_embedding=True)["embedding"] == listed
    assert model.texts == []
    memory.update_by_id("book", {"embedding": vector("tea")}, LONG)
    memory.update_by_id("copy", {"embedding": None}, LONG)
    assert pieces() == 0
    assert best(memory, "tea")["id"] == "book"
    for wrong in ([{"path": "text", "embedding": listed[0]["embedding"]}], [{"path": "content"}]):
        with pytest.raises(InvalidDocument, match="embedding"):
            memory.store({"content": "tea", "embedding": wrong}, LONG)


def test_a_short_text_has_no_piece_and_no_other_way(fresh: PostgreSQLConfig, pieces: Callable[..., int]) -> None:
    """While no text of a store is long it is searched as it always was."""
    with PostgreSQLProvider(fresh, embedder=Words()) as memory:
        memory.store_many([{"content": f"Number {n}."} for n in range(30)], LONG)
        found = memory.retrieve_by_query({"embedding": vector("Number 3.")}, LONG, 5, explain=True)
        assert "_parts" not in found.explanation["statement"]
        assert pieces(fresh.schema) == 0
        memory.store({"content": book()}, LONG)
        found = memory.retrieve_by_query({"embedding": vector("Number 3.")}, LONG, 5, explain=True)
        assert "_parts" in found.explanation["statement"]
        found = memory.retrieve_by_query({"embedding": vector("Number 3.")}, TURNS, 5, explain=True)
        assert "_parts" not in found.explanation["statement"]


@pytest.mark.parametrize("filtered", [True, False])
def test_who_was_open_before_the_first_long_text_finds_it(fresh: PostgreSQLConfig, filtered: bool) -> None:
    """Another provider learns of it in its next search, by each route."""
    with PostgreSQLProvider(fresh) as other, PostgreSQLProvider(fresh, embedder=Words()) as memory:
        for provider in (other, memory):
            assert provider.retrieve_by_query({"embedding": vector("tea")}, LONG, 5) == []
        memory.store({"id": "book", "content": book(), "memory_id": "m"}, LONG)
        query: dict[str, Any] = {"embedding": vector("about subject30")} | ({"memory_id": "m"} if filtered else {})
        part = other.retrieve_by_query(query, LONG, 5)[0]["_part"]
        assert "subject30" in book()[part["start"] : part["stop"]]


def test_a_second_writer_while_the_model_embeds(memory: Any, config: PostgreSQLConfig, model: Words) -> None:
    """Where another text is stored meanwhile, the vectors in the end are those of the text that is stored."""
    memory.store({"id": "book", "name": "One", "content": book()}, LONG)
    with PostgreSQLProvider(config) as other:
        model.before = lambda: other.update_by_id("book", {"content": book("other")}, LONG)
        memory.update_by_id("book", {"name": "Two"}, LONG)
    listed = memory.retrieve_by_id("book", LONG, include_embedding=True)["embedding"]
    text = book("other")
    for part in listed:
        wanted = vector(f"Two: {text[part['start'] : part['stop']]}")
        assert np.allclose(part["embedding"], wanted, atol=1e-4)


def test_what_was_stored_without_an_embedder_is_embedded_later(
    fresh: PostgreSQLConfig, pieces: Callable[..., int]
) -> None:
    """embed_missing cuts long texts as storing them does, and counts documents."""
    with PostgreSQLProvider(fresh) as plain:
        plain.store_many([{"id": "book", "content": book()}, {"id": "tea", "content": "Tea."}], LONG)
    with PostgreSQLProvider(fresh, embedder=Words()) as memory:
        assert memory.embed_missing(LONG) == 2
        assert pieces(fresh.schema) > 10
        assert best(memory, "about subject30")["_part"]["path"] == "content"
        assert memory.embed_missing(LONG) == 0


def test_a_row_that_sql_has_copied_gets_pieces_of_its_own(fresh: PostgreSQLConfig, pieces: Callable[..., int]) -> None:
    """It has the vector of the beginning alone, and is counted as one that lacks vectors, until it has them."""
    with PostgreSQLProvider(fresh, embedder=Words()) as memory, Maintenance(fresh) as maintenance:
        memory.store_many([{"id": "book", "content": book()}, {"id": "tea", "content": "Tea."}], LONG)
        made = pieces(fresh.schema)
        table = f'"{fresh.schema}".long_term_memory'
        columns = "content, data, embedding, embedding_bits, pieces"
        with psycopg.connect(fresh.conninfo) as connection:
            connection.execute(
                f"INSERT INTO {table} (id, {columns}) SELECT gen_random_uuid(), {columns} FROM {table} "
                "WHERE pieces IS NOT NULL"
            )
        found = {each.name: each for each in maintenance.examine()[0].stores}[LONG]
        assert (found.rows, found.with_embedding) == (3, 2)
        assert memory.embed_missing(LONG) == 1
        assert pieces(fresh.schema) == 2 * made
        assert memory.embed_missing(LONG) == 0


def test_who_has_no_embedder_leaves_no_piece_of_the_text_before(
    fresh: PostgreSQLConfig, pieces: Callable[..., int]
) -> None:
    """They go with the text, and not with what else is changed; embed_missing makes those of the new text."""
    with PostgreSQLProvider(fresh, embedder=Words()) as memory, PostgreSQLProvider(fresh) as plain:
        memory.store({"id": "book", "content": book()}, LONG)
        made = pieces(fresh.schema)
        plain.update_by_id("book", {"content": book(), "n": 1}, LONG)
        assert pieces(fresh.schema) == made
        plain.update_by_id("book", {"content": book("other")}, LONG)
        assert pieces(fresh.schema) == 0
        assert memory.embed_missing(LONG) == 1
        assert best(memory, "about other30")["_part"]["path"] == "content"


def test_a_text_of_a_megabyte_is_stored_in_bounded_memory(config: PostgreSQLConfig) -> None:
    """All of it is in pieces, and it takes a few times its size."""
    model = Words(max_tokens=512)
    random = np.random.default_rng(3)
    model.embed = lambda texts, kind="document": random.standard_normal((len(texts), DIMENSIONS))  # type: ignore[method-assign]
    text = "".join(f"Sentence {n} of a long book says nothing. " for n in range(25_000))[: 2**20]
    with PostgreSQLProvider(config, embedder=model) as memory:
        memory.count(LONG)
        tracemalloc.start()
        memory.store({"id": "book", "content": text}, LONG)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 40 * 2**20
        listed = long_of(memory)
        assert len(listed) > 500
        assert (listed[0][0], listed[-1][1]) == (0, len(text))
        memory.delete_by_id("book", LONG)


@pytest.mark.parametrize("wrong", [0, -1, 15, 2.5, "64", True])
def test_a_window_that_is_no_number_of_tokens_is_refused(config: PostgreSQLConfig, wrong: Any) -> None:
    """An embedder whose max_tokens is nonsense is told so as the provider opens."""
    with (
        pytest.raises(ConfigurationError, match="max_tokens"),
        PostgreSQLProvider(config, embedder=Words("w", wrong)) as provider,
    ):
        provider.count(LONG)


# --- maintenance ----------------------------------------------------------------------------------------------------


def test_maintenance_knows_the_index_of_the_pieces(memory: Any, config: PostgreSQLConfig) -> None:
    """The doctor finds nothing wrong; an index that is gone is built again, and without it nothing is missed."""
    memory.store({"id": "book", "content": book()}, LONG)
    name = "long_term_memory_pieces_1_idx"
    with Maintenance(config) as maintenance:
        examination, findings = maintenance.examine()
        assert examination.missing_indexes == {}
        assert all("pieces" not in finding.text for finding in findings)
        maintenance.drop(maintenance.plan_drop(name))
        assert best(memory, "about subject30")["id"] == "book"
        plan = maintenance.plan_build()
        assert [(job.name, job.kind) for job in plan] == [(name, "hnsw")]
        list(maintenance.make(plan))
        plan = maintenance.plan_rebuild(store="long_term_memory", m=16)
        assert sorted(job.name for job in plan) == ["long_term_memory_embedding_idx", name]
        list(maintenance.make(plan))
    assert memory.measure_recall(LONG)["rows"] == 1


def long_of(provider: Any, store: Any = LONG) -> list[tuple[int, int]]:
    document = provider.retrieve_by_id("book", store, include_embedding=True)
    return [(part["start"], part["stop"]) for part in document["embedding"]]


@pytest.mark.parametrize("tokens", [128, 32, 10**5])
def test_a_change_of_the_model_cuts_long_texts_anew(
    fresh: PostgreSQLConfig, pieces: Callable[..., int], tokens: int
) -> None:
    """By what the new model reads, there and back and finished, beside texts that are short for one of them alone."""
    texts = {"book": book(), "page": book("page", 5), "tea": "Tea."}
    old, new = Words(), Words("new", tokens)
    with PostgreSQLProvider(fresh, embedder=[old, new]) as memory:
        memory.store_many([{"id": id, "content": text} for id, text in texts.items()], LONG)
        before, rows = long_of(memory), pieces(fresh.schema)
        with Maintenance(fresh) as maintenance:
            change = Reembedding(maintenance, new)
            change.begin()
            change.fill()
            list(maintenance.make(change.plan_indexes()))
            assert long_of(memory) == before
            memory.update_by_id("tea", {"content": "Milk."}, LONG)
            change.switch()
            assert best(memory, "Milk.")["id"] == "tea"
            if tokens < 10**5:
                assert long_of(memory) != before
                part = best(memory, "about subject30")["_part"]
                assert "subject30" in texts["book"][part["start"] : part["stop"]]
            else:
                assert "_part" not in best(memory, "about subject30")
            Reembedding(maintenance, old).back()
            assert long_of(memory) == before
            change.switch()
            change.finish()
        assert pieces(fresh.schema) != rows
        assert memory.count(LONG, {"embedding": {"$exists": True}}) == 3
        # What is left is that of the new model, and goes with its document.
        memory.delete_by_id("book", LONG)
        memory.delete_by_id("page", LONG)
        assert pieces(fresh.schema) == 0


def test_a_change_that_is_given_up_leaves_no_piece(fresh: PostgreSQLConfig, pieces: Callable[..., int]) -> None:
    """Begun and filled half, then abandoned."""
    with PostgreSQLProvider(fresh, embedder=Words()) as memory:
        memory.store({"id": "book", "content": book()}, LONG)
        rows = pieces(fresh.schema)
        with Maintenance(fresh) as maintenance:
            change = Reembedding(maintenance, Words("new", 32))
            change.begin()
            change.fill()
            assert pieces(fresh.schema) > rows
            change.abandon()
        assert pieces(fresh.schema) == rows
        assert best(memory, "about subject30")["_part"]["path"] == "content"


def test_a_change_of_the_model_embeds_parts_anew(fresh: PostgreSQLConfig) -> None:
    """A store with fields shares the change; what is changed meanwhile has all of its vectors, too."""
    old, new = Words(), Words("new")
    with PostgreSQLProvider(fresh, embedder=[old, new]) as memory:
        memory.create_store(StoreSpec("notebook", fields=("text", "notes[*].body"), piece=200))
        documents = [{"id": f"{n}", "text": f"Number {n}.", "notes": [{"body": book(f"n{n}x", 8)}]} for n in range(70)]
        memory.store_many(documents, "notebook")
        new.texts.clear()
        with Maintenance(fresh) as maintenance:
            change = Reembedding(maintenance, new)
            change.begin()
            change.fill()
            made = len(new.texts)
            memory.update_by_id("7", {"text": "Ada drinks tea."}, "notebook")
            memory.delete_by_id("8", "notebook")
            # Killed and begun again, it goes on where it was.
            change = Reembedding(maintenance, new)
            change.begin()
            change.fill()
            assert 0 < len(new.texts) - made < 10
            list(maintenance.make(change.plan_indexes()))
            change.switch()
            assert best(memory, "Ada drinks tea.", "notebook")["id"] == "7"
            hit = best(memory, "n30x5", "notebook")
            assert (hit["id"], hit["_part"]["path"]) == ("30", "notes[0].body")
            change.finish()
        memory.store({"id": "9", "text": "Milk."}, "notebook")
        assert best(memory, "Milk.", "notebook")["_part"]["path"] == "text"
        counted = memory.retrieve_by_id("7", "notebook", include_embedding=True)
        assert counted is not None
        assert len(counted["embedding"]) == 3


@pytest.mark.parametrize("way", ["lines", "parquet", "copy"])
def test_pieces_are_made_anew_where_documents_move(fresh: PostgreSQLConfig, tmp_path: Any, way: str) -> None:
    """A long text moves without the vectors of its pieces, a short one with its own."""
    target = fresh.replace(schema=f"{fresh.schema}_copy")
    file = tmp_path / ("all.parquet" if way == "parquet" else "all.jsonl")
    with PostgreSQLProvider(fresh, embedder=Words()) as source, PostgreSQLProvider(target) as other:
        source.store_many([{"id": "book", "content": book()}, {"id": "tea", "content": "Tea."}], LONG)
        if way == "copy":
            assert moving.copy(source, other).ok
        else:
            moving.export(source, file)
            assert moving.load(file, other)["long_term_memory"] == 2
        assert other.count(LONG, {"embedding": {"$exists": True}}) == 1
    with PostgreSQLProvider(target, embedder=Words()) as other:
        assert other.embed_missing(LONG) == 1
        assert best(other, "about subject30")["_part"]["path"] == "content"


# --- recall ---------------------------------------------------------------------------------------------------------

DOCUMENTS, LONG_ONES, LATENT = 1_500, 200, 12
SHARES = {"all": 1.0, "most": 0.9, "half": 0.5, "hundredth": 0.01}
INDEXES = {"cosine": "hnsw", "halfvec": "halfvec", "l2": "hnsw", "inner_product": "hnsw"}


class Clustered:
    """Short documents near one of some subjects, and long ones of six pieces near subjects of their own."""

    def __init__(self, dimensions: int) -> None:
        random = np.random.default_rng(7)
        self.dimensions = dimensions
        self.centres = random.standard_normal((40, LATENT))
        self.directions = random.standard_normal((LATENT, dimensions))
        self.short = self.near(random.integers(40, size=DOCUMENTS), random)
        # Most pieces of a long one lie near one subject, so that many of the nearest are of one document.
        subjects = random.integers(40, size=(LONG_ONES, 6))
        subjects[:, 1:4] = subjects[:, :1]
        self.long = self.near(subjects.ravel(), random).reshape(LONG_ONES, 6, dimensions)
        # Some lie near nothing, so that the graph of the index leads nowhere.
        far = random.standard_normal((3, dimensions)).astype(np.float32)
        far /= np.linalg.norm(far, axis=1, keepdims=True)
        self.questions = np.concatenate([self.near(random.integers(40, size=5), random), far])
        self.places = random.permutation(DOCUMENTS + LONG_ONES) / (DOCUMENTS + LONG_ONES)

    def near(self, subjects: Any, random: np.random.Generator) -> np.ndarray:
        latent = self.centres[subjects] + 0.5 * random.standard_normal((len(subjects), LATENT))
        made = latent @ self.directions + 0.3 * random.standard_normal((len(subjects), self.dimensions))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    def documents(self) -> Iterator[dict[str, Any]]:
        for n in range(DOCUMENTS):
            yield {"id": str(n), "place": float(self.places[n]), "content": f"{n}", "embedding": self.short[n]}
        for n in range(LONG_ONES):
            listed = [
                {"path": "content", "start": k, "stop": k + 1, "embedding": each} for k, each in enumerate(self.long[n])
            ]
            place = float(self.places[DOCUMENTS + n])
            yield {"id": str(DOCUMENTS + n), "place": place, "content": "abcdef", "embedding": listed}

    def nearest(self, question: np.ndarray, share: float, limit: int) -> list[float]:
        scores = np.concatenate([self.short @ question, (self.long @ question).max(axis=1)])
        return sorted(scores[self.places < share], reverse=True)[:limit]


def cosine(spec: StoreSpec, score: float) -> float:
    """What the cosine is of vectors of length one with this score."""
    return 1 - (1 / score - 1) ** 2 / 2 if spec.distance == "l2" else score


Made = Callable[[str], tuple[Clustered, PostgreSQLProvider, StoreSpec]]


@pytest.fixture(scope="module")
def clustered(database: str) -> Iterator[Made]:
    data = Clustered(128)
    made: dict[str, StoreSpec] = {}
    config = PostgreSQLConfig(dsn=database, embedding_dimensions=128, schema="clustered")
    with PostgreSQLProvider(config) as provider:

        def store(kind: str) -> tuple[Clustered, PostgreSQLProvider, StoreSpec]:
            if kind not in made:
                distance: Any = "cosine" if kind == "halfvec" else kind
                index: Any = INDEXES[kind]
                made[kind] = StoreSpec(f"of_{kind}", distance=distance, index=index)
                provider.create_store(made[kind])
                with provider.loading(made[kind].name):
                    provider.store_many(data.documents(), made[kind].name)
            return data, provider, made[kind]

        yield store


@pytest.mark.parametrize("kind", INDEXES)
def test_the_nearest_documents_are_found_under_every_filter(clustered: Made, kind: str) -> None:
    """At least 99 of 100 of the nearest, short and long, each once, as many as match; by every distance and index."""
    data, provider, spec = clustered(kind)
    routes = set[str]()
    for share, part in SHARES.items():
        found, total, matching = 0, 0, int((data.places < part).sum())
        for question, limit in itertools.product(data.questions, (10, 40)):
            expected = data.nearest(question, part, limit)
            query: dict[str, Any] = {"embedding": question}
            if share != "all":
                query["place"] = {"$lt": part}
            hits = provider.retrieve_by_query(query, spec.name, limit, explain=True)
            assert len({hit["id"] for hit in hits}) == len(hits) == min(limit, matching)
            scores = [cosine(spec, hit["_score"]) for hit in hits]
            assert scores == sorted(scores, reverse=True)
            found += sum(score >= expected[-1] - 1e-5 for score in scores)
            total += len(expected)
            routes.add((hits.explanation or {})["route"])
            for hit in hits:
                n = int(hit["id"]) - DOCUMENTS
                assert ("_part" in hit) == (n >= 0)
                if n >= 0:
                    assert hit["_part"]["start"] == (data.long[n] @ question).argmax()
        assert found / total >= 0.99, (share, found / total)
    assert {"scan", "index"} <= routes


def test_the_signs_of_vectors_find_documents_with_pieces(clustered: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is ranked by the signs of one vector, documents of several are compared beside it."""
    monkeypatch.setattr(plan, "routes", lambda search, store: [plan.Route.BITS, plan.Route.EXACT])
    data, provider, spec = clustered("cosine")
    found, served = 0, 0
    for question in data.questions:
        query = {"embedding": question, "place": {"$lt": SHARES["most"]}}
        hits = provider.retrieve_by_query(query, spec.name, 10, explain=True)
        served += (hits.explanation or {})["route"] == "bits"
        expected = data.nearest(question, SHARES["most"], 10)
        found += sum(hit["_score"] >= expected[-1] - 1e-5 for hit in hits)
    assert served > 0
    assert found >= 0.99 * 10 * len(data.questions)


def test_touch_offset_and_one_document_with_all_the_nearest_pieces(clustered: Made) -> None:
    """A hit is counted as accessed once, pages hold each document once, and one document does not hide the others."""
    data, provider, spec = clustered("cosine")
    one = [
        {"path": "content", "start": k, "stop": k + 1, "embedding": data.questions[0] + k * 1e-4} for k in range(500)
    ]
    provider.store({"id": "one", "content": "x" * 500, "place": 0.0, "embedding": one}, spec.name)
    query = {"embedding": data.questions[0]}
    whole = [hit["id"] for hit in provider.retrieve_by_query(query, spec.name, 20)]
    assert whole[0] == "one"
    assert len(set(whole)) == 20
    paged = [hit["id"] for at in (0, 10) for hit in provider.retrieve_by_query(query, spec.name, 10, offset=at)]
    assert paged == whole
    provider.retrieve_by_query(query, spec.name, 1, touch=True)
    touched = provider.retrieve_by_id("one", spec.name)
    assert touched is not None
    assert touched["access_count"] == 1
    provider.delete_by_id("one", spec.name)
