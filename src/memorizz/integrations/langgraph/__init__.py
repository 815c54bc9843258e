"""LangGraph's memory in PostgreSQL: a checkpointer, a store and a cache.

    graph.compile(checkpointer=MemorizzSaver(dsn), store=MemorizzStore(dsn), cache=MemorizzCache(dsn))

Each opens a provider of its own from a connection string or a PostgreSQLConfig, or works with the one that it is given,
so that several of them share one pool. Sync and async methods are on the same object, which threads and event loops
may use side by side.
"""

from memorizz.integrations._providers import missing

try:
    from memorizz.integrations.langgraph._cache import MemorizzCache as MemorizzCache
    from memorizz.integrations.langgraph._saver import MemorizzSaver as MemorizzSaver
    from memorizz.integrations.langgraph._store import MemorizzStore as MemorizzStore
except ImportError as error:
    raise missing(error, "langgraph") from error
