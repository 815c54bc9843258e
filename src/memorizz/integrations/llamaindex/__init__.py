"""Memory for LlamaIndex: a vector store, stores of chats, for its Memory too, and a key-value store for the others.

Needs the extra `llamaindex`. Each object serves any number of threads and event loops: async methods run in threads.
"""

from memorizz.integrations._providers import missing

try:
    from memorizz.integrations.llamaindex.chat_stores import MemorizzChatStore, MemorizzMemoryChatStore
    from memorizz.integrations.llamaindex.key_value_store import MemorizzKVStore
    from memorizz.integrations.llamaindex.vector_store import MemorizzVectorStore
except ImportError as error:
    raise missing(error, "llamaindex") from error

__all__ = ["MemorizzChatStore", "MemorizzKVStore", "MemorizzMemoryChatStore", "MemorizzVectorStore"]
