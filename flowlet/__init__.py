"""Flowlet: durable workflows from decorated functions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowlet.clock import Duration
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
    UnknownMessageError,
    UnknownScheduleError,
    UnknownStateError,
    UnknownWorkflowError,
    VariablesError,
    WaitStoppedError,
    WaitTimeoutError,
)
from flowlet.instance.instance import Action, ActionKind, Instance, Status
from flowlet.instance.message import Message, Sent
from flowlet.instance.new_instance import Created
from flowlet.instance.path_changes import PathChange
from flowlet.workflow.context import Context, Failure, Transaction
from flowlet.workflow.keep import Keep
from flowlet.workflow.migration import migrate
from flowlet.workflow.outcome import ChildRequest, Outcome, child
from flowlet.workflow.receive import receive
from flowlet.workflow.retry import Retry
from flowlet.workflow.schedule import Schedule
from flowlet.workflow.states import Next, State, StateKind, Workflow, end, error, manual, state

if TYPE_CHECKING:
    from flowlet.app import Flowlet
    from flowlet.definition.definition import Definition
    from flowlet.definition.registry import Registry
    from flowlet.operations.permitted import Operation, PermittedOperations
    from flowlet.operations.service import Operations
    from flowlet.settings import Settings
    from flowlet.store.opening import Store, open_store

__all__ = [
    "Action",
    "ActionKind",
    "ChildRequest",
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
    "TimetableError",
    "TooLargeError",
    "Transaction",
    "UnknownInstanceError",
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
]

_MODULES = {
    "Definition": "flowlet.definition.definition",
    "Flowlet": "flowlet.app",
    "Operation": "flowlet.operations.permitted",
    "Operations": "flowlet.operations.service",
    "PermittedOperations": "flowlet.operations.permitted",
    "Registry": "flowlet.definition.registry",
    "Settings": "flowlet.settings",
    "Store": "flowlet.store.opening",
    "open_store": "flowlet.store.opening",
}
"""The modules of the names that are imported on first use, because most of them import the database libraries."""


def __getattr__(name: str) -> Any:
    """Import a name of the application on first use, so that ``import flowlet`` loads no database library."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
