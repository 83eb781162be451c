"""Workflows in the API: created, looked up, searched, and each of the things that an operator does with one."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel
from quart import Blueprint, Response, request
from quart.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from flowlet.clock import moment
from flowlet.errors import UnknownInstanceError
from flowlet.instances import Instance
from flowlet.permitted import Operation
from flowlet.roles import Role
from flowlet.store.instances import Created
from flowlet.web.answers import json_answer
from flowlet.web.api.requests import (
    CancelRequest,
    CreateRequest,
    NoRequest,
    PauseRequest,
    SearchRequest,
    StateRequest,
    StateVarsRequest,
)
from flowlet.web.api.shapes import (
    ActionShape,
    ChangedShape,
    ChildShape,
    CreatedShape,
    PageShape,
    PermittedShape,
    WorkflowShape,
    history_shapes,
)
from flowlet.web.api.terms import faults_named, search_query
from flowlet.web.guards import needs, principal
from flowlet.web.openapi import described
from flowlet.web.parsing import body
from flowlet.web.problems import ProblemError, faulty, forbidden
from flowlet.web.services import services

__all__ = ["blueprint", "by_external_id_first", "create", "edit", "enter"]

blueprint = Blueprint("workflows", __name__)


class Reference(BaseConverter):
    """The id of an instance, or its external id, where it stands at the end of a path.

    Not what has a meaning of its own there: ``GET /api/workflows/search`` is a method that this path does not take. An
    instance with such an external id is found by ``/api/workflowByExternalId/search``.
    """

    regex = r"(?!(?:bulk|search)$)[^/]+"


@blueprint.record_once
def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["reference"] = Reference


Request = TypeVar("Request", bound=BaseModel)


@blueprint.post("/api/workflows")
@needs(Role.OPERATOR)
@described(
    body=CreateRequest,
    answers={201: CreatedShape, 200: CreatedShape},
    leads_to="/api/workflows/{id}",
    is_located=True,
)
async def create_workflow() -> Response:
    """Create an instance: 201; 200 where the external id is known, whose instance stays as it is."""
    created = await create(await body(CreateRequest))
    shape = CreatedShape(id=created.id, external_id=created.external_id)
    headers = {"Location": f"/api/workflows/{created.id}"}
    return json_answer(shape, status=201 if created.is_new else 200, headers=headers)


@blueprint.get("/api/workflows/<reference:id>")
@needs(Role.VIEWER)
@described(answers={200: WorkflowShape})
async def show_workflow(id: str) -> Response:
    """Return the instance of an id, or of an external id that is no number."""
    return json_answer(WorkflowShape.of(await services().store.reads.find(id)))


@blueprint.get("/api/workflowByExternalId/<path:external_id>")
@needs(Role.VIEWER)
@described(answers={200: WorkflowShape})
async def show_workflow_by_external_id(external_id: str) -> Response:
    """Return the instance of an external id."""
    return json_answer(WorkflowShape.of(await by_external_id_first(external_id)))


@blueprint.post("/api/workflows/search")
@needs(Role.VIEWER)
@described(body=SearchRequest, answers={200: PageShape})
async def search_workflows() -> Response:
    """Return a page of the instances that fit."""
    query = search_query(await body(SearchRequest))
    return json_answer(PageShape.of(query, await services().store.reads.search(query)))


@blueprint.post("/api/workflows/<id>/state")
@needs(Role.OPERATOR)
@described(body=StateRequest, answers={200: ChangedShape}, problems=(404, 409))
async def enter_state(id: str) -> Response:
    """Answer a manual state, or move an instance along a transition; by force, which admins may, to any state."""
    wanted = await body(StateRequest)
    return _changed(await enter(await services().store.reads.find(id), wanted))


@blueprint.post("/api/workflows/<id>/statevars")
@needs(Role.OPERATOR)
@described(body=StateVarsRequest, answers={200: ChangedShape}, problems=(404, 409))
async def edit_variables(id: str) -> Response:
    """Set and remove variables by name."""
    wanted = await body(StateVarsRequest)
    return _changed(await edit(await services().store.reads.find(id), wanted))


@blueprint.post("/api/workflows/<id>/pause")
@needs(Role.OPERATOR)
@described(body=PauseRequest, is_optional=True, answers={200: ChangedShape}, problems=(404, 409))
async def pause_workflow(id: str) -> Response:
    """Hold an instance until it is resumed."""
    wanted = await _optional(PauseRequest)
    here, instance = services(), await services().store.reads.find(id)
    return _changed(
        await here.operations.pause(instance.id, username=principal().username, reason=wanted.reason),
    )


@blueprint.post("/api/workflows/<id>/resume")
@needs(Role.OPERATOR)
@described(body=NoRequest, is_optional=True, answers={200: ChangedShape}, problems=(404, 409))
async def resume_workflow(id: str) -> Response:
    """Let a paused instance go on."""
    await _optional(NoRequest)
    instance = await services().store.reads.find(id)
    return _changed(await services().operations.resume(instance.id, username=principal().username))


@blueprint.post("/api/workflows/<id>/cancel")
@needs(Role.OPERATOR)
@described(body=CancelRequest, is_optional=True, answers={200: ChangedShape}, problems=(404, 409))
async def cancel_workflow(id: str) -> Response:
    """End an instance, and with ``withChildren`` all that descends from it."""
    wanted = await _optional(CancelRequest)
    here, instance = services(), await services().store.reads.find(id)
    changed = await here.operations.cancel(
        instance.id, username=principal().username, reason=wanted.reason, with_children=wanted.with_children
    )
    return _changed(changed)


@blueprint.post("/api/workflows/<id>/retry")
@needs(Role.OPERATOR)
@described(body=NoRequest, is_optional=True, answers={200: ChangedShape}, problems=(404, 409))
async def retry_workflow(id: str) -> Response:
    """Let a FAILED instance go on, or one that waits for its next attempt begin it."""
    await _optional(NoRequest)
    instance = await services().store.reads.find(id)
    return _changed(await services().operations.retry(instance.id, username=principal().username))


@blueprint.post("/api/workflows/<id>/wake")
@needs(Role.OPERATOR)
@described(body=NoRequest, is_optional=True, answers={200: ChangedShape}, problems=(404, 409))
async def wake_workflow(id: str) -> Response:
    """Run an instance now that waits for a timer, an attempt or its children."""
    await _optional(NoRequest)
    instance = await services().store.reads.find(id)
    return _changed(await services().operations.wake(instance.id, username=principal().username))


@blueprint.get("/api/workflows/<id>/children")
@needs(Role.VIEWER)
@described(answers={200: list[ChildShape]})
async def show_children(id: str) -> Response:
    """Return the children of an instance in short, the oldest first."""
    reads = services().store.reads
    instance = await reads.find(id)
    return json_answer([ChildShape.of(child) for child in await reads.children(instance.id)])


@blueprint.get("/api/workflows/<id>/permitted")
@needs(Role.VIEWER)
@described(answers={200: PermittedShape})
async def show_permitted(id: str) -> Response:
    """Return what may be done with an instance now."""
    instance = await services().store.reads.find(id)
    return json_answer(PermittedShape.of(services().operations.permitted(instance)))


@blueprint.get("/api/actions/byWorkflowId/<id>")
@needs(Role.VIEWER)
@described(answers={200: list[ActionShape]})
async def show_history(id: str) -> Response:
    """Return the history of an instance, the newest line first."""
    reads = services().store.reads
    instance = await reads.find(id)
    return json_answer(history_shapes(await reads.history(instance.id)))


async def create(wanted: CreateRequest) -> Created:
    """Create the instance that a request describes, as who makes the request.

    Raises:
        ProblemError: 400 if no workflow has this name, or the first activation is not understood.
        VariablesError: If a value does not fit.
    """
    external_id = wanted.external_id or str(uuid.uuid4())
    with faults_named(variables="stateVars", workflow="workflowType"):
        return await services().operations.create(
            wanted.workflow_type,
            vars=wanted.state_vars,
            key=wanted.business_key or external_id,
            external_id=external_id,
            group=wanted.executor_group,
            priority=wanted.priority,
            when=_first_activation(wanted),
            username=principal().username,
        )


async def edit(instance: Instance, wanted: StateVarsRequest) -> Instance:
    """Set and remove the variables that a request names, as who makes it.

    Raises:
        ProblemError: 400 if it names none.
        RefusedError: If the instance may not be edited now.
        VariablesError: If the variables would not fit.
    """
    with faults_named(variables="stateVars"):
        return await services().operations.edit_variables(
            instance.id,
            wanted.wanted,
            username=principal().username,
            unset=wanted.unset,
            expected_version=wanted.expected_version,
        )


async def enter(instance: Instance, wanted: StateRequest) -> Instance:
    """Bring an instance where a request wants it: by an answer where it waits for one, else by a move.

    Raises:
        ProblemError: 403 for force without the role of an admin; 400 if the workflow has no such state, or a field
            does not go with the others.
        RefusedError: If it may not go there now.
        VariablesError: If the form's values do not fit.
    """
    here, by = services(), principal()
    if wanted.force and not by.role.allows(Role.ADMIN):
        raise forbidden(f"To force a move needs the role {Role.ADMIN}, and {by.username} has the role {by.role}.")
    permitted = here.operations.permitted(instance)
    is_choice = Operation.ANSWER in permitted.operations and wanted.state in permitted.states
    is_answer = not wanted.force and (is_choice or wanted.form is not None)
    when = _later(wanted.next_activation)
    if faults := _misfits(wanted, is_answer=is_answer, when=when):
        raise ProblemError(faulty(faults))
    with faults_named(form="form", state="state"):
        if is_answer:
            return await here.operations.answer(instance.id, wanted.state, form=wanted.form, username=by.username)
        return await here.operations.move(
            instance.id, wanted.state, username=by.username, when=when, force=wanted.force, reason=wanted.reason
        )


async def by_external_id_first(text: str) -> Instance:
    """Return the instance of an external id; where there is none, and it is a number, of the id.

    Raises:
        UnknownInstanceError: If there is none.
    """
    reads = services().store.reads
    try:
        return await reads.by_external_id(text)
    except UnknownInstanceError:
        if not (text.isascii() and text.isdigit()):
            raise
    return await reads.find(text)


async def _optional(model: type[Request]) -> Request:
    """Return the body of the request at hand; none at all is an empty object."""
    return await body(model) if await request.get_data() else model()


def _changed(instance: Instance) -> Response:
    return json_answer(ChangedShape.of(instance))


def _first_activation(wanted: CreateRequest) -> datetime | timedelta | None:
    """Return when a new instance runs first; None for at once."""
    if wanted.next_activation_offset is None:
        return _later(wanted.next_activation)
    if wanted.next_activation is not None:
        raise ProblemError(faulty({"nextActivationOffset": "cannot be combined with nextActivation: leave out one"}))
    return wanted.next_activation_offset


def _later(at: int | None) -> datetime | None:
    """Return a moment that is still to come; None for a past one, as Go's clients send the year 1 for none."""
    return None if at is None or at <= services().store.clock.now() else moment(at)


def _misfits(wanted: StateRequest, *, is_answer: bool, when: datetime | None) -> dict[str, str]:
    """Return each field of a request that does not go with the others."""
    if is_answer:
        faults = {"nextActivation": when is not None, "reason": wanted.reason is not None}
        return {name: "does not go with an answer: leave it out" for name, is_given in faults.items() if is_given}
    if wanted.force and wanted.form is not None:
        return {"form": "cannot be combined with force: a forced move answers nothing"}
    if wanted.force and not (wanted.reason and wanted.reason.strip()):
        return {"reason": "a forced move needs one, which goes into the history"}
    return {}
