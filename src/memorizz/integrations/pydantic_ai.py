"""A conversation store of Pydantic AI, and memory as a capability of its agents.

Needs the extra `pydantic-ai`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NewType, TypeVar

from memorizz.embeddings.base import Embedder
from memorizz.errors import InvalidDocument
from memorizz.integrations._providers import Opened, in_thread, key_of, made_again, missing
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document
from memorizz.memory_provider.stores import StoreSpec

try:
    from pydantic import ConfigDict, TypeAdapter
    from pydantic_ai import FunctionToolset, ModelRetry, RunContext
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )
except ImportError as error:
    raise missing(error, "pydantic-ai") from error

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

RECORDS = StoreSpec("pydantic_ai_conversations", index="none", embedded=False, memories=False)
# The entries of a log, which a conversation shares with its forks; and a document for each log, which whoever changes
# it locks. The record of a conversation has the log as its conversation_id, each entry as its memory_id.
ENTRIES = StoreSpec("pydantic_ai_entries", index="none", embedded=False, memories=False)
MEMORIES = StoreSpec("pydantic_ai_memories")

# As Pydantic AI writes messages, and no number is lost. A dataclass itself takes no configuration.
_AS_JSON = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
_Record = NewType("_Record", ConversationRecord)
_Entry = NewType("_Entry", ConversationEntry)
_record: TypeAdapter[ConversationRecord] = TypeAdapter[Any](_Record, config=_AS_JSON)
_entry: TypeAdapter[ConversationEntry] = TypeAdapter[Any](_Entry, config=_AS_JSON)

T = TypeVar("T")


class MemorizzConversationStore(Opened, ConversationStore):
    """Keep conversations: `agent.run(prompt, conversation=await store.load(id))`, then `await store.save(result)`.

    One object may serve several threads and event loops at once. A conversation that is deleted takes its messages with
    it, save those that a fork of it has.

    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.

    Raises what opening a provider raises.
    """

    def __init__(self, source: MemoryProvider | PostgreSQLConfig | str | None = None) -> None:
        self._open(source, RECORDS, ENTRIES)

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation, or None."""
        found = await in_thread(self.provider.retrieve_by_id, key_of(conversation_id), RECORDS.name)
        return None if found is None else _record.validate_json(found["record"])

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """Return the records of a scope, or all, the last saved first."""
        where = {} if scope is None else {"memory_id": key_of(scope)}
        most = MAX_LIMIT if limit is None else limit
        found = await in_thread(self.provider.retrieve_by_query, where, RECORDS.name, most, order_by="-timestamp")
        return [_record.validate_json(each["record"]) for each in found]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and its new entries, both or neither.

        Raises ConversationConflict where another record is there than is expected, where its head or an entry that it
        goes on from is not, or is one of a log that is not the record's; InvalidDocument for what JSON cannot hold.
        """
        await in_thread(self._write, record, list(new_entries), expected_revision)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a conversation, and the entries that no other one has.

        Raises ConversationConflict where another record is there than is expected.
        """
        await in_thread(self._delete, conversation_id, expected_revision)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry; raises KeyError where there is none."""
        return _entry.validate_json((await in_thread(self._entry_of, entry_id))["entry"])

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """Return the entries up to one, the newest `limit` of them: in two queries, however many they are."""
        if head_id is None or (limit is not None and limit <= 0):
            return []
        return await in_thread(self._history, head_id, limit)

    def _entry_of(self, entry_id: str) -> Document:
        found = self.provider.retrieve_by_id(key_of(entry_id), ENTRIES.name)
        if found is None:
            raise KeyError(f"there is no entry {entry_id!r}")
        return found

    def _history(self, head_id: str, limit: int | None) -> list[ConversationEntry]:
        head = self._entry_of(head_id)
        depths = {"$gt": -1 if limit is None else head["depth"] - limit, "$lt": head["depth"]}
        where = {"memory_id": head["memory_id"], "depth": depths}
        rows = {row["id"]: row for row in self.provider.retrieve_by_query(where, ENTRIES.name, MAX_LIMIT)}
        history = [_entry.validate_json(head["entry"])]
        while (parent := history[-1].parent_id) is not None and (limit is None or len(history) < limit):
            if key_of(parent) not in rows:
                raise KeyError(f"there is no entry {parent!r}")
            history.append(_entry.validate_json(rows[key_of(parent)]["entry"]))
        return history[::-1]

    @made_again
    def _write(self, record: ConversationRecord, entries: list[ConversationEntry], expected: str | None) -> None:
        conflict = ConversationConflict(record.conversation_id)
        document = {
            "id": key_of(record.conversation_id),
            "memory_id": None if record.scope is None else key_of(record.scope),
            "timestamp": record.updated_at,
            "revision": record.revision,
            "record": _to_json(_record, record, "record"),
        }
        texts = [_to_json(_entry, each, f"entries[{place}]") for place, each in enumerate(entries)]
        before = _gone_on_from(record, entries)
        with self.provider.transaction() as tx:
            log, is_new = self._log(tx, record, next(iter(before), None), conflict)
            document["conversation_id"] = log
            if expected is None:
                written = tx.store(document, RECORDS.name, if_absent=True) is not None
            else:
                same = {"id": document["id"], "revision": expected, "conversation_id": log}
                written = tx.update(RECORDS.name, same, document) == 1
            if not written:
                raise conflict
            if is_new:
                tx.store({"id": log, "memory_id": log}, ENTRIES.name)
            # Locks the log until all is committed, so that nobody removes what is built on.
            elif tx.update(ENTRIES.name, {"id": log}, {"revision": record.revision}) != 1:
                raise conflict
            there = {"id": {"$in": list(before)}, "memory_id": log}
            depths = {row["id"]: row["depth"] for row in tx.retrieve_by_query(there, ENTRIES.name, MAX_LIMIT)}
            if len(depths) < len(before):
                raise conflict
            rows: list[Document] = []
            for each, text in zip(entries, texts, strict=True):
                depth = 0 if each.parent_id is None else depths[key_of(each.parent_id)] + 1
                depths[key_of(each.id)] = depth
                rows.append({"id": key_of(each.id), "memory_id": log, "depth": depth, "entry": text})
            tx.store_many(rows, ENTRIES.name)

    def _log(
        self, tx: MemoryOperations, record: ConversationRecord, before: str | None, conflict: ConversationConflict
    ) -> tuple[str, bool]:
        """Return the log that a record's entries go to, and True where it is to be made."""
        if before is not None:
            found = tx.retrieve_by_id(before, ENTRIES.name)
            if found is None:
                raise conflict
            return found["memory_id"], False
        stored = tx.retrieve_by_id(key_of(record.conversation_id), RECORDS.name)
        if stored is not None:
            return stored["conversation_id"], False
        return key_of(record.conversation_id, record.revision), True

    @made_again
    def _delete(self, conversation_id: str, expected: str) -> None:
        with self.provider.transaction() as tx:
            stored = tx.retrieve_by_id(key_of(conversation_id), RECORDS.name)
            where = {"id": key_of(conversation_id), "revision": expected}
            if stored is None or tx.delete(RECORDS.name, where) != 1:
                raise ConversationConflict(conversation_id)
            log = stored["conversation_id"]
            tx.update(ENTRIES.name, {"id": log}, {"revision": None})
            others = tx.retrieve_by_query({"conversation_id": log}, RECORDS.name, MAX_LIMIT)
            if not others:
                tx.delete(ENTRIES.name, {"memory_id": log})
                return
            found = tx.retrieve_by_query({"memory_id": log, "depth": {"$gte": 0}}, ENTRIES.name, MAX_LIMIT)
            unused = _unreached(found, [_record.validate_json(each["record"]) for each in others])
            tx.delete(ENTRIES.name, {"id": {"$in": unused}})


