"""What breaks each rule of the judge, in a copy of a clean run: a row, a line of the effects file, a process."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from tests.chaos.scratch import Scratch

__all__ = ["BREAKS", "begin_deliveries_early"]

Break = Callable[[Scratch], None]

VOYAGE = """(
    SELECT MIN(w.id) FROM flowlet_workflow w
    JOIN flowlet_workflow p ON p.parent_id = w.id AND p.state = 'handed'
    JOIN chaos_booking b ON b.external_id = w.external_id
    WHERE w.state = 'done'
)"""
"""A voyage that is done, with a row of its own and a child that has arrived."""
PARCEL = f"(SELECT MIN(id) FROM flowlet_workflow WHERE parent_id = {VOYAGE} AND state = 'handed')"
SIGNED = "(SELECT MIN(workflow_id) FROM flowlet_message WHERE consumed IS NOT NULL)"
"""A parcel that has read a message."""
SIGNED_TWICE = "json_insert(vars, '$.signatures[#]', json_extract(vars, '$.signatures[0]'))"
BOOKED = f"(SELECT MAX(id) FROM flowlet_action WHERE workflow_id = {VOYAGE} AND from_state = 'book')"
NAME = f"(SELECT external_id FROM flowlet_workflow WHERE id = {VOYAGE})"
COUNTED = "(SELECT MIN(rowid) FROM flowlet_counter WHERE workflow_type = 'Voyage' AND transitions > 0)"
SCHEDULED = "SELECT external_id FROM flowlet_workflow WHERE external_id LIKE 'parcel-clock@%' ORDER BY id"
"""The parcels that a schedule has created."""
REQUIRED_COLUMNS = "workflow_type, definition_version, executor_group, created"
LINE_COLUMNS = "workflow_id, kind, at, from_state, to_state, attempt, executor_id"
SPAWN_COLUMNS = "workflow_id, visit, part, children, created, requests"
TRACEBACK = 'Traceback (most recent call last):\n  File "worker.py", line 1, in run\nKeyError: 7\n'
DECLARED_TRACEBACK = TRACEBACK.replace("KeyError: 7", "ValueError: the account is closed")


def change_rows(*statements: str) -> Break:
    """Return a break by SQL."""
    return lambda scratch: scratch.execute(*statements)


def set_voyage(assignment: str) -> Break:
    """Return a break of the row of a voyage that is done."""
    return change_rows(f"UPDATE flowlet_workflow SET {assignment} WHERE id = {VOYAGE}")


def insert_moves(*states: str) -> str:
    """Return a statement that adds an operator's moves to a voyage that is done."""
    moves = zip(("done", *states), states, strict=False)
    rows = ", ".join(f"({VOYAGE}, 'MOVED', 0, '{source}', '{target}', NULL, NULL)" for source, target in moves)
    return f"INSERT INTO flowlet_action ({LINE_COLUMNS}) VALUES {rows}"


def rename_voyage(scratch: Scratch) -> None:
    """Give a voyage another external id everywhere: its create is lost, and another one is there instead."""
    ((name,),) = scratch.database.fetch(f"SELECT {NAME}")
    scratch.execute(
        f"UPDATE chaos_booking SET external_id = 'renamed' WHERE external_id = '{name}'",
        f"UPDATE flowlet_workflow SET external_id = 'renamed' WHERE external_id = '{name}'",
    )
    scratch.change_effects(lambda lines: [line.replace(f" {name} ", " renamed ") for line in lines])


def repeat_scheduled_time(scratch: Scratch) -> None:
    """Let the second instance of a schedule be one of the first one's time, under another external id."""
    (first,), (second,) = scratch.database.fetch(f"{SCHEDULED} LIMIT 2")
    scratch.execute(f"UPDATE flowlet_workflow SET external_id = '{first}#again' WHERE external_id = '{second}'")
    scratch.change_effects(lambda lines: [line.replace(f" {second} ", f" {first}#again ") for line in lines])


def add_open_voyage(next_activation: int | str) -> Break:
    """Return a break by a voyage that was created, and that no executor has run."""

    def insert(scratch: Scratch) -> None:
        variables = '{"number": 1, "rounds": 0, "path": [], "checksum": 0, "weights": {}}'
        scratch.request("voyage-open")
        scratch.execute(
            f"INSERT INTO flowlet_workflow ({REQUIRED_COLUMNS}, external_id, status, state, vars, next_activation, "
            f"modified) SELECT {REQUIRED_COLUMNS}, 'voyage-open', 'NEW', 'enlist', '{variables}', {next_activation}, "
            f"created FROM flowlet_workflow WHERE id = {VOYAGE}",
            f"INSERT INTO flowlet_action ({LINE_COLUMNS}) SELECT id, 'CREATED', created, NULL, 'enlist', NULL, NULL "
            "FROM flowlet_workflow WHERE external_id = 'voyage-open'",
        )

    return insert


