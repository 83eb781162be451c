"""The errors that Flowlet raises, in one tree.

FlowletError
├── DefinitionError          a workflow module has faults; lists all of them
├── DurationError            a text is not a duration (also a ValueError)
├── TimetableError           the times of a schedule cannot be read (also a ValueError)
├── SettingsError            a setting or an argument cannot be used
├── VariablesError           variables or a form's values do not fit their model
├── SearchError              a search has faults; lists all of them
├── NotFoundError
│   ├── UnknownWorkflowError   no loaded workflow has this name
│   ├── UnknownInstanceError   no instance has this id
│   │   └── PrunedInstanceError    the instance has ended, and was deleted
│   ├── UnknownStateError      the definition has no such state
│   ├── UnknownMessageError    the workflow receives no message of this name
│   ├── UnknownUserError       no user has this name
│   ├── UnknownKeyError        no API key has this id
│   ├── UnknownScheduleError   no schedule has this name
│   └── UnknownLimitError      the state, or the workflow, has no limits
├── RefusedError             the operation is not permitted now; lists what is
│   └── StaleError             the row has another version than the caller expected
├── StoreError
│   ├── StoreUnavailableError  the database cannot be reached
│   │   ├── MissingRightsError   the database denies its user a right
│   │   └── RowsLockedError      another transaction has locked rows for too long
│   ├── TooLargeError          the database does not accept a value of this size
│   └── SchemaError            the tables are missing, newer than this Flowlet, or another program's
├── UserError                a user, a password or an API key cannot be created or changed as requested
│   ├── UserExistsError        another user has this name
│   ├── OwnerError             a key's owner is disabled, or has a lower role than the key would have
│   └── LastAdminError         the last enabled admin cannot be demoted, disabled or deleted
├── OutcomeError             a handler returned what its state does not allow
├── WaitTimeoutError         an instance has not reached the state in time (also a TimeoutError)
│   └── WaitStoppedError     the application stopped before
├── OverloadedError          too much of one kind is under way: try again
├── NotEndedError            in a test, an instance has not ended (also an AssertionError)
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
    "MissingRightsError",
    "NotEndedError",
    "NotFoundError",
    "OutcomeError",
    "OverloadedError",
    "OwnerError",
    "PrunedInstanceError",
    "RefusedError",
    "RowsLockedError",
    "SchemaError",
    "SearchError",
    "SettingsError",
    "StaleError",
    "StoreError",
    "StoreUnavailableError",
    "TimetableError",
    "TooLargeError",
    "UnknownInstanceError",
    "UnknownKeyError",
    "UnknownLimitError",
    "UnknownMessageError",
    "UnknownScheduleError",
    "UnknownStateError",
    "UnknownUserError",
    "UnknownWorkflowError",
    "UserError",
    "UserExistsError",
    "VariablesError",
    "WaitStoppedError",
    "WaitTimeoutError",
]


class FlowletError(Exception):
    """The root of every error that Flowlet raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a workflow module: where it is, what it is, and the likely cure.

    ``line`` is counted from 1; it is 0 if the fault has no line.
    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class DefinitionError(FlowletError):
    """A workflow module cannot be used; ``faults`` lists all of its faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DurationError(FlowletError, ValueError):
    """A text is not a duration."""


class TimetableError(FlowletError, ValueError):
    """The times of a schedule cannot be read: ``field`` is "cron", "every" or "timezone", and ``fault`` says why."""

    def __init__(self, field: str, fault: str) -> None:
        self.field = field
        self.fault = fault
        super().__init__(f"{field}: {fault}")


class SettingsError(FlowletError):
    """A setting or a command line argument cannot be used; the message names it."""


class VariablesError(FlowletError):
    """Values do not fit their model; ``faults`` maps a field's path, such as ``items.0.sku``, to its fault.

    The message names fields and rules, never the values, which may be secret.
    """

    def __init__(self, subject: str, faults: dict[str, str]) -> None:
        self.subject = subject
        self.faults = faults
        listed = "; ".join(f"{field}: {fault}" for field, fault in faults.items())
        super().__init__(f"{subject}: {listed}")


class SearchError(FlowletError):
    """A search cannot be run; ``faults`` maps each field to its fault."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{field}: {fault}" for field, fault in faults.items()))


class NotFoundError(FlowletError):
    """An object that the caller has named does not exist."""


class UnknownWorkflowError(NotFoundError):
    """No loaded workflow has this name."""


class UnknownInstanceError(NotFoundError):
    """No instance has this id."""


class PrunedInstanceError(UnknownInstanceError):
    """The instance has ended and was deleted; its external id is kept."""


