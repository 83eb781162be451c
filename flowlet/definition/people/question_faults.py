"""The faults of a module's questions: templates, and the variables that they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from operator import itemgetter

from pydantic import BaseModel

from flowlet.clock import format_duration, parse_duration
from flowlet.definition.model_shape import get_names
from flowlet.definition.module_source import ModuleSource
from flowlet.definition.people.title_template import find_path_fault, find_template_fault, list_paths, split_path
from flowlet.errors import DurationError, Fault
from flowlet.text import format_suggestion
from flowlet.workflow.question import Question, Team
from flowlet.workflow.states import State

__all__ = ["find_question_faults", "list_escalations", "list_teams"]

MAX_APPROVALS = 20
MAX_ESCALATIONS = 20
MIN_PERIOD = timedelta(minutes=1)
"""The shortest time to a reminder or an escalation: executors look for them every ten seconds."""


def find_question_faults(source: ModuleSource) -> list[Fault]:
    """Return the faults of the titles of all manual states, and of the workflow's summary."""
    faults: list[Fault] = []
    if source.workflow and source.workflow.summary is not None:
        messages = _check_template(source, source.workflow.summary, f"summary of Workflow({source.name!r})")
        faults += [Fault(source.file, source.line, message) for message in messages]
    for name, state in source.states.items():
        faults += [source.build_fault(name, message) for message in _check_state(source, name, state)]
    return faults


def _check_state(source: ModuleSource, name: str, state: State[..., object]) -> Iterator[str]:
    owner = f"of state {name!r}"
    asked = state.question
    if asked.title is not None:
        yield from _check_template(source, asked.title, f"title {owner}")
    yield from _check_teams(asked, owner)
    yield from _check_approvals(source, state, owner)
    yield from _check_times(asked, owner)
    if asked.not_by is not None and (fault := find_path_fault(asked.not_by)):
        yield f"not_by {owner} is {asked.not_by!r}, which {fault}.\nName the variable that holds a username."
    elif asked.not_by is not None:
        yield from _check_path(source, asked.not_by, f"not_by {owner}")
    if isinstance(asked.show, str) or not isinstance(asked.show, Sequence):
        yield f"show {owner} is {asked.show!r}, not a list.\nWrite a list of variables: show=['amount']."
        return
    for path in asked.show:
        if fault := find_path_fault(path):
            yield f"show {owner} has {path!r}, which {fault}.\nName a variable, or a part of one."
        else:
            yield from _check_path(source, path, f"show {owner}")


def list_teams(question: Question) -> Sequence[Team]:
    """Return the teams of a question; what is neither a team nor a list is returned in a list."""
    return list(question.to) if isinstance(question.to, list | tuple) else [question.to]  # type: ignore[list-item]  # a fault


def _check_teams(question: Question, owner: str) -> Iterator[str]:
    for one in list_teams(question):
        if not isinstance(one, Team):
            yield f"to {owner} has {one!r}, which is no team.\nWrite to=team('finance'), or a list of teams."


def list_escalations(question: Question) -> tuple[tuple[timedelta, tuple[str, ...]], ...]:
    """Return the teams of a question that has no fault, each with its time, in the order of the times."""
    steps = [(parse_duration(after), _list_escalated(teams)) for after, teams in question.escalate.items()]
    return tuple((after, tuple(team.name for team in teams)) for after, teams in sorted(steps, key=itemgetter(0)))


def _list_escalated(teams: Team | Sequence[Team]) -> Sequence[Team]:
    return list(teams) if isinstance(teams, list | tuple) else [teams]  # type: ignore[list-item]  # a fault


def _check_times(question: Question, owner: str) -> Iterator[str]:
    if question.remind is not None and question.remind < MIN_PERIOD:
        yield f"remind {owner} is {format_duration(question.remind)}.\nGive at least {format_duration(MIN_PERIOD)}."
    given = question.escalate
    if not isinstance(given, Mapping):
        yield f"escalate {owner} is {given!r}, not a dict.\nWrite escalate={{'3 days': team('board')}}."
        return
    if given and not list_teams(question):
        yield f"escalate {owner} needs to=: every operator may answer without a team.\nName the first team."
    for after, teams in given.items():
        fault = _find_period_fault(after)
        if fault:
            yield f"escalate {owner} has {after!r}, which {fault}.\nWrite a duration such as '3 days'."
        escalated = _list_escalated(teams)
        if not escalated or not all(isinstance(one, Team) for one in escalated):
            yield f"escalate {owner} has {teams!r}, which is no team.\nWrite team('board'), or a list of teams."
    if len(given) > MAX_ESCALATIONS:
        yield f"escalate {owner} has {len(given)} times.\nGive at most {MAX_ESCALATIONS}."


def _find_period_fault(value: object) -> str | None:
    try:
        period = parse_duration(value)  # type: ignore[arg-type]  # checked there
    except DurationError:
        return "is no duration"
    return None if period >= MIN_PERIOD else f"is shorter than {format_duration(MIN_PERIOD)}"


def _check_approvals(source: ModuleSource, state: State[..., object], owner: str) -> Iterator[str]:
    given = state.question.approvals
    if not isinstance(given, Mapping):
        yield f"approvals {owner} is {given!r}, not a dict.\nWrite how many persons decide: approvals={{'pay': 2}}."
        return
    targets = list(state.next) if isinstance(state.next, Mapping | Sequence) else []
    known = {source.resolve_target(target) for target in targets}
    for target, count in given.items():
        name = source.resolve_target(target)
        if name is None or name not in known:
            yield f"approvals {owner} has {target!r}, which its next does not list.\nName one of its next states."
        if type(count) is not int or not 2 <= count <= MAX_APPROVALS:
            cure = f"Give a whole number from 2 to {MAX_APPROVALS}; one person decides without it."
            yield f"approvals {owner} asks for {count!r} persons.\n{cure}"


def _check_template(source: ModuleSource, template: object, subject: str) -> Iterator[str]:
    if fault := find_template_fault(template):
        yield f"{subject} {fault}.\nWrite a text such as 'Approve {{amount}} for {{customer}}'."
    elif isinstance(template, str):
        for path in list_paths(template):
            yield from _check_path(source, path, subject)


def _check_path(source: ModuleSource, path: str, subject: str) -> Iterator[str]:
    """Yield the fault of a path whose first name is no variable; what is below is known when the title is written."""
    model = source.workflow.vars if source.workflow else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return
    names = get_names(model)
    known = {*names.stored.values(), *names.computed}
    first = split_path(path)[0]
    if first not in known and not names.allows_others:
        cure = format_suggestion(first, known).strip()
        yield f"{subject} names {path!r}, but {model.__name__} has no variable {first!r}.\n{cure or 'Name another.'}"
