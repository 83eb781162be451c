"""The result of an attempt, for the breaker of its state."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AttemptResult"]


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """Whether an attempt in a state with a breaker has failed.

    Attributes:
        scope: The scope of the state's limits.
        fault: The error, in words; None if the attempt has succeeded.
    """

    scope: str
    fault: str | None
