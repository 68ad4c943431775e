"""The studies of GPS, CSS and RankMatch: published numbers, what cells train, what is shared."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from resolved import through_json

from semisweep import Study, Trial
from semisweep.core.config import canonical, replace
from semisweep.data.splits import Split
from semisweep.study.resolve import cell_trial, preset_of, replicates, resolve
from semisweep.study.scales import SCALES
from semisweep.tables.table_builder import build
from semisweep.training.trial import method_class, trial_identity, trial_key
from semisweep_methods.cps import CPSConfig
from semisweep_methods.css import CSSConfig
from semisweep_methods.gps import GPSConfig, teacher_steps
from semisweep_methods.rankmatch import RankMatchConfig
from semisweep_studies import (
    css,
    css_comparisons,
    css_labels,
    gps,
    gps_comparisons,
    gps_figures,
    gps_images,
    gps_pictures,
    rankmatch,
    rankmatch_comparisons,
)
from semisweep_studies.tables import numbers

PUBLISHED = Path(__file__).parent.parent / "golden" / "published_gps_css_rankmatch.csv"
SPLIT = Split(("a", "b"), tuple(f"image{number:04}" for number in range(2789)))

NEW = [
    gps.losses,
    gps.ramp_down,
    gps.updates,
    gps_figures.first_epoch,
    gps_figures.first_epochs,
    gps_figures.loss_flow,
    gps_pictures.examples,
    gps_figures.full_pascal,
    gps_figures.full_cityscapes,
    gps_comparisons.comparison_cityscapes,
    gps_comparisons.comparison_pascal,
    css.sources,
    css.indicators,
    css.components,
    css.classic,
    css_comparisons.blender,
    css_comparisons.cityscapes,
    rankmatch.selection,
    rankmatch.consistency,
    rankmatch_comparisons.classic,
    rankmatch_comparisons.blender,
    rankmatch_comparisons.cityscapes,
    rankmatch_comparisons.lucchi,
]
STUDIES = [*NEW, rankmatch.components, rankmatch.agents, rankmatch.weight]
BY_NAME = {study.name: study for study in STUDIES}
EACH = [
    pytest.param(study, scale, id=f"{study.name}-{scale}")
    for study in STUDIES
    for scale in study.presets
]


def cells(study: Study, scale: str) -> dict[tuple[str, str], Trial]:
    """Return the first replicate of each cell that is trained."""
    return {
        (row.name, column.name): trial
        for row in study.rows
        for column in study.columns
        if scale in column.set
        for _, trial in itertools.islice(replicates(study, scale, row, column, {}), 1)
    }


def identity(trial: Trial) -> str:
    return canonical(trial_identity(trial, SPLIT))


def golden() -> Iterator[dict[str, str]]:
    with PUBLISHED.open(newline="") as file:
        yield from csv.DictReader(file)


def test_published_numbers_stand_in_the_tables_of_their_papers() -> None:
    lines = list(golden())
    places = {(line["paper"], line["table"], line["row"], line["column"]) for line in lines}

    assert len(places) == len(lines) == 567
    for line in lines:
        study = BY_NAME[line["study"]]
        assert (study.paper, study.table) == (line["paper"], line["table"])
        assert (line["row"], line["column"]) == (line["published_row"], line["published_column"])


def test_the_deviations_over_draws_are_those_of_the_paper() -> None:
    """Read down the columns of CSS's Table 1."""
    columns = {
        "92": (3.58, 2.99, 3.60, 4.21, 4.58, 4.89),
        "183": (2.44, 1.76, 1.47, 1.86, 1.67, 1.88),
        "366": (1.04, 0.53, 0.50, 1.04, 1.08, 1.12),
        "732": (0.76, 0.51, 0.49, 0.58, 0.37, 0.73),
    }
    rows = [row.name for row in css.classic.rows]
    expected = {
        (row, column): value
        for column, values in columns.items()
        for row, value in zip(rows, values, strict=True)
    }

    assert expected == css.classic.published_std
    assert set(css.classic.published_std) == set(css.classic.published)


