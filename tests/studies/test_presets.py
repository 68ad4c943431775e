"""The papers' presets on small copies of the official layouts: they resolve, and they train."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semisweep import DataConfig, NetworkConfig, Preset, Row, Search, Store, Study, Trial
from semisweep.checks.data_preparation import prepare_data
from semisweep.cluster.trial_execution import execute
from semisweep.core.config import replace
from semisweep.data.splits import DRAWN_FAMILIES
from semisweep.running.job_sources import job_for
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, cell_trial, column_preset, resolve
from semisweep.study.scales import PROXY

Folder = Path
LABELLED, TRAIN, VAL = 4, 14, 3
CITIES = {"train": ("aachen", "bochum"), "val": ("lindau",)}

# Images of each published list, and in how many draws.
COUNTS = {
    ("voc", "classic"): (92, 183, 366, 732, 1464),
    ("voc", "blender"): (662, 1323, 2646, 5291),
    ("voc", "u2pl"): (662, 1323, 2646, 5291),
    ("cityscapes", "unimatch"): (186, 372, 744, 1488),
    ("cityscapes", "u2pl"): (186, 372, 744, 1488),
}
DRAWS = 3


def picture(path: Path, height: int, width: int, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).save(path)


def blocks(path: Path, height: int, width: int, values: list[int], seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.random.default_rng(seed).choice(values, (3, 4)).astype(np.uint8)
    Image.fromarray(np.kron(drawn, np.ones((height // 3, width // 4), np.uint8))).save(path)


def write_lists(root: Path, family: str, ids: list[str], labelled: int, draw: int = 0) -> None:
    folder = root / "splits" / family / str(labelled) / (f"draw_{draw}" if draw else "")
    folder.mkdir(parents=True, exist_ok=True)
    turned = ids[draw:] + ids[:draw]
    (folder / "labelled.txt").write_text("\n".join(turned[:labelled]))
    (folder / "unlabelled.txt").write_text("\n".join(turned[labelled:]))


def make_voc(root: Path) -> None:
    home = root / "VOCdevkit/VOC2012"
    ids = [f"2008_{number:06}" for number in range(TRAIN + VAL)]
    for number, image_id in enumerate(ids):
        size = (36, 48) if number % 3 else (48, 36)
        picture(home / f"JPEGImages/{image_id}.jpg", *size, number)
        mask = home / f"SegmentationClassAug/{image_id}.png"
        blocks(mask, *size, [*range(21), 255], number)
    lists = home / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(ids[:6]))
    (lists / "val.txt").write_text("\n".join(ids[TRAIN:]))
    for family in ("classic", "blender", "u2pl"):
        write_lists(home, family, ids[:TRAIN], LABELLED)


def make_cityscapes(root: Path) -> None:
    ids = []
    for part, count in (("train", TRAIN), ("val", VAL)):
        for number in range(count):
            city = CITIES[part][number % len(CITIES[part])]
            image_id = f"{city}_{number:06}_000019"
            ids += [image_id] if part == "train" else []
            image = root / f"leftImg8bit/{part}/{city}/{image_id}_leftImg8bit.png"
            picture(image, 48, 96, number)
            mask = root / f"gtFine/{part}/{city}/{image_id}_gtFine_labelIds.png"
            blocks(mask, 48, 96, list(range(34)), number)
    for family in ("unimatch", "u2pl"):
        write_lists(root, family, ids, LABELLED)


def make_lucchi(root: Path, pages: int, side: int) -> None:
    root.mkdir(parents=True)
    for seed, name in enumerate(("training", "testing")):
        draws = np.random.default_rng(seed)
        stack = draws.integers(0, 255, (pages, side, side + 8), dtype=np.uint8)
        for path, values in ((name, stack), (f"{name}_groundtruth", 255 * (stack > 128))):
            first, *rest = (Image.fromarray(page.astype(np.uint8)) for page in values)
            first.save(root / f"{path}.tif", save_all=True, append_images=rest)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Roots:
    """Small whole copies of the three layouts."""
    root = tmp_path_factory.mktemp("data")
    make_voc(root / "voc")
    make_cityscapes(root / "cityscapes")
    make_lucchi(root / "lucchi", TRAIN, 40)
    return Roots(root)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Splits of the published sizes, of tiny files: each is another name of the same one."""
    root = tmp_path_factory.mktemp("listed")
    home = root / "voc"
    (home / "ImageSets/Segmentation").mkdir(parents=True)
    ids = {"voc": [f"2008_{number:06}" for number in range(10_582)]}
    (home / "ImageSets/Segmentation/train_aug.txt").write_text("\n".join(ids["voc"]))
    (home / "ImageSets/Segmentation/train.txt").write_text("\n".join(ids["voc"][:1464]))
    (home / "ImageSets/Segmentation/val.txt").write_text("\n".join(f"v{n}" for n in range(1449)))
    named(home / "JPEGImages", ".jpg", [*ids["voc"], *(f"v{n}" for n in range(1449))])
    named(home / "SegmentationClass", ".png", [*ids["voc"], *(f"v{n}" for n in range(1449))])
    ids["cityscapes"] = [f"aachen_{number:06}_000019" for number in range(2975)]
    for part, own in (("train", ids["cityscapes"]), ("val", ["aachen_900000_000019"])):
        streets = root / "cityscapes"
        named(streets / f"leftImg8bit/{part}/aachen", "_leftImg8bit.png", own)
        named(streets / f"gtFine/{part}/aachen", "_gtFine_labelTrainIds.png", own)
    for (name, family), counts in COUNTS.items():
        for count in counts:
            for draw in range(DRAWS):
                write_lists(root / name, family, ids[name], count, draw)
    make_lucchi(root / "lucchi", 165, 8)
    splits = Splits(Roots(root))
    prepare_data((DataConfig(name=name) for name in (*ids, "lucchi")), splits)
    return splits


