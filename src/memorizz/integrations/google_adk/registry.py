"""Both services by a URI, for ADK's commands: `adk web --session_service_uri memorizz://...`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from google.adk.cli.service_registry import get_service_registry

from memorizz.embeddings.base import Embedder
from memorizz.integrations.google_adk.memory_service import MemorizzMemoryService
from memorizz.integrations.google_adk.session_service import MemorizzSessionService

if TYPE_CHECKING:
    from memorizz.memory_provider.postgresql import PostgreSQLConfig


def register(
    scheme: str = "memorizz", *, embedder: Embedder | Sequence[Embedder] | None = None, **options: Any
) -> None:
    """Have ADK open both services by a URI; call it in `services.py`, in the folder that ADK's command is given.

    `memorizz://user:password@host:port/database?sslmode=require` names a server as a `postgresql://` URL does;
    `memorizz://` is the server that the environment names, or the embedded one.

    scheme: another name in the place of `memorizz`.
    embedder: finds memories by meaning; without one, they are found by their words.
    options: of a PostgreSQLConfig, such as `schema="agents"`. Those of `--session_db_kwargs`, if any, are for sessions
        only, and win.
    """

    def config_of(uri: str, agents_dir: str | None = None, **more: Any) -> PostgreSQLConfig:
        from memorizz.memory_provider.postgresql import PostgreSQLConfig

        given: dict[str, Any] = {**options, **more}
        if place := uri.partition("://")[2]:
            given["dsn"] = f"postgresql://{place}"
        return PostgreSQLConfig(**given)

    def sessions(uri: str, **more: Any) -> MemorizzSessionService:
        return MemorizzSessionService(config_of(uri, **more))

    def memory(uri: str, **more: Any) -> MemorizzMemoryService:
        return MemorizzMemoryService(config_of(uri, **more), embedder=embedder)

    get_service_registry().register_session_service(scheme, sessions)
    get_service_registry().register_memory_service(scheme, memory)
