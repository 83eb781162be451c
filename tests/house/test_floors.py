"""The floors of the house: imports only point down, and each outside library has its one place."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

from tests.house.source import list_imports, parse_modules, list_strings

MODULES_BY_LEVEL: dict[int, str] = {
    0: "errors clock durations resources settings passwords logs texts roles stopping fingerprints",
    1: (
        "states transitions instances context definition retry provided registry modules draft parameters checks "
        "recalled returns mermaid svg theme layout layers placement routing lettering overlays accounts logins"
    ),
    2: "store",
    3: "engine operations permitted moves edits doctor users sessions keys",
    4: "web",
    5: "cli server hosting testing client __main__",
}
LEVEL_BY_MODULE = {name: floor for floor, names in MODULES_BY_LEVEL.items() for name in names.split()}
TOP_LEVEL = max(MODULES_BY_LEVEL)

DIALECT_MODULES = {"store.sqlite", "store.postgres", "store.mysql", "store.mysql_claims"}
DATABASE_LIBRARIES = {"aiomysql", "aiosqlite", "asyncpg", "databases", "pymysql", "sqlalchemy", "sqlite3"}
DIALECT_WORDS = {
    "sqlite": "AUTOINCREMENT, BEGIN IMMEDIATE, ON CONFLICT, PRAGMA , json_each, sqlite_master",
    "postgres": "ON CONFLICT, SKIP LOCKED, FOR UPDATE, pg_notify, pg_advisory, unnest(, jsonb, ::bigint, ::text",
    "mysql": "AUTO_INCREMENT, FORCE INDEX, FOR UPDATE, GET_LOCK, JSON_TABLE, ON DUPLICATE KEY, SKIP LOCKED",
}


def test_every_module_stands_on_a_floor() -> None:
    homeless = [name for name in parse_modules() if name and name.split(".")[0] not in LEVEL_BY_MODULE]

    assert not homeless, (
        f"no floor is known for: {', '.join(homeless)}. Put each into FLOORS in {__file__}, and into DESIGN's table, "
        "on the lowest floor that holds everything it imports."
    )


def test_imports_only_point_down_the_floors() -> None:
    faults = [
        f"flowlet.{name}:{line} (floor {get_level(name)}) imports flowlet.{target} (floor {get_level(target)})"
        for name, line, target in list_inner_imports()
        if name and get_level(target) > get_level(name)
    ]

    assert not faults, "\n".join([*faults, "Move what is shared down to the floor of the one that needs it."])


def test_modules_are_imported_from_their_own_place() -> None:
    faults = [
        f"flowlet.{name}:{line} imports from the package itself" for name, line, target in list_inner_imports() if not target
    ]

    assert not faults, "\n".join(
        [*faults, "Write 'from flowlet.states import State', not 'from flowlet import State'."]
    )


def test_no_modules_load_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {name: set() for name in parse_modules()}
    for name, _, target in list_inner_imports(only_when_loaded=True):
        graph[name].add(target)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        raise AssertionError(f"these load each other: {' <- '.join(circle.args[1])}") from None


def test_importing_flowlet_loads_neither_the_web_nor_a_database() -> None:
    unwanted = {*DATABASE_LIBRARIES, "flask", "hypercorn", "prometheus_client", "quart", "werkzeug"}
    script = f"import sys, flowlet; print(*sorted({unwanted!r} & sys.modules.keys()))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not loaded, f"'import flowlet' loads {', '.join(loaded)}: import them where they are used"


def test_only_the_connection_and_the_dialects_speak_to_a_database_library() -> None:
    allowed = {"store.connection", "store.listening", *DIALECT_MODULES}

    faults = [
        f"flowlet.{name}:{line} imports {module}"
        for name, tree in parse_modules().items()
        for line, module, _ in list_imports(tree)
        if module.split(".")[0] in DATABASE_LIBRARIES and name not in allowed
    ]

    assert not faults, "\n".join([*faults, f"Only these may: {', '.join(sorted(allowed))}."])


def test_what_differs_by_database_is_written_in_its_dialect_only() -> None:
    words = {word.strip(",").lower() for listed in DIALECT_WORDS.values() for word in listed.split(", ")}

    faults = [
        f"flowlet.{name}:{line} says {word!r}"
        for name, tree in parse_modules().items()
        if name not in DIALECT_MODULES and not name.startswith(("store.migrations", "store.schema"))
        for line, text in list_strings(tree)
        for word in sorted(words)
        if word in text.lower()
    ]

    assert not faults, "\n".join([*faults, f"Such statements belong into {', '.join(sorted(DIALECT_MODULES))}."])


def get_level(name: str) -> int:
    """Return a module's floor; the package itself only re-exports, and stands with the doors."""
    return LEVEL_BY_MODULE.get(name.partition(".")[0], TOP_LEVEL)


def list_inner_imports(*, only_when_loaded: bool = False) -> list[tuple[str, int, str]]:
    """Return the importing module, the line and the imported module of each import within the package."""
    known = parse_modules()
    found = []
    for name, tree in known.items():
        for line, module, imported in list_imports(tree, only_when_loaded=only_when_loaded):
            if module.split(".")[0] != "flowlet":
                continue
            target = module.removeprefix("flowlet").removeprefix(".")
            inside = f"{target}.{imported}".strip(".")
            found.append((name, line, inside if imported and inside in known else target))
    return found
