"""Workflows of families: a parent that waits for its children, and children that end, fail, or take an hour."""

from __future__ import annotations

from types import ModuleType

from flowlet.errors import Fail
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import ChildRequest, child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module

__all__ = [
    "CHILD_MODULE",
    "FAILING_CHILD_MODULE",
    "build_parent_module",
    "build_slow_module",
    "build_waiting_parent_module",
]


async def finish() -> str:
    return "done"


async def fail() -> str:
    raise Fail("no such box")


CHILD_MODULE = build_workflow_module(workflow=Workflow("Child"), **build_single_state(finish))
FAILING_CHILD_MODULE = build_workflow_module(workflow=Workflow("Failing"), **build_single_state(fail))


def build_slow_module(name: str = "Slow", *, wakes: bool = False) -> ModuleType:
    """Return a workflow that takes an hour."""

    @state(start=True, next=["arrive"])
    async def leave() -> Next:
        return arrive.after("1 hour").wake_parent() if wakes else arrive.after("1 hour")

    @state(next=["done"])
    async def arrive() -> None: ...

    return build_workflow_module(workflow=Workflow(name), leave=leave, arrive=arrive, done=end())


def build_parent_module(*children: ChildRequest, timeout: str | None = None) -> ModuleType:
    """Return a workflow that spawns children, does something else, waits for them, and looks how they ended."""

    @state(start=True, next=["work"])
    async def spawn() -> Next:
        return work.spawn(children)

    @state(next=["check"])
    async def work() -> Next:
        return check.when_children_end(within=timeout)

    @state(next=["done"])
    async def check(ctx: Context) -> None:
        ctx.vars["children"] = [one.status for one in ctx.children]

    return build_workflow_module(workflow=Workflow("Parent"), spawn=spawn, work=work, check=check, done=end())


def build_waiting_parent_module(name: str) -> ModuleType:
    """Return a workflow that creates a child of a workflow, and waits for it."""

    @state(start=True, next=["wait"])
    async def spawn() -> Next:
        return wait.spawn(child(name)).when_children_end()

    @state(next=["done"])
    async def wait() -> None: ...

    return build_workflow_module(workflow=Workflow("Parent"), spawn=spawn, wait=wait, done=end())
