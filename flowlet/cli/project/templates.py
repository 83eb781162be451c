"""The files that ``flowlet new`` writes."""

from __future__ import annotations

from string import Template

__all__ = ["render_test", "render_workflow"]

_WORKFLOW = Template('''\
"""Greet somebody, after a person has approved it if the name is long."""

from pydantic import BaseModel

from flowlet import Context, Next, Workflow, end, manual, state


class Greeting(BaseModel):
    name: str = "world"
    text: str | None = None


workflow = Workflow("$workflow", vars=Greeting)


@state(start=True, next=["approve", "greet"])
async def receive(greeting: Greeting) -> Next:
    return approve if len(greeting.name) > 20 else greet


@manual(next={"greet": "Approve", "rejected": "Reject"}, deadline="3 days", on_deadline="rejected")
async def approve(ctx: Context) -> None:
    ctx.log(f"{ctx.username} chose {ctx.choice}")


@state(next=["greeted"])
async def greet(greeting: Greeting, ctx: Context) -> None:
    greeting.text = f"Hello, {greeting.name}!"
    ctx.log(greeting.text)


greeted = end("The greeting is in the variables.")
rejected = end("Rejected, or not answered in time.")
''')

_TEST = Template('''\
"""Tests of $workflow: the real engine, on a database and a clock of their own."""

import asyncio

from flowlet import Instance
from flowlet.testing import Harness


async def run_to_end(name: str, choice: str | None = None) -> Instance:
    async with Harness("$module") as flow:
        id = await flow.start("$workflow", {"name": name})
        if choice is not None:
            await flow.answer(id, choice)
        return await flow.run_to_end(id)


def test_a_short_name_is_greeted_at_once() -> None:
    ended = asyncio.run(run_to_end("world"))

    assert (ended.state, ended.vars["text"]) == ("greeted", "Hello, world!")


def test_a_long_name_is_greeted_after_an_approval() -> None:
    ended = asyncio.run(run_to_end("a name that is rather long", "greet"))

    assert ended.state == "greeted"


def test_nobody_is_greeted_after_a_rejection() -> None:
    ended = asyncio.run(run_to_end("a name that is rather long", "rejected"))

    assert (ended.state, ended.vars["text"]) == ("rejected", None)
''')


def render_workflow(workflow: str) -> str:
    """Return the source of a first workflow's module.

    Args:
        workflow: The workflow's name.
    """
    return _WORKFLOW.substitute(workflow=workflow)


def render_test(workflow: str, module: str) -> str:
    """Return the source of its test.

    Args:
        workflow: The workflow's name.
        module: The import name of its module.
    """
    return _TEST.substitute(workflow=workflow, module=module)
