"""Flowlet: durable workflows from decorated functions."""

from flowlet.context import Context
from flowlet.errors import Fail, FlowletError
from flowlet.instances import Instance, Status
from flowlet.retry import Retry
from flowlet.states import State, Workflow, end, error, manual, state
from flowlet.transitions import ChildRequest, Next, child

__all__ = [
    "ChildRequest",
    "Context",
    "Fail",
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
