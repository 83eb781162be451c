"""``flowlet limit``: listed, held and released from the command line."""

from __future__ import annotations

import asyncio
import json

from flowlet.definition.limits.limit_policy import build_limit_policy
from flowlet.settings import Settings
from flowlet.store.opening import open_store
from flowlet.workflow.limits import Breaker, Limit, Rate
from tests.cli.conftest import RunCommand


async def save_limits() -> None:
    """Store the limits of a state, as an executor does at its start."""
    policy = build_limit_policy(
        "Orders", "charge", 1, limit=Limit(10, by="customer"), rate=Rate(100, "1 minute"), breaker=Breaker(5, "1 hour")
    )
    assert policy is not None
    async with open_store(Settings().database_url) as store:
        await store.limits.save_policies([policy])


def test_a_limit_is_held_and_released_from_the_command_line(run_flowlet: RunCommand) -> None:
    run_flowlet("db", "upgrade")
    asyncio.run(save_limits())

    held = run_flowlet("limit", "hold", "Orders", "charge", "--reason", "the bank moves")
    (listed,) = json.loads(run_flowlet("limit", "list", "--json").stdout)
    table = run_flowlet("limit", "list")
    unknown = run_flowlet("limit", "hold", "Orders", "--reason", "why")
    wrong = run_flowlet("limit", "release", "Orders", "charge", "--interval", "soon")
    released = run_flowlet("limit", "release", "Orders", "charge")
    again = run_flowlet("limit", "release", "Orders", "charge")

    assert held.stdout.startswith("Orders, charge: held by ")
    assert held.stdout.endswith(": the bank moves. Running: 0, waiting: 0.\n")
    assert (listed["state"], listed["capacity"], listed["heldReason"]) == ("charge", 10, "the bank moves")
    assert "10 at once by customer, 100 per 1 minute, a pause of 1 hour after 5 failures in a row" in table.stdout
    assert (unknown.exit_code, unknown.stderr) == (1, "Error: the workflow 'Orders' as a whole has no limits\n")
    assert released.stdout == "Orders, charge: released. Waiting: 0.\n"
    assert again.exit_code == 1
    assert (wrong.exit_code, "'soon' is not a duration" in wrong.stderr) == (2, True)


def test_a_limit_is_released_at_an_interval_from_the_command_line(run_flowlet: RunCommand) -> None:
    run_flowlet("db", "upgrade")
    asyncio.run(save_limits())
    run_flowlet("limit", "hold", "Orders", "charge", "--reason", "the bank moves")

    released = run_flowlet("limit", "release", "Orders", "charge", "--interval", "100ms")
    (listed,) = json.loads(run_flowlet("limit", "list", "--json").stdout)

    assert released.stdout == (
        "Orders, charge: released, letting one attempt begin each 100 milliseconds. Waiting: 0.\n"
    )
    assert (listed["openedIntervalSeconds"], listed["openedUntil"]) == (0.1, None)
