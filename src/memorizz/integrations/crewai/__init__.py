"""Memory for CrewAI: the storage of its Memory, and the persistence of its flows.

Needs the extra `crewai`. One object serves any number of threads and event loops: its async methods run in threads.
"""

from memorizz.integrations._providers import missing

try:
    from memorizz.integrations.crewai.flows import MemorizzFlowPersistence
    from memorizz.integrations.crewai.storage import MemorizzStorage, storage_factory
except ImportError as error:
    raise missing(error, "crewai") from error

__all__ = [
    "MemorizzFlowPersistence",
    "MemorizzStorage",
    "storage_factory",
]
