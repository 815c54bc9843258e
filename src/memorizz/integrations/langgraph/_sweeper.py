"""A thread that does something now and then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

_log = logging.getLogger("memorizz.integrations.langgraph")


class Sweeper:
    """Calls something every so many seconds, in a thread of its own, from start to stop."""

    def __init__(self, sweep: Callable[[], object]) -> None:
        self._sweep = sweep
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._running: Future[None] | None = None

    def start(self, seconds: float) -> Future[None]:
        """Begin, where it does not run; return what is done when it has ended."""
        with self._lock:
            if self._running is None or self._running.done():
                self._stopping = threading.Event()
                self._running = Future()
                call = (self._running, self._stopping, seconds)
                threading.Thread(target=self._run, args=call, name="memorizz-sweeper", daemon=True).start()
            return self._running

    def stop(self, timeout: float | None) -> bool:
        """Let it end, and wait that many seconds at most; True where it has."""
        with self._lock:
            running = self._running
            self._stopping.set()
        if running is None:
            return True
        try:
            running.result(timeout)
        except TimeoutError:
            return False
        return True

    def _run(self, running: Future[None], stopping: threading.Event, seconds: float) -> None:
        while not stopping.wait(seconds):
            try:
                self._sweep()
            except Exception as error:
                # The next time the server may be there again.
                _log.warning("expired items were not removed: %s", error)
        running.set_result(None)
