"""What an activation does at a limit: the wait for a slot, and the result that a breaker counts."""

from __future__ import annotations

from dataclasses import replace

from flowlet.definition.limits.limit_policy import LimitPolicy
from flowlet.engine.attempt import Attempt
from flowlet.engine.release import build_unchanged
from flowlet.instance.attempt_result import AttemptResult
from flowlet.instance.instance import Instance
from flowlet.instance.limit_gate import is_in_scope
from flowlet.instance.transition import Transition

__all__ = ["build_queued", "is_without_slot", "with_result"]


def is_without_slot(instance: Instance, policy: LimitPolicy | None) -> bool:
    """Return whether a claimed instance has to wait for a slot: it did not come through the limit of its state.

    An operator has moved it there, or has edited it; a version without the limit, or another gate, has let it through.
    """
    return policy is not None and not is_in_scope(instance.gate, policy.scope)


def build_queued(instance: Instance, policy: LimitPolicy, *, now: int) -> Transition:
    """Return the transition that leaves an instance behind the limit of its state, due at once. No attempt is counted.

    Args:
        instance: The instance, as claimed.
        policy: The limits of its state.
        now: The store's time, in microseconds since 1970 UTC.
    """
    return replace(build_unchanged(instance, now=now), gate=policy.build_gate(instance.vars_json))


def with_result(transition: Transition, attempt: Attempt, *, fault: str | None) -> Transition:
    """Return a transition with the result of its attempt, if a breaker counts it; else the same one.

    Args:
        transition: The transition that follows the attempt.
        attempt: The attempt, ended.
        fault: The error, in words; None if it has succeeded.
    """
    scope = attempt.policy.breaker_scope
    return transition if scope is None else replace(transition, result=AttemptResult(scope, fault))
