"""Malformed bodies, paths and queries give a 4xx with a problem, and change nothing.

What may reach the store runs on each of the three databases.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.web.api.bulk import BulkRequest
from flowlet.web.api.keys import CreateApiKeyRequest
from flowlet.web.api.requests import CreateWorkflowRequest, SearchRequest, StateRequest, StateVarsRequest
from flowlet.web.api.schedule_models import BackfillRequest, CreateScheduleRequest, EditScheduleRequest
from flowlet.web.api.users import CreateUserRequest
from flowlet.web.api.waiting import CreateAndWaitRequest, StateAndWaitRequest
from flowlet.web.parsing import parse_json, validate_model
from flowlet.web.problems import ProblemError
from tests.web.api.api_harness import ApiHarness, open_api_harness
from tests.web.openapi.test_components import validate_schema
from tests.web.openapi.test_document import fetch_openapi, list_operations

# Each test sends hundreds of requests.
pytestmark = pytest.mark.timeout(300)

JSON_CONTENT_TYPE = "application/json"
OVERSIZED_BYTES = 10_000_000
STORED_COLUMNS = {
    "flowlet_workflow": "*",
    "flowlet_action": "*",
    "flowlet_definition": "*",
    "flowlet_counter": "*",
    "flowlet_message": "*",
    "flowlet_schedule": "*",
    "flowlet_user": "*",
    "flowlet_session": "id, token_hash",
    "flowlet_api_key": "id, key_hash, name, role, user_id, expires, revoked",
}
"""The tables that a request may change; the times of last use do not count."""

RAW_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing but a brace": (b"{", JSON_CONTENT_TYPE),
    "a NUL": (b"\x00", JSON_CONTENT_TYPE),
    "a NUL in a text": (b'{"state": "\\u0000"}', JSON_CONTENT_TYPE),
    "half a pair": (b'{"state": "\\ud800"}', JSON_CONTENT_TYPE),
    "no UTF-8": (b'{"state": "\xff"}', JSON_CONTENT_TYPE),
    "UTF-16": ('{"state": "a"}'.encode("utf-16"), JSON_CONTENT_TYPE),
    "null": (b"null", JSON_CONTENT_TYPE),
    "an array": (b"[]", JSON_CONTENT_TYPE),
    "a text": (b'"{}"', JSON_CONTENT_TYPE),
    "a number": (b"1e999", JSON_CONTENT_TYPE),
    "not a number": (b"NaN", JSON_CONTENT_TYPE),
    "a key twice": (b'{"state": "a", "state": "b"}', JSON_CONTENT_TYPE),
    "a key twice in two cases": (b'{"state": "a", "STATE": "b"}', JSON_CONTENT_TYPE),
    "an unknown key": (b'{"__proto__": {}}', JSON_CONTENT_TYPE),
    "an integer beyond all": (b'{"state": ' + b"9" * 10_000 + b"}", JSON_CONTENT_TYPE),
    "a depth of 100": (b'{"state":' * 100 + b"1" + b"}" * 100, JSON_CONTENT_TYPE),
    "a depth beyond all": (b"[" * 40_000, JSON_CONTENT_TYPE),
    "two values": (b"{}{}", JSON_CONTENT_TYPE),
    "a form": (b"state=a", "application/x-www-form-urlencoded"),
    "a form in parts": (
        b'--a\r\nContent-Disposition: form-data; name="state"\r\n\r\na\r\n--a--',
        "multipart/form-data; boundary=a",
    ),
    "plain text": (b"state=a", "text/plain"),
    "a page": (b"{}", "text/html"),
    "XML": (b"<state/>", "application/xml"),
    "a type of noise": (b"{}", "\xff/;=;"),
}

HOSTILE_VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 2**63, -(2**70), 1e308, "", " ", "a\x00b", "\ud800", "x" * 3_000, "9999-99-99T99:99:99Z",
    "0", [], [[]], [None] * 101, ["\x00"], {}, {"\x00": 1}, {"a": {"b": [2**64]}}, {"a" * 300: 1},
]  # fmt: skip
"""Values that replace each field; the OpenAPI document says which of them are valid where."""

HOSTILE_PATHS = [
    "%00", "a%00b", "..", "%2e%2e", "..%2f..%2fetc", "%2F", "%5c", "%ff", "%ed%a0%80", "%0d%0aX-A:%20b", "%F0%9F%92%A9",
    "x" * 5_000, "-1", "1.0", "1e3", "0x10", "9" * 30, "9223372036854775808", "%D9%A3", "%20", "null", ";",
    "'%20OR%201=1--",
]  # fmt: skip
"""Values that replace each path parameter; no object has such a name or id."""


@pytest.fixture
async def api_harness(database_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor, with one instance, on each of the three databases."""
    async with open_api_harness(database_url, has_executor=False) as office:
        yield office


