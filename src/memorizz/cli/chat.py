"""memorizz chat: a conversation in the terminal, and what memory recalls for each line of it."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memorizz.cli import _show
from memorizz.cli._common import AsJSON, Server, Whose, load_extra
from memorizz.cli._embedder import Model
from memorizz.cli.changing import with_embedder
from memorizz.cli.documents import text_of
from memorizz.errors import MemorizzError, one_line

if TYPE_CHECKING:
    from memorizz.memory_provider.base import Document, MemoryProvider

# Turns of the conversation that stand in a prompt, and that are shown where it goes on.
_BEFORE, _SHOWN = 20, 6


def chat(
    command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="What answers: a command of the shell that reads what is remembered and what was said from its stdin, "
            "and whose stdout is the answer.",
        ),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on with this one; a new one by default.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many memories are recalled for a line.", min=1, max=20)] = 5,
    model: Model = None,
    *,
    whose: Whose,
    server: Server,
    as_json: AsJSON = False,
) -> None:
    """Say something, and see what memory recalls for it, while you type and with the reasons; every line is remembered.

    No language model is needed; --command brings one. Ctrl+D ends it. Where stdin is no terminal, its lines are what is
    said.
    """
    from memorizz.memory_provider._values import new_id

    in_terminal = sys.stdin.isatty() and sys.stdout.isatty() and not as_json
    with with_embedder(server, whose, model) as (view, missing):
        held = _Conversation(view, conversation or str(new_id()), command, limit)
        lines = _typed(held, missing) if in_terminal else _lines(sys.stdin)
        for line in lines:
            try:
                turn = held.say(line)
            except KeyboardInterrupt:
                _show.complain("interrupted; there is no answer")
                if in_terminal:
                    continue
                raise typer.Exit(130) from None
            if not as_json:
                _print(turn)
    if as_json:
        _show.print_json({"conversation": held.name, "turns": held.turns})
    if any(turn.problem for turn in held.turns):
        raise typer.Exit(1)


@dataclass(frozen=True)
class Turn:
    """What was said, what memory recalled for it, and what the command answered, or why it did not."""

    id: str
    text: str
    recalled: list[dict[str, Any]]
    answer: str | None = None
    problem: str | None = None


@dataclass
class _Conversation:
    view: MemoryProvider
    name: str
    command: str | None
    limit: int
    turns: list[Turn] = field(default_factory=list[Turn])

    def before(self) -> list[Document]:
        """Return the last turns, the oldest first."""
        return self.view.retrieve_conversation_history_ordered_by_timestamp(limit=_BEFORE, conversation_id=self.name)

    def recall(self, text: str) -> list[Document]:
        return self.view.recall(text, limit=self.limit, explain=True)

    def say(self, text: str) -> Turn:
        """Remember a line with what is recalled for it, and the answer of the command."""
        before = self.before() if self.command else []
        hits = self.recall(text)
        id = self._remember("user", text, recalled=hits)
        answer, problem = self._answer(_prompt(text, hits, before)) if self.command else (None, None)
        if answer is not None:
            self._remember("assistant", answer)
        recalled = [{"store": hit["_store"], "document": hit} for hit in hits]
        self.turns.append(Turn(id, text, recalled, answer, problem))
        return self.turns[-1]

    def _remember(self, role: str, text: str, **keys: Any) -> str:
        from memorizz.memory_provider.stores import CONVERSATIONS

        return self.view.remember(text, store=CONVERSATIONS, role=role, conversation_id=self.name, **keys)

    def _answer(self, prompt: str) -> tuple[str | None, str | None]:
        """Return what the command answers to a prompt, or None and why there is no answer."""
        assert self.command is not None
        # What the user has typed is run as it is meant: by a shell.
        ran = subprocess.run(  # noqa: S602
            self.command, shell=True, input=prompt, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
        )
        answer = ran.stdout.strip()
        if ran.returncode:
            return None, f"the command of --command ended with exit code {ran.returncode}: there is no answer"
        return (answer, None) if answer else (None, "the command of --command printed nothing: there is no answer")


def _prompt(text: str, hits: Sequence[Document], before: Sequence[Document]) -> str:
    """Return what the command reads: what is remembered, what was said, and what is said now, a line each."""
    said = {turn["id"] for turn in before}
    remembered = [f"- {_line(hit)}" for hit in hits if hit["id"] not in said]
    turns = [f"{turn.get('role')}: {_line(turn)}" for turn in before]
    parts = [("What is remembered:", remembered), ("What was said:", turns)]
    shown = ["\n".join([title, *lines, ""]) for title, lines in parts if lines]
    return "\n".join([*shown, f"user: {text}", ""])


def _line(document: Document) -> str:
    return " ".join(text_of(document).split())


def _lines(stream: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a stream that say something."""
    return (line.strip() for line in stream if line.strip())


def _typed(held: _Conversation, missing: str) -> Iterator[str]:
    """Yield the lines that are typed, while what is recalled for them is shown; first say what was said before."""
    chat: Any = load_extra("memorizz.chat")

    def found(text: str) -> list[str]:
        try:
            hits = held.recall(text)
        except MemorizzError as error:
            return [one_line(str(error))]
        reasons = [_why(hit) for hit in hits]
        widest = max(map(len, reasons), default=0)
        return [
            _show.plain(f"{hit['_score']:.3f} = {why:{widest}}  {_line(hit)}")
            for hit, why in zip(hits, reasons, strict=True)
        ]

    _show.say(f"--conversation {held.name} goes on with this; Ctrl+D ends it", "dim")
    if missing:
        _show.say(f"by words alone: {missing}", "dim")
        # The log would say it again.
        logging.getLogger("memorizz.embeddings").setLevel(logging.ERROR)
    before = held.before()
    for turn in before[-_SHOWN:]:
        _show.say(f"{turn.get('role')}: {_show.shortened(_line(turn))}", "dim")
    return chat.typed(found, held.limit, [text_of(turn) for turn in before if turn.get("role") == "user"])


def _why(hit: Document) -> str:
    """Return what the score of a hit is the sum of."""
    return " + ".join(f"{part} {value:.3f}" for part, value in hit["_explanation"].items())


def _print(turn: Turn) -> None:
    for each in turn.recalled:
        hit, store = each["document"], each["store"]
        _show.say(f"  {hit['_score']:.3f}  {_show.shortened(_line(hit), 200)}")
        _show.code(f"= {_why(hit)}  {store}  {hit['id']}", 9, "dim")
    if not turn.recalled:
        _show.say("  nothing is recalled", "dim")
    if turn.answer is not None:
        _show.say(turn.answer)
    if turn.problem is not None:
        _show.complain(turn.problem)
