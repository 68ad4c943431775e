"""Tuned rows that would not be compared fairly, or searched in vain, are refused in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from tuned_study import RATE, SPACE, STUDY, TUNE, with_tune

from semisweep import Column, Objective, Option, Row, Study
from semisweep.checks.arm_integrity import check_arms
from semisweep.checks.validation import check_study
from semisweep.core.errors import ConfigError
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.unimatch import UniMatch

THRESHOLD = {"mini": {"config.threshold": FloatDistribution(0.4, 0.9)}}
WITH_OPTION = dataclasses.replace(
    STUDY.presets["mini"], options={"fast": Option(set={RATE: 0.1}, source="ours")}
)


def tuned(**changes: Any) -> Study:
    return with_tune(dataclasses.replace(TUNE, **changes))


def wrong(study: Study, shapes: Path, **more: Any) -> str:
    """Return why a study is refused, "" where it is not."""
    request = Request(roots=Roots(shapes.parent, {"shapes": shapes}), **more)
    try:
        check_study(study, request, Splits(request.roots))
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("study", "more", "told"),
    [
        (tuned(space=THRESHOLD), {}, "row='low', field='config.threshold', which the row sets"),
        (
            dataclasses.replace(STUDY, columns=[Column(name="c", set={"mini": {RATE: 0.1}})]),
            {},
            f"row='full', field='{RATE}', which a column sets",
        ),
        (
            dataclasses.replace(STUDY, presets={"mini": WITH_OPTION}),
            {"changes": {"option": "fast"}},
            f"field='{RATE}', which an option sets",
        ),
        (
            tuned(space={"mini": {"data.draw": CategoricalDistribution((0, 1))}}),
            {},
            "field='data.draw', which each replicate sets",
        ),
        (tuned(metric="last.test.miou"), {}, "tuned on the val part, got row='full', metric='last"),
        (tuned(method=UniMatch), {}, "the row's method at the study's presets, got row='full'"),
        (tuned(presets=STUDY.presets), {}, "with a method or presets in tune; leave them out"),
        (
            tuned(also=[Objective(metric="parameters", direction="minimize")]),
            {},
            "must have one objective, as it has one best, got row='full', also=['parameters']",
        ),
        (
            with_tune(dataclasses.replace(TUNE, trials=5), "low"),
            {},
            "the same number of trials, got full: 4, low: 5; change",
        ),
        (
            with_tune(dataclasses.replace(TUNE, trials=None)),
            {},
            "a search must have a number of trials, got trials=None",
        ),
        (
            tuned(space={"mini": {"config.thresold": FloatDistribution(0.4, 0.9)}}),
            {},
            "config.thresold",
        ),
        (STUDY, {"race": True}, "a race must not be of tuned rows"),
        (with_tune(None), {"trials": 3}, "--trials is for a search, got study='tuned', a table"),
        (STUDY, {"changes": {RATE: 0.1}}, "must not be one that the study itself varies"),
    ],
)
def test_a_row_that_cannot_be_tuned_is_refused_in_one_line(
    study: Study, more: dict[str, Any], told: str, tiny_shapes: Path
) -> None:
    found = wrong(study, tiny_shapes, **more)

    assert told in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("study", "more"),
    [
        (STUDY, {}),
        (STUDY, {"trials": 3, "deterministic": True}),
        (tuned(method=FixMatch), {}),
        (with_tune(None, "low"), {}),
        (
            with_tune(dataclasses.replace(TUNE, trials=5), "low"),
            {"trials": 6},
        ),
        (
            dataclasses.replace(STUDY, presets={"mini": WITH_OPTION}),
            {},
        ),
    ],
)
def test_what_is_fair_passes(study: Study, more: dict[str, Any], tiny_shapes: Path) -> None:
    assert wrong(study, tiny_shapes, **more) == ""


def findings(*rows: Row) -> list[str]:
    study = dataclasses.replace(STUDY, rows=rows, base=rows[0].name)
    return [str(finding) for finding in check_arms(study, "mini") if finding.refused]


def test_arms_may_differ_in_what_their_searches_choose() -> None:
    full, low, _ = STUDY.rows
    plain = dataclasses.replace(full, tune=None)
    named = dataclasses.replace(full, name="tuned")
    both = dataclasses.replace(low, factor=["config.threshold", RATE])

    assert findings(full, low) == []
    assert findings(full, both) == []
    assert findings(plain, low) == []
    assert findings(plain, named) == [], "it differs in its search alone"


def test_arms_that_differ_in_nothing_or_in_more_are_refused_tuned_or_not() -> None:
    full, low, _ = STUDY.rows
    twin = dataclasses.replace(full, name="twin")
    more = dataclasses.replace(low, set={**low.set, "training.steps": 5})

    (told,) = findings(full, twin)
    assert told.startswith("twin, few: no-op: it is the base row's very training")
    (told,) = findings(full, more)
    assert told.startswith("low, few: confounded: it also differs from the base row in training")
    assert SPACE["mini"].keys() == {RATE}
