"""Several vectors for a document: of fields, and of the pieces of long texts."""

from __future__ import annotations

import itertools
import os
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from memorizz import PostgreSQLConfig, PostgreSQLProvider, StoreSpec, moving
from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.postgresql.maintenance import Maintenance

SPEC = StoreSpec("notebook", fields=("text", "notes[*].body", "profile"))
DIMENSIONS = 64


class Words:
    """An embedder whose texts are near each other where they share words; `before` is called before it answers."""

    name, dimensions = "words", DIMENSIONS

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.before: Callable[[], Any] | None = None

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> Any:
        if kind == "document":
            self.texts += texts
        before, self.before = self.before, None
        if before is not None:
            before()
        return [vector(text) for text in texts]


def vector(text: str) -> np.ndarray:
    made = np.zeros(DIMENSIONS, np.float32)
    for word in text.lower().split():
        made += np.random.default_rng(zlib.crc32(word.strip(".,").encode())).standard_normal(DIMENSIONS)
    return made if made.any() else made + 1


@pytest.fixture
def model() -> Words:
    return Words()


@pytest.fixture
def parts_config(dsn: str) -> PostgreSQLConfig:
    return PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS, max_size=4)


@pytest.fixture
def notebook(open_api: Callable[..., Any], parts_config: PostgreSQLConfig, model: Words) -> Iterator[Any]:
    """A provider on either API with a store of documents with parts, which an embedder embeds."""
    with open_api(parts_config, embedder=model) as provider:
        provider.create_store(SPEC)
        yield provider


def ada() -> dict[str, Any]:
    return {
        "id": "ada",
        "text": "Ada drinks tea.",
        "notes": [{"body": "The harbour freezes."}, {"body": "Owls hunt mice."}, {"title": "none"}],
    }


def best(provider: Any, text: str) -> dict[str, Any]:
    return provider.retrieve_by_query({"embedding": vector(text)}, "notebook", 1)[0]


def stored_parts(provider: Any, id: str = "ada") -> list[str]:
    found = provider.retrieve_by_id(id, "notebook", include_embedding=True)["embedding"]
    return [part["path"] for part in found or []]


def test_a_document_is_found_once_by_its_best_part_which_is_named(notebook: Any) -> None:
    """Each text that a field leads to has a vector; a hit says which one was nearest, and where it stands."""
    notebook.store(ada(), "notebook")
    notebook.store({"id": "bob", "text": "Bob paints walls."}, "notebook")
    hits = notebook.retrieve_by_query({"embedding": vector("Owls hunt mice.")}, "notebook", 10)
    assert [hit["id"] for hit in hits] == ["ada", "bob"]
    assert hits[0]["_part"] == {"path": "notes[1].body", "start": 0, "stop": 15}
    assert hits[0]["_score"] == pytest.approx(1.0, abs=1e-5)
    assert stored_parts(notebook) == ["notes[0].body", "notes[1].body", "text"]
    # A hit may be stored back.
    assert notebook.store(hits[0], "notebook") == "ada"


def test_a_filter_asks_for_the_vectors_of_parts(notebook: Any) -> None:
    """In every method that takes a filter."""
    notebook.store_many([ada() | {"topic": "tea"}, {"id": "plain", "topic": "none"}], "notebook")
    for embedded, id, topic in ((True, "ada", "tea"), (False, "plain", "none")):
        wanted = {"embedding": {"$exists": embedded}}
        assert notebook.count("notebook", wanted) == 1
        assert notebook.distinct("notebook", "topic", wanted) == [topic]
        assert [each["id"] for each in notebook.iterate("notebook", wanted)] == [id]
        assert [each["id"] for each in notebook.retrieve_by_query(wanted, "notebook", 5)] == [id]
        assert notebook.update("notebook", wanted, {"seen": True}) == 1
        assert notebook.retrieve_by_id(id, "notebook")["seen"] is True
    assert notebook.delete("notebook", {"embedding": {"$exists": True}}) == 1
    assert [each["id"] for each in notebook.list_all("notebook")] == ["plain"]


@pytest.mark.parametrize("exact", [True, False])
def test_words_and_meaning_rank_together(notebook: Any, exact: bool) -> None:
    """A question with text is scored by the nearest part and by the words of the document."""
    notebook.store_many([ada(), {"id": "bob", "text": "Bob paints walls.", "content": "walls"}], "notebook")
    hits = notebook.retrieve_by_query("who paints walls", "notebook", 5, exact=exact)
    assert [hit["id"] for hit in hits] == ["bob", "ada"]
    assert hits[0]["_part"]["path"] == "text"


