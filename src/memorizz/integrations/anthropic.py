"""The memory tool of Anthropic's API: files under /memories that Claude keeps, as documents.

Needs the extra `anthropic`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memorizz.errors import InvalidDocument
from memorizz.integrations._providers import Opened, in_thread, key_of, made_again, missing
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider
from memorizz.memory_provider.options import MAX_LIMIT, Document
from memorizz.memory_provider.stores import StoreSpec

try:
    from anthropic.lib.tools import BetaAbstractMemoryTool, BetaAsyncAbstractMemoryTool, ToolError
    from anthropic.types.beta import (
        BetaCacheControlEphemeralParam,
        BetaMemoryTool20250818CreateCommand,
        BetaMemoryTool20250818DeleteCommand,
        BetaMemoryTool20250818InsertCommand,
        BetaMemoryTool20250818RenameCommand,
        BetaMemoryTool20250818StrReplaceCommand,
        BetaMemoryTool20250818ViewCommand,
    )
except ImportError as error:
    raise missing(error, "anthropic") from error

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig

STORE = StoreSpec("anthropic_memory_files", index="none", embedded=False)
ROOT = "/memories"
_MAX_LINES = 999_999
_WIDTH = len(str(_MAX_LINES))


class MemorizzMemoryTool(Opened, BetaAbstractMemoryTool):
    """Give Claude a memory of files in PostgreSQL; pass it in `tools=[...]` of a tool runner.

    One object may serve several threads at once, and several programs one memory: who changes it waits for others.

    memory_id: whose memory it is, any text; no path leads out of it.
    source: a provider on the sync API, a connection string or a PostgreSQLConfig; None is the server that the
        environment names, or the embedded one. What is opened here, `close` closes.

    Raises ConfigurationError for a memory_id that is no text, and what opening a provider raises.
    """

    _in_memories = True

    def __init__(
        self,
        memory_id: str,
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        cache_control: BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        super().__init__(cache_control=cache_control)
        self._memory_id = memory_id
        self._open(source, STORE)
        self._memory = self.provider.memory(key_of(memory_id))

    def view(self, command: BetaMemoryTool20250818ViewCommand) -> str:
        """Return a file with numbered lines, or what is in a directory, two levels deep."""
        path = _checked(command.path)
        found = self._memory.retrieve_by_id(self._id(path), STORE.name)
        if found is None and path != ROOT:
            raise ToolError(f"The path {command.path} does not exist. Please provide a valid path.")
        if found is None or found["is_directory"]:
            return self._listing(path, command.path)
        lines = _text(found).split("\n")
        if len(lines) > _MAX_LINES:
            raise ToolError(f"File {command.path} exceeds maximum line limit of 999,999 lines.")
        first, last = 1, len(lines)
        if command.view_range and len(command.view_range) == 2:
            first = max(1, command.view_range[0])
            last = len(lines) if command.view_range[1] == -1 else command.view_range[1]
        return f"Here's the content of {command.path} with line numbers:\n" + _numbered(lines, first, last)

    @made_again
    def create(self, command: BetaMemoryTool20250818CreateCommand) -> str:
        """Make a file that is not there, and the directories that it is in."""
        path = _checked(command.path)
        with self._changing() as tx:
            if path == ROOT or self._get(tx, path) is not None:
                raise ToolError(f"File {command.path} already exists")
            self._make_parents(tx, path)
            tx.store(self._document(path) | {"content": command.file_text, "is_directory": False}, STORE.name)
        return f"File created successfully at: {command.path}"

    @made_again
    def str_replace(self, command: BetaMemoryTool20250818StrReplaceCommand) -> str:
        """Replace a text that occurs exactly once in a file."""
        path, old = _checked(command.path), command.old_str
        with self._changing() as tx:
            text = self._file(tx, path, command.path)
            count = text.count(old)
            if count == 0:
                raise ToolError(
                    f"No replacement was performed, old_str `{old}` did not appear verbatim in {command.path}."
                )
            if count > 1:
                lines = ", ".join(str(text[:place].count("\n") + 1) for place in _places(text, old))
                raise ToolError(
                    f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines: {lines}. "
                    "Please ensure it is unique"
                )
            new = text.replace(old, command.new_str or "")
            tx.update_by_id(self._id(path), {"content": new}, STORE.name)
        changed = text[: text.find(old)].count("\n") + 1
        return "The memory file has been edited. Here is the snippet showing the change (with line numbers):\n" + (
            _numbered(new.split("\n"), max(1, changed - 2), changed + 2)
        )

    @made_again
    def insert(self, command: BetaMemoryTool20250818InsertCommand) -> str:
        """Insert lines behind a line of a file; 0 is its beginning."""
        path = _checked(command.path)
        with self._changing() as tx:
            lines = self._file(tx, path, command.path).split("\n")
            if lines[-1] == "":
                lines.pop()
            if not 0 <= command.insert_line <= len(lines):
                raise ToolError(
                    f"Invalid `insert_line` parameter: {command.insert_line}. "
                    f"It should be within the range [0, {len(lines)}]."
                )
            lines.insert(command.insert_line, command.insert_text.rstrip("\n"))
            new = "\n".join(lines)
            tx.update_by_id(self._id(path), {"content": new if new.endswith("\n") else new + "\n"}, STORE.name)
        return f"The file {command.path} has been edited."

    @made_again
    def delete(self, command: BetaMemoryTool20250818DeleteCommand) -> str:
        """Delete a file, or a directory with all that is in it."""
        path = _checked(command.path)
        if path == ROOT:
            raise ToolError("Cannot delete the /memories directory itself")
        with self._changing() as tx:
            if not tx.delete_by_id(self._id(path), STORE.name):
                raise ToolError(f"The path {command.path} does not exist")
            tx.delete(STORE.name, self._below(path))
        return f"Successfully deleted {command.path}"

    @made_again
    def rename(self, command: BetaMemoryTool20250818RenameCommand) -> str:
        """Move a file or a directory to a path where nothing is."""
        old, new = _checked(command.old_path), _checked(command.new_path)
        if old == ROOT:
            raise ToolError("Cannot rename the /memories directory itself")
        with self._changing() as tx:
            if new == ROOT or self._get(tx, new) is not None:
                raise ToolError(f"The destination {command.new_path} already exists")
            top = self._get(tx, old)
            if top is None:
                raise ToolError(f"The path {command.old_path} does not exist")
            if new.startswith(old + "/"):
                raise ToolError(f"Cannot move {command.old_path} into itself, to {command.new_path}")
            self._make_parents(tx, new)
            below = tx.retrieve_by_query(self._below(old), STORE.name, MAX_LIMIT)
            kept = ("content", "is_directory", "created_at")
            moved = [
                self._document(new + each["name"][len(old) :]) | {key: each[key] for key in kept if key in each}
                for each in (top, *below)
            ]
            tx.delete_by_id(self._id(old), STORE.name)
            tx.delete(STORE.name, self._below(old))
            tx.store_many(moved, STORE.name)
        return f"Successfully renamed {command.old_path} to {command.new_path}"

    def clear_all_memory(self) -> str:
        """Delete everything of this memory."""
        self._memory.delete_all(STORE.name)
        return "All memory cleared"

    @contextmanager
    def _changing(self) -> Generator[MemoryOperations]:
        """Open a transaction that waits for whoever changes this memory, and in which nobody else does."""
        try:
            with self._memory.transaction() as tx:
                # Writing a row locks it until all is committed.
                tx.store(self._document(ROOT) | {"is_directory": True}, STORE.name)
                yield tx
        except InvalidDocument as error:
            raise ToolError(str(error)) from error

    def _id(self, path: str) -> str:
        return key_of(self._memory_id, path)

    def _document(self, path: str) -> Document:
        return {"id": self._id(path), "name": path}

    def _below(self, path: str) -> Document:
        return {"name": {"$prefix": path + "/"}}

    def _get(self, tx: MemoryOperations, path: str) -> Document | None:
        return tx.retrieve_by_id(self._id(path), STORE.name)

    def _file(self, tx: MemoryOperations, path: str, named: str) -> str:
        found = self._get(tx, path)
        if found is None:
            raise ToolError(f"The path {named} does not exist. Please provide a valid path.")
        if found["is_directory"]:
            raise ToolError(f"The path {named} is not a file.")
        return _text(found)

    def _make_parents(self, tx: MemoryOperations, path: str) -> None:
        parent = posixpath.dirname(path)
        while parent != ROOT:
            found = self._get(tx, parent)
            if found is not None and not found["is_directory"]:
                raise ToolError(f"The path {parent} is not a directory.")
            if found is not None:
                return
            tx.store(self._document(parent) | {"is_directory": True}, STORE.name)
            parent = posixpath.dirname(parent)

    def _listing(self, path: str, named: str) -> str:
        below = self._memory.retrieve_by_query(self._below(path), STORE.name, MAX_LIMIT)
        sizes = {each["name"]: 0 if each["is_directory"] else len(_text(each).encode()) for each in below}
        lines = [f"{_size(sum(sizes.values()))}\t{named}"]
        # By segments, so that what is in a directory follows it.
        for each in sorted(below, key=lambda each: each["name"].split("/")):
            segments = each["name"][len(path) + 1 :].split("/")
            if len(segments) > 2 or any(segment.startswith(".") for segment in segments):
                continue
            size, shown = sizes[each["name"]], f"{named}/{'/'.join(segments)}"
            if each["is_directory"]:
                size = sum(of for name, of in sizes.items() if name.startswith(each["name"] + "/"))
                shown += "/"
            lines.append(f"{_size(size)}\t{shown}")
        head = f"Here're the files and directories up to 2 levels deep in {named}, excluding hidden items:"
        return "\n".join([head, *lines])


class MemorizzAsyncMemoryTool(Opened, BetaAsyncAbstractMemoryTool):
    """The same as MemorizzMemoryTool for the async tool runner, in any number of event loops at once."""

    _in_memories = True

    def __init__(
        self,
        memory_id: str,
        source: MemoryProvider | PostgreSQLConfig | str | None = None,
        *,
        cache_control: BetaCacheControlEphemeralParam | None = None,
    ) -> None:
        super().__init__(cache_control=cache_control)
        key_of(memory_id)
        self._open(source, STORE)
        self._tool = MemorizzMemoryTool(memory_id, self.provider)

    async def view(self, command: BetaMemoryTool20250818ViewCommand) -> str:
        """Return a file with numbered lines, or what is in a directory, two levels deep."""
        return await in_thread(self._tool.view, command)

    async def create(self, command: BetaMemoryTool20250818CreateCommand) -> str:
        """Make a file that is not there, and the directories that it is in."""
        return await in_thread(self._tool.create, command)

    async def str_replace(self, command: BetaMemoryTool20250818StrReplaceCommand) -> str:
        """Replace a text that occurs exactly once in a file."""
        return await in_thread(self._tool.str_replace, command)

    async def insert(self, command: BetaMemoryTool20250818InsertCommand) -> str:
        """Insert lines behind a line of a file; 0 is its beginning."""
        return await in_thread(self._tool.insert, command)

    async def delete(self, command: BetaMemoryTool20250818DeleteCommand) -> str:
        """Delete a file, or a directory with all that is in it."""
        return await in_thread(self._tool.delete, command)

    async def rename(self, command: BetaMemoryTool20250818RenameCommand) -> str:
        """Move a file or a directory to a path where nothing is."""
        return await in_thread(self._tool.rename, command)

    async def clear_all_memory(self) -> str:
        """Delete everything of this memory."""
        return await in_thread(self._tool.clear_all_memory)


def _checked(path: str) -> str:
    """Return a path in its only form; raises ToolError for one that is not under /memories."""
    if path != ROOT and not path.startswith(ROOT + "/"):
        raise ToolError(f"Path must start with /memories, got: {path}")
    found = posixpath.normpath(path)
    if found != ROOT and not found.startswith(ROOT + "/"):
        raise ToolError(f"Path {path} would escape /memories directory")
    return found


def _text(file: Document) -> str:
    return file.get("content") or ""


def _numbered(lines: list[str], first: int, last: int) -> str:
    return "\n".join(f"{number:{_WIDTH}}\t{line}" for number, line in enumerate(lines[first - 1 : last], first))


def _places(text: str, part: str) -> Generator[int]:
    place = text.find(part)
    while place != -1:
        yield place
        place = text.find(part, place + 1)


def _size(count: int) -> str:
    step = min((count.bit_length() - 1) // 10, 3) if count else 0
    shown = count / 1024**step
    return f"{shown:.0f}{'BKMG'[step]}" if shown == int(shown) else f"{shown:.1f}{'BKMG'[step]}"
