"""How many rows are written at once, by what was claimed within the last second."""

from __future__ import annotations

import pytest

from flowlet.clock import MICROSECONDS_PER_SECOND, VirtualClock
from flowlet.definition.registry import Registry
from flowlet.engine.batches.traffic import ROWS_BELOW, ROWS_BESIDE_FEW, Traffic
from flowlet.instance.instance import Instance
from flowlet.store.dialects.batch import ClaimRequest
from tests.engine.activation.activation_harness import (
    build_leased_instance,
    build_single_state,
    build_workflow_module,
)

REQUEST = ClaimRequest("executor-1", ["default"], ["Orders"], 160, now=0)


async def check() -> str:
    return "done"


def build_instances(count: int, **columns: object) -> list[Instance]:
    """Return claimed instances of one source."""
    definition = Registry().add(build_workflow_module(**build_single_state(check)))
    return [build_leased_instance(definition, **columns)] * count


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def test_a_crowd_alone_has_full_batches_whatever_its_priority(clock: VirtualClock) -> None:
    traffic = Traffic(clock)

    traffic.note(build_instances(100, priority=5))

    assert traffic.limit_batch(5, 160) == traffic.limit_rows(160) == 160
    assert traffic.limit_claim(REQUEST).get_limit(5) == 160


def test_a_source_of_few_instances_shortens_the_batches_of_its_priority(clock: VirtualClock) -> None:
    traffic = Traffic(clock)

    traffic.note([*build_instances(100, parent_id=7), *build_instances(1)])

    assert traffic.limit_batch(0, 160) == traffic.limit_rows(160) == ROWS_BESIDE_FEW


def test_sources_of_equal_weight_do_not_shorten_each_others_batches(clock: VirtualClock) -> None:
    traffic = Traffic(clock)

    for parent_id in range(100):
        traffic.note(build_instances(10, parent_id=parent_id))

    assert traffic.limit_rows(160) == 160


def test_a_higher_priority_shortens_the_batches_and_claims_below_it(clock: VirtualClock) -> None:
    traffic = Traffic(clock)

    traffic.note([*build_instances(10, priority=5), *build_instances(10)])

    assert traffic.limit_batch(5, 160) == 160
    assert traffic.limit_batch(0, 160) == ROWS_BELOW
    assert [traffic.limit_claim(REQUEST).get_limit(priority) for priority in (9, 5, 4, 0)] == [160, 160, 12, 12]


def test_what_was_claimed_more_than_a_second_ago_counts_no_more(clock: VirtualClock) -> None:
    traffic = Traffic(clock)
    traffic.note(build_instances(1, priority=5))

    clock.advance(MICROSECONDS_PER_SECOND // 2)
    assert traffic.limit_batch(0, 160) == ROWS_BELOW
    clock.advance(MICROSECONDS_PER_SECOND // 2)

    assert traffic.limit_batch(0, 160) == 160
    assert traffic.limit_claim(REQUEST) is REQUEST
