"""A database of ``databases`` that uses the backend of a dialect, and whose pool can be reached."""

from __future__ import annotations

from typing import Any

import databases

__all__ = ["PooledDatabase"]


class PooledDatabase(databases.Database):
    """A database of ``databases`` with a backend that it does not know.

    Args:
        url: The URL, of which ``databases`` uses what the backend does not take from the options.
        backend: The class that connects, as ``module:class``.
        options: What the backend is given.
    """

    def __init__(self, url: str, *, backend: str, **options: Any) -> None:
        self._backend_path = backend
        super().__init__(url, **options)

    @property
    def pool(self) -> Any:
        """The driver's pool, where the driver has one."""
        return getattr(self._backend, "_pool", None)

    def _get_backend(self) -> str:
        return self._backend_path
