"""A proxy before a server that breaks connections where a test says, so that answers, or what was sent, are lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import psycopg
from psycopg.conninfo import make_conninfo

Cut = Literal["on the way", "answer", "pooler", "hold"]

_READY = b"Z\x00\x00\x00\x05"
_FIELDS = b"SFATAL\0C08P01\0Mserver conn crashed?\0\0"
_CRASHED = b"E" + (4 + len(_FIELDS)).to_bytes(4) + _FIELDS


class _Proxy(ABC):
    """Forwards all connections, and ends one at the next messages to the server that hold a mark.

    "on the way": the message does not reach the server; "answer": it does, and is answered, and the answer is lost;
    "pooler": as that, and the client is told so as a connection pooler tells it; "hold": the answer does not come, and
    the connection stays. `sent` counts the messages with the mark since then.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._mark, self._cut, self._times = b"", "", 0
        self._then: Callable[[], object] = bool
        self.sent = 0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @abstractmethod
    def is_whole(self, answer: bytes) -> bool:
        """Return True if the server has answered all that was sent."""

    def cut(self, mark: bytes, at: Cut, *, times: int = 1, then: Callable[[], object] = bool) -> None:
        """Cut off the next messages with a mark; `then` is called when an answer is lost, before anybody knows it."""
        self._mark, self._cut, self._times, self._then, self.sent = mark, at, times, then, 0

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            _end(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._host.startswith("/"):
                    server = socket.socket(socket.AF_UNIX)
                    server.connect(f"{self._host}/.s.PGSQL.{self._port}")
                else:
                    server = socket.create_connection((self._host, self._port))
                self._sockets += [client, server]
                lost = threading.Event()
                threading.Thread(target=self._send, args=(client, server, lost), daemon=True).start()
                threading.Thread(target=self._answer, args=(client, server, lost), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if self._mark and self._mark in data:
                    self.sent += 1
                    if self._cut == "on the way":
                        self._count()
                        break
                    if self._cut:
                        lost.set()
                server.sendall(data)
        _end(client, server)

    def _answer(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        answer = b""
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if not lost.is_set():
                    client.sendall(data)
                    continue
                answer += data
                if self.is_whole(answer):
                    if self._cut == "pooler":
                        client.sendall(_CRASHED)
                    held = self._cut == "hold"
                    self._count()
                    self._then()
                    if not held:
                        break
        _end(client, server)

    def _count(self) -> None:
        self._times -= 1
        if not self._times:
            self._cut = ""


class PostgreSQLProxy(_Proxy):
    """Before a PostgreSQL."""

    def __init__(self, conninfo: str) -> None:
        with psycopg.connect(conninfo) as connection:
            super().__init__(connection.info.host, connection.info.port)
        self.conninfo = make_conninfo(
            conninfo, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable"
        )

    def is_whole(self, answer: bytes) -> bool:
        return _READY in answer


class MongoDBProxy(_Proxy):
    """Before a mongod."""

    def __init__(self, uri: str) -> None:
        host, _, port = uri.removeprefix("mongodb://").partition("/")[0].partition(":")
        super().__init__(host, int(port))
        self.uri = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def is_whole(self, answer: bytes) -> bool:
        return len(answer) >= 4 and len(answer) >= int.from_bytes(answer[:4], "little")


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
