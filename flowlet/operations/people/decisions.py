"""The rules of answering and assigning the question of a manual state. This module does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from flowlet.accounts.models import make_username_key
from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition
from flowlet.definition.people.question_definition import NO_QUESTION, QuestionDefinition
from flowlet.definition.people.title_template import find_value
from flowlet.definition.versions.migrations import VersionError, migrate_vars
from flowlet.errors import RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.change import Change
from flowlet.instance.inbox_entry import Assignment, Vote
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import parse_json, write_json
from flowlet.operations.commands import Answer, Attribution, apply_answer, build_action
from flowlet.operations.permitted import describe_instance
from flowlet.store.people.asked_questions import AskedQuestion, Person

__all__ = ["apply_assignment", "apply_decision", "explain_answer_refusal", "identify_person"]


def apply_decision(
    instance: Instance,
    definition: Definition,
    attribution: Attribution,
    *,
    answer: Answer,
    asked: AskedQuestion,
    person: Person,
) -> Change:
    """Return the change of a person's answer: the answer itself, or a vote while more persons have to choose the same.

    A vote keeps the version: two persons who vote at the same moment both count, and one of them decides.

    Args:
        instance: The instance, whose row is locked.
        definition: Its definition.
        attribution: Who answers, and when.
        answer: The choice and the form.
        asked: The question.
        person: Who answers, with the role that counts.

    Raises:
        RefusedError: If the instance does not wait for this answer, or the person may not give it.
        VariablesError: If the form's values do not fit the model.
    """
    change = apply_answer(instance, definition, attribution, answer=answer)
    question = _find_question(instance, definition)
    if reason := explain_answer_refusal(instance, definition, asked, person):
        _refuse(instance, "answered", reason)
    (action,) = change.actions
    choice = action.to_state or ""
    needed = question.count_approvals(choice)
    if needed == 1:
        return change
    earlier = [vote.person for vote in asked.votes if definition.resolve(vote.choice) == choice]
    if any(_is_same_person(one, person.username) for one in earlier):
        _refuse(instance, "answered", f"{person.username} has made this choice already")
    form_json = write_json(parse_json(action.answer_json or "{}").get("form", {}))
    vote = Vote(instance.visit, identify_person(person.username), choice, form_json, attribution.at)
    counted = len(earlier) + 1
    text = f"{action.text or choice} ({counted} of {needed})"
    if counted >= needed:
        return replace(change, actions=(replace(action, text=text),), vote=vote)
    voted = replace(action, kind=ActionKind.VOTED, text=text)
    after = replace(instance, modified_us=attribution.at)
    return Change(instance, after, (voted,), keeps_version=True, vote=vote)


def apply_assignment(
    instance: Instance,
    definition: Definition | None,
    attribution: Attribution,
    *,
    assignee: Person | None,
    asked: AskedQuestion,
    person: Person,
) -> Change | None:
    """Return the change of an assignment; None if the question is assigned so already.

    Args:
        instance: The instance, whose row is locked.
        definition: Its definition; None if it is not loaded.
        attribution: Who assigns, and when.
        assignee: The user; None to take the assignment back.
        asked: The question.
        person: Who assigns, with the role that counts.

    Raises:
        RefusedError: If the instance does not wait for a person, the person may not assign it, or the assignee could
            not answer it.
    """
    if not instance.is_asking or asked.entry is None:
        _refuse(instance, "assigned", "it does not wait for a person")
    teams = set(asked.entry.teams)
    is_admin, is_member = person.role is Role.ADMIN, bool(teams & person.teams)
    if teams and not (is_admin or is_member or _is_same_person(asked.entry.assignee, person.username)):
        _refuse(instance, "assigned", f"{person.username} is no member of {_list_teams(asked.entry.teams)}")
    if assignee is not None:
        if assignee.role is None or not assignee.role.is_at_least(Role.OPERATOR):
            _refuse(instance, "assigned", f"{assignee.username} is no enabled user with the role operator or admin")
        if teams and not (is_admin or teams & assignee.teams):
            why = f"{assignee.username} is no member of {_list_teams(asked.entry.teams)}: an admin may do so"
            _refuse(instance, "assigned", why)
        if reason := _explain_exclusion(instance, definition, assignee):
            _refuse(instance, "assigned", reason)
    name = assignee.username if assignee else None
    if name == asked.entry.assignee:
        return None
    text = f"to {name}" if name else f"no longer to {asked.entry.assignee}"
    action = build_action(ActionKind.ASSIGNED, instance, attribution, text=text)
    after = replace(instance, modified_us=attribution.at)
    return Change(instance, after, (action,), assignment=Assignment(name))


def explain_answer_refusal(
    instance: Instance, definition: Definition | None, asked: AskedQuestion, person: Person
) -> str | None:
    """Return why a person may not answer a question; None if the person may.

    Members of its teams may, and the user whom it is assigned to, and admins; but nobody whom ``not_by`` excludes. A
    question without an entry in the inbox has the teams of its definition.

    Args:
        instance: The instance.
        definition: Its definition; None if it is not loaded.
        asked: What has been chosen so far.
        person: The person, with the role that counts.
    """
    if reason := _explain_exclusion(instance, definition, person):
        return reason
    entry = asked.entry
    teams = entry.teams if entry else _find_question(instance, definition).teams
    assignee = entry.assignee if entry else None
    if person.role is Role.ADMIN or _is_same_person(assignee, person.username):
        return None
    if teams and not person.teams & set(teams):
        return f"{person.username} is no member of {_list_teams(teams)}"
    if not teams and assignee is not None:
        return f"it is assigned to {assignee}: assign it to yourself first"
    return None


def _explain_exclusion(instance: Instance, definition: Definition | None, person: Person) -> str | None:
    path = _find_question(instance, definition).not_by
    if definition is None or path is None:
        return None
    try:
        variables = parse_json(migrate_vars(definition, instance.vars_json, instance.vars_version))
    except VersionError as error:  # whom the variable names is not known
        return str(error)
    except ValueError:
        return "its variables cannot be read"
    named = find_value(variables, path)
    names = [name for name in (named if isinstance(named, list) else [named]) if name is not None]
    if not all(isinstance(name, str) for name in names):  # such as a number of a person: whom it names is not known
        return f"the variable {path!r}, which names who must not decide, holds no username"
    if any(_is_same_person(name, person.username) for name in names):
        return f"{person.username} is named by the variable {path!r}, and another person has to decide"
    return None


def _find_question(instance: Instance, definition: Definition | None) -> QuestionDefinition:
    state = definition.find_state(instance.state) if definition else None
    return (state.question if state else None) or NO_QUESTION


def _refuse(instance: Instance, participle: str, reason: str) -> NoReturn:
    raise RefusedError(f"{describe_instance(instance)} cannot be {participle}: {reason}.", reason=reason)


def _list_teams(teams: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in teams)


def identify_person(name: str) -> str:
    """Return the text by which a person is the same in upper and lower case, also one who is no user."""
    return make_username_key(name) or name


def _is_same_person(one: str | None, other: str) -> bool:
    return one is not None and identify_person(one) == identify_person(other)
