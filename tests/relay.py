"""Another address for a server, as a pooler or a tunnel has it: what is sent there goes to the server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg


@contextmanager
def relay(dsn: str) -> Iterator[int]:
    """Give a port of this machine at which the server of a connection string answers, too."""
    with socket.create_server(("", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, dsn), daemon=True).start()
        yield listening.getsockname()[1]


def _accept(listening: socket.socket, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        host, port = connection.info.host, connection.info.port
    # Until the test is over, which closes what is listened on.
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            if host.startswith("/"):
                server = socket.socket(socket.AF_UNIX)
                server.connect(f"{host}/.s.PGSQL.{port}")
            else:
                server = socket.create_connection((host, port))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(2**16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
    source.close()
