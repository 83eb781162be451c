"""Rate limits for logins, by username, by network and by device, counted in this process."""

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
    """Limits guessing: each attempt counts for its username from its network, for its username, and for its address.

    Each of the three needs an attempt left. The limit of a username from one network is tight, and that from all
    networks together is loose, so that a single client keeps no user from logging in elsewhere. A device with which the
    user has logged in before has a tight limit of its own instead of the three: not even many attackers exhaust it.

    A successful login clears the attempts of its username from its network, but only itself elsewhere: otherwise an
    attacker with an account could continue forever. The counts are in memory: each process counts for itself, and a
    restart clears them. Sessions and API keys are not limited.

    Args:
        clock: The clock.
        username_limit: The limit for each username from one network, and from one known device, whether the username
            exists or not.
        total_limit: The limit for each username from all networks and unknown devices together.
        address_limit: The limit for each address; for IPv6 for each /64 network, which is what one customer gets.
        max_entries: How many entries of each kind are counted. The one whose last attempt was longest
            ago is dropped first.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        username_limit: LoginLimit = LoginLimit(attempts=10, refill_seconds=30),
        total_limit: LoginLimit = LoginLimit(attempts=100, refill_seconds=5),
        address_limit: LoginLimit = LoginLimit(attempts=30, refill_seconds=5),
        max_entries: int = _MAX_ENTRIES,
    ) -> None:
        self._clock = clock
        self._usernames = _AttemptCounter(username_limit, max_entries)
        self._totals = _AttemptCounter(total_limit, max_entries)
        self._addresses = _AttemptCounter(address_limit, max_entries)

    def record_attempt(self, username: str, address: str, *, device: str | None = None) -> float | None:
        """Count an attempt and return None; if a limit is reached, return how many seconds to wait, uncounted.

        Args:
            username: The username.
            address: The client's address.
            device: The id of a known device of this user; None for any other.
        """
        now = self._clock.monotonic()
        counters = self._list_counters(username, address, device)
        wait = max(counter.compute_wait(key, now) for counter, key in counters)
        if wait > 0:
            return wait
        for counter, key in counters:
            counter.add_attempt(key, now)
        return None

    def record_success(self, username: str, address: str, *, device: str | None = None) -> None:
        """Clear the attempts of a username from its network or device, and take this attempt off elsewhere."""
        (own, key), *others = self._list_counters(username, address, device)
        own.clear_attempts(key)
        for counter, other_key in others:
            counter.remove_attempt(other_key)

    def __len__(self) -> int:
        return len(self._usernames) + len(self._totals) + len(self._addresses)

    def _list_counters(self, username: str, address: str, device: str | None) -> list[tuple[_AttemptCounter, str]]:
        """Return the counters of an attempt, each with its key; the first one is the user's own."""
        name, network = make_username_key(username), _normalize_address(address)
        if device is not None:
            return [(self._usernames, f"{name}\n{device}")]
        return [(self._usernames, f"{name}\n{network}"), (self._totals, name), (self._addresses, network)]


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
