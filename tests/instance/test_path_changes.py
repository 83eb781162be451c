"""Changes by path: what is applied to the old value gives the new one, with its types, and takes little room."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.instance.json_text import parse_json, write_json
from flowlet.instance.path_changes import (
    MAX_CHANGES,
    apply_path_changes,
    build_path,
    diff_values,
    find_changed_names,
    parse_path,
)

SCALARS = (
    st.none()
    | st.sampled_from([0, 0.0, -0.0, 1, 1.0, True, False, "", "1", 2**63, -(2**70), 1e300, "ä\N{GRINNING FACE}~/\x00"])
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab~/\u20ac", max_size=4)
    | st.text("ab", min_size=95, max_size=240)
)
NAMES = st.sampled_from(["", "a", "b", "~", "/", "~1", "0", "-", "\N{GRINNING FACE}"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


@st.composite
def changed_values(draw: st.DrawFn, value: Any) -> Any:
    """Return a value that differs little: a list or a text that grew, shrank or moved on, names added and removed."""
    if isinstance(value, dict):
        kept = {name: draw(changed_values(inner)) for name, inner in value.items() if draw(st.integers(0, 4))}
        return kept | draw(st.dictionaries(NAMES, VALUES, max_size=1))
    if isinstance(value, list):
        begin, end = draw(st.integers(0, 2)), draw(st.integers(0, 6))
        added: Any = draw(st.lists(VALUES, max_size=2))
        changed = [draw(changed_values(inner)) for inner in value]
        return draw(st.sampled_from([value + added, value[begin:] + added, changed, value[:end] + added + value[end:]]))
    if isinstance(value, str):
        added = draw(st.text("ab", max_size=3))
        return draw(st.sampled_from([value + added, value[2:] + added, value[:50] + added + value[51:], value]))
    return draw(st.just(value) | SCALARS)


def normalize_order(document: dict[str, Any]) -> str:
    """Return a document's text. The order of the names at the top is no difference, that of inner ones is."""
    return write_json(sorted(document.items())) if isinstance(document, dict) else write_json(document)


def assert_changes_give(old: Any, new: Any) -> list[Any]:
    """Check that the changes, written and parsed as the store does, make the new value; return them."""
    before = write_json(old)
    changes = diff_values(old, new)
    stored: list[Any] = parse_json(write_json(changes))
    assert normalize_order(apply_path_changes(parse_json(before), stored)) == normalize_order(new)
    assert write_json(old) == before
    if type(old) is type(new) is dict:
        names = find_changed_names(old, new, write_json(new))
        assert names is None or diff_values(old, new, names) == changes
    return stored


@given(st.data())
def test_the_changes_between_any_two_documents_give_the_second(data: st.DataObject) -> None:
    old = data.draw(DOCUMENTS)
    new = data.draw(changed_values(old) | DOCUMENTS)

    changes = assert_changes_give(old, new)

    assert bool(changes) == (normalize_order(old) != normalize_order(new))
    assert len(changes) <= MAX_CHANGES


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"a": 1}, {"a": 2, "b": None}, [("set", "/a", 2, 1), ("set", "/b", None)]),
        ({"a": 1, "b": {"c": [1]}}, {"b": {"c": [1]}}, [("unset", "/a", 1)]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1.0}}}, [("set", "/a/b/c", 1.0, 1)]),
        ({"a": 1}, {"a": True}, [("set", "/a", True, 1)]),
        ({"a": [0.0]}, {"a": [-0.0]}, [("set", "/a/0", -0.0, 0.0)]),
        ({"l": [1]}, {"l": [1, 2, 3]}, [("append", "/l", [2, 3])]),
        ({"t": "x" * 200}, {"t": "x" * 200 + "yz"}, [("append", "/t", "yz")]),
        ({"t": "pen"}, {"t": "pending"}, [("set", "/t", "pending", "pen")]),
        ({"l": [{"n": 1}, {"n": 2}]}, {"l": [{"n": 1}, {"n": 3}]}, [("set", "/l/1/n", 3, 2)]),
        ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}, [("set", "/a~1b/~0", 2, 1)]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, [("set", "/a", {"c": 2, "b": 1}, {"b": 1, "c": 2})]),
        ({"a": "x" * 101}, {"a": 1}, [("set", "/a", 1)]),
        ({"n": 2**70}, {"n": 2**70 + 1}, [("set", "/n", 2**70 + 1, 2**70)]),
    ],
)
def test_a_change_names_the_smallest_path_and_keeps_a_small_old_value(
    old: dict[str, Any], new: dict[str, Any], changes: list[tuple[Any, ...]]
) -> None:
    found = assert_changes_give(old, new)

    # As text: for Python 1, 1.0 and True are equal.
    assert json.dumps([tuple(change.values()) for change in found]) == json.dumps(changes)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ([1, 2, 3, 4, 5], [1, 2, 4, 5], [("splice", 2, 1, [], [3])]),
        ([1, 2], [0, 1, 2], [("splice", 0, 0, [0], None)]),
        ([1, 2, 3, 4], [2, 3, 4, 5], [("splice", 0, 1, [], [1]), ("append", None, None, [5], None)]),
        ("a" * 80 + "b" + "c" * 80, "a" * 80 + "d" + "c" * 80, [("splice", 80, 1, "d", "b")]),
        ("0123456789" * 20, ("0123456789" * 20)[3:] + "x", [("splice", 0, 3, "", "012"), ("append", None, None, "x")]),
    ],
)
def test_a_part_of_a_list_or_a_text_is_spliced(old: Any, new: Any, changes: list[tuple[Any, ...]]) -> None:
    found = assert_changes_give({"v": old}, {"v": new})

    names = ("op", "at", "remove", "value", "old")
    assert [
        tuple(change.get(name) for name in names)[: len(few)] for change, few in zip(found, changes, strict=True)
    ] == [tuple(few) for few in changes]


