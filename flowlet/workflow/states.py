"""The declarations of states: ``state``, ``manual``, ``end``, ``error``; not ``receive``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

from pydantic import BaseModel

from flowlet.clock import Duration, parse_duration
from flowlet.workflow.limits import Breaker, Limit, Rate
from flowlet.workflow.outcome import Destination, Outcome, make_outcome
from flowlet.workflow.question import Question, Team
from flowlet.workflow.retry import Retry

__all__ = [
    "FormerNames",
    "Next",
    "State",
    "StateKind",
    "Targets",
    "end",
    "error",
    "locate_caller",
    "manual",
    "state",
]

P = ParamSpec("P")
R = TypeVar("R")
Targets: TypeAlias = Sequence["str | State[..., Any]"] | Mapping[str, str] | Mapping["State[..., Any]", str]
"""The values of ``next``: a list of states or names, or a dict of either to label."""
FormerNames: TypeAlias = str | Sequence[str]
"""The values of ``renamed_from``: the former name of a state, or a list of them."""


class StateKind(StrEnum):
    """The six kinds of state: five as in GopherFlow, and one that waits for a message."""

    START = "start"
    NORMAL = "normal"
    MANUAL = "manual"
    RECEIVE = "receive"
    END = "end"
    ERROR = "error"


class State(Destination, Generic[P, R]):
    """A state of a workflow. The decorators, ``end`` and ``error`` return one; its name is its name in the module.

    Calling it calls the plain function, so a handler can be tested like any function. A handler returns a state to
    choose where the instance goes next; the methods ``after``, ``at``, ``log``, ``spawn``, ``when_children_end`` and
    ``wake_parent`` add how. ``file`` and ``line`` are where it is defined.
    """

    def __init__(
        self,
        kind: StateKind,
        handler: Callable[P, R] | None,
        *,
        next: Targets = (),
        description: str = "",
        retry: Retry | None = None,
        timeout: Duration | None = None,
        on_error: str | State[..., Any] | None = None,
        form: type[BaseModel] | None = None,
        messages: Mapping[str, type[BaseModel] | None] | None = None,
        deadline: Duration | None = None,
        on_deadline: str | State[..., Any] | None = None,
        is_start: bool = False,
        renamed_from: FormerNames = (),
        question: Question | None = None,
        limit: Limit | None = None,
        rate: Rate | None = None,
        breaker: Breaker | None = None,
        location: tuple[str, int] = ("", 0),
    ) -> None:
        self.kind = kind
        self.handler = handler
        self.next = next
        self.description = description if handler is None else inspect.cleandoc(handler.__doc__ or "")
        self.retry = retry
        self.timeout: timedelta | None = None if timeout is None else parse_duration(timeout)
        self.on_error = on_error
        self.form = form
        self.messages: Mapping[str, type[BaseModel] | None] = dict(messages or {})
        self.deadline: timedelta | None = None if deadline is None else parse_duration(deadline)
        self.on_deadline = on_deadline
        self.is_start = is_start
        self.question = question or Question()
        self.limit, self.rate, self.breaker = limit, rate, breaker
        self.renamed_from = (renamed_from,) if isinstance(renamed_from, str) else tuple(renamed_from)
        self.file, self.line = location if handler is None else _locate_handler(handler)
        if handler is not None:
            self.__doc__ = handler.__doc__
            self.__name__ = handler.__name__
            self.__module__ = handler.__module__
            self.__wrapped__ = handler

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function.

        Raises:
            TypeError: If the state has no function: end and error states have none.
        """
        if self.handler is None:
            raise TypeError(f"the {self.kind} state at {self.file}:{self.line} has no function to call")
        return self.handler(*args, **kwargs)

    def __repr__(self) -> str:
        name = getattr(self, "__name__", "")
        return f"<{self.kind} state {name or self.description!r} at {self.file}:{self.line}>"

    def _to_outcome(self) -> Outcome:
        return make_outcome(self)


Next: TypeAlias = State[..., Any] | Outcome | str
"""What a handler may return: a state, a state with instructions, or a state's name.

A handler that may also return nothing is annotated ``-> Next | None``: in a manual state None follows the choice, in
any other state it goes to the only state in ``next``.
"""


