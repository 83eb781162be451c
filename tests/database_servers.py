"""Database servers of the tests' own: started from the installed binaries, each in a temporary folder.

Nothing of the machine is touched: a server listens on a free port of the loopback address and on a socket in its
folder. One that is durable waits for the disk as in production: for tests that kill it and judge what is left.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest

from tests.database_programs import DatabaseProgram
from tests.databases import GRANT_WRITES, migrate_database

__all__ = ["DatabaseServer", "find_free_port", "skip_or_fail"]

START_SECONDS = 45.0
DISK_FOLDER = Path("/var/tmp")
"""Where a durable server's folder is made: other temporary files may be in memory, where nothing waits for the disk."""


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test; fail it where ``CI`` is set, because there nothing may be left out."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason} (CI is set: this is a failure, not a skip)", pytrace=False)
    pytest.skip(reason)


class DatabaseServer:
    """A database server: a private one, or one whose URL was given and which then cannot be stopped."""

    def __init__(
        self,
        program: DatabaseProgram,
        *,
        given_url: str | None = None,
        is_durable: bool = False,
        parent: Path | None = None,
    ) -> None:
        self.program = program
        self.is_durable = is_durable
        self.log: deque[str] = deque(maxlen=200)
        self._given_url = given_url
        self._parent = parent
        self._folder: Path | None = None
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._shared: dict[str | None, tuple[str, str]] = {}

    @classmethod
    def of(cls, program: DatabaseProgram, *, is_durable: bool = False, parent: Path | None = None) -> DatabaseServer:
        """Return a server that runs; skip the test, or fail it under CI, where there can be none.

        Args:
            program: What to run.
            is_durable: Whether it waits for the disk as in production.
            parent: Where its folder is made; None for where temporary files are, on a disk if it is durable.
        """
        given = os.environ.get(program.url_variable)
        if not given and not program.is_installed():
            skip_or_fail(f"{program.name} is not installed: install {program.package}, or set {program.url_variable}")
        server = cls(program, given_url=given, is_durable=is_durable, parent=parent)
        server.start_server()
        return server

    def build_url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        if self._given_url:
            return urlsplit(self._given_url)._replace(path=f"/{database}").geturl()
        return f"{self.program.scheme}://{self.program.login}127.0.0.1:{self._port}/{database}"

    @property
    def folder(self) -> Path:
        """Its folder; the test is skipped, or fails under CI, where the server is not a private one."""
        if self._folder is None:
            skip_or_fail(f"{self.program.url_variable} names a server that is not the tests' own: leave it out")
        return self._folder

    def start_server(self) -> None:
        """Start it, and return when it answers; nothing where it runs already. Data and port stay over a restart."""
        if self._given_url or (self._process and self._process.poll() is None):
            return
        self._send_signal(signal.SIGKILL)
        if self._folder is None:
            self._folder = self._prepare_folder()
            self._port = find_free_port()
        program = self.program.build_start_command(self._folder, self._port, is_durable=self.is_durable)
        command = [*_build_parent_death_prefix(self.program.stop_signal), *program]
        self._process = self._run_as_account(
            subprocess.Popen, command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read_log, args=(self._process, is_ready), daemon=True)
        self._reader.start()
        if not is_ready.wait(START_SECONDS) or self._process.poll() is not None:
            self.kill_server()
            pytest.fail(f"{self.program.name} did not start:\n{''.join(self.log)}", pytrace=False)

    def stop_server(self) -> None:
        """Shut it down in good order: connections are ended, and everything is written."""
        self._send_signal(self.program.stop_signal)

    def kill_server(self) -> None:
        """End it at once, as a power cut does."""
        self._send_signal(signal.SIGKILL)
        if not self.is_durable:
            self._shared.clear()  # it may have lost anything

    @contextlib.contextmanager
    def freeze_server(self) -> Iterator[None]:
        """Stop every process of the server for the length of the block: it accepts connections, and answers nothing."""
        if self._given_url or self._process is None:
            skip_or_fail(f"{self.program.name} is not a server of the tests' own")
        frozen: list[int] = []
        try:
            for pid in _walk_processes(self._process.pid):
                os.kill(pid, signal.SIGSTOP)
                frozen.append(pid)
            yield
        finally:
            for pid in reversed(frozen):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def create_database(self) -> str:
        """Create an empty database and return its URL; the server is started where it is not running."""
        database = f"flowlet_{uuid.uuid4().hex[:16]}"
        self.start_server()
        self.program.execute_statement(self._build_maintenance_url(), self.program.build_create_statement(database))
        return self.build_url(database)

    def drop_database(self, url: str) -> None:
        """Drop a database made by ``create_database``, whoever is still connected to it."""
        self.start_server()
        self.program.execute_statement(
            self._build_maintenance_url(), self.program.build_drop_statement(urlsplit(url).path.lstrip("/"))
        )

    def get_migrated_database(self, *, schema: str | None = None) -> str:
        """Return the URL of the server's shared database: migrated, without rows, and for one test at a time.

        It is made by the first call. Later calls end the connections that the last test has left, and delete its
        rows; where that test has changed the tables, the database is dropped and made anew.

        Args:
            schema: The schema that the tables are in, whose role may then write them; there is a database for each.
        """
        self.start_server()
        shared = self._shared.get(schema)
        if shared and not self.program.empty_database(*shared):
            self.drop_database(shared[0])
            shared = None
        if not shared:
            url = self.create_database()
            migrate_database(url, schema=schema)
            if schema:
                self.program.execute_statement(url, GRANT_WRITES)
            shared = self._shared[schema] = url, self.program.describe_schema(url)
        return shared[0]

    def close_server(self) -> None:
        """Shut it down, and remove everything it wrote."""
        for url, _ in self._shared.values() if self._given_url else ():
            self.drop_database(url)
        self._shared.clear()
        if self._process:
            self.stop_server()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _build_maintenance_url(self) -> str:
        return self._given_url or self.build_url(self.program.maintenance_database)

    def replace_data(self, program: DatabaseProgram) -> None:
        """Stop it, and start it as another program, which makes its data folder anew; its port stays."""
        self.stop_server()
        shutil.rmtree(self.folder / "data")
        self.program = program
        self._set_up_data(self.folder)
        self.start_server()

    def convert_data(self, program: DatabaseProgram) -> None:
        """Stop it, and start it as another program, which changes its data folder; its port stays."""
        self.stop_server()
        self.program = program
        self._run_setup(program.build_setup_command(self.folder))
        self.start_server()

    def _prepare_folder(self) -> Path:
        parent = self._parent or (DISK_FOLDER if self.is_durable and DISK_FOLDER.is_dir() else None)
        folder = Path(tempfile.mkdtemp(prefix="flowlet-", dir=parent))
        atexit.register(self.close_server)
        self._set_up_data(folder)
        return folder

    def _set_up_data(self, folder: Path) -> None:
        (folder / "data").mkdir(mode=0o700)
        command = self.program.build_setup_command(folder)
        if account := self._find_account():
            for path in (folder, *folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)
        self._folder = folder
        self._run_setup(command)

    def _run_setup(self, command: Sequence[str]) -> None:
        done = self._run_as_account(subprocess.run, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            pytest.fail(f"{self.program.name} could not make its data folder:\n{done.stdout}", pytrace=False)

    def _find_account(self) -> pwd.struct_passwd | None:
        return pwd.getpwnam(self.program.account) if os.geteuid() == 0 else None

    def _run_as_account(self, runner: Callable[..., Any], command: Sequence[str], **options: Any) -> Any:
        """Run a command in the folder, under the program's account, and out of reach of the terminal's Ctrl+C."""
        if account := self._find_account():
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        places = {"HOME": str(self._folder), "TMPDIR": str(self._folder)}
        environment = {**os.environ, "LC_ALL": "C", **places, **self.program.environment}
        return runner(command, cwd=self._folder, env=environment, text=True, start_new_session=True, **options)

    def _read_log(self, process: subprocess.Popen[str], is_ready: threading.Event) -> None:
        for line in process.stderr or ():
            self.log.append(line)
            if self.program.ready_line in line:
                is_ready.set()
        process.wait()
        is_ready.set()

    def _send_signal(self, signal_number: signal.Signals) -> None:
        if self._given_url:
            skip_or_fail(f"{self.program.url_variable} names a server that the tests may not stop: leave it out")
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        self._process.wait(START_SECONDS)
        # The log ends when the last process that could write to it has ended, not only the first one.
        if self._reader:
            self._reader.join(START_SECONDS)
        if self._process.stderr:
            self._process.stderr.close()
        self._process = None


def _walk_processes(pid: int) -> Iterator[int]:
    """Yield a process, then its children: those that it had when it was stopped, if the caller stops it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _walk_processes(int(child))


def find_free_port() -> int:
    """Return a port below those that outgoing connections take, so that it stays free while the server is down."""
    for port in random.sample(range(15_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("no port between 15000 and 32000 is free on 127.0.0.1")


def _build_parent_death_prefix(signal_number: signal.Signals) -> list[str]:
    """Return the prefix of a command that is sent a signal when the tests are killed; empty where there is none."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal_number.name.removeprefix("SIG")] if setpriv else []
