"""How instances and their history look in the API: GopherFlow's shapes in camelCase, and what Flowlet knows beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import orjson

from flowlet.instances import ENTERING, Action, Instance
from flowlet.permitted import Permitted
from flowlet.store.search import SearchQuery, SearchResult
from flowlet.web.schemas import ApiModel, Time

__all__ = [
    "ActionShape",
    "ChangedShape",
    "ChildShape",
    "CreatedShape",
    "PageShape",
    "PermittedShape",
    "WorkflowShape",
    "history_shapes",
]


class CreatedShape(ApiModel):
    """What a create gives."""

    id: int
    external_id: str


class ChildShape(ApiModel):
    """An instance in short, as in the list of a parent's children."""

    id: int
    external_id: str
    business_key: str
    workflow_type: str
    status: str
    state: str
    reason: str | None
    created: Time
    modified: Time
    ended: Time | None

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """Return an instance as it is told in short."""
        values = {name: getattr(instance, name) for name in cls.model_fields if name != "workflow_type"}
        return cls(workflow_type=instance.type, **values)


class WorkflowShape(ApiModel):
    """An instance as a whole.

    Attributes:
        execution_count: How many states it has entered, the start state included.
        retry_count: How many attempts of this visit of its state have failed.
        answer: The choice, the form's values and the name of who answered; None unless it stands in a manual state
            that has been answered.
    """

    id: int
    status: str
    execution_count: int
    retry_count: int
    created: Time
    modified: Time
    next_activation: Time | None
    started: Time | None
    ended: Time | None
    executor_id: str | None
    executor_group: str
    workflow_type: str
    definition_version: int
    external_id: str
    business_key: str
    priority: int
    state: str
    state_vars: dict[str, Any]
    parent_id: int | None
    children: int
    open_children: int
    waits_for_children: bool
    pause_requested: bool
    held_status: str | None
    answer: dict[str, Any] | None
    reason: str | None
    created_by: str | None
    version: int

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """Return an instance as it is told."""
        told: dict[str, Any] = {
            "workflow_type": instance.type,
            "state_vars": instance.variables,
            "execution_count": instance.visit + 1,
            "retry_count": instance.attempt,
            "answer": _parsed(instance.answer),
        }
        same = {name: getattr(instance, name) for name in cls.model_fields if name not in told}
        return cls(**told, **same)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)


class ChangedShape(ApiModel):
    """What an operation gives: that it was done, and the instance as it was right after."""

    ok: bool
    workflow: WorkflowShape

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """Return the answer of an operation that has left the instance so."""
        return cls(ok=True, workflow=WorkflowShape.of(instance))


class PageShape(ApiModel):
    """A page of a search.

    Attributes:
        results: How many there are on this page.
        total: How many fit on all pages together, counted up to 10,000.
        total_is_at_least: Whether there are more than that.
        next_cursor: What gives the next page; None on the last one.
    """

    results: int
    workflows: list[WorkflowShape]
    offset: int
    total: int
    total_is_at_least: bool
    next_cursor: str | None

    @classmethod
    def of(cls, query: SearchQuery, found: SearchResult) -> Self:
        """Return what a search has found."""
        return cls(
            results=len(found.instances),
            workflows=[WorkflowShape.of(instance) for instance in found.instances],
            offset=query.offset,
            total=found.total,
            total_is_at_least=found.total_is_at_least,
            next_cursor=found.next_cursor,
        )


class PermittedShape(ApiModel):
    """What may be done with an instance now, and where it may be moved without force."""

    operations: list[str]
    states: list[str]

    @classmethod
    def of(cls, found: Permitted) -> Self:
        """Return what is permitted."""
        return cls(operations=[one.value for one in found.operations], states=list(found.states))


class ActionShape(ApiModel):
    """A line of an instance's history.

    Attributes:
        type: What kind of line it is, such as TRANSITION.
        name: The state that it is about: the one that was entered, else the one that it was in.
        execution_count: Which state's visit it belongs to, counted from 1.
        retry_count: How many attempts of that visit had failed before.
        detail: A traceback.
        changes: Which variables it changed, as ``{"set": {name: value}, "unset": [name]}``.
    """

    id: int
    workflow_id: int
    executor_id: str | None
    execution_count: int
    retry_count: int
    type: str
    name: str | None
    text: str | None
    date_time: Time
    from_state: str | None
    to_state: str | None
    username: str | None
    duration_ms: int | None
    detail: str | None
    changes: dict[str, Any] | None
    definition_version: int | None

    @classmethod
    def of(cls, action: Action, *, visit: int) -> Self:
        """Return a line of history as it is told; ``visit`` is how many states had been entered with it."""
        told: dict[str, Any] = {
            "execution_count": visit,
            "retry_count": max(0, (action.attempt or 1) - 1),
            "type": action.kind.value,
            "name": action.to_state or action.from_state,
            "date_time": action.at,
            "changes": _parsed(action.changes),
            "definition_version": action.version,
        }
        same = {name: getattr(action, name) for name in cls.model_fields if name not in told}
        return cls(**told, **same)


def history_shapes(actions: Sequence[Action]) -> list[ActionShape]:
    """Return a whole history, given with the oldest line first, with the newest first."""
    visit, shapes = 0, []
    for action in actions:
        visit += action.kind in ENTERING
        shapes.append(ActionShape.of(action, visit=visit))
    return shapes[::-1]


def _parsed(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
