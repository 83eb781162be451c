"""Which instances in flight a definition cannot run: found without a database, each with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.definition.versions.incompatibilities import Incompatibility, IncompatibilityRule, VersionComparison
from flowlet.instance.in_flight import InFlightGroup, InFlightSample
from flowlet.instance.instance import Status
from tests.engine.gates.shop_versions import FIRST_VERSION, load_version

ITEMS_VERSION = FIRST_VERSION.replace("version=1", "version=3").replace(
    "class Order(BaseModel):\n    amount: int = 1",
    "class Item(BaseModel):\n    sku: str\n\nclass Order(BaseModel):\n    items: list[Item]",
)
VALIDATED_VERSION = FIRST_VERSION.replace("import BaseModel", "import BaseModel, field_validator").replace(
    "    amount: int = 1\n",
    '    amount: int = 1\n\n    @field_validator("amount")\n    @classmethod\n    def check_amount(cls, value):\n'
    '        raise RuntimeError(f"amount {value}")\n',
)
UNREAD_VERSION = ITEMS_VERSION.replace("pay(order: Order)", "pay()").replace("sign(order: Order)", "sign()")


def load_definition(folder: Path, text: str) -> Definition:
    return Registry().add(load_version(folder, text))


def build_group(state: str, *, status: Status = Status.IN_PROGRESS, **fields: int) -> InFlightGroup:
    given = {"version": 1, "vars_version": 0, "count": 1, "first_id": 7, "last_id": 7, **fields}
    return InFlightGroup(type="Shop", state=state, status=status, **given)


def compare(definition: Definition, *groups: InFlightGroup, samples: tuple[str, ...] = ()) -> list[Incompatibility]:
    """Return what is found, with samples of the first group, whose ids count from 1."""
    comparison = VersionComparison(definition, groups)
    for id, text in enumerate(samples, start=1):
        comparison.add_sample(InFlightSample(id, "Shop", groups[0].version, groups[0].state, 0, text))
    return comparison.list_incompatibilities()


def test_groups_in_one_state_are_one_finding_with_all_their_versions(tmp_path: Path) -> None:
    groups = [
        build_group("ship", version=2, count=1_200, first_id=9, last_id=5_000),
        build_group("ship", version=1, count=3, first_id=4, last_id=6, status=Status.WAITING),
    ]

    (found,) = compare(load_definition(tmp_path, FIRST_VERSION), *groups)

    assert found.message == (
        "Shop: 1,203 in state 'ship', written by versions 1, 2 (ids 4, 6, 9, ...): version 1 has no state 'ship': they "
        "would wait until a version runs that has it. Give the state that replaces it renamed_from='ship', or restore "
        "it."
    )


def test_the_nearest_state_is_suggested(tmp_path: Path) -> None:
    (found,) = compare(load_definition(tmp_path, FIRST_VERSION), build_group("sgin"))

    assert found.cure.endswith("or restore it. Did you mean 'sign'?")


def test_a_person_cannot_answer_where_the_state_is_manual_no_more(tmp_path: Path) -> None:
    definition = load_definition(tmp_path, FIRST_VERSION)

    (found,) = compare(
        definition, build_group("pay", status=Status.WAITING), build_group("sign", status=Status.WAITING)
    )

    assert (found.rule, found.state) == (IncompatibilityRule.NOT_MANUAL, "pay")
    assert "they could not be answered" in found.fault


def test_places_in_a_list_are_one_fault_with_one_cure(tmp_path: Path) -> None:
    samples = ('{"items":[{}]}', '{"items":[{"sku":"a"},{}]}', '{"items":[]}')

    (found,) = compare(load_definition(tmp_path, ITEMS_VERSION), build_group("pay", count=3), samples=samples)

    assert (found.count, found.read_count, found.ids) == (2, 3, (1, 2))
    assert "version 3 cannot read their variables (items.*.sku: Field required)" in found.fault
    assert found.cure == "Give 'items.*.sku' a default, or write @migrate(from_version=1)."


def test_a_value_of_another_type_needs_a_migration_or_a_wider_model(tmp_path: Path) -> None:
    definition = load_definition(tmp_path, FIRST_VERSION)

    (found,) = compare(definition, build_group("pay", version=1), samples=('{"amount":"secret"}',))

    assert "secret" not in found.message
    assert found.cure == "Let the model accept what is stored, or write @migrate(from_version=1) in version 2."


def test_variables_that_no_later_handler_reads_do_not_matter(tmp_path: Path) -> None:
    definition = load_definition(tmp_path, UNREAD_VERSION)

    assert compare(definition, build_group("pay"), samples=("{}",)) == []
    assert len(compare(definition, build_group("check"), samples=("{}",))) == 1


@pytest.mark.parametrize("state", ["check", "pay", "done"])
def test_a_higher_version_of_the_variables_is_found_in_every_state(tmp_path: Path, state: str) -> None:
    (found,) = compare(load_definition(tmp_path, FIRST_VERSION), build_group(state, vars_version=2), samples=())

    assert (found.rule, found.cure) == (
        IncompatibilityRule.HIGHER_VARS_VERSION,
        "Deploy a version that has the migration.",
    )


def test_a_validator_that_raises_something_else_is_named_without_the_value(tmp_path: Path) -> None:
    definition = load_definition(tmp_path, VALIDATED_VERSION)

    (found,) = compare(definition, build_group("pay"), samples=('{"amount":41}',))

    assert "reading their variables raises RuntimeError: each attempt would fail" in found.message
    assert "41" not in found.message
