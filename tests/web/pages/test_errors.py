"""Errors of pages: a page that says what happened for a browser, the login for nobody, and a problem for a program."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from quart import Blueprint, Response

from flowlet.errors import RefusedError, StoreUnavailableError, VariablesError
from flowlet.roles import Role
from flowlet.web.guards import needs
from tests.web.pages.door import HTML, Door

BROWSERS = [
    HTML,
    "text/html",
    "text/html;q=0.9, application/json;q=0.8",
]
PROGRAMS = [
    "*/*",
    "",
    "application/json",
    "application/json, text/html;q=0.5",
    "image/*",
    "text/css,*/*;q=0.1",
    "nonsense",
]


def failing(door: Door, error: Callable[[], Exception]) -> None:
    """Add the page /trouble, which raises what is given, and /admins, which only admins may see."""
    blueprint = Blueprint("trouble", __name__)

    @blueprint.route("/trouble", methods=["GET", "POST"])
    @needs(Role.VIEWER)
    async def trouble() -> Response:
        raise error()

    @blueprint.get("/admins")
    @needs(Role.ADMIN)
    async def admins() -> Response:
        raise NotImplementedError

    door.probe.app.register_blueprint(blueprint)


@pytest.mark.parametrize("accept", BROWSERS)
async def test_a_browser_gets_a_page(door: Door, accept: str) -> None:
    answer = await door.browser(accept=accept).get("/nothing/<b>")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at &#39;/nothing/&lt;b&gt;&#39;." in answer.text


@pytest.mark.parametrize("accept", PROGRAMS)
async def test_a_program_gets_a_problem(door: Door, accept: str) -> None:
    answer = await door.browser(accept=accept).get("/nothing")

    assert answer.json()["type"] == "/problems/not-found"


@pytest.mark.parametrize("path", ["/api/nothing", "/api", "/metrics", "/openapi.json"])
async def test_the_api_answers_browsers_as_it_answers_programs(door: Door, path: str) -> None:
    answer = await door.browser().get(path)

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code in (401, 404)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (lambda: StoreUnavailableError("mysql://ada:***@db is away"), 503, "The database is away."),
        (lambda: RefusedError("it has <ended>", ["retry"]), 409, "it has &lt;ended&gt;"),
        (lambda: VariablesError("the variables of Order", {"sku": "is missing"}), 400, "<code>sku</code> is missing"),
        (lambda: ValueError("the secret is swordfish"), 500, "This is a fault of the server."),
    ],
)
async def test_a_page_says_what_happened(door: Door, error: Callable[[], Exception], status: int, told: str) -> None:
    failing(door, error)

    answer = await (await door.logged_in()).get("/trouble")

    assert (answer.status_code, told in answer.text) == (status, True), answer.text
    assert answer.headers.get("retry-after") == ("2" if status == 503 else None)
    assert "swordfish" not in answer.text
    assert ">grace<" in answer.text


async def test_a_role_that_does_not_suffice_is_told_so(door: Door) -> None:
    failing(door, ValueError)

    answer = await (await door.logged_in()).get("/admins")

    assert (answer.status_code, "This needs the role admin" in answer.text) == (403, True)


async def test_another_method_is_told_which_ones_there_are(door: Door) -> None:
    answer = await door.browser().get("/logout")

    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
    assert "text/html" in answer.headers["content-type"]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/docs", "/docs"),
        ("/docs?a=1&b=%2F%2Fc", "/docs?a=1&b=%2F%2Fc"),
        ("/", "/"),
        ("/docs/swagger/assets/%C3%A9", "/docs/swagger/assets/é"),
    ],
)
async def test_who_is_not_logged_in_is_asked_to_and_comes_back(door: Door, path: str, wanted: str) -> None:
    answer = await door.browser(**{"sec-fetch-site": "none"}).get(path)

    location = httpx.URL(answer.headers["location"])
    assert (answer.status_code, location.path) == (303, "/login")
    assert httpx.URL(location.params["next"]) == httpx.URL(wanted)


async def test_a_form_of_nobody_leads_to_the_login_and_is_not_repeated(door: Door) -> None:
    answer = await door.browser().post("/logout", data={"token": "x"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F")


async def test_a_wrong_key_is_told_so_and_not_sent_to_the_login(door: Door) -> None:
    answer = await door.browser(**{"x-api-key": "wrong"}).get("/docs")

    assert (answer.status_code, "The API key is not known" in answer.text) == (401, True)


async def test_a_program_without_a_key_is_not_sent_to_the_login(door: Door) -> None:
    answer = await door.probe.client().get("/docs")

    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")


async def test_a_link_on_another_site_finds_who_is_logged_in_here(door: Door) -> None:
    browser = await door.logged_in()
    stranger = door.browser(**{"sec-fetch-site": "cross-site"})  # the cookie stays at home: it is SameSite=Strict

    again = await stranger.get("/docs?a=%22%3E")
    there = await browser.get("/docs", headers={"sec-fetch-site": "same-origin"})

    assert (again.status_code, there.status_code) == (200, 200)
    assert '<meta http-equiv="refresh" content="0; url=/docs?a=%22%3E">' in again.text


@pytest.mark.parametrize("path", ["//docs", "//elsewhere.test/docs"])
async def test_a_link_on_another_site_leads_to_no_other_host(door: Door, path: str) -> None:
    stranger = door.browser(**{"sec-fetch-site": "cross-site"})

    answer = await stranger.get(f"{stranger.base_url}{path}")

    assert "url=//" not in answer.text
    assert 'href="//' not in answer.text


async def test_a_link_on_another_site_asks_for_a_login_where_nobody_is_logged_in(door: Door) -> None:
    answer = await door.browser(**{"sec-fetch-site": "same-origin"}).get("/docs")

    assert answer.status_code == 303
