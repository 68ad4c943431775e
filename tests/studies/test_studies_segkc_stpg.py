"""The studies of SegKC and STPG: published numbers, what cells train, what is shared."""

from __future__ import annotations

import csv
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from resolved import through_json

from semisweep import Column, Row, Search, Study, Trial
from semisweep.checks.validation import sample_trials
from semisweep.core.config import canonical
from semisweep.core.errors import ConfigError
from semisweep.data.splits import Split
from semisweep.running.debugging import debug_trial
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import check_changes, has, make_trial, preset_of, replicates, resolve
from semisweep.study.scales import SCALES, preset_at
from semisweep.study.search_space import samples, varied
from semisweep.tables.markdown_csv import to_csv, to_markdown
from semisweep.tables.table_builder import build
from semisweep.training.trial import method_class, trial_identity
from semisweep_methods.segkc import SegKCConfig
from semisweep_methods.stpg import STPGConfig
from semisweep_methods.supervised import Supervised
from semisweep_studies import (
    rankmatch_comparisons,
    searches,
    segkc,
    segkc_comparisons,
    stpg,
    stpg_comparisons,
)
from semisweep_studies.parameters import parameter_counts
from semisweep_studies.presets import MINI

COUNTS = Path(__file__).parent.parent / "golden" / "published_counts.csv"
PUBLISHED = Path(__file__).parent.parent / "golden" / "published.csv"
SPLIT = Split(("a", "b"), tuple(f"image{number:04}" for number in range(2000)))
STUDIES = [
    segkc.losses,
    segkc.backbones,
    segkc.seniors,
    segkc_comparisons.classic,
    segkc_comparisons.blender,
    segkc_comparisons.cityscapes,
    stpg.components,
    stpg.selection,
    stpg.memory,
    stpg.weight,
    stpg.tail,
    stpg.features,
    stpg_comparisons.cityscapes,
    stpg_comparisons.blender,
    stpg_comparisons.classic,
]
BY_NAME = {study.name: study for study in STUDIES}
EACH = [
    pytest.param(study, scale, id=f"{study.name}-{scale}")
    for study in STUDIES
    for scale in study.presets
]
ABLATIONS = [
    pytest.param(study, scale, id=f"{study.name}-{scale}")
    for study in STUDIES
    for scale in study.presets
    if study.table not in ("1", "2", "3")
]
SEARCHES = [
    pytest.param(study, scale, id=f"{study.name}-{scale}")
    for study in (segkc.search, stpg.search, searches.segkc_pairs)
    for scale in study.presets
]
COMPARISON = Study(
    name="comparison",
    title="Ours and theirs",
    presets={"mini": dataclasses.replace(MINI, draws=1, seeds=2)},
    base="ours",
    rows=[Row(name="theirs", method=None), Row(name="ours", method=Supervised)],
    columns=[Column(name="few", set={"mini": {"data.labelled": 16}})],
    published={("theirs", "few"): 70.5, ("ours", "few"): 60.0},
)


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
        yield from (line for line in csv.DictReader(file) if line["paper"] in ("segkc", "stpg"))


def counted() -> Iterator[dict[str, str]]:
    with COUNTS.open(newline="") as file:
        yield from (line for line in csv.DictReader(file) if line["study"] in BY_NAME)


def test_published_numbers_stand_in_the_tables_of_their_papers() -> None:
    lines = list(golden())
    places = {(line["paper"], line["table"], line["row"], line["column"]) for line in lines}

    assert len(places) == len(lines) == 438
    for line in lines:
        study = BY_NAME[line["study"]]
        assert (study.paper, study.table) == (line["paper"], line["table"])
        assert (line["row"], line["column"]) == (line["published_row"], line["published_column"])


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_the_csv_of_an_empty_store_has_every_published_number_in_its_place(study: Study) -> None:
    table = build(resolve(study, "paper", None).table, {}, {})
    found = {
        (line["table"], line["row"], line["column"]): float(line["published"])
        for line in csv.DictReader(to_csv([table]).splitlines())
        if line["published"]
    }
    expected = {
        (line["table"], line["row"], line["column"]): float(line["value"])
        for line in itertools.chain(golden(), counted())
        if line["study"] == study.name
    }

    assert found == expected


