"""How the providers ask an embedder: checked vectors, in order, from whatever the embedder brings."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memorizz import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider, embeddings
from memorizz.embeddings import Kind, embed_awaiting, embed_blocking, is_async
from memorizz.errors import ConfigurationError, EmbeddingFailed, ProviderClosed, SchemaError


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


@pytest.mark.parametrize(
    ("embedder", "said"),
    [
        ("openai:x", "the length of the vectors of .openai:x. is not known here"),
        (lambda texts: [], "embedder is no embedder, it is of type function and has no name, dimensions, embed"),
        ([Fixed([]), None], "embedder is no embedder, it is of type NoneType"),
        (Fixed, "embedder is the class Fixed: give an embedder that it makes"),
    ],
)
@pytest.mark.parametrize("provider", [PostgreSQLProvider, AsyncPostgreSQLProvider])
def test_what_is_no_embedder_is_refused(provider: Any, embedder: Any, said: str) -> None:
    """By what it lacks, before anything is connected to."""
    with pytest.raises(ConfigurationError, match=said):
        provider(PostgreSQLConfig(port=1), embedder=embedder)


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
        ([None], "expected a vector for the text at position 0, 'one', got None"),
        ([[]], "expected vectors of 3 dimensions, got 0 for the text at position 0, 'one'"),
        (
            [[1, 2, None]],
            "the vector of the text at position 0, 'one' holds None at index 2; expected numbers that are",
        ),
        ([[None] * 3], "'one' holds None at index 0"),
        ([[1, float("nan"), 3]], "'one' holds nan at index 1"),
        ([[1, 2, float("inf")]], "'one' holds inf at index 2"),
        ([[1, 2, 1e300]], "'one' holds 1e+300 at index 2; expected numbers that are finite in single precision"),
        ([[0, 0, 0]], "all zero"),
        ([["a", "b", "c"]], "got a list that holds something else"),
        ([[[1], [2], [3, 4]]], "got a list that holds something else"),
        ([[[1], [2], [3]]], "got a list that holds something else"),
        (None, "expected a list of vectors, one per text, got None"),
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
    """The async API runs it in another thread."""
    embedder = Fixed([[1, 2, 3]])
    asyncio.run(embed_awaiting(embedder, ["one"], "query"))
    assert embedder.thread != threading.get_ident()


def test_a_blocking_provider_cannot_await() -> None:
    """An embedder that must be awaited is refused with a word on what to do."""
    assert is_async(Awaited([]))
    assert not is_async(Fixed([]))
    with pytest.raises(ConfigurationError, match="Awaited must be awaited: give it to an async provider"):
        embed_blocking(Awaited([[1, 2, 3]]), ["one"], "query")


class Raising:
    """An embedder that raises, once its vectors are asked for or once they are read."""

    name = "raising"
    dimensions = 3

    def __init__(self, error: BaseException, lazily: bool = False) -> None:
        self.error = error
        self.lazily = lazily

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Any:
        if self.lazily:
            return self
        raise self.error

    def __iter__(self) -> Any:
        raise self.error


class RaisingAwaited(Raising):
    async def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return Raising.embed(self, texts, kind=kind)


@pytest.fixture(params=["blocking", "awaiting", "awaiting an async one"])
def ask_raising(request: pytest.FixtureRequest) -> Any:
    """Ask an embedder that raises, in each of the ways that a provider does."""

    def ask_it(error: BaseException, lazily: bool = False) -> Any:
        if request.param == "blocking":
            return embed_blocking(Raising(error, lazily), ["one"], "query")
        made = Raising(error, lazily) if request.param == "awaiting" else RaisingAwaited(error, lazily)
        # One that hangs fails here, and does not hang the tests.
        return asyncio.run(asyncio.wait_for(embed_awaiting(made, ["one"], "query"), 30))

    return ask_it


FAILURES = [
    KeyError("document"),
    StopIteration("used up"),
    StopAsyncIteration(),
    GeneratorExit(),
    asyncio.CancelledError(),
    SchemaError("no model"),
    ProviderClosed("of another store"),
    TimeoutError("slow"),
]


@pytest.mark.parametrize("lazily", [False, True], ids=["asked", "read"])
@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_what_an_embedder_raises_is_its_failure(ask_raising: Any, error: BaseException, lazily: bool) -> None:
    """Whatever it is and means elsewhere, it is an EmbeddingFailed that names the model and what was raised."""
    with pytest.raises(EmbeddingFailed, match=f"cannot embed with 'raising': .*{type(error).__name__}") as raised:
        ask_raising(error, lazily)
    # Python itself makes a RuntimeError of a StopIteration that leaves a coroutine.
    assert str(error) in str(raised.value) or "coroutine raised StopIteration" in str(raised.value)
    assert error in (raised.value.__cause__, raised.value.__cause__.__cause__)  # type: ignore[union-attr]
    assert raised.value.transient is isinstance(error, TimeoutError)


def test_an_embedders_own_embedding_failed_stays(ask_raising: Any) -> None:
    """What says already what went wrong is not said again."""
    error = EmbeddingFailed("other", "slow down", status=429, transient=True, retry_after=3)
    with pytest.raises(EmbeddingFailed) as raised:
        ask_raising(error)
    assert raised.value is error
    assert error.__cause__ is None


class Unsayable(Exception):
    def __str__(self) -> str:
        raise StopIteration


def test_an_error_that_cannot_be_written_out_is_a_failure_too(ask_raising: Any) -> None:
    """An exception without a message of its own does not hide that the embedder failed."""
    with pytest.raises(EmbeddingFailed, match="Unsayable"):
        ask_raising(Unsayable())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=lambda error: type(error).__name__)
def test_what_ends_the_program_passes(ask_raising: Any, error: BaseException) -> None:
    """Ctrl-C and exit() in the middle of an embedding are for the program, not for its error handling."""
    with pytest.raises(type(error)) as raised:
        ask_raising(error)
    assert raised.value is error


@pytest.mark.parametrize("kind", [Fixed, Awaited])
def test_a_cancelled_task_is_cancelled(kind: type[Fixed]) -> None:
    """Cancelling the caller's task, or its timeout, is no failure of the embedder."""

    async def cancelled() -> None:
        begun = asyncio.Event()
        over = threading.Event()
        loop = asyncio.get_running_loop()

        class Slow(kind):  # type: ignore[misc, valid-type]
            if kind is Fixed:

                def embed(self, texts: Any, *, kind: Kind = "document") -> Any:
                    loop.call_soon_threadsafe(begun.set)
                    over.wait(30)
                    return self.vectors

            else:

                async def embed(self, texts: Any, *, kind: Kind = "document") -> Any:
                    begun.set()
                    await asyncio.sleep(30)

        task = asyncio.create_task(embed_awaiting(Slow([[1, 2, 3]]), ["one"], "query"))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        begun.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await embed_awaiting(Slow([[1, 2, 3]]), ["one"], "query")
        over.set()

    asyncio.run(cancelled())


