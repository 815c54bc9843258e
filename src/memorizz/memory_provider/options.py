"""The options of a search, and the types that the contract names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeGuard, cast

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider.memory_type import MemoryType, SevenStores

Document = dict[str, Any]
# Of a created store by any text.
StoreName = MemoryType | SevenStores | str
Filter = Mapping[str, Any]

_TWINS = {"_id": "id", "_score": "score", "_distance": "distance"}

# More than any score needs, and little enough for every sum of them.
LARGEST_WEIGHT = 1_000_000
MAX_EF_SEARCH = 1000  # pgvector's, whose name the option has
_MAX_LIMIT = 1_000_000_000


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked_limit(limit: Any, name: str = "limit") -> int:
    """Return a limit; raises ConfigurationError unless it is a whole number in range."""
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= _MAX_LIMIT:
        raise ConfigurationError(f"{name}={quoted(limit)}: expected a whole number from 0 to {_MAX_LIMIT:,}")
    return limit


def check_flag(flag: Any, name: str) -> None:
    """Raise ConfigurationError unless a flag is True or False."""
    if not isinstance(flag, bool):
        raise ConfigurationError(f"{name}={quoted(flag)}: expected True or False")


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Weigh the parts of a hit's score; 0 leaves a part out.

    A hit's score is the sum of its parts. With `embedding` alone and no other part it is the cosine similarity.

    meaning: times the cosine similarity to the query's vector.
    words: times the text score (ts_rank) as a share of the best one. None is 0.3 where the embedder got the
        question, 0.6 where the query has its vector, 1 where no vector ranks.
    fusion: "score" adds the parts as above; "rrf" puts 1 / (10 + rank) in the place of either share (reciprocal rank
        fusion, Cormack et al. 2009).
    speaker: for a document whose `role` the query names. None is 0.05 for conversations where the name was cut out of
        the text that the embedder got, else 0.
    session: times the best score in the same `conversation_id`. None is 0.4 for conversations.
    recency: times 0.5 ** (age in days / half_life); the age of `timestamp`, or else of `created_at`.
    importance: times `importance_score`.

    The defaults are measured: docs/search.md. `speaker` and `session` apply where words are searched.
    """

    meaning: float = 0.7
    words: float | None = None
    fusion: Literal["score", "rrf"] = "score"
    speaker: float | None = None
    session: float | None = None
    recency: float = 0.0
    half_life: float = 30.0
    importance: float = 0.0

    def __post_init__(self) -> None:
        if self.fusion not in ("score", "rrf"):
            raise ConfigurationError(f"fusion={quoted(self.fusion)}: expected 'score' or 'rrf'")
        for name in ("meaning", "words", "speaker", "session", "recency", "importance", "half_life"):
            weight = getattr(self, name)
            if weight is None and name in ("words", "speaker", "session"):
                continue
            if not is_number(weight) or not 0 <= weight <= LARGEST_WEIGHT:
                raise ConfigurationError(f"{name}={quoted(weight)}: expected a number from 0 to {LARGEST_WEIGHT:,}")
        if self.half_life < 1e-6:
            raise ConfigurationError(f"half_life={quoted(self.half_life)}: expected a number of days of at least 1e-6")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """Say how `retrieve_by_query` searches and what it returns.

    include_embedding: hits carry their `embedding`.
    exact: compare every candidate and use no approximate index.
    ef_search: how many rows the index looks at (1 to 1,000); chosen by `limit` and filter where it is not given.
    ranking: the weights of the parts of the score.
    min_score: leave out hits below it.
    context: for conversations, the number of turns before and after each hit, in its `_context`.
    touch: count the hits as accessed (`access_count`, `last_accessed`), in a round trip more.
    explain: put the parts of each score in the hit's `_explanation` and the way of the search in the list's
        `explanation`; "plan" adds PostgreSQL's EXPLAIN (ANALYZE) of the statement, which runs it once more.

    Raises ConfigurationError for a value out of range or of another type.
    """

    include_embedding: bool = False
    exact: bool = False
    ef_search: int | None = None
    ranking: Ranking | None = None
    min_score: float | None = None
    context: int = 0
    touch: bool = False
    explain: bool | Literal["plan"] = False

    def __post_init__(self) -> None:
        for name in ("include_embedding", "exact", "touch"):
            check_flag(getattr(self, name), name)
        if self.ef_search is not None and not 1 <= checked_limit(self.ef_search, "ef_search") <= MAX_EF_SEARCH:
            raise ConfigurationError(f"ef_search={self.ef_search}: expected 1 to {MAX_EF_SEARCH}")
        ranking, score, explain = cast("tuple[object, object, object]", (self.ranking, self.min_score, self.explain))
        if ranking is not None and not isinstance(ranking, Ranking):
            raise ConfigurationError(f"ranking: expected a Ranking, got {type(ranking).__name__}")
        if score is not None and not (is_number(score) and abs(score) <= LARGEST_WEIGHT):
            raise ConfigurationError(f"min_score={quoted(score)}: expected a finite number")
        checked_limit(self.context, "context")
        if not isinstance(explain, bool) and explain != "plan":
            raise ConfigurationError(f"explain={quoted(explain)}: expected True, False or 'plan'")


_DEFAULTS = SearchOptions()


def search_options(options: SearchOptions | None, **keywords: Any) -> SearchOptions:
    """Return options in which each keyword that is not the default of its field stands in its place."""
    if options is None:
        options = _DEFAULTS
    elif not isinstance(cast(object, options), SearchOptions):
        raise ConfigurationError(f"options: expected SearchOptions, got {type(options).__name__}")
    given = {name: value for name, value in keywords.items() if value is not getattr(_DEFAULTS, name)}
    return replace(options, **given) if given else options


class Hits(list[Document]):
    """The documents that a query found; `explanation` says how, where it was asked for."""

    explanation: dict[str, Any] | None = None


def without_twins(document: Mapping[str, Any]) -> Document:
    """Return a document, or a hit, without the keys that say a thing again: `_id`, `_score`, `_distance`.

    Each is left out where the same value stands in `id`, `score` or `distance`; where a key of the document's own has
    that name, both are kept. The turns of `_context` are treated alike. The document itself is not changed.

    For a model's prompt or an API's answer. What is to be stored back is the hit itself: without the underscored ones
    `score` and `distance` would be taken for the document's own.
    """
    plain = {
        key: value for key, value in document.items() if not (key in _TWINS and document.get(_TWINS[key]) == value)
    }
    if isinstance(context := plain.get("_context"), Mapping):
        turns = cast("Mapping[str, list[Document]]", context)
        plain["_context"] = {side: [without_twins(turn) for turn in some] for side, some in turns.items()}
    return plain
