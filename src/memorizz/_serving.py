"""What the servers over HTTP do alike: listen, say so, end; and which names are this machine's own."""

from __future__ import annotations

import ipaddress
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from socket import socket
from types import FrameType
from typing import Any

import uvicorn

HERE = ("127.0.0.1", "localhost", "[::1]")


def is_here(host: str) -> bool:
    """Return whether this machine alone reaches a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def written(host: str) -> str:
    """Return a host as URLs and the header Host have it."""
    return f"[{host}]" if ":" in host else host


def serve(app: Any, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve an ASGI application until SIGINT or SIGTERM.

    `ready` is told the address, such as http://127.0.0.1:8000, as soon as it answers there; port 0 is any that is free.
    """
    settings = uvicorn.Config(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=5)
    listening = _Listening(settings, written(host), ready)
    try:
        with _caught():
            listening.run()
    except KeyboardInterrupt:
        return
    except SystemExit:
        # It could not listen, and has said why; or it was told to end.
        if not listening.started:
            raise


class _Listening(uvicorn.Server):
    """A server that says when it listens, and where."""

    def __init__(self, config: uvicorn.Config, host: str, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._host, self._ready = host, ready

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            self._ready(f"http://{self._host}:{port}")


@contextmanager
def _caught() -> Generator[None]:
    """Have SIGTERM end what is in here alone: uvicorn has the signal delivered again when it has ended."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        # None stands for one that Python has not set and cannot set again.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
