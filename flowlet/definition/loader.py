"""The import of workflow modules by name or by path. A failed import becomes a fault with a likely cure."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import linecache
import os
import sys
import sysconfig
from pathlib import Path
from traceback import walk_tb
from types import ModuleType

from flowlet.definition.handler_source import parse_source
from flowlet.errors import DefinitionError, Fault
from flowlet.text import format_suggestion

__all__ = ["PATH_PREFIX", "add_to_import_path", "format_path", "import_workflow", "is_path"]

PATH_PREFIX = "flowlet_modules"
"""The package name in ``sys.modules`` of files that are loaded by their path."""

MAX_LISTED_MODULES = 20
"""How many modules of a folder a message names."""
_PACKAGE_DIRECTORY = str(Path(__file__).resolve().parents[1])
_INSTALLED_DIRECTORIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))


def import_workflow(spec: str) -> ModuleType:
    """Return the module of an import name or a path.

    A file is run again at each call, under a module name of its own. An import name is imported as by ``import``.

    Args:
        spec: An import name as "shop.orders", or the path of a .py file. A text that ends in ".py" or has a path
            separator is a path.

    Raises:
        DefinitionError: If the module cannot be found, or raises while it is imported.
    """
    try:
        return _import_path(spec) if is_path(spec) else _import_name(spec)
    except DefinitionError:
        raise
    except (Exception, SystemExit) as error:
        raise DefinitionError([_build_import_fault(spec, error)]) from error


def is_path(spec: str) -> bool:
    """Return whether a spec is the path of a file and not an import name."""
    return spec.endswith(".py") or "/" in spec or os.sep in spec


def add_to_import_path(folder: str | Path) -> None:
    """Insert a folder at the start of ``sys.path``, unless it is in it."""
    wanted = Path(folder).resolve()
    if all(Path(entry).resolve() != wanted for entry in sys.path):
        sys.path.insert(0, str(wanted))


def format_path(file: str) -> str:
    """Return a file's path for messages: relative if it is below the working directory, else absolute."""
    if file.startswith("<"):  # code without a file, as "<string>"
        return file
    path, folder = Path(file).resolve(), Path.cwd()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _import_name(spec: str) -> ModuleType:
    if not all(spec.split(".")):
        cure = "Give an import name as 'shop.orders', or the path of a .py file."
        raise DefinitionError([Fault(repr(spec), 0, f"this is not a module name.\n{cure}")])
    importlib.invalidate_caches()
    return importlib.import_module(spec)


def _import_path(spec: str) -> ModuleType:
    path = Path(spec).expanduser().resolve()
    if not path.is_file() or path.suffix != ".py":
        raise DefinitionError([_build_path_fault(spec, path)])
    name = _find_free_name(path)
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise DefinitionError([_build_path_fault(spec, path)])
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    sys.modules.setdefault(PATH_PREFIX, _create_package())  # pickle imports the module of a class through its package
    try:
        module_spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _create_package() -> ModuleType:
    package = ModuleType(PATH_PREFIX)
    package.__path__ = []
    return package


def _find_free_name(path: Path) -> str:
    base = f"{PATH_PREFIX}.{path.stem.replace('.', '_')}"
    name, number = base, 1
    while name in sys.modules and sys.modules[name].__file__ != str(path):
        number += 1
        name = f"{base}_{number}"
    return name


def _build_path_fault(spec: str, path: Path) -> Fault:
    if path.is_dir():
        return Fault(spec, 0, "this is a folder.\nGive one of its .py files, or its import name.")
    if path.is_file():
        return Fault(spec, 0, "this is not a .py file.\nA workflow module's name ends in '.py'.")
    siblings = [str(file) for file in Path(spec).expanduser().parent.glob("*.py")]
    guess = format_suggestion(str(Path(spec).expanduser()), siblings, cutoff=0.75).strip()
    guess = guess or "Is the working directory the right one?"
    return Fault(spec, 0, f"there is no such file, seen from {Path.cwd()}.\n{guess}")


