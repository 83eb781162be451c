"""The wheel holds everything, and runs in an environment and a folder that know nothing of the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.pages import read_block_text
from tests.house.source import ROOT

# A build, and two installations.
pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("wheel")]


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
    python = install_wheel(wheel_path, tmp_path / "environment", extra="server")
    elsewhere = tmp_path / "another folder"
    elsewhere.mkdir()

    output = run_command(
        str(python.parent / "flowlet"), "demo", "--once", cwd=elsewhere, FLOWLET_DEMO_IP_URL=address_service
    )

    for workflow in ("DemoWorkflow", "GetIpWorkflow"):
        assert re.search(rf"\b{workflow}\b.*\bFINISHED\b", output), output


def test_the_wheel_alone_is_the_client_and_what_a_workflow_is_written_with(wheel_path: Path, tmp_path: Path) -> None:
    python = install_wheel(wheel_path, tmp_path / "environment")
    (tmp_path / "order.py").write_text(read_block_text("README.md", "order.py"))
    script = """
import flowlet, flowlet.client, sys
print(flowlet.Registry().load("order.py").name)
flowlet.client.Client("http://127.0.0.1:1", key="k").close()
for name in ("Flowlet", "Settings", "open_store"):
    try:
        getattr(flowlet, name)
    except ImportError as error:
        print(error)
try:
    import flowlet.testing
except ImportError as error:
    print(error)
try:
    import flowlet.cli
except SystemExit as error:
    print(error)
"""

    output = run_command(str(python), "-c", script, cwd=tmp_path)

    installed = {path.name for path in (python.parent.parent / "lib").glob("python*/site-packages/*")}
    assert output.startswith("OrderWorkflow")
    assert output.count("pip install 'flowlet-workflows[server]'") == 5
    assert not installed & {"quart", "hypercorn", "databases", "sqlalchemy", "asyncpg", "aiomysql", "jinja2"}


def install_wheel(wheel_path: Path, environment: Path, *, extra: str = "") -> Path:
    """Install a wheel into a fresh environment, with what it requires and nothing else; return that one's Python.

    The packages that it requires are links to those that the tests run with: pip took a minute to fetch, unpack and
    compile the same versions again.
    """
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-compile", "--no-deps"]
    run_command(*pip, "--no-index", str(wheel_path), cwd=environment)
    (information,) = (environment / "lib").glob("python*/site-packages/flowlet_workflows-*.dist-info")
    for required in find_required_distributions(Distribution.at(information), extra):
        for name in {file.parts[0] for file in required.files or ()} - {"..", "__pycache__"}:
            (information.parent / name).symlink_to(str(required.locate_file(name)))
    return python


def find_required_distributions(installed: Distribution, extra: str) -> Iterable[Distribution]:
    """Return the distributions that one requires with an extra, directly and indirectly, as they are installed here."""
    found: dict[str, Distribution] = {}
    known = pending = set(list_requirements(installed, frozenset({extra})))
    while pending:
        found |= {name: distribution(name) for name, _ in pending}
        pending = {each for name, extras in pending for each in list_requirements(found[name], extras | {""})} - known
        known = known | pending
    return found.values()


def list_requirements(one: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the name and the extras of each distribution that one requires directly, on this platform."""
    for requirement in map(Requirement, one.requires or ()):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": each}) for each in extras):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def run_command(*command: str, cwd: Path, **variables: str) -> str:
    """Run a command to its end with these environment variables and none of Flowlet's own; return what it wrote."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWLET_", "PYTHON"))}
    environment = inherited | {"COLUMNS": "120", "HOME": str(cwd), "NO_PROXY": "127.0.0.1"} | variables
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout
