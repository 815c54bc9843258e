"""The table of bad inputs: what each is answered with. The docs show these messages.

Each message says what was wrong, what was expected and what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from memorizz.errors import (
    ConfigurationError,
    ConnectionFailed,
    DatabaseError,
    DimensionMismatch,
    FilterError,
    InvalidDocument,
    MemorizzError,
    ProviderClosed,
    ReadOnlyError,
    SchemaError,
)
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig
from memorizz.memory_provider.stores import UnknownStore

LONG = MemoryType.LONG_TERM_MEMORY
SECRET = "s3cret-of-ours"


def message(error: type[MemorizzError], call: Callable[[], Any]) -> str:
    """Make a call that must fail with an error of this very class; return what it says, on one line."""
    with pytest.raises(MemorizzError) as caught:
        call()
    assert type(caught.value) is error
    text = str(caught.value)
    assert SECRET not in text
    assert "\n" not in text
    return text


def config_of(server: Any, **options: Any) -> PostgreSQLConfig:
    given = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    return PostgreSQLConfig(**given | {"database": "postgres", "connect_timeout": 5} | options)


# --- what a caller passes -----------------------------------------------------------------------------------------


def test_an_unknown_store(api: Any) -> None:
    """The name is quoted and the seven are listed; it is a ConfigurationError."""
    assert issubclass(UnknownStore, ConfigurationError)
    assert message(UnknownStore, lambda: api.store({}, "long_term_memories")) == (
        "unknown memory store 'long_term_memories': expected a MemoryType or one of personas, toolbox, "
        "short_term_memory, long_term_memory, conversation_memory, workflow_memory, agents"
    )


def test_an_embedding_of_the_wrong_length(api: Any) -> None:
    """The store, the length expected and the length got are named, and both ways out."""
    for call, what in (
        (lambda: api.store({"embedding": [0.1, 0.2]}, LONG), "store"),
        (lambda: api.retrieve_by_query({"embedding": [0.1, 0.2]}, LONG), "search by"),
    ):
        assert message(DimensionMismatch, call) == (
            f"cannot {what} 'embedding': vector dimension mismatch: long_term_memory holds vectors of 4 dimensions, "
            "got 2; use the embedding model that the store was made for, or another schema or database with "
            "embedding_dimensions=2"
        )


def test_not_a_number(api: Any) -> None:
    """NaN is refused by its path, in JSON and in an embedding."""
    assert message(InvalidDocument, lambda: api.store({"metadata": {"scores": [1.0, float("nan")]}}, LONG)) == (
        "cannot store 'metadata.scores[1]': nan is not a finite number; JSON has none such, use None"
    )
    assert message(InvalidDocument, lambda: api.store({"embedding": [1, 2, 3, float("nan")]}, LONG)) == (
        "cannot store 'embedding': the vector holds NaN or infinity; every number must be finite in single precision"
    )


def test_a_nul_character(api: Any) -> None:
    """NUL is refused by its path, with the option that replaces it."""
    assert message(InvalidDocument, lambda: api.store({"content": "a\0b"}, LONG)) == (
        "cannot store 'content': the text holds a NUL character, which cannot be stored; remove it, or use "
        "on_invalid_text='replace' in the configuration"
    )


def test_a_value_that_json_cannot_hold(api: Any) -> None:
    """The path and the type are named, and what there may be."""
    assert message(InvalidDocument, lambda: api.store({"tool": {"callback": print}}, LONG)) == (
        "cannot store 'tool.callback': a builtin_function_or_method cannot be kept as JSON; expected str, int, float, "
        "bool, None, list, dict, datetime, UUID, Enum, Decimal, set or tuple"
    )


def test_a_key_of_the_wrong_type(api: Any) -> None:
    """A key with a column says what it holds."""
    assert message(InvalidDocument, lambda: api.store({"importance_score": "high"}, LONG)) == (
        "cannot store 'importance_score': expected a finite number in double precision or None, got 'high'"
    )


def test_an_unknown_operator(api: Any) -> None:
    """The operator and its key are named, and the operators that there are."""
    text = message(FilterError, lambda: api.retrieve_by_query({"age": {"$near": 5}}, LONG))
    assert text.startswith("unknown operator $near under 'age'; expected one of $eq, $ne, $gt")


def test_a_malformed_operand(api: Any) -> None:
    """The operator, its key and the form of the operand are named."""
    text = message(FilterError, lambda: api.count(LONG, {"age": {"$in": 5}}))
    assert text == "$in under 'age' expects a list of values, {'$in': [...]}; got a int"


def test_a_closed_provider(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """A call after close says what to do."""
    api = open_api(config)
    api.count(LONG)
    api.close()
    assert message(ProviderClosed, lambda: api.count(LONG)) == "the provider is closed: open a new one"


def test_a_read_only_transaction(open_api: Callable[..., Any], config: PostgreSQLConfig) -> None:
    """A write where nothing can be written says so, and where writes go."""
    read_only = config.replace(libpq={"options": "-c default_transaction_read_only=on"})
    with open_api(read_only) as api:
        text = message(ReadOnlyError, lambda: api.store({}, LONG))
    assert text.startswith(
        "the server or the transaction is read-only: write to the primary "
        "(cannot execute INSERT in a read-only transaction; host "
    )


# --- what a search is asked ---------------------------------------------------------------------------------------

EAST = [1.0, 0.0, 0.0, 0.0]
STRANGE = ["", " \n\t", "the of and is", "a & | !", "'\"<->:*()", "\\", "\\' | !", "a" * 100_000, "\x00\ud800"]


@pytest.fixture
def tea(api: Any) -> Any:
    """A provider that holds two documents with a vector and one without."""
    api.store_many([{"content": "Tea with milk.", "embedding": EAST, "memory_id": "m", "n": n} for n in (1, 2)], LONG)
    api.store({"content": "A harbour in winter.", "memory_id": "m", "n": 3}, LONG)
    return api


@pytest.mark.parametrize("text", STRANGE)
def test_a_text_that_says_nothing(tea: Any, text: str) -> None:
    """It finds nothing by words, and takes nothing away from what a vector finds."""
    assert tea.retrieve_by_query(text, LONG, 5) == []
    assert tea.retrieve_by_query({"$text": {"$search": text}, "memory_id": "m"}, LONG, 5) == []
    assert tea.retrieve_memory_components_by_query(text, memory_id="m") == []
    both = tea.retrieve_by_query({"$text": {"$search": text}, "embedding": EAST}, LONG, 5)
    assert [hit["n"] for hit in both] == [1, 2]
    assert len(tea.retrieve_memory_components_by_query(text, EAST, "m")) == 2


def test_nothing_in_a_text_is_an_operator(tea: Any) -> None:
    """Its words find what they would find alone."""
    for text in (
        "harbour & !winter",
        "'harbour'::tsquery | !",
        "\\harbour\\ <-> ''",
        '"harbour -winter"',
        "harbour:*%(limit)s",
    ):
        assert [hit["n"] for hit in tea.retrieve_by_query(text, LONG, 5)] == [3], text
        assert [hit["n"] for hit in tea.retrieve_memory_components_by_query(text)] == [3], text


def test_a_page_is_searched_by_what_it_says_most(tea: Any) -> None:
    """64 different words of a text are searched for, those that it repeats before those that it begins with."""
    page = [f"word{n}" for n in range(10_000)]
    for text, found in (
        ([*page[:63], "harbour"], [3]),
        ([*page[:64], "harbour"], []),
        ([*page[:64], "harbour", "harbours"], [3]),
        ([*page, "harbour", "harbours"], [3]),
        # What is behind the first 100,000 characters is not read.
        ([*page, *page, "harbour", "harbours"], []),
    ):
        assert [hit["n"] for hit in tea.retrieve_by_query(" ".join(text), LONG, 5)] == found
        assert [hit["n"] for hit in tea.retrieve_memory_components_by_query(" ".join(text))] == found


WORDS = {"$text": {"$search": "tea"}}
QUERIES: list[dict[str, Any]] = [{"memory_id": "m"}, {"embedding": EAST}, WORDS, {"embedding": EAST, **WORDS}]


@pytest.mark.parametrize("query", [*QUERIES, "tea"], ids=["filter", "vector", "words", "both", "str"])
def test_any_limit(tea: Any, query: Any) -> None:
    """None is nothing, a huge one is all that match; what is no number of documents is refused, also in the query."""
    assert tea.retrieve_by_query(query, LONG, 0) == []
    every = 3 if query == {"memory_id": "m"} else 2
    assert len(tea.retrieve_by_query(query, LONG, 1_000_000_000)) == every
    for limit in (-1, 1_000_000_001, True, 1.5, "5", None):
        said = f"limit={limit!r}: expected a whole number from 0 to 1,000,000,000"
        assert message(ConfigurationError, lambda limit=limit: tea.retrieve_by_query(query, LONG, limit)) == said
        if isinstance(query, dict):
            inside = query | {"limit": limit}
            assert message(ConfigurationError, lambda inside=inside: tea.retrieve_by_query(inside, LONG)) == said


def test_any_limit_of_components(tea: Any) -> None:
    """As of any other search."""
    assert tea.retrieve_memory_components_by_query("tea", limit=0) == []
    assert len(tea.retrieve_memory_components_by_query("tea", EAST, limit=1_000_000_000)) == 2
    for limit in (-1, 1_000_000_001, True, 1.5, "5", None):
        call = lambda limit=limit: tea.retrieve_memory_components_by_query("tea", limit=limit)  # noqa: E731
        assert message(ConfigurationError, call) == f"limit={limit!r}: expected a whole number from 0 to 1,000,000,000"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ef_search": 0}, "ef_search=0: expected 1 to 1000"),
        ({"ef_search": True}, "ef_search=True: expected a whole number from 0 to 1,000,000,000"),
        ({"explain": "yes"}, "explain='yes': expected True, False or 'plan'"),
        ({"ranking": {"words": 1}}, "ranking: expected a Ranking, got dict"),
        ({"min_score": float("nan")}, "min_score=nan: expected a finite number"),
        ({"context": -1}, "context=-1: expected a whole number from 0 to 1,000,000,000"),
    ],
)
def test_an_option_that_cannot_be(api: Any, options: dict[str, Any], said: str) -> None:
    """It is named, with what was expected."""
    assert message(ConfigurationError, lambda: api.retrieve_by_query({"embedding": EAST}, LONG, **options)) == said


@pytest.mark.parametrize("query", [5, None, ["tea"], b"tea"])
def test_what_is_no_query(api: Any, query: Any) -> None:
    """Its type is named; a text of the components is refused likewise."""
    said = f"a query is a dict or a str, got {type(query).__name__}"
    assert message(FilterError, lambda: api.retrieve_by_query(query, LONG)) == said
    if query is not None:
        text = message(FilterError, lambda: api.retrieve_memory_components_by_query(query))
        assert text.startswith('$text: expected {"$search": "the words"}, got ')


def test_an_unknown_store_of_components(api: Any) -> None:
    """As in any other call."""
    text = message(UnknownStore, lambda: api.retrieve_memory_components_by_query("tea", memory_type="memories"))
    assert text.startswith("unknown memory store 'memories': expected a MemoryType or one of personas, ")


# --- what a server answers ----------------------------------------------------------------------------------------


def test_a_server_that_is_not_there(open_api: Callable[..., Any], plain_postgresql: Any) -> None:
    """Host, port and database are named, within the connect timeout."""
    started = time.monotonic()
    config = PostgreSQLConfig("127.0.0.1", 1, "memorizz", "ada", SECRET, connect_timeout=2)
    text = message(ConnectionFailed, lambda: open_api(config).count(LONG))
    assert time.monotonic() - started < 10
    assert text.startswith(
        "Failed to connect to PostgreSQL: host 127.0.0.1, port 1, database memorizz, user ada: connection failed:"
    )
    assert text.endswith("; check that the server runs and that host, port, user and password are right")


def test_a_server_that_does_not_answer(open_api: Callable[..., Any]) -> None:
    """A port that accepts and then says nothing is given up at the connect timeout."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = PostgreSQLConfig("127.0.0.1", silent.getsockname()[1], password=SECRET, connect_timeout=2)
        started = time.monotonic()
        text = message(ConnectionFailed, lambda: open_api(config).count(LONG))
        assert time.monotonic() - started < 10
    assert text.startswith("Failed to connect to PostgreSQL: host 127.0.0.1, port ")
    assert "timeout" in text


