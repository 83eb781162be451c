"""How often somebody may try to log in: limits by username and by address, counted in this process."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from flowlet.accounts import username_key
from flowlet.clock import Clock

__all__ = ["LoginLimit", "LoginLimiter"]

_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class LoginLimit:
    """So many attempts at once, and one more each so many seconds."""

    attempts: int
    seconds: float


class LoginLimiter:
    """Slows guessing down: each attempt counts for its username and for its address.

    Both have to have one left. A login that succeeds is taken off again, for the address only itself: else an
    attacker with an account of his own could go on for ever. In memory, so each process counts for itself, and a
    restart forgets. A thousand attackers can keep a user from logging in, but not from working: sessions and API keys
    are not asked.

    Args:
        clock: Says what time it is.
        by_username: The limit for each name, known or not.
        by_address: The limit for each address; of IPv6 for each network of 64 bits, which is what one customer gets.
        kept: How many usernames, and how many addresses, are counted at most. Beyond, those are forgotten that
            tried longest ago.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        by_username: LoginLimit = LoginLimit(attempts=10, seconds=30),
        by_address: LoginLimit = LoginLimit(attempts=30, seconds=5),
        kept: int = _KEPT,
    ) -> None:
        self._clock = clock
        self._usernames = _Counts(by_username, kept)
        self._addresses = _Counts(by_address, kept)

    def check(self, username: str, address: str) -> float | None:
        """Count an attempt and return None; or count nothing, and return how many seconds to wait before the next."""
        now = self._clock.elapsed()
        name, network = username_key(username), _network(address)
        wait = max(self._usernames.wait(name, now), self._addresses.wait(network, now))
        if wait > 0:
            return wait
        self._usernames.take(name, now)
        self._addresses.take(network, now)
        return None

    def succeeded(self, username: str, address: str) -> None:
        """Forget the attempts for a username that has logged in, and take this one off for the address."""
        self._usernames.forget(username_key(username))
        self._addresses.give_back(_network(address))

    def __len__(self) -> int:
        return len(self._usernames) + len(self._addresses)


class _Counts:
    """Attempts, as for each key the moment at which all of them are used up again.

    Source: the "generic cell rate algorithm", ITU-T I.371: a leaky bucket in one number.
    """

    def __init__(self, limit: LoginLimit, kept: int) -> None:
        self._limit = limit
        self._kept = kept
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def wait(self, key: str, now: float) -> float:
        """Return how many seconds are missing until an attempt; zero or less for none."""
        if key in self._until:
            self._until.move_to_end(key)  # who goes on trying is not forgotten, refused or not
        return self._until.get(key, now) - now - self._limit.seconds * (self._limit.attempts - 1)

    def take(self, key: str, now: float) -> None:
        """Count an attempt."""
        self._until[key] = max(self._until.get(key, now), now) + self._limit.seconds
        self._until.move_to_end(key)
        if len(self._until) > self._kept:
            self._until.popitem(last=False)

    def give_back(self, key: str) -> None:
        """Take one attempt off."""
        if key in self._until:
            self._until[key] -= self._limit.seconds

    def forget(self, key: str) -> None:
        """Take all attempts off."""
        self._until.pop(key, None)


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:100]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))
