"""The options of a search, and the types that the contract names."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal, TypeGuard, cast

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider.memory_type import MemoryType, SevenStores

Document = dict[str, Any]
# Of a created store by any text.
StoreName = MemoryType | SevenStores | str
Filter = Mapping[str, Any]
# A question and its hits in, the same hits in a better order out.
Reranker = Callable[[str, list[Document]], "Iterable[Document] | Awaitable[Iterable[Document]]"]

_TWINS = {"_id": "id", "_score": "score", "_distance": "distance"}

# More than any score needs, and little enough for every sum of them.
LARGEST_WEIGHT = 1_000_000
MAX_EF_SEARCH = 1000  # pgvector's, whose name the option has
MAX_LIMIT = 1_000_000_000  # of documents: what stands for "all" where a limit is a number


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked_limit(limit: Any, name: str = "limit") -> int:
    """Return a limit; raises ConfigurationError unless it is a whole number in range."""
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 <= limit <= MAX_LIMIT:
        raise ConfigurationError(f"{name}={quoted(limit)}: expected a whole number from 0 to {MAX_LIMIT:,}")
    return limit


def check_flag(flag: Any, name: str) -> None:
    """Raise ConfigurationError unless a flag is True or False."""
    if not isinstance(flag, bool):
        raise ConfigurationError(f"{name}={quoted(flag)}: expected True or False")


def check_order(order_by: Any) -> None:
    """Raise ConfigurationError unless an order is a key, or one after a minus, or None."""
    if order_by is None:
        return
    key = order_by.removeprefix("-") if isinstance(order_by, str) else ""
    if not key or key.split(".")[0] == "embedding":
        raise ConfigurationError(
            f"order_by={quoted(order_by)}: expected the name of a key, or one after a minus for descending order, such "
            "as '-created_at'; a vector has no order"
        )


# The parts of a score, in the order in which a search returns them; and those that suit a store where nobody says them.
PARTS = ("meaning", "words", "speaker", "session", "recency", "importance", "neighbours", "time", "asking")
_OF_STORES = frozenset({"words", "speaker", "session", "neighbours", "time", "asking"})


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
    neighbours: times the best score of the hits just before and after in the same `conversation_id`. None is 0.05 for
        conversations.
    time: for a document that says when (yesterday, in May, last summer), where the question asks when. None is 0.05 for
        conversations, 0 with "rrf". There are words for English, German, French, Spanish and Italian, the schema's
        language.
    asking: taken off for a document that ends with a question mark: it asks what others answer. None is 0.05 for
        conversations, 0 with "rrf".

    The defaults are measured: docs/search.md. All but `meaning`, `recency` and `importance` apply where words are
    searched.
    """

    meaning: float = 0.7
    words: float | None = None
    fusion: Literal["score", "rrf"] = "score"
    speaker: float | None = None
    session: float | None = None
    recency: float = 0.0
    half_life: float = 30.0
    importance: float = 0.0
    neighbours: float | None = None
    time: float | None = None
    asking: float | None = None

    def __post_init__(self) -> None:
        if self.fusion not in ("score", "rrf"):
            raise ConfigurationError(f"fusion={quoted(self.fusion)}: expected 'score' or 'rrf'")
        for name in (*PARTS, "half_life"):
            weight = getattr(self, name)
            if weight is None and name in _OF_STORES:
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
    touch: count the hits as accessed (`access_count`, `last_accessed`), in a round trip more; those with a `ttl` expire
        so long after it.
    order_by: the key that documents are ordered by where nothing ranks, "-key" for descending ("-created_at": newest
        first). Numbers come before texts, which are ordered by code point, and those before booleans; what is none of
        them or a time, and a missing key, comes last either way. Of equals, what was stored first comes first, and
        last in descending order. With a query that ranks it is a ConfigurationError.
    offset: leave out so many of the first hits; of ranked ones too, of which `limit` more are found all the same. Pages
        of one `limit` fit each other, as far as 50 hits or five times the limit; of those ranked by a score of several
        parts, more are scored for a page further back, where one may come twice or on none.
    max_tokens: of the `limit` hits, keep the best whose `content`, with the texts of the store's `fields`, fits into so
        many tokens together, at least one; the first that does not fit ends them. `left_out` of the returned Hits says
        how many were left out for it.
    count_tokens: says how many tokens a text has, for `max_tokens`; what it raises is raised. Without it a token is
        four bytes of UTF-8, about right for English.
    rerank: puts the best hits in a better order: it is given the question and copies of the hits, and returns each of
        those once. What raises, takes too long, or returns anything else changes nothing: the hits stay in the order of
        their scores, and `rerank_failure` of the returned Hits says why. It runs in a thread; an async provider awaits
        one that is to be awaited.
    rerank_limit: how many of the best hits `rerank` is given; the others stay behind them.
    rerank_timeout: for so many seconds it is waited for; with 0 it is not called. What hangs goes on in its thread.
    diverse: above 0, hits that are like one before them stand further behind, from 0 to 1 ever more so (maximal
        marginal relevance): each next one is that with the most of (1 - diverse) * relevance - diverse * likeness. The
        relevance is the score, 0 for the least and 1 for the best of those looked at, or the place that `rerank` gave;
        the likeness is the largest cosine similarity to a hit before it. A hit without a vector is like none. Fifty
        hits are looked at, or four times as many as are wanted, up to 1,000.
    unique: of hits with equal texts by the same speaker (`role`) or with the same `name`, return the best alone; the
        ids of the others are in its `_equal`. Where a value that the filter asks for differs, as `memory_id` in
        `{"memory_id": {"$in": [...]}}`, hits are not equal; for order operators and `$exists` they may be. Of 1,000
        hits at most.
    ended: find also what has ended, by its `valid_until`, and what does not hold yet, by its `valid_from`. A view of a
        time asks what held then.
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
    order_by: str | None = None
    offset: int = 0
    max_tokens: int | None = None
    count_tokens: Callable[[str], int] | None = None
    rerank: Reranker | None = None
    rerank_limit: int = 50
    rerank_timeout: float = 1.0
    diverse: float = 0.0
    unique: bool = False
    ended: bool = False
    explain: bool | Literal["plan"] = False

    def __post_init__(self) -> None:
        for name in ("include_embedding", "exact", "touch", "unique", "ended"):
            check_flag(getattr(self, name), name)
        if self.ef_search is not None and not 1 <= checked_limit(self.ef_search, "ef_search") <= MAX_EF_SEARCH:
            raise ConfigurationError(f"ef_search={self.ef_search}: expected 1 to {MAX_EF_SEARCH}")
        ranking, score, explain = cast("tuple[object, object, object]", (self.ranking, self.min_score, self.explain))
        if ranking is not None and not isinstance(ranking, Ranking):
            raise ConfigurationError(f"ranking: expected a Ranking, got {type(ranking).__name__}")
        if score is not None and not (is_number(score) and abs(score) <= LARGEST_WEIGHT):
            raise ConfigurationError(f"min_score={quoted(score)}: expected a finite number")
        checked_limit(self.context, "context")
        checked_limit(self.offset, "offset")
        check_order(self.order_by)
        if self.max_tokens is not None:
            checked_limit(self.max_tokens, "max_tokens")
        counter: object = self.count_tokens
        if counter is not None and (not callable(counter) or inspect.iscoroutinefunction(counter)):
            raise ConfigurationError("count_tokens: expected an ordinary function that takes a text and returns an int")
        if counter is not None and self.max_tokens is None:
            raise ConfigurationError("count_tokens: it counts for max_tokens, which is not given")
        if not isinstance(explain, bool) and explain != "plan":
            raise ConfigurationError(f"explain={quoted(explain)}: expected True, False or 'plan'")
        self._check_choice()

    def _check_choice(self) -> None:
        if self.rerank is not None and not callable(cast(object, self.rerank)):
            raise ConfigurationError(
                f"rerank: expected a function of a question and hits, got {type(self.rerank).__name__}"
            )
        if checked_limit(self.rerank_limit, "rerank_limit") == 0:
            raise ConfigurationError("rerank_limit=0: expected a whole number above 0; without rerank none is asked")
        seconds, diverse = cast("tuple[object, object]", (self.rerank_timeout, self.diverse))
        if not (is_number(seconds) and 0 <= seconds <= LARGEST_WEIGHT):
            raise ConfigurationError(
                f"rerank_timeout={quoted(seconds)}: expected a number of seconds from 0 to {LARGEST_WEIGHT:,}"
            )
        if not (is_number(diverse) and 0 <= diverse <= 1):
            raise ConfigurationError(f"diverse={quoted(diverse)}: expected a number from 0 to 1")


