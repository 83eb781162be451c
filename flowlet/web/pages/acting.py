"""What the forms of pages have in common that do something with one workflow: its version, its faults, its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydantic import BaseModel
from werkzeug.wrappers import Response as Redirection

from flowlet.definition import StateDefinition
from flowlet.errors import DurationError, RefusedError, UnknownStateError, UnknownWorkflowError, VariablesError
from flowlet.instances import Instance
from flowlet.operations import Operations
from flowlet.texts import number_in
from flowlet.web.forms import MOST_SENT, Form
from flowlet.web.guards import principal
from flowlet.web.pages.model_forms import Control, Sent, controls
from flowlet.web.pages.notices import done, refused
from flowlet.web.problems import ProblemError, faulty
from flowlet.web.services import services

__all__ = ["Act", "Mending", "acted", "answer_controls", "answering", "refuse_faults", "version_of"]

Act = Callable[[Operations, int, str], Awaitable[Instance]]
"""An operation on an instance, by its id, as who operates."""


@dataclass(frozen=True, slots=True)
class Mending:
    """A form that is shown again.

    Attributes:
        faults: What is wrong, by the path of each value.
        texts: What was typed, by the name of each value.
        version: The workflow's that was looked at.
    """

    form: str
    faults: Mapping[str, str]
    texts: Mapping[str, str]
    version: int


async def acted(instance: Instance, given: Form, act: Act, told: str, address: str) -> Redirection:
    """Return the answer to a form that does something with an instance of the version that was looked at.

    Args:
        instance: Which one.
        given: What was sent.
        act: What is done.
        told: What is said when it is done.
        address: Where it leads.

    Raises:
        VariablesError: If ``act`` raises it: the form has to be mended.
        ProblemError: 400 if the form carries no version.
    """
    operations = services().operations.expecting(version_of(given))
    try:
        await act(operations, instance.id, principal().username)
    except (DurationError, RefusedError, UnknownStateError, UnknownWorkflowError) as error:
        return refused(str(error), address)
    return done(told, address)


def answering(instance: Instance, given: Form, sent: Sent) -> Act:
    """Return the operation of an answer, which raises ``VariablesError`` where the form has to be mended.

    What was sent to an instance that has moved on has no faults: it is refused as a whole.
    """

    async def act(operations: Operations, id: int, username: str) -> Instance:
        if version_of(given) == instance.version:
            refuse_faults(sent)
        return await operations.answer(id, given.text("choice"), form=sent.values, username=username)

    return act


def answer_controls(state: StateDefinition | None) -> tuple[Control, ...]:
    """Return what an answer's values are entered by; nothing where the state has no form, or is not known here."""
    return _controls(state.form) if state and state.form else ()


@lru_cache(maxsize=500)
def _controls(form: type[BaseModel]) -> tuple[Control, ...]:
    """Return the controls of a form: kept, because pydantic takes most of a millisecond to tell a model's schema."""
    return controls(form.model_json_schema())


def version_of(given: Form, subject: str = "workflow") -> int:
    """Return the version that a form was made for: one that is sent twice is too late the second time.

    Args:
        given: The form.
        subject: What its page is about.

    Raises:
        ProblemError: 400 if there is none.
    """
    version = number_in(given.text("version"), most=MOST_SENT)
    if version is None:
        raise ProblemError(faulty({"version": f"has to be the number that the {subject}'s page has in its forms"}))
    return version


def refuse_faults(sent: Sent) -> None:
    """Refuse what cannot be read.

    Raises:
        VariablesError: If there is such a value.
    """
    if sent.faults:
        raise VariablesError("the form", sent.faults)
