"""The errors that Flowlet raises, in one tree.

FlowletError
├── DefinitionError          a workflow module has faults; carries every one of them
├── DurationError            a text is not a length of time (also a ValueError)
├── SettingsError            a setting or an argument cannot be used
├── VariablesError           variables or a form's values do not fit their model
├── SearchError              a search asks for what cannot be looked for
├── NotFoundError
│   ├── UnknownWorkflowError   no definition has this name
│   ├── UnknownInstanceError   no instance has this id
│   ├── UnknownStateError      the definition has no such state
│   ├── UnknownUserError       no user has this name
│   └── UnknownKeyError        no API key has this id
├── RefusedError             the instance may not do that now; lists what it may do
├── StoreError
│   ├── StoreUnavailableError  the database cannot be reached
│   └── SchemaError            the tables are missing, or newer than this Flowlet
├── UserError                a user, a password or an API key cannot be as it was asked for
│   ├── UserExistsError        another user has this name
│   ├── OwnerError             a key's owner is disabled, or has a lesser role than the key is to have
│   ├── StaleError             a user, or somebody's keys, have changed since they were looked at
│   └── LastAdminError         without this admin nobody could administer
├── OutcomeError             a handler returned what its state does not allow
├── WaitTimeoutError         an instance has not come as far in the time given (also a TimeoutError)
├── NotEndedError            in a test an instance has not ended (also an AssertionError)
└── Fail                     raised by a handler: no further attempt
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "DefinitionError",
    "DurationError",
    "Fail",
    "Fault",
    "FlowletError",
    "LastAdminError",
    "NotEndedError",
    "NotFoundError",
    "OutcomeError",
    "OwnerError",
    "RefusedError",
    "SchemaError",
    "SearchError",
    "SettingsError",
    "StaleError",
    "StoreError",
    "StoreUnavailableError",
    "UnknownInstanceError",
    "UnknownKeyError",
    "UnknownStateError",
    "UnknownUserError",
    "UnknownWorkflowError",
    "UserError",
    "UserExistsError",
    "VariablesError",
    "WaitTimeoutError",
]


class FlowletError(Exception):
    """The root of every error that Flowlet raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a workflow module: where it is, what it is, and the likely cure.

    ``line`` is counted from 1, and 0 where no line can be named.
    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class DefinitionError(FlowletError):
    """A workflow module cannot be used; ``faults`` holds everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DurationError(FlowletError, ValueError):
    """A text is not a length of time."""


class SettingsError(FlowletError):
    """A setting or a command line argument cannot be used; the message names it."""


class VariablesError(FlowletError):
    """Values do not fit their model; ``faults`` maps a field's path, as in ``items.0.sku``, to what is wrong.

    The message names fields and rules, never the values: those may be secret.
    """

    def __init__(self, subject: str, faults: dict[str, str]) -> None:
        self.subject = subject
        self.faults = faults
        listed = "; ".join(f"{field}: {fault}" for field, fault in faults.items())
        super().__init__(f"{subject}: {listed}")


class SearchError(FlowletError):
    """A search asks for what cannot be looked for; ``faults`` maps each field to what is wrong with it."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{field}: {fault}" for field, fault in faults.items()))


class NotFoundError(FlowletError):
    """Something named by the caller does not exist."""


class UnknownWorkflowError(NotFoundError):
    """No definition has this name."""


class UnknownInstanceError(NotFoundError):
    """No instance has this id."""


class UnknownStateError(NotFoundError):
    """The definition has no such state."""


class UnknownUserError(NotFoundError):
    """No user has this name."""


class UnknownKeyError(NotFoundError):
    """No API key has this id."""


class RefusedError(FlowletError):
    """The instance may not do that now; ``permitted`` lists the states or operations it may take instead.

    ``reason`` is the message without what is this instance's own, so that the refusals of many can be counted by it.
    """

    def __init__(self, message: str, permitted: Sequence[str] = (), *, reason: str | None = None) -> None:
        self.permitted = tuple(permitted)
        self.reason = reason or message
        super().__init__(message)


class StoreError(FlowletError):
    """The store cannot do what was asked."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or cannot be opened."""


class SchemaError(StoreError):
    """The tables are missing, unfinished, or made by a newer Flowlet."""


class UserError(FlowletError):
    """A user, a password or an API key cannot be as it was asked for. No message shows a password or a key."""


class UserExistsError(UserError):
    """Another user has this name, in upper or lower case."""


class OwnerError(UserError):
    """An API key cannot have this owner now: disabled or gone, or of a lesser role than the key is to have."""


class StaleError(UserError):
    """What somebody looked at has changed since, and nothing was done: a user, or the API keys that they have made."""


class LastAdminError(UserError):
    """Without this admin nobody could administer: the last one who is enabled keeps role and account."""


class OutcomeError(FlowletError):
    """A handler returned what its state does not allow. Counts as a failed attempt."""


class WaitTimeoutError(FlowletError, TimeoutError):
    """An instance has not come as far as somebody waits for, in the time given, or the application stopped before.

    ``instance`` is the ``Instance`` as it is then, or None where the store could not be asked.
    """

    def __init__(self, message: str, instance: Any = None) -> None:
        self.instance = instance
        super().__init__(message)


class NotEndedError(FlowletError, AssertionError):
    """An instance has not ended in the time that a test gave it; the message says where it stands."""


class Fail(FlowletError):
    """Raise it in a handler to say that no further attempt can help.

    The instance goes on to the state's ``on_error``, or ends as FAILED.

        raise Fail("the customer does not exist")
    """
