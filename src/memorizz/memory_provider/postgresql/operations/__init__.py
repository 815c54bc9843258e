"""What each method does: one generator for each, of the same name.

An operation knows the facts and its arguments; it yields steps, is sent what they returned, and returns the result.
"""

from memorizz.memory_provider._agents import agent_document, agent_memories, agent_with_id
from memorizz.memory_provider._arguments import text_document
from memorizz.memory_provider.postgresql.operations.consolidating import consolidate, duplicates
from memorizz.memory_provider.postgresql.operations.deleting import (
    delete,
    delete_all,
    delete_by_id,
    delete_by_name,
    delete_memagent,
    forget,
    purge_expired,
)
from memorizz.memory_provider.postgresql.operations.embedding import embed_many, embed_missing, embedded
from memorizz.memory_provider.postgresql.operations.reading import (
    BEGINNING,
    END,
    count,
    distinct,
    list_all,
    page,
    place_of,
    position,
    recall,
    retrieve_by_id,
    retrieve_by_name,
    retrieve_by_query,
    retrieve_conversation_history_ordered_by_timestamp,
    retrieve_from_all_stores,
    retrieve_memory_components_by_query,
)
from memorizz.memory_provider.postgresql.operations.storing import (
    begun,
    check,
    is_first_import,
    store,
    store_few,
    store_many,
    supersede,
    taken,
    update,
    update_by_id,
)
from memorizz.memory_provider.postgresql.operations.tidying import apply_policies, policies, set_policy
from memorizz.memory_provider.postgresql.operations.together import run_at_once, run_many
from memorizz.memory_provider.postgresql.operations.versions import (
    diff,
    diff_memory,
    embed_restored,
    restore,
    undo,
    versions,
)

__all__ = [
    "BEGINNING",
    "END",
    "agent_document",
    "agent_memories",
    "agent_with_id",
    "apply_policies",
    "begun",
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
    "embed_many",
    "embed_missing",
    "embed_restored",
    "embedded",
    "forget",
    "is_first_import",
    "list_all",
    "page",
    "place_of",
    "policies",
    "position",
    "purge_expired",
    "recall",
    "restore",
    "retrieve_by_id",
    "retrieve_by_name",
    "retrieve_by_query",
    "retrieve_conversation_history_ordered_by_timestamp",
    "retrieve_from_all_stores",
    "retrieve_memory_components_by_query",
    "run_at_once",
    "run_many",
    "set_policy",
    "store",
    "store_few",
    "store_many",
    "supersede",
    "taken",
    "text_document",
    "undo",
    "update",
    "update_by_id",
    "versions",
]
