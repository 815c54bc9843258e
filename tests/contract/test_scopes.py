"""Views of one tenant or memory: whatever a call is given, it reads and changes nothing outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.conftest import MONGODB
from memorizz.errors import ConfigurationError, FilterError, InvalidDocument, MemorizzError
from memorizz.memory_provider.base import MemoryOperations, MemoryProvider, SearchOptions
from memorizz.memory_provider.memory_type import MemoryType
from memorizz.memory_provider.mongodb import MongoDBProvider
from memorizz.memory_provider.options import Call
from memorizz.memory_provider.policies import Policy
from memorizz.memory_provider.postgresql import PostgreSQLProvider

LONG, TURNS, AGENTS = MemoryType.LONG_TERM_MEMORY, MemoryType.CONVERSATION_MEMORY, MemoryType.MEMAGENT
EAST, NORTH = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
# In every document of others, and in nothing that a call is given.
SECRET = "xyzzy"
THEIRS = "of-others"
NAME = "tea"


def of_tenant(api: Any, name: str) -> Any:
    return api.tenant(name)


def of_memory(api: Any, name: str) -> Any:
    return api.memory(name)


def of_both(api: Any, name: str) -> Any:
    return api.tenant("acme").memory(name)


def of_agent(api: Any, name: str) -> Any:
    return api.memory("m", agent=name)


def of_no_tenant(api: Any, name: str) -> Any:
    return api if name == "mine" else api.tenant(name)


NO_TENANTS = "MongoDB keeps no tenants apart"
OF_TENANTS = {"tenants": of_tenant, "a tenant and none": of_no_tenant}
OF_MEMORIES = {"memories": of_memory, "memories of a tenant": of_both, "agents": of_agent}
SCOPES: dict[str, Callable[[Any, str], Any]] = {**OF_TENANTS, **OF_MEMORIES}


@pytest.fixture
def api(api: Any, server_name: str) -> Any:
    """The provider, with nothing of any tenant, and in no store of somebody else's test."""
    stores = [spec.name for spec in api.stores()]
    tenants = () if server_name == MONGODB else ("mine", "theirs", "acme", "other")
    for view in (api, *map(api.tenant, tenants)):
        view.run_many([Call("delete_all", store) for store in stores])
    return api


@pytest.fixture(params=SCOPES)
def of(request: pytest.FixtureRequest, server_name: str) -> Callable[[Any, str], Any]:
    if server_name == MONGODB and request.param not in ("memories", "agents"):
        pytest.skip(NO_TENANTS)
    return SCOPES[request.param]


@pytest.fixture
def tenants(server_name: str) -> None:
    """That there are some."""
    if server_name == MONGODB:
        pytest.skip(NO_TENANTS)


def test_a_tenant_on_mongodb_is_an_error(api: Any, server_name: str) -> None:
    """Nothing is kept apart silently, or not at all."""
    if server_name == MONGODB:
        with api.transaction() as tx:
            for view in (api, api.memory("ada"), tx):
                with pytest.raises(ConfigurationError, match=r"no call leads out of|has no view by tenant"):
                    view.tenant("acme")


def filled(theirs: Any, id: str = THEIRS) -> Any:
    """Put a document of others into every store, with everything that a call could find it by, and one of no time."""
    for memory_type in MemoryType:
        document = {"name": NAME, "content": f"tea {SECRET}", "embedding": EAST, "conversation_id": "c", "n": 1}
        document |= {"memory_ids": ["m", "mine", "theirs"], "secret": SECRET}
        theirs.store({"id": id, **document}, memory_type)
        theirs.store({"id": f"{id}-expired", "secret": SECRET, "expires_at": datetime.now(UTC)}, memory_type)
    return theirs


def _provider(server_name: str) -> type:
    return MongoDBProvider if server_name == MONGODB else PostgreSQLProvider


def state(view: Any) -> Any:
    """Return all that is in a view."""
    return {each: view.list_all(each, include_embedding=True) for each in MemoryType}


def _without_time(receipt: Any) -> Any:
    return (receipt.deleted, receipt.agents, receipt.digest, receipt.left)


def _in_transaction(view: Any, id: str) -> Any:
    with view.transaction() as tx:
        found = [tx.retrieve_by_id(id, LONG), tx.count(LONG), tx.update(LONG, {}, {"n": 2}), list(tx.iterate(LONG))]
        return [*found, tx.delete_by_id(id, LONG), tx.delete_all(LONG)]


def _in_one(view: Any, id: str) -> Any:
    calls = [
        Call("retrieve_by_id", id, LONG, touch=True),
        Call("update_by_id", id, {"n": 2}, LONG),
        Call("update", LONG, {}, {"n": 2}),
        Call("recall", "tea"),
        Call("delete_memagent", id, cascade=True),
        Call("count", TURNS, {"$or": [{"id": id}, {"secret": {"$exists": True}}]}),
        Call("delete", LONG, {}),
        Call("list_all", LONG),
    ]
    return view.run_many(calls)


