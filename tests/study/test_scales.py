"""Scales: what the proxy reduces, columns of several data sets, and where each value is from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from semisweep import (
    Column,
    DataConfig,
    NetworkConfig,
    Preset,
    Row,
    Search,
    Study,
    TrainingConfig,
    Trial,
)
from semisweep.checks.validation import sample_trials
from semisweep.core.config import replace
from semisweep.core.errors import ConfigError
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import cell_trial, check_changes, column_preset, preset_of, resolve
from semisweep.study.scales import PROXY, at_scale, has_scale, preset_at, reduced
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch
from semisweep_studies import css, gps_figures, segkc, segkc_comparisons, stpg

WHOLE_EPOCHS = (gps_figures.first_epoch, gps_figures.loss_flow)  # no less than one
WHOLE = TrainingConfig(epochs=20, evaluations=40)
PAPER = Preset(
    data=DataConfig(name="voc"),
    training=WHOLE,
    config={"network": NetworkConfig()},
    metric="best.val.miou",
    metric_note="the best",
    notes=("a note",),
)
STREETS = dataclasses.replace(
    PAPER,
    data=DataConfig(name="cityscapes"),
    training=replace(WHOLE, {"crop_pixels": 800}),
    metric="last.val.miou",
    notes=("of streets",),
)
TWO = Study(
    name="two",
    title="Two data sets",
    presets={"paper": PAPER},
    base="a",
    rows=[Row(name="a", method=Supervised), Row(name="b", method=UniMatch)],
    columns=[
        Column(name="voc", set={"paper": {"data.labelled": 92}}, labels={"paper": "VOC"}),
        Column(
            name="streets",
            set={"paper": {"data.labelled": 186}},
            presets={"paper": STREETS},
        ),
    ],
)


def cells(study: Study, scale: str) -> Iterator[tuple[Row, Column, Trial]]:
    for row in study.rows:
        for column in study.columns:
            if row.method is not None and column.exists(scale):
                yield row, column, cell_trial(study, scale, row, column, {})


def at_paper_scale() -> list[Study | Search]:
    found = [find_study(name) for name in study_names()]
    return [study for study in found if has_scale(study.presets, "paper")]


def test_what_is_said_at_paper_scale_holds_for_the_proxy_unless_it_has_its_own() -> None:
    assert at_scale({"mini": 1, "paper": 2}, PROXY, 0) == 2
    assert at_scale({"paper": 2, "proxy": 3}, PROXY, 0) == 3
    assert at_scale({"mini": 1}, PROXY, 0) == 0
    assert not has_scale({"mini": 1}, PROXY)
    assert preset_at({"mini": PAPER}, PROXY) is None
    assert preset_at({"proxy": PAPER, "paper": STREETS}, PROXY) is PAPER


def test_a_proxy_has_a_tenth_of_the_schedule_and_says_so() -> None:
    small = reduced(PAPER)

    assert small.training.total_steps(800) == WHOLE.total_steps(800) // 10 == 200
    assert small.training.evaluations == 10
    assert small.config == PAPER.config
    assert replace(small.training, {"schedule_share": 1.0, "evaluations": 40}) == WHOLE
    assert small.notes[:-1] == PAPER.notes
    assert "10% of the schedule" in small.notes[-1]
    assert "frozen" not in small.notes[-1]


def test_a_proxy_freezes_transformers_and_says_so() -> None:
    small = preset_of(segkc.losses, PROXY)

    assert small.config["senior"].frozen
    assert small.config["junior"].frozen
    assert "encoders of transformers frozen" in small.notes[-1]
    assert small.notes[-1] in resolve(segkc.losses, PROXY, None).table.notes


@pytest.mark.parametrize("study", at_paper_scale(), ids=lambda study: study.name)
def test_every_study_has_a_proxy_on_the_same_images(study: Study | Search) -> None:
    if isinstance(study, Search):
        assert preset_of(study, PROXY).data == preset_of(study, "paper").data
        return
    table, paper = (resolve(study, scale, None).table for scale in (PROXY, "paper"))
    assert [cell.column for cell in table.cells] == [c.column for c in paper.cells]
    assert table.columns == paper.columns
    assert any(note.startswith("Proxy: ") for note in table.notes)
    for row, column, trial in cells(study, PROXY):
        whole = cell_trial(study, "paper", row, column, {})
        share = 1.0 if study in WHOLE_EPOCHS else 0.1
        steps = whole.training.schedule_steps(2000)
        assert trial.data == whole.data
        assert trial.training.schedule_steps(2000) == max(1, round(share * steps))
        assert trial.training.stop_share == whole.training.stop_share
        assert trial.training.evaluations <= 10


def test_rows_with_a_recipe_of_their_own_are_reduced_as_well() -> None:
    for row, _, trial in cells(segkc_comparisons.classic, PROXY):
        networks = [v for v in vars(trial.config).values() if isinstance(v, NetworkConfig)]
        assert trial.training.schedule_share == 0.1
        assert all(network.frozen == (network.decoder == "dpt") for network in networks), row.name


def test_a_row_sets_fields_of_single_cells() -> None:
    own = {"paper": {"streets": {"training.epochs": 7, "data.unlabelled": "all"}}}
    row = dataclasses.replace(TWO.rows[1], in_column=own)
    study = dataclasses.replace(TWO, rows=[TWO.rows[0], row])
    for scale in ("paper", PROXY):
        trials = {(r.name, c.name): trial for r, c, trial in cells(study, scale)}
        assert trials["b", "streets"].training.epochs == 7
        assert trials["b", "streets"].data.unlabelled == "all"
        assert trials["b", "voc"].training.epochs == trials["a", "streets"].training.epochs == 20
    with pytest.raises(ConfigError, match=r"varies, got field='training.epochs'"):
        check_changes(study, "paper", {"training.epochs": 3})


def test_the_warm_up_of_css_is_reduced_with_its_schedule() -> None:
    """20 of 61 epochs at paper scale, which the proxy's 6 would never reach the end of."""
    whole, small = (
        next(t for row, _, t in cells(css.sources, scale) if row.name == "cross")
        for scale in ("paper", PROXY)
    )
    epochs = small.training.total_steps(10_490) / small.training.steps_per_epoch(10_490)

    assert whole.config.warm_up_epochs == 20
    assert small.config.warm_up_epochs == 2
    assert epochs == pytest.approx(6.1, abs=0.1)


