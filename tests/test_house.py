"""The house rules, read from the source: imports point one way, and each kind of thing stands in its room."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

from memorizz.memory_provider import base

SRC = Path(__file__).parent.parent / "src"
POSTGRESQL = "memorizz.memory_provider.postgresql"
FACES = {f"{POSTGRESQL}.provider", f"{POSTGRESQL}.provider_async"}
# They perform the steps of the operations: one for each face, and what the two share.
DRIVERS = {f"{POSTGRESQL}._driver", f"{POSTGRESQL}._driver_async", f"{POSTGRESQL}._driver_shared"}
ERRORS = f"{POSTGRESQL}._errors"
# It makes the server's own database before any provider can connect to it.
EMBEDDED = f"{POSTGRESQL}.embedded._server"

MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SRC.rglob("*.py"))
}
IN_HOUSE = sorted(MODULES)

MODULE_LINES = 450
FUNCTION_LINES = 50
# What is longer, and why.
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS = {"memorizz.embeddings.openai.__init__": "one line for each option"}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text("utf-8"))


def imports(module: str, *, on_load: bool = False) -> Iterator[str]:
    """Yield the dotted names that a module imports; `on_load` leaves out what its functions import when they run."""
    for node in _on_load(tree(module)) if on_load else ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _on_load(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        is_for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not is_for_types and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _on_load(child)


def room(name: str) -> str | None:
    """Return the module of ours that a dotted name lies in."""
    while name not in MODULES:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return name


def rooms_used(module: str, *, on_load: bool = False) -> set[str]:
    return {used for name in imports(module, on_load=on_load) if (used := room(name)) is not None} - {module}


def texts(module: str) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module that are no docstrings, and their lines."""
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Constant) and id(node) not in documented:
            if isinstance(node.value, bytes):
                yield node.lineno, node.value.decode()
            elif isinstance(node.value, str):
                yield node.lineno, node.value


# --- imports point one way ----------------------------------------------------------------------------------------


def test_imports_make_no_circle() -> None:
    """No room needs, while it loads, a room that needs it; a package's door is not counted among what is behind it."""
    graph = {
        module: {used for used in rooms_used(module, on_load=True) if not module.startswith(used + ".")}
        for module in IN_HOUSE
    }
    assert set(TopologicalSorter(graph).static_order()) == set(IN_HOUSE)


COMMAND_LINE = ("memorizz.cli", "memorizz.demo", "memorizz.__main__")
BESIDE_POSTGRESQL = [
    name for name in IN_HOUSE if not name.startswith(COMMAND_LINE) and not f"{name}.".startswith(f"{POSTGRESQL}.")
]


@pytest.mark.parametrize("module", BESIDE_POSTGRESQL)
def test_the_contract_and_what_builds_on_it_know_no_database(module: str) -> None:
    """The contract, the errors and the integrations load nothing of PostgreSQL's; only the command line does."""
    assert {used for used in rooms_used(module, on_load=True) if used.startswith(POSTGRESQL)} == set()


@pytest.mark.parametrize("package", ["memorizz.errors", "memorizz.memory_provider.memory_type"])
def test_the_leaves_need_nothing_but_each_other(package: str) -> None:
    """Errors and stores stand at the bottom of the house."""
    assert rooms_used(package) <= {"memorizz.errors"}


@pytest.mark.parametrize(
    "room",
    [
        "_steps",
        "_stores",
        "_conditions",
        "_queries",
        "_changes",
        "_search",
        "_ranking",
        "_serving",
        "_writing",
        "_operations",
    ],
)  # fmt: skip
def test_what_is_said_once_knows_no_face(room: str) -> None:
    """The rooms below the faces need no face, no driver, no pool and no event loop."""
    module = f"{POSTGRESQL}.{room}"
    assert not rooms_used(module) & {*FACES, *DRIVERS, EMBEDDED}
    assert not {name.split(".")[0] for name in imports(module)} & {"asyncio", "threading", "socket", "psycopg_pool"}
    # Of the driver they need what quotes identifiers, and nothing else.
    assert {name for name in imports(module) if name.startswith("psycopg")} <= {"psycopg.sql"}