# How each method could be used to reach the document of an id, or everything; a method that is added wants a line.
ATTACKS: dict[str, Callable[[Any, str], Any]] = {
    "acting": lambda view, id: [
        view.acting("me").retrieve_by_id(id, LONG),
        view.acting("me").update(LONG, {}, {"n": 2}),
    ],
    "after": lambda view, id: [
        view.after("1/0/0").retrieve_by_id(id, LONG),
        view.after("1/0/0").update(LONG, {}, {"n": 2}),
    ],
    "apply_policies": lambda view, id: [
        _without_time(view.apply_policies(dry_run=dry_run)) for dry_run in (True, False)
    ],
    "at": lambda view, id: [
        view.at(LATER).list_all(LONG, include_embedding=True),
        view.at(LATER).retrieve_by_id(id, LONG),
        view.at(LATER).retrieve_by_query({"embedding": EAST}, LONG, 50, where={"$or": [{"id": id}, {"n": 1}]}),
        view.at(LATER).retrieve_by_query("tea", LONG, 50),
    ],
    "check": lambda view, id: view.check({"id": id, "n": 2}, LONG),
    "consolidate": lambda view, id: [
        view.consolidate(LONG, similarity=0.1, dry_run=dry_run) for dry_run in (True, False)
    ],
    "count": lambda view, id: [view.count(LONG), view.count(LONG, {"$or": [{"id": id}, {"n": 1}]})],
    "delete": lambda view, id: view.delete(LONG, {"$or": [{"id": id}, {"n": {"$exists": True}}]}),
    "delete_all": lambda view, id: [view.delete_all(each) for each in MemoryType],
    "delete_by_id": lambda view, id: view.delete_by_id(id, LONG),
    "delete_by_name": lambda view, id: view.delete_by_name(NAME, LONG),
    "delete_memagent": lambda view, id: [view.delete_memagent(id, cascade=True), view.delete_memagent(id)],
    "delete_memagent_memory_ids": lambda view, id: view.delete_memagent_memory_ids(id),
    "diff": lambda view, id: view.diff(id, LONG, LATER),
    "diff_memory": lambda view, id: [
        view.diff_memory(None, LONG, LATER, LATER),
        view.diff_memory(None, LONG, view.at(LATER).scope.as_of),
    ],
    "distinct": lambda view, id: [view.distinct(LONG, key, {"n": 1}) for key in ("id", "secret", "tenant", "content")],
    "duplicates": lambda view, id: [
        view.duplicates(LONG, similarity=0.1),
        view.duplicates(LONG, where={"$or": [{"id": id}, {"n": 1}]}),
    ],
    "embed_missing": lambda view, id: view.embed_missing(LONG),
    "embedded": lambda view, id: view.embedded([{"id": id, "content": "tea"}], LONG),
    "forget": lambda view, id: [
        _without_time(view.forget(filter={"$or": [{"id": id}, {"n": 1}, {"secret": {"$exists": True}}]}, dry_run=True)),
        _without_time(view.forget(filter={"n": {"$exists": True}})),
    ],
    "iterate": lambda view, id: [list(view.iterate(LONG, {"n": 1})), list(view.iterate(LONG, after=id))],
    "list_all": lambda view, id: [view.list_all(each, include_embedding=True) for each in MemoryType],
    "list_memagents": lambda view, id: view.list_memagents(),
    "measure_recall": lambda view, id: view.measure_recall(LONG, 5)["rows"],
    "purge_expired": lambda view, id: [view.purge_expired(), view.purge_expired(LONG)],
    "recall": lambda view, id: view.recall("tea", limit=50, where={"$not": {"id": "x"}}),
    "remember": lambda view, id: view.remember("mine", id=f"new {id}"),
    "restore": lambda view, id: [view.restore(id, LONG, to) for to in (0, LATER)],
    "retrieve_by_id": lambda view, id: view.retrieve_by_id(id, LONG, touch=True, include_embedding=True),
    "retrieve_by_name": lambda view, id: view.retrieve_by_name(NAME, LONG),
    "retrieve_by_query": lambda view, id: [
        view.retrieve_by_query(query, LONG, 50, exact=exact, touch=True, where={"$or": [{"id": id}, {"n": 1}]})
        for query in ({}, {"id": id}, "tea", {"embedding": EAST}, {"embedding": EAST, "$text": {"$search": "tea"}})
        for exact in (True, False)
    ],
    "retrieve_conversation_history_ordered_by_timestamp": lambda view, id: [
        view.retrieve_conversation_history_ordered_by_timestamp(conversation_id="c"),
        view.retrieve_conversation_history_ordered_by_timestamp(conversation_id="c", before=id, limit=9),
    ],
    "retrieve_memagent": lambda view, id: view.retrieve_memagent(id),
    "retrieve_memory_components_by_query": lambda view, id: [
        view.retrieve_memory_components_by_query("tea", EAST, limit=50),
        view.retrieve_memory_components_by_query("tea", memory_type=LONG),
    ],
    "run_many": _in_one,
    "store": lambda view, id: [view.store({"id": f"new {id}", "n": 2}, LONG), view.store({"n": 2}, LONG)],
    "store_many": lambda view, id: view.store_many([{"id": f"new {id} {n}"} for n in range(12)], LONG),
    "store_memagent": lambda view, id: view.store_memagent({"id": f"new {id}", "memory_ids": ["theirs"]}),
    "transaction": _in_transaction,
    "undo": lambda view, id: [view.undo(call="c"), len(view.undo(since=view.at(LATER).scope.as_of))],
    "update": lambda view, id: [view.update(LONG, {}, {"n": 2}), view.update(LONG, {"id": id}, {"content": "mine"})],
    "update_by_id": lambda view, id: view.update_by_id(id, {"n": 2}, LONG),
    "update_memagent": lambda view, id: view.update_memagent({"id": id, "n": 2}),
    "update_memagent_memory_ids": lambda view, id: view.update_memagent_memory_ids(id, ["mine"]),
    "versions": lambda view, id: [each.document for each in view.versions(id, LONG)],
}
LATER = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def history(api: Any, server_name: str) -> Iterator[None]:
    """That the history of the store that is attacked is kept, and that it has a policy."""
    if server_name == MONGODB:
        yield
        return
    api.keep_history(LONG)
    api.set_policy(LONG, Policy(max_documents=1, keep_last=1))
    yield
    api.set_policy(LONG, None)
    api.drop_history(LONG, yes=True)


