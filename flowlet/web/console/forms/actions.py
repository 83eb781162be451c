"""Forms that operate on one workflow: the expected version, the faults, and the response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydantic import BaseModel
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.definition.definition import StateDefinition
from flowlet.definition.model_shape import build_schema
from flowlet.errors import (
    DurationError,
    RefusedError,
    StaleError,
    UnknownStateError,
    UnknownWorkflowError,
    VariablesError,
)
from flowlet.instance.instance import Instance
from flowlet.operations.service import Operations
from flowlet.text import parse_number
from flowlet.web.auth import get_principal
from flowlet.web.console.decisions import build_stale_answer_error
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.forms.model_form import Control, FormSubmission, build_controls
from flowlet.web.forms import Form
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = [
    "InstanceOperation",
    "RejectedForm",
    "build_answer_controls",
    "build_answer_operation",
    "build_model_controls",
    "raise_for_faults",
    "read_version",
    "run_operation",
]

InstanceOperation = Callable[[Operations, int, str, int], Awaitable[Instance]]
"""An operation on an instance: by its id, the username of who runs it, and the expected version."""


@dataclass(frozen=True, slots=True)
class RejectedForm:
    """A form that is shown again because of its faults.

    Attributes:
        faults: The faults, by the path of each value.
        texts: The entered texts, by the name of each value.
        version: The workflow's version that the form's page showed.
    """

    form_name: str
    faults: Mapping[str, str]
    texts: Mapping[str, str]
    version: int


async def run_operation(
    instance: Instance, submitted: Form, operation: InstanceOperation, message: str, url: str
) -> Redirection:
    """Run an operation on an instance if it still has the version that the form's page showed; return the response.

    Args:
        instance: The instance.
        submitted: The form.
        operation: The operation.
        message: The message after success.
        url: The page that the response redirects to.

    Raises:
        VariablesError: If ``operation`` raises it: the user has to correct the form.
        ProblemError: 400 if the form has no version.
    """
    version = read_version(submitted)
    try:
        await operation(get_services().operations, instance.id, get_principal().username, version)
    except (DurationError, RefusedError, UnknownStateError, UnknownWorkflowError) as error:
        return redirect_with_error(str(error), url)
    return redirect_with_success(message, url)


def build_answer_operation(instance: Instance, submitted: Form, submission: FormSubmission) -> InstanceOperation:
    """Return the operation that answers; it raises ``VariablesError`` if the form has faults.

    An answer to an instance that has changed meanwhile is refused as a whole, whatever its faults.
    """

    async def answer_instance(operations: Operations, id: int, username: str, version: int) -> Instance:
        if version == instance.version:
            raise_for_faults(submission)
        choice = submitted.get_text("choice")
        try:
            return await operations.answer(
                id,
                choice,
                form=submission.values,
                username=username,
                expected_version=version,
                is_admin=get_principal().role is Role.ADMIN,
            )
        except StaleError as error:
            raise await build_stale_answer_error(error, id) from error

    return answer_instance


def build_answer_controls(state: StateDefinition | None) -> tuple[Control, ...]:
    """Return the controls of an answer's form; none if the state has no form, or this process has not loaded it."""
    return build_model_controls(state.form) if state and state.form else ()


@lru_cache(maxsize=500)
def build_model_controls(model: type[BaseModel] | None) -> tuple[Control, ...]:
    """Return the controls of a model, or of any JSON object for None.

    They are cached, because pydantic takes most of a millisecond to build a schema.
    """
    return build_controls(build_schema(model) if model else None)


def read_version(submitted: Form, subject: str = "workflow") -> int:
    """Return the version that a form was rendered for. A form that is sent twice is out of date the second time.

    Args:
        submitted: The form.
        subject: The kind of record that its page shows.

    Raises:
        ProblemError: 400 if the form has none.
    """
    version = parse_number(submitted.get_text("version"))
    if version is None:
        raise ProblemError(
            build_faults_problem({"version": f"must be the number in the forms of the {subject}'s page"})
        )
    return version


def raise_for_faults(submission: FormSubmission) -> None:
    """Refuse a submission with values that cannot be parsed.

    Raises:
        VariablesError: If there is such a value.
    """
    if submission.faults:
        raise VariablesError("the form", submission.faults)
