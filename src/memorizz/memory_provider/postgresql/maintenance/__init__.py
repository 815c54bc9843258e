"""What is done to a database and not with memories: look at it, upgrade it, measure it, examine it, index it.

_maintenance.py   Maintenance: one connection to a database in any state
_doctor.py        what is looked at
_findings.py      what is wrong, and what to do
_indexing.py      indexes that are wanted, built, replaced, dropped
_loading.py       the vector index deferred while a store is loaded
_reembedding.py   Reembedding: another embedding model, while the stores are in use
_models.py        the columns that it adds, fills, exchanges and drops
"""

from memorizz.memory_provider.postgresql.facts import Model
from memorizz.memory_provider.postgresql.indexes import Progress
from memorizz.memory_provider.postgresql.maintenance._doctor import Examination, IndexFacts, StoreFacts
from memorizz.memory_provider.postgresql.maintenance._findings import Finding, Level
from memorizz.memory_provider.postgresql.maintenance._indexing import Job
from memorizz.memory_provider.postgresql.maintenance._loading import loading
from memorizz.memory_provider.postgresql.maintenance._maintenance import Made, Maintenance
from memorizz.memory_provider.postgresql.maintenance._models import Count
from memorizz.memory_provider.postgresql.maintenance._reembedding import Change, Filled, Reembedding
from memorizz.memory_provider.postgresql.migrations import Database, Migration

__all__ = [
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
    "Progress",
    "Reembedding",
    "StoreFacts",
    "loading",
]
