"""When the orders of a test may end: a resource of their handlers."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Closing"]


@dataclass(slots=True)
class Closing:
    """Whether the shop has closed: the test says when."""

    is_closed: bool = False
