"""Honest arms whose factor shows at some confidence only are let through; inert ones are not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from threshold_method import Inner, Own, OwnConfig

from semisweep import Column, DataConfig, Method, Preset, Row, Study, TrainingConfig
from semisweep.checks.arm_integrity import Finding, check_arms
from semisweep.checks.field_reads import Reads
from semisweep.study.factor import Probe
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.mean_teacher import MeanTeacher

TINY = Preset(
    data=DataConfig(labelled=16),
    training=TrainingConfig(epochs=12, labelled_batch=2, unlabelled_batch=2, crop_pixels=32),
    config={"network": tiny_network()},
    metric="last.test.miou",
    metric_note="",
)


def find(kind: type[Method], base: Any, *arms: Any, **about: Any) -> list[Finding]:
    """Return what is wrong with the arms of a study; each is the fields that it sets."""
    rows = [Row(name="base", method=kind, set=base)]
    rows += [Row(name=f"arm {at}", method=kind, set=own, **about) for at, own in enumerate(arms)]
    columns = [Column(name="few", set={"mini": {}})]
    study = Study(
        name="s", title="", presets={"mini": TINY}, rows=rows, columns=columns, base="base"
    )
    return check_arms(study, "mini")


THRESHOLD = "config.threshold"
CONFIDENCE = "config.confidence_threshold"
INNER = "config.inner.threshold"


@pytest.mark.parametrize(
    ("kind", "field", "values", "always"),
    [
        (MeanTeacher, CONFIDENCE, (0.9, 0.95, 0.97), {}),
        (MeanTeacher, CONFIDENCE, (0.9, 0.95, 0.97), {"config.consistency": "cross_entropy"}),
        (MeanTeacher, CONFIDENCE, (0.95, 0.97, 0.99), {"config.cutmix": True}),
        (FixMatch, THRESHOLD, (0.9, 0.95, 0.97), {}),
        (FixMatch, THRESHOLD, (0.5, 0.7, 0.9), {}),
        (Own, THRESHOLD, (0.5, 0.7, 0.9), {}),
        (Own, THRESHOLD, (0.9, 0.95, 0.97), {}),
        (Own, THRESHOLD, (0.5, 0.7, 0.9), {"config.by_image": True}),
        (Own, INNER, (0.7, 0.8, 0.9), {}),
    ],
)
def test_a_study_of_thresholds_is_sound(
    kind: type[Method], field: str, values: tuple[float, ...], always: dict[str, Any]
) -> None:
    base, *arms = [{**always, field: value} for value in values]

    assert find(kind, base, *arms) == []


@pytest.mark.parametrize("field", ["config.unwired", "config.inner.unwired"])
def test_a_field_that_the_method_never_reads_is_refused(field: str) -> None:
    (found,) = find(Own, {}, {field: 2.0})

    assert found.refused
    assert f"never reads {field} while it trains" in found.reason


@pytest.mark.parametrize("field", ["config.kept", "config.times_zero", "config.late"])
def test_a_field_that_is_read_and_does_not_show_is_a_warning_with_the_line_to_add(
    field: str,
) -> None:
    (found,) = find(Own, {}, {field: 2.0})
    line = found.reason.partition("add ")[2].partition(" to the row")[0]

    assert (found.kind, found.refused) == ("not probed", False)
    assert line == "probe=Probe(steps=48, sharpness=8)"


def test_what_a_row_says_must_show_and_does_not_is_refused() -> None:
    (found,) = find(Own, {}, {"config.kept": 2.0}, probe=Probe(steps=6))

    assert found.kind == "no-op"
    assert "in 6 steps" in found.reason


def test_copies_are_not_reads_and_what_the_copy_is_asked_for_is() -> None:
    base, arm = OwnConfig(), OwnConfig(threshold=0.9, inner=Inner(threshold=0.8))
    seen = {}
    for name, use in {
        "nothing": lambda own: None,
        "copy": lambda own: dataclasses.replace(own, kept=3.0),
        "other": lambda own: own.kept,
        "put back": lambda own: dataclasses.replace(own, threshold=0.5).threshold,
        "of a copy": lambda own: dataclasses.replace(own, kept=3.0).threshold,
        "inner": lambda own: own.inner.threshold,
        "all": lambda own: vars(own),
        "equal": lambda own: own == base,
    }.items():
        reads = Reads(base, arm, [THRESHOLD, INNER])
        with reads.noted():
            use(arm)
        seen[name] = sorted(reads.read)

    assert seen == {
        "nothing": [],
        "copy": [],
        "other": [],
        "put back": [],
        "of a copy": [THRESHOLD],
        "inner": [INNER],
        "all": [INNER, THRESHOLD],
        "equal": [THRESHOLD],
    }
    assert "__getattribute__" not in vars(OwnConfig)


def test_a_field_that_cannot_be_followed_counts_as_read() -> None:
    assert Reads(OwnConfig(), OwnConfig(), ["config.kept", "config.none.at_all"]).read == {
        "config.kept",
        "config.none.at_all",
    }