def named(folder: Path, end: str, ids: list[str]) -> None:
    """Make a tiny file and further names of it: an image or a mask of one class."""
    folder.mkdir(parents=True)
    first = folder / f"{ids[0]}{end}"
    Image.new("L" if "Class" in folder.name or "gtFine" in str(folder) else "RGB", (8, 8)).save(
        first
    )
    for image_id in ids[1:]:
        os.link(first, folder / f"{image_id}{end}")


def at_paper_scale() -> list[Study]:
    found = [find_study(name) for name in study_names()]
    return [own for own in found if isinstance(own, Study) and "paper" in own.presets]


@pytest.mark.parametrize("scale", ["paper", PROXY])
@pytest.mark.parametrize("study", at_paper_scale(), ids=lambda study: study.name)
def test_every_study_of_a_paper_resolves_where_its_data_are(
    study: Study, scale: str, listed: Splits
) -> None:
    resolved = resolve(study, scale, listed, seeds=1)
    trained = {row.name for row in study.rows if row.method is not None}
    counted = {column.name for column in study.columns if column.unit}

    for cell in resolved.table.cells:
        is_trained = cell.row in trained and cell.column not in counted
        wanted = study.draws if is_trained else 0
        assert len(cell.trials) == wanted, cell.row
    assert {key for cell in resolved.table.cells for key in cell.trials.values()} == set(
        resolved.trials
    )


def distinct() -> Iterator[Any]:
    """Yield each distinct preset at paper scale, and one proxy, with a trial of it."""
    seen: list[Preset] = []
    for scale in ("paper", PROXY):
        for study in at_paper_scale():
            base = next(row for row in study.rows if row.name == study.base)
            for column in study.columns:
                if not column.exists(scale) or (scale == PROXY and study.name != "segkc_losses"):
                    continue
                preset = column_preset(study, scale, column)
                unnamed = dataclasses.replace(preset, metric="", metric_note="", notes=())
                row = base_row(study, base)
                if unnamed not in seen and row.method is not None and not column.unit:
                    seen.append(unnamed)
                    trial = cell_trial(study, scale, row, column, {})
                    yield pytest.param(trial, id=f"{study.name}-{column.name}-{scale}")


def base_row(study: Study, base: Row) -> Row:
    """Return the paper's own method where the base row is another one."""
    own = [row for row in study.rows if row.method and row.method.__name__.lower() == study.paper]
    return own[-1] if own else base