# What has nothing to do with any document: names, numbers, and what all views share.
OTHERS = {
    "close", "config", "create_store", "drop_history", "drop_store", "embedding_dimensions", "embedding_model",
    "has_embedder", "has_large_transactions", "health", "identity", "keep_history", "loading", "location", "memory",
    "note_embedding_model", "operations", "policies", "position", "run", "run_in_transaction", "scope", "set_policy",
    "stores", "tenant",
}  # fmt: skip


@pytest.mark.parametrize("provider", [MemoryOperations, MemoryProvider, PostgreSQLProvider, MongoDBProvider])
def test_every_public_method_is_attacked(provider: type) -> None:
    """A method that is added has to say in the table above how it could reach what it must not."""
    public = {name for name in dir(provider) if not name.startswith("_")}
    assert public - ATTACKS.keys() - OTHERS == set()


@pytest.mark.usefixtures("tenants")
def test_a_view_has_every_method_of_its_provider(api: Any) -> None:
    """Nothing is missing in a view, and nothing more is in it than its scope."""
    whole = {name for name in dir(PostgreSQLProvider) if not name.startswith("_")}
    assert {name for name in whole if not hasattr(api.tenant("mine"), name)} <= {"config"}
    with api.tenant("mine").transaction() as tx:
        assert {name for name in dir(MemoryOperations) if not name.startswith("_") and not hasattr(tx, name)} == set()


def outcome(attack: Callable[[Any, str], Any], view: Any, id: str) -> str:
    """Return what a call brings or raises, with any id of a caller's as one text, without ids and times of its own."""
    try:
        found = repr(attack(view, id))
    except MemorizzError as error:
        found = repr(error)
    found = found.replace(id, "<id>")
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|datetime\([^)]*\)", "<own>", found)


def _attacks(server_name: str) -> dict[str, Callable[[Any, str], Any]]:
    return {name: attack for name, attack in ATTACKS.items() if hasattr(_provider(server_name), name)}


def test_whose_an_id_is(api: Any) -> None:
    """An operation says which of some another memory or agent has, to what stores many documents or none."""
    theirs, mine = api.memory("theirs"), api.memory("mine")
    theirs.store({"id": "taken"}, LONG)
    mine.store({"id": "own"}, LONG)
    ids = ["own", "taken", "free", "", None]
    for view, taken in ((mine, ["taken"]), (theirs, ["own"]), (api, []), (api.memory("mine", agent="desk"), None)):
        found = view.run(view.operations.taken, ids, LONG)
        assert sorted(found) == (["own", "taken"] if taken is None else taken)


