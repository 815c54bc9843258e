"""What works on a provider stays in the view that it is given in the place of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from memorizz import PostgreSQLConfig, PostgreSQLProvider
from memorizz.errors import ConfigurationError


@dataclass(frozen=True)
class Kept:
    """Something that works on a provider: how it is made, writes and reads; and the memory in whose view it works.

    What it writes has the same ids each time. `memory` is None where it works in that of no memory, "" in that of any.
    """

    make: Callable[[Any], Any]
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    memory: str | None = None


def check_stays(config: PostgreSQLConfig, kept: Kept) -> None:
    """Check that of two tenants and none nobody reads or replaces what another has, and what a memory's view does."""
    with PostgreSQLProvider(config) as provider:
        mine, *others = (kept.make(view) for view in (provider.tenant("acme"), provider.tenant("globex"), provider))
        nothing = kept.read(mine)
        kept.write(mine)
        whole = kept.read(mine)
        assert whole != nothing
        assert [kept.read(other) for other in others] == [nothing, nothing]
        # The same names, keys and ids are in nobody's way.
        for other in others:
            kept.write(other)
        assert kept.read(mine) == whole
        hooli = provider.tenant("hooli")
        if kept.memory is not None:
            written = kept.make(hooli.memory(kept.memory or "ada"))
            kept.write(written)
            assert kept.read(written) != nothing
        if kept.memory == "":
            assert kept.read(kept.make(hooli.memory("another"))) == nothing
        else:
            with pytest.raises(ConfigurationError, match=r"give it the provider|no call leads out of"):
                kept.read(kept.make(hooli.memory("another")))
