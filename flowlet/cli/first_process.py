"""SIGTERM for the first process of a container, for which the system has no default handler.

Without a handler the signal is lost. So the first lines of each command set one, and the entrypoint holds the signal
back while it becomes the command. ``serve`` installs its own handler later.
"""

import os
import signal
from typing import NoReturn

__all__ = ["handle_sigterm", "hold_sigterm"]


def handle_sigterm() -> None:
    """End the process at SIGTERM with the exit code of a shell, if it is the first one; also at one that was held."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _exit_on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def hold_sigterm() -> None:
    """Hold SIGTERM back until ``handle_sigterm``, if this is the first process.

    The program that replaces this one has no handler in its first moments.
    """
    if os.getpid() == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _exit_on_signal(signal_number: int, _: object) -> NoReturn:
    raise SystemExit(128 + signal_number)