def begin_deliveries_early(lines: list[str]) -> list[str]:
    """Return the lines of the effects file with each delivery beginning 3 seconds earlier."""
    is_begin = re.compile(r"begin \S+ \d+ deliver ")
    return [change_field(line, TIME, -3_000_000) if is_begin.match(line) else line for line in lines]


def change_booking_effects(change: Callable[[str, str], Sequence[str]]) -> Break:
    """Return a break of the two lines that a run of ``book`` has written: "begin" and "end"."""

    def change_lines(scratch: Scratch) -> None:
        ((name,),) = scratch.database.fetch(f"SELECT {NAME}")

        def replace_pair(lines: list[str]) -> list[str]:
            begin, end = [line for line in lines if f" {name} " in line and " book " in line][:2]
            return [*(line for line in lines if line not in (begin, end)), *change(begin, end)]

        scratch.change_effects(replace_pair)

    return change_lines


def repeat_first_effect(scratch: Scratch) -> None:
    """Let an attempt begin twice under one claim."""
    scratch.change_effects(lambda lines: [*lines, lines[0]])


def change_field(line: str, place: int, value: object) -> str:
    """Return a line of the effects file with another value in one field, an int being added to the present one."""
    fields = line.split()
    fields[place] = str(int(fields[place]) + value) if isinstance(value, int) else str(value)
    return " ".join(fields)


VISIT, STATE, TOKEN, TIME = 2, 3, 5, 9
HOUR = 3_600_000_000

