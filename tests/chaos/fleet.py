"""The executors of a run: ``flowlet serve`` as processes of their own, each with its log in a file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from flowlet.clock import StoreClock
from tests.chaos.evidence import ProcessRecord
from tests.chaos.link import Link
from tests.chaos.machine.network import Network
from tests.chaos.recorder import EFFECTS_VARIABLE
from tests.chaos.versions.second_version import write_second_version
from tests.forked_process import ForkedProcess

__all__ = ["ADMIN_PASSWORD", "REAL_CLOCK", "ExecutorProcess", "Fleet", "wait_until"]

REAL_CLOCK = StoreClock()
ADMIN_PASSWORD = "chaos-admin"
ROOT = Path(__file__).resolve().parents[2]
WORKFLOW_MODULES = sorted(str(path) for path in (Path(__file__).parent / "workflows").glob("*.py"))
VERSIONED_MODULE = Path(__file__).parent / "workflows" / "voyage.py"
ADDRESS_TEXT, RUNNING_TEXT = "the API answers at ", " runs Parcel"
OUTAGE_TEXT = "the store is away"
DATABASE_VARIABLE = "FLOWLET_DATABASE_URL"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02

_pause = threading.Event()


def wait_until(condition: Callable[[], bool], *, timeout_seconds: float) -> bool:
    """Look every 20 ms whether something holds, and return whether it did within so many seconds."""
    until = REAL_CLOCK.monotonic() + timeout_seconds
    while not condition():
        if REAL_CLOCK.monotonic() > until:
            return False
        _pause.wait(POLL_SECONDS)
    return True


class ExecutorProcess:
    """One process.

    Args:
        name: Its name, which is also that of its log.
        folder: Where its log is written.
        environment: Its environment variables.
        modules: The workflows that it runs.
        version: Which version of them.
        network: The network in whose namespace it runs; None where it runs beside the director.
        is_forked: Whether it is forked from a process that has imported Flowlet, if it runs beside the director.
        program: The module that runs as ``flowlet``.

    Attributes:
        database_url: The database as it reaches it.
        network: The same.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        environment: dict[str, str],
        modules: Sequence[str],
        *,
        version: int,
        network: Network | None = None,
        is_forked: bool = False,
        program: str = "flowlet",
    ) -> None:
        self.name = name
        self.version = version
        self.network = network
        self.database_url = environment[DATABASE_VARIABLE]
        self._log_path = folder / f"{name}.log"
        self._signals: list[str] = []
        self._address: str | None = None
        self._process: ForkedProcess | subprocess.Popen[bytes]
        arguments = ["-m", program, "serve", *modules, "--port", "0"]
        with self._log_path.open("wb") as log:
            if is_forked and not network:
                self._process = ForkedProcess(arguments, env=environment, cwd=folder, output=log.fileno())
                return
            command = [*_build_death_prefix(), sys.executable, *arguments]
            if network:
                command = [*network.command_prefix, *command, "--host", network.host]
            self._process = subprocess.Popen(
                command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def read_log(self) -> str:
        """Return what it has written so far."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def is_ready(self) -> bool:
        """Whether its API answers and its executor runs."""
        return self.find_address() is not None

    def find_address(self) -> str | None:
        """Return the address of its API; None as long as it is not ready."""
        if self._address is None:
            log = self.read_log()
            _, found, rest = log.partition(ADDRESS_TEXT)
            if found and RUNNING_TEXT in log and rest.count("\n"):
                self._address = rest.split()[0]
        return self._address

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, and note that; nothing where it has ended."""
        if self.is_alive:
            self._signals.append(number.name)
            self._process.send_signal(number)

    def wait_for_exit(self, *, timeout_seconds: float = STOP_SECONDS) -> None:
        """Wait for its end; kill it where it does not come, which is then a finding."""
        if not wait_until(lambda: not self.is_alive, timeout_seconds=timeout_seconds):
            self._signals.append("no end within the grace period")
            self.close()

    def close(self) -> None:
        """End it at once, if it has not ended: no fault of the run, but its end."""
        if self.is_alive:
            self._process.kill()
        self._process.wait()

    def record(self) -> ProcessRecord:
        """Return what the judge has to know of it."""
        return ProcessRecord(self.name, self.pid, self._process.poll(), tuple(self._signals), self.read_log())


class Fleet:
    """The executors that run, and those that have ended.

    Args:
        urls: The database, as one process after the other reaches it.
        folder: Where the logs and the effects file are written.
        size: How many run at once.
        settings: Further settings of Flowlet, such as ``{"lease": "2s"}``.
        link: The way to the database that one of them takes; None where all of them reach it directly.
        network: The network in whose namespace another one runs; None where all of them run beside the director.
        is_forked: Whether they are forked, as ``ExecutorProcess`` says.
        program: The module that runs as ``flowlet``.

    Attributes:
        wanted_versions: The version of the workflows that each of them runs.
    """

    def __init__(
        self,
        urls: Sequence[str],
        folder: Path,
        *,
        size: int,
        settings: dict[str, str],
        link: Link | None = None,
        network: Network | None = None,
        is_forked: bool = False,
        program: str = "flowlet",
    ) -> None:
        self.link = link
        self._is_forked = is_forked
        self._program = program
        self.network = network
        self.effects_file = folder / "effects"
        self._folder = folder
        self._urls = urls
        self.wanted_versions = [1] * size
        second = write_second_version(VERSIONED_MODULE, folder / "version-2")
        self._modules = {
            1: WORKFLOW_MODULES,
            2: [*(one for one in WORKFLOW_MODULES if one != str(VERSIONED_MODULE)), second],
        }
        self._ended: list[ExecutorProcess] = []
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLET_")}
        variables = {f"FLOWLET_{name.upper()}": value for name, value in settings.items()}
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._environment = {
            **inherited,
            **variables,
            "PYTHONPATH": paths,
            EFFECTS_VARIABLE: str(self.effects_file),
            DATABASE_VARIABLE: urls[0],
        }
        self.running: list[ExecutorProcess] = []

    def start_missing(self) -> None:
        """Start processes until the fleet has its versions again, without waiting until they are ready."""
        self.running, ended = [one for one in self.running if one.is_alive], self.running
        self._ended += [one for one in ended if not one.is_alive]
        missing = Counter(self.wanted_versions) - Counter(one.version for one in self.running)
        for version in sorted(missing.elements())[: len(self.wanted_versions) - len(self.running)]:
            number = len(self._ended) + len(self.running)
            name = f"executor-{number + 1}"
            environment = {**self._environment, DATABASE_VARIABLE: self._urls[number % len(self._urls)]}
            network = None
            if self.link and not self._find_linked():
                environment = {**environment, DATABASE_VARIABLE: self.link.url}
            elif self.network and not self._find_networked():
                network = self.network
                environment = {**environment, DATABASE_VARIABLE: network.build_url(environment[DATABASE_VARIABLE])}
            modules = self._modules[version]
            process = ExecutorProcess(
                name,
                self._folder,
                environment,
                modules,
                version=version,
                network=network,
                is_forked=self._is_forked,
                program=self._program,
            )
            self.running.append(process)

    def wait_until_ready(self) -> None:
        """Return when every process is ready, or has ended."""
        for process in self.running:
            wait_until(lambda one=process: one.is_ready or not one.is_alive, timeout_seconds=START_SECONDS)  # type: ignore[misc]

    def list_ready(self) -> list[ExecutorProcess]:
        """Return the processes that are ready, at least one: it is waited for."""
        wait_until(lambda: any(one.is_ready for one in self.running if one.is_alive), timeout_seconds=START_SECONDS)
        return [one for one in self.running if one.is_alive and one.is_ready]

    def get_linked(self) -> ExecutorProcess:
        """Return the process that reaches the database by the link."""
        (process,) = self._find_linked()
        return process

    def get_networked(self) -> ExecutorProcess:
        """Return the process that runs in the namespace of the network."""
        (process,) = self._find_networked()
        return process

    def list_addresses(self) -> list[str]:
        """Return the addresses of the APIs that can be reached now."""
        addresses = [process.find_address() for process in self.running if process.is_alive]
        return [address for address in addresses if address is not None]

    def count_outages(self) -> int:
        """Return how often an executor has logged that the database is away."""
        return sum(one.read_log().count(OUTAGE_TEXT) for one in (*self._ended, *self.running))

    def stop(self) -> None:
        """Stop all of them by SIGTERM, and wait for their ends."""
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait_for_exit()

    def close(self) -> None:
        """End whatever still runs."""
        for process in self.running:
            process.close()

    def record_processes(self) -> Sequence[ProcessRecord]:
        """Return what the judge has to know of each process, the first one first."""
        return [process.record() for process in (*self._ended, *self.running)]

    def _find_linked(self) -> list[ExecutorProcess]:
        return [one for one in self.running if self.link and one.database_url == self.link.url]

    def _find_networked(self) -> list[ExecutorProcess]:
        return [one for one in self.running if one.network]

    def start_doctor(self) -> subprocess.Popen[str]:
        """Start ``flowlet doctor`` on the database; its output is piped."""
        command = (sys.executable, "-m", "flowlet", "doctor")
        pipe, stdout = subprocess.PIPE, subprocess.STDOUT
        return subprocess.Popen(command, env=self._environment, stdout=pipe, stderr=stdout, text=True)


def _build_death_prefix() -> tuple[str, ...]:
    """Return the prefix of a command that is killed with the director; empty where there is none."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()
