"""What each method does: one generator for each, of the same name.

An operation knows the database and its arguments; it yields steps, is sent what they returned, and returns the result.
"""

from memorizz.memory_provider._agents import agent_document, agent_memories, agent_with_id
from memorizz.memory_provider._arguments import text_document
from memorizz.memory_provider.mongodb.operations.deleting import (
    delete,
    delete_all,
    delete_by_id,
    delete_by_name,
    delete_memagent,
    forget,
    purge_expired,
)
from memorizz.memory_provider.mongodb.operations.history import (
    apply_policies,
    consolidate,
    diff,
    diff_memory,
    duplicates,
    embed_restored,
    policies,
    restore,
    set_policy,
    undo,
    versions,
)
from memorizz.memory_provider.mongodb.operations.reading import (
    BEGINNING,
    END,
    count,
    distinct,
    list_all,
    page,
    place_of,
    recall,
    retrieve_by_id,
    retrieve_by_name,
    retrieve_by_query,
    retrieve_conversation_history_ordered_by_timestamp,
    retrieve_memory_components_by_query,
)
from memorizz.memory_provider.mongodb.operations.storing import (
    check,
    store,
    store_many,
    supersede,
    update,
    update_by_id,
)
from memorizz.memory_provider.mongodb.operations.together import run_many

__all__ = [
    "BEGINNING",
    "END",
    "agent_document",
    "agent_memories",
    "agent_with_id",
    "apply_policies",
    "check",
    "consolidate",
    "count",
    "delete",
    "delete_all",
    "delete_by_id",
    "delete_by_name",
    "delete_memagent",
    "diff",
    "diff_memory",
    "distinct",
    "duplicates",
    "embed_restored",
    "forget",
    "list_all",
    "page",
    "place_of",
    "policies",
    "purge_expired",
    "recall",
    "restore",
    "retrieve_by_id",
    "retrieve_by_name",
    "retrieve_by_query",
    "retrieve_conversation_history_ordered_by_timestamp",
    "retrieve_memory_components_by_query",
    "run_many",
    "set_policy",
    "store",
    "store_many",
    "supersede",
    "text_document",
    "undo",
    "update",
    "update_by_id",
    "versions",
]