def state(
    *,
    next: Targets,
    start: bool = False,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    on_error: str | State[..., Any] | None = None,
    limit: Limit | None = None,
    rate: Rate | None = None,
    breaker: Breaker | None = None,
    renamed_from: FormerNames = (),
) -> Callable[[Callable[P, R]], State[P, R]]:
    """Make a function the handler of a state.

    Args:
        next: The states it may go to: a list of states or names (names for states that are defined further down), or
            a dict of either to label. A state may list itself.
        start: Whether instances begin here. Exactly one state of a module is the start state.
        retry: The retry policy; None means the workflow's.
        timeout: The time limit of one attempt, which then counts as failed. A plain ``def`` runs in a thread, which
            cannot be stopped: its result is discarded.
        on_error: The state to go to when no attempt is left; one of ``next``. Without it the instance is FAILED and
            stays in this state, where a retry continues.
        limit: How many of its attempts run at once, over all executors.
        rate: How many of its attempts begin in a length of time, over all executors.
        breaker: After how many failed attempts in a row no further one begins for a while.
        renamed_from: The names that the state had in earlier versions. An instance that is stored in one of them is in
            this state, and its row keeps the former name until its next transition.

    Raises:
        DurationError: If ``timeout`` is not a duration.
    """

    def decorate(handler: Callable[P, R]) -> State[P, R]:
        return State(
            StateKind.START if start else StateKind.NORMAL,
            handler,
            next=next,
            retry=retry,
            timeout=timeout,
            on_error=on_error,
            is_start=start,
            renamed_from=renamed_from,
            limit=limit,
            rate=rate,
            breaker=breaker,
        )

    return decorate


def manual(
    *,
    next: Targets,
    title: str | None = None,
    show: Sequence[str] = (),
    to: Team | Sequence[Team] = (),
    not_by: str | None = None,
    approvals: Mapping[str, int] | Mapping[State[..., Any], int] | None = None,
    remind: Duration | None = None,
    escalate: Mapping[str, Team | Sequence[Team]] | None = None,
    form: type[BaseModel] | None = None,
    deadline: Duration | None = None,
    on_deadline: str | State[..., Any] | None = None,
    start: bool = False,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    on_error: str | State[..., Any] | None = None,
    renamed_from: FormerNames = (),
) -> Callable[[Callable[P, R]], State[P, R]]:
    """Make a function the handler of a manual state. It runs when a person, or a program, has answered.

    In the handler ``ctx.choice`` is the name of the chosen state and ``ctx.username`` the user who chose it. Returning
    None follows the choice; returning a state overrides it.

    Args:
        next: The choices, as for ``state``; the labels are the texts of the buttons.
        title: The question in one line, for the inbox: ``"Approve {amount} for {customer.name}"``. A name in braces is
            a variable, or a part of one, as it is when the instance begins to wait.
        show: The variables that are shown with the question, each by its name or its path. Without it all are shown
            that are not lists or objects.
        to: The team, or a list of teams, whose members may answer, beside the person whom it is assigned to and admins.
            Without it every operator may.
        not_by: The variable that names who must not answer, by its name or path: four eyes. It holds for admins too.
        approvals: How many different persons have to choose a state, ``{"charge": 2}``; one decides for the others.
        remind: How long the question is unanswered before each reminder, ``"1 day"``: a line of history, an event, and
            a mark in the inbox.
        escalate: The teams that may answer too when the question is unanswered for so long,
            ``{"3 days": team("board")}``; requires ``to``.
        form: The model of the values that come with the answer. They are validated before the answer is accepted.
        deadline: How long to wait for an answer; requires ``on_deadline``.
        on_deadline: The state to go to when the deadline passes without an answer; one of ``next``. The handler does
            not run then.
        start: As for ``state``; instances then begin by waiting for an answer.
        retry: As for ``state``.
        timeout: As for ``state``: the time limit of the handler, not of the wait.
        on_error: As for ``state``.
        renamed_from: As for ``state``.

    Raises:
        DurationError: If ``deadline``, ``timeout`` or ``remind`` is not a duration.
    """

    def decorate(handler: Callable[P, R]) -> State[P, R]:
        return State(
            StateKind.MANUAL,
            handler,
            next=next,
            retry=retry,
            timeout=timeout,
            on_error=on_error,
            form=form,
            deadline=deadline,
            on_deadline=on_deadline,
            is_start=start,
            renamed_from=renamed_from,
            question=Question(
                title,
                show,
                to,
                not_by,
                approvals or {},
                None if remind is None else parse_duration(remind),
                escalate or {},
            ),
        )

    return decorate


def end(description: str = "", *, renamed_from: FormerNames = ()) -> State[[], None]:
    """Return an end state: an instance that enters it is FINISHED. Its name is the name it is assigned to."""
    return State(StateKind.END, None, description=description, renamed_from=renamed_from, location=locate_caller())


def error(description: str = "", *, renamed_from: FormerNames = ()) -> State[[], None]:
    """Return an error state: an instance that enters it is FAILED. Its name is the name it is assigned to."""
    return State(StateKind.ERROR, None, description=description, renamed_from=renamed_from, location=locate_caller())


def _locate_handler(handler: Callable[..., Any]) -> tuple[str, int]:
    """Return the file and the line of a handler's function."""
    code = inspect.unwrap(handler).__code__
    return code.co_filename, code.co_firstlineno


def locate_caller() -> tuple[str, int]:
    """Return the file and the line of what has called the function that calls this one."""
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame and frame.f_back else None
    while caller and caller.f_globals.get("__name__") == "typing":  # Workflow[Order](...) is called through it
        caller = caller.f_back
    return (caller.f_code.co_filename, caller.f_lineno) if caller else ("", 0)
