"""What the classes have in common: how they are opened."""

from __future__ import annotations

from typing import Any, Self

from memorizz.integrations import _providers
from memorizz.integrations._providers import ensured, in_thread
from memorizz.memory_provider.stores import StoreSpec


class Opened(_providers.Opened):
    """Works on a provider that has some stores."""

    _specs: tuple[StoreSpec, ...]

    def _set_up(self, source: object, *specs: StoreSpec) -> None:
        self._specs = specs
        self._open(source)
        try:
            self.setup()
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_conn_string(cls, conn_string: str, **options: Any) -> Self:
        """Open one on a connection string, to be used with `with` or with `async with`, which close it."""
        # Each class has a constructor of its own.
        make: Any = cls
        return make(conn_string, **options)

    def setup(self) -> None:
        """Make what is missing in the database; done already when the object is made, and harmless again."""
        ensured(self.provider, *self._specs)

    async def asetup(self) -> None:
        """Do what `setup` does."""
        await in_thread(self.setup)
