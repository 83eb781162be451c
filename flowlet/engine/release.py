"""Instances between activations: after a commit, and handed back without a result."""

from __future__ import annotations

from dataclasses import replace

from flowlet.instance.action import Action, ActionKind
from flowlet.instance.fingerprint import GATED_REASON, format_gated_reason
from flowlet.instance.instance import Instance, Status
from flowlet.instance.record_maker import build_changer
from flowlet.instance.transition import Transition
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.text import MAX_REASON_LENGTH, clean_text, mask_secrets

__all__ = ["apply_transition", "build_gated", "build_release", "build_unchanged"]

_CHANGED_NAMES = (
    *("status", "state", "vars_json", "next_activation_us", "attempt", "visit", "streak", "crashes", "version"),
    *("children", "open_children", "wake_at_open_children", "held_status", "answer_json", "reason", "modified_us"),
    *("ended_us", "fingerprint", "failed_us", "gate", "vars_version", "unsnapped_characters", "awaits_json", "unread"),
    *("unread_seen", "message_id"),
)
_EXECUTING = Status.EXECUTING  # each transition reads it, which is slow from an enum
_change_instance = build_changer(Instance, _CHANGED_NAMES)


def build_release(instance: Instance, *, now: int, executor_id: str, reason: str) -> Transition:
    """Return the transition that gives up a lease without a result: due at once, for the next executor that claims it.

    State, variables, attempts, and the loop guard's count do not change.

    Args:
        instance: The instance as this executor holds it.
        now: The store's time, in microseconds since 1970 UTC.
        executor_id: The executor that hands it back.
        reason: Why, for the history.
    """
    back = _give_up_lease(instance, ActionKind.RELEASED, now=now, executor_id=executor_id, text=clean_text(reason))
    return replace(back, gate=instance.gate)


def build_gated(
    instance: Instance, *, now: int, executor_id: str, digest: str, version: int, reason: str
) -> Transition:
    """Return the transition that leaves an instance to executors with other definitions: it is due behind a gate.

    State, variables, attempts, visits and the last error are those of the claim.

    Args:
        instance: The instance as this executor holds it; its gate is the one that it was claimed through.
        now: The store's time, in microseconds since 1970 UTC.
        executor_id: The executor that leaves it.
        digest: The digest of the executor's definitions.
        version: The version of the definition that cannot run it.
        reason: Why not, without a full stop.
    """
    lane = compute_lane(instance.type, instance.group)
    former = VersionGate.parse(instance.gate)
    gate = (former if former and former.lane == lane else VersionGate(lane)).add(digest)
    text = clean_text(mask_secrets(f"{GATED_REASON}{reason}"), MAX_REASON_LENGTH)
    back = _give_up_lease(instance, ActionKind.GATED, now=now, executor_id=executor_id, text=text, version=version)
    failure = instance.reason if instance.attempt else None
    shown = format_gated_reason(text, failure, max_length=MAX_REASON_LENGTH)
    return replace(back, gate=str(gate), reason=shown)


def _give_up_lease(
    instance: Instance,
    kind: ActionKind,
    *,
    now: int,
    executor_id: str,
    text: str,
    version: int | None = None,
) -> Transition:
    action = Action(
        kind,
        now,
        from_state=instance.state,
        text=text,
        executor_id=executor_id,
        version=instance.definition_version if version is None else version,
    )
    return build_unchanged(instance, action, now=now)


def build_unchanged(instance: Instance, *actions: Action, now: int) -> Transition:
    """Return the transition that ends a lease and leaves all else as it is: due at once, behind no gate."""
    return Transition(
        instance=instance,
        state=instance.state,
        status=Status.IN_PROGRESS,
        vars_json=None,
        next_activation_us=now,
        attempt=instance.attempt,
        visit=instance.visit,
        streak=instance.streak,
        answer_json=instance.answer_json,
        reason=instance.reason,
        at_us=now,
        actions=actions,
        fingerprint=instance.fingerprint,
        failed_us=instance.failed_us,
    )


def apply_transition(instance: Instance, transition: Transition) -> Instance:
    """Return the instance as the store holds it after an EXECUTING transition was committed: still leased.

    Args:
        instance: The instance as it was when the activation began.
        transition: The committed transition.

    Raises:
        ValueError: If the transition gave up the lease.
    """
    if transition.status is not _EXECUTING:
        raise ValueError(f"a transition to {transition.status} gave up the lease: claim the instance again")
    spawned = transition.spawned
    return _change_instance(
        instance,
        status=_EXECUTING,
        state=transition.state,
        vars_json=instance.vars_json if transition.vars_json is None else transition.vars_json,
        next_activation_us=transition.next_activation_us,
        attempt=transition.attempt,
        visit=transition.visit,
        streak=transition.streak,
        crashes=0,
        version=instance.version + 1,
        children=instance.children + spawned,
        open_children=instance.open_children + spawned,
        wake_at_open_children=None,
        held_status=transition.held_status,
        answer_json=transition.answer_json,
        reason=transition.reason,
        modified_us=transition.at_us,
        ended_us=None,
        fingerprint=transition.fingerprint,
        failed_us=transition.failed_us,
        gate=None,
        vars_version=instance.vars_version if transition.vars_version is None else transition.vars_version,
        unsnapped_characters=(
            instance.unsnapped_characters
            if transition.unsnapped_characters is None
            else transition.unsnapped_characters
        ),
        awaits_json=None,
        unread=instance.unread - (transition.messages is not None and transition.messages.consumed_id is not None),
        unread_seen=0,
        message_id=None,
    )
