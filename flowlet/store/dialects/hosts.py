"""The hosts of a server's URL: which one a new connection is made to, and the files that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

__all__ = ["CONNECT_TIMEOUT_SECONDS", "HostList", "check_option_files", "describe_error"]

T = TypeVar("T")
CONNECT_TIMEOUT_SECONDS = 10
"""How long a connection to the only host may take, TLS, login and the session's settings included."""
HOST_TIMEOUT_SECONDS = 3.0
"""How long it may take to one host of several: another one may answer."""
_NO_USERNAME = ("uid not found", "No username set in the environment")
"""What ``getpass.getuser`` says before and from Python 3.13 on; drivers call it where the URL names no user."""


class HostList:
    """The hosts that may have the database, of which one at a time takes writes.

    Args:
        hosts: Each host with its port.
    """

    def __init__(self, hosts: Iterable[tuple[str, int | None]]) -> None:
        self._hosts = list(hosts)

    @property
    def has_several(self) -> bool:
        """Whether there is a choice, so that a host has to prove that it takes writes."""
        return len(self._hosts) > 1

    async def connect(self, attempt: Callable[[str, int | None], Awaitable[T]]) -> T:
        """Return the connection to the first host that accepts one, beginning with the host that did so last.

        Args:
            attempt: Connects to one host, and raises where that cannot be used.

        Raises:
            ConnectionError: If none of several hosts can be used; the message has each one's error.
            TimeoutError: If the only host does not answer.
        """
        if not self.has_several:
            return await _limit_attempt(attempt(*self._hosts[0]), CONNECT_TIMEOUT_SECONDS)
        faults = []
        for host, port in list(self._hosts):
            try:
                connection = await _limit_attempt(attempt(host, port), HOST_TIMEOUT_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, another host may be the right one
                faults.append(f"{host}{f':{port}' if port else ''}: {describe_error(error)}")
            else:
                self._prefer(host, port)
                return connection
        raise ConnectionError(f"none of the hosts can be used: {'; '.join(faults)}")

    def _prefer(self, host: str, port: int | None) -> None:
        """Try a host first from now on."""
        self._hosts.sort(key=lambda each: each != (host, port))


async def _limit_attempt(attempt: Awaitable[T], seconds: float) -> T:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await attempt
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"no answer within {seconds:g} seconds") from error


def check_option_files(options: Mapping[str, str], names: Iterable[str]) -> None:
    """Check that the files exist which these options name: the drivers' errors do not say which one is missing.

    Raises:
        FileNotFoundError: If one does not; the message names the option and the file.
    """
    for name in names:
        path = options.get(name)
        if path and not Path(path).is_file():
            raise FileNotFoundError(f"the option {name!r} names {path!r}, but there is no such file")


def describe_error(error: BaseException) -> str:
    """Return an error's text in one line, or the name of its type where it has none."""
    text = " ".join(str(error).split()) or type(error).__name__  # asyncpg puts a hint on a line of its own
    if any(part in text for part in _NO_USERNAME):
        return "the URL names no user, and the system has no name for this process's. Write user@ before the host"
    return text
