"""The synchronous client is generated from the asynchronous one, and neither loads drivers or web frameworks."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

from flowlet.client import AsyncClient, AsyncEvents, Client, Events
from tests.house.source import PACKAGE, ROOT
from tests.house.test_packages import DATABASE_LIBRARIES

UNASYNC_SCRIPT = ROOT / "tools" / "unasync.py"
HEAVY_MODULES = {
    *DATABASE_LIBRARIES,
    "flask",
    "flowlet.engine",
    "flowlet.store",
    "flowlet.web",
    "hypercorn",
    "quart",
    "werkzeug",
}


def test_the_synchronous_client_is_what_is_made_of_the_asynchronous_one(tmp_path: Path) -> None:
    subprocess.run([sys.executable, UNASYNC_SCRIPT, tmp_path], check=True)

    made = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.py")}
    kept = {path.name: path.read_text(encoding="utf-8") for path in (PACKAGE / "client" / "synchronous").glob("*.py")}
    assert kept == made, "flowlet/client/synchronous is out of date: make client"


def test_a_made_file_says_so_in_its_first_line() -> None:
    firsts = {path.read_text(encoding="utf-8").splitlines()[0] for path in PACKAGE.glob("client/synchronous/*.py")}

    assert all(line.startswith("# Generated from flowlet/client/asynchronous/") for line in firsts)


def test_a_word_of_asyncio_without_a_counterpart_is_an_error(tmp_path: Path) -> None:
    load = f"import runpy; made = runpy.run_path({str(UNASYNC_SCRIPT)!r})"
    script = f"{load}; made['convert_source']('async_ = asyncio.Event()')"

    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert made.returncode == 1
    assert "'asyncio' has no counterpart" in made.stderr


def test_both_clients_can_do_the_same() -> None:
    for one, other in ((AsyncClient, Client), (AsyncEvents, Events)):
        counterparts = {"aclose": "close", "__aenter__": "__enter__", "__anext__": "__next__"}
        names = {counterparts.get(name, name) for name, _ in inspect.getmembers(one, inspect.isfunction)}

        assert names - {"__aexit__", "__aiter__"} == {
            name for name, _ in inspect.getmembers(other, inspect.isfunction)
        } - {"__exit__", "__iter__"}


def test_the_client_loads_neither_the_web_nor_a_database() -> None:
    script = f"import sys, flowlet.client; print(*sorted({HEAVY_MODULES!r} & sys.modules.keys()))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not loaded, f"'import flowlet.client' loads {', '.join(loaded)}"
