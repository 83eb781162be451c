"""What the endpoints of workflows take. An empty text and a zero count as left out, because Go's clients send them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.alias_generators import to_camel

from flowlet.definition import MAX_NAME
from flowlet.errors import RefusedError, SearchError, UnknownStateError, UnknownWorkflowError, VariablesError
from flowlet.store.search import Order, SearchQuery, Variable
from flowlet.web.problems import ProblemError, faulty
from flowlet.web.schemas import Body, Time

__all__ = [
    "CancelRequest",
    "CreateRequest",
    "Filter",
    "NoRequest",
    "OptionalText",
    "PauseRequest",
    "SearchRequest",
    "StateRequest",
    "StateVarsRequest",
    "WaitSeconds",
    "WaitStates",
    "faults_named",
    "search_query",
]


def _plain(text: str | None) -> str | None:
    if text and text != text.strip():
        raise ValueError("begins or ends with white space")
    return text or None


OptionalText = Annotated[str | None, AfterValidator(lambda text: text or None)]
ExternalId = Annotated[str | None, Field(max_length=MAX_NAME), AfterValidator(_plain)]
OptionalId = Annotated[int | None, AfterValidator(lambda id: id or None)]
WaitSeconds = Annotated[float, Field(ge=0, le=3600)]
WaitStates = Annotated[list[str], Field(max_length=100)]


class CreateRequest(Body):
    """A new instance.

    Attributes:
        external_id: Unique over all instances; a random one if left out.
        business_key: The external id if left out.
        executor_group: The workflow's if left out.
        priority: The workflow's if left out; 0 to 9.
        next_activation: When it runs first; at once if left out or past.
        next_activation_offset: The same as a length of time from now, such as "10 minutes".
    """

    workflow_type: str
    external_id: ExternalId = None
    business_key: OptionalText = None
    executor_group: OptionalText = None
    priority: int | None = None
    state_vars: dict[str, Any] | None = None
    next_activation: Time | None = None
    next_activation_offset: OptionalText = None


class Filter(Body):
    """Which instances: id, externalId and businessKey are joined by OR, everything else by AND.

    Times are from the first one inclusive to the second one exclusive.

    Attributes:
        status: One status or several.
        state_vars: Which values variables have to have; a text finds also the number, true, false or null it spells.
    """

    id: OptionalId = None
    external_id: OptionalText = None
    business_key: OptionalText = None
    workflow_type: OptionalText = None
    state: OptionalText = None
    status: str | list[str] | None = None
    executor_group: OptionalText = None
    parent_id: OptionalId = None
    created_from: Time | None = None
    created_to: Time | None = None
    modified_from: Time | None = None
    modified_to: Time | None = None
    next_activation_from: Time | None = None
    next_activation_to: Time | None = None
    is_retrying: bool | None = None
    reason_contains: OptionalText = None
    state_vars: dict[str, Any] | None = None


class SearchRequest(Filter):
    """A page of instances; ``limit`` is 50 if it is left out, and 1,000 at most."""

    order_by: Literal["id", "created", "modified", "nextActivation", "next_activation"] = "id"
    descending: bool = True
    limit: int | None = None
    offset: int | None = None
    cursor: OptionalText = None


class StateRequest(Body):
    """Where an instance is to go.

    Attributes:
        next_activation: When the state is run; at once if left out or past.
        force: Whether it may leave the graph, or take the instance from its activation or its end.
        reason: Why; needed with force.
        form: The values of a manual state's form: the state is then the answer's choice.
    """

    state: str = Field(min_length=1)
    next_activation: Time | None = None
    force: bool = False
    reason: OptionalText = None
    form: dict[str, Any] | None = None


class StateVarsRequest(Body):
    """Variables to set: one by ``key`` and ``value``, or several by ``values`` and ``unset``."""

    key: str | None = None
    value: Any = ""
    values: dict[str, Any] | None = None
    unset: list[str] = Field(default_factory=list, max_length=1_000)
    expected_version: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it names no variable."""
        return not ((self.key or "").strip() or self.values or self.unset)

    @property
    def wanted(self) -> dict[str, Any]:
        """The new values by name.

        Raises:
            ProblemError: 400 if it names no variable, or names them in both ways.
        """
        if self.is_empty:
            raise ProblemError(faulty({"key": "is missing: name a variable, or send values or unset"}))
        if self.key is None:
            return self.values or {}
        if self.values or self.unset:
            raise ProblemError(faulty({"key": "cannot be combined with values or unset"}))
        return {self.key.strip(): self.value}


class NoRequest(Body):
    """Nothing to say: no body, or an empty object."""


class PauseRequest(Body):
    """Why an instance is held."""

    reason: OptionalText = None


class CancelRequest(PauseRequest):
    """Why an instance is ended, and whether all that descends from it ends too."""

    with_children: bool = False


def search_query(request: Filter, *, place: str = "", **more: Any) -> SearchQuery:
    """Return what is looked for.

    Args:
        request: The filters, and the page where it is a ``SearchRequest``.
        place: In which field of the body the filters stand, with a dot behind it.
        more: Further fields of the query.

    Raises:
        SearchError: If a value cannot be looked for; each is named as the request names it.
    """
    known = {field.name for field in fields(SearchQuery)}
    given = {name: value for name, value in request if name in known and value not in (None, "")}
    if isinstance(request, SearchRequest):
        given["order_by"] = _order(request.order_by)
        if not request.limit:
            given.pop("limit", None)
    names = list(request.state_vars or {})
    variables = [Variable(name, value) for name, value in (request.state_vars or {}).items()]
    try:
        return SearchQuery(**{**given, "variables": variables, **more})
    except SearchError as error:
        raise SearchError({place + _named(path, names): fault for path, fault in error.faults.items()}) from None


@contextmanager
def faults_named(**places: str) -> Iterator[None]:
    """Name faults by the request's fields, and what does not exist as a fault of the field that names it.

    Args:
        places: The field of ``variables``, ``form``, ``workflow`` and ``state``. An unknown workflow that no field
            names is the instance's own: that one is refused.
    """
    try:
        yield
    except VariablesError as error:
        kinds = [field for kind, field in places.items() if error.subject.startswith(f"the {kind} of ")]
        if not kinds:
            raise
        faults = {".".join(filter(None, (kinds[0], path))): fault for path, fault in error.faults.items()}
        raise VariablesError(error.subject, faults) from None
    except UnknownStateError as error:
        if "state" not in places:
            raise
        raise ProblemError(faulty({places["state"]: str(error)})) from None
    except UnknownWorkflowError as error:
        if "workflow" not in places:
            raise RefusedError(f"{error} Here it can only be paused, resumed, cancelled, retried or woken.") from None
        raise ProblemError(faulty({places["workflow"]: str(error)})) from None


def _order(name: str) -> Order:
    return "next_activation" if name == "nextActivation" else name  # type: ignore[return-value]  # checked by the model


def _named(path: str, names: list[str]) -> str:
    """Return a field of the query as the request names it."""
    head, _, rest = path.partition(".")
    if head != "variables":
        return to_camel(path)
    return ".".join(["stateVars", *([names[int(rest.partition(".")[0])][:80]] if rest else [])])