BREAKS: Mapping[str, tuple[set[str], Break]] = {
    "an acknowledged create is gone, another is there": ({"creates"}, rename_voyage),
    "a time of a schedule that was passed over": (
        {"schedules"},
        change_rows("UPDATE flowlet_schedule SET next_time = next_time + 1000000"),
    ),
    "a time of a schedule that will be fired again": (
        {"schedules"},
        change_rows("UPDATE flowlet_schedule SET next_time = next_time - 1000000"),
    ),
    "a time of a schedule that was fired twice": ({"schedules"}, repeat_scheduled_time),
    "an acknowledged operation that left no line": (
        {"operations"},
        change_rows("DELETE FROM flowlet_action WHERE kind IN ('ANSWERED', 'PAUSED', 'RESUMED')"),
    ),
    "more attempts at once than a limit lets": (
        {"limits"},
        lambda scratch: scratch.change_effects(begin_deliveries_early),
    ),
    "an attempt in a paused workflow": ({"lanes"}, lambda scratch: scratch.record_lane_window("workflow", "Parcel")),
    "an attempt in a paused group": ({"lanes"}, lambda scratch: scratch.record_lane_window("group", "default")),
    "a visit too many": ({"history"}, set_voyage("visit = visit + 1")),
    "a jump outside the graph": (
        {"history"},
        change_rows(
            insert_moves("quote", "done"), f"UPDATE flowlet_workflow SET visit = visit + 2 WHERE id = {VOYAGE}"
        ),
    ),
    "a history without a row": (
        {"history"},
        change_rows(f"INSERT INTO flowlet_action ({LINE_COLUMNS}) VALUES (99999, 'LOG', 0, NULL, NULL, NULL, NULL)"),
    ),
    "a transition twice": (
        {"history", "variables", "counters", "effects", "transactions"},
        change_rows(
            f"INSERT INTO flowlet_action ({LINE_COLUMNS}) SELECT {LINE_COLUMNS} FROM flowlet_action WHERE id = {BOOKED}"
        ),
    ),
    "an end that no transition has led to": (
        {"history", "counters"},
        set_voyage("status = 'CANCELLED'"),
    ),
    "a variable that was lost": ({"variables"}, set_voyage("vars = json_set(vars, '$.checksum', 0)")),
    "a variable that was written twice": ({"variables"}, set_voyage("vars = json_insert(vars, '$.path[#]', 'settle')")),
    "a commit without an effect": ({"effects"}, change_booking_effects(lambda begin, end: [begin])),
    "an effect after the commit": (
        {"effects"},
        change_booking_effects(lambda begin, end: [begin, end, change_field(begin, TOKEN, 1)]),
    ),
    "an effect of a visit that was never entered": (
        {"effects"},
        change_booking_effects(lambda begin, end: [begin, end, change_field(begin, VISIT, 99)]),
    ),
    "an effect of another state": (
        {"effects"},
        change_booking_effects(
            lambda begin, end: [begin, end, change_field(change_field(begin, STATE, "lapse"), TOKEN, -1)]
        ),
    ),
    "an effect long after the next claim": (
        {"effects"},
        change_booking_effects(
            lambda begin, end: [begin, end, change_field(change_field(begin, TOKEN, -1), TIME, HOUR)]
        ),
    ),
    "two effects under one claim": ({"effects"}, repeat_first_effect),
    "a transaction of its own that was lost": (
        {"transactions"},
        change_rows(f"DELETE FROM chaos_booking WHERE external_id = {NAME}"),
    ),
    "a transaction of its own twice": (
        {"transactions"},
        change_rows("INSERT INTO chaos_booking SELECT * FROM chaos_booking LIMIT 1"),
    ),
    "a message that was read twice": (
        {"messages"},
        change_rows(f"UPDATE flowlet_workflow SET vars = {SIGNED_TWICE} WHERE id = {SIGNED}"),
    ),
    "a message that was read and is unread": (
        {"messages"},
        change_rows(f"UPDATE flowlet_message SET consumed = NULL WHERE workflow_id = {SIGNED}"),
    ),
    "a message that was lost": (
        {"messages"},
        change_rows(f"DELETE FROM flowlet_message WHERE workflow_id = {SIGNED}"),
    ),
    "an unread message that is not counted": (
        {"messages"},
        set_voyage("unread = unread + 1"),
    ),
    "a child that is not counted": ({"family"}, set_voyage("children = children - 1")),
    "children to be made that are not counted": (
        {"family"},
        change_rows(f"INSERT INTO flowlet_spawn ({SPAWN_COLUMNS}) VALUES ({VOYAGE}, 1, 0, 3, 0, '[]')"),
    ),
    "an open child that has ended": ({"family"}, set_voyage("open_children = 1")),
    "a child without a parent": (
        {"family"},
        change_rows(f"UPDATE flowlet_workflow SET parent_id = 99999 WHERE id = {PARCEL}"),
    ),
    "a parent that went on too early": (
        {"family"},
        change_rows(
            "UPDATE flowlet_action SET id = id + 99999 "
            f"WHERE id = (SELECT MAX(id) FROM flowlet_action WHERE workflow_id = {PARCEL})"
        ),
    ),
    "a parent that has read something else": (
        {"family"},
        set_voyage(
            "vars = json_replace(vars, (SELECT '$.weights.' || '\"' || key || '\"' "
            "FROM json_each(vars, '$.weights') LIMIT 1), -1)"
        ),
    ),
    "a transition counted twice": (
        {"counters"},
        change_rows(f"UPDATE flowlet_counter SET transitions = transitions + 1 WHERE rowid = {COUNTED}"),
    ),
    "an end that is not counted": (
        {"counters"},
        change_rows(f"UPDATE flowlet_counter SET finished = finished - 1 WHERE rowid = {COUNTED}"),
    ),
    "a lease that is left": ({"leases"}, set_voyage("executor_id = 'gone'")),
    "an instance that is due, and stands still": ({"progress"}, add_open_voyage(0)),
    "an instance that nothing will run": ({"progress"}, add_open_voyage("NULL")),
    "an answer that is a bug": ({"answers"}, lambda scratch: scratch.record_problem("ServerError: 500")),
    "a process that died by itself": ({"processes"}, lambda scratch: scratch.record_process(1)),
    "a process that SIGTERM has killed": ({"processes"}, lambda scratch: scratch.record_process(-15, "SIGTERM")),
    "a process that did not end": ({"processes"}, lambda scratch: scratch.record_process(None, "SIGTERM")),
    "a traceback in a log": ({"logs"}, lambda scratch: scratch.record_process(0, "SIGTERM", log=TRACEBACK)),
    "a traceback after a declared one": (
        {"logs"},
        lambda scratch: scratch.record_process(0, "SIGTERM", log=DECLARED_TRACEBACK + TRACEBACK),
    ),
    "a coroutine that was forgotten": (
        {"logs"},
        lambda scratch: scratch.record_process(
            0, "SIGTERM", log="RuntimeWarning: coroutine 'Worker.run' was never awaited"
        ),
    ),
}
"""What is broken, by which rules it is found, and how it is broken."""
