"""Generated values through a real database: whatever door they take, what is stored is what is read.

Each case is a model. Instances of it are created from an object and from JSON, left by handlers, edited, answered with
a form, and spawned as children; after each door the history's own account equals the stored variables. At the end
another process reads all of them by the same models.

``VALUE_CASES=100000 pytest tests/definition/values`` draws 5,000 models, other ones each time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from random import Random, SystemRandom
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.definition.model_shape import get_names
from flowlet.definition.registry import Registry
from flowlet.engine.release import apply_transition
from flowlet.errors import VariablesError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.instance.json_text import parse_json, write_json
from flowlet.instance.new_instance import NewInstance
from flowlet.instance.transition import Transition
from flowlet.operations.service import Operations
from flowlet.store.instances import CommitResult
from tests.definition.values.door_harness import (
    ModelCase,
    build_case,
    draw_tame,
    freeze_fields,
    list_names,
    read_frozen,
    read_outside,
)
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine

CASES = os.environ.get("VALUE_CASES")
TIMEOUT = 3_600 if CASES else 60
BATCH = 20
CASES_BY_DATABASE = {"sqlite": 120, "postgresql": 60, "mysql": 60}
"""How many models are drawn; the check of modules refuses some."""
VALUES = 3
"""How many times values are drawn for each model; most of them make two instances, and two children of each."""


class Doors:
    """One batch of cases on its way through the doors of a database."""

    def __init__(self, engine: EngineHarness, executor: ManualExecutor) -> None:
        self.engine = engine
        self.executor = executor
        self.operations = Operations(engine.store, engine.registry)
        self.cases: dict[int, ModelCase] = {}
        """The cases by the ids of their instances."""

    async def pass_all(self, cases: Sequence[ModelCase]) -> None:
        """Take the cases through all doors."""
        await self.create(cases)
        await self.run_due()
        await self.edit()
        await self.answer()
        await self.run_due()
        await self.run_due()  # the children

    async def create(self, cases: Sequence[ModelCase]) -> None:
        """Create two instances of each case, from an object and from JSON."""
        made = [(case, new) for case in cases for _ in range(VALUES) for new in build_instances(case)]
        created = await self.engine.store.instances.create([new for _, new in made], now=self.engine.clock.now())
        self.cases = {one.id: case for one, (case, _) in zip(created, made, strict=True)}
        await self.check_past(self.cases)
        for id, text in (await self.read_stored()).items():
            self.cases[id].leave(id, self.cases[id].codec.read(text))
            self.cases[id].last_text = text

    async def run_due(self) -> None:
        """Run what is due until all leases end, in batches."""
        running: list[tuple[Instance, Any]] = [(one, None) for one in await self.executor.claim_due(1_000)]
        while running:
            for instance, _ in running:
                if instance.parent_id is not None and instance.id not in self.cases:
                    self.cases[instance.id] = case = self.cases[instance.parent_id]
                    case.left[instance.id] = case.left[instance.parent_id]
            transitions = [await self.executor.run_instance(one, read_vars=read) for one, read in running]
            assert set(await self.executor.commit_transitions(*transitions)) == {CommitResult.COMMITTED}
            for transition in transitions:
                self.check_transition(transition)
            await self.check_past([instance.id for instance, _ in running])
            running = [
                (apply_transition(one.instance, one), one.parsed_vars)
                for one in transitions
                if one.status is Status.EXECUTING
            ]

    def check_transition(self, transition: Transition) -> None:
        """Check that a failed attempt names a field, and that the handler has read what was left."""
        id, case = transition.instance.id, self.cases[transition.instance.id]
        assert case.lost == []
        if transition.status is Status.FAILED:
            (error,) = [action.text or "" for action in transition.actions if action.kind is ActionKind.ERROR]
            subject = f"VariablesError: the variables of {case.definition.name}: "
            assert error.startswith(tuple(f"{subject}{name}" for name in list_names(case))), error
            del case.left[id]

    async def edit(self) -> None:
        """Edit one field of each instance that waits, as a client sends it."""
        for id, case in await self.list_waiting():
            text = draw_text(case)
            outside, names = read_outside(text), get_names(case.generated.model).stored
            name = case.random.choice(list(names))
            given = {names[name]: outside[names[name]]}
            after = await self.catch(case, self.operations.edit_variables(id, given, username="ada"))
            if after is not None:
                read = case.codec.read(after.vars_json)
                assert dict(freeze_fields(read)[0])[name] == dict(freeze_fields(case.codec.read(text))[0])[name]
                case.leave(id, read)
        await self.check_past(self.cases)

    async def answer(self) -> None:
        """Answer each instance that waits; its handler reads the form."""
        for id, case in await self.list_waiting():
            text = draw_text(case)
            if await self.catch(case, self.operations.answer(id, "keep", form=read_outside(text), username="ada")):
                case.forms[id] = freeze_fields(case.codec.read(text))

    async def list_waiting(self) -> list[tuple[int, ModelCase]]:
        rows = await self.engine.fetch_rows("SELECT id FROM flowlet_workflow WHERE status = 'WAITING'")
        return [(int(id), self.cases[id]) for (id,) in rows if id in self.cases]

    async def read_stored(self) -> dict[int, str]:
        """Return the stored variables' texts, by instance."""
        sql = "SELECT id, vars FROM flowlet_workflow WHERE id >= :first"
        rows = await self.engine.fetch_rows(sql, {"first": min(self.cases, default=0)})
        return {int(id): text for id, text in rows}

    async def check_past(self, ids: Iterable[int]) -> None:
        """Check that the history's last variables are the stored ones."""
        stored = await self.read_stored()
        for id in ids:
            past = await self.engine.store.history.variables_at(id, 2**63)
            assert write_json(past, is_sorted=True) == write_json(parse_json(stored[id]), is_sorted=True)

    async def catch(self, case: ModelCase, operation: Any) -> Instance | None:
        try:
            changed: Instance = await operation
        except VariablesError as error:
            check_faults(case, error)
            return None
        return changed


