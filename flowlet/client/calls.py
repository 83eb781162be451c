"""A request as a value: what is sent, how its answer is read, and whether it may be sent again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from flowlet.client.errors import AnswerError

__all__ = ["Answer", "Call", "nothing", "read_as", "segment", "text"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no error."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One request.

    Attributes:
        read: Makes the result of an answer.
        body: What is sent as JSON; None for nothing.
        params: What stands behind the path.
        may_repeat: Whether sending it twice comes to the same as sending it once.
        wait_seconds: How long the server is told to wait; None where it does not.
        work_seconds: How much longer than others it may take in any case.
    """

    method: str
    path: str
    read: Callable[[Answer], Result]
    body: Mapping[str, Any] | None = None
    params: Sequence[tuple[str, str]] = ()
    may_repeat: bool = False
    wait_seconds: float | None = None
    work_seconds: float = 0.0

    @property
    def asked(self) -> str:
        """What it asks, as "GET /api/me"."""
        return f"{self.method} {self.path}"

    @property
    def longer_seconds(self) -> float:
        """How much longer than others its answer may take to come."""
        return self.work_seconds + (self.wait_seconds or 0.0)

    def content(self, elapsed: float) -> bytes | None:
        """Return the body as it is sent so many seconds after the first attempt; the server waits so much less.

        Raises:
            TypeError: If a value has no form in JSON.
        """
        if self.body is None:
            return None
        wait = {} if self.wait_seconds is None else {"waitSeconds": max(0.0, self.wait_seconds - elapsed)}
        try:
            # By default NaN would become null without a word; sent as it is, it is refused.
            return to_json({**self.body, **wait}, inf_nan_mode="constants")
        except PydanticSerializationError as error:
            raise TypeError(f"{self.asked}: the body cannot be written as JSON: {error}") from None

    def result(self, answer: Answer) -> Result:
        """Return what an answer comes to.

        Raises:
            AnswerError: If it is not what this endpoint answers. The message names fields, never values.
        """
        try:
            return self.read(answer)
        except (ValidationError, UnicodeDecodeError) as error:
            kind = answer.headers.get("content-type") or "no content type"
            raise AnswerError(
                f"{self.asked} was answered with {answer.status} and {kind}, which says something else than expected: "
                f"{_faults(error)}. Is this the address of a Flowlet, and as old or new as this client?"
            ) from None


def read_as(kind: type[Result]) -> Callable[[Answer], Result]:
    """Return what reads an answer in JSON as this type."""
    adapter = TypeAdapter(kind)
    return lambda answer: adapter.validate_json(answer.content)


def text(answer: Answer) -> str:
    """Return an answer that is a text."""
    return answer.content.decode()


def nothing(_: Answer) -> None:
    """Return nothing, of an answer that has nothing to say."""


def segment(name: str | int) -> str:
    """Return a name as it stands in an address: percent-encoded, and dots too where they would mean a folder."""
    quoted = quote(str(name), safe="")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


def _faults(error: ValidationError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in found[:3])
