"""How instances and their history look in the API: GopherFlow's shapes in camelCase, and what Flowlet knows beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

import orjson
from pydantic import ConfigDict

from flowlet.instance.instance import ENTRY_KINDS, Action, ActionKind, Instance, Status
from flowlet.operations.permitted import Operation, PermittedOperations
from flowlet.store.search.query import SearchQuery, SearchResult
from flowlet.web.schemas import ApiModel, Timestamp

__all__ = [
    "ActionResponse",
    "ChildResponse",
    "CreateResponse",
    "OperationResponse",
    "PermittedOperationsResponse",
    "SearchResponse",
    "WorkflowResponse",
    "build_history_response",
]

_STORED_NAMES = {
    "business_key": "key",
    "executor_group": "group",
    **{name: f"{name}_us" for name in ("next_activation", "created", "modified", "started", "ended", "failed")},
}
"""The fields of ``Instance`` that the API names otherwise."""


EXAMPLE_WORKFLOW: dict[str, Any] = {
    "id": 4711,
    "status": "WAITING",
    "executionCount": 2,
    "retryCount": 0,
    "created": "2026-11-22T13:52:07.000042Z",
    "modified": "2026-11-22T13:52:07.120311Z",
    "nextActivation": "2026-11-25T13:52:07.120311Z",
    "started": "2026-11-22T13:52:07.004150Z",
    "ended": None,
    "executorId": None,
    "executorGroup": "default",
    "workflowType": "OrderWorkflow",
    "definitionVersion": 1,
    "externalId": "order-2026-1001",
    "businessKey": "customer-1001",
    "priority": 4,
    "state": "review",
    "stateVars": {"sku": "A-1001", "amount": 1200},
    "parentId": None,
    "children": 0,
    "openChildren": 0,
    "waitsForChildren": False,
    "pauseRequested": False,
    "heldStatus": None,
    "answer": None,
    "reason": None,
    "fingerprint": None,
    "createdBy": "warehouse",
    "version": 3,
}
"""An order that waits for somebody to approve it."""


class CreateResponse(ApiModel):
    """What a create gives.

    Attributes:
        id: The instance's id.
        external_id: Its external id, made up where none was given.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": 4711, "externalId": "order-2026-1001"}]})

    id: int
    external_id: str


class ChildResponse(ApiModel):
    """An instance in short, as in the list of a parent's children.

    Attributes:
        id: The instance's id.
        external_id: Unique over all instances.
        business_key: By which people find it.
        workflow_type: The workflow's name.
        status: How it stands.
        state: Where it stands.
        reason: Why it stands so; null if there is nothing to say.
        created: When it was created.
        modified: When it last changed.
        ended: When it ended; null if it has not.
    """

    id: int
    external_id: str
    business_key: str
    workflow_type: str
    status: Status
    state: str
    reason: str | None
    created: Timestamp
    modified: Timestamp
    ended: Timestamp | None

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """Return an instance as it is told in short."""
        return cls(workflow_type=instance.type, **_read_fields(instance, cls.model_fields.keys() - {"workflow_type"}))


