"""The forms that create and edit a schedule: its next ten times are shown before anything is saved.

A form is sent twice: the first time it is checked, and its next times are computed; the second time it is saved, if
nothing in it has changed since. It needs no script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.clock import format_duration
from flowlet.definition.definition import Definition
from flowlet.errors import RefusedError, VariablesError
from flowlet.instance.json_text import write_json
from flowlet.operations.schedule_times import ScheduledTime
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.forms.actions import build_model_controls, read_version
from flowlet.web.console.forms.controls import Control
from flowlet.web.console.forms.model_form import FormSubmission, build_fields, format_initial_texts, read_submission
from flowlet.web.console.layout import render_page
from flowlet.web.console.pages.schedules import build_schedule_url
from flowlet.web.forms import Form, read_request_form
from flowlet.web.services import get_services
from flowlet.workflow.schedule import Schedule

__all__ = ["blueprint"]

FIELD_NAMES = ("name", "cron", "every", "timezone", "overlap", "catch_up", "jitter")
"""The names of the form's fields that every schedule has."""
_FIELDS_BY_FAULT = {"catchUp": "catch_up"}
OVERLAPS = (
    ("allow", "Start another workflow"),
    ("skip", "Skip this time"),
    ("wait", "Wait until it has ended"),
)
CATCH_UPS = (("none", "None"), ("last", "The last one"), ("all", "All"))

blueprint = Blueprint("schedule_forms", __name__)

SaveSchedule = Callable[[Schedule, Form], Awaitable[ScheduleRecord]]
"""Creates or edits the schedule of a form."""


@blueprint.get("/schedules/new")
@require_role(Role.OPERATOR)
async def show_new_form() -> Response:
    """Show the form of a new schedule of the workflow ``type``."""
    definition = get_services().registry.get_definition(request.args.get("type", ""))
    controls = build_model_controls(definition.vars)
    texts = {**dict.fromkeys(FIELD_NAMES, ""), "timezone": "UTC", "overlap": "allow", "catch_up": "last"}
    return await _render_form(definition, controls, format_initial_texts(controls), texts)


@blueprint.post("/schedules/new")
@require_role(Role.OPERATOR)
async def create_schedule() -> Response | Redirection:
    """Check a new schedule and show its next times; create it if they were shown already."""
    given = await read_request_form()  # before the definition: a form without its token gets 403, not 404
    definition = get_services().registry.get_definition(request.args.get("type", ""))

    async def create(schedule: Schedule, form: Form) -> ScheduleRecord:
        by = get_principal().username
        return await get_services().operations.schedules.create(definition.name, schedule, username=by)

    return await _preview_or_save(definition, given, create)


@blueprint.get("/schedules/<int:id>/edit")
@require_role(Role.OPERATOR)
async def show_edit_form(id: int) -> Response:
    """Show the form of a schedule that was created here."""
    here = get_services()
    record = await here.store.schedules.get_by_id(id)
    definition = here.registry.get_definition(record.type)
    controls = build_model_controls(definition.vars)
    jitter = format_duration(timedelta(microseconds=record.jitter)) if record.jitter else ""
    texts = {
        "name": record.name,
        "cron": record.cron or "",
        "every": record.every or "",
        "timezone": record.timezone,
        "overlap": record.overlap.value,
        "catch_up": record.catch_up.value,
        "jitter": jitter,
    }
    return await _render_form(definition, controls, format_initial_texts(controls, record.vars), texts, record=record)


@blueprint.post("/schedules/<int:id>/edit")
@require_role(Role.OPERATOR)
async def edit_schedule(id: int) -> Response | Redirection:
    """Check a changed schedule and show its next times; save it if they were shown already."""
    here = get_services()
    record = await here.store.schedules.get_by_id(id)
    definition = here.registry.get_definition(record.type)

    async def update(schedule: Schedule, form: Form) -> ScheduleRecord:
        version = read_version(form, "schedule")
        by = get_principal().username
        return await here.operations.schedules.update(record.name, schedule, username=by, expected_version=version)

    return await _preview_or_save(definition, await read_request_form(), update, record=record)


async def _preview_or_save(
    definition: Definition, form: Form, save: SaveSchedule, *, record: ScheduleRecord | None = None
) -> Response | Redirection:
    """Show the next times of the form's schedule, or its faults; save it if its times were shown already."""
    controls = build_model_controls(definition.vars)
    submission = read_submission(controls, form)
    texts = {name: form.get_text(name).strip() for name in FIELD_NAMES}
    if record is not None:
        texts["name"] = record.name
    schedule = _build_schedule(texts, submission)
    if submission.faults:
        return await _render_form(
            definition, controls, submission.texts, texts, record=record, variable_faults=submission.faults
        )
    digest = _compute_digest(texts, submission)
    try:
        times = get_services().operations.schedules.preview(definition.name, schedule)
        if form.get_text("previewed") == digest:
            saved = await save(schedule, form)
            return redirect_with_success("Saved." if record else "Created.", build_schedule_url(saved))
    except VariablesError as error:
        return await _render_form(
            definition,
            controls,
            submission.texts,
            texts,
            record=record,
            faults=_list_faults(error.faults),
            variable_faults=_list_variable_faults(error.faults),
        )
    except RefusedError as error:
        if record is not None:
            return redirect_with_error(str(error), build_schedule_url(record))
        faults = {"name": str(error)}
        return await _render_form(definition, controls, submission.texts, texts, faults=faults)
    return await _render_form(
        definition, controls, submission.texts, texts, record=record, next_times=times, digest=digest
    )


def _build_schedule(texts: Mapping[str, str], submission: FormSubmission) -> Schedule:
    return Schedule(
        texts["cron"] or None,
        name=texts["name"],
        every=texts["every"] or None,
        timezone=texts["timezone"] or "UTC",
        overlap=texts["overlap"],  # type: ignore[arg-type]  # checked with the rest
        catch_up=texts["catch_up"],  # type: ignore[arg-type]  # the same
        jitter=texts["jitter"] or None,
        vars=submission.values,
    )


def _compute_digest(texts: Mapping[str, str], submission: FormSubmission) -> str:
    """Return what differs where anything in the form does."""
    text = write_json([dict(texts), dict(submission.texts)], is_sorted=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _list_faults(faults: Mapping[str, str]) -> dict[str, str]:
    """Return the faults of the fields that every schedule has, by the form's names."""
    return {
        _FIELDS_BY_FAULT.get(field, field): fault
        for field, fault in faults.items()
        if field != "vars" and not field.startswith("vars.")
    }


def _list_variable_faults(faults: Mapping[str, str]) -> dict[str, str]:
    return {
        field.removeprefix("vars").removeprefix("."): fault
        for field, fault in faults.items()
        if field == "vars" or field.startswith("vars.")
    }


async def _render_form(
    definition: Definition,
    controls: Sequence[Control],
    typed_texts: Mapping[str, str],
    texts: Mapping[str, str],
    *,
    record: ScheduleRecord | None = None,
    faults: Mapping[str, str] | None = None,
    variable_faults: Mapping[str, str] | None = None,
    next_times: Sequence[ScheduledTime] = (),
    digest: str = "",
) -> Response:
    """Return the form; with status 422 if it has faults."""
    fields, rest = build_fields(controls, typed_texts, variable_faults)
    return await render_page(
        "schedules/form.html",
        status=422 if faults or variable_faults else 200,
        is_form_kept=True,
        definition=definition,
        schedule=record,
        back_url=build_schedule_url(record) if record else "/schedules",
        texts=texts,
        faults=faults or {},
        fields=fields,
        form_faults=rest,
        overlaps=OVERLAPS,
        catch_ups=CATCH_UPS,
        next_times=next_times,
        digest=digest,
    )
