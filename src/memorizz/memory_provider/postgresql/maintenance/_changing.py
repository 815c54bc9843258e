"""What a change of the embedding model is made of: how far it is, what may be done to it, a batch, the last moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from memorizz.embeddings.base import AsyncEmbedder, Embedder, window
from memorizz.errors import ConfigurationError, SchemaError
from memorizz.memory_provider._parts import Part
from memorizz.memory_provider.postgresql import distribution
from memorizz.memory_provider.postgresql._steps import Embed, Operation
from memorizz.memory_provider.postgresql.facts import Model, Store
from memorizz.memory_provider.postgresql.maintenance import _models
from memorizz.memory_provider.postgresql.maintenance._models import Count, Made, Models, Waiting
from memorizz.memory_provider.postgresql.operations.embedding import embedded_pieces
from memorizz.memory_provider.postgresql.operations.parts import pieces_of
from memorizz.memory_provider.postgresql.rows import Text

# A lock is waited for less long than the server takes to look for a deadlock (1 s): whoever is in the way goes on, and
# it is tried again.
LOCK_SECONDS = 0.5
# How long the server leaves the stores to this program while it makes the last few vectors.
IDLE_SECONDS = 10.0
# How many documents are left to be embedded while writers wait, at most: each enters the new index, too.
LAST = 64
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Change:
    """How far a change of the embedding model is.

    `standby` is the model to come, or the one before where `standby.current_since` is set; None where no change is
    under way. `without_text` are stores and ids of documents whose vector cannot be made again, up to ten of a store.
    """

    searched: Model
    standby: Model | None
    counts: Sequence[Count] = ()
    without_text: Sequence[tuple[str, str]] = ()

    @property
    def waiting(self) -> int:
        """How many documents are still to be embedded."""
        return sum(count.waiting for count in self.counts)


@dataclass(frozen=True, slots=True)
class Filled:
    """How many documents have been embedded, of how many that are known to be due."""

    done: int
    total: int
    store: str


Watch = Callable[[Filled], None]
AnyEmbedder = Embedder | AsyncEmbedder


class Behind(Exception):
    """More has been stored meanwhile than can be done while writers wait."""


def change(now: Models) -> Operation[Change]:
    """Return how far a change is."""
    if now.standby is None:
        return Change(now.searched, None)
    counts = yield from _models.counts(now)
    return Change(now.searched, now.standby, counts, (yield from _models.without_text(now, _LISTED)))


def begin(now: Models, embedder: AnyEmbedder) -> Operation[None]:
    """Add the columns of the embedder's model, where they are not there yet."""
    if now.searched.name == embedder.name:
        raise ConfigurationError(f"the vectors of schema {now.layout.schema!r} are of {embedder.name!r} already")
    why = "takes no statement that goes through the documents of all tenants by their key"
    distribution.check_whole(now.layout, f"another embedding model, {embedder.name!r}", why)
    if now.standby is None:
        yield from _models.begin(now, embedder.name, embedder.dimensions)


def fill(store: Store, standby: Store, rows: Sequence[Waiting], max_tokens: int | None) -> Operation[None]:
    """Embed documents: None is the vector of one without a text, and of one that has lost its vector."""
    texts = [_pieces(store, row, max_tokens) for row in rows]
    wanted = [piece.text for pieces in texts for piece in pieces]
    wanted += [text for row in rows for *_, text in row.parts]
    vectors = iter((yield Embed(wanted, "document", standby.model.name or "")) if wanted else ())
    of_texts = [list(islice(vectors, len(pieces))) for pieces in texts]
    made: list[Made] = []
    for row, pieces, found in zip(rows, texts, of_texts, strict=True):
        first = standby.vector_of(found[0]) if found else None
        of_parts = [standby.checked_vector(vector) for vector in islice(vectors, len(row.parts))]
        made.append(Made(first, pieces_of(standby, pieces, found), of_parts))
    yield from _models.fill(standby, list(zip(rows, made, strict=True)))


