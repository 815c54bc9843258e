"""MemorizzSaver: what LangGraph asks of a checkpointer, on a real PostgreSQL, in real runs of a graph."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import psycopg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, InvalidDocument, ProviderClosed
from memorizz.integrations.langgraph import MemorizzSaver

HARD_NAMES = ["a.b", "100%", "under_score", "quo'te\"s", " ", "[x]", "sha256:x", "é", "n" * 10_000]


@pytest.fixture
def saver(config: PostgreSQLConfig) -> Iterator[MemorizzSaver]:
    with MemorizzSaver(config) as saver:
        yield saver


def at(thread: object = "t", namespace: str | None = "", id: str | None = None, **other: Any) -> RunnableConfig:
    named: dict[str, Any] = {"thread_id": thread} | other
    if namespace is not None:
        named["checkpoint_ns"] = namespace
    if id is not None:
        named["checkpoint_id"] = id
    return {"configurable": named}


def put(saver: BaseCheckpointSaver[Any], config: RunnableConfig, **values: Any) -> RunnableConfig:
    """Put a checkpoint whose channels have these values, each in a version of its own."""
    versions = {name: f"{uuid4()}" for name in values}
    checkpoint = empty_checkpoint() | {"channel_values": values, "channel_versions": versions}
    return saver.put(config, checkpoint, {"source": "loop", "step": 1}, versions)  # type: ignore[arg-type]


def ids(found: Any) -> list[str]:
    return [each.config["configurable"]["checkpoint_id"] for each in found]


def id_of(config: RunnableConfig) -> str:
    return config["configurable"]["checkpoint_id"]


def append(state: list[str], writes: list[list[str]]) -> list[str]:
    return state + [each for write in writes for each in write]


class Deltas(TypedDict):
    said: Annotated[list[str], DeltaChannel(append, snapshot_frequency=3)]
    total: Annotated[int, operator.add]


def delta_graph(saver: BaseCheckpointSaver[Any]) -> Any:
    """A graph of two tasks side by side, whose channel is kept whole after each third update."""
    builder = StateGraph(Deltas)
    for name in ("z", "a"):
        builder.add_node(name, lambda state, name=name: {"said": [f"{name}{len(state['said'])}"], "total": 1})
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile(checkpointer=saver)


# --- what the suites ask ------------------------------------------------------------------------------------------


def test_it_conforms(config: PostgreSQLConfig) -> None:
    """The public suite passes, with every capability that it knows."""

    @checkpointer_test(name="MemorizzSaver")
    async def made() -> AsyncIterator[MemorizzSaver]:
        async with MemorizzSaver(config) as saver:
            yield saver

    results = asyncio.run(validate(made)).results.values()
    assert [failure for result in results for failure in result.failures] == []
    assert all(result.detected and result.passed for result in results)
    assert sum(result.tests_passed for result in results) >= 81


def test_writes_come_back_as_the_tasks_were_applied(saver: MemorizzSaver) -> None:
    """Pending writes are sorted by path, task and place, in whatever order they were stored."""
    config = put(saver, at())
    saver.put_writes(config, [("c", 5), ("c", 6)], "task0", "path2")
    saver.put_writes(config, [("c", 3), ("c", 4)], "task2", "path1")
    saver.put_writes(config, [("c", 1), ("c", 2)], "task1", "path1")
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes is not None
    assert [value for _, _, value in found.pending_writes] == [1, 2, 3, 4, 5, 6]


def test_a_write_stays_and_an_error_is_replaced(saver: MemorizzSaver) -> None:
    """A task that writes again changes nothing, but for errors, interrupts and what resumes, which are the last."""
    config = put(saver, at())
    special = ["__error__", "__scheduled__", "__interrupt__", "__resume__"]
    saver.put_writes(config, [("c", "first"), *((name, "first") for name in special)], "task")
    saver.put_writes(config, [("c", "second"), *((name, "second") for name in special)], "task")
    found = saver.get_tuple(config)
    assert found is not None
    assert {channel: value for _, channel, value in found.pending_writes or []} == (
        {"c": "first"} | dict.fromkeys(special, "second")
    )


def test_list_spans_the_namespaces_of_a_thread(saver: MemorizzSaver) -> None:
    """Without a namespace all of a thread are listed, and without a thread all threads, the newest first of all."""
    made = [put(saver, at(thread, name)) for thread, name in [("t", ""), ("u", "x"), ("t", "child:1"), ("t", "")]]
    newest = [id_of(config) for config in reversed(made)]
    assert ids(saver.list(None)) == newest
    assert ids(saver.list(at(namespace=None))) == [newest[0], newest[1], newest[3]]
    assert ids(saver.list(at())) == [newest[0], newest[3]]
    assert ids(saver.list(at(namespace=None, id=newest[1]))) == [newest[1]]
    assert ids(saver.list(None, before=made[2])) == newest[2:]
    assert ids(saver.list(None, limit=0)) == []
    assert ids(saver.list(None, limit=2)) == newest[:2]
    newest_of_root = saver.get_tuple(at(namespace=None))
    assert newest_of_root is not None
    assert ids([newest_of_root]) == newest[:1]


def test_a_long_thread_is_listed_whole(saver: MemorizzSaver) -> None:
    """More checkpoints than one page has are all listed, each once and in order, and as many as are asked for."""
    made = [id_of(put(saver, at(), n=number)) for number in range(130)]
    found = [*saver.list(at())]
    assert ids(found) == made[::-1]
    assert [each.checkpoint["channel_values"]["n"] for each in found] == [*range(129, -1, -1)]
    assert ids(saver.list(at(), limit=110)) == made[:-111:-1]


def test_metadata_is_filtered_by_value(saver: MemorizzSaver) -> None:
    """Keys equal values of their kind, None a missing one too; dots are part of a key."""
    first = saver.put(at(), empty_checkpoint(), {"a.b": 1, "n": 1, "o": {"p": [1]}}, {})  # type: ignore[typeddict-item]
    saver.put(at(), empty_checkpoint(), {"a": {"b": 1}, "n": "1"}, {})  # type: ignore[typeddict-item]
    for wanted in ({"a.b": 1}, {"n": 1}, {"o": {"p": [1]}}, {"n": 1, "a.b": 1, "none": None}):
        assert ids(saver.list(at(), filter=wanted)) == [id_of(first)], wanted
        assert ids(saver.list(at(), filter=wanted, limit=1)) == [id_of(first)], wanted
    for wanted in ({"n": 2}, {"a.b": "1"}, {"n": {"$gt": 0}}, {"a.b": 2}):
        assert ids(saver.list(at(), filter=wanted)) == [], wanted


def test_only_what_is_plain_is_kept_of_a_config(saver: MemorizzSaver) -> None:
    """Live objects reach no database; plain values arrive in the metadata, a thread that is a number as its text."""
    config = at(7, user="u1", __pregel_runtime=object(), model=object()) | {"metadata": {"q": 1, "live": object()}}
    stored = saver.put(config, empty_checkpoint(), {"source": "input", "step": -1, "parents": {}}, {})
    found = saver.get_tuple(stored)
    assert found is not None
    assert found.metadata == {"source": "input", "step": -1, "parents": {}, "user": "u1", "q": 1}
    assert found.config == stored == at("7", id=id_of(stored))
    assert saver.get_tuple(at("7")) == saver.get_tuple(at(7)) == found


def test_branches_do_not_share_versions(saver: MemorizzSaver) -> None:
    """Two branches from one checkpoint count on from the same version, and keep each its own value."""

    class State(TypedDict):
        said: Annotated[list[str], operator.add]

    builder = StateGraph(State)
    builder.add_node("say", lambda state: {"said": [f"after {state['said'][-1]}"]})
    builder.add_edge(START, "say")
    graph = builder.compile(checkpointer=saver)
    graph.invoke({"said": ["hello"]}, at())
    start = graph.get_state(at()).config
    one = graph.update_state(start, {"said": ["one"]})
    other = graph.update_state(start, {"said": ["other"]})
    assert graph.get_state(one).values["said"][-1] == "one"
    assert graph.get_state(other).values["said"][-1] == "other"
    graph.invoke(None, one)
    assert graph.get_state(other).values["said"] == ["hello", "after hello", "other"]


def test_a_value_that_no_step_changed_is_written_once(saver: MemorizzSaver, dsn: str) -> None:
    """A channel's value is kept once for a version, however many checkpoints have it."""
    first = put(saver, at(), large="x", small=1)
    found = saver.get_tuple(first)
    assert found is not None
    next_one = found.checkpoint | {"id": str(uuid6())}
    next_one["channel_values"] = {"large": "x", "small": 2}
    next_one["channel_versions"] = found.checkpoint["channel_versions"] | {"small": "2"}
    second = saver.put(first, next_one, {}, {"small": "2"})
    found = saver.get_tuple(second)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"large": "x", "small": 2}
    assert found.parent_config == first
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM langgraph_channels").fetchone() == (3,)


