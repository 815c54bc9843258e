"""LangGraph's store: what agents remember across threads, by namespace and key, and found by meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from langgraph.store.base import (
    BaseStore,
    GetOp,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchOp,
    TTLConfig,
)

from memorizz.errors import ConfigurationError, quoted
from memorizz.integrations._layout import ITEMS
from memorizz.integrations._providers import in_thread, made_again
from memorizz.integrations.langgraph import _items
from memorizz.integrations.langgraph._index import Index, MemorizzIndexConfig, Vectors, spec_of
from memorizz.integrations.langgraph._opened import Opened
from memorizz.integrations.langgraph._sweeper import Sweeper
from memorizz.memory_provider.options import MAX_LIMIT, Document

_NOTHING: tuple[Vectors, Vectors] = ({}, {})


@dataclass
class _Batch:
    """Operations by what they need: reads with their places among the results, puts by what they are put to."""

    count: int = 0
    gets: dict[int, GetOp] = field(default_factory=dict[int, GetOp])
    searches: dict[int, SearchOp] = field(default_factory=dict[int, SearchOp])
    listings: dict[int, ListNamespacesOp] = field(default_factory=dict[int, ListNamespacesOp])
    puts: dict[str, PutOp] = field(default_factory=dict[str, PutOp])


class MemorizzStore(Opened, BaseStore):
    """Keep the items of a LangGraph store in PostgreSQL.

    source: a connection string, a PostgreSQLConfig, or a provider on the sync API, which is left open; None is the
        server that the environment names, or the embedded one.
    index: what is searched by meaning, as LangGraph's IndexConfig (dims, embed, fields), with distance_type and
        ann_index_config as in its PostgresStore; None is nothing.
    ttl: LangGraph's TTLConfig. What has expired is in no answer, whether it has been swept or not.
    name: of the store in the provider; lower-case letters, digits and underscores.

    Every method has its async twin on the same object, which may be used by several threads and event loops at once.
    Raises ConfigurationError where the store is there with another index.
    """

    supports_ttl = True

    def __init__(
        self,
        source: object = None,
        *,
        index: MemorizzIndexConfig | None = None,
        ttl: TTLConfig | None = None,
        name: str = ITEMS,
    ) -> None:
        self.ttl_config = ttl
        self.index_config = index
        self._index = Index(index) if index is not None else None
        self._name = name
        self._sweeper = Sweeper(self.sweep_ttl)
        self._set_up(source, spec_of(name, index))
        # An item that is put by whoever does not search by meaning must not keep the vectors of another value.
        self._has_vectors = any(spec.name == name and spec.dimensions for spec in self.provider.stores())

    def setup(self) -> None:
        """Make what is missing in the database; done already when the object is made, and harmless again."""
        if self._index is None and any(spec.name == self._name for spec in self.provider.stores()):
            # Without an index any is as good: nothing is embedded and nothing searched by meaning.
            return
        super().setup()
        if self._index is not None:
            self._check_index(self._index)

    def _check_index(self, index: Index) -> None:
        """Note of what the vectors are, or compare it with what is noted."""
        noted = self.provider.retrieve_by_id(_items.NOTE, self._name)
        if noted is None:
            note = {"id": _items.NOTE, **index.noted}
            self.provider.store(note, self._name, if_absent=True)
            noted = self.provider.retrieve_by_id(_items.NOTE, self._name) or note
        index.check_noted(noted, self._name)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Perform operations and return their results in order; reads see what was there before the puts."""
        batch = _sorted(ops)
        texts, questions = self._to_embed(batch)
        vectors = self._index.embed(texts, questions) if self._index and (texts or questions) else _NOTHING
        return self._perform(batch, *vectors)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what `batch` does."""
        batch = _sorted(ops)
        texts, questions = self._to_embed(batch)
        vectors = await self._index.aembed(texts, questions) if self._index and (texts or questions) else _NOTHING
        return await in_thread(self._perform, batch, *vectors)

    def _to_embed(self, batch: _Batch) -> tuple[list[str], list[str]]:
        if self._index is None:
            return [], []
        texts = [text for op in batch.puts.values() for text in self._index.texts_of(op)]
        questions = [op.query for op in batch.searches.values() if op.query]
        return list(dict.fromkeys(texts)), list(dict.fromkeys(questions))

    def _perform(self, batch: _Batch, texts: Vectors, questions: Vectors) -> list[Result]:
        results: list[Result] = [None] * batch.count
        expiring: list[Document] = []
        ids = {place: _items.id_of(op.namespace, op.key) for place, op in batch.gets.items()}
        found = self._get({*ids.values()})
        for place, id in ids.items():
            if id in found:
                results[place] = _items.item_of(found[id])
                expiring += [found[id]] * batch.gets[place].refresh_ttl
        for place, op in batch.searches.items():
            hits = self._search(op, questions.get(op.query or ""))
            results[place] = [_items.found_of(document, score) for document, score in hits]
            expiring += [document for document, _ in hits] * op.refresh_ttl
        for place, op in batch.listings.items():
            results[place] = self._list(op)
        self._refresh(expiring)
        if batch.puts:
            self._put(batch.puts, texts)
        return results

    def _get(self, ids: set[str]) -> dict[str, Document]:
        if len(ids) > 1:
            found = self.provider.retrieve_by_query({"id": {"$in": sorted(ids)}}, self._name, len(ids))
        else:
            found = [self.provider.retrieve_by_id(id, self._name) for id in ids]
        return {document["id"]: document for document in found if document is not None}

    def _search(self, op: SearchOp, question: Sequence[float] | None) -> list[tuple[Document, float | None]]:
        if op.limit <= 0:
            return []
        wanted = [_items.within(op.namespace_prefix), *_items.filter_of(op.filter)]
        nearest: list[Document] = []
        if question is not None:
            query = {"$and": wanted, "embedding": question}
            nearest = self.provider.retrieve_by_query(query, self._name, op.offset + op.limit)
        hits: list[tuple[Document, float | None]] = [
            (document, document["_score"]) for document in nearest[op.offset :]
        ]
        if len(hits) < op.limit:
            # All that have a vector are there; those without follow.
            missing = [] if question is None else [{"embedding": {"$exists": False}}]
            rest = self.provider.retrieve_by_query(
                {"$and": [*wanted, *missing]},
                self._name,
                op.limit - len(hits),
                order_by="-updated_at",
                offset=max(0, op.offset - len(nearest)),
            )
            hits += [(document, None) for document in rest]
        return hits

    def _refresh(self, documents: Iterable[Document]) -> None:
        """Begin the time anew after which items expire that have been read."""
        ids = list({document["id"] for document in documents if document.get("ttl") is not None})
        if ids:
            self.provider.retrieve_by_query({"id": {"$in": ids}}, self._name, MAX_LIMIT, touch=True)

    def _list(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        wanted = [part for each in op.match_conditions or () for part in _items.matching(each.match_type, each.path)]
        filter = {"$and": [{}, *wanted]}
        if op.max_depth is None:
            # A column, in the order of its labels.
            paths = self.provider.distinct(self._name, "conversation_id", filter, op.limit, op.offset)
            return _items.namespaces_of(paths)
        cut = self.provider.distinct(self._name, "namespace", filter, op.limit, op.offset, depth=op.max_depth)
        return [tuple(labels) for labels in cut]

    @made_again
    def _put(self, puts: Mapping[str, PutOp], vectors: Vectors) -> None:
        documents = [self._document(id, op, vectors) for id, op in puts.items() if op.value is not None]
        gone = [id for id, op in puts.items() if op.value is None]
        if len(documents) == 1 and not gone:
            # One statement, where store_many would lock its rows first.
            self.provider.store(documents[0], self._name)
        elif not gone:
            self.provider.store_many(documents, self._name)
        elif not documents:
            self.provider.delete(self._name, {"id": {"$in": gone}})
        else:
            with self.provider.transaction() as transaction:
                transaction.delete(self._name, {"id": {"$in": gone}})
                transaction.store_many(documents, self._name)

    def _document(self, id: str, op: PutOp, vectors: Vectors) -> Document:
        texts = self._index.texts_of(op) if self._index else []
        return _items.document_of(id, op, texts, [vectors[text] for text in texts] if self._has_vectors else None)

    # --- expiry ---------------------------------------------------------------------------------------------------

    def sweep_ttl(self) -> int:
        """Remove the items that have expired from the database, and return how many."""
        return self.provider.purge_expired(self._name)

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> Future[None]:
        """Sweep now and then in a thread, until it is stopped or the store closed; the future ends with it.

        The interval is the one of the TTLConfig where none is given, and 5 minutes where that has none.
        """
        minutes = sweep_interval_minutes or (self.ttl_config or {}).get("sweep_interval_minutes") or 5
        return self._sweeper.start(minutes * 60)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the sweeper; True where none runs any more."""
        return self._sweeper.stop(timeout)

    def close(self) -> None:
        """Stop the sweeper, and give back the connections, unless the provider was given; twice is fine."""
        self._sweeper.stop(None)
        super().close()


def _sorted(ops: Iterable[Op]) -> _Batch:
    """Return operations by their kinds; of several puts of one key the last. Raises for what is no operation."""
    batch = _Batch()
    for place, op in enumerate(ops):
        batch.count = place + 1
        match op:
            case GetOp():
                _items.check_labels(op.namespace)
                batch.gets[place] = op
            case SearchOp():
                _items.check_labels(op.namespace_prefix)
                batch.searches[place] = op
            case ListNamespacesOp():
                for condition in op.match_conditions or ():
                    _items.check_labels(condition.path)
                batch.listings[place] = op
            case PutOp():
                _items.check_namespace(op.namespace)
                batch.puts[_items.id_of(op.namespace, op.key)] = op
            case _:
                raise ConfigurationError(f"{quoted(op)} is no operation of a store")
    return batch
