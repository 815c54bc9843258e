"""Reading what mongodump has written: every value by its rule, what is damaged refused, nothing silently left out."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.binary import BinaryVectorDtype

from memorizz.errors import ConfigurationError, FilterError, InvalidFile
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.moving import Dump, StoreReport, copy

LONG = MemoryType.LONG_TERM_MEMORY
NOON = datetime(2024, 5, 6, 12, 0, 0, 789000, tzinfo=UTC)
ID = ObjectId("507f1f77bcf86cd799439011")


def dumped(folder: Path, collections: Mapping[str, Sequence[Mapping[str, Any]]], *, gz: bool = False) -> Path:
    """Write what mongodump would write of some collections."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, documents in collections.items():
        text = b"".join(bson.encode(document) for document in documents)
        path = folder / f"{name}.bson{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(text) if gz else text)
        (folder / f"{name}.metadata.json").write_text('{"indexes": []}')
    return folder


def moved(folder: Path, target: PostgreSQLProvider, **options: Any) -> StoreReport:
    """Copy a dump, and return what became of its long-term memories."""
    report = copy(Dump(folder), target, **options)
    return next(each for each in report.stores if each.store == LONG.value)


# --- values -------------------------------------------------------------------------------------------------------

# The table of docs/how-to/from-mongodb.md.
RULES: list[tuple[Any, Any]] = [
    ("text", "text"),
    (5, 5),
    (Int64(2**60), 2**60),
    (2.5, 2.5),
    (True, True),
    (None, None),
    ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    (NOON, "2024-05-06T12:00:00.789000+00:00"),
    (ID, "507f1f77bcf86cd799439011"),
    (Decimal128("1.10"), "1.10"),
    (Binary.from_uuid(UUID(int=1)), "00000000-0000-0000-0000-000000000001"),
    (b"\x01\x02", {"$binary": {"base64": "AQI=", "subType": "00"}}),
    (Binary(b"\x01", 128), {"$binary": {"base64": "AQ==", "subType": "80"}}),
    (Regex("^tea", "i"), {"$regularExpression": {"pattern": "^tea", "options": "i"}}),
    (Timestamp(5, 6), {"$timestamp": {"t": 5, "i": 6}}),
    (MinKey(), {"$minKey": 1}),
    (MaxKey(), {"$maxKey": 1}),
    (Code("f()"), {"$code": "f()"}),
    (DBRef("agents", ID), {"$ref": "agents", "$id": {"$oid": "507f1f77bcf86cd799439011"}}),
]


@pytest.mark.parametrize(("stored", "given"), RULES, ids=lambda value: repr(value)[:40])
def test_a_value_of_bson_has_its_rule(tmp_path: Path, target: PostgreSQLProvider, stored: Any, given: Any) -> None:
    """At the top and in depth; both sides are found to be the same."""
    dumped(tmp_path, {"long_term_memory": [{"_id": ID, "value": stored, "metadata": {"in": [stored]}}]})
    assert moved(tmp_path, target).ok
    document = target.retrieve_by_id(ID, LONG)
    assert document is not None
    assert document["value"] == given
    assert document["metadata"] == {"in": [given]}
    assert type(document["value"]) is type(given)


@pytest.mark.parametrize("stored", [float("nan"), float("inf"), "a\0b", {"a": float("nan")}], ids=repr)
def test_a_value_that_no_document_holds_is_listed(tmp_path: Path, target: PostgreSQLProvider, stored: Any) -> None:
    """The document is not copied; the report names it, with the way to the value."""
    dumped(tmp_path, {"long_term_memory": [{"_id": "a", "value": stored}, {"_id": "b"}]})
    for dry_run in (True, False):
        report = moved(tmp_path, target, dry_run=dry_run)
        assert (report.not_copied, report.problems[0].id) == (1, "a")
        assert "cannot store 'value" in report.problems[0].reason
    assert (report.copied, report.different) == (1, 0)
    assert [each["id"] for each in target.list_all(LONG)] == ["b"]


@pytest.mark.parametrize(
    "vector",
    [
        [0.1, 0.2, 0.3, 1],
        Binary.from_vector([0.1, 0.2, 0.3, 1.0], BinaryVectorDtype.FLOAT32),
    ],
    ids=["doubles", "a BSON vector"],
)
def test_embeddings_of_either_form_arrive(tmp_path: Path, target: PostgreSQLProvider, vector: Any) -> None:
    """A list of numbers, or MongoDB's own vector; in single precision."""
    dumped(tmp_path, {"long_term_memory": [{"_id": ID, "embedding": vector}, {"_id": "none", "embedding": []}]})
    assert moved(tmp_path, target).ok
    found = target.list_all(LONG, include_embedding=True)
    assert found[0]["embedding"] == pytest.approx([0.1, 0.2, 0.3, 1], abs=1e-7)
    assert found[1]["embedding"] is None