def small(trial: Trial) -> Trial:
    """Return a trial with everything about its preset kept but sizes."""
    changes: dict[str, Any] = {
        "data.labelled": LABELLED,
        "training.steps": 2,
        "training.epochs": None,
        "training.schedule_share": 1.0,
        "training.stop_share": 1.0,
        "training.evaluate_from": 0.0,
        "training.labelled_batch": 4,
        "training.unlabelled_batch": 4,
        "training.crop_pixels": 56,
        "training.evaluations": 1,
    }
    if trial.training.evaluation.size_pixels is not None:
        changes["training.evaluation.size_pixels"] = 42
    if trial.training.evaluation.stride_pixels is not None:
        changes["training.evaluation.stride_pixels"] = 28
    for field in dataclasses.fields(trial.config):
        network = getattr(trial.config, field.name)
        if isinstance(network, NetworkConfig):
            dense = network.decoder == "dpt"
            backbone = "eva02_tiny_patch14_224" if dense else "test_resnet"
            changes |= {
                f"config.{field.name}.backbone": backbone,
                f"config.{field.name}.channels": 16,
                f"config.{field.name}.pretrained": False,
            }
            if not dense:
                changes |= {
                    f"config.{field.name}.output_stride": 8,
                    f"config.{field.name}.rates": (1, 2, 3),
                }
        if field.name == "agents":
            changes["config.agents"] = 16
    return replace(trial, changes)


@pytest.mark.parametrize("trial", list(distinct()))
def test_every_preset_trains_from_the_official_layout_to_a_result(
    trial: Trial, roots: Roots, tmp_path: Path
) -> None:
    """With tiny networks and crops; augmentation, optimizer, loss and protocol are the preset's."""
    own, splits = small(trial), Splits(roots)
    kept = ("optimizer", "augmentation", "schedule_power", "precision", "group_optimizers")
    assert all(getattr(own.training, name) == getattr(trial.training, name) for name in kept)
    store = Store.open(str(tmp_path / "store"), create=True)
    key = splits.key(own)
    job = job_for(key, own, store, splits, Request(roots=roots))
    execute(job, lambda said: None, raise_errors=True)
    row = store.trial(key).result()

    assert row is not None
    assert 0 <= row["best.val.miou"] <= 1
    assert row["total_steps"] == 2
    assert row["training.evaluation.name"] == trial.training.evaluation.name
    losses = [value for name, value in _history(store, key).items() if name.endswith("loss")]
    assert losses
    assert all(np.isfinite(losses))


def _history(store: Store, key: str) -> dict[str, Any]:
    import semisweep

    history = semisweep.history(str(store.root))
    last = history[history["key"] == key].iloc[-1]
    return {name: value for name, value in last.items() if isinstance(value, float)}


STUDY = """
import dataclasses
from semisweep.core.config import replace
from semisweep import Column, Row, Study
from semisweep_methods.stpg import STPG
from semisweep_methods.supervised import Supervised
from semisweep_studies.stpg import STPG_CITYSCAPES, STPG_PAPER

small = {"data.labelled": 4}
two = Study(
    name="two", title="Two data sets", presets={"paper": STPG_PAPER}, base="a", seeds=2,
    rows=[Row(name="a", method=Supervised), Row(name="b", method=STPG)],
    columns=[
        Column(name="voc", set={"paper": small}),
        Column(name="streets", set={"paper": small}, presets={"paper": STPG_CITYSCAPES}),
    ],
)
"""


@pytest.mark.parametrize("scale", ["paper", PROXY])
def test_a_table_of_two_data_sets_is_planned_and_both_are_checked(
    call: Callable[..., Any],
    refused: Callable[..., None],
    roots: Roots,
    tmp_path: Path,
    scale: str,
) -> None:
    study = f"mixed_{scale}.py:two"
    (tmp_path / f"mixed_{scale}.py").write_text(STUDY)
    whole = ("--scale", scale, "--data", f"voc={roots.of('voc')}")
    options = (*whole, "--any-count")
    streets = roots.of("cityscapes")

    said = call("plan", study, *whole, "--data", f"cityscapes={streets}")
    refused(said, "train of voc must have 10582 images, got 14", "--any-count")
    said = call("plan", study, *options, "--data", f"cityscapes={streets}")
    assert said.code == 0, said.error
    assert "wanted        8" in said.out
    mask = next(streets.glob("gtFine/val/*/*labelIds.png"))
    content = mask.read_bytes()
    try:
        Image.fromarray(np.full((48, 96), 77, dtype=np.uint8)).save(mask)
        said = call("plan", study, *options, "--data", f"cityscapes={streets}")
    finally:
        mask.write_bytes(content)
    refused(said, "label ids up to 33", str(mask))
    refused(call("plan", study, *options), "must exist", "--data cityscapes=PATH")


def test_a_search_of_a_paper_has_its_data_at_every_scale(listed: Splits) -> None:
    found = [find_study(name) for name in study_names()]
    for own in found:
        if isinstance(own, Search) and "paper" in own.presets:
            labelled, family = own.set["paper"]["data.labelled"], own.presets["paper"].data.family
            assert family in DRAWN_FAMILIES or labelled in COUNTS["voc", family]
