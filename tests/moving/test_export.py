"""Export and import: what comes back is what was there, or nothing."""

from __future__ import annotations

import io
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from documents import documents, same
from memorizz.errors import ConfigurationError, DimensionMismatch, EmbeddingFailed, InvalidDocument, InvalidFile
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.moving import _manifest, export, load

LONG = MemoryType.LONG_TERM_MEMORY
TURNS = MemoryType.CONVERSATION_MEMORY
FORMATS = ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"]

every_format = pytest.mark.parametrize("format", FORMATS)


def everything(provider: Any) -> dict[str, list[dict[str, Any]]]:
    return {store.value: provider.list_all(store, include_embedding=True) for store in MemoryType}


def clear(provider: Any) -> None:
    for store in MemoryType:
        provider.delete_all(store)


# --- what comes back ----------------------------------------------------------------------------------------------

vectors = st.none() | st.lists(
    st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6), min_size=4, max_size=4
).filter(any)
memories = st.lists(
    st.tuples(st.sampled_from(list(MemoryType)), documents, vectors, st.datetimes(timezones=st.just(UTC))), max_size=8
)


@every_format
@settings(max_examples=25)
@given(stored=memories)
def test_whatever_is_exported_comes_back(
    provider: Any, target: Any, format: str, stored: list[tuple[MemoryType, dict[str, Any], Any, datetime]]
) -> None:
    """Every value, time, id and vector is the same in the provider that it is loaded into, in the same order."""
    clear(provider)
    clear(target)
    for store, document, vector, created in stored:
        provider.store({**document, "embedding": vector, "created_at": created}, store)
    file = io.BytesIO()
    counts = export(provider, file, format=format)
    file.seek(0)
    assert load(file, target) == counts
    assert sum(counts.values()) == len(stored)
    assert same(everything(target), everything(provider))


def test_documents_that_no_import_could_store_are_named(provider: Any, target: Any, migrated_dsn: str) -> None:
    """What SQL has put there is not in the file but in the result, by store and id, and the rest can be loaded."""
    some(provider)
    with psycopg.connect(migrated_dsn) as connection:
        connection.execute(
            "UPDATE conversation_memory SET embedding = '[0,0,0,0]', embedding_bits = B'0000' WHERE content = 'tea 1'"
        )
        connection.execute("UPDATE agents SET role = repeat('x', 2000)")
    provider.store({"id": "mine"}, LONG)
    for format in FORMATS:
        exported = export(provider, file := io.BytesIO(), format=format)
        assert not exported.ok
        assert (exported[TURNS], exported[MemoryType.MEMAGENT], exported[LONG]) == (2, 0, 1)
        [turn], [agent] = (exported.not_exported[store].listed for store in (TURNS, MemoryType.MEMAGENT))
        assert (turn.id, agent.id) == ("turn-1", "agent")
        assert "the vector is all zero" in turn.reason
        assert "'role'" in agent.reason
        assert exported.to_dict()["not_exported"][TURNS] == {"count": 1, "listed": [asdict(turn)]}
        file.seek(0)
        load(file, target, existing="replace")
        assert target.count(TURNS) == 2


# --- what is refused ----------------------------------------------------------------------------------------------


def some(provider: Any) -> None:
    """Store a little of everything."""
    for n in range(3):
        turn = {"memory_id": "m", "content": f"tea {n}", "role": None, "n": 2**70, "x": 0.5, "embedding": [1, n, 0, 0]}
        provider.store({"id": f"turn-{n}", "timestamp": datetime(2026, 1, 1, tzinfo=UTC), **turn}, TURNS)
    provider.store_memagent({"id": "agent", "memory_ids": ["m"], "metadata": {"a": None}})


@pytest.fixture
def exported(provider: Any) -> Callable[[str], bytes]:
    """Give an export of a few documents in a format."""
    some(provider)

    def make(format: str) -> bytes:
        file = io.BytesIO()
        export(provider, file, format=format)
        return file.getvalue()

    return make


