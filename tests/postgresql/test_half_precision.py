"""Vectors that are kept in half precision: what comes back, what is near, what is refused, and what makes columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memorizz import MemoryType, PostgreSQLConfig, PostgreSQLProvider, StoreSpec, moving
from memorizz.errors import ConfigurationError, InvalidDocument
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding

LONG = MemoryType.LONG_TERM_MEMORY
DIMENSIONS = 32
DISTANCES = ("cosine", "l2", "inner_product")

TYPES = """
SELECT relname, attname, typname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
JOIN pg_type ON pg_type.oid = atttypid WHERE typname IN ('vector', 'halfvec') AND relkind = 'r' ORDER BY 1, 2
"""


def half(vector: Any) -> np.ndarray:
    """Return what half precision keeps of a vector."""
    return np.asarray(vector, np.float32).astype(np.float16).astype(np.float32)


def clustered(rows: int, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((20, 8))
    latent = centres[random.integers(20, size=rows)] + 0.5 * random.standard_normal((rows, 8))
    vectors = latent @ np.random.default_rng(2).standard_normal((8, DIMENSIONS))
    vectors += 0.2 * random.standard_normal(vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def half_config(dsn: str) -> PostgreSQLConfig:
    """What opens a fresh database, for vectors in half precision."""
    return PostgreSQLConfig(dsn=dsn, embedding_dimensions=DIMENSIONS, vector_type="halfvec", max_size=4)


@pytest.fixture
def memory(half_config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    """A provider whose seven stores keep vectors in half precision."""
    with PostgreSQLProvider(half_config) as provider:
        yield provider


def types(dsn: str) -> dict[str, str]:
    with psycopg.connect(dsn) as connection:
        return {f"{table}.{column}": name for table, column, name in connection.execute(TYPES)}


numbers = st.floats(-60_000, 60_000, width=32).filter(lambda number: number == 0 or abs(number) > 1e-3)
vectors = arrays.arrays(np.float32, DIMENSIONS, elements=numbers).filter(np.any)


@given(one=vectors, many=st.lists(vectors, min_size=1, max_size=3), asked=vectors)
def test_what_is_kept_is_what_numpy_rounds_to(
    memory: PostgreSQLProvider, one: Any, many: list[Any], asked: Any
) -> None:
    """However a vector comes in, floats come back that half precision has; distances are those of the rounded."""
    memory.delete_all(LONG)
    memory.store({"_id": "one", "embedding": one.tolist()}, LONG)
    memory.store_many(({"_id": str(n), "embedding": each} for n, each in enumerate(many)), LONG)
    memory.store({"_id": "changed", "content": "x"}, LONG)
    memory.update_by_id("changed", {"embedding": many[0]}, LONG)
    wanted = {"one": one, "changed": many[0], **{str(n): each for n, each in enumerate(many)}}
    found = {each["_id"]: each["embedding"] for each in memory.iterate(LONG, include_embedding=True)}
    assert found == {name: half(vector).tolist() for name, vector in wanted.items()}
    hits = memory.retrieve_by_query({"embedding": asked}, LONG, limit=9, exact=True)
    asked = half(asked).astype(np.float64)
    for hit in hits:
        of = half(wanted[hit["_id"]]).astype(np.float64)
        cosine = of @ asked / np.linalg.norm(of) / np.linalg.norm(asked)
        assert hit["distance"] == pytest.approx(1 - cosine, abs=1e-5)
    assert len(hits) == len(wanted)


@pytest.mark.parametrize("number", [65_520.0, -1e6, 1e17, 1e-5, 1e-9])
def test_what_half_precision_cannot_hold_is_refused(memory: PostgreSQLProvider, number: float) -> None:
    """A number above 65,504, or vectors so short that their direction would be lost, are errors with a way out."""
    vector = [number] * DIMENSIONS
    with pytest.raises(InvalidDocument, match=r"half precision.*divide it by its length.*vector_type='vector'"):
        memory.store({"embedding": vector}, LONG)
    with pytest.raises(InvalidDocument, match="half precision"):
        memory.store_many([{"embedding": [1.0] * DIMENSIONS}, {"embedding": vector}], LONG)
    with pytest.raises(InvalidDocument, match="half precision"):
        memory.retrieve_by_query({"embedding": vector}, LONG)
    assert memory.count(LONG) == 0
    memory.store({"embedding": [1.0] + [abs(number) / 1e20] * (DIMENSIONS - 1)}, LONG)


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_nearest_are_those_of_single_precision(memory: PostgreSQLProvider, dsn: str, distance: Any) -> None:
    """By the index, in half precision too, 99 of 100 of the ten nearest exact vectors are found, in each distance."""
    made, asked = clustered(4000), clustered(50, seed=9)
    if distance == "inner_product":
        made *= np.random.default_rng(5).uniform(0.8, 1.2, (len(made), 1)).astype(np.float32)
    memory.create_store(StoreSpec("own", DIMENSIONS, distance, vector_type="halfvec"))
    memory.store_many(({"_id": str(n), "embedding": each} for n, each in enumerate(made)), "own")
    same = 0
    for question in asked:
        far = -made @ question if distance != "l2" else np.linalg.norm(made - question, axis=1)
        nearest = {str(n) for n in np.argsort(far)[:10]}
        hits = memory.retrieve_by_query({"embedding": question}, "own", limit=10, explain=True)
        assert hits.explanation["route"] == "index"
        same += len(nearest.intersection(hit["_id"] for hit in hits))
    assert same >= 0.99 * 10 * len(asked)
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'own_embedding%%'").fetchone()
    assert row is not None
    ending = "ip" if distance == "inner_product" else distance
    assert f"halfvec_{ending}_ops)" in row[0]


def test_all_columns_of_the_seven_are_halfvec(memory: PostgreSQLProvider, dsn: str) -> None:
    """Documents, parts, and the histories of both; a store of one's own has its own type."""
    assert set(types(dsn).values()) == {"halfvec"}
    memory.create_store(StoreSpec("exact"))
    memory.create_store(StoreSpec("spread", vector_type="halfvec", partitions=2))
    found = types(dsn)
    assert {name for name, of in found.items() if of == "vector"} == {
        "exact.embedding", "memorizz_exact_parts.embedding", "memorizz_exact_history.embedding",
        "memorizz_exact_parts_history.embedding",
    }  # fmt: skip
    assert found["memorizz_spread_p1.embedding"] == "halfvec"
    view = memory.tenant("t")
    view.store({"_id": "a", "embedding": [0.1] * DIMENSIONS}, "spread")
    assert view.retrieve_by_query({"embedding": [0.1] * DIMENSIONS}, "spread")[0]["_id"] == "a"


