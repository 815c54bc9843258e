"""What every format has: it is recognised, checked before anything is stored, and stored once."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import socket
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from samples import SAMPLES, chatgpt_conversation, chatgpt_conversations, chatgpt_message, written, zipped

from memorizz.errors import ConfigurationError, InvalidFile
from memorizz.importers import Found, Progress, import_file, read
from memorizz.importers._registry import FORMATS
from memorizz.importers._source import open_source
from memorizz.memory_provider.mongodb import MongoDBConfig, MongoDBProvider
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider

TALK = "conversation_memory"


def everything(provider: PostgreSQLProvider) -> dict[str, int]:
    return {spec.name: count for spec in provider.stores() if (count := provider.count(spec.name))}


def test_each_format_has_samples() -> None:
    """What is in the registry is tested here."""
    assert {each.name for each in FORMATS} == SAMPLES.keys()


def test_each_format_is_recognised_and_none_is_taken_for_another(sample_files: list[Path], request: Any) -> None:
    """Of all formats only its own says that a file is its, for every file."""
    name = request.node.callspec.id
    for path in sample_files:
        with open_source(path, 2**26) as source:
            assert [each.name for each in FORMATS if each.recognises(source)] == [name], path


def test_a_second_import_adds_nothing(sample_files: list[Path], provider: PostgreSQLProvider) -> None:
    """Nor does a dry run, which reports the same; what was changed meanwhile stays changed."""
    for path in sample_files:
        expected = sum(isinstance(each, Found) for each in read(path))
        planned = import_file(path, provider.memory(path.name), dry_run=True)
        assert sum(planned.stored.values()) == expected > 0
        assert everything(provider.memory(path.name)) == {}
        report = import_file(path, provider.memory(path.name))
        assert report.ok, report
        assert report.stored == planned.stored == everything(provider.memory(path.name))
        again = import_file(path, provider.memory(path.name))
        assert (set(again.stored.values()), again.there) == ({0}, report.stored)
        assert report.stored == everything(provider.memory(path.name))


def test_every_document_says_where_it_comes_from(sample_files: list[Path], request: Any) -> None:
    """The format, and an id of the file's own; a time is no later than today."""
    for path in sample_files:
        for found in read(path):
            if isinstance(found, Found):
                assert found.document["source"]["format"] == request.node.callspec.id
                assert found.document["source"]["id"]
                assert found.place
                assert all(isinstance(part, str) and part for part in found.key)