def is_refused(file: bytes, target: Any) -> bool:
    """Return True if a file is refused, in which case nothing of it is stored."""
    try:
        load(io.BytesIO(file), target)
    except InvalidFile as error:
        return bool(error.where) and not any(everything(target).values())
    return False


@every_format
def test_a_file_that_is_cut_off_is_refused(exported: Any, target: Any, format: str) -> None:
    """Wherever a file ends too early, it is refused, and nothing of it stays."""
    whole = exported(format)
    for length in {*range(0, len(whole), len(whole) // 60 + 1), *range(len(whole) - 12, len(whole))}:
        assert is_refused(whole[:length], target), length


@every_format
def test_a_file_that_goes_on_is_refused(exported: Any, target: Any, format: str) -> None:
    """What follows the end of an export is no part of it, were it only an empty line."""
    whole = exported(format)
    for more in (b"\n", b"x", whole):
        assert is_refused(whole + more, target), more


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_a_file_that_is_altered_is_refused(exported: Any, target: Any, format: str) -> None:
    """Whichever byte is another, the file is refused, and nothing of it stays."""
    whole = exported(format)
    for place in range(0, len(whole), len(whole) // 150 + 1):
        assert is_refused(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], target), place


@pytest.mark.parametrize("format", ["jsonl.gz", "jsonl.zst"])
def test_a_compressed_file_that_is_altered_is_refused(provider: Any, exported: Any, target: Any, format: str) -> None:
    """A byte that is another is seen, save where it means nothing, as the times in the head of a gzip file."""
    whole = exported(format)
    accepted = 0
    for place in range(0, len(whole), len(whole) // 150 + 1):
        if not is_refused(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], target):
            assert same(everything(target), everything(provider)), place
            clear(target)
            accepted += 1
    assert accepted <= 3


def rewritten(whole: bytes, change: Callable[[list[dict[str, Any]]], None]) -> bytes:
    """Return JSON Lines with other lines, whose checksums are right."""
    lines = [json.loads(line) for line in whole.splitlines()]
    change(lines)
    written, crc = b"", 0
    for line in lines:
        line.pop("crc32", None)
        body = json.dumps(line).encode()[:-1]
        crc = zlib.crc32(body, crc)
        written += b'%b,"crc32":"%08x"}\n' % (body, crc)
    return written


def put(line: int, **values: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda lines: lines[line].update(values)


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        (put(0, version=2), "line 1", "version 2 of the format"),
        (put(0, format="other"), "line 1", "no export of memorizz"),
        (put(0, stores={"memories": 1}), "line 1", "the manifest is incomplete"),
        (put(0, stores={"agents": 1}), "line 2", "the manifest names no store 'conversation_memory'"),
        (put(1, store="memories"), "line 2", "the manifest names no store 'memories'"),
        (put(1, embedding="no base64"), "line 2", "expected a document with its store and embedding"),
        (put(1, document=5), "line 2", "expected a document with its store and embedding"),
        (put(1, document={"id": "turn-0"}), "line 6", "the file is to hold"),
        (lambda lines: lines.pop(2), "line 5", "the file is to hold"),
        (lambda lines: lines.insert(2, lines[1]), "line 7", "the file is to hold"),
        (lambda lines: lines.append(lines[1]), "line 7", "something follows the end"),
        (lambda lines: lines.pop(), "line 6", "cut off before its end"),
    ],
)
def test_a_file_says_what_is_wrong_with_it_and_where(
    exported: Any, target: Any, change: Callable[[Any], None], where: str, said: str
) -> None:
    """What a program got wrong that wrote a file, checksums and all, is named with its line, and nothing is stored."""
    with pytest.raises(InvalidFile, match=said) as raised:
        load(io.BytesIO(rewritten(exported("jsonl"), change)), target)
    assert raised.value.where == where
    assert not any(everything(target).values())


@every_format
def test_another_version_is_refused_by_its_number(
    exported: Any, target: Any, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """A file of a later program names its version, and that program."""
    monkeypatch.setattr(_manifest, "VERSION", 2)
    whole = exported(format)
    monkeypatch.undo()
    with pytest.raises(InvalidFile, match=r"version 2 of the format, made by 'memorizz-postgresql .*reads version 1"):
        load(io.BytesIO(whole), target)


@pytest.mark.parametrize("text", [b"", b"\n", b"PAR1", b"{}", b"[1]\n", b"tea", b"\xff\xfe\n", b"[" * 100_000 + b"\n"])
def test_what_is_no_export_is_refused(target: Any, text: bytes) -> None:
    """Any other file is refused, whatever is in it."""
    assert is_refused(text, target)


def test_the_place_of_a_change_is_named(exported: Any, target: Any) -> None:
    """The line in which a byte is another; of a Parquet file, that it is the file."""
    whole = exported("jsonl").replace(b"tea 1", b"tea 7", 1)
    with pytest.raises(InvalidFile, match="line 3: altered"):
        load(io.BytesIO(whole), target)
    whole = exported("parquet")
    with pytest.raises(InvalidFile, match="file: the file is altered"):
        load(io.BytesIO(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:]), target)


def test_a_document_that_the_target_refuses_leaves_nothing(exported: Any, target: Any) -> None:
    """A value that no document can hold ends the import, and what came before it is gone."""
    with pytest.raises(InvalidDocument, match="'role'"):
        load(io.BytesIO(rewritten(exported("jsonl"), put(4, document={"id": "x", "role": 5}))), target)
    assert not any(everything(target).values())


# --- a target that holds something, or something else -------------------------------------------------------------


def test_a_target_that_holds_documents_is_refused(exported: Any, target: Any) -> None:
    """Without a word about it, nothing is mixed with what is there."""
    target.store({"id": "mine"}, TURNS)
    with pytest.raises(ConfigurationError, match=r"already holds 1 documents in conversation_memory.*--merge"):
        load(io.BytesIO(exported("jsonl")), target)
    assert target.count(TURNS) == 1
    assert target.count(MemoryType.MEMAGENT) == 0


def test_merging_keeps_what_is_there(exported: Any, target: Any) -> None:
    """The same id is the same document: the file's keys win, others stay, as does a vector where the file has none."""
    target.store({"id": "agent", "embedding": [1, 2, 3, 4]}, MemoryType.MEMAGENT)
    target.store({"id": "mine"}, TURNS)
    target.store({"id": "turn-1", "content": "coffee", "own": 1}, TURNS)
    load(io.BytesIO(exported("jsonl")), target, existing="merge")
    merged = target.retrieve_by_id("turn-1", TURNS)
    assert (merged["content"], merged["own"], target.count(TURNS)) == ("tea 1", 1, 4)
    merged = target.retrieve_by_id("agent", MemoryType.MEMAGENT, include_embedding=True)
    assert (merged["memory_ids"], merged["embedding"]) == (["m"], [1, 2, 3, 4])


def test_replacing_leaves_what_the_file_holds(exported: Any, provider: Any, target: Any) -> None:
    """Stores that are in the file, also those that are empty there, become what they are in it."""
    target.store({"id": "mine"}, TURNS)
    target.store({"id": "mine"}, LONG)
    load(io.BytesIO(exported("parquet")), target, existing="replace")
    assert same(everything(target), everything(provider))


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_replacing_by_a_bad_file_keeps_what_is_there(exported: Any, target: Any, format: str) -> None:
    """What is to be replaced is gone only when all that replaces it is there."""
    target.store({"id": "mine"}, TURNS)
    with pytest.raises(InvalidFile):
        load(io.BytesIO(exported(format)[:-20]), target, existing="replace")
    assert [each["id"] for each in target.list_all(TURNS)] == ["mine"]


def test_some_stores_are_moved(exported: Any, provider: Any, target: Any) -> None:
    """Only stores that are asked for are written, read, and looked at in the target."""
    file = io.BytesIO()
    assert export(provider, file, stores=["agents", TURNS]) == {TURNS: 3, MemoryType.MEMAGENT: 1}
    target.store({"id": "mine"}, TURNS)
    file.seek(0)
    assert load(file, target, stores=["agents"]) == {MemoryType.MEMAGENT: 1}
    file.seek(0)
    with pytest.raises(ConfigurationError, match="the file has no toolbox"):
        load(file, target, stores=["toolbox"])


@pytest.fixture
def shorter(config: PostgreSQLConfig) -> Iterator[PostgreSQLProvider]:
    """A provider of another schema, whose vectors are shorter."""
    with PostgreSQLProvider(config.replace(schema="shorter", embedding_dimensions=3)) as provider:
        yield provider


def test_vectors_of_another_length_are_refused(exported: Any, shorter: Any) -> None:
    """The error says what can be done, and doing it works."""
    file = io.BytesIO(exported("jsonl"))
    with pytest.raises(ConfigurationError, match=r"vectors of 4 dimensions, the target of 3: .*--without-embeddings"):
        load(file, shorter)
    file.seek(0)
    load(file, shorter, embeddings=False)
    assert shorter.retrieve_by_id("turn-1", TURNS, include_embedding=True)["embedding"] is None


class Embedder:
    """Embeds everything as the same vector."""

    dimensions = 4

    def __init__(self, name: str) -> None:
        self.name = name

    def embed(self, texts: Any, kind: str) -> list[list[float]]:
        return [[0.5, 0.0, 0.0, 0.0] for _ in texts]


def test_vectors_of_another_model_are_refused(config: PostgreSQLConfig) -> None:
    """Vectors of two models are not mixed; the target's own embedder can make them anew."""
    with (
        PostgreSQLProvider(config, embedder=Embedder("one")) as source,
        PostgreSQLProvider(config.replace(schema="other"), embedder=Embedder("two")) as target,
    ):
        source.store({"id": "a", "content": "tea", "embedding": [1, 0, 0, 0]}, LONG)
        export(source, file := io.BytesIO())
        file.seek(0)
        with pytest.raises(ConfigurationError, match="made by 'one', those of the target by 'two'"):
            load(file, target)
        file.seek(0)
        load(file, target, embeddings=False)
        assert target.retrieve_by_id("a", LONG, include_embedding=True)["embedding"] == [0.5, 0, 0, 0]


@pytest.mark.parametrize("existing", ["refuse", "merge", "replace"])
def test_a_transaction_waits_for_no_model(
    exported: Any, config: PostgreSQLConfig, migrated_dsn: str, existing: Any
) -> None:
    """Texts are embedded before it begins and while indexes are there; where a model fails, all stays as it was."""
    embedder = Embedder("two")
    waiting: list[int] = []

    def look(texts: Any, kind: str) -> list[list[float]]:
        with psycopg.connect(migrated_dsn) as connection:
            waiting.extend(
                connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
                )
            )
        return [[0.5, 0.0, 0.0, 0.0] for _ in texts]

    with PostgreSQLProvider(config.replace(schema="other"), embedder=embedder) as target:
        if existing != "refuse":
            target.store({"id": "mine", "content": "coffee"}, TURNS)
            target.store({"id": "turn-1", "content": "tea 1", "embedding": [1, 1, 0, 0]}, TURNS)
        before = everything(target)

        def fail(texts: Any, kind: str) -> Any:
            raise OSError("the model is away")

        embedder.embed = fail  # type: ignore[method-assign]
        with pytest.raises(EmbeddingFailed, match="the model is away"):
            load(io.BytesIO(exported("jsonl")), target, existing=existing, embeddings=False)
        assert everything(target) == before
        embedder.embed = look  # type: ignore[method-assign]
        load(io.BytesIO(exported("jsonl")), target, existing=existing, embeddings=False)
        assert waiting == []
        found = {each["id"]: each["embedding"] for each in target.list_all(TURNS, include_embedding=True)}
        mine = {"mine": [0.5, 0, 0, 0]} if existing == "merge" else {}
        assert found == {f"turn-{n}": [0.5, 0, 0, 0] for n in range(3)} | mine
        assert target.retrieve_by_id("agent", "agents", include_embedding=True)["embedding"] is None


