"""Static files, each at a URL that changes with its content, so that a browser may cache it forever."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from flowlet.diagram.style import STYLESHEET
from flowlet.web.auth import allow_anonymous
from flowlet.web.bundled import find_folder

__all__ = ["StaticFiles", "blueprint", "get_static_files"]

CACHE_IMMUTABLE = "public, max-age=31536000, immutable"
CACHE_REVALIDATE = "no-cache"
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
"""By file extension; the tables of operating systems differ."""

blueprint = Blueprint("files", __name__)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file in memory, read once.

    Attributes:
        compressed: The content for clients that accept gzip; None if that is not shorter.
    """

    content: bytes
    compressed: bytes | None
    version: str
    content_type: str


class StaticFiles:
    """The files of one folder. The folder is listed once; a requested name is never joined to a path.

    Args:
        folder: The folder.
        url_prefix: The beginning of their URLs, such as "/static/".
        generated: Texts that are served as files of the folder, by name.
    """

    def __init__(self, folder: Path, *, url_prefix: str, generated: Mapping[str, str] | None = None) -> None:
        self._url_prefix = url_prefix
        self._paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        self._loaded = {name: _build_file(name, text.encode()) for name, text in (generated or {}).items()}

    def build_url(self, name: str) -> str:
        """Return the URL of a file with its current content.

        Raises:
            NotFound: If there is no such file.
        """
        return f"{self._url_prefix}{quote(name)}?v={self._load_file(name).version}"

    async def serve_file(self, name: str) -> Response:
        """Return the response with a file; it may be cached forever if the URL has the version of the content.

        Raises:
            NotFound: If there is no such file.
        """
        file = self._load_file(name)
        is_compressed = file.compressed is not None and request.accept_encodings.quality("gzip") > 0
        response = Response(
            file.compressed if is_compressed and file.compressed else file.content, content_type=file.content_type
        )
        if is_compressed:
            response.headers["Content-Encoding"] = "gzip"
        if file.compressed is not None:
            response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = (
            CACHE_IMMUTABLE if request.args.get("v") == file.version else CACHE_REVALIDATE
        )
        response.set_etag(f"{file.version}-gzip" if is_compressed else file.version)
        await response.make_conditional(request)
        return response

    def _load_file(self, name: str) -> StaticFile:
        if name not in self._loaded:
            if name not in self._paths:
                raise NotFound
            self._loaded[name] = _build_file(name, self._paths[name].read_bytes())
        return self._loaded[name]


def _build_file(name: str, content: bytes) -> StaticFile:
    kind = CONTENT_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
    compressed = gzip.compress(content, mtime=0)
    version = hashlib.sha256(content).hexdigest()[:16]
    return StaticFile(content, compressed if len(compressed) < len(content) else None, version, kind)


@cache
def get_static_files() -> StaticFiles:
    """Return the files of the folder ``static``, and the stylesheet of ``flowlet.diagram.style``."""
    return StaticFiles(find_folder("static"), url_prefix="/static/", generated={"diagram.css": STYLESHEET})


@blueprint.get("/static/<path:name>")
@allow_anonymous
async def serve_static_file(name: str) -> Response:
    """Return a static file."""
    return await get_static_files().serve_file(name)