def test_the_steps_are_a_leaf() -> None:
    """What an operation may ask for is said without any other room."""
    assert rooms_used(f"{POSTGRESQL}._steps") == set()


def test_importing_the_contract_loads_no_driver() -> None:
    """Code that only names the contract pays for no driver."""
    program = (
        "import sys, memorizz, memorizz.errors, memorizz.memory_provider, memorizz.memory_provider.base, "
        "memorizz.memory_provider.memory_type\n"
        "memorizz.MemoryType, memorizz.MemoryProvider, memorizz.MemorizzError\n"
        "print(*sorted({'psycopg', 'psycopg_pool', 'pgvector', 'pymongo', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


MONGODB = "memorizz.memory_provider.mongodb"
MONGODB_DRIVERS = {f"{MONGODB}._driver", f"{MONGODB}._driver_async", f"{MONGODB}._driver_shared", f"{MONGODB}._errors"}


@pytest.mark.parametrize("module", [name for name in IN_HOUSE if name.startswith(f"{MONGODB}.")])
def test_mongodbs_driver_is_loaded_on_use(module: str) -> None:
    """Only its drivers and what names its errors need it to load, and nothing but the faces loads those."""
    if module in MONGODB_DRIVERS:
        return
    assert not {name.split(".")[0] for name in imports(module, on_load=True)} & {"bson", "pymongo", "gridfs"}
    assert not rooms_used(module, on_load=True) & MONGODB_DRIVERS
    # What BSON has and JSON has not is asked for where a record is read.
    driver = {name for name in imports(module) if name.split(".")[0] in ("bson", "pymongo")}
    assert module == f"{MONGODB}._bson" or driver == set()
    if module not in (f"{MONGODB}.provider", f"{MONGODB}.provider_async"):
        assert not rooms_used(module) & MONGODB_DRIVERS


@pytest.mark.parametrize("module", [name for name in IN_HOUSE if name != f"{MONGODB}._errors"])
def test_only_one_room_names_the_errors_of_mongodbs_driver(module: str) -> None:
    """Every other room knows DriverError, Refused and the errors of this library."""
    assert not {name for name in imports(module) if name.startswith(("pymongo.errors", "bson.errors"))}


# --- each in its room ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", IN_HOUSE)
def test_only_the_faces_touch_a_connection(module: str) -> None:
    """Connections and pools are named by the two faces and their drivers."""
    if module in {*FACES, *DRIVERS, EMBEDDED, ERRORS}:
        return
    driver = {name for name in imports(module) if name.split(".")[0] in ("psycopg", "psycopg_pool")}
    # config takes connection strings apart, cli is checked by what it calls.
    assert driver <= {"psycopg", "psycopg.sql", "psycopg.conninfo.conninfo_to_dict", "psycopg.conninfo.make_conninfo",
                      "psycopg.pq.Conninfo"}  # fmt: skip
    called = {node.func.attr for node in ast.walk(tree(module))
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}  # fmt: skip
    assert not called & {"execute", "executemany", "cursor", "fetchall", "fetchone", "pipeline"}


_STATEMENT = re.compile(
    r"\b(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\{?\w+\}?.*\sSET\s|DELETE\s+FROM\s|CREATE\s+(UNIQUE\s+)?(TABLE|INDEX|SCHEMA)\s"
    r"|ALTER\s+TABLE\s|DROP\s+(TABLE|INDEX|SCHEMA)\s|SET\s+LOCAL\s|TRUNCATE\s)"
)
# The doctor's findings quote the SQL that a person is to run.
_SQL = (
    "_queries",
    "_changes",
    "_search",
    "_ranking",
    "_conditions",
    "_indexes",
    "_migrate",
    "maintenance._doctor",
    "maintenance._findings",
    "maintenance._models",
)
_ROOMS_OF_SQL = {f"{POSTGRESQL}.{room}" for room in _SQL}


@pytest.mark.parametrize("module", [name for name in IN_HOUSE if name not in {*_ROOMS_OF_SQL, EMBEDDED}])
def test_sql_stands_in_its_rooms(module: str) -> None:
    """SQL text stands in the queries, the searches, the filters, the indexes, the migrations and the doctor."""
    assert [(line, text) for line, text in texts(module) if _STATEMENT.search(text)] == []


@pytest.mark.parametrize("module", [name for name in IN_HOUSE if name != ERRORS])
def test_only_one_room_names_the_errors_of_the_driver(module: str) -> None:
    """Every other room knows DriverError and the errors of this library."""
    named = {name for name in imports(module) if name.startswith(("psycopg.errors", "psycopg_pool.errors"))}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            dotted = f"{node.value.id}.{node.attr}"
            if re.fullmatch(
                r"(psycopg\.(\w*Error|Warning|errors)|psycopg_pool\.(PoolTimeout|PoolClosed|TooMany\w+))", dotted
            ):
                named.add(dotted)
    # The embedded server asks whether it takes connections; config has a connection string taken apart.
    allowed = {EMBEDDED: {"psycopg.Error"}, f"{POSTGRESQL}.config": {"psycopg.ProgrammingError"}}
    assert named <= allowed.get(module, set())


def test_nothing_prints_but_the_command_line() -> None:
    """A library logs, so that its user decides where it is heard."""
    printing = {
        module
        for module in IN_HOUSE
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert {module for module in printing if not module.startswith(COMMAND_LINE)} == set()


# --- size and shape -----------------------------------------------------------------------------------------------


def test_no_module_is_too_long() -> None:
    """A room that outgrows this is two rooms; the ones that are not are listed, with the reason."""
    found = {module for module, path in MODULES.items() if len(path.read_text("utf-8").splitlines()) > MODULE_LINES}
    assert found <= set(LONG_MODULES)


def test_no_function_is_too_long() -> None:
    """A function fits a screen; the ones that do not are listed, with the reason."""
    found = {
        f"{module}.{node.name}"
        for module in IN_HOUSE
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES
    }
    assert found <= set(LONG_FUNCTIONS)


@pytest.mark.parametrize("module", IN_HOUSE)
def test_every_module_says_what_it_is(module: str) -> None:
    """A module begins with a sentence."""
    said = ast.get_docstring(tree(module))
    assert said is not None
    assert said.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("module", [name for name in IN_HOUSE if "__all__" in MODULES[name].read_text("utf-8")])
def test_public_names_are_sorted_and_there(module: str) -> None:
    """A door lists what is behind it in order, and all of it can be had."""
    door = import_module(module)
    assert door.__all__ == sorted(set(door.__all__))
    for name in door.__all__:
        assert getattr(door, name) is not None


@pytest.mark.parametrize(
    "contract", [base.MemoryProvider, base.AsyncMemoryProvider, base.MemoryOperations, base.AsyncMemoryOperations]
)
def test_every_method_of_the_contract_is_documented(contract: type) -> None:
    """Who calls help() on a method, on either face, reads what it does."""
    methods = [name for name in dir(contract) if not name.startswith("_") and callable(getattr(contract, name))]
    assert len(methods) > 20
    for name in methods:
        said = inspect.getdoc(getattr(contract, name))
        assert said, name
        assert re.match(r"[A-Z].*[.;:]", said.splitlines()[0]), name


def test_both_faces_have_the_methods_of_the_contract() -> None:
    """The async contract is the blocking one, awaited: the same names and parameters."""
    for blocking, awaited in (
        (base.MemoryOperations, base.AsyncMemoryOperations),
        (base.MemoryProvider, base.AsyncMemoryProvider),
    ):
        assert blocking.__abstractmethods__ == awaited.__abstractmethods__
        for name in blocking.__abstractmethods__ - base.About.__abstractmethods__:
            parameters = inspect.signature(getattr(blocking, name)).parameters
            assert parameters == inspect.signature(getattr(awaited, name)).parameters, name
