"""PostgreSQLConfig: where each option comes from, what it refuses, what it never shows."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from memorizz.errors import ConfigurationError, ConnectionFailed
from memorizz.memory_provider.postgresql import PostgreSQLConfig

SECRET = "s3cret of mine"
VARIABLES = ["POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD"]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [*VARIABLES, "MEMORIZZ_EMBEDDED", "PGPASSWORD", "PGPASSFILE", "PGHOSTADDR"]:
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


def test_a_replica_is_the_same_server_elsewhere() -> None:
    """It has its own host and port, and everything else of the primary; nothing of the primary's several hosts."""
    config = PostgreSQLConfig(
        dsn="postgresql://u:secret@a:1,b:2/d?target_session_attrs=read-write&sslmode=require&hostaddr=10.0.0.1,10.0.0.2",
        replicas=["host=r1", "postgresql://u:secret@r2:5433/d?sslmode=require"],
    )
    assert config.replicas == ("host=r1", "host=r2 port=5433")
    assert "secret" not in repr(config)
    for replica, host, port in zip(config.of_replicas, ("r1", "r2"), ("1", "5433"), strict=True):
        said = conninfo_to_dict(replica.conninfo)
        assert (said["host"], said["port"], said["dbname"], said["user"]) == (host, port, "d", "u")
        assert (said["password"], said["sslmode"]) == ("secret", "require")
        assert {"target_session_attrs", "hostaddr"}.isdisjoint(said)
        assert replica.replicas == ()
    assert config.replace(replicas=[]).replicas == ()


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"replicas": "host=r"}, "expected a list"),
        ({"replicas": 5}, "expected a list"),
        ({"replicas": [5]}, "dsn is of type int"),
        ({"replicas": ["port=1"]}, "without one host"),
        ({"replicas": ["host=a,b"]}, "without one host"),
        ({"replicas": ["host=r user=other"]}, "user of a replica is not the primary's"),
        ({"replicas": ["postgresql://u:other@r/d"]}, "password of a replica is not the primary's"),
        ({"replicas": ["host=r sslmode=disable"]}, "sslmode of a replica is not the primary's"),
        ({"replicas": ["host=r port=70000"]}, "the port of a replica"),
        ({"replica_lag": 0}, "replica_lag=0: expected seconds above 0, or None"),
        ({"replica_lag": True}, "replica_lag=True"),
        ({"replica_lag": "1"}, "replica_lag='1'"),
    ],
)
def test_what_is_no_replica(options: Any, wrong: str) -> None:
    """It is said which option it is and what was expected; no password is."""
    with pytest.raises(ConfigurationError, match=wrong) as raised:
        PostgreSQLConfig(dsn="postgresql://u:secret@a/d", **options)
    assert "secret" not in str(raised.value)
    assert "other" not in str(raised.value)


def test_an_embedded_server_has_no_replicas() -> None:
    """It is one server, whether it was asked for or is there because no other was named."""
    for make in (PostgreSQLConfig.embedded, PostgreSQLConfig, PostgreSQLConfig.embedded().replace):
        with pytest.raises(ConfigurationError, match="the embedded server has none"):
            make(replicas=["host=r"])


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
        "client_encoding": "utf8",
    }  # fmt: skip
    given = conninfo_to_dict(PostgreSQLConfig(keepalives_idle=5, dsn="host=h tcp_user_timeout=1000").conninfo)
    assert (given["keepalives_idle"], given["tcp_user_timeout"]) == ("5", "1000")


