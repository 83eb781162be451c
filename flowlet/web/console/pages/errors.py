"""The errors page: groups of similar failures, the number of workflows of each, and a link to retry them all.

The page of an HTTP error is ``flowlet.web.console.error_page``.
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
        may_retry: Whether the user may retry workflows, and these can be retried.
    """

    group: ErrorGroup
    may_retry: bool

    @property
    def message(self) -> str:
        """The message, without characters that change the direction of text."""
        return clean_lines(self.group.message)

    @property
    def all_url(self) -> str:
        """The list of all its workflows."""
        return self._build_list_url()

    @property
    def failed_url(self) -> str:
        """The list of its FAILED workflows."""
        return self._build_list_url(Status.FAILED)

    @property
    def open_url(self) -> str:
        """The list of its workflows that have not ended: they will retry, or are paused."""
        return self._build_list_url(*_OPEN_STATUSES)

    @property
    def retry_url(self) -> str:
        """The preview of retrying all workflows that are in the group by then."""
        filters = urlencode({"error": self.group.fingerprint})
        return f"/workflows/bulk?{urlencode({'operation': 'retry', 'scope': 'all', 'filters': filters})}"

    def _build_list_url(self, *statuses: Status) -> str:
        pairs = [*(("status", status.value) for status in statuses), ("error", self.group.fingerprint)]
        return f"/workflows?{urlencode(pairs)}"


blueprint = Blueprint("failures", __name__)


@blueprint.get("/errors")
@require_role(Role.VIEWER)
async def show_errors() -> Response:
    """Show the error groups, the latest failure first."""
    store, type = get_services().store, _read_type()
    names = await store.state_names.read()
    groups = await read_error_groups(store.connections, names=names, limit=GROUPS_SHOWN + 1, type=type)
    types = await read_failing_types(store.connections)
    return await render_page(
        "errors/errors.html",
        error_groups=[_build_row(group) for group in groups[:GROUPS_SHOWN]],
        has_more=len(groups) > GROUPS_SHOWN,
        type=type,
        types=sorted({*types, *([type] if type else [])}),
        event_filter=urlencode({"workflowType": type}) if type else "",
    )


def _read_type() -> str | None:
    """Return the workflow type in the URL; None for all.

    Raises:
        ProblemError: 400 if it cannot be the name of a workflow.
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
