"""Between the words of a request and those of the store and the operations: what is asked, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from pydantic.alias_generators import to_camel

from flowlet.errors import RefusedError, SearchError, UnknownStateError, UnknownWorkflowError, VariablesError
from flowlet.store.search import Order, SearchQuery, Variable
from flowlet.web.api.requests import Filter, SearchRequest
from flowlet.web.problems import ProblemError, faulty

__all__ = ["faults_named", "search_query"]


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
    given = {name: value for name, value in request if name in known and value is not None}
    if isinstance(request, SearchRequest):
        given["order_by"] = _order(request.order_by)
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
