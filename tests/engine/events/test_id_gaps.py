"""Gaps in the ids of events: they bound the position until they are filled or given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowlet.engine import id_gaps
from flowlet.engine.id_gaps import Gaps


def test_a_gap_bounds_the_position_until_it_is_filled_or_given_up() -> None:
    gaps = Gaps()
    gaps.add_missing([2, 5], after=0, expires=10.0)

    assert gaps.ids == [1, 3, 4]
    assert gaps.compute_horizon(5) == 0
    gaps.remove_ids([1])
    assert gaps.compute_horizon(5) == 2
    gaps.remove_expired(now=10.0)
    assert gaps.compute_horizon(5) == 5


def test_of_a_leap_in_the_ids_only_the_last_ones_are_looked_for() -> None:
    gaps = Gaps()

    gaps.add_missing([10**15], after=0, expires=10.0)

    assert len(gaps) == id_gaps.MAX_GAPS
    assert gaps.compute_horizon(10**15) == 10**15 - id_gaps.MAX_GAPS - 1


@given(st.permutations(range(1, 13)), st.lists(st.integers(0, 12), min_size=1))
def test_in_whatever_order_ids_appear_nothing_up_to_the_position_is_missing(order: list[int], looks: list[int]) -> None:
    gaps, visible, last = Gaps(), set[int](), 0

    for count in [*sorted(looks), 12]:
        visible |= set(order[:count])
        gaps.remove_ids(visible)
        new = sorted(id for id in visible if id > last)
        gaps.add_missing(new, after=last, expires=10.0)
        last = new[-1] if new else last
        assert set(range(1, gaps.compute_horizon(last) + 1)) <= visible

    assert gaps.compute_horizon(last) == 12