@pytest.mark.usefixtures("history")
def test_no_call_reaches_what_is_outside(api: Any, of: Callable[[Any, str], Any], server_name: str) -> None:
    """Whatever is asked by the id, name, words, vector or conversation of others, nothing of theirs is in the answer,
    and nothing of theirs has changed; the answer is that for an id that nobody has."""
    mine, theirs = of(api, "mine"), filled(of(api, "theirs"))
    before = state(theirs)
    empty = [Call("delete_all", each) for each in MemoryType]
    for name, attack in _attacks(server_name).items():
        found = outcome(attack, mine, THEIRS)
        assert SECRET not in found, name
        assert state(theirs) == before, name
        mine.run_many(empty)
        assert outcome(attack, mine, "of-nobody") == found, name
        mine.run_many(empty)


@pytest.mark.usefixtures("history")
def test_calls_in_a_view_find_its_own(api: Any, of: Callable[[Any, str], Any], server_name: str) -> None:
    """The calls that find nothing of others find one's own: they are no calls that find nothing."""
    mine = of(api, "mine")
    changing = {"delete", "store", "update", "remember", "transaction", "run", "touch"}
    reading = {"distinct", "iterate", "list", "recall", "retrieve", "run", "transaction"}
    reads_history = () if server_name == MONGODB else ("acting", "after", "at", "versions")
    before = None
    for name, attack in _attacks(server_name).items():
        if before is None or state(mine) != before:
            mine.run_many([Call("delete_all", each) for each in MemoryType])
            before = state(filled(mine, "of-myself"))
        found, kind = outcome(attack, mine, "of-myself"), name.split("_")[0]
        assert (SECRET in found) == (kind in reading or name in reads_history), name
        if kind in changing:
            assert state(mine) != before, name


# --- the ids of others --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", OF_TENANTS, indirect=True)
def test_equal_ids_of_two_tenants_are_two_documents(api: Any, of: Callable[[Any, str], Any]) -> None:
    """They are stored, merged, found, listed and deleted each for itself, by every way into a store."""
    mine, theirs = of(api, "mine"), filled(of(api, "theirs"))
    before = state(theirs)
    assert mine.store({"id": THEIRS, "own": 1}, LONG) == THEIRS
    assert mine.retrieve_by_id(THEIRS, LONG).keys() == {"id", "_id", "own", "created_at", "updated_at"}
    assert mine.store({"id": THEIRS, "own": 2}, LONG, if_absent=True) is None
    many = [{"id": id, "own": 2} for id in (THEIRS, f"{THEIRS}-expired", *map(str, range(12)))]
    theirs.store_many([{"id": str(n), "secret": SECRET} for n in range(12)], LONG)
    assert mine.store_many(many, LONG) == [document["id"] for document in many]
    assert [each["own"] for each in mine.list_all(LONG)] == [2] * 14
    assert mine.remember("Tea.", id=THEIRS) == THEIRS
    assert mine.store_memagent({"id": THEIRS}) == THEIRS
    assert mine.delete_by_id(THEIRS, LONG) is True
    assert mine.delete_by_id(THEIRS, LONG) is False
    mine.delete_all(LONG)
    theirs.delete(LONG, {"id": {"$in": [*map(str, range(12))]}})
    assert state(theirs) == before


STORING: dict[str, Callable[[Any, str], Any]] = {
    "store": lambda view, id: view.store({"id": id, "content": "mine"}, LONG),
    "store, if absent": lambda view, id: view.store({"id": id, "content": "mine"}, LONG, if_absent=True),
    "store a turn": lambda view, id: view.store({"id": id, "content": "mine", "embedding": NORTH}, TURNS),
    "store_many": lambda view, id: view.store_many([{"n": 1}, {"id": id, "n": 1}], LONG),
    "store_many of many": lambda view, id: view.store_many([*({"n": n} for n in range(20)), {"id": id}], LONG),
    "remember": lambda view, id: view.remember("mine", id=id),
    "store_memagent": lambda view, id: view.store_memagent({"id": id, "memory_ids": []}),
    "run_many": lambda view, id: view.run_many([Call("store", {"n": 1}, LONG), Call("store", {"id": id}, LONG)]),
}


@pytest.mark.parametrize("of", OF_MEMORIES, indirect=True)
@pytest.mark.parametrize("id", [THEIRS, "018f3c5e-0000-7000-8000-00000000abcd"])
@pytest.mark.parametrize("name", STORING)
def test_an_id_of_another_memory_is_refused(api: Any, of: Callable[[Any, str], Any], name: str, id: str) -> None:
    """Nothing is merged and nothing stored under it, expired or not; the error names no other memory."""
    mine, theirs = of(api, "mine"), filled(of(api, "theirs"), id)
    before = state(theirs)
    for each in (id, f"{id}-expired"):
        with pytest.raises(InvalidDocument, match="another id, or none") as caught:
            STORING[name](mine, each)
        assert "theirs" not in str(caught.value)
        assert state(mine) == {each: [] for each in MemoryType}
    assert state(theirs) == before
    whole = api.tenant("acme") if of is of_both else api
    assert whole.purge_expired() == len(MemoryType)