def test_the_table_of_images_counts_what_the_paper_prints() -> None:
    """Thousands are cut off in the paper; those of ST++ in all are products of what was cut off."""
    table = build(resolve(gps_images.images, "paper", None).table, {}, {})
    counted = [cell for cell in table.cells.values() if cell.value is not None]

    assert len(counted) == len([cell for cell in table.cells.values() if cell.published])
    for cell in counted:
        assert cell.published is not None
        assert cell.value is not None
        if cell.column.endswith("epoch"):
            assert cell.value // 100 * 100 == cell.published
        else:
            assert cell.value == pytest.approx(cell.published, rel=0.025)


def test_labels_are_measured_class_by_class_where_each_row_has_its_own() -> None:
    shown = resolve(css_labels.labels, "paper", None).table
    metrics = {(cell.row, cell.column): cell.metric for cell in shown.cells}

    assert metrics["representation", "chair"] == "labels.representations.iou.chair"
    assert metrics["mix", "mIoU"] == "labels.mix.miou"
    assert metrics["logit", "coverage"] == "labels.logits.coverage"
    assert len(metrics) == 3 * (21 + 2)
    for row in ("logit", "representation", "mix"):
        of_labels, of_sources = (
            cells(study, scale)[row, column]
            for study, scale, column in (
                (css_labels.labels, "mini", "mIoU"),
                (css.sources, "mini", "92"),
            )
        )
        assert of_labels == of_sources


def test_a_row_of_too_few_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        numbers(css.sources.columns, {"logit": (67.11,)})


@pytest.mark.parametrize(("study", "scale"), EACH)
def test_every_study_resolves_at_its_scales(study: Study, scale: str) -> None:
    shown = resolve(study, scale, None).table
    columns = [column for column in study.columns if scale in column.set]
    trained = [row for row in study.rows if row.method is not None]

    assert len(shown.cells) == len(study.rows) * len(columns) > 0
    assert len(cells(study, scale)) == len(trained) * len(columns)
    assert len({row.name for row in study.rows}) == len(study.rows)
    assert study.base in {row.name for row in trained}
    assert set(study.published) <= {
        (row.name, column.name) for row in study.rows for column in study.columns
    }
    assert through_json(shown) == shown


def test_all_studies_but_those_of_data_that_is_not_embedded_have_both_scales() -> None:
    both = {"mini", "paper"}
    assert {study.name for study in STUDIES if not both <= set(study.presets)} == {
        "rankmatch_lucchi"
    }


@pytest.mark.parametrize("study", NEW, ids=lambda study: study.name)
def test_mini_scale_keeps_one_labelled_count(study: Study) -> None:
    found = [column for column in study.columns if "mini" in column.set]
    kept = {
        "css_indicators": ["92 logit label", "92 mix label"],
        "gps_full_pascal": ["resnet50 1/2", "resnet50 full"],
        "rankmatch_lucchi": [],
    }.get(study.name, [study.columns[0].name])

    assert [column.name for column in found] == kept
    labels = {column.labels["mini"] for column in found}
    if study.name not in kept and study.paper in ("gps", "css") and study.table != "fig4":
        assert {label[:9] for label in labels} == {"1/16 (32)"}
        assert {trial.data.labelled for trial in cells(study, "mini").values()} == {32}


@pytest.mark.parametrize(("study", "scale"), EACH)
def test_rows_that_differ_are_different_trials(study: Study, scale: str) -> None:
    """Which images are unlabelled is told by lists: here the field stands for them."""
    trials = cells(study, scale)
    for column in {place[1] for place in trials}:
        of_column = {
            place[0]: (identity(trial), trial.data.unlabelled)
            for place, trial in trials.items()
            if place[1] == column
        }
        pairs = {
            frozenset((one, other))
            for one, other in itertools.combinations(of_column, 2)
            if of_column[one] == of_column[other]
        }
        same = {frozenset(("ce", "kl"))} if study.name == "rankmatch_consistency" else set()
        assert pairs == same


@pytest.mark.parametrize(("study", "scale"), EACH)
def test_columns_that_differ_are_different_trials(study: Study, scale: str) -> None:
    """Of lists on disk the identity is their content: here the number of images stands for it."""
    trials = cells(study, scale)
    for row in {place[0] for place in trials}:
        of_row = [
            (identity(trial), trial.data.labelled)
            for place, trial in trials.items()
            if place[0] == row
        ]
        assert len(set(of_row)) == len(of_row)


