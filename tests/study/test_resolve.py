"""Studies: those that come along, how they become trials, and what a user may change of them."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from resolved import through_json

from semisweep import Column, DataConfig, Preset, Row, Search, Study, TrainingConfig, Trial
from semisweep.core.errors import ConfigError, DataError
from semisweep.data.splits import Split
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.data_roots import Roots
from semisweep.study.resolve import (
    Splits,
    check_changes,
    has,
    make_trial,
    preset_of,
    replicates,
    resolve,
)
from semisweep.study.scales import SCALES
from semisweep.study.search_space import check_space, samples, varied
from semisweep.training.trial import trial_identity
from semisweep_methods.rankmatch import RankMatch, RankMatchConfig
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch

# Tables of whole systems, each with the network of its own paper.
COMPARED_WITH_OTHER_NETWORKS = (
    "segkc_classic",
    "segkc_efficiency",
    "segkc_augmented",
    "segkc_cityscapes",
)
GOLDEN = Path(__file__).parent.parent / "golden"
SPLIT = Split(("a", "b"), tuple("cdefghijklmnopqrst"))

PRESET = Preset(
    data=DataConfig(labelled=4),
    training=TrainingConfig(steps=10),
    config={"threshold": 0.8},
    metric="last.test.miou",
    metric_note="",
)
SMALL = Study(
    name="small",
    title="A study of tests",
    presets={"mini": PRESET},
    base="none",
    seeds=2,
    rows=[
        Row(name="none", method=Supervised),
        Row(name="views", method=UniMatch, set={"config.feature_weight": 0}),
        Row(name="agents", method=RankMatch, scaled={"mini": {"config.agents": 8}}),
    ],
    columns=[
        Column(name="few", set={"mini": {"data.labelled": 2}}),
        Column(name="many", set={"mini": {"data.labelled": 6}, "paper": {}}),
        Column(name="elsewhere", set={"paper": {}}),
    ],
)


def tables() -> list[tuple[Study, str]]:
    """Return every table that comes along, at each scale that it has."""
    found = [find_study(name) for name in study_names()]
    return [(item, scale) for item in found if isinstance(item, Study) for scale in item.presets]


def searches() -> list[tuple[Search, str]]:
    found = [find_study(name) for name in study_names()]
    return [(item, scale) for item in found if isinstance(item, Search) for scale in item.presets]


def trials_of(study: Study, scale: str) -> dict[tuple[str, str, str], Trial]:
    """Return the trials of a study by row, column and replicate."""
    return {
        (row.name, column.name, replicate): trial
        for row in study.rows
        for column in study.columns
        if scale in column.set
        for replicate, trial in replicates(study, scale, row, column, {})
    }


def table(name: str) -> Study:
    study = find_study(name)
    assert isinstance(study, Study)
    return study


def test_every_study_is_named_as_it_is_listed() -> None:
    for name in study_names():
        assert find_study(name).name == name


@pytest.mark.parametrize(("study", "scale"), [pytest.param(*t, id=t[0].name) for t in tables()])
def test_every_study_resolves_without_images(study: Study, scale: str) -> None:
    resolved = resolve(study, scale, None)
    shown = resolved.table

    places = {(cell.row, cell.column) for cell in shown.cells}
    rows, columns = ([item.name for item in labels] for labels in (shown.rows, shown.columns))
    assert scale in SCALES
    assert places == {(row, column) for row in rows for column in columns}
    assert len(shown.cells) == len(places) > 0
    assert all(cell.trials == {} for cell in shown.cells)
    assert resolved.trials == {}
    assert study.base in rows
    assert through_json(shown) == shown


@pytest.mark.parametrize(("study", "scale"), [pytest.param(*t, id=t[0].name) for t in searches()])
def test_every_search_varies_fields_within_their_rules(study: Search, scale: str) -> None:
    fields = study.set.get(scale, {})
    trial = make_trial(preset_of(study, scale), study.method, fields, {})

    check_space(study.space[scale])
    assert all(has(trial, path) for path in varied(study.space[scale]))
    for sampled in samples(study.space[scale]):
        make_trial(preset_of(study, scale), study.method, {**fields, **sampled}, {})


def test_published_numbers_are_those_of_the_papers() -> None:
    papers = {
        (line["study"], line["row"], line["column"]): float(line["value"])
        for path in sorted(GOLDEN.glob("published*.csv"))
        for line in csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    }
    ours = {
        (study.name, *place): value
        for study, scale in tables()
        if scale == "paper"
        for place, value in study.published.items()
    }

    assert ours == papers


@pytest.mark.parametrize(("study", "scale"), [pytest.param(*t, id=t[0].name) for t in tables()])
def test_published_numbers_stand_in_places_that_exist(study: Study, scale: str) -> None:
    rows = {row.name for row in study.rows}
    columns = {column.name for column in study.columns}

    assert set(study.published) <= {(row, column) for row in rows for column in columns}
    for cell in resolve(study, scale, None).table.cells:
        place = (cell.row, cell.column)
        assert cell.published == study.published.get(place)
        assert cell.published_std == study.published_std.get(place)


@pytest.mark.parametrize(("study", "scale"), [pytest.param(*t, id=t[0].name) for t in tables()])
def test_agents_fit_the_feature_map(study: Study, scale: str) -> None:
    for place, trial in trials_of(study, scale).items():
        if isinstance(trial.config, RankMatchConfig):
            assert trial.config.agents <= feature_pixels(trial), place


def test_searches_ask_for_no_more_agents_than_fit() -> None:
    for study, scale in searches():
        trial = make_trial(preset_of(study, scale), study.method, {}, {})
        for path, distribution in study.space[scale].items():
            if path == "config.agents":
                assert distribution.high <= feature_pixels(trial)


def feature_pixels(trial: Trial) -> int:
    side: int = -(-trial.training.crop_pixels // trial.config.network.output_stride)
    return side**2


@pytest.mark.parametrize(("study", "scale"), [pytest.param(*t, id=t[0].name) for t in tables()])
def test_rows_of_a_column_differ_in_what_is_declared_and_in_nothing_else(
    study: Study, scale: str
) -> None:
    trials = trials_of(study, scale)
    for column in study.columns:
        if scale not in column.set or column.unit:
            continue
        arms = [row for row in study.rows if row.method is not None]
        of_column = [trials[row.name, column.name, "0/0"] for row in arms]
        varied = {name for row in arms for name in row.varied(scale)}
        for part, values in {
            "data.": {repr(trial.data) for trial in of_column},
            "training.": {repr(trial.training) for trial in of_column},
            "config.network.": {
                repr(trial.config.network)
                for trial in of_column
                if hasattr(trial.config, "network")
            },
        }.items():
            systems = study.name in COMPARED_WITH_OTHER_NETWORKS and part == "config.network."
            if not systems and not any(name.startswith(part) for name in varied):
                assert len(values) <= 1, part


@pytest.mark.parametrize("scale", ["mini", "paper"])
def test_equal_cells_of_different_studies_are_one_trial(scale: str) -> None:
    few, replicate = "1/16 (92)", "2/0" if scale == "mini" else "0/1"
    groups = [
        [
            ("rankmatch_weight", "lambda=0.1"),
            ("rankmatch_agents", "agents=128"),
            ("rankmatch_components", "correlation+rank"),
        ],
        [("rankmatch_components", "baseline")],
        [("rankmatch_components", "supervised")],
    ]
    distinct = set()
    for cells in groups:
        found = {
            json.dumps(trial_identity(trials_of(table(name), scale)[row, few, replicate], SPLIT))
            for name, row in cells
        }
        assert len(found) == 1
        distinct |= found
    assert len(distinct) == len(groups)


def test_equal_cells_of_different_studies_have_equal_keys(tiny_shapes: Path) -> None:
    splits = Splits(Roots(tiny_shapes.parent))
    names = ("rankmatch_weight", "rankmatch_agents", "rankmatch_components")
    resolved = {name: resolve(table(name), "mini", splits) for name in names}

    def keys(name: str, row: str) -> dict[str, str]:
        cells = {cell.row: cell.trials for cell in resolved[name].table.cells}
        return dict(cells[row])

    ours = keys("rankmatch_weight", "lambda=0.1")
    for name, row in (
        ("rankmatch_agents", "agents=128"),
        ("rankmatch_components", "correlation+rank"),
    ):
        assert ours.items() <= keys(name, row).items()
        assert (
            resolved[name].trials[ours["0/0"]] == resolved["rankmatch_weight"].trials[ours["0/0"]]
        )
    assert not set(ours.values()) & set(keys("rankmatch_components", "baseline").values())
    assert len(set(ours.values())) == 3


def test_a_cell_is_its_row_at_its_column_once_a_replicate() -> None:
    trials = trials_of(SMALL, "mini")

    assert len(trials) == 3 * 2 * 2
    assert trials["views", "few", "0/1"].seed == 1
    assert trials["views", "few", "0/1"].data.labelled == 2
    assert trials["views", "many", "0/0"].data.labelled == 6
    assert trials["views", "many", "0/0"].config.feature_weight == 0
    assert trials["agents", "many", "0/0"].config.agents == 8
    assert trials["agents", "many", "0/0"].config.threshold == 0.8  # the preset's
    assert trials["none", "few", "0/0"].method.endswith(":Supervised")


def test_seeds_are_nested_in_draws_of_the_split() -> None:
    study = dataclasses.replace(SMALL, draws=3)
    found = {
        replicate: (trial.data.draw, trial.seed)
        for (row, column, replicate), trial in trials_of(study, "mini").items()
        if (row, column) == ("none", "few")
    }

    assert found == {f"{d}/{s}": (d, s) for d in range(3) for s in range(2)}


def test_seeds_of_the_user_replace_those_of_the_study(tiny_shapes: Path) -> None:
    splits = Splits(Roots(tiny_shapes.parent))

    assert len(resolve(SMALL, "mini", splits).trials) == 12
    assert len(resolve(SMALL, "mini", splits, seeds=1).trials) == 6
    assert set(resolve(SMALL, "mini", splits, seeds=1).trials) < set(
        resolve(SMALL, "mini", splits).trials
    )


def test_a_field_applies_to_the_arms_that_have_it(tiny_shapes: Path) -> None:
    splits = Splits(Roots(tiny_shapes.parent))
    before = resolve(SMALL, "mini", splits).trials
    after = resolve(SMALL, "mini", splits, {"config.threshold": 0.7}).trials

    kept, changed = set(before) & set(after), set(after) - set(before)
    assert {before[key].method for key in kept} == {"semisweep_methods.supervised:Supervised"}
    assert len(changed) == 8
    assert {after[key].config.threshold for key in changed} == {0.7}


def test_the_table_says_what_the_user_changed(tiny_shapes: Path) -> None:
    changes = {"training.steps": 5}

    assert resolve(SMALL, "mini", None, changes).table.changes == changes
    assert resolve(SMALL, "mini", None).table.changes == {}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("training.stps", 3, "unknown field 'training.stps'; did you mean training.steps"),
        ("config.thresold", 1, "did you mean config.threshold"),
        ("config.network.backbon", "x", "did you mean config.network.backbone"),
        ("data.labeled", 3, "did you mean data.labelled"),
        ("config.uses_strong_views", True, "unknown field 'config.uses_strong_views'"),
        ("training.steps.more", 3, "got field='training.steps'"),
        ("seed", 3, "must begin with config., data. or training., got field='seed'"),
        ("method", "x", "must begin with config., data. or training., got field='method'"),
        ("training", 3, "must begin with config., data. or training., got field='training'"),
        ("data.labelled", 3, "the study itself varies, got field='data.labelled'"),
        ("config.agents", 3, "the study itself varies, got field='config.agents'"),
        ("config.feature_weight", 1, "the study itself varies, got field='config.feature_weight'"),
        ("config.threshold", 1.5, "less than or equal to 1, got config.threshold=1.5"),
        ("training.steps", 0, "greater than or equal to 1, got training.steps=0"),
        ("training.epochs", 3, "exactly one of steps and epochs must be given"),
    ],
)
def test_a_change_that_will_not_do_is_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(SMALL, "mini", None, {field: value})

    assert message in str(caught.value)


def test_what_a_search_varies_is_not_to_be_set() -> None:
    for study, scale in searches():
        for path in varied(study.space[scale]):
            with pytest.raises(ConfigError, match="the study itself varies"):
                check_changes(study, scale, {path: 1})
        with pytest.raises(ConfigError, match=r"did you mean training\.steps"):
            check_changes(study, scale, {"training.stps": 1})
        check_changes(study, scale, {"training.steps": 1})


def test_steps_can_be_exchanged_for_epochs() -> None:
    changes: dict[str, Any] = {"training.steps": None, "training.epochs": 3}
    trial = make_trial(PRESET, RankMatch, {}, changes)

    assert (trial.training.steps, trial.training.epochs) == (None, 3)


def test_an_unknown_scale_is_answered_with_those_of_the_study() -> None:
    with pytest.raises(ConfigError, match="unknown scale of small 'minni'; did you mean mini"):
        resolve(SMALL, "minni", None)


def test_an_unknown_data_set_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown data set 'shaps'; did you mean shapes"):
        resolve(SMALL, "mini", Splits(Roots(tmp_path)), {"data.name": "shaps"})
    with pytest.raises(DataError, match="the folder of data set voc must exist"):
        resolve(SMALL, "mini", Splits(Roots(tmp_path)), {"data.name": "voc"})
