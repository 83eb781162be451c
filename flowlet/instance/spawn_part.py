"""Children that a transition has counted and that are made later: some hundreds of them in one text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from flowlet.instance.inbox_entry import InboxEntry
from flowlet.instance.instance import ROW_LENGTH, Status
from flowlet.instance.new_instance import NewInstance

__all__ = ["MAX_PART_CHILDREN", "SpawnPart", "build_spawn_parts", "parse_requests"]

MAX_PART_CHILDREN = 100
"""How many children one part has at most: one transaction makes them, and commits of others wait for it."""
MAX_PART_LENGTH = 500_000
"""How many characters of children one part has at most, unless one child has more."""


@dataclass(frozen=True, slots=True)
class SpawnPart:
    """Children of one transition, checked, as the text of a row.

    Attributes:
        external_ids: Their external ids, in the order of the handler's requests.
        requests: Two lines for each child: a JSON list of its values, and the JSON text of its variables.
    """

    external_ids: tuple[str, ...]
    requests: str

    @property
    def text_length(self) -> int:
        """How many characters its row has, about."""
        return ROW_LENGTH + len(self.requests)


def build_spawn_parts(children: Sequence[NewInstance]) -> Iterator[SpawnPart]:
    """Yield children as parts, in order.

    Neither the parent's id nor its root's is in the text: an import may give them other numbers.
    """
    names: list[str] = []
    lines: list[str] = []
    length = 0
    for new in children:
        if names and (len(names) == MAX_PART_CHILDREN or length + len(new.vars_json) > MAX_PART_LENGTH):
            yield SpawnPart(tuple(names), "\n".join(lines))
            names, lines, length = [], [], 0
        names.append(new.external_id)
        lines += (_write_values(new), new.vars_json)
        length += ROW_LENGTH + len(new.vars_json)
    if names:
        yield SpawnPart(tuple(names), "\n".join(lines))


def parse_requests(requests: str, *, parent_id: int, root_id: int, now: int) -> list[NewInstance]:
    """Return the children of a part, ready for the store.

    Args:
        requests: The text of the part.
        parent_id: Their parent.
        root_id: The first ancestor of all.
        now: The store's time, in microseconds since 1970 UTC: those that do not wait are due then.
    """
    lines = requests.split("\n")
    return [
        _read_child(values, vars_json, parent_id, root_id, now)
        for values, vars_json in zip(lines[::2], lines[1::2], strict=True)
    ]


def _write_values(new: NewInstance) -> str:
    return orjson.dumps(
        [
            *(new.type, new.definition_version, new.external_id, new.key, new.group, new.priority, new.state),
            *(new.status.value, new.next_activation_us, new.vars_version, new.gate),
            None if new.inbox is None else asdict(new.inbox),
        ]
    ).decode()


def _read_child(text: str, vars_json: str, parent_id: int, root_id: int, now: int) -> NewInstance:
    (type, definition_version, external_id, key, group, priority, state, *others) = orjson.loads(text)
    status, next_activation, vars_version, gate, inbox = others
    return NewInstance(
        type=type,
        definition_version=definition_version,
        external_id=external_id,
        key=key,
        group=group,
        priority=priority,
        state=state,
        status=Status(status),
        vars_json=vars_json,
        next_activation_us=now if status == Status.NEW else next_activation,
        parent_id=parent_id,
        root_id=root_id,
        vars_version=vars_version,
        inbox=None if inbox is None else _read_entry(inbox),
        gate=gate,
    )


def _read_entry(values: dict[str, Any]) -> InboxEntry:
    escalations = tuple((at, tuple(teams)) for at, teams in values["escalations"])
    lists = {name: tuple(values[name]) for name in ("teams", "escalated_to")}
    return InboxEntry(**{**values, **lists, "escalations": escalations})
