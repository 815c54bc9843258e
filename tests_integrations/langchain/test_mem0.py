"""mem0 over the vector store, through its provider "langchain"."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from topics import Topics

from memorizz import PostgreSQLProvider
from memorizz.errors import FilterError
from memorizz.importers import Found, import_file, read
from memorizz.integrations.langchain import MemorizzVectorStore

# mem0 imports langchain-community, which says that nobody looks after it any more.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

EXTRACTED = json.dumps({"memory": [{"id": "0", "text": "Ada likes tea", "attributed_to": "user"}]})


@pytest.fixture
def memory(provider: PostgreSQLProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("MEM0_TELEMETRY", "False")
    monkeypatch.setenv("MEM0_DIR", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mem0 import Memory

        memory = Memory.from_config(
            {
                "vector_store": {
                    "provider": "langchain",
                    "config": {"client": MemorizzVectorStore(Topics(), provider, store="mem0")},
                },
                "llm": {"provider": "langchain", "config": {"model": FakeListChatModel(responses=[EXTRACTED])}},
                "embedder": {"provider": "langchain", "config": {"model": Topics()}},
                "history_db_path": str(tmp_path / "history.db"),
            }
        )
    yield memory
    memory.close()


def texts(found: dict[str, Any]) -> list[str]:
    return [each["memory"] for each in found["results"]]


def test_what_mem0_does_with_memories(memory: Any) -> None:
    """Memories are extracted, found, listed, changed and deleted, each user's apart."""
    memory.add("I like tea", user_id="ada")
    added = memory.add("the train to oxford", user_id="bob", infer=False)["results"][0]["id"]
    assert texts(memory.search("tea", filters={"user_id": "ada"})) == ["Ada likes tea"]
    assert texts(memory.search("tea", filters={"user_id": "bob"}, threshold=0.0)) == ["the train to oxford"]
    assert texts(memory.get_all(filters={"user_id": "ada"})) == ["Ada likes tea"]
    memory.update(added, "snow in oxford")
    assert memory.get(added)["memory"] == "snow in oxford"
    assert texts(memory.search("snow", filters={"user_id": "bob"})) == ["snow in oxford"]
    memory.delete(added)
    assert memory.get(added) is None
    memory.add("a cup", user_id="bob", infer=False)
    memory.delete_all(user_id="ada")
    assert texts(memory.get_all(filters={"user_id": "ada"})) == []
    assert texts(memory.get_all(filters={"user_id": "bob"})) == ["a cup"]
    memory.reset()
    assert texts(memory.get_all(filters={"user_id": "bob"})) == []


def test_mem0s_filters(memory: Any) -> None:
    """Its operators, OR, NOT and the wildcard mean what they say; one that is not there is an error."""
    for stars in (7, 25, 100):
        memory.add(f"tea {stars}", user_id="ada", infer=False, metadata={"stars": stars})
    memory.add("tea", user_id="ada", infer=False)

    def found(**filters: Any) -> set[str]:
        return set(texts(memory.search("tea", filters={"user_id": "ada", **filters})))

    assert found(stars={"gte": 25}) == {"tea 25", "tea 100"}
    assert found(stars={"gt": 7, "lt": 100}) == {"tea 25"}
    assert found(OR=[{"stars": 7}, {"stars": {"in": [100]}}]) == {"tea 7", "tea 100"}
    assert found(NOT=[{"stars": 7}, {"stars": 25}]) == {"tea 100", "tea"}
    assert found(stars="*") == {"tea 7", "tea 25", "tea 100"}
    with pytest.raises(FilterError, match="icontains"):
        found(stars={"icontains": "7"})


def test_mem0s_vectors_are_kept(provider: PostgreSQLProvider) -> None:
    """What mem0 has embedded is not embedded again, except where it gives no vector."""
    embedding = Topics()
    store = MemorizzVectorStore(embedding, provider, dimensions=3)
    given: list[Any] = [[0.0, 0.0, 1.0], None]
    store.add_embeddings(embeddings=given, metadatas=[{"data": "tea"}, {"data": "train"}], ids=["1", "2"])
    assert embedding.given == ["train"]
    assert [document.id for document in store.similarity_search_by_vector([0.0, 0.0, 1.0], k=1)] == ["1"]
    assert [document.page_content for document in store.get_by_ids(["1", "2"])] == ["tea", "train"]


def test_the_folder_that_mem0_makes_is_imported(
    memory: Any, provider: PostgreSQLProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is told of no vector store, it keeps points with Qdrant's client; they are what get_all() returns."""
    from mem0.vector_stores.qdrant import Qdrant

    folder = tmp_path / "qdrant"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        memory.vector_store = Qdrant("mem0", len(Topics().embed_query("")), path=str(folder), on_disk=True)
        for user, text, more in (("ada", "tea", {"kind": ["a", {"n": 1.5}]}), ("bob", "snow", None)):
            memory.add(text, user_id=user, infer=False, metadata=more)
        changed = memory.add("the train", user_id="bob", infer=False)["results"][0]["id"]
        memory.update(changed, "the train to oxford")
        lists = [memory.get_all(filters={"user_id": user}) for user in ("ada", "bob")]
        memory.vector_store.client.close()
    report = import_file(folder, provider)
    assert (report.format, report.stored) == ("mem0", {"long_term_memory": 3})
    for number, found in enumerate(lists):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(found))
        assert import_file(path, provider).there == {"long_term_memory": len(found["results"])}
    found = [each.document for each in read(folder, embeddings=True) if isinstance(each, Found)]
    assert {each["content"] for each in found} == {"tea", "snow", "the train to oxford"}
    assert {each["content"]: each["embedding"] for each in found}["tea"] == Topics().embed_query("tea")
