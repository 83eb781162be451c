"""The file of an export: JSON lines, compressed by zstd.

The first line says the format, the last one how many trees there are: a file that was cut is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import zstandard

from flowlet.errors import SettingsError

__all__ = ["FORMAT", "ArchiveReader", "ArchiveWriter"]

FORMAT = 1
MAX_LINE_BYTES = 2_000_000_000


class ArchiveWriter:
    """Writes a new file, beside its name until it is complete.

    Args:
        path: The file.

    Raises:
        SettingsError: If it exists, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise SettingsError(f"{str(path)!r} exists already. Choose another name, or remove it.")
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        try:
            self._file = self._partial.open("wb")
        except OSError as error:
            raise SettingsError(f"{str(path)!r} cannot be written: {error.strerror}.") from error
        self._stream = zstandard.ZstdCompressor().stream_writer(self._file)
        self.write({"flowlet": "export", "format": FORMAT})
        self._stream.flush(zstandard.FLUSH_BLOCK)  # so that a truncated file is still recognized as an export

    def write(self, line: dict[str, Any]) -> None:
        """Write one line."""
        self._stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()  # type: ignore[no-untyped-call]  # zstandard's stub leaves it out
        self._file.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink()


class ArchiveReader:
    """Reads the lines of a file, between the first one and the last one.

    Args:
        path: The file.

    Raises:
        SettingsError: If it cannot be read, is no export, or is one of a newer format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise SettingsError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
        self.size = path.stat().st_size
        self._lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(self._file))
        try:
            first = orjson.loads(self._lines.readline(1_000))
            is_known = first["flowlet"] == "export" and first["format"] == FORMAT
        except (ValueError, KeyError, TypeError, zstandard.ZstdError):
            is_known = False
        if not is_known:
            self._file.close()
            raise SettingsError(f"{str(path)!r} is no export of this version of Flowlet.")

    @property
    def position(self) -> int:
        """How many bytes of the file have been read."""
        return self._file.tell()

    def read_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines.

        Raises:
            SettingsError: If the file ends before its last line, or a line is no JSON.
        """
        try:
            while text := self._lines.readline(MAX_LINE_BYTES):
                line = orjson.loads(text)
                if "end" in line:
                    return
                yield line
        except (ValueError, zstandard.ZstdError) as error:
            raise SettingsError(f"{str(self._path)!r} is damaged: {error}.") from error
        raise SettingsError(f"{str(self._path)!r} is not complete: its last line is missing.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
