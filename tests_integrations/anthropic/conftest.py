"""An endpoint that answers as the Messages API: it notes what it is told, and reads what it has noted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Endpoint(BaseHTTPRequestHandler):
    """Asks for the memory tool first, and then says what that has answered."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content, stop = self._next(asked["messages"][-1]["content"])
        written = json.dumps({
            "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "content": [content],
            "stop_reason": stop, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
        }).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def _next(self, last: Any) -> tuple[dict[str, Any], str]:
        if not isinstance(last, str):
            result = last[0]["content"]
            text = result if isinstance(result, str) else result[0]["text"]
            return {"type": "text", "text": text.splitlines()[-1].strip()}, "end_turn"
        path = "/memories/user.md"
        if last.endswith("?"):
            command = {"command": "view", "path": path}
        else:
            command = {"command": "create", "path": path, "file_text": last}
        return {"type": "tool_use", "id": "toolu_1", "name": "memory", "input": command}, "tool_use"


@pytest.fixture
def environment(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a program that asks this endpoint."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield environment | {
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}",
            "ANTHROPIC_API_KEY": "none",
        }
        server.shutdown()
        thread.join()
