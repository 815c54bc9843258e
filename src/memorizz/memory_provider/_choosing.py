"""Which of the hits that a search has scored are returned: equal ones once, reranked, diverse, fit for a prompt.

The same for every provider: it says how many it looks at, and is given them with their scores.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider._documents import CONTENT, EMBEDDING, is_parts, text_of_parts
from memorizz.memory_provider._filters import All, Either, Field, Node, Not, parsed
from memorizz.memory_provider._parts import texts_of
from memorizz.memory_provider._questions import Question
from memorizz.memory_provider._reranker import Order, Rerank
from memorizz.memory_provider.options import Document, Hits, SearchOptions
from memorizz.memory_provider.stores import StoreSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger("memorizz.search")

# How many hits are looked at where some of them may be passed over: so many, or so many times what is wanted.
_LOOKED_AT, _TIMES = 50, 4
_MOST_LOOKED_AT = 1000

# Returns the hits of a search up to the first number, from the second on, each with the spec of its store.
Found = Sequence[tuple[StoreSpec, Document]]
Find = Callable[[int, int], Generator[Any, Any, Found]]


def looked_at(question: Question) -> int:
    """Return how many of the best hits are to be found."""
    options, wanted = question.options, question.reach
    if wanted and options.rerank is not None:
        wanted = max(wanted, options.rerank_limit)
    if wanted and (options.unique or options.diverse):
        # By the limit alone: the next page is chosen from the same hits, as far as they go.
        wanted = max(wanted, min(max(_LOOKED_AT, _TIMES * question.limit), _MOST_LOOKED_AT))
    return wanted


def searched(options: SearchOptions) -> SearchOptions:
    """Return the options of the search itself, whose hits carry what is chosen by."""
    return replace(options, include_embedding=True) if options.diverse and not options.include_embedding else options


def chosen(question: Question, find: Find) -> Generator[Any, Any, Hits]:
    """Return the hits of a question behind its offset, as many as fit into its `max_tokens`.

    Their explanation says how they were chosen, if asked to.
    """
    options, said = question.options, dict[str, Any]()
    if not (options.unique or options.rerank is not None or options.diverse):
        return _within_budget((yield from find(question.reach, options.offset)), options)
    found = yield from find(looked_at(question), 0)
    failure: str | None = None
    if options.unique:
        found = yield from _unique(found, question, find, said)
    relevance = _shares([hit.get("_score", 0.0) for _, hit in found])
    if options.rerank is not None and found:
        given = [hit for _, hit in found[: options.rerank_limit]]
        order = yield from _reranked(given, question)
        failure, places = order.failure, [*order.places, *range(len(order.places), len(found))]
        if failure is None:
            relevance = _shares(range(len(found), 0, -1))
        said["rerank"] = {"hits": len(given), "seconds": order.seconds, "failure": failure}
        found = [found[place] for place in places]
    if options.diverse:
        found = _diverse(found, relevance, question, said)
    hits = _within_budget(found[options.offset : question.reach], options)
    if not options.include_embedding:
        for hit in hits:
            hit.pop(EMBEDDING, None)
    hits.rerank_failure = failure
    hits.explanation = said if options.explain else None
    return hits


def _shares(scores: Sequence[float]) -> list[float]:
    """Return numbers as shares of the way from the least of them to the largest."""
    least, most = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - least) / (most - least) if most > least else 1.0 for score in scores]


# --- reranked -----------------------------------------------------------------------------------------------------


def _reranked(hits: Sequence[Document], question: Question) -> Generator[Rerank, Order, Order]:
    assert question.options.rerank is not None
    text = question.text or question.words or ""
    order = yield Rerank(question.options.rerank, text, hits, question.options.rerank_timeout)
    if order.failure is not None:
        logger.warning("the hits are in the order of their scores: %s", order.failure)
    return order


# --- equal ones once ----------------------------------------------------------------------------------------------


def _unique(found: Found, question: Question, find: Find, said: dict[str, Any]) -> Generator[Any, Any, Found]:
    """Return the best of hits that are equal; looks at more where too few are left, and there are more."""
    size, fields = looked_at(question), list(_asked_by(parsed(question.filter)))
    while True:
        best: dict[Any, tuple[StoreSpec, Document]] = {}
        others: dict[Any, list[str]] = {}
        for place, (spec, hit) in enumerate(found):
            text = text_of_hit(hit, spec)
            key = (text, hit.get(spec.label), *(_value(hit, field) for field in fields)) if text.strip() else place
            if best.setdefault(key, (spec, hit))[1] is not hit:
                others.setdefault(key, []).append(hit["id"])
        if len(best) >= question.reach or len(found) < size or size >= _MOST_LOOKED_AT:
            break
        size = min(_TIMES * size, _MOST_LOOKED_AT)
        found = yield from find(size, 0)
    for key, ids in others.items():
        best[key][1]["_equal"] = ids
    said["unique"] = {"looked_at": len(found), "equal": len(found) - len(best)}
    return list(best.values())


def _asked_by(node: Node) -> Iterator[Field]:
    """Yield what a filter asks a value of, not only how large it is or whether it is there."""
    if isinstance(node, All | Either):
        for part in node.parts:
            yield from _asked_by(part)
    elif isinstance(node, Not):
        yield from _asked_by(node.part)
    elif node.operator not in ("$exists", "$gt", "$gte", "$lt", "$lte"):
        yield node.field


def _value(hit: Mapping[str, Any], field: Field) -> str:
    value: Any = hit
    for step in field.steps:
        value = cast("Mapping[Any, Any]", value).get(step) if isinstance(value, Mapping) else None
    return json.dumps(value, default=str, sort_keys=True)


# --- diverse ------------------------------------------------------------------------------------------------------


def _diverse(found: Found, relevance: Sequence[float], question: Question, said: dict[str, Any]) -> Found:
    """Return hits in the order of maximal marginal relevance, as many as are wanted (Carbonell and Goldstein 1998)."""
    import numpy as np

    vectors = _directions([hit for _, hit in found])
    diverse = question.options.diverse
    left, likeness = np.array(relevance) * (1 - diverse), np.zeros(len(found))
    order: list[int] = []
    for _ in range(min(question.reach, len(found))):
        # Of equals, the first.
        place = int(np.argmax(left - diverse * likeness))
        order.append(place)
        left[place] = -np.inf
        likeness = np.maximum(likeness, vectors @ vectors[place])
    said["diverse"] = {"looked_at": len(found), "without_vector": int((~vectors.any(axis=1)).sum())}
    return [found[place] for place in order]


def _directions(hits: Sequence[Document]) -> NDArray[np.float64]:
    """Return the direction of each hit's vector, of several their mean; zeros where it has none of this length."""
    import numpy as np

    means = [_mean(hit.get(EMBEDDING)) for hit in hits]
    length = next((len(mean) for mean in means if mean is not None), 0)
    directions = np.zeros((len(hits), length))
    for place, mean in enumerate(means):
        if mean is not None and len(mean) == length:
            directions[place] = mean
    return directions


