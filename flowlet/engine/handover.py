"""What surrounds activations: an instance after its commit, and an instance handed back unfinished."""

from __future__ import annotations

from flowlet.instances import Action, ActionKind, Instance, Status
from flowlet.texts import cleaned
from flowlet.transitions import Transition

__all__ = ["continued", "hand_back"]


def hand_back(instance: Instance, *, now: int, executor_id: str, reason: str) -> Transition:
    """Return the transition that gives up a lease without a result: due at once, for whoever claims it next.

    State, variables, attempts, and the loop guard's count stay as they are.

    Args:
        instance: The instance as this executor holds it.
        now: The store's time, in microseconds since 1970 UTC.
        executor_id: Who hands it back.
        reason: Why, for the history.
    """
    action = Action(
        ActionKind.RELEASED,
        now,
        from_state=instance.state,
        text=cleaned(reason),
        executor_id=executor_id,
        version=instance.definition_version,
    )
    return Transition(
        instance=instance,
        state=instance.state,
        status=Status.IN_PROGRESS,
        vars=None,
        next_activation=now,
        attempt=instance.attempt,
        visit=instance.visit,
        streak=instance.streak,
        answer=instance.answer,
        reason=instance.reason,
        at=now,
        actions=(action,),
        fingerprint=instance.fingerprint,
        failed=instance.failed,
    )


def continued(instance: Instance, transition: Transition) -> Instance:
    """Return the instance as the store holds it after an EXECUTING transition was committed: still leased.

    Args:
        instance: The instance as it was when the activation began.
        transition: What was committed.

    Raises:
        ValueError: If the transition gave up the lease.
    """
    if transition.status is not Status.EXECUTING:
        raise ValueError(f"a transition to {transition.status} gave up the lease: claim the instance again")
    spawned = len(transition.children)
    return Instance(
        id=instance.id,
        type=instance.type,
        definition_version=instance.definition_version,
        external_id=instance.external_id,
        business_key=instance.business_key,
        parent_id=instance.parent_id,
        executor_group=instance.executor_group,
        priority=instance.priority,
        status=Status.EXECUTING,
        state=transition.state,
        vars=instance.vars if transition.vars is None else transition.vars,
        next_activation=transition.next_activation,
        attempt=transition.attempt,
        visit=transition.visit,
        streak=transition.streak,
        crashes=0,
        executor_id=instance.executor_id,
        token=instance.token,
        version=instance.version + 1,
        children=instance.children + spawned,
        open_children=instance.open_children + spawned,
        waits_for_children=False,
        pause_requested=instance.pause_requested,
        held_status=transition.held_status,
        answer=transition.answer,
        reason=transition.reason,
        created_by=instance.created_by,
        created=instance.created,
        modified=transition.at,
        started=instance.started,
        ended=None,
        fingerprint=transition.fingerprint,
        failed=transition.failed,
    )
