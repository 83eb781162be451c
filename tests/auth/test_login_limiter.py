"""The limits of logging in, by username and by address."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowlet.auth.login_limiter import LoginLimit, LoginLimiter
from flowlet.clock import VirtualClock, to_microseconds

FIRST_ADDRESS, SECOND_ADDRESS = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def limiter(clock: VirtualClock) -> LoginLimiter:
    """Three attempts for a name from a network, twenty from all, five for an address."""
    return LoginLimiter(
        clock,
        username_limit=LoginLimit(3, 30),
        total_limit=LoginLimit(20, 5),
        address_limit=LoginLimit(5, 10),
        max_entries=100,
    )


def advance_clock(clock: VirtualClock, seconds: float) -> None:
    clock.advance(to_microseconds(timedelta(seconds=seconds)))


def test_a_name_has_so_many_attempts_from_a_network_and_then_has_to_wait(limiter: LoginLimiter) -> None:
    attempts = [limiter.record_attempt("ada", FIRST_ADDRESS) for _ in range(4)]

    assert attempts == [None, None, None, 30.0]


def test_one_client_keeps_no_user_from_logging_in_elsewhere(limiter: LoginLimiter) -> None:
    for _ in range(1_000):
        limiter.record_attempt("ada", FIRST_ADDRESS)

    assert limiter.record_attempt("ada", SECOND_ADDRESS) is None


def test_many_clients_exhaust_a_name_but_not_its_known_devices(limiter: LoginLimiter) -> None:
    for place in range(250):
        limiter.record_attempt("ada", f"192.0.2.{place}")

    assert limiter.record_attempt("ada", SECOND_ADDRESS) == 5.0
    assert [limiter.record_attempt("ada", SECOND_ADDRESS, device="laptop") for _ in range(4)] == [None, None, None, 30]
    assert limiter.record_attempt("ada", SECOND_ADDRESS, device="phone") is None


def test_the_wait_passes(limiter: LoginLimiter, clock: VirtualClock) -> None:
    for _ in range(3):
        limiter.record_attempt("ada", FIRST_ADDRESS)

    advance_clock(clock, 29)
    early = limiter.record_attempt("ada", FIRST_ADDRESS)
    advance_clock(clock, 1)

    assert (early, limiter.record_attempt("ada", FIRST_ADDRESS), limiter.record_attempt("ada", FIRST_ADDRESS)) == (
        1.0,
        None,
        30.0,
    )


def test_asking_again_makes_the_wait_no_longer(limiter: LoginLimiter) -> None:
    for _ in range(3):
        limiter.record_attempt("ada", FIRST_ADDRESS)

    assert {limiter.record_attempt("ada", FIRST_ADDRESS) for _ in range(50)} == {30.0}


def test_after_a_long_rest_all_attempts_are_there_again_and_no_more(limiter: LoginLimiter, clock: VirtualClock) -> None:
    for _ in range(3):
        limiter.record_attempt("ada", FIRST_ADDRESS)
    advance_clock(clock, 86_400)

    assert [limiter.record_attempt("ada", FIRST_ADDRESS) is None for _ in range(4)] == [True, True, True, False]


def test_an_address_has_so_many_attempts_whatever_the_names(limiter: LoginLimiter) -> None:
    attempts = [limiter.record_attempt(f"user {place}", FIRST_ADDRESS) for place in range(6)]

    assert attempts == [None] * 5 + [10.0]
    assert limiter.record_attempt("user 9", SECOND_ADDRESS) is None


@pytest.mark.parametrize("name", ["ADA", "aDa"])
def test_the_case_of_a_name_gives_no_more_attempts(limiter: LoginLimiter, name: str) -> None:
    for _ in range(3):
        limiter.record_attempt("ada", FIRST_ADDRESS)

    assert limiter.record_attempt(name, FIRST_ADDRESS) == 30.0


def test_names_that_cannot_be_are_limited_together(limiter: LoginLimiter) -> None:
    attempts = [limiter.record_attempt("\x00" * length, FIRST_ADDRESS) for length in range(1, 5)]

    assert attempts == [None, None, None, 30.0]


def test_a_success_gives_the_name_its_attempts_back(limiter: LoginLimiter) -> None:
    for _ in range(3):
        limiter.record_attempt("ada", FIRST_ADDRESS)

    limiter.record_success("Ada", FIRST_ADDRESS)

    assert limiter.record_attempt("ada", FIRST_ADDRESS) is None


def test_a_success_gives_the_address_only_its_own_attempt_back(limiter: LoginLimiter) -> None:
    for place in range(4):
        limiter.record_attempt(f"victim {place}", FIRST_ADDRESS)
    limiter.record_attempt("mallory", FIRST_ADDRESS)

    limiter.record_success("mallory", FIRST_ADDRESS)

    assert [limiter.record_attempt("victim 7", FIRST_ADDRESS), limiter.record_attempt("victim 8", FIRST_ADDRESS)] == [
        None,
        10.0,
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff::2"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_addresses_of_one_customer_are_limited_together(limiter: LoginLimiter, one: str, other: str) -> None:
    for place in range(5):
        limiter.record_attempt(f"user {place}", one)

    assert limiter.record_attempt("user 9", other) == 10.0


def test_other_networks_are_not(limiter: LoginLimiter) -> None:
    for place in range(5):
        limiter.record_attempt(f"user {place}", "2001:db8::1")

    assert limiter.record_attempt("user 9", "2001:db8:0:1::1") is None


@pytest.mark.parametrize("address", ["", "unix socket", "a" * 100_000])
def test_what_is_no_address_is_limited_too(limiter: LoginLimiter, address: str) -> None:
    for place in range(5):
        limiter.record_attempt(f"user {place}", address)

    assert limiter.record_attempt("user 9", address) == 10.0


def test_the_memory_is_bounded(limiter: LoginLimiter) -> None:
    for place in range(1000):
        limiter.record_attempt(f"user {place}", f"198.51.{place // 256}.{place % 256}")

    assert len(limiter) == 300


def test_those_who_try_on_are_not_forgotten_for_those_who_tried_long_ago(limiter: LoginLimiter) -> None:
    for place in range(200):
        limiter.record_attempt("ada", FIRST_ADDRESS)  # refused from the fourth on
        limiter.record_attempt(f"user {place}", f"198.51.100.{place}")

    assert limiter.record_attempt("ada", FIRST_ADDRESS) is not None
