"""Realistic instances and their histories, generated from a seed, for ``fill.py``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from flowlet.instance.fingerprint import compute_fingerprint, format_reason
from flowlet.instance.instance import MICROSECONDS_PER_DAY

SECOND = 1_000_000
MINUTE = 60 * SECOND
EXECUTOR = "benchmark-1"
ORDER, PARCEL, APPROVAL = "OrderFulfilment", "ParcelDelivery", "ExpenseApproval"
REFUND, AUDIT = "RefundPaymentToCustomerAccount", "YearlyAudit"
PATHS = {
    ORDER: ("check", "charge", "pack", "deliver", "done"),
    PARCEL: ("hand_over", "travel", "delivered"),
    APPROVAL: ("ask", "decide", "book", "booked"),
    REFUND: ("verify", "pay", "paid"),
    AUDIT: ("collect", "review", "filed"),
}
AUDIT_INTERVAL = 20_000
"""One of this many instances is an audit."""
HISTORY_DAYS = 30
LAST_DAY_SHARE = 0.25
"""The share of instances that were created in the last day."""

STATUS_SHARES = (("FAILED", 0.02), ("CANCELLED", 0.01), ("open", 0.03))
ENDED = ("FINISHED", "FAILED", "CANCELLED")
STATES_UNTIL_WAITING = PATHS[APPROVAL].index("decide") + 1
ERRORS = (
    "ConnectionError: payment gateway answered {a} after {b} ms",
    "TimeoutError: no answer from stock-{c}.internal:8443 within {a} s",
    "HTTPStatusError: Server error '503 Service Unavailable' for url 'https://carrier.example/v2/parcels/{b}'",
    "HTTPStatusError: Client error '404 Not Found' for url 'https://crm.example/customers/{b}'",
    "HTTPStatusError: Client error '409 Conflict' for url 'https://bank.example/transfers/{b}'",
    "ValueError: amount {a} is above the limit of {c}",
    "ValueError: customer c-{b} has no address",
    "KeyError: 'sku-{c}'",
    "ValidationError: 1 validation error for Order\namount\n  Input should be greater than 0 [input_value=-{c}]",
    "OperationalError: deadlock detected: process {b} waits for ShareLock on transaction {a}",
    "OSError: [Errno 28] No space left on device: '/var/spool/labels/{b}.pdf'",
    "PermissionError: [Errno 13] Permission denied: '/exports/{b}.csv'",
    "JSONDecodeError: Expecting value: line {c} column {c} (char {b})",
    "Fail: the card ending in {a} was refused",
    "Fail: order {b} was cancelled by the customer",
    "ZeroDivisionError: division by zero",
    "RuntimeError: exchange rate of day {c} is missing",
    "AttributeError: 'NoneType' object has no attribute 'street'",
    "SSLCertVerificationError: certificate of bank.example expired {c} days ago",
    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position {b}: invalid continuation byte",
    "AssertionError: sum {a} differs from {b}",
    "IndexError: list index out of range",
    "ConnectionResetError: [Errno 104] Connection reset by peer",
    "DNSError: carrier-{c}.example: name does not resolve",
)
TRACEBACK = """Traceback (most recent call last):
  File "benchmarks/lives/order.py", line {c}, in charge
    answer = await gateway.charge(order.customer, order.amount)
{text}
"""


@dataclass(slots=True)
class InstanceHistory:
    """An instance and its history, as rows by column; missing columns have their defaults."""

    row: dict[str, Any]
    actions: list[dict[str, Any]]


def draw_statuses(finished: int, waiting: int, *, seed: int = 4) -> Iterator[str]:
    """Return FINISHED and WAITING, each exactly so many times, in random order."""
    random = Random(seed)
    for rest in range(finished + waiting, 0, -1):
        is_waiting = random.random() * rest < waiting
        waiting -= is_waiting
        yield "WAITING" if is_waiting else "FINISHED"


def generate_histories(
    workflows: int, lines: int, *, now: int, seed: int = 4, statuses: Iterable[str | None] = itertools.repeat(None)
) -> Iterator[InstanceHistory]:
    """Return instances with the ids 1, 2, ..., the oldest first, with ``lines`` actions each on average.

    Their statuses are those of ``draw_statuses``; with None each is drawn by ``STATUS_SHARES``.
    """
    random = Random(seed)
    moments = sorted(_draw_created(random, now) for _ in range(workflows))
    parent: InstanceHistory | None = None
    for place, (created, status) in enumerate(zip(moments, statuses, strict=False)):
        name = APPROVAL if status == "WAITING" else _draw_type(random, place, parent)
        life = _build_history(random, place + 1, name, created, lines=lines, now=now, status=status)
        if name == PARCEL and parent is not None:
            life.row["parent_id"] = parent.row["id"]
            life.actions[0]["text"] = f"child of {parent.row['id']}"
            parent.row |= {"children": 1, "open_children": int(life.row["ended"] is None)}
        if parent is not None:
            yield parent
        parent = life
    if parent is not None:
        yield parent


def _draw_created(random: Random, now: int) -> int:
    age = (
        random.random() * MICROSECONDS_PER_DAY
        if random.random() < LAST_DAY_SHARE
        else random.random() * HISTORY_DAYS * MICROSECONDS_PER_DAY
    )
    return now - int(age) - MINUTE


def _draw_type(random: Random, index: int, previous: InstanceHistory | None) -> str:
    if index % AUDIT_INTERVAL == AUDIT_INTERVAL // 2:
        return AUDIT
    if previous is not None and previous.row["state"] == "done" and random.random() < 0.25:
        return PARCEL
    drawn = random.random()
    return ORDER if drawn < 0.64 else APPROVAL if drawn < 0.84 else REFUND


def _build_history(
    random: Random, id: int, name: str, created: int, *, lines: int, now: int, status: str | None
) -> InstanceHistory:
    number = random.randrange(10**6)
    path = PATHS[name]
    if status is None:
        fate, reached = _draw_status(random, name)
    else:
        fate, reached = status, STATES_UNTIL_WAITING if status == "WAITING" else len(path)
    if fate not in ENDED:
        created = (
            max(created, now - random.randrange(MINUTE, 3 * MICROSECONDS_PER_DAY)) if random.random() < 0.7 else created
        )
    variables = f'{{"customer":"c-{number % 50_000}","amount":{number % 997},"sku":"A-{number % 5_000}"}}'
    external_id = f"web-{number:06d}-{id}" if id % 3 else f"{random.getrandbits(128):032x}"
    row: dict[str, Any] = {
        "id": id,
        "workflow_type": name,
        "definition_version": 1,
        "external_id": external_id,
        "business_key": external_id if id % 10 == 0 else f"{'refund' if name == REFUND else 'order'}-{number:06d}",
        "parent_id": None,
        "executor_group": "default",
        "status": fate,
        "state": path[reached - 1],
        "vars": variables,
        "next_activation": None,
        "executor_id": None,
        "attempt": 0,
        "visit": reached - 1,
        "token": reached,
        "version": reached,
        "children": 0,
        "open_children": 0,
        "held_status": None,
        "reason": None,
        "fingerprint": None,
        "failed": None,
        "created_by": "shop",
        "created": created,
        "started": created + 4_000 if fate != "NEW" else None,
    }
    actions = _build_actions(random, row, path[:reached], lines=lines, now=now)
    _complete_rows(random, row, actions, now)
    return InstanceHistory(row, actions)


def _draw_status(random: Random, name: str) -> tuple[str, int]:
    """Return the status of an instance, and how many states it has reached."""
    drawn, states = random.random(), len(PATHS[name])
    for status, share in STATUS_SHARES:
        if drawn < share:
            reached = random.randrange(1, states - 1)
            return _draw_open_status(random, name, reached) if status == "open" else (status, reached)
        drawn -= share
    return "FINISHED", states


def _draw_open_status(random: Random, name: str, states_reached: int) -> tuple[str, int]:
    """Return the status of an instance that has not ended, and how many states it has reached."""
    drawn = random.random()
    if name == APPROVAL and drawn < 0.8:
        return "WAITING", STATES_UNTIL_WAITING
    if drawn < 0.15:
        return "NEW", 1
    return ("PAUSED" if drawn < 0.22 else "RETRYING" if drawn < 0.4 else "IN_PROGRESS"), states_reached


def _build_actions(
    random: Random, row: dict[str, Any], path: tuple[str, ...], *, lines: int, now: int
) -> list[dict[str, Any]]:
    id, at = row["id"], row["created"]
    actions = [{"workflow_id": id, "kind": "CREATED", "at": at, "to_state": path[0], "username": "shop"}]
    actions[0] |= {"vars": row["vars"], "definition_version": 1}
    wanted = lines + random.choice((-1, 0, 0, 0, 1))
    logs = max(0, wanted - len(path) - (row["status"] in ("FAILED", "CANCELLED", "RETRYING")))
    longest = max(1, min(2 * MICROSECONDS_PER_DAY, now - at) // (len(path) + logs + 3))
    for source, target in itertools.pairwise(path):
        text = f"{logs} lines of order {id % 977}"
        actions += [_build_action(id, "LOG", at, source, None, text=text) for _ in range(logs // (len(path) - 1))]
        at += 1 + int(random.random() ** 4 * longest)
        actions.append(
            _build_action(id, "TRANSITION", at, source, target, attempt=1, duration_ms=random.randrange(1, 400))
        )
    rest = wanted - len(actions) - (row["status"] in ("FAILED", "CANCELLED", "RETRYING"))
    actions += [_build_action(id, "LOG", at, path[-1], None, text=f"looked at {id % 977}") for _ in range(max(0, rest))]
    row["modified"] = at
    return actions


def _build_action(id: int, kind: str, at: int, source: str | None, target: str | None, **more: Any) -> dict[str, Any]:
    line = {"workflow_id": id, "kind": kind, "at": at, "from_state": source, "to_state": target}
    return {**line, "executor_id": EXECUTOR, "definition_version": 1, **more}


def _complete_rows(random: Random, row: dict[str, Any], actions: list[dict[str, Any]], now: int) -> None:
    """Complete the row and its history for its status."""
    status, at, id, state = row["status"], row["modified"], row["id"], row["state"]
    row["ended"] = at if status in ENDED else None
    later = now + int(random.random() * 10 * MICROSECONDS_PER_DAY) + 6 * 3600 * SECOND
    if status in ("FAILED", "RETRYING"):
        number = {"a": random.randrange(100, 9_999), "b": random.randrange(10**6), "c": random.randrange(1, 99)}
        text = ERRORS[min(int(random.expovariate(0.2)), len(ERRORS) - 1)].format(**number)
        attempt = random.randrange(1, 5)
        detail = TRACEBACK.format(text=text, **number)
        actions.append(
            _build_action(id, "ERROR", at, state, None, text=text, attempt=attempt, duration_ms=99, detail=detail)
        )
        row |= {"fingerprint": compute_fingerprint(row["workflow_type"], state, text), "failed": at}
        if status == "FAILED":
            row |= {"attempt": attempt, "reason": format_reason(text, f"attempt {attempt}, no other follows")}
            actions.append(_build_action(id, "FAILED", at, state, None, text=row["reason"]))
        else:
            row |= {"status": "IN_PROGRESS", "attempt": attempt, "next_activation": later}
            row["reason"] = format_reason(text, f"attempt {attempt} of 9, again at noon")
    elif status == "CANCELLED":
        actions.append(_build_action(id, "CANCELLED", at, state, None, executor_id=None, username="shop"))
    elif status in ("NEW", "IN_PROGRESS"):
        row["next_activation"] = later
    elif status == "PAUSED":
        row |= {"held_status": "IN_PROGRESS", "next_activation": later}
        actions.append(_build_action(id, "PAUSED", at, state, None, executor_id=None, username="shop"))
    elif status == "WAITING":
        row["next_activation"] = later + 20 * MICROSECONDS_PER_DAY
