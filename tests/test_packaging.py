"""What is handed out: the wheel holds what it needs, and the compose files start what the documentation says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that this tree builds."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    """What runs from the tree runs from the wheel: code, migrations, the demo's data, the note that it is typed."""
    files = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    in_tree = {path.relative_to(ROOT / "src").as_posix() for path in files}
    in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert in_wheel == in_tree
    assert in_wheel >= {
        "memorizz/py.typed",
        "memorizz/demo/memories.json",
        "memorizz/demo/vectors.npz",
        "memorizz/memory_provider/postgresql/migrations/0001_stores_and_words.sql",
        "memorizz/memory_provider/postgresql/migrations/store.sql",
    }


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    """Name, licence, Python, extras and the command stand in the metadata, and README is its description."""
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    said = Parser().parsestr(wheel.read(metadata).decode())
    assert said["Name"] == "memorizz-postgresql"
    assert said["Requires-Python"] == ">=3.11"
    assert said["License-Expression"] == "MIT"
    assert set(said.get_all("Provides-Extra", [])) >= {"all", "cli", "dev", "embedded", "openai"}
    assert str(said.get_payload()).strip() == (ROOT / "README.md").read_text("utf-8").strip()
    (points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "memorizz = memorizz.__main__:main" in wheel.read(points).decode()
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


def name_of(requirement: str) -> str:
    return re.split(r"[\[><=;]", requirement)[0].strip()


def test_the_library_alone_needs_no_extra() -> None:
    """Without extras there is neither a command line nor a server to install."""
    base = set(map(name_of, PROJECT["dependencies"]))
    assert base == {"numpy", "psycopg", "psycopg-pool", "uuid-utils"}


def requirements(*, besides: tuple[str, ...] = ()) -> set[str]:
    """The names of what the package and its extras require, without some of the extras."""
    extras = [each for name, each in PROJECT["optional-dependencies"].items() if name not in besides]
    return {name_of(each) for group in (PROJECT["dependencies"], *extras) for each in group} - {PROJECT["name"]}


# What is imported under another name than it is installed by.
MODULES = {
    "agent-framework-core": "agent_framework",
    "google-adk": "google.adk",
    "haystack-ai": "haystack",
    "llama-index-core": "llama_index",
    "openai-agents": "agents",
    "opentelemetry-api": "opentelemetry",
    "pydantic-ai-slim": "pydantic_ai",
    "pyyaml": "yaml",
    "strands-agents": "strands",
}


def test_every_dependency_is_used() -> None:
    """What is installed with the package, or with an extra of it, is imported by it."""
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    for name in requirements(besides=("dev", "bench")):
        module = re.escape(MODULES.get(name, name.replace("-", "_")))
        assert re.search(rf"""(\b(import|from) |import_module\(.*["']|find_spec\(["']){module}\b""", source), name


# Each framework's versions are those of its own environment.
FRAMEWORKS = tuple(path.parent.name for path in sorted(ROOT.glob("tests_integrations/*/constraints.txt")))


def constrained(path: Path) -> set[str]:
    """Return the names that a file of versions has; what is in it is names and versions, no address and no path."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line[:1] not in ("#", " ")]
    assert [line for line in lines if not re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==[a-z0-9.]+( ; |$)", line)] == []
    return {re.split(r"[\[=]", line)[0] for line in lines}


def test_every_requirement_is_constrained() -> None:
    """The versions that the tests are run with are written down."""
    wanted = requirements(besides=FRAMEWORKS)
    assert {name.replace(".", "-") for name in wanted} <= constrained(ROOT / "constraints.txt")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_has_its_extra_and_its_versions(framework: str) -> None:
    """Each environment of tests_integrations/ is that of an extra, or of what its tests need, and nothing is left to
    chance in it."""
    folder = ROOT / "tests_integrations" / framework
    wanted = {
        *(folder / "requirements.txt").read_text("utf-8").split(),
        *PROJECT["optional-dependencies"].get(framework, []),
    }
    assert {name_of(each) for each in wanted} - {PROJECT["name"]} <= constrained(folder / "constraints.txt")


def test_every_requirement_has_a_bound() -> None:
    """Each version is at least one that the tests were run with; tools that judge the code are pinned."""
    extras = PROJECT["optional-dependencies"]
    for requirement in [*PROJECT["dependencies"], *(each for extra in extras.values() for each in extra)]:
        assert requirement.startswith("memorizz-postgresql[") or ">=" in requirement or "==" in requirement, requirement


def test_the_oldest_releases_that_were_run_are_the_bounds() -> None:
    """A bound of a framework that is moved has to be run again, and docs/integrations/README.md says it."""
    page = (ROOT / "docs" / "integrations" / "README.md").read_text("utf-8")
    run = re.findall(r"([a-z-]+) (\d+\.\d+\.\d+)", page.split("The oldest ones, ")[1])
    assert run
    extras = PROJECT["optional-dependencies"]
    bounds = dict(each.split(">=") for name in FRAMEWORKS for each in extras.get(name, []) if ">=" in each)
    for framework, version in run:
        assert f"{version}.0".startswith(f"{bounds[framework]}."), (framework, version, bounds[framework])


def test_the_changelog_has_this_version() -> None:
    """The version that is built is one that the changelog speaks of."""
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


# --- compose ------------------------------------------------------------------------------------------------------


def service(file: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / file).read_text("utf-8"))["services"]["postgres"]


def settings(command: list[str]) -> dict[str, str]:
    assert command[0] == "postgres"
    assert set(command[1::2]) == {"-c"}
    return dict(setting.split("=") for setting in command[2::2])


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker-compose.prod.yml"])
def test_compose_keeps_data_and_health(file: str) -> None:
    """Both start pgvector on PostgreSQL 16, keep the data in a named volume, and know when the server is ready."""
    described = yaml.safe_load((ROOT / file).read_text("utf-8"))
    postgres = described["services"]["postgres"]
    assert postgres["image"] == "pgvector/pgvector:pg16"
    assert postgres["environment"]["POSTGRES_DB"] == "memorizz"
    assert postgres["volumes"] == ["postgres_data:/var/lib/postgresql/data"]
    assert set(described["volumes"]) == {"postgres_data"}
    assert "pg_isready" in postgres["healthcheck"]["test"][1]


def test_compose_for_development_fits_the_defaults() -> None:
    """Database, user, password and port are those that the documentation names, open to this machine only."""
    postgres = service("docker-compose.yml")
    assert postgres["environment"] == {
        "POSTGRES_DB": "memorizz",
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": "password",
    }
    assert postgres["ports"] == ["127.0.0.1:5432:5432"]


def test_compose_for_production_is_closed() -> None:
    """It has no password of its own, publishes no port, starts again, and does not start without being told who."""
    postgres = service("docker-compose.prod.yml")
    for name in ("POSTGRES_USER", "POSTGRES_PASSWORD"):
        assert postgres["environment"][name].startswith(f"${{{name}:?")
    assert "ports" not in postgres
    assert postgres["restart"] == "always"


def test_compose_for_production_has_room_for_a_vector_index() -> None:
    """The shared memory holds what the parallel build of an index may take."""
    postgres = service("docker-compose.prod.yml")
    memory = {"MB": 1, "GB": 1024}
    wanted = settings(postgres["command"])["maintenance_work_mem"]
    assert int(wanted[:-2]) * memory[wanted[-2:]] <= int(postgres["shm_size"].removesuffix("g")) * 1024
