"""Answering and assigning the questions of manual states."""

from __future__ import annotations

from dataclasses import replace

from flowlet.accounts.roles import Role
from flowlet.definition.registry import Registry
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance
from flowlet.operations.commands import Answer, Attribution
from flowlet.operations.people.decisions import apply_assignment, apply_decision, explain_answer_refusal
from flowlet.operations.permitted import describe_instance
from flowlet.store.changes import change_instance
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store
from flowlet.store.optimistic_lock import check_version
from flowlet.store.people.asked_questions import AskedQuestion, Person, find_person, lock_person, read_question
from flowlet.text import MAX_IDENTIFIER_LENGTH, clean_text

__all__ = ["DecisionOperations", "read_question_and_person"]


class DecisionOperations:
    """Answers and assigns instances that wait for a person: one transaction each, under the lock of the row.

    Args:
        store: The database.
        registry: The loaded workflows.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def answer(
        self, id: int, answer: Answer, username: str, expected_version: int | None, *, is_admin: bool | None
    ) -> Instance:
        """Answer a question, or vote; see ``Operations.answer``."""
        by = Attribution(username, self._store.clock.now())
        asked, person = AskedQuestion(), Person(by.person)

        async def prepare(session: DatabaseSession, instance: Instance) -> None:
            nonlocal asked, person
            asked, person = await read_question_and_person(session, instance, by.person, is_admin=is_admin)

        def decide(instance: Instance) -> Change:
            check_version(describe_instance(instance), instance.version, expected_version)
            definition = self._registry.get_definition(instance.type)
            return apply_decision(instance, definition, by, answer=answer, asked=asked, person=person)

        return await change_instance(self._store.connections, id, decide, now=by.at, prepare=prepare)

    async def assign(
        self,
        id: int,
        assignee: str | None,
        *,
        username: str,
        expected_version: int | None = None,
        is_admin: bool | None = None,
    ) -> Instance:
        """Assign the question of an instance to a user, who may answer it then, or take the assignment back.

        Args:
            id: The instance.
            assignee: The user; None to take the assignment back.
            username: Who assigns it: a member of its teams, the user whom it is assigned to, or an admin.
            expected_version: The version that the caller has read; None for any.
            is_admin: Whether the user may assign it to users of other teams; None for what the stored role says.

        Raises:
            UnknownInstanceError: If there is no such instance.
            RefusedError: If the instance does not wait for a person, the user may not assign it, or the assignee could
                not answer it; ``StaleError`` if it has another version.
        """
        by = Attribution(username, self._store.clock.now())
        asked, person = AskedQuestion(), Person(by.person)
        chosen: Person | None = None

        async def prepare(session: DatabaseSession, instance: Instance) -> None:
            nonlocal asked, person, chosen
            asked, person = await read_question_and_person(session, instance, by.person, is_admin=is_admin)
            if assignee is not None:
                chosen = await lock_person(session, clean_text(assignee, MAX_IDENTIFIER_LENGTH))

        def decide(instance: Instance) -> Change | None:
            check_version(describe_instance(instance), instance.version, expected_version)
            return apply_assignment(
                instance, self._registry.find_definition(instance.type), by, assignee=chosen, asked=asked, person=person
            )

        return await change_instance(self._store.connections, id, decide, now=by.at, prepare=prepare)

    async def read_question(self, instance: Instance) -> AskedQuestion:
        """Return the question of an instance as it is now, and what has been chosen so far."""
        return await self._store.connections.read(lambda session: read_question(session, instance.id, instance.visit))

    async def find_person(self, username: str, *, is_admin: bool | None = None) -> Person:
        """Return a person with the teams of now, for ``explain_refusal``.

        Args:
            username: The name.
            is_admin: As for ``assign``.
        """
        person = await self._store.connections.read(lambda session: find_person(session, username))
        return _with_role(person, is_admin)

    def explain_refusal(self, instance: Instance, asked: AskedQuestion, person: Person) -> str | None:
        """Return why a person may not answer an instance; None if the person may.

        Args:
            instance: The instance.
            asked: Its question.
            person: The person, with the role that counts.
        """
        return explain_answer_refusal(instance, self._registry.find_definition(instance.type), asked, person)


async def read_question_and_person(
    session: DatabaseSession, instance: Instance, username: str, *, is_admin: bool | None
) -> tuple[AskedQuestion, Person]:
    """Return the question of an instance, and a person with the teams and the role that count, for a decision.

    Args:
        session: The transaction that has locked the instance.
        instance: The instance.
        username: The person.
        is_admin: Whether the person may answer for every team; None for what the stored role says.
    """
    asked = await read_question(session, instance.id, instance.visit)
    return asked, _with_role(await find_person(session, username), is_admin)


def _with_role(person: Person, is_admin: bool | None) -> Person:
    """Return a person with the role that counts: an API key may have less than its owner."""
    if is_admin is None:
        return person
    if is_admin:
        return replace(person, role=Role.ADMIN)
    return replace(person, role=Role.OPERATOR) if person.role is Role.ADMIN else person
