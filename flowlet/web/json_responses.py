"""JSON responses: models in camelCase, with times in RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from quart import Response

from flowlet.instance.json_text import write_json

__all__ = ["build_json_response"]


def build_json_response(
    value: BaseModel | Mapping[str, Any] | Sequence[Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with a value as JSON.

    Args:
        value: A model, several models, or plain values that contain models.
        status: The HTTP status.
        headers: Further headers, such as ``Location``.
    """
    return Response(
        write_json(value, default=_encode_model), status, dict(headers or {}), content_type="application/json"
    )


def _encode_model(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
