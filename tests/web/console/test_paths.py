"""Where a login may lead, and what belongs to the API."""

from __future__ import annotations

import pytest

from flowlet.web.paths import HOME_PATH, is_api, sanitize_redirect_target
from tests.web.console.console_harness import ConsoleHarness, submit_login

FOREIGN_PATHS = [
    "",
    "docs",
    "//elsewhere.test",
    "///elsewhere.test",
    "/\\elsewhere.test",
    "\\\\elsewhere.test",
    "/docs\\..\\elsewhere",
    "/\t/elsewhere.test",
    "/\n/elsewhere.test",
    "/docs\r\nset-cookie: a=b",
    "\t//elsewhere.test",
    " /docs",
    "/docs and more",
    "https://elsewhere.test/docs",
    "https:elsewhere.test",
    "javascript:alert(1)",
    "http://[broken",
    "//user@elsewhere.test",
    "/\x7f",
    "/" + "a" * 2_000,
    "/é",
    "/\u2603",
    "/\uff0felsewhere.test",
    "/login",
    "/login?next=/docs",
    "/logout",
]
OWN_PATHS = ["/", "/docs", "/docs?a=1&b=//c#d", "/workflows/http://x", "/docs:80", "/a%2F%2Fb", "/%C3%A9", "/loginx"]


@pytest.mark.parametrize("address", FOREIGN_PATHS, ids=repr)
def test_no_login_leads_to_another_host(address: str) -> None:
    assert sanitize_redirect_target(address) == HOME_PATH


@pytest.mark.parametrize("address", OWN_PATHS)
def test_a_login_leads_to_where_it_was_asked_for(address: str) -> None:
    assert sanitize_redirect_target(address) == address


async def test_neither_the_form_nor_the_answer_names_another_host(console: ConsoleHarness) -> None:
    for address in FOREIGN_PATHS:
        form = await console.open_browser().get("/login", params={"next": address})
        answer = await submit_login(console.open_browser(), next=address)

        assert 'name="next" value="/"' in form.text
        assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    ("path", "belongs"),
    [
        ("/api", True),
        ("/api/workflows", True),
        ("/metrics", True),
        ("/openapi.json", True),
        ("/healthz", True),
        ("/readyz", True),
        ("/apis", False),
        ("/", False),
        ("/docs", False),
        ("/metrics/x", False),
    ],
)
def test_the_api_has_its_own_paths(path: str, belongs: bool) -> None:
    assert is_api(path) is belongs
