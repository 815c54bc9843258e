"""Passwords that change: a function in the place of a password is asked for each new connection."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from apis import Blocking, Loop
from memorizz.errors import ConfigurationError, ConnectionFailed
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def strict_server() -> Iterator[str]:
    """The connection string of a server that asks the user ada for a password."""
    with tempfile.TemporaryDirectory(prefix="memorizz-strict-") as path:
        Path(path).chmod(0o711)
        rules = Path(path, "pg_hba.conf")
        rules.write_text("local all ada scram-sha-256\nlocal all all peer map=memorizz\n")
        rules.chmod(0o644)
        server = EmbeddedServer(Path(path, "data"), settings={"fsync": "off", "hba_file": str(rules)})
        conninfo = server.acquire()
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("CREATE ROLE ada LOGIN SUPERUSER")
        yield conninfo
        server.release()


class Tokens:
    """What a cloud gives out: a token that is good until there is another one."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.asked = 0
        self.current = ""

    def rotate(self, token: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE ada PASSWORD '{token}'")
        self.current = token

    def __call__(self) -> str:
        self.asked += 1
        return self.current

    async def awaited(self) -> str:
        return self()


@pytest.fixture
def tokens(strict_server: str) -> Tokens:
    tokens = Tokens(strict_server)
    tokens.rotate("the first s3cret")
    return tokens


@pytest.fixture
def as_ada(strict_server: str) -> str:
    return make_conninfo(strict_server, user="ada")


def test_each_new_connection_has_the_token_of_its_time(
    open_api: Callable[..., Any], tokens: Tokens, as_ada: str
) -> None:
    """A pool that was opened with one token grows with the next, and the old one is asked for no more."""
    config = PostgreSQLConfig(dsn=as_ada, password=tokens, embedding_dimensions=2, max_size=4)
    with open_api(config) as api:
        assert api.count("toolbox") == 0
        tokens.rotate("the second s3cret")
        with ExitStack() as held:
            for _ in range(4):
                held.enter_context(api.transaction()).count("toolbox")
        # One to open, and one for each of the pool's.
        assert tokens.asked == 5


def test_a_token_may_be_awaited(tokens: Tokens, as_ada: str, loop: Loop) -> None:
    """The async API awaits an async function; the sync one says that it cannot."""
    config = PostgreSQLConfig(dsn=as_ada, password=tokens.awaited, embedding_dimensions=2)
    with Blocking(AsyncPostgreSQLProvider(config), loop) as api:
        assert api.count("toolbox") == 0
    assert tokens.asked >= 2
    with pytest.raises(ConfigurationError, match="must be awaited"):
        PostgreSQLProvider(config)


def test_a_token_that_is_refused_is_told_without_it(
    open_api: Callable[..., Any], tokens: Tokens, as_ada: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong token, or a function that fails, is a ConnectionFailed whenever it is asked for; no log has it."""
    caplog.set_level("DEBUG")
    config = PostgreSQLConfig(
        dsn=as_ada, password=lambda: "a wrong s3cret", embedding_dimensions=2, connect_timeout=2, pool_timeout=1
    )
    with pytest.raises(ConnectionFailed, match="password authentication failed") as refused:
        open_api(config).count("toolbox")

    def fail() -> str:
        if not failing:
            return tokens.current
        raise LookupError("the vault does not know a s3cret")

    failing = False
    with open_api(config.replace(password=fail, max_size=4)) as api, ExitStack() as held:

        def use(connections: int) -> None:
            for _ in range(connections):
                held.enter_context(api.transaction()).count("toolbox")

        use(1)
        failing = True
        with pytest.raises(ConnectionFailed, match="given as password failed with a LookupError") as failed:
            use(3)
    for text in (str(refused.value), str(failed.value), caplog.text):
        assert "s3cret" not in text
