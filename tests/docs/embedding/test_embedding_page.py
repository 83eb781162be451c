"""Each host of the page about embedding starts a workflow and shows the console."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.pages import read_blocks
from tests.web.embedding.embedded_console import open_served

PAGE = "docs/how-to/embed.md"
HOSTS = ["fastapi_host", "starlette_host", "quart_host", "asgi"]


@pytest.fixture
def shop(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the page, from which modules can be imported; they are forgotten afterwards."""
    for block in read_blocks(PAGE):
        if block.title:
            (tmp_path / block.title).parent.mkdir(exist_ok=True)
            (tmp_path / block.title).write_text(block.text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("FLOWLET_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("FLOWLET_ADMIN_PASSWORD", "correct horse")
    yield tmp_path
    for name in [name for name in sys.modules if name == "shop" or name.startswith("shop.")]:
        del sys.modules[name]


def import_host(name: str) -> Any:
    """Return the application of a host's module. Django's settings are those of the test."""
    if name == "asgi":
        import django
        from django.conf import settings

        if not settings.configured:
            settings.configure(SECRET_KEY="a test", ALLOWED_HOSTS=["*"])
            django.setup()
        settings.ROOT_URLCONF = importlib.import_module("shop.views")
    return importlib.import_module(f"shop.{name}").application


@pytest.mark.parametrize("name", HOSTS)
async def test_a_host_of_the_page_takes_an_order_and_has_the_console(shop: Path, name: str) -> None:
    application = import_host(name)
    flow = importlib.import_module("shop.flow").app

    async with open_served(application) as client:
        taken = await client.post("/orders", json={"item": "typewriter"})
        ended = await flow.wait(taken.json()["id"])
        login = await client.get("/flow/login")

    assert ended.vars == {"item": "typewriter", "number": 10}
    assert 'action="/flow/login"' in login.text


@pytest.mark.parametrize("part", ["executor=False", "ASGITransport"])
async def test_the_fragments_of_the_page_run(shop: Path, part: str) -> None:
    (fragment,) = [block.text for block in read_blocks(PAGE) if part in block.text and not block.title]
    flow = importlib.import_module("shop.flow").app
    names: dict[str, Any] = {"app": flow, "flow": flow, "httpx": httpx}

    exec(f"async def run():\n{textwrap.indent(fragment, '    ')}", names)
    await names["run"]()
