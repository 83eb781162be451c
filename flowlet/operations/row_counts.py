"""What an instance's row counts, compared with a recount: its open children, and its unread messages."""

from __future__ import annotations

from flowlet.instance.instance import Status
from flowlet.store.consistency import InspectedInstance

__all__ = ["check_children", "check_messages"]


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
