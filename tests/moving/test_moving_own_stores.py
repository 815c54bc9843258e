"""Stores of a caller's own go along: they are made where they are missing, and their documents arrive as any."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from memorizz.errors import ConfigurationError, InvalidFile
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.postgresql import PostgreSQLProvider
from memorizz.memory_provider.stores import StoreSpec
from memorizz.moving import Dump, copy, export, load

RECIPES = StoreSpec("recipes", dimensions=3, distance="l2", label="role", timeline=True)
NOTES = StoreSpec("notes")
_numbers = itertools.count()


def fill(provider: Any) -> None:
    provider.create_store(RECIPES)
    provider.create_store(NOTES)
    provider.store_many([{"id": f"r{n}", "content": "tea", "embedding": [n, 0, 1]} for n in range(7)], "recipes")
    provider.store({"id": "n", "content": "coffee", "embedding": [1, 0, 0, 0]}, "notes")
    provider.store({"id": "a"}, "long_term_memory")


def everything(provider: Any) -> dict[str, list[dict[str, Any]]]:
    return {spec.name: provider.list_all(spec.name, include_embedding=True) for spec in provider.stores()}


@pytest.fixture
def mongo(mongodb_uri: Callable[[], str]) -> Iterator[MongoDBConfig]:
    """A database of its own, without collections and indexes until something is stored."""
    uri, name = mongodb_uri(), f"memorizz_own_{os.getpid()}_{next(_numbers)}"
    yield MongoDBConfig(uri, name, create_indexes=False)
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(name)


def test_they_are_copied(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """All of them with their specs, and again where they are there; some of them where that is asked for."""
    fill(source)
    report = copy(source, target, ["recipes"], batch_size=3)
    assert report.ok
    assert [(each.store, each.copied) for each in report.stores] == [("recipes", 7)]
    assert [spec.name for spec in target.stores()[7:]] == ["recipes"]
    assert copy(source, target, existing="replace").ok
    assert target.stores() == source.stores()
    assert everything(target) == everything(source)
    with pytest.raises(ConfigurationError, match=r"unknown memory store 'memories': expected .*recipes, notes"):
        copy(source, target, ["memories"])


def test_a_dry_run_makes_none(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """It counts what would be copied; what fits is seen where the store is there."""
    fill(source)
    report = copy(source, target, ["recipes"], dry_run=True)
    assert (report.ok, report.stores[0].in_source, report.stores[0].dimensions) == (True, 7, {3: 7})
    assert len(target.stores()) == 7


@pytest.mark.parametrize("dry_run", [True, False])
def test_one_of_another_kind_is_refused(source: PostgreSQLProvider, target: PostgreSQLProvider, dry_run: bool) -> None:
    """A store of the same name and another spec is another store; nothing is written."""
    fill(source)
    target.create_store(StoreSpec("recipes", dimensions=4))
    with pytest.raises(ConfigurationError, match="a store 'recipes' is there with another spec: dimensions"):
        copy(source, target, dry_run=dry_run)
    assert not any(everything(target).values())


def test_they_go_to_mongodb_and_back(
    source: PostgreSQLProvider, target: PostgreSQLProvider, mongo: MongoDBConfig, tmp_path: Path
) -> None:
    """And out of a dump of it, whose collections have names of their own."""
    fill(source)
    with MongoDBProvider(mongo) as between:
        assert copy(source, between).ok
        assert between.stores() == source.stores()
        assert copy(between, target).ok
        assert everything(target) == everything(between) == everything(source)
    with MongoClient[dict[str, Any]](mongo.uri) as client:
        for name in client[mongo.db_name].list_collection_names():
            documents = client[mongo.db_name][name].find()
            (tmp_path / f"{name}.bson").write_bytes(b"".join(map(bson.encode, documents)))
    dump = Dump(tmp_path)
    assert {spec.name for spec in dump.stores()} >= {"recipes", "notes", "long_term_memory"}
    assert dump.left_out() == []
    report = copy(dump, target, existing="merge")
    assert report.ok
    assert sum(each.present for each in report.stores) == 9


def test_a_dump_whose_stores_are_not_described_is_refused(tmp_path: Path) -> None:
    """With the place in the file that lists them."""
    (tmp_path / "memorizz_stores.bson").write_bytes(bson.encode({"_id": "x", "spec": {"name": "x", "label": "y"}}))
    with pytest.raises(InvalidFile, match=r"memorizz_stores.bson, byte 0: no store is described there"):
        Dump(tmp_path)


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_they_go_through_a_file(source: PostgreSQLProvider, target: PostgreSQLProvider, format: str) -> None:
    """Which says what they are; those that are missing are made."""
    fill(source)
    exported = export(source, file := io.BytesIO(), format=format)
    assert (exported["recipes"], exported["notes"], exported["long_term_memory"]) == (7, 1, 1)
    file.seek(0)
    assert load(file, target, stores=["notes"]) == {"notes": 1}
    assert [spec.name for spec in target.stores()[7:]] == ["notes"]
    file.seek(0)
    load(file, target, existing="replace")
    assert set(target.stores()) == set(source.stores())
    assert everything(target) == everything(source)
