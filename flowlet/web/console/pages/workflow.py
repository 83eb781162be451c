"""The page of one workflow: its status, its diagram, its history, and its operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition, StateDefinition
from flowlet.definition.model_shape import build_schema
from flowlet.errors import VariablesError
from flowlet.instance.action import Action
from flowlet.instance.instance import Instance
from flowlet.operations.permitted import Operation
from flowlet.operations.service import Operations
from flowlet.store.reports.children import read_child_counts
from flowlet.store.reports.visit_history import MAX_ACTIONS_READ
from flowlet.text import parse_number
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.decisions import read_decision
from flowlet.web.console.forms.actions import (
    InstanceOperation,
    RejectedForm,
    build_answer_controls,
    build_answer_operation,
    raise_for_faults,
    read_version,
    run_operation,
)
from flowlet.web.console.forms.message_forms import read_messages
from flowlet.web.console.forms.model_form import (
    Control,
    build_controls,
    build_fields,
    format_initial_texts,
    read_submission,
)
from flowlet.web.console.forms.run_at import parse_run_at
from flowlet.web.console.history import LINES_SHOWN, PROBLEM_KINDS, build_history_lines
from flowlet.web.console.layout import render_page
from flowlet.web.console.pages.diagram import build_diagram
from flowlet.web.console.question_people import explain_answer_refusal
from flowlet.web.console.shown_values import build_subject
from flowlet.web.console.timeline import CHILDREN_DRAWN, read_timeline
from flowlet.web.forms import read_request_form
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = ["TABS", "blueprint", "render_workflow"]

CHILDREN_SHOWN = 200
TABS = ("history", "timeline", "variables", "children")

blueprint = Blueprint("workflow", __name__)


@dataclass(frozen=True, slots=True)
class InstanceDefinition:
    """The definition of an instance; empty if this process has not loaded it."""

    definition: Definition | None
    state: StateDefinition | None = None
    answer_form: tuple[Control, ...] = field(default=())
    variables_form: tuple[Control, ...] = field(default=())


@blueprint.get("/workflows/<id>")
@require_role(Role.VIEWER)
async def show_workflow(id: str) -> Response:
    """Show the workflow with an id or, if there is none of this id, with an external id."""
    tab = request.args.get("tab", "")
    return await render_workflow(await get_services().store.queries.find(id), tab if tab in TABS else TABS[0])


@blueprint.post("/workflows/<id>/answer")
@require_role(Role.OPERATOR)
async def answer_workflow(id: str) -> Response | Redirection:
    """Answer a manual state: a choice, and the values of its form."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    sent = read_submission(_find_definition(instance).answer_form, given)
    act, message = build_answer_operation(instance, given, sent), f"Answered: {given.get_text('choice')}."
    try:
        return await run_operation(instance, given, act, message, _build_workflow_url(instance))
    except VariablesError as error:
        rejected = RejectedForm("answer", error.faults, sent.texts, read_version(given))
        return await render_workflow(instance, TABS[0], rejected_form=rejected)


@blueprint.post("/workflows/<id>/variables")
@require_role(Role.OPERATOR)
async def edit_workflow(id: str) -> Response | Redirection:
    """Set the changed variables, and remove those whose fields were emptied."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    shape, version, before = _find_definition(instance), read_version(given), instance.vars
    sent = read_submission(shape.variables_form, given, edited_values=before)
    unset = [
        name for name in before if (name not in sent.values if sent.is_whole_object else name in sent.emptied_fields)
    ]

    async def edit_instance(operations: Operations, id: int, username: str, version: int) -> Instance:
        raise_for_faults(sent)
        return await operations.edit_variables(
            id, sent.values, username=username, unset=unset, expected_version=version
        )

    try:
        return await run_operation(
            instance, given, edit_instance, "Variables saved.", _build_workflow_url(instance, "variables")
        )
    except VariablesError as error:
        return await render_workflow(
            instance, "variables", rejected_form=RejectedForm("variables", error.faults, sent.texts, version)
        )


@blueprint.post("/workflows/<id>/move")
@require_role(Role.OPERATOR)
async def move_workflow(id: str) -> Redirection:
    """Move a workflow along a transition of its state."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    state, reason = given.get_text("state"), given.get_text("reason").strip() or None

    async def move_instance(operations: Operations, id: int, username: str, version: int) -> Instance:
        when = parse_run_at(given.get_text("when"))
        return await operations.move(id, state, username=username, when=when, reason=reason, expected_version=version)

    return await run_operation(instance, given, move_instance, f"Moved to {state}.", _build_workflow_url(instance))


