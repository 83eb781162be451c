"""How late a process is on a machine that it shares: the part of a measured time that says nothing about Flowlet."""

from __future__ import annotations

import os
import tempfile
import threading

from flowlet.clock import StoreClock

__all__ = ["LatenessMeter"]

INTERVAL_SECONDS = 0.02
TICKS_PER_WRITE = 25


class LatenessMeter:
    """A thread that waits for 20 ms again and again, and adds up by how much longer each wait lasts.

    Twice a second it also writes to the disk and waits until that is durable, as a commit does. Whatever keeps this
    process from the processor or the disk keeps executors and servers from them: a recovery takes a dozen such waits,
    and the meter makes fifty in a second.
    """

    def __init__(self) -> None:
        self._clock = StoreClock()
        self._is_closing = threading.Event()
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> LatenessMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing.set()
        self._thread.join()

    def read_seconds(self) -> float:
        """Return by how many seconds its waits have been late so far, in all."""
        return self._seconds

    def _measure(self) -> None:
        tick, before = 0, self._clock.monotonic()
        with tempfile.TemporaryFile() as file:
            while not self._is_closing.wait(INTERVAL_SECONDS):
                tick += 1
                if tick % TICKS_PER_WRITE == 0:
                    file.seek(0)
                    file.write(tick.to_bytes(8, "big"))
                    file.flush()
                    os.fsync(file.fileno())
                now = self._clock.monotonic()
                self._seconds += max(0.0, now - before - INTERVAL_SECONDS)
                before = now
