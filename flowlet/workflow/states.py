"""What a workflow module is written with: ``Workflow``, ``state``, ``manual``, ``end``, ``error``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic, ParamSpec, TypeVar

from pydantic import BaseModel
from typing_extensions import TypeVar as TypeVarWithDefault

from flowlet.durations import Duration, parse_duration
from flowlet.instance.instance import PRIORITIES
from flowlet.text import MAX_NAME_LENGTH
from flowlet.workflow.outcome import ChildRequest, Next, Outcome
from flowlet.workflow.retry import Retry

__all__ = ["State", "StateKind", "VarsModel", "Workflow", "end", "error", "manual", "state"]

P = ParamSpec("P")
R = TypeVar("R")
VarsModel = TypeVarWithDefault("VarsModel", bound=BaseModel, default=Any)
"""The model of a workflow's variables; Any where it has none."""
Targets = Sequence["str | State[..., Any]"] | Mapping[str, str] | Mapping["State[..., Any]", str]


class StateKind(StrEnum):
    """The five kinds of state, as in GopherFlow."""

    START = "start"
    NORMAL = "normal"
    MANUAL = "manual"
    END = "end"
    ERROR = "error"


class State(Next, Generic[P, R]):
    """A state of a workflow: what the decorators return.

    Calling it calls the plain function, so that a handler is tested like any function. Returned from a handler it
    says where to go; its methods (``after``, ``at``, ``log``, ``spawn``, ``when_children_end``, ``wake_parent``) say
    how. Its name is the name it has in the module. ``file`` and ``line`` say where it is defined.
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
        deadline: Duration | None = None,
        on_deadline: str | State[..., Any] | None = None,
        is_start: bool = False,
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
        self.deadline: timedelta | None = None if deadline is None else parse_duration(deadline)
        self.on_deadline = on_deadline
        self.is_start = is_start
        self.file, self.line = location
        if handler is not None:
            self.__doc__ = handler.__doc__
            self.__name__ = handler.__name__
            self.__module__ = handler.__module__
            self.__wrapped__ = handler

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function.

        Raises:
            TypeError: If the state has none: it is an end or an error state.
        """
        if self.handler is None:
            raise TypeError(f"the {self.kind} state at {self.file}:{self.line} has no function to call")
        return self.handler(*args, **kwargs)

    def __repr__(self) -> str:
        name = getattr(self, "__name__", "")
        return f"<{self.kind} state {name or self.description!r} at {self.file}:{self.line}>"

    def _to_outcome(self) -> Outcome:
        return Outcome(self)


def state(
    *,
    next: Targets,
    start: bool = False,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    on_error: str | State[..., Any] | None = None,
) -> Callable[[Callable[P, R]], State[P, R]]:
    """Make a function the handler of a state.

    Args:
        next: The states it may go to: a list of states or names (names for those defined further down), or a dict
            of name to label. A state may list itself.
        start: Whether instances begin here; exactly one state of a module says so.
        retry: Instead of the workflow's policy.
        timeout: After how long an attempt is stopped and counts as failed. A plain ``def`` runs in a thread, which
            cannot be stopped: its result is thrown away.
        on_error: The state to go to when the attempts are used up, one of ``next``. Without it the instance is
            FAILED and stays here, so that a retry goes on exactly here.

    Raises:
        DurationError: If ``timeout`` is not a length of time.
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
            location=_locate_handler(handler),
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
) -> Callable[[Callable[P, R]], State[P, R]]:
    """Make a function the handler of a manual state: it runs when a person or the API has chosen.

    In the handler ``ctx.choice`` is the chosen state's name and ``ctx.username`` who chose. Returning nothing follows
    the choice; returning a state overrides it.

    Args:
        next: The choices, as for ``state``; labels are what the buttons say.
        form: A model whose values come with the answer; they are validated before anything moves.
        deadline: How long to wait for an answer; needs ``on_deadline``.
        on_deadline: Where it goes without an answer, one of ``next``; the handler does not run then.
        start: As for ``state``; instances then begin by waiting.
        retry: As for ``state``.
        timeout: As for ``state``; of the handler, not of the wait.
        on_error: As for ``state``.

    Raises:
        DurationError: If ``deadline`` or ``timeout`` is not a length of time.
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
            location=_locate_handler(handler),
        )

    return decorate


def end(description: str = "") -> State[[], None]:
    """Return an end state: an instance that reaches it is FINISHED. Its name is the name it is assigned to."""
    return State(StateKind.END, None, description=description, location=_locate_caller())


def error(description: str = "") -> State[[], None]:
    """Return an error state: an instance that reaches it is FAILED. Its name is the name it is assigned to."""
    return State(StateKind.ERROR, None, description=description, location=_locate_caller())


class Workflow(Generic[VarsModel]):
    """What is true of a whole workflow. A module has at most one.

    Args:
        name: Its name everywhere: in the database, the API and the console.
        vars: The model of its variables; without one they are a free JSON object at ``ctx.vars``.
        version: Raise it when states or variables change; each line of history tells its version.
        retry: What states do that have no policy of their own.
        description: Instead of the module's docstring.
        group: The executor group of its instances.
        priority: Of its instances, 0 to 9; the higher runs first among those that are due.
        loop_limit: After how many transitions without any wait an instance is taken to run in circles, and fails.

    Raises:
        ValueError: If the name is empty, longer than 120 characters, "." or "..", or a number is out of range.
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
    ) -> None:
        if not name or len(name) > MAX_NAME_LENGTH or name != name.strip():
            raise ValueError(
                f"a workflow's name has 1 to {MAX_NAME_LENGTH} characters and no space around it, not {name!r}"
            )
        if name in (".", ".."):
            raise ValueError(f"a workflow cannot be called {name!r}: browsers take it out of every address")
        if version < 1 or loop_limit < 1 or priority not in PRIORITIES:
            raise ValueError(f"Workflow({name!r}): version and loop_limit are at least 1, priority is 0 to 9")
        self.name = name
        self.vars = vars
        self.version = version
        self.retry = retry or Retry()
        self.description = description
        self.group = group
        self.priority = priority
        self.loop_limit = loop_limit
        self.file, self.line = _locate_caller()

    def child(self, vars: BaseModel | Mapping[str, Any] | None = None, /, **variables: Any) -> ChildRequest:
        """Return a request for a child of this workflow, for ``Next.spawn``; variables as an object or by keyword."""
        return ChildRequest(self.name, vars if vars is not None else variables)

    def __repr__(self) -> str:
        return f"Workflow({self.name!r}, version={self.version})"


def _locate_handler(handler: Callable[..., Any]) -> tuple[str, int]:
    code = inspect.unwrap(handler).__code__
    return code.co_filename, code.co_firstlineno


def _locate_caller() -> tuple[str, int]:
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame and frame.f_back else None
    while caller and caller.f_globals.get("__name__") == "typing":  # Workflow[Order](...) is called through it
        caller = caller.f_back
    return (caller.f_code.co_filename, caller.f_lineno) if caller else ("", 0)
