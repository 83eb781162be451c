"""Flowlet: durable workflows from decorated functions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowlet.text import describe_missing_extra

if TYPE_CHECKING:
    from flowlet.app import Flowlet
    from flowlet.clock import Duration
    from flowlet.definition.definition import Definition
    from flowlet.definition.registry import Registry
    from flowlet.errors import (
        DefinitionError,
        DurationError,
        Fail,
        Fault,
        FlowletError,
        MissingRightsError,
        NotEndedError,
        NotFoundError,
        OutcomeError,
        PrunedInstanceError,
        RefusedError,
        RowsLockedError,
        SchemaError,
        SettingsError,
        StoreError,
        StoreUnavailableError,
        TimetableError,
        TooLargeError,
        UnknownInstanceError,
        UnknownLimitError,
        UnknownMessageError,
        UnknownScheduleError,
        UnknownStateError,
        UnknownWorkflowError,
        VariablesError,
        WaitStoppedError,
        WaitTimeoutError,
    )
    from flowlet.instance.action import Action, ActionKind
    from flowlet.instance.instance import Instance, Status
    from flowlet.instance.message import Message, Sent
    from flowlet.instance.new_instance import Created
    from flowlet.instance.path_changes import PathChange
    from flowlet.operations.permitted import Operation, PermittedOperations
    from flowlet.operations.service import Operations
    from flowlet.settings import Settings
    from flowlet.store.opening import Store, open_store
    from flowlet.workflow.children import ChildCounts, Children, TypedChild
    from flowlet.workflow.context import Context, Failure, Transaction
    from flowlet.workflow.keep import Keep
    from flowlet.workflow.limits import Breaker, Limit, Rate
    from flowlet.workflow.migration import migrate
    from flowlet.workflow.outcome import ChildRequest, Outcome, child
    from flowlet.workflow.question import Team, team
    from flowlet.workflow.receive import receive
    from flowlet.workflow.retry import Retry
    from flowlet.workflow.schedule import Schedule
    from flowlet.workflow.states import Next, State, StateKind, end, error, manual, state
    from flowlet.workflow.workflow import Workflow

__all__ = [
    "Action",
    "ActionKind",
    "Breaker",
    "ChildCounts",
    "ChildRequest",
    "Children",
    "Context",
    "Created",
    "Definition",
    "DefinitionError",
    "Duration",
    "DurationError",
    "Fail",
    "Failure",
    "Fault",
    "Flowlet",
    "FlowletError",
    "Instance",
    "Keep",
    "Limit",
    "Message",
    "MissingRightsError",
    "Next",
    "NotEndedError",
    "NotFoundError",
    "Operation",
    "Operations",
    "Outcome",
    "OutcomeError",
    "PathChange",
    "PermittedOperations",
    "PrunedInstanceError",
    "Rate",
    "RefusedError",
    "Registry",
    "Retry",
    "RowsLockedError",
    "Schedule",
    "SchemaError",
    "Sent",
    "Settings",
    "SettingsError",
    "State",
    "StateKind",
    "Status",
    "Store",
    "StoreError",
    "StoreUnavailableError",
    "Team",
    "TimetableError",
    "TooLargeError",
    "Transaction",
    "TypedChild",
    "UnknownInstanceError",
    "UnknownLimitError",
    "UnknownMessageError",
    "UnknownScheduleError",
    "UnknownStateError",
    "UnknownWorkflowError",
    "VariablesError",
    "WaitStoppedError",
    "WaitTimeoutError",
    "Workflow",
    "child",
    "end",
    "error",
    "manual",
    "migrate",
    "open_store",
    "receive",
    "state",
    "team",
]

_MODULES = {
    "Action": "flowlet.instance.action",
    "ActionKind": "flowlet.instance.action",
    "Breaker": "flowlet.workflow.limits",
    "ChildRequest": "flowlet.workflow.outcome",
    "Context": "flowlet.workflow.context",
    "Created": "flowlet.instance.new_instance",
    "Definition": "flowlet.definition.definition",
    "DefinitionError": "flowlet.errors",
    "Duration": "flowlet.clock",
    "DurationError": "flowlet.errors",
    "Fail": "flowlet.errors",
    "ChildCounts": "flowlet.workflow.children",
    "Children": "flowlet.workflow.children",
    "TypedChild": "flowlet.workflow.children",
    "Failure": "flowlet.workflow.context",
    "Fault": "flowlet.errors",
    "Flowlet": "flowlet.app",
    "FlowletError": "flowlet.errors",
    "Instance": "flowlet.instance.instance",
    "Keep": "flowlet.workflow.keep",
    "Limit": "flowlet.workflow.limits",
    "Message": "flowlet.instance.message",
    "MissingRightsError": "flowlet.errors",
    "Next": "flowlet.workflow.states",
    "NotEndedError": "flowlet.errors",
    "NotFoundError": "flowlet.errors",
    "Operation": "flowlet.operations.permitted",
    "Operations": "flowlet.operations.service",
    "Outcome": "flowlet.workflow.outcome",
    "OutcomeError": "flowlet.errors",
    "PathChange": "flowlet.instance.path_changes",
    "PermittedOperations": "flowlet.operations.permitted",
    "PrunedInstanceError": "flowlet.errors",
    "Rate": "flowlet.workflow.limits",
    "RefusedError": "flowlet.errors",
    "Registry": "flowlet.definition.registry",
    "Retry": "flowlet.workflow.retry",
    "RowsLockedError": "flowlet.errors",
    "Schedule": "flowlet.workflow.schedule",
    "SchemaError": "flowlet.errors",
    "Sent": "flowlet.instance.message",
    "Settings": "flowlet.settings",
    "SettingsError": "flowlet.errors",
    "State": "flowlet.workflow.states",
    "StateKind": "flowlet.workflow.states",
    "Status": "flowlet.instance.instance",
    "Store": "flowlet.store.opening",
    "StoreError": "flowlet.errors",
    "StoreUnavailableError": "flowlet.errors",
    "Team": "flowlet.workflow.question",
    "TimetableError": "flowlet.errors",
    "TooLargeError": "flowlet.errors",
    "Transaction": "flowlet.workflow.context",
    "UnknownInstanceError": "flowlet.errors",
    "UnknownLimitError": "flowlet.errors",
    "UnknownMessageError": "flowlet.errors",
    "UnknownScheduleError": "flowlet.errors",
    "UnknownStateError": "flowlet.errors",
    "UnknownWorkflowError": "flowlet.errors",
    "VariablesError": "flowlet.errors",
    "WaitStoppedError": "flowlet.errors",
    "WaitTimeoutError": "flowlet.errors",
    "Workflow": "flowlet.workflow.workflow",
    "child": "flowlet.workflow.outcome",
    "end": "flowlet.workflow.states",
    "error": "flowlet.workflow.states",
    "manual": "flowlet.workflow.states",
    "migrate": "flowlet.workflow.migration",
    "open_store": "flowlet.store.opening",
    "receive": "flowlet.workflow.receive",
    "state": "flowlet.workflow.states",
    "team": "flowlet.workflow.question",
}
"""The module of each name. It is imported on first use: the command's help needs none of them, and an application does
not need those that import the database libraries."""


def __getattr__(name: str) -> Any:
    """Import a name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    except ModuleNotFoundError as error:
        if text := describe_missing_extra(error, f"flowlet.{name}"):
            raise ImportError(text, name=error.name) from error
        raise
    return value
