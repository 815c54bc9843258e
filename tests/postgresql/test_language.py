"""The language of the words changes while the stores are in use, and while the program that changes it is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from memorizz.errors import ConfigurationError, DatabaseError
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import PostgreSQLConfig, PostgreSQLProvider
from memorizz.memory_provider.postgresql.maintenance import Maintenance
from memorizz.memory_provider.stores import StoreSpec

LONG = MemoryType.LONG_TERM_MEMORY
# Found in their own language alone: "Haus" and "Häuser", "drinks" and "drinking".
GERMAN, ENGLISH = "alte Häuser", "she drinks tea"

DIES = """
import os, signal, sys
from memorizz.memory_provider.postgresql import PostgreSQLConfig
from memorizz.memory_provider.postgresql.maintenance import Maintenance, _language

def dying(operation, calls):
    def wrapped(*arguments):
        nonlocal calls
        calls -= 1
        result = yield from operation(*arguments)
        if calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

name, calls = sys.argv[2:]
setattr(_language, name, dying(getattr(_language, name), int(calls)))
with Maintenance(PostgreSQLConfig(dsn=sys.argv[1])) as maintenance:
    maintenance.change_language("german")
"""


def hits(provider: Any, question: str, store: MemoryType | str = LONG) -> int:
    return len(provider.retrieve_by_query({"$text": {"$search": question}}, store, 1000))


def under_way(dsn: str) -> tuple[Any, ...] | None:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT text_search_config, text_search_config_before FROM memorizz_settings"
        ).fetchone()


def test_every_document_gets_the_words_of_the_new_language(api: Any, config: PostgreSQLConfig) -> None:
    """Of all tenants and stores, without a change of anything else, and an open provider follows; also back again."""
    api.create_store(StoreSpec("notes"))
    ids = [api.store({"content": f"{GERMAN} {n}", "importance_score": 0.5}, LONG) for n in range(230)]
    api.store({"content": GERMAN}, "notes")
    api.tenant("acme").store({"content": GERMAN}, LONG)
    before = api.retrieve_by_id(ids[0], LONG)
    assert hits(api, "Haus") == 0
    with Maintenance(config) as maintenance:
        seen: list[tuple[str, int]] = []
        assert maintenance.change_language("german", lambda store, done: seen.append((store, done))) == 232
        assert ("long_term_memory", 231) in seen
        assert maintenance.change_language("pg_catalog.german") == 0
        assert maintenance.facts().layout.text_search_config == "pg_catalog.german"
    assert (hits(api, "Haus"), hits(api, "Haus", "notes"), hits(api.tenant("acme"), "Haus")) == (230, 1, 1)
    assert api.retrieve_by_id(ids[0], LONG) == before
    api.store({"content": "neue Häuser"}, LONG)
    assert hits(api, "Haus") == 231
    with Maintenance(config) as maintenance:
        maintenance.change_language("english")
    assert hits(api, "Haus") == 0


@pytest.mark.parametrize(("step", "calls"), [("begin", 1), ("again", 1), ("again", 6), ("finish", 1)])
def test_killed_it_goes_on(provider: PostgreSQLProvider, migrated_dsn: str, step: str, calls: int) -> None:
    """At any point: words of both languages are found meanwhile, and the same call finishes what was begun."""
    for n in range(230):
        provider.store({"content": f"{GERMAN}, {ENGLISH}, {n}"}, LONG)
    worker = [sys.executable, "-c", DIES, migrated_dsn, step, str(calls)]
    assert subprocess.run(worker, check=False, timeout=60).returncode == -signal.SIGKILL
    provider.store({"content": f"{GERMAN}, {ENGLISH}"}, LONG)
    # Of the language before, or of the next: every document is found by a word that both know.
    assert hits(provider, "alte") == hits(provider, "tea") == 231
    assert hits(provider, "drinking Häuser") == 231
    with Maintenance(PostgreSQLConfig(dsn=migrated_dsn)) as maintenance:
        maintenance.change_language("german")
    assert hits(provider, "Haus") == 231
    assert under_way(migrated_dsn) == ("pg_catalog.german", None)


def test_a_long_question_meanwhile(provider: PostgreSQLProvider, migrated_dsn: str) -> None:
    """It looks for as many words of either language as it does of one."""
    provider.store({"content": GERMAN}, LONG)
    subprocess.run([sys.executable, "-c", DIES, migrated_dsn, "again", "1"], check=False, timeout=60)
    others = " ".join(f"{first}{second}ungen" for first in "kmprst" for second in "aeiouklmnr")
    assert hits(provider, f"{others} Häuser") == 1


def test_two_programs_at_once(provider: PostgreSQLProvider, migrated_dsn: str) -> None:
    """Both end well, and every document has the new words."""
    for n in range(350):
        provider.store({"content": f"{GERMAN} {n}"}, LONG)

    def change(_: int) -> int:
        with Maintenance(PostgreSQLConfig(dsn=migrated_dsn)) as maintenance:
            return maintenance.change_language("german")

    with ThreadPoolExecutor(2) as threads:
        assert sum(threads.map(change, range(2))) == 350
    assert hits(provider, "Haus") == 350


def test_another_change_waits_for_the_end_of_the_first(provider: PostgreSQLProvider, migrated_dsn: str) -> None:
    """It is refused, and the error says what is to be finished."""
    provider.store({"content": GERMAN}, LONG)
    subprocess.run([sys.executable, "-c", DIES, migrated_dsn, "again", "1"], check=False, timeout=60)
    with Maintenance(PostgreSQLConfig(dsn=migrated_dsn)) as maintenance:
        with pytest.raises(
            ConfigurationError, match=r"english to pg_catalog.german: .*language pg_catalog.german --schema public`"
        ):
            maintenance.change_language("french")
        maintenance.change_language("pg_catalog.german")
        assert hits(provider, "Haus") == 1
        maintenance.change_language("french")


def test_what_is_stored_while_it_begins(
    provider: PostgreSQLProvider, migrated_dsn: str, wait_for: Callable[..., Any]
) -> None:
    """A transaction with words of the language before ends first, and its documents get the new ones."""
    done = threading.Event()

    def change() -> None:
        with Maintenance(PostgreSQLConfig(dsn=migrated_dsn)) as maintenance:
            maintenance.change_language("german")
        done.set()

    waits = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%SHARE ROW EXCLUSIVE%%' AND wait_event_type = 'Lock'"
    )
    with provider.transaction() as transaction, psycopg.connect(migrated_dsn, autocommit=True) as connection:
        transaction.store({"content": GERMAN}, LONG)
        thread = threading.Thread(target=change)
        thread.start()
        wait_for(lambda: connection.execute(waits).fetchone()[0], "the change to wait")  # type: ignore[index]
        assert not done.is_set()
    thread.join()
    assert hits(provider, "Haus") == 1


def test_a_language_that_there_is_not(provider: PostgreSQLProvider, migrated_dsn: str) -> None:
    """It is refused, and nothing changes."""
    provider.store({"content": ENGLISH}, LONG)
    with Maintenance(PostgreSQLConfig(dsn=migrated_dsn)) as maintenance:
        with pytest.raises((DatabaseError, ConfigurationError), match="klingon"):
            maintenance.change_language("klingon")
        with pytest.raises(ConfigurationError, match="language"):
            maintenance.change_language("")
    assert under_way(migrated_dsn) == ("pg_catalog.english", None)
    assert hits(provider, "drinking") == 1


# A question that a time answers, and a turn that says one, at the beginning and at the end of which stand accents.
WHEN = {
    "german": ("Wann kamen die Häuser?", "Häuser nächste Woche."),
    "french": ("Quand était le thé ?", "Le thé, c'était l'été dernier."),
    "spanish": ("¿Cuándo fue el té?", "Té el miércoles."),
    "italian": ("Che giorno era il tè?", "Il tè di lunedì."),
}


def test_a_when_question_is_one_in_the_language_of_the_schema(api: Any, config: PostgreSQLConfig) -> None:
    """What says when counts more then, and not in another language; an open provider follows a change of it."""
    turns = MemoryType.CONVERSATION_MEMORY
    api.store_many([{"id": language, "content": said} for language, (_, said) in WHEN.items()], turns)

    def timed(language: str) -> list[str]:
        found = api.retrieve_by_query({"$text": {"$search": WHEN[language][0]}}, turns, 9, explain=True)
        assert language in [hit["id"] for hit in found]
        return [hit["id"] for hit in found if "time" in hit["_explanation"]]

    assert [timed(language) for language in WHEN] == [[], [], [], []]
    with Maintenance(config) as maintenance:
        for language in WHEN:
            maintenance.change_language(language)
            assert timed(language) == [language]