def _to_json(adapter: TypeAdapter[T], value: T, path: str) -> str:
    try:
        return adapter.dump_json(value).decode()
    except ValueError as error:
        raise InvalidDocument(path, f"{error}; expected what JSON can hold") from error


def _gone_on_from(record: ConversationRecord, entries: Sequence[ConversationEntry]) -> set[str]:
    """Return the keys of what is to be there already: the head, and the parents, that are none of the entries."""
    new: set[str | None] = {None}
    before: set[str] = set()
    for id, parent in [*((each.id, each.parent_id) for each in entries), (None, record.head_id)]:
        if parent not in new:
            before.add(key_of(str(parent)))
        new.add(id)
    return before


def _unreached(rows: Sequence[Document], records: Sequence[ConversationRecord]) -> list[str]:
    """Return the ids of the entries that no history of the records has."""
    parents = {row["id"]: _entry.validate_json(row["entry"]).parent_id for row in rows}
    reached: set[str] = set()
    for record in records:
        for tip in (record.head_id, *record.branches):
            at = tip
            while at is not None and key_of(at) not in reached:
                reached.add(key_of(at))
                at = parents.get(key_of(at))
    return [id for id in parents if id not in reached]


_INSTRUCTIONS = (
    "You have a memory that lasts over conversations. Search it before you answer what may depend on earlier ones; "
    "add to it, in one sentence of its own, each fact or wish that will matter later."
)


