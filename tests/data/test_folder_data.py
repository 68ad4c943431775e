"""Data sets of the user's own: what a manifest may say, and the line for what it may not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semisweep import DataConfig
from semisweep.core.errors import ConfigError, DataError
from semisweep.data.check import check, content_digest, inspect
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split

MANIFEST = """
classes = ["background", "cell", "wall"]
values = [0, 128, 255]
ignore = 7

[train]
images = "train/images"
masks = "train/masks"
mask_suffix = "_mask"

[val]
images = "val"
masks = "val_masks"
"""


def write_image(path: Path, seed: int, size: tuple[int, int] = (6, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_mask(path: Path, values: tuple[int, ...] = (0, 128, 255, 7)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(values, dtype=np.uint8), (6, 8))).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "dataset.toml").write_text(MANIFEST)
    for seed, name in enumerate(["a.jpg", "b.PNG", "c.tif", "d.jpeg"]):
        write_image(tmp_path / "train/images" / name, seed)
    for name in ("a", "b", "d"):
        write_mask(tmp_path / f"train/masks/{name}_mask.png")
    write_image(tmp_path / "val/a.png", 9)
    write_mask(tmp_path / "val_masks/a.png")
    return tmp_path


def lines_of(root: Path) -> list[str]:
    lines = check(open_dataset("mine", root))
    assert not any("\n" in line for line in lines)
    return lines


def test_folders_are_parts_and_values_are_classes(root):
    dataset = open_dataset("mine", root)

    assert dataset.name == "mine"
    assert dataset.parts == ("train", "val")
    assert dataset.part("train") == ("a", "b", "c", "d")
    assert dataset.part("val") == ("val/a",)
    assert dataset.mask("a").ravel()[:4].tolist() == [0, 1, 2, 255]
    assert dataset.image("b").shape == (6, 8, 3)
    assert (dataset.image("a") != dataset.image("val/a")).any()
    assert len(dataset.palette) == 3
    assert check(dataset) == []


def test_images_without_a_mask_are_unlabelled(root):
    dataset = open_dataset("mine", root)
    split = make_split(dataset, DataConfig(name="mine", family="random", labelled=3))
    found = inspect(dataset)

    assert [dataset.has_mask(name) for name in "abcd"] == [True, True, False, True]
    assert split.labelled == ("a", "b", "d")
    assert split.unlabelled == ("c",)
    assert found.notes[-1] == "without a mask, so never labelled: 1 images"
    with pytest.raises(DataError, match=r"a mask in a list must exist, missing file=.*c_mask.png"):
        dataset.mask("c")


def test_classes_that_no_mask_shows_are_noted(root):
    for path in (*(root / "train/masks").iterdir(), root / "val_masks/a.png"):
        write_mask(path, (0, 7, 255))
    found = inspect(open_dataset("mine", root))

    assert found.problems == []
    assert "no mask shows 1 of 3 classes: cell" in found.notes


def test_two_parts_may_share_a_folder_and_be_told_apart_by_lists(root):
    shared = MANIFEST.replace('images = "val"', 'images = "train/images"\nlist = "val.txt"')
    shared = shared.replace('masks = "val_masks"', 'masks = "train/masks"\nmask_suffix = "_mask"')
    shared = shared.replace("[val]", 'list = "train.txt"\n[val]')
    (root / "dataset.toml").write_text(shared)
    (root / "train.txt").write_bytes(b"\xef\xbb\xbfa.jpg\r\n\r\nc\r\n")
    (root / "val.txt").write_text("d.jpeg\nb\n")
    dataset = open_dataset("mine", root)

    assert dataset.part("train") == ("a", "c")
    assert dataset.part("val") == ("d", "b")
    assert check(dataset) == []

    (root / "val.txt").write_text("d.jpeg\na\n")
    assert "parts must not share images, got 1 in both train and val" in lines_of(root)[0]

    (root / "val.txt").write_text("../../secret.png\n")
    (line,) = lines_of(root)
    assert "must name files of folder train/images, got '../../secret.png'" in line


def test_the_same_image_in_two_parts_is_found_under_any_name(root):
    image = (root / "train/images/d.jpeg").read_bytes()
    (root / "val/a.jpg").write_bytes(image)
    (root / "val/a.png").unlink()

    (line,) = lines_of(root)
    first = root / "train/images/d.jpeg"
    assert f"file={root / 'val/a.jpg'} of val, equal to {first} of train; remove one" in line


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: write_mask(root / "train/masks/a_mask.png", (0, 1)), "got value=1 at 24"),
        (lambda root: write_mask(root / "train/masks/x_mask.png"), "belong to an image named x"),
        (lambda root: (root / "val_masks/a.png").unlink(), "val_masks/a.png"),
        (lambda root: write_image(root / "train/images/a.jpg", 0, (8, 6)), "image 6x8, mask 8x6"),
        (lambda root: write_image(root / "train/masks/a_mask.png", 0), "mode=RGB"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(root, damage, words):
    damage(root)

    (line,) = lines_of(root)
    assert words in line
    assert "file=" in line


def test_turned_images_and_deep_masks_are_refused_and_grey_and_cmyk_are_read(root):
    folder = root / "train/images"
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(4).integers(0, 255, (6, 8), dtype=np.uint8)
    Image.fromarray(pixels).convert("RGB").save(folder / "a.jpg", exif=exif)
    Image.fromarray(pixels).save(folder / "b.PNG")
    Image.fromarray(pixels).convert("CMYK").save(folder / "d.jpeg")
    deep = root / "val_masks/a.png"
    Image.fromarray(np.zeros((6, 8), dtype=np.uint16)).save(deep)
    lines = lines_of(root)

    assert len(lines) == 2
    assert f"got orientation=6, file={folder / 'a.jpg'}" in lines[0]
    assert f"got mode=I;16, file={deep}; convert its 16 bits" in lines[1]


def test_an_image_too_large_to_be_true_is_refused(root, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)

    lines = lines_of(root)
    assert any("an image must decode, got file=" in line and "a.jpg" in line for line in lines)


@pytest.mark.parametrize(
    ("name", "words"), [("a b.png", "no white space"), ("a.png", "more than their suffix")]
)
def test_names_that_lists_could_not_name_are_refused(root, name, words):
    write_image(root / "train/images" / name, 7)
    with pytest.raises(DataError, match=words) as caught:
        open_dataset("mine", root).part("train")
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[train]", "[train", "must be right"),
        ("classes =", "clases =", "clases"),
        ("values = [0, 128, 255]", "values = [0, 128]", "one a class, got 2 values, 3 classes"),
        ("values = [0, 128, 255]", "values = [0, 0, 255]", "values must differ"),
        ("values = [0, 128, 255]", "values = [0, 128, 256]", "less than or equal to 255"),
        ("ignore = 7", "ignore = 128", "the value of no class, got ignore=128"),
        ('masks = "val_masks"', "", "must have masks, got no val.masks"),
        ('images = "val"', 'images = "nowhere"', "missing folder="),
        ('"cell", "wall"', '"cell", "cell"', "classes must differ"),
    ],
)
def test_a_wrong_manifest_is_one_line_that_names_it(root, old, new, words):
    assert old in MANIFEST
    (root / "dataset.toml").write_text(MANIFEST.replace(old, new))
    with pytest.raises(DataError) as caught:
        open_dataset("mine", root)
    message = str(caught.value)

    assert words in message
    assert "dataset.toml" in message
    assert "\n" not in message


def test_without_a_manifest_a_name_is_unknown(tmp_path):
    with pytest.raises(ConfigError, match=r"did you mean cityscapes.*dataset\.toml"):
        open_dataset("cityscape", tmp_path)


def test_the_content_digest_sees_a_mask_that_is_added(root):
    before = content_digest(open_dataset("mine", root))
    write_mask(root / "train/masks/c_mask.png")

    assert content_digest(open_dataset("mine", root)) != before


def test_the_content_digest_sees_what_the_manifest_says(root):
    before = content_digest(open_dataset("mine", root))
    manifest = root / "dataset.toml"
    manifest.write_text(manifest.read_text() + "\n# a remark\n")

    assert content_digest(open_dataset("mine", root)) != before
