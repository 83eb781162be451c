"""The form that starts a workflow, made from the model of its variables.

Each form has a generated external id. If it is sent twice, it starts one workflow: the second time the id exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from quart import Blueprint, Response
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.clock import is_calendar_time, parse_time, to_datetime, to_microseconds
from flowlet.definition.definition import Definition
from flowlet.errors import VariablesError
from flowlet.instance.external_id import generate_external_id
from flowlet.instance.instance import PRIORITIES
from flowlet.instance.new_instance import Created
from flowlet.text import parse_number
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.definition_rows import build_definition_url, build_start_url
from flowlet.web.console.flash import redirect_with_success
from flowlet.web.console.forms.actions import build_model_controls
from flowlet.web.console.forms.controls import Control
from flowlet.web.console.forms.model_form import FormSubmission, build_fields, format_initial_texts, read_submission
from flowlet.web.console.layout import render_page
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint"]

COMMON_FIELDS = ("key", "external_id", "group", "priority", "not_before", "form_id")
"""The names of the form's fields that every workflow has."""
_FIELD_NAMES = {
    "businessKey": "key",
    "externalId": "external_id",
    "executorGroup": "group",
    "nextActivation": "not_before",
}

blueprint = Blueprint("start_form", __name__)


@blueprint.get("/start/<path:name>")
@require_role(Role.OPERATOR)
async def show_start_form(name: str) -> Response:
    """Show the form with the model's defaults."""
    definition = get_services().registry.get_definition(name)
    parts = build_model_controls(definition.vars)
    own = {
        **dict.fromkeys(COMMON_FIELDS, ""),
        "priority": str(definition.priority),
        "form_id": generate_external_id(get_services().store.clock.now()),
    }
    return await _render_start_form(definition, parts, format_initial_texts(parts), own)


@blueprint.post("/start/<path:name>")
@require_role(Role.OPERATOR)
async def start_workflow(name: str) -> Response | Redirection:
    """Start a workflow, and redirect to its page."""
    definition, given = get_services().registry.get_definition(name), await read_request_form()
    parts = build_model_controls(definition.vars)
    sent, own = read_submission(parts, given), {field: given.get_text(field).strip() for field in COMMON_FIELDS}
    values, faults = _parse_common_values(own)
    if wrong := _find_variable_faults(definition, sent):
        return await _render_start_form(definition, parts, sent.texts, own, faults=faults, variable_faults=wrong)
    try:
        if not faults:
            return _redirect_to_instance(definition, await _create_instance(definition, sent, own, values))
    except VariablesError as error:
        faults = {_FIELD_NAMES.get(path, path): fault for path, fault in error.faults.items()}
    return await _render_start_form(definition, parts, sent.texts, own, faults=faults)


async def _create_instance(
    definition: Definition, submission: FormSubmission, common_values: Mapping[str, str], values: Mapping[str, Any]
) -> Created:
    return await get_services().operations.create(
        definition.name,
        vars=submission.values,
        key=common_values["key"] or None,
        external_id=common_values["external_id"] or common_values["form_id"] or None,
        group=common_values["group"] or None,
        username=get_principal().username,
        **values,
    )


def _redirect_to_instance(definition: Definition, created: Created) -> Redirection:
    message = f"Started {definition.name} #{created.id}."
    if not created.is_new:
        message = f"Nothing new started: #{created.id} already has this external id, or this form already started it."
    return redirect_with_success(message, f"/workflows/{created.id}")


def _find_variable_faults(definition: Definition, submission: FormSubmission) -> Mapping[str, str]:
    """Return the faults of the variables by path: those of parsing, or else those of the model."""
    if submission.faults:
        return submission.faults
    try:
        definition.validate_vars(submission.values)
    except VariablesError as error:
        return error.faults
    return {}


def _parse_common_values(common_values: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the priority and the time of the first activation, and their faults."""
    faults = {}
    priority, when = (
        parse_number(common_values["priority"], maximum=max(PRIORITIES)),
        _parse_time(common_values["not_before"]),
    )
    if common_values["priority"] and priority is None:
        faults["priority"] = f"Enter a whole number from 0 to {max(PRIORITIES)}"
    if common_values["not_before"] and when is None:
        faults["not_before"] = "Enter a time such as 2026-11-24T12:00 (UTC)"
    return {"priority": priority, "when": when}, faults


def _parse_time(text: str) -> datetime | None:
    try:
        found = to_microseconds(parse_time(text))
    except (ValueError, OverflowError):
        return None
    return to_datetime(found) if is_calendar_time(found) else None


async def _render_start_form(
    definition: Definition,
    form_controls: Sequence[Control],
    typed_texts: Mapping[str, str],
    common_values: Mapping[str, str],
    *,
    faults: Mapping[str, str] | None = None,
    variable_faults: Mapping[str, str] | None = None,
) -> Response:
    """Return the form; with status 422 if its common fields or its variables have faults."""
    shown, rest = build_fields(form_controls, typed_texts, variable_faults)
    return await render_page(
        "start_form/start_form.html",
        status=422 if faults or variable_faults else 200,
        definition=definition,
        definition_url=build_definition_url(definition.name),
        start_url=build_start_url(definition.name),
        common_values=common_values,
        faults=faults or {},
        fields=shown,
        form_faults=rest,
        levels=[(str(level), str(level)) for level in PRIORITIES],
    )
