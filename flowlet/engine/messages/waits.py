"""The activation of a receive state that finds no message: a wait begins, goes on, or ends by its deadline."""

from __future__ import annotations

from dataclasses import replace

from flowlet.clock import limit_time, to_microseconds
from flowlet.engine.attempt import Attempt
from flowlet.engine.plan import Plan
from flowlet.engine.results import pass_deadline, return_to_wait
from flowlet.instance.message import MessageEffects, MessageWait
from flowlet.instance.transition import Transition

__all__ = ["wait_for_message"]


def wait_for_message(plan: Plan, attempt: Attempt) -> Transition:
    """Return the transition of an instance in a receive state that has no unread message of the state's names.

    All messages that were unread when it was claimed are known then: only a later one makes it due again. A wait that
    was begun keeps its deadline; one that begins here, in a start state or after an operator's move, counts from now.

    Args:
        plan: The receive state.
        attempt: The attempt, ended.
    """
    instance, names = attempt.instance, tuple(plan.messages)
    begun = MessageWait.parse(instance.awaits_json)
    if begun is None:
        deadline = plan.state.deadline
        until = None if deadline is None else limit_time(attempt.ended_at + to_microseconds(deadline))
    else:
        until = begun.until_us
    if until is not None and until <= attempt.ended_at:
        if plan.deadline_entry is not None:
            return pass_deadline(attempt, plan.deadline_entry, "no message")
        until = None  # this version of the workflow has no deadline here
    effects = MessageEffects(MessageWait(names, until).write(), unread_seen=instance.unread)
    return replace(return_to_wait(attempt), next_activation_us=until, messages=effects)
