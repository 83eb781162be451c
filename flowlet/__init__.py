"""Flowlet: durable workflows from decorated functions."""

from typing import TYPE_CHECKING, Any

from flowlet.errors import Fail, FlowletError
from flowlet.instance.instance import Instance, Status
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import ChildRequest, Next, child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import State, Workflow, end, error, manual, state

if TYPE_CHECKING:
    from flowlet.app import Flowlet

__all__ = [
    "ChildRequest",
    "Context",
    "Fail",
    "Flowlet",
    "FlowletError",
    "Instance",
    "Next",
    "Retry",
    "State",
    "Status",
    "Workflow",
    "child",
    "end",
    "error",
    "manual",
    "state",
]


def __getattr__(name: str) -> Any:
    """Load the application class, and with it a database layer, only where it is asked for."""
    if name == "Flowlet":
        from flowlet.app import Flowlet

        return Flowlet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
