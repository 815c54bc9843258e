"""The memory tool: each command side by side with the SDK's own, on its file system, and in runs of its tool runner."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from anthropic.lib.tools import ToolError
from anthropic.tools.memory import BetaLocalFilesystemMemoryTool

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError
from memorizz.integrations.anthropic import STORE, MemorizzAsyncMemoryTool, MemorizzMemoryTool


@pytest.fixture
def provider(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    with PostgreSQLProvider(config) as provider:
        yield provider


@pytest.fixture
def tool(provider: PostgreSQLProvider) -> MemorizzMemoryTool:
    return MemorizzMemoryTool("ada", provider)


def outcome(tool: Any, command: str, **arguments: Any) -> Any:
    """Return what a command answers, or the text of its ToolError; the sizes of directories are the file system's."""
    if command == "view":
        arguments = {"path": "/memories"} | arguments
    try:
        said: str = tool.call({"command": command, **arguments})
    except ToolError as error:
        return ToolError, str(error)
    size = re.compile(rf"[\d.]+[BKMG]\t(.*/|{re.escape(arguments.get('path', ''))})")
    return "\n".join(size.sub(r"\1", line) if size.fullmatch(line) else line for line in said.split("\n"))


def file(path: str, text: str) -> tuple[str, dict[str, Any]]:
    return "create", {"path": f"/memories/{path}", "file_text": text}


def on(command: str, path: str = "", **arguments: Any) -> tuple[str, dict[str, Any]]:
    return command, {"path": f"/memories{path}", **arguments}


def replace(path: str, old: str, **new: str) -> tuple[str, dict[str, Any]]:
    return "str_replace", {"path": f"/memories/{path}", "old_str": old, **new}


def rename(old: str, new: str) -> tuple[str, dict[str, Any]]:
    return "rename", {"old_path": old, "new_path": new}


SCRIPT = [
    on("view"), on("view", "/"), file("a.md", "one\ntwo\nthree\n"), file("a.md", "again"), on("view", "/a.md"),
    file("empty", ""), on("view", "/empty"), file("d/e/f.txt", "x" * 1500), file("d/.hidden", "h"),
    file("d/e/g/deep.txt", "no final newline"), file("d-e", ""), on("view"), on("view", "/d"), on("view", "/d/e/f.txt"),
    file("d", "a directory"), file("d/../up.txt", "up"), on("view", "//up.txt"), on("view", "/nothing"),
    *(on("view", "/a.md", view_range=given) for given in ([1, 2], [2, -1], [9, 12], [0, 1], [3, 2], [1], [])),
    replace("a.md", "two", new_str="2"), replace("a.md", "e", new_str="E"), replace("a.md", "nine", new_str=""),
    replace("a.md", "2\n", new_str="two\nlines\n"), replace("d", "x", new_str="y"), replace("none", "x", new_str="y"),
    replace("a.md", "", new_str="y"), on("view", "/a.md"), file("tabs", "a\r\nb\tc\r\n"), on("view", "/tabs"),
    *(on("insert", "/a.md", insert_line=at, insert_text=f"at {at}\n") for at in (0, 2, 6, 99, -1)),
    on("view", "/a.md"), on("insert", "/d", insert_line=0, insert_text="x"),
    on("insert", "/none", insert_line=0, insert_text="x"), on("insert", "/tabs", insert_line=1, insert_text="in\n\n"),
    on("view", "/tabs"), on("insert", "/empty", insert_line=0, insert_text=""), on("view", "/empty"),
    rename("/memories/a.md", "/memories/n/m/b.md"), rename("/memories/n/m/b.md", "/memories/d/e"),
    rename("/memories/d/e", "/memories/moved"), on("view", "/moved"), on("view", "/d"),
    rename("/memories/none", "/memories/x"), rename("/memories", "/memories/x"),
    rename("/memories/up.txt", "/memories"),
    rename("/memories/n", "/memories/n"), on("delete", "/moved/g"), on("delete", "/moved/f.txt"), on("view", "/moved"),
    on("delete", "/moved/f.txt"), on("delete", "/d"), on("view"), on("delete"), on("delete", "/n/.."),
    on("view", "/d-e"),
    on("view", "/../x"), ("view", {"path": "/etc/passwd"}), file("../../x", "out"), rename("/memories/n", "/x"),
]  # fmt: skip


def test_every_command_answers_as_the_sdks_own(tool: MemorizzMemoryTool, tmp_path: Path) -> None:
    """Over one script of commands, each answer and each error is the same."""
    own = BetaLocalFilesystemMemoryTool(str(tmp_path))
    for command, arguments in SCRIPT:
        assert outcome(tool, command, **arguments) == outcome(own, command, **arguments), (command, arguments)
    assert tool.to_dict() == own.to_dict()
    assert (tool.clear_all_memory(), outcome(tool, "view")) == (own.clear_all_memory(), outcome(own, "view"))


