"""The lease of an instance that runs in an executor."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from flowlet.protected_tasks import HandlerScope

__all__ = ["Lease"]


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
