"""How many of the hits fit into a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider._documents import CONTENT, is_parts, text_of_parts
from memorizz.memory_provider._parts import texts_of
from memorizz.memory_provider.options import Hits, SearchOptions
from memorizz.memory_provider.stores import StoreSpec


def within_budget(found: Hits, options: SearchOptions, spec: StoreSpec) -> Hits:
    """Return the best hits whose texts fit into `max_tokens` together, at least one; and how many were left out."""
    if options.max_tokens is None or not found:
        return found
    count = options.count_tokens or estimated_tokens
    left, fitting = options.max_tokens, 0
    for hit in found:
        left -= _counted(count, text_of_hit(hit, spec))
        if left < 0 and fitting:
            break
        fitting += 1
    found.left_out = len(found) - fitting
    del found[fitting:]
    return found


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
