"""`semisweep data check`: what it says of whole, reduced and broken data sets of every layout."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semisweep.data.base import DataSet
from semisweep.data.check import content_digest, count_problems, inspect
from semisweep.data.registry import open_dataset

Call = Callable[..., Any]


@pytest.fixture
def shapes(tiny_shapes: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_shapes, tmp_path / "shapes"))


@pytest.fixture
def lucchi(tmp_path: Path) -> Path:
    """Three slices a stack, of another size in the second."""
    root = tmp_path / "lucchi"
    root.mkdir()
    for stack, width in (("training", 8), ("testing", 10)):
        for name in (stack, f"{stack}_groundtruth"):
            pages = [Image.fromarray(np.zeros((6, width), dtype=np.uint8)) for _ in range(3)]
            pages[0].save(root / f"{name}.tif", save_all=True, append_images=pages[1:])
    return root


def test_a_whole_data_set_is_told_with_its_digest_and_sizes(call: Call, shapes: Path) -> None:
    said = call("data", "check", "shapes", "--root", shapes)
    digest = content_digest(open_dataset("shapes", shapes))

    assert said.code == 0
    assert said.out.splitlines()[0] == "note: sizes: 32x32 pixels"
    assert said.out.splitlines()[-1] == (
        f"shapes is whole: train 48, val 4, test 4 images; content digest {digest}"
    )


def test_a_reduced_copy_is_refused_unless_it_is_meant(call: Call, lucchi: Path) -> None:
    said = call("data", "check", "lucchi", "--root", lucchi)
    assert said.code == 2
    counted = [line for line in said.out.splitlines() if "must have 165 images, got 3" in line]
    assert len(counted) == 3
    assert str(lucchi / "training.tif") in counted[0]
    assert "--any-count" in counted[0]

    said = call("data", "check", "lucchi", "--root", lucchi, "--any-count")
    assert said.code == 0
    assert "note: sizes: 8x6 to 10x6 pixels" in said.out
    assert "note: no mask shows 1 of 2 classes: mitochondrion" in said.out
    assert "lucchi is whole: train 3, val 3, test 3 images" in said.out


def test_progress_counts_every_image_once(lucchi: Path) -> None:
    seen: list[tuple[int, int]] = []
    inspect(open_dataset("lucchi", lucchi), lambda done, total: seen.append((done, total)))

    assert seen == [(done, 6) for done in range(1, 7)]


def test_every_file_to_mend_is_told(call: Call, shapes: Path) -> None:
    dataset = open_dataset("shapes", shapes)
    first, second, third = dataset.part("train")[:3]
    dataset.image_file(first).unlink()
    Image.fromarray(np.full((32, 32), 99, dtype=np.uint8)).save(dataset.mask_file(second))
    upper = dataset.image_file(third)
    upper.rename(upper.with_suffix(".JPG"))
    said = call("data", "check", "shapes", "--root", shapes)
    problems = [line for line in said.out.splitlines() if not line.startswith("note: ")]

    assert said.code == 2
    assert len(problems) == 3
    assert f"rename {third}.JPG, restore it" in said.out
    assert re.search(rf"got id=99 at 1024 pixels, file={dataset.mask_file(second)}", said.out)


def test_an_own_data_set_goes_by_any_name(call: Call, shapes: Path) -> None:
    names = ", ".join(f'"{name}"' for name in open_dataset("shapes", shapes).classes)
    lists = "ImageSets/Segmentation"
    parts = "".join(
        f'[{part}]\nimages = "JPEGImages"\nmasks = "SegmentationClass"\n'
        f'list = "{lists}/{part}.txt"\n'
        for part in ("train", "val", "test")
    )
    (shapes / "dataset.toml").write_text(f"classes = [{names}]\n{parts}")
    said = call("data", "check", "squares", "--root", shapes)

    assert said.code == 0
    assert "squares is whole: train 48, val 4, test 4 images" in said.out
    own, made = open_dataset("squares", shapes), open_dataset("shapes", shapes)
    for image_id in own.part("val"):
        assert (own.mask(image_id) == made.mask(image_id)).all()
    assert content_digest(own) != content_digest(made)  # the manifest is content as well


def test_an_unknown_name_and_a_missing_folder_are_refused(
    call: Call, refused: Callable[..., None], tmp_path: Path
) -> None:
    refused(call("data", "check", "citscapes", "--root", tmp_path), "did you mean cityscapes")
    for name in ("voc", "cityscapes", "lucchi"):
        refused(call("data", "check", name, "--root", tmp_path / "no"), f"data set {name}")
        refused(call("data", "check", name, "--root", tmp_path), str(tmp_path))


def test_counts_are_compared_only_where_a_data_set_was_published(shapes: Path) -> None:
    dataset: DataSet = open_dataset("shapes", shapes)

    assert count_problems(dataset) == []
