"""The digest of a workflow module's source, with that of the application's own modules that it imports."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

__all__ = ["compute_source_digest"]

_FLOWLET_FOLDER = Path(__file__).resolve().parents[2]
_INSTALLED_FOLDERS = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))


def compute_source_digest(module: ModuleType) -> str:
    """Return another text for each text of a module and of the modules that it imports, directly or not.

    Of these, installed ones count if they belong to the module's own package, and all others unless they are part of
    Flowlet: a corrected migration may be in any of them.
    """
    package = module.__name__.partition(".")[0]
    texts: dict[str, str] = {}
    waiting = [module]
    while waiting:
        one = waiting.pop()
        if one.__name__ in texts:
            continue
        texts[one.__name__] = text = _read_text(one)
        for name in _list_imports(text, one.__package__ or ""):
            imported = sys.modules.get(name)
            if imported is not None and _is_own(imported, package):
                waiting.append(imported)
    digest = hashlib.sha256()
    for _, text in sorted(texts.items()):
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def _read_text(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):  # it was made in memory, or is not written in Python
        return ""


@lru_cache(maxsize=1024)
def _list_imports(text: str, package: str) -> tuple[str, ...]:
    """Return the names of modules that a source may import."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(dict.fromkeys(found for node in ast.walk(tree) for found in _list_names(node, package)))


def _list_names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _list_parents(alias.name)
    elif isinstance(node, ast.ImportFrom):
        base = package.rsplit(".", node.level - 1)[0] if node.level else ""
        origin = ".".join(filter(None, (base, node.module)))
        yield from _list_parents(origin)
        for alias in node.names:
            yield f"{origin}.{alias.name}"


def _list_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])


def _is_own(module: ModuleType, package: str) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    if path.is_relative_to(_FLOWLET_FOLDER):
        return False
    is_installed = any(path.is_relative_to(folder) for folder in _INSTALLED_FOLDERS)
    return not is_installed or module.__name__.partition(".")[0] == package
