"""Bodies and parameters: bounded, storable JSON that fits the endpoint's model, or every fault with its field."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.web.parsing import parse_json
from flowlet.web.problems import ProblemError
from flowlet.web.schemas import format_rfc3339
from tests.web.app_harness import AppHarness

JSON_HEADERS = {"content-type": "application/json"}

UNREADABLE_BODIES = [
    b"",
    b"{",
    b"nonsense",
    b"{} trailing",
    b'{"a": 1,}',
    b"{'a': 1}",
    b'{"a": "\x01"}',
    b'{"number": 01}',
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b'{"a": "\xed\xa0\x80"}',
    '{"a": 1}'.encode("utf-16"),
    b'{"a": \x00}',
]


async def test_a_body_that_is_no_json_is_unreadable(app_harness: AppHarness, subtests: pytest.Subtests) -> None:
    for text in UNREADABLE_BODIES:
        with subtests.test(repr(text)):
            answer = await app_harness.open_client().post("/api/orders", content=text, headers=JSON_HEADERS)

            assert (answer.status_code, answer.json()["type"]) == (400, "/problems/unreadable")


FAULTY_BODIES = [
    (b"null", "", "has to be an object, not null"),
    (b"[]", "", "has to be an object, not an array"),
    (b'"order"', "", "has to be an object, not a text"),
    (b"17", "", "has to be an object, not a number"),
    (b'{"number": "many"}', "number", "valid integer"),
    (b'{"stateVars": {"a": 1e999}}', "stateVars.a", "beyond the range of a double"),
    (b'{"stateVars": {"a": NaN}}', "stateVars.a", "NaN is not JSON"),
    (b'{"stateVars": {"a": -Infinity}}', "stateVars.a", "-Infinity is not JSON"),
    (b'{"stateVars": {"a": 1, "a": 2}}', "stateVars.a", "is given twice"),
    (b'{"externalId": "a", "externalId": "b"}', "externalId", "is given twice"),
    (b'{"externalId": "a", "ExternalId": "b"}', "ExternalId", "is given twice, also as 'externalId'"),
    (b'{"ExternalId": "a", "externalId": "b"}', "ExternalId", "is given twice, also as 'externalId'"),
    (b'{"externalId": "a\\u0000b"}', "externalId", "contains a NUL character"),
    (b'{"stateVars": {"items": [{"sku": "\\ud800"}]}}', "stateVars.items.0.sku", "half of a surrogate pair"),
    (b'{"stateVars": {"a\\u0000": 1}}', "stateVars.a\\x00", "its name contains a NUL character"),
    (b'{"stateVars": {"a\\udc00": 1}}', "stateVars.a\\udc00", "its name contains half of a surrogate pair"),
    (b'{"externalID": "a", "exernalKey": 1}', "exernalKey", "is unknown. Did you mean 'externalId'?"),
    (b'{"delivery": {"streetNam": "a"}}', "delivery.streetNam", "Did you mean 'streetName'?"),
    (b'{"nextActivation": "tomorrow"}', "nextActivation", "has to be a time with its time zone"),
    (b'{"nextActivation": "2026-11-22T13:52:07"}', "nextActivation", "has to be a time with its time zone"),
    (b'{"nextActivation": "2026-13-22T13:52:07Z"}', "nextActivation", "has to be a time with its time zone"),
    (b'{"nextActivation": "9999-12-31T23:59:59-10:00"}', "nextActivation", "has to be a time with its time zone"),
    (b'{"nextActivation": "0001-01-01T00:00:00+10:00"}', "nextActivation", "has to be a time with its time zone"),
    (b'{"nextActivation": 1795355527}', "nextActivation", "has to be a text"),
    (b'{"delivery": []}', "delivery", ""),
    (b'{"stateVars": null}', "stateVars", ""),
]


async def test_a_fault_is_told_by_its_field(app_harness: AppHarness, subtests: pytest.Subtests) -> None:
    for text, field, message in FAULTY_BODIES:
        with subtests.test(repr(text)):
            answer = await app_harness.open_client().post("/api/orders", content=text, headers=JSON_HEADERS)

            assert (answer.status_code, answer.json()["type"]) == (400, "/problems/faulty")
            (fault,) = answer.json()["errors"]
            assert fault["field"] == field
            assert message in fault["message"]


async def test_all_faults_are_told_together(app_harness: AppHarness) -> None:
    faulty = {"number": "many", "nextActivation": "soon", "colour": "red"}

    answer = await app_harness.open_client().post("/api/orders", json=faulty)

    assert {fault["field"] for fault in answer.json()["errors"]} == {"number", "nextActivation", "colour"}


async def test_no_message_shows_a_value(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client().post(
        "/api/orders", json={"number": "hunter2", "nextActivation": "hunter2"}
    )

    assert "hunter2" not in answer.text


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [65, 500, 20_000])
def test_what_stands_too_deep_in_itself_is_refused(brackets: tuple[str, str], depth: int) -> None:
    first, last = brackets

    with pytest.raises(ProblemError) as caught:
        parse_json((first * depth + "0" + last * depth).encode())

    (fault,) = caught.value.problem.extensions["errors"]
    assert fault["message"] == "is nested deeper than 64 arrays and objects"


def test_integers_beyond_64_bits_are_read_exactly() -> None:
    assert parse_json(b"[18446744073709551616, -9223372036854775809]") == [2**64, -(2**63) - 1]


def test_what_stands_64_deep_is_read() -> None:
    assert parse_json(b"[" * 64 + b"]" * 64) is not None


@pytest.mark.parametrize("key", ["nextActivation", "NextActivation", "next_activation", "NEXTACTIVATION"])
async def test_a_key_is_taken_as_the_clients_of_gopherflow_send_it(app_harness: AppHarness, key: str) -> None:
    answer = await app_harness.open_client().post("/api/orders", json={key: "2026-11-22T13:52:07Z"})

    assert answer.json()["nextActivation"] == "2026-11-22T13:52:07.000000Z"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-22T15:52:07+02:00", "2026-11-22T13:52:07.000000Z"),
        ("2026-11-22t13:52:07.5z", "2026-11-22T13:52:07.500000Z"),
        ("2026-11-22 13:52:07.123456789Z", "2026-11-22T13:52:07.123456Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ],
)
async def test_a_moment_is_taken_in_any_zone_and_told_in_utc(
    app_harness: AppHarness, given: str, expected: str
) -> None:
    answer = await app_harness.open_client().post("/api/orders", json={"nextActivation": given})

    assert answer.json()["nextActivation"] == expected


def test_a_time_is_told_with_all_its_microseconds() -> None:
    assert format_rfc3339(1_795_355_527_000_042) == "2026-11-22T13:52:07.000042Z"


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/merge-patch+json",
        "application/x-www-form-urlencoded",
        "text/plain; charset=utf-8",
    ],
)
async def test_json_may_be_called_by_any_of_its_names(app_harness: AppHarness, kind: str) -> None:
    answer = await app_harness.open_client().post("/api/orders", content=b"{}", headers={"content-type": kind})

    assert answer.status_code == 200


async def test_a_body_without_a_name_is_taken_as_json(app_harness: AppHarness) -> None:
    answer = await app_harness.open_client().post("/api/orders", content=b"{}")

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/html"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/jsonx"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
async def test_what_is_said_to_be_something_else_is_not_read(app_harness: AppHarness, headers: dict[str, str]) -> None:
    answer = await app_harness.open_client().post("/api/orders", content=b"{}", headers=headers)

    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


async def test_a_body_beyond_the_limit_is_too_large(app_harness: AppHarness) -> None:
    within = await app_harness.open_client().post("/api/orders", content=b"{}" + b" " * 4094)
    beyond = await app_harness.open_client().post("/api/orders", content=b"{}" + b" " * 4095)

    assert within.status_code == 200
    assert (beyond.status_code, beyond.json()["type"]) == (413, "/problems/too-large")
    assert "4,096 bytes" in beyond.json()["detail"]


async def test_a_body_without_a_length_is_too_large_when_it_has_come_so_far(app_harness: AppHarness) -> None:
    async def draw_out_body() -> Any:
        for _ in range(100):
            yield b" " * 1000

    answer = await app_harness.open_client().post("/api/orders", content=draw_out_body())

    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


async def test_parameters_of_an_address_are_checked_like_a_body(app_harness: AppHarness) -> None:
    right = await app_harness.open_client().get("/api/orders", params={"ExternalId": "a", "number": "7"})
    wrong = await app_harness.open_client().get("/api/orders", params={"numbre": "7"})

    assert (right.json()[0]["externalId"], right.json()[0]["number"]) == ("a", 7)
    assert wrong.json()["errors"][0]["message"].startswith("is unknown. Did you mean 'number'?")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_whatever_is_read_is_what_was_sent_or_a_problem(value: Any) -> None:
    try:
        found = parse_json(json.dumps(value).encode())
    except ProblemError:
        return

    assert found == value


@given(st.binary(max_size=80))
def test_no_bytes_are_a_fault_of_the_server(text: bytes) -> None:
    with contextlib.suppress(ProblemError):
        parse_json(text)
