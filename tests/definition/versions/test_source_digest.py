"""The digest of a workflow's source changes with the application's own modules that it imports, and with no other."""

from __future__ import annotations

import importlib
import linecache
import sys
from pathlib import Path

import pytest

from flowlet.definition.versions.source_digest import compute_source_digest

ORDERS = """import json
from . import prices
from shop.models.lines import Line
from shop_tools import steps
"""
FILES = {
    "shop/__init__.py": "",
    "shop/orders.py": ORDERS,
    "shop/prices.py": "from pydantic import BaseModel\nPRICE = 3\n",
    "shop/models/__init__.py": "",
    "shop/models/lines.py": "class Line: ...\n",
    "shop/returns.py": "OTHER = 1\n",
    "shop_tools.py": "import shop.prices\ndef steps(): ...\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "shop_tools")]:
        del sys.modules[name]


def compute_digest() -> str:
    """Return the digest of the module as a new process computes it."""
    forget_modules()
    linecache.clearcache()
    importlib.invalidate_caches()
    importlib.import_module("shop.returns")
    return compute_source_digest(importlib.import_module("shop.orders"))


@pytest.mark.parametrize("name", ["shop/orders.py", "shop/prices.py", "shop/models/lines.py", "shop_tools.py"])
def test_each_module_that_is_imported_counts(folder: Path, name: str) -> None:
    before, again = compute_digest(), compute_digest()
    (folder / name).write_text(f"{FILES[name]}# corrected, and longer\n")

    after = compute_digest()

    assert before == again
    assert after != before


def test_a_module_that_is_not_imported_does_not_count(folder: Path) -> None:
    before = compute_digest()
    (folder / "shop/returns.py").write_text("OTHER = 2  # and longer\n")

    assert compute_digest() == before


def test_installed_libraries_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compute_digest()
    monkeypatch.setattr(sys.modules["json"], "__doc__", "another text")
    monkeypatch.setitem(linecache.cache, str(sys.modules["json"].__file__), (1, None, ["another = 1\n"], ""))

    assert compute_source_digest(sys.modules["shop.orders"]) == before
