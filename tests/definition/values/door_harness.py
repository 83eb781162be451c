"""Instances of generated models that go through every door of a database, many at a time."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from flowlet.definition.codec import ModelCodec
from flowlet.definition.definition import Definition
from flowlet.definition.model_shape import get_names
from flowlet.definition.registry import Registry
from flowlet.errors import DefinitionError, VariablesError
from flowlet.instance.json_text import parse_outside_json
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.definition.values.generated_models import GeneratedModel, freeze, generate_model

__all__ = [
    "ModelCase",
    "add_case",
    "build_case",
    "draw_tame",
    "freeze_fields",
    "list_names",
    "print_frozen",
    "read_frozen",
    "read_outside",
]

DRAWS = 4
"""How often values are drawn until some of them survive."""


@dataclass(slots=True)
class ModelCase:
    """One generated model, its workflow, and what its handlers have read and left.

    Attributes:
        seed: What the model and its values are drawn from.
        form: The same model again, as another class: a manual state's form.
        left: What each instance's last handler or operation left, by instance: frozen. Absent if it is not known.
        lost: What a handler has read otherwise than it was left: the instance, what was left, what was read.
        forms: What each instance was answered with, by instance: the fields, frozen.
        last_text: The JSON text of values that survive.
    """

    seed: int
    random: Random
    generated: GeneratedModel
    form: type[BaseModel]
    definition: Definition
    left: dict[int, Any] = field(default_factory=dict)
    last_text: str = "{}"
    lost: list[tuple[int, Any, Any]] = field(default_factory=list)
    forms: dict[int, Any] = field(default_factory=dict)

    @property
    def codec(self) -> ModelCodec:
        """Reads and writes the model."""
        codec = self.definition.codec
        assert codec is not None
        return codec

    def leave(self, id: int, value: BaseModel) -> None:
        """Record what an instance's next handler has to read."""
        self.left[id] = freeze(value)

    def check_read(self, id: int, value: BaseModel) -> None:
        """Compare what a handler reads with what was left."""
        found = freeze(value)
        if self.left.get(id, found) != found:
            self.lost.append((id, self.left[id], found))


def build_case(seed: int, registry: Registry) -> ModelCase | None:
    """Return a case whose workflow is in the registry; None if the check of its module refuses the model."""
    random = Random(seed)
    generated, form = generate_model(random), generate_model(Random(seed)).model
    try:
        return add_case(seed, random, generated, form, registry)
    except DefinitionError:
        return None


def add_case(
    seed: int, random: Random, generated: GeneratedModel, form: type[BaseModel], registry: Registry
) -> ModelCase:
    """Return a case whose workflow has been added to the registry.

    Raises:
        DefinitionError: If the check of its module refuses the model.
    """
    cases: list[ModelCase] = []
    definition = registry.add(build_module(f"Values{seed}", generated.model, form, cases))
    cases.append(ModelCase(seed, random, generated, form, definition))
    return cases[0]


def build_module(name: str, model: type[BaseModel], form: type[BaseModel], cases: list[ModelCase]) -> ModuleType:
    """Return a workflow whose handlers leave drawn values, copy a form, and spawn children."""

    async def leave(value: Any, ctx: Context) -> None:
        (case,) = cases
        case.check_read(ctx.workflow.id, value)
        value.__dict__.update(draw_tame(case, hostile=0.2))
        case.leave(ctx.workflow.id, value)

    async def ask(value: Any, answer: Any, ctx: Context) -> Next:
        (case,) = cases
        case.check_read(ctx.workflow.id, value)
        if case.forms[ctx.workflow.id] != freeze_fields(answer):
            case.lost.append((ctx.workflow.id, case.forms[ctx.workflow.id], freeze_fields(answer)))
        form_codec = case.definition.states["ask"].form_codec
        assert form_codec is not None
        value.__dict__.update(case.codec.read(form_codec.write(answer)).__dict__)
        case.leave(ctx.workflow.id, value)
        given = read_outside(case.codec.write(value))
        try:
            case.codec.validate(given)
        except VariablesError:
            return keep.spawn(child(name, value))  # what is read leniently only, as the text "Infinity" for a float
        return keep.spawn([child(name, value), child(name, given)])

    async def take(value: Any, ctx: Context) -> None:
        (case,) = cases
        case.check_read(ctx.workflow.id, value)

    for handler in (leave, ask, take):
        handler.__annotations__ |= {"value": model, "ctx": Context, "answer": form}
    ask.__annotations__["return"] = Next
    del leave.__annotations__["answer"], take.__annotations__["answer"]
    keep = state(next=["done"])(take)
    module = ModuleType(name.lower(), "Values, through every door.")
    members = {
        "leave": state(start=True, next=["ask"])(leave),
        "ask": manual(next={"keep": "Keep"}, form=form)(ask),
        "keep": keep,
        "done": end(),
        "workflow": Workflow(name, vars=model, retry=Retry(limit=0)),
    }
    vars(module).update(members)
    return module


def draw_tame(case: ModelCase, *, hostile: float = 0.0) -> dict[str, Any]:
    """Return values of the fields that survive, if a few draws find some.

    Args:
        case: The model.
        hostile: How often the first ones are taken, whatever they are: a share from 0 to 1.
    """
    is_hostile = case.random.random() < hostile
    for _ in range(DRAWS):
        values = case.generated.draw_values(case.random)
        if is_hostile:
            break
        try:
            case.codec.save(case.generated.model.model_construct(None, **values))
        except VariablesError:
            continue
        break
    return values


def read_outside(text: str) -> dict[str, Any]:
    """Return the values of a JSON text as the API reads them."""
    values, faults = parse_outside_json(text)
    assert faults == {}
    found: dict[str, Any] = values
    return found


def freeze_fields(value: BaseModel) -> Any:
    """Return what ``freeze`` returns for the fields of a model, whatever its class."""
    return freeze(value)[1:]


def list_names(case: ModelCase) -> set[str]:
    """Return the names by which a refusal may name a field."""
    names = get_names(case.generated.model)
    return {*names.stored, *names.stored.values(), *names.accepted}


def read_frozen(seed: int, text: str) -> str:
    """Return what a stored text is read as, by the model of a seed."""
    return repr(freeze(_build_codec(seed).read(text)))


def print_frozen() -> None:
    """Print what the texts of the standard input are read as, one in a line: a JSON list of seeds and texts."""
    for seed, text in json.load(sys.stdin):
        sys.stdout.write(f"{read_frozen(seed, text)}\n")


@lru_cache
def _build_codec(seed: int) -> ModelCodec:
    return ModelCodec(generate_model(Random(seed)).model, "")
