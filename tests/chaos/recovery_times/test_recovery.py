"""Recoveries that take too long are found, and what a busy machine adds is not counted."""

from __future__ import annotations

import pytest

from tests.chaos.recovery_times.recovery import Recovery, RecoveryLog

LEASE_SECONDS = 3.0


def find_slow(fault: str, *seconds: float, lateness: float = 0.0) -> list[str]:
    """Return what is too slow of recoveries from one kind of fault."""
    log = RecoveryLog()
    for each in seconds:
        log.add(fault, Recovery(each, lateness))
    return log.find_slow(lease_seconds=LEASE_SECONDS)


@pytest.mark.parametrize(
    ("fault", "limit"),
    [("executor killed", 4.0), ("executor stopped", 1.0), ("server restarted", 2.0)],
)
def test_the_median_and_the_longest_recovery_have_limits(fault: str, limit: float) -> None:
    longest = limit + LEASE_SECONDS + 1

    assert not find_slow(fault, limit, 0.1, longest)
    assert find_slow(fault, limit + 0.1, 0.1, limit + 0.2) == [
        f"{fault}: the median recovery took {limit + 0.1:.2f} s, more than {limit:g} s"
    ]
    assert find_slow(fault, 0.1, 0.1, longest + 0.1) == [
        f"{fault}: the longest recovery took {longest + 0.1:.2f} s, more than {longest:g} s"
    ]


def test_the_lateness_of_the_machine_is_no_part_of_a_recovery() -> None:
    assert not find_slow("executor killed", *[5.0] * 3, lateness=1.0)
    assert find_slow("executor killed", *[5.0] * 3, lateness=0.9)