@pytest.mark.parametrize("scale", ["mini", "paper"])
def test_equal_cells_of_different_tables_are_one_trial(scale: str) -> None:
    few, both = "92", "92 logit label"
    groups = [
        [
            (css.sources, "logit", few),
            (css.indicators, "confidence", both),
            (css.components, "baseline", few),
            (css.classic, "Baseline", few),
        ],
        [
            (css.sources, "mix", few),
            (css.indicators, "mix", "92 mix label"),
            (css.components, "mix+ind", few),
            (css.classic, "CSS(mix)", few),
        ],
        [
            (css.sources, "cross", few),
            (css.components, "cross+ind", few),
            (css.classic, "CSS(crs.)", few),
        ],
        [(css.indicators, "confidence", "92 mix label"), (css.components, "mix", few)],
        [(css.indicators, "mix", both), (css.components, "ind", few)],
        [
            (rankmatch.selection, "orthogonal", "1/16 (92)"),
            (rankmatch.consistency, "rank_aware", "1/16 (92)"),
            (rankmatch.components, "correlation+rank", "1/16 (92)"),
            (rankmatch.agents, "agents=128", "1/16 (92)"),
            (rankmatch_comparisons.classic, "RankMatch", "resnet50 1/16"),
        ],
        [
            (rankmatch.consistency, "kl", "1/16 (92)"),
            (rankmatch.components, "correlation", "1/16 (92)"),
        ],
        [
            (rankmatch.components, "baseline", "1/16 (92)"),
            (rankmatch_comparisons.classic, "UniMatch", "resnet50 1/16"),
        ],
        [
            (rankmatch.components, "supervised", "1/16 (92)"),
            (rankmatch_comparisons.classic, "Sup.-only", "resnet50 1/16"),
        ],
        [
            (gps.ramp_down, "no ramp-down", "Pascal 1/16"),
            (gps_comparisons.comparison_pascal, "GPS", "resnet50 1/16"),
        ],
    ]
    if scale == "mini":
        groups.append(
            [(gps.losses, "gps+cps+fps", "Pascal VOC"), (gps.updates, "separate", "Cityscapes")]
        )
    distinct = set()
    for group in groups:
        found = {(identity(t := cells(s, scale)[row, column]), t.data) for s, row, column in group}
        assert len(found) == 1, group[0][1:]
        distinct |= found
    assert len(distinct) == len(groups)


def test_cells_shared_at_paper_scale_alone_are_one_trial() -> None:
    def shared(one: tuple[Study, str, str], other: tuple[Study, str, str]) -> bool:
        first, second = (cells(study, "paper")[row, column] for study, row, column in (one, other))
        return (identity(first), first.data) == (identity(second), second.data)

    eighth = (gps.ramp_down, "no ramp-down", "Pascal 1/8")
    assert shared(eighth, (gps_comparisons.comparison_pascal, "GPS", "resnet50 1/8"))
    assert shared(
        (gps_figures.full_cityscapes, "GPS", "resnet50 1/2"),
        (gps.updates, "separate", "Cityscapes"),
    )
    assert not shared(eighth, (gps.losses, "gps+cps+fps", "Pascal VOC"))  # CutMix
    of_streets = (gps_pictures.examples, "GPS w/o CutMix", "Cityscapes")
    assert shared(of_streets, (gps.losses, "gps+cps+fps", "Cityscapes"))


def test_every_mini_trial_builds_for_the_classes_of_the_embedded_data() -> None:
    built: dict[str, Any] = {}
    for study in STUDIES:
        if "mini" not in study.presets:
            continue
        for trial in cells(study, "mini").values():
            name = f"{trial.method} {canonical(trial.encoded()['config'])}"
            if name not in built:
                built[name] = method_class(trial.method)(trial.config, 6, 0)

    assert all(method.groups() for method in built.values())
    assert len(built) > 20


@pytest.mark.parametrize(("study", "scale"), EACH)
def test_agents_fit_the_feature_map(study: Study, scale: str) -> None:
    for trial in cells(study, scale).values():
        if isinstance(trial.config, RankMatchConfig):
            side = math.ceil(trial.training.crop_pixels / trial.config.network.output_stride)
            assert trial.config.agents <= side**2


