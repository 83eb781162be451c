"""Errors: a page for a browser, the login page without a session, and a problem for a program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.errors import RefusedError, StoreUnavailableError, VariablesError
from flowlet.web.auth import require_role
from tests.web.app_harness import BASE_URL
from tests.web.console.console_harness import HTML_ACCEPT, ConsoleHarness

BROWSER_ACCEPTS = [
    HTML_ACCEPT,
    "text/html",
    "text/html;q=0.9, application/json;q=0.8",
]
PROGRAM_ACCEPTS = [
    "*/*",
    "",
    "application/json",
    "application/json, text/html;q=0.5",
    "image/*",
    "text/css,*/*;q=0.1",
    "nonsense",
]


@pytest.fixture
def console(console: ConsoleHarness) -> ConsoleHarness:
    """A console whose application gets pages of the test's own."""
    return replace(console, app_harness=console.app_harness.build_own_app())


def add_failing_pages(console: ConsoleHarness, build_error: Callable[[], Exception]) -> None:
    """Add the page /trouble, which raises what is given, and /admins, which only admins may see."""
    blueprint = Blueprint("trouble", __name__)

    @blueprint.route("/trouble", methods=["GET", "POST"])
    @require_role(Role.VIEWER)
    async def raise_trouble() -> Response:
        raise build_error()

    @blueprint.get("/admins")
    @require_role(Role.ADMIN)
    async def show_admins() -> Response:
        raise NotImplementedError

    console.app_harness.app.register_blueprint(blueprint)


@pytest.mark.parametrize("accept", BROWSER_ACCEPTS)
async def test_a_browser_gets_a_page(console: ConsoleHarness, accept: str) -> None:
    answer = await console.open_browser(accept=accept).get("/nothing/<b>")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at &#39;/nothing/&lt;b&gt;&#39;." in answer.text


async def test_a_program_gets_a_problem(console: ConsoleHarness, subtests: pytest.Subtests) -> None:
    for accept in PROGRAM_ACCEPTS:
        with subtests.test(accept):
            answer = await console.open_browser(accept=accept).get("/nothing")

            assert answer.json()["type"] == "/problems/not-found"


@pytest.mark.parametrize("path", ["/api/nothing", "/api", "/metrics", "/openapi.json"])
async def test_the_api_answers_browsers_as_it_answers_programs(console: ConsoleHarness, path: str) -> None:
    answer = await console.open_browser().get(path)

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code in (401, 404)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (lambda: StoreUnavailableError("mysql://ada:***@db is away"), 503, "The database is unavailable."),
        (lambda: RefusedError("it has <ended>", ["retry"]), 409, "It has &lt;ended&gt;"),
        (lambda: VariablesError("the variables of Order", {"sku": "is missing"}), 400, "<code>sku</code> is missing"),
        (lambda: ValueError("the secret is swordfish"), 500, "This is a bug in the server."),
    ],
)
async def test_a_page_says_what_happened(
    console: ConsoleHarness, error: Callable[[], Exception], status: int, message: str
) -> None:
    add_failing_pages(console, error)

    answer = await (await console.open_logged_in_browser()).get("/trouble")

    assert (answer.status_code, message in answer.text) == (status, True), answer.text
    assert answer.headers.get("retry-after") == ("2" if status == 503 else None)
    assert "swordfish" not in answer.text
    assert ">grace<" in answer.text


async def test_a_role_that_does_not_suffice_is_informed(console: ConsoleHarness) -> None:
    add_failing_pages(console, ValueError)

    answer = await (await console.open_logged_in_browser()).get("/admins")

    assert (answer.status_code, "This requires the role admin" in answer.text) == (403, True)


async def test_another_method_is_shown_which_ones_there_are(console: ConsoleHarness) -> None:
    page = await console.open_browser().post("/settings")
    problem = await console.open_browser(accept="application/json").get("/logout")

    assert (page.status_code, page.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert "text/html" in page.headers["content-type"]
    assert (problem.status_code, problem.headers["allow"]) == (405, "OPTIONS, POST")


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/logout", "/"),
        ("/workflows/12/answer", "/workflows/12"),
        ("/workflows/a%20b/messages/paid", "/workflows/a%20b"),
        ("/inbox/12/answer?type=Order+%3C1%3E&sort=oldest", "/inbox?type=Order+%3C1%3E&sort=oldest"),
        ("/users/3/password", "/users/3"),
        ("/keys/x/revoke", "/keys"),
        ("/schedules/3/pause", "/schedules/3"),
    ],
)
async def test_the_address_of_a_form_leads_to_the_page_of_the_form(
    console: ConsoleHarness, path: str, page: str
) -> None:
    """After a page with faults it is in the address bar; a session that has ended sends its form to it too."""
    browser = console.open_browser()

    reloaded = await browser.get(path)
    sent = await browser.post(path, data={"comment": "x"})

    assert (reloaded.status_code, reloaded.headers["location"]) == (303, page)
    assert httpx.URL(sent.headers["location"]).path == "/login"
    assert httpx.URL(httpx.URL(sent.headers["location"]).params["next"]) == httpx.URL(page)