def test_a_memory_merges_under_its_own_ids(api: Any) -> None:
    """An id that the memory has is merged and, once it has expired, stored anew."""
    ada = api.memory("ada")
    assert ada.store({"id": "a", "n": 1}, LONG) == "a"
    assert ada.store({"id": "a", "k": 2, "expires_at": datetime.now(UTC)}, LONG) == "a"
    assert ada.retrieve_by_id("a", LONG) is None
    assert ada.store({"id": "a", "m": 3}, LONG, if_absent=True) == "a"
    found = api.retrieve_by_id("a", LONG)
    assert (found["memory_id"], found["m"], "n" in found) == ("ada", 3, False)


# --- what is given against the scope ------------------------------------------------------------------------------


@pytest.mark.usefixtures("tenants")
def test_what_is_stored_is_of_the_scope(api: Any) -> None:
    """A memory's documents get its memory_id, a tenant's are seen in no other view, and not without one."""
    ada = api.tenant("acme").memory("ada")
    id = ada.remember("Ada drinks tea.")
    assert ada.retrieve_by_id(id, LONG)["memory_id"] == "ada"
    assert api.tenant("acme").memory("bob").retrieve_by_id(id, LONG) is None
    assert api.memory("ada").retrieve_by_id(id, LONG) is None
    assert api.retrieve_by_id(id, LONG) is None
    assert [each["id"] for each in api.tenant("acme").list_all(LONG)] == [id]


@pytest.mark.parametrize("other", ["bob", "", None, " ada", "Ada", 5, ["ada"], {"$ne": "ada"}])
def test_another_memory_in_a_document_is_refused(api: Any, other: Any, server_name: str) -> None:
    """Neither what is stored nor what is merged may name another agent, memory or tenant than the view's; nothing is
    kept."""
    ada = (api if server_name == MONGODB else api.tenant("acme")).memory("ada", agent="ada")
    ada.store({"id": "a"}, LONG)
    for key in ("memory_id", "agent_id", *(() if server_name == MONGODB else ("tenant",))):
        for call in (
            lambda key=key: ada.store({key: other}, LONG),
            lambda key=key: ada.check({key: other}, LONG),
            lambda key=key: ada.store({"id": "a", key: other}, LONG),
            lambda key=key: ada.store_many([{}, {key: other}], LONG),
            lambda key=key: ada.update_by_id("a", {key: other}, LONG),
            lambda key=key: ada.update(LONG, {}, {key: other}),
            lambda key=key: ada.store_memagent({key: other}),
            lambda key=key: ada.run_many([Call("store", {key: other}, LONG)]),
            lambda key=key: ada.remember("Tea.", **{key: other}),
        ):
            if key == "memory_id" and other is None and call.__defaults__ == (key,):
                continue
            with pytest.raises(InvalidDocument, match=key):
                call()
    assert ada.list_all(LONG)[0].keys() == {"id", "_id", "memory_id", "agent_id", "created_at", "updated_at"}


@pytest.mark.parametrize("other", ["bob", "", " ada", 5, {"$ne": "ada"}])
def test_another_memory_as_an_argument_is_refused(api: Any, other: Any) -> None:
    """It is an error, and not overridden; the view's own is fine, and taken where none is given."""
    ada = api.memory("ada")
    ada.store({"content": "tea", "embedding": EAST}, TURNS)
    calls: list[Callable[[Any], Any]] = [
        lambda memory: ada.recall("tea", memory),
        lambda memory: ada.recall("tea", memory_id=memory),
        lambda memory: ada.retrieve_conversation_history_ordered_by_timestamp(memory),
        lambda memory: ada.retrieve_memory_components_by_query("tea", EAST, memory),
        lambda memory: ada.run_many([Call("recall", "tea", memory)])[0],
        lambda memory: ada.forget(memory, dry_run=True).deleted,
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match="memory_id"):
            call(other)
        assert len(call("ada")) == len(call(None)) == 1


@pytest.mark.parametrize("of", OF_MEMORIES, indirect=True)
def test_a_memory_forgets_itself_and_no_other(api: Any, of: Callable[[Any, str], Any]) -> None:
    """Without an argument, forget is of the view's memory, expired documents too; agents elsewhere are left alone."""
    mine, theirs = filled(of(api, "mine"), "of-myself"), filled(of(api, "theirs"))
    before = state(theirs)
    assert sum(mine.forget().deleted.values()) == 2 * len(MemoryType)
    assert mine.forget(filter={"n": 1}).deleted == {}
    assert state(theirs) == before


