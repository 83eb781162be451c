"""Static files: kept for good under an address that changes with them, and nothing else of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.exceptions import NotFound

from flowlet.web.static import StaticFiles, get_static_files
from tests.house.source import ROOT
from tests.web.console.console_harness import ConsoleHarness


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flowlet.css", "text/css; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
        ("swagger.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_a_file_is_kept_for_good_under_the_address_of_its_content(
    console: ConsoleHarness, name: str, kind: str
) -> None:
    answer = await console.open_browser().get(get_static_files().build_url(name))

    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_file_is_compressed_for_clients_that_accept_gzip(console: ConsoleHarness) -> None:
    url = get_static_files().build_url("console.css")

    plain = await console.open_browser(**{"accept-encoding": "identity"}).get(url)
    packed = await console.open_browser(**{"accept-encoding": "gzip"}).get(url)

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.text == plain.text
    assert packed.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize("query", ["", "?v=another", "?v="])
async def test_under_another_address_a_browser_asks_again(console: ConsoleHarness, query: str) -> None:
    first = await console.open_browser().get(f"/static/flowlet.css{query}")
    again = await console.open_browser(**{"if-none-match": first.headers["etag"]}).get(f"/static/flowlet.css{query}")

    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert (again.status_code, again.content) == (304, b"")


MISSING_PATHS: list[str] = [
    "nothing.css",
    "../pyproject.toml",
    "%2e%2e/pyproject.toml",
    "..%2fpyproject.toml",
    "..%5cpyproject.toml",
    "%2fetc/passwd",
    "",
    "flowlet.css/",
    "flowlet.css%00",
    "FLOWLET.CSS",
]


async def test_nothing_else_is_there(console: ConsoleHarness, subtests: pytest.Subtests) -> None:
    client = console.app_harness.open_client()

    for path in MISSING_PATHS:
        with subtests.test(path):
            answer = await client.get(f"{client.base_url}/static/{path}", follow_redirects=True)

            assert answer.status_code in (400, 404)
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_change_of_content_is_a_change_of_address(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a b.css").write_text("a {}")
    before = StaticFiles(tmp_path, url_prefix="/static/").build_url("folder/a b.css")
    (tmp_path / "folder" / "a b.css").write_text("b {}")
    after = StaticFiles(tmp_path, url_prefix="/static/").build_url("folder/a b.css")

    assert before.startswith("/static/folder/a%20b.css?v=")
    assert before != after


def test_a_template_that_names_no_file_is_a_mistake() -> None:
    with pytest.raises(NotFound):
        get_static_files().build_url("nothing.css")


def test_no_color_depends_on_the_width_of_the_window() -> None:
    """So the tests in a browser check the contrast of the dark theme in two windows only."""
    for path in (ROOT / "static").glob("*.css"):
        for block in find_width_blocks(path.read_text(encoding="utf-8")):
            assert not re.search(r"(?<![-\w])(?:background|color|fill|opacity|stroke)[-\w]*:", block), path.name


def find_width_blocks(styles: str) -> Iterator[str]:
    """Yield the rules of each media query that asks for a width."""
    for query in re.finditer(r"@media[^{]*width[^{]*\{", styles):
        depth, end = 1, query.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(styles[end], 0)
            end += 1
        yield styles[query.end() : end - 1]
