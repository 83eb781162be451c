"""Static files: each under an address that changes with its content, so that a browser may keep it for good."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from flowlet.resources import folder
from flowlet.theme import STYLE
from flowlet.web.guards import public

__all__ = ["Files", "blueprint", "static"]

FOR_GOOD = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
"""By their ends; what the machine's own tables say of these differs from machine to machine."""

blueprint = Blueprint("files", __name__)


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is served: read once."""

    content: bytes
    version: str
    kind: str


class Files:
    """The files of one folder. Which there are is found out once: what is asked for is never joined to a path.

    Args:
        folder: Where they lie.
        address: What their addresses begin with, as "/static/".
        made: Texts that are served as files, though none lie there.
    """

    def __init__(self, folder: Path, *, address: str, made: Mapping[str, str] | None = None) -> None:
        self._address = address
        self._paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        self._read = {name: _file(name, text.encode()) for name, text in (made or {}).items()}

    def url(self, name: str) -> str:
        """Return the address of a file with the content that it has.

        Raises:
            NotFound: If there is no such file.
        """
        return f"{self._address}{quote(name)}?v={self._file(name).version}"

    async def answer(self, name: str) -> Response:
        """Return a file as the response to the request at hand: to be kept for good if it is asked for by its content.

        Raises:
            NotFound: If there is no such file.
        """
        file = self._file(name)
        response = Response(file.content, content_type=file.kind)
        response.headers["Cache-Control"] = FOR_GOOD if request.args.get("v") == file.version else ASK_AGAIN
        response.set_etag(file.version)
        await response.make_conditional(request)
        return response

    def _file(self, name: str) -> File:
        if name not in self._read:
            if name not in self._paths:
                raise NotFound
            self._read[name] = _file(name, self._paths[name].read_bytes())
        return self._read[name]


def _file(name: str, content: bytes) -> File:
    kind = TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
    return File(content, hashlib.sha256(content).hexdigest()[:16], kind)


@cache
def static() -> Files:
    """Return the files of the folder ``static``, and the rules for diagrams, whose one place is ``flowlet.theme``."""
    return Files(folder("static"), address="/static/", made={"diagram.css": STYLE})


@blueprint.get("/static/<path:name>")
@public
async def static_file(name: str) -> Response:
    """Return a file of the pages."""
    return await static().answer(name)
