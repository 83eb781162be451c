"""Workflow modules are found by import name or by path; where that fails, place and cure are told."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from flowlet.definition.loader import add_to_import_path, format_path, import_workflow
from flowlet.errors import DefinitionError


def test_a_module_is_imported_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "flowlet_shop").mkdir()
    (tmp_path / "flowlet_shop" / "orders.py").write_text("answer = 42")

    module = import_workflow("flowlet_shop.orders")

    assert (module.__name__, module.answer) == ("flowlet_shop.orders", 42)


def test_a_file_loaded_by_its_path_stands_in_sys_modules(tmp_path: Path) -> None:
    source = "from __future__ import annotations\nfrom pydantic import BaseModel\n"
    source += "class Order(BaseModel):\n    lines: list[Line]\nclass Line(BaseModel):\n    sku: str\n"
    path = tmp_path / "typed.py"
    path.write_text(source)

    module = import_workflow(str(path))

    assert module.__name__.startswith("flowlet_modules.typed")
    assert sys.modules[module.__name__] is module
    order = module.Order(lines=[{"sku": "a"}])
    assert pickle.loads(pickle.dumps(order)) == order


def test_files_of_one_name_do_not_replace_each_other(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "same.py" for folder in ("one", "other")]
    for path in paths:
        path.parent.mkdir()
        path.touch()

    one, other = (import_workflow(str(path)) for path in paths)

    assert one.__name__ != other.__name__
    assert sys.modules[one.__name__] is one


def test_a_name_that_cannot_be_found_is_told_with_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert import_error("nope.orders") == (
        "nope.orders: no module of this name can be found (No module named 'nope').\n"
        f"Is the folder that holds 'nope' the working directory, or on PYTHONPATH? The working directory is {tmp_path}."
    )


def test_a_missing_module_is_told_what_the_import_path_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flows = tmp_path / "flows"
    (flows / "shop").mkdir(parents=True)
    for name in ("orders.py", "shop/__init__.py", "notes.txt"):
        (flows / name).touch()
    monkeypatch.setenv("PYTHONPATH", str(flows))

    with pytest.raises(DefinitionError) as caught:
        import_workflow("ordres")

    assert f"{flows}, on PYTHONPATH, holds orders, shop. Did you mean 'orders'?" in str(caught.value)


def test_a_path_that_does_not_exist_is_told_with_the_nearest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.py").touch()

    assert import_error("./order.py") == (
        f"./order.py: there is no such file, seen from {tmp_path}.\nDid you mean 'orders.py'?"
    )
    assert import_error("nowhere/x.py").endswith("Is the working directory the right one?")


@pytest.mark.parametrize(("name", "message"), [("folder/", "a folder"), ("notes/../notes.txt", "not a .py file")])
def test_a_path_of_something_else_is_refused(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "notes"):
        (tmp_path / folder).mkdir()
    (tmp_path / "notes.txt").touch()

    assert f"{name}: this is {message}." in import_error(name)


@pytest.mark.parametrize("spec", ["", ".orders", "shop..orders"])
def test_what_is_no_name_is_refused(spec: str) -> None:
    assert import_error(spec) == (
        f"{spec!r}: this is not a module name.\nGive an import name as 'shop.orders', or the path of a .py file."
    )


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("import flowlet\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("x = 1\nif x\n", 2, "SyntaxError: expected ':'"),
        ("import json\n\njson.loads('{')\n", 3, "JSONDecodeError: "),
        ("import no_such_library\n", 1, "No module named 'no_such_library'\nIs 'no_such_library' installed for "),
        ("from . import other\n", 1, "Give its import name instead, as 'shop.orders'."),
        ("from flowlet import state\n@state\ndef a(): ...\n", 2, "Call the decorator: write @state(next=[...])"),
        (
            "import flowlet\nx = flowlet.state(next=[], timeout='1 dya')\n@x\ndef a(): ...\n",
            3,
            "'1 dya' is not a duration",
        ),
        ("raise SystemExit(3)\n", 1, "Move the code that exits below: if __name__ == '__main__'."),
        ("def f():\n    raise ValueError('no')\nf()\n", 2, "ValueError: no"),
    ],
)
def test_a_module_that_fails_is_told_with_the_line_of_its_own_code(
    source: str, line: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "failing.py"
    path.write_text(source)

    told = import_error(str(path))

    assert told.startswith(f"{path}:{line}: '{path}' cannot be imported: ")
    assert message in told
    assert not any(getattr(module, "__file__", None) == str(path) for module in list(sys.modules.values()))


def test_the_exception_behind_a_failed_import_is_kept_as_its_cause(tmp_path: Path) -> None:
    path = tmp_path / "failing.py"
    path.write_text("1 / 0")

    with pytest.raises(DefinitionError) as caught:
        import_workflow(str(path))

    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_folder_is_made_importable_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/nowhere"])

    add_to_import_path(tmp_path)
    add_to_import_path(str(tmp_path))

    assert sys.path == [str(tmp_path), "/nowhere"]


def test_a_file_is_shown_relative_where_it_is_below_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert format_path(str(tmp_path / "demo" / "order.py")) == "demo/order.py"
    assert format_path("/elsewhere/order.py") == "/elsewhere/order.py"
    assert format_path("<string>") == "<string>"


def import_error(spec: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        import_workflow(spec)
    return str(caught.value)