@pytest.mark.parametrize("exact", [True, False])
def test_what_stands_around_a_document_counts_beside_its_best_part(notebook: Any, exact: bool) -> None:
    """Each part of a Ranking is in the score of a document with several vectors, and its nearest is named."""
    talk = {"conversation_id": "c", "memory_id": "m"}
    asks = {"id": "asks", "text": "When did Bob paint?", "content": "When did Bob paint walls?", **talk}
    tells = {"id": "tells", "text": "Bob did it yesterday.", "content": "Bob did paint walls yesterday.", **talk}
    notebook.store_many([asks, tells], "notebook")
    ranking = Ranking(neighbours=0.1, time=0.2, asking=0.3)
    hits = notebook.retrieve_by_query("When did Bob paint?", "notebook", 5, ranking=ranking, explain=True, exact=exact)
    assert [(hit["id"], hit["_part"]["path"]) for hit in hits] == [("tells", "text"), ("asks", "text")]
    told, asked = (hit["_explanation"] for hit in hits)
    assert (told["time"], asked["asking"]) == (0.2, -0.3)
    assert told["neighbours"] == pytest.approx(0.1 * (asked["meaning"] + asked["words"]))
    assert "time" not in asked
    assert "asking" not in told
    assert all(hit["_score"] == pytest.approx(sum(hit["_explanation"].values())) for hit in hits)


def test_the_texts_of_fields_count_for_a_prompt(notebook: Any) -> None:
    """All that is embedded of a document counts, and its content."""
    seen: list[str] = []

    def words(text: str) -> int:
        seen.append(text)
        return len(text.split())

    notebook.store_many([ada(), {"id": "bob", "text": "Bob paints walls.", "content": "walls"}], "notebook")
    query = {"embedding": vector("Owls hunt mice.")}
    hits = notebook.retrieve_by_query(query, "notebook", 5, max_tokens=12, count_tokens=words)
    assert ([hit["id"] for hit in hits], hits.left_out) == (["ada"], 1)
    assert seen == ["Ada drinks tea.\nThe harbour freezes.\nOwls hunt mice.", "Bob paints walls.\nwalls"]
    assert notebook.retrieve_by_query(query, "notebook", 5, max_tokens=13, count_tokens=words).left_out == 0


def test_an_update_embeds_its_own_field_only(notebook: Any, model: Words) -> None:
    """A text that is stored is not embedded again, and one that is replaced leaves no vector."""
    notebook.store(ada(), "notebook")
    model.texts.clear()
    assert notebook.update_by_id("ada", {"text": "Ada drinks milk."}, "notebook")
    notebook.store(ada() | {"text": "Ada drinks milk."}, "notebook")
    notebook.update_by_id("ada", {"notes": [{"body": "The harbour freezes."}]}, "notebook")
    assert model.texts == ["Ada drinks milk."]
    assert stored_parts(notebook) == ["notes[0].body", "text"]
    assert best(notebook, "Owls hunt mice.")["_score"] < 0.9
    assert notebook.update_by_id("ada", {"text": None}, "notebook")
    assert stored_parts(notebook) == ["notes[0].body"]


def test_values_that_are_no_text_are_embedded_as_json(notebook: Any, model: Words) -> None:
    """An object that a field leads to has the vector of its JSON."""
    notebook.store({"id": "ada", "profile": {"likes": ["tea", 2]}}, "notebook")
    assert model.texts == ['{"likes": ["tea", 2]}']


def test_update_by_a_filter_gives_each_document_the_parts(notebook: Any, model: Words) -> None:
    """What is merged into several documents is embedded once, and is the part of each that matches."""
    notebook.store_many([{"id": f"{n}", "group": n % 2, "text": f"Number {n}."} for n in range(6)], "notebook")
    model.texts.clear()
    assert notebook.update("notebook", {"group": 1}, {"text": "All odd.", "group": 3}) == 3
    assert model.texts == ["All odd."]
    hits = notebook.retrieve_by_query({"embedding": vector("All odd.")}, "notebook", 3)
    assert {hit["id"] for hit in hits} == {"1", "3", "5"}
    assert hits[2]["_score"] == pytest.approx(1.0, abs=1e-5)
    assert notebook.update("notebook", {"group": 9}, {"text": "None."}) == 0


