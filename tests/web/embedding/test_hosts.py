"""The console inside an application of each framework: the host's routes stay, and the console's are below a prefix."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import django
import pytest
import quart
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from flowlet.app import Flowlet
from tests.web.embedding.embedded_console import WORKFLOW, build_flow, list_addresses, log_in, open_served


def build_fastapi(flow: Flowlet) -> Any:
    @asynccontextmanager
    async def lifespan(host: FastAPI) -> AsyncIterator[None]:
        async with flow.lifespan():
            yield

    host = FastAPI(lifespan=lifespan)

    @host.post("/orders")
    async def order() -> dict[str, int]:
        return {"id": (await flow.start(WORKFLOW)).id}

    host.mount("/flow", flow)
    return host


def build_starlette(flow: Flowlet) -> Any:
    async def order(request: Request) -> JSONResponse:
        return JSONResponse({"id": (await flow.start(WORKFLOW)).id})

    return Starlette(
        lifespan=flow.lifespan, routes=[Route("/orders", order, methods=["POST"]), Mount("/flow", app=flow)]
    )


def build_quart(flow: Flowlet) -> Any:
    host = quart.Quart("host")

    @host.post("/orders")
    async def order() -> dict[str, int]:
        return {"id": (await flow.start(WORKFLOW)).id}

    return flow.wrap(host, "/flow")


def build_django(flow: Flowlet) -> Any:
    async def order(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"id": (await flow.start(WORKFLOW)).id})

    urls = ModuleType("urls")
    vars(urls)["urlpatterns"] = [path("orders", order)]
    if not django_settings.configured:
        django_settings.configure(SECRET_KEY="a test", ALLOWED_HOSTS=["*"])
        django.setup()
    django_settings.ROOT_URLCONF = urls
    return flow.wrap(ASGIHandler(), "/flow")


@pytest.mark.parametrize("build", [build_fastapi, build_starlette, build_quart, build_django])
async def test_a_host_starts_workflows_and_shows_the_console_below_its_prefix(
    sqlite_url: str, build: Callable[[Flowlet], Any]
) -> None:
    async with open_served(build(build_flow(sqlite_url))) as client:
        ordered = (await client.post("/orders")).json()
        entrance = await client.get("/flow/")
        logged_in = await log_in(client, "/flow")
        page = await client.get(f"/flow/workflows/{ordered['id']}")
        elsewhere = await client.get("/workflows")

    assert entrance.headers["location"] == "/flow/login?next=%2F"
    assert logged_in.headers["location"] == "/flow/workflows"
    assert all("Path=/flow" in cookie for cookie in logged_in.headers.get_list("set-cookie"))
    assert page.status_code == 200
    assert list_addresses(page)
    assert not [address for address in list_addresses(page) if not address.startswith("/flow/")]
    assert elsewhere.status_code == 404


async def test_the_lifespan_of_a_wrapped_host_runs_inside_that_of_the_console(sqlite_url: str) -> None:
    flow, host, ids = build_flow(sqlite_url), quart.Quart("host"), []

    @host.while_serving
    async def run() -> AsyncGenerator[None, None]:
        ids.append((await flow.start(WORKFLOW)).id)
        yield
        ids.append((await flow.start(WORKFLOW)).id)

    async with open_served(flow.wrap(host, "/flow")):
        pass

    assert len(set(ids)) == 2
    with pytest.raises(RuntimeError, match="not running"):
        await flow.start(WORKFLOW)


async def test_a_wrapped_host_that_cannot_start_stops_the_server(sqlite_url: str) -> None:
    host = quart.Quart("host")

    @host.before_serving
    async def fail() -> None:
        raise OSError("no cache here")

    with pytest.raises(RuntimeError, match="no cache here"):
        async with open_served(build_flow(sqlite_url).wrap(host, "/flow")):
            pass


@pytest.mark.parametrize("path", ["", "/", "flow", "//flow"])
def test_a_console_cannot_be_wrapped_around_all_paths(path: str) -> None:
    with pytest.raises(ValueError, match="as '/flow'"):
        build_flow("sqlite:///flowlet.db").wrap(quart.Quart("host"), path)


async def test_own_routes_can_be_beside_a_console_without_a_prefix(sqlite_url: str) -> None:
    flow = build_flow(sqlite_url)
    host = FastAPI(lifespan=flow.lifespan)

    @host.get("/orders")
    async def list_orders() -> list[str]:
        return ["one"]

    host.mount("/", flow)

    async with open_served(host) as client:
        own, entrance, alive = [await client.get(path) for path in ("/orders", "/", "/healthz")]

    assert own.json() == ["one"]
    assert entrance.headers["location"] == "/login?next=%2F"
    assert alive.status_code == 200


async def test_a_process_that_only_creates_has_no_executor(sqlite_url: str) -> None:
    creating, running = build_flow(sqlite_url), build_flow(sqlite_url)

    async with creating.running(executor=False) as store:
        created = await creating.start(WORKFLOW)
        executors = await store.executors.list_all()
        async with running.running():
            reached = await creating.wait(created.id, states="decide")

    assert not executors
    assert reached.state == "decide"


async def test_a_second_lifespan_is_refused_and_ends_nothing(sqlite_url: str) -> None:
    flow = build_flow(sqlite_url)

    async with flow.lifespan():
        with pytest.raises(RuntimeError, match="running already"):
            async with flow.lifespan():
                pass
        await flow.start(WORKFLOW)
