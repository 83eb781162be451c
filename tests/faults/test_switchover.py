"""A planned switchover: the old primary stays, and takes no writes any more; everything goes on with the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import pytest

from tests.databases import migrate_database
from tests.faults.fault_harness import REAL_CLOCK, FaultHarness, open_fault_harness
from tests.faults.mariadb_pair import open_mariadb_pair
from tests.faults.processes import ManagedProcess, StartProcess
from tests.faults.standby import ServerPair, open_server_pair
from tests.store.servers.silent_proxy import open_proxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

ERRAND_COUNT = 100
MAX_SECONDS = 10
"""How long after a switchover work may rest."""
MAX_WARNINGS = 10


@pytest.mark.parametrize("open_pair", [open_server_pair, open_mariadb_pair], ids=["postgresql", "mariadb"])
async def test_a_switchover_is_over_within_ten_seconds_behind_one_address_and_with_two_hosts(
    open_pair: Callable[[str], AbstractAsyncContextManager[ServerPair]], start_process: StartProcess
) -> None:
    async with open_pair("shop") as pair, open_proxy(pair.primary_url) as (proxy, address):
        migrate_database(pair.primary_url)
        primary, standby = urlsplit(pair.primary_url), urlsplit(pair.standby_url)
        both = primary._replace(netloc=f"{primary.netloc},{standby.netloc.rpartition('@')[2]}").geturl()
        executors = {
            group: await start_executor(start_process, url, group)
            for group, url in {"address": address, "hosts": both}.items()
        }
        async with open_fault_harness(pair.primary_url, "errand") as seen:
            await create_errands(seen, executors)
            await seen.wait_until_all_end(timeout_seconds=20)

        await pair.switch_over()
        proxy.switch_server(pair.standby_url)
        switched = REAL_CLOCK.monotonic()

        async with open_fault_harness(pair.standby_url, "errand") as seen:
            await create_errands(seen, executors)
            await seen.wait_until_all_end(timeout_seconds=MAX_SECONDS)
            assert REAL_CLOCK.monotonic() - switched < MAX_SECONDS
            assert await seen.count_instances("status = 'FINISHED'") == 2 * 2 * ERRAND_COUNT
            await seen.check_consistency()
        for executor in executors.values():
            assert len(executor.find_lines("[warning")) <= MAX_WARNINGS


async def start_executor(start_process: StartProcess, url: str, group: str) -> ManagedProcess:
    executor = await start_process("run_executor.py", "errand", database_url=url, groups=group)
    await executor.wait_for_lines(" runs Errand")
    return executor


async def create_errands(harness: FaultHarness, groups: Iterable[str]) -> None:
    for group in groups:
        await harness.create_instances("Errand", [{}] * ERRAND_COUNT, group=group)
