"""Forms from hostile hands: nothing they hold is a fault of the server, and nothing is taken that cannot be stored."""

from __future__ import annotations

import contextlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.web.forms import FIELD_LIMIT, form_token, read_form
from flowlet.web.pages.sessions import FORM_LIMIT
from flowlet.web.problems import ProblemError
from tests.web.pages.door import Door, opened_door, token_of

FORM = "application/x-www-form-urlencoded"

HOSTILE = [
    (b"", FORM, 401),
    (b"username=grace", FORM, 401),
    (b"password=x&colour=red", FORM, 401),
    (b"username&password", FORM, 401),
    (b"username=grace&username=ada&password=x", FORM, 400),
    (b"username=grace&password=x&password=y", FORM, 400),
    (b"username=gr%00ace&password=x", FORM, 400),
    (b"username=gr\x00ace&password=x", FORM, 400),
    (b"user%00name=grace&password=x", FORM, 400),
    (b"username=%ed%a0%80&password=x", FORM, 400),
    (b"username=%ff&password=x", FORM, 400),
    (b"username=\xff&password=x", FORM, 400),
    (b"username=%zz&password=%", FORM, 401),
    (b"&" * 20_000, FORM, 400),
    (b"a=b&" * FIELD_LIMIT, FORM, 400),
    (b"username=" + b"a" * 4_000 + b"&password=x", FORM, 401),
    (b"password=" + b"a" * FORM_LIMIT, FORM, 413),
    (b'{"username": "grace"}', "application/json", 415),
    (b"username=grace", "text/plain", 415),
    (b"username=grace", "", 415),
    (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415),
    (b"username=grace&password=x", f"{FORM}; charset=utf-16", 401),
]


@pytest.mark.parametrize(("body", "kind", "status"), HOSTILE, ids=lambda value: repr(value)[:40])
async def test_a_hostile_form_is_told_what_is_wrong_with_it(
    sqlite_url: str, body: bytes, kind: str, status: int
) -> None:
    async with opened_door(sqlite_url, max_body=1_000_000) as door:
        browser = door.browser(**{"content-type": kind} if kind else {})

        answer = await browser.post("/login", content=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert (status == 415) is (answer.headers.get("accept-post") == FORM)


async def test_a_form_beyond_every_limit_is_not_even_read(door: Door) -> None:
    answer = await door.browser(**{"content-type": FORM}).post("/login", content=b"a" * 5_000)

    assert answer.status_code == 413
    assert "4,096 bytes" in answer.text


async def test_the_token_of_one_login_is_of_no_use_in_another(door: Door) -> None:
    first, second = await door.logged_in(), await door.logged_in()

    answer = await second.post("/logout", data={"token": token_of(await first.get("/docs"))})

    assert answer.status_code == 403
    assert "of another login" in answer.text


async def test_a_program_with_a_key_needs_no_token(door: Door) -> None:
    answer = await door.probe.client("viewer").post("/logout", data={"token": ""})

    assert answer.status_code == 303


def test_the_token_does_not_tell_the_session() -> None:
    token = form_token("a session")

    assert "session" not in token
    assert token == form_token("a session") != form_token("another session")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), st.text()))
def test_what_is_read_is_what_was_sent_or_a_problem(fields: dict[str, str]) -> None:
    try:
        found = read_form(
            urlencode({name: text.encode("utf-8", "surrogatepass") for name, text in fields.items()}).encode()
        )
    except ProblemError:
        return

    assert {name: found.text(name) for name in fields} == fields


@given(st.binary(max_size=80))
def test_no_bytes_are_a_fault_of_the_server(body: bytes) -> None:
    with contextlib.suppress(ProblemError):
        read_form(body)
