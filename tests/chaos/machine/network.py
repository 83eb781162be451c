"""A network of two: the machine, and a namespace with an executor of its own.

Between them is a pair of virtual interfaces. While the network is cut, both ends are up and drop whatever is sent, so
that neither end learns of it, and TCP sends again what was lost.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.mariadb_program import MariadbProgram
from tests.postgres_program import PostgresProgram

__all__ = ["Network", "NetworkedMariadb", "NetworkedPostgres", "open_network"]

TEST_NETWORKS = IPv4Network("198.18.0.0/15")
"""The addresses that are set aside for tests of networks (RFC 2544)."""

_numbers = count()


class Network:
    """The two ends.

    Args:
        subnet: Its addresses.

    Attributes:
        subnet: The same.
        address: The machine's address.
        host: The namespace's address, which no namespace had before.
        command_prefix: The prefix of a command that runs in the namespace.
    """

    def __init__(self, subnet: IPv4Network) -> None:
        name = f"fl{os.getpid()}x{next(_numbers) % 100}"  # with one letter more at most fifteen, the kernel's limit
        self.subnet = subnet
        self._addresses = map(str, subnet.hosts())
        self.address, self.host = next(self._addresses), next(self._addresses)
        self._namespace = name
        self._near, self._far = f"{name}a", f"{name}b"
        self.command_prefix: Sequence[str] = ("ip", "netns", "exec", name)

    def open(self) -> None:
        """Make it; the test is skipped where this machine does not let it."""
        missing = [name for name in ("ip", "tc") if not shutil.which(name)]
        if missing:
            pytest.skip(f"a network namespace needs {' and '.join(missing)}: install iproute2")
        try:
            self._set_up()
            with self.cut():  # a kernel may lack what drops packets
                _run(*self.command_prefix, "true")  # which mounts what belongs to the namespace
        except _CommandError as error:
            self.close()
            pytest.skip(f"this machine lets tests make no network namespace: {error}")

    def _set_up(self) -> None:
        inside = ("ip", "-netns", self._namespace)
        _run("ip", "netns", "add", self._namespace)
        _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._namespace)
        _run("ip", "address", "add", f"{self.address}/{self.subnet.prefixlen}", "dev", self._near)
        _run("ip", "link", "set", self._near, "up")
        _run(*inside, "address", "add", f"{self.host}/{self.subnet.prefixlen}", "dev", self._far)
        _run(*inside, "link", "set", self._far, "up")
        _run(*inside, "link", "set", "lo", "up")

    def _list_ends(self) -> Sequence[Sequence[str]]:
        return ("tc", self._near), ("tc", "-netns", self._namespace, self._far)

    def _drop_packets(self) -> None:
        for *tc, interface in self._list_ends():
            _run(*tc, "qdisc", "replace", "dev", interface, "root", "blackhole")

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Drop every packet for the length of the block."""
        self._drop_packets()
        try:
            yield
        finally:
            for *tc, interface in self._list_ends():
                _run(*tc, "qdisc", "delete", "dev", interface, "root")

    @contextmanager
    def replace_namespace(self) -> Iterator[None]:
        """Drop every packet for the length of the block, and for ever: what comes next is another namespace.

        What runs in the old one has to end in the block. No packet says so to the other end, as when a machine loses
        its power.
        """
        self._drop_packets()
        yield
        _run("ip", "link", "delete", self._near)
        self.close()
        self.host = next(self._addresses)
        self._set_up()

    def build_url(self, url: str) -> str:
        """Return the URL by which the namespace reaches a database of the machine."""
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.replace("127.0.0.1", self.address)).geturl()

    def close(self) -> None:
        """Remove it; the interfaces end with the namespace."""
        subprocess.run(("ip", "netns", "delete", self._namespace), stderr=subprocess.DEVNULL, check=False)


class NetworkedPostgres(PostgresProgram):
    """PostgreSQL that a namespace reaches, too."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def build_setup_command(self, folder: Path) -> Sequence[str]:
        """Return the command that makes the data folder; who may connect is in a file beside it."""
        rules = [f"host all all {subnet} trust\n" for subnet in ("127.0.0.1/32", self._network.subnet)]
        (folder / "hba.conf").write_text("".join(rules))
        return super().build_setup_command(folder)

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        """Return the command that runs the server on both addresses."""
        command = super().build_start_command(folder, port, is_durable=is_durable)
        settings = (f"listen_addresses=127.0.0.1,{self._network.address}", f"hba_file={folder / 'hba.conf'}")
        return [*command, *(part for setting in settings for part in ("-c", setting))]


class NetworkedMariadb(MariadbProgram):
    """MariaDB, from version 10.11, that a namespace reaches, too."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def build_start_command(self, folder: Path, port: int, *, is_durable: bool) -> Sequence[str]:
        """Return the command that runs the server on both addresses."""
        command = super().build_start_command(folder, port, is_durable=is_durable)
        return [*command, f"--bind-address=127.0.0.1,{self._network.address}"]


@contextmanager
def open_network() -> Iterator[Network]:
    """Make a network for the length of the block; the test is skipped where this machine does not let it."""
    network = Network(random.choice([*TEST_NETWORKS.subnets(new_prefix=24)]))
    network.open()
    try:
        yield network
    finally:
        network.close()


class _CommandError(Exception):
    """A command has failed."""


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise _CommandError(f"'{' '.join(command)}': {done.stdout.strip()}")
