"""Lines that are typed in a terminal, which shows meanwhile what a search finds for them: `memorizz chat`.

Needs the extra `chat`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence

try:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import get_app
    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.history import InMemoryHistory
    from prompt_toolkit.patch_stdout import patch_stdout
    from prompt_toolkit.styles import Style
except ImportError as error:
    from memorizz.integrations._providers import missing

    raise missing(error, "chat") from error

__all__ = ["typed"]

# Searches of what a line says, and returns what was found, a line each, the best first.
Search = Callable[[str], Sequence[str]]

# So many seconds after a key, with none since, the line is searched for.
_QUIET = 0.15


def typed(search: Search, most: int, before: Iterable[str] = ()) -> Iterator[str]:
    """Yield the lines that are typed until Ctrl+D; below the one that is typed stands what the search finds of it.

    most: so many lines of what is found are shown.
    before: what was typed in earlier times, which the arrow keys bring back.

    Ctrl+C gives up a line. The search runs in a thread of its own, and not again before it has ended.
    """
    typing = _Typing(search, most, before)
    while True:
        try:
            line = typing.line()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if line.strip():
            yield line


class _Typing:
    def __init__(self, search: Search, most: int, before: Iterable[str]) -> None:
        self._search, self._most = search, most
        self._found: Sequence[str] = ()
        self._changed = asyncio.Event()
        self._session: PromptSession[str] = PromptSession(
            history=InMemoryHistory([*before]),
            bottom_toolbar=self._below,
            style=Style([("bottom-toolbar", "noreverse")]),
            # A terminal is for what is found, and not for completions.
            reserve_space_for_menu=0,
        )
        self._session.default_buffer.on_text_changed += self._tell

    def line(self) -> str:
        """Return a line that was typed; raises EOFError and KeyboardInterrupt for the keys of these names."""
        self._found, self._changed = (), asyncio.Event()
        # What a log says meanwhile stands above the line.
        with patch_stdout():
            return self._session.prompt("> ", pre_run=lambda: _in_background(self._search_as_it_changes()))

    def _tell(self, buffer: Buffer) -> None:
        self._changed.set()

    def _below(self) -> str:
        # As many lines at all times: else all that stands above would jump.
        lines = [*self._found[: self._most], *[""] * self._most]
        return "\n".join(lines[: self._most])

    async def _search_as_it_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(_QUIET)
            if self._changed.is_set():
                continue
            text = self._session.default_buffer.text
            self._found = await asyncio.to_thread(self._search, text) if text.strip() else ()
            get_app().invalidate()


def _in_background(task: Coroutine[None, None, None]) -> None:
    get_app().create_background_task(task)
