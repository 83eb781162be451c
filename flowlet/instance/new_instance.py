"""An instance before it is stored, and the answer of the store."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.instance.inbox_entry import InboxEntry
from flowlet.instance.instance import ROW_LENGTH, Instance, Status, make_instance

__all__ = ["Created", "NewInstance"]


@dataclass(frozen=True, slots=True)
class Created:
    """The result of a create.

    Attributes:
        id: The id of the instance.
        external_id: Its external id: the given one, or a generated one.
        is_new: Whether this call created the instance; False if the external id already existed.
        is_pruned: Whether the external id is one of an instance that has ended and was deleted: its id finds no
            instance any more.
    """

    id: int
    external_id: str
    is_new: bool
    is_pruned: bool = False


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to create, validated against its definition.

    ``status`` is NEW, or WAITING if the start state is a manual state; then ``next_activation_us`` is the deadline.
    Times are microseconds since 1970 UTC. ``inbox`` is its entry in the inbox, if it waits for a person.
    ``gate`` is set if its first attempt needs a slot of a limit. ``executor_id`` is the executor that leases it in the
    transaction that creates it, unless a lane is paused then; None if it waits for a claim.
    """

    type: str
    definition_version: int
    external_id: str
    key: str
    group: str
    priority: int
    state: str
    status: Status
    vars_json: str
    next_activation_us: int | None
    parent_id: int | None = None
    username: str | None = None
    root_id: int | None = None
    vars_version: int = 0
    inbox: InboxEntry | None = None
    gate: str | None = None
    executor_id: str | None = None

    @property
    def text_length(self) -> int:
        """How many characters its row and the first line of its history have, about."""
        return ROW_LENGTH + 2 * len(self.vars_json)

    def build_leased(self, id: int, *, now: int) -> Instance:
        """Return the instance as the store holds it after it was created and leased in one transaction."""
        return make_instance(
            id=id,
            type=self.type,
            definition_version=self.definition_version,
            external_id=self.external_id,
            key=self.key,
            parent_id=self.parent_id,
            root_id=self.root_id,
            group=self.group,
            priority=self.priority,
            status=Status.EXECUTING,
            state=self.state,
            vars_json=self.vars_json,
            next_activation_us=self.next_activation_us,
            attempt=0,
            visit=0,
            streak=0,
            crashes=0,
            executor_id=self.executor_id,
            token=1,
            version=0,
            children=0,
            open_children=0,
            wake_at_open_children=None,
            pause_requested=False,
            held_status=None,
            answer_json=None,
            reason=None,
            created_by=self.username,
            created_us=now,
            modified_us=now,
            started_us=now,
            ended_us=None,
            vars_version=self.vars_version,
            claimed_us=now,
        )
