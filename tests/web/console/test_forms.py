"""Hostile forms: nothing in them causes a server error, and nothing is accepted that cannot be stored."""

from __future__ import annotations

import contextlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.web.console.pages.login import MAX_FORM_BYTES
from flowlet.web.forms import MAX_FIELDS, compute_csrf_token, parse_form
from flowlet.web.problems import ProblemError
from tests.web.app_harness import BASE_URL
from tests.web.console.console_harness import ConsoleHarness, open_console, read_csrf_token

FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"

HOSTILE_FORMS = [
    (b"", FORM_CONTENT_TYPE, 401),
    (b"username=grace", FORM_CONTENT_TYPE, 401),
    (b"password=x&colour=red", FORM_CONTENT_TYPE, 401),
    (b"username&password", FORM_CONTENT_TYPE, 401),
    (b"username=grace&username=ada&password=x", FORM_CONTENT_TYPE, 400),
    (b"username=grace&password=x&password=y", FORM_CONTENT_TYPE, 400),
    (b"username=gr%00ace&password=x", FORM_CONTENT_TYPE, 400),
    (b"username=gr\x00ace&password=x", FORM_CONTENT_TYPE, 400),
    (b"user%00name=grace&password=x", FORM_CONTENT_TYPE, 400),
    (b"username=%ed%a0%80&password=x", FORM_CONTENT_TYPE, 400),
    (b"username=%ff&password=x", FORM_CONTENT_TYPE, 400),
    (b"username=\xff&password=x", FORM_CONTENT_TYPE, 400),
    (b"username=%zz&password=%", FORM_CONTENT_TYPE, 401),
    (b"&" * 20_000, FORM_CONTENT_TYPE, 400),
    (b"a=b&" * MAX_FIELDS, FORM_CONTENT_TYPE, 400),
    (b"username=" + b"a" * 4_000 + b"&password=x", FORM_CONTENT_TYPE, 401),
    (b"password=" + b"a" * MAX_FORM_BYTES, FORM_CONTENT_TYPE, 413),
    (b'{"username": "grace"}', "application/json", 415),
    (b"username=grace", "text/plain", 415),
    (b"username=grace", "", 415),
    (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415),
    (b"username=grace&password=x", f"{FORM_CONTENT_TYPE}; charset=utf-16", 401),
]


@pytest.mark.parametrize(("body", "kind", "status"), HOSTILE_FORMS, ids=lambda value: repr(value)[:40])
async def test_a_hostile_form_is_shown_what_is_wrong_with_it(
    sqlite_url: str, body: bytes, kind: str, status: int
) -> None:
    async with open_console(sqlite_url, max_body=1_000_000) as harness:
        browser = harness.open_browser(**{"content-type": kind} if kind else {})

        answer = await browser.post("/login", content=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (status == 415) is (answer.headers.get("accept-post") == FORM_CONTENT_TYPE)


async def test_a_form_beyond_every_limit_is_not_even_read(console: ConsoleHarness) -> None:
    answer = await console.open_browser(**{"content-type": FORM_CONTENT_TYPE}).post("/login", content=b"a" * 5_000)

    assert answer.status_code == 413
    assert "4,096 bytes" in answer.text


async def test_a_form_of_another_login_does_nothing_and_leads_back_to_its_page(console: ConsoleHarness) -> None:
    first, second = await console.open_logged_in_browser(), await console.open_logged_in_browser()

    sent = {"token": read_csrf_token(await first.get("/account")), "username": "hedy"}
    answer = await second.post("/logout", data=sent, headers={"referer": f"{BASE_URL}/account?a=1"})
    program = await second.post("/logout", data=sent, headers={"accept": "application/json"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/account?a=1")
    followed = await second.get("/account")
    assert "nothing was saved. Check the form, and send it again." in followed.text
    assert "data-saved" not in followed.text
    assert (program.status_code, "nothing was saved" in program.json()["detail"]) == (403, True)


async def test_a_program_with_a_key_needs_no_token(console: ConsoleHarness) -> None:
    answer = await console.app_harness.open_client("viewer").post("/logout", data={"token": ""})

    assert answer.status_code == 303


def test_the_token_does_not_tell_the_session() -> None:
    token = compute_csrf_token("a session")

    assert "session" not in token
    assert token == compute_csrf_token("a session") != compute_csrf_token("another session")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), st.text()))
def test_what_is_read_is_what_was_sent_or_a_problem(fields: dict[str, str]) -> None:
    try:
        found = parse_form(
            urlencode({name: text.encode("utf-8", "surrogatepass") for name, text in fields.items()}).encode()
        )
    except ProblemError:
        return

    assert {name: found.get_text(name) for name in fields} == fields


@given(st.binary(max_size=80))
def test_no_bytes_are_a_fault_of_the_server(body: bytes) -> None:
    with contextlib.suppress(ProblemError):
        parse_form(body)
