"""memorizz embed and re-embed: what they ask for, do, say, and how they are gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorizz.cli import _embedder
from memorizz.embeddings import OpenAIEmbedder
from memorizz.errors import ConfigurationError
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

MODULE = """
    import os
    import signal


    class Length:
        dimensions = 3

        def __init__(self, name="length"):
            self.name = name

        def embed(self, texts, *, kind="document"):
            return [[len(text), 1.0, 0.5] for text in texts]


    class Constant(Length):
        dimensions = 4

        def embed(self, texts, *, kind="document"):
            return [[1.0, 2.0, 3.0, 4.0] for text in texts]


    constant = Constant("constant")


    class Interrupted(Length):
        def embed(self, texts, *, kind="document"):
            os.kill(os.getpid(), signal.SIGINT)
            return super().embed(texts)


    nothing = object()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with embedders in the folder that the command is run in."""
    (tmp_path / "embedders_of_mine.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    yield "embedders_of_mine"
    sys.modules.pop("embedders_of_mine", None)


@pytest.fixture
def run(memorizz: Callable[..., Any], migrated_dsn: str, module: str) -> Callable[..., Any]:
    return lambda *arguments, **options: memorizz("re-embed", *arguments, "--dsn", migrated_dsn, **options)


@pytest.fixture
def stored(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """Memories whose vectors their caller has made."""
    provider.store_many([{"content": "x" * n, "embedding": [n, 1, 1, 1]} for n in range(1, 21)], "toolbox")
    return provider


def vectors(config: PostgreSQLConfig) -> list[list[float]]:
    with PostgreSQLProvider(config.replace(embedding_dimensions=None)) as provider:
        return [each["embedding"] for each in provider.list_all("toolbox", include_embedding=True)]


@pytest.mark.usefixtures("stored")
def test_there_and_back(run: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """One command changes the model; others say how it stands, go back, and end it."""
    shown = run("--model", "embedders_of_mine:Length")
    assert (shown.code, shown.stderr) == (0, "")
    said = (
        "embedded  20 documents",
        "built  toolbox_embedding_2_idx",
        "switched  writers waited",
        "length, 3 dimensions",
    )
    for part in (*said, "kept", "a model that nobody has named, 4 dimensions", "toolbox", "--back"):
        assert part in shown.stdout, part
    assert vectors(config) == [[n, 1.0, 0.5] for n in range(1, 21)]
    assert "of length already" in run("--model", "embedders_of_mine:Length").stdout
    status = run("--status", "--json").json
    assert status["searched"]["name"] == "length"
    assert status["standby"]["dimensions"] == 4
    assert status["stores"] == [{"store": "toolbox", "vectors": 20, "both": 20, "without_text": 0, "waiting": 0}]
    assert "switched" in run("--back").stdout
    assert vectors(config)[3] == [4, 1, 1, 1]
    shown = run("--finish")
    assert shown.code == 1
    assert "Drop the vectors of length?" in shown.stderr
    assert "finished" in run("--finish", "--yes").stdout
    assert run("--status", "--json").json["standby"] is None


@pytest.mark.usefixtures("stored")
def test_the_vectors_may_wait(run: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """They are made and not used yet; then used, or given up."""
    made = run("--model", "embedders_of_mine:Length", "--no-switch", "--batch", 6, "--rate", 1000, "--json").json
    assert (made["embedded"], made["searched"]["name"], made["standby"]["name"]) == (20, None, "length")
    assert "toolbox_embedding_2_idx" in {each["name"] for each in made["built"]}
    assert "held_seconds" not in made
    assert len(vectors(config)[0]) == 4
    page = run("--status").stdout
    assert "to come" in page
    assert "--abandon" in page
    assert "given up" in run("--abandon", "-y").stdout
    assert run("--model", "embedders_of_mine:Length", "--json").json["held_seconds"] >= 0


def test_what_has_no_text(run: Callable[..., Any], stored: PostgreSQLProvider) -> None:
    """It is listed, and lost only where that is said."""
    stored.store({"id": "picture", "embedding": [1, 2, 3, 4]}, "personas")
    shown = run("--model", "embedders_of_mine:constant")
    assert shown.code == 1
    assert "1 documents have a vector and no text" in shown.stderr
    assert "no text: personas picture" in run("--status").stdout
    assert run("--status", "--json").json["without_text"] == [{"store": "personas", "id": "picture"}]
    assert run("--model", "embedders_of_mine:constant", "--drop-without-text").code == 0


@pytest.mark.usefixtures("stored")
def test_an_interrupted_one_is_gone_on_with(run: Callable[..., Any]) -> None:
    """Ctrl-C keeps what is made, and says how to go on."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        shown = run("--model", "embedders_of_mine:Interrupted", "--name", "x")
        assert "an embedder of your own has its name" in shown.stderr
        shown = run("--model", "embedders_of_mine:Interrupted", "--batch", 6)
    finally:
        signal.signal(signal.SIGINT, before)
    assert shown.code == 130
    assert "the same command again goes on" in shown.stderr
    assert run("--model", "embedders_of_mine:Length").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "what is to be done?"),
        (["--back", "--finish"], "what is to be done?"),
        (["--model", "nothing"], "expected local, openai:NAME"),
        (["--model", "openai:"], "expected local, openai:NAME"),
        (["--model", "no_such_module:x"], "No module named 'no_such_module'"),
        (["--model", "embedders_of_mine:nobody"], "has no attribute 'nobody'"),
        (["--model", "embedders_of_mine:Length", "--dimensions", "3"], "--dimensions is for openai:NAME"),
        (["--finish", "-y"], "no change of the embedding model"),
        (["--back"], "no change of the embedding model"),
    ],
)
def test_what_makes_no_sense(run: Callable[..., Any], arguments: list[str], said: str) -> None:
    """It is said in one sentence, and nothing is done."""
    shown = run(*arguments)
    assert shown.code == 1
    assert said in shown.stderr


