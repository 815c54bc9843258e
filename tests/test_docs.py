"""The documentation is true: its programs run, print what they are said to print, and its links lead somewhere."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import bson
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from memorizz import (
    MemoryType,
    MongoDBConfig,
    MongoDBProvider,
    PostgreSQLConfig,
    PostgreSQLProvider,
    errors,
    importers,
    moving,
)
from memorizz.embeddings import OpenAIEmbedder
from memorizz.errors import ReadOnlyError
from memorizz.memory_provider.base import Ranking
from memorizz.memory_provider.postgresql import distribution
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer
from memorizz.memory_provider.postgresql.indexes import HNSW
from memorizz.memory_provider.postgresql.maintenance import Maintenance, Reembedding
from memorizz.memory_provider.stores import StoreSpec

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

# What a page shows beside a program that cannot run here, and why; in Markdown it is not seen.
NOT_RUN = "<!-- not run:"
# A line of a program that says what the line before it prints.
PRINTS = "# -> "

every_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


class Block(NamedTuple):
    """A fenced block of a page; `line` is that of its first line, counted from 0."""

    language: str
    line: int
    text: str
    run: bool


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text("utf-8").splitlines()
    opened: tuple[str, int, bool] | None = None
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("```"):
            continue
        if opened is None:
            before = next((each for each in reversed(lines[:number]) if each.strip()), "")
            opened = line.strip().removeprefix("```"), number + 1, not before.startswith(NOT_RUN)
        else:
            language, first, run = opened
            yield Block(language, first, "\n".join(lines[first:number]), run)
            opened = None
    assert opened is None, f"{page} leaves a block open"


# Pages of the frameworks: their programs run where the framework is, in tests_integrations/.
ELSEWHERE = [page for page in PAGES if page.parent.name == "integrations"]


def of(language: str) -> list[Path]:
    return [page for page in PAGES if any(block.language == language and block.run for block in blocks(page))]


PROGRAMS = [page for page in of("python") if page not in ELSEWHERE]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


# --- programs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder below which the embedded server's user, who may be another, can reach its data."""
    with tempfile.TemporaryDirectory(prefix="memorizz-docs-") as path:
        Path(path).chmod(0o711)
        yield Path(path)