def _pieces(store: Store, row: Waiting, max_tokens: int | None) -> list[Part]:
    """Return what is to be embedded of a document beside its parts."""
    if store.spec.fields or not row.embedded or not store.spec.embedded:
        return []
    return embedded_pieces(store, Text(row.label or "", row.content or ""), max_tokens)


def exchange(now: Models, embedder: AnyEmbedder | None, last: int, drop_without_text: bool) -> Operation[float]:
    """Make the last few vectors, verify that none is missing, and let the models change places.

    Returns since when writers wait (time.monotonic).
    """
    check_embedder(now, embedder)
    yield from _models.block_writers(now.stores, IDLE_SECONDS)
    since = time.monotonic()
    counts = yield from _models.counts(now)
    waiting = sum(count.waiting for count in counts)
    if waiting > last:
        raise Behind
    if waiting:
        for store, standby in now.pairs:
            rows = yield from _models.waiting(store, standby, None, last)
            yield from fill(store, standby, rows, None if embedder is None else window(embedder))
        counts = yield from _models.counts(now)
    if any(count.waiting for count in counts):
        # Somebody holds a row with SELECT ... FOR UPDATE.
        raise Behind
    check_texts(Change(now.searched, now.standby, counts), drop_without_text)
    wrong = [each.store for each in counts if each.vectors != each.both + each.without_text]
    if wrong:
        raise SchemaError(f"vectors are missing in {', '.join(wrong)}, and nothing was changed: report this, please")
    yield from _models.exchange(now)
    return since


# --- checks -------------------------------------------------------------------------------------------------------


def no_embedder() -> ConfigurationError:
    """Return the error for documents that are to be embedded, and nobody knows with what."""
    return ConfigurationError(
        "documents were stored or changed since the models changed places: say the model that is on standby, so that "
        "they can be embedded with it"
    )


def check_embedder(now: Models, embedder: AnyEmbedder | None) -> None:
    """Raise unless the embedder is of the model that is on standby."""
    standby = now.standby
    if standby is None:
        raise _none_under_way(now)
    if embedder is None:
        return
    if standby.name not in (None, embedder.name):
        raise ConfigurationError(
            f"a change from {now.searched.name!r} to {standby.name!r} is under way, the embedder is "
            f"{embedder.name!r}: go on with {standby.name!r}, or end that change first (--abandon, --finish)"
        )
    if embedder.dimensions != standby.dimensions:
        raise ConfigurationError(
            f"vector dimension mismatch: the vectors of {embedder.name!r} have {standby.dimensions} dimensions "
            f"here, the embedder makes {embedder.dimensions}"
        )


def check_searched_before(now: Models, before: bool) -> None:
    """Raise unless the model on standby was searched before the other one, or was not."""
    if now.standby is None:
        raise _none_under_way(now)
    if before and now.standby.current_since is None:
        raise ConfigurationError(
            f"{now.standby.name!r} is not searched yet, so there is no way back and nothing to finish: go on with "
            "--model, or give it up with --abandon"
        )
    if not before and now.standby.current_since is not None:
        raise ConfigurationError(
            f"{now.searched.name!r} is searched already: --back goes back to {now.standby.name!r}, --finish drops it"
        )


def check_texts(change: Change, drop_without_text: bool) -> None:
    """Raise where documents would lose a vector that cannot be made again, unless that is meant."""
    lost = sum(count.without_text for count in change.counts)
    if lost and not drop_without_text:
        listed = ", ".join(f"{store} {id}" for store, id in change.without_text)
        raise ConfigurationError(
            f"{lost} documents have a vector and no text that another could be made of{listed and f' ({listed})'}: "
            "store vectors of the new model with them, or let them lose theirs with --drop-without-text"
        )


def _none_under_way(now: Models) -> ConfigurationError:
    return ConfigurationError(f"no change of the embedding model of schema {now.layout.schema!r} is under way")