def test_it_is_a_connection_error(open_api: Callable[..., Any]) -> None:
    """Python's own ConnectionError catches it."""
    config = PostgreSQLConfig("127.0.0.1", 1, connect_timeout=2)
    with pytest.raises(ConnectionError, match=r"^Failed to connect to PostgreSQL"):
        open_api(config).count(LONG)


def test_a_wrong_password(open_api: Callable[..., Any], plain_postgresql: Any) -> None:
    """The server's own words, and no password."""
    config = config_of(plain_postgresql, password=SECRET)
    text = message(ConnectionFailed, lambda: open_api(config).count(LONG))
    assert text.startswith(
        f"Failed to connect to PostgreSQL: host 127.0.0.1, port {plain_postgresql.port}, database postgres, "
        "user postgres: "
    )
    assert 'password authentication failed for user "postgres"' in text
    assert plain_postgresql.password not in text


def test_no_password(open_api: Callable[..., Any], plain_postgresql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that the server wants and nobody gave is said."""
    for variable in ("PGPASSWORD", "POSTGRES_PASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(variable, raising=False)
    config = config_of(plain_postgresql, password=None, passfile="/nonexistent")
    assert "no password supplied" in message(ConnectionFailed, lambda: open_api(config).count(LONG))


def test_a_missing_database(open_api: Callable[..., Any], plain_postgresql: Any) -> None:
    """The command that creates it is said."""
    config = config_of(plain_postgresql, database="memories of ada")
    text = message(ConnectionFailed, lambda: open_api(config).count(LONG))
    assert text.startswith("Failed to connect to PostgreSQL: host 127.0.0.1, ")
    assert 'database "memories of ada" does not exist' in text
    assert text.endswith("; create the database: createdb 'memories of ada'")


def test_a_missing_extension(open_api: Callable[..., Any], plain_postgresql: Any) -> None:
    """A server without pgvector is told what to install, and nothing is left behind."""
    config = config_of(plain_postgresql, schema="memories")
    text = message(SchemaError, lambda: open_api(config).count(LONG))
    version = plain_postgresql.version
    assert text.startswith(
        "extension \"vector\" does not exist in database 'postgres', and this user cannot create it ("
    )
    assert text.endswith(
        f"): install pgvector on the server (Debian's package postgresql-{version}-pgvector, the image "
        "pgvector/pgvector) and run `CREATE EXTENSION vector` in 'postgres' as a superuser"
    )
    with psycopg.connect(config.conninfo) as connection:
        assert connection.execute("SELECT FROM pg_namespace WHERE nspname = 'memories'").fetchone() is None


def test_an_extension_that_this_user_may_not_create(open_api: Callable[..., Any], dsn: str) -> None:
    """Where pgvector is installed and a right is missing, the command and who may run it are said."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA ours; GRANT ALL ON SCHEMA ours TO PUBLIC")
    options = "-c role=pg_monitor"
    config = PostgreSQLConfig(dsn=dsn, schema="ours", embedding_dimensions=4, options=options)
    text = message(SchemaError, lambda: open_api(config).count(LONG))
    assert "permission denied" in text
    assert "run `CREATE EXTENSION vector` in " in text