@pytest.mark.parametrize("vector", [[1.0, 2.0, 3.0], "text", 5, ["a"], [float("nan")] * 4, [0.0] * 4], ids=repr)
def test_embeddings_that_do_not_fit_are_listed(tmp_path: Path, target: PostgreSQLProvider, vector: Any) -> None:
    """Of another length than the others, or none at all: the document is named, the others arrive."""
    dumped(tmp_path, {"long_term_memory": [{"_id": ID, "embedding": vector}, {"_id": "b", "embedding": [1, 0, 0, 0]}]})
    report = moved(tmp_path, target)
    assert [each.id for each in report.problems] == [str(ID)]
    assert "embedding" in report.problems[0].reason
    assert report.copied == 1


def test_a_dry_run_tells_the_lengths_apart(tmp_path: Path, target: PostgreSQLProvider) -> None:
    """A collection of two models has two lengths."""
    documents = [{"_id": n, "embedding": [1.0] * (4 if n < 5 else 3)} for n in range(7)]
    dumped(tmp_path, {"long_term_memory": documents})
    report = moved(tmp_path, target, dry_run=True)
    assert report.dimensions == {3: 2, 4: 5}
    assert report.not_copied == 2


# --- ids ----------------------------------------------------------------------------------------------------------


def test_ids_of_two_types_and_the_same_text_are_listed(tmp_path: Path, target: PostgreSQLProvider) -> None:
    """An ObjectId and its text are one id here: the first document is copied, the second is named and not merged."""
    documents = [{"_id": ID, "n": 1}, {"_id": str(ID), "n": 2}, {"_id": 5, "n": 3}, {"_id": "5", "n": 4}]
    dumped(tmp_path, {"long_term_memory": documents})
    for batch_size in (1, 100):
        report = moved(tmp_path, target, batch_size=batch_size, existing="replace")
        assert [(each.id, each.reason[:42]) for each in report.problems] == [
            (str(ID), "another document of this store has the sam"),
            ("5", "another document of this store has the sam"),
        ]
        assert {each["id"]: each["n"] for each in target.list_all(LONG)} == {str(ID): 1, "5": 3}


def test_an_id_beside_the_id_is_kept(tmp_path: Path, target: PostgreSQLProvider) -> None:
    """`_id` is the id; a field `id` that differs comes under a name of its own."""
    documents = [{"_id": ID, "id": "mine"}, {"_id": "same", "id": "same"}]
    dumped(tmp_path, {"long_term_memory": documents})
    assert moved(tmp_path, target).ok
    found = target.list_all(LONG)
    assert [(each["id"], each.get("foreign_id")) for each in found] == [(str(ID), "mine"), ("same", None)]


def test_a_document_without_an_id_is_listed(tmp_path: Path, target: PostgreSQLProvider) -> None:
    """A new id would be another one each time."""
    dumped(tmp_path, {"long_term_memory": [{"n": 1}, {"_id": "a"}]})
    report = moved(tmp_path, target)
    assert ([each.reason for each in report.problems], report.copied) == (["the document has no id"], 1)


def test_agents_arrive_with_their_memories(tmp_path: Path, target: PostgreSQLProvider) -> None:
    """memory_ids stay what they are."""
    dumped(tmp_path, {"agents": [{"_id": ID, "name": "Ada", "memory_ids": ["m1", "m2"]}]})
    assert copy(Dump(tmp_path), target).ok
    agent = target.retrieve_memagent(ID)
    assert agent is not None
    assert agent["memory_ids"] == ["m1", "m2"]


# --- what is read -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gzip"])
def test_collections_are_stores_and_others_are_named(tmp_path: Path, target: PostgreSQLProvider, gz: bool) -> None:
    """Compressed or not; what is no store is in the report."""
    documents = [{"_id": n, "n": n, "embedding": [1.0, n, 0.0, 0.0]} for n in range(1200)]
    dumped(tmp_path, {"long_term_memory": documents, "personas": [{"_id": 1}], "audit": [{"_id": 1}]}, gz=gz)
    report = copy(Dump(tmp_path), target)
    assert report.ok
    assert {each.store: each.copied for each in report.stores} == {"personas": 1, "long_term_memory": 1200}
    assert report.left_out == ["audit"]
    assert [each["n"] for each in target.list_all(LONG)] == list(range(1200))


def test_the_identity_of_a_database_is_no_store(tmp_path: Path, target: PostgreSQLProvider) -> None:
    """The collection that a provider keeps it in is neither copied nor named as left out."""
    dumped(tmp_path, {"personas": [{"_id": 1}], "memorizz_identity": [{"_id": "identity", "identity": "x"}]})
    report = copy(Dump(tmp_path), target)
    assert (report.ok, report.left_out) == (True, [])


