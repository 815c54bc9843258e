"""The contract on the async API: what can be done with memories. No IO and no SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal, overload

from memorizz.errors import ConfigurationError
from memorizz.memory_provider._agents import agent_document, agent_memories, agent_with_id
from memorizz.memory_provider._arguments import text_document
from memorizz.memory_provider.options import (
    Call,
    Consolidation,
    Document,
    Duplicates,
    Filter,
    Hits,
    Ranking,
    Receipt,
    Reranker,
    SearchOptions,
    StoreName,
    Version,
    check_flag,
    check_order,
    search_options,
)
from memorizz.memory_provider.scopes import EVERYTHING, Scope
from memorizz.memory_provider.stores import AGENTS, FACTS


class AsyncMemoryOperations(ABC):
    """What can be done with memories, in a provider and inside its transaction.

    Every method takes a MemoryType or its value; anything else is a ConfigurationError that lists the seven. Every
    returned document carries its id as `id` and as `_id`, and no embedding unless `include_embedding=True`. Documents
    whose `expires_at` has passed are in no read.

    A method runs the operation of its name. To implement the contract is to name the module of the `operations`,
    which has a generator function for each, and to run them.
    """

    operations: ClassVar[Any]
    # What a view of these memories can be narrowed to.
    _scoped_by: ClassVar[Sequence[str]] = ()
    # For whom its calls are; a view has one of its own.
    scope: Scope = EVERYTHING

    @abstractmethod
    async def run(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation; each of its steps is a transaction of its own unless one is open."""

    @abstractmethod
    async def run_in_transaction(self, operation: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run an operation in one transaction."""

    def tenant(self, name: str, *, max_limit: int | None = None) -> AsyncMemoryOperations:
        """Return a view of the documents of one tenant, with the same methods: what is of no other tenant's business.

        Whatever a call is given, it reads, changes and deletes documents of this tenant alone. Equal ids of two tenants
        are two documents. Documents that are stored without a view are of no tenant, and in no view of one. A document
        with another `tenant` is InvalidDocument.

        max_limit: the most that a call returns where it takes a limit; also where it is given none.

        Raises ConfigurationError for what is no name, in a view of another tenant or of a memory, and where the
        provider keeps no tenants apart.
        """
        return self._view(EVERYTHING.of_tenant(name, max_limit))

    def memory(self, name: str, *, agent: str | None = None, max_limit: int | None = None) -> AsyncMemoryOperations:
        """Return a view of one memory, the documents with this `memory_id`, with the same methods.

        Whatever a call is given, it reads, changes and deletes documents of this memory alone, and what it stores is
        of it. An id is one document's in a tenant: to store under an id that another memory has is InvalidDocument, as
        is a document with another `memory_id`; an argument `memory_id` that is another is ConfigurationError.

        agent: narrows it to the documents with this `agent_id`, which what is stored gets too; another `agent_id` in a
            document is InvalidDocument, as is an id that another agent has in the memory.
        max_limit: as of `tenant`.

        Raises ConfigurationError for what is no name, in a view of another memory or agent, and where the provider has
        no such views.
        """
        return self._view(EVERYTHING.of_memory(name, agent, max_limit))

    def acting(self, actor: str, call: str | None = None) -> AsyncMemoryOperations:
        """Return a view with the same methods, whose changes the history has as those of an actor.

        call: what `undo` takes back together; by default each transaction is one.

        Raises ConfigurationError for what is no name, and where the provider keeps no history.
        """
        return self._view(EVERYTHING.of_actor(actor, call))

    def at(self, time: datetime | str) -> AsyncMemoryOperations:
        """Return a view of what there was at a time, with the same methods; those that change something raise
        ReadOnlyError.

        Filters, words and vectors find what they would have found then; vectors are all compared, without an index. A
        change counts from when its statement began, by the server's clock. Each call raises ConfigurationError for a
        store of which no history is kept, and for a time before it begins.
        """
        return self._view(EVERYTHING.of_time(time))

    def after(self, position: str) -> AsyncMemoryOperations:
        """Return a view with the same methods, whose reads miss nothing that was written before a position.

        position: what `position()` of a provider returned, in this program or another one.

        With `replicas` in the configuration, a read goes to one that has replayed the log up to there, else to the
        primary, where there is nothing to be missed. Raises ConfigurationError for what is no position, and where the
        provider has none.
        """
        return self._view(EVERYTHING.of_position(position))

    def _view(self, scope: Scope) -> AsyncMemoryOperations:
        """Return a view of what is in a scope."""
        from memorizz.memory_provider.base._views_async import AsyncView

        return AsyncView(self, scope)

    @overload
    async def store(
        self, data: Mapping[str, Any], memory_store_type: StoreName, *, if_absent: Literal[False] = False
    ) -> str: ...

    @overload
    async def store(self, data: Mapping[str, Any], memory_store_type: StoreName, *, if_absent: bool) -> str | None: ...

    @overload
    async def store(self, data: Mapping[str, Any], memory_store_type: StoreName, *, supersedes: Any) -> str: ...

    async def store(
        self,
        data: Mapping[str, Any],
        memory_store_type: StoreName,
        *,
        if_absent: bool = False,
        supersedes: Any = None,
    ) -> str | None:
        """Store a document and return its id.

        Without `id` or `_id` a new document is inserted, under a new UUIDv7. With one of them the document is inserted
        under that id, or, where it exists, the given keys are merged into it: keys not given stay, `updated_at`
        moves, `created_at` does not. `embedding` is a list, tuple or numpy array of the store's dimensions; None
        clears it. The caller's dict is not changed.

        `ttl`, seconds or a timedelta, has the document expire so long after this, by the server's clock, and after each
        read with `touch=True`; it is kept as seconds, and None ends it. An `expires_at` beside it is InvalidDocument,
        save in a document that was read and brings its `created_at`: then both are kept as they are.

        `valid_from` and `valid_until` say when what the document says holds: before the one and from the other on it is
        in no search, unless that asks for it (`ended=True`). Everything else has it: reads by id, lists, counts.

        if_absent: where a document of that id exists, nothing of it is changed, and the answer is None; of several
            callers at once, one gets the id.
        supersedes: the id of a document of the same memory that ends where this one begins, at its `valid_from` or else
            now, or where it had ended before; its `superseded_by` is the id of this one. Both or neither.

        Raises InvalidDocument, with the key path, for a value that cannot be kept, and for an id to supersede that
        there is not; DimensionMismatch for an embedding of another length.
        """
        check_flag(if_absent, "if_absent")
        if supersedes is None:
            return await self.run(self.operations.store, data, memory_store_type, if_absent=if_absent)
        if if_absent:
            raise ConfigurationError("if_absent, supersedes: expected one of the two")
        return await self._supersede([data], memory_store_type, supersedes)

    async def _supersede(
        self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName, supersedes: Any
    ) -> str:
        return await self.run_in_transaction(self.operations.supersede, documents, memory_store_type, supersedes)

    async def remember(
        self,
        text: str,
        memory_id: str | None = None,
        *,
        store: StoreName = FACTS,
        recalled: Iterable[Mapping[str, Any]] | None = None,
        **keys: Any,
    ) -> str:
        """Store a text as a new memory and return its id; `recall` finds it.

        memory_id: whose memory it is.
        store: by default the long-term memories.
        recalled: what was recalled for it, hits of `recall`: their store, id and score are kept in the key `recalled`.
            A hit of one store gets its name beside it: `{**hit, "store": "toolbox"}`.
        keys: further keys of the document (`name="tea"`, `metadata={...}`), as `store` takes them. With an `id` that
            exists, they and the text are merged into that document.

        Raises InvalidDocument for a text that is none or blank, for what is no hit, for a value that cannot be kept.
        """
        return await self.store(text_document(text, memory_id, keys, recalled), store)

    async def recall(
        self,
        text: str,
        memory_id: str | None = None,
        limit: int = 5,
        *,
        where: Filter | None = None,
        rerank: Reranker | None = None,
        rerank_limit: int = 50,
        rerank_timeout: float = 1.0,
        diverse: float = 0.0,
        unique: bool = False,
        ended: bool = False,
        explain: bool = False,
    ) -> Hits:
        """Return the memories that answer a question, of every store but the agents, the best first, with `score`.

        By meaning and words where the provider has an embedder, else by words. The `_store` of a hit is the name of
        its store. Stores whose vectors are of another model, length or distance than those of the seven are left out.

        memory_id: look in this memory only; None looks in all of them.
        where: a filter that must hold too.
        rerank, rerank_limit, rerank_timeout, diverse, unique: what is chosen of the hits of all stores together, as in
            SearchOptions.
        ended: find also what has ended, or does not hold yet, as in SearchOptions.
        explain: add to each hit the parts of its score, as `_explanation`.

        Raises ConfigurationError for a text that is no str and for an option out of range, FilterError for a malformed
        filter.
        """
        check_flag(explain, "explain")
        options = SearchOptions(
            rerank=rerank,
            rerank_limit=rerank_limit,
            rerank_timeout=rerank_timeout,
            diverse=diverse,
            unique=unique,
            ended=ended,
            explain=explain,
        )
        return await self.run(self.operations.recall, text, memory_id, limit, where, options)

    async def store_many(self, documents: Iterable[Mapping[str, Any]], memory_store_type: StoreName) -> list[str]:
        """Store documents, all or nothing, and return their ids in order.

        Each is stored as by `store`; the same id twice merges in order. A generator is consumed in batches inside one
        transaction, so that it may yield more than memory holds.
        """
        return await self.run_in_transaction(self.operations.store_many, documents, memory_store_type)

    async def check(self, data: Mapping[str, Any], memory_store_type: StoreName) -> None:
        """Raise what `store` would raise for a document that cannot be kept; store nothing."""
        return await self.run(self.operations.check, data, memory_store_type)

    async def retrieve_by_id(
        self, id: Any, memory_store_type: StoreName, *, touch: bool = False, include_embedding: bool = False
    ) -> Document | None:
        """Return the document with an id, or None where there is none or the id is malformed.

        touch: count it as accessed, and let one with a `ttl` live on, as in SearchOptions.
        """
        check_flag(touch, "touch")
        check_flag(include_embedding, "include_embedding")
        return await self.run(
            self.operations.retrieve_by_id, id, memory_store_type, touch=touch, include_embedding=include_embedding
        )

    async def retrieve_by_name(
        self, name: str, memory_store_type: StoreName, *, include_embedding: bool = False
    ) -> Document | None:
        """Return the newest document with a name, or None."""
        check_flag(include_embedding, "include_embedding")
        return await self.run(
            self.operations.retrieve_by_name, name, memory_store_type, include_embedding=include_embedding
        )

    async def retrieve_by_query(
        self,
        query: Filter | str,
        memory_store_type: StoreName,
        limit: int = 1,
        *,
        options: SearchOptions | None = None,
        include_embedding: bool = False,
        exact: bool = False,
        ef_search: int | None = None,
        ranking: Ranking | None = None,
        min_score: float | None = None,
        context: int = 0,
        touch: bool = False,
        where: Filter | None = None,
        order_by: str | None = None,
        offset: int = 0,
        max_tokens: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
        rerank: Reranker | None = None,
        rerank_limit: int = 50,
        rerank_timeout: float = 1.0,
        diverse: float = 0.0,
        unique: bool = False,
        ended: bool = False,
        explain: bool | Literal["plan"] = False,
    ) -> Hits:
        """Return the documents that match a query, the best first; an empty list when none does.

        `query` is a str, searched by meaning and words where the provider has an embedder, else by words; or a dict of
        filters in which `embedding` ranks by cosine similarity to a vector, or to a text where the provider has an
        embedder, `{"$text": {"$search": words}}` by words, and both together by both; `limit` inside the dict wins over
        the argument. With filters only: oldest first. Never fewer than `limit` hits while more documents match. Ranked
        hits carry `score` (more is better) and, where a vector ranked, `distance` (less is nearer), also as `_score`
        and `_distance`. `where` is a filter that must hold too. The other keywords are the fields of SearchOptions; one
        that is not its default wins over `options`.

        Raises FilterError for a malformed filter, DimensionMismatch or InvalidDocument for a wrong embedding,
        ConfigurationError for an option out of range, and for `order_by` where the query ranks.
        """
        options = search_options(
            options,
            include_embedding=include_embedding,
            exact=exact,
            ef_search=ef_search,
            ranking=ranking,
            min_score=min_score,
            context=context,
            touch=touch,
            order_by=order_by,
            offset=offset,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            rerank=rerank,
            rerank_limit=rerank_limit,
            rerank_timeout=rerank_timeout,
            diverse=diverse,
            unique=unique,
            ended=ended,
            explain=explain,
        )
        return await self.run(self.operations.retrieve_by_query, query, memory_store_type, limit, options, where)

    async def update_by_id(self, id: Any, data: Mapping[str, Any], memory_store_type: StoreName) -> bool:
        """Merge keys into a document; True when it exists, even if nothing changed."""
        return await self.run(self.operations.update_by_id, id, data, memory_store_type)

    async def update(self, memory_store_type: StoreName, filter: Filter, data: Mapping[str, Any]) -> int:
        """Merge keys into every document that matches a filter, and return into how many.

        `{}` matches all. With a revision in the filter it is compare-and-set: of several callers of
        `update(store, {"id": id, "revision": 7}, {..., "revision": 8})`, one gets 1 and the others 0. Documents whose
        text changes are embedded again, as by `update_by_id`.

        Raises FilterError for a malformed filter and for None, InvalidDocument for a value that cannot be kept, and for
        an id in the data that the filter does not name.
        """
        return await self.run(self.operations.update, memory_store_type, filter, data)

    async def delete_by_id(self, id: Any, memory_store_type: StoreName) -> bool:
        """Delete a document; True when there was one."""
        return await self.run(self.operations.delete_by_id, id, memory_store_type)

    async def delete_by_name(self, name: str, memory_store_type: StoreName) -> bool:
        """Delete one document with a name, the one that `retrieve_by_name` shows; True when there was one."""
        return await self.run(self.operations.delete_by_name, name, memory_store_type)

    async def delete(self, memory_store_type: StoreName, filter: Filter) -> int:
        """Delete every document that matches a filter, `{}` all; return how many. Raises FilterError, also for None."""
        return await self.run(self.operations.delete, memory_store_type, filter)

    async def delete_all(self, memory_store_type: StoreName) -> bool:
        """Delete every document of one store; True."""
        return await self.run(self.operations.delete_all, memory_store_type)

    async def forget(
        self,
        memory_id: str | None = None,
        *,
        filter: Filter | None = None,
        everything: bool = False,
        by: str | None = None,
        dry_run: bool = False,
    ) -> Receipt:
        """Delete every document of a memory in all stores, expired ones too, and return a receipt.

        The memory is also taken out of the `memory_ids` of the agents that list it. All or nothing; `dry_run` returns
        the receipt that there would be, and deletes nothing.

        filter: in the place of a memory_id, the documents of all stores that match it; agents are left as they are.
        everything: in the place of either, in a view of a tenant, all that it has: agents and the whole history too, of
            which otherwise it stays that there was something.
        by: who forgets, for the receipt.

        Raises ConfigurationError without one of the three, for a filter that matches everything, and for everything
        outside of such a view; FilterError.
        """
        check_flag(dry_run, "dry_run")
        check_flag(everything, "everything")
        run = self.run if dry_run else self.run_in_transaction
        return await run(
            self.operations.forget, memory_id, filter=filter, everything=everything, by=by, dry_run=dry_run
        )

    async def list_all(
        self, memory_store_type: StoreName, *, order_by: str | None = None, include_embedding: bool = False
    ) -> list[Document]:
        """Return every document of a store, oldest first; `iterate` does not hold them all in memory.

        order_by: another order, as in SearchOptions.
        """
        check_order(order_by)
        check_flag(include_embedding, "include_embedding")
        return await self.run(
            self.operations.list_all, memory_store_type, order_by=order_by, include_embedding=include_embedding
        )

    async def count(self, memory_store_type: StoreName, filter: Filter | None = None) -> int:
        """Return how many documents of a store match a filter."""
        return await self.run(self.operations.count, memory_store_type, filter)

    async def distinct(
        self,
        memory_store_type: StoreName,
        key: str,
        filter: Filter | None = None,
        limit: int | None = None,
        offset: int = 0,
        *,
        depth: int | None = None,
    ) -> list[Any]:
        """Return the values that a key has in the documents that match a filter, each once, in order.

        `key` may be a dotted path. Numbers, times, texts by code point, booleans, then lists, those of texts in the
        order of their elements; None, missing keys and objects are left out. `limit` None is all of them. `depth` cuts
        lists: of `["a", "b", "c"]` and `["a", "b"]`, 2 leaves one `["a", "b"]`.

        Raises FilterError for a malformed filter or what is no key, ConfigurationError for a number out of range.
        """
        return await self.run(self.operations.distinct, memory_store_type, key, filter, limit, offset, depth=depth)

    async def retrieve_conversation_history_ordered_by_timestamp(
        self,
        memory_id: str | None = None,
        limit: int | None = None,
        before: str | datetime | None = None,
        *,
        conversation_id: str | None = None,
        include_embedding: bool = False,
    ) -> list[Document]:
        """Return the turns of a memory or a conversation, oldest first; of the same time in the order of storing.

        `memory_id`, `conversation_id` or both say whose; None of both is nobody's. `limit` keeps the newest N, still
        oldest first. `before`, a turn's id (exact also among turns of the same time) or a time, pages back. Raises
        FilterError when `before` is neither a time nor such a turn.
        """
        check_flag(include_embedding, "include_embedding")
        return await self.run(
            self.operations.retrieve_conversation_history_ordered_by_timestamp,
            memory_id,
            limit,
            before,
            conversation_id=conversation_id,
            include_embedding=include_embedding,
        )

    async def store_memagent(self, agent: Any) -> str:
        """Store an agent, a dict or an object with `model_dump()` or `to_dict()`, and return its id.

        The id is the agent's `id`, `_id` or `agent_id`, or a new one; an agent that exists is merged as by `store`.
        Python callables, which no database can hold, are left out; everything else comes back as it went in.
        """
        return await self.store(agent_document(agent), AGENTS)

    async def update_memagent(self, agent: Any) -> bool:
        """Merge an agent into the stored one with its id; True when it exists. Raises InvalidDocument without id."""
        id, document = agent_with_id(agent)
        return await self.update_by_id(id, document, AGENTS)

    async def retrieve_memagent(self, id: Any) -> Document | None:
        """Return an agent, or None."""
        return await self.retrieve_by_id(id, AGENTS)

    async def list_memagents(self) -> list[Document]:
        """Return every agent, oldest first."""
        return await self.list_all(AGENTS)

    async def update_memagent_memory_ids(self, id: Any, memory_ids: Sequence[str]) -> bool:
        """Replace the memory_ids of an agent; True when it exists."""
        return await self.update_by_id(id, agent_memories(memory_ids), AGENTS)

    async def delete_memagent_memory_ids(self, id: Any) -> bool:
        """Empty the memory_ids of an agent, without deleting any memory; True when it exists."""
        return await self.update_by_id(id, agent_memories(()), AGENTS)

    async def delete_memagent(self, id: Any, cascade: bool = False) -> bool:
        """Delete an agent; True when there was one.

        `cascade` also deletes, in every other store, the documents that carry one of the agent's memory_ids, except
        those of a memory that another agent still lists. All or nothing.
        """
        check_flag(cascade, "cascade")
        run = self.run_in_transaction if cascade else self.run
        return await run(self.operations.delete_memagent, id, cascade)

    async def retrieve_memory_components_by_query(
        self,
        query: str | None = None,
        query_embedding: Any = None,
        memory_id: str | None = None,
        memory_type: StoreName | None = None,
        limit: int = 5,
    ) -> list[Document]:
        """Return the best documents of one memory, with `embedding` and `score`, the best first.

        Ranked by `query_embedding`, by the words of `query`, or by both. `memory_type` None searches every store but
        the agents and merges by score.
        """
        return await self.run(
            self.operations.retrieve_memory_components_by_query, query, query_embedding, memory_id, memory_type, limit
        )

    async def versions(self, id: Any, memory_store_type: StoreName) -> list[Version]:
        """Return what a document was, from version to version, the oldest first; none for an unknown id.

        Raises ConfigurationError for a store of which no history is kept.
        """
        return await self.run(self.operations.versions, id, memory_store_type)

    async def diff(
        self,
        id: Any,
        memory_store_type: StoreName,
        since: datetime | str | int,
        until: datetime | str | int | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Return the keys in which a document differs between two times or versions, each with what it was and is.

        `{"city": {"from": "Rome", "to": "Oslo"}}`; a key that one of the two has not is there without that side.
        `since` and `until` are times, or numbers of versions; `until` None is now. What the provider counts and dates
        itself, `updated_at`, `last_accessed` and `access_count`, is left out.

        Raises ConfigurationError as `at`, and for a version that there is not.
        """
        return await self.run(self.operations.diff, id, memory_store_type, since, until)

    async def diff_memory(
        self,
        memory_id: str | None,
        memory_store_type: StoreName,
        since: datetime | str,
        until: datetime | str | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Return what of a memory was added, changed and gone between two times, by the ids of the documents.

        `{"added": {id: document}, "changed": {id: difference}, "gone": {id: document}}`, each difference as `diff` has
        it. A document that has come from another memory is added, one that has left or expired is gone.

        memory_id: None for every document of the view, or of the store.
        since, until: `until` None is now.

        Raises ConfigurationError as `at`.
        """
        return await self.run(self.operations.diff_memory, memory_id, memory_store_type, since, until)

    async def restore(self, id: Any, memory_store_type: StoreName, to: datetime | str | int) -> bool:
        """Put a document back as it was at a time or in a version; True when it was there then.

        That is another change, a version of its own: nothing of the history is rewritten. The whole document is what it
        was, keys and vector; a deleted one is there again. `updated_at` moves, and an `expires_at` that has passed is
        left out. Where the vector is gone, the text is embedded again if the provider has an embedder of it.

        Raises InvalidDocument where the document has been forgotten: it is gone. ConfigurationError as `at`.
        """
        done = await self.run_in_transaction(self.operations.restore, id, memory_store_type, to)
        if done:
            await self.run(self.operations.embed_restored, {memory_store_type: [id]})
        return done

    async def undo(self, *, call: str | None = None, since: datetime | str | None = None) -> dict[str, list[str]]:
        """Take back what a call has changed in all stores whose history is kept, or all that was changed since a time.

        `call` is what its versions have as theirs, as `acting` or the transaction has named it. Each document is as it
        was before, by another change; one that was new is deleted. All or nothing. Returns the ids of each store.

        Raises ConfigurationError where others have changed one of the documents after the call, InvalidDocument where
        one has been forgotten, and ConfigurationError as `at`.
        """
        done = await self.run_in_transaction(self.operations.undo, call=call, since=since)
        if done:
            await self.run(self.operations.embed_restored, done)
        return done

    async def duplicates(
        self,
        memory_store_type: StoreName,
        memory_id: str | None = None,
        *,
        similarity: float = 0.97,
        where: Filter | None = None,
        limit: int = 100,
        watch: Callable[[int, int], None] | None = None,
    ) -> list[Duplicates]:
        """Return the documents of a memory that say the same as a newer one of it, in groups, the newest first.

        A document is in the group of the first one that it is near enough to and that is in no other group itself: the
        newest, of those that have a vector before those that have none. Every document is compared with each of those;
        equal texts of an equal `name` are similar by 1, vectors or not. Left out are documents that expire, those with
        a `valid_from` or `valid_until` of their own, and contents that are lists of parts; a text longer than the model
        reads is compared as a text alone.

        memory_id: whose documents are compared; by default those of no memory.
        similarity: the least cosine similarity, above 0, up to 1.
        where: compare only the documents that match a filter.
        limit: how many groups are returned.
        watch: is told, after each batch, how many documents are compared, and how many there are.

        Raises ConfigurationError for a store with a timeline, for one whose documents are not embedded or have several
        vectors each, and for a memory of more than 50,000 documents, of which `where` has to choose; FilterError.
        """
        return await self.run(
            self.operations.duplicates,
            memory_store_type,
            memory_id,
            similarity=similarity,
            where=where,
            limit=limit,
            watch=watch,
        )

    async def consolidate(
        self,
        memory_store_type: StoreName,
        memory_id: str | None = None,
        *,
        similarity: float = 0.97,
        where: Filter | None = None,
        dry_run: bool = False,
        watch: Callable[[int, int], None] | None = None,
    ) -> Consolidation:
        """Merge the documents of a memory that say the same as a newer one of it; return what was merged into what.

        Groups, and the arguments, as of `duplicates`. The newest of a group keeps its id, its text, its vector and its
        keys; a key that it lacks, in `metadata` too, it takes over of the newest other one that has it; `created_at`
        is the earliest of the group, `last_accessed` the latest, `access_count` the sum. The others are deleted. All or
        nothing; what others change meanwhile is compared again, and is not lost. `undo(call=...)` takes it back.

        dry_run: only say what would be merged.

        Raises ConfigurationError where no history of the store is kept, which `undo` takes it back by, and as
        `duplicates`.
        """
        check_flag(dry_run, "dry_run")
        run = self.run if dry_run else self.run_in_transaction
        return await run(
            self.operations.consolidate,
            memory_store_type,
            memory_id,
            similarity=similarity,
            where=where,
            dry_run=dry_run,
            watch=watch,
        )

    async def run_many(self, calls: Sequence[Call]) -> list[Any]:
        """Make several calls, in order and all or nothing, and return their results; Call says how they are made.

        Raises ConfigurationError for what is no call, and what the first call that fails raises: then nothing is kept.
        """
        return await self.run_in_transaction(self.operations.run_many, calls)

    async def purge_expired(self, memory_store_type: StoreName | None = None) -> int:
        """Remove the documents whose `expires_at` has passed from one store, or from all; return how many."""
        return await self.run(self.operations.purge_expired, memory_store_type)

    async def apply_policies(
        self, *, by: str | None = None, dry_run: bool = False, watch: Callable[[int, float], None] | None = None
    ) -> Receipt:
        """Delete what is due by the policies of the stores, and return a receipt; in a dry run what would be deleted.

        In batches, each a transaction of its own, which wait for nobody: what others have locked, or have changed or
        read since it was looked at, is left for the next time, and `left` counts it. A call that was broken off is made
        again. Where a history is kept, what is deleted is in it, and can be restored.

        In a view of a tenant its documents alone; in one of a memory by all rules but `max_documents`. Without a view
        those of no tenant: `Maintenance.tidy` goes through all tenants.

        by: who deletes, for the receipt.
        watch: is told, after each batch, how many are deleted, and the part of the work that is done, from 0 to 1.

        Raises ConfigurationError where the provider has no policies.
        """
        check_flag(dry_run, "dry_run")
        return await self.run(self.operations.apply_policies, by=by, dry_run=dry_run, watch=watch)

    async def iterate(
        self,
        memory_store_type: StoreName,
        filter: Filter | None = None,
        batch_size: int = 1000,
        *,
        include_embedding: bool = False,
        after: Any = None,
        newest_first: bool = False,
    ) -> AsyncIterator[Document]:
        """Yield the documents that match a filter, oldest first, reading `batch_size` at a time.

        after: the id of a document; begins with the one behind it. Raises FilterError where there is none of that id.
        newest_first: in the opposite order.
        """
        check_flag(include_embedding, "include_embedding")
        check_flag(newest_first, "newest_first")
        place: Any = self.operations.END if newest_first else self.operations.BEGINNING
        if after is not None:
            place = await self.run(self.operations.place_of, after, memory_store_type)
        while place is not None:
            documents, place = await self.run(
                self.operations.page, memory_store_type, filter, batch_size, include_embedding, place, newest_first
            )
            for document in documents:
                yield document
