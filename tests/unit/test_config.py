"""PostgreSQLConfig: where each option comes from, what it refuses, what it never shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from memorizz.errors import ConfigurationError
from memorizz.memory_provider.postgresql import PostgreSQLConfig

SECRET = "s3cret of mine"
VARIABLES = ["POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD"]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [*VARIABLES, "MEMORIZZ_EMBEDDED"]:
        monkeypatch.delenv(variable, raising=False)


def five(config: PostgreSQLConfig) -> tuple[Any, ...]:
    return config.host, config.port, config.database, config.user, config.password


# --- where values come from ---------------------------------------------------------------------------------------


def test_the_defaults_are_the_seeds() -> None:
    """What is left out beside a host is a local server's, and no password."""
    assert five(PostgreSQLConfig("localhost")) == ("localhost", 5432, "memorizz", "postgres", None)
    assert PostgreSQLConfig("localhost").embedding_dimensions == 1536


def test_the_five_may_be_positional() -> None:
    """In the seed's order."""
    assert five(PostgreSQLConfig("h", 1, "d", "u", "p")) == ("h", 1, "d", "u", "p")


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument over environment over default, each of the five for itself."""
    for variable, value in zip(VARIABLES, ("eh", "2", "ed", "eu", "ep"), strict=True):
        monkeypatch.setenv(variable, value)
    assert five(PostgreSQLConfig()) == ("eh", 2, "ed", "eu", "ep")
    assert five(PostgreSQLConfig(host="h", password="p")) == ("h", 2, "ed", "eu", "p")
    monkeypatch.setenv("POSTGRES_HOST", "")
    assert five(PostgreSQLConfig()) == ("localhost", 2, "ed", "eu", "ep")


@pytest.mark.parametrize(
    "dsn", ["host=h port=1 dbname=d user=u password=p", "postgresql://u:p@h:1/d", "postgres://u:p@h:1/d"]
)
def test_a_dsn_stands_for_all_of_them(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    """A libpq string or a URL takes the place of the environment; an argument beside it wins."""
    monkeypatch.setenv("POSTGRES_HOST", "eh")
    assert five(PostgreSQLConfig(dsn=dsn)) == ("h", 1, "d", "u", "p")
    assert five(PostgreSQLConfig(dsn=dsn, database="other")) == ("h", 1, "other", "u", "p")


def test_a_dsn_says_no_more_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dsn leaves out is libpq's to find, not ours to guess."""
    monkeypatch.setenv("POSTGRES_PASSWORD", "ep")
    config = PostgreSQLConfig(dsn="host=h")
    assert five(config) == ("h", None, None, None, None)
    assert {"port", "dbname", "user", "password"}.isdisjoint(conninfo_to_dict(config.conninfo))


def test_a_dsn_may_name_several_hosts() -> None:
    """Hosts and ports of a failover pair reach libpq as they were given."""
    for dsn in ("postgresql://u@a:1,b:2/d?target_session_attrs=read-write",
                "host=a,b port=1,2 user=u dbname=d target_session_attrs=read-write"):  # fmt: skip
        said = conninfo_to_dict(PostgreSQLConfig(dsn=dsn).conninfo)
        assert (said["host"], said["port"], said["target_session_attrs"]) == ("a,b", "1,2", "read-write")


def test_any_libpq_keyword_is_passed_on() -> None:
    """sslmode and the like reach the connection string, from an argument and from a dsn."""
    config = PostgreSQLConfig(
        sslmode="require", sslrootcert="/a b", application_name="mine", dsn="host=h options='-c a=b'"
    )
    said = conninfo_to_dict(config.conninfo)
    assert (said["sslmode"], said["sslrootcert"], said["application_name"]) == ("require", "/a b", "mine")
    assert said["options"] == "-c a=b"