def test_a_folder_a_zip_and_a_stream_hold_the_same(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Whichever is imported first, the others add nothing."""
    counts = []
    single, archive, folder = SAMPLES["chatgpt"](tmp_path)
    for source in (single, archive, folder, io.BytesIO(archive.read_bytes()), io.BytesIO(single.read_bytes())):
        report = import_file(source, provider)
        counts.append((report.stored[TALK], report.there[TALK]))
    assert counts == [(4, 0), *[(0, 4)] * 4]


def test_a_file_that_has_grown_adds_what_is_new(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """The ids are the file's own, and no numbers of its conversations."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(2))
    import_file(path, provider)
    written(path, list(reversed(chatgpt_conversations(3))))
    report = import_file(path, provider)
    assert (report.stored[TALK], report.there[TALK]) == (2, 4)


def test_two_memories_have_a_copy_each(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Also two agents of one memory, and two tenants."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(1))
    ada = provider.memory("ada")
    for target in (provider, ada, provider.memory("bob"), provider.memory("ada", agent="a"), provider.tenant("acme")):
        assert import_file(path, target).stored == {TALK: 2}
    assert {hit["memory_id"] for hit in ada.list_all(TALK)} == {"ada"}
    assert provider.count(TALK) == 8


def test_documents_that_are_changed_or_expired_stay_as_they_are(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """An import never writes over what is there."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(1))
    import_file(path, provider)
    first = provider.list_all(TALK)[0]
    provider.update_by_id(first["id"], {"content": "changed"}, TALK)
    import_file(path, provider)
    assert provider.retrieve_by_id(first["id"], TALK)["content"] == "changed"  # type: ignore[index]


def test_an_import_into_mongodb(mongodb_uri: Callable[[], str], tmp_path: Path) -> None:
    """As into PostgreSQL: once, with the same ids, within a memory too."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(2))
    uri, name = mongodb_uri(), f"memorizz_importers_{os.getpid()}"
    try:
        with MongoDBProvider(MongoDBConfig(uri, name, create_indexes=False)) as provider:
            assert import_file(path, provider).stored == {TALK: 4}
            assert import_file(path, provider).there == {TALK: 4}
            assert "2aa74565-fd3d-5349-aafc-75a7191cd479" in {each["id"] for each in provider.list_all(TALK)}
            assert import_file(path, provider.memory("ada")).stored == {TALK: 4}
            assert provider.memory("ada").count(TALK) == 4
    finally:
        with MongoClient[dict[str, Any]](uri) as client:
            client.drop_database(name)


def test_the_same_id_twice_in_a_file_is_reported(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """The first one is kept; the place of the other is named, in a dry run too."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(2) + chatgpt_conversations(1))
    for dry_run in (True, False):
        report = import_file(path, provider, dry_run=dry_run)
        assert report.stored == {TALK: 4}
        twice = report.left_out["another one before it in the file has the same id"]
        assert (twice.count, twice.places[0]) == (2, "conversation 3, message 0-asked")


def test_what_the_store_refuses_is_named(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """With the place and the reason; everything else is stored."""
    conversations = chatgpt_conversations(2)
    conversations[1]["mapping"]["1-asked"]["message"]["content"]["parts"] = ["a NUL: \0"]
    report = import_file(written(tmp_path / "conversations.json", conversations), provider)
    assert (report.ok, report.stored) == (False, {TALK: 3})
    [(reason, noted)] = report.refused.items()
    assert "NUL" in reason
    assert noted.places == ["conversation 2, message 1-asked"]


# --- files that are not as they must be ---------------------------------------------------------------------------


def test_a_file_that_is_cut_off_stores_nothing(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Wherever that is, the error names the place, which is the end of the file."""
    whole = json.dumps(chatgpt_conversations(3), ensure_ascii=False).replace("Ada", "Adélaïde").encode()
    for length in range(300, len(whole), 97):
        path = tmp_path / "conversations.json"
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidFile) as refused:
            import_file(path, provider)
        assert refused.value.file == str(path)
        place = int(refused.value.where.removeprefix("byte ").replace(",", ""))
        assert length - 3 <= place <= length, (refused.value, length)
    assert everything(provider) == {}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_named_with_its_place(provider: PostgreSQLProvider, tmp_path: Path, encoding: str) -> None:
    """Nothing of the file is stored."""
    text = json.dumps(chatgpt_conversations(2000), ensure_ascii=False)
    path = tmp_path / "conversations.json"
    for cut in (-900, 0):
        path.write_bytes((text[:cut] + text[cut:].replace("Ada", "Adé")).encode(encoding))
        with pytest.raises(InvalidFile, match="this is not UTF-8") as refused:
            import_file(path, provider)
        at = int(refused.value.where.removeprefix("byte ").replace(",", ""))
        assert path.read_bytes()[at : at + 1] == "é".encode(encoding)
        assert b"\xe9" not in path.read_bytes()[:at]
    assert everything(provider) == {}


def test_json_that_is_wrong_is_named_with_its_place(tmp_path: Path) -> None:
    """At the byte where it is, and not at the end of the file."""
    text = json.dumps(chatgpt_conversations(50)).replace('"title": "About tea-40"', '"title": oops')
    path = tmp_path / "conversations.json"
    path.write_text("\ufeff" + text, "utf-8")
    with pytest.raises(InvalidFile, match="this is no JSON") as refused:
        [*read(path)]
    at = int(refused.value.where.removeprefix("byte ").replace(",", ""))
    assert path.read_bytes()[at : at + 4] == b"oops"


@pytest.mark.parametrize(
    "name", ["../up.json", "a/../../up.json", "/etc/up.json", "C:\\up.json", "a\\..\\..\\up.json", "\\\\up"]
)
def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path: Path, name: str) -> None:
    """With the name; nothing of it is read, and nothing is ever written to the disk."""
    path = zipped(tmp_path / "a.zip", {"conversations.json": chatgpt_conversations(1), name: "x"})
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(InvalidFile, match="outside of itself") as refused:
        [*read(path)]
    assert "up" in refused.value.where
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_zip_in_a_zip_is_not_opened(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Beside an export it is named as left out; alone it is of no format, and the message says what to do."""
    inner = zipped(tmp_path / "inner.zip", {"conversations.json": chatgpt_conversations(1)}).read_bytes()
    path = zipped(tmp_path / "a.zip", {"conversations.json": chatgpt_conversations(1), "file-1/inner.zip": inner})
    report = import_file(path, provider)
    assert report.stored == {TALK: 2}
    assert report.left_out["a zip inside of the zip is not opened"].places == ["file-1/inner.zip"]
    with pytest.raises(ConfigurationError, match=r"another zip, 'inner\.zip': unpack it"):
        import_file(zipped(tmp_path / "b.zip", {"inner.zip": inner}), provider)


def test_a_zip_that_is_damaged_is_refused(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Cut off, encrypted, or with another byte in it: nothing of it is stored."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", json.dumps(chatgpt_conversations(300)))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-3], whole[:4000] + b"\0\xff\0\xff" + whole[4004:]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidFile, match=r"cut off|damaged|no JSON"):
            import_file(path, provider)
    flags = bytearray(whole)
    flags[flags.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(flags)
    with pytest.raises(InvalidFile, match="encrypted"):
        import_file(path, provider)
    assert everything(provider) == {}


def test_one_value_does_not_fill_the_memory(tmp_path: Path) -> None:
    """A conversation that needs more than is allowed is refused before it is read."""
    path = tmp_path / "conversations.json"
    path.write_text('[{"mapping": {}, "x": [' + "{}," * 2_000_000, "utf-8")
    with pytest.raises(InvalidFile, match="needs more memory than the 8,388,608 bytes"):
        [*read(path, max_document_bytes=2**23)]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "tea", "[1, 2]", '{"a": 1}\n{"a": 2}\n', "\0\1\2", "[[[[", "\ufeff[{}]"]
)
def test_a_file_of_no_format_is_refused(tmp_path: Path, text: str) -> None:
    """The message lists the formats, and how to say which it is."""
    with pytest.raises(ConfigurationError, match=r"expected an export of memorizz, or one of chatgpt.*--format"):
        [*read(written(tmp_path / "conversations.json", text))]


def test_a_format_that_is_said_is_the_one_that_it_is(sample_files: list[Path], request: Any) -> None:
    """Each file is read as its own, and refused as any other, before anything else is said of it."""
    for path in sample_files:
        for each in FORMATS:
            if each.name == request.node.callspec.id:
                assert [*read(path, format=each.name)]
            else:
                with pytest.raises(ConfigurationError, match=f"holds no memories of {each.name}"):
                    [*read(path, format=each.name)]


def test_utf16_is_named(tmp_path: Path) -> None:
    """It looks like no format, and the message says why."""
    path = tmp_path / "conversations.json"
    path.write_bytes(json.dumps(chatgpt_conversations(1)).encode("utf-16"))
    with pytest.raises(ConfigurationError, match="it is in UTF-16, and is to be saved as UTF-8"):
        [*read(path)]


def test_options_that_are_none_are_refused(tmp_path: Path) -> None:
    """Before the file is opened."""
    for options in ({"format": "x"}, {"date_order": "dym"}, {"timezone": "UTC"}, {"max_document_bytes": 0}):
        with pytest.raises(ConfigurationError, match=f"{next(iter(options))}"):
            [*read(tmp_path / "none", **options)]  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="none cannot be read: No such file"):
        [*read(tmp_path / "none")]


def test_links_and_hidden_files_of_a_folder_are_left_alone(tmp_path: Path) -> None:
    """Nothing outside of the folder is read, and nothing for ever; the report names what is not looked into."""
    outside = written(tmp_path / "conversations.json", chatgpt_conversations(1))
    folder = tmp_path / "folder"
    written(folder / ".hidden" / "conversations.json", chatgpt_conversations(1))
    (folder / "conversations.json").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "conversations-001.json")
    with pytest.raises(ConfigurationError, match="of no format"):
        [*read(folder)]
    written(folder / "below" / "conversations-002.json", chatgpt_conversations(1))
    written(folder / "below" / ".DS_Store", "x")
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(os.path.relpath(folder / "socket"))
        report = import_file(folder, None, dry_run=True)
    assert report.stored == {TALK: 2}
    passed = {reason: sorted(noted.places) for reason, noted in report.left_out.items()}
    assert (
        passed.items()
        >= {
            "a file or a folder that is hidden": [".hidden", "below/.DS_Store"],
            "a link, which is not followed": ["conversations.json", "up"],
            "no file and no folder: a pipe, a socket, a device": ["conversations-001.json", "socket"],
        }.items()
    )


def test_what_holds_no_file_is_said_to(tmp_path: Path) -> None:
    """An empty zip, and an empty folder."""
    (tmp_path / "empty").mkdir()
    for path in (zipped(tmp_path / "empty.zip", {}), tmp_path / "empty"):
        with pytest.raises(ConfigurationError, match=r"of no format that is known here \(it holds no file\)"):
            [*read(path)]


def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    """What is in it would be left out in silence; here its path is too long for the system."""
    written(tmp_path / "conversations.json", chatgpt_conversations(1))
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=at)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    with pytest.raises(ConfigurationError, match="x cannot be read: File name too long"):
        [*read(tmp_path)]


@pytest.mark.parametrize("file", ["", "a\0b", 5, None, b"conversations.json", io.StringIO("[]")])
def test_what_is_no_file_is_refused(file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty path among it, such as a variable of a shell that is not set: it is not the folder that one is in."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "conversations.json", chatgpt_conversations(1))
    with pytest.raises(ConfigurationError, match=r"^file.*expected a path"):
        [*read(file)]


# --- large files, and interruptions -------------------------------------------------------------------------------


def _import(config: PostgreSQLConfig, path: Path, kill_after: int) -> None:
    """Import a file, and end the process as `kill -9` does once so many documents are stored."""

    def watch(progress: Progress) -> None:
        if progress.phase == "storing" and progress.done >= kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    with PostgreSQLProvider(config) as provider:
        import_file(path, provider, progress=watch)


def test_an_import_that_is_killed_is_completed_by_another(
    config: PostgreSQLConfig, provider: PostgreSQLProvider, tmp_path: Path
) -> None:
    """What was stored until then stays, once."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(1500))
    killed = multiprocessing.get_context("spawn").Process(target=_import, args=(config, path, 1000))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    held = provider.count(TALK)
    assert 1000 <= held < 3000
    report = import_file(path, provider)
    assert report.stored == {TALK: 3000 - held}
    assert provider.count(TALK) == 3000


def test_a_file_that_changes_while_it_is_stored_says_what_is_stored(
    provider: PostgreSQLProvider, tmp_path: Path
) -> None:
    """It was whole when it was checked: the error says what was stored before the place."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(1500))
    whole = path.read_bytes()

    def cut(progress: Progress) -> None:
        if progress.phase == "storing":
            path.write_bytes(whole[:-1000])

    with pytest.raises(InvalidFile, match=r"cut off here; it has changed since it was checked, and 2,500 documents"):
        import_file(path, provider, progress=cut)
    assert provider.count(TALK) == 2500
    path.write_bytes(whole)
    assert import_file(path, provider).stored == {TALK: 500}


def test_a_large_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    """Of 8 MB less than 2 are in memory at any time: one conversation, and what is read ahead."""
    node = chatgpt_message("asked", "user", "Which tea does Ada like? " * 200, "root", 1)
    path = tmp_path / "conversations.json"
    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for number in range(1500):
            file.write(json.dumps(chatgpt_conversation(f"c{number}", node)) + ("," if number < 1499 else "]"))
    assert path.stat().st_size > 8_000_000
    tracemalloc.start()
    count = sum(isinstance(each, Found) for each in read(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 1500
    assert peak < 2_000_000


def test_an_id_is_always_the_same(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """Another version of this library finds what this one has stored."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(1))
    import_file(path, provider)
    import_file(path, provider.memory("ada"))
    import_file(path, provider.memory("ada", agent="guide"))
    assert [each["id"] for each in provider.list_all(TALK)[::2]] == [
        "2aa74565-fd3d-5349-aafc-75a7191cd479",
        "b79b3219-a9ac-5309-8267-38ac7adfcad7",
        "0827aa74-85a6-55d2-8393-bf0b01e6de70",
    ]


def test_progress_is_told(provider: PostgreSQLProvider, tmp_path: Path) -> None:
    """While the file is checked in bytes, then in documents, up to all of them."""
    path = written(tmp_path / "conversations.json", chatgpt_conversations(600))
    told: list[Progress] = []
    import_file(path, provider, progress=told.append)
    checked = [each for each in told if each.phase == "checking"]
    assert {each.total for each in checked} == {path.stat().st_size}
    assert 0 < checked[0].done <= checked[-1].done <= path.stat().st_size
    assert told[-1] == Progress("storing", 1200, 1200)
