"""A request as a value: what is sent, how its answer is read, and whether it may be sent again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from flowlet.client.errors import UnexpectedResponseError

__all__ = ["ApiRequest", "ApiResponse", "build_json_reader", "quote_segment", "read_nothing", "read_text"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An answer that is no error."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[Result]):
    """One request.

    Attributes:
        read: Makes the result of an answer.
        body: What is sent as JSON; None for nothing.
        params: What stands behind the path.
        may_repeat: Whether sending it twice comes to the same as sending it once.
        wait_seconds: How long the server is told to wait; None where it does not.
        extra_work_seconds: How much longer than others it may take in any case.
    """

    method: str
    path: str
    read: Callable[[ApiResponse], Result]
    body: Mapping[str, Any] | None = None
    params: Sequence[tuple[str, str]] = ()
    may_repeat: bool = False
    wait_seconds: float | None = None
    extra_work_seconds: float = 0.0

    @property
    def request_line(self) -> str:
        """What it asks, as "GET /api/me"."""
        return f"{self.method} {self.path}"

    @property
    def extra_read_seconds(self) -> float:
        """How much longer than others its answer may take to come."""
        return self.extra_work_seconds + (self.wait_seconds or 0.0)

    def encode_body(self, elapsed_seconds: float) -> bytes | None:
        """Return the body as it is sent so many seconds after the first attempt; the server waits so much less.

        Raises:
            TypeError: If a value has no form in JSON.
        """
        if self.body is None:
            return None
        wait = {} if self.wait_seconds is None else {"waitSeconds": max(0.0, self.wait_seconds - elapsed_seconds)}
        try:
            # By default NaN would become null without a word; sent as it is, it is refused.
            return to_json({**self.body, **wait}, inf_nan_mode="constants")
        except PydanticSerializationError as error:
            raise TypeError(f"{self.request_line}: the body cannot be written as JSON: {error}") from None

    def read_result(self, response: ApiResponse) -> Result:
        """Return what an answer comes to.

        Raises:
            AnswerError: If it is not what this endpoint answers. The message names fields, never values.
        """
        try:
            return self.read(response)
        except (ValidationError, UnicodeDecodeError) as error:
            kind = response.headers.get("content-type") or "no content type"
            raise UnexpectedResponseError(
                f"{self.request_line} was answered with {response.status} and {kind}, which says something else than expected: "
                f"{_format_errors(error)}. Is this the address of a Flowlet, and as old or new as this client?"
            ) from None


def build_json_reader(result_type: type[Result]) -> Callable[[ApiResponse], Result]:
    """Return what reads an answer in JSON as this type."""
    adapter = TypeAdapter(result_type)
    return lambda answer: adapter.validate_json(answer.content)


def read_text(response: ApiResponse) -> str:
    """Return an answer that is a text."""
    return response.content.decode()


def read_nothing(_: ApiResponse) -> None:
    """Return nothing, of an answer that has nothing to say."""


def quote_segment(name: str | int) -> str:
    """Return a name as it stands in an address: percent-encoded, and dots too where they would mean a folder."""
    quoted = quote(str(name), safe="")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


def _format_errors(error: ValidationError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in found[:3])
