"""Static files: kept for good under an address that changes with them, and nothing else of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from werkzeug.exceptions import NotFound

from flowlet.web.static import StaticFiles, get_static_files
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


@pytest.mark.parametrize("query", ["", "?v=another", "?v="])
async def test_under_another_address_a_browser_asks_again(console: ConsoleHarness, query: str) -> None:
    first = await console.open_browser().get(f"/static/flowlet.css{query}")
    again = await console.open_browser(**{"if-none-match": first.headers["etag"]}).get(f"/static/flowlet.css{query}")

    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
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
    ],
)
async def test_nothing_else_is_there(console: ConsoleHarness, path: str) -> None:
    client = console.app_harness.open_client()

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