def test_a_target_that_holds_documents_is_refused_before_a_model_is_asked(
    exported: Any, config: PostgreSQLConfig
) -> None:
    """No text leaves the machine for an import that cannot be."""
    embedder = Embedder("two")
    with PostgreSQLProvider(config.replace(schema="other"), embedder=embedder) as target:
        target.store({"id": "mine"}, TURNS)
        embedder.embed = None  # type: ignore[assignment]
        with pytest.raises(ConfigurationError, match="already holds 1 documents"):
            load(io.BytesIO(exported("jsonl")), target, embeddings=False)


def test_an_embedder_makes_nothing_where_embeddings_are_kept(exported: Any, config: PostgreSQLConfig) -> None:
    """A document without a vector stays one, whoever loads it."""
    with PostgreSQLProvider(config.replace(schema="other"), embedder=Embedder("two")) as target:
        whole = rewritten(exported("jsonl"), lambda lines: None)
        load(io.BytesIO(whole), target)
        assert target.retrieve_by_id("turn-2", TURNS, include_embedding=True)["embedding"] == [1, 2, 0, 0]
        assert target.retrieve_by_id("agent", "agents", include_embedding=True)["embedding"] is None


class WithoutTransactions:
    """A provider that can take nothing back."""

    has_large_transactions = False

    def __init__(self, provider: PostgreSQLProvider) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        assert name != "transaction"
        return getattr(self._provider, name)