def _mean(embedding: Any) -> NDArray[np.float64] | None:
    """Return the direction of a vector, or of those of a document's parts together; None where there is none."""
    if not isinstance(embedding, list) or not embedding:
        return None
    import numpy as np

    vectors = cast("list[Any]", embedding)
    vectors = [part.get(EMBEDDING) for part in vectors] if isinstance(vectors[0], dict) else [vectors]
    try:
        array = np.array(vectors, dtype=np.float64)
    except (TypeError, ValueError):
        # Another program's.
        return None
    with np.errstate(all="ignore"):
        units = array / np.linalg.norm(array, axis=1, keepdims=True)
        mean = units.mean(axis=0)
        mean = mean / np.linalg.norm(mean)
    return mean if np.isfinite(mean).all() else None


# --- within a budget ----------------------------------------------------------------------------------------------


def _within_budget(found: Found, options: SearchOptions) -> Hits:
    """Return the best hits whose texts fit into `max_tokens` together, at least one; and how many were left out."""
    hits = Hits([hit for _, hit in found])
    if options.max_tokens is None:
        return hits
    count = options.count_tokens or estimated_tokens
    left, fitting = options.max_tokens, 0
    for spec, hit in found:
        left -= _counted(count, text_of_hit(hit, spec))
        if left < 0 and fitting:
            break
        fitting += 1
    hits.left_out = len(hits) - fitting
    del hits[fitting:]
    return hits


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has: one for each four bytes of it in UTF-8."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def _counted(count: Callable[[str], int], text: str) -> int:
    tokens = cast(object, count(text))
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise ConfigurationError(f"count_tokens returned {quoted(tokens)}: expected a whole number of at least 0")
    return tokens


def text_of_hit(hit: Mapping[str, Any], spec: StoreSpec) -> str:
    """Return the content of a hit and what else of it is embedded."""
    texts = texts_of(spec, hit, "replace")
    content: Any = hit.get(CONTENT)
    if is_parts(content):
        content = text_of_parts(content)
    if isinstance(content, str):
        texts.setdefault(CONTENT, content)
    return "\n".join(texts.values())