@pytest.mark.parametrize("make", [PostgreSQLConfig, PostgreSQLConfig.auto], ids=["config", "auto"])
def test_without_a_field_of_a_server_it_is_found(
    make: Callable[..., PostgreSQLConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else is said: a POSTGRES_* variable names the server; without any it is the embedded one."""
    assert make(schema="s", embedding_dimensions=2, max_size=3) == PostgreSQLConfig.embedded(
        schema="s", embedding_dimensions=2, max_size=3
    )
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


def test_a_service_of_kubernetes_says_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a cluster says of a service named postgres is not taken for a port, nor for a server that was configured."""
    monkeypatch.setenv("POSTGRES_PORT", "tcp://10.96.1.7:5432")
    assert PostgreSQLConfig().embedded_server is not None
    assert PostgreSQLConfig("db").port == 5432
    monkeypatch.setenv("POSTGRES_HOST", "db")
    assert five(PostgreSQLConfig()) == ("db", 5432, "memorizz", "postgres", None)
    for port in ("abc", "70000", "0", "-1"):
        monkeypatch.setenv("POSTGRES_PORT", port)
        with pytest.raises(ConfigurationError, match=f"POSTGRES_PORT='{port}': expected a number"):
            PostgreSQLConfig()


def test_libpqs_variables_name_no_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """PGHOSTADDR, which would win over a host, is not that of a host that was named; nor is another encoding."""
    monkeypatch.setenv("PGHOSTADDR", "10.1.2.3")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    said = conninfo_to_dict(PostgreSQLConfig("h").conninfo)
    assert (said["hostaddr"], said["client_encoding"]) == ("", "utf8")
    assert conninfo_to_dict(PostgreSQLConfig("h", hostaddr="10.0.0.1").conninfo)["hostaddr"] == "10.0.0.1"
    assert "hostaddr" not in conninfo_to_dict(PostgreSQLConfig(dsn="dbname=d").conninfo)
    latin = PostgreSQLConfig(dsn="host=h client_encoding=latin1")
    assert conninfo_to_dict(latin.conninfo)["client_encoding"] == "utf8"


def test_of_takes_what_a_config_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection string is a dsn, nothing is the server of the environment, and anything else is refused."""
    config = PostgreSQLConfig("h")
    assert PostgreSQLConfig.of(config) is config
    assert PostgreSQLConfig.of("postgresql://u:p@h:1/d") == PostgreSQLConfig(dsn="postgresql://u:p@h:1/d")
    assert PostgreSQLConfig.of(None).embedded_server is not None
    with pytest.raises(ConfigurationError, match="config is of type dict: expected a PostgreSQLConfig") as caught:
        PostgreSQLConfig.of({"password": SECRET})
    assert SECRET not in str(caught.value)


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


def token() -> str:
    return SECRET


async def awaited_token() -> str:
    return SECRET


@pytest.mark.parametrize(
    "config",
    [
        PostgreSQLConfig(password=SECRET),
        PostgreSQLConfig(dsn=f"host=h password='{SECRET}'"),
        PostgreSQLConfig("h", sslpassword=SECRET),
        PostgreSQLConfig("h", scram_client_key=SECRET),
        PostgreSQLConfig(password="p").replace(password=SECRET),
        PostgreSQLConfig(password=token),
        PostgreSQLConfig(password=lambda: SECRET),
    ],
    ids=["argument", "dsn", "libpq", "key", "replaced", "function", "lambda"],
)
def test_a_password_is_never_shown(config: PostgreSQLConfig) -> None:
    """Not by whatever prints or copies a configuration; only in the connection string, which needs it."""
    fields = dataclasses.asdict(config)
    for shown in (repr(config), str(config), config.where, vars(config), fields, json.dumps(fields, default=str)):
        assert SECRET not in str(shown)
    assert SECRET in conninfo_to_dict(config.conninfo).values()
    assert asyncio.run(config.awaited_conninfo()) == config.conninfo
    assert SECRET in conninfo_to_dict(copy.deepcopy(config).conninfo).values()


def test_a_pickle_leaves_the_password_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It travels to disks and queues; the other process has a function, the environment, or is told what is missing."""
    config = PostgreSQLConfig("h", password=SECRET, max_size=3)
    pickled = pickle.dumps(config)
    assert SECRET.encode() not in pickled
    brought = pickle.loads(pickled)
    assert (brought.host, brought.max_size, brought.password) == ("h", 3, None)
    with pytest.raises(ConfigurationError, match="password was left out when this configuration was pickled"):
        _ = brought.conninfo
    assert SECRET in conninfo_to_dict(brought.replace(password=SECRET).conninfo).values()
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert "password" not in conninfo_to_dict(brought.conninfo)
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    assert pickle.loads(pickled) == config
    by_function = PostgreSQLConfig("h", password=token)
    assert pickle.loads(pickle.dumps(by_function)) == by_function


def test_a_password_may_be_a_function() -> None:
    """It is called for each connection string, awaited where it has to be, and its failures hold no secret."""
    tokens = iter(["one", "two", "three"])
    config = PostgreSQLConfig("h", password=lambda: next(tokens))
    assert [conninfo_to_dict(config.conninfo)["password"] for _ in range(2)] == ["one", "two"]
    assert conninfo_to_dict(asyncio.run(config.awaited_conninfo()))["password"] == "three"
    with pytest.raises(ConnectionFailed, match="password failed with a StopIteration"):
        _ = config.conninfo
    with pytest.raises(ConnectionFailed, match="password failed with a StopIteration"):
        asyncio.run(config.awaited_conninfo())

    awaited = PostgreSQLConfig("h", password=awaited_token)
    assert conninfo_to_dict(asyncio.run(awaited.awaited_conninfo()))["password"] == SECRET
    with pytest.raises(ConfigurationError, match="must be awaited: give it to an async provider"):
        _ = awaited.conninfo


@pytest.mark.parametrize(
    "password", [SECRET.encode(), 12345, ["s3cret"], {"password": SECRET}, f"{SECRET}\0"], ids=type
)
def test_what_is_no_password_is_not_taken_for_one(password: Any) -> None:
    """Neither as an argument nor from a function; the error has no more than its type."""
    with pytest.raises(ConfigurationError, match="password") as caught:
        PostgreSQLConfig("h", password=password)
    config = PostgreSQLConfig("h", password=lambda: password)
    with pytest.raises(ConfigurationError, match="password") as answered:
        _ = config.conninfo
    for error in (caught, answered):
        assert "s3cret" not in str(error.value)
        assert "12345" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"host": f"postgresql://ada:{SECRET}@h/d"}, "host is a whole connection string: pass it as dsn="),
        ({"host": f"host=h password={SECRET}"}, "host is a whole connection string: pass it as dsn="),
        ({"host": f"ada:{SECRET}@h"}, "host is a whole connection string: pass it as dsn="),
        ({"database": f"postgres://ada:{SECRET}@h/d"}, "database is a whole connection string: pass it as dsn="),
        ({"host": "h:5433"}, "host holds a port too: pass it as port="),
        ({"host": 5}, "host is of type int: expected a text"),
        ({"user": "a\0b"}, "user holds a NUL character"),
        ({"dsn": "host=a\0b"}, "dsn holds a NUL character"),
        ({"dsn": "host=\udcff"}, "dsn holds a lone surrogate"),
        ({"database": "\udcff"}, "database holds a lone surrogate"),
        ({"dsn": "host=h", "options": "\udcff"}, "options holds a lone surrogate"),
        ({"password": "\udcff"}, "the password holds a lone surrogate"),
        ({"dsn": f"postgresql+psycopg://ada:{SECRET}@h/d"}, "a URL of another tool, postgresql+psycopg://"),
        ({"dsn": f"mysql://ada:{SECRET}@h/d"}, "a URL of another tool, mysql://"),
        ({"dsn": f"postgresql://ada:{SECRET}@h/d?pgbouncer=true"}, "has ?pgbouncer=, which libpq does not know"),
        ({"dsn": f"postgresql://ada:{SECRET}@h/d?sslmode=require&schema=x"}, "PostgreSQLConfig(schema=...)"),
        ({"dsn": "postgresql://ada:s3@cret@h/d"}, "write @ as %40"),
        ({"dsn": "postgresql://ada:s3/cret@h/d"}, "write @ as %40"),
        ({"dsn": "postgresql://ada@h:none/d"}, "the port must be a number"),
        ({"dsn": "postgresql://ada:s3cret%@h/d"}, "dsn is no connection string: expected"),
        ({"dsn": SECRET.encode()}, "dsn is of type bytes: expected"),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_a_connection_string_is_named_and_not_quoted(
    options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole string in place of a host, another tool's URL, a password with an @: told without what it holds."""
    with pytest.raises(ConfigurationError) as caught:
        PostgreSQLConfig(**options)
    assert said in str(caught.value)
    assert not re.search("s3|cret", str(caught.value))
    if "dsn" not in options:
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            PostgreSQLConfig("h").replace(**options)
    if isinstance(options.get("host"), str):
        monkeypatch.setenv("POSTGRES_HOST", options["host"])
        with pytest.raises(ConfigurationError, match=re.escape(said.replace("host", "POSTGRES_HOST", 1))):
            PostgreSQLConfig()


@pytest.mark.parametrize(
    ("dimensions", "asked", "effective"),
    [(1, "hnsw", "hnsw"), (2000, "hnsw", "hnsw"), (2001, "hnsw", "halfvec"), (4000, "hnsw", "halfvec"),
     (4001, "hnsw", "none"), (4001, "halfvec", "none"), (8, "halfvec", "halfvec"), (8, "none", "none")],
)  # fmt: skip
def test_the_index_is_one_that_pgvector_can_make(dimensions: int, asked: Any, effective: str) -> None:
    """hnsw up to 2,000 dimensions, halfvec up to 4,000, none above; of a kept halfvec hnsw up to 4,000."""
    assert PostgreSQLConfig(embedding_dimensions=dimensions, index=asked).effective_index == effective
    if asked != "halfvec":
        kept = PostgreSQLConfig(embedding_dimensions=dimensions, index=asked, vector_type="halfvec")
        assert kept.effective_index == ("hnsw" if effective == "halfvec" else effective)


# --- what it refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": 0}, "port=0: expected a number from 1 to 65535"),
        ({"port": "x"}, "port='x': expected a number from 1 to 65535"),
        ({"embedding_dimensions": 0}, "embedding_dimensions=0: expected a whole number from 1 to 16000"),
        ({"embedding_dimensions": 16_001}, "embedding_dimensions=16001: expected"),
        ({"embedding_dimensions": "4"}, "embedding_dimensions='4': expected"),
        ({"index": "ivfflat"}, "index='ivfflat': expected one of hnsw, halfvec, none"),
        ({"vector_type": "bit"}, "vector_type='bit': expected one of vector, halfvec"),
        ({"vector_type": "halfvec", "index": "halfvec"}, "with vector_type='halfvec', index='hnsw' is as small"),
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