def configured(dsn: str) -> dict[str, str]:
    """Return the POSTGRES_* variables of a server."""
    given = conninfo_to_dict(dsn)
    names = {"host": "HOST", "port": "PORT", "dbname": "DB", "user": "USER", "password": "PASSWORD"}
    return {f"POSTGRES_{names[key]}": str(value) for key, value in given.items() if key in names}


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The home of a user who has no server: the embedded one runs in its default place there."""
    with tempfile.TemporaryDirectory(prefix="memorizz-docs-") as path:
        Path(path).chmod(0o711)
        server = EmbeddedServer(Path(path, "memorizz", "postgresql"), settings={"fsync": "off"})
        server.acquire()
        yield Path(path)
        server.release()


@pytest.fixture(params=["with a server", "without a server"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of somebody who has set the POSTGRES_* variables, or none of them; the database is fresh."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("POSTGRES_")}
    if request.param == "with a server":
        return plain | configured(request.getfixturevalue("dsn"))
    home: Path = request.getfixturevalue("home")
    server = EmbeddedServer(home / "memorizz" / "postgresql").status().conninfo
    # Whoever opens it next finds that it is missing, and makes it.
    with psycopg.connect(make_conninfo(server or "", dbname="postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS memorizz WITH (FORCE)")
    return plain | {"HOME": str(home), "XDG_DATA_HOME": str(home)}


def program_of(page: Path) -> list[str]:
    """Return the lines of a page's Python; all else is an empty line, so that a traceback names the page's lines."""
    program = [""] * len(page.read_text("utf-8").splitlines())
    for block in blocks(page):
        if block.language == "python" and block.run:
            for offset, line in enumerate(block.text.splitlines()):
                program[block.line + offset] = line
    return program


def test_what_newcomers_copy_has_types(tmp_path: Path) -> None:
    """The programs of the first pages, an embedder typed by hand among them, are right to a strict type checker."""
    for name in ("README.md", "docs/quickstart.md", "docs/how-to/embed.md"):
        program = "\n".join(program_of(ROOT / name))
        (tmp_path / f"{Path(name).stem}.py").write_text(f"{program}\n# pyright: strict\n", "utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, *tmp_path.iterdir()],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("page", PROGRAMS, ids=map(named, PROGRAMS))
def test_the_programs_of_a_page_run(
    page: Path, folder: Path, environment: dict[str, str], mongodb_uri: Callable[[], str]
) -> None:
    """The Python blocks of a page, one after the other, are one program that runs and prints what its comments say."""
    program = program_of(page)
    # Not the name of a module that the program may want.
    script = folder / f"page_{page.stem}.py"
    script.write_text("\n".join(program), "utf-8")
    if "MONGODB_URI" in script.read_text("utf-8"):
        environment = environment | {"MONGODB_URI": mongodb_uri()}
    result = subprocess.run(
        [sys.executable, "-W", "error", script.name],
        cwd=folder,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = [line.strip().removeprefix(PRINTS) for line in program if line.strip().startswith(PRINTS)]
    assert result.stdout.splitlines() == said


@every_page
def test_what_is_not_run_says_why(page: Path) -> None:
    """A Python block that no test runs is rare, and says why."""
    for block in blocks(page):
        if block.language == "python" and not block.run:
            before = page.read_text("utf-8").splitlines()[: block.line - 1]
            note = next(line for line in reversed(before) if line.strip())
            assert re.fullmatch(r"<!-- not run: \S.{10,} -->", note), note


@pytest.mark.parametrize("page", ELSEWHERE, ids=map(named, ELSEWHERE))
def test_the_page_of_an_integration_runs_beside_its_framework(page: Path) -> None:
    """A page of docs/integrations/ is linked from their README, names the extra of its name, and a test runs it."""
    if page.name == "README.md":
        return
    tests = [each.read_text("utf-8") for each in ROOT.glob("tests_integrations/*/test_*.py")]
    assert any(f'{run}("{page.name}")' in each for each in tests for run in ("run_page", "program"))
    if (ROOT / "tests_integrations" / page.stem).exists():
        assert re.search(rf"memorizz-postgresql\[{page.stem}[,\]]", page.read_text("utf-8"))
    assert f"]({page.name})" in (page.parent / "README.md").read_text("utf-8")
    assert all(block.run for block in blocks(page))


# --- commands -----------------------------------------------------------------------------------------------------

COMMANDS = {"cd", "celery", "createdb", "curl", "docker", "export", "git", "make", "memorizz", "pip", "psql", "python",
            "uvicorn"}  # fmt: skip


def commands(page: Path) -> Iterator[list[str]]:
    for block in blocks(page):
        if block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    del words[0]
                if words:
                    yield words


@pytest.mark.parametrize("page", of("bash"), ids=map(named, of("bash")))
def test_the_commands_of_a_page_are_known(page: Path) -> None:
    """A shell block holds commands that a reader has, `make` with targets and `docker compose` with files of ours."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    for path, *rest in commands(page):
        name = Path(path).name
        assert name in COMMANDS, name
        if name == "make":
            assert targets >= {word for word in rest if "=" not in word and not word.startswith("-")}, rest
        for word in rest:
            if word.endswith((".yml", ".py")):
                assert (ROOT / word).exists(), word


def command_lines() -> set[tuple[str, ...]]:
    """Return every `memorizz ...` that the documentation shows, in blocks and in the text, without its arguments."""
    shown: set[tuple[str, ...]] = set()
    for page in PAGES:
        lines = [words for words in commands(page) if words[0] == "memorizz"] if page in of("bash") else []
        lines += [shlex.split(line) for line in re.findall(r"`(memorizz [^`]+)`", prose(page))]
        shown |= {tuple(words[1:]) for words in lines}
    return shown


def test_the_commands_of_memorizz_exist() -> None:
    """Every `memorizz` command that a page shows exists, with the options that it is shown with."""
    from typer.main import get_command

    root: Any = get_command(__import__("memorizz.cli", fromlist=["app"]).app)
    shown = command_lines()
    assert shown
    for words in shown:
        command, rest = root, iter(words)
        for word in rest:
            if word.startswith("-"):
                options = {option: parameter for parameter in command.params for option in parameter.opts}
                name, equals, _ = word.partition("=")
                assert name in {*options, "--help", "--version"}, words
                if not equals and not getattr(options.get(name), "is_flag", True):
                    next(rest, None)
            elif hasattr(command, "commands"):
                assert word in command.commands, words
                command = command.commands[word]


# --- links --------------------------------------------------------------------------------------------------------


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """Links between pages resolve, down to the heading; links out of the project are https."""
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)", prose(page)):
        path, _, heading = "".join(target).partition("#")
        if path.startswith("http"):
            assert path.startswith("https://"), path
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if heading:
            assert heading in anchors(found), target


