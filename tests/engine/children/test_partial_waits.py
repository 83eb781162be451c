"""A parent that waits for some of its children: a number of them, or a share."""

from __future__ import annotations

from types import ModuleType

import pytest

from flowlet.instance.instance import Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import Outcome, child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module

CHILDREN = 4


def build_module(**options: int | float | str) -> tuple[ModuleType, ModuleType]:
    """Return a parent that waits so for four children, which end after one hour, two, three and four."""

    @state(start=True, next=["count"])
    async def spawn() -> Next:
        children = [child("Slow", hours=number + 1) for number in range(CHILDREN)]
        return count.spawn(children).when_children_end(**options)  # type: ignore[arg-type]

    @state(next=["done"])
    async def count(ctx: Context) -> None:
        counts, slow = ctx.child_counts, ctx.children.of(slow_workflow)
        ctx.vars["counts"] = [counts.total, counts.ended, counts.open, counts.unmade]
        ctx.vars["hours"] = [one.vars["hours"] for one in slow if one.instance.status is Status.FINISHED]

    @state(start=True, next=["arrive"])
    async def leave(ctx: Context) -> Outcome:
        return arrive.after(f"{ctx.vars['hours']} hours")

    @state(next=["done"])
    async def arrive() -> None: ...

    slow_workflow = Workflow("Slow")
    return (
        build_workflow_module(workflow=Workflow("Parent"), spawn=spawn, count=count, done=end()),
        build_workflow_module(workflow=slow_workflow, leave=leave, arrive=arrive, done=end()),
    )


@pytest.mark.parametrize(
    ("options", "ended"),
    [
        ({"at_least": 1}, 1),
        ({"at_least": 3}, 3),
        ({"at_least": 9}, 4),
        ({"share": 0.5}, 2),
        ({"share": 0.6}, 3),
        ({"share": 1.0}, 4),
        ({"share": 0.75, "within": "90 minutes"}, 1),
    ],
)
async def test_the_parent_runs_when_enough_children_have_ended(
    database_url: str, options: dict[str, int | float | str], ended: int
) -> None:
    async with Harness(build_module(**options), database_url=database_url) as flow:
        id = await flow.start("Parent")
        await flow.advance("59 minutes")
        assert (await flow.get(id)).status is Status.IN_PROGRESS

        await flow.run_to_end(id)

        assert await flow.vars(id) == {
            "counts": [CHILDREN, ended, CHILDREN - ended, 0],
            "hours": list(range(1, ended + 1)),
        }
