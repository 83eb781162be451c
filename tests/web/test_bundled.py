"""The folders that come with Flowlet are found in a checkout and in an installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowlet.web.bundled import find_folder
from tests.house.source import ROOT


@pytest.fixture
def installed_package(tmp_path: Path) -> Path:
    """An import package with a bundle, as an installed wheel has it."""
    (tmp_path / "flowlet" / "_bundled" / "demo").mkdir(parents=True)
    return tmp_path / "flowlet"


def test_a_checkout_uses_its_own_folder() -> None:
    assert find_folder("demo") == ROOT / "demo"


def test_a_checkout_is_preferred_to_a_bundle(installed_package: Path) -> None:
    (installed_package.parent / "pyproject.toml").write_text('[project]\nname = "flowlet-workflows"\n')
    (installed_package.parent / "demo").mkdir()

    assert find_folder("demo", package=installed_package) == installed_package.parent / "demo"


def test_an_installation_uses_its_bundle(installed_package: Path) -> None:
    assert find_folder("demo", package=installed_package) == installed_package / "_bundled" / "demo"


def test_the_folders_of_another_project_are_not_taken(installed_package: Path) -> None:
    (installed_package.parent / "pyproject.toml").write_text('[project]\nname = "a-shop"\n')
    (installed_package.parent / "demo").mkdir()

    assert find_folder("demo", package=installed_package) == installed_package / "_bundled" / "demo"


def test_a_folder_that_is_nowhere_is_reported_with_its_place(installed_package: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"the folder 'static' is not at {installed_package}/_bundled/static"):
        find_folder("static", package=installed_package)


def test_only_the_three_folders_can_be_asked_for(installed_package: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder '../secrets'. Folders: templates, static, demo."):
        find_folder("../secrets", package=installed_package)
