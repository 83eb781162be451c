"""The errors page: groups of similar failures, the most harmful first, and for each a link to retry all its workflows.

The page of an HTTP error is ``flowlet.web.console.error_page``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup
from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.diagram.text_metrics import clean_lines
from flowlet.instance.instance import Instance, Status
from flowlet.operations.service import Operations
from flowlet.store.reports.error_times import read_error_trends, read_first_seen
from flowlet.store.reports.errors import ErrorGroup, ErrorOrder, read_error_groups, read_failing_types
from flowlet.text import MAX_IDENTIFIER_LENGTH, find_text_fault
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.charts import render_sparkline
from flowlet.web.console.forms.actions import run_operation
from flowlet.web.console.layout import render_page
from flowlet.web.forms import read_request_form
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = ["GROUPS_SHOWN", "ErrorGroupRow", "blueprint"]

GROUPS_SHOWN = 50
GROUPS_SEARCHED = 500
"""How many groups a search looks at: messages are in the rows, not in an index."""
MAX_SEARCH_LENGTH = 200
ORDER_LABELS = {ErrorOrder.HARM: "Most failed first", ErrorOrder.LATEST: "Latest first"}
_OPEN_STATUSES = (Status.IN_PROGRESS, Status.EXECUTING, Status.PAUSED)


@dataclass(frozen=True, slots=True)
class ErrorGroupRow:
    """A group of errors as the page shows it.

    Attributes:
        may_retry: Whether the user may retry workflows, and these can be retried.
        trend: For how many of its workflows the last failure was in each two hours of the last day.
    """

    group: ErrorGroup
    may_retry: bool
    trend: tuple[int, ...]

    @property
    def trend_line(self) -> Markup:
        """The trend as a line; "" if nothing has failed in the last day."""
        return render_sparkline(self.trend, tone="err") if any(self.trend) else Markup("")

    @property
    def trend_text(self) -> str:
        """The trend in words: the last two hours, and the day."""
        if self.group.is_at_least:
            return "too many to count by time"
        lately, all_ = self.trend[-1] if self.trend else 0, sum(self.trend)
        return f"{all_:,} in 24 h, {lately:,} in the last 2 h" if all_ else "none in 24 h"

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
    """Show the error groups, those of one workflow or with a text; by default the most FAILED workflows first."""
    store, type, text, order = get_services().store, _read_type(), _read_search_text(), _read_order()
    names, wanted = await store.state_names.read(), GROUPS_SEARCHED if text else GROUPS_SHOWN
    found = await read_error_groups(store.connections, names=names, limit=wanted + 1, type=type, order=order)
    groups = [group for group in found[:wanted] if _has_text(group, text)]
    types = await read_failing_types(store.connections)
    return await render_page(
        "errors/errors.html",
        error_groups=await _build_rows(groups[:GROUPS_SHOWN]),
        has_more=len(groups) > GROUPS_SHOWN or len(found) > wanted,
        searched=min(len(found), wanted),
        type=type,
        types=sorted({*types, *([type] if type else [])}),
        text=text,
        order=order,
        order_labels=ORDER_LABELS,
        event_filter=urlencode({"workflowType": type}) if type else "",
    )


@blueprint.post("/workflows/<id>/acknowledge")
@require_role(Role.OPERATOR)
async def acknowledge_failure(id: str) -> Redirection:
    """Close the failure of a workflow that needs no repair."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    reason = given.get_text("reason")

    async def acknowledge(operations: Operations, id: int, username: str, version: int) -> Instance:
        return await operations.acknowledge(id, username=username, reason=reason, expected_version=version)

    return await run_operation(instance, given, acknowledge, "Failure closed.", f"/workflows/{instance.id}")


@blueprint.post("/workflows/<id>/abort")
@require_role(Role.OPERATOR)
async def abort_attempt(id: str) -> Redirection:
    """Stop the running attempt of a workflow, and run it again."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    reason = given.get_text("reason").strip() or None

    async def abort(operations: Operations, id: int, username: str, version: int) -> Instance:
        return await operations.abort(id, username=username, reason=reason, expected_version=version)

    return await run_operation(instance, given, abort, "Attempt aborted: it runs again.", f"/workflows/{instance.id}")


def _read_type() -> str | None:
    """Return the workflow type in the URL; None for all.

    Raises:
        ProblemError: 400 if it cannot be the name of a workflow.
    """
    given = request.args.get("type", "").strip()
    if len(given) > MAX_IDENTIFIER_LENGTH or find_text_fault(given):
        raise ProblemError(build_faults_problem({"type": "is not the name of a workflow"}))
    return given or None


def _read_search_text() -> str:
    """Return the text that is searched for; "" for none.

    Raises:
        ProblemError: 400 if it cannot be in a message.
    """
    given = " ".join(request.args.get("q", "").split())
    if len(given) > MAX_SEARCH_LENGTH or find_text_fault(given):
        raise ProblemError(build_faults_problem({"q": f"has to be a text of at most {MAX_SEARCH_LENGTH} characters"}))
    return given


def _read_order() -> ErrorOrder:
    return ErrorOrder.LATEST if request.args.get("sort") == ErrorOrder.LATEST else ErrorOrder.HARM


def _has_text(group: ErrorGroup, text: str) -> bool:
    """Return whether a group has a text in its message, workflow or state, regardless of case."""
    place = " ".join(f"{group.message} {group.type} {group.state}".split())
    return text.casefold() in place.casefold()


async def _build_rows(groups: Sequence[ErrorGroup]) -> list[ErrorGroupRow]:
    store, may_retry = get_services().store, get_principal().role.is_at_least(Role.OPERATOR)
    # What is not counted to its end is not counted by time either: it would be read whole for that.
    fingerprints = [one for group in groups if not group.is_at_least for one in group.all_fingerprints]
    trends = await read_error_trends(store.connections, fingerprints, now=store.clock.now())
    rows = []
    for group in await read_first_seen(store.connections, groups):
        parts = [trends[one] for one in group.all_fingerprints if one in trends]
        rows.append(ErrorGroupRow(group, may_retry, tuple(map(sum, zip(*parts, strict=True)))))
    return rows
