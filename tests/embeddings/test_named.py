"""The names of embedders: what each makes, and what is said to a name that is none."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from memorizz.embeddings import LocalEmbedder, OpenAIEmbedder, named
from memorizz.errors import ConfigurationError


def test_local() -> None:
    """`local` is the embedder of this machine."""
    assert isinstance(named("local"), LocalEmbedder)


def test_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """`openai:NAME` asks the endpoint of the environment for the model of that name."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    made: Any = named("openai:text-embedding-3-small", name="ours")
    assert (type(made), made.name, made.dimensions, made.max_tokens) == (OpenAIEmbedder, "ours", 1536, 8191)
    assert "http://127.0.0.1:1/v1" in repr(made)
    assert named("openai:another", dimensions=7).dimensions == 7


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("", "http://localhost:11434/v1/"),
        ("0.0.0.0", "http://localhost:11434/v1/"),
        ("gpu:1234", "http://gpu:1234/v1/"),
        ("[::1]", "http://[::1]:11434/v1/"),
        ("https://models.example/ollama/", "https://models.example/ollama/v1/"),
    ],
)
def test_ollama(said: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ollama:NAME` asks the server that OLLAMA_HOST names, however it does, else that of this machine; with no key."""
    monkeypatch.setenv("OLLAMA_HOST", said)
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-another")
    made: Any = named("ollama:nomic-embed-text:latest")
    assert (made.name, made.dimensions) == ("nomic-embed-text:latest", 768)
    assert url in repr(made)
    assert "secret-of-another" not in str(made._headers)


def test_sentence_transformers_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sentence-transformers:PATH` without that library names the extra."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigurationError, match=r"\[sentence-transformers\]"):
        named("sentence-transformers:/models/mine")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("", {}, "there is no embedder ''"),
        ("lokal", {}, "there is no embedder 'lokal': expected 'local', 'openai:NAME'"),
        ("local:small", {}, "there is no embedder 'local:small'"),
        ("openai:", {}, "there is no embedder 'openai:'"),
        ("ollama", {}, "there is no embedder 'ollama'"),
        ("all-MiniLM-L6-v2", {}, "there is no embedder 'all-MiniLM-L6-v2'"),
        ("ollama:mine", {}, r"length of the vectors of 'ollama:mine' is not known.*dimensions=\.\.\."),
        ("openai:text-embedding-3-small", {}, "OPENAI_API_KEY"),
        ("local", {"dimensions": 384}, "dimensions=384 is for openai:NAME"),
        ("local", {"name": "mine"}, "'local' has its name"),
    ],
)
def test_what_is_no_name_is_an_error(name: str, options: dict[str, Any], said: str) -> None:
    """An unknown name, one without its model and an option that does not belong to it say what was expected."""
    with pytest.raises(ConfigurationError, match=said):
        named(name, **options)


def test_a_host_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that cannot be read is named."""
    monkeypatch.setenv("OLLAMA_HOST", "gpu:many")
    with pytest.raises(ConfigurationError, match="OLLAMA_HOST='gpu:many'"):
        named("ollama:bge-m3")
