"""Flowlet: durable workflows from decorated functions."""

from typing import TYPE_CHECKING, Any

from flowlet.context import Context
from flowlet.errors import Fail, FlowletError
from flowlet.instances import Instance, Status
from flowlet.retry import Retry
from flowlet.states import State, Workflow, end, error, manual, state
from flowlet.transitions import ChildRequest, Next, child

if TYPE_CHECKING:
    from flowlet.server import Flowlet

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
        from flowlet.server import Flowlet

        return Flowlet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
