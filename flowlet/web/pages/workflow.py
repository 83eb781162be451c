"""The page of one workflow: where it stands, its picture, its history, and what may be done with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.definition import Definition, StateDefinition
from flowlet.errors import UnknownWorkflowError, VariablesError
from flowlet.instances import Instance
from flowlet.operations import Operations
from flowlet.permitted import Operation
from flowlet.roles import Role
from flowlet.store.reports.family import standings
from flowlet.store.reports.passage import LINES_READ
from flowlet.texts import number_in
from flowlet.web.forms import MOST_SENT, form
from flowlet.web.guards import needs, principal
from flowlet.web.pages.acting import Mending, acted, answer_controls, answering, refuse_faults, version_of
from flowlet.web.pages.due import due
from flowlet.web.pages.frame import page
from flowlet.web.pages.lines import LINES_SHOWN, PROBLEMS, lines
from flowlet.web.pages.model_forms import Control, controls, fields, read, texts
from flowlet.web.pages.picture import picture
from flowlet.web.pages.timeline import CHILDREN_DRAWN, timeline
from flowlet.web.problems import ProblemError, faulty
from flowlet.web.services import services

__all__ = ["blueprint"]

CHILDREN_SHOWN = 200
TABS = ("history", "timeline", "variables", "children")

blueprint = Blueprint("workflow", __name__)


@dataclass(frozen=True, slots=True)
class Shape:
    """What this process knows of an instance's workflow; nothing where it has not loaded it."""

    definition: Definition | None
    state: StateDefinition | None = None
    answer: tuple[Control, ...] = field(default=())
    variables: tuple[Control, ...] = field(default=())


@blueprint.get("/workflows/<id>")
@needs(Role.VIEWER)
async def show(id: str) -> Response:
    """Show the workflow of an id, or of an external id that is no number."""
    tab = request.args.get("tab", "")
    return await _page(await services().store.reads.find(id), tab if tab in TABS else TABS[0])


@blueprint.post("/workflows/<id>/answer")
@needs(Role.OPERATOR)
async def answer(id: str) -> Response | Redirection:
    """Answer a manual state: a choice, and the values of its form."""
    instance, given = await services().store.reads.find(id), await form()
    sent = read(_shape(instance).answer, given)
    act, told = answering(instance, given, sent), f"Answered: {given.text('choice')}."
    try:
        return await acted(instance, given, act, told, _address(instance))
    except VariablesError as error:
        mending = Mending("answer", error.faults, sent.texts, version_of(given))
        return await _page(instance, TABS[0], mending=mending)


@blueprint.post("/workflows/<id>/variables")
@needs(Role.OPERATOR)
async def edit(id: str) -> Response | Redirection:
    """Set the variables that were changed, and remove those whose fields were emptied."""
    instance, given = await services().store.reads.find(id), await form()
    shape, version, before = _shape(instance), version_of(given), instance.variables
    sent = read(shape.variables, given, edited=before)
    unset = [name for name in before if (name not in sent.values if sent.is_whole else name in sent.emptied)]

    async def act(operations: Operations, id: int, username: str) -> Instance:
        refuse_faults(sent)
        return await operations.edit_variables(
            id, sent.values, username=username, unset=unset, expected_version=version
        )

    try:
        return await acted(instance, given, act, "The variables are changed.", _address(instance, "variables"))
    except VariablesError as error:
        return await _page(instance, "variables", mending=Mending("variables", error.faults, sent.texts, version))


@blueprint.post("/workflows/<id>/move")
@needs(Role.OPERATOR)
async def move(id: str) -> Redirection:
    """Move a workflow along a transition of its state."""
    instance, given = await services().store.reads.find(id), await form()
    state, reason = given.text("state"), given.text("reason").strip() or None

    async def act(operations: Operations, id: int, username: str) -> Instance:
        when = due(given.text("when"))
        return await operations.move(id, state, username=username, when=when, reason=reason)

    return await acted(instance, given, act, f"Moved to {state}.", _address(instance))


@blueprint.post("/workflows/<id>/force")
@needs(Role.ADMIN)
async def force(id: str) -> Redirection:
    """Move a workflow to any state."""
    instance, given = await services().store.reads.find(id), await form()
    state, reason = given.text("state"), given.text("reason")

    async def act(operations: Operations, id: int, username: str) -> Instance:
        when = due(given.text("when"))
        return await operations.move(id, state, username=username, when=when, force=True, reason=reason)

    return await acted(instance, given, act, f"Moved by force to {state}.", _address(instance))


@blueprint.post("/workflows/<id>/pause")
@needs(Role.OPERATOR)
async def pause(id: str) -> Redirection:
    """Hold a workflow until it is resumed."""
    instance, given = await services().store.reads.find(id), await form()
    told = "It pauses when its running activation has ended." if instance.executor_id else "Paused."
    return await acted(instance, given, lambda ops, id, name: ops.pause(id, username=name), told, _address(instance))


@blueprint.post("/workflows/<id>/resume")
@needs(Role.OPERATOR)
async def resume(id: str) -> Redirection:
    """Let a paused workflow go on."""
    instance, given = await services().store.reads.find(id), await form()
    return await acted(
        instance, given, lambda ops, id, name: ops.resume(id, username=name), "It goes on.", _address(instance)
    )


