"""What the engine hands to a dialect: requests for due instances, and batches of transitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from flowlet.instance.attempt_result import AttemptResult
from flowlet.instance.inbox_entry import InboxEffects
from flowlet.instance.instance import ENDED_STATUSES
from flowlet.instance.message import MessageEffects
from flowlet.instance.new_instance import NewInstance
from flowlet.instance.spawn_part import SpawnPart
from flowlet.instance.transition import Transition
from flowlet.store.dialects.sizes import split_by_length

__all__ = [
    "LOCKED_MICROSECONDS",
    "Batch",
    "BatchResult",
    "ClaimRequest",
    "CreatedRow",
    "Followups",
    "LeasedRows",
    "MessageFollowup",
    "ResultFollowup",
    "SpawnFollowup",
    "collect_followups",
    "count_ended_children",
    "split_children",
]


LOCKED_MICROSECONDS = 250_000
"""After how long what is due and was not leased is tried again: another transaction holds it, and may give it back."""
MAX_CHILDREN_LENGTH = 2_000_000
"""How many characters of children one statement creates; a handler may spawn many."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Which instances an executor wants. ``now`` is the store's time in microseconds since 1970 UTC.

    Of a priority below ``full_priority`` it wants ``limit_below`` at most.
    """

    executor_id: str
    groups: Sequence[str]
    types: Sequence[str]
    limit: int
    now: int
    full_priority: int = 0
    limit_below: int = 0

    def get_limit(self, priority: int) -> int:
        """Return how many instances of a priority it wants at most."""
        return self.limit if priority >= self.full_priority else min(self.limit, self.limit_below)


class LeasedRows(NamedTuple):
    """What a claim has leased.

    Attributes:
        rows: The instances, as rows for ``INSTANCE_READER``.
        next_due: If it has leased nothing, when the first instance is due, in microseconds since 1970 UTC: one that is
            due already is locked by another transaction. None if none is scheduled, or if it has leased some.
    """

    rows: Sequence[Sequence[Any]]
    next_due: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions that are to be committed together, sorted by instance. No instance is in it twice.

    With ``may_notify`` the commit itself may notify the other processes, on a database where they have to be.
    """

    executor_id: str
    transitions: Sequence[Transition]
    now: int
    may_notify: bool = False


class BatchResult(NamedTuple):
    """The result of a batch.

    Attributes:
        applied_ids: The instances whose fence held: their transitions are written.
        due_groups: The executor groups in which instances have become due, if other processes have to be notified of
            that; empty on a database on which they find it by themselves.
        is_notified: Whether the commit itself has notified them.
    """

    applied_ids: set[int]
    due_groups: set[str]
    is_notified: bool = False


class CreatedRow(NamedTuple):
    """The answer for an instance to create.

    Attributes:
        id: Its id, or that of the instance which has its external id.
        is_new: Whether it was created.
        is_pruned: Whether the instance of the id was deleted.
        is_leased: Whether it was leased at once by the executor that it names.
    """

    id: int
    is_new: bool
    is_pruned: bool = False
    is_leased: bool = False


@dataclass(frozen=True, slots=True)
class MessageFollowup:
    """What a transition does to the messages of its instance, and to its wait for one.

    Attributes:
        workflow_id: The instance.
        at: When the transition happened, in microseconds since 1970 UTC.
        effects: What it does.
    """

    workflow_id: int
    at: int
    effects: MessageEffects

    def build_binds(self, now: int) -> dict[str, Any]:
        """Return the values of the statements that write it, by name; ``now`` is when the instance may become due."""
        effects = self.effects
        return {
            "id": self.workflow_id,
            "now": now,
            "awaits": effects.awaits_json,
            "unread_seen": effects.unread_seen,
            "message_id": effects.message_id,
            "consumed_id": effects.consumed_id,
            "consumed_at": self.at,
            "consumed_count": int(effects.consumed_id is not None),
        }


@dataclass(frozen=True, slots=True)
class ResultFollowup:
    """The failure of an instance's attempt, or the success of some in a row, for a breaker.

    Attributes:
        workflow_ids: The instances; one if it has failed.
        at: When it failed, in microseconds since 1970 UTC.
        result: The result, the same of all.
    """

    workflow_ids: Sequence[int]
    at: int
    result: AttemptResult

    @property
    def id_names(self) -> list[str]:
        """The names of the binds of the instances: a power of two, so that few different statements are prepared."""
        return [f"id_{place}" for place in range(1 << (len(self.workflow_ids) - 1).bit_length())]

    def build_binds(self) -> dict[str, Any]:
        """Return the values of the statements that write it, by name; the last instance is repeated."""
        binds: dict[str, Any] = dict.fromkeys(self.id_names, self.workflow_ids[-1])
        binds |= zip(self.id_names, self.workflow_ids, strict=False)
        binds["gate"] = self.result.scope
        return binds if self.result.fault is None else {**binds, "at": self.at, "reason": self.result.fault}


