"""The PostgreSQL memory provider: its public door."""

from memorizz.memory_provider.postgresql.config import PostgreSQLConfig
from memorizz.memory_provider.postgresql.pooled import PooledPostgreSQLProvider
from memorizz.memory_provider.postgresql.provider import PostgreSQLProvider
from memorizz.memory_provider.postgresql.provider_async import AsyncPostgreSQLProvider

__all__ = ["AsyncPostgreSQLProvider", "PooledPostgreSQLProvider", "PostgreSQLConfig", "PostgreSQLProvider"]
