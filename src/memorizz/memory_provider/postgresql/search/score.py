"""What becomes of the rows of a search: hits with their scores, of one store or of several together."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from memorizz.memory_provider._questions import supported
from memorizz.memory_provider.options import PARTS
from memorizz.memory_provider.postgresql._steps import Row
from memorizz.memory_provider.postgresql.facts import Store
from memorizz.memory_provider.postgresql.rows import document_of, document_with_embedding
from memorizz.memory_provider.postgresql.search.plan import Search
from memorizz.memory_provider.postgresql.search.sql import BY_PART, DISTANCE, NEAREST_PART, SCORE

Document = dict[str, Any]


def hits(store: Store, search: Search, rows: Sequence[Row], explain: bool = False) -> list[Document]:
    """Return the documents of a search, with their score and, where a vector ranked, their distance.

    What scores too little comes from the server all the same: a route that found it has found enough.
    """
    read = document_with_embedding if search.options.include_embedding else document_of
    least = search.options.min_score
    is_cosine = store.spec.distance == "cosine"
    found: list[Document] = []
    for row in rows:
        document = read(row)
        distance, score, parts = row[DISTANCE], row[SCORE], row[BY_PART]
        if distance is not None:
            document["_distance"] = distance
            document.setdefault("distance", distance)
            if store.has_parts and (part := row[NEAREST_PART]) is not None:
                document["_part"] = part
            if score is None:
                score = 1.0 - distance if is_cosine else store.spec.score(distance)
                parts = (score,)
        if least is not None and score < least:
            continue
        document["_score"] = score
        document.setdefault("score", score)
        if explain:
            document["_explanation"] = {part: value for part, value in zip(PARTS, parts or (), strict=False) if value}
        found.append(document)
    return found


_WORDS, _SESSION = PARTS.index("words"), PARTS.index("session")


def merged(search: Search, found: Sequence[tuple[Store, Sequence[Row]]]) -> list[tuple[Store, Document]]:
    """Return the best documents of several stores, each with its store.

    A store's text scores are shares of its own best; to be compared they become shares of the best of all. The part of
    the session, which only some stores have, is divided out: else no fact stands before the turns of a conversation.
    """
    best = max((row[BY_PART][-1] or 0.0 for _, rows in found for row in rows if row[BY_PART]), default=0.0)
    scored: list[tuple[float, float, float, Store, Row]] = []
    for store, rows in found:
        for row in rows:
            score, parts = row[SCORE], row[BY_PART]
            if score is None:
                score = store.spec.score(row[DISTANCE])
            share = (parts[-1] or 0.0) / best if parts and best else 1.0
            support = supported(search.ranking, store.spec) if parts and parts[_SESSION] and len(found) > 1 else 1.0
            if share != 1.0:
                score -= parts[_WORDS] * (1 - share)
            scored.append((score / support, share, support, store, row))
    scored.sort(key=itemgetter(0), reverse=True)
    documents: list[tuple[Store, Document]] = []
    # Only of those that are returned a document is made.
    for score, share, support, store, row in scored[: search.limit]:
        for document in hits(store, search, [row], bool(search.options.explain)):
            if document["score"] == document["_score"]:
                document["score"] = score
            document["_score"] = score
            if told := document.get("_explanation"):
                of_all = {part: value * (share if part == "words" else 1.0) / support for part, value in told.items()}
                document["_explanation"] = of_all
            documents.append((store, document))
    return documents