@dataclass(frozen=True, slots=True)
class SpawnFollowup:
    """The children of a large spawn, which the commit stores and does not make.

    Attributes:
        workflow_id: Their parent.
        visit: The visit that the transition has entered.
        at: When the transition happened, in microseconds since 1970 UTC.
        parts: The children.
    """

    workflow_id: int
    visit: int
    at: int
    parts: Sequence[SpawnPart]

    def encode_rows(self) -> list[list[Any]]:
        """Return the rows of ``flowlet_spawn``, with the values of all columns."""
        return [
            [self.workflow_id, self.visit, place, len(part.external_ids), self.at, part.requests]
            for place, part in enumerate(self.parts)
        ]


@dataclass(frozen=True, slots=True)
class Followups:
    """What a batch does beyond its own rows, for the transitions whose fence held.

    Attributes:
        children: The instances to create.
        ended_child_counts: How many children of each parent have ended, ordered by the parent's id.
        woken_parents: The parents that a child wakes, ordered by id.
        messages: What happens to messages and to the waits for them, ordered by the instance's id.
        inbox: What happens to entries in the inbox, each with its instance's id, ordered by that.
        results: The results of attempts that breakers count, ordered by the scope.
        spawns: The children to store for later.
    """

    children: Sequence[NewInstance]
    ended_child_counts: Sequence[tuple[int, int]]
    woken_parents: Sequence[int]
    messages: Sequence[MessageFollowup] = ()
    inbox: Sequence[tuple[int, InboxEffects]] = ()
    results: Sequence[ResultFollowup] = ()
    spawns: Sequence[SpawnFollowup] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        families = (self.children, self.ended_child_counts, self.woken_parents, self.spawns)
        return not any((*families, self.messages, self.inbox, self.results))


def count_ended_children(transitions: Sequence[Transition]) -> list[tuple[int, int]]:
    """Return how many children of each parent end with these transitions, ordered by the parent's id."""
    counts: dict[int, int] = {}
    for transition in transitions:
        parent = transition.instance.parent_id
        if parent is not None and transition.status in ENDED_STATUSES:
            counts[parent] = counts.get(parent, 0) + 1
    return sorted(counts.items())


def collect_followups(transitions: Sequence[Transition]) -> Followups:
    """Return what these transitions do beyond their own rows."""
    children = [child for transition in transitions for child in transition.children]
    woken = {t.instance.parent_id for t in transitions if t.wakes_parent and t.instance.parent_id is not None}
    messages = [MessageFollowup(t.instance.id, t.at_us, t.messages) for t in transitions if t.messages is not None]
    inbox = [(t.instance.id, t.inbox) for t in transitions if t.inbox is not None]
    results = _collect_results(transitions)
    spawns = [SpawnFollowup(t.instance.id, t.visit, t.at_us, t.spawn_parts) for t in transitions if t.spawn_parts]
    return Followups(children, count_ended_children(transitions), sorted(woken), messages, inbox, results, spawns)


def _collect_results(transitions: Sequence[Transition]) -> list[ResultFollowup]:
    """Return the results by scope and time: rows are locked in one order, and two batches cannot deadlock.

    The successes between two failures are one: a batch may have hundreds.
    """
    found = [(t.result.scope, t.at_us, t.instance.id, t.result) for t in transitions if t.result is not None]
    collected: list[ResultFollowup] = []
    for result, some in groupby(sorted(found, key=itemgetter(0, 1)), key=itemgetter(3)):
        same = [(at, id) for _, at, id, _ in some]
        if result.fault is None:
            collected.append(ResultFollowup([id for _, id in same], same[0][0], result))
        else:
            collected += [ResultFollowup([id], at, result) for at, id in same]
    return collected


def split_children(children: Sequence[NewInstance]) -> Iterator[Sequence[NewInstance]]:
    """Yield the children in groups, each for statements of its own."""
    return split_by_length(children, (child.text_length for child in children), limit=MAX_CHILDREN_LENGTH)