@blueprint.post("/workflows/<id>/force")
@require_role(Role.ADMIN)
async def force_workflow(id: str) -> Redirection:
    """Move a workflow to any state."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    state, reason = given.get_text("state"), given.get_text("reason")

    async def force_instance(operations: Operations, id: int, username: str, version: int) -> Instance:
        when = parse_run_at(given.get_text("when"))
        return await operations.move(
            id, state, username=username, when=when, force=True, reason=reason, expected_version=version
        )

    return await run_operation(
        instance, given, force_instance, f"Forced move to {state}.", _build_workflow_url(instance)
    )


@blueprint.post("/workflows/<id>/pause")
@require_role(Role.OPERATOR)
async def pause_workflow(id: str) -> Redirection:
    """Pause a workflow until it is resumed."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    message = "Pause requested: it takes effect when the running attempt ends." if instance.executor_id else "Paused."
    return await run_operation(
        instance,
        given,
        lambda ops, id, name, version: ops.pause(id, username=name, expected_version=version),
        message,
        _build_workflow_url(instance),
    )


@blueprint.post("/workflows/<id>/resume")
@require_role(Role.OPERATOR)
async def resume_workflow(id: str) -> Redirection:
    """Resume a paused workflow."""
    return await _run_plain_operation(
        id,
        lambda ops, id, name, version: ops.resume(id, username=name, expected_version=version),
        "Resumed.",
    )


