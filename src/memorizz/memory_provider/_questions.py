"""What is asked of a search: read and checked, the same for every provider."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from memorizz.errors import ConfigurationError, FilterError, InvalidDocument, quoted
from memorizz.memory_provider import _values
from memorizz.memory_provider._arguments import text_argument
from memorizz.memory_provider._documents import EMBEDDING
from memorizz.memory_provider._filters import both
from memorizz.memory_provider.options import LARGEST_WEIGHT, Ranking, SearchOptions, checked_limit
from memorizz.memory_provider.stores import StoreSpec

# What of a question is searched for, in characters: PostgreSQL takes some 1 MB of words.
_MAX_QUESTION = 100_000
# Roles that everybody has are no names.
_COMMON_ROLES = frozenset(
    {"user", "assistant", "system", "tool", "function", "human", "ai", "agent", "bot", "model", "developer"}
)

T = TypeVar("T")

logger = logging.getLogger("memorizz.embeddings")
# Where the log was told that sentences find words alone.
_told: set[str] = set()


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
    options: SearchOptions
    names: Sequence[str]
    # How many are to be found for `limit` to be left behind the offset.
    reach: int

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


def asked(
    query: Mapping[str, Any] | str,
    limit: int,
    options: SearchOptions,
    where: Mapping[str, Any] | None = None,
    *,
    embeds: bool = False,
) -> Question:
    """Return what a query asks for; `where` must hold too. `embeds`: there is an embedder.

    Raises FilterError, ConfigurationError, InvalidDocument.
    """
    if isinstance(query, str):
        # Without an embedder the words alone rank.
        query = {"$text": {"$search": query}, **({EMBEDDING: query} if embeds else {})}
    if not isinstance(cast(object, query), Mapping):
        raise FilterError(f"a query is a dict or a str, got {type(query).__name__}")
    filter = dict(query)
    if isinstance(filter.get("query"), str):
        raise FilterError(
            f"query={quoted(filter['query'])} in a dict would be a filter by a key of that name: to ask, give the text "
            'in the place of the dict, and filters as where={...}; to filter by that key, write {"query": {"$eq": ...}}'
        )
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
    said = f"{words or ''} {text or ''}".lower()
    names = tuple(sorted({*_NAMES.findall(said)} - _COMMON_ROLES))
    wanted: Mapping[str, Any] = filter if where is None else both(filter, where)
    reach = limit + options.offset if limit else 0
    question = Question(embedding, text, words, wanted, limit, options, names, reach)
    if options.order_by is not None and question.ranked:
        raise ConfigurationError(
            f"order_by={quoted(options.order_by)}: the query ranks its hits, the best first; leave out order_by, or "
            "what ranks"
        )
    _check_choice(question)
    return question


def check_context(options: SearchOptions, spec: StoreSpec) -> None:
    """Raise ConfigurationError where hits are to come with the documents around them, and there are none."""
    if options.context and not spec.timeline:
        raise ConfigurationError(f"context: only documents with a timeline have others around them, not {spec.name}")


def _check_choice(question: Question) -> None:
    """Raise ConfigurationError where hits are to be chosen by what the query does not have."""
    options = question.options
    if options.diverse and not question.ranked:
        raise ConfigurationError(f"diverse={options.diverse:g}: nothing in the query ranks hits, so leave it out")
    if options.rerank is not None and not (question.text or question.words):
        raise ConfigurationError(
            "rerank: it is given the question as a text, and the query has none: ask with a text, or with "
            '{"$text": {"$search": ...}} beside the vector'
        )


_WITH_EMBEDDING = SearchOptions(include_embedding=True)


def components_asked(
    query: str | None,
    query_embedding: Any,
    memory_id: str | None,
    limit: int,
    where: Mapping[str, Any] | None = None,
    *,
    embeds: bool = False,
    options: SearchOptions = _WITH_EMBEDDING,
) -> Question:
    """Return what retrieve_memory_components_by_query asks for; raises ConfigurationError where that is nothing."""
    wanted: dict[str, Any] = {}
    if memory_id is not None:
        memory = text_argument(memory_id, "memory_id")
        wanted["memory_id"] = {"$in": []} if memory is None else memory
    if query is not None:
        wanted["$text"] = {"$search": query}
    if isinstance(query_embedding, Mapping):
        raise ConfigurationError(
            f"query_embedding={quoted(cast(object, query_embedding))}: expected a vector, got a dict"
        )
    if query_embedding is not None:
        wanted[EMBEDDING] = query_embedding
    elif isinstance(query, str) and embeds:
        wanted[EMBEDDING] = query
    question = asked(wanted, limit, options, where, embeds=embeds)
    if not question.ranked:
        raise ConfigurationError("nothing to search for: give query, query_embedding or both")
    return question


def recalled(
    text: Any,
    memory_id: str | None,
    limit: int,
    where: Mapping[str, Any] | None,
    options: SearchOptions,
    *,
    embeds: bool = False,
) -> Question:
    """Return what `recall` asks for; raises ConfigurationError for a text that is none."""
    if not isinstance(text, str):
        raise ConfigurationError(f"text={quoted(text)}: expected a str to look for, got {type(text).__name__}")
    return components_asked(text, None, memory_id, limit, where, embeds=embeds, options=options)


_NAMES = re.compile(r"\w+")


def _words(operand: Any) -> str:
    words: object = None
    if isinstance(operand, Mapping) and len(cast("Mapping[str, Any]", operand)) == 1:
        words = cast("Mapping[str, Any]", operand).get("$search")
    if not isinstance(words, str):
        raise FilterError(f'$text: expected {{"$search": "the words"}}, got {quoted(cast(object, operand))}')
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
    error.args = (f"cannot search by {quoted(error.path, 200)}: {error.reason}",)
    return error


def _legible(text: str) -> str:
    """Return what of a text is searched for."""
    return _values.text(text[:_MAX_QUESTION], "$search", "replace").replace("\ufffd", " ")


def tell_words_alone(question: Any, place: str, remedy: str) -> None:
    """Tell the log, once for each place, that a sentence is searched by its words alone, and what would change that.

    Two or three words are words to look for; the text itself is never logged.
    """
    if not isinstance(question, str) or place in _told or len(question.split()) < 4:
        return
    _told.add(place)
    logger.warning("a sentence was searched by its words alone, not by its meaning: %s", remedy)


def weights(
    ranking: Ranking,
    spec: StoreSpec,
    *,
    meaning: bool,
    names_cut: bool,
    asks_when: bool = False,
    stretched: float = 1.0,
) -> Ranking:
    """Return a ranking with the weights that suit a store's documents where the caller gave none.

    `names_cut`: the vector is of a question without names, not one that the caller gave. `asks_when`: the question is
    answered by a time. `stretched`: what the differences between similarities are multiplied by.
    """
    # A name that is still in the vector must not count twice.
    speaker = (spec.speaker if names_cut else 0.0) if ranking.speaker is None else ranking.speaker
    others = {part: getattr(spec, part) for part in _OF_SPEC if getattr(ranking, part) is None}
    if ranking.fusion == "rrf":
        # A share of 1 / (10 + rank) is too little beside them.
        others |= {part: 0.0 for part in ("time", "asking") if part in others}
    # Words alone make the whole of the score; they make up for a vector that follows names.
    words = (0.3 if names_cut else 0.6) if meaning else 1.0
    words = words if ranking.words is None else ranking.words
    if not asks_when:
        others["time"] = 0.0
    if ranking.fusion == "score":
        others["meaning"] = min(ranking.meaning * stretched, LARGEST_WEIGHT)
    return replace(ranking, speaker=speaker, words=words, **others)


def supported(ranking: Ranking, spec: StoreSpec) -> float:
    """Return by what the score of a turn is larger for what supports it in its conversation, at most."""
    ranking = weights(ranking, spec, meaning=True, names_cut=True)
    return 1.0 + (ranking.session or 0.0) + (ranking.neighbours or 0.0)


_OF_SPEC = ("session", "neighbours", "time", "asking")


def written_as_names(question: str, names: Sequence[str]) -> list[str]:
    """Return which of some words, in lower case, a question writes as names are written.

    A role may be a word too ("Data Analyst"), and a question about data is not one about the analyst. Scripts without
    small letters tell nothing.
    """
    written = {word.lower() for word in _NAMES.findall(question) if not word[0].islower()}
    return [name for name in names if name in written]


def without_names(question: str, names: Sequence[str]) -> str:
    """Return the question without some names: small models follow a name to whoever is addressed by it."""
    if not names:
        return question
    pattern = rf"\b(?:{'|'.join(map(re.escape, names))})(?:['\u2019]s)?\b"
    cut = re.sub(pattern, lambda found: found[0] if found[0][:1].islower() else " ", question, flags=re.IGNORECASE)
    rest = " ".join(cut.split())
    return rest if _NAMES.search(rest) else question
