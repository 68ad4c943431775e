"""Cityscapes in its official layout: label ids, train ids, and what is wrong with either."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semisweep import DataConfig
from semisweep.core.errors import DataError
from semisweep.data.check import check, content_digest
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split

# As cityscapesscripts has it: label id to train id, all others are ignored.
OFFICIAL = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11}
OFFICIAL |= {25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
IDS = {
    "train": ["aachen_000000_000019", "aachen_000001_000019", "hamburg_000000_080169"],
    "val": ["frankfurt_000000_000294"],
}
LABEL_IDS = np.resize(np.arange(34, dtype=np.uint8), (4, 10))


def place(root: Path, folder: str, part: str, image_id: str, end: str) -> Path:
    path = root / folder / part / image_id.split("_")[0] / f"{image_id}_{end}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0)
    for part, ids in {**IDS, "test": ["berlin_000000_000019"]}.items():
        for image_id in ids:
            image = noise.integers(0, 255, (4, 10, 3), dtype=np.uint8)
            Image.fromarray(image).save(
                place(tmp_path, "leftImg8bit", part, image_id, "leftImg8bit")
            )
            Image.fromarray(LABEL_IDS).save(
                place(tmp_path, "gtFine", part, image_id, "gtFine_labelIds")
            )
            Image.fromarray(np.zeros((4, 10, 3), dtype=np.uint8)).save(
                place(tmp_path, "gtFine", part, image_id, "gtFine_color")
            )
    return tmp_path


def test_parts_are_the_images_of_all_cities_and_the_test_part_has_no_masks(root):
    dataset = open_dataset("cityscapes", root)

    assert dataset.parts == ("train", "val")
    assert dataset.part("train") == tuple(IDS["train"])
    assert dataset.part("val") == tuple(IDS["val"])
    assert check(dataset) == []
    assert len(dataset.classes) == len(dataset.palette) == 19
    with pytest.raises(DataError, match="part=test"):
        dataset.part("test")


def test_label_ids_become_train_ids_as_in_the_official_scripts(root):
    mask = open_dataset("cityscapes", root).mask(IDS["train"][0])

    expected = [[OFFICIAL.get(int(value), 255) for value in row] for row in LABEL_IDS]
    assert mask.tolist() == expected


def test_masks_of_train_ids_are_read_where_they_are(root):
    image_id = IDS["train"][2]
    made = np.full((4, 10), 18, dtype=np.uint8)
    made[0] = 255
    Image.fromarray(made).save(place(root, "gtFine", "train", image_id, "gtFine_labelTrainIds"))
    dataset = open_dataset("cityscapes", root)

    assert (dataset.mask(image_id) == made).all()
    assert 18 not in dataset.mask(IDS["train"][0])[0]
    assert check(dataset) == []


def test_label_ids_under_the_name_of_train_ids_are_refused(root):
    path = place(root, "gtFine", "train", IDS["train"][0], "gtFine_labelTrainIds")
    Image.fromarray(LABEL_IDS).save(path)

    (line,) = check(open_dataset("cityscapes", root))
    assert "train ids up to 18, or 255 to ignore, got value=33 at 1 pixels" in line
    assert str(path) in line
    assert "delete it, so that the labelIds beside it are read" in line


def test_values_that_are_no_label_ids_are_refused(root):
    path = place(root, "gtFine", "val", IDS["val"][0], "gtFine_labelIds")
    Image.fromarray(np.full((4, 10), 34, dtype=np.uint8)).save(path)

    (line,) = check(open_dataset("cityscapes", root))
    assert "label ids up to 33, got value=34 at 40 pixels" in line
    assert str(path) in line


def test_missing_images_and_masks_and_odd_names_are_told_file_by_file(root):
    image = place(root, "leftImg8bit", "train", IDS["train"][0], "leftImg8bit")
    mask = place(root, "gtFine", "train", IDS["train"][1], "gtFine_labelIds")
    odd = place(root, "leftImg8bit", "train", IDS["train"][2], "leftImg8bit")
    image.unlink()
    mask.unlink()
    odd.rename(odd.with_suffix(".PNG"))
    lines = check(open_dataset("cityscapes", root))

    assert len(lines) == 4
    for path in (image, mask, odd, odd.with_suffix(".PNG")):
        assert sum(f"file={path};" in line for line in lines) == 1
    assert all("\n" not in line for line in lines)


def test_links_that_lead_in_circles_are_no_cities(root):
    folder = root / "leftImg8bit/train/loop"
    folder.symlink_to(folder)

    assert check(open_dataset("cityscapes", root)) == []


@pytest.mark.parametrize("folder", ["leftImg8bit", "gtFine"])
def test_a_missing_folder_names_the_archive(root, folder):
    (root / folder).rename(root / "elsewhere")
    with pytest.raises(DataError, match=f"{folder}_trainvaltest.zip"):
        open_dataset("cityscapes", root)


def test_split_lists_of_every_format_name_its_images(root):
    dataset = open_dataset("cityscapes", root)
    folder = root / "splits/mine/1"
    folder.mkdir(parents=True)
    end = "leftImg8bit.png"
    (folder / "labeled.txt").write_text(f"leftImg8bit/train/aachen/{IDS['train'][0]}_{end}")
    (folder / "unlabeled.txt").write_text(
        f"{IDS['train'][1]}\n/images/train/{IDS['train'][2]}.png\t/segmentation/x_gtFine.png"
    )
    split = make_split(dataset, DataConfig(name="cityscapes", family="mine", labelled=1))

    assert split.labelled == (IDS["train"][0],)
    assert split.unlabelled == tuple(IDS["train"][1:])


def test_the_content_digest_sees_names_and_masks(root):
    seen = {content_digest(open_dataset("cityscapes", root))}
    mask = place(root, "gtFine", "val", IDS["val"][0], "gtFine_labelIds")
    mask.write_bytes(mask.read_bytes() + b"\0")
    seen.add(content_digest(open_dataset("cityscapes", root)))
    place(root, "leftImg8bit", "train", IDS["train"][0], "leftImg8bit").unlink()
    seen.add(content_digest(open_dataset("cityscapes", root)))

    assert len(seen) == 3