def test_the_conninfo_is_whole() -> None:
    """It has the five, the connect timeout, a name for the server's views, and what notices a dead machine."""
    said = conninfo_to_dict(PostgreSQLConfig("h", 1, "d", "u", "p 'x\\").conninfo)
    assert said == {
        "host": "h", "port": "1", "dbname": "d", "user": "u", "password": "p 'x\\",
        "connect_timeout": "10", "application_name": "memorizz",
        "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000",
    }  # fmt: skip
    given = conninfo_to_dict(PostgreSQLConfig(keepalives_idle=5, dsn="host=h tcp_user_timeout=1000").conninfo)
    assert (given["keepalives_idle"], given["tcp_user_timeout"]) == ("5", "1000")


@pytest.mark.parametrize("make", [PostgreSQLConfig, PostgreSQLConfig.auto], ids=["config", "auto"])
def test_without_a_field_of_a_server_it_is_found(
    make: Callable[..., PostgreSQLConfig], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever else is said: a POSTGRES_* variable names the server; without any it is the embedded one."""
    with caplog.at_level("WARNING", logger="memorizz.config"):
        assert make(schema="s", embedding_dimensions=2, max_size=3) == PostgreSQLConfig.embedded(
            schema="s", embedding_dimensions=2, max_size=3
        )
    assert "embedded PostgreSQL, its data is in" in caplog.text
    monkeypatch.setenv("MEMORIZZ_EMBEDDED", "0")
    with pytest.raises(ConfigurationError, match="POSTGRES_HOST"):
        make(schema="s")
    for variable, value in zip(VARIABLES, ("eh", "2", "ed", "eu", "ep"), strict=True):
        with monkeypatch.context() as only:
            only.setenv(variable, value)
            config = make(schema="s")
            assert (config.schema, config.embedded_server) == ("s", None)
            assert value in map(str, five(config))


@pytest.mark.parametrize(
    "options",
    [{"host": "h"}, {"port": 1}, {"database": "d"}, {"user": "u"}, {"password": "p"}, {"dsn": ""}, {"hostaddr": "::1"},
     {"service": "s"}],
    ids=repr,
)  # fmt: skip
def test_a_field_of_a_server_names_one(options: dict[str, Any]) -> None:
    """Each field that says which server it is makes it a server of the user's own."""
    assert PostgreSQLConfig(**options).embedded_server is None


def test_embedded_takes_every_option_but_a_servers() -> None:
    """embedded() starts nothing, has no password, and refuses what only another server has."""
    config = PostgreSQLConfig.embedded("/tmp/x", embedding_dimensions=4, schema="s", index="none")
    assert (config.embedding_dimensions, config.schema, config.index) == (4, "s", "none")
    assert config.embedded_server is not None
    assert str(config.embedded_server.path) == "/tmp/x"
    with pytest.raises(ConfigurationError, match="dsn, host"):
        PostgreSQLConfig.embedded(host="h", dsn="")


# --- what it is ---------------------------------------------------------------------------------------------------


def test_it_is_frozen_and_compared_by_value() -> None:
    """Two that say the same are the same, and none can be changed."""
    one, other = PostgreSQLConfig("h", sslmode="require"), PostgreSQLConfig("h", sslmode="require")
    assert one == other
    assert hash(one) == hash(other)
    assert one != PostgreSQLConfig("h", sslmode="prefer")
    assert one != PostgreSQLConfig("h", sslmode="require", password="p")
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.host = "x"  # pyright: ignore[reportAttributeAccessIssue]


def test_replace_changes_a_copy() -> None:
    """replace() leaves the original, checks what it is given, and knows its options."""
    config = PostgreSQLConfig("h")
    assert config.replace(max_size=3).max_size == 3
    assert config.max_size == 10
    with pytest.raises(ConfigurationError, match="max_size"):
        config.replace(max_size=0)
    with pytest.raises(ConfigurationError, match="unknown option max_sise"):
        config.replace(max_sise=3)


@pytest.mark.parametrize(
    "config",
    [
        PostgreSQLConfig(password=SECRET),
        PostgreSQLConfig(dsn=f"host=h password='{SECRET}'"),
        PostgreSQLConfig("h", sslpassword=SECRET),
        PostgreSQLConfig(password="p").replace(password=SECRET),
    ],
    ids=["argument", "dsn", "libpq", "replaced"],
)
def test_a_password_is_never_shown(config: PostgreSQLConfig) -> None:
    """Not in the repr, not in the words for messages; only in the connection string, which needs it."""
    assert SECRET not in repr(config)
    assert SECRET not in str(config)
    assert SECRET not in config.where
    assert SECRET in conninfo_to_dict(config.conninfo).values()


@pytest.mark.parametrize(
    ("dimensions", "asked", "effective"),
    [(1, "hnsw", "hnsw"), (2000, "hnsw", "hnsw"), (2001, "hnsw", "halfvec"), (4000, "hnsw", "halfvec"),
     (4001, "hnsw", "none"), (4001, "halfvec", "none"), (8, "halfvec", "halfvec"), (8, "none", "none")],
)  # fmt: skip
def test_the_index_is_one_that_pgvector_can_make(dimensions: int, asked: Any, effective: str) -> None:
    """hnsw up to 2,000 dimensions, halfvec up to 4,000, none above."""
    assert PostgreSQLConfig(embedding_dimensions=dimensions, index=asked).effective_index == effective


# --- what it refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": 0}, "port='0': expected a number from 1 to 65535"),
        ({"port": "x"}, "port='x': expected a number from 1 to 65535"),
        ({"embedding_dimensions": 0}, "embedding_dimensions=0: expected a whole number from 1 to 16000"),
        ({"embedding_dimensions": 16_001}, "embedding_dimensions=16001: expected"),
        ({"embedding_dimensions": "4"}, "embedding_dimensions='4': expected"),
        ({"index": "ivfflat"}, "index='ivfflat': expected one of hnsw, halfvec, none"),
        ({"hnsw_m": 1}, "hnsw_m=1: expected"),
        ({"hnsw_m": 50, "hnsw_ef_construction": 60}, "hnsw_ef_construction=60: expected a whole number from 100"),
        ({"max_size": 0}, "max_size=0: expected"),
        ({"min_size": 5, "max_size": 4}, "min_size=5: expected a whole number from 0 to 4"),
        ({"pool_timeout": 0}, "pool_timeout=0: expected a number of seconds above 0"),
        ({"connect_timeout": None}, "connect_timeout=None: expected"),
        ({"operation_timeout": float("nan")}, "operation_timeout=nan: expected"),
        ({"on_invalid_text": "ignore"}, "on_invalid_text='ignore': expected one of error, replace"),
        ({"prepare_threshold": "x"}, "prepare_threshold='x': expected"),
        ({"prepare_threshold": -1}, "prepare_threshold=-1: expected"),
        ({"schema": ""}, "schema='': expected a name"),
        ({"schema": "x" * 64}, "expected a name of 1 to 63 bytes"),
        ({"schema": "a%b"}, "schema='a%b': expected a name"),
        ({"schema": "\ud800"}, "expected a name"),
        ({"schema": 5}, "schema=5: expected a name"),
        ({"text_search_config": None}, "text_search_config=None: expected"),
        ({"dsn": "host"}, "dsn is no connection string: expected"),
        ({"pasword": "x"}, "unknown option pasword: expected dsn, host, port, database, user, password, schema"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, dict) else "",
)
def test_a_wrong_option_is_refused(options: dict[str, Any], said: str) -> None:
    """The option, its value and what was expected are named."""
    with pytest.raises(ConfigurationError) as caught:
        PostgreSQLConfig(**options)
    assert said in str(caught.value)


def test_a_wrong_dsn_is_not_quoted() -> None:
    """The string may hold a password."""
    with pytest.raises(ConfigurationError) as caught:
        PostgreSQLConfig(dsn=f"host=h password={SECRET}")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_none_means_no_limit_where_that_makes_sense() -> None:
    """operation_timeout, prepare_threshold and embedding_dimensions may be None."""
    config = PostgreSQLConfig(operation_timeout=None, prepare_threshold=None, embedding_dimensions=None)
    assert (config.operation_timeout, config.prepare_threshold, config.embedding_dimensions) == (None, None, None)
