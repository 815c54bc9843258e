"""The embedder of models on this machine, beside the model itself: that is run in tests_models/."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from memorizz.embeddings import SentenceTransformerEmbedder
from memorizz.errors import ConfigurationError

# In the place of the library, which brings torch: it computes until it is told to go on.
FORKING = """
import os, signal, sys, threading, types

begun, go_on = threading.Event(), threading.Event()

class SentenceTransformer:
    def __init__(self, path, device):
        pass

    def encode_document(self, texts, **options):
        if texts == ["slow"]:
            begun.set()
            go_on.wait(60)
        return [[1.0, 2.0, 3.0] for _ in texts]

sys.modules["sentence_transformers"] = types.SimpleNamespace(SentenceTransformer=SentenceTransformer)
from memorizz.embeddings import SentenceTransformerEmbedder

embedder = SentenceTransformerEmbedder("model")
thread = threading.Thread(target=embedder.embed, args=(["slow"],))
thread.start()
begun.wait(60)
child = os.fork()
if not child:
    signal.alarm(30)
    os._exit(embedder.embed(["quick"]).tolist() != [[1.0, 2.0, 3.0]])
status = os.waitpid(child, 0)[1]
go_on.set()
thread.join()
sys.exit(bool(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    """Threads take turns with the model; a process that is forked meanwhile has its own turn at once."""
    # Python says from 3.12 on that threads and fork do not go together, which is what is tried here.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", FORKING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def _with_a_model(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> SentenceTransformerEmbedder:
    """Return the embedder of a model that has these attributes."""
    model = SimpleNamespace(encode_document=lambda texts, **_: [[1.0, 2.0] for _ in texts], **attributes)
    library = SimpleNamespace(SentenceTransformer=lambda path, device: model)
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)  # type: ignore[arg-type]
    return SentenceTransformerEmbedder("folder/model")


@pytest.mark.parametrize(("reads", "known"), [(256, 256), (None, None), (float("inf"), None), (10**30, None)])
def test_how_much_a_model_reads_is_what_it_says(monkeypatch: pytest.MonkeyPatch, reads: Any, known: int | None) -> None:
    """A number beyond all texts is none, as where a model says nothing."""
    assert _with_a_model(monkeypatch, max_seq_length=reads).max_tokens == known
    assert _with_a_model(monkeypatch).max_tokens is None


@pytest.mark.parametrize("reads", [0, -1, 8])
def test_a_model_that_reads_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, reads: int) -> None:
    """It is not taken for one that reads everything."""
    with pytest.raises(ConfigurationError, match=f"max_tokens of the embedder 'model' is {reads}: expected"):
        _with_a_model(monkeypatch, max_seq_length=reads)