class MemorizzMemory(Opened, AbstractCapability[Any]):
    """Give an agent a memory to search and to add to: `Agent(..., capabilities=[MemorizzMemory("ada", provider)])`.

    memory_id: whose memory it is: a text, or a function of the RunContext that returns it. The model has no say in it.
    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.
    embedder: for a provider that is opened here; without one, memories are found by their words.
    read_only: leaves out the tool that adds.

    Raises ConfigurationError for a memory_id that is neither, and what opening a provider raises.
    """

    _in_memories = True

    def __init__(
        self,
        memory_id: str | Callable[[RunContext[Any]], str],
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        embedder: Embedder | str | Sequence[Embedder | str] | None = None,
        read_only: bool = False,
    ) -> None:
        if not callable(memory_id):
            key_of(memory_id)
        self._memory_id = memory_id
        self._open(source, MEMORIES, embedder=embedder)
        self._read_only = read_only

    def get_instructions(self) -> str:
        """Return when the model is to use the tools."""
        return _INSTRUCTIONS

    def get_toolset(self) -> FunctionToolset[Any]:
        """Return the tools `search_memory` and `add_memory`."""
        tools = [self.search_memory] if self._read_only else [self.search_memory, self.add_memory]
        return FunctionToolset[Any](tools)

    async def search_memory(self, ctx: RunContext[Any], query: str, limit: int = 8) -> dict[str, Any]:
        """Search the memory for what is known of a question.

        Args:
            query: What is asked, in words.
            limit: How many memories at most, 1 to 50.
        """
        most = max(1, min(limit, 50))
        found: list[Document] = []
        if query.strip():
            found = await in_thread(self._memory_of(ctx).retrieve_by_query, query, MEMORIES.name, most)
        memories = [{"id": each["id"], "text": each.get("content")} for each in found]
        return {"count": len(memories), "memories": memories}

    async def add_memory(self, ctx: RunContext[Any], text: str) -> dict[str, Any]:
        """Add one fact to the memory.

        Args:
            text: The fact, in a sentence that can be understood by itself.
        """
        try:
            return {"id": await in_thread(self._memory_of(ctx).store, {"content": text}, MEMORIES.name)}
        except InvalidDocument as error:
            # What is wrong with a text its writer can put right.
            raise ModelRetry(str(error)) from error

    def _memory_of(self, ctx: RunContext[Any]) -> MemoryProvider:
        return self.provider.memory(key_of(self._memory_id(ctx) if callable(self._memory_id) else self._memory_id))