@pytest.mark.timeout(TIMEOUT)
async def test_what_the_check_lets_pass_survives_every_door_of_a_database(database_url: str) -> None:
    texts: list[tuple[int, str]] = []
    random = SystemRandom() if CASES else Random(11)
    async with open_engine(database_url) as engine:
        count = int(CASES) // 20 if CASES else CASES_BY_DATABASE[engine.store.connections.dialect.name]
        for _ in range(count // BATCH):
            seeds = [random.getrandbits(62) for _ in range(BATCH)]
            try:
                texts += await pass_doors(engine, seeds)
            except Exception as error:
                error.add_note(f"The seeds of the models: {seeds}")
                raise

    assert len(texts) > count
    check_in_another_process(texts)


async def pass_doors(engine: EngineHarness, seeds: Sequence[int]) -> list[tuple[int, str]]:
    """Take the models of these seeds through all doors; return the stored texts, each with its seed."""
    own = EngineHarness(engine.store, Registry(), engine.clock)
    cases = [case for case in (build_case(seed, own.registry) for seed in seeds) if case is not None]
    doors = Doors(own, await own.add_executor(f"executor-{seeds[0]}"))
    await doors.pass_all(cases)
    return [(doors.cases[id].seed, text) for id, text in (await doors.read_stored()).items()]


def build_instances(case: ModelCase) -> Iterator[NewInstance]:
    """Yield a new instance from drawn values, and one from the JSON of them, where these are accepted."""
    value = case.generated.model.model_construct(None, **draw_tame(case, hostile=0.2))
    new = build_instance(case, value)
    if new is None:
        return
    for one in (new, build_instance(case, read_outside(new.vars_json))):
        if one is not None:
            assert freeze_fields(case.codec.read(one.vars_json)) == freeze_fields(value)
            yield one


def build_instance(case: ModelCase, vars: BaseModel | dict[str, Any]) -> NewInstance | None:
    """Return a new instance; None if a refusal names fields."""
    try:
        return case.definition.build_instance(vars, now=0)
    except VariablesError as error:
        check_faults(case, error)
        return None


def draw_text(case: ModelCase) -> str:
    """Return the JSON text of drawn values, or of what an instance has left if none of them survive."""
    for _ in range(3):
        value = case.generated.model.model_construct(None, **draw_tame(case))
        try:
            return case.codec.save(value)[0]
        except VariablesError:
            continue
    return case.last_text


def check_faults(case: ModelCase, error: VariablesError) -> None:
    assert error.faults
    assert {path.split(".")[0] for path in error.faults} <= list_names(case)


def check_in_another_process(texts: list[tuple[int, str]]) -> None:
    """Check that another process, with another order of sets, reads the texts as the same values."""
    script = "from tests.definition.values.door_harness import print_frozen; print_frozen()"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert found == [read_frozen(seed, text) for seed, text in texts]
