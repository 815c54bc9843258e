"""The sentence-transformers embedder with a real model: outside of `make test`, because it needs torch."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import minilm
import numpy as np
import pytest

from memorizz import demo
from memorizz.embeddings import SentenceTransformerEmbedder, embed_awaiting, embed_blocking
from memorizz.errors import ConfigurationError, EmbeddingFailed

TEXTS = ["A cat sat on the mat.", "The kitten lies on the rug.", "Interest rates rose again in spring."]


def load(path: Path | None = None, **options: Any) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(path or minilm.path(), **{"device": "cpu", **options})


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformerEmbedder:
    return load(name=minilm.NAME)


def test_meaning_is_in_the_vectors(embedder: SentenceTransformerEmbedder) -> None:
    """Texts that mean the same are near, others are not; every vector has length one."""
    found = embedder.embed(TEXTS)
    assert (found.shape, found.dtype) == ((3, minilm.DIMENSIONS), np.dtype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > 0.5 > 0.2 > found[0] @ found[2]


def test_it_makes_the_vectors_of_the_demo(embedder: SentenceTransformerEmbedder) -> None:
    """The demo's vectors, which were made another way, are those of this model."""
    queries = demo.load().queries[:5]
    found = embed_blocking(embedder, [query.text for query in queries], "query")
    similarities = np.sum(found * np.array([query.embedding for query in queries]), axis=1)
    np.testing.assert_allclose(similarities, 1, atol=1e-4)


def test_both_apis_get_the_same(embedder: SentenceTransformerEmbedder) -> None:
    """The async API runs it in a thread and gets what the blocking one gets."""
    awaited = asyncio.run(embed_awaiting(embedder, TEXTS, "document"))
    np.testing.assert_array_equal(awaited, embed_blocking(embedder, TEXTS, "document"))


def test_batches_change_nothing(embedder: SentenceTransformerEmbedder) -> None:
    """Texts of all lengths come back in order, however they were cut into batches."""
    texts = [f"{number} " + "word " * (number % 50) for number in range(70)]
    np.testing.assert_allclose(load(batch_size=7).embed(texts), embedder.embed(texts), atol=1e-5)


def test_threads_share_the_model(embedder: SentenceTransformerEmbedder) -> None:
    """Threads may ask at once, with texts of different lengths, and each gets its own vectors."""
    texts = [f"{number} " + "word " * (number * 7 % 200) for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: embedder.embed([text])[0], texts))
    np.testing.assert_allclose(found, [embedder.embed([text])[0] for text in texts], atol=1e-5)


def test_threads_take_turns(embedder: SentenceTransformerEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is asked by one thread at a time: not every version of its tokenizer bears two."""
    model: Any = embedder._model
    encode, inside, seen = model.encode_document, threading.Semaphore(1), []

    def alone(*args: Any, **kwargs: Any) -> Any:
        seen.append(inside.acquire(blocking=False))
        time.sleep(0.01)
        try:
            return encode(*args, **kwargs)
        finally:
            inside.release()

    monkeypatch.setattr(model, "encode_document", alone)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda text: embedder.embed([text]), TEXTS * 2))
    assert seen == [True] * 6


def test_prefixes_are_put_before_the_texts(embedder: SentenceTransformerEmbedder) -> None:
    """A prefix for queries changes queries alone."""
    prefixed = load(query_prefix="query: ")
    np.testing.assert_allclose(prefixed.embed(["cats"], kind="query"), embedder.embed(["query: cats"]), atol=1e-5)
    np.testing.assert_allclose(prefixed.embed(["cats"]), embedder.embed(["cats"]), atol=1e-5)


def test_the_models_own_prompts_are_used(embedder: SentenceTransformerEmbedder, tmp_path: Path) -> None:
    """A model that brings prompts is asked with them, unless a prefix is given."""
    folder = tmp_path / "prompted"
    shutil.copytree(minilm.path(), folder)
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "query: ", "document": ""}}')
    prompted = load(folder)
    assert prompted.name == "prompted"
    np.testing.assert_allclose(prompted.embed(["cats"], kind="query"), embedder.embed(["query: cats"]), atol=1e-5)
    np.testing.assert_allclose(prompted.embed(["cats"]), embedder.embed(["cats"]), atol=1e-5)
    plain = load(folder, query_prefix="")
    np.testing.assert_allclose(plain.embed(["cats"], kind="query"), embedder.embed(["cats"]), atol=1e-5)


def test_the_length_may_be_kept(tmp_path: Path) -> None:
    """Vectors have length one by default; with normalize=False they are what the model makes of them."""
    folder = tmp_path / "without its last step, which makes the length one"
    shutil.copytree(minilm.path(), folder)
    steps = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps(steps[:2]))
    np.testing.assert_allclose(np.linalg.norm(load(folder).embed(TEXTS), axis=1), 1, atol=1e-5)
    assert (np.linalg.norm(load(folder, normalize=False).embed(TEXTS), axis=1) > 2).all()


def test_what_it_is(embedder: SentenceTransformerEmbedder) -> None:
    """Its name and the length of its vectors are known once it is loaded."""
    assert (embedder.name, embedder.dimensions) == ("all-MiniLM-L6-v2", minilm.DIMENSIONS)
    assert repr(embedder) == "SentenceTransformerEmbedder('all-MiniLM-L6-v2', dimensions=384)"
    assert embedder.embed([]).shape == (0, minilm.DIMENSIONS)


def test_blank_texts_are_refused(embedder: SentenceTransformerEmbedder) -> None:
    """A blank text has no meaning to embed."""
    with pytest.raises(EmbeddingFailed, match="position 1 is blank"):
        embedder.embed(["text", " "])


def test_bad_options_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a model is a ConfigurationError, and so is an impossible batch size or device."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigurationError, match="cannot load the embedding model"):
        load(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot load the embedding model"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="cannot load the embedding model"):
        load(device="no such device")
    with pytest.raises(ConfigurationError, match="batch_size is 0"):
        load(batch_size=0)