def test_another_length_than_the_schemas(open_api: Callable[..., Any], migrated_dsn: str) -> None:
    """Opening a schema with another length of vectors names both."""
    config = PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=8)
    assert message(ConfigurationError, lambda: open_api(config).count(LONG)) == (
        "vector dimension mismatch: schema 'public' holds vectors of 4 dimensions, the configuration says "
        "embedding_dimensions=8: open it with 4, use another schema, or change the model of this one with "
        "`memorizz re-embed`"
    )


def test_a_schema_that_was_not_migrated(open_api: Callable[..., Any], dsn: str) -> None:
    """auto_migrate=False creates nothing and says what does."""
    config = PostgreSQLConfig(dsn=dsn, auto_migrate=False)
    text = message(SchemaError, lambda: open_api(config).count(LONG))
    assert text.startswith("schema 'public' of database 'memorizz_test_")
    assert "run `memorizz migrate`, or open the provider with auto_migrate=True" in text
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT FROM pg_class WHERE relname = 'personas'").fetchone() is None


def test_a_table_of_the_users_own_in_the_way(open_api: Callable[..., Any], dsn: str) -> None:
    """A table of a store's name that is not ours is left alone, named, and the way around it is said."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE agents (mine int); INSERT INTO agents VALUES (7)")
        config = PostgreSQLConfig(dsn=dsn, embedding_dimensions=4)
        text = message(SchemaError, lambda: open_api(config).count(LONG))
        assert "agents" in text
        assert "PostgreSQLConfig(schema=...)" in text
        assert connection.execute("SELECT mine FROM agents").fetchone() == (7,)
        assert connection.execute("SELECT FROM pg_class WHERE relname = 'personas'").fetchone() is None
    with open_api(config.replace(schema="ours")) as api:
        assert api.list_memagents() == []


def test_a_right_that_is_missing(open_api: Callable[..., Any], migrated_dsn: str) -> None:
    """A user who may not read the tables is told which one."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute(
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO pg_monitor; REVOKE ALL ON long_term_memory FROM pg_monitor"
        )
    config = PostgreSQLConfig(dsn=make_conninfo(migrated_dsn, options="-c role=pg_monitor"), embedding_dimensions=4)
    grant = r"permission denied for table long_term_memory: its owner must GRANT SELECT, .* ON long_term_memory TO"
    with open_api(config) as api, pytest.raises(DatabaseError, match=grant):
        api.count(LONG)