def test_store_if_absent_leaves_the_parts_that_are_there(notebook: Any) -> None:
    """A document that is there keeps its text and its parts."""
    assert notebook.store(ada(), "notebook", if_absent=True) == "ada"
    assert notebook.store(ada() | {"text": "Other."}, "notebook", if_absent=True) is None
    assert best(notebook, "Ada drinks tea.")["_part"]["path"] == "text"


@pytest.mark.parametrize("how", ["id", "filter", "all", "expired", "agent"])
def test_parts_go_with_their_document(notebook: Any, dsn: str, how: str) -> None:
    """However a document is deleted, its parts are too."""
    notebook.store(ada() | {"memory_id": "m"}, "notebook")
    if how == "id":
        assert notebook.delete_by_id("ada", "notebook")
    elif how == "filter":
        assert notebook.delete("notebook", {"memory_id": "m"}) == 1
    elif how == "all":
        notebook.delete_all("notebook")
    elif how == "expired":
        notebook.update_by_id("ada", {"expires_at": "2001-01-01T00:00:00+00:00"}, "notebook")
        assert notebook.purge_expired("notebook") == 1
    else:
        agent = notebook.store_memagent({"memory_ids": ["m"]})
        assert notebook.delete_memagent(agent, cascade=True)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM memorizz_notebook_parts").fetchone() == (0,)


def test_an_expired_document_leaves_no_part_to_the_next_of_its_id(notebook: Any) -> None:
    """A document under the id of an expired one has its own parts alone."""
    notebook.store(ada() | {"expires_at": "2001-01-01T00:00:00+00:00"}, "notebook")
    notebook.store({"id": "ada", "text": "Ada drinks tea."}, "notebook")
    assert stored_parts(notebook) == ["text"]


def test_vectors_are_given_by_part_or_taken_away(notebook: Any, model: Words) -> None:
    """A caller's own vectors stand for all parts of a document; None takes them away; both embed nothing."""
    given = [{"path": "notes[0].body", "embedding": vector("winter")}]
    notebook.store(ada() | {"embedding": given}, "notebook")
    assert model.texts == []
    assert stored_parts(notebook) == ["notes[0].body"]
    assert best(notebook, "winter")["_score"] == pytest.approx(1.0, abs=1e-5)
    document = notebook.retrieve_by_id("ada", "notebook", include_embedding=True)
    notebook.store(document | {"id": "copy", "_id": "copy"}, "notebook")
    assert stored_parts(notebook, "copy") == ["notes[0].body"]
    notebook.update_by_id("ada", {"embedding": None}, "notebook")
    assert stored_parts(notebook) == []
    assert model.texts == []
    assert notebook.embed_missing("notebook") == 0
    assert notebook.count("notebook", {"embedding": {"$exists": True}}) == 1


@pytest.mark.parametrize(
    "embedding",
    [
        [0.0] * DIMENSIONS,
        {"text": [1.0] * DIMENSIONS},
        [{"path": "elsewhere", "embedding": [1.0] * DIMENSIONS}],
        [{"path": "text"}],
        [{"path": "text", "start": 3, "stop": 3, "embedding": [1.0] * DIMENSIONS}],
        [{"path": "text", "embedding": [1.0] * DIMENSIONS}] * 2,
    ],
)
def test_vectors_that_belong_to_no_part_are_refused(notebook: Any, embedding: Any) -> None:
    """What is no list of parts of this very document is an error, and nothing is stored."""
    with pytest.raises(InvalidDocument, match="embedding"):
        notebook.store(ada() | {"embedding": embedding}, "notebook")
    assert notebook.count("notebook") == 0


def test_what_was_stored_without_an_embedder_is_embedded_later(parts_config: PostgreSQLConfig, model: Words) -> None:
    """A provider without an embedder leaves parts that embed_missing fills, and no vector of a replaced text."""
    with PostgreSQLProvider(parts_config, embedder=model) as provider:
        provider.create_store(SPEC)
        provider.store(ada(), "notebook")
    with PostgreSQLProvider(parts_config) as plain:
        plain.update_by_id("ada", {"text": "Ada drinks milk."}, "notebook")
        plain.store_many([{"id": f"{n}", "text": f"Number {n}."} for n in range(100)], "notebook")
        assert stored_parts(plain) == ["notes[0].body", "notes[1].body"]
    model.texts.clear()
    with PostgreSQLProvider(parts_config, embedder=model) as provider:
        assert provider.embed_missing("notebook") == 101
        assert stored_parts(provider) == ["notes[0].body", "notes[1].body", "text"]
        assert len(model.texts) == 101
        assert best(provider, "Number 77.")["id"] == "77"
        assert provider.embed_missing("notebook") == 0


