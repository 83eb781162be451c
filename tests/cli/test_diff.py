"""``flowlet diff``: a module against a stored version, and against a revision of git."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from flowlet.definition.registry import Registry
from flowlet.store.opening import open_store
from tests.cli.conftest import RunCommand

DATABASE = "sqlite:///flowlet.db"


def rename_state(working_folder: Path) -> None:
    """Make orders.py its second version, in which ``ship`` is called ``send``."""
    file = working_folder / "orders.py"
    text = file.read_text().replace("vars=Order", "vars=Order, version=2").replace("ship", "send")
    file.write_text(text.replace('@state(next=["done"])', '@state(next=["done"], renamed_from="ship")'))


def run_git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


async def store_first_version(file: Path) -> None:
    registry = Registry()
    registry.load(str(file))
    async with open_store(DATABASE) as store:
        await store.definitions.save_definitions(registry.definitions, now=1)


@pytest.fixture
def repository(working_folder: Path) -> Path:
    """A git repository, in whose folder ``shop`` orders.py was renamed after the first commit."""
    folder = working_folder / "shop"
    folder.mkdir()
    for name in ("orders.py", "faulty.py"):
        (working_folder / name).rename(folder / name)
    (folder / "prices.py").write_text("PRICE = 1\n")
    orders = folder / "orders.py"
    orders.write_text(orders.read_text().replace("amount: int = 1", "amount: int = PRICE"))
    orders.write_text(orders.read_text().replace("from pydantic", "from prices import PRICE\nfrom pydantic", 1))
    run_git(working_folder, "init", "--quiet")
    run_git(working_folder, "add", ".")
    run_git(working_folder, "commit", "--quiet", "--message", "The first version")
    (folder / "prices.py").write_text("PRICE = 5\n")
    rename_state(folder)
    return folder


RENAMED = ["~ version 1 becomes 2", "~ state 'ship' is now called 'send'"]


def test_the_newest_stored_shape_that_differs_is_compared(run_flowlet: RunCommand, working_folder: Path) -> None:
    asyncio.run(store_first_version(working_folder / "orders.py"))
    same = run_flowlet("diff", "orders.py", "--database", DATABASE)
    rename_state(working_folder)

    result = run_flowlet("diff", "orders.py", "--database", DATABASE)
    numbered = run_flowlet("diff", "orders.py", "--against", "1", "--database", DATABASE)
    missing = run_flowlet("diff", "orders.py", "--against", "7", "--database", DATABASE)

    assert (same.exit_code, missing.exit_code) == (1, 1)
    assert "no other shape of OrderWorkflow than that of this module" in same.stderr
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "OrderWorkflow version 2, compared with the stored version 1:",
        *RENAMED,
    ]
    assert numbered.stdout == result.stdout
    assert "The database has no version 7 of OrderWorkflow." in missing.stderr


def test_a_revision_is_loaded_with_its_own_neighbours_and_the_work_tree_stays(
    run_flowlet: RunCommand, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    before = {file.name: file.read_text() for file in repository.glob("*.py")}

    result = run_flowlet("diff", "orders", "--against", "HEAD")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "OrderWorkflow version 2, compared with version 1 at HEAD:",
        *RENAMED,
        "~ variable 'amount': integer, by default 1 becomes integer, by default 5",
    ]
    assert {file.name: file.read_text() for file in repository.glob("*.py")} == before


def test_a_path_is_found_from_outside_of_the_repository(
    run_flowlet: RunCommand, repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(repository))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    result = run_flowlet("diff", str(repository / "orders.py"), "--against", "HEAD")

    assert (result.exit_code, result.stdout.splitlines()[1:3]) == (0, RENAMED)


def test_as_json_each_difference_has_its_kind_subject_and_name(run_flowlet: RunCommand, working_folder: Path) -> None:
    asyncio.run(store_first_version(working_folder / "orders.py"))
    rename_state(working_folder)

    (found,) = json.loads(run_flowlet("diff", "orders.py", "--json", "--database", DATABASE).stdout)

    assert (found["workflow"], found["version"], found["against"]) == ("OrderWorkflow", 2, 1)
    assert found["changes"][1] == {
        "kind": "renamed",
        "subject": "state",
        "name": "send",
        "text": "state 'ship' is now called 'send'",
    }


@pytest.mark.parametrize(
    ("module", "against", "said"),
    [
        ("orders.py", "nosuch", "--against 'nosuch' is neither the number of a stored version nor"),
        ("orders.py", "--upload-pack=x", "--against '--upload-pack=x' is neither the number"),
        ("added.py", "HEAD", "'added.py' cannot be loaded at HEAD: "),
    ],
)
def test_what_is_not_in_the_repository_is_named(
    run_flowlet: RunCommand, repository: Path, module: str, against: str, said: str
) -> None:
    (repository / "added.py").write_text((repository / "orders.py").read_text())
    os.chdir(repository)  # the fixture of the folder restores it

    result = run_flowlet("diff", module, "--against", against)

    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_outside_of_a_repository_the_other_way_is_named(run_flowlet: RunCommand, working_folder: Path) -> None:
    result = run_flowlet("diff", "orders.py", "--against", "main")

    assert result.exit_code == 2
    assert "Compare with a stored version instead: --against NUMBER." in result.stderr
