"""Every endpoint with every role: success, 401, or 403."""

from __future__ import annotations

import re
from datetime import timedelta

import httpx
import pytest

from flowlet.accounts.roles import Role
from flowlet.web.app import create_app
from flowlet.web.auth import get_required_role
from flowlet.web.openapi.document import format_path_template
from flowlet.web.paths import is_api
from tests.docs.pages import read_table_rows
from tests.web.api.api_users import create_api_user
from tests.web.app_harness import BASE_URL, AppHarness

REST_PAGE = "docs/reference/rest.md"
DOCUMENTED_ROLES = {names[0]: cells[1] for names, cells in read_table_rows(REST_PAGE, "Endpoints")}
ACCOUNT_PATH = "/account"  # of people only: an API key, which may do less than its owner, has none
FOREIGN_ORIGIN = "https://elsewhere.test"

AuthHeaders = dict[str, str]


def list_endpoints(app_harness: AppHarness) -> list[str]:
    """Return every endpoint of the API, such as "GET /api/users/{id}", without those of the tests."""
    return [route for route in list_routes(app_harness) if is_api(route.partition(" ")[2])]


def list_routes(app_harness: AppHarness) -> list[str]:
    """Return every endpoint and every page of the application."""
    rules = create_app(app_harness.services).url_map.iter_rules()
    return sorted(
        f"{method} {format_path_template(rule.rule)}"
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


def read_least_roles(app_harness: AppHarness) -> dict[str, Role | None]:
    """Return the lowest role of each endpoint as documented, and of each page as declared; None for all users."""
    app = create_app(app_harness.services)
    found: dict[str, Role | None] = {}
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            name = f"{method} {format_path_template(rule.rule)}"
            if name in DOCUMENTED_ROLES:
                found[name] = None if DOCUMENTED_ROLES[name] == "everybody" else Role(DOCUMENTED_ROLES[name])
            else:
                assert not rule.rule.startswith("/api"), f"{name} is not in the reference"
                found[name] = get_required_role(app.view_functions[rule.endpoint])
    return found


async def build_invalid_credentials(app_harness: AppHarness) -> dict[str, AuthHeaders]:
    """Return the headers of requests without valid credentials."""
    users = app_harness.services.users
    hedy = await create_api_user(app_harness, "hedy", Role.ADMIN)
    expired = await users.keys.create(
        "old", username="ada", role=Role.ADMIN, actor="test", lifetime=timedelta(microseconds=1)
    )
    revoked = await users.keys.create("lost", username="ada", role=Role.ADMIN, actor="test")
    await users.keys.revoke(revoked.key.id, actor="test")
    await users.disable("hedy", actor="test")
    return {
        "without a key": {},
        "with an empty key": {"x-api-key": ""},
        "with a wrong key": {"x-api-key": "flk_aaaaaaaa_" + "b" * 43},
        "with an expired key": {"x-api-key": expired.text},
        "with a revoked key": {"x-api-key": revoked.text},
        "with the key of one who is disabled": {"x-api-key": hedy.key},
        "with the session of one who is disabled": {"cookie": f"flowlet_session={hedy.session}", "origin": BASE_URL},
        "with an unknown session": {"cookie": "flowlet_session=aaaa", "origin": BASE_URL},
        "with a wrong key and a session": {"x-api-key": "no", "cookie": f"flowlet_session={app_harness.session}"},
        "with a password": {"authorization": "Basic YWRhOmNvcnJlY3QgaG9yc2U="},
    }


async def call_as_role(app_harness: AppHarness, endpoint: str, role: str | None) -> httpx.Response:
    """Call an endpoint with the key of a role, or without one."""
    return await call_with_headers(app_harness, endpoint, {} if role is None else {"x-api-key": app_harness.keys[role]})


async def call_with_headers(app_harness: AppHarness, endpoint: str, headers: AuthHeaders) -> httpx.Response:
    """Call an endpoint for a missing object with an unknown parameter, so that an authorized call changes nothing."""
    method, path = endpoint.split(" ")
    async with app_harness.open_client(**headers) as client:
        answer = await client.request(method, re.sub(r"\{\w+\}", "0", path), params={"limit": "none"})
    assert answer.status_code < 500
    return answer


def read_refusal_status(answer: httpx.Response) -> int | None:
    """Return the status of a refusal, or None for an authorized call; a page redirects to the login."""
    is_sent_away = answer.is_redirect and answer.headers["location"].startswith("/login")
    return 401 if is_sent_away else answer.status_code if answer.status_code in (401, 403) else None


async def test_nobody_is_let_in_by_what_stands_for_nobody(app_harness: AppHarness) -> None:
    least, ways = read_least_roles(app_harness), await build_invalid_credentials(app_harness)

    for who, way in ways.items():
        found = {
            endpoint: read_refusal_status(await call_with_headers(app_harness, endpoint, way)) for endpoint in least
        }

        assert found == {endpoint: None if role is None else 401 for endpoint, role in least.items()}, who


async def test_a_role_opens_what_it_may_by_key_and_by_session(app_harness: AppHarness) -> None:
    least = read_least_roles(app_harness)

    for role in Role:
        person = await create_api_user(app_harness, f"a {role}", role)
        # One of each kind: tests/web/test_auth.py has all forms of a key and of an origin.
        for way in (
            {"x-api-key": person.key},
            {"cookie": f"flowlet_session={person.session}", "origin": BASE_URL},
        ):
            found = {
                endpoint: read_refusal_status(await call_with_headers(app_harness, endpoint, way)) for endpoint in least
            }

            expected = {name: None if one is None or role.is_at_least(one) else 403 for name, one in least.items()}
            if "cookie" not in way:
                expected |= dict.fromkeys(
                    [name for name in least if name.partition(" ")[2].startswith(ACCOUNT_PATH)], 403
                )
            assert found == expected, (role, list(way))


async def test_a_session_from_another_site_looks_and_changes_nothing(app_harness: AppHarness) -> None:
    least = read_least_roles(app_harness)

    for role in Role:
        person = await create_api_user(app_harness, f"a {role}", role)
        cookie = f"flowlet_session={person.session}"
        for way in (
            {"cookie": cookie, "origin": FOREIGN_ORIGIN},
            {"cookie": cookie, "sec-fetch-site": "cross-site"},
            {"cookie": cookie},
        ):
            found = {
                endpoint: read_refusal_status(await call_with_headers(app_harness, endpoint, way)) for endpoint in least
            }

            for endpoint, one in least.items():
                if endpoint not in DOCUMENTED_ROLES and one is None:
                    continue  # the login has rules of its own, and tests
                is_safe = one is None or (endpoint.startswith("GET ") and role.is_at_least(one))
                assert found[endpoint] == (None if is_safe else 403), (role, endpoint, way)


async def call_numbered_endpoints(app_harness: AppHarness, number: str) -> list[httpx.Response]:
    """Return the response of each endpoint with a number in its path to an admin, for this number."""
    rules = [rule for rule in create_app(app_harness.services).url_map.iter_rules() if "<int:" in rule.rule]
    assert len(rules) > 10
    return [
        await app_harness.open_client("admin").request(
            method, re.sub(r"<int:\w+>", number, rule.rule), data={"version": "1"}
        )
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


@pytest.mark.parametrize("number", ["\N{ARABIC-INDIC DIGIT ONE}", "\N{FULLWIDTH DIGIT ONE}", "-1", "+1", "1 "])
async def test_an_id_is_written_in_the_digits_of_ascii(app_harness: AppHarness, number: str) -> None:
    for answer in await call_numbered_endpoints(app_harness, number):
        assert answer.status_code == 404, answer.url
        assert "There is nothing at" in answer.json()["detail"]


async def test_an_id_beyond_all_ids_breaks_nothing_off(any_app_harness: AppHarness, subtests: pytest.Subtests) -> None:
    for number in ("0", str(2**63), "9" * 30, "9" * 5_000):
        with subtests.test(number[:20]):
            for answer in await call_numbered_endpoints(any_app_harness, number):
                assert answer.status_code < 500, answer.url


async def test_no_form_of_a_page_is_taken_without_its_token(app_harness: AppHarness) -> None:
    person = await create_api_user(app_harness, "an admin", Role.ADMIN)
    way = {"cookie": f"flowlet_session={person.session}", "origin": BASE_URL}
    forms = [
        name
        for name, role in read_least_roles(app_harness).items()
        if name not in DOCUMENTED_ROLES and role and "POST " in name
    ]
    assert len(forms) > 20

    async with app_harness.open_client(**way) as client:
        for name in forms:
            path = re.sub(r"\{\w+\}", "0", name.partition(" ")[2])
            for sent in ({}, {"token": ""}, {"token": "a" * 43}):
                answer = await client.post(path, data={"version": "1", **sent})

                # Which workflow it is about is looked up first.
                assert answer.status_code in (403, 404), (name, sent, answer.text)
                assert answer.status_code == 403 or "/{" in name, name
