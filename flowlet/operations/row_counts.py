"""What an instance's row says, compared with other rows: its children, messages, entry in the inbox, and its gate."""

from __future__ import annotations

from flowlet.instance.instance import ENDED_STATUSES, SCHEDULED_STATUSES, Status
from flowlet.instance.limit_gate import LimitGate, compute_type_mark, is_limit_gate
from flowlet.store.consistency import InspectedInstance

__all__ = ["check_children", "check_entry", "check_messages", "check_progress"]


def check_children(instance: InspectedInstance) -> str | None:
    """Return what is wrong with an instance's count of open children, or its wait for them; None for nothing."""
    counted = instance.counted_open_children
    if instance.open_children != counted:
        return f"it counts {instance.open_children} open children, but {counted} of its children are open"
    if instance.wake_at_open_children is not None and counted <= instance.wake_at_open_children:
        awaited = "none of them is" if not counted else f"only {counted} of them are"
        return f"it waits for its children, but {awaited} open. Wake it"
    return None


def check_messages(instance: InspectedInstance, now: int) -> str | None:
    """Return what is wrong with an instance's count of unread messages, or its wait for one; None for nothing.

    Args:
        instance: The instance.
        now: The store's time, in microseconds since 1970 UTC: a wait that is due by then is no finding.
    """
    if instance.unread != instance.counted_unread:
        return f"it counts {instance.unread} unread messages, but it has {instance.counted_unread}"
    is_waiting = instance.status == Status.WAITING and instance.awaits_json is not None
    if is_waiting and instance.unread > instance.unread_seen and (instance.next_activation or now + 1) > now:
        return "it waits for a message, and one came that it has not looked at. Move it to its own state by force"
    return None


def check_entry(instance: InspectedInstance) -> str | None:
    """Return what is wrong with an instance's entry in the inbox; None for nothing."""
    status = instance.held_status if instance.status == Status.PAUSED else instance.status
    is_waiting = status == Status.WAITING and instance.awaits_json is None
    if is_waiting and instance.entry_visit != instance.visit:
        return "it waits for a person, but has no entry in the inbox. Move it to its own state by force"
    if instance.entry_visit is not None and (status == Status.NEW or status in ENDED_STATUSES):
        return "it has an entry in the inbox, but does not wait for a person"
    if instance.entry_visit not in (None, instance.visit):
        return "its entry in the inbox is of a state that it has left"
    return None


def check_progress(instance: InspectedInstance) -> str | None:
    """Return why nothing will run an instance again; None if something does."""
    status = instance.status
    if status == Status.PAUSED:
        if instance.held_status not in SCHEDULED_STATUSES:
            return f"it cannot be resumed: its held status is {instance.held_status}. Cancel it, or force a move"
        status = instance.held_status
    waits = instance.wake_at_open_children is not None and instance.open_children > instance.wake_at_open_children
    if status in (Status.NEW, Status.IN_PROGRESS) and instance.next_activation is None and not waits:
        return "it has no next activation and waits for no child: nothing will run it. Wake it"
    return _check_gate(instance)


def _check_gate(instance: InspectedInstance) -> str | None:
    """Return what is wrong with the gate of an instance behind a limit; None for nothing."""
    if instance.gate is not None and instance.status in ENDED_STATUSES:
        return f"it has ended, but has the gate {instance.gate!r}"
    gate = LimitGate.parse(instance.gate)
    is_own = gate is not None and gate.scope.startswith(f"{compute_type_mark(instance.type)}/")
    if is_limit_gate(instance.gate) and not is_own:
        return f"its gate {instance.gate!r} is none of a limit of its workflow: no executor admits it. Wake it"
    return None