@pytest.mark.usefixtures("tenants")
def test_a_view_leads_to_no_other_view(api: Any) -> None:
    """From a view come narrower ones; another tenant or memory is an error, in a transaction too."""
    acme, ada = api.tenant("acme"), api.memory("ada")
    assert acme.tenant("acme").memory("ada").memory("ada").store({}, LONG)
    with acme.transaction() as tx:
        assert tx.memory("ada").count(LONG) == 1
        assert tx.memory("bob").count(LONG) == 0
        for call in (lambda: tx.tenant("other"), lambda: tx.memory("ada").memory("bob")):
            with pytest.raises(ConfigurationError, match="no call leads out of"):
                call()
    for call in (
        lambda: acme.tenant("other"),
        lambda: ada.memory("bob"),
        lambda: ada.tenant("acme"),
        lambda: acme.memory("ada").tenant("other"),
        lambda: acme.memory("ada", agent="desk").memory("ada", agent="phone"),
        lambda: acme.memory("ada", agent="desk").memory("bob"),
    ):
        with pytest.raises(ConfigurationError, match="no call leads out of"):
            call()
    with api.transaction() as tx:
        assert tx.tenant("acme").count(LONG) == 1
        assert tx.count(LONG) == 0


@pytest.mark.parametrize("name", ["", None, 5, "a\0b", "\ud800", "x" * 1025, "\u00e9" * 513, ["acme"], b"acme"])
def test_what_is_no_name_is_refused(api: Any, name: Any) -> None:
    """A tenant, memory or agent has a text for a name, as a column holds it."""
    calls = [api.tenant, api.memory, *([] if name is None else [lambda agent: api.memory("ada", agent=agent)])]
    for call in calls:
        with pytest.raises(ConfigurationError, match=r"name=.*as a text of 1 to 1,024 bytes"):
            call(name)


@pytest.mark.parametrize(
    "name",
    ["o'hara", '"; DROP TABLE x; --', "a\nb", "%s", "%(tenant)s", "\\", " acme", "ACME", "\u0430cme", "x" * 1024],
)
@pytest.mark.usefixtures("tenants")
def test_odd_names_are_names(api: Any, name: str) -> None:
    """Quotes, line breaks, placeholders, look-alikes and long names are tenants of their own."""
    view = api.tenant(name).memory(name, agent=name)
    view.store({"id": "a", "n": 1}, LONG)
    assert view.retrieve_by_query({"n": 1}, LONG, 5)[0]["memory_id"] == name
    assert view.list_all(LONG)[0]["agent_id"] == name
    assert api.tenant("acme").count(LONG) == api.memory(name).count(LONG) == 0
    assert api.tenant(name).memory(name, agent="acme").count(LONG) == 0
    assert api.tenant(name).delete_all(LONG) is True
    assert view.count(LONG) == 0


def test_an_agent_has_what_it_has_stored_in_a_memory(api: Any) -> None:
    """A view of an agent narrows that of the memory, also where the view is narrowed again; and what lists agents, or
    has a number of the same look, is not of one."""
    desk = api.memory("ada", agent="7")
    desk.memory("ada").store({"id": "tea", "agent_id": "7"}, LONG)
    api.memory("ada").store_many([{"agent_id": ["7"]}, {"agent_id": 7}, {"agent_id": None}, {}], LONG)
    assert [each["id"] for each in desk.list_all(LONG)] == ["tea"]
    assert [each["id"] for each in desk.memory("ada").retrieve_by_query({}, LONG, 9)] == ["tea"]
    assert api.memory("bob", agent="7").count(LONG) == 0
    assert api.memory("ada").count(LONG) == 5
    assert desk.forget().deleted == {"long_term_memory": 1}
    assert api.memory("ada").count(LONG) == 4


# --- filters from outside -----------------------------------------------------------------------------------------

_KEYS = [
    "id",
    "_id",
    "memory_id",
    "tenant",
    "n",
    "name",
    "content",
    "conversation_id",
    "secret",
    "memory_ids",
    "d.tenant",
]
_VALUES = st.sampled_from(
    [None, True, 1, "theirs", "mine", "acme", "", THEIRS, SECRET, NAME, "m", "c", "%(tenant)s", "' OR true --"]
)
_OPERANDS = st.one_of(
    _VALUES,
    st.builds(lambda value: {"$ne": value}, _VALUES),
    st.builds(lambda value: {"$gte": value}, _VALUES),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
    st.builds(lambda value: {"$in": value}, st.lists(_VALUES, max_size=4)),
    st.builds(lambda value: {"$nin": value}, st.lists(_VALUES, max_size=4)),
    st.builds(lambda value: {"$not": {"$eq": value}}, _VALUES),
    st.builds(lambda value: {"$prefix": value}, st.sampled_from(["", "t", "of-"])),
    st.builds(lambda value: {"$contains": value}, _VALUES),
)
FILTERS = st.recursive(
    st.dictionaries(st.sampled_from(_KEYS), _OPERANDS, max_size=3),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"$not": part}, inner),
        st.builds(lambda part, parts: part | {"$or": parts}, inner, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=6,
)


