"""Translation between the API's names and those of the store and the operations: queries, and faults."""

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
    """Return the query of a request.

    Args:
        request: The filters; for a ``SearchRequest`` also the page.
        field_prefix: The path of the filters in the body, with a dot at its end.
        overrides: Further fields of the query.

    Raises:
        SearchError: If a value cannot be searched for; each fault has the request's name of its field.
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
    """Give faults the request's field names, and turn an unknown state or workflow into a fault of its field.

    Args:
        field_names: The request's field for ``variables``, ``form``, ``workflow`` and ``state``. Without a field for
            ``workflow``, the unknown workflow is the instance's own, and the operation is refused.
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
            raise RefusedError(
                f"{error} This process can only pause, resume, cancel, retry or wake this workflow."
            ) from None
        raise ProblemError(build_faults_problem({field_names["workflow"]: str(error)})) from None


def _parse_order(name: str) -> SortKey:
    return "next_activation" if name == "nextActivation" else name  # type: ignore[return-value]  # checked by the model


def _format_request_field(path: str, names: list[str]) -> str:
    """Return the request's name of a field of the query."""
    head, _, rest = path.partition(".")
    if head != "variables":
        return to_camel(path)
    return ".".join(["stateVars", *([names[int(rest.partition(".")[0])][:80]] if rest else [])])
