"""What is asked of a search: read and checked, the same for every provider."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from memorizz.errors import ConfigurationError, FilterError, InvalidDocument
from memorizz.memory_provider import _values
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider.base import LARGEST_WEIGHT, Ranking, is_number
from memorizz.memory_provider.memory_type import MemoryType

MAX_EF_SEARCH = 1000  # pgvector's, whose name the option has
# What of a question is searched for, in characters: PostgreSQL takes some 1 MB of words.
_MAX_QUESTION = 100_000
_MAX_LIMIT = 1_000_000_000
# Roles that everybody has are no names.
_COMMON_ROLES = frozenset({"user", "assistant", "system", "tool", "function", "human", "ai", "agent", "bot"})

T = TypeVar("T")


@dataclass(slots=True)
class Options:
    """How the caller wants it searched, beside what is searched for."""

    include_embedding: bool = False
    exact: bool = False
    ef_search: int | None = None
    ranking: Ranking | None = None
    min_score: float | None = None
    touch: bool = False

    def __post_init__(self) -> None:
        if self.ef_search is not None and not 1 <= checked_limit(self.ef_search, "ef_search") <= MAX_EF_SEARCH:
            raise ConfigurationError(f"ef_search={self.ef_search}: expected 1 to {MAX_EF_SEARCH}")
        score, ranking = cast("tuple[object, object]", (self.min_score, self.ranking))
        if score is not None and not (is_number(score) and abs(score) <= LARGEST_WEIGHT):
            raise ConfigurationError(f"min_score={score!r}: expected a finite number")
        if ranking is not None and not isinstance(ranking, Ranking):
            raise ConfigurationError(f"ranking: expected a Ranking, got {type(ranking).__name__}")


@dataclass(slots=True)
class Question:
    """What a caller asks for.

    `text` is to be embedded, in the place of an `embedding`; `names` are the words of the question that may name a
    speaker, in lower case.
    """

    embedding: Any
    text: str | None
    words: str | None
    filter: Mapping[str, Any]
    limit: int
    options: Options
    names: Sequence[str]

    @property
    def ranked(self) -> bool:
        return self.embedding is not None or self.text is not None or self.words is not None

    def vector(self, make: Callable[[Any], T]) -> T | None:
        """Return what a store makes of the embedding, None where there is none; raises InvalidDocument."""
        if self.embedding is None:
            return None
        try:
            return make(self.embedding)
        except InvalidDocument as error:
            _while_searching(error)
            raise


def asked(query: Mapping[str, Any] | str, limit: int, options: Options, *, embeds: bool = False) -> Question:
    """Return what a query asks for; `embeds`: there is an embedder.

    Raises FilterError, ConfigurationError, InvalidDocument.
    """
    if isinstance(query, str):
        # Without an embedder the words alone rank.
        query = {"$text": {"$search": query}, **({EMBEDDING: query} if embeds else {})}
    if not isinstance(cast(object, query), Mapping):
        raise FilterError(f"a query is a dict or a str, got {type(query).__name__}")
    filter = dict(query)
    limit = checked_limit(filter.pop("limit", limit))
    words = _words(filter.pop("$text")) if "$text" in filter else None
    embedding, text = None, None
    if EMBEDDING in filter and not isinstance(filter[EMBEDDING], Mapping):
        embedding = filter.pop(EMBEDDING)
        if embedding is None:
            raise _while_searching(
                InvalidDocument(EMBEDDING, "expected a vector, got None; leave the key out to search without one")
            )
        if isinstance(embedding, str):
            embedding, text = None, _text_to_embed(embedding, embeds)
    said = [each.lower() for each in (words, text) if each is not None]
    names = {name for each in said for name in _NAMES.findall(each)} - _COMMON_ROLES if said else ()
    return Question(embedding, text, words, filter, limit, options, tuple(sorted(names)))


def components_asked(
    query: str | None, query_embedding: Any, memory_id: str | None, limit: int, *, embeds: bool = False
) -> Question:
    """Return what retrieve_memory_components_by_query asks for; raises ConfigurationError where that is nothing."""
    wanted: dict[str, Any] = {} if memory_id is None else {"memory_id": memory_id}
    if query is not None:
        wanted["$text"] = {"$search": query}
    if query_embedding is not None:
        wanted[EMBEDDING] = query_embedding
    elif isinstance(query, str) and embeds:
        wanted[EMBEDDING] = query
    question = asked(wanted, limit, Options(include_embedding=True), embeds=embeds)
    if not question.ranked:
        raise ConfigurationError("nothing to search for: give query, query_embedding or both")
    return question


_NAMES = re.compile(r"\w+")


def checked_limit(limit: Any, name: str = "limit") -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= _MAX_LIMIT:
        raise ConfigurationError(f"{name}={limit!r}: expected a whole number from 0 to {_MAX_LIMIT:,}")
    return limit


def _words(operand: Any) -> str:
    words: object = None
    if isinstance(operand, Mapping) and len(cast("Mapping[str, Any]", operand)) == 1:
        words = cast("Mapping[str, Any]", operand).get("$search")
    if not isinstance(words, str):
        raise FilterError(f'$text: expected {{"$search": "the words"}}, got {operand!r:.80}')
    return _legible(words)


def _text_to_embed(text: str, embeds: bool) -> str:
    if not embeds:
        raise _while_searching(
            InvalidDocument(
                EMBEDDING,
                "expected a vector, got a text, and there is no embedder to make a vector of it; open the provider "
                'with embedder=..., or search for the words, {"$text": {"$search": ...}}',
            )
        )
    return _legible(text)


def _while_searching(error: InvalidDocument) -> InvalidDocument:
    """Have an error say that nothing was to be stored."""
    error.args = (f"cannot search by {error.path!r}: {error.reason}",)
    return error


def _legible(text: str) -> str:
    """Return what of a text is searched for."""
    return _values.text(text[:_MAX_QUESTION], "$search", "replace").replace("\ufffd", " ")


def weights(ranking: Ranking, memory_type: MemoryType, *, meaning: bool, names_cut: bool) -> Ranking:
    """Return a ranking with the weights that suit a store's documents where the caller gave none.

    `names_cut`: the vector is of a question without names, not one that the caller brought.
    """
    turns = memory_type is MemoryType.CONVERSATION_MEMORY
    # A name that is still in the vector must not count twice.
    speaker = (0.05 if turns and names_cut else 0.0) if ranking.speaker is None else ranking.speaker
    session = (0.4 if turns else 0.0) if ranking.session is None else ranking.session
    # Words alone make the whole of the score; they make up for a vector that follows names.
    words = (0.3 if names_cut else 0.6) if meaning else 1.0
    words = words if ranking.words is None else ranking.words
    return replace(ranking, speaker=speaker, session=session, words=words)


def without_names(question: str, names: Sequence[str]) -> str:
    """Return the question without some names: small models follow a name to whoever is addressed by it."""
    if not names:
        return question
    pattern = rf"\b(?:{'|'.join(map(re.escape, names))})(?:['\u2019]s)?\b"
    rest = " ".join(re.sub(pattern, " ", question, flags=re.IGNORECASE).split())
    return rest if _NAMES.search(rest) else question
