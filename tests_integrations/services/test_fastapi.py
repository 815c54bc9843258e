"""The page of FastAPI: its program serves, keeps users apart, and ends without losing a request."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memorizz import PostgreSQLConfig, PostgreSQLProvider

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def ask(port: int) -> Ask:
    """Send a request and return the status and what was answered."""

    def send(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    return send


@pytest.fixture
def service(
    program: Callable[[str], Path], environment: dict[str, str], port: int, ask: Ask, until: Callable[..., None]
) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, cwd=program("fastapi.md"), env=environment) as service:

        def answers() -> bool:
            assert service.poll() is None
            try:
                return ask("GET", "/healthz") == (200, {"status": "ok"})
            except OSError:
                return False

        until(answers)
        yield service
        service.kill()


@pytest.mark.usefixtures("service")
def test_a_user_finds_and_deletes_the_own_memories(ask: Ask) -> None:
    """What one user remembered, another one neither finds nor deletes."""
    status, made = ask("POST", "/users/ada/memories", {"text": "Ada drinks tea."})
    assert status == 201
    found = (200, [{"id": made["id"], "text": "Ada drinks tea."}])
    assert ask("GET", "/users/ada/memories?question=tea") == found
    assert ask("GET", "/users/bob/memories?question=tea") == (200, [])
    assert ask("DELETE", f"/users/bob/memories/{made['id']}")[0] == 404
    assert ask("GET", "/users/ada/memories?question=tea&limit=1000") == found
    assert ask("DELETE", f"/users/ada/memories/{made['id']}") == (204, None)
    assert ask("GET", "/users/ada/memories?question=tea") == (200, [])


def test_no_request_in_flight_is_lost_when_it_ends(
    service: subprocess.Popen[bytes], ask: Ask, dsn: str, config: PostgreSQLConfig, until: Callable[..., None]
) -> None:
    """Of fifty that wait for the database at SIGTERM each is answered, and stored."""
    with ThreadPoolExecutor(50) as threads, psycopg.connect(dsn) as holding, psycopg.connect(dsn) as looking:
        looking.autocommit = True
        holding.execute("LOCK TABLE long_term_memory IN SHARE MODE")
        sent = [threads.submit(ask, "POST", f"/users/u{n}/memories", {"text": f"tea {n}"}) for n in range(50)]
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        until(lambda: looking.execute(waiting).fetchone() >= (2,))
        connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        before = -1
        # Every request has come in once the pool is full, and an answer after that was asked for after all of them.
        while (now := looking.execute(connections).fetchone()) != before:
            before = now
            assert ask("GET", "/openapi.json")[0] == 200
        service.send_signal(signal.SIGTERM)
        holding.rollback()
        answers = [each.result() for each in sent]
        assert service.wait(60) in (0, -signal.SIGTERM)
    assert {status for status, _ in answers} == {201}
    with PostgreSQLProvider(config.replace(embedding_dimensions=None)) as provider:
        assert {each["id"] for each in provider.list_all("long_term_memory")} == {made["id"] for _, made in answers}


@pytest.mark.usefixtures("service")
def test_a_service_without_its_database_is_not_ready(ask: Ask, dsn: str, until: Callable[..., None]) -> None:
    """The probe is refused with the class of the error, while the service answers; and taken again afterwards."""
    with psycopg.connect(dsn) as holding:
        # What the probe reads, and no request: it is not to hang on anything.
        holding.execute("LOCK TABLE memorizz_migrations IN ACCESS EXCLUSIVE MODE")
        assert ask("GET", "/healthz") == (503, {"detail": "OperationTimeout"})
    until(lambda: ask("GET", "/healthz") == (200, {"status": "ok"}))