@pytest.mark.parametrize(("study", "scale"), EACH)
def test_every_study_resolves_at_its_scales(study: Study, scale: str) -> None:
    shown = resolve(study, scale, None).table
    columns = [column for column in study.columns if scale in column.set]
    counted = [column for column in columns if column.unit]
    trained = [row for row in study.rows if row.method is not None]

    assert len(shown.cells) == len(study.rows) * len(columns) > 0
    assert len(cells(study, scale)) == len(trained) * (len(columns) - len(counted))
    assert len({row.name for row in study.rows}) == len(study.rows)
    assert study.base in {row.name for row in trained}
    assert through_json(shown) == shown


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_mini_scale_keeps_one_column_of_32_labelled_images(study: Study) -> None:
    found = [column for column in study.columns if "mini" in column.set and not column.unit]
    counts = {column.labels["mini"].rpartition(", ")[2] for column in found}

    assert counts == {"1/16 (32)"}
    assert len(found) == (3 if study is stpg.tail else 1)
    assert {trial.data.labelled for trial in cells(study, "mini").values()} == {32}


@pytest.mark.parametrize(("study", "scale"), EACH)
def test_rows_that_differ_are_different_trials(study: Study, scale: str) -> None:
    trials = cells(study, scale)
    for column in {place[1] for place in trials}:
        of_column = [identity(trial) for place, trial in trials.items() if place[1] == column]
        assert len(set(of_column)) == len(of_column)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_columns_that_differ_have_other_images_labelled(study: Study) -> None:
    trials = cells(study, "paper")
    for row in {place[0] for place in trials}:
        of_row = [trial.data for place, trial in trials.items() if place[0] == row]
        assert len(set(of_row)) == (1 if study is stpg.tail else len(of_row))


@pytest.mark.parametrize(("study", "scale"), ABLATIONS)
def test_arms_of_an_ablation_have_one_training_and_one_split(study: Study, scale: str) -> None:
    trials = cells(study, scale)
    for column in {place[1] for place in trials}:
        of_column = [trial for place, trial in trials.items() if place[1] == column]
        assert len({repr((trial.training, trial.data)) for trial in of_column}) == 1


def of_paper(study: Study, row: str, column: str) -> str:
    trial = cells(study, "paper")[row, column]
    return identity(trial) + repr(trial.data)


def test_labels_are_learned_by_the_loss_of_each_papers_own_words_or_release() -> None:
    """SegKC, Eq. 4, and STPG, Eq. 1: cross-entropy; UniMatch and UniMatch V2, released: OHEM."""
    table = segkc_comparisons.cityscapes
    losses = {row: own.config.supervised_loss for (row, _), own in cells(table, "paper").items()}
    option = preset_at(segkc.CITYSCAPES_COLUMNS[0].presets, "paper").options["hard-pixels"]

    assert losses.pop("SegKC") == "ce"
    assert set(losses.values()) == {"ohem"}
    assert len(losses) == 5
    assert option.set == {"config.supervised_loss": "ohem"}
    for study in (segkc.losses, stpg.components):
        assert {own.config.supervised_loss for own in cells(study, "paper").values()} == {"ce"}


def test_equal_cells_of_different_tables_are_one_trial() -> None:
    few, eighth, augmented = "voc2012/classic 1/16", "1/8 (372)", "voc2012/augmented 1/8"
    theirs = rankmatch_comparisons
    groups: list[list[tuple[Study, str, str]]] = [
        [
            (segkc.losses, "sup+con+kd", few),
            (segkc.backbones, "SegKC-B-S", few),
            (segkc_comparisons.classic, "SegKC", few),
        ],
        [
            (segkc.losses, "sup+con+kd", "cityscapes/standard 1/2"),
            (segkc_comparisons.cityscapes, "SegKC", "cityscapes/standard 1/2"),
        ],
        [
            (segkc_comparisons.classic, "UniMatch V1", few),
            (theirs.classic, "UniMatch", "resnet101 1/16"),
        ],
        [
            (segkc_comparisons.blender, "RankMatch", augmented),
            (theirs.blender, "RankMatch", "resnet101 1/8"),
        ],
        [
            (segkc_comparisons.cityscapes, "Labeled Only", "cityscapes/standard 1/8"),
            (theirs.cityscapes, "Sup.-only", "resnet101 1/8"),
        ],
        [
            (stpg.components, "Ls+Lu+DM+PS+DCL", "Cityscapes"),
            (stpg.selection, "cons+hmis", "Cityscapes"),
            (stpg.memory, "N=256", "Cityscapes"),
            (stpg.weight, "lambda_u=1.0", "Cityscapes"),
            (stpg.tail, "STPG", "wall"),
            (stpg_comparisons.cityscapes, "STPG", eighth),
        ],
        [
            (stpg.components, "Ls+Lu+DM+DCL", "Cityscapes"),
            (stpg.selection, "cons+lmis+hmis", "Cityscapes"),
        ],
        [
            (stpg.components, "Ls+Lu+DM+PS", "Cityscapes"),
            (stpg.memory, "N=0", "Cityscapes"),
        ],
        [
            (stpg.components, "Ls", "Cityscapes"),
            (stpg.tail, "baseline", "pole"),
            (stpg_comparisons.cityscapes, "Sup. baseline", eighth),
        ],
        [
            (stpg.components, "Ls", "PASCAL VOC 2012"),
            (stpg_comparisons.blender, "Sup. baseline", "1/8 (1323)"),
        ],
    ]
    found = [{of_paper(*cell) for cell in group} for group in groups]

    for group, trials in zip(groups, found, strict=True):
        assert len(trials) == 1, group[0][1:]
    assert len(set.union(*found)) == len(groups)


