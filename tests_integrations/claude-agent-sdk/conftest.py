"""An endpoint that answers as the Messages API, for the SDK's command line: a session of it needs no network."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


class Endpoint(BaseHTTPRequestHandler):
    """Answers with how many messages of a user it was sent."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer("application/json", "")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        users = sum(message["role"] == "user" for message in asked.get("messages", []))
        message: dict[str, Any] = {
            "id": "msg_1", "type": "message", "role": "assistant", "model": asked.get("model"), "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
        text = {"type": "text", "text": f"I have read {users} of your messages."}
        if not asked.get("stream"):
            self._answer("application/json", json.dumps(message | {"content": [text], "stop_reason": "end_turn"}))
            return
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text["text"]}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ]
        written = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        self._answer("text/event-stream", written)

    def _answer(self, kind: str, text: str) -> None:
        written = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a program that asks this endpoint, and keeps the command line's files where nobody's are."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield environment | {
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{server.server_port}",
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CONFIG_DIR": str(tmp_path / "config"),
        }
        server.shutdown()
        thread.join()
