"""What each method does: one generator for each, of the same name.

An operation knows the facts and its arguments; it yields steps, is sent what they returned, and returns the result.
"""

from memorizz.memory_provider._agents import agent_document, agent_memories, agent_with_id
from memorizz.memory_provider.postgresql.operations.deleting import (
    delete_all,
    delete_by_id,
    delete_by_name,
    delete_memagent,
    purge_expired,
)
from memorizz.memory_provider.postgresql.operations.embedding import embed_many, embed_missing, embedded
from memorizz.memory_provider.postgresql.operations.reading import (
    BEGINNING,
    count,
    list_all,
    page,
    place_of,
    retrieve_by_id,
    retrieve_by_name,
    retrieve_by_query,
    retrieve_conversation_history_ordered_by_timestamp,
    retrieve_from_all_stores,
    retrieve_memory_components_by_query,
)
from memorizz.memory_provider.postgresql.operations.storing import check, store, store_many, update_by_id

__all__ = [
    "BEGINNING",
    "agent_document",
    "agent_memories",
    "agent_with_id",
    "check",
    "count",
    "delete_all",
    "delete_by_id",
    "delete_by_name",
    "delete_memagent",
    "embed_many",
    "embed_missing",
    "embedded",
    "list_all",
    "page",
    "place_of",
    "purge_expired",
    "retrieve_by_id",
    "retrieve_by_name",
    "retrieve_by_query",
    "retrieve_conversation_history_ordered_by_timestamp",
    "retrieve_from_all_stores",
    "retrieve_memory_components_by_query",
    "store",
    "store_many",
    "update_by_id",
]