def test_the_serializer_is_the_users(config: PostgreSQLConfig, dsn: str) -> None:
    """Values and writes are kept as the given serializer makes them, and so with an allowlist."""
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"sixteen byte key")
    with MemorizzSaver(config, serde=serde) as saver:
        stored = put(saver, at(), secret="a secret in the state")
        saver.put_writes(stored, [("secret", "a secret of a task")], "task")
        found = saver.with_allowlist([("some", "Type")]).get_tuple(stored)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"secret": "a secret in the state"}
        with psycopg.connect(dsn) as connection:
            rows = connection.execute(
                "SELECT data->'value' FROM langgraph_channels UNION ALL SELECT data->'value' FROM langgraph_writes"
            ).fetchall()
    assert [kind for ((kind, _),) in rows] == ["msgpack+aes"] * 2
    with MemorizzSaver(config, serde=JsonPlusSerializer()) as plain, pytest.raises(Exception):  # noqa: B017, PT011
        plain.get_tuple(stored)


# --- delta channels -----------------------------------------------------------------------------------------------


def said(graph: Any, config: RunnableConfig) -> list[str]:
    return graph.get_state(config).values["said"]


def test_delta_channels_are_rebuilt_as_they_were(saver: MemorizzSaver) -> None:
    """After each step, and from each older checkpoint, a delta channel has what it has in memory."""
    ours, reference = delta_graph(saver), delta_graph(InMemorySaver())
    for number in range(9):
        for graph in (ours, reference):
            graph.invoke({"said": [f"user{number}"], "total": 1}, at())
        assert said(ours, at()) == said(reference, at())
    history = [(step.values, step.metadata["step"]) for step in reference.get_state_history(at())]
    assert [(step.values, step.metadata["step"]) for step in ours.get_state_history(at())] == history


