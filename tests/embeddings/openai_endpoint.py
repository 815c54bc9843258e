"""A real HTTP server on the loopback interface that plays OpenAI's embeddings API, well or badly."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSIONS = 4

Answer = Callable[["Handler", dict[str, Any]], None]


def vector(text: str) -> list[float]:
    """The vector of a text: made of its bytes, so that no two of the tests' texts share one."""
    return [float(len(text)), *(float(sum(text.encode()[start::3])) for start in range(DIMENSIONS - 1))]


class Endpoint:
    """The server. `script` says how the next requests are answered; when it is empty they are answered well."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.connections = 0
        self.open_connections = 0
        self.counting = threading.Lock()
        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.endpoint = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; without this the second waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.endpoint.counting:
            self.endpoint.connections += 1
            self.endpoint.open_connections += 1

    def finish(self) -> None:
        super().finish()
        with self.endpoint.counting:
            self.endpoint.open_connections -= 1

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        endpoint: Endpoint = self.endpoint
        endpoint.requests.append(asked)
        endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
        endpoint.paths.append(self.path)
        answer = endpoint.script.pop(0) if endpoint.script else well
        answer(self, asked)

    @property
    def endpoint(self) -> Endpoint:
        return self.server.endpoint  # type: ignore[attr-defined]

    def send(self, status: int, body: bytes | dict[str, Any], **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def items(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The vectors that were asked for, in the format that was asked for."""
    return [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(np.array(vector(text), dtype="<f4").tobytes()).decode()
            if asked.get("encoding_format") == "base64"
            else vector(text),
        }
        for index, text in enumerate(asked["input"])
    ]


def well(handler: Handler, asked: dict[str, Any]) -> None:
    """Answer as OpenAI does, but with the vectors in another order."""
    handler.send(200, {"object": "list", "data": items(asked)[::-1], "model": asked["model"]})


def well_once(handler: Handler, asked: dict[str, Any]) -> None:
    """Answer well, and close the connection."""
    well(handler, asked)
    handler.close_connection = True


def in_lists(handler: Handler, asked: dict[str, Any]) -> None:
    """Answer with lists of numbers whatever is asked for, as LM Studio does."""
    well(handler, {**asked, "encoding_format": "float"})


def refuse(status: int, message: str = "no", **headers: str) -> Answer:
    """Answer with a status and OpenAI's form of an error."""
    return lambda handler, _asked: handler.send(status, {"error": {"message": message}}, **headers)


def say(body: bytes | dict[str, Any], status: int = 200) -> Answer:
    """Answer with any body."""
    return lambda handler, _asked: handler.send(status, body)


def with_vectors(change: Callable[[list[dict[str, Any]]], Any]) -> Answer:
    """Answer with the right vectors as lists, after a change to them."""

    def answer(handler: Handler, asked: dict[str, Any]) -> None:
        found = items({**asked, "encoding_format": "float"})
        handler.send(200, {"data": change(found)})

    return answer


def hang(handler: Handler, _asked: dict[str, Any]) -> None:
    """Say nothing at all."""
    handler.endpoint.stopped.wait(10)
    handler.close_connection = True


def drip(handler: Handler, _asked: dict[str, Any]) -> None:
    """Send the answer byte by byte, for ever."""
    handler.send_response(200)
    handler.send_header("content-length", "1000000")
    handler.end_headers()
    handler.close_connection = True
    try:
        while not handler.endpoint.stopped.wait(0.05):
            handler.wfile.write(b" ")
    except OSError:
        pass


def hang_up(handler: Handler, _asked: dict[str, Any]) -> None:
    """Break the connection in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.close_connection = True