@blueprint.post("/workflows/<id>/cancel")
@needs(Role.OPERATOR)
async def cancel(id: str) -> Redirection:
    """End a workflow, and its children if that was asked for."""
    instance, given = await services().store.reads.find(id), await form()
    reason, is_deep = given.text("reason").strip() or None, given.text("children") == "true"

    async def act(operations: Operations, id: int, username: str) -> Instance:
        return await operations.cancel(id, username=username, reason=reason, with_children=is_deep)

    return await acted(instance, given, act, "Cancelled.", _address(instance))


@blueprint.post("/workflows/<id>/retry")
@needs(Role.OPERATOR)
async def retry(id: str) -> Redirection:
    """Let a failed workflow go on, or one that waits for its next attempt begin it."""
    instance, given = await services().store.reads.find(id), await form()
    return await acted(
        instance, given, lambda ops, id, name: ops.retry(id, username=name), "It is tried again.", _address(instance)
    )


@blueprint.post("/workflows/<id>/wake")
@needs(Role.OPERATOR)
async def wake(id: str) -> Redirection:
    """Run a workflow now that waits for a timer, an attempt or its children."""
    instance, given = await services().store.reads.find(id), await form()
    return await acted(
        instance, given, lambda ops, id, name: ops.wake(id, username=name), "It runs now.", _address(instance)
    )


def _address(instance: Instance, tab: str = "") -> str:
    return f"/workflows/{instance.id}" + (f"?tab={tab}" if tab else "")


def _shape(instance: Instance) -> Shape:
    try:
        definition = services().registry.definition(instance.type)
    except UnknownWorkflowError:
        return Shape(None)
    state = definition.states.get(instance.state)
    return Shape(
        definition,
        state,
        answer_controls(state),
        controls(definition.vars.model_json_schema() if definition.vars else None),
    )


async def _page(instance: Instance, tab: str, *, mending: Mending | None = None) -> Response:
    """Return the page; with status 422 and what was typed where a form has to be mended."""
    here, shape = services(), _shape(instance)
    ways = await here.store.reads.ways(instance.id)
    values: dict[str, Any] = {
        "tab": tab,
        "instance": instance,
        "since": max((way.last for way in ways), default=instance.created),
        "state": shape.state,
        "family": await standings(here.store.connections, instance),
        "mending": mending,
        "definition": shape.definition,
        "only": "",
        "before": None,
        **await _shown(instance, tab),
        **picture(instance, shape.definition, ways),
        **_acting(instance, shape, mending),
    }
    return await page("workflow/workflow.html", status=422 if mending else 200, **values)


async def _shown(instance: Instance, tab: str) -> dict[str, Any]:
    """Return what a tab shows."""
    reads = services().store.reads
    if tab == "timeline":
        return {"timeline": await timeline(instance), "children_drawn": CHILDREN_DRAWN, "lines_read": LINES_READ}
    if tab == "variables":
        return {"variables": instance.variables}
    if tab == "children":
        return {"children": await reads.children(instance.id, limit=CHILDREN_SHOWN)}
    is_narrowed, before = request.args.get("only") == "problems", _before()
    kinds = PROBLEMS if is_narrowed else ()
    latest = await reads.latest(instance.id, limit=LINES_SHOWN + 1, before=before, kinds=kinds)
    told = lines(latest[:LINES_SHOWN])
    older = told[-1].action.id if told and len(told) < len(latest) else None
    return {"lines": told, "older": older, "before": before, "only": "problems" if is_narrowed else ""}


def _before() -> int | None:
    """Return before which line the history is asked for.

    Raises:
        ProblemError: 400 if it is no line's number.
    """
    text = request.args.get("before", "")
    found = number_in(text, most=MOST_SENT)
    if text and found is None:
        raise ProblemError(faulty({"before": "has to be the number of a line of history"}))
    return found


def _acting(instance: Instance, shape: Shape, mending: Mending | None) -> dict[str, Any]:
    """Return what somebody may do here, by their role and by how the workflow stands, and the forms for it."""
    may_operate = principal().role.allows(Role.OPERATOR)
    found = services().operations.permitted(instance)
    operations = {one.value for one in found.operations} if may_operate else set()
    labels = {edge.target: edge.label or edge.target for edge in shape.state.transitions} if shape.state else {}
    all_states = list(shape.definition.states) if shape.definition and principal().role.allows(Role.ADMIN) else []
    shown = {
        "answer": (shape.answer, texts(shape.answer)),
        "variables": (shape.variables, texts(shape.variables, instance.variables)),
    }
    forms = {}
    for name, (parts, entered) in shown.items():
        mended = mending if mending is not None and mending.form == name else Mending(name, {}, {}, instance.version)
        own, rest = fields(parts, {**entered, **mended.texts}, mended.faults)
        forms[name] = {"fields": own, "faults": rest, "version": mended.version}
    return {
        "operations": operations,
        "moves": [(name, labels.get(name, name)) for name in found.states] if Operation.MOVE in operations else [],
        "all_states": [(name, name) for name in all_states],
        "forms": forms,
    }
