"""Whose memories a page shows, and as of when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from memorizz.memory_provider.base import AsyncMemoryProvider


@dataclass(frozen=True, slots=True)
class Sight:
    """What is in an address beside what the page is about: it goes along with every link.

    tenant: "" for all that is of no tenant.
    memory: "" for every memory.
    at: a time as ISO 8601, in UTC where it has no zone; "" for now.
    """

    tenant: str = ""
    memory: str = ""
    at: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Sight:
        """Return what an address says."""
        return cls(*(query.get(name, "").strip() for name in cls.__dataclass_fields__))

    def through(self, provider: AsyncMemoryProvider) -> AsyncMemoryProvider:
        """Return the view of a provider; raises ConfigurationError for one that it has not."""
        view = provider.tenant(self.tenant) if self.tenant else provider
        view = view.memory(self.memory) if self.memory else view
        return view.at(self.at) if self.at else view

    def of_every_memory(self) -> Sight:
        """Return the same sight of every memory."""
        return replace(self, memory="")

    def to(self, page: str, /, **wanted: object) -> str:
        """Return the address of a page with the same sight, save for what is wanted otherwise; "" leaves out."""
        query = {name: value for name, value in {**asdict(self), **wanted}.items() if value not in (None, "")}
        return f"/{page}{'?' if query else ''}{urlencode(query)}"