class WorkflowResponse(ApiModel):
    """An instance as a whole.

    Attributes:
        id: The instance's id.
        status: How it stands.
        execution_count: How many states it has entered, the start state included.
        retry_count: How many attempts of this visit of its state have failed.
        created: When it was created.
        modified: When it last changed.
        next_activation: When it runs next, or its deadline; null if it has ended or waits for somebody else.
        started: When its first activation began; null before.
        ended: When it ended; null if it has not.
        executor_id: Which executor runs it now; null for none.
        executor_group: Which executors may run it.
        workflow_type: The workflow's name.
        definition_version: The version of the definition under which it last ran.
        external_id: Unique over all instances.
        business_key: By which people find it.
        priority: 0 to 9, and 9 goes first.
        state: Where it stands.
        state_vars: Its variables.
        parent_id: Whose child it is; null for none.
        children: How many children it has.
        open_children: How many of them have not ended.
        waits_for_children: Whether it goes on when all of them have.
        pause_requested: Whether it is held as soon as the running activation has ended.
        held_status: How it stood before it was paused; null if it is not.
        reason: Why it stands so; null if there is nothing to say.
        fingerprint: Equal for failures of one kind; null unless it is FAILED or its last attempt failed.
        created_by: Who created it; null for code.
        version: Raised by every change: what an edit may expect.
        answer: The choice, the form's values and the name of who answered; None unless it stands in a manual state
            that has been answered.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_WORKFLOW]})

    id: int
    status: Status
    execution_count: int
    retry_count: int
    created: Timestamp
    modified: Timestamp
    next_activation: Timestamp | None
    started: Timestamp | None
    ended: Timestamp | None
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
    held_status: Status | None
    answer: dict[str, Any] | None
    reason: str | None
    fingerprint: str | None
    created_by: str | None
    version: int

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """Return an instance as it is told."""
        told: dict[str, Any] = {
            "workflow_type": instance.type,
            "state_vars": instance.vars,
            "execution_count": instance.visit + 1,
            "retry_count": instance.attempt,
            "answer": _parse_json(instance.answer_json),
        }
        same = _read_fields(instance, cls.model_fields.keys() - told.keys())
        return cls(**told, **same)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)


class OperationResponse(ApiModel):
    """What an operation gives.

    Attributes:
        ok: That it was done: always true.
        workflow: The instance as it was right after.
    """

    ok: Literal[True]
    workflow: WorkflowResponse

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """Return the answer of an operation that has left the instance so."""
        return cls(ok=True, workflow=WorkflowResponse.of(instance))


class SearchResponse(ApiModel):
    """A page of a search.

    Attributes:
        results: How many there are on this page.
        workflows: The instances, in the order asked for.
        offset: How many were left out first.
        total: How many fit on all pages together, counted up to 10,000.
        total_is_at_least: Whether there are more than that.
        next_cursor: What gives the next page; None on the last one.
    """

    results: int
    workflows: list[WorkflowResponse]
    offset: int
    total: int
    total_is_at_least: bool
    next_cursor: str | None

    @classmethod
    def of(cls, query: SearchQuery, found: SearchResult) -> Self:
        """Return what a search has found."""
        return cls(
            results=len(found.instances),
            workflows=[WorkflowResponse.of(instance) for instance in found.instances],
            offset=query.offset,
            total=found.total,
            total_is_at_least=found.total_is_at_least,
            next_cursor=found.next_cursor,
        )


class PermittedOperationsResponse(ApiModel):
    """What may be done with an instance now.

    Attributes:
        operations: In the order in which a person would look for them.
        states: Where it may be moved without force; the choices of a manual state.
    """

    operations: list[Operation]
    states: list[str]

    @classmethod
    def of(cls, found: PermittedOperations) -> Self:
        """Return what is permitted."""
        return cls(operations=list(found.operations), states=list(found.states))


class ActionResponse(ApiModel):
    """A line of an instance's history.

    Attributes:
        id: Its place among all lines of all histories.
        workflow_id: The instance.
        executor_id: Which executor wrote it; null for a person.
        type: What kind of line it is.
        text: What happened, in words; null where the kind says it all.
        date_time: When it happened.
        from_state: The state that it was in; null before the first.
        to_state: The state that was entered or chosen; null if none was.
        username: Who did it; null for code.
        duration_ms: How long the activation took, in milliseconds; null where none ran.
        definition_version: The version of the definition that it ran under; null where it does not matter.
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
    type: ActionKind
    name: str | None
    text: str | None
    date_time: Timestamp
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
            "type": action.kind,
            "name": action.to_state or action.from_state,
            "date_time": action.at_us,
            "changes": _parse_json(action.changes_json),
            "definition_version": action.version,
        }
        same = {name: getattr(action, name) for name in cls.model_fields if name not in told}
        return cls(**told, **same)


def build_history_response(actions: Sequence[Action]) -> list[ActionResponse]:
    """Return a whole history, given with the oldest line first, with the newest first."""
    visit, shapes = 0, []
    for action in actions:
        visit += action.kind in ENTRY_KINDS
        shapes.append(ActionResponse.of(action, visit=visit))
    return shapes[::-1]


def _read_fields(instance: Instance, names: Iterable[str]) -> dict[str, Any]:
    """Return an instance's stored values under the names that the API gives them."""
    return {name: getattr(instance, _STORED_NAMES.get(name, name)) for name in names}


def _parse_json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