@pytest.mark.parametrize("scale", SCALES)
def test_the_losses_of_gps_are_switched_as_its_table_marks_them(scale: str) -> None:
    """Read from the marks of Table 4: guide, exchange, feedback."""
    marks = {
        "gps": (True, False, False),
        "fps": (False, False, True),
        "gps+fps": (True, False, True),
        "cps+fps": (False, True, True),
        "gps+cps": (True, True, False),
        "gps+cps+fps": (True, True, True),
    }
    of_pascal = (0.5, 1.5, 0.5)
    weights = {
        "Pascal VOC": of_pascal,
        "Cityscapes": (1.0, 5.0, 1.0),
        "CamVid 90": of_pascal,
    }
    for (row, column), trial in cells(gps.losses, scale).items():
        own = trial.config
        assert isinstance(own, GPSConfig)
        assert not own.cutmix
        assert (own.guide_weight, own.exchange_weight, own.feedback_weight) == tuple(
            weight if on else 0.0 for weight, on in zip(weights[column], marks[row], strict=True)
        )


def test_students_of_gps_learn_for_the_epochs_of_the_paper() -> None:
    """32, 34, 40, 60 on Pascal VOC and 128, 137, 160, 240 on Cityscapes, to half an epoch."""
    unlabelled = {"voc": 10_582, "cityscapes": 2_975}
    epochs = {
        "voc": {662: 32, 1323: 34, 2646: 40, 5291: 60},
        "cityscapes": {186: 128, 372: 137, 744: 160, 1488: 240},
    }
    checked = set()
    for study in (gps.losses, gps_comparisons.comparison_pascal):
        for trial in [*cells(study, "paper").values(), *cells(gps.updates, "paper").values()]:
            if not isinstance(trial.config, GPSConfig):
                continue
            assert trial.data.labelled is not None
            images = unlabelled[trial.data.name] - trial.data.labelled
            total = trial.training.total_steps(images)
            students = total - teacher_steps(trial.config.teacher_share, total)
            expected = epochs[trial.data.name][trial.data.labelled]
            assert students / trial.training.steps_per_epoch(images) == pytest.approx(
                expected, abs=0.5
            )
            checked.add((trial.data.name, trial.data.labelled))
    assert len(checked) == 6


@pytest.mark.parametrize("study", [gps_figures.first_epoch, gps_figures.first_epochs])
@pytest.mark.parametrize(("scale", "images"), [("mini", 480), ("paper", 2789)])
def test_the_first_epochs_are_the_students_of_a_whole_schedule(
    study: Study, scale: str, images: int
) -> None:
    """Of 128 epochs at paper scale, after 32 of the teacher alone, which are not evaluated."""
    shown = gps_figures.FIRST if study is gps_figures.first_epoch else gps_figures.SHOWN
    trials = {row: trial for (row, _), trial in cells(study, scale).items()}
    cps, own = trials["CPS"].training, trials["GPS"].training
    epoch = own.steps_per_epoch(images)
    teacher = teacher_steps(trials["GPS"].config.teacher_share, own.schedule_steps(images))
    split = Split(("a",), tuple(f"image{number:04}" for number in range(images)))

    assert cps.schedule_steps(images) == gps_figures.EPOCHS[scale] * epoch
    assert own.schedule_steps(images) - teacher == gps_figures.EPOCHS[scale] * epoch
    assert cps.total_steps(images) == shown[scale] * epoch
    assert own.total_steps(images) - teacher == shown[scale] * epoch
    assert round(own.evaluate_from * own.schedule_steps(images)) == teacher
    assert own.evaluations == cps.evaluations
    whole = dataclasses.replace(trials["GPS"], training=replace(own, {"stop_share": 1.0}))
    assert trial_key(whole, split) != trial_key(trials["GPS"], split)


TABLE_1 = {  # epochs of CPS and of GPS' students by labelled images, and all training images
    "voc": ({662: 32, 1323: 34, 2646: 40, 5291: 60}, 10582),
    "cityscapes": ({186: 128, 372: 137, 744: 160, 1488: 240}, 2975),
}


