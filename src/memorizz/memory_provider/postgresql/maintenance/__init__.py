"""What is done to a database and not with memories: look at it, upgrade it, measure it, examine it, index it.

_maintenance.py   Maintenance: one connection to a database in any state
_doctor.py        what is looked at: the facts
_findings.py      what is wrong with them, and what to do
_indexing.py      indexes that are wanted, built, replaced, dropped
_loading.py       the vector index put off while a store is loaded
_reembedding.py   Reembedding: another embedding model, while the stores are in use
_models.py        the columns that it adds, fills, exchanges and drops
"""

from memorizz.memory_provider.postgresql._indexes import Progress
from memorizz.memory_provider.postgresql._migrate import Database, Migration
from memorizz.memory_provider.postgresql.maintenance._doctor import Facts, IndexFacts, StoreFacts
from memorizz.memory_provider.postgresql.maintenance._findings import Finding, Level
from memorizz.memory_provider.postgresql.maintenance._indexing import Job
from memorizz.memory_provider.postgresql.maintenance._loading import loading
from memorizz.memory_provider.postgresql.maintenance._maintenance import Made, Maintenance
from memorizz.memory_provider.postgresql.maintenance._models import Count, Model
from memorizz.memory_provider.postgresql.maintenance._reembedding import Change, Filled, Reembedding

__all__ = [
    "Change",
    "Count",
    "Database",
    "Facts",
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
