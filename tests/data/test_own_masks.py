"""What is wrong with data of one's own and looks right: each file decodes, numbers would be wrong.

A data set of two classes, as lists of files with the pixels that matter.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semisweep.checks.data_preparation import read_data
from semisweep.core.errors import DataError
from semisweep.data.check import Inspection, inspect
from semisweep.data.reading import read_image
from semisweep.data.registry import open_dataset

MANIFEST = """
classes = ["background", "cell"]
{more}
[train]
images = "images"
masks = "masks"

[val]
images = "val"
masks = "val_masks"
"""


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path: Path, values: tuple[int, ...], palette: tuple[int, ...] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(np.resize(np.array(values, dtype=np.uint8), (6, 8)))
    if palette:
        mask = mask.convert("P")
        mask.putpalette(palette)
    mask.save(path)


def make(root: Path, values: tuple[int, ...] = (0, 1), more: str = "") -> Path:
    (root / "dataset.toml").write_text(MANIFEST.format(more=more))
    for number, (images, masks, name) in enumerate(
        [("images", "masks", "a"), ("images", "masks", "b"), ("val", "val_masks", "c")]
    ):
        write_image(root / images / f"{name}.png", number)
        write_mask(root / masks / f"{name}.png", values)
    return root


def found(root: Path) -> Inspection:
    own = inspect(open_dataset("mine", root))
    again = inspect(open_dataset("mine", root))  # from what is remembered
    assert (own.problems, own.notes) == (again.problems, again.notes)
    return own


@pytest.mark.parametrize("more", ["", "values = [0, 1]"])
def test_masks_of_0_and_255_are_asked_about(tmp_path: Path, more: str) -> None:
    (line,) = found(make(tmp_path, (0, 255), more)).problems

    assert "got none of cell and 255 in 3 masks, such as" in line
    assert "say in dataset.toml what 255 is: a class, values = [0, 255], or none, ignore = 255" in (
        line
    )


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ((0, 255), "values = [0, 255]"),
        ((0, 255), "ignore = 255"),
        ((0, 1, 255), ""),  # every class is shown: 255 is the usual border
        ((0,), ""),  # a class that no mask shows is a note
    ],
)
def test_what_is_said_or_plain_is_not_asked_about(
    tmp_path: Path, values: tuple[int, ...], more: str
) -> None:
    assert found(make(tmp_path, values, more)).problems == []


RED, GREEN = (200, 0, 0), (0, 200, 0)


def test_palettes_that_number_colours_by_file_are_refused(tmp_path: Path) -> None:
    make(tmp_path)
    for name, palette in (("a", (*RED, *GREEN)), ("b", (*GREEN, *RED))):
        write_mask(tmp_path / f"masks/{name}.png", (0, 1), palette)
    (line,) = found(tmp_path).problems

    assert f"got index=0 of colour {GREEN} in file={tmp_path / 'masks/b.png'}, {RED} in" in line
    assert "map colours to class indices, or save masks as grey" in line


def test_palettes_that_agree_and_greys_are_fine(tmp_path: Path) -> None:
    make(tmp_path)
    write_mask(tmp_path / "masks/a.png", (0, 1), (*RED, *GREEN))
    write_mask(tmp_path / "masks/b.png", (0, 1), (*RED, *GREEN, 1, 2, 3))
    write_mask(tmp_path / "val_masks/c.png", (0, 1), (0, 0, 0, 1, 1, 1))
    assert found(tmp_path).problems == []


def stack(path: Path, pages: int, **options: Any) -> None:
    rng = np.random.default_rng(0)
    made = [
        Image.fromarray(rng.integers(0, 2, (6, 8), dtype=np.uint8)).convert("L")
        for _ in range(pages)
    ]
    made[0].save(path, save_all=True, append_images=made[1:], **options)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_files_of_many_pages_are_refused(tmp_path: Path, suffix: str) -> None:
    make(tmp_path)
    (tmp_path / "images/a.png").unlink()
    stack(tmp_path / f"images/a.{suffix}", 20)
    (line,) = found(tmp_path).problems
    assert f"a file must hold one picture, got pages=20, file={tmp_path}/images/a.{suffix}" in line
    assert "write each page to a file of its own" in line

    stack(tmp_path / "masks/b.tif", 3)
    (tmp_path / "masks/b.png").unlink()
    assert sum("got pages=3" in line for line in found(tmp_path).problems) == 1


def test_a_photograph_with_a_preview_is_one_picture(tmp_path: Path) -> None:
    """As cameras write them: JPEG, with a second one behind (MPO)."""
    rng = np.random.default_rng(0)
    large, small = (
        Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)) for size in (16, 8)
    )
    large.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[small])
    assert read_image(tmp_path / "a.jpg").shape == (16, 16, 3)


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    make(tmp_path)
    for path in ("images/._a.png", "masks/._a.png", "val/.DS_Store"):
        (tmp_path / path).write_bytes(b"\0\5\x16\7")
    dataset = open_dataset("mine", tmp_path)

    assert dataset.part("train") == ("a", "b")
    assert found(tmp_path).problems == []


def test_equal_tiles_within_a_part_are_a_note_and_across_parts_refused(tmp_path: Path) -> None:
    make(tmp_path)
    for number in range(5):
        write_image(tmp_path / f"images/blank{number}.png", 77)
        write_mask(tmp_path / f"masks/blank{number}.png", (0,))
    own = found(tmp_path)
    assert own.problems == []
    assert "train has 4 images that are equal to another one of it" in own.notes

    write_image(tmp_path / "val/c.png", 77)
    (line,) = found(tmp_path).problems
    assert "parts must not share images, got file=" in line


def test_a_run_refuses_what_a_check_refuses(call: Callable[..., Any], tmp_path: Path) -> None:
    root = tmp_path / "own"
    root.mkdir()
    make(root, (0, 255))
    assert call("data", "check", "mine", "--root", root).code == 2
    with pytest.raises(DataError, match=r"say in dataset\.toml what 255 is"):
        read_data(open_dataset("mine", root))