def _hostile_reads(view: Any, filter: dict[str, Any]) -> list[Any]:
    options = SearchOptions(include_embedding=True, offset=0)
    return [
        view.retrieve_by_query({**filter, "embedding": EAST}, LONG, 9, options=options),
        view.retrieve_by_query("tea", LONG, 9, where=filter),
        view.retrieve_by_query(filter, LONG, 9, order_by="-n"),
        view.recall("tea", limit=9, where=filter),
        view.distinct(LONG, "secret", filter),
        list(view.iterate(LONG, filter, 1)),
        view.run_many([Call("retrieve_by_query", filter, LONG, 9)]),
    ]


def test_no_filter_reaches_what_is_outside(api: Any, of: Callable[[Any, str], Any]) -> None:
    """Whatever a model or a request sends as a filter, it finds, changes and deletes the view's own at most."""
    mine, theirs = of(api, "mine"), filled(of(api, "theirs"))
    before = state(theirs)

    @settings(max_examples=15)
    @given(FILTERS)
    def attack(filter: dict[str, Any]) -> None:
        mine.store_many([{"content": "tea", "n": n, "own": True, "embedding": EAST} for n in (1, 2)], LONG)
        try:
            assert SECRET not in repr(_hostile_reads(mine, filter))
            assert mine.count(LONG, filter) <= 2
            assert mine.update(LONG, filter, {"n": 3}) <= 2
            assert mine.delete(LONG, filter) <= 2
        except FilterError:
            pass
        mine.delete_all(LONG)

    attack()
    assert state(theirs) == before


# --- limits, and what is required -----------------------------------------------------------------------------------


def test_a_limit_is_cut(api: Any, server_name: str) -> None:
    """No call with a limit returns more than max_limit, whether it asks for more or for all; a view's view asks for no
    more than it."""
    acme = api.memory("m", max_limit=2) if server_name == MONGODB else api.tenant("acme", max_limit=2)
    turns = [{"content": f"tea {n}", "embedding": EAST, "memory_id": "m", "n": n} for n in range(5)]
    acme.store_many(turns, TURNS)
    for view in (acme, acme.memory("m"), acme.memory("m", max_limit=9)):
        for found in (
            view.retrieve_by_query({}, TURNS, 100),
            view.retrieve_by_query({"limit": 100}, TURNS),
            view.retrieve_by_query({"embedding": EAST}, TURNS, limit=100),
            view.recall("tea", limit=100),
            view.retrieve_memory_components_by_query("tea", EAST, limit=100),
            view.retrieve_conversation_history_ordered_by_timestamp("m"),
            view.retrieve_conversation_history_ordered_by_timestamp("m", 100),
            view.distinct(TURNS, "n"),
            view.run_many([Call("retrieve_by_query", {}, TURNS, 100)])[0],
        ):
            assert len(found) == 2
        assert len(view.retrieve_by_query({}, TURNS, 1)) == 1
        assert view.retrieve_by_query({}, TURNS, 0) == []
        with pytest.raises(ConfigurationError, match="limit"):
            view.retrieve_by_query({}, TURNS, -1)
    assert len(acme.memory("m", max_limit=1).recall("tea", limit=100)) == 1
    for wrong in (0, -1, True, "9", 1.5):
        with pytest.raises(ConfigurationError, match="max_limit"):
            api.memory("m", max_limit=wrong)


