"""A request as a value: its content, the reader of its response, and whether it is safe to repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from flowlet.client.errors import UnexpectedResponseError

__all__ = ["ApiRequest", "ApiResponse", "build_json_reader", "quote_segment", "read_nothing", "read_text"]

MIN_WAIT_SECONDS = 0.001
"""To the server a wait of 0 is one of a second."""
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A successful response."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[Result]):
    """One request.

    Attributes:
        read: Reads the result from a response.
        body: The JSON body; None for none.
        params: The query parameters.
        headers: More headers.
        may_repeat: Whether sending it twice has the same effect as sending it once.
        wait_seconds: How long the server is asked to wait; None if it does not wait.
        extra_work_seconds: How much longer than other requests it may take.
    """

    method: str
    path: str
    read: Callable[[ApiResponse], Result]
    body: Mapping[str, Any] | None = None
    params: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    may_repeat: bool = False
    wait_seconds: float | None = None
    extra_work_seconds: float = 0.0

    @property
    def request_line(self) -> str:
        """Its method and path, such as "GET /api/me"."""
        return f"{self.method} {self.path}"

    @property
    def extra_read_seconds(self) -> float:
        """How much longer than for other requests to wait for the response."""
        return self.extra_work_seconds + (self.wait_seconds or 0.0)

    def encode_body(self, elapsed_seconds: float) -> bytes | None:
        """Return the body of an attempt; the server waits only for the rest of the time.

        Args:
            elapsed_seconds: How long ago the first attempt began.

        Raises:
            TypeError: If a value cannot be written as JSON.
        """
        if self.body is None:
            return None
        wait = {}
        if self.wait_seconds is not None:
            wait["waitSeconds"] = max(MIN_WAIT_SECONDS, self.wait_seconds - elapsed_seconds)
        try:
            # By default NaN would silently become null; sent as NaN, the server refuses it.
            return to_json({**self.body, **wait}, inf_nan_mode="constants")
        except PydanticSerializationError as error:
            raise TypeError(f"{self.request_line}: the body cannot be written as JSON: {error}") from None

    def read_result(self, response: ApiResponse) -> Result:
        """Return the result of a response.

        Raises:
            UnexpectedResponseError: If the response is not what this endpoint returns. The message names fields, never
                values.
        """
        try:
            return self.read(response)
        except (ValidationError, UnicodeDecodeError) as error:
            kind = response.headers.get("content-type") or "no content type"
            raise UnexpectedResponseError(
                f"{self.request_line}: the response ({response.status}, {kind}) is not what this endpoint returns: "
                f"{_format_errors(error)}. Is this the address of a Flowlet server, and of this client's version?"
            ) from None


def build_json_reader(result_type: type[Result]) -> Callable[[ApiResponse], Result]:
    """Return a function that reads a JSON response as this type."""
    adapter = TypeAdapter(result_type)
    return lambda response: adapter.validate_json(response.content)


def read_text(response: ApiResponse) -> str:
    """Return a response as text."""
    return response.content.decode()


def read_nothing(_: ApiResponse) -> None:
    """Return None, for a response without a result."""


def quote_segment(name: str | int) -> str:
    """Return a name as a path segment: percent-encoded, and so are the dots of "." and "..", which mean folders."""
    quoted = quote(str(name), safe="")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


def _format_errors(error: ValidationError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in found[:3])
