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
    """Have some work done beside a block, which is told to stop at its end."""
    end = End()
    thread = threading.Thread(target=work, args=(end,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(timeout=5)