class UnknownStateError(NotFoundError):
    """The definition has no such state."""


class UnknownMessageError(NotFoundError):
    """The workflow receives no message of this name."""


class UnknownUserError(NotFoundError):
    """No user has this name."""


class UnknownKeyError(NotFoundError):
    """No API key has this id."""


class UnknownScheduleError(NotFoundError):
    """No schedule has this name."""


class UnknownLimitError(NotFoundError):
    """The state, or the workflow as a whole, has no limits."""


class RefusedError(FlowletError):
    """The operation is not permitted now; ``permitted`` lists the states or operations that are permitted instead.

    ``reason`` says why, without the id and the state of one instance, so that the refusals of many can be grouped.
    """

    def __init__(self, message: str, permitted: Sequence[str] = (), *, reason: str | None = None) -> None:
        self.permitted = tuple(permitted)
        self.reason = reason or message
        super().__init__(message)


class StaleError(RefusedError):
    """The row has changed since the caller read it, and nothing was written.

    Args:
        subject: How the message names the row, such as "user 'ada'".
        version: The version that the row has now.
        expected_version: The version that the caller expected.
        changed_by: Who changed the row last, if that is known.
    """

    def __init__(self, subject: str, *, version: int, expected_version: int, changed_by: str | None = None) -> None:
        self.version = version
        self.expected_version = expected_version
        by = f" by {changed_by!r}" if changed_by else ""
        super().__init__(
            f"{subject} was changed{by} in the meantime: it has version {version} now, but version {expected_version} "
            "was expected. Nothing was changed. Reload it and try again.",
            reason="it was changed in the meantime",
        )


class StoreError(FlowletError):
    """The store cannot run an operation."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or cannot be opened."""


class MissingRightsError(StoreUnavailableError):
    """The database denies its user a right; the message names the right, and the statement that grants it.

    What was tried can be tried again once the right is granted.
    """


class RowsLockedError(StoreUnavailableError):
    """Another transaction has locked rows for longer than this one waits; nothing was written."""


class TooLargeError(StoreError):
    """The database does not accept what is to be written, because of its size; nothing of it was written.

    Args:
        size: The size in bytes, as the database would receive it; None if only the database has measured it.
        limit: The largest size in bytes; None if the database does not say.
        limit_name: What sets the limit, such as ``max_allowed_packet``.
    """

    def __init__(self, *, size: int | None = None, limit: int | None = None, limit_name: str) -> None:
        self.size = size
        self.limit = limit
        given = "more bytes than the database accepts" if size is None else f"{size:,} bytes"
        accepted = "" if limit is None else f"; the database accepts at most {limit:,}"
        super().__init__(
            f"what is to be written has {given}{accepted} ({limit_name}). Keep large values elsewhere, such as in an "
            "object store, and their address in the variables"
        )


class SchemaError(StoreError):
    """The tables are missing, incomplete, newer than this version of Flowlet, or made by another program."""


class UserError(FlowletError):
    """A user, a password or an API key cannot be created or changed as requested. No message shows a secret."""


class UserExistsError(UserError):
    """Another user has this name, in upper or lower case."""


class OwnerError(UserError):
    """An API key cannot have this owner now: disabled, deleted, or with a lower role than the key would have."""


class LastAdminError(UserError):
    """The last enabled admin cannot be demoted, disabled or deleted: there has to be one."""


class OutcomeError(FlowletError):
    """A handler returned a result that its state does not allow. It counts as a failed attempt."""


class WaitTimeoutError(FlowletError, TimeoutError):
    """An instance has not reached the awaited state in time, or the application stopped first.

    ``instance`` is the current ``Instance``, or None if the database cannot be reached.
    """

    def __init__(self, message: str, instance: Any = None) -> None:
        self.instance = instance
        super().__init__(message)


class WaitStoppedError(WaitTimeoutError):
    """The application stops before an instance has reached the awaited state; it may reach it later.

    ``instance_id`` is None if the wait was refused before there was an instance.
    """

    def __init__(self, instance_id: int | None = None) -> None:
        self.instance_id = instance_id
        what = "new waits are refused" if instance_id is None else f"the wait for workflow {instance_id} was cut short"
        super().__init__(f"{what}: the application stops")


class OverloadedError(FlowletError):
    """The process has as much work of one kind under way as it takes: try again in a moment. Nothing was changed."""


class NotEndedError(FlowletError, AssertionError):
    """An instance has not ended within the time limit of a test; the message says in which state it is."""


class Fail(FlowletError):
    """Raised by a handler when no further attempt can help.

    The instance enters the state's ``on_error`` state, or ends as FAILED.

        raise Fail("the customer does not exist")
    """
