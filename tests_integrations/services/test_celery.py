"""The page of Celery: its tasks run in forked workers, and each is stored once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memorizz import PostgreSQLConfig, PostgreSQLProvider

# A broker of files, in the place of one that has to be installed.
WORKER = """
from pathlib import Path
from jobs import app
folder = str(Path(__file__).parent / "messages")
Path(folder).mkdir(exist_ok=True)
app.conf.broker_transport_options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
"""
SEND = """
import worker
from jobs import remember
for n in range(40):
    # Each twice, as a broker may deliver it.
    for _ in range(2):
        remember.apply_async((f"user {n}", f"tea {n}"), task_id=f"task-{n}")
"""


@pytest.fixture
def folder(program: Callable[[str], Path]) -> Path:
    folder = program("celery.md")
    (folder / "worker.py").write_text(WORKER)
    (folder / "send.py").write_text(SEND)
    return folder


@pytest.fixture
def worker(folder: Path, environment: dict[str, str]) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start a worker with two processes."""
    command = [sys.executable, "-m", "celery", "--app", "worker", "worker", "--concurrency", "2", "--loglevel", "error"]
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(command, cwd=folder, env=environment | {"BROKER": "filesystem://"}))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()


def test_each_task_is_stored_once(
    folder: Path,
    worker: Callable[[], subprocess.Popen[bytes]],
    environment: dict[str, str],
    config: PostgreSQLConfig,
    until: Callable[..., None],
) -> None:
    """Also where it is delivered twice, and where the worker is told to end in the middle and started again."""
    with PostgreSQLProvider(config.replace(embedding_dimensions=1536)) as provider:
        sending = environment | {"BROKER": "filesystem://"}
        subprocess.run([sys.executable, "send.py"], cwd=folder, env=sending, check=True)
        first = worker()
        until(lambda: provider.count("long_term_memory") > 5)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        worker()
        until(lambda: provider.count("long_term_memory") == 40)
        found = {(each["id"], each["memory_id"], each["content"]) for each in provider.list_all("long_term_memory")}
        assert found == {(f"task-{n}", f"user {n}", f"tea {n}") for n in range(40)}