@pytest.mark.parametrize(
    ("referrer", "page"),
    [
        (f"{BASE_URL}/workflows/12?tab=variables", "/workflows/12?tab=variables"),
        (f"{BASE_URL}/workflows/12/answer", "/workflows/12"),
        ("http://elsewhere.test/docs", "/workflows/12"),
        ("http://[/docs", "/workflows/12"),
        (f"{BASE_URL}/docs{'/a' * 900}", "/docs"),
        (f"{BASE_URL}/docs{'/a' * 1_000}", "/"),
        (f"{BASE_URL}//elsewhere.test/docs", "/"),
        (f"{BASE_URL}/login?next=/docs", "/"),
    ],
)
async def test_after_the_login_the_browser_is_on_the_page_of_its_form(
    console: ConsoleHarness, referrer: str, page: str
) -> None:
    browser = console.open_browser(referer=referrer)

    answer = await browser.post("/workflows/12/variables", data={"value-amount": "3"})

    assert httpx.URL(httpx.URL(answer.headers["location"]).params["next"]) == httpx.URL(page)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/docs", "/docs"),
        ("/docs?a=1&b=%2F%2Fc", "/docs?a=1&b=%2F%2Fc"),
        ("/", "/"),
        ("/docs/swagger/assets/%C3%A9", "/docs/swagger/assets/é"),
    ],
)
async def test_who_is_not_logged_in_is_asked_to_and_comes_back(console: ConsoleHarness, path: str, wanted: str) -> None:
    answer = await console.open_browser(**{"sec-fetch-site": "none"}).get(path)

    location = httpx.URL(answer.headers["location"])
    assert (answer.status_code, location.path) == (303, "/login")
    assert httpx.URL(location.params["next"]) == httpx.URL(wanted)


async def test_a_form_of_nobody_leads_to_the_login_and_is_not_repeated(console: ConsoleHarness) -> None:
    answer = await console.open_browser().post("/logout", data={"token": "x"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F")


async def test_a_wrong_key_is_informed_and_not_sent_to_the_login(console: ConsoleHarness) -> None:
    answer = await console.open_browser(**{"x-api-key": "wrong"}).get("/docs")

    assert (answer.status_code, "The API key is unknown" in answer.text) == (401, True)


async def test_a_program_without_a_key_is_not_sent_to_the_login(console: ConsoleHarness) -> None:
    answer = await console.app_harness.open_client().get("/docs")

    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")


async def test_a_link_on_another_site_finds_who_is_logged_in_here(console: ConsoleHarness) -> None:
    browser = await console.open_logged_in_browser()
    stranger = console.open_browser(
        **{"sec-fetch-site": "cross-site"}
    )  # the cookie stays at home: it is SameSite=Strict

    again = await stranger.get("/docs?a=%22%3E")
    there = await browser.get("/docs", headers={"sec-fetch-site": "same-origin"})

    assert (again.status_code, there.status_code) == (200, 200)
    assert '<meta http-equiv="refresh" content="0; url=/docs?a=%22%3E">' in again.text


@pytest.mark.parametrize("path", ["//docs", "//elsewhere.test/docs"])
async def test_a_link_on_another_site_leads_to_no_other_host(console: ConsoleHarness, path: str) -> None:
    stranger = console.open_browser(**{"sec-fetch-site": "cross-site"})

    answer = await stranger.get(f"{stranger.base_url}{path}")

    assert "url=//" not in answer.text
    assert 'href="//' not in answer.text


async def test_a_link_on_another_site_asks_for_a_login_where_nobody_is_logged_in(console: ConsoleHarness) -> None:
    answer = await console.open_browser(**{"sec-fetch-site": "same-origin"}).get("/docs")

    assert answer.status_code == 303
