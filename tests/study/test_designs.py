"""Designs of ablations: their rows, what they leave out, and what they refuse."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from optuna.distributions import FloatDistribution

from semisweep import (
    Ablation,
    Column,
    Method,
    MethodConfig,
    Row,
    Search,
    Study,
    config,
    designs,
    setting,
)
from semisweep.core.errors import ConfigError
from semisweep.study.resolve import cell_trial
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import MINI


@config
class PartsConfig(MethodConfig):
    a: float = setting(1.0, off=0.0)
    b: float = setting(1.0, off=0.0)
    c: float = setting(1.0, off=0.0)
    d: float = setting(0.0, off=0.0)  # off as it stands


class Parts(Method):
    Config = PartsConfig


@config
class NestedConfig(PartsConfig):
    b: float = setting(1.0, off=0.0, needs=("a",))


class Nested(Parts):
    Config = NestedConfig


COLUMN = Column(name="few", set={"mini": {"data.labelled": 32}})


def whole(method: type[Method] = Parts, **more: Any) -> Ablation:
    return Ablation(method=method, presets={"mini": MINI}, columns=[COLUMN], **more)


def rows(study: Study) -> dict[str, str]:
    return {row.name: row.label for row in study.rows}


def values(study: Study, name: str) -> dict[str, float]:
    """Return which of a, b, c have which value in the trial of a row."""
    row = next(own for own in study.rows if own.name == name)
    own: Any = cell_trial(study, "mini", row, COLUMN, {}).config
    return {field: getattr(own, field) for field in "abc"}


def test_leave_one_out_takes_off_what_needs_a_switch_too() -> None:
    assert rows(designs.leave_one_out(whole())) == {
        "full": "full",
        "b+c": "without a",
        "a+c": "without b",
        "a+b": "without c",
    }
    study = designs.leave_one_out(whole(Nested))
    assert rows(study) == {"full": "full", "c": "without a, b", "a+c": "without b",
                           "a+b": "without c"}  # fmt: skip
    assert values(study, "c") == {"a": 0, "b": 0, "c": 1}
    assert study.base == "full"
    assert study.confirmatory is None


def test_one_in_has_each_switch_with_what_it_needs() -> None:
    study = designs.one_in(whole(Nested))

    assert rows(study) == {"none": "none", "a": "a alone", "a+b": "a, b alone", "c": "c alone"}
    assert values(study, "a+b") == {"a": 1, "b": 1, "c": 0}


def test_cumulative_goes_in_the_order_given() -> None:
    study = designs.cumulative(whole(switches=("c", "a", "b")))

    assert rows(study) == {"none": "none", "c": "+ c", "c+a": "+ a", "full": "+ b"}
    assert study.design is not None
    assert study.design.orders == (("c", "a", "b"),)


def test_cumulative_refuses_a_switch_before_what_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"must come after.*switches=b,a,c: b needs a"):
        designs.cumulative(whole(Nested, switches=("b", "a", "c")))


def test_a_factorial_has_every_set_with_what_it_needs() -> None:
    every = {frozenset(on) for n in range(4) for on in itertools.combinations("abc", n)}

    assert on_sets(designs.factorial(whole())) == every
    assert on_sets(designs.factorial(whole(Nested))) == {
        on for on in every if "b" not in on or "a" in on
    }


def on_sets(study: Study) -> set[frozenset[str]]:
    assert study.design is not None
    return {frozenset(on) for on in study.design.on.values()}


def test_a_fraction_names_what_it_cannot_tell_apart() -> None:
    study = designs.factorial(whole(), resolution=3)

    assert len(study.rows) == 4
    assert study.design is not None
    assert study.design.resolution == 3
    assert set(study.design.aliases) == {("a", "b:c"), ("b", "a:c"), ("c", "a:b")}
    assert study.base == "full"


def test_a_fraction_has_the_resolution_that_was_asked_for() -> None:
    fields = {name: setting(1.0, off=0.0) for name in "abcdefg"}
    own = {"__annotations__": dict.fromkeys(fields, float), **fields}
    many = type("Many", (Method,), {"Config": config(type("ManyConfig", (MethodConfig,), own))})
    for resolution, arms in ((3, 8), (4, 16), (7, 64)):
        design = designs.factorial(whole(many), resolution=resolution).design
        assert design is not None
        assert (design.resolution, len(design.on)) == (resolution, arms)
        assert frozenset("abcdefg") in design.rows
        # No effect of one switch shares its sign with that of another, from resolution III on.
        assert not any(len([n for n in group if ":" not in n]) > 1 for group in design.aliases)
        pairs = [name for group in design.aliases for name in group if ":" in name]
        assert bool(pairs) == (resolution < 5)


@pytest.mark.parametrize(
    ("resolution", "method", "told"),
    [
        (2, Parts, "must have a resolution from 3"),
        (4, Parts, "resolution=4, switches=3"),
        (3, Nested, "got switch=b, which needs a"),
    ],
)
def test_a_fraction_that_cannot_be_is_refused(
    resolution: int, method: type[Method], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        designs.factorial(whole(method), resolution=resolution)


def test_shapley_values_take_every_set_where_they_are_few() -> None:
    study = designs.shapley(whole(Nested))

    assert len(study.rows) == 6
    assert study.design is not None
    assert study.design.all_orders == 3
    assert study.design.orders == ()


def test_shapley_values_keep_to_their_budget() -> None:
    for budget in (6, 7):
        design = designs.shapley(whole(), budget=budget).design
        assert design is not None
        assert len(design.on) <= budget
        assert design.orders[0] == design.orders[1][::-1]
        assert design.all_orders == 6
        wanted = {frozenset(order[:n]) for order in design.orders for n in range(4)}
        assert wanted == set(design.rows)

    with pytest.raises(ConfigError, match=r"two orders at least.*budget=5.*--budget 6"):
        designs.shapley(whole(), budget=5)


def test_combinations_are_trained_as_they_are_written() -> None:
    study = designs.combinations(whole(Nested), {"b without a": ["b"], "all": ["a", "b", "c"]})

    assert rows(study) == {"b": "b without a", "full": "all"}
    assert values(study, "b") == {"a": 0, "b": 1, "c": 0}
    with pytest.raises(ConfigError, match="unknown switch of Nested 'x'"):
        designs.combinations(whole(Nested), [["x"]])


def test_a_path_is_declared_step_by_step() -> None:
    study = designs.path(whole(Nested))
    assert list(rows(study)) == ["none", "full"]
    assert study.steps is not None

    first, second, last = study.steps([]), study.steps(["c"]), study.steps(["c", "a"])
    assert list(rows(first)) == ["none", "a", "c"]
    assert first.design is None
    assert next(iter(rows(second))) == "c"
    assert second.base == "c"
    assert first.presets["mini"].metric == "last.val.miou"
    assert last.design is not None
    assert last.design.orders == (("c", "a", "b"),)
    assert last.presets["mini"].metric == MINI.metric
    assert list(rows(last)) == ["none", "c", "a+c", "full"]


def test_switches_that_are_off_are_no_part_of_an_ablation() -> None:
    assert [own.name for own in whole().chosen] == ["a", "b", "c"]
    with pytest.raises(ConfigError, match="must be on in the whole method, got switch=d"):
        _ = whole(switches=("d",)).chosen
    with pytest.raises(ConfigError, match="unknown switch of Parts 'x'"):
        _ = whole(switches=("x",)).chosen
    with pytest.raises(ConfigError, match="must be different ones"):
        _ = whole(switches=("a", "a")).chosen
    with pytest.raises(ConfigError, match=r"must have a switch that is on.*Supervised"):
        _ = whole(Supervised).chosen


def test_fields_of_the_whole_are_set_in_every_arm_and_off_goes_before_them() -> None:
    own = whole(set={"config.a": 0.5}, scaled={"mini": {"config.b": 0.25}})
    study = designs.leave_one_out(own)

    assert values(study, "full") == {"a": 0.5, "b": 0.25, "c": 1}
    assert values(study, "a+c") == {"a": 0.5, "b": 0, "c": 1}
    assert values(study, "b+c") == {"a": 0, "b": 0.25, "c": 1}


def test_a_scale_at_which_a_switch_is_off_takes_it_out() -> None:
    own = whole(scaled={"mini": {"config.a": 0.0}})

    assert [switch.name for switch in own.chosen] == ["b", "c"]


def test_rows_of_other_methods_stand_beside() -> None:
    beside = Row(name="supervised", method=Supervised)
    study = designs.leave_one_out(whole(beside=[beside]))

    assert study.rows[0] is beside
    assert study.design is not None
    assert "supervised" not in study.design.on


def test_equal_designs_are_equal() -> None:
    one, other = (designs.shapley(whole(), budget=6).design for _ in range(2))

    assert one is not None
    assert other is not None
    assert dataclasses.asdict(one) == dataclasses.asdict(other)


def test_each_arm_is_tuned_but_in_what_it_has_off() -> None:
    rate = {"training.optimizer.learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}
    tune = Search(space={"mini": {**rate, "config.a": FloatDistribution(0.1, 2.0)}}, trials=4)
    study = designs.leave_one_out(whole(tune=tune))
    spaces = {row.name: row.tune.space["mini"] for row in study.rows if row.tune is not None}

    assert list(spaces) == ["full", "b+c", "a+c", "a+b"]
    assert "config.a" not in spaces["b+c"]
    assert all("config.a" in own for name, own in spaces.items() if name != "b+c")
    alone = Search(space={"mini": {"config.a": FloatDistribution(0.1, 2.0)}}, trials=4)
    rows = designs.leave_one_out(whole(tune=alone)).rows
    assert [row.tune is None for row in rows] == [False, True, False, False]


def test_a_path_of_tuned_arms_is_refused() -> None:
    tune = Search(space={"mini": {"config.a": FloatDistribution(0.1, 2.0)}}, trials=4)

    with pytest.raises(ConfigError, match="a path must be of arms at their declared values"):
        designs.path(whole(tune=tune))
