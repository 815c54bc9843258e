"""What is done to a database and not with memories: look at it, upgrade it, measure it, examine it, index it.

_session_async.py       one connection to a database in any state
_maintenance_async.py   AsyncMaintenance: what is done on it
_doctor.py              what is looked at
_measuring.py           how large stores and indexes are
_findings.py            what is wrong, and what to do
_finding.py             one of these
_indexing.py            indexes that are wanted, and what is to be done for it
_making.py              how they are built, replaced, dropped
_watching_async.py      how far one is
_loading_async.py       the vector index deferred while a store is loaded
_reembedding_async.py   AsyncReembedding: another embedding model, while the stores are in use
_changing.py            its parts
_models.py              the columns that it adds, fills, exchanges and drops
_language.py            the language of the words, while the stores are in use
_noting.py              what the stores held, noted from time to time
_tidying.py             what has expired or is due by policies, of every tenant
_probe.py               what one tenant's rows can be reached by as another
_apart_async.py         what differs between the two APIs; all else of the sync one is generated
"""

from memorizz.memory_provider.postgresql.facts import Model
from memorizz.memory_provider.postgresql.indexes import Progress
from memorizz.memory_provider.postgresql.maintenance._changing import Change, Filled
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination
from memorizz.memory_provider.postgresql.maintenance._finding import Finding, Level
from memorizz.memory_provider.postgresql.maintenance._indexing import Job, Made
from memorizz.memory_provider.postgresql.maintenance._maintenance_async import AsyncMaintenance
from memorizz.memory_provider.postgresql.maintenance._maintenance_sync import Maintenance
from memorizz.memory_provider.postgresql.maintenance._measuring import IndexFacts, Reclaimed, StoreFacts
from memorizz.memory_provider.postgresql.maintenance._models import Count
from memorizz.memory_provider.postgresql.maintenance._noting import Noted
from memorizz.memory_provider.postgresql.maintenance._probe import Probe, Reached
from memorizz.memory_provider.postgresql.maintenance._reembedding_async import AsyncReembedding
from memorizz.memory_provider.postgresql.maintenance._reembedding_sync import Reembedding
from memorizz.memory_provider.postgresql.maintenance._tidying import Tidied
from memorizz.memory_provider.postgresql.migrations import Database, Migration

__all__ = [
    "AsyncMaintenance",
    "AsyncReembedding",
    "Change",
    "Count",
    "Database",
    "Examination",
    "Filled",
    "Finding",
    "IndexFacts",
    "Job",
    "Level",
    "Made",
    "Maintenance",
    "Migration",
    "Model",
    "Noted",
    "Probe",
    "Progress",
    "Reached",
    "Reclaimed",
    "Reembedding",
    "StoreFacts",
    "Tidied",
]