def test_delta_history_is_that_of_the_base_class(saver: MemorizzSaver) -> None:
    """The history that is read in pages equals the one of the base class, which reads checkpoint by checkpoint."""
    graph = delta_graph(saver)
    for number in range(5):
        graph.invoke({"said": [f"user{number}"], "total": 1}, at())
    channels = ["said", "total", "none"]
    for each in saver.list(at()):
        found = saver.get_delta_channel_history(config=each.config, channels=channels)
        assert found == BaseCheckpointSaver.get_delta_channel_history(saver, config=each.config, channels=channels)
    assert found == {channel: {"writes": []} for channel in channels}
    assert saver.get_delta_channel_history(config=at(), channels=[]) == {}
    assert saver.get_delta_channel_history(config=at("none"), channels=["said"]) == {"said": {"writes": []}}


def test_a_long_chain_of_deltas_is_read_in_pages(saver: MemorizzSaver) -> None:
    """Writes are found behind more ancestors than one page has, and where an id of the chain is out of order."""
    config = put(saver, at(), c="start")
    for number in range(230):
        saver.put_writes(config, [("c", number)], "task")
        config = put(saver, config)
    first = id_of(config)
    saver.put_writes(config, [("c", 230)], "task")
    checkpoint = empty_checkpoint() | {"id": "1ed00000-0000-6000-8000-000000000000"}
    config = saver.put(config, checkpoint, {}, {})  # type: ignore[arg-type]
    assert id_of(config) < first
    found = saver.get_delta_channel_history(config=config, channels=["c"])["c"]
    assert found.get("seed") == "start"
    assert [value for _, _, value in found["writes"]] == [*range(231)]


@pytest.mark.parametrize("turns", range(1, 8))
def test_pruning_keeps_what_a_delta_channel_is_rebuilt_from(saver: MemorizzSaver, turns: int) -> None:
    """After pruning the state is the same, goes on, and older checkpoints than are needed are gone."""
    graph = delta_graph(saver)
    for number in range(turns):
        graph.invoke({"said": [f"user{number}"], "total": 1}, at())
    before, all_of_them = graph.get_state(at()).values, len(ids(saver.list(at())))
    saver.prune(["t"])
    assert graph.get_state(at()).values == before
    left = len(ids(saver.list(at())))
    assert left < all_of_them if turns > 3 else left <= all_of_them
    assert left <= 6
    graph.invoke({"said": ["more"], "total": 1}, at())
    assert said(graph, at())[: len(before["said"]) + 1] == [*before["said"], "more"]


