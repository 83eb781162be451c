"""The instances that have not ended, as a new version of their workflow finds them: how many, and some of them."""

from __future__ import annotations

from dataclasses import dataclass

from flowlet.instance.instance import Status

__all__ = ["IN_FLIGHT_STATUSES", "InFlightGroup", "InFlightSample"]

IN_FLIGHT_STATUSES = (Status.NEW, Status.IN_PROGRESS, Status.EXECUTING, Status.WAITING, Status.PAUSED)


@dataclass(frozen=True, slots=True)
class InFlightGroup:
    """The instances in flight that agree in all that decides which versions can run them, but for their variables.

    Attributes:
        version: The version of the workflow that wrote them last.
        vars_version: The version of their variables.
        first_id: The lowest of their ids.
        last_id: The highest of their ids.
    """

    type: str
    version: int
    state: str
    status: Status
    vars_version: int
    count: int
    first_id: int
    last_id: int


@dataclass(frozen=True, slots=True)
class InFlightSample:
    """An instance in flight with its variables; the other fields are those of its group."""

    id: int
    type: str
    version: int
    state: str
    vars_version: int
    vars_json: str
