"""The pages about the code: the packages and modules that they name exist, and every package is described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, read_table_rows

PACKAGE = ROOT / "flowlet"
ARCHITECTURE_PAGE = "docs/explanation/architecture.md"
CONTRIBUTING_PAGE = "CONTRIBUTING.md"
MODULE = re.compile(r"`([a-z_]+(?:/[a-z_0-9]+)+)`")


def test_every_module_that_the_architecture_names_exists() -> None:
    named = MODULE.findall((ROOT / ARCHITECTURE_PAGE).read_text(encoding="utf-8"))

    missing = sorted({name for name in named if not _module_exists(PACKAGE / name)})

    assert named
    assert not missing, f"{ARCHITECTURE_PAGE} names modules that do not exist: {', '.join(missing)}"


@pytest.mark.parametrize("page", [ARCHITECTURE_PAGE, CONTRIBUTING_PAGE])
def test_every_package_is_described(page: str) -> None:
    packages = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith(("_", ".")) and path.stem != "py"}
    rows = read_table_rows(page, "The packages")

    described = {Path(name).stem for names, _ in rows for name in names}

    assert described == packages


def _module_exists(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()
