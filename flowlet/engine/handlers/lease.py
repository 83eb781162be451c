"""The lease of an instance that runs in an executor, and those that it has handed back without running them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from flowlet.protected_tasks import HandlerScope

__all__ = ["Lease", "ReturnedLeases"]


@dataclass(slots=True, eq=False)
class Lease:
    """An instance that runs here.

    Attributes:
        token: The fencing token.
        since: When it was claimed, in microseconds since 1970 UTC.
        weight: How many bytes it takes, about.
        task: Runs its activations.
        scope: The code of its handlers, which may cancel this task and no other one of Flowlet.
        is_committing: Whether a transition is at the committer, or is being reported.
        is_lost: Whether the instance is no longer leased here under this token.
    """

    id: int
    token: int
    since: int
    weight: int = field(default=0, init=False)
    task: asyncio.Task[None] = field(init=False)
    scope: HandlerScope = field(default_factory=HandlerScope)
    is_committing: bool = False
    is_lost: bool = False

    def cancel(self) -> None:
        """Cancel the activation, because the lease is lost.

        A commit is not interrupted. It may be the reason why the store does not list the lease any more, and its answer
        still on the way. The fence decides about every other one.
        """
        self.is_lost = True
        if not self.is_committing:
            self.task.cancel()


class ReturnedLeases:
    """The leases that were handed back because nothing ran under them. A late answer of a claim may still name one."""

    def __init__(self) -> None:
        self._tokens: dict[int, int] = {}

    def add(self, tokens: Mapping[int, int]) -> None:
        """Note the tokens of instances, by id."""
        self._tokens |= tokens

    def has(self, id: int, token: int) -> bool:
        """Return whether an instance was handed back under this token; a later one takes its place."""
        returned = self._tokens.get(id)
        if returned is None or token <= returned:
            return returned is not None
        del self._tokens[id]
        return False