@pytest.fixture
async def sqlite_api_harness(sqlite_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor, on SQLite: for requests that are refused before the database is asked."""
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        yield office


async def read_tables(api_harness: ApiHarness) -> dict[str, Any]:
    """Return the stored rows."""
    read = api_harness.app_harness.services.store.connections.read
    queries = {table: f"SELECT {columns} FROM {table} ORDER BY 1, 2" for table, columns in STORED_COLUMNS.items()}
    return {table: await read(lambda session, sql=sql: session.fetch_rows(sql)) for table, sql in queries.items()}  # type: ignore[misc]  # bound at once


def is_sound_refusal(answer: httpx.Response) -> bool:
    """Return whether a response refuses a request with a problem."""
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return 400 <= answer.status_code < 500 and is_problem and answer.json()["status"] == answer.status_code


async def list_bodies(api_harness: ApiHarness) -> list[tuple[str, str, Any, Any]]:
    """Return each endpoint with a body: its name, its path for an instance, its schema, and a valid body."""
    document = await fetch_openapi(api_harness.app_harness)
    id = str(await api_harness.create("later", externalId="mine"))
    found = []
    for name, operation in list_operations(document).items():
        if "requestBody" in operation:
            content = operation["requestBody"]["content"][JSON_CONTENT_TYPE]
            example = next(iter(content.get("examples", {"": {"value": {}}}).values()))["value"]
            address = re.sub(r"\{\w+\}", id, name.split()[1])
            found.append(
                (name, address + build_needed_query(operation), {**document, "here": content["schema"]}, example)
            )
    return found


def build_needed_query(operation: Any) -> str:
    """Return the query string of an operation's required parameters; "" if it has none."""
    parameters = operation.get("parameters", ())
    needed = [each["name"] for each in parameters if each["in"] == "query" and each["required"]]
    return "?" * bool(needed) + "&".join(f"{name}=x" for name in needed)


def list_hostile_bodies(schema: Any, example: Any) -> Iterator[tuple[str, bytes, str]]:
    """Yield the name, the bytes and the content type of bodies that an endpoint has to refuse."""
    for name, (text, kind) in RAW_BODIES.items():
        yield name, text, kind
    model = schema["components"]["schemas"][schema["here"]["$ref"].rpartition("/")[2]]
    for field in model.get("properties", {}):
        for value in HOSTILE_VALUES:
            body = {**example, field: value}
            text = json.dumps(body).encode()
            if validate_schema(schema, schema["here"], body) or not is_storable(text):
                yield f"{field}={text[:60]!r}", text, JSON_CONTENT_TYPE
    for field in model.get("required", ()):
        yield (
            f"no {field}",
            json.dumps({key: one for key, one in example.items() if key != field}).encode(),
            JSON_CONTENT_TYPE,
        )


def is_storable(text: bytes) -> bool:
    """Return whether a body can be parsed and stored."""
    try:
        parse_json(text)
    except ProblemError:
        return False
    return True


async def test_no_hostile_body_is_taken_and_none_writes(sqlite_api_harness: ApiHarness) -> None:
    targets = await list_bodies(sqlite_api_harness)
    client = sqlite_api_harness.app_harness.open_client("admin")
    before, wrong = await read_tables(sqlite_api_harness), []

    for name, address, schema, example in targets:
        for what, text, kind in list_hostile_bodies(schema, example):
            headers = {b"content-type": kind.encode("latin-1")}
            answer = await client.request(name.split()[0], address, content=text, headers=headers)
            if not is_sound_refusal(answer):
                wrong.append((name, what, answer.status_code))

    assert wrong == []
    assert await read_tables(sqlite_api_harness) == before
    assert len(targets) > 12


async def test_a_body_that_is_needed_is_needed(sqlite_api_harness: ApiHarness) -> None:
    targets = await list_bodies(sqlite_api_harness)
    before = await read_tables(sqlite_api_harness)

    for name, address, schema, _ in targets:
        method, path = name.split()
        if schema["paths"][path][method.lower()]["requestBody"]["required"]:
            assert is_sound_refusal(
                await sqlite_api_harness.app_harness.open_client("admin").request(method, address)
            ), name

    assert await read_tables(sqlite_api_harness) == before


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_of_ten_megabytes_is_too_long_for_every_endpoint(
    sqlite_api_harness: ApiHarness, is_chunked: bool
) -> None:
    async def send_chunks() -> AsyncIterator[bytes]:
        for _ in range(OVERSIZED_BYTES // 100_000):
            yield b" " * 100_000

    targets = await list_bodies(sqlite_api_harness)
    before = await read_tables(sqlite_api_harness)

    for name, address, _, _ in targets:
        content = send_chunks() if is_chunked else b" " * OVERSIZED_BYTES
        client = sqlite_api_harness.app_harness.open_client("admin")
        answer = await client.request(name.split()[0], address, content=content)
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large"), name

    assert await read_tables(sqlite_api_harness) == before


@pytest.mark.parametrize("coding", ["gzip", "identity", "br, gzip"])
async def test_a_body_that_is_coded_is_not_read(sqlite_api_harness: ApiHarness, coding: str) -> None:
    headers = {"content-encoding": coding}
    answer = await sqlite_api_harness.client.post("/api/workflows/search", content=b"{}", headers=headers)

    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")
    assert answer.headers["accept-post"] == "application/json"


async def test_no_hostile_path_names_anything_and_none_writes(api_harness: ApiHarness) -> None:
    document = await fetch_openapi(api_harness.app_harness)
    client = api_harness.app_harness.open_client("admin")
    await api_harness.create("later")
    before, wrong = await read_tables(api_harness), []

    for name, operation in list_operations(document).items():
        method, path = name.split()
        content = operation.get("requestBody", {}).get("content", {}).get(JSON_CONTENT_TYPE, {})
        example = next(iter(content.get("examples", {"": {"value": {}}}).values()))["value"]
        for place in HOSTILE_PATHS if "{" in path else ():
            body = {} if method in ("GET", "DELETE") else {"json": example}
            answer = await client.request(method, re.sub(r"\{\w+\}", place, path), **body)
            if not is_sound_refusal(answer):
                wrong.append((name, place[:40], answer.status_code))

    assert wrong == []
    assert await read_tables(api_harness) == before


@pytest.mark.parametrize("query", ["%00=1", "a=%00", "limit=%00"])
async def test_a_query_with_a_nul_is_refused_by_every_endpoint(sqlite_api_harness: ApiHarness, query: str) -> None:
    client = sqlite_api_harness.app_harness.open_client("admin")

    for name in list_operations(await fetch_openapi(sqlite_api_harness.app_harness)):
        method, path = name.split()
        answer = await client.request(method, f"{re.sub(r'{[^}]+}', '1', path)}?{query}")
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/unreadable"), name


FAULTY_QUERIES: list[str] = [
    "limit=",
    "limit=0",
    "limit=-1",
    "limit=1001",
    f"limit={'9' * 5000}",
    "limit=1.5",
    "limit=x",
    "limit=NaN",
    "limit=1&limit=2",
    "limit=%ff",
    "limit[]=1",
    "limit=0x10",
    "Limit=1&limit=1",
    "other=1",
]


async def test_a_query_that_cannot_be_is_refused_by_field(
    sqlite_api_harness: ApiHarness, subtests: pytest.Subtests
) -> None:
    for query in FAULTY_QUERIES:
        with subtests.test(query):
            answer = await sqlite_api_harness.client.get(f"/api/executors?{query}")

            assert (answer.status_code, answer.json()["type"]) == (400, "/problems/faulty"), answer.text


JSON_STRATEGY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
BODY_MODELS = [
    BackfillRequest,
    BulkRequest,
    CreateAndWaitRequest,
    CreateWorkflowRequest,
    CreateApiKeyRequest,
    CreateScheduleRequest,
    CreateUserRequest,
    EditScheduleRequest,
    SearchRequest,
    StateAndWaitRequest,
    StateRequest,
    StateVarsRequest,
]


@given(st.sampled_from(BODY_MODELS).flatmap(lambda model: st.tuples(st.just(model), draw_like_model(model))))
def test_any_json_is_a_body_or_a_problem_with_a_name(drawn: tuple[Any, dict[str, Any]]) -> None:
    model, values = drawn
    try:
        found = validate_model(model, parse_json(json.dumps(values).encode()))
    except ProblemError as error:
        problem = error.problem
        body = json.dumps(problem.to_json_object(), ensure_ascii=False).encode()
        assert (problem.status, len(body) < 50_000) == (400, True)
    else:
        assert isinstance(found, model)


def draw_like_model(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Draw objects with a model's keys and arbitrary values."""
    names = st.sampled_from([field.alias for field in model.model_fields.values()])
    return st.dictionaries(names | st.text(max_size=5), JSON_STRATEGY, max_size=6)
