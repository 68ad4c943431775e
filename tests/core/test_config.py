"""Configurations: rules, dotted changes, JSON, and what of them is identity."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from typing import Any

import pytest

from semisweep import config, setting
from semisweep.core.config import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    canonical,
    decode,
    digest,
    encode,
    flatten,
    identity,
    parse_value,
    replace,
    settings,
)
from semisweep.core.errors import ConfigError


@config
class Inner:
    rate: Positive = setting(0.1, symbol="eta", paper="0.1", code="0.2", why="the paper's")
    momentum: Fraction = setting(0.9, matters=lambda own: own.rate > 0.05)
    sizes: tuple[Count, ...] = (6, 12)


@config
class Outer:
    inner: Inner = setting(factory=Inner)
    groups: dict[str, Inner] = setting(factory=dict, neutral={})
    weight: NonNegative = setting(0.0, neutral=0.0)
    low: Count = 1
    high: Count = 4
    path: str | None = setting(None, neutral=None, identity=lambda path: path.rpartition("/")[2])

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"low must be at most high, got low={self.low}, high={self.high}")


def test_a_configuration_cannot_be_changed_and_takes_names_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Inner().rate = 0.5  # type: ignore[misc]
    with pytest.raises((TypeError, ValueError)):
        Inner(0.5)  # type: ignore[call-arg]


def test_unknown_fields_and_wrong_kinds_are_refused() -> None:
    for data in ({"rte": 1}, {"rate": "fast"}, {"rate": None}, {"sizes": [1, "x"]}, {"sizes": 3}):
        with pytest.raises(ConfigError):
            decode(Inner, data)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf"])
@pytest.mark.parametrize("field", ["inner.rate", "inner.momentum", "weight"])
def test_numbers_that_are_not_finite_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"got {field}="):
        replace(Outer(), {field: value})


def test_changes_reach_nested_fields_and_leave_the_original_alone() -> None:
    before = Outer()

    after = replace(before, {"inner.rate": 0.5, "low": 2, "inner.sizes": [1, 2, 3]})

    assert (after.inner.rate, after.low, after.inner.sizes) == (0.5, 2, (1, 2, 3))
    assert after.inner.momentum == before.inner.momentum
    assert before == Outer()
    assert replace(before, {}) is before


def test_changes_of_one_configuration_are_made_at_once() -> None:
    """A rule that needs both of them sees both, in whatever order they were given."""
    changes = {"low": 7, "high": 9, "inner.rate": 0.5}

    for order in itertools.permutations(changes):
        changed = replace(Outer(), {name: changes[name] for name in order})
        assert (changed.low, changed.high, changed.inner.rate) == (7, 9, 0.5)


def test_a_member_of_a_mapping_can_be_changed_or_made() -> None:
    made = replace(Outer(), {"groups.teacher.rate": 0.3})
    changed = replace(made, {"groups.teacher.momentum": 0.5, "groups.student": Inner()})

    assert made.groups == {"teacher": Inner(rate=0.3)}
    assert changed.groups == {"teacher": Inner(rate=0.3, momentum=0.5), "student": Inner()}
    assert made.groups == {"teacher": Inner(rate=0.3)}


@pytest.mark.parametrize(
    ("field", "nearest"),
    [("wieght", "weight"), ("inner.rat", "inner.rate"), ("inner.momentm", "inner.momentum")],
)
def test_an_unknown_field_is_answered_with_the_nearest(field: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(Outer(), {field: 1})

    assert f"unknown field {field!r}; did you mean {nearest}" in str(caught.value)


def test_a_value_has_no_fields() -> None:
    with pytest.raises(ConfigError, match=r"got field='inner\.rate'"):
        replace(Outer(), {"inner.rate.x": 1})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("weight", -1, "input should be greater than or equal to 0, got weight=-1"),
        ("inner.rate", 0, "input should be greater than 0, got inner.rate=0"),
        ("inner.momentum", 1.5, "input should be less than or equal to 1, got inner.momentum=1.5"),
        ("inner.sizes", (3, 0), "should be greater than or equal to 1, got inner.sizes.1=0"),
        ("low", "many", "unable to parse string as an integer, got low='many'"),
        ("low", 9, "low must be at most high, got low=9, high=4"),
    ],
)
def test_a_broken_rule_is_told_in_one_line_with_name_and_value(
    field: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(Outer(), {field: value})

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_brings_back_an_equal_configuration() -> None:
    before = Outer(inner=Inner(rate=0.3, sizes=(1,)), groups={"a": Inner()}, weight=2.0, path="x/y")

    after = decode(Outer, json.loads(json.dumps(encode(before))))

    assert after == before
    assert digest(encode(after)) == digest(encode(before))


def test_leaves_have_dotted_names() -> None:
    leaves = flatten(encode(Outer(inner=Inner(sizes=(1, 2)))))

    assert leaves["inner.rate"] == 0.1
    assert leaves["inner.sizes"] == [1, 2]
    assert "inner" not in leaves


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("-3", -3),
        ("1e-4", 1e-4),
        ("true", True),
        ("False", False),
        ("none", None),
        ("null", None),
        ("(0.5, 2)", (0.5, 2)),
        ("'none'", "none"),
        ("resnet50", "resnet50"),
        ("a/b.pth", "a/b.pth"),
        ("__import__('os')", "__import__('os')"),
        ("", ""),
    ],
)
def test_text_becomes_the_value_that_it_spells(text: str, value: object) -> None:
    parsed = parse_value(text)

    assert parsed == value
    assert type(parsed) is type(value)


def test_every_setting_can_be_asked_where_it_comes_from() -> None:
    about = {name: item for name, _, item in settings(Inner())}

    assert (about["rate"].symbol, about["rate"].paper, about["rate"].code) == ("eta", "0.1", "0.2")
    assert about["sizes"].paper == ""


def test_identity_leaves_out_what_is_neutral() -> None:
    assert identity(Outer()) == {
        "inner": {"rate": 0.1, "momentum": 0.9, "sizes": [6, 12]},
        "low": 1,
        "high": 4,
    }
    assert identity(Outer(weight=0.5))["weight"] == 0.5


def test_identity_leaves_out_what_does_not_matter() -> None:
    slow = Inner(rate=0.01)

    assert "momentum" not in identity(slow)
    assert identity(slow) == identity(replace(slow, {"momentum": 0.5}))
    assert identity(Inner()) != identity(replace(Inner(), {"momentum": 0.5}))


def test_identity_holds_of_a_value_what_its_setting_says() -> None:
    assert identity(Outer(path="here/file"))["path"] == "file"
    assert identity(Outer(path="here/file")) == identity(Outer(path="there/file"))
    assert identity(Outer(path="here/file")) != identity(Outer(path="here/other"))


def test_equal_values_of_other_kinds_have_one_identity() -> None:
    """A whole number given for a float, or a list for a tuple, is the same setting."""
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"weight": 1}, {"weight": 1.0}),
        ({"inner.sizes": [1, 2]}, {"inner.sizes": (1, 2)}),
        ({"low": "2"}, {"low": 2}),
    ]
    for first, second in pairs:
        found = [digest(identity(replace(Outer(), changes))) for changes in (first, second)]
        assert found[0] == found[1], (first, second)


def test_canonical_json_depends_on_the_value_alone() -> None:
    assert canonical({"b": [1, 2.5], "a": None}) == '{"a":null,"b":[1,2.5]}'
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": math.nan})


def test_a_digest_is_of_the_length_that_is_asked_for() -> None:
    value = {"a": 1}

    assert len(digest(value)) == 20
    assert digest(value).startswith(digest(value, length=8))
    assert digest(value) != digest({"a": 2})
