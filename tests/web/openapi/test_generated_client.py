"""Clients that generators make of the description: openapi-python-client's is generated and used here.

openapi-typescript needs a package of npm that the tests do without. What it stumbled over is a rule of the document.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.web.api.api_harness import ApiHarness, open_api_harness
from tests.web.app_harness import BASE_URL
from tests.web.openapi.test_document import fetch_openapi

NAME = "generated_flowlet_client"


@pytest.fixture
async def office(sqlite_url: str) -> AsyncIterator[ApiHarness]:
    """An application with workflows and a running executor."""
    async with open_api_harness(sqlite_url, has_executor=True) as harness:
        yield harness


def generate_package(document: Any, folder: Path) -> list[str]:
    """Generate the package of a document below a folder, and return what was left out of it."""
    source = folder / "openapi.json"
    source.write_text(json.dumps(document), encoding="utf-8")
    bare: dict[str, list[str]] = {"post_hooks": []}
    (folder / "config.yml").write_text(json.dumps(bare), encoding="utf-8")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--path", str(source)]
    command += ["--output-path", str(folder / NAME), "--config", str(folder / "config.yml")]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    return re.findall(r"^WARNING parsing (.+)\.$|^(Unable to .+)$", ended.stdout + ended.stderr, re.MULTILINE)


def import_part(path: str) -> ModuleType:
    return importlib.import_module(f"{NAME}.{path}")


async def test_a_generated_client_creates_moves_and_reads_typed_errors(
    office: ApiHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (await office.client.get("/openapi.json")).json()
    left_out = generate_package(document, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    models, api = import_part("models"), "api.workflows.workflows_"
    create, move = import_part(f"{api}create_workflow"), import_part(f"{api}enter_state")
    show, wait = import_part(f"{api}show_workflow"), import_part("api.waiting.waiting_create_and_wait")
    app: Any = office.app_harness.app
    client = import_part("client").AuthenticatedClient(
        BASE_URL, office.app_harness.keys["operator"], httpx_args={"transport": httpx.ASGITransport(app)}
    )
    order = {"workflowType": "Orders", "vars": {"way": "review"}}

    made = await create.asyncio(client=client, body=models.CreateWorkflowRequest.from_dict(order))
    waiting = await wait.asyncio(
        client=client,
        body=models.CreateAndWaitRequest.from_dict(
            {"createWorkflowRequest": order, "waitSeconds": 20, "waitForStates": ["review"]}
        ),
    )
    moved = await move.asyncio(str(waiting.id), client=client, body=models.StateRequest("rejected"))
    refused = await move.asyncio(str(waiting.id), client=client, body=models.StateRequest("delivered"))
    unknown = await show.asyncio("4711", client=client)
    wrong = {"workflowType": "Orders", "vars": {"way": "review", "amount": "many"}}
    faulty = await create.asyncio(client=client, body=models.CreateWorkflowRequest.from_dict(wrong))

    assert [str(each) for each in left_out] == [str(("GET /api/definitions/{name}.svg within definitions", ""))]
    assert isinstance(made, models.CreateResponse)
    assert (waiting.state, waiting.reached, waiting.state_vars["way"]) == ("review", True, "review")
    assert moved.workflow.id == waiting.id
    assert isinstance(refused, models.Problem409)
    assert refused.status == 409
    assert refused.permitted is not None
    assert isinstance(unknown, models.Problem404)
    assert isinstance(faulty, models.Problem400)
    assert [fault.field for fault in faulty.errors] == ["vars.amount"]


async def test_no_member_of_a_model_has_a_default_that_a_generator_would_take_for_required(
    office: ApiHarness,
) -> None:
    document = await fetch_openapi(office.app_harness)

    schemas: dict[str, Any] = document["components"]["schemas"]
    assert [
        f"{model}.{name}"
        for model, schema in schemas.items()
        for name, member in schema.get("properties", {}).items()
        if "default" in member
    ] == []
    assert [name for name, one in schemas.items() if "properties" in one and one.keys() & {"anyOf", "allOf"}] == []
    assert schemas["SearchRequest"]["properties"]["descending"]["x-default"] is True