def test_cps_learns_for_its_own_epochs_over_all_images() -> None:
    """Table 1; the dagger of Table 3: the labelled images join the unlabelled ones, 10,582."""
    checked = 0
    for study in (gps_comparisons.comparison_cityscapes, gps_comparisons.comparison_pascal):
        for (row, _), trial in cells(study, "paper").items():
            epochs, images = TABLE_1[trial.data.name]
            assert trial.data.labelled is not None
            expected = epochs[trial.data.labelled]
            if row in ("CPS", "3-CPS"):
                assert (trial.training.epochs, trial.data.unlabelled) == (expected, "all")
            elif row == "GPS +labeled-as-unlabeled":
                total = trial.training.total_steps(images)
                students = total - teacher_steps(trial.config.teacher_share, total)
                assert trial.data.unlabelled == "all"
                assert not trial.config.labelled_too
                assert students / (images // 8) == pytest.approx(expected, abs=0.5)
            else:
                assert trial.data.unlabelled == "rest"
                continue
            checked += 1
    assert checked == 8 * 2 + 8 * 2


def test_labels_are_measured_at_the_first_and_the_last_epoch_of_one_schedule() -> None:
    """Figure 2; at mini scale ten epochs of the students, at paper scale 34 of Pascal VOC 1/8."""
    for scale, images, whole in (("mini", 480, 10), ("paper", 10582 - 1323, 34)):
        found = cells(gps_pictures.pseudo_labels, scale)
        early, late = (found["GPS", f"guide, {when} epoch"].training for when in ("first", "last"))
        teacher = teacher_steps(0.2, early.schedule_steps(images))
        epoch = early.steps_per_epoch(images)

        assert early.schedule_steps(images) == late.total_steps(images)
        assert (late.total_steps(images) - teacher) / epoch == pytest.approx(whole, abs=0.5)
        assert (early.total_steps(images) - teacher) / epoch == pytest.approx(1, abs=0.02)
        assert len({identity(trial) for trial in found.values()}) == 2
    metrics = {column.metric["paper"] for column in gps_pictures.pseudo_labels.columns}
    assert {f"labels.{own}.miou" for own in ("guide", "exchange", "feedback")} < metrics
    assert "labels.guide.iou.sofa" in metrics


def test_the_losses_of_both_updates_are_recorded_at_every_step_of_the_first_epoch() -> None:
    """Figure 6b: Cityscapes 1/2, 1,488 labelled, the first of 240 epochs of the students."""
    found = cells(gps_figures.loss_flow, "paper")
    training = found["separate", "first epoch"].training
    images = 2975 - 1488
    teacher = teacher_steps(0.2, training.schedule_steps(images))

    assert {own.data.labelled for own in found.values()} == {1488}
    assert {own.config.updates for own in found.values()} == {"separate", "united"}
    assert training.record_every == 1
    assert training.total_steps(images) - teacher == training.steps_per_epoch(images) == 185
    assert training.schedule_steps(images) - teacher == 240 * 185
    assert resolve(gps_figures.loss_flow, "paper", None).table.curves == ("teacher.feedback",)


def test_cps_has_the_weights_of_its_release_with_and_without_cutmix() -> None:
    """cps_weight in its four config.py: 1 and 5 with CutMix, 1.5 and 6 without."""
    weights = {("voc", True): 1.0, ("cityscapes", True): 5.0, ("lucchi", True): 1.0}
    weights |= {("cityscapes", False): 6.0}
    seen = set()
    for study in STUDIES:
        for trial in cells(study, "paper").values():
            if type(trial.config) is CPSConfig:
                place = trial.data.name, trial.config.cutmix
                assert trial.config.weight == weights[place], study.name
                seen.add(place)
    assert seen == set(weights)


def test_cps_at_mini_scale_has_no_cutmix_and_the_weight_without() -> None:
    trials = [trial for study in STUDIES for trial in cells(study, "mini").values()]
    found = [trial for trial in trials if type(trial.config) is CPSConfig]

    assert {trial.training.augmentation.cutmix for trial in found} == {0.0}
    assert {trial.config.weight for trial in found} == {1.5}


def test_presets_of_the_unimatch_family_follow_its_release() -> None:
    """dataset/transform.py: boxes are redrawn until they fit; unimatch.py: epochs are scored."""
    for study in (rankmatch_comparisons.classic, rankmatch_comparisons.cityscapes):
        for trial in cells(study, "paper").values():
            assert trial.training.augmentation.cutmix_shape == "redrawn_aspect"
            assert trial.training.evaluations == trial.training.epochs


@pytest.mark.parametrize("study", [rankmatch.components, rankmatch.consistency])
def test_what_rankmatch_compares_is_averaged_alike_in_every_row(study: Study) -> None:
    found = {
        (trial.config.kl_reduction, trial.config.correlation_reduction, trial.config.mixed_cells)
        for trial in cells(study, "paper").values()
        if isinstance(trial.config, RankMatchConfig)
    }

    assert found == {("mean_all", "mean_all", "aligned")}


def test_every_option_of_rankmatch_sets_fields_of_its_tables() -> None:
    for study in (rankmatch.consistency, rankmatch_comparisons.cityscapes):
        for name, option in study.presets["paper"].options.items():
            trial = cells(study, "paper")[study.rows[-1].name, study.columns[0].name]
            assert replace(trial, option.set) != trial, name


@pytest.mark.parametrize("scale", SCALES)
def test_rows_of_css_have_the_source_and_the_indicators_that_they_name(scale: str) -> None:
    conf, smr = ("confidence",) * 3, ("similarity",) * 3
    own = ("confidence", "similarity", "similarity")
    expected = {
        ("css_sources", "representation", "92"): ("representations", smr),
        ("css_sources", "cross", "92"): ("cross", own),
        ("css_indicators", "similarity", "92 logit label"): ("logits", smr),
        ("css_indicators", "similarity", "92 mix label"): ("mix", smr),
        ("css_components", "baseline", "92"): ("logits", conf),
        ("css_components", "mix", "92"): ("mix", conf),
        ("css_components", "cross", "92"): ("cross", conf),
        ("css_components", "ind", "92"): ("logits", own),
        ("css_components", "mix+ind", "92"): ("mix", own),
        ("css_components", "cross+ind", "92"): ("cross", own),
    }
    for (name, row, column), (source, bundle) in expected.items():
        if scale not in BY_NAME[name].presets:
            continue
        trial = cells(BY_NAME[name], scale)[row, column]
        config = trial.config
        assert isinstance(config, CSSConfig)
        asked = config.unlabelled_indicator, config.valid_indicator, config.contrast.hard_indicator
        assert (config.label_source, asked) == (source, bundle)


def test_the_best_row_of_css_has_the_defaults_of_its_method() -> None:
    config = cells(css.classic, "paper")["CSS(mix)", "92"].config

    assert config == CSSConfig(
        network=css.CSS_PAPER.config["network"],
        warm_up_passes="labelled",
        prototype_start="first_mean",
    )


@pytest.mark.parametrize(
    ("study", "name"),
    [
        (study, name)
        for study in (
            *(css.classic, css.sources, css.indicators, css.components, css_labels.labels),
            *(css_comparisons.blender, css_comparisons.cityscapes),
        )
        for name in preset_of(study, "paper").options
    ],
    ids=lambda own: own if isinstance(own, str) else own.name,
)
def test_every_option_of_css_changes_some_training(study: Study, name: str) -> None:
    """Each of its fields does by itself."""
    changes = preset_of(study, "paper").options[name].set
    column = next(own for own in study.columns if own.exists("paper"))
    rows = [row for row in study.rows if row.method is not None]
    for path, value in changes.items():
        changed = 0
        for row in rows:
            before, after = (
                cell_trial(study, "paper", row, column, own) for own in ({}, {path: value})
            )
            changed += trial_identity(before, SPLIT) != trial_identity(after, SPLIT)
        assert changed > 0, path


def test_cross_labelling_warms_up_for_a_third_of_a_mini_training() -> None:
    trial = cells(css.components, "mini")["cross", "92"]
    epochs = trial.training.total_steps(480) / trial.training.steps_per_epoch(480)

    assert trial.config.warm_up_epochs / epochs == pytest.approx(20 / 61, abs=0.1)


def test_draws_and_not_seeds_repeat_where_the_paper_drew() -> None:
    for study, scale in ((css.classic, "mini"), (rankmatch_comparisons.lucchi, "paper")):
        row, column = study.rows[0], study.columns[0]
        names = [name for name, _ in replicates(study, scale, row, column, {})]
        assert names == ["0/0", "1/0", "2/0"]


def test_systems_without_an_implementation_are_published_only() -> None:
    found = {row.name for study in STUDIES for row in study.rows if row.method is None}

    assert found == {
        *("AEL", "AugSeg", "CCT", "CFCG", "Co-Train", "DAW", "DCC", "DGCL", "DualRel", "ELN"),
        *("ESL", "GCT", "LogicDiag", "NP-SemiSeg", "PCR", "PGCL", "PRCL", "PS-MT", "PSMT"),
        *("ST", "ST++", "Switch", "USCS", "USRN", "iMAS"),
    }  # fmt: skip
    for study in STUDIES:
        for row in study.rows:
            if row.method is None:
                assert any(place[0] == row.name for place in study.published)


def test_the_presets_are_those_of_the_papers() -> None:
    """Sec. 4.1 of each."""

    def recipe(study: Study) -> tuple[Any, ...]:
        preset = preset_of(study, "paper")
        training = preset.training
        backbone = preset.config["network"].backbone
        rate = training.optimizer.learning_rate
        return preset.data.name, backbone, training.crop_pixels, training.unlabelled_batch, rate

    assert recipe(css.classic) == ("voc", "resnet101.tv_in1k", 512, 16, 0.0064)
    assert recipe(css_comparisons.blender) == ("voc", "resnet101s.gluon_in1k", 512, 16, 0.0064)
    assert recipe(css_comparisons.cityscapes) == (
        "cityscapes",
        "resnet101s.gluon_in1k",
        768,
        8,
        0.0038,
    )
    assert recipe(rankmatch_comparisons.cityscapes) == (
        "cityscapes",
        "resnet50s.gluon_in1k",
        801,
        8,
        0.005,
    )
    assert recipe(gps.losses) == ("voc", "resnet50s.gluon_in1k", 512, 8, 0.01)
    of_column = cells(gps.losses, "paper")["gps", "Cityscapes"]
    assert (of_column.data.name, of_column.data.family) == ("cityscapes", "unimatch")
    assert (of_column.training.crop_pixels, of_column.config.supervised_loss) == (800, "ce")
    assert of_column.training.optimizer.learning_rate == 0.02
    assert gps.GPS_CITYSCAPES_PAPER.options["hard-pixels"].set == {
        "config.supervised_loss": "ohem_50000"
    }


PER_EPOCH = {  # GPS, Table 1, in thousands
    "CPS": (10.5, 10.5, 10.5, 10.5, 2.9, 2.9, 2.9, 2.9),
    "3-CPS": (10.5, 10.5, 10.5, 10.5, 2.9, 2.9, 2.9, 2.9),
    "ELN": (19.8, 18.5, 15.8, 10.5, 5.5, 5.2, 4.4, 2.9),
    "PS-MT": (19.8, 18.5, 15.8, 10.5, 5.5, 5.2, 4.4, 2.9),
    "ST++": (14.8, 13.8, 11.9, 7.9, 4.1, 3.9, 3.3, 2.2),
    "GPS": (9.9, 9.2, 7.9, 5.2, 2.7, 2.6, 2.2, 1.4),
}
IN_ALL = {
    "CPS": (339, 360, 423, 635, 381, 408, 476, 714),
    "3-CPS": (339, 360, 423, 635, 381, 408, 476, 714),
    "ELN": (None,) * 8,
    "PS-MT": (1587, 1481, 3174, 3174, None, 1666, 2008, 1636),
    "ST++": (1184, 1104, 952, 632, 984, 936, 792, 528),
    "GPS": (317, 315, 317, 317, 357, 357, 357, 357),
}
PLACES = [(data, part) for data in gps_images.TRAINING_IMAGES for part in gps_images.PARTS]


@pytest.mark.parametrize("system", PER_EPOCH)
def test_unlabelled_images_are_as_many_as_gps_counts(system: str) -> None:
    """Thousands an epoch are cut off; those of ST++ in all are products of what was cut off."""
    for place, thousands in zip(PLACES, PER_EPOCH[system], strict=True):
        assert gps_images.images_per_epoch(system, *place) // 100 == round(10 * thousands)
    for place, whole in zip(PLACES, IN_ALL[system], strict=True):
        found = gps_images.images_in_all(system, *place)
        if whole is None or found is None:
            assert found is whole
        else:
            assert found == pytest.approx(1000 * whole, rel=0.025 if system == "ST++" else 0.0015)