@pytest.mark.parametrize(
    ("options", "view"),
    [
        ({"require_tenant": True}, lambda api: api.tenant("acme")),
        ({"require_memory": True}, lambda api: api.memory("ada")),
        ({"require_tenant": True, "require_memory": True}, lambda api: api.tenant("acme").memory("ada")),
    ],
)
def test_what_is_required_is_required_of_every_method(
    config: Any, open_api: Callable[[Any], Any], options: Any, view: Any, server_name: str
) -> None:
    """Under require_tenant and require_memory no method reaches a document but through a view of both."""
    if server_name == MONGODB and "require_tenant" in options:
        pytest.skip(NO_TENANTS)
    attacks = _attacks(server_name)
    if server_name == MONGODB:
        # It returns what it is given; and of what it has no view, it says so at once.
        for name in ("embedded", "acting", "after", "at"):
            del attacks[name]
    with open_api(replace(config, **options) if server_name == MONGODB else config.replace(**options)) as api:
        partly = [api] if len(options) == 1 else [api, api.tenant("acme"), api.memory("ada")]
        for whole in partly:
            for name, attack in attacks.items():
                assert "require_" in outcome(attack, whole, "a"), name
            with pytest.raises(ConfigurationError, match=r"require_|drops no store"):
                whole.drop_store("notes", yes=True)
            with whole.transaction() as tx, pytest.raises(ConfigurationError, match="require_"):
                tx.count(LONG)
        assert [spec.name for spec in api.stores()]
        scoped = view(api)
        with scoped.transaction() as tx:
            id = tx.store({}, LONG)
        assert scoped.retrieve_by_id(id, LONG)["id"] == id
        for attack in attacks.values():
            assert "require_" not in outcome(attack, scoped, id)


# --- what views share ---------------------------------------------------------------------------------------------


def test_a_store_of_ones_own_is_shared_and_its_documents_are_not(
    api: Any, of: Callable[[Any, str], Any], server_name: str
) -> None:
    """A view makes a store for all, and cannot drop what others have documents in; its parts are its own."""
    from memorizz.memory_provider.stores import StoreSpec

    mine, theirs = of(api, "mine"), of(api, "theirs")
    if server_name == MONGODB:
        pytest.skip("a document has one vector in MongoDB")
    spec = StoreSpec("scoped_pages", fields=("content", "notes[*].body"))
    theirs.create_store(spec)
    try:
        part = {"path": "content", "embedding": EAST}
        theirs.store({"id": "t", "content": f"tea {SECRET}", "embedding": [part]}, "scoped_pages")
        mine.create_store(spec)
        assert "scoped_pages" in [each.name for each in mine.stores()]
        assert mine.retrieve_by_query({"embedding": EAST}, "scoped_pages", 5) == []
        assert mine.update("scoped_pages", {}, {"content": "mine"}) == 0
        assert mine.update_by_id("t", {"content": "mine"}, "scoped_pages") is False
        assert mine.delete_all("scoped_pages") is True
        if of in (of_memory, of_both):
            for if_absent in (True, False):
                with pytest.raises(InvalidDocument, match="another id"):
                    mine.store({"id": "t", "content": "m"}, "scoped_pages", if_absent=if_absent)
            with pytest.raises(InvalidDocument, match="another id"):
                mine.store_many([{"id": "t", "content": "m"}, {"id": "u"}], "scoped_pages")
        mine.store({"id": "m", "content": "tea", "embedding": [part]}, "scoped_pages")
        assert [each["id"] for each in mine.retrieve_by_query({"embedding": EAST}, "scoped_pages", 5)] == ["m"]
        found = theirs.retrieve_by_query({"embedding": EAST}, "scoped_pages", 5, include_embedding=True)
        assert [(each["id"], each["content"], len(each["embedding"])) for each in found] == [("t", f"tea {SECRET}", 1)]
        with pytest.raises(ConfigurationError, match="drops no store"):
            theirs.drop_store("scoped_pages", yes=True)
    finally:
        api.drop_store("scoped_pages", yes=True)


@pytest.mark.usefixtures("tenants")
def test_a_view_opens_and_closes_nothing(api: Any) -> None:
    """Its connections are the provider's: what is closed is nothing, and the provider goes on."""
    with api.tenant("acme") as view:
        view.store({}, LONG)
    view.close()
    assert view.count(LONG) == 1
    assert view.location == f"{api.location}, tenant 'acme'"
    assert view.identity == f"{api.identity}, tenant 'acme'"
    assert (view.embedding_dimensions, view.embedding_model, view.has_embedder) == (4, api.embedding_model, False)


@pytest.mark.usefixtures("tenants")
def test_a_small_tenant_among_many_rows_of_others_is_found_whole(api: Any) -> None:
    """A search returns the nearest of the view, however many of others are nearer; expired ones stay away."""
    theirs, mine = api.tenant("theirs"), api.tenant("mine")
    theirs.store_many([{"embedding": [1.0, 0.0, 0.0, n / 10_000]} for n in range(1_500)], LONG)
    mine.store_many([{"id": f"{n}", "embedding": [0.0, 1.0, 0.0, n / 10]} for n in range(20)], LONG)
    mine.store({"embedding": NORTH, "expires_at": datetime.now(UTC) - timedelta(seconds=1)}, LONG)
    for _ in range(3):
        found = mine.retrieve_by_query({"embedding": EAST}, LONG, 20)
        assert {each["id"] for each in found} == {f"{n}" for n in range(20)}
    assert len(theirs.retrieve_by_query({"embedding": NORTH}, LONG, 30)) == 30
