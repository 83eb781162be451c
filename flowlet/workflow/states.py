"""The declarations of a workflow module: ``Workflow``, ``state``, ``manual``, ``end``, ``error``; not ``receive``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

from pydantic import BaseModel
from typing_extensions import TypeVar as TypeVarWithDefault

from flowlet.clock import Duration, parse_duration
from flowlet.instance.instance import PRIORITIES
from flowlet.text import MAX_NAME_LENGTH
from flowlet.workflow.keep import Keep
from flowlet.workflow.outcome import ChildRequest, Destination, Outcome
from flowlet.workflow.retry import Retry
from flowlet.workflow.schedule import Schedule

__all__ = [
    "FormerNames",
    "Next",
    "State",
    "StateKind",
    "Targets",
    "VarsModel",
    "Workflow",
    "end",
    "error",
    "locate_handler",
    "manual",
    "state",
]

P = ParamSpec("P")
R = TypeVar("R")
VarsModel = TypeVarWithDefault("VarsModel", bound=BaseModel, default=Any)
"""The model of a workflow's variables; Any if it has none."""
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
        location: tuple[str, int] = ("", 0),
    ) -> None:
        self.kind = kind
        self.handler = handler
        self.next = next
        self.description = description
        self.retry = retry
        self.timeout: timedelta | None = None if timeout is None else parse_duration(timeout)
        self.on_error = on_error
        self.form = form
        self.messages: Mapping[str, type[BaseModel] | None] = dict(messages or {})
        self.deadline: timedelta | None = None if deadline is None else parse_duration(deadline)
        self.on_deadline = on_deadline
        self.is_start = is_start
        self.renamed_from = (renamed_from,) if isinstance(renamed_from, str) else tuple(renamed_from)
        self.file, self.line = location
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
        return Outcome(self)


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
            description=inspect.cleandoc(handler.__doc__ or ""),
            retry=retry,
            timeout=timeout,
            on_error=on_error,
            is_start=start,
            renamed_from=renamed_from,
            location=locate_handler(handler),
        )

    return decorate


def manual(
    *,
    next: Targets,
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
        DurationError: If ``deadline`` or ``timeout`` is not a duration.
    """

    def decorate(handler: Callable[P, R]) -> State[P, R]:
        return State(
            StateKind.MANUAL,
            handler,
            next=next,
            description=inspect.cleandoc(handler.__doc__ or ""),
            retry=retry,
            timeout=timeout,
            on_error=on_error,
            form=form,
            deadline=deadline,
            on_deadline=on_deadline,
            is_start=start,
            renamed_from=renamed_from,
            location=locate_handler(handler),
        )

    return decorate


def end(description: str = "", *, renamed_from: FormerNames = ()) -> State[[], None]:
    """Return an end state: an instance that enters it is FINISHED. Its name is the name it is assigned to."""
    return State(StateKind.END, None, description=description, renamed_from=renamed_from, location=_locate_caller())


def error(description: str = "", *, renamed_from: FormerNames = ()) -> State[[], None]:
    """Return an error state: an instance that enters it is FAILED. Its name is the name it is assigned to."""
    return State(StateKind.ERROR, None, description=description, renamed_from=renamed_from, location=_locate_caller())


class Workflow(Generic[VarsModel]):
    """The settings of a whole workflow. A module has at most one.

    Args:
        name: The workflow's name in the database, the API and the console.
        vars: The model of its variables; without one the variables are a free JSON object at ``ctx.vars``.
        version: Raise it when states or variables change; each line of history records its version.
        retry: The policy of states without one of their own; None means ``Retry()``.
        description: A description; None means the module's docstring.
        group: The executor group of its instances.
        priority: The priority of its instances, 0 to 9; of those that are due, the highest runs first.
        loop_limit: The most transitions in a row without any wait; an instance that exceeds it is FAILED.
        schedules: When instances are created by themselves.
        keep: How long its instances are kept after they have ended; None for as long as FLOWLET_KEEP says.

    Raises:
        ValueError: If the name is empty, is longer than 120 characters, has space around it, or is "." or ".."; or if
            a number is out of range.
    """

    def __init__(
        self,
        name: str,
        *,
        vars: type[VarsModel] | None = None,
        version: int = 1,
        retry: Retry | None = None,
        description: str | None = None,
        group: str = "default",
        priority: int = 0,
        loop_limit: int = 10_000,
        schedules: Sequence[Schedule] = (),
        keep: Keep | None = None,
    ) -> None:
        if not name or len(name) > MAX_NAME_LENGTH or name != name.strip():
            raise ValueError(
                f"a workflow's name must have 1 to {MAX_NAME_LENGTH} characters and no space around it, not {name!r}"
            )
        if name in (".", ".."):
            raise ValueError(f"a workflow cannot be called {name!r}: browsers remove it from every URL")
        if version < 1 or loop_limit < 1 or priority not in PRIORITIES:
            raise ValueError(f"Workflow({name!r}): version and loop_limit must be at least 1, and priority 0 to 9")
        self.name = name
        self.vars = vars
        self.version = version
        self.retry = retry or Retry()
        self.description = description
        self.group = group
        self.priority = priority
        self.loop_limit = loop_limit
        self.schedules = tuple(schedules) if isinstance(schedules, list) else schedules
        self.keep = keep
        self.file, self.line = _locate_caller()

    def child(self, vars: BaseModel | Mapping[str, Any] | None = None, /, **variables: Any) -> ChildRequest:
        """Return a request for a child of this workflow, for ``spawn``.

        The variables are passed as one object or as keyword arguments.
        """
        return ChildRequest(self.name, vars if vars is not None else variables)

    def __repr__(self) -> str:
        return f"Workflow({self.name!r}, version={self.version})"


def locate_handler(handler: Callable[..., Any]) -> tuple[str, int]:
    """Return the file and the line of a handler's function."""
    code = inspect.unwrap(handler).__code__
    return code.co_filename, code.co_firstlineno


def _locate_caller() -> tuple[str, int]:
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame and frame.f_back else None
    while caller and caller.f_globals.get("__name__") == "typing":  # Workflow[Order](...) is called through it
        caller = caller.f_back
    return (caller.f_code.co_filename, caller.f_lineno) if caller else ("", 0)
