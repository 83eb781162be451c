"""From the child requests of a handler to instances that the store can create."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from flowlet.clock import Clock
from flowlet.definition.definition import Definition
from flowlet.engine.attempt import Attempt
from flowlet.errors import OutcomeError, UnknownWorkflowError
from flowlet.instance.instance import Instance
from flowlet.instance.new_instance import NewInstance
from flowlet.instance.spawn_part import MAX_PART_CHILDREN, SpawnPart, build_spawn_parts
from flowlet.text import MAX_IDENTIFIER_LENGTH
from flowlet.workflow.outcome import ChildRequest

__all__ = ["MAX_CHILDREN_IN_COMMIT", "NO_SPAWN", "Spawn", "UnknownChildError", "build_spawn"]

MAX_CHILDREN_IN_COMMIT = 200
"""How many children the commit of a transition creates itself. It counts those of a larger spawn, and stores them."""

_NAMESPACE = uuid.UUID("6f0c2a52-6a57-5c62-9d0c-1f9d7c2a4b11")


class UnknownChildError(OutcomeError):
    """A handler asked for a child of a workflow that is not loaded.

    Args:
        message: The message.
        type: The name of the workflow.
    """

    def __init__(self, message: str, type: str) -> None:
        super().__init__(message)
        self.type = type


class Spawn(NamedTuple):
    """The children of one transition.

    Attributes:
        children: Those that its commit creates.
        parts: Those of a large spawn, which are created later.
        total: How many there are.
    """

    children: tuple[NewInstance, ...] = ()
    parts: tuple[SpawnPart, ...] = ()
    total: int = 0


NO_SPAWN = Spawn()


async def build_spawn(
    attempt: Attempt, requests: Sequence[ChildRequest], find_definition: Callable[[str], Definition], clock: Clock
) -> Spawn:
    """Return the children of one transition, checked: ready for the store.

    A child without an external id gets ``{parent's external id}/{visit}.{place}``, places counted from 1: the same
    transition, committed twice, does not create it twice. In a large spawn other activations run in between: thousands
    of children take a second.

    Args:
        attempt: The parent's attempt, ended.
        requests: The handler's requests, in its order.
        find_definition: Returns a definition by its name.
        clock: The clock.

    Raises:
        VariablesError: If a child's variables do not fit its model, or another value cannot be stored.
        UnknownChildError: If a child's workflow is not known here.
        OutcomeError: If a value is no child request, or two have the same external id.
    """
    children = _build_children(attempt.instance, requests, attempt.ended_at, find_definition)
    if len(requests) <= MAX_CHILDREN_IN_COMMIT:
        return Spawn(tuple(children), (), len(requests))
    parts: list[SpawnPart] = []
    while some := list(islice(children, MAX_PART_CHILDREN)):
        parts += build_spawn_parts(some)
        await clock.sleep(0)
    return Spawn((), tuple(parts), len(requests))


def _build_children(
    instance: Instance, requests: Iterable[ChildRequest], now: int, find_definition: Callable[[str], Definition]
) -> Iterator[NewInstance]:
    names: set[str] = set()
    for place, request in enumerate(requests, start=1):
        _check_request(request)
        external_id = request.external_id or _build_external_id(instance, place)
        if external_id in names:
            raise OutcomeError(f"spawn() was given two children with the external id {external_id!r}")
        names.add(external_id)
        definition = _find_child_definition(request.type, find_definition)
        yield _build_child(instance, request, external_id, now=now, definition=definition)


def _find_child_definition(type: str, find_definition: Callable[[str], Definition]) -> Definition:
    try:
        return find_definition(type)
    except UnknownWorkflowError as error:
        raise UnknownChildError(f"spawn() was given a child of a workflow that is not loaded: {error}", type) from None


def _build_child(
    parent: Instance, request: ChildRequest, external_id: str, *, now: int, definition: Definition
) -> NewInstance:
    return definition.build_instance(
        request.vars,
        now=now,
        key=request.key,
        external_id=external_id,
        group=request.group,
        priority=request.priority,
        parent_id=parent.id,
        root_id=parent.root_id or parent.id,
    )


def _check_request(request: object) -> None:
    if not isinstance(request, ChildRequest):
        raise OutcomeError(
            f"spawn() was given a value of type {type(request).__name__}, not a child: "
            f"use workflow.child(...) or child('Name', ...)"
        )


def _build_external_id(instance: Instance, index: int) -> str:
    name = f"{instance.external_id}/{instance.visit}.{index}"
    return name if len(name) <= MAX_IDENTIFIER_LENGTH else str(uuid.uuid5(_NAMESPACE, name))
