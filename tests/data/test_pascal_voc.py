"""Pascal VOC 2012 as downloaded, with SBD's .mat files, and with the usual augmented masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from semisweep.core.errors import DataError
from semisweep.data.check import check, content_digest, count_problems
from semisweep.data.registry import open_dataset

OWN = {"train": ["2007_1", "2007_2"], "val": ["2007_3", "2007_4"]}
# SBD's own images: two that VOC has no mask of, one of VOC's train, one of its val.
SBD = ["2008_1", "2008_2", "2007_1", "2007_3"]
OWN_CLASS, SBD_CLASS = 3, 15


def write_mask(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.full((6, 8), value, dtype=np.uint8)
    mask[0, 0] = 255
    Image.fromarray(mask).save(path)


def write_mat(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), dtype=object)
    boundaries[:] = [[np.zeros((6, 8), dtype=np.uint8)]]
    content = {"Boundaries": boundaries, "Segmentation": mask, "CategoriesPresent": SBD_CLASS}
    savemat(path, {"GTcls": content}, do_compression=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return VOCdevkit/VOC2012 as it is unpacked."""
    home = tmp_path / "VOCdevkit/VOC2012"
    (home / "JPEGImages").mkdir(parents=True)
    (home / "ImageSets/Segmentation").mkdir(parents=True)
    for image_id in {*OWN["train"], *OWN["val"], *SBD, "2012_9"}:
        image = np.full((6, 8, 3), 80, dtype=np.uint8)
        Image.fromarray(image).save(home / f"JPEGImages/{image_id}.jpg")
    for part, ids in OWN.items():
        (home / f"ImageSets/Segmentation/{part}.txt").write_text("\n".join(ids) + "\n")
        for image_id in ids:
            write_mask(home / f"SegmentationClass/{image_id}.png", OWN_CLASS)
    return home


def add_sbd(folder: Path) -> None:
    for image_id in SBD:
        write_mat(folder / f"cls/{image_id}.mat", np.full((6, 8), SBD_CLASS, dtype=np.uint8))


def add_augmented(home: Path) -> None:
    for image_id in {*SBD, *OWN["train"], *OWN["val"]}:
        value = OWN_CLASS if image_id.startswith("2007") else SBD_CLASS
        write_mask(home / f"SegmentationClassAug/{image_id}.png", value)


def test_voc_alone_has_its_own_lists(home, tmp_path):
    for root in (home, home.parent, tmp_path):
        dataset = open_dataset("voc", root)
        assert dataset.root == home
        assert dataset.part("train") == tuple(OWN["train"])
        assert check(dataset) == []
        assert dataset.counts() == {"train": 1464, "val": 1449}


@pytest.mark.parametrize("place", ["SBD", "sbd", "benchmark_RELEASE/dataset", "SBD/dataset"])
def test_sbd_adds_what_it_has_without_the_images_of_val(home, tmp_path, place):
    add_sbd(tmp_path / place)
    dataset = open_dataset("voc", tmp_path)

    assert dataset.part("train") == ("2007_1", "2007_2", "2008_1", "2008_2")
    assert dataset.part("val") == tuple(OWN["val"])
    assert dataset.counts()["train"] == 10_582
    assert check(dataset) == []


def test_masks_of_voc_go_before_those_of_sbd(home, tmp_path):
    add_sbd(home / "SBD")
    dataset = open_dataset("voc", home)

    for image_id in (*OWN["train"], *OWN["val"]):
        assert set(dataset.mask(image_id).ravel()) == {OWN_CLASS, 255}
    assert (dataset.mask("2008_1") == SBD_CLASS).all()


def test_a_mask_of_voc_that_is_missing_is_not_taken_from_sbd(home):
    add_sbd(home / "SBD")
    path = home / "SegmentationClass/2007_1.png"
    path.unlink()

    (line,) = check(open_dataset("voc", home))
    assert f"missing file={path}" in line


def test_the_augmented_folder_gives_the_same_images_and_masks(home):
    add_sbd(home / "SBD")
    with_sbd = open_dataset("voc", home)
    add_augmented(home)
    dataset = open_dataset("voc", home)

    assert dataset.part("train") == with_sbd.part("train")
    assert check(dataset) == []
    for image_id in dataset.part("val"):
        assert (dataset.mask(image_id) == with_sbd.mask(image_id)).all()
    assert content_digest(dataset) != content_digest(with_sbd)


def test_the_augmented_folder_does_without_the_official_one(home):
    add_augmented(home)
    (home / "SegmentationClass").rename(home / "elsewhere")

    assert check(open_dataset("voc", home)) == []


@pytest.mark.parametrize("name", ["train_aug.txt", "trainaug.txt"])
def test_an_augmented_list_says_which_images(home, name):
    add_augmented(home)
    (home / "ImageSets/Segmentation" / name).write_text("2008_2\n2007_1\n")
    dataset = open_dataset("voc", home)

    assert dataset.part("train") == ("2008_2", "2007_1")
    assert dataset.counts()["train"] == 10_582