def test_an_embedder_out_of_a_name(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """A class, a function or an object of a module; an endpoint, with what the environment says of it."""
    assert _embedder.embedder(f"{module}:Length", None, None).name == "length"
    assert _embedder.embedder(f"{module}:constant", None, None).dimensions == 4
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    made = _embedder.embedder("openai:mine", "ours", 7)
    assert isinstance(made, OpenAIEmbedder)
    assert (made.name, made.dimensions) == ("ours", 7)
    assert "localhost:1" in repr(made)
    assert "secret" not in repr(made)
    made.close()
    with pytest.raises(ConfigurationError, match=r"is no embedder, .* has no name, dimensions, embed: expected"):
        _embedder.embedder(f"{module}:nothing", None, None)


@pytest.mark.usefixtures("stored")
def test_a_terminal_sees_progress(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar moves, on stderr; in a pipe there is nothing."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run("--model", "embedders_of_mine:Length", "--batch", 2, columns=160)
    assert "embedding documents" in shown.stderr
    assert "embedding documents" not in shown.stdout


@pytest.mark.usefixtures("stored")
def test_other_commands_know_of_it(run: Callable[..., Any], memorizz: Callable[..., Any], migrated_dsn: str) -> None:
    """The doctor says that a change is under way, or what is kept; indexes are listed, sizes and recall are said."""

    def ask(*words: str) -> Any:
        return memorizz(*words, "--dsn", migrated_dsn, "--json").json

    def found() -> list[str]:
        return [each["text"] for each in ask("doctor")["findings"] if each["subject"] == "embedding model"]

    assert found() == []
    run("--model", "embedders_of_mine:Length", "--no-switch")
    assert found() == ["a change of the embedding model from an unnamed model to 'length' is under way"]
    assert ask("doctor")["embedding_models"]["standby"]["name"] == "length"
    listed = {index["name"]: index for index in ask("index", "list")["indexes"]}
    assert listed["toolbox_embedding_2_idx"]["column"] == "embedding_2_standby"
    assert listed["toolbox_embedding_2_idx"]["rows"] == 20
    run("--model", "embedders_of_mine:Length")
    assert found() == ["the vectors of an unnamed model, which was searched before 'length', are kept and take room"]
    assert ask("doctor")["embedding_models"]["searched"]["dimensions"] == 3
    assert [each["with_embedding"] for each in ask("stats")["stores"] if each["name"] == "toolbox"] == [20]
    assert ask("recall", "--store", "toolbox")["stores"][0]["rows"] == 20
    page = " ".join(memorizz("doctor", "--dsn", migrated_dsn, columns=200).stdout.split())
    assert "vectors of 3 dimensions by length, hnsw index" in page


@pytest.fixture
def embed(memorizz: Callable[..., Any], migrated_dsn: str, module: str) -> Callable[..., Any]:
    return lambda *arguments, **options: memorizz("embed", *arguments, "--dsn", migrated_dsn, **options)


@pytest.fixture
def without(provider: PostgreSQLProvider) -> PostgreSQLProvider:
    """Memories that were stored without an embedder."""
    provider.store_many([{"content": "x" * n} for n in range(1, 4)], "toolbox")
    provider.store_many([{"content": "x"}, {"name": "no text"}], "personas")
    return provider


def test_memories_from_before_are_embedded(embed: Callable[..., Any], without: PostgreSQLProvider) -> None:
    """Of one store or of all; it is said how many, and from then on whose vectors the schema holds."""
    assert embed("--model", "embedders_of_mine:constant", "--store", "personas", "--json").json == {
        "embedded": {"personas": 1}
    }
    shown = embed("--model", "embedders_of_mine:constant")
    assert (shown.code, shown.stderr) == (0, "")
    assert "embedded  3 of toolbox" in shown.stdout
    assert "personas" not in shown.stdout
    assert "no memory that has a text and no vector" in embed("--model", "embedders_of_mine:constant").stdout
    assert [each["embedding"] for each in without.list_all("toolbox", include_embedding=True)] == [[1, 2, 3, 4]] * 3
    wrong = embed("--model", "embedders_of_mine:Length")
    assert wrong.code == 1
    assert "constant" in wrong.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo-terminals")
@pytest.mark.usefixtures("without")
def test_on_a_terminal_it_shows_how_far_it_is(migrated_dsn: str, module: str) -> None:
    """How many of a store, and nothing of it stays on the page."""
    main, terminal = os.openpty()
    command = [sys.executable, "-m", "memorizz", "embed", "--model", f"{module}:constant", "--dsn", migrated_dsn]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=terminal, check=True, text=True, env=os.environ | {"TERM": "xterm"}
    )
    os.close(terminal)
    shown = os.read(main, 100_000).decode()
    os.close(main)
    assert "embedding toolbox" in shown
    assert "3 of 3" in shown
    assert "embedded  3 of toolbox" in done.stdout


@pytest.mark.usefixtures("without")
def test_an_interrupted_embedding_is_gone_on_with(embed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C keeps what is made, and says how to go on."""

    def interrupt(*arguments: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PostgreSQLProvider, "embed_missing", interrupt)
        shown = embed("--model", "embedders_of_mine:constant")
    assert shown.code == 130
    assert "the same command again goes on" in shown.stderr
    assert "embedded  3 of toolbox" in embed("--model", "embedders_of_mine:constant").stdout


@pytest.mark.usefixtures("without")
def test_the_doctor_says_how_to_embed_them(
    embed: Callable[..., Any], memorizz: Callable[..., Any], migrated_dsn: str
) -> None:
    """Where some memories have a vector and others have none."""
    embed("--model", "embedders_of_mine:constant", "--store", "personas")
    findings = memorizz("doctor", "--dsn", migrated_dsn, "--json").json["findings"]
    assert [each["advice"] for each in findings if each["subject"] == "personas"] == [
        "`memorizz embed --model MODEL --store personas`, for those that have a text"
    ]
