"""Password hashing in threads of its own, so that a flood of logins does not stop the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from flowlet.accounts.passwords import PasswordHashing
from flowlet.errors import OverloadedError

__all__ = ["PasswordWorker"]

MAX_CONCURRENT_HASHES = 2
"""Passwords hashed at once: each takes 19 MiB and a core, and a flood of logins must not stop the engine."""

MAX_PENDING_HASHES = 40
"""How many are under way or wait at once, about two seconds of work: a login waits behind all that came before it."""

T = TypeVar("T")


class PasswordWorker:
    """Hashes and verifies passwords in threads.

    Every method that hashes raises ``OverloadedError`` if 40 others are under way or wait.

    Args:
        hashing: Hashes the passwords.
    """

    def __init__(self, hashing: PasswordHashing) -> None:
        self._hashing = hashing
        # A thread pool of its own, rather than a semaphore: a thread keeps running when its caller is cancelled, so a
        # client that logs in and disconnects repeatedly would occupy any number of shared threads.
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_HASHES, thread_name_prefix="flowlet-passwords")
        self._pending_count = 0

    def close(self) -> None:
        """Let the threads end, without waiting for a hash that is being computed."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash_password(self, password: str) -> str:
        """Return the hash of a normalized password."""
        return await self._run(lambda: self._hashing.hash_password(password))

    async def verify_password(self, stored_hash: str | None, password: str) -> bool:
        """Return whether a password has a hash; None is a hash that no password has, and takes as long to verify."""
        stored = self._hashing.dummy_hash if stored_hash is None else stored_hash
        return await self._run(lambda: self._hashing.verify_password(stored, password))

    def needs_rehash(self, stored_hash: str) -> bool:
        """Return whether a hash was made with other parameters than the current ones."""
        return self._hashing.needs_rehash(stored_hash)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending_count >= MAX_PENDING_HASHES:
            raise OverloadedError(f"{MAX_PENDING_HASHES} passwords are being checked already")
        loop = asyncio.get_running_loop()
        hashing = self._threads.submit(work)
        self._pending_count += 1
        # Also where the caller is cancelled: until its thread has ended, or has skipped it.
        hashing.add_done_callback(lambda _: self._end_pending(loop))
        return await asyncio.wrap_future(hashing)

    def _end_pending(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self._count_down)

    def _count_down(self) -> None:
        self._pending_count -= 1
