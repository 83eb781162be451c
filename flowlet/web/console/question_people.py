"""Whose question it is: its teams, its assignee, the choices that persons have made, and what the user may assign."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition, StateDefinition
from flowlet.instance.instance import Instance
from flowlet.store.people.asked_questions import AskedQuestion, Person
from flowlet.web.auth import get_principal
from flowlet.web.services import get_services

__all__ = ["QuestionPeople", "build_question_people", "explain_answer_refusal"]


@dataclass(frozen=True, slots=True)
class QuestionPeople:
    """Whose question it is.

    Attributes:
        teams: The teams whose members may answer.
        assignee: The user whom it is assigned to; None for none.
        is_mine: Whether that is the user of the page.
        me: The user of the page.
        may_assign: Whether the user may assign it.
        reminder_count: How often an executor has reminded of it.
        escalated_to: The teams that were added because no answer had come.
        approvals: Each choice that several persons have to make: its label, who has made it, and how many have to.
    """

    teams: tuple[str, ...]
    assignee: str | None
    is_mine: bool
    me: str
    may_assign: bool
    reminder_count: int
    escalated_to: tuple[str, ...]
    approvals: tuple[tuple[str, tuple[str, ...], int], ...]


def build_question_people(
    asked: AskedQuestion, person: Person, definition: Definition | None, state: StateDefinition | None
) -> QuestionPeople | None:
    """Return whose question it is; None for one without an entry.

    Args:
        asked: The question.
        person: The user of the page, with the role that counts.
        definition: The definition of its instance; None if it is not loaded.
        state: The state of its instance; None if it is not loaded.
    """
    entry = asked.entry
    if entry is None:
        return None
    labels = {edge.target: edge.label or edge.target for edge in state.transitions} if state else {}
    question = state.question if state else None
    resolve = definition.resolve if definition else str  # a vote may have the former name of a renamed state
    votes = [replace(one, choice=resolve(one.choice)) for one in asked.votes]
    is_mine = entry.assignee == person.username
    may_assign = not entry.teams or is_mine or person.role is Role.ADMIN or bool(person.teams & set(entry.teams))
    return QuestionPeople(
        entry.teams,
        entry.assignee,
        is_mine,
        person.username,
        may_assign,
        entry.reminder_count,
        entry.escalated_to,
        tuple(
            (labels.get(choice, choice), tuple(one.person for one in votes if one.choice == choice), needed)
            for choice, needed in (question.approvals if question else ())
        ),
    )


async def explain_answer_refusal(instance: Instance) -> str | None:
    """Return why the user may not answer an instance that waits for a person; None for no such reason."""
    if not instance.is_asking:
        return None
    decisions, me = get_services().operations.decisions, get_principal()
    person = await decisions.find_person(me.person, is_admin=me.role is Role.ADMIN)
    return decisions.explain_refusal(instance, await decisions.read_question(instance), person)
