"""The packages of the house: imports only point down, no circles, and each outside library has its one place."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest

from flowlet.store.tables import SCHEMA_VERSION, TABLES
from tests.house.source import PACKAGE, ROOT, list_imports, list_strings, parse_modules

# The modules are parsed once for all of these tests.
pytestmark = pytest.mark.xdist_group("packages")

# From the bottom up. A package may import from those of its own row only where the row is of modules, not of packages.
ROWS: tuple[str, ...] = (
    "clock database_url errors log_setup protected_tasks shutdown text",
    "accounts instance",
    "settings",
    "workflow",
    "definition",
    "diagram",
    "store",
    "auth",
    "engine",
    "operations",
    "web",
    "__main__ app assembly cli runtime testing",
)
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names.split()}
CLIENT = "client"
CLIENT_NEEDS = {"accounts", "clock", "errors", "instance", "workflow"}
"""All that the client may import: values such as Status and Role. A program that only calls the API loads no more."""
MODULES_IN_ROW = {name for name in ROW_OF if (PACKAGE / f"{name}.py").is_file()}

MOST_FILES_AT_ROOT, MOST_FOLDERS_AT_ROOT, MOST_FILES_IN_FOLDER = 14, 13, 25

TABLE_MODULES = (
    *("store.tables", "store.limits.table", "store.messages.table"),
    *("store.people.tables", "store.schedules.table", "store.children.table"),
)
"""Where tables are declared."""
DATABASE_LIBRARIES = {"aiomysql", "aiosqlite", "asyncpg", "databases", "pymysql", "sqlalchemy", "sqlite3"}
DIALECT_WORDS = {
    "sqlite": "AUTOINCREMENT, BEGIN IMMEDIATE, ON CONFLICT, PRAGMA , json_each, sqlite_master",
    "postgres": "ON CONFLICT, SKIP LOCKED, FOR UPDATE, pg_notify, pg_advisory, unnest(, jsonb, ::bigint, ::text",
    "mysql": "AUTO_INCREMENT, FORCE INDEX, FOR UPDATE, GET_LOCK, JSON_TABLE, ON DUPLICATE KEY, SKIP LOCKED",
}


@pytest.fixture(scope="module", autouse=True)
def _forget_trees() -> Iterator[None]:
    yield
    parse_modules.cache_clear()
    list_inner_imports.cache_clear()


def test_every_module_belongs_to_a_package_that_has_its_row() -> None:
    unknown = sorted({name.split(".")[0] for name in parse_modules() if name} - ROW_OF.keys() - {CLIENT})

    assert not unknown, f"no row is known for: {', '.join(unknown)}. Put each into ROWS of {__file__}."


def test_imports_only_point_down_the_rows() -> None:
    faults = [
        f"flowlet.{name}:{line} imports flowlet.{target}"
        for name, line, target in list_inner_imports()
        if name and not may_import(name.split(".")[0], target.split(".")[0])
    ]

    assert not faults, "\n".join([*faults, "Move what is shared down to the package that needs it."])


def test_modules_are_imported_from_their_own_place() -> None:
    faults = [
        f"flowlet.{name}:{line} imports from the package itself"
        for name, line, target in list_inner_imports()
        if not target
    ]

    assert not faults, "\n".join(
        [*faults, "Write 'from flowlet.workflow.states import State', not 'from flowlet import State'."]
    )


def test_no_packages_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name, _, target in list_inner_imports():
        source, destination = name.split(".")[0], target.split(".")[0]
        if name and target and source != destination:
            graph.setdefault(source, set()).add(destination)

    assert_acyclic(graph)


def test_no_modules_load_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in parse_modules()}
    for name, _, target in list_inner_imports(when_loaded=True):
        graph[name].add(target)

    assert_acyclic(graph)


def test_the_root_of_the_package_shows_its_packages_not_fifty_files() -> None:
    entries = [path for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "_bundled")]
    files = sorted(path.name for path in entries if path.is_file())
    folders = sorted(path.name for path in entries if path.is_dir())

    assert len(files) <= MOST_FILES_AT_ROOT, f"{len(files)} files: {', '.join(files)}"
    assert len(folders) <= MOST_FOLDERS_AT_ROOT, f"{len(folders)} folders: {', '.join(folders)}"


def test_no_folder_of_code_is_crowded() -> None:
    folders = ("flowlet", "tests", "benchmarks", "demo", "tools")
    counts = Counter(path.parent for folder in folders for path in (ROOT / folder).rglob("*.py"))

    crowded = [f"{path.relative_to(ROOT)}: {count}" for path, count in counts.items() if count > MOST_FILES_IN_FOLDER]

    assert not crowded, f"above {MOST_FILES_IN_FOLDER} files: {', '.join(crowded)}. Group them."


def test_one_class_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = {}
    for name, tree in parse_modules().items():
        if name.startswith(CLIENT):  # it names the same concepts, on the other side of the wire
            continue
        for node in tree.body:
            if type(node).__name__ == "ClassDef":
                places.setdefault(getattr(node, "name", ""), []).append(name)

    double = [f"{name}: {', '.join(where)}" for name, where in sorted(places.items()) if len(where) > 1]

    assert not double, "\n".join(["classes of one name:", *double])


def test_importing_flowlet_loads_neither_the_web_nor_a_database() -> None:
    unwanted = {*DATABASE_LIBRARIES, "flask", "hypercorn", "prometheus_client", "quart", "werkzeug"}
    script = f"import sys, flowlet; print(*sorted({unwanted!r} & sys.modules.keys()))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not loaded, f"'import flowlet' loads {', '.join(loaded)}: import them where they are used"


def test_only_the_connection_and_the_dialects_speak_to_a_database_library() -> None:
    faults = [
        f"flowlet.{name}:{line} imports {module}"
        for name, tree in parse_modules().items()
        for line, module, _ in list_imports(tree)
        if module.split(".")[0] in DATABASE_LIBRARIES and not name.startswith(("store.connection", "store.dialects."))
    ]

    assert not faults, "\n".join([*faults, "Only store/connection.py and the modules of store/dialects may."])


def test_what_differs_by_database_is_written_in_its_dialect_only() -> None:
    words = {word.strip(",").lower() for listed in DIALECT_WORDS.values() for word in listed.split(", ")}

    faults = [
        f"flowlet.{name}:{line} says {word!r}"
        for name, tree in parse_modules().items()
        if not name.startswith("store.dialects")
        for line, text in list_strings(tree)
        for word in sorted(words)
        if word in text.lower()
    ]

    assert not faults, "\n".join([*faults, "Such statements belong into flowlet/store/dialects."])


def test_nothing_outside_the_dialects_asks_which_database_it_is() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in PACKAGE.rglob("*.py")
        if "dialects" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "dialect.name ==" in line or "dialect.name !=" in line or "dialect.name in" in line
    ]

    assert not faults, "\n".join([*faults, "Give Dialect a member that says what differs."])


def test_the_names_of_tables_are_written_in_one_place() -> None:
    names = re.compile(rf"\b({'|'.join(table.name for table in (*TABLES, SCHEMA_VERSION))})(_|\b)")

    faults = [
        f"flowlet.{name}:{line} says {found[0]!r}"
        for name, tree in parse_modules().items()
        if name.startswith(("store", "engine", "auth", "operations")) and name not in TABLE_MODULES
        for line, text in list_strings(tree)
        if (found := names.search(text))
    ]

    assert not faults, "\n".join([*faults, "Take the table of flowlet/store/tables.py: f'... FROM {WORKFLOW}'."])


def may_import(source: str, target: str) -> bool:
    """Return whether a package or module at the root may import another one."""
    if source == target or not target:
        return True
    if source == CLIENT:
        return target in CLIENT_NEEDS
    if source not in ROW_OF or target not in ROW_OF:
        return True  # another test finds these; the client is imported by tests and users only
    if ROW_OF[source] == ROW_OF[target]:
        return {source, target} <= MODULES_IN_ROW or ROW_OF[source] == len(ROWS) - 1
    return ROW_OF[target] < ROW_OF[source]


def assert_acyclic(graph: dict[str, set[str]]) -> None:
    """Fail where the graph has a circle, and name it."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        raise AssertionError(f"these import each other: {' <- '.join(circle.args[1])}") from None


@cache
def list_inner_imports(*, when_loaded: bool = False) -> list[tuple[str, int, str]]:
    """Return the importing module, the line and the imported module of each import within the package."""
    known = parse_modules()
    found = []
    for name, tree in known.items():
        for line, module, imported in list_imports(tree, only_when_loaded=when_loaded):
            if module.split(".")[0] != "flowlet":
                continue
            target = module.removeprefix("flowlet").removeprefix(".")
            inside = f"{target}.{imported}".strip(".")
            found.append((name, line, inside if imported and inside in known else target))
    return found
