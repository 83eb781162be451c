"""The responses of the workflow endpoints: GopherFlow's fields in camelCase, and Flowlet's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self

from pydantic import ConfigDict

from flowlet.definition.people.summary import render_summary
from flowlet.definition.registry import Registry
from flowlet.instance.action import ENTRY_KINDS, Action, ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.instance.path_changes import PathChange
from flowlet.operations.permitted import Operation, PermittedOperations
from flowlet.store.reports.children import CountedChildren
from flowlet.store.search.query import SearchQuery, SearchResult
from flowlet.web.api.examples import EXAMPLE_WORKFLOW
from flowlet.web.schemas import ApiModel, Timestamp
from flowlet.web.services import get_services

__all__ = [
    "ActionResponse",
    "ChildCountsResponse",
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
"""The fields of ``Instance`` that have another name in the API."""


class CreateResponse(ApiModel):
    """The result of a create.

    Attributes:
        id: The workflow's id.
        external_id: Its external id; generated if the request had none.
        pruned: Whether the external id is that of a workflow that has ended and was deleted: nothing was created.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": 4711, "externalId": "order-2026-1001", "pruned": False}]}
    )

    id: int
    external_id: str
    pruned: bool = False


class ChildResponse(ApiModel):
    """The summary of a workflow, as in the list of a parent's children.

    Attributes:
        id: The workflow's id.
        external_id: Unique over all workflows.
        business_key: A key to find it by.
        workflow_type: The name of its definition.
        status: Its status.
        state: The name of its current state.
        reason: The latest error, or what it waits for; null for none.
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
        """Return the summary of an instance."""
        return cls(workflow_type=instance.type, **_read_fields(instance, cls.model_fields.keys() - {"workflow_type"}))


class ChildCountsResponse(ApiModel):
    """How many children a workflow has.

    Attributes:
        total: How many it has spawned, with those that are still to be made.
        unmade: How many children of a large spawn are still to be made; they have no status yet.
        by_status: How many of the others have each status; null if there are more than 5,000.
    """

    total: int
    unmade: int
    by_status: dict[Status, int] | None

    @classmethod
    def of(cls, counted: CountedChildren) -> Self:
        """Return the response for counted children."""
        by_status = None if counted.by_status is None else dict(counted.by_status)
        return cls(total=counted.total, unmade=counted.unmade, by_status=by_status)


class WorkflowResponse(ApiModel):
    """A workflow.

    Attributes:
        id: The workflow's id.
        status: Its status.
        execution_count: How many states it has entered, including the start state.
        retry_count: How many attempts of the current visit of its state have failed.
        created: When it was created.
        modified: When it last changed.
        next_activation: When it runs next, or the deadline of its answer or its message; null for never.
        started: When its first activation began; null before.
        ended: When it ended; null if it has not.
        executor_id: The executor that runs it now; null for none.
        executor_group: The group of the executors that may run it.
        workflow_type: The name of its definition.
        definition_version: The version of the definition under which it last ran.
        external_id: Unique over all workflows.
        business_key: A key to find it by.
        priority: 0 to 9, and 9 runs first.
        state: The name of its current state.
        state_vars: Its variables.
        parent_id: The id of its parent; null for none.
        children: How many children it has.
        open_children: How many of its children have not ended.
        waits_for_children: Whether it runs again when all its children have ended.
        pause_requested: Whether it becomes PAUSED when the running activation ends.
        held_status: For PAUSED, the status that resuming restores; else null.
        reason: The latest error, or what it waits for; null for none.
        fingerprint: Equal for failures of one kind; null unless it is FAILED or its last attempt failed.
        created_by: The user who created it; null for code.
        version: Raised by every change; ``expectedVersion`` is compared with it.
        awaits: The names of the messages that it waits for in a receive state; else empty.
        unread: How many messages that were sent to it have not been consumed.
        summary: The workflow in one line, by its definition's ``summary``; null if it has none or is not loaded.
        answer: The choice, the form's values and the user of the answer, while the workflow is in a manual state that
            has been answered; else null.
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
    awaits: list[str]
    unread: int
    summary: str | None

    @classmethod
    def of(cls, instance: Instance, registry: Registry | None = None) -> Self:
        """Return the response for an instance.

        Args:
            instance: The instance.
            registry: The loaded workflows; None for those of the current application.
        """
        loaded = get_services().registry if registry is None else registry
        renamed: dict[str, Any] = {
            "workflow_type": instance.type,
            "state_vars": instance.vars,
            "execution_count": instance.visit + 1,
            "retry_count": instance.attempt,
            "answer": instance.answer,
            "summary": render_summary(instance, loaded.find_definition(instance.type)) or None,
        }
        same = _read_fields(instance, cls.model_fields.keys() - renamed.keys())
        return cls(**renamed, **same)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)


