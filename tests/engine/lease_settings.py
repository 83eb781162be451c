"""Settings under which leases run out in the tests, and a workflow that ends at once."""

from __future__ import annotations

from flowlet.clock import to_microseconds
from flowlet.settings import ExecutorSettings
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import LEASE

__all__ = ["CRASH_LIMIT", "EXECUTOR_SETTINGS", "ORDERS_MODULE", "PAST_LEASE_MICROSECONDS"]


CRASH_LIMIT = 5
PAST_LEASE_MICROSECONDS = to_microseconds(LEASE) + 1
EXECUTOR_SETTINGS = ExecutorSettings(slots=8, lease=LEASE, crash_limit=CRASH_LIMIT)


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))