def test_deleting_a_run_keeps_what_other_runs_are_rebuilt_from(saver: MemorizzSaver) -> None:
    """Runs are deleted but for what a later run's delta channel needs; the last run is deleted altogether."""
    graph = delta_graph(saver)
    runs = [str(uuid4()) for _ in range(6)]
    for number, run in enumerate(runs):
        graph.invoke({"said": [f"user{number}"], "total": 1}, at() | {"metadata": {"run_id": run}, "run_id": run})
    before = graph.get_state(at()).values
    counts = len(ids(saver.list(at())))
    saver.delete_for_runs(runs[:5])
    assert graph.get_state(at()).values == before
    assert 0 < len(ids(saver.list(at()))) < counts
    saver.delete_for_runs(runs)
    assert ids(saver.list(at())) == []


def test_a_copied_thread_goes_on_by_itself(saver: MemorizzSaver) -> None:
    """A copy has every checkpoint, value and write, and neither thread is changed by the other."""
    graph = delta_graph(saver)
    for number in range(4):
        graph.invoke({"said": [f"user{number}"], "total": 1}, at())
    saver.copy_thread("t", "copy")
    saver.copy_thread("t", "t")
    assert [step.values for step in graph.get_state_history(at("copy"))] == [
        step.values for step in graph.get_state_history(at())
    ]
    before = said(graph, at())
    graph.invoke({"said": ["more"], "total": 1}, at("copy"))
    saver.delete_thread("copy")
    assert said(graph, at()) == before


def test_nothing_is_left_of_what_is_deleted(saver: MemorizzSaver, dsn: str) -> None:
    """A thread that is deleted leaves no row, and one that is pruned none that only the deleted checkpoints had."""
    graph = delta_graph(saver)

    def rows(thread: str) -> list[int]:
        with psycopg.connect(dsn) as connection:
            counts = [
                connection.execute(f"SELECT count(*) FROM langgraph_{name} WHERE conversation_id = %s", [thread])
                for name in ("checkpoints", "channels", "writes")
            ]
            return [cursor.fetchone()[0] for cursor in counts]  # type: ignore[index]

    for thread in ("t", "kept"):
        for number in range(4):
            graph.invoke({"said": [f"user{number}"], "total": 1}, at(thread))
    before = rows("kept")
    saver.prune(["t"])
    assert all(0 < left < there for left, there in zip(rows("t"), before, strict=True))
    saver.delete_thread("t")
    assert (rows("t"), rows("kept")) == ([0, 0, 0], before)
    saver.prune(["kept"], strategy="delete")
    assert rows("kept") == [0, 0, 0]


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HARD_NAMES)
def test_any_name_is_kept_apart(saver: MemorizzSaver, name: str) -> None:
    """Threads, namespaces, channels and tasks may have any name; what looks alike is not mixed up."""
    for thread, namespace in [(name, ""), ("t", name), (name, name)]:
        stored = put(saver, at(thread, namespace), **{name: [thread, namespace]})
        saver.put_writes(stored, [(name, name)], name, name)
        found = saver.get_tuple(at(thread, namespace))
        assert found is not None
        assert found.config == stored
        assert found.checkpoint["channel_values"] == {name: [thread, namespace]}
        assert found.pending_writes == [(name, name, name)]
    saver.delete_thread(name)
    assert ids(saver.list(at(name, None))) == []
    assert len(ids(saver.list(at("t", None)))) == 1


def test_what_cannot_be_kept_is_an_error_that_says_so(saver: MemorizzSaver) -> None:
    """A config without a thread, writes without a checkpoint, another strategy, metadata that JSON cannot hold."""
    with pytest.raises(ConfigurationError, match="thread_id"):
        saver.get_tuple({"configurable": {}})
    with pytest.raises(ConfigurationError, match="checkpoint_id"):
        saver.put_writes(at(), [("c", 1)], "task")
    with pytest.raises(ConfigurationError, match="keep_latest"):
        saver.prune(["t"], strategy="delete_all")
    with pytest.raises(InvalidDocument, match="metadata"):
        saver.put(at(), empty_checkpoint(), {"live": object()}, {})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(ConfigurationError, match="connection string"):
        MemorizzSaver(7)
    assert ids(saver.list(None)) == []


