"""Between the words of a request and those of the store and the operations: what is asked, and what was wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from pydantic.alias_generators import to_camel

from flowlet.errors import RefusedError, SearchError, UnknownStateError, UnknownWorkflowError, VariablesError
from flowlet.store.search.query import SearchQuery, SortKey, VariableFilter
from flowlet.web.api.requests import SearchRequest, WorkflowFilter
from flowlet.web.problems import ProblemError, build_faults_problem

__all__ = ["build_search_query", "rename_faults"]


def build_search_query(request: WorkflowFilter, *, field_prefix: str = "", **overrides: Any) -> SearchQuery:
    """Return what is looked for.

    Args:
        request: The filters, and the page where it is a ``SearchRequest``.
        field_prefix: In which field of the body the filters stand, with a dot behind it.
        overrides: Further fields of the query.

    Raises:
        SearchError: If a value cannot be looked for; each is named as the request names it.
    """
    known = {field.name for field in fields(SearchQuery)}
    given = {name: value for name, value in request if name in known and value is not None}
    if isinstance(request, SearchRequest):
        given["order_by"] = _parse_order(request.order_by)
    names = list(request.state_vars or {})
    variables = [VariableFilter(name, value) for name, value in (request.state_vars or {}).items()]
    try:
        return SearchQuery(**{**given, "variables": variables, **overrides})
    except SearchError as error:
        raise SearchError(
            {field_prefix + _format_request_field(path, names): fault for path, fault in error.faults.items()}
        ) from None


@contextmanager
def rename_faults(**field_names: str) -> Iterator[None]:
    """Name faults by the request's fields, and what does not exist as a fault of the field that names it.

    Args:
        field_names: The field of ``variables``, ``form``, ``workflow`` and ``state``. An unknown workflow that no field
            names is the instance's own: that one is refused.
    """
    try:
        yield
    except VariablesError as error:
        kinds = [field for kind, field in field_names.items() if error.subject.startswith(f"the {kind} of ")]
        if not kinds:
            raise
        faults = {".".join(filter(None, (kinds[0], path))): fault for path, fault in error.faults.items()}
        raise VariablesError(error.subject, faults) from None
    except UnknownStateError as error:
        if "state" not in field_names:
            raise
        raise ProblemError(build_faults_problem({field_names["state"]: str(error)})) from None
    except UnknownWorkflowError as error:
        if "workflow" not in field_names:
            raise RefusedError(f"{error} Here it can only be paused, resumed, cancelled, retried or woken.") from None
        raise ProblemError(build_faults_problem({field_names["workflow"]: str(error)})) from None


def _parse_order(name: str) -> SortKey:
    return "next_activation" if name == "nextActivation" else name  # type: ignore[return-value]  # checked by the model


def _format_request_field(path: str, names: list[str]) -> str:
    """Return a field of the query as the request names it."""
    head, _, rest = path.partition(".")
    if head != "variables":
        return to_camel(path)
    return ".".join(["stateVars", *([names[int(rest.partition(".")[0])][:80]] if rest else [])])