def test_what_has_expired_is_counted(tmp_path: Path, target: PostgreSQLProvider) -> None:
    """It would be in no read of the target; what is no time is the target's to refuse."""
    documents = [{"_id": "gone", "expires_at": NOON}, {"_id": "odd", "expires_at": 5}, {"_id": "here"}]
    dumped(tmp_path, {"long_term_memory": documents})
    report = moved(tmp_path, target)
    assert (report.expired, report.copied, [each.id for each in report.problems]) == (1, 1, ["odd"])


def test_one_database_of_several_is_named(tmp_path: Path) -> None:
    """Its folder, or the one above with its name; the only one needs no name."""
    dumped(tmp_path / "dump" / "memorizz", {"personas": [{"_id": 1}]})
    for dump in (
        Dump(tmp_path / "dump"),
        Dump(tmp_path / "dump" / "memorizz"),
        Dump(str(tmp_path / "dump"), "memorizz"),
    ):
        assert [each["id"] for each in dump.documents(MemoryType.PERSONAS)] == ["1"]
    dumped(tmp_path / "dump" / "other", {"personas": []})
    with pytest.raises(ConfigurationError, match="those of databases in it: memorizz, other; say which with --db"):
        Dump(tmp_path / "dump")
    with pytest.raises(ConfigurationError, match="none of them is 'third'"):
        Dump(tmp_path / "dump", "third")


def test_a_folder_without_a_dump_is_refused(tmp_path: Path) -> None:
    """An empty one, one that is not there, and an archive, each with what to do."""
    with pytest.raises(ConfigurationError, match="is not the dump of one database; those of databases in it: none"):
        Dump(tmp_path)
    with pytest.raises(ConfigurationError, match="is not there"):
        Dump(tmp_path / "nowhere")
    (tmp_path / "archive").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="perhaps an archive: `mongodump --out FOLDER`"):
        Dump(tmp_path / "archive")


def test_reading_begins_after_a_document(tmp_path: Path) -> None:
    """Which is how an interrupted copy goes on; an id that the dump has not is refused."""
    dump = Dump(dumped(tmp_path, {"personas": [{"_id": n} for n in range(5)]}))
    assert [each["id"] for each in dump.documents(MemoryType.PERSONAS, after="2")] == ["3", "4"]
    assert list(dump.documents(MemoryType.PERSONAS, after="4")) == []
    with pytest.raises(FilterError, match="no document of this id"):
        list(dump.documents(MemoryType.PERSONAS, after="nobody"))


# --- damaged files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gzip"])
def test_a_file_that_is_cut_off_is_refused_before_anything_is_written(
    tmp_path: Path, target: PostgreSQLProvider, gz: bool
) -> None:
    """Wherever it is cut, save between two documents of a plain file, which nothing tells from a shorter one."""
    dumped(tmp_path, {"agents": [{"_id": n, "n": n} for n in range(3)], "long_term_memory": [{"_id": 1}]}, gz=gz)
    file = tmp_path / ("agents.bson.gz" if gz else "agents.bson")
    whole = file.read_bytes()
    one = len(bson.encode({"_id": 0, "n": 0}))
    for cut in range(1, len(whole)):
        if not gz and cut % one == 0:
            continue
        file.write_bytes(whole[:cut])
        with pytest.raises(InvalidFile) as refused:
            copy(Dump(tmp_path), target)
        assert refused.value.file == str(file)
        if not gz:
            assert refused.value.where == f"byte {cut // one * one:,}"
        assert re.search("dump it again", str(refused.value))
    assert sum(target.count(store) for store in MemoryType) == 0


@pytest.mark.parametrize(
    "damaged", [b"\xff" * 40, b"\x04\x00\x00\x00" * 10, b"\x0b\x00\x00\x00\x02abcdef", b"{}" * 30], ids=repr
)
def test_what_is_no_bson_is_refused(tmp_path: Path, target: PostgreSQLProvider, damaged: bytes) -> None:
    """With the place in the file."""
    dumped(tmp_path, {"agents": [{"_id": 1}]})
    file = tmp_path / "agents.bson"
    whole = file.read_bytes()
    file.write_bytes(whole + damaged)
    with pytest.raises(InvalidFile, match=f"byte {len(whole)}: "):
        copy(Dump(tmp_path), target)


def test_what_cannot_be_merged_with_what_is_there_is_listed(tmp_path: Path, target: PostgreSQLProvider) -> None:
    """A document that does not fit leaves the one of its id as it is, and the rest is compared."""
    target.store({"id": "one", "content": "tea"}, LONG)
    dumped(tmp_path, {"long_term_memory": [{"_id": "one", "content": 5}, {"_id": "two", "content": "coffee"}]})
    report = moved(tmp_path, target, existing="merge")
    assert (report.copied, report.not_copied, report.different) == (1, 1, 0)
    assert [problem.id for problem in report.problems] == ["one"]
    assert [each["content"] for each in target.list_all(LONG)] == ["tea", "coffee"]
