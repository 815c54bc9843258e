"""Memory for LangChain: a vector store and retrievers on it, chat history, a semantic cache and a byte store.

Each needs the extra `langchain`. One object serves any number of threads and event loops: its async methods run in
threads.
"""

from memorizz.integrations._providers import missing

try:
    from memorizz.integrations.langchain.byte_store import MemorizzByteStore
    from memorizz.integrations.langchain.cache import MemorizzSemanticCache
    from memorizz.integrations.langchain.history import MemorizzChatMessageHistory
    from memorizz.integrations.langchain.retrievers import MemorizzDocumentIndex, MemorizzRetriever
    from memorizz.integrations.langchain.vector_store import MemorizzVectorStore
except ImportError as error:
    raise missing(error, "langchain") from error

__all__ = [
    "MemorizzByteStore",
    "MemorizzChatMessageHistory",
    "MemorizzDocumentIndex",
    "MemorizzRetriever",
    "MemorizzSemanticCache",
    "MemorizzVectorStore",
]