_DEFAULTS = SearchOptions()


def search_options(options: SearchOptions | None, **keywords: Any) -> SearchOptions:
    """Return options in which each keyword that is not the default of its field stands in its place."""
    if options is None:
        options = _DEFAULTS
    elif not isinstance(cast(object, options), SearchOptions):
        raise ConfigurationError(f"options: expected SearchOptions, got {type(options).__name__}")
    given: dict[str, Any] = {}
    for name, value in keywords.items():
        default = getattr(_DEFAULTS, name)
        # An equal number that is no float, as 0 or False, is for the checks to judge.
        if value is not default and not (type(value) is type(default) is float and value == default):
            given[name] = value
    return replace(options, **given) if given else options


class Call:
    """A call of any method but `iterate`, to be made with others by `run_many`: `Call("retrieve_by_id", id, store)`.

    A later call sees what an earlier one has written. Calls that follow each other go to PostgreSQL in one round trip
    where each is one statement: reads by id, name, filter or conversation, counts, `distinct`, deletes, updates of what
    is not embedded, `store` without an id. MongoDB makes them one after the other, in a transaction. What is to be
    embedded is embedded while the transaction is open, save what `embedded` has embedded before. An iterator among the
    arguments is read at once, for a call may have to be made again.
    """

    __slots__ = ("args", "kwargs", "method")

    def __init__(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        self.method = method
        self.args = tuple(map(_read, args))
        self.kwargs = {name: _read(value) for name, value in kwargs.items()}


def _read(argument: Any) -> Any:
    return list(cast("Iterator[Any]", argument)) if isinstance(argument, Iterator) else argument


class Hits(list[Document]):
    """The documents that a query found.

    `explanation` says how, where it was asked for; `left_out` how many more there were that `max_tokens` left out;
    `rerank_failure` why they are not in the order of `rerank`, None where they are or it was not given.
    """

    explanation: dict[str, Any] | None = None
    left_out: int = 0
    rerank_failure: str | None = None


NOT_REACHED = (
    "files written by export and dump, and other stores that memories were copied to",
    "backups, archived write-ahead log, snapshots, and replicas that are not up to date",
    "the server's own dead rows until it has vacuumed them",
    "what a program or a model that has read the documents has kept",
)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a provider can be called now.

    error: why it cannot: the class of an error, a colon, and its message, which names the server and no secret.
    server: the product and its version; None where it did not answer.
    pending: how many migrations the schema lacks; None where that is not known, and in MongoDB.
    pool: the connections that are `open`, those of them that are `idle`, the `most` there may be, and how many calls
        are `waiting` for one; None in MongoDB, and where the provider is not open.
    seconds: how long it took to find out.
    """

    error: str | None
    seconds: float
    server: str | None = None
    pending: int | None = None
    pool: Mapping[str, int] | None = None

    @property
    def ok(self) -> bool:
        """Whether it can."""
        return self.error is None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        pool = None if self.pool is None else dict(self.pool)
        return {"ok": self.ok, "error": self.error, "server": self.server, "pending": self.pending, "pool": pool,
                "seconds": round(self.seconds, 6)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was forgotten, or in a dry run what would be.

    deleted: how many documents of each store, the stores that had some.
    versions: how many versions that had ended, of each store whose history has had some.
    agents: the ids of the agents whose `memory_ids` the memory was taken out of.
    digest: the SHA-256, in hexadecimal digits, of the lines "store, tab, id" of those documents, sorted by their code
        points and each ended by a newline: who has kept a list of ids can show that these were the ones.
    at: when.
    by: who, as the caller has said it.
    left: how many matching documents were there when it was done, stored by others meanwhile, or in others' hands; None
        in a dry run.
    not_reached: where copies may be that it has not reached.
    """

    deleted: Mapping[str, int]
    versions: Mapping[str, int]
    agents: Sequence[str]
    digest: str
    at: datetime
    by: str | None
    dry_run: bool
    left: int | None
    not_reached: Sequence[str]

    @property
    def documents(self) -> int:
        """How many documents of all stores."""
        return sum(self.deleted.values())

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it; the time as ISO 8601."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"at": self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Documents of a memory that say the same as another one of it.

    kept: the id of that one, the newest, which `consolidate` keeps.
    others: the ids of the others, each with its cosine similarity to that one, the most similar first; 1 is an equal
        text.
    """

    kept: str
    others: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Consolidation:
    """What was merged, or in a dry run what would be.

    groups: what was merged into what.
    call: what `undo` takes it back by; None in a dry run, and where nothing was merged.
    """

    groups: Sequence[Duplicates]
    call: str | None
    dry_run: bool

    @property
    def merged(self) -> int:
        """How many documents were merged into others."""
        return sum(len(group.others) for group in self.groups)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Version:
    """What a document was for some time.

    number: tells it from the others of its store; later versions have greater ones. 0 is what the history began with.
    since: from when on; None for what the history began with.
    until: when it was changed again; None for what stands in the store.
    operation: what made it: "insert", "update", "delete", "restore", "undo", "consolidate",
        "policy" or "forget"; None where `since` is.
    actor: in whose name, as `acting` has it.
    call: what else was changed in the same call or transaction has the same.
    document: as it was; None where it was deleted, or has been forgotten since.
    """

    number: int
    since: datetime | None
    until: datetime | None
    operation: str | None
    actor: str | None
    call: str | None
    document: Document | None


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
