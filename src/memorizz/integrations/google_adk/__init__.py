"""Sessions and memory for agents of Google's Agent Development Kit (ADK).

Needs the extra `google-adk`. One object serves any number of threads and event loops: its methods run in threads.
"""

from memorizz.integrations._providers import missing

try:
    from memorizz.integrations.google_adk.memory_service import FORGOTTEN, MEMORIES, MemorizzMemoryService
    from memorizz.integrations.google_adk.registry import register
    from memorizz.integrations.google_adk.session_service import EVENTS, SESSIONS, STATES, MemorizzSessionService
except ImportError as error:
    raise missing(error, "google-adk") from error

__all__ = [
    "EVENTS",
    "FORGOTTEN",
    "MEMORIES",
    "SESSIONS",
    "STATES",
    "MemorizzMemoryService",
    "MemorizzSessionService",
    "register",
]