def _build_import_fault(spec: str, error: BaseException) -> Fault:
    place = _find_error_location(error)
    if place is None and isinstance(error, ModuleNotFoundError) and f"{spec}.".startswith(f"{error.name}."):
        first = spec.partition(".")[0]
        return Fault(
            spec,
            0,
            f"no module of this name can be found ({error}).\n"
            f"Is the folder that holds {first!r} the working directory, or on PYTHONPATH? "
            f"The working directory is {Path.cwd()}.{_describe_python_path(first)}",
        )
    file, line = place or (spec, 0)
    cure = _suggest_name_as_text(error, file, line) or _suggest_import_fix(error)
    text = error.msg if isinstance(error, SyntaxError) else error
    message = f"{spec!r} cannot be imported: {type(error).__name__}: {text}"
    return Fault(format_path(file) if place else file, line, f"{message}\n{cure}" if cure else message)


def _describe_python_path(name: str) -> str:
    """Return which modules the folders of PYTHONPATH hold, and which of them has nearly this name."""
    folders = [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    held = {folder: _list_modules(folder) for folder in folders}
    told = [f" {folder}, on PYTHONPATH, holds {', '.join(names) or 'no module'}." for folder, names in held.items()]
    known = {found for names in held.values() for found in names} | set(_list_modules(Path.cwd()))
    return "".join(told) + format_suggestion(name, sorted(known))


def _list_modules(folder: Path) -> list[str]:
    """Return the first modules and packages of a folder, by name."""
    try:
        found = sorted(path.name.removesuffix(".py") for path in folder.iterdir() if _is_module(path))
    except OSError:
        return []
    return found[:MAX_LISTED_MODULES]


def _is_module(path: Path) -> bool:
    name = path.name.removesuffix(".py")
    return (
        name.isidentifier() and not name.startswith("__") and (path.suffix == ".py" or (path / "__init__.py").is_file())
    )


def _suggest_name_as_text(error: BaseException, file: str, line: int) -> str:
    """Return the cure for a name that its module defines further down; empty if it does not."""
    if not isinstance(error, NameError) or not error.name:
        return ""
    tree = parse_source("".join(linecache.getlines(file)))
    for statement in tree.body if tree else ():
        if statement.lineno > line and error.name in _list_defined_names(statement):
            return (
                f"{error.name!r} is defined further down, in line {statement.lineno}. Where it is a next state, "
                f"write its name as a text: next=[{error.name!r}]."
            )
    return ""


def _list_defined_names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _suggest_import_fix(error: BaseException) -> str:
    if isinstance(error, ImportError) and (PATH_PREFIX in str(error) or "relative import" in str(error)):
        return (
            "A file that is loaded by its path belongs to no package. Give its import name instead, as 'shop.orders'."
        )
    if isinstance(error, ModuleNotFoundError):
        return f"Is {error.name!r} installed for {sys.executable}, or its folder on PYTHONPATH?"
    if isinstance(error, TypeError) and str(error).startswith(
        ("state() takes 0", "manual() takes 0", "receive() takes 0")
    ):
        return (
            "Call the decorator: write @state(next=[...]), @manual(next=[...]) or @receive(messages=..., next=[...])."
        )
    if isinstance(error, SystemExit):
        return "Move the code that exits below: if __name__ == '__main__'."
    return ""


def _find_error_location(error: BaseException) -> tuple[str, int] | None:
    """Return where an exception was raised: in the user's code, else in installed code, else None."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    outside = [place for place in frames if not place[0].startswith((_PACKAGE_DIRECTORY + os.sep, "<"))]
    own = [place for place in outside if not place[0].startswith(_INSTALLED_DIRECTORIES)]
    if own:
        return own[-1]
    installed = [place for place in outside if f"{os.sep}importlib{os.sep}" not in place[0]]
    return installed[0] if installed else None