def test_a_target_without_transactions_gets_all_or_nothing(
    exported: Any, provider: Any, target: Any, shorter: Any
) -> None:
    """A file is read to its end, and each document checked, before anything is stored or deleted."""
    unsafe = WithoutTransactions(target)
    target.store({"id": "mine"}, LONG)
    shorter.store({"embedding": [1, 2, 3]}, TURNS)
    export(shorter, misfit := io.BytesIO())
    for file in (exported("jsonl")[:-20], rewritten(misfit.getvalue(), put(0, dimensions=None))):
        with pytest.raises((InvalidFile, DimensionMismatch)):
            load(io.BytesIO(file), unsafe, existing="replace")
        assert [each["id"] for each in target.list_all(LONG)] == ["mine"]
    load(io.BytesIO(exported("parquet")), unsafe, existing="replace")
    assert same(everything(target), everything(provider))


def test_turns_of_the_same_time_keep_their_order(provider: Any, target: Any) -> None:
    """A history is the same after it was exported and loaded, and so is every other order."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for n, created in enumerate([1, 1, 2, 2, 3]):
        turn = {"id": f"{9 - n}", "memory_id": "m", "timestamp": noon, "created_at": noon.replace(day=created)}
        provider.store(turn, TURNS)
    export(provider, file := io.BytesIO())
    file.seek(0)
    load(file, target)
    histories = [each.retrieve_conversation_history_ordered_by_timestamp("m") for each in (provider, target)]
    assert histories[0] == histories[1]
    assert [turn["id"] for turn in histories[0]] == list("98765")


@pytest.mark.parametrize(
    ("module", "format", "extra"), [("pyarrow", "parquet", "parquet"), ("backports.zstd", "jsonl.zst", "zstd")]
)
def test_what_is_not_installed_is_named(
    exported: Any, target: Any, monkeypatch: pytest.MonkeyPatch, module: str, format: str, extra: str
) -> None:
    """Both ways, the error names the extra."""
    whole = exported(format)
    for name in (module, "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    for move in (lambda: export(target, io.BytesIO(), format=format), lambda: load(io.BytesIO(whole), target)):
        with pytest.raises(ConfigurationError, match=rf"pip install 'memorizz-postgresql\[{extra}\]'"):
            move()


def test_memories_go_to_mongodb_and_back(
    exported: Any, provider: Any, target: Any, mongodb_uri: Callable[[], str]
) -> None:
    """A file of one provider is a file of any other."""
    config = MongoDBConfig(mongodb_uri(), f"memorizz_export_{os.getpid()}", embedding_dimensions=4)
    with MongoDBProvider(config) as mongodb:
        load(io.BytesIO(exported("jsonl")), mongodb, existing="replace")
        export(mongodb, file := io.BytesIO(), format="parquet")
        clear(mongodb)
    file.seek(0)
    load(file, target)
    assert same(everything(target), everything(provider))