@blueprint.post("/workflows/<id>/cancel")
@require_role(Role.OPERATOR)
async def cancel_workflow(id: str) -> Redirection:
    """Cancel a workflow, and its children if the form says so."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    reason, is_deep = given.get_text("reason").strip() or None, given.get_text("children") == "true"

    async def cancel_instance(operations: Operations, id: int, username: str, version: int) -> Instance:
        return await operations.cancel(
            id, username=username, reason=reason, with_children=is_deep, expected_version=version
        )

    return await run_operation(instance, given, cancel_instance, "Cancelled.", _build_workflow_url(instance))


@blueprint.post("/workflows/<id>/retry")
@require_role(Role.OPERATOR)
async def retry_workflow(id: str) -> Redirection:
    """Retry a failed workflow, or one that waits for its next attempt."""
    return await _run_plain_operation(
        id,
        lambda ops, id, name, version: ops.retry(id, username=name, expected_version=version),
        "Retry scheduled.",
    )


@blueprint.post("/workflows/<id>/wake")
@require_role(Role.OPERATOR)
async def wake_workflow(id: str) -> Redirection:
    """Run a workflow now that waits for a timer, an attempt or its children."""
    return await _run_plain_operation(
        id,
        lambda ops, id, name, version: ops.wake(id, username=name, expected_version=version),
        "Scheduled to run now.",
    )


async def _run_plain_operation(id: str, operation: InstanceOperation, message: str) -> Redirection:
    """Run an operation whose form has nothing but its version, and return the response."""
    instance, given = await get_services().store.queries.find(id), await read_request_form()
    return await run_operation(instance, given, operation, message, _build_workflow_url(instance))


def _build_workflow_url(instance: Instance, tab: str = "") -> str:
    return f"/workflows/{instance.id}" + (f"?tab={tab}" if tab else "")


def _find_definition(instance: Instance) -> InstanceDefinition:
    definition = get_services().registry.find_definition(instance.type)
    if definition is None:
        return InstanceDefinition(None)
    state = definition.find_state(instance.state)
    return InstanceDefinition(
        definition,
        state,
        build_answer_controls(state),
        build_controls(build_schema(definition.vars) if definition.vars else None),
    )


async def render_workflow(instance: Instance, tab: str, *, rejected_form: RejectedForm | None = None) -> Response:
    """Return the page; with status 422 and the entered values if a form has faults."""
    here, shape = get_services(), _find_definition(instance)
    transitions = await here.store.queries.count_transitions(instance.id)
    values: dict[str, Any] = {
        "tab": tab,
        "instance": instance,
        "failed_attempts": await here.store.queries.count_failed_attempts(instance.id),
        "entered_at": max((one.last_at for one in transitions), default=instance.created_us),
        "state": shape.state,
        "decision": await read_decision(instance, shape.definition),
        "answer_refusal": await explain_answer_refusal(instance),
        "lane_wait": await here.operations.lanes.explain_wait(instance),
        "limit_wait": await here.operations.limits.explain_wait(instance),
        "subject": build_subject(instance, shape.definition, shape.state),
        "child_counts": await read_child_counts(here.store.connections, instance),
        "rejected_form": rejected_form,
        "definition": shape.definition,
        "line_filter": "",
        "before": None,
        "messages": await read_messages(instance, shape.definition, rejected_form),
        **await _read_tab(instance, tab),
        **build_diagram(instance, shape.definition, transitions, await here.store.state_names.read()),
        **_build_form_actions(instance, shape, rejected_form),
    }
    return await render_page("workflow/workflow.html", status=422 if rejected_form else 200, **values)


async def _read_tab(instance: Instance, tab: str) -> dict[str, Any]:
    """Return the template variables of a tab."""
    reads = get_services().store.queries
    if tab == "timeline":
        return {
            "timeline": await read_timeline(instance),
            "children_drawn": CHILDREN_DRAWN,
            "lines_read": MAX_ACTIONS_READ,
        }
    if tab == "variables":
        return {"variables": instance.vars}
    if tab == "children":
        return {"children": await reads.list_children(instance.id, limit=CHILDREN_SHOWN)}
    is_narrowed, before = request.args.get("only") == "problems", _parse_before()
    kinds = PROBLEM_KINDS if is_narrowed else ()
    latest = await reads.read_latest_actions(instance.id, limit=LINES_SHOWN + 1, before=before, kinds=kinds)
    shown = latest[:LINES_SHOWN]
    lines = build_history_lines(shown, variables_before=await _read_variables_before(instance, shown))
    older = lines[-1].action.id if lines and len(lines) < len(latest) else None
    return {"lines": lines, "older_before": older, "before": before, "line_filter": "problems" if is_narrowed else ""}


async def _read_variables_before(instance: Instance, shown: Sequence[Action]) -> dict[str, Any] | None:
    """Return the variables before the oldest of the lines shown; None if no line needs them."""
    if all(line.changes_json is None for line in shown):
        return None
    try:
        return await get_services().store.history.variables_at(instance.id, shown[-1].id - 1)
    except ValueError:  # a line was changed from outside
        return None


def _parse_before() -> int | None:
    """Return the id of the line before which the history is shown; None for the newest lines.

    Raises:
        ProblemError: 400 if it is not a line's id.
    """
    text = request.args.get("before", "")
    found = parse_number(text)
    if text and found is None:
        raise ProblemError(build_faults_problem({"before": "must be the id of a history entry"}))
    return found


def _build_form_actions(
    instance: Instance, instance_definition: InstanceDefinition, rejected_form: RejectedForm | None
) -> dict[str, Any]:
    """Return the operations that the user's role and the workflow's status permit, and their forms."""
    may_operate = get_principal().role.is_at_least(Role.OPERATOR)
    found = get_services().operations.get_permitted_operations(instance)
    operations = {one.value for one in found.operations} if may_operate else set()
    labels = (
        {edge.target: edge.label or edge.target for edge in instance_definition.state.transitions}
        if instance_definition.state
        else {}
    )
    all_states = (
        list(instance_definition.definition.states)
        if instance_definition.definition and get_principal().role.is_at_least(Role.ADMIN)
        else []
    )
    shown = {
        "answer": (instance_definition.answer_form, format_initial_texts(instance_definition.answer_form)),
        "variables": (
            instance_definition.variables_form,
            format_initial_texts(instance_definition.variables_form, instance.vars),
        ),
    }
    forms = {}
    for name, (parts, entered) in shown.items():
        current_form = (
            rejected_form
            if rejected_form is not None and rejected_form.form_name == name
            else RejectedForm(name, {}, {}, instance.version)
        )
        own, rest = build_fields(parts, {**entered, **current_form.texts}, current_form.faults)
        forms[name] = {"fields": own, "faults": rest, "version": current_form.version}
    return {
        "operations": operations,
        "moves": [(name, labels.get(name, name)) for name in found.states] if Operation.MOVE in operations else [],
        "all_states": [(name, name) for name in all_states],
        "forms": forms,
    }
