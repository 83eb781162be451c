"""Authentication by key or session, and the role that an endpoint requires."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.web.auth import has_declared_access
from flowlet.web.services import Services
from tests.database_servers import DatabaseServer
from tests.web.app_harness import BASE_URL, AppHarness, open_app_harness

GUARDED_ENDPOINTS = [
    ("GET", "/api/viewer"),
    ("POST", "/api/operator"),
    ("DELETE", "/api/admin"),
    ("GET", "/api/forgotten"),
]
PERMISSIONS = {"viewer": [True, False, False, False], "operator": [True, True, False, False], "admin": [True] * 4}


@pytest.mark.parametrize("role", PERMISSIONS)
async def test_a_role_opens_what_it_may_and_nothing_else(app_harness: AppHarness, role: str) -> None:
    client = app_harness.open_client(role)

    found = [(await client.request(method, path)).status_code for method, path in GUARDED_ENDPOINTS]

    assert found == [200 if may else 403 for may in PERMISSIONS[role]]


async def test_a_refusal_says_which_role_is_needed_and_which_there_is(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client("viewer").post("/api/operator")

    assert answer.json()["type"] == "/problems/forbidden"
    assert answer.json()["detail"] == "This requires the role operator; ada has the role viewer."


async def test_a_key_may_come_as_a_bearer_token(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client(authorization=f"Bearer {app_harness.keys['viewer']}").get("/api/viewer")

    assert answer.json() == {"username": "ada", "role": "viewer"}


BAD_CREDENTIALS = [
    {},
    {"x-api-key": ""},
    {"x-api-key": "admin"},
    {"x-api-key": "flk_aaaaaaaa_" + "b" * 43},
    {"x-api-key": "\xff\xfe"},
    {"x-api-key": "a" * 10_000},
    {"authorization": "Bearer"},
    {"authorization": "Basic YWRtaW46YWRtaW4="},
    {"cookie": "flowlet_session="},
    {"cookie": "flowlet_session=unknown"},
    {"cookie": "flowlet_session=\xff; ;;=;flowlet_session"},
    {"cookie": "sessionId=unknown"},
]


async def test_without_a_key_or_with_a_wrong_one_nobody_gets_in(
    app_harness: AppHarness, subtests: pytest.Subtests
) -> None:
    for headers in BAD_CREDENTIALS:
        for method, path in GUARDED_ENDPOINTS:
            with subtests.test(f"{method} {path} {headers}"):
                given: Any = [(name, value.encode("latin-1")) for name, value in headers.items()]

                answer = await app_harness.open_client().request(method, path, headers=given)

                assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
                assert answer.headers["www-authenticate"] == 'Bearer realm="flowlet"'


async def test_a_session_gets_in_to_look(app_harness: AppHarness) -> None:
    answer = await app_harness.open_admin_browser().get("/api/viewer")

    assert answer.json() == {"username": "ada", "role": "admin"}


async def test_a_key_goes_before_a_session_whichever_is_better(app_harness: AppHarness) -> None:
    weaker = await app_harness.open_admin_browser(**{"x-api-key": app_harness.keys["viewer"]}).get("/api/viewer")
    wrong = await app_harness.open_admin_browser(**{"x-api-key": "no"}).get("/api/viewer")

    assert weaker.json()["role"] == "viewer"
    assert wrong.status_code == 401


ORIGINS: list[tuple[dict[str, str], int]] = [
    ({"sec-fetch-site": "same-origin"}, 200),
    ({"origin": BASE_URL}, 200),
    ({"origin": BASE_URL.replace("http:", "https:")}, 200),
    ({"sec-fetch-site": "same-origin", "origin": "https://elsewhere.test"}, 200),
    ({}, 403),
    ({"sec-fetch-site": "none"}, 403),
    ({"sec-fetch-site": "same-site"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"sec-fetch-site": "cross-site", "origin": BASE_URL}, 403),
    ({"origin": "https://elsewhere.test"}, 403),
    ({"origin": f"{BASE_URL}.elsewhere.test"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://[broken"}, 403),
    ({"host": "b@d"}, 403),
    ({"host": "b@d", "origin": "https://b@d"}, 403),
]


async def test_a_session_changes_something_only_from_a_page_of_the_same_origin(
    app_harness: AppHarness, subtests: pytest.Subtests
) -> None:
    for headers, status in ORIGINS:
        with subtests.test(str(headers)):
            answer = await app_harness.open_admin_browser(**headers).post("/api/operator")

            assert answer.status_code == status


async def test_a_key_may_be_sent_from_anywhere(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client("operator", origin="https://elsewhere.test").post("/api/operator")

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/api/orders/%00", "/api/orders?externalId=%00", "/api/viewer?%00=1"])
async def test_an_address_with_a_nul_is_refused_before_any_view(app_harness: AppHarness, path: str) -> None:
    answer = await app_harness.open_client("admin").get(path)

    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/unreadable")


@pytest.mark.parametrize(
    "path", ["/api/%ff", "/api/%ed%a0%80", "/api/%e2%28", "/api/orders?externalId=%ff", "//api", "/api/../x"]
)
async def test_an_address_that_is_no_utf_8_is_no_fault_of_the_server(app_harness: AppHarness, path: str) -> None:
    answer = await app_harness.open_client("admin").get(path)

    assert answer.status_code in (200, 303, 400, 404)


async def test_every_endpoint_says_who_may_call_it(app_harness: AppHarness) -> None:
    views = {rule.rule: app_harness.app.view_functions[rule.endpoint] for rule in app_harness.app.url_map.iter_rules()}

    assert [path for path, view in views.items() if not has_declared_access(view)] == ["/api/forgotten"]


async def test_a_database_that_is_away_is_no_reason_to_refuse_a_key(
    postgres_server: DatabaseServer, postgres_url: str
) -> None:
    await check_outage(postgres_server, postgres_url)


async def test_a_mariadb_that_is_away_is_no_reason_to_refuse_a_key(
    mariadb_server: DatabaseServer, mariadb_url: str
) -> None:
    await check_outage(mariadb_server, mariadb_url)


async def check_outage(server: DatabaseServer, url: str) -> None:
    """Send requests with a key and with a session while the database server is away, and when it is back."""
    async with open_app_harness(url) as probe:
        forget_cached_keys(probe.services)
        server.stop_server()
        try:
            by_key = await probe.open_client("admin").get("/api/viewer")
            by_session = await probe.open_admin_browser().get("/api/viewer")
            ready = await probe.open_client().get("/readyz")
            alive = await probe.open_client().get("/healthz")
        finally:
            server.start_server()

        for answer in (by_key, by_session):
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "unavailable")
        assert alive.status_code == 200


def forget_cached_keys(services: Services) -> None:
    """Empty the cache of recently used keys."""
    services.users.keys.clear_cache()