def test_a_column_has_the_preset_of_its_data_set_and_the_metric_of_the_table() -> None:
    trials = {(row.name, column.name): trial for row, column, trial in cells(TWO, "paper")}
    notes = resolve(TWO, "paper", None).table.notes

    assert trials["a", "voc"].training == WHOLE
    assert trials["b", "streets"].training.crop_pixels == 800
    assert trials["b", "streets"].data == DataConfig(name="cityscapes", labelled=186)
    assert column_preset(TWO, "paper", TWO.columns[1]).metric == "best.val.miou"
    assert notes == ("a note", "of streets")
    request = Request(scale="paper", roots=Roots(Path("nowhere")))
    assert {t.data.name for t in sample_trials(TWO, request)} == {"voc", "cityscapes"}
    assert {t.training.schedule_share for _, _, t in cells(TWO, PROXY)} == {0.1}


@pytest.mark.parametrize("study", [segkc.losses, segkc.backbones, stpg.components])
def test_tables_of_two_data_sets_train_each_by_its_own_recipe(study: Study) -> None:
    crops: dict[str, set[int]] = {}
    for _, _, trial in cells(study, "paper"):
        crops.setdefault(trial.data.name, set()).add(trial.training.crop_pixels)
        shown = trial.training.evaluation.name
        assert (shown == "window") == (trial.data.name == "cityscapes")

    assert {name: len(found) for name, found in crops.items()} == {"voc": 1, "cityscapes": 1}


def test_a_change_may_be_made_at_the_scale_of_proxies() -> None:
    check_changes(TWO, PROXY, {"training.schedule_share": 0.5})
    with pytest.raises(ConfigError, match="the study itself varies"):
        check_changes(TWO, PROXY, {"data.labelled": 5})


def test_a_scale_that_does_not_exist_is_refused_with_those_that_do(
    call: Callable[..., Any], refused: Callable[..., None]
) -> None:
    refused(call("plan", "quickstart", "--scale", "proxi"), "did you mean proxy")
