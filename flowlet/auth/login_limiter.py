"""Rate limits for logins, by username and by address, counted in this process."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from flowlet.accounts.models import make_username_key
from flowlet.clock import Clock

__all__ = ["LoginLimit", "LoginLimiter"]

_MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class LoginLimit:
    """A number of attempts at once, and one more every ``refill_seconds``."""

    attempts: int
    refill_seconds: float


class LoginLimiter:
    """Limits guessing: each attempt counts for its username and for its address, and both need an attempt left.

    A successful login clears the attempts of its username, but only itself for its address: otherwise an attacker
    with an account could continue forever. The counts are in memory: each process counts for itself, and a restart
    clears them. Many attackers can prevent a user from logging in, but not from working: sessions and API keys are
    not limited.

    Args:
        clock: The clock.
        username_limit: The limit for each username, whether it exists or not.
        address_limit: The limit for each address; for IPv6 for each /64 network, which is what one customer gets.
        max_entries: How many usernames, and how many addresses, are counted. The one whose last attempt was longest
            ago is dropped first.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        username_limit: LoginLimit = LoginLimit(attempts=10, refill_seconds=30),
        address_limit: LoginLimit = LoginLimit(attempts=30, refill_seconds=5),
        max_entries: int = _MAX_ENTRIES,
    ) -> None:
        self._clock = clock
        self._usernames = _AttemptCounter(username_limit, max_entries)
        self._addresses = _AttemptCounter(address_limit, max_entries)

    def record_attempt(self, username: str, address: str) -> float | None:
        """Count an attempt and return None; if the limit is reached, return how many seconds to wait, uncounted."""
        now = self._clock.monotonic()
        name, network = make_username_key(username), _normalize_address(address)
        wait = max(self._usernames.compute_wait(name, now), self._addresses.compute_wait(network, now))
        if wait > 0:
            return wait
        self._usernames.add_attempt(name, now)
        self._addresses.add_attempt(network, now)
        return None

    def record_success(self, username: str, address: str) -> None:
        """Clear the attempts of a username that has logged in, and take this attempt off for the address."""
        self._usernames.clear_attempts(make_username_key(username))
        self._addresses.remove_attempt(_normalize_address(address))

    def __len__(self) -> int:
        return len(self._usernames) + len(self._addresses)


class _AttemptCounter:
    """Attempts by key: for each, the time at which all of its attempts are available again.

    Source: the "generic cell rate algorithm", ITU-T I.371: a leaky bucket in one number.
    """

    def __init__(self, limit: LoginLimit, max_entries: int) -> None:
        self._limit = limit
        self._max_entries = max_entries
        self._exhausted_until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._exhausted_until)

    def compute_wait(self, key: str, now: float) -> float:
        """Return how many seconds remain until the next attempt; zero or less if it may be made now."""
        if key in self._exhausted_until:
            self._exhausted_until.move_to_end(key)  # a key that keeps trying is not dropped, refused or not
        return self._exhausted_until.get(key, now) - now - self._limit.refill_seconds * (self._limit.attempts - 1)

    def add_attempt(self, key: str, now: float) -> None:
        """Count an attempt."""
        self._exhausted_until[key] = max(self._exhausted_until.get(key, now), now) + self._limit.refill_seconds
        self._exhausted_until.move_to_end(key)
        if len(self._exhausted_until) > self._max_entries:
            self._exhausted_until.popitem(last=False)

    def remove_attempt(self, key: str) -> None:
        """Take one attempt off."""
        if key in self._exhausted_until:
            self._exhausted_until[key] -= self._limit.refill_seconds

    def clear_attempts(self, key: str) -> None:
        """Take all attempts off."""
        self._exhausted_until.pop(key, None)


def _normalize_address(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:100]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
