"""The server as the client sees it: its address, its requests, and the errors of its responses."""

from __future__ import annotations

import contextlib
import os
import socket
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx

from flowlet.client.errors import UnexpectedResponseError, UnreachableError, build_error
from flowlet.client.request import ApiRequest, ApiResponse
from flowlet.clock import Duration, parse_duration
from flowlet.errors import SettingsError

__all__ = ["ApiServer", "build_unreachable_error", "check_event_stream", "shut_down_connection"]

Result = TypeVar("Result")
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class ApiServer:
    """A server.

    Args:
        url: Its address, such as "http://127.0.0.1:8080"; with a path if a proxy serves it under one.
        key: An API key; None if the HTTP client authenticates by itself.
        timeout: How long to wait for a response.
        on_behalf_of: The person for whom the client acts; None for the key's owner.

    Raises:
        SettingsError: If the address, the person or the key cannot be used; the message does not show the key.
        DurationError: If ``timeout`` is not a duration.
    """

    def __init__(self, url: str, *, key: str | None, timeout: Duration, on_behalf_of: str | None = None) -> None:
        self.url = _validate_url(url)
        self.timeout_seconds = parse_duration(timeout) / timedelta(seconds=1)
        self._headers = {"Accept": "application/json, application/problem+json"}
        if key is not None:
            self._headers["X-API-Key"] = _validate_key(key)
        if on_behalf_of is not None:
            self._headers["On-Behalf-Of"] = _encode_person(on_behalf_of)

    def build_request(self, api_request: ApiRequest[Any], *, elapsed_seconds: float = 0.0) -> dict[str, Any]:
        """Return the arguments from which httpx builds a request.

        Raises:
            TypeError: If a value of the body cannot be written as JSON.
        """
        content = api_request.encode_body(elapsed_seconds)
        body = {} if content is None else {"Content-Type": "application/json"}
        return {
            "method": api_request.method,
            "url": self.url + api_request.path,
            "params": list(api_request.params) or None,
            "content": content,
            "headers": {**self._headers, **body, **api_request.headers},
            "timeout": httpx.Timeout(self.timeout_seconds, read=self.timeout_seconds + api_request.extra_read_seconds),
        }

    def build_stream_request(
        self, api_request: ApiRequest[Any], *, last_id: str, heartbeat_timeout_seconds: float
    ) -> dict[str, Any]:
        """Return the arguments from which httpx builds the request of an event stream after ``last_id``."""
        resumed = {"Last-Event-ID": last_id} if last_id else {}
        return {
            **self.build_request(api_request),
            "headers": {**self._headers, **resumed, "Accept": "text/event-stream", "Cache-Control": "no-store"},
            "timeout": httpx.Timeout(self.timeout_seconds, read=heartbeat_timeout_seconds),
        }

    def read_result(self, api_request: ApiRequest[Result], response: httpx.Response) -> Result:
        """Return the result of a response that has been read.

        Raises:
            ApiError: If the response is an error; the subclass depends on its type.
            UnexpectedResponseError: If it is not what this endpoint returns, or is a redirect.
        """
        _raise_for_status(api_request, response)
        return api_request.read_result(ApiResponse(response.status_code, response.headers, response.content))


def _raise_for_status(api_request: ApiRequest[Any], response: httpx.Response) -> None:
    """Raise an error unless the response is a success.

    Raises:
        ApiError: If the response is an error; the subclass depends on its type.
        UnexpectedResponseError: If it is a redirect.
    """
    if response.status_code >= 400:
        raise build_error(
            response.status_code, response.headers, response.content, request_line=api_request.request_line
        )
    if not response.is_success:
        target = response.headers.get("location", "nowhere")
        raise UnexpectedResponseError(
            f"{api_request.request_line}: the server redirects ({response.status_code}) to {target!r}. The client does "
            "not follow, because it sends its API key to no other address. Use the final address as url."
        )


def check_event_stream(api_request: ApiRequest[Any], response: httpx.Response) -> None:
    """Raise an error unless the response is an event stream.

    Raises:
        ApiError: If the response is an error; the subclass depends on its type.
        UnexpectedResponseError: If it is anything else.
    """
    _raise_for_status(api_request, response)
    kind = response.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "text/event-stream":
        raise UnexpectedResponseError(
            f"{api_request.request_line}: the response has {kind or 'no content type'}, not text/event-stream."
        )


def build_unreachable_error(api_request: ApiRequest[Any], error: httpx.RequestError) -> UnreachableError:
    """Return the error of a request that got no response."""
    was_sent = not isinstance(error, _NEVER_SENT)
    silence = "did not respond in time" if isinstance(error, httpx.TimeoutException) else "did not respond"
    cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    advice = " The server may have carried out the request." if was_sent and not api_request.may_repeat else ""
    return UnreachableError(f"{api_request.request_line}: the server {silence} ({cause}).{advice}", was_sent=was_sent)


def shut_down_connection(response: httpx.Response) -> None:
    """End a response at once for the task or thread that reads it."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    if connection is None:
        return
    # Through a second descriptor, because uvloop's sockets refuse shutdown(). The connection may have ended already.
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


def _validate_url(url: str) -> str:
    if not _is_server_url(url):
        shown = url.rpartition("@")[2]  # the part before it is a login
        raise SettingsError(f"{shown!r} is not the address of a server. Write it as 'http://127.0.0.1:8080'.")
    return url.rstrip("/")


def _is_server_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_server and not (parts.query or parts.fragment)


def _encode_person(name: str) -> str:
    """Return a name as the header has it: what is not ASCII is percent-encoded, with the percent sign and the comma."""
    if not name.strip() or not name.isprintable():
        raise SettingsError(f"on_behalf_of is {name[:60]!a}, not the name of a person")
    return quote(name, safe=" !#$&'()*+/:;=?@[]^`{|}~\"<>\\")


def _validate_key(key: str) -> str:
    if not key.strip() or not key.isascii() or not key.isprintable():
        raise SettingsError(
            "the API key is empty, or has characters that no API key has. Create one with: flowlet key add"
        )
    return key.strip()
