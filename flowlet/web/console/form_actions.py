"""What the forms of pages have in common that do something with one workflow: its version, its faults, its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydantic import BaseModel
from werkzeug.wrappers import Response as Redirection

from flowlet.definition.definition import StateDefinition
from flowlet.errors import DurationError, RefusedError, UnknownStateError, UnknownWorkflowError, VariablesError
from flowlet.instance.instance import Instance
from flowlet.operations.service import Operations
from flowlet.text import parse_number
from flowlet.web.auth import get_principal
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.model_forms import Control, FormSubmission, build_controls
from flowlet.web.forms import Form
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = [
    "InstanceOperation",
    "RejectedForm",
    "build_answer_controls",
    "build_answer_operation",
    "raise_for_faults",
    "read_version",
    "run_operation",
]

InstanceOperation = Callable[[Operations, int, str, int], Awaitable[Instance]]
"""An operation on an instance: by its id, the username of who runs it, and the expected version."""


@dataclass(frozen=True, slots=True)
class RejectedForm:
    """A form that is shown again.

    Attributes:
        faults: What is wrong, by the path of each value.
        texts: What was typed, by the name of each value.
        version: The workflow's that was looked at.
    """

    form_name: str
    faults: Mapping[str, str]
    texts: Mapping[str, str]
    version: int


async def run_operation(
    instance: Instance, submitted: Form, operation: InstanceOperation, message: str, url: str
) -> Redirection:
    """Return the answer to a form that does something with an instance of the version that was looked at.

    Args:
        instance: Which one.
        submitted: What was sent.
        operation: What is done.
        message: What is said when it is done.
        url: Where it leads.

    Raises:
        VariablesError: If ``operation`` raises it: the form has to be mended.
        ProblemError: 400 if the form carries no version.
    """
    version = read_version(submitted)
    try:
        await operation(get_services().operations, instance.id, get_principal().username, version)
    except (DurationError, RefusedError, UnknownStateError, UnknownWorkflowError) as error:
        return redirect_with_error(str(error), url)
    return redirect_with_success(message, url)


def build_answer_operation(instance: Instance, submitted: Form, submission: FormSubmission) -> InstanceOperation:
    """Return the operation of an answer, which raises ``VariablesError`` where the form has to be mended.

    What was sent to an instance that has moved on has no faults: it is refused as a whole.
    """

    async def answer_instance(operations: Operations, id: int, username: str, version: int) -> Instance:
        if version == instance.version:
            raise_for_faults(submission)
        choice = submitted.get_text("choice")
        return await operations.answer(id, choice, form=submission.values, username=username, expected_version=version)

    return answer_instance


def build_answer_controls(state: StateDefinition | None) -> tuple[Control, ...]:
    """Return what an answer's values are entered by; nothing where the state has no form, or is not known here."""
    return _build_form_controls(state.form) if state and state.form else ()


@lru_cache(maxsize=500)
def _build_form_controls(form: type[BaseModel]) -> tuple[Control, ...]:
    """Return the controls of a form: kept, because pydantic takes most of a millisecond to tell a model's schema."""
    return build_controls(form.model_json_schema())


def read_version(submitted: Form, subject: str = "workflow") -> int:
    """Return the version that a form was made for: one that is sent twice is too late the second time.

    Args:
        submitted: The form.
        subject: What its page is about.

    Raises:
        ProblemError: 400 if there is none.
    """
    version = parse_number(submitted.get_text("version"))
    if version is None:
        raise ProblemError(
            build_faults_problem({"version": f"has to be the number that the {subject}'s page has in its forms"})
        )
    return version


def raise_for_faults(submission: FormSubmission) -> None:
    """Refuse what cannot be read.

    Raises:
        VariablesError: If there is such a value.
    """
    if submission.faults:
        raise VariablesError("the form", submission.faults)
