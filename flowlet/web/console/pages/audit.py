"""The audit page: who did what, for admins."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from quart import Blueprint, Response, request

from flowlet.accounts.audit import AuditAction, AuditRecord
from flowlet.accounts.roles import Role
from flowlet.store.people.audit import AuditQuery
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_INTEGER, parse_number
from flowlet.web.auth import require_role
from flowlet.web.console.layout import render_page
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = ["blueprint"]

RECORDS_SHOWN = 50

blueprint = Blueprint("audit_list", __name__)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A record as the page shows it.

    Attributes:
        subject_url: The page of its subject; "" for none.
    """

    record: AuditRecord
    subject_url: str


@blueprint.get("/audit")
@require_role(Role.ADMIN)
async def show_audit() -> Response:
    """Show a page of the audit, the newest record first."""
    person, action, before = request.args.get("person", "").strip(), request.args.get("action", ""), _read_before()
    faults = {}
    if len(person) > MAX_IDENTIFIER_LENGTH:
        faults["person"] = f"must have at most {MAX_IDENTIFIER_LENGTH} characters"
    if action and action not in set(AuditAction):
        faults["action"] = "must be one of the offered actions"
    if faults:
        raise ProblemError(build_faults_problem(faults))
    query = AuditQuery(person or None, action or None, before, RECORDS_SHOWN + 1)
    found = await get_services().store.audit.list_page(query)
    shown = found[:RECORDS_SHOWN]
    filters = {name: value for name, value in (("person", person), ("action", action)) if value}
    return await render_page(
        "audit/audit.html",
        rows=[AuditRow(one, _build_subject_url(one)) for one in shown],
        person=person,
        action=action,
        actions=[one.value for one in AuditAction],
        newest_url=_build_url(filters) if before is not None else None,
        older_url=_build_url({**filters, "before": str(shown[-1].id)}) if len(found) > RECORDS_SHOWN else None,
    )


def _read_before() -> int | None:
    """Return the id before which the page begins; None for the newest records.

    Raises:
        ProblemError: 400 if it is not the id of a record.
    """
    given = request.args.get("before", "")
    if not given:
        return None
    number = parse_number(given)
    if number is None or not 0 < number <= MAX_INTEGER:
        raise ProblemError(build_faults_problem({"before": "must be the id of an audit entry"}))
    return number


def _build_url(filters: dict[str, str]) -> str:
    return f"/audit?{urlencode(filters)}" if filters else "/audit"


def _build_subject_url(record: AuditRecord) -> str:
    match record.action.partition(".")[0]:
        case "workflow":
            return f"/workflows/{record.subject}"
        case "schedule":
            return f"/schedules/{quote(record.subject, safe='')}"
        case "team":
            return f"/teams#team-{record.subject}"
        case _:
            return ""
