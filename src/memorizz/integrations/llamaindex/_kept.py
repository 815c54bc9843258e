"""What all of them have: a provider, beside LlamaIndex's models, whose fields are those that it serializes."""

from __future__ import annotations

from collections.abc import Sequence

from memorizz.embeddings.base import Embedder
from memorizz.integrations._providers import Opened, Wanted


class Kept(Opened):
    """A provider that has some stores, and works in the view of a memory, too."""

    _in_memories = True

    def __init__(
        self, source: object, *wanted: Wanted, embedder: Embedder | str | Sequence[Embedder | str] | None = None
    ) -> None:
        self._open(source, *wanted, embedder=embedder)


class KeptOfNoMemory(Kept):
    """A provider for what has ids that another memory may have."""

    _in_memories = False
