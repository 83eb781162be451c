"""What a machine has to permit: a disk that runs full, and a network of its own for an executor."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.machine.disk import open_small_disk
from tests.chaos.machine.network import Network, open_network

OPEN_DISK = "from tests.chaos.machine.disk import open_small_disk as opening; options = {'megabytes': 1}"
OPEN_NETWORK = "from tests.chaos.machine.network import open_network as opening; options = {}"
TRY = """
import pytest
{}
try:
    opening(**options).__enter__()
except pytest.skip.Exception as reason:
    print(reason)
"""
ECHO = "import socket; client = socket.create_connection({}, timeout=20)\nwhile True: client.sendall(client.recv(5))"
SILENCE_SECONDS, ANSWER_SECONDS = 0.3, 20.0
ROOT = Path(__file__).resolve().parents[3]


def run_without_rights(code: str) -> str:
    """Return what a program prints that may neither mount nor make networks."""
    command = [sys.executable, "-c", TRY.format(code)]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("as root, only setpriv takes rights away")
        command = ["setpriv", "--bounding-set=-sys_admin,-net_admin", *command]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_without_the_right_to_mount_there_is_a_reason() -> None:
    assert run_without_rights(OPEN_DISK).startswith("a disk that runs full needs a file system of its own: mount: ")


def test_without_the_right_to_make_networks_there_is_a_reason() -> None:
    reason = run_without_rights(OPEN_NETWORK)

    assert reason.startswith(
        ("this machine lets tests make no network namespace: 'ip netns add ", "a network namespace")
    )
    assert "ermit" in reason or "install iproute2" in reason


def test_without_iproute2_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(pytest.skip.Exception, match="needs ip and tc: install iproute2"), open_network():
        pass


@pytest.mark.needs_disk
def test_a_full_disk_takes_nothing_until_it_is_free_again() -> None:
    with open_small_disk(megabytes=1) as disk:
        file = disk.folder / "file"
        with disk.fill():
            while True:
                try:
                    file.write_bytes(b"x" * 65_536)
                except OSError as error:
                    refusal = error
                    break

        assert "No space left" in str(refusal)
        assert file.write_bytes(b"x" * 65_536) == 65_536


@pytest.mark.needs_network
def test_what_is_sent_while_a_network_is_cut_arrives_when_it_is_mended() -> None:
    with open_network() as network, create_server(network) as server, start_echo(network, server) as connection:
        with network.cut():
            connection.sendall(b"hello")
            connection.settimeout(SILENCE_SECONDS)
            with pytest.raises(TimeoutError):
                connection.recv(5)
        connection.settimeout(ANSWER_SECONDS)

        assert connection.recv(5) == b"hello"


@pytest.mark.needs_network
def test_a_machine_that_is_lost_says_nothing_and_the_next_one_is_reached() -> None:
    with open_network() as network, create_server(network) as server, start_echo(network, server) as lost:
        with network.replace_namespace():
            kill_processes(network)
        lost.settimeout(SILENCE_SECONDS)
        with pytest.raises(TimeoutError):
            lost.recv(5)

        with start_echo(network, server) as connection:
            connection.sendall(b"hello")
            assert connection.recv(5) == b"hello"


def create_server(network: Network) -> socket.socket:
    """Listen on the machine's address."""
    server = socket.create_server((network.address, 0))
    server.settimeout(ANSWER_SECONDS)
    return server


@contextmanager
def start_echo(network: Network, server: socket.socket) -> Iterator[socket.socket]:
    """Start a program in the namespace that sends back what it receives, and return the connection that it makes."""
    command = [*network.command_prefix, sys.executable, "-c", ECHO.format(server.getsockname())]
    with subprocess.Popen(command) as program:
        try:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(ANSWER_SECONDS)
                yield connection
        finally:
            program.kill()


def kill_processes(network: Network) -> None:
    """Kill what runs in the namespace, and wait for its end."""
    namespace = network.command_prefix[-1]
    for pid in subprocess.check_output(("ip", "netns", "pids", namespace), text=True).split():
        os.kill(int(pid), signal.SIGKILL)
        os.waitid(os.P_PID, int(pid), os.WEXITED | os.WNOWAIT)
