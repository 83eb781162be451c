"""The decorator of a receive state, which waits for a message from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeAlias, TypeVar

from pydantic import BaseModel

from flowlet.clock import Duration
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import FormerNames, State, StateKind, Targets

__all__ = ["receive"]

P = ParamSpec("P")
R = TypeVar("R")
Messages: TypeAlias = Mapping[str, type[BaseModel] | None] | Iterable[str]
"""The values of ``messages``: a dict of name to model, or names without models."""


def receive(
    *,
    messages: Messages,
    next: Targets,
    deadline: Duration | None = None,
    on_deadline: str | State[..., Any] | None = None,
    start: bool = False,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    on_error: str | State[..., Any] | None = None,
    renamed_from: FormerNames = (),
) -> Callable[[Callable[P, R]], State[P, R]]:
    """Make a function the handler of a receive state. It runs when a message of one of these names has been sent.

    A message that was sent before the instance reached the state counts too: the oldest unread one comes first. The
    handler's parameter that is annotated with the model, or with the union of the models, receives the body;
    ``ctx.message`` has the name, the key, the sender and the time. The message is consumed by the transition that
    follows; a failed attempt leaves it to the next one.

    Args:
        messages: The messages to wait for: a dict of name to the model of the body, or to None for a body that is any
            JSON object, at ``ctx.message.body``; or a list of names, all without models. Of one workflow, one name has
            one model.
        next: The states it may go to, as for ``state``.
        deadline: How long to wait for a message; requires ``on_deadline``.
        on_deadline: The state to go to when the deadline passes without a message; one of ``next``. The handler does
            not run then.
        start: As for ``state``; instances then begin by waiting for a message.
        retry: As for ``state``.
        timeout: As for ``state``: the time limit of the handler, not of the wait.
        on_error: As for ``state``; the message that the attempts have failed with is consumed then.
        renamed_from: As for ``state``.

    Raises:
        DurationError: If ``deadline`` or ``timeout`` is not a duration.
    """
    if isinstance(messages, Mapping):
        models = dict(messages)
    else:
        models = dict.fromkeys((messages,) if isinstance(messages, str) else messages)

    def decorate(handler: Callable[P, R]) -> State[P, R]:
        return State(
            StateKind.RECEIVE,
            handler,
            next=next,
            retry=retry,
            timeout=timeout,
            on_error=on_error,
            messages=models,
            deadline=deadline,
            on_deadline=on_deadline,
            is_start=start,
            renamed_from=renamed_from,
        )

    return decorate