def of_vectors(maintenance: Maintenance) -> Any:
    return next(index for index, _ in maintenance.indexes() if index.name == "long_term_memory_embedding_idx")


def test_an_index_is_built_again_as_any_other(memory: PostgreSQLProvider, half_config: PostgreSQLConfig) -> None:
    """With other parameters, after a load, or dropped; of half a half there is none."""
    memory.store_many(({"embedding": each} for each in clustered(2100)), LONG)
    with Maintenance(half_config.replace(vector_type="vector")) as maintenance:
        index = of_vectors(maintenance)
        assert (index.method, index.m, index.valid) == ("hnsw", 24, True)
        assert maintenance.plan_build(store=LONG) == []
        job = next(each for each in maintenance.plan_rebuild(store=LONG, m=8) if each.name == index.name)
        assert [made.bytes > 0 for made in maintenance.make([job])] == [True]
        index = of_vectors(maintenance)
        assert (index.method, index.m) == ("hnsw", 8)
        with pytest.raises(ConfigurationError, match="vectors of long_term_memory are in half precision themselves"):
            maintenance.plan_rebuild(store=LONG, kind="halfvec")
        assert job.memory < 1.15 * 2100 * (2 * DIMENSIONS + 32 * 8 + 211)
        _, findings = maintenance.examine()
        assert [each for each in findings if "index" in each.text or "vector" in each.text] == []
    assert memory.measure_recall(LONG, sample=5)["ways"][0]["recall"] >= 0.99


