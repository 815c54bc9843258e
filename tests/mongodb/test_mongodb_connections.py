"""Opening, closing and what goes wrong between a provider and its MongoDB."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from apis import Blocking, Loop
from memorizz.errors import (
    ConfigurationError,
    ConnectionFailed,
    DatabaseError,
    InvalidDocument,
    OperationTimeout,
    ProviderClosed,
    SchemaError,
    StorageFull,
    TransactionConflict,
)
from memorizz.integrations._providers import made_again
from memorizz.memory_provider import base
from memorizz.memory_provider._drive._sync import drive
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.mongodb._collections import indexes
from memorizz.memory_provider.mongodb._opening import identity, opened
from memorizz.memory_provider.mongodb.driver._sync import Connection
from mongod import mongod

Mongo = Database[dict[str, Any]]
LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
EAST = [1.0, 0.0, 0.0, 0.0]


@pytest.fixture(params=["blocking", "async"])
def open_api(request: pytest.FixtureRequest, loop: Loop) -> Callable[[MongoDBConfig], Any]:
    """Open a provider on one API or the other; the calls of both block."""
    if request.param == "blocking":
        return MongoDBProvider
    return lambda config: Blocking(AsyncMongoDBProvider(config), loop)


@pytest.fixture
def refused() -> Iterator[None]:
    """The driver's async side leaves a socket that was refused to the collector, which says so: here, and not later."""
    yield
    gc.collect()


unclosed = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def api(open_api: Callable[[MongoDBConfig], Any], config: MongoDBConfig) -> Iterator[Any]:
    with open_api(config) as api:
        yield api


# --- configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"uri": "http://user:secret@localhost"}, {"uri": ""}, {"uri": None}, {"db_name": ""}, {"db_name": "a.b"},
        {"db_name": "x" * 64}, {"db_name": None}, {"embedding_dimensions": 0}, {"embedding_dimensions": True},
        {"embedding_dimensions": 16_001}, {"connect_timeout": 0}, {"connect_timeout": None}, {"operation_timeout": -1},
        {"on_invalid_text": "ignore"}, {"text_language": 5},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_option_is_refused(options: dict[str, Any]) -> None:
    """Each is a ConfigurationError that names the option, and never the password."""
    with pytest.raises(ConfigurationError, match=next(iter(options))) as raised:
        MongoDBConfig(**options)
    assert "secret" not in str(raised.value)


def test_a_configuration_shows_no_password() -> None:
    """Neither its repr nor what messages call the server."""
    config = MongoDBConfig("mongodb+srv://ada:se%40cret@one.example:5,two.example/db?tls=true", "memories")
    assert config.where == "one.example:5,two.example, database memories"
    assert "cret" not in repr(config)
    assert MongoDBConfig().where == "localhost:27017, database memorizz"


@unclosed
@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        (
            "mongodb://ada:secret@127.0.0.1:1/",
            ConnectionFailed,
            "Failed to connect to MongoDB: 127.0.0.1:1, .*check that",
        ),
        ("mongodb://ada:sec@ret@127.0.0.1/", ConfigurationError, "percent-encoded"),
        ("mongodb://ada:secret@127.0.0.1:99999/", ConfigurationError, "uri"),
        ("mongodb+srv://ada:secret@one.two.invalid:5/", ConfigurationError, "uri"),
        ("mongodb://127.0.0.1:1/?tls=true&tlsInsecure=true&tlsAllowInvalidHostnames=secret", ConfigurationError, "uri"),
    ],
)
def test_a_server_that_cannot_be_reached(
    open_api: Callable[[MongoDBConfig], Any], uri: str, error: type[Exception], message: str
) -> None:
    """A clear error, within the timeout, without the password."""
    started = time.monotonic()
    with pytest.raises(error, match=message) as raised:  # noqa: SIM117
        with open_api(MongoDBConfig(uri, connect_timeout=0.5)):
            pass
    assert time.monotonic() - started < 3
    assert "sec" not in str(raised.value)
    assert "Topology" not in str(raised.value)


def test_a_wrong_password_is_a_failed_connection(
    open_api: Callable[[MongoDBConfig], Any], config: MongoDBConfig
) -> None:
    """And the message does not show it."""
    uri = config.uri.replace("mongodb://", "mongodb://ada:secret@")
    with pytest.raises(ConnectionFailed, match=r"Failed to connect.*Authentication failed") as raised:  # noqa: SIM117
        with open_api(MongoDBConfig(uri, config.db_name)):
            pass
    assert "secret" not in str(raised.value)


