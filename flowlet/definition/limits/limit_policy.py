"""The limits of a definition's state, or of a whole workflow, as its code has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowlet.clock import format_duration, to_microseconds
from flowlet.instance.limit_gate import build_scope, format_key
from flowlet.workflow.limits import Breaker, Limit, Rate

__all__ = ["LimitPolicy", "build_limit_policy", "limits_to_json", "restore_limit_policy"]


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """The limits of one scope.

    Attributes:
        scope: The scope, as gates begin with it.
        type: The name of the workflow.
        state: The state; None for the whole workflow.
        version: The version of the definition.
        limit: How many attempts run at once; None for any number.
        rate: How many begin in a length of time; None for any number.
        breaker: When attempts stop; None for never.
    """

    scope: str
    type: str
    state: str | None
    version: int
    limit: Limit | None = None
    rate: Rate | None = None
    breaker: Breaker | None = None

    def build_gate(self, vars_json: str) -> str:
        """Return the gate of an instance with these variables, as JSON text."""
        return f"{self.scope}/{format_key(vars_json, self.limit.by if self.limit else None)}"

    @property
    def capacity(self) -> int | None:
        """How many attempts of one key run at once; None for any number."""
        return self.limit.count if self.limit else None

    @property
    def key_variable(self) -> str | None:
        """The variable whose values have the capacity each; None for none."""
        return self.limit.by if self.limit else None

    @property
    def rate_count(self) -> int | None:
        """How many attempts begin in ``rate_period``; None for any number."""
        return self.rate.count if self.rate else None

    @property
    def rate_period(self) -> int | None:
        """The length of time of the rate, in microseconds; None without one."""
        return to_microseconds(self.rate.period) if self.rate else None

    @property
    def breaker_count(self) -> int | None:
        """After how many failures in a row no attempt begins; None for no such number."""
        return self.breaker.count if self.breaker else None

    @property
    def breaker_pause(self) -> int | None:
        """How long none begins then, in microseconds; None without a breaker."""
        return to_microseconds(self.breaker.pause_length) if self.breaker else None

    @property
    def breaker_interval(self) -> int | None:
        """How long after one attempt the next one begins once it has closed, in microseconds; None for all at once."""
        interval = self.breaker.interval_length if self.breaker else None
        return None if interval is None else to_microseconds(interval)


def build_limit_policy(
    type: str,
    state: str | None,
    version: int,
    *,
    limit: Limit | None = None,
    rate: Rate | None = None,
    breaker: Breaker | None = None,
) -> LimitPolicy | None:
    """Return the policy of a state, or of a whole workflow if ``state`` is None; None where there is no limit."""
    if limit is None and rate is None and breaker is None:
        return None
    return LimitPolicy(build_scope(type, state), type, state, version, limit, rate, breaker)


def limits_to_json(policy: LimitPolicy | None) -> dict[str, Any] | None:
    """Return a policy as plain JSON values; None for none."""
    if policy is None:
        return None
    limit, rate, breaker = policy.limit, policy.rate, policy.breaker
    return {
        "limit": {"count": limit.count, "by": limit.by} if limit else None,
        "rate": {"count": rate.count, "per": format_duration(rate.period)} if rate else None,
        "breaker": _breaker_to_json(breaker) if breaker else None,
    }


def restore_limit_policy(
    document: Mapping[str, Any] | None, *, type: str, state: str | None, version: int
) -> LimitPolicy | None:
    """Return the policy of a document from ``limits_to_json``; None for None."""
    if document is None:
        return None
    limit, rate, breaker = document["limit"], document["rate"], document["breaker"]
    return build_limit_policy(
        type,
        state,
        version,
        limit=Limit(limit["count"], limit["by"]) if limit else None,
        rate=Rate(rate["count"], rate["per"]) if rate else None,
        breaker=Breaker(breaker["count"], breaker["pause"], breaker["interval"]) if breaker else None,
    )


def _breaker_to_json(breaker: Breaker) -> dict[str, Any]:
    interval = breaker.interval_length
    return {
        "count": breaker.count,
        "pause": format_duration(breaker.pause_length),
        "interval": None if interval is None else format_duration(interval),
    }
