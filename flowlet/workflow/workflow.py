"""The declaration of a whole workflow: its name, its variables, and what holds for all of its states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowlet.instance.instance import PRIORITIES
from flowlet.text import MAX_NAME_LENGTH
from flowlet.workflow.keep import Keep
from flowlet.workflow.limits import Limit, Rate
from flowlet.workflow.outcome import ChildRequest
from flowlet.workflow.retry import Retry
from flowlet.workflow.schedule import Schedule
from flowlet.workflow.states import locate_caller

__all__ = ["VarsModel", "Workflow"]

VarsModel = TypeVar("VarsModel", bound=BaseModel, default=Any)
"""The model of a workflow's variables; Any if it has none."""


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
        limit: How many attempts of all of its states together run at once, over all executors.
        rate: How many of them begin in a length of time, over all executors.
        summary: An instance in one line, such as ``"{customer}: {amount}"``; written like the ``title`` of ``manual``.

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
        summary: str | None = None,
        limit: Limit | None = None,
        rate: Rate | None = None,
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
        self.summary = summary
        self.limit, self.rate = limit, rate
        self.file, self.line = locate_caller()

    def child(self, vars: BaseModel | Mapping[str, Any] | None = None, /, **variables: Any) -> ChildRequest:
        """Return a request for a child of this workflow, for ``spawn``.

        The variables are passed as one object or as keyword arguments.
        """
        return ChildRequest(self.name, vars if vars is not None else variables)

    def __repr__(self) -> str:
        return f"Workflow({self.name!r}, version={self.version})"