def test_a_server_that_is_too_old_is_refused() -> None:
    """Before anything is made there."""
    operation = opened(MongoDBConfig())
    with pytest.raises(SchemaError, match=r"MongoDB 5\.0\.31 is too old: 6\.0 or newer"):
        drive(operation, lambda step: {"versionArray": [5, 0, 31, 0], "version": "5.0.31"})


def run(program: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_the_driver_is_loaded_on_use() -> None:
    """Without the extra everything can be imported, and opening says what to install."""
    program = """
import sys
sys.modules["pymongo"] = sys.modules["bson"] = None
import asyncio
import memorizz
from memorizz.memory_provider.mongodb import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
from memorizz.errors import ConfigurationError

async def open_it():
    async with AsyncMongoDBProvider():
        pass

for call in (MongoDBProvider, lambda: asyncio.run(open_it())):
    try:
        call()
    except ConfigurationError as error:
        print("pip install 'memorizz-postgresql[mongodb]'" in str(error))
"""
    assert run(program).split() == ["True", "True"]


# --- what opening makes -------------------------------------------------------------------------------------------


def test_opening_makes_the_indexes(config: MongoDBConfig, fresh: Mongo) -> None:
    """Collections and indexes, once; a second provider at the same time makes none anew."""
    config = MongoDBConfig(config.uri, fresh.name)
    threads = [threading.Thread(target=lambda: MongoDBProvider(config).close()) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {"_id_", *(index["name"] for index in indexes(config))}
    for memory_type in MemoryType:
        assert set(fresh[memory_type.value].index_information()) == expected


def test_the_index_of_others_is_used(config: MongoDBConfig, fresh: Mongo) -> None:
    """A collection can have one text index: another program's stays, and serves."""
    fresh[LONG.value].create_index([("content", "text"), ("note", "text")], default_language="german")
    with MongoDBProvider(MongoDBConfig(config.uri, fresh.name)) as provider:
        provider.store({"note": "tea"}, LONG)
        assert len(provider.retrieve_by_query("tea", LONG)) == 1
    assert len(fresh[LONG.value].index_information()) == 6


def test_nothing_is_made_where_that_is_not_wanted(config: MongoDBConfig, fresh: Mongo) -> None:
    """create_indexes=False reads what is there and makes nothing."""
    with MongoDBProvider(MongoDBConfig(config.uri, fresh.name, create_indexes=False)) as provider:
        assert provider.list_all(LONG) == []
        assert fresh.list_collection_names() == []


def test_an_identity_is_made_once(config: MongoDBConfig, fresh: Mongo) -> None:
    """Of providers that open at once, all read the same, which another database has not."""
    here = MongoDBConfig(config.uri, fresh.name, create_indexes=False)
    with MongoDBProvider(here) as reading, MongoDBProvider(MongoDBConfig(config.uri, f"{fresh.name}_2")) as other:
        fresh.client.drop_database(f"{fresh.name}_2")
        assert reading.identity is None
        with ThreadPoolExecutor(8) as threads:
            made = {each.result() for each in [threads.submit(made_identity, config.uri, fresh.name) for _ in range(8)]}
        assert len(made) == 1
        assert other.identity not in made
        # Made by another provider since this one was opened.
        assert reading.identity in made


def made_identity(uri: str, name: str) -> str | None:
    """Have an identity made where there is none, by a client of its own, without the indexes, which take long."""
    with closing(Connection(MongoDBConfig(uri, name))) as connection:
        return drive(identity(make=True), connection.perform)


def test_the_language_of_the_words(config: MongoDBConfig, fresh: Mongo) -> None:
    """The text index is made for a language; one that MongoDB has not is said."""
    with MongoDBProvider(MongoDBConfig(config.uri, fresh.name, text_language="german")) as provider:
        provider.store({"content": "alte Häuser", "language": "klingon"}, LONG)
        assert len(provider.retrieve_by_query("Haus", LONG)) == 1
    fresh.client.drop_database(fresh.name)
    with pytest.raises(DatabaseError, match="klingon"):
        MongoDBProvider(MongoDBConfig(config.uri, fresh.name, text_language="klingon"))


def test_another_language_than_the_index_has(
    config: MongoDBConfig, fresh: Mongo, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not used, and the log says so, and what to do; a default asks for nothing."""
    with MongoDBProvider(MongoDBConfig(config.uri, fresh.name, text_language="german")) as provider:
        provider.store({"content": "alte Häuser"}, LONG)
    with MongoDBProvider(MongoDBConfig(config.uri, fresh.name)):
        assert "text_language" not in caplog.text
    with MongoDBProvider(MongoDBConfig(config.uri, fresh.name, text_language="french")):
        assert re.search(r"text_language='french' is not used .*made for german: drop that index", caplog.text)
    fresh[LONG.value].drop_index("memorizz_words")
    with MongoDBProvider(MongoDBConfig(config.uri, fresh.name, text_language="english")) as provider:
        assert len(provider.retrieve_by_query("Häuser", LONG)) == 1


def test_a_provider_says_where_it_is(api: Any, config: MongoDBConfig) -> None:
    """The same text for every provider of the same memories, their length, and no model."""
    assert api.location == f"MongoDB at {config.where}"
    assert (api.embedding_dimensions, api.embedding_model) == (4, None)


def test_both_apis_have_the_signatures_of_the_contract() -> None:
    """Every method of the contract has the contract's parameters, on both APIs."""
    names = [name for name, each in inspect.getmembers(base.MemoryOperations, callable) if not name.startswith("_")]
    assert len(names) > 20
    for name in names:
        wanted = inspect.signature(getattr(base.MemoryOperations, name)).parameters
        for api in (MongoDBProvider, AsyncMongoDBProvider):
            assert inspect.signature(getattr(api, name)).parameters == wanted, name


# --- what is tried again ------------------------------------------------------------------------------------------


class Queue:
    """Documents that are used up when they are read, and not by an iterator."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while self._documents:
            yield self._documents.pop(0)


@pytest.mark.parametrize("kind", [list, tuple, Queue, iter], ids=lambda kind: kind.__name__)
def test_documents_are_stored_again_only_where_they_are_still_there(api: Any, database: Mongo, kind: Any) -> None:
    """store_many that lost a race is tried again with a list, and fails with what its first attempt used up."""
    api.store_many([{"id": "a"}, {"id": "b"}], LONG)
    documents = kind([{"id": id, "n": 1} for id in ("a", "b")])
    with database.client.start_session() as session, ThreadPoolExecutor(1) as thread:
        with session.start_transaction():
            database[LONG.value].update_many({}, {"$set": {"content": "theirs"}}, session=session)
            storing = thread.submit(api.store_many, documents, LONG)
            if kind in (list, tuple):
                with pytest.raises(TimeoutError):
                    storing.result(0.5)
            else:
                with pytest.raises(DatabaseError, match="WriteConflict"):
                    storing.result(30)
        if kind in (list, tuple):
            assert storing.result(30) == ["a", "b"]
    stored = 2 if kind in (list, tuple) else 0
    assert (api.count(LONG, {"n": 1}), api.count(LONG, {"content": "theirs"})) == (stored, 2)


# --- closing ------------------------------------------------------------------------------------------------------


def test_another_event_loop_is_told_to_open_its_own(config: MongoDBConfig) -> None:
    """The client belongs to the loop that opened the provider: a call and a close in another one say so."""
    provider = AsyncMongoDBProvider(config)
    with asyncio.Runner() as first:
        assert first.run(provider.count(LONG)) == 0
        for call in (provider.count(LONG), provider.close(), provider.__aenter__()):
            with pytest.raises(ProviderClosed, match="another event loop"), asyncio.Runner() as another:
                another.run(call)
        assert first.run(provider.count(LONG)) == 0
        first.run(provider.close())
    asyncio.run(provider.close())
    with pytest.raises(ProviderClosed, match="is closed"):
        asyncio.run(provider.count(LONG))


def test_a_provider_that_is_dropped_leaves_nothing(config: MongoDBConfig) -> None:
    """Without close() too its client and its threads go."""
    before = set(threading.enumerate())
    provider = MongoDBProvider(config)
    provider.count(LONG)
    gone = weakref.ref(provider)
    del provider
    gc.collect()
    assert gone() is None
    give_up = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < give_up:
        time.sleep(0.05)
    assert set(threading.enumerate()) - before == set()


def test_closing_leaves_no_warning(config: MongoDBConfig) -> None:
    """A program that opens, fails to open, uses and closes both APIs ends without a word."""
    program = """
import asyncio, sys
from memorizz import AsyncMongoDBProvider, MongoDBConfig, MongoDBProvider
from memorizz.errors import ConnectionFailed
config, nowhere = MongoDBConfig(*sys.argv[1:]), MongoDBConfig("mongodb://127.0.0.1:1", connect_timeout=0.2)

async def use():
    async with AsyncMongoDBProvider(config) as provider:
        print(await provider.count("agents"))

with MongoDBProvider(config) as provider:
    print(provider.count("agents"))
try:
    MongoDBProvider(nowhere)
except ConnectionFailed:
    print("failed")
MongoDBProvider(config).count("agents")
asyncio.run(use())
"""
    assert run(program, config.uri, config.db_name).split() == ["0", "failed", "0"]


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="nothing forks here")
def test_a_forked_child_is_told_to_open_its_own(config: MongoDBConfig) -> None:
    """The parent's provider is refused in the child, and goes on in the parent."""
    program = """
import os, sys, warnings
from memorizz import MongoDBConfig, MongoDBProvider
from memorizz.errors import ProviderClosed
provider = MongoDBProvider(MongoDBConfig(*sys.argv[1:]))
provider.count("agents")
warnings.simplefilter("ignore")  # Python's own, of threads in the parent
child = os.fork()
if not child:
    try:
        provider.count("agents")
    except ProviderClosed as error:
        assert "before a fork" in str(error)
        provider.close()
        os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), provider.count("agents"))
provider.close()
"""
    assert run(program, config.uri, config.db_name).split() == ["7", "0"]


# --- several at once ----------------------------------------------------------------------------------------------


def test_one_id_stored_by_many_at_once_is_one_document(api: Any) -> None:
    """Whoever comes second merges, be the id an ObjectId's text or any other."""
    failures: list[Exception] = []

    def work(thread: int) -> None:
        try:
            for n in range(10):
                for id in (f"id-{n}", f"{n:024x}"):
                    api.store({"id": id, f"by{thread}": n}, LONG)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    documents = api.list_all(LONG)
    assert len(documents) == 20
    assert all(f"by{thread}" in document for document in documents for thread in range(8))


def test_batches_that_meet_are_tried_again(api: Any) -> None:
    """store_many of the same ids by several at once: each is kept whole, none fails."""
    failures: list[Exception] = []

    def work(thread: int) -> None:
        try:
            api.store_many([{"id": f"{n}", f"by{thread}": n} for n in range(20)], LONG)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(f"by{thread}" in document for document in api.list_all(LONG) for thread in range(4))


def test_no_answer_in_time(api: Any, open_api: Callable[[MongoDBConfig], Any], config: MongoDBConfig) -> None:
    """A write that waits for another's transaction is given up after operation_timeout."""
    impatient = MongoDBConfig(config.uri, config.db_name, embedding_dimensions=4, operation_timeout=0.5)
    with open_api(impatient) as other, api.transaction() as tx:
        tx.store({"id": "one"}, LONG)
        with pytest.raises(OperationTimeout, match="operation_timeout"):
            other.store({"id": "one"}, LONG)
    assert api.count(LONG) == 1


def test_an_operation_that_failed_has_broken_its_transaction(api: Any) -> None:
    """Where the error was caught in the block, its end says that nothing was kept."""

    def block() -> None:
        with api.transaction() as tx:
            tx.store({"id": "before"}, LONG)
            with pytest.raises(InvalidDocument):
                tx.store({"x": "x" * 17_000_000}, LONG)

    with pytest.raises(DatabaseError, match="nothing of the transaction was kept"):
        block()
    assert api.count(LONG) == 0


def test_a_transaction_larger_than_the_servers_cache(provider: MongoDBProvider) -> None:
    """MongoDB holds a transaction in memory: what does not fit is StorageFull, and nothing of it is kept."""
    with pytest.raises(StorageFull, match="larger than the cache"):
        provider.store_many(({"x": "x" * 15_000_000} for _ in range(40)), LONG)
    assert provider.count(LONG) == 0


def test_two_transactions_that_meet(api: Any) -> None:
    """The second to change a document fails at once, and takes nothing from the first."""
    with api.transaction() as one:
        one.store({"id": "a", "by": "one"}, LONG)
        two = api.transaction()
        with pytest.raises(TransactionConflict, match="do it again"):  # noqa: SIM117
            with two as tx:
                tx.store({"id": "a", "by": "two"}, LONG)
    assert api.retrieve_by_id("a", LONG)["by"] == "one"


def test_what_an_integration_does_together_is_done_again(provider: MongoDBProvider) -> None:
    """Eight writers read and change one document, and add one each, in transactions that meet: nothing is lost."""

    @made_again
    def count(n: int) -> None:
        with provider.transaction() as tx:
            tx.store({"id": "session"}, LONG)
            tx.store({"id": "session", "n": tx.retrieve_by_id("session", LONG).get("n", 0) + 1}, LONG)
            tx.store_many([{"id": f"turn-{n}"}], LONG)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(24)))
    assert provider.retrieve_by_id("session", LONG)["n"] == 24
    assert provider.count(LONG) == 25


def test_steps_are_logged_without_what_is_bound(config: MongoDBConfig, caplog: pytest.LogCaptureFixture) -> None:
    """What was asked and how long it took; no value."""
    with caplog.at_level(logging.DEBUG, "memorizz.mongodb"), MongoDBProvider(config) as provider:
        provider.store({"name": "secret"}, LONG)
        provider.retrieve_by_query({"name": "secret"}, LONG)
        provider.delete_by_name("secret", LONG)
    text = caplog.text
    assert "long_term_memory: 1 changes" in text
    assert "long_term_memory: $match $sort $limit $unset" in text
    assert "secret" not in text


# --- a server that stops, and one without transactions -------------------------------------------------------------


@unclosed
@pytest.mark.usefixtures("refused")
def test_a_server_that_goes_away_is_a_failed_connection(open_api: Callable[[MongoDBConfig], Any]) -> None:
    """Within the timeout, on either API; closing works all the same."""
    with mongod() as uri:
        api = open_api(MongoDBConfig(uri, connect_timeout=1))
        api.store({"id": "a"}, LONG)
    with pytest.raises(ConnectionFailed):
        api.store({"id": "b"}, LONG)
    api.close()
    with pytest.raises(ProviderClosed):
        api.count(LONG)


@pytest.fixture(scope="module")
def standalone() -> Iterator[str]:
    with mongod(replica_set=False) as uri:
        yield uri


@pytest.fixture
def alone(open_api: Callable[[MongoDBConfig], Any], standalone: str) -> Iterator[Any]:
    """A provider on either API, on a server without transactions, with empty stores."""
    with open_api(MongoDBConfig(standalone, embedding_dimensions=4)) as api:
        for memory_type in MemoryType:
            api.delete_all(memory_type)
        yield api


def test_a_standalone_server_has_no_transactions(alone: Any) -> None:
    """And that is said, with what to do."""
    with pytest.raises(ConfigurationError, match="standalone server, which has no transactions"):
        alone.transaction().__enter__()


def test_a_standalone_server_does_everything_else(alone: Any) -> None:
    """Whatever needs no transaction of the caller's works there too."""
    id = alone.store({"content": "tea", "memory_id": "m", "embedding": EAST}, TURNS)
    assert alone.store_many([{"n": n} for n in range(700)] + [{"id": "a"}, {"id": "a", "n": 1}], LONG)[-1] == "a"
    assert alone.count(LONG) == 701
    for query in ({"_id": id}, {"embedding": EAST}, "tea"):
        assert [hit["id"] for hit in alone.retrieve_by_query(query, TURNS)] == [id]
    agent = alone.store_memagent({"memory_ids": ["m"]})
    assert alone.delete_memagent(agent, cascade=True) is True
    assert (alone.count(TURNS), alone.count(MemoryType.MEMAGENT)) == (0, 0)


def test_a_batch_that_fails_on_a_standalone_server_leaves_no_new_document(alone: Any) -> None:
    """What it had inserted is deleted again, under new ids and given ones; what it had merged stays merged."""
    alone.store({"id": "there", "n": 0}, LONG)

    def failing() -> Iterator[dict[str, Any]]:
        yield {"id": "there", "n": 1}
        yield {"id": "own"}
        yield from ({"n": n} for n in range(700))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        alone.store_many(failing(), LONG)
    with pytest.raises(InvalidDocument):
        alone.store_many([{}, {"x": "x" * 17_000_000}], LONG)
    assert [(each["id"], each["n"]) for each in alone.list_all(LONG)] == [("there", 1)]


def test_the_async_api_opens_once_for_many_tasks(config: MongoDBConfig) -> None:
    """Who comes first opens it, the others wait; two event loops one after the other have a provider each."""

    async def use() -> list[int]:
        async with AsyncMongoDBProvider(config) as provider:
            return await asyncio.gather(*(provider.count(LONG) for _ in range(20)))

    for _ in range(2):
        assert asyncio.run(use()) == [0] * 20


def test_a_server_of_the_tests_ends_with_its_block() -> None:
    """No mongod is left behind."""
    with mongod(replica_set=False) as uri:
        pass
    with MongoClient(uri, serverSelectionTimeoutMS=100) as client, pytest.raises(Exception, match="refused"):
        client.admin.command("ping")
