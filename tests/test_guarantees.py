"""docs/guarantees.md: each of its sentences is held by tests that make the fault it speaks of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "guarantees.md"
FAULTS, RACES, LOST = "postgresql/test_faults.py", "postgresql/test_races.py", "postgresql/test_lost_answers.py"
REPLICAS = "postgresql/test_replicas.py"
STRANGERS = "moving/test_rows_of_others.py"
FACTS, RECALL, APIS = "postgresql/test_facts.py", "postgresql/test_search_recall.py", "postgresql/test_apis.py"

# How a promise begins, and the tests that hold it.
HELD: dict[str, dict[str, list[str]]] = {
    "A call that raised an error of this library": {
        LOST: ["test_a_write_that_the_server_says_it_ended_was_not_done"],
        "contract/test_storing.py": ["test_store_many_is_all_or_nothing"],
        "postgresql/test_embedding_store.py": ["test_an_embedder_that_fails_stores_nothing"],
    },
    "`store`, `update_by_id`, `update`, the deletes and `store_many`": {
        RACES: ["test_a_reader_of_store_many_sees_none_or_all"],
        LOST: ["test_a_transaction_that_is_lost_before_its_end_was_not_done"],
        "contract/test_agents.py": ["test_cascade_deletes_the_memories_of_the_agent_alone"],
    },
    "A call that returned is durable": {FAULTS: ["test_a_call_after_a_restart_of_the_server_works"]},
    "`with provider.transaction()` makes a block": {
        "contract/test_transactions.py": ["test_transactions_do_not_see_each_other"],
        FAULTS: ["test_a_connection_lost_in_a_transaction_loses_all_of_it"],
    },
    '`update(store, {"id": id, "revision": 7}': {
        "contract/test_changing.py": ["test_of_many_that_compare_and_set_one_wins"]
    },
    "Merges of different keys": {RACES: ["test_updates_of_one_document_lose_nothing"]},
    "A first large `store_many` puts the vector index off": {
        "postgresql/test_loading.py": [
            "test_a_first_large_import_builds_the_index_after",
            "test_after_an_import_that_was_killed_the_index_comes_back",
        ]
    },
    "`store` without an id never overwrites": {
        "contract/test_storing.py": ["test_documents_without_id_are_never_merged"]
    },
    "Rows that exist are locked": {
        FAULTS: ["test_two_store_many_in_opposite_orders_both_succeed", "test_a_deadlock_is_tried_again"]
    },
    "`touch=True` counts every hit": {
        "postgresql/test_search_ranking.py": ["test_every_access_is_counted", "test_touch_waits_for_nobody"]
    },
    "A vector belongs to the text beside it": {
        "postgresql/test_embedding_races.py": ["test_a_vector_is_of_the_text_beside_it"]
    },
    "`store_many` repeats after a deadlock": {
        FAULTS: ["test_documents_are_stored_again_only_where_they_are_still_there"]
    },
    "A read is made again": {LOST: ["test_a_read_whose_answer_is_lost_is_made_again"]},
    "A write is made again only": {
        LOST: ["test_a_write_whose_answer_is_lost_is_not_sent_again"],
        "postgresql/test_second_writer.py": ["test_nothing_is_lost_doubled_or_undone"],
    },
    "A session that the server ends on purpose": {
        FAULTS: [
            "test_the_servers_own_timeout_is_an_operation_timeout",
            "test_the_servers_transaction_timeout_is_an_operation_timeout",
            "test_a_session_that_is_ended_on_purpose_is_not_gone_on_with",
        ]
    },
    "What a provider has written it reads": {
        REPLICAS: [
            "test_what_a_provider_has_written_it_reads",
            "test_a_position_lets_another_program_read_what_was_written",
            "test_a_replica_that_lags_is_left_out",
        ]
    },
    "A replica that is killed, hangs": {
        REPLICAS: [
            "test_a_replica_that_dies_is_not_noticed",
            "test_a_replica_that_hangs_is_left_out",
            "test_vacuum_on_the_primary_is_not_noticed",
            "test_a_promoted_replica_is_none_any_more",
            "test_facts_that_a_replica_has_not_replayed",
        ]
    },
    "Writes, transactions and views of a time": {
        REPLICAS: [
            "test_reads_go_to_the_replica_and_writes_to_the_primary",
            "test_a_view_of_a_time_reads_the_primary",
        ]
    },
    "What SQL has put into a table is read": {
        STRANGERS: [
            "test_a_store_with_such_a_row_can_be_read",
            "test_it_is_read_as_it_is",
            "test_what_never_expires_is_moved",
            "test_a_history_with_such_times_has_its_order",
        ]
    },
    "What cannot be stored again": {
        STRANGERS: ["test_an_export_and_a_copy_name_it"],
        "cli/test_cli_doctor.py": ["test_a_row_that_no_document_is"],
    },
    "Another program builds, drops or rebuilds": {FACTS: ["test_an_index_that_comes_and_goes"]},
    "Another program changes the embedding model": {
        FACTS: ["test_a_model_that_is_changed"],
        "postgresql/test_reembedding_providers.py": ["test_a_provider_of_both_models_follows"],
    },
    "Another program makes or drops a store": {FACTS: ["test_a_store_that_another_process_makes"]},
    "Measuring recall changes nothing": {FACTS: ["test_measuring_changes_nothing"]},
    "Never fewer hits than asked for": {
        RECALL: ["test_as_many_as_asked_for", "test_after_many_deletes", "test_with_many_expired"]
    },
    "recall@10 of at least 0.99": {
        RECALL: ["test_the_nearest_are_found_under_every_filter", "test_a_memory_unlike_what_was_measured"]
    },
    "Equal distances keep the order": {"contract/test_querying.py": ["test_ties_are_in_the_order_of_storing"]},
    "A provider works in the process that opened it": {
        APIS: ["test_a_forked_child_is_refused_and_its_end_leaves_the_parent_its_connections"],
        "embeddings/test_openai.py": ["test_an_embedder_may_be_used_before_a_fork"],
    },
    "An async provider belongs to the event loop": {APIS: ["test_another_event_loop_is_told_to_open_its_own"]},
}


def promises() -> Iterator[str]:
    """Yield each point of the page, up to those that are not promised."""
    text = PAGE.read_text("utf-8").partition("\n## Not promised\n")[0]
    for point in re.findall(r"^- (.+?)(?=\n- |\n\n|\Z)", text, re.MULTILINE | re.DOTALL):
        yield " ".join(point.split())


@pytest.mark.parametrize("promise", list(promises()), ids=lambda promise: promise[:50])
def test_each_promise_is_held_by_tests(promise: str) -> None:
    """The page makes none that no test is named for here."""
    assert len([start for start in HELD if promise.startswith(start)]) == 1


def test_the_tests_that_hold_a_promise_are_there() -> None:
    """Under the names that they have here; and each of them is for a promise that the page makes."""
    named = {(file, test) for tests in HELD.values() for file, names in tests.items() for test in names}
    there = {
        (file, node.name)
        for file in {file for file, _ in named}
        for node in ast.walk(ast.parse((TESTS / file).read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert named - there == set()
    assert [start for start in HELD if not any(promise.startswith(start) for promise in promises())] == []
