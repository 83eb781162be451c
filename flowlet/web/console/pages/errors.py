"""The page of errors: failures that are alike, how many workflows have each, and the way to retry them all.

What an error of HTTP looks like is ``errors.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from quart import Blueprint, Response, request

from flowlet.accounts.roles import Role
from flowlet.diagram.text_metrics import clean_lines
from flowlet.errors import UnknownWorkflowError
from flowlet.instance.instance import Status
from flowlet.operations.permitted import may_be_retried
from flowlet.store.reports.errors import ErrorGroup, read_error_groups, read_failing_types
from flowlet.text import MAX_IDENTIFIER_LENGTH, find_text_fault
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.layout import render_page
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = ["GROUPS_SHOWN", "ErrorGroupRow", "blueprint"]

GROUPS_SHOWN = 50
_OPEN_STATUSES = (Status.IN_PROGRESS, Status.EXECUTING, Status.PAUSED)


@dataclass(frozen=True, slots=True)
class ErrorGroupRow:
    """A group of errors as the page shows it.

    Attributes:
        may_retry: Whether who looks may retry it, and its workflows can be.
    """

    group: ErrorGroup
    may_retry: bool

    @property
    def message(self) -> str:
        """The message without what could turn a line round."""
        return clean_lines(self.group.message)

    @property
    def all_url(self) -> str:
        """Where all of its workflows are listed."""
        return self._build_list_url()

    @property
    def failed_url(self) -> str:
        """Where those are listed that are FAILED."""
        return self._build_list_url(Status.FAILED)

    @property
    def open_url(self) -> str:
        """Where those are listed that have not ended: that will try again, or are paused."""
        return self._build_list_url(*_OPEN_STATUSES)

    @property
    def retry_url(self) -> str:
        """Where it is asked whether all of its workflows are to be retried: those that are in the group by then."""
        fits = urlencode({"error": self.group.fingerprint})
        return f"/workflows/bulk?{urlencode({'operation': 'retry', 'which': 'all', 'fits': fits})}"

    def _build_list_url(self, *statuses: Status) -> str:
        pairs = [*(("status", status.value) for status in statuses), ("error", self.group.fingerprint)]
        return f"/workflows?{urlencode(pairs)}"


blueprint = Blueprint("failures", __name__)


@blueprint.get("/errors")
@require_role(Role.VIEWER)
async def show_errors() -> Response:
    """Show the groups of errors, the one that failed last first."""
    connections = get_services().store.connections
    type = _read_type()
    groups = await read_error_groups(connections, limit=GROUPS_SHOWN + 1, type=type)
    types = await read_failing_types(connections)
    return await render_page(
        "errors/errors.html",
        shown=[_build_row(group) for group in groups[:GROUPS_SHOWN]],
        has_more=len(groups) > GROUPS_SHOWN,
        type=type,
        types=sorted({*types, *([type] if type else [])}),
        events=urlencode({"workflowType": type}) if type else "",
    )


def _read_type() -> str | None:
    """Return the workflow that is asked for; None for all.

    Raises:
        ProblemError: 400 if it cannot be the name of one.
    """
    given = request.args.get("type", "").strip()
    if len(given) > MAX_IDENTIFIER_LENGTH or find_text_fault(given):
        raise ProblemError(build_faults_problem({"type": "is not the name of a workflow"}))
    return given or None


def _build_row(group: ErrorGroup) -> ErrorGroupRow:
    try:
        definition = get_services().registry.get_definition(group.type)
    except UnknownWorkflowError:
        definition = None
    return ErrorGroupRow(
        group, get_principal().role.is_at_least(Role.OPERATOR) and may_be_retried(group.state, definition)
    )
