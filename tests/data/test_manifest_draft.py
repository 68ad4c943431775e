"""`semisweep data init`: a first manifest of folders as people have them, which then is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semisweep.data.registry import open_dataset

LAYOUTS = {
    "parts first": (("train/images", "train/masks", ""), ("val/images", "val/masks", "")),
    "kinds first": (("images/train", "labels/train", ""), ("images/val", "labels/val", "")),
    "an end": (("training/img", "training/gt", "_gt"), ("validation/img", "validation/gt", "_gt")),
    "annot": (("train", "trainannot", ""), ("valid", "validannot", "")),
}


def fill(root: Path, images: str, masks: str, end: str, values: tuple[int, ...], seed: int) -> None:
    for number in range(3):
        rng = np.random.default_rng([seed, number])
        pixels = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        mask = np.resize(np.array(values, dtype=np.uint8), (6, 8))
        for folder, name, own in (
            (images, f"{seed}{number}.jpg", pixels),
            (masks, f"{seed}{number}{end}.png", mask),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(own).save(root / folder / name)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("values", "classes"), [((0, 1, 2), 3), ((0, 255), 2), ((0, 1, 2, 255), 3), ((0, 128, 64), 3)]
)
def test_usual_folders_are_whole_with_what_init_writes(
    call: Callable[..., Any], tmp_path: Path, layout: str, values: tuple[int, ...], classes: int
) -> None:
    root = tmp_path / "mine"
    for seed, (images, masks, end) in enumerate(LAYOUTS[layout]):
        fill(root, images, masks, end, values, seed)
    (root / "notes").mkdir()
    said = call("data", "init", root)
    assert said.code == 0, said.error
    assert f"semisweep data check mine --root {root}" in said.out

    dataset = open_dataset("mine", root)
    assert len(dataset.classes) == classes
    assert len(dataset.part("train")) == len(dataset.part("val")) == 3
    checked = call("data", "check", "mine", "--root", root)
    assert checked.code == 0, checked.out + checked.error


def test_a_part_that_is_not_there_stands_in_the_draft(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    fill(tmp_path / "mine", "images", "masks", "", (0, 1), 0)
    assert call("data", "init", tmp_path / "mine").code == 0
    text = (tmp_path / "mine/dataset.toml").read_text()

    assert '[train]\nimages = "images"\nmasks = "masks"' in text
    assert '[val]\nimages = ""  # not found: a folder; or init --val COUNT draws them' in text
    assert '# list = "val.txt"  # or the folders of [train], and a list of names' in text


def test_what_is_there_is_kept_and_nothing_is_made_of_nothing(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    fill(tmp_path / "mine", "images", "masks", "", (0, 1), 0)
    (tmp_path / "mine/dataset.toml").write_text("mine")
    refused = call("data", "init", tmp_path / "mine")
    assert (refused.code, (tmp_path / "mine/dataset.toml").read_text()) == (2, "mine")
    assert "must not be there yet" in refused.error

    (tmp_path / "empty").mkdir()
    nothing = call("data", "init", tmp_path / "empty")
    assert nothing.code == 2
    assert "must have one of masks beside it" in nothing.error
    assert call("data", "init", tmp_path / "nowhere").code == 2


def test_lists_of_own_data_are_imported(call: Callable[..., Any], tmp_path: Path) -> None:
    root, lists = tmp_path / "mine", tmp_path / "lists"
    for seed, (images, masks, end) in enumerate(LAYOUTS["parts first"]):
        fill(root, images, masks, end, (0, 1), seed)
    assert call("data", "init", root).code == 0
    lists.mkdir()
    (lists / "labeled.txt").write_text("00\n02\n")
    options = ("--data", f"mine={root}", "--family", "ours")
    said = call("data", "splits", "import", lists, *options)

    assert said.code == 0, said.error
    assert "imported  mine ours 2" in said.out
    assert (root / "splits/ours/2/unlabelled.txt").read_text().split() == ["01"]
    assert "ours" in call("data", "splits", "--data", f"mine={root}").out
    refused = call("data", "splits", "import", lists, "--data", f"other={tmp_path}")
    assert refused.code == 2
    assert "One of your own must have file=" in refused.error


def test_parts_of_one_folder_are_drawn(call: Callable[..., Any], tmp_path: Path) -> None:
    for seed in range(5):  # fifteen images
        fill(tmp_path / "mine", "images", "masks", "_m", (0, 1), seed)
    (tmp_path / "mine/masks/00_m.png").unlink()  # without a mask an image can only be trained on

    said = call("data", "init", tmp_path / "mine", "--val", 4, "--test", 6)
    assert said.code == 0, said.error
    dataset = open_dataset("mine", tmp_path / "mine")
    parts = {name: set(dataset.part(name)) for name in ("train", "val", "test")}
    assert {name: len(ids) for name, ids in parts.items()} == {"train": 5, "val": 4, "test": 6}
    assert len(set.union(*parts.values())) == 15
    assert "00" in parts["train"]
    assert call("data", "check", "mine", "--root", tmp_path / "mine").code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--val", 3), "images must be left to train on, got val=3 of 3"),
        (("--val", 2, "--test", 1), "got val=2, test=1 of 3"),
    ],
)
def test_too_many_are_refused_and_nothing_is_written(
    call: Callable[..., Any], refused: Callable[..., None], tmp_path: Path, options: Any, told: str
) -> None:
    fill(tmp_path / "mine", "images", "masks", "", (0, 1), 0)
    refused(call("data", "init", tmp_path / "mine", *options), told)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["images", "masks"]


def test_a_part_with_a_folder_is_not_drawn(
    call: Callable[..., Any], refused: Callable[..., None], tmp_path: Path
) -> None:
    for seed, part in enumerate(("train", "val")):
        fill(tmp_path / "mine", f"{part}/images", f"{part}/masks", "", (0, 1), seed)
    refused(call("data", "init", tmp_path / "mine", "--val", 1), "with folders of train, val")
