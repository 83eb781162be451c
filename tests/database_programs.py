"""What the tests need of a database program: how it is set up, started and connected to."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

__all__ = ["STATEMENT_SECONDS", "DatabaseProgram", "find_executable"]


STATEMENT_SECONDS = 20
"""How long a statement of the tests' own may take, a wait for a lock included."""


class DatabaseProgram(Protocol):
    """What differs between the database programs."""

    name: str
    scheme: str
    account: str
    """Whom the server runs as where the tests run as root, which both programs refuse."""
    login: str
    """The ``user:password@`` of its URLs."""
    url_variable: str
    """The environment variable with the URL of a server to use instead of a private one."""
    package: str
    ready_line: str
    """What the server writes when it can be used."""
    stop_signal: signal.Signals
    maintenance_database: str
    """The database from which others are created."""
    environment: Mapping[str, str]
    """The environment variables of the server."""

    def is_installed(self) -> bool:
        """Return whether its binaries are here."""
        ...

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        """Return the command that makes the data folder."""
        ...

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        """Return the command that runs the server in the foreground; one that is not durable never waits for a disk."""
        ...

    def execute_statement(self, url: str, statement: str) -> None:
        """Run one statement on a connection of its own."""
        ...

    def build_create_statement(self, database: str) -> str:
        """Return the statement that creates a database."""
        ...

    def build_drop_statement(self, database: str) -> str:
        """Return the statement that drops a database."""
        ...

    def describe_schema(self, url: str) -> str:
        """Return a description of a database without its rows: it differs after a change of a table or of a setting."""
        ...

    def empty_database(self, url: str, shape: str) -> bool:
        """End all other connections of a database, delete its rows and restart its ids.

        Returns:
            Whether it is now as its migration left it; False, with nothing deleted, where its shape is another.
        """
        ...


def find_executable(name: str, *folders: Path) -> str:
    """Return the path of a binary: from the folders, else from PATH, else empty."""
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    return shutil.which(name) or ""