def test_a_coroutine_that_is_closed_ends() -> None:
    """Closing a coroutine that waits for an embedder is no failure of the embedder."""

    class Waiting(Awaited):
        async def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Any:  # type: ignore[override]
            while True:
                await asyncio.sleep(0)

    waiting = embed_awaiting(Waiting(None), ["one"], "query")
    waiting.send(None)
    waiting.close()

    loop = asyncio.new_event_loop()
    waiting = embed_awaiting(Waiting(None), ["one"], "query")
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    waiting.close()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


def test_what_an_embedder_awaits_may_be_cancelled_by_others() -> None:
    """A task that several share, cancelled by somebody else, does not look like the end of the caller's own."""

    async def shared() -> None:
        other = asyncio.create_task(asyncio.sleep(30))

        class Sharing(Awaited):
            async def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> Any:  # type: ignore[override]
                other.cancel()
                await other

        with pytest.raises(EmbeddingFailed, match="CancelledError"):
            await embed_awaiting(Sharing(None), ["one"], "query")

    asyncio.run(shared())


class OfLists:
    """An embedder typed by hand, as most are."""

    name = "lists"
    dimensions = 3

    def embed(self, texts: list[str], kind: str = "document") -> list[list[float]]:
        assert type(texts) is list
        return [[1.0, 2.0, 3.0] for _ in texts]


class OfListsAwaited(OfLists):
    async def embed(self, texts: list[str], kind: str = "document") -> list[list[float]]:  # type: ignore[override]
        return OfLists.embed(self, texts, kind)


@pytest.mark.parametrize("texts", [["one"], ("one",)])
def test_an_embedder_is_given_a_list(texts: Sequence[str]) -> None:
    """Whatever the texts came in, an embedder that says list[str] gets one."""
    assert embed_blocking(OfLists(), texts, "query").tolist() == [[1, 2, 3]]
    for each in (OfLists(), OfListsAwaited()):
        assert asyncio.run(embed_awaiting(each, texts, "query")).tolist() == [[1, 2, 3]]


TYPED = """# pyright: strict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from memorizz import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.embeddings import Kind, OpenAIEmbedder, SentenceTransformerEmbedder


class Lists:
    name = "lists"
    dimensions = 3

    def embed(self, texts: list[str], *, kind: Kind = "document") -> list[list[float]]:
        return []


@dataclass(frozen=True)
class Arrays:
    name: str
    dimensions: int

    def embed(self, texts: Sequence[str], kind: str = "document") -> NDArray[np.float32]:
        return np.zeros((len(texts), self.dimensions), np.float32)


class Properties:
    @property
    def name(self) -> str:
        return "properties"

    @property
    def dimensions(self) -> int:
        return 3

    def embed(
        self, texts: Iterable[str], *, kind: Literal["query", "document"] = "document"
    ) -> list[NDArray[np.float64]]:
        return []


class Awaited:
    name = "awaited"
    dimensions = 3

    async def embed(self, texts: list[str], *, kind: Kind = "document") -> list[tuple[float, ...]]:
        return []


async def use(config: PostgreSQLConfig) -> None:
    for embedder in (Lists(), Arrays("a", 3), Properties(), OpenAIEmbedder(), SentenceTransformerEmbedder("model")):
        PostgreSQLProvider(config, embedder=embedder)
        AsyncPostgreSQLProvider(config, embedder=[embedder, Awaited()])
"""


def test_an_embedder_may_be_typed_in_many_ways(tmp_path: Path) -> None:
    """A strict type checker takes list[str] for the texts, attributes or properties, lists or arrays of any kind."""
    file = tmp_path / "typed.py"
    file.write_text(TYPED, "utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, file],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


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
