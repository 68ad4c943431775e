"""Bad data end in one line that names the file, and exit code 2, before anything is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semisweep_studies.quickstart import quickstart

Call = Callable[..., Any]
Check = Callable[..., None]


@pytest.fixture
def shapes(tiny_shapes: Path, tmp_path: Path) -> Path:
    """A copy of a small data set, to be damaged."""
    return Path(shutil.copytree(tiny_shapes, tmp_path / "shapes"))


def first(folder: Path) -> tuple[Path, Path]:
    """Return image and mask of a training image."""
    name = (folder / "ImageSets/Segmentation/train.txt").read_text().split()[0]
    return folder / f"JPEGImages/{name}.jpg", folder / f"SegmentationClass/{name}.png"


def damage_class_id(folder: Path) -> tuple[str, ...]:
    mask = first(folder)[1]
    pixels = np.array(Image.open(mask))
    pixels[0, :3] = 77
    Image.fromarray(pixels).save(mask)
    return "class ids up to", "id=77 at 3 pixels", str(mask)


def damage_missing_mask(folder: Path) -> tuple[str, ...]:
    mask = first(folder)[1]
    mask.unlink()
    return "a mask in a list must exist", str(mask)


def damage_missing_image(folder: Path) -> tuple[str, ...]:
    image = first(folder)[0]
    image.unlink()
    return "an image in a list must exist", str(image)


def damage_image_cut_short(folder: Path) -> tuple[str, ...]:
    image = first(folder)[0]
    image.write_bytes(image.read_bytes()[:300])
    return "an image must decode", str(image)


def damage_image_of_text(folder: Path) -> tuple[str, ...]:
    image = first(folder)[0]
    image.write_text("this is no image")
    return "an image must decode", str(image)


def damage_size(folder: Path) -> tuple[str, ...]:
    mask = first(folder)[1]
    Image.open(mask).resize((16, 24), Image.Resampling.NEAREST).save(mask)
    return "one size", "image 32x32", "mask 16x24", str(mask)


def damage_parts(folder: Path) -> tuple[str, ...]:
    lists = folder / "ImageSets/Segmentation"
    name = (lists / "train.txt").read_text().split()[0]
    with (lists / "test.txt").open("a") as file:
        file.write(f"{name}\n")
    return "parts must not share images", "train and test", name


def damage_layout(folder: Path) -> tuple[str, ...]:
    shutil.rmtree(folder / "JPEGImages")
    return "must hold the folder JPEGImages", str(folder)


DAMAGES = [
    damage_class_id,
    damage_missing_mask,
    damage_missing_image,
    damage_image_cut_short,
    damage_image_of_text,
    damage_size,
    damage_parts,
    damage_layout,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_bad_data_end_in_one_line_that_names_the_file(
    call: Call,
    refused: Check,
    kept_store: Path,
    shapes: Path,
    damage: Callable[[Path], tuple[str, ...]],
) -> None:
    parts = damage(shapes)
    options = ("--store", kept_store, "--data", f"shapes={shapes}")

    refused(call("plan", "quickstart", *options), *parts)
    refused(call("debug", "quickstart", "UniMatch", *options), *parts)


def test_data_that_went_bad_after_they_were_checked_are_refused(
    call: Call, refused: Check, kept_store: Path, shapes: Path
) -> None:
    options = ("--store", kept_store, "--data", f"shapes={shapes}")
    assert call("plan", "quickstart", *options).code == 0
    parts = damage_class_id(shapes)

    refused(call("plan", "quickstart", *options), *parts)


def test_overlapping_lists_are_refused(
    call: Call, refused: Check, kept_store: Path, shapes: Path
) -> None:
    names = (shapes / "ImageSets/Segmentation/train.txt").read_text().split()
    count = quickstart.columns[0].set["mini"]["data.labelled"]
    lists = shapes / "splits" / "mine" / str(count)
    lists.mkdir(parents=True)
    (lists / "labeled.txt").write_text("\n".join(names[:count]))
    (lists / "unlabeled.txt").write_text("\n".join(names[count - 2 :]))
    options = ("--store", kept_store, "--data", f"shapes={shapes}", "--set", "data.family=mine")

    said = call("plan", "quickstart", *options)
    refused(
        said,
        "must not overlap",
        "2 images",
        sorted(names[count - 2 : count])[0],
        str(lists / "unlabeled.txt"),
    )

    (lists / "unlabeled.txt").write_text("\n".join(names[count:]))
    assert call("plan", "quickstart", *options).code == 0


def test_checking_data_lists_every_fault(call: Call, shapes: Path) -> None:
    assert call("data", "check", "shapes", "--root", shapes).code == 0
    faults = [damage_class_id(shapes), damage_parts(shapes)]

    said = call("data", "check", "shapes", "--root", shapes)

    assert said.code == 2
    for parts in faults:
        assert parts[-1] in said.out
    assert said.error.splitlines()[-1] == f"error: 2 files of shapes at {shapes} are to be mended"


def test_bad_data_and_fields_are_refused_by_run_too(
    call: Call, refused: Check, kept_store: Path, shapes: Path
) -> None:
    options = ("--store", kept_store, "--data", f"shapes={shapes}")
    for study in ("quickstart", "rankmatch_search"):
        said = call("run", study, *options, "--set", "training.stps=3")
        refused(said, "did you mean training.steps")
        said = call("run", study, *options, "--set", "training.steps=0")
        refused(said, "training.steps=0")

    parts = damage_class_id(shapes)
    for study in ("quickstart", "rankmatch_search"):
        refused(call("run", study, *options), *parts)


@pytest.mark.ray
def test_data_that_nobody_named_are_refused_as_well(
    process: Call,
    refused: Check,
    kept_store: Path,
    shapes: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a process of its own, in which Ray starts before the study is known."""
    parts = damage_missing_mask(shapes)
    monkeypatch.setenv("SEMISWEEP_DATA", str(shapes.parent))

    refused(process("run", "quickstart", "--store", kept_store), *parts)