def test_all_masks_in_the_official_folder_need_only_the_list(home):
    """As public code bases have it, which replace the masks of SegmentationClass."""
    add_augmented(home)
    (home / "SegmentationClassAug").rename(home / "all")
    (home / "ImageSets/Segmentation/trainaug.txt").write_text("2008_2\n2007_1\n")
    (line,) = check(open_dataset("voc", home))
    assert "put the folder SegmentationClassAug or SBD into root=" in line

    (home / "SegmentationClass").rename(home / "old")
    (home / "all").rename(home / "SegmentationClass")
    assert check(open_dataset("voc", home)) == []


MORE = tuple(f"2009_{number:04}" for number in range(2910))


def use_the_layout_of_unimatch(home):
    """More index masks in the official folder than Pascal VOC has, and no further list."""
    add_augmented(home)
    (home / "SegmentationClass").rename(home / "old")
    (home / "SegmentationClassAug").rename(home / "SegmentationClass")
    for image_id in MORE:
        (home / f"SegmentationClass/{image_id}.png").hardlink_to(
            home / "SegmentationClass/2008_1.png"
        )
        (home / f"JPEGImages/{image_id}.jpg").hardlink_to(home / "JPEGImages/2008_1.jpg")


def test_all_masks_in_the_official_folder_need_no_list(home):
    use_the_layout_of_unimatch(home)
    (home / "SegmentationClass/._2008_1.png").write_bytes(b"\0")
    dataset = open_dataset("voc", home)

    assert dataset.part("train") == ("2007_1", "2007_2", "2008_1", "2008_2", *MORE)
    assert dataset.part("val") == tuple(OWN["val"])
    assert dataset.counts()["train"] == 10_582
    assert (dataset.mask("2008_1") == SBD_CLASS).any()
    assert check(dataset) == []
    assert list(dataset.remarks()) == []


def test_images_of_test_are_not_trained_on_for_their_masks(home):
    use_the_layout_of_unimatch(home)
    (home / "ImageSets/Segmentation/test.txt").write_text("2012_9\n")
    write_mask(home / "SegmentationClass/2012_9.png", 1)

    assert "2012_9" not in open_dataset("voc", home).part("train")


def test_a_copy_without_sbd_says_so(home):
    (remark,) = open_dataset("voc", home).remarks()

    assert "1,464 training images; the papers' lists need 10,582: put the folder" in remark


def test_a_copy_without_lists_is_told_where_they_are(home):
    (home / "ImageSets/Segmentation").rename(home / "lists")

    with pytest.raises(DataError, match=r"missing folder=.*VOCtrainval_11-May-2012\.tar"):
        open_dataset("voc", home)


def test_at_paper_scale_pascal_voc_must_have_the_images_of_the_papers(home):
    alone = count_problems(open_dataset("voc", home), of_papers=True)
    use_the_layout_of_unimatch(home)
    reduced = count_problems(open_dataset("voc", home), of_papers=True)

    assert alone[0].startswith("train of voc must have 10582 images, got 2, file=")
    assert "put the folder SegmentationClassAug or SBD into root=" in alone[0]
    assert reduced[0].startswith("train of voc must have 10582 images, got 2914, file=")
    assert "SBD" not in reduced[0]
    assert all(line.endswith("accept a reduced copy: --any-count") for line in alone + reduced)


def test_a_test_list_without_masks_is_no_part(home):
    (home / "ImageSets/Segmentation/test.txt").write_text("2012_9\n")
    assert open_dataset("voc", home).parts == ("train", "val")

    write_mask(home / "SegmentationClass/2012_9.png", 1)
    assert open_dataset("voc", home).parts == ("train", "val", "test")


def damaged(path: Path, kind: str) -> None:
    if kind == "text":
        path.write_text("no mat file")
    elif kind == "cut":
        write_mat(path, np.random.default_rng(0).integers(0, 20, (60, 80), dtype=np.uint8))
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "field":
        savemat(path, {"GTcls": {"Boundaries": 1}})
    elif kind == "name":
        savemat(path, {"GTinst": {"Segmentation": 1}})
    elif kind == "wide":
        write_mat(path, np.zeros((6, 8), dtype=np.uint16))
    elif kind == "class":
        write_mat(path, np.full((6, 8), 21, dtype=np.uint8))
    elif kind == "size":
        write_mat(path, np.zeros((8, 6), dtype=np.uint8))
    else:
        path.unlink()
        path.symlink_to(path)


@pytest.mark.parametrize(
    "kind", ["text", "cut", "field", "name", "wide", "class", "size", "circle"]
)
def test_a_damaged_mat_file_is_one_line_that_names_it(home, kind):
    add_sbd(home / "SBD")
    (home / "ImageSets/Segmentation/train_aug.txt").write_text("2007_1\n2008_1\n2008_2\n")
    path = home / "SBD/cls/2008_1.mat"
    damaged(path, kind)

    (line,) = check(open_dataset("voc", home))
    assert f"file={path}" in line
    assert "\n" not in line
    assert "; " in line


def test_a_folder_of_sbd_without_masks_is_refused(home):
    (home / "SBD").mkdir()
    with pytest.raises(DataError, match=r"must hold the folder cls .*unpack benchmark.tgz"):
        open_dataset("voc", home)