def test_a_checkpoint_is_there_whole_or_not_at_all(saver: MemorizzSaver, dsn: str) -> None:
    """Where a value cannot be kept, the others of the same checkpoint are not there either."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE langgraph_checkpoints ADD CHECK (data->>'checkpoint_ns' <> 'refused')")
        with pytest.raises(Exception, match="check constraint"):
            put(saver, at(namespace="refused"), a=1, b=2)
        assert connection.execute("SELECT count(*) FROM langgraph_channels").fetchone() == (0,)


# --- how it is used -----------------------------------------------------------------------------------------------


class Counted(TypedDict):
    answers: Annotated[list[str], operator.add]


def asking(saver: MemorizzSaver) -> Any:
    """A graph that stops to ask, and goes on with the answer."""
    builder = StateGraph(Counted)
    builder.add_node("ask", lambda state: {"answers": [interrupt("who?")]})
    builder.add_edge(START, "ask")
    return builder.compile(checkpointer=saver)


def test_a_graph_goes_on_after_an_interrupt(config: PostgreSQLConfig) -> None:
    """What a graph has stopped at is there for another saver, which may call it async."""
    with MemorizzSaver(config) as saver:
        stopped = asking(saver).invoke({"answers": []}, at())
        assert stopped["__interrupt__"][0].value == "who?"

    async def resume() -> Any:
        async with MemorizzSaver(config) as saver:
            return await asking(saver).ainvoke(Command(resume="me"), at())

    assert asyncio.run(resume())["answers"] == ["me"]


def test_one_saver_serves_threads_and_loops(saver: MemorizzSaver) -> None:
    """50 threads and three event loops use one object at once, and each thread of a graph has its own state."""
    builder = StateGraph(Counted)
    builder.add_node("say", lambda state: {"answers": [state["answers"][-1] + "!"]})
    builder.add_edge(START, "say")
    graph = builder.compile(checkpointer=saver)

    def threaded(number: int) -> list[str]:
        return graph.invoke({"answers": [str(number)]}, at(number))["answers"]

    def looped(loop: int) -> list[list[str]]:
        async def each() -> list[list[str]]:
            runs = [graph.ainvoke({"answers": [f"{loop}.{n}"]}, at(f"{loop}/{n}")) for n in range(10)]
            return [done["answers"] for done in await asyncio.gather(*runs)]

        return asyncio.run(each())

    with ThreadPoolExecutor(53) as pool:
        from_loops = [pool.submit(looped, loop) for loop in range(3)]
        from_threads = [*pool.map(threaded, range(50))]
        assert from_threads == [[f"{n}", f"{n}!"] for n in range(50)]
        for loop, done in enumerate(from_loops):
            assert done.result() == [[f"{loop}.{n}", f"{loop}.{n}!"] for n in range(10)]


def test_sync_methods_may_be_called_from_a_running_loop(saver: MemorizzSaver) -> None:
    """In the loop's own thread the sync methods work too."""

    async def called() -> Any:
        stored = put(saver, at(), a=1)
        return [each.checkpoint["channel_values"] async for each in saver.alist(stored)], saver.get_tuple(stored)

    listed, found = asyncio.run(called())
    assert listed == [{"a": 1}] == [found.checkpoint["channel_values"]]


def test_writers_at_once_lose_nothing(saver: MemorizzSaver) -> None:
    """Tasks that write after one checkpoint at once are all there, and of two on one task one only."""
    config = put(saver, at())

    def write(number: int) -> None:
        saver.put_writes(config, [("own", number)], f"task{number}")
        saver.put_writes(config, [("same", number)], "same")

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(write, range(50)))
    found = saver.get_tuple(config)
    assert found is not None
    channels = [channel for _, channel, _ in found.pending_writes or []]
    assert (channels.count("own"), channels.count("same")) == (50, 1)


def test_a_provider_that_is_given_stays_open(config: PostgreSQLConfig) -> None:
    """Savers share the provider that they are given, and close only one of their own."""
    with PostgreSQLProvider(config) as provider:
        with MemorizzSaver(provider) as first, MemorizzSaver(provider) as second:
            first.setup()
            stored = put(first, at(), a=1)
            assert second.get_tuple(stored) == first.get_tuple(stored)
        assert provider.count("langgraph_checkpoints") == 1


def test_a_saver_of_its_own_closes_what_it_opened(dsn: str) -> None:
    """Opened on a connection string it is a context manager, and after it every call is an error; closing is not."""
    with MemorizzSaver.from_conn_string(dsn) as saver:
        stored = put(saver, at(), a=1)
        assert saver.get_tuple(stored) is not None

    saver.close()
    with pytest.raises(ProviderClosed):
        saver.get_tuple(at())
