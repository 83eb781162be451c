"""A small file system in memory, which a filler file takes all the space of."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["SmallDisk", "open_small_disk"]

CHUNKS = (1 << 20, 1 << 16, 1 << 12)
"""How much the filler takes at once, in bytes: less and less, until not even a page is left."""
REFILL_SECONDS = 0.05
"""How often it takes what has become free: a database removes files of its own."""


class SmallDisk:
    """A mounted file system that holds nothing but a database.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @contextmanager
    def fill(self) -> Iterator[None]:
        """Leave nothing of its space for the length of the block."""
        is_over = threading.Event()
        thread = threading.Thread(target=self._keep_full, args=(is_over,))
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _keep_full(self, is_over: threading.Event) -> None:
        try:
            with self._filler.open("wb", buffering=0) as filler:
                while not is_over.is_set():
                    _take_rest(filler.fileno())
                    is_over.wait(REFILL_SECONDS)
        finally:
            self._filler.unlink()


@contextmanager
def open_small_disk(*, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a small file system for the length of the block; the test is skipped where this machine does not let it."""
    folder = Path(tempfile.mkdtemp(prefix="flowlet-disk-"))
    try:
        _mount(folder, megabytes=megabytes)
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(("umount", "--lazy", folder), check=True)
    finally:
        folder.rmdir()


def _mount(folder: Path, *, megabytes: int) -> None:
    if not shutil.which("mount"):
        pytest.skip("a disk that runs full needs 'mount'")
    # Servers run under accounts of their own, which have to reach their folders.
    command = ("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", folder)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a disk that runs full needs a file system of its own: {done.stdout.strip()}")


def _take_rest(file: int) -> None:
    for size in CHUNKS:
        while _has_appended(file, size):
            pass


def _has_appended(file: int, size: int) -> bool:
    try:
        os.posix_fallocate(file, os.fstat(file).st_size, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True
