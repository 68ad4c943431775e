"""The parts of methods that can be off: how they are declared, and what a wrong one is told."""

from __future__ import annotations

from typing import Any

import pytest

from semisweep import Method, MethodConfig, Switch, config, setting
from semisweep.core.config import replace
from semisweep.core.errors import ConfigError
from semisweep.study.named_values import find_method, method_names
from semisweep.training.switches import (
    closure,
    is_admissible,
    is_on,
    off_fields,
    switches_of,
)
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.stpg import STPG


def method(**fields: Any) -> type[Method]:
    """Return a method whose configuration has some fields; `switches` are its bundles."""
    bundles = fields.pop("switches", ())
    kinds = {name: type(own.default) for name, own in fields.items()}
    own = {"__annotations__": kinds, "switches": bundles, **fields}
    return type("Own", (Method,), {"Config": config(type("OwnConfig", (MethodConfig,), own))})


def names(found: type[Method]) -> list[str]:
    return [own.name for own in switches_of(found)]


def test_a_field_and_a_bundle_are_switches_in_the_order_of_their_fields() -> None:
    own = method(
        one=setting(1.0, off=0.0),
        both=setting(1.0),
        other=setting(2.0),
        last=setting(True, off=False, switch="the-last"),
        switches=(Switch(name="pair", off={"both": 0.0, "other": 0.0}),),
    )

    assert names(own) == ["one", "pair", "the-last"]
    assert switches_of(own)[1].off == {"both": 0.0, "other": 0.0}


def test_a_switch_comes_after_what_it_needs() -> None:
    own = method(
        fine=setting(1.0, off=0.0, needs=("coarse",)), coarse=setting(1.0, off=0.0), it=setting(1)
    )

    assert names(own) == ["coarse", "fine"]


def test_fields_of_inner_configurations_are_switches() -> None:
    assert dict(switches_of(STPG)[-1].off) == {"contrast.weight": 0.0}


@pytest.mark.parametrize("name", method_names())
def test_every_switch_of_every_method_can_be_off(name: str) -> None:
    own = find_method(name)
    for switch in switches_of(own):
        off = replace(own.Config(), off_fields([switch], ()))
        assert not is_on(off, switch), switch


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"a": setting(1.0, off=0.0, needs=("b",))}, "unknown switch that a needs 'b'"),
        (
            {
                "a": setting(1.0, off=0.0, needs=("b",)),
                "b": setting(1.0, off=0.0, needs=("a",)),
            },
            "must not need itself, got switch='a'",
        ),
        ({"a": setting(1.0, off="no")}, "number, unable to parse string as a number, got a='no'"),
        ({"a": setting(1.0, off=0.0, switch="x y")}, "a name without spaces"),
        (
            {"a": setting(1.0, off=0.0), "switches": (Switch(name="a", off={"a": 2.0}),)},
            "different names, got switch='a' twice",
        ),
        ({"a": setting(1.0), "switches": (Switch(name="b", off={}),)}, "must have a field to set"),
        (
            {"a": setting(1.0), "switches": (Switch(name="b", off={"c": 1}),)},
            "unknown field 'c'",
        ),
    ],
)
def test_a_wrong_switch_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        switches_of(method(**fields))

    assert told in str(error.value)


def test_what_is_needed_has_the_last_word_on_a_field_that_both_set() -> None:
    own = {switch.name: switch for switch in switches_of(RankMatch)}
    both = [own["views"], own["second_view"]]

    assert off_fields(both, ["views"]) == {"strong_views": 1, "view_weight": 0.5}
    assert off_fields(both, []) == {"strong_views": 1, "view_weight": 0.0}
    assert off_fields(both[::-1], []) == {"strong_views": 1, "view_weight": 0.0}


def test_a_set_is_admissible_if_all_needs_are_in_it() -> None:
    own = switches_of(STPG)

    assert closure(own, ["contrast"]) == {"contrast", "dual", "unlabelled"}
    assert is_admissible(own, ["dual", "unlabelled"])
    assert not is_admissible(own, ["dual"])
    assert is_admissible(own, [])
