"""What an executor reports: every claim, batch and durable transition to its observer, and failures to the log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog

from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.engine.waiters import Waiters
from flowlet.errors import Fail
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.log_setup import configure_logging
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import open_store
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import NEVER, TIMEOUT_SECONDS, run_executor, wait_for

INSTANCE_COUNT = 20


class RecordingObserver:
    """An observer that keeps every event."""

    def __init__(self) -> None:
        self.claim_sizes: list[int] = []
        self.batch_sizes: list[int] = []
        self.transitions: list[Transition] = []
        self.durations_seconds: list[float] = []
        self.has_all_transitions = asyncio.Event()

    def on_claim(self, instance_count: int, seconds: float) -> None:
        self.claim_sizes.append(instance_count)
        self.durations_seconds.append(seconds)

    def on_fire(self, type: str, seconds: float) -> None:
        """Nothing is done at a schedule's time."""

    def on_batch(self, size: int, seconds: float) -> None:
        self.batch_sizes.append(size)
        self.durations_seconds.append(seconds)

    def on_transition(self, transition: Transition) -> None:
        self.transitions.append(transition)
        if len(self.transitions) == INSTANCE_COUNT:
            self.has_all_transitions.set()


async def run_observed(url: str, handler: Any) -> RecordingObserver:
    """Run instances to their ends, and return the observer of the executor."""
    observer, registry = RecordingObserver(), Registry()
    registry.add(build_workflow_module(**build_single_state(handler)))
    async with open_store(url) as store:
        executor = Executor(store, registry, ExecutorSettings(poll_interval=NEVER), observer=observer)
        now = store.clock.now()
        definition = registry.get_definition("Orders")
        await store.instances.create([definition.build_instance(None, now=now) for _ in range(INSTANCE_COUNT)], now=now)
        task = asyncio.create_task(executor.run())
        await wait_for(observer.has_all_transitions.wait())
        executor.stop()
        await wait_for(task)
    return observer


async def test_an_observer_is_notified_of_every_claim_batch_and_transition(database_url: str) -> None:
    async def check() -> str:
        return "done"

    observer = await run_observed(database_url, check)

    assert sum(observer.claim_sizes) == INSTANCE_COUNT
    assert sum(observer.batch_sizes) == INSTANCE_COUNT
    assert [move.status for move in observer.transitions] == [Status.FINISHED] * INSTANCE_COUNT
    assert all(seconds > 0 for seconds in observer.durations_seconds)


async def test_an_observer_is_notified_of_a_transition_in_a_handlers_own_transaction(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        async with ctx.transaction():
            return "done"

    observer = await run_observed(database_url, check)

    assert {move.instance.id for move in observer.transitions} == set(range(1, INSTANCE_COUNT + 1))
    assert not observer.batch_sizes


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """The log of the test, as one JSON object per line."""
    root, stream = logging.getLogger(), StringIO()
    handlers, level = list(root.handlers), root.level
    structlog.reset_defaults()
    configure_logging(level="DEBUG", log_format="json", output=stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def find_lines(log: StringIO, name: str) -> list[dict[str, Any]]:
    """Return the lines of a logger."""
    return [line for line in map(json.loads, log.getvalue().splitlines()) if line["logger"] == name]


async def run_to_the_end(url: str, handler: Any, **options: Any) -> int:
    """Run one instance until it has ended, and return its id."""
    async with run_executor(url, build_workflow_module(**build_single_state(handler, **options))) as run:
        id = await run.create_and_wake(external_id="order-7")
        await Waiters(run.store, run.store.clock).wait(id, timeout=TIMEOUT_SECONDS)
        await run.stop_executor()
    return id


@pytest.mark.parametrize("is_async", [True, False])
async def test_every_line_of_a_handler_says_whose_it_is(log: StringIO, sqlite_url: str, is_async: bool) -> None:
    def write_lines() -> str:
        logging.getLogger("shop").info("charging %s", "A-1")
        structlog.get_logger("shop").warning("charged", amount=3)
        return "done"

    async def write_lines_on_the_loop() -> str:
        return write_lines()

    id = await run_to_the_end(sqlite_url, write_lines_on_the_loop if is_async else write_lines)

    charging, charged = find_lines(log, "shop")
    names = ("workflow_id", "external_id", "type", "state", "attempt")
    for line in (charging, charged):
        assert [line[name] for name in names] == [id, "order-7", "Orders", "check", 1]
    assert (charging["event"], charging["level"]) == ("charging A-1", "info")
    assert (charged["event"], charged["level"], charged["amount"]) == ("charged", "warning", 3)


async def test_a_failed_attempt_is_a_warning_with_its_traceback_and_failed_an_error(
    log: StringIO, sqlite_url: str
) -> None:
    async def check(ctx: Context) -> str:
        if ctx.attempt == 1:
            raise LookupError("no such order")
        raise Fail("nothing was ordered")

    id = await run_to_the_end(sqlite_url, check, retry=Retry(limit=3, min="1ms", max="1ms"))

    lines = find_lines(log, "flowlet.engine.observer")
    first, second, end = (line for line in lines if line["level"] != "debug")
    assert (first["level"], first["attempt"], first["state"], first["external_id"]) == (
        "warning",
        1,
        "check",
        "order-7",
    )
    assert f"attempt 1 of state 'check' of workflow {id} (Orders) failed: LookupError: no such order" in first["event"]
    assert 'raise LookupError("no such order")' in first["exception"]
    assert (second["level"], second["attempt"]) == ("warning", 2)
    assert (end["level"], "is FAILED in state 'check': Fail: nothing was ordered" in end["event"]) == ("error", True)


async def test_a_transition_is_a_debug_line(log: StringIO, sqlite_url: str) -> None:
    async def check() -> str:
        return "done"

    id = await run_to_the_end(sqlite_url, check)

    (line,) = find_lines(log, "flowlet.engine.observer")
    expected = f"workflow {id} (Orders): EXECUTING in 'check' -> FINISHED in 'done'"
    assert (line["level"], line["event"]) == ("debug", expected)
