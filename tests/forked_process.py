"""Python processes that are forked from one which has imported Flowlet already.

``flowlet serve`` imports for more than a second before its first line, which is longer than most tests take, and the
tests start hundreds of processes. A fork saves those imports; what the program does after them is the same.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

__all__ = ["ForkedProcess"]

KILL_WITH_PARENT = 1
"""The number of PR_SET_PDEATHSIG in Linux."""

_exit_lock = threading.Lock()
"""An exit code can be read from its pipe once: of two threads, the second would find its end, which counts as 255."""
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__, "tests.forked_imports"])
# In the server, whose module this is after a fork: what a new interpreter finds behind its first entry.
_base_path = tuple(sys.path[1:])


class ForkedProcess:
    """A process that runs as ``python`` with these arguments would. It is killed when the one that started it ends.

    Args:
        arguments: ``-m`` and a module, or the path of a script; then the program's own arguments.
        env: Its environment.
        cwd: Its working directory.
        output: The descriptor that becomes its stdout; the caller closes its own.
        errors: The one that becomes its stderr; None for the same.
    """

    def __init__(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: int, errors: int | None = None
    ) -> None:
        with Connection(os.dup(output)) as out, Connection(os.dup(output if errors is None else errors)) as err:
            given = (tuple(arguments), dict(env), str(cwd), out, err)
            self._process = _context.Process(target=_run_program, args=given)
            with _exit_lock:  # it asks for the exit codes of all
                self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, which is minus the signal that killed it; None while it runs."""
        with _exit_lock:
            return self._process.exitcode

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end, so many seconds at most, and return its exit code; None if it still runs."""
        wait([self._process.sentinel], timeout)
        return self.returncode

    def send_signal(self, signal_number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, signal_number)

    def kill(self) -> None:
        """Kill it as a power cut does."""
        self.send_signal(signal.SIGKILL)


def _run_program(
    arguments: Sequence[str], env: Mapping[str, str], cwd: str, output: Connection, errors: Connection
) -> None:
    """Become the program. Runs in the new process, which ends when this returns."""
    ctypes.CDLL(None).prctl(KILL_WITH_PARENT, signal.SIGKILL)
    _replace_descriptors(output, errors, is_buffered="PYTHONUNBUFFERED" not in env)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in what a shell runs in the background
    first, *rest = arguments
    module = rest.pop(0) if first == "-m" else None
    sys.argv = [module or first, *rest]
    folders = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = ["" if module else str(Path(first).parent), *folders, *_base_path]
    try:
        if module:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(first, run_name="__main__")
    except KeyboardInterrupt:  # an interpreter ends by the signal too
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def _replace_descriptors(output: Connection, errors: Connection, *, is_buffered: bool) -> None:
    """Keep nothing open of the process that was forked: the server ends when its users have closed their pipes."""
    os.dup2(sys.stdin.fileno(), 0)  # multiprocessing reads nothing there
    sys.stdin.close()
    os.dup2(output.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    output.close()
    errors.close()
    # A pipe is written to in blocks, a terminal in lines.
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", -1 if is_buffered else 1, closefd=False)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
