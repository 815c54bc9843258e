"""The MongoDB memory provider: its public door. Importing it loads no driver; opening a provider does."""

from memorizz.memory_provider.mongodb.config import MongoDBConfig
from memorizz.memory_provider.mongodb.provider import MongoDBProvider
from memorizz.memory_provider.mongodb.provider_async import AsyncMongoDBProvider

__all__ = ["AsyncMongoDBProvider", "MongoDBConfig", "MongoDBProvider"]
