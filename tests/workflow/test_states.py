"""States are objects: callable as the plain function, and returned with more said."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from flowlet.clock import to_microseconds
from flowlet.errors import DurationError
from flowlet.workflow.outcome import ChildRequest, Outcome, child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import StateKind, end, error, manual, state
from flowlet.workflow.workflow import Workflow

done = end("It is done.")


@state(start=True, next=[done], timeout="2 minutes")
async def double(number: int, *, times: int = 1) -> int:
    """Double a number, so many times."""
    return number << times


def test_a_decorated_handler_is_called_as_the_plain_function() -> None:
    @state(next=["done"])
    def add(one: int, other: int) -> int:
        return one + other

    assert add(1, other=2) == 3


async def test_a_decorated_coroutine_function_is_awaited_as_before() -> None:
    assert await double(3, times=2) == 12


def test_a_state_looks_like_its_function() -> None:
    assert double.__name__ == "double"
    assert double.__doc__ == "Double a number, so many times."
    assert list(inspect.signature(double).parameters) == ["number", "times"]


def test_a_state_knows_its_place_and_its_kind() -> None:
    assert (double.file, done.file) == (__file__, __file__)
    assert (double.kind, double.is_start, double.timeout) == (StateKind.START, True, timedelta(minutes=2))
    assert [each.kind for each in (done, error(), manual(next=[done])(plain))] == [
        StateKind.END,
        StateKind.ERROR,
        StateKind.MANUAL,
    ]


def test_an_end_state_cannot_be_called() -> None:
    with pytest.raises(TypeError, match=rf"the end state at {__file__}:{done.line} has no function to call"):
        done()


def test_a_length_of_time_that_is_none_is_refused_where_it_is_written() -> None:
    decorate = state(next=[done], timeout="2 moons")

    with pytest.raises(DurationError, match="'2 moons' is not a duration"):
        decorate(lambda: None)


def test_what_is_said_of_a_state_leaves_the_state_unchanged() -> None:
    later = done.after("10 minutes")

    assert later == Outcome(done, enter_after=timedelta(minutes=10))
    assert done.log("x") == Outcome(done, text="x")


def test_sayings_may_be_chained() -> None:
    box = child("Box", size=1)

    outcome = done.after("1h").log("one").log("two").spawn(box).spawn([box, box]).wake_parent()

    assert (outcome.enter_after, outcome.text, outcome.wakes_parent) == (timedelta(hours=1), "one\ntwo", True)
    assert outcome.children == (box, box, box)


def test_the_last_said_time_counts() -> None:
    moment = datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    at, after = done.after("1h").at(moment), done.at(moment).after("1h")

    assert (at.enter_at_us, at.enter_after) == (to_microseconds(datetime(2029, 12, 31, 22, tzinfo=UTC)), None)
    assert (after.enter_at_us, after.enter_after) == (None, timedelta(hours=1))


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        done.at(datetime(2030, 1, 1))


def test_waiting_for_children_may_have_an_end() -> None:
    bounded, unbounded = done.when_children_end(within="14 days"), done.when_children_end()

    assert (bounded.wait is not None, bounded.enter_after) == (True, timedelta(days=14))
    assert (unbounded.wait is not None, unbounded.enter_after) == (True, None)


def test_a_child_is_asked_for_by_its_workflow_or_by_name() -> None:
    shipment = Workflow("Shipment")

    assert shipment.child(box=1) == child("Shipment", box=1) == ChildRequest("Shipment", {"box": 1})
    assert shipment.child({"box": 1}) == shipment.child(box=1)
    assert shipment.child().with_ids(key="K").with_routing(group="far", priority=0) == ChildRequest(
        "Shipment", {}, key="K", group="far", priority=0
    )


@pytest.mark.parametrize("name", ["", " Orders", "x" * 121])
def test_a_workflows_name_has_1_to_120_characters_and_no_space_around(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 120 characters"):
        Workflow(name)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_workflows_name_is_not_what_browsers_take_out_of_an_address(name: str) -> None:
    with pytest.raises(ValueError, match=r"^a workflow cannot be called '\.+': browsers remove it from every URL"):
        Workflow(name)

    assert Workflow("...").name == "..."


@pytest.mark.parametrize("option", [{"version": 0}, {"loop_limit": 0}, {"priority": 10}, {"priority": -1}])
def test_a_number_out_of_range_is_refused(option: dict[str, int]) -> None:
    options: dict[str, Any] = {**option}

    with pytest.raises(ValueError, match=r"version and loop_limit must be at least 1, and priority 0 to 9"):
        Workflow("Orders", **options)


def test_a_workflow_has_a_retry_policy_if_none_is_given() -> None:
    assert Workflow("Orders").retry == Retry()


def plain() -> None:
    return None
