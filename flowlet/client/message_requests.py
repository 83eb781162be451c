"""The requests of messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from flowlet.client.endpoints import Variables, format_api_duration
from flowlet.client.models import Sent
from flowlet.client.request import ApiRequest, ApiResponse, build_json_reader, quote_segment
from flowlet.clock import Duration

__all__ = ["build_send_request"]

_read_sent = build_json_reader(Sent)


def build_send_request(
    path: str, name: str, body: Variables | None, *, key: str, expires: Duration | None, params: Mapping[str, str]
) -> ApiRequest[Sent]:
    """Return the request of a send, which is safe to repeat because it carries a key.

    Args:
        path: The beginning of its path.
        name: The message's name.
        body: The body; None for an empty object.
        key: The message's key.
        expires: After which duration it is deleted unread; None for never.
        params: More query parameters.

    Raises:
        DurationError: If ``expires`` is not a duration.
    """

    def read_sent(response: ApiResponse) -> Sent:
        return _read_sent(response).model_copy(update={"is_new": response.status == 201})

    query = dict(params) | ({} if expires is None else {"expiresOffset": format_api_duration(expires)})
    return ApiRequest(
        "POST",
        f"{path}/{quote_segment(name)}",
        read_sent,
        body=_encode_body(body),
        params=list(query.items()),
        headers={"Idempotency-Key": key},
        may_repeat=True,
    )


def _encode_body(body: Variables | None) -> dict[str, Any]:
    if isinstance(body, BaseModel):
        return body.model_dump(mode="json", by_alias=True)
    return dict(body or {})