def test_the_losses_of_segkc_are_switched_as_its_table_marks_them() -> None:
    for scale in SCALES:
        marks = {
            row: (own.consistency_weight > 0, own.distillation_weight > 0)
            for (row, _), trial in cells(segkc.losses, scale).items()
            if isinstance(own := trial.config, SegKCConfig)
        }
        assert marks == {
            "sup": (False, False),
            "sup+con": (True, False),
            "sup+con+kd": (True, True),
        }


def test_networks_and_batches_of_segkc_are_those_of_its_tables() -> None:
    names = {"S": "small", "B": "base", "L": "large"}
    for study, batch in ((segkc.backbones, {16, 8}), (segkc.seniors, {8})):
        trials = cells(study, "paper")
        assert {trial.training.labelled_batch for trial in trials.values()} == batch
        for (row, column), trial in trials.items():
            senior, junior = row.split()[0].split("-")[1:]
            assert trial.config.senior.backbone == f"vit_{names[senior]}_patch14_dinov2.lvd142m"
            assert trial.config.junior.backbone == f"vit_{names[junior]}_patch14_dinov2.lvd142m"
            assert trial.training.crop_pixels % 14 == 0
            if "cityscapes" in column:
                assert trial.training.labelled_batch == trial.training.unlabelled_batch == 8


def test_seniors_of_mini_scale_are_of_three_sizes() -> None:
    few = "voc2012/classic 1/16"
    peers, base = (cells(segkc.backbones, "mini")[f"SegKC-{pair}", few] for pair in ("S-S", "B-S"))
    large = cells(segkc.seniors, "mini")["SegKC-L-S batch 8", few]
    sizes = []
    for trial in (peers, base, large):
        networks = method_class(trial.method)(trial.config, 6, 0)
        sizes.append(sum(item.numel() for item in networks.senior.parameters()))

    assert peers.config.senior == peers.config.junior == base.config.junior == large.config.junior
    assert sizes == sorted(set(sizes))
    assert sizes[-1] > 2 * sizes[0]


def test_the_components_of_stpg_are_switched_as_its_table_marks_them() -> None:
    """Read from the marks of Table 4: L_u, DM, PS, DCL."""
    marks = {
        "Ls": (False, False, False, False),
        "Ls+Lu": (True, False, False, False),
        "Ls+Lu+DM": (True, True, False, False),
        "Ls+Lu+DM+PS": (True, True, True, False),
        "Ls+Lu+DM+DCL": (True, True, False, True),
        "Ls+Lu+DM+PS+DCL": (True, True, True, True),
    }
    for scale in SCALES:
        for (row, _), trial in cells(stpg.components, scale).items():
            own = trial.config
            assert isinstance(own, STPGConfig)
            everything = own.select_consistent and own.select_highly_mismatched
            found = (
                own.unlabelled_weight > 0,
                own.uses_dual,
                own.uses_dual and not (everything and own.select_low_mismatched),
                own.contrast.active,
            )
            assert found == marks[row]


def test_pseudo_labels_of_stpg_are_selected_as_its_table_marks_them() -> None:
    for scale in SCALES:
        for (row, _), trial in cells(stpg.selection, scale).items():
            own = trial.config
            chosen = {
                "cons": own.select_consistent,
                "lmis": own.select_low_mismatched,
                "hmis": own.select_highly_mismatched,
            }
            assert {name for name, on in chosen.items() if on} == set(row.split("+"))


def test_the_memory_of_mini_scale_is_a_quarter_of_the_papers() -> None:
    paper, mini = (cells(stpg.memory, scale) for scale in ("paper", "mini"))

    assert [trial.config.contrast.memory_size for trial in paper.values()] == [0, 64, 128, 256, 512]
    assert [trial.config.contrast.memory_size for trial in mini.values()] == [0, 16, 32, 64, 128]