@pytest.mark.parametrize("change", ["store", "update_by_id", "store_many"])
def test_a_second_writer_while_the_model_embeds(
    notebook: Any, parts_config: PostgreSQLConfig, model: Words, change: str
) -> None:
    """Where another writer replaces the texts meanwhile, what is found in the end is what is stored."""
    notebook.store(ada(), "notebook")
    with PostgreSQLProvider(parts_config) as other:
        model.before = lambda: other.update_by_id(
            "ada", {"text": "Something else.", "notes": [{"body": "Gone."}]}, "notebook"
        )
        document = ada() | {"notes": [{"body": "A new note."}]}
        if change == "store":
            notebook.store(document, "notebook")
        elif change == "store_many":
            notebook.store_many([document], "notebook")
            notebook.embed_missing("notebook")
        else:
            notebook.update_by_id("ada", {key: document[key] for key in ("text", "notes")}, "notebook")
    assert stored_parts(notebook) == ["notes[0].body", "text"]
    assert best(notebook, "Ada drinks tea.")["_score"] == pytest.approx(1.0, abs=1e-5)
    assert best(notebook, "A new note.")["_score"] == pytest.approx(1.0, abs=1e-5)


def test_an_update_replaces_the_parts_that_another_transaction_has_left(
    notebook: Any, parts_config: PostgreSQLConfig, wait_for: Callable[..., Any]
) -> None:
    """It waits for the document before it looks which parts there are."""
    waits = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    notebook.store(ada(), "notebook")
    with (
        psycopg.connect(parts_config.conninfo, autocommit=True) as looking,
        ThreadPoolExecutor(1) as pool,
        PostgreSQLProvider(parts_config, embedder=Words()) as other,
    ):
        with other.transaction() as transaction:
            transaction.update_by_id("ada", {"text": "Bob drinks milk."}, "notebook")
            updated = pool.submit(notebook.update_by_id, "ada", {"text": "Eve drinks beer."}, "notebook")
            wait_for(lambda: looking.execute(waits).fetchone() == (True,), "the update to wait")
        assert updated.result(30) is True
    assert best(notebook, "Eve drinks beer.")["distance"] == pytest.approx(0, abs=1e-6)