def test_the_async_tool_is_the_same(provider: PostgreSQLProvider, tool: MemorizzMemoryTool) -> None:
    """It answers as the sync one, in several event loops, and on the same memory."""
    other = MemorizzAsyncMemoryTool("ben", provider)

    class Awaiting:
        def call(self, command: Any) -> Any:
            return asyncio.run(other.call(command))

    for command, arguments in SCRIPT:
        assert outcome(Awaiting(), command, **arguments) == outcome(tool, command, **arguments), (command, arguments)
    assert other.to_dict() == tool.to_dict()
    assert asyncio.run(other.clear_all_memory()) == "All memory cleared"
    # Ada's is another memory, and still there.
    assert "/memories/n/" in outcome(tool, "view")
    assert provider.count(STORE.name, {"memory_id": "ben"}) == 0


def test_what_is_not_under_memories_is_refused(tool: MemorizzMemoryTool) -> None:
    """Segments are whole: /memories2 is no file of /memories, which the SDK's own takes for one."""
    for path in ("/memories2", "/memoriesX/y", "memories/a", "", "/", "/memories/../memories2/a"):
        kind, _ = outcome(tool, "create", path=path, file_text="")
        assert kind is ToolError, path


def test_what_cannot_be_told_by_the_file_system_is_an_error_too(tool: MemorizzMemoryTool) -> None:
    """A file in the place of a directory, a move into itself, a NUL, a long path: each a ToolError, nothing changed."""
    outcome(tool, "create", path="/memories/f", file_text="text")
    outcome(tool, "create", path="/memories/d/x", file_text="")
    before = outcome(tool, "view")
    for command, arguments in (
        file("f/below", "x"),
        rename("/memories/d", "/memories/d/e"),
        rename("/memories/d", "/memories/f/d"),
        file("nul", "a\0b"),
        file("half", "\ud800"),
        file("nul\0path", "x"),
        file("long" * 2500, "x"),
        replace("f", "text", new_str="a\0"),
    ):
        kind, _ = outcome(tool, command, **arguments)
        assert kind is ToolError, (command, arguments)
    assert outcome(tool, "view") == before
    assert outcome(tool, "view", path="/memories/f").endswith("\ttext")


def test_new_str_may_be_missing(tool: MemorizzMemoryTool) -> None:
    """A replacement without a new text removes the old one."""
    outcome(tool, "create", path="/memories/f", file_text="keep drop")
    outcome(tool, "str_replace", path="/memories/f", old_str=" drop")
    assert outcome(tool, "view", path="/memories/f").endswith("\tkeep")


@pytest.mark.parametrize("name", ["100%", "a_b", "a.b", "quo'te\"s", " ", "[x]", "\u00e9\u4e2d", "$x"])
def test_names_are_taken_as_they_are(provider: PostgreSQLProvider, tool: MemorizzMemoryTool, name: str) -> None:
    """What SQL takes for a pattern is a name like any other, in paths and in memory_ids."""
    outcome(tool, "create", path=f"/memories/{name}/f", file_text="1")
    outcome(tool, "create", path="/memories/1000/aXb/f", file_text="2")
    other = MemorizzMemoryTool(name, provider)
    outcome(other, "create", path="/memories/own", file_text="3")
    assert outcome(tool, "view", path=f"/memories/{name}").count("\n") == 2
    outcome(tool, "delete", path=f"/memories/{name}")
    assert outcome(tool, "view").split("\n")[2:] == ["/memories/1000/", "/memories/1000/aXb/"]
    assert outcome(other, "view", path="/memories/own").endswith("\t3")


def test_what_is_no_text_names_no_memory(provider: PostgreSQLProvider) -> None:
    """A memory_id is a text."""
    with pytest.raises(ConfigurationError, match="expected a str"):
        MemorizzMemoryTool(5, provider)  # type: ignore[arg-type]


def test_writers_of_one_memory_lose_nothing(provider: PostgreSQLProvider) -> None:
    """Of many who insert into one file each line is there; of many who create or rename one, one succeeds."""
    tools = [MemorizzMemoryTool("ada", provider) for _ in range(8)]
    outcome(tools[0], "create", path="/memories/log", file_text="")

    def work(number: int) -> list[Any]:
        tool = tools[number % 8]
        outcome(tool, "insert", path="/memories/log", insert_line=0, insert_text=f"line {number}")
        made = outcome(tool, "create", path="/memories/one", file_text=str(number))
        outcome(tool, "create", path=f"/memories/{number}", file_text="")
        return [made, outcome(tool, "rename", old_path=f"/memories/{number}", new_path="/memories/d/moved")]

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(work, range(16)))
    for each in zip(*results, strict=True):
        assert [isinstance(result, str) for result in each].count(True) == 1
    shown = outcome(tools[0], "view", path="/memories/log")
    assert sorted(re.findall(r"line \d+", shown)) == sorted(f"line {number}" for number in range(16))


def test_files_are_found_by_their_words(provider: PostgreSQLProvider, tool: MemorizzMemoryTool) -> None:
    """What Claude has noted, a program finds."""
    outcome(tool, "create", path="/memories/drinks", file_text="Ada drinks her tea without milk.")
    (hit,) = provider.retrieve_by_query({"$text": {"$search": "drinking tea"}, "memory_id": "ada"}, STORE.name)
    assert (hit["name"], hit["content"]) == ("/memories/drinks", "Ada drinks her tea without milk.")


def test_the_page_runs(run_page: Callable[[str], list[str]]) -> None:
    """In one process the model notes something, in another it reads it."""
    assert len(run_page("anthropic.md")) >= 2
