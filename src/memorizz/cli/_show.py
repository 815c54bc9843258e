"""How the commands speak: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from memorizz.errors import one_line

# Wider lines are hard to read, however wide the terminal.
_WIDEST = 120

# What a terminal would obey and not show: a document must not move the cursor, change the title, or turn the order of a
# line round, what stands beside it included.
_ORDER = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"},
    **{code: f"\\u{code:04x}" for code in _ORDER},
}


def console() -> Console:
    """Return the console of stdout; texts are shown as they are, square brackets and colons included."""
    found = Console(markup=False, emoji=False, highlight=False)
    return found if found.width <= _WIDEST else Console(markup=False, emoji=False, highlight=False, width=_WIDEST)


def code(line: str, indent: int = 0, style: str = "cyan") -> None:
    """Print a line of code in one piece, so that it can be copied, however narrow the terminal is."""
    console().print(Text(" " * indent + plain(line), style), soft_wrap=True)


def to_type(text: str) -> str:
    """Return a text with our command as it can be typed here: by its path where no PATH leads to it."""
    return _OUR_COMMAND.sub(f"{_program()} ", text)


_OUR_COMMAND = re.compile(r"(?<![\w./-])memorizz (?=[a-z])")


def _program() -> str:
    called = Path(sys.argv[0])
    if called.parts[-2:] == ("memorizz", "__main__.py"):
        return f"{shlex.quote(sys.executable)} -m memorizz"
    found = shutil.which("memorizz")
    if called.stem != "memorizz" or (found is not None and Path(found).resolve() == called.resolve()):
        return "memorizz"
    here = called.absolute()
    return shlex.quote(str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here))


def say(text: str = "", style: str = "") -> None:
    console().print(Text(plain(text), style))


def show(renderable: RenderableType, indent: int = 0) -> None:
    console().print(Padding(renderable, (0, 0, 0, indent), expand=False))


def heading(text: str, beside: str = "") -> None:
    """Print a line across the page with a title before it, and perhaps something short at its end."""
    if cell_len(text) + cell_len(beside) + 4 > console().width:
        say(text, "bold")
        if beside:
            say(beside, "dim")
        return
    line = Table.grid(padding=(0, 1, 0, 0), expand=True)
    line.add_column(no_wrap=True, style="bold")
    line.add_column(ratio=1)
    if beside:
        line.add_column(no_wrap=True, style="dim")
    # Rich's rule does not see by itself that it is to be written in ASCII.
    dash = "-" if console().options.ascii_only else "─"
    line.add_row(plain(text), Rule(characters=dash, style="dim"), *filter(None, [beside]))
    console().print(line)


LEFT: Mapping[str, Any] = {"no_wrap": True}
RIGHT: Mapping[str, Any] = {"no_wrap": True, "justify": "right"}
WIDE: Mapping[str, Any] = {"ratio": 1}


class _Table(Table):
    """A table that loses nothing where it is too wide for the terminal: then each row is a paragraph."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if sum(map(_needed, self.columns)) + 2 * (len(self.columns) - 1) <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        names = [" ".join(str(column.header).split()) for column in self.columns[1:]]
        for first, *cells in zip(*(column.cells for column in self.columns), strict=True):
            yield first
            said = [
                Text.assemble((f"{name} ", "dim"), cell) if name else Text.assemble(cell)
                for name, cell in zip(names, cells, strict=True)
                if str(cell)
            ]
            lines = [Text()]
            for each in said:
                if lines[-1] and cell_len(lines[-1].plain) + len(_BETWEEN) + cell_len(each.plain) > options.max_width:
                    lines.append(Text())
                lines[-1].append(_BETWEEN).append_text(each)
            yield from lines


_BETWEEN = "  "
_ENOUGH = 16  # of a column that wraps


def _needed(column: Column) -> int:
    """Return the width that a column has to have."""
    cells = [cell.plain if isinstance(cell, Text) else str(cell) for cell in (column.header, *column.cells)]
    widest = max(cell_len(line) for cell in cells for line in cell.split("\n"))
    return widest if column.no_wrap else min(widest, _ENOUGH)


def table(
    columns: Mapping[str, Mapping[str, Any]], rows: Sequence[Sequence[RenderableType]], last: Sequence[str] = ()
) -> Table:
    """Return a table; a column's options are those of rich. `last` is set apart at the end."""
    made = _Table(
        box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim", border_style="dim", padding=(0, 1, 0, 0)
    )
    for name, options in columns.items():
        made.add_column(name, **options)
    for row in rows:
        made.add_row(*(plain(cell) if isinstance(cell, str) else cell for cell in row))
    if last:
        made.add_section()
        made.add_row(*last)
    return made


def pairs(rows: Sequence[tuple[str, str | Text]]) -> Table:
    """Return names with what they are, in two columns."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(ratio=1, overflow="fold")
    for name, content in rows:
        made.add_row(plain(name), plain(content) if isinstance(content, str) else content)
    return made


def shortened(text: str, longest: int = 400) -> str:
    return text if len(text) <= longest else text[:longest].rstrip() + " ..."


def value(found: Any) -> str:
    """Return a document's value as a person reads it: text as it is, all else as JSON."""
    if isinstance(found, str):
        return found
    if isinstance(found, datetime):
        return f"{found:%Y-%m-%d %H:%M:%S} UTC"
    return json.dumps(found, ensure_ascii=False, default=_jsonable)


def complain(message: str) -> None:
    """Print what went wrong, on one line of stderr."""
    print(f"memorizz: {one_line(to_type(message))}", file=sys.stderr)


def plain(text: str) -> str:
    """Return a text that a terminal shows and does not obey."""
    return text.translate(_CONTROLS)


def print_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_jsonable)
    print(text.translate({code: f"\\u{code:04x}" for code in (*range(127, 160), *_ORDER)}))


def _jsonable(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


@contextmanager
def waiting(text: str) -> Generator[None]:
    """Say what is waited for, on a terminal only, and forget it again."""
    errors = Console(stderr=True, markup=False)
    if not errors.is_terminal:
        yield
        return
    with errors.status(Text(plain(text), "dim")):
        yield


def when(moment: datetime) -> str:
    """Return a time as the clock on the wall shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def number(count: int | None, *, estimated: bool = False) -> str:
    """Return a count as people read it, marked where it is an estimate; ? where it is not known."""
    return "?" if count is None else f"{'~' * estimated}{count:,}"


def size(count: float) -> str:
    """Return a number of bytes in a unit that suits it."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TB"
