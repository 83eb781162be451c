"""The wheel holds everything, and runs in an environment and a folder that know nothing of the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.house.source import ROOT

# A build and an installation of some forty packages, which a slow connection has to fetch.
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def wheel_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run_command(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT), cwd=folder
    )
    (built,) = folder.glob("flowlet_workflows-*.whl")
    return built


def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel_path: Path) -> None:
    names = ZipFile(wheel_path).namelist()

    assert {"flowlet/__init__.py", "flowlet/py.typed"} <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"flowlet", "flowlet_workflows"}
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("name", ["templates", "static", "demo"])
def test_the_wheel_holds_every_file_of_the_folders_beside_the_package(wheel_path: Path, name: str) -> None:
    files = {path for path in (ROOT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts}

    missing = {f"flowlet/_bundled/{path.relative_to(ROOT)}" for path in files} - set(ZipFile(wheel_path).namelist())

    assert not missing, (
        f'the wheel lacks {", ".join(sorted(missing))}. Add \'"{name}" = "flowlet/_bundled/{name}"\' to '
        "[tool.hatch.build.targets.wheel.force-include] in pyproject.toml."
    )


def test_the_installed_wheel_runs_the_demo(wheel_path: Path, address_service: str, tmp_path: Path) -> None:
    python = install_wheel(wheel_path, tmp_path / "environment")
    elsewhere = tmp_path / "another folder"
    elsewhere.mkdir()

    output = run_command(
        str(python.parent / "flowlet"), "demo", "--once", cwd=elsewhere, FLOWLET_DEMO_IP_URL=address_service
    )

    for workflow in ("DemoWorkflow", "GetIpWorkflow"):
        assert re.search(rf"\b{workflow}\b.*\bFINISHED\b", output), output


def install_wheel(wheel: Path, environment: Path) -> Path:
    """Install a wheel with what it needs into a fresh environment, and return that one's Python."""
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    constraints = str(ROOT / "constraints.txt")
    options = ["--quiet", "--no-compile", "--constraint", constraints]
    run_command(str(python), "-m", "pip", "install", *options, str(wheel), cwd=environment)
    return python


def run_command(*command: str, cwd: Path, **variables: str) -> str:
    """Run a command to its end with these environment variables and none of Flowlet's own; return what it wrote."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWLET_", "PYTHON"))}
    environment = inherited | {"COLUMNS": "120", "HOME": str(cwd), "NO_PROXY": "127.0.0.1"} | variables
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