def anchors(page: Path) -> set[str]:
    """Return what GitHub names the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked() -> None:
    """No page of docs/ is one that nobody finds."""
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page))
    }
    assert {page for page in PAGES if page.parent != ROOT} <= linked


# --- reference, schema --------------------------------------------------------------------------------------------


def test_the_reference_is_up_to_date() -> None:
    """docs/reference.md is what scripts/make_reference.py writes."""
    script = [sys.executable, str(ROOT / "scripts" / "make_reference.py"), "--check"]
    result = subprocess.run(script, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def table(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    after = page.read_text("utf-8").partition(f"\n{heading}\n")[2]
    assert after, f"{page} has no heading {heading!r}"
    rows = re.search(r"(?:^\|.*\|\n)+", after, flags=re.MULTILINE)
    assert rows is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[0].splitlines()[2:]]


def code(cell: str) -> str:
    return cell.strip("`")


@pytest.fixture
def catalog(dsn: str) -> Iterator[Callable[..., set[Any]]]:
    """Ask the catalogs of a database that has just been migrated."""
    PostgreSQLProvider(PostgreSQLConfig(dsn=dsn)).close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield lambda query, *values: set(connection.execute(query, values).fetchall())


SCHEMA = ROOT / "docs" / "schema.md"


def test_the_schema_page_names_every_table(catalog: Callable[..., set[Any]]) -> None:
    """docs/schema.md lists the tables that the migrations make."""
    made = catalog("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
    listed = table(SCHEMA, "## Tables") + table(SCHEMA, "## Its own tables")
    assert {code(row[0]) for row in listed} == {name for (name,) in made}


def test_the_schema_page_names_every_column(catalog: Callable[..., set[Any]]) -> None:
    """docs/schema.md lists the columns of a store, with their types."""
    made = catalog(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = 'long_term_memory'::regclass AND attnum > 0 AND NOT attisdropped"
    )
    assert {(code(row[0]), code(row[1])) for row in table(SCHEMA, "## Columns")} == made


def test_the_schema_page_names_every_index(catalog: Callable[..., set[Any]]) -> None:
    """docs/schema.md lists the indexes of a store, with what they are on."""
    made = catalog(
        "SELECT indexname, regexp_replace(indexdef, '.* USING ', '') FROM pg_indexes "
        "WHERE tablename = 'conversation_memory' AND schemaname = 'public'"
    )
    assert {(code(row[0]), code(row[1])) for row in table(SCHEMA, "## Indexes")} == made


def test_the_schema_page_names_every_function(catalog: Callable[..., set[Any]]) -> None:
    """docs/schema.md lists the functions that the migrations make, with their arguments."""
    made = catalog(
        "SELECT proname || '(' || pg_get_function_arguments(oid) || ')' FROM pg_proc "
        "WHERE pronamespace = 'public'::regnamespace AND starts_with(proname, 'memorizz')"
    )
    assert {(code(row[0]),) for row in table(SCHEMA, "## Its functions")} == made


def test_the_schema_page_names_the_storage(catalog: Callable[..., set[Any]]) -> None:
    """docs/schema.md says how the tables are stored, and how the vector index is built."""
    (fillfactor,) = catalog("SELECT reloptions::text FROM pg_class WHERE relname = 'long_term_memory'")
    (storage,) = catalog(
        "SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'agents'::regclass AND attname = 'embedding'"
    )
    text = SCHEMA.read_text("utf-8")
    assert fillfactor == ("{fillfactor=85}",)
    assert storage == ("e",)
    assert "`fillfactor = 85`" in text
    assert "`STORAGE EXTERNAL`" in text
    assert (HNSW().m, HNSW().ef_construction) == (24, 128)


def test_the_stores_are_listed() -> None:
    """The page on stores names the seven."""
    stores = {(code(row[0]), code(row[1])) for row in table(ROOT / "docs" / "how-to" / "stores.md", "## Seven stores")}
    assert stores == {(f"MemoryType.{member.name}", member.value) for member in MemoryType}


# --- errors -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict_server() -> Iterator[str]:
    """The connection string of a server of which one user needs a password, and another may create nothing."""
    with tempfile.TemporaryDirectory(prefix="memorizz-strict-") as path:
        Path(path).chmod(0o711)
        rules = Path(path, "pg_hba.conf")
        rules.write_text("local all ada scram-sha-256\nlocal all all peer map=memorizz\n")
        rules.chmod(0o644)
        server = EmbeddedServer(Path(path, "data"), settings={"fsync": "off", "hba_file": str(rules)})
        conninfo = server.acquire()
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("CREATE ROLE ada LOGIN PASSWORD 'right'")
            connection.execute("CREATE ROLE guest LOGIN")
            connection.execute("CREATE DATABASE plain")
        yield conninfo
        server.release()


def _ones(texts: list[str], kind: str) -> list[list[float]]:
    return [[1.0] * 1536 for _ in texts]


class Try:
    """What goes wrong in the rows of docs/errors.md: one method for each, named after it."""

    def __init__(
        self,
        dsn: str,
        strict: Callable[[], str],
        mongodb: Callable[[], str],
        monkeypatch: pytest.MonkeyPatch,
        folder: Path,
    ) -> None:
        self.dsn = dsn
        self.strict = strict
        self.mongodb = mongodb
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.opened: list[PostgreSQLProvider | MongoDBProvider] = []

    def open(self, dsn: str | None = None, **options: Any) -> PostgreSQLProvider:
        self.opened.append(provider := PostgreSQLProvider(PostgreSQLConfig(dsn=dsn or self.dsn, **options)))
        return provider

    def open_mongodb(self) -> MongoDBProvider:
        self.opened.append(provider := MongoDBProvider(MongoDBConfig(self.mongodb(), "memorizz_docs")))
        return provider

    def embed_with(
        self, name: str, dimensions: int = 1536, embed: Callable[..., Any] = lambda texts, kind: []
    ) -> PostgreSQLProvider:
        embedder = SimpleNamespace(name=name, dimensions=dimensions, embed=embed)
        self.opened.append(provider := PostgreSQLProvider(PostgreSQLConfig(dsn=self.dsn), embedder=embedder))
        return provider

    def store(self, **document: Any) -> None:
        self.open().store(document, "long_term_memory")

    def unknown_store(self) -> None:
        self.open().count("memories")

    def embedding_of_another_length(self) -> None:
        self.store(embedding=[0.1] * 384)

    def nan_in_an_embedding(self) -> None:
        self.store(embedding=[float("nan")] * 1536)

    def embedding_of_zeros(self) -> None:
        self.store(embedding=[0.0] * 1536)

    def nan_elsewhere(self) -> None:
        self.store(metadata={"scores": [1.0, float("nan")]})

    def nul_character(self) -> None:
        self.store(content="a\0b")

    def value_that_json_has_not(self) -> None:
        self.store(metadata={"file": sys.stdout})

    def wrong_type_for_a_column(self) -> None:
        self.store(content=5)

    def indexed_text_too_long(self) -> None:
        self.store(name="x" * 2000)

    def text_that_is_no_time(self) -> None:
        self.store(created_at="yesterday")

    def two_ids(self) -> None:
        self.store(id="a", _id="b")

    def another_memory_s_than_the_view_s(self) -> None:
        self.open().memory("ada").store({"memory_id": "bob"}, "toolbox")

    def an_id_that_another_memory_has(self) -> None:
        provider = self.open()
        provider.memory("bob").store({"id": "a"}, "toolbox")
        provider.memory("ada").store({"id": "a"}, "toolbox")

    def another_memory_than_the_view_s(self) -> None:
        self.open().memory("ada").recall("tea", "bob")

    def a_call_without_a_required_tenant(self) -> None:
        self.open(require_tenant=True).count("toolbox")

    def a_tenant_on_mongodb(self) -> None:
        self.open_mongodb().tenant("acme")

    def unknown_operator(self) -> None:
        self.open().count("toolbox", {"size": {"$near": 5}})

    def malformed_operand(self) -> None:
        self.open().count("toolbox", {"size": {"$in": 5}})

    def malformed_text(self) -> None:
        self.open().retrieve_by_query({"$text": "tea"}, "toolbox")

    def vector_of_another_length_in_a_query(self) -> None:
        self.open().retrieve_by_query({"embedding": [0.1] * 384}, "long_term_memory")

    def a_text_as_embedding_and_no_embedder(self) -> None:
        self.open().retrieve_by_query({"embedding": "tea"}, "toolbox")

    def negative_limit_or_one_that_is_no_whole_number(self) -> None:
        self.open().retrieve_by_query({}, "toolbox", limit=-1)

    def index_asked_to_look_too_far(self) -> None:
        self.open().retrieve_by_query({"embedding": [0.1] * 1536}, "toolbox", ef_search=5000)

    def unknown_fusion(self) -> None:
        self.open().retrieve_by_query("tea", "toolbox", ranking=Ranking(fusion="best"))

    def negative_weight(self) -> None:
        self.open().retrieve_by_query("tea", "toolbox", ranking=Ranking(words=-1))

    def turns_around_what_is_no_turn(self) -> None:
        self.open().retrieve_by_query("tea", "long_term_memory", context=2)

    def least_score_that_is_no_number(self) -> None:
        self.open().retrieve_by_query("tea", "toolbox", min_score=float("nan"))

    def budget_that_is_no_number_of_tokens(self) -> None:
        self.open().retrieve_by_query("tea", "toolbox", max_tokens=-1)

    def a_counter_without_a_budget(self) -> None:
        self.open().retrieve_by_query("tea", "toolbox", count_tokens=len)

    def a_counter_that_can_be_awaited(self) -> None:
        async def count(text: str) -> int:
            return len(text)

        self.open().retrieve_by_query("tea", "toolbox", max_tokens=9, count_tokens=count)  # type: ignore[arg-type]

    def a_counter_that_returns_no_number(self) -> None:
        provider = self.open()
        provider.store({"content": "tea"}, "toolbox")
        provider.retrieve_by_query("tea", "toolbox", max_tokens=9, count_tokens=lambda _: "many")  # type: ignore[arg-type, return-value]

    def missing_vectors_and_no_embedder(self) -> None:
        self.open().embed_missing("toolbox")

    def unknown_kind_of_explanation(self) -> None:
        self.open().retrieve_by_query("tea", "toolbox", explain="yes")

    def reranker_without_a_question(self) -> None:
        self.open().retrieve_by_query({"embedding": [0.1] * 1536}, "toolbox", rerank=lambda _, hits: hits)

    def weight_of_likeness_out_of_range(self) -> None:
        self.open().retrieve_by_query("tea", "toolbox", diverse=2)

    def nothing_to_search_for(self) -> None:
        self.open().retrieve_memory_components_by_query()

    def before_a_turn_that_is_not_there(self) -> None:
        self.open().retrieve_conversation_history_ordered_by_timestamp("m1", before="no-such-turn")

    def a_dict_where_a_value_belongs(self) -> None:
        wrong: Any = {"$ne": 1}
        self.open().retrieve_memory_components_by_query("tea", memory_id=wrong)

    def flag_that_is_none(self) -> None:
        wrong: Any = "no"
        self.open().delete_memagent("a", cascade=wrong)

    def load(self, change: Callable[[bytes], bytes]) -> None:
        """Load an export of one document, changed, over what is there."""
        provider = self.open()
        provider.store({"content": "tea"}, "toolbox")
        moving.export(provider, file := io.BytesIO(), stores=["toolbox"])
        moving.load(io.BytesIO(change(file.getvalue())), provider, existing="merge")

    def altered_file(self) -> None:
        self.load(lambda whole: whole.replace(b"tea", b"rum"))

    def file_that_is_cut_off(self) -> None:
        self.load(lambda whole: b"".join(whole.splitlines(keepends=True)[:2]))

    def file_of_another_version(self) -> None:
        self.load(lambda whole: whole.replace(b'"version":1', b'"version":2'))

    def file_that_is_no_export(self) -> None:
        self.load(lambda whole: b"{}\n")

    def take_over(self, name: str, content: bytes) -> None:
        """Import a file of another program."""
        (self.folder / name).write_bytes(content)
        self.monkeypatch.chdir(self.folder)
        importers.import_file(name, self.open())

    def file_of_no_program_that_is_known(self) -> None:
        self.take_over("tea.txt", b"tea")

    def file_of_another_program_that_is_cut_off(self) -> None:
        self.take_over("conversations.json", b'[{"mapping": {"a": 1}')

    def file_of_another_program_in_another_encoding(self) -> None:
        self.take_over("conversations.json", b'[{"mapping": {}, "\xe9": 1}]')

    def zip_that_leads_out_of_itself(self) -> None:
        with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
            archive.writestr("../tea.json", "[]")
        self.take_over("export.zip", file.getvalue())

    def dates_whose_order_is_not_known(self) -> None:
        self.take_over("chat.txt", b"1/2/2024, 10:00 - Ada: tea\n")

    def file_that_is_there_already(self) -> None:
        moving.export(self.open(), __file__, format="jsonl")

    def file_whose_name_says_no_format(self) -> None:
        moving.export(self.open(), "memories.csv")

    def file_that_is_not_there(self) -> None:
        moving.load("none.jsonl", self.open())

    def import_over_documents(self) -> None:
        provider = self.open()
        provider.store({}, "toolbox")
        moving.export(provider, file := io.BytesIO())
        moving.load(io.BytesIO(file.getvalue()), provider)

    def import_of_vectors_of_another_length(self) -> None:
        moving.export(self.open(schema="short", embedding_dimensions=384), file := io.BytesIO())
        moving.load(io.BytesIO(file.getvalue()), self.open())

    def import_of_vectors_of_another_model(self) -> None:
        moving.export(self.embed_with("first"), file := io.BytesIO())
        with PostgreSQLProvider(
            PostgreSQLConfig(dsn=self.dsn, schema="second"),
            embedder=SimpleNamespace(name="second", dimensions=1536, embed=lambda texts, kind: []),
        ) as target:
            moving.load(io.BytesIO(file.getvalue()), target)

    def unreachable_server(self) -> None:
        PostgreSQLProvider(PostgreSQLConfig(host="127.0.0.1", port=1))

    def missing_database(self) -> None:
        self.open(make_conninfo(self.dsn, dbname="nowhere"))

    def wrong_password(self) -> None:
        self.open(make_conninfo(self.strict(), user="ada", password="wrong"))

    def no_password(self) -> None:
        self.open(make_conninfo(self.strict(), user="ada"))

    def missing_extension(self) -> None:
        self.open(make_conninfo(self.strict(), user="guest", dbname="plain"))

    def schema_made_for_another_length(self) -> None:
        self.open().close()
        self.open(embedding_dimensions=384)

    def store_whose_tables_have_the_name_of_others(self) -> None:
        provider = self.open()
        for name in ("notes", "notes_parts"):
            provider.create_store(StoreSpec(name))

    def tables_not_made_yet(self) -> None:
        self.open(auto_migrate=False)

    def unknown_option(self) -> None:
        PostgreSQLConfig(shema="memories")

    def malformed_dsn(self) -> None:
        PostgreSQLConfig(dsn="postgresql//localhost")

    def embedder_by_an_unknown_name(self) -> None:
        PostgreSQLProvider(self.dsn, embedder="lokal")

    def embedder_of_another_length(self) -> None:
        self.open().close()
        self.embed_with("other", 384)

    def embedder_of_another_model(self) -> None:
        self.embed_with("first").close()
        self.embed_with("second")

    def no_server_configured(self) -> None:
        for name in ("HOST", "PORT", "DB", "USER", "PASSWORD"):
            self.monkeypatch.delenv(f"POSTGRES_{name}", raising=False)
        self.monkeypatch.setenv("MEMORIZZ_EMBEDDED", "0")
        PostgreSQLProvider()

    def read_only_server(self) -> None:
        self.open().close()
        self.open(make_conninfo(self.dsn, options="-c default_transaction_read_only=on")).store({}, "toolbox")

    def copy_over_documents(self) -> None:
        self.store()
        target = self.open(schema="moved")
        target.store({}, "toolbox")
        moving.copy(self.opened[0], target, ["toolbox"])

    def copy_onto_itself(self) -> None:
        moving.copy(self.open(), self.open())

    def copy_of_vectors_of_another_model(self) -> None:
        source = self.embed_with("first")
        config = PostgreSQLConfig(dsn=self.dsn, schema="moved")
        embedder = SimpleNamespace(name="second", dimensions=1536, embed=lambda texts, kind: [])
        self.opened.append(target := PostgreSQLProvider(config, embedder=embedder))
        moving.copy(source, target)

    def copy_with(self, journal: str) -> None:
        self.monkeypatch.chdir(self.folder)
        Path("journal.json").write_text(journal)
        moving.copy(self.open(), self.open(schema="moved"), journal="journal.json")

    def journal_that_is_damaged(self) -> None:
        self.copy_with("{")

    def journal_of_another_copy(self) -> None:
        about = {"version": 1, "source": "here", "target": "there", "existing": "refuse", "stores": {}}
        self.copy_with(json.dumps(about))

    def dump_of(self, text: bytes | None) -> None:
        self.monkeypatch.chdir(self.folder)
        Path("dump").mkdir()
        if text is not None:
            Path("dump", "toolbox.bson").write_bytes(text)
        moving.copy(moving.Dump("dump"), self.open())

    def dump_that_is_cut_off(self) -> None:
        document = bson.encode({"abcde": 1})
        self.dump_of(document + document[:5])

    def dump_that_is_no_bson(self) -> None:
        self.dump_of(b"{}" * 10)

    def folder_without_a_dump(self) -> None:
        self.dump_of(None)

    def archive_in_place_of_a_folder(self) -> None:
        self.monkeypatch.chdir(self.folder)
        Path("dump").write_bytes(b"archive")
        moving.Dump("dump")

    def every_connection_in_use(self) -> None:
        provider = self.open(max_size=1, pool_timeout=0.1)
        with provider.transaction():
            provider.count("toolbox")

    def no_answer_in_time(self) -> None:
        document = {"id": "one"}
        with self.open().transaction() as first:
            first.store(document, "toolbox")
            self.open(operation_timeout=0.2).store(document, "toolbox")

    def deadlock_of_two_transactions(self) -> None:
        provider, both = self.open(), threading.Barrier(2)
        provider.store_many([{"id": "a"}, {"id": "b"}], "toolbox")

        def cross(*ids: str) -> None:
            with provider.transaction() as transaction:
                for id in ids:
                    transaction.update_by_id(id, {"n": 1}, "toolbox")
                    if id == ids[0]:
                        both.wait()

        with ThreadPoolExecutor(2) as threads:
            for each in [threads.submit(cross, "a", "b"), threads.submit(cross, "b", "a")]:
                each.result()

    def failure_caught_inside_a_transaction(self) -> None:
        self.open().close()
        reader = self.open(make_conninfo(self.dsn, options="-c default_transaction_read_only=on"))
        with reader.transaction() as tx, suppress(ReadOnlyError):
            tx.store({}, "toolbox")

    def missing_right(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as owner:
            self.open().close()
            owner.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO pg_monitor")
            self.open(make_conninfo(self.dsn, options="-c role=pg_monitor")).store({}, "toolbox")

    def row_that_a_policy_keeps_away(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as owner:
            self.open().close()
            owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO pg_monitor")
            owner.execute("ALTER TABLE toolbox ENABLE ROW LEVEL SECURITY")
            self.open(make_conninfo(self.dsn, options="-c role=pg_monitor")).store({}, "toolbox")

    def wall_for(self, role: str = "memorizz_docs_app", memories: Any = None) -> None:
        self.open().close()
        with Maintenance(PostgreSQLConfig(dsn=self.dsn)) as maintenance:
            maintenance.enable_tenants(role, memories=memories)

    def behind_the_wall(self) -> PostgreSQLProvider:
        self.wall_for()
        return self.open(make_conninfo(self.dsn, user="memorizz_docs_app"))

    def call_without_a_tenant_behind_the_wall(self) -> None:
        self.behind_the_wall().list_all("toolbox")

    def wall_for_a_role_that_nothing_is_kept_from(self) -> None:
        self.wall_for("postgres")

    def wall_that_is_for_another_role(self) -> None:
        self.wall_for()
        self.wall_for("another")

    def second_wall_with_another_answer(self) -> None:
        self.wall_for(memories="yes")

    def wall_for_a_role_in_use(self) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as owner:
            owner.execute(
                "DO $$ BEGIN CREATE ROLE memorizz_docs_app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            )
        with psycopg.connect(self.dsn, user="memorizz_docs_app"):
            self.wall_for()

    def provider_of_a_user_from_whom_nothing_is_kept(self) -> None:
        self.wall_for()
        self.open(require_tenant=True)

    def _scaled_out(self, shards: int | None = None) -> None:
        self.open().close()
        with Maintenance(PostgreSQLConfig(dsn=self.dsn)) as maintenance:
            maintenance.scale_out(shards)

    def stores_on_several_servers_without_citus(self) -> None:
        self._scaled_out()

    def stores_in_no_shards(self) -> None:
        self._scaled_out(0)

    def distributing_what_citus_refuses(self) -> None:
        self.open().keep_history("personas")
        with Maintenance(PostgreSQLConfig(dsn=self.dsn)) as maintenance:
            maintenance.run(distribution.check(maintenance.facts()))

    def history_of_stores_that_citus_has_distributed(self) -> None:
        self.open().close()
        with psycopg.connect(self.dsn, autocommit=True) as owner:
            owner.execute("UPDATE memorizz_settings SET distributed = true")
        self.open().keep_history("personas")

    def proof_of_a_wall_that_is_not_there(self) -> None:
        self.open().close()
        with Maintenance(PostgreSQLConfig(dsn=self.dsn)) as maintenance:
            maintenance.probe_tenants()

    def change_model(self) -> None:
        """Change the embedding model from the first to the second."""
        first, second = (SimpleNamespace(name=name, dimensions=1536, embed=_ones) for name in ("first", "second"))
        self.opened.append(provider := PostgreSQLProvider(PostgreSQLConfig(dsn=self.dsn), embedder=[first, second]))
        self.both = provider
        with Maintenance(PostgreSQLConfig(dsn=self.dsn)) as maintenance:
            change = Reembedding(maintenance, second)
            change.begin()
            change.switch()

    def embedding_model_changed_meanwhile(self) -> None:
        self.change_model()
        self.both.store({"embedding": [0.1] * 1536}, "long_term_memory")

    def provider_that_a_change_has_left_behind(self) -> None:
        provider = self.open()
        self.change_model()
        provider.store({"embedding": [0.1] * 1536}, "long_term_memory")

    def vector_without_a_text_at_a_change(self) -> None:
        self.store(id="picture", embedding=[0.1] * 1536)
        self.change_model()

    def third_language_while_it_changes(self) -> None:
        self.open()
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "UPDATE memorizz_settings SET text_search_config = 'pg_catalog.german', "
                "text_search_config_before = 'pg_catalog.english'"
            )
        with Maintenance(PostgreSQLConfig(dsn=self.dsn)) as maintenance:
            maintenance.change_language("french")

    def embedder_that_fails(self) -> None:
        self.embed_with("broken").store({"content": "tea"}, "toolbox")

    def embedder_that_raises(self) -> None:
        self.embed_with("broken", embed=lambda texts, kind: {}[kind]).store({"content": "tea"}, "toolbox")

    def embedder_that_leaves_out_a_vector(self) -> None:
        self.embed_with("broken", embed=lambda texts, kind: [None]).store({"content": "tea"}, "toolbox")

    def endpoint_where_nobody_listens(self) -> None:
        with OpenAIEmbedder("nomic-embed-text", base_url="http://127.0.0.1:1/v1", dimensions=768) as embedder:
            embedder.embed(["tea"])

    def transaction_that_is_over(self) -> None:
        with self.open().transaction() as tx:
            pass
        tx.count("toolbox")

    def unreachable_mongodb(self) -> None:
        MongoDBProvider(MongoDBConfig("mongodb://ada:secret@127.0.0.1:1", connect_timeout=0.2))

    def uri_that_is_none(self) -> None:
        MongoDBConfig("localhost:27017")

    def uri_that_cannot_be_read(self) -> None:
        MongoDBProvider(MongoDBConfig("mongodb://ada:sec@ret@localhost"))

    def document_over_16_mb(self) -> None:
        self.open_mongodb().store({"content": "x" * 17_000_000}, "toolbox")

    def value_nested_too_deep_for_mongodb(self) -> None:
        self.open_mongodb().store({"deep": json.loads("[" * 200 + "]" * 200)}, "toolbox")

    def filter_nested_too_deep_for_mongodb(self) -> None:
        self.open_mongodb().count("toolbox", {"deep": json.loads("[" * 200 + "]" * 200)})

    def closed_provider(self) -> None:
        provider = self.open()
        provider.close()
        provider.count("toolbox")


ERRORS = ROOT / "docs" / "errors.md"
MESSAGES = {
    re.sub(r"\W+", "_", what.strip().lower()): (error, message)
    for what, error, message in re.findall(
        r"^\| ([^|]+) \| `(\w+)` \| `+ ?([^|]+?) ?`+ \|$", ERRORS.read_text("utf-8"), re.M
    )
}


@pytest.mark.parametrize("row", MESSAGES)
def test_each_row_of_the_error_tables_is_true(
    row: str, dsn: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What docs/errors.md says goes wrong goes wrong with that error and that message; an ellipsis stands for any."""
    kind, message = MESSAGES[row]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    mongodb = request.getfixturevalue("mongodb_uri")
    trial = Try(dsn, lambda: request.getfixturevalue("strict_server"), mongodb, monkeypatch, tmp_path)
    try:
        with pytest.raises(errors.MemorizzError) as raised:
            getattr(trial, row)()
    finally:
        for provider in trial.opened:
            provider.close()
    assert _public(type(raised.value)).__name__ == kind
    pattern = ".*".join(map(re.escape, message.split("\N{HORIZONTAL ELLIPSIS}")))
    assert re.fullmatch(pattern, str(raised.value)), str(raised.value)