class OperationResponse(ApiModel):
    """The result of an operation.

    Attributes:
        ok: Always true.
        workflow: The workflow right after the operation.
    """

    ok: Literal[True]
    workflow: WorkflowResponse

    @classmethod
    def of(cls, instance: Instance) -> Self:
        """Return the response of an operation that produced this instance."""
        return cls(ok=True, workflow=WorkflowResponse.of(instance))


class SearchResponse(ApiModel):
    """A page of a search.

    Attributes:
        results: How many workflows are on this page.
        workflows: The workflows, in the requested order.
        offset: How many workflows were skipped.
        total: How many workflows match in all, counted up to 10,000.
        total_is_at_least: Whether more workflows match than ``total``.
        next_cursor: The ``cursor`` of the next page; null on the last page.
    """

    results: int
    workflows: list[WorkflowResponse]
    offset: int
    total: int
    total_is_at_least: bool
    next_cursor: str | None

    @classmethod
    def of(cls, query: SearchQuery, found: SearchResult) -> Self:
        """Return the response for the result of a search."""
        return cls(
            results=len(found.instances),
            workflows=[WorkflowResponse.of(instance) for instance in found.instances],
            offset=query.offset,
            total=found.total,
            total_is_at_least=found.total_is_at_least,
            next_cursor=found.next_cursor,
        )


class PermittedOperationsResponse(ApiModel):
    """The operations that a workflow permits now.

    Attributes:
        operations: The permitted operations, the most useful first.
        states: The states to which it may be moved without force; in a manual state, the choices.
    """

    operations: list[Operation]
    states: list[str]

    @classmethod
    def of(cls, found: PermittedOperations) -> Self:
        """Return the response for the permitted operations."""
        return cls(operations=list(found.operations), states=list(found.states))


class ActionResponse(ApiModel):
    """An action: a line of a workflow's history.

    Attributes:
        id: Its position among all actions of all workflows.
        workflow_id: The workflow's id.
        executor_id: The executor that wrote it; null for a user.
        type: The kind of action.
        text: What happened, in words; null if the kind says it all.
        date_time: When it happened.
        from_state: The state that the workflow was in; null before the first.
        to_state: The state that was entered or chosen; null for none.
        username: The user who caused it; null for code.
        on_behalf_of: The person for whom the user's API key acted; null for the user.
        duration_ms: How long the activation took, in milliseconds; null if none ran.
        definition_version: The version of the definition; null where that does not matter.
        name: The state that the action is about: the one that was entered, else the one that the workflow was in.
        execution_count: The number of the visit that the action belongs to, counted from 1.
        retry_count: How many attempts of that visit had failed before.
        detail: A traceback; null for none.
        changes: The changes of variables by path, in order; of the first action, each variable that was given. Null if
            none changed.
        answer: The choice and the form's values of an answer; null for every other action.
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
    on_behalf_of: str | None
    duration_ms: int | None
    detail: str | None
    changes: list[PathChange] | None
    answer: dict[str, Any] | None
    definition_version: int | None

    @classmethod
    def of(cls, action: Action, *, visit: int) -> Self:
        """Return the response for an action; ``visit`` is how many states had been entered by then."""
        renamed: dict[str, Any] = {
            "execution_count": visit,
            "retry_count": max(0, (action.attempt or 1) - 1),
            "type": action.kind,
            "name": action.to_state or action.from_state,
            "date_time": action.at_us,
            "changes": action.changes,
            "definition_version": action.version,
        }
        same = {name: getattr(action, name) for name in cls.model_fields if name not in renamed}
        return cls(**renamed, **same)


def build_history_response(actions: Sequence[Action]) -> list[ActionResponse]:
    """Return the response for a history, whose oldest action is first, with the newest first as in GopherFlow."""
    visit, responses = 0, []
    for action in actions:
        visit += action.kind in ENTRY_KINDS
        responses.append(ActionResponse.of(action, visit=visit))
    return responses[::-1]


def _read_fields(instance: Instance, names: Iterable[str]) -> dict[str, Any]:
    """Return fields of an instance under their names in the API."""
    return {name: getattr(instance, _STORED_NAMES.get(name, name)) for name in names}