def test_an_extension_in_a_schema_that_may_not_be_used(open_api: Callable[..., Any], dsn: str) -> None:
    """pgvector that is there, but not for this user, is no missing extension: the GRANT that helps is named."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions;"
            "CREATE SCHEMA mine AUTHORIZATION pg_monitor"
        )
    as_guest = make_conninfo(dsn, options="-c role=pg_monitor")
    config = PostgreSQLConfig(dsn=as_guest, schema="mine", embedding_dimensions=4)
    text = message(SchemaError, lambda: open_api(config).count(LONG))
    assert "GRANT USAGE ON SCHEMA extensions" in text
    assert "does not exist" not in text
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("GRANT USAGE ON SCHEMA extensions TO pg_monitor")
    with open_api(config) as api:
        assert api.count(LONG) == 0


def test_a_row_that_a_policy_keeps_away(open_api: Callable[..., Any], migrated_dsn: str) -> None:
    """A refusal by row-level security is told as one: no GRANT would help, nor is told that another's row exists."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        connection.execute(
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO pg_monitor;"
            "ALTER TABLE long_term_memory ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY own ON long_term_memory USING (memory_id = 'mine')"
        )
    with open_api(PostgreSQLConfig(dsn=migrated_dsn, embedding_dimensions=4)) as owner:
        owner.store({"id": "theirs", "memory_id": "theirs"}, LONG)
    config = PostgreSQLConfig(dsn=make_conninfo(migrated_dsn, options="-c role=pg_monitor"), embedding_dimensions=4)
    with open_api(config) as api:
        api.store({"id": "one", "memory_id": "mine"}, LONG)
        documents = [{"id": "two", "memory_id": "other"}, {"id": "theirs", "memory_id": "mine"}]
        texts = [message(DatabaseError, lambda each=each: api.store(each, LONG)) for each in documents]
    for text in texts:
        assert "a row-level security policy on long_term_memory keeps this user from it" in text
        assert "GRANT" not in text.upper()
    assert texts[0] == texts[1]
