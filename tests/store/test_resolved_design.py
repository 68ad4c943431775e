"""Stored designs: what is read is what was written, and others are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from semisweep.core.errors import StoreError
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_design import Design, decode_design

DESIGN = Design(
    kind="shapley",
    switches=("a", "b"),
    on={"none": (), "a": ("a",), "full": ("a", "b")},
    needs={"b": ("a",)},
    orders=(("a", "b"),),
    all_orders=1,
    aliases=(("a", "b"),),
    resolution=3,
    titles={"a": "the first"},
)


def decoded(value: Any) -> Design:
    return decode_design(Fields(value, "a design", "here"))


def test_a_design_is_read_as_it_was_written() -> None:
    assert decoded(json.loads(json.dumps(DESIGN.encoded()))) == DESIGN
    assert DESIGN.rows[frozenset("ab")] == "full"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "else"},
        {"switches": []},
        {"switches": ["a", "a"]},
        {"on": {"none": ["c"]}},
        {"on": {"none": "a"}},
        {"on": [1]},
        {"needs": {"c": ["a"]}},
        {"needs": {"a": ["c"]}},
        {"orders": [["a"]]},
        {"orders": [["a", "a"]]},
        {"orders": ["ab"]},
        {"kind": "cumulative", "orders": []},
        {"kind": "path", "orders": [["a", "b"], ["b", "a"]]},
        {"all_orders": "many"},
        {"all_orders": 0},
        {"orders": [["b", "a"]]},
        {"aliases": [1]},
        {"titles": {"a": 1}},
    ],
)
def test_a_design_of_another_shape_is_one_line(changes: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="must have"):
        decoded(DESIGN.encoded() | changes)
