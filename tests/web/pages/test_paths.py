"""Where a login may lead, and what belongs to the API."""

from __future__ import annotations

import pytest

from flowlet.web.paths import HOME, is_api, local
from tests.web.pages.door import Door, log_in

ELSEWHERE = [
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
HERE = ["/", "/docs", "/docs?a=1&b=//c#d", "/workflows/http://x", "/docs:80", "/a%2F%2Fb", "/%C3%A9", "/loginx"]


@pytest.mark.parametrize("address", ELSEWHERE, ids=repr)
def test_no_login_leads_to_another_host(address: str) -> None:
    assert local(address) == HOME


@pytest.mark.parametrize("address", HERE)
def test_a_login_leads_to_where_it_was_asked_for(address: str) -> None:
    assert local(address) == address


async def test_neither_the_form_nor_the_answer_names_another_host(door: Door) -> None:
    for address in ELSEWHERE:
        form = await door.browser().get("/login", params={"next": address})
        answer = await log_in(door.browser(), next=address)

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
