"""A reverse proxy that removes a prefix from paths, and names it in X-Forwarded-Prefix."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

__all__ = ["build_prefix_proxy"]

OWN_HEADERS = {"connection", "content-encoding", "content-length", "transfer-encoding", "date"}
"""Headers of an upstream response that are of its own connection; httpx has decompressed the body."""


def build_prefix_proxy(upstream: str, prefix: str) -> Starlette:
    """Return an application that forwards what is below the prefix, and knows nothing else.

    Args:
        upstream: The URL of the server that it forwards to.
        prefix: The prefix, as "/shop".
    """
    client = httpx.AsyncClient(base_url=upstream, trust_env=False, timeout=None)

    async def forward(request: Request) -> StreamingResponse:
        headers = [(name, value) for name, value in request.headers.raw if name != b"accept-encoding"]
        headers += [(b"x-forwarded-prefix", prefix.encode()), (b"x-forwarded-for", b"203.0.113.9")]
        url = httpx.URL(path="/" + request.path_params["path"], query=request.url.query.encode())
        sent = client.build_request(request.method, url, headers=headers, content=await request.body())
        answer = await client.send(sent, stream=True)
        response = StreamingResponse(
            answer.aiter_bytes(), status_code=answer.status_code, background=BackgroundTask(answer.aclose)
        )
        kept = [(name.lower(), value) for name, value in answer.headers.raw if name.decode().lower() not in OWN_HEADERS]
        response.raw_headers = kept
        return response

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with client:
            yield {}

    route = Route(f"{prefix}/{{path:path}}", forward, methods=["GET", "POST", "HEAD"])
    return Starlette(routes=[route], lifespan=lifespan)
