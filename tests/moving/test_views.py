"""Moving through views of tenants and memories: what is another's is neither in a file nor touched by one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorizz.errors import ConfigurationError
from memorizz.importers import import_file
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.postgresql import AsyncPostgreSQLProvider, PostgreSQLProvider
from memorizz.moving import copy, export, load

LONG, TURNS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY
OWNERS: dict[str, Any] = {
    "nobody": lambda provider: provider,
    "acme": lambda provider: provider.tenant("acme"),
    "globex": lambda provider: provider.tenant("globex"),
    "a memory of acme": lambda provider: provider.tenant("acme").memory("ada"),
    "an agent of it": lambda provider: provider.tenant("acme").memory("ada", agent="desk"),
    "a memory of nobody": lambda provider: provider.memory("ada"),
}


def everything(view: Any) -> dict[str, list[Any]]:
    return {store: view.list_all(store, include_embedding=True) for store in (LONG, TURNS)}


def exported(view: Any, format: str = "jsonl") -> io.BytesIO:
    file = io.BytesIO()
    export(view, file, format=format)
    return io.BytesIO(file.getvalue())


@settings(max_examples=8)
@given(
    stored=st.lists(st.tuples(st.sampled_from([*OWNERS]), st.sampled_from([LONG, TURNS])), max_size=12),
    whose=st.sampled_from([*OWNERS]),
    existing=st.sampled_from(["merge", "replace"]),
)
def test_a_file_holds_what_a_view_has_and_an_import_touches_nothing_else(
    source: PostgreSQLProvider, target: PostgreSQLProvider, stored: Any, whose: str, existing: Any
) -> None:
    """Whoever has stored what: the file of a view has its documents and no other, and taken in by the same view
    elsewhere, beside what others have there, they are that view's, and the others' stay."""
    for provider in (source, target):
        for tenant in ("acme", "globex", "other"):
            for store in (LONG, TURNS):
                provider.tenant(tenant).delete_all(store)
                provider.delete_all(store)
    for number, (owner, store) in enumerate(stored):
        OWNERS[owner](source).store({"id": f"{number}", "content": owner}, store)
    view = OWNERS[whose](source)
    lines = [json.loads(line) for line in exported(view)]
    expected = {each["id"] for found in everything(view).values() for each in found}
    assert {line["document"]["id"] for line in lines if "document" in line} == expected
    for other in ("other", "acme"):
        target.tenant(other).memory("bob").store({"id": "theirs", "content": "stays"}, LONG)
    before = [target.tenant(other).memory("bob").list_all(LONG) for other in ("other", "acme")]
    there = OWNERS[whose](target)
    if existing == "replace" and there.count(LONG) and there.scope.memory is None:
        # What this view has is replaced, bob's too.
        before[1] = []
    load(exported(view, "parquet"), there, existing=existing)
    found = {each["id"]: each for store in everything(there).values() for each in store if each["id"] != "theirs"}
    assert found == {each["id"]: each for store in everything(view).values() for each in store}
    assert [target.tenant(other).memory("bob").list_all(LONG) for other in ("other", "acme")] == before
    assert target.tenant("globex").count(LONG) == (len(everything(there)[LONG]) if whose == "globex" else 0)


@pytest.mark.parametrize("existing", ["merge", "replace"])
def test_a_copy_from_tenant_to_tenant_is_whole_and_changes_no_third(
    provider: PostgreSQLProvider, existing: Any
) -> None:
    """In one schema too; the source stays, and what others have stays."""
    acme, globex, third = map(provider.tenant, ("acme", "globex", "third"))
    for view in (acme, third, provider):
        view.store_many([{"id": f"{n}", "memory_id": "ada", "content": "tea"} for n in range(3)], LONG)
    globex.store({"id": "own"}, LONG)
    before = [everything(view) for view in (acme, third, provider)]
    assert copy(acme, globex, existing=existing).ok
    assert {each["id"] for each in globex.list_all(LONG)} == {"0", "1", "2", *(["own"] if existing == "merge" else [])}
    assert [everything(view) for view in (acme, third, provider)] == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda api: api, lambda api: api.memory("ada")),
        (lambda api: api, lambda api: api.acting("me")),
        (lambda api: api.tenant("acme"), lambda api: api.tenant("acme").memory("ada")),
        (lambda api: api.tenant("acme").memory("ada"), lambda api: api.tenant("acme").memory("ada", agent="desk")),
    ],
)
def test_views_that_have_documents_in_common_are_refused(provider: PostgreSQLProvider, one: Any, other: Any) -> None:
    """A copy of what is in both would delete it first; nothing is deleted, whichever is the source."""
    inner = other(provider)
    inner.store_many([{"id": f"{n}"} for n in range(3)], LONG)
    for source, target in ((one(provider), inner), (inner, one(provider))):
        for existing in ("merge", "replace"):
            with pytest.raises(ConfigurationError, match="in common"):
                copy(source, target, existing=existing)
    assert inner.count(LONG) == 3


def test_what_is_no_provider_is_refused(source: PostgreSQLProvider, target: PostgreSQLProvider) -> None:
    """Nor is an address one, which is not printed: there may be a password in it."""
    file, address = exported(source), "postgresql://ada:secret@localhost/memories"
    with source.transaction() as transaction:
        others: list[Any] = [transaction, AsyncPostgreSQLProvider(source.config), source.config, address, None]
        for given in others:
            file.seek(0)
            for call in (
                lambda given=given: export(given, io.BytesIO()),
                lambda given=given: load(file, given),
                lambda given=given: copy(given, target),
                lambda given=given: copy(source, given),
            ):
                with pytest.raises(ConfigurationError, match="expected a provider of the blocking API") as raised:
                    call()
                assert "secret" not in str(raised.value)


@pytest.mark.parametrize("file", ["", "a\0b", 5, None, io.StringIO()])
def test_what_is_no_file_is_refused(source: PostgreSQLProvider, file: Any) -> None:
    """A stream of text among it: an export is bytes."""
    for call in (lambda: export(source, file, format="jsonl"), lambda: load(file, source)):
        with pytest.raises(ConfigurationError, match=r"^file.*expected a path"):
            call()


def test_an_address_in_the_place_of_a_file_is_not_printed(source: PostgreSQLProvider) -> None:
    """There may be a password in it."""
    url = "mongodb://ada:sec/r@et@localhost/memories"
    for call in (
        lambda: export(source, url),
        lambda: export(source, url, format="jsonl"),
        lambda: load(url, source),
        lambda: import_file(url, source),
    ):
        with pytest.raises(ConfigurationError, match="mongodb://localhost/memories") as raised:
            call()
        assert "ada" not in str(raised.value)
