"""``flowlet`` without what protects the times of schedules: no lock, and no external id in common."""

from __future__ import annotations

import sys
import uuid
from dataclasses import replace
from typing import Any

from flowlet.cli import main
from flowlet.engine.schedules import firing_plan
from flowlet.instance.new_instance import NewInstance
from flowlet.store.schedules import firing

__all__: list[str] = []

build_scheduled_instance = firing_plan.build_scheduled_instance
find_schedules = vars(firing)["find_schedules"]


def build_unprotected_instance(*arguments: Any, **options: Any) -> NewInstance:
    """Return an instance of a schedule that the unique index of external ids does not know."""
    built = build_scheduled_instance(*arguments, **options)
    return replace(built, external_id=f"{built.external_id}#{uuid.uuid4()}")


async def find_unlocked_schedules(*arguments: Any, **_: Any) -> Any:
    """Return schedules without locking them."""
    return await find_schedules(*arguments)


if __name__ == "__main__":
    firing_plan.build_scheduled_instance = build_unprotected_instance
    firing.__dict__["find_schedules"] = find_unlocked_schedules
    sys.exit(main())
