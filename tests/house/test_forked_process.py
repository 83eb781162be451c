"""A forked process does what the same program does when it is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from tests.faults.processes import ManagedProcess
from tests.forked_process import ForkedProcess

PROGRAM = """
    import os, sys

    import neighbour

    print(sys.argv, __name__, neighbour.__file__, os.getcwd(), dict(os.environ), sys.stdin.read())
    print(sorted(os.listdir("/proc/self/fd")), file=sys.stderr)
    sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that prints what it sees and ends with the code that it is given; it imports a module beside it."""
    (tmp_path / "program.py").write_text(dedent(PROGRAM))
    (tmp_path / "neighbour.py").touch()
    return tmp_path / "program.py"


@pytest.mark.parametrize("arguments", [("program.py",), ("-m", "program")])
def test_a_forked_program_sees_and_returns_what_a_started_one_does(
    program: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    given = {"LC_CTYPE": "C.UTF-8", "SETTING": "one", "PYTHONPATH": "/nowhere"}
    command = [*arguments, "3", "two words"]

    started = run_started([sys.executable, *command], given, tmp_path)

    assert run_forked(command, given, tmp_path) == started
    assert started[0] == 3


def test_what_a_forked_program_raises_is_printed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("raise ValueError('wrong')")

    code, output = run_forked(["program.py"], {}, tmp_path)

    assert code == 1
    assert output.splitlines()[-1] == "ValueError: wrong"


async def test_a_forked_process_ends_by_the_signal_that_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import signal\nprint('ready', flush=True)\nsignal.pause()")
    codes = []

    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = ManagedProcess.start_python(["program.py"], env={}, cwd=tmp_path)
        await process.wait_for_lines("ready")
        process.send_signal(number)
        codes.append(await process.wait_for_exit())

    assert codes == [-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT]


def test_forked_processes_end_with_the_one_that_has_started_them(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import signal\nsignal.pause()")
    starter = """
        import os, sys
        from pathlib import Path
        from tests.forked_process import ForkedProcess
        if __name__ == "__main__":
            process = ForkedProcess(["program.py"], env={}, cwd=Path(sys.argv[1]), output=2)
            print(process.pid, flush=True)
            os._exit(0)
    """
    command = [sys.executable, "-c", dedent(starter), str(tmp_path)]

    pid = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not psutil.pid_exists(pid)


def run_started(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> tuple[int | None, str]:
    """Run a command, and return its exit code and its output."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    done = subprocess.run(
        command, env=env, cwd=cwd, stdin=nothing, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def run_forked(arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> tuple[int | None, str]:
    """Run a forked program, and return its exit code and its output."""
    reader, writer = os.pipe()
    process = ForkedProcess(arguments, env=env, cwd=cwd, output=writer)
    os.close(writer)
    with os.fdopen(reader) as output:
        return process.wait(), output.read()
