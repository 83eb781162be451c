"""The form that starts a workflow, made from the model of its variables.

A form carries an external id of its own. Sent twice, it starts one workflow: the second time it is known already.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from quart import Blueprint, Response
from werkzeug.wrappers import Response as Redirection

from flowlet.clock import microseconds, moment
from flowlet.definition import Definition
from flowlet.errors import VariablesError
from flowlet.instances import LEVELS
from flowlet.roles import Role
from flowlet.store.instances import Created
from flowlet.texts import number_in
from flowlet.web.forms import form
from flowlet.web.guards import needs, principal
from flowlet.web.pages.controls import Control, controls
from flowlet.web.pages.frame import page
from flowlet.web.pages.model_forms import Sent, fields, read, texts
from flowlet.web.pages.notices import done
from flowlet.web.pages.outlines import address, form_address
from flowlet.web.services import services

__all__ = ["blueprint"]

OWN = ("key", "external_id", "group", "priority", "not_before", "form_id")
"""The fields that every workflow has, by their names in the form."""
_FIELDS = {"businessKey": "key", "externalId": "external_id", "executorGroup": "group", "nextActivation": "not_before"}

blueprint = Blueprint("starting", __name__)


@blueprint.get("/start/<path:name>")
@needs(Role.OPERATOR)
async def ask(name: str) -> Response:
    """Show the form with the model's defaults."""
    definition = services().registry.definition(name)
    parts = _controls(definition)
    own = {**dict.fromkeys(OWN, ""), "priority": str(definition.priority), "form_id": str(uuid.uuid4())}
    return await _page(definition, parts, texts(parts), own)


@blueprint.post("/start/<path:name>")
@needs(Role.OPERATOR)
async def start(name: str) -> Response | Redirection:
    """Start a workflow, and lead to its page."""
    definition, given = services().registry.definition(name), await form()
    parts = _controls(definition)
    sent, own = read(parts, given), {field: given.text(field).strip() for field in OWN}
    values, faults = _read_own(own)
    if wrong := _faults_of(definition, sent):
        return await _page(definition, parts, sent.texts, own, faults=faults, wrong=wrong)
    try:
        if not faults:
            return _started(definition, await _create(definition, sent, own, values))
    except VariablesError as error:
        faults = {_FIELDS.get(path, path): fault for path, fault in error.faults.items()}
    return await _page(definition, parts, sent.texts, own, faults=faults)


async def _create(definition: Definition, sent: Sent, own: Mapping[str, str], values: Mapping[str, Any]) -> Created:
    return await services().operations.create(
        definition.name,
        vars=sent.values,
        key=own["key"] or None,
        external_id=own["external_id"] or own["form_id"] or None,
        group=own["group"] or None,
        username=principal().username,
        **values,
    )


def _started(definition: Definition, created: Created) -> Redirection:
    told = f"Started: {definition.name} #{created.id}."
    if not created.is_new:
        told = f"Nothing new was started: #{created.id} has this external id already, or this form has started it."
    return done(told, f"/workflows/{created.id}")


def _faults_of(definition: Definition, sent: Sent) -> Mapping[str, str]:
    """Return what is wrong with the variables, by path: with what was typed, and where that can be read, with all."""
    if sent.faults:
        return sent.faults
    try:
        definition.checked_vars(sent.values)
    except VariablesError as error:
        return error.faults
    return {}


def _read_own(own: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the priority and the time of the first activation, and what is wrong with them."""
    faults = {}
    priority, when = number_in(own["priority"], most=max(LEVELS)), _time(own["not_before"])
    if own["priority"] and priority is None:
        faults["priority"] = f"has to be a whole number from 0 to {max(LEVELS)}"
    if own["not_before"] and when is None:
        faults["not_before"] = "is not a time: write 2026-11-24T12:00, in UTC"
    return {"priority": priority, "when": when}, faults


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return moment(microseconds(at if at.tzinfo else at.replace(tzinfo=UTC)))
    except (ValueError, OverflowError):
        return None


def _controls(definition: Definition) -> tuple[Control, ...]:
    return controls(definition.vars.model_json_schema() if definition.vars else None)


async def _page(
    definition: Definition,
    parts: Sequence[Control],
    typed: Mapping[str, str],
    own: Mapping[str, str],
    *,
    faults: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> Response:
    """Return the form; with status 422 where it has faults, of its own fields or of the variables."""
    shown, rest = fields(parts, typed, wrong)
    return await page(
        "definitions/start.html",
        status=422 if faults or wrong else 200,
        definition=definition,
        address=address(definition.name),
        form_address=form_address(definition.name),
        own=own,
        faults=faults or {},
        fields=shown,
        rest=rest,
        levels=[(str(level), str(level)) for level in LEVELS],
    )