def test_a_tail_class_is_one_of_the_embedded_data(tiny_shapes: Path) -> None:
    from semisweep.data.registry import open_dataset

    classes = open_dataset("shapes", tiny_shapes).classes
    metrics = [column.metric for column in stpg.tail.columns]
    names = [m["mini"].removeprefix("last.test.iou.") for m in metrics if "mini" in m]

    assert len(set(names)) == 3
    assert set(names) < set(classes)
    assert [metric["paper"] for metric in metrics] == [
        f"best.val.iou.{column.name}" for column in stpg.tail.columns
    ]


def test_the_caption_of_figure_1_has_the_numbers_of_its_study() -> None:
    """SegKC, Figure 1: "1/2 partition", 89.2 % with 24.8 M parameters."""
    published = segkc_comparisons.efficiency.published

    assert (published["SegKC", "mIoU"], published["SegKC", "params (M)"]) == (89.2, 24.8)
    trials = cells(segkc_comparisons.efficiency, "paper")
    assert trials["SegKC", "mIoU"].data.labelled == 732


def test_a_map_of_features_shows_256_points_a_class_of_both_arms() -> None:
    """STPG, Figure 7."""
    shown = resolve(stpg.features, "paper", None).table

    assert shown.class_pixels == 256
    assert through_json(shown) == shown
    assert {row for row, _ in cells(stpg.features, "paper")} == {"baseline", "STPG"}


def test_the_parameters_of_networks_are_those_of_the_papers_column() -> None:
    """DINOv2 and ResNet-101 with their decoders; on Pascal VOC at paper scale."""
    counts = parameter_counts(segkc_comparisons.classic, "paper")

    assert len(counts) == 6
    for place, count in counts.items():
        assert count == pytest.approx(segkc_comparisons.classic.published[place], abs=0.1)


@pytest.mark.parametrize(("study", "scale"), SEARCHES)
def test_searches_vary_fields_within_their_rules(study: Search, scale: str) -> None:
    fields = study.set[scale]
    trial = make_trial(preset_of(study, scale), study.method, fields, {})

    assert all(has(trial, path) for path in varied(study.space[scale]))
    for sampled in samples(study.space[scale]):
        make_trial(preset_of(study, scale), study.method, {**fields, **sampled}, {})


def test_every_mini_trial_builds_for_the_classes_of_the_embedded_data() -> None:
    built: dict[str, Any] = {}
    for study in STUDIES:
        for trial in cells(study, "mini").values():
            name = f"{trial.method} {canonical(trial.encoded()['config'])}"
            if name not in built:
                built[name] = method_class(trial.method)(trial.config, 6, 0)

    assert all(method.groups() for method in built.values())
    assert len(built) > 20


def test_a_row_without_a_method_shows_its_published_number_and_trains_nothing() -> None:
    found = list(replicates(COMPARISON, "mini", COMPARISON.rows[0], COMPARISON.columns[0], {}))
    resolved = resolve(COMPARISON, "mini", None)
    shown = to_markdown(build(resolved.table, {}, {}))

    assert found == []
    assert [cell.published for cell in resolved.table.cells] == [70.5, 60.0]
    assert "theirs (published only)" in shown
    assert "70.5" in shown


def test_only_rows_with_a_method_are_checked_and_run(tiny_shapes: Path) -> None:
    from semisweep.study.resolve import Splits

    splits = Splits(Roots(tiny_shapes.parent))
    resolved = resolve(COMPARISON, "mini", splits)
    trials = list(sample_trials(COMPARISON, Request(roots=Roots(tiny_shapes.parent))))

    assert len(resolved.trials) == 2
    assert [len(cell.trials) for cell in resolved.table.cells] == [0, 2]
    assert [method_class(trial.method) for trial in trials] == [Supervised]


def test_changes_of_a_study_with_published_rows_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"did you mean training\.steps"):
        check_changes(COMPARISON, "mini", {"training.stps": 3})
    check_changes(COMPARISON, "mini", {"training.steps": 3})


def test_a_row_without_a_method_cannot_be_debugged(tiny_shapes: Path) -> None:
    request = Request(roots=Roots(tiny_shapes.parent))
    with pytest.raises(ConfigError, match="must have a method, got row='GTA-Seg'"):
        debug_trial(
            "semisweep_studies.segkc_comparisons:classic", "GTA-Seg", None, 0, request, print
        )
