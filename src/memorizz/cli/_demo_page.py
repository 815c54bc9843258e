"""What `memorizz demo` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from memorizz.cli import _show
from memorizz.demo import DIMENSIONS, MODEL

# Shares no word with the memory that answers it.
QUESTION = "Who cannot stand fireworks?"
_INDENT = 2
_HIT = {"score": _show.LEFT, "memory": _show.LEFT, "content": _show.WIDE}


def show(result: Mapping[str, Any], options: str) -> None:
    """Print the results of the demo, and what can be done next with the same `options`."""
    server = result["server"]
    _show.say()
    _show.say("memorizz demo", "bold")
    _show.say(f"PostgreSQL {server['postgresql']} with pgvector {server['pgvector']}: {result['where']}", "dim")
    _stored(result["stored"], result["schema"])
    searches = result["searches"]
    _search("By meaning", searches["by_meaning"], f"`vector` is the question as {DIMENSIONS} numbers, by {MODEL}.")
    if "history" not in result:
        _next(result, options)
        return
    _search("Inside one memory", searches["inside_one_memory"])
    _filtered("With a filter", searches["without_filter"], searches["with_filter"])
    _history("A conversation, read back", result["history"])
    _agent("An agent and its memory", result["agent"], searches["tool"])
    _next(result, options)


def _stored(stored: Mapping[str, Any], schema: str) -> None:
    documents = stored["documents"]
    each = ", ".join(f"{store} {count}" for store, count in stored["by_store"].items())
    _show.say()
    if stored["now"]:
        _show.say(f"Stored {documents} memories in {stored['seconds']:.1f} s, in the schema {schema}.", "green")
    else:
        _show.say(
            f"Already there: {documents} memories in the schema {schema}, from {_show.when(stored['since'])}.",
            "green",
        )
    _show.say(each, "dim")


def _search(title: str, search: Mapping[str, Any], note: str = "") -> None:
    _section(title, search["milliseconds"])
    _question(search["text"], search["caption"].removeprefix(f"{title}: "), note)
    _calls(*_calls_of(search))
    _table(_HIT, _best_in_bold([_row(hit) for hit in search["hits"]]))


def _filtered(title: str, without: Mapping[str, Any], search: Mapping[str, Any]) -> None:
    """Show one question asked twice, first of all memories, then of those that a filter lets through."""
    _section(title, search["milliseconds"])
    _question(search["text"], search["caption"])
    _calls(*_calls_of(search))
    all_of_them = [("without", *_row(hit)) for hit in without["hits"][:1]]
    let_through = [("with", *_row(hit)) for hit in search["hits"][:2]]
    _table({"filter": _show.LEFT} | _HIT, [*all_of_them, *_best_in_bold(let_through)])


def _history(title: str, history: Mapping[str, Any]) -> None:
    _section(title, history["milliseconds"])
    memory_id, limit = history["memory_id"], history["limit"]
    _say(f"The last {len(history['turns'])} of the {history['of']} turns with {memory_id}, oldest first.")
    _calls(
        "provider.retrieve_conversation_history_ordered_by_timestamp(",
        f'    "{memory_id}", limit={limit})',
    )
    rows = [(f"{turn['timestamp']:%Y-%m-%d %H:%M}", turn["role"], turn["content"]) for turn in history["turns"]]
    _table({"time (UTC)": _show.LEFT, "role": _show.LEFT, "content": _show.WIDE}, rows)


def _agent(title: str, found: Mapping[str, Any], tool: Mapping[str, Any]) -> None:
    agent = found["agent"]
    _section(title, found["milliseconds"])
    about = [
        ("agent", Text(agent["name"], "bold")),
        ("persona", agent["persona"]),
        ("instruction", agent["instruction"]),
        ("memories", ", ".join(f"{name} ({count})" for name, count in found["memories"].items())),
        ("tools", ", ".join(agent["tools"])),
    ]
    _show.show(_show.pairs(about), _INDENT)
    _show.say()
    _question(tool["text"], f"The tool that can answer is found by meaning too: {tool['hits'][0]['name']}.")
    _show.say()
    _question(found["question"], f"What the agent knows of it in the memory of {found['memory_id']}, from every store.")
    _calls(
        "provider.retrieve_memory_components_by_query(",
        f'    query_embedding=vector, memory_id="{found["memory_id"]}", limit={len(found["hits"])})',
    )
    rows = [
        (f"{hit['score']:.2f}", f"{hit['role']} said" if "role" in hit else hit["name"], hit["content"])
        for hit in found["hits"]
    ]
    _table(_HIT, _best_in_bold(rows))


def _next(result: Mapping[str, Any], options: str) -> None:
    known = result["searches"]["by_meaning"]["hits"][0]["id"]
    elsewhere = options.removesuffix(f" --schema {result['schema']}")
    commands = {
        f'memorizz demo "{QUESTION}"{elsewhere}': "a question of your own",
        f"memorizz search passport{options}": "the same memories by their words",
        f"memorizz show {known}{options}": "one of them, whole",
        f"memorizz doctor{options}": "is the database well set up?",
    }
    _section("Next")
    for command, does in commands.items():
        _show.code(f"# {does}", _INDENT, "dim")
        _show.code(_show.to_type(command), _INDENT)
    _show.say()
    _show.code("# memories of your own, in Python", _INDENT, "dim")
    for line in _OWN:
        _show.code(line, _INDENT)
    _show.say()


_OWN = (
    "from memorizz import PostgreSQLProvider",
    "provider = PostgreSQLProvider()",
    'provider.store({"content": "Ada likes tea"}, "long_term_memory")',
    'provider.retrieve_by_query("tea", "long_term_memory", limit=5)',
)


# --- parts of a section -------------------------------------------------------------------------------------------


def _section(title: str, milliseconds: float | None = None) -> None:
    _show.say()
    _show.heading(title, "" if milliseconds is None else f"{milliseconds:.1f} ms")
    _show.say()


def _say(text: str, style: str = "") -> None:
    _show.show(Text(_show.plain(text), style), _INDENT)


def _question(text: str, caption: str, note: str = "") -> None:
    _say(f'"{text}"', "bold")
    _say(caption[:1].upper() + caption[1:])
    if note:
        _say(note, "dim")


def _calls(*lines: str) -> None:
    _show.say()
    for line in lines:
        _show.code(line, 2 * _INDENT)
    _show.say()


def _calls_of(search: Mapping[str, Any]) -> Sequence[str]:
    """Return the lines of Python that make a search."""
    conditions = "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key, value in search["conditions"].items())
    return (
        f'query = {{"embedding": vector{conditions}}}',
        f'provider.retrieve_by_query(query, "{search["store"]}", limit={search["limit"]})',
    )


def _best_in_bold(rows: Sequence[Sequence[str]]) -> list[Sequence[Any]]:
    return [[Text(_show.plain(cell), "bold") for cell in row] for row in rows[:1]] + list(rows[1:])


def _row(hit: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{hit['score']:.2f}", hit["memory_id"], hit["content"]


def _table(columns: Mapping[str, Mapping[str, Any]], rows: Sequence[Sequence[Any]]) -> None:
    _show.show(_show.table(columns, rows), _INDENT)
