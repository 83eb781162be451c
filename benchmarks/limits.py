"""Admissions through a limit by a variable, with few and with many values of it.

    python benchmarks/limits.py sqlite:////tmp/limits_bench.db
    python benchmarks/limits.py postgresql://postgres@127.0.0.1/limits_bench
    python benchmarks/limits.py mysql://root@127.0.0.1/limits_bench

A database for each number of values is created with the given name and a suffix, and dropped at the end. In each as
many instances wait behind the limit, and as many behind another one of which every slot is taken. Admissions alternate
over the databases. Figures are comparable only within one run.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from claims import COLUMNS, Scenario, add_suffix, create_database
from fill import CHUNK_SIZE, open_writer

from flowlet.database_url import normalize_database_url
from flowlet.definition.limits.limit_policy import LimitPolicy, build_limit_policy
from flowlet.runtime import run_loop
from flowlet.store.limits.survey import AdmissionRequest
from flowlet.store.opening import Store, open_store
from flowlet.workflow.limits import Limit

KEY_COUNTS = (100, 1_000, 10_000)
SIZES = (1, 10, 100)
TYPE = "Charges"


def build_policy(state: str, count: int) -> LimitPolicy:
    """Return the limit of a state for each customer."""
    policy = build_limit_policy(TYPE, state, 1, limit=Limit(count, by="customer"))
    assert policy is not None
    return policy


OPEN, FULL = build_policy("open", 100_000), build_policy("full", 1)


@dataclass
class KeyedScenario(Scenario):
    """A database, and where the last admission has ended."""

    after: dict[str, str] = field(default_factory=dict)

    async def admit(self, action: str, policy: LimitPolicy, limit: int) -> Sequence[Any]:
        """Admit so many at most, behind the key at which the last admission has ended."""
        store = self.store
        request = AdmissionRequest(
            "bench",
            policy.scope,
            TYPE,
            1,
            policy,
            ("default",),
            limit,
            store.clock.now(),
            after=self.after.get(policy.scope, ""),
        )
        admitted = await self.measure(action, lambda: store.admission.admit(request))
        self.after[policy.scope] = admitted.last_gate
        return list(admitted.instances)


def generate_rows(key_count: int, row_count: int, now: int) -> Iterator[tuple[Any, ...]]:
    """Yield instances that are due behind both limits, the keys in turn; one of each key runs through the second."""
    for policy in (OPEN, FULL):
        for i in range(row_count):
            is_running = policy is FULL and i < key_count
            gate = policy.build_gate(f'{{"customer": "customer-{i % key_count}"}}')
            status, due = ("EXECUTING", None) if is_running else ("IN_PROGRESS", now - row_count + i)
            name = f"{policy.state}-{i}"
            yield (name, TYPE, 1, "", "default", 0, status, policy.state, "{}", due, now, now, gate)


async def fill_scenario(key_count: int, store: Store, url: str, row_count: int) -> KeyedScenario:
    """Fill a database."""
    await store.limits.save_policies([OPEN, FULL])
    rows = list(generate_rows(key_count, row_count, store.clock.now()))
    writer = await open_writer(url)
    for first in range(0, len(rows), CHUNK_SIZE):
        await writer.write("flowlet_workflow", COLUMNS, rows[first : first + CHUNK_SIZE])
    await writer.finish()
    return KeyedScenario(f"{key_count:,} keys", store, [TYPE])


async def measure_round(scenario: KeyedScenario) -> None:
    """Admit once of each size, and look once where every slot is taken."""
    for size in SIZES:
        admitted = await scenario.admit(f"admission of {size}", OPEN, size)
        if len(admitted) != size:
            raise SystemExit(f"{scenario.name}: an admission of {size} returned {len(admitted)}")
    if await scenario.admit("no free slot", FULL, 10):
        raise SystemExit(f"{scenario.name}: more than one was admitted for a customer")


def print_result(scenarios: Sequence[KeyedScenario]) -> None:
    """Print minima and medians, and ratios to the smallest number of keys."""
    for action in scenarios[0].milliseconds:
        for name, choose in (("minimum", min), ("median", median)):
            base = choose(scenarios[0].milliseconds[action])
            found = [(one.name, choose(one.milliseconds[action])) for one in scenarios]
            shown = " | ".join(f"{each} {value:7.2f} ms ({value / base:4.2f} times)" for each, value in found)
            print(f"{action:16} {name:7} {shown}")


async def main(arguments: argparse.Namespace) -> None:
    """Fill, admit in alternation, and print."""
    async with contextlib.AsyncExitStack() as stack:
        scenarios = []
        for key_count in KEY_COUNTS:
            url = add_suffix(normalize_database_url(arguments.url), str(key_count))
            await stack.enter_async_context(create_database(url))
            store = await stack.enter_async_context(open_store(url))
            scenarios.append(await fill_scenario(key_count, store, url, arguments.rows))
        for number in range(arguments.rounds + 1):
            if number == 1:  # the first round warms caches and plans
                for scenario in scenarios:
                    scenario.milliseconds.clear()
            for scenario in scenarios:
                await measure_round(scenario)
        print_result(scenarios)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, default=40_000, help="instances behind each of the two limits")
    parser.add_argument("--rounds", type=int, default=60)
    run_loop(main(parser.parse_args()))
