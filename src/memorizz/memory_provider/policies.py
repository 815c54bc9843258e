"""Policy: what of a store's documents is deleted when it is tidied, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Self, cast

from memorizz.errors import ConfigurationError, quoted
from memorizz.memory_provider.options import LARGEST_WEIGHT, MAX_LIMIT, is_number

_DURATIONS = frozenset({"expire_after", "half_life"})
_LONGEST = timedelta(days=365_250)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Say what of a store's documents goes, by rules that are applied in this order; each counts what is left so far.

    expire_after: what has not been changed for so long, by its `updated_at`.
    least_importance: what has an `importance_score` that has sunk below; what has none stays.
    half_life: after how long without a change or a counted read (`updated_at`, `last_accessed`) importance is half of
        what it was: `importance_score * 0.5 ** (age / half_life)`; by default it does not sink.
    keep_last: of each memory all but the newest so many, by `timestamp` or else `created_at`; those of no memory count
        as one.
    max_documents: of a tenant all but so many; the least important go first, of equals the oldest. What has no
        `importance_score` has 0.

    Raises ConfigurationError for a value out of range, and where no rule is given.
    """

    expire_after: timedelta | None = None
    least_importance: float | None = None
    half_life: timedelta | None = None
    keep_last: int | None = None
    max_documents: int | None = None

    def __post_init__(self) -> None:
        for name in sorted(_DURATIONS):
            value = cast(object, getattr(self, name))
            if value is not None and not (isinstance(value, timedelta) and timedelta(0) < value <= _LONGEST):
                raise ConfigurationError(f"{name}={quoted(value)}: expected a timedelta above 0, up to 1,000 years")
        for name in ("keep_last", "max_documents"):
            value = cast(object, getattr(self, name))
            if value is not None and not (type(value) is int and 1 <= value <= MAX_LIMIT):
                raise ConfigurationError(f"{name}={quoted(value)}: expected a whole number from 1 to {MAX_LIMIT:,}")
        least = cast(object, self.least_importance)
        if least is not None and not (is_number(least) and 0 < least <= LARGEST_WEIGHT):
            raise ConfigurationError(
                f"least_importance={quoted(least)}: expected a number above 0, up to {LARGEST_WEIGHT:,}"
            )
        rules = (self.expire_after, self.least_importance, self.keep_last, self.max_documents)
        if all(rule is None for rule in rules):
            raise ConfigurationError(
                "a Policy needs a rule: expire_after, least_importance, keep_last or max_documents; "
                "set_policy(store, None) takes one away"
            )
        if self.half_life is not None and self.least_importance is None and self.max_documents is None:
            raise ConfigurationError("half_life: it says how importance sinks, which no other rule here asks for")

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` makes it of: the rules that are given, times in seconds."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.total_seconds() if isinstance(value, timedelta) else value
            for name, value in given.items()
            if value is not None
        }

    @classmethod
    def from_json(cls, noted: Mapping[str, Any]) -> Self:
        """Return the policy that was noted; raises ConfigurationError for a rule of a later version."""
        unknown = noted.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise ConfigurationError(
                f"a policy has the rule {quoted(min(unknown))}, which this version does not know: use a newer one"
            )
        rules: dict[str, Any] = {**noted}
        for name in noted.keys() & _DURATIONS:
            rules[name] = timedelta(seconds=noted[name])
        return cls(**rules)


def checked_policy(policy: object) -> Policy | None:
    """Return a policy, or None for none; raises ConfigurationError for anything else."""
    if policy is None or isinstance(policy, Policy):
        return policy
    raise ConfigurationError(f"policy={quoted(policy)}: expected a Policy, or None to take one away")


def no_policies(what: str) -> ConfigurationError:
    """Return the error of a provider that has no policies."""
    return ConfigurationError(f"{what} has no policies: PostgreSQL has")
