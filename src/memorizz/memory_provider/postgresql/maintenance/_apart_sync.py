"""Which embedders maintenance takes on the sync API, and what it does beside something else: in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from memorizz.embeddings.base import check_blocking

check_kind = check_blocking
End = threading.Event


@contextmanager
def beside(work: Callable[[End], None]) -> Generator[None]:
    """Have some work done beside a block, which is told to stop at its end; raise there what it raised."""
    end, raised = End(), list[BaseException]()

    def run() -> None:
        try:
            work(end)
        except BaseException as error:  # a thread would print it, and nobody would know
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(timeout=5)
    for error in raised:
        raise error