def nest(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = {"in": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        (list(range(10_000)), [number + 1 for number in range(10_000)], ["splice", "append"]),
        ([1] * 10_000, [1.0] * 10_000, ["set"]),
        ([{"n": number} for number in range(10_000)], [{"n": -1 - number} for number in range(10_000)], ["set"]),
        ({str(n): n for n in range(10_000)}, {str(n): n + 0.5 for n in range(10_000)}, ["set"]),
        ({str(n): n for n in range(10_000)}, {str(n): n for n in range(10_000, 20_000)}, ["set"]),
        (nest(1, 150), nest(2, 150), ["set"]),
        ({"kept": "x" * 9_000, "wild": {str(n): n for n in range(999)}}, {"kept": "x" * 9_000, "wild": {}}, ["set"]),
        ("ab" * 500_000, "ba" * 500_000 + "a", ["splice", "append"]),
    ],
)
def test_what_changes_all_over_is_set_at_the_smallest_enclosing_path(old: Any, new: Any, paths: list[str]) -> None:
    found = assert_changes_give({"v": old, "same": 1}, {"v": new, "same": 1})

    assert [change["op"] for change in found] == paths
    assert all(change["path"].startswith("/v") and "same" not in change for change in found)
    assert len(write_json(found)) <= len(write_json(new)) + 200


def test_many_changes_inside_one_value_take_no_more_room_than_the_value() -> None:
    old = {"grid": list(range(1_000)), "n": 0}
    new = {"grid": [-number if number % 6 == 0 else number for number in range(1_000)], "n": 1}

    assert [change["path"] for change in assert_changes_give(old, new)] == ["/grid", "/n"]


def test_the_same_value_has_no_changes() -> None:
    document = {"a": [1, {"b": None}], "t": "x" * 500}

    assert diff_values(document, copy.deepcopy(document)) == []
    assert diff_values({"a": 1, "b": 2}, {"b": 2, "a": 1}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"op": "set", "path": "/missing/name", "value": 1},
        {"op": "unset", "path": "/missing"},
        {"op": "append", "path": "/n", "value": "x"},
        {"op": "append", "path": "/l", "value": "text"},
        {"op": "set", "path": "/l/9", "value": 1},
        {"op": "set", "path": "/l/x", "value": 1},
        {"op": "splice", "path": "/l", "value": []},
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Any) -> None:
    with pytest.raises(ValueError, match="does not fit the value"):
        apply_path_changes({"n": 1, "l": [1]}, [change])


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ({"a": 1, "b": [1, 2], "c": "x"}, {"a": 2, "b": [1, 2], "c": "x"}, ["a"]),
        ({"a": [{"n": 1}], "b": 0.5}, {"a": [{"n": 2}], "b": 0.25}, ["a", "b"]),
        ({"a": 1, "b": 1}, {"a": True, "b": 2}, None),
        ({"a": [1.0], "b": 1}, {"a": [1], "b": 2}, None),
        ({"a": 0.0, "b": 1}, {"a": -0.0, "b": 2}, None),
        ({"a": 1, "b": 1}, {"b": 2, "a": 1}, None),
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": 2**70, "b": 1}, {"a": 2**70, "b": 2}, None),
    ],
)
def test_the_changed_names_are_known_only_where_python_and_json_agree(old: Any, new: Any, names: Any) -> None:
    assert find_changed_names(old, new, write_json(new)) == names


@pytest.mark.parametrize("name", ["", "a", "~", "/", "~1", "~0/", "//"])
def test_a_name_of_a_path_is_read_back(name: str) -> None:
    assert parse_path(build_path(build_path("", name), 3)) == [name, "3"]
