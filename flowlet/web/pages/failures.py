"""The page of errors: failures that are alike, how many workflows have each, and the way to retry them all.

What an error of HTTP looks like is ``errors.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from quart import Blueprint, Response, request

from flowlet.errors import UnknownWorkflowError
from flowlet.instances import Status
from flowlet.lettering import cleaned_lines
from flowlet.permitted import may_go_on
from flowlet.roles import Role
from flowlet.store.reports.errors import ErrorGroup, error_groups, failing_types
from flowlet.store.search import NAME_LENGTH
from flowlet.web.guards import needs, principal
from flowlet.web.pages.frame import page
from flowlet.web.problems import ProblemError, faulty
from flowlet.web.services import services

__all__ = ["GROUPS_SHOWN", "ShownGroup", "blueprint"]

GROUPS_SHOWN = 50
_BETWEEN = (Status.IN_PROGRESS, Status.EXECUTING, Status.PAUSED)


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group of errors as the page shows it.

    Attributes:
        may_retry: Whether who looks may retry it, and its workflows can be.
    """

    group: ErrorGroup
    may_retry: bool

    @property
    def message(self) -> str:
        """The message without what could turn a line round."""
        return cleaned_lines(self.group.message)

    @property
    def all_address(self) -> str:
        """Where all of its workflows are listed."""
        return self._listed()

    @property
    def failed_address(self) -> str:
        """Where those are listed that are FAILED."""
        return self._listed(Status.FAILED)

    @property
    def open_address(self) -> str:
        """Where those are listed that have not ended: that will try again, or are paused."""
        return self._listed(*_BETWEEN)

    @property
    def retry_address(self) -> str:
        """Where it is asked whether all of its workflows are to be retried: those that are in the group by then."""
        fits = urlencode({"error": self.group.fingerprint})
        return f"/workflows/bulk?{urlencode({'operation': 'retry', 'which': 'all', 'fits': fits})}"

    def _listed(self, *statuses: Status) -> str:
        pairs = [*(("status", status.value) for status in statuses), ("error", self.group.fingerprint)]
        return f"/workflows?{urlencode(pairs)}"


blueprint = Blueprint("failures", __name__)


@blueprint.get("/errors")
@needs(Role.VIEWER)
async def show() -> Response:
    """Show the groups of errors, the one that failed last first."""
    connections = services().store.connections
    type = _type()
    groups = await error_groups(connections, limit=GROUPS_SHOWN + 1, type=type)
    types = await failing_types(connections)
    return await page(
        "errors/errors.html",
        shown=[_shown(group) for group in groups[:GROUPS_SHOWN]],
        has_more=len(groups) > GROUPS_SHOWN,
        type=type,
        types=sorted({*types, *([type] if type else [])}),
        events=urlencode({"workflowType": type}) if type else "",
    )


def _type() -> str | None:
    """Return the workflow that is asked for; None for all.

    Raises:
        ProblemError: 400 if it cannot be the name of one.
    """
    given = request.args.get("type", "").strip()
    if len(given) > NAME_LENGTH or "\x00" in given or any("\ud800" <= letter <= "\udfff" for letter in given):
        raise ProblemError(faulty({"type": "is not the name of a workflow"}))
    return given or None


def _shown(group: ErrorGroup) -> ShownGroup:
    try:
        definition = services().registry.definition(group.type)
    except UnknownWorkflowError:
        definition = None
    return ShownGroup(group, principal().role.allows(Role.OPERATOR) and may_go_on(group.state, definition))
