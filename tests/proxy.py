"""A proxy before a server that breaks connections where a test says, so that answers, or what was sent, are lost."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal

import psycopg
from psycopg.conninfo import make_conninfo

Cut = Literal["on the way", "answer", "pooler"]

_READY = b"Z\x00\x00\x00\x05"
_FIELDS = b"SFATAL\0C08P01\0Mserver conn crashed?\0\0"
_CRASHED = b"E" + (4 + len(_FIELDS)).to_bytes(4) + _FIELDS


class Proxy:
    """Forwards all connections, and ends one at the next message to the server that holds a mark.

    "on the way": the message does not reach the server; "answer": it does, and is answered, and the answer is lost;
    "pooler": as that, and the client is told so as a connection pooler tells it. `sent` counts the messages with the
    mark since then.
    """

    def __init__(self, conninfo: str) -> None:
        with psycopg.connect(conninfo) as connection:
            self._host, self._port = connection.info.host, connection.info.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.conninfo = make_conninfo(
            conninfo, host="127.0.0.1", port=self._listener.getsockname()[1], sslmode="disable", gssencmode="disable"
        )
        self._mark, self._cut = b"", ""
        self.sent = 0
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, mark: bytes, at: Cut) -> None:
        self._mark, self._cut, self.sent = mark, at, 0

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
                        self._cut = ""
                        break
                    if self._cut:
                        lost.set()
                server.sendall(data)
        _end(client, server)

    def _answer(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        answer = b""
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if lost.is_set():
                    answer += data
                    if _READY in answer:
                        if self._cut == "pooler":
                            client.sendall(_CRASHED)
                        self._cut = ""
                        break
                else:
                    client.sendall(data)
        _end(client, server)


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