def _public(kind: type) -> type:
    """Return the nearest class of memorizz.errors that an error is of."""
    return next(each for each in kind.__mro__ if each.__module__ == errors.__name__ and each.__name__[0] != "_")


def test_each_way_to_go_wrong_is_documented() -> None:
    """No trial is without its row."""
    helpers = {
        "open",
        "open_mongodb",
        "embed_with",
        "change_model",
        "store",
        "load",
        "copy_with",
        "dump_of",
        "take_over",
        "wall_for",
        "behind_the_wall",
    }
    assert set(MESSAGES) == {name for name in vars(Try) if not name.startswith("_")} - helpers


def test_the_errors_page_draws_the_whole_tree() -> None:
    """docs/errors.md names every error of the library, below its parent."""
    drawn = re.findall(r"^([ │├└─]*)(\w+)", next(blocks(ERRORS)).text, flags=re.MULTILINE)
    classes = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and kind.__module__ == errors.__name__ and name[0] != "_"
    }
    assert {name for _, name in drawn} == classes
    parents: dict[int, str] = {}
    for indent, name in drawn:
        parents[len(indent)] = name
        if indent:
            above = [each for each in getattr(errors, name).__bases__ if issubclass(each, errors.MemorizzError)]
            assert [_public(each).__name__ for each in above] == [parents[len(indent) - 4]]


def test_the_messages_of_troubleshooting_are_those_of_the_tables() -> None:
    """Troubleshooting quotes the messages as the tables below it do."""
    after = ERRORS.read_text("utf-8").partition("\n## Troubleshooting\n")[2].partition("\n## ")[0]
    quoted = re.findall(r"^\*\*`(\w+): ([^`]+?)\N{HORIZONTAL ELLIPSIS}`\*\*", after, flags=re.MULTILINE)
    assert len(quoted) >= 6
    for kind, message in quoted:
        assert any(error == kind and text.startswith(message) for error, text in MESSAGES.values()), message


def test_the_readme_takes_five_minutes() -> None:
    """It has at most 800 words, code included."""
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 800
