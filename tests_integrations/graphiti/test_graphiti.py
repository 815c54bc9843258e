"""The database that Graphiti makes with Kuzu: read as what its own models write of it is."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kuzu
import pytest

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError, InvalidFile
from memorizz.importers import Found, import_file, read

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MADE = datetime(2024, 1, 1, tzinfo=UTC)
VECTOR = [0.5, 0.25]


async def filled(path: Path, dump: Path) -> None:
    """Save a graph into a new database, and write its models as JSON Lines."""
    from graphiti_core.driver.kuzu_driver import KuzuDriver
    from graphiti_core.edges import EntityEdge
    from graphiti_core.nodes import CommunityNode, EntityNode, EpisodeType, EpisodicNode

    driver = KuzuDriver(str(path))
    of: dict[str, Any] = {"group_id": "ada", "created_at": MADE}
    ada = EntityNode(
        name="Ada", labels=["Person"], summary="Likes tea.", attributes={"age": 36}, name_embedding=VECTOR, **of
    )
    acme = EntityNode(name="Acme, Inc.", summary="", name_embedding=VECTOR, **of)
    works = EntityEdge(
        source_node_uuid=ada.uuid, target_node_uuid=acme.uuid, name="WORKS_AT", fact="Ada works at Acme",
        valid_at=datetime(2023, 1, 1, tzinfo=UTC), invalid_at=datetime(2025, 1, 1, tzinfo=UTC), fact_embedding=VECTOR,
        attributes={"since": "2023"}, **of,
    )  # fmt: skip
    said = EpisodicNode(
        name="m1", source=EpisodeType.message, source_description="chat", content="Ada: I work at Acme, 日本 \u2028",
        valid_at=MADE, entity_edges=[works.uuid], **of,
    )  # fmt: skip
    work = CommunityNode(name="Work", summary="People who work", name_embedding=VECTOR, **of)
    for each in (ada, acme, works, said, work):
        await each.save(driver)
    with dump.open("w") as file:
        for kind in (EpisodicNode, EntityNode, EntityEdge, CommunityNode):
            for found in await kind.get_by_group_ids(driver, ["ada"]):
                file.write(found.model_dump_json(exclude={"name_embedding", "fact_embedding"}) + "\n")


@pytest.fixture
def graph(tmp_path: Path) -> tuple[Path, Path]:
    """The file of a database, and its graph as JSON."""
    path, dump = tmp_path / "graph.kuzu", tmp_path / "graph.jsonl"
    asyncio.run(filled(path, dump))
    # Graphiti closes it by forgetting it.
    gc.collect()
    return path, dump


def documents(path: Path) -> dict[tuple[str, ...], Any]:
    return {found.key: found.document for found in read(path) if isinstance(found, Found)}


def test_a_database_is_what_its_models_write(graph: tuple[Path, Path]) -> None:
    """The same documents under the same ids, whichever of the two is read."""
    path, dump = graph
    found = documents(path)
    assert found == documents(dump)
    assert sorted(document["content"] for document in found.values()) == [
        "Ada works at Acme", "Ada: I work at Acme, 日本 \u2028", "Ada: Likes tea.", "Work: People who work",
    ]  # fmt: skip
    [works] = [document for document in found.values() if document.get("kind") == "WORKS_AT"]
    assert (works["valid_from"].year, works["valid_until"].year) == (2023, 2025)
    assert works["metadata"] == {"since": "2023"}


def test_a_second_import_adds_nothing(graph: tuple[Path, Path], config: PostgreSQLConfig) -> None:
    """What has no summary is left out and named; the database stays as it is."""
    path, dump = graph
    before = path.read_bytes()
    with PostgreSQLProvider(config) as provider:
        report = import_file(path, provider)
        assert report.format == "graphiti"
        assert report.stored == {"conversation_memory": 1, "long_term_memory": 3}
        [(_, noted)] = report.left_out.items()
        assert noted.places[0].startswith("Entity, ")
        assert import_file(dump, provider).there == report.stored == import_file(path, provider).there
    assert path.read_bytes() == before


def test_a_database_that_another_program_has_open_is_refused(graph: tuple[Path, Path]) -> None:
    """As Kuzu lets one program in; the message says what to do."""
    path, _ = graph
    holds = "import kuzu, sys; held = kuzu.Database(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdout.readline()
        with pytest.raises(ConfigurationError, match="is open in another program: expected it to be closed there"):
            documents(path)
        program.stdin.close()


def test_a_database_that_is_cut_off_is_refused(graph: tuple[Path, Path], config: PostgreSQLConfig) -> None:
    """Before anything is stored."""
    path, _ = graph
    path.write_bytes(path.read_bytes()[:1_000_000])
    with PostgreSQLProvider(config) as provider:
        with pytest.raises(InvalidFile, match=r"the database: it cannot be read on \(.*past the end of the file"):
            import_file(path, provider)
        assert provider.count("long_term_memory") == 0


def test_a_database_of_another_program_is_of_no_format(tmp_path: Path) -> None:
    """The message names its tables."""
    path = tmp_path / "other.kuzu"
    with kuzu.Database(str(path)) as database, kuzu.Connection(database) as connection:
        connection.execute("CREATE NODE TABLE Bread (id STRING PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match=r"of no format that is known here \(its tables: 'Bread'\)"):
        documents(path)