def test_a_history_keeps_them(memory: PostgreSQLProvider) -> None:
    """Versions come back with their vectors, and a view of a time compares them."""
    memory.keep_history(LONG)
    one, other = clustered(2)
    memory.store({"_id": "a", "content": "x", "embedding": one}, LONG)
    memory.update_by_id("a", {"content": "y", "embedding": other}, LONG)
    memory.delete_by_id("a", LONG)
    first, changed, gone = memory.versions("a", LONG)
    assert (gone.document, changed.operation) == (None, "update")
    hits = memory.at(str(changed.since)).retrieve_by_query({"embedding": other}, LONG, include_embedding=True)
    assert hits[0]["embedding"] == half(other).tolist()
    assert memory.restore("a", LONG, first.number)
    found = memory.retrieve_by_id("a", LONG, include_embedding=True)
    assert found is not None
    assert found["embedding"] == half(one).tolist()


class Model:
    """An embedder of random vectors, each text's own."""

    def __init__(self, name: str, dimensions: int = DIMENSIONS) -> None:
        self.name, self.dimensions = name, dimensions

    def embed(self, texts: Any, *, kind: str = "document") -> Any:
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> np.ndarray:
        seed = [len(self.name), *text.encode()]
        return np.random.default_rng(seed).standard_normal(self.dimensions).astype(np.float32)


def test_another_model_has_vectors_of_the_same_type(half_config: PostgreSQLConfig, dsn: str) -> None:
    """After a change of the model, of its length too, and of the parts of fields."""
    first, second = Model("first"), Model("another", 48)
    with PostgreSQLProvider(half_config, embedder=first) as memory:
        memory.create_store(StoreSpec("notes", fields=("text", "notes[*]"), vector_type="halfvec"))
        memory.store({"_id": "a", "content": "tea"}, LONG)
        memory.store({"_id": "n", "text": "green", "notes": ["black", "white"]}, "notes")
        hit = memory.retrieve_by_query("white", "notes", limit=1)[0]
        assert (hit["_id"], hit["_part"]["path"]) == ("n", "notes[1]")
    with Maintenance(half_config) as maintenance:
        change = Reembedding(maintenance, second)
        change.begin()
        change.fill()
        change.switch()
    assert set(types(dsn).values()) == {"halfvec"}
    with PostgreSQLProvider(half_config.replace(embedding_dimensions=None), embedder=second) as memory:
        found = memory.retrieve_by_id("a", LONG, include_embedding=True)
        assert found is not None
        assert found["embedding"] == half(second.vector("tea")).tolist()
        assert memory.retrieve_by_query("white", "notes", limit=1)[0]["_part"]["path"] == "notes[1]"


def test_they_move_with_their_type(memory: PostgreSQLProvider, half_config: PostgreSQLConfig, tmp_path: Path) -> None:
    """An export says of a store of one's own how its vectors are kept; the seven are as they are where they arrive."""
    spec = StoreSpec("own", 4, vector_type="halfvec")
    memory.create_store(spec)
    vector = [0.1, 0.2, 0.3, 0.4]
    memory.store({"_id": "a", "embedding": vector}, "own")
    moving.export(memory, tmp_path / "own.jsonl", stores=["own"])
    with PostgreSQLProvider(half_config.replace(schema="other", vector_type="vector")) as target:
        assert moving.load(tmp_path / "own.jsonl", target) == {"own": 1}
        assert target.stores()[7:] == [spec]
        assert target.stores()[3].vector_type == "vector"
        for found in target.iterate("own", include_embedding=True):
            assert found["embedding"] == half(vector).tolist()


def test_a_schema_keeps_the_type_that_it_was_made_with(
    half_config: PostgreSQLConfig, config: PostgreSQLConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Who asks for nothing gets what is there; who asks for halfvec of a schema of exact vectors is told so."""
    PostgreSQLProvider(half_config).close()
    with PostgreSQLProvider(half_config.replace(vector_type="vector")) as memory:
        assert memory.stores()[0].vector_type == "halfvec"
    assert "vector_type" not in caplog.text
    PostgreSQLProvider(config.replace(vector_type="halfvec")).close()
    assert "vector_type" in caplog.text