def test_writers_of_one_document_leave_the_parts_of_one_of_them(parts_config: PostgreSQLConfig, model: Words) -> None:
    """Twenty writers of one id at once, which is not there at first: its vectors are those of the text that stays."""
    with PostgreSQLProvider(parts_config, embedder=model) as provider:
        provider.create_store(SPEC)
        for round in range(5):
            texts = [f"Text number {n} of {round}." for n in range(8)]
            threads = [
                threading.Thread(
                    target=provider.store,
                    args=({"id": f"r{round}", "text": text, "notes": [{"body": text}]}, "notebook"),
                )
                for text in texts
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            document: Any = provider.retrieve_by_id(f"r{round}", "notebook", include_embedding=True)
            assert [part["path"] for part in document["embedding"]] == ["notes[0].body", "text"]
            for part in document["embedding"]:
                wanted = vector(document["text"])
                assert np.allclose(part["embedding"], wanted, atol=1e-5)


def test_long_texts_are_embedded_in_pieces(notebook: Any, model: Words) -> None:
    """A text longer than the piece is found by any piece of it, which ends where a sentence does."""
    sentences = [f"Sentence {n} speaks of subject{n} at some length, and then it ends." for n in range(300)]
    text = " ".join(sentences)
    notebook.store({"id": "long", "text": text}, "notebook")
    notebook.store({"id": "ada", "text": "Ada drinks tea."}, "notebook")
    assert all(len(each) <= SPEC.piece for each in model.texts)
    assert len(model.texts) > 10
    assert all(each.rstrip().endswith(".") for each in model.texts)
    hits = notebook.retrieve_by_query({"embedding": vector(model.texts[5])}, "notebook", 5)
    assert [hit["id"] for hit in hits] == ["long", "ada"]
    part = hits[0]["_part"]
    assert part["path"] == "text"
    assert text[part["start"] : part["stop"]] == model.texts[5]
    # Every character is in a piece.
    stored = notebook.retrieve_by_id("long", "notebook", include_embedding=True)["embedding"]
    ends = [(piece["start"], piece["stop"]) for piece in stored]
    assert ends[0][0] == 0
    assert ends[-1][1] == len(text)
    assert all(after[0] < before[1] < after[1] for before, after in itertools.pairwise(ends))
    # Only the pieces at the end are others.
    model.texts.clear()
    notebook.update_by_id("long", {"text": text + " And more."}, "notebook")
    assert len(model.texts) <= 2


def test_a_store_with_parts_is_made_once_and_dropped_whole(notebook: Any, dsn: str) -> None:
    """The same spec may be given again, another may not; nothing is left when the store is dropped."""
    notebook.create_store(SPEC)
    assert SPEC in notebook.stores()
    with pytest.raises(ConfigurationError, match="fields"):
        notebook.create_store(StoreSpec("notebook"))
    notebook.drop_store("notebook", yes=True)
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT to_regclass('memorizz_notebook_parts')").fetchone() == (None,)


@pytest.mark.parametrize("fields", ["text", ("a b",), ("[*]",), ("a[0]",), ("id",), ("embedding",), (3,), ("a..b",)])
def test_fields_that_lead_nowhere_are_refused(fields: Any) -> None:
    """A spec says at once what is no path."""
    with pytest.raises(ConfigurationError, match="fields"):
        StoreSpec("notebook", fields=fields)


# --- the whole ------------------------------------------------------------------------------------------------------


def test_a_long_document_is_stored_in_bounded_memory(notebook: Any) -> None:
    """A text of 1 MB has all of its pieces, and takes a few times its size."""
    text = "".join(f"Sentence {n} of a long book says nothing. " for n in range(25_000))[: 2**20]
    tracemalloc.start()
    notebook.store({"id": "book", "text": text}, "notebook")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20
    stored = notebook.retrieve_by_id("book", "notebook", include_embedding=True)["embedding"]
    assert len(stored) > 500
    assert stored[-1]["stop"] == len(text)


def test_maintenance_knows_the_index_of_the_parts(notebook: Any, parts_config: PostgreSQLConfig) -> None:
    """The doctor finds nothing wrong, and an index that is gone is built again, on the parts."""
    notebook.store(ada(), "notebook")
    name = "notebook_embedding_idx"
    with Maintenance(parts_config) as maintenance:
        examination, findings = maintenance.examine()
        assert examination.missing_indexes == {}
        assert all("notebook" not in finding.text for finding in findings)
        maintenance.drop(maintenance.plan_drop(name))
        for planned in (maintenance.plan_build, partial(maintenance.plan_rebuild, store="notebook", m=16)):
            plan = planned()
            assert [job.name for job in plan] == [name]
            assert [made.job.name for made in maintenance.make(plan)] == [name]
        assert maintenance.plan_build() == []
    assert notebook.measure_recall("notebook")["rows"] == 1
    assert best(notebook, "Owls hunt mice.")["id"] == "ada"


@pytest.mark.parametrize("way", ["lines", "parquet", "copy"])
def test_parts_are_made_anew_where_documents_move(
    notebook: Any, parts_config: PostgreSQLConfig, model: Words, tmp_path: Any, way: str
) -> None:
    """What is exported or copied has its texts and no vectors, and gets them from an embedder, then or later."""
    notebook.store(ada(), "notebook")
    file = tmp_path / ("all.parquet" if way == "parquet" else "all.jsonl")
    options = {"schema": "elsewhere", "embedding_dimensions": DIMENSIONS}
    target = PostgreSQLConfig(
        host=parts_config.host,
        port=parts_config.port,
        database=parts_config.database,
        user=parts_config.user,
        **options,
    )
    with PostgreSQLProvider(parts_config, embedder=model) as source, PostgreSQLProvider(target) as other:
        if way == "copy":
            assert moving.copy(source, other).ok
        else:
            moving.export(source, file)
            assert moving.load(file, other)["notebook"] == 1
        assert stored_parts(other) == []
    with PostgreSQLProvider(target, embedder=model) as other:
        assert other.embed_missing("notebook") == 1
        assert stored_parts(other) == ["notes[0].body", "notes[1].body", "text"]
        if way == "lines":
            moving.load(file, other, existing="replace")
            assert stored_parts(other) == ["notes[0].body", "notes[1].body", "text"]


# --- recall ---------------------------------------------------------------------------------------------------------

DOCUMENTS, SUBJECTS, LATENT = 5_000, 40, 12
# Groups of a document, by the share of all that is in them.
SHARES = {"all": 1.0, "half": 0.5, "tenth": 0.1, "hundredth": 0.01, "few": 0.0008}


class Clustered:
    """Documents of three parts, each near a subject of its own, or all near one."""

    def __init__(self) -> None:
        random = np.random.default_rng(5)
        self.centres = random.standard_normal((SUBJECTS, LATENT))
        self.directions = random.standard_normal((LATENT, DIMENSIONS))
        subjects = random.integers(SUBJECTS, size=(DOCUMENTS, 3))
        # Half of the documents speak of one subject, so that their parts lie together.
        subjects[::2] = subjects[::2, :1]
        self.vectors = self.near(subjects.ravel(), random).reshape(DOCUMENTS, 3, DIMENSIONS)
        self.questions = self.near(random.integers(SUBJECTS, size=12), random)
        self.places = random.permutation(DOCUMENTS) / DOCUMENTS

    def near(self, subjects: Any, random: np.random.Generator) -> np.ndarray:
        latent = self.centres[subjects] + 0.5 * random.standard_normal((len(subjects), LATENT))
        vectors = latent @ self.directions + 0.3 * random.standard_normal((len(subjects), DIMENSIONS))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def documents(self) -> Iterator[dict[str, Any]]:
        for n in range(DOCUMENTS):
            yield {
                "id": str(n),
                "place": float(self.places[n]),
                "notes": [{"body": f"{n} {part}"} for part in range(3)],
                "embedding": [{"path": f"notes[{part}].body", "embedding": self.vectors[n, part]} for part in range(3)],
            }

    def nearest(self, question: np.ndarray, share: float, limit: int) -> list[float]:
        """Return the best parts' scores of the nearest documents."""
        scores = (self.vectors @ question).max(axis=1)[self.places < share]
        return sorted(scores, reverse=True)[:limit]


@pytest.fixture(scope="module")
def clustered(servers: Callable[[int], str]) -> Iterator[tuple[Clustered, PostgreSQLProvider]]:
    data = Clustered()
    server = servers(18)
    name = f"memorizz_parts_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        config = PostgreSQLConfig(dsn=make_conninfo(server, dbname=name), embedding_dimensions=DIMENSIONS)
        with PostgreSQLProvider(config) as provider:
            provider.create_store(SPEC)
            with provider.loading("notebook"):
                provider.store_many(data.documents(), "notebook")
            yield data, provider
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("share", SHARES)
def test_the_nearest_documents_are_found_by_their_best_parts(
    clustered: tuple[Clustered, PostgreSQLProvider], share: str
) -> None:
    """At least 99 of 100 of the nearest documents, each once, as many as match, under every filter."""
    data, provider = clustered
    matching, found, routes = int((data.places < SHARES[share]).sum()), 0, set[str]()
    for limit in (10, 40):
        for question in data.questions:
            expected = data.nearest(question, SHARES[share], limit)
            query: dict[str, Any] = {"embedding": question}
            if share != "all":
                query["place"] = {"$lt": SHARES[share]}
            hits = provider.retrieve_by_query(query, "notebook", limit, explain=True)
            assert len({hit["id"] for hit in hits}) == len(hits) == min(limit, matching)
            scores = [hit["_score"] for hit in hits]
            assert scores == sorted(scores, reverse=True)
            found += sum(score >= expected[-1] - 1e-5 for score in scores) / len(expected)
            routes.add((hits.explanation or {})["route"])
            for hit in hits[:3]:
                assert hit["_part"]["path"] == f"notes[{(data.vectors[int(hit['id'])] @ question).argmax()}].body"
    assert found / (2 * len(data.questions)) >= 0.99
    if share == "all":
        assert "index" in routes


def test_every_document_counts_though_one_has_all_the_nearest_parts(notebook: Any) -> None:
    """A document whose hundreds of parts are all nearer than any other's is one hit, and the others follow."""
    one = [{"body": f"tea number {n}"} for n in range(400)]
    notebook.store({"id": "one", "notes": one}, "notebook")
    notebook.store_many([{"id": f"{n}", "text": f"harbour {n}"} for n in range(30)], "notebook")
    hits = notebook.retrieve_by_query({"embedding": vector("tea number")}, "notebook", 10)
    assert len({hit["id"] for hit in hits}) == 10
    assert hits[0]["id"] == "one"
