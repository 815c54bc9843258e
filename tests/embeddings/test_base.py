"""How the providers ask an embedder: checked vectors, in order, from whatever the embedder brings."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from memorizz import embeddings
from memorizz.embeddings import Kind, embed_awaiting, embed_blocking, is_async
from memorizz.errors import ConfigurationError, EmbeddingFailed


class Fixed:
    """An embedder that brings the same whatever it is asked."""

    name = "fixed"
    dimensions = 3

    def __init__(self, vectors: Any) -> None:
        self.vectors = vectors
        self.asked: list[tuple[Sequence[str], Kind]] = []
        self.thread = 0

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Any:
        self.asked.append((texts, kind))
        self.thread = threading.get_ident()
        return self.vectors


class Awaited(Fixed):
    async def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return Fixed.embed(self, texts, kind=kind)


@pytest.fixture(params=["blocking", "awaiting", "awaiting an async one"])
def ask(request: pytest.FixtureRequest) -> Any:
    """Ask for the vectors of texts, in each of the ways that a provider does."""

    def ask_it(vectors: Any, texts: Any, kind: Kind = "document") -> Any:
        if request.param == "blocking":
            return embed_blocking(Fixed(vectors), texts, kind)
        kept = Fixed(vectors) if request.param == "awaiting" else Awaited(vectors)
        return asyncio.run(embed_awaiting(kept, texts, kind))

    return ask_it


@pytest.mark.parametrize(
    "vectors",
    [
        [[1, 2, 3], [4, 5, 6]],
        ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
        np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float64),
        [np.array([1, 2, 3], dtype=np.float16), np.array([4, 5, 6], dtype=np.int8)],
    ],
)
def test_vectors_of_any_kind_are_an_array(ask: Any, vectors: Any) -> None:
    """Lists, tuples and arrays of any number type come back as one array in single precision."""
    found = ask(vectors, ["one", "two"])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5, 6]])


def test_no_texts_ask_nobody(ask: Any) -> None:
    """Without texts there is an empty array, and the embedder is left alone."""
    assert ask("would be wrong", []).shape == (0, 3)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([], "expected 1 vectors, one per text, got 0"),
        ([[1, 2, 3], [1, 2, 3]], "expected 1 vectors, one per text, got 2"),
        ([[1, 2]], "expected vectors of 3 dimensions, got 2"),
        (np.ones((1, 5)), "expected vectors of 3 dimensions, got 5"),
        ([[1, 2, None]], "NaN"),
        ([[1, 2, float("inf")]], "infinity"),
        ([[1, 2, 1e300]], "single precision"),
        ([[0, 0, 0]], "all zero"),
        ([["a", "b", "c"]], "got a list that holds something else"),
        ([[[1], [2], [3, 4]]], "got a list that holds something else"),
        (None, "got a NoneType"),
        ([1], "got a list that holds something else"),
    ],
)
def test_a_wrong_answer_is_an_error(ask: Any, vectors: Any, message: str) -> None:
    """What is not one finite vector of the right length per text is an error that names the model."""
    with pytest.raises(EmbeddingFailed) as raised:
        ask(vectors, ["one"])
    assert message in str(raised.value)
    assert "'fixed'" in str(raised.value)


@pytest.mark.parametrize("texts", [[""], ["one", "  "], "one", [b"one"]])
def test_texts_without_words_are_refused(ask: Any, texts: Any) -> None:
    """A blank text has no meaning to embed: whoever asks leaves it out."""
    with pytest.raises(EmbeddingFailed):
        ask([[1, 2, 3]], texts)


def test_queries_are_told_from_documents() -> None:
    """The embedder learns which of both it is asked for."""
    embedder, awaited = Fixed([[1, 2, 3]]), Awaited([[1, 2, 3]])
    embed_blocking(embedder, ["one"], "query")
    asyncio.run(embed_awaiting(embedder, ["two"], "document"))
    asyncio.run(embed_awaiting(awaited, ["three"], "query"))
    assert embedder.asked == [(["one"], "query"), (["two"], "document")]
    assert awaited.asked == [(["three"], "query")]


def test_a_blocking_embedder_does_not_hold_the_loop() -> None:
    """The async face runs it in another thread."""
    embedder = Fixed([[1, 2, 3]])
    asyncio.run(embed_awaiting(embedder, ["one"], "query"))
    assert embedder.thread != threading.get_ident()


def test_a_blocking_provider_cannot_await() -> None:
    """An embedder that must be awaited is refused with a word on what to do."""
    assert is_async(Awaited([]))
    assert not is_async(Fixed([]))
    with pytest.raises(ConfigurationError, match="Awaited must be awaited: give it to an async provider"):
        embed_blocking(Awaited([[1, 2, 3]]), ["one"], "query")


def test_an_embedders_own_error_is_its_own() -> None:
    """What an embedder of the user's raises reaches the user."""

    class Broken(Fixed):
        def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Any:
            raise KeyError(kind)

    with pytest.raises(KeyError):
        embed_blocking(Broken(None), ["one"], "query")
    with pytest.raises(KeyError):
        asyncio.run(embed_awaiting(Broken(None), ["one"], "query"))


def test_importing_loads_nothing_heavy() -> None:
    """The HTTP client and the models are loaded by those who use them."""
    code = (
        "import sys, memorizz.embeddings\n"
        "assert not {'httpx2', 'tenacity', 'sentence_transformers', 'torch', 'psycopg'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize(
    ("package", "use", "extra"),
    [
        ("httpx2", "embeddings.OpenAIEmbedder()", "openai"),
        ("tenacity", "embeddings.AsyncOpenAIEmbedder()", "openai"),
        ("sentence_transformers", "embeddings.SentenceTransformerEmbedder('model')", "sentence-transformers"),
    ],
)
def test_a_missing_extra_says_what_to_install(package: str, use: str, extra: str) -> None:
    """Whoever lacks a package is told the command."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from memorizz import embeddings\n"
        "from memorizz.errors import ConfigurationError\n"
        f"try: {use}\n"
        "except ConfigurationError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert f"pip install 'memorizz-postgresql[{extra}]'" in said


def test_public_names_are_sorted_and_there() -> None:
    """What __all__ names can be imported; the rest is an AttributeError."""
    assert sorted(embeddings.__all__) == embeddings.__all__
    assert set(embeddings.__all__) <= set(dir(embeddings))
    assert {name for name in embeddings.__all__ if not hasattr(embeddings, name)} == set()
    with pytest.raises(AttributeError, match="'Unknown'"):
        _ = embeddings.Unknown  # type: ignore[attr-defined]
