"""Claude: the export of an account, a zip with conversations.json, in which each conversation has its chat_messages.

Beside it stands what Claude has noted of its user, of all conversations and of each project: memories.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memorizz.importers._formats import Format, Found, LeftOut, Options
from memorizz.importers._reading import (
    NO_ID,
    WRONG,
    Object,
    blocks,
    clocked,
    digest,
    mapping,
    message_document,
    names,
    sequence,
    text,
    why_no_text,
)  # fmt: skip
from memorizz.importers._source import Member, Source
from memorizz.memory_provider.stores import FACTS

_NAME = "claude"
_ROLES = {"human": "user", "assistant": "assistant"}


def _members(source: Source) -> Iterator[Member]:
    for member in source.files(r"(.*/)?conversations(-\d+)?\.json"):
        in_array, found = member.beginnings
        if in_array and found and "chat_messages" in found[0]:
            yield member


def _recognises(source: Source) -> bool:
    return next(_members(source), None) is not None or next(_noted(source), None) is not None


def _noted(source: Source) -> Iterator[Member]:
    for member in source.files(r"(.*/)?memories(/[^/]+)?\.json"):
        _, found = member.beginnings
        if found and "conversations_memory" in found[0]:
            yield member


def _read(source: Source, options: Options) -> Iterator[Found | LeftOut]:
    for member in _noted(source):
        yield from _memories(member)
    for member in _members(source):
        for number, each in enumerate(member.elements(), 1):
            place = member.place(f"conversation {number:,}")
            conversation = mapping(each)
            id = text(conversation.get("uuid"))
            if not isinstance(conversation.get("chat_messages"), list):
                yield LeftOut(place, WRONG)
            elif id is None:
                yield LeftOut(place, NO_ID)
            else:
                yield from _conversation(conversation, id, place, options)


def _memories(member: Member) -> Iterator[Found | LeftOut]:
    if member.beginnings[0]:
        accounts = [*member.elements()]
    else:
        with member.json() as reader:
            accounts = [reader.value()]
            reader.end()
    for number, account in enumerate(map(mapping, accounts), 1):
        place = member.place(f"account {number:,}")
        projects = mapping(account.get("project_memories"))
        notes = {"conversations": account.get("conversations_memory"), **projects}
        for name, note in notes.items():
            words = (text(note) or "").strip()
            if not words:
                yield LeftOut(f"{place}, {name}", "a note without text")
                continue
            source = {"format": _NAME, "id": name, "account": text(account.get("account_uuid"))}
            document = {"name": name, "content": words, "kind": "memory", "source": source}
            # A note that has changed since is another memory.
            yield Found(f"{place}, {name}", ("memory", name, digest(words)), document, FACTS)
        if account.get("memory_files"):
            yield LeftOut(f"{place}, memory_files", "files of Claude's memory, whose layout is not known here")


def _conversation(conversation: Object, id: str, place: str, options: Options) -> Iterator[Found | LeftOut]:
    before, _ = options.of_text(conversation.get("created_at"))
    messages = [mapping(each) for each in sequence(conversation.get("chat_messages"))]
    branch = _branch(messages, text(conversation.get("current_leaf_message_uuid")))
    for number, message in enumerate(messages, 1):
        where = f"{place}, message {number:,}"
        native = text(message.get("uuid"))
        content, others = blocks(message.get("content"))
        # Where there are blocks, `text` also has lines in the place of what is no text.
        content = content if content or others else (text(message.get("text")) or "").strip()
        role = _ROLES.get(text(message.get("sender")) or "")
        if native is None or role is None:
            yield LeftOut(where, NO_ID if native is None else WRONG)
        elif native not in branch:
            yield LeftOut(where, "it is on another branch than the conversation ended with")
        elif not content:
            yield LeftOut(where, why_no_text(others))
        else:
            document = message_document(_NAME, id, native, role, content, title=text(conversation.get("name")))
            files = [*names(message.get("attachments"), "file_name"), *names(message.get("files"), "file_name")]
            if files:
                document["attachments"] = files
            time, remarks = options.of_text(message.get("created_at"))
            remarks += clocked(document, time, before)
            before = time or before
            yield Found(where, (id, native), document, remarks=remarks)


def _branch(messages: Sequence[Object], leaf: str | None) -> set[str | None]:
    """Return the ids of the messages up to the last one that was shown; of all, where the file does not say which."""
    parents = {id: each.get("parent_message_uuid") for each in messages if (id := text(each.get("uuid"))) is not None}
    if leaf not in parents:
        return {*parents}
    branch = set[str | None]()
    while leaf in parents and leaf not in branch:
        branch.add(leaf)
        leaf = text(parents[leaf])
    return branch


FORMAT = Format(_NAME, "Claude: the export of an account", _recognises, _read)
