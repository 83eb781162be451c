"""Reminders and escalations of unanswered questions, under the lock of the instance's row."""

from __future__ import annotations

from dataclasses import replace

from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.instance.inbox_entry import InboxEntry
from flowlet.instance.instance import Instance, Status
from flowlet.store.changes import change_instances
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store
from flowlet.store.people.due_entries import find_due_entries
from flowlet.store.people.entry_rows import read_entries

__all__ = ["apply_due_question", "process_due_questions"]

MAX_DUE_QUESTIONS = 50
"""How many questions of each kind one transaction reminds of."""


async def process_due_questions(store: Store, executor_id: str) -> int:
    """Remind of some of the questions that are due, and escalate them; return how many changed, 0 if none is due.

    One transaction, of a bounded size: the caller repeats it. Of several executors that find the same question one
    changes it: the others wait for the row, and find it changed. The line of history is written with the entry: killed
    at any moment, each time that is due counts once.

    Args:
        store: The database.
        executor_id: The executor, for the lines of history.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    now, entries, changed = store.clock.now(), dict[int, InboxEntry | None](), set[int]()
    ids = await find_due_entries(store.connections, now=now, limit=MAX_DUE_QUESTIONS)

    async def read_entry(session: DatabaseSession, instance: Instance) -> None:
        entries[instance.id] = (await read_entries(session, [instance.id])).get(instance.id)

    def decide(instance: Instance) -> Change | None:
        made = apply_due_question(instance, entries[instance.id], now=now, executor_id=executor_id)
        (changed.add if made else changed.discard)(instance.id)  # it may be called again
        return made

    if ids:
        await change_instances(store.connections, ids, decide, now=now, prepare=read_entry)
    return len(changed)


def apply_due_question(instance: Instance, entry: InboxEntry | None, *, now: int, executor_id: str) -> Change | None:
    """Return the change of a question that is due for a reminder or an escalation; None for one that is not.

    The version stays: an answer from a page that was shown before counts. The time of the last change stays too, by
    which the inbox is sorted.

    Args:
        instance: The instance, whose row is locked.
        entry: Its entry in the inbox; None if it has none.
        now: The store's time, in microseconds since 1970 UTC.
        executor_id: The executor.
    """
    if entry is None or instance.status is not Status.WAITING or entry.visit != instance.visit:
        return None
    if instance.next_activation_us is not None and instance.next_activation_us <= now:
        return None
    after, actions = entry, list[Action]()
    line = Action(
        ActionKind.REMINDED,
        now,
        from_state=instance.state,
        executor_id=executor_id,
        version=instance.definition_version,
    )
    if entry.remind_at_us is not None and entry.remind_at_us <= now:
        after = _remind(after, entry.remind_at_us, now)
        actions.append(replace(line, text=f"reminder {after.reminder_count}"))
    while after.escalations and after.escalations[0][0] <= now:
        (_, teams), *rest = after.escalations
        after = replace(
            after,
            teams=tuple(dict.fromkeys((*after.teams, *teams))),
            escalated_to=tuple(dict.fromkeys((*after.escalated_to, *teams))),
            escalations=tuple(rest),
            escalate_at_us=rest[0][0] if rest else None,
        )
        actions.append(replace(line, kind=ActionKind.ESCALATED, text=f"to {', '.join(teams)}"))
    if not actions:
        return None
    return Change(instance, instance, tuple(actions), keeps_version=True, due_entry=after)


def _remind(entry: InboxEntry, due: int, now: int) -> InboxEntry:
    """Return an entry after a reminder. Times that were missed, because no executor ran, are one reminder."""
    every = entry.remind_every_us
    following = due + every * ((now - due) // every + 1) if every else None
    return replace(entry, reminder_count=entry.reminder_count + 1, remind_at_us=following)
