"""Data sets in the Pascal VOC layout: reading, the messages for what is wrong, checks, digests."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semisweep.core.errors import ConfigError, DataError, SemisweepError
from semisweep.data import voc_folder
from semisweep.data.check import check, content_digest
from semisweep.data.reading import PixelCache, read_list
from semisweep.data.registry import open_dataset

LISTS = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e"]}


def write_image(path: Path, height: int = 6, width: int = 8, value: int = 90) -> None:
    Image.fromarray(np.full((height, width, 3), value, dtype=np.uint8)).save(path)


def write_mask(path: Path, mask: np.ndarray, palette: bool = True) -> None:
    coloured = Image.fromarray(mask)
    if palette:
        coloured.putpalette([value for colour in voc_folder.voc_palette(256) for value in colour])
    coloured.save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in (voc_folder.IMAGES, voc_folder.MASKS, voc_folder.LISTS):
        (tmp_path / folder).mkdir(parents=True)
    for part, ids in LISTS.items():
        (tmp_path / voc_folder.LISTS / f"{part}.txt").write_text("\n".join(ids))
        for image_id in ids:
            write_image(tmp_path / voc_folder.IMAGES / f"{image_id}.jpg")
            mask = np.zeros((6, 8), dtype=np.uint8)
            mask[2:4, 2:4] = 20
            mask[0, 0] = 255
            write_mask(
                tmp_path / voc_folder.MASKS / f"{image_id}.png", mask, palette=image_id != "b"
            )
    return tmp_path


def problem(root: Path, image_id: str, read: str = "mask") -> str:
    """Return the one line said about a broken file, which `check` must say as well."""
    dataset = open_dataset("voc", root)
    with pytest.raises(DataError) as caught:
        getattr(dataset, read)(image_id)
    message = str(caught.value)
    assert "\n" not in message
    assert check(dataset) == [message]
    return message


def test_palette_and_grey_masks_hold_class_indices(root):
    dataset = open_dataset("voc", root)

    assert dataset.image("a").shape == (6, 8, 3)
    assert dataset.image("a").dtype == np.uint8
    for image_id in ("a", "b"):
        mask = dataset.mask(image_id)
        assert mask.dtype == np.uint8
        assert sorted(np.unique(mask)) == [0, 20, 255]
    assert check(dataset) == []


def test_pascal_has_its_21_classes_and_colours(root):
    dataset = open_dataset("voc", root)

    assert len(dataset.classes) == len(dataset.palette) == 21
    known = {"background": (0, 0, 0), "aeroplane": (128, 0, 0), "cow": (64, 128, 0)}
    known |= {"person": (192, 128, 128), "tvmonitor": (0, 64, 128)}
    for name, colour in known.items():
        assert dataset.palette[dataset.classes.index(name)] == colour
    assert voc_folder.voc_palette(256)[255] == (224, 224, 192)


def test_what_is_read_can_be_changed_without_changing_what_is_read_next(root):
    dataset = open_dataset("voc", root)
    for read in (dataset.image, dataset.mask):
        first = read("a")
        original = first.copy()
        first[:] = 1
        assert (read("a") == original).all()


def test_a_missing_image_is_named(root):
    (root / voc_folder.IMAGES / "b.jpg").unlink()
    message = problem(root, "b", "image")

    assert "image in a list must exist, missing file=" in message
    assert str(root / voc_folder.IMAGES / "b.jpg") in message


def test_a_missing_mask_is_named(root):
    (root / voc_folder.MASKS / "b.png").unlink()

    assert (
        f"mask in a list must exist, missing file={root / voc_folder.MASKS / 'b.png'}"
        in problem(root, "b")
    )


@pytest.mark.parametrize(
    ("folder", "name", "read"),
    [(voc_folder.IMAGES, "c.jpg", "image"), (voc_folder.MASKS, "c.png", "mask")],
)
@pytest.mark.parametrize("damage", ["text", "empty", "cut"])
def test_a_file_that_does_not_decode_is_named(root, folder, name, read, damage):
    path = root / folder / name
    noise = np.random.default_rng(0).integers(0, 20, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise if read == "image" else noise[..., 0]).save(path)
    whole = path.read_bytes()
    other = root / (voc_folder.MASKS if read == "image" else voc_folder.IMAGES)
    if read == "image":
        write_mask(other / "c.png", np.zeros((60, 80), dtype=np.uint8))
    else:
        write_image(other / "c.jpg", 60, 80)
    path.write_bytes({"text": b"hello", "empty": b"", "cut": whole[: len(whole) // 2]}[damage])
    message = problem(root, "c", read)

    assert f"{read} must decode, got file={path}" in message
    assert message.count(str(path)) == 1


def test_a_class_id_out_of_range_is_named_with_the_highest(root):
    mask = np.zeros((6, 8), dtype=np.uint8)
    mask[1, 1:4] = 21
    write_mask(root / voc_folder.MASKS / "a.png", mask)
    message = problem(root, "a")

    assert "class ids up to 20, or 255 to ignore, got id=21 at 3 pixels" in message
    assert str(root / voc_folder.MASKS / "a.png") in message


def test_a_mask_of_colours_is_refused(root):
    write_image(root / voc_folder.MASKS / "a.png")
    message = problem(root, "a")

    assert "one class index a pixel (PNG mode P or L), got mode=RGB" in message
    assert "convert its colours to class indices" in message


@pytest.mark.parametrize("image_first", [True, False])
def test_different_sizes_are_both_named(root, image_first):
    write_image(root / voc_folder.IMAGES / "a.jpg", height=5, width=9)
    dataset = open_dataset("voc", root)
    if image_first:
        dataset.image("a")
    with pytest.raises(DataError, match="got image 9x5, mask 8x6, file="):
        dataset.mask("a")
    problem(root, "a")


def test_a_missing_root_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"must exist, got root=.*/no; .*--data voc=PATH"):
        open_dataset("voc", tmp_path / "no")
    with pytest.raises(DataError, match="semisweep data make shapes --root"):
        open_dataset("shapes", tmp_path / "no")


def test_another_layout_is_refused(tmp_path):
    with pytest.raises(DataError, match="must hold the folder JPEGImages"):
        open_dataset("voc", tmp_path)


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="unknown data set 'shape'; did you mean shapes"):
        open_dataset("shape", tmp_path)
    with pytest.raises(ConfigError, match="unknown part"):
        open_dataset_part(tmp_path)


def open_dataset_part(tmp_path: Path) -> None:
    for folder in (voc_folder.IMAGES, voc_folder.MASKS, voc_folder.LISTS):
        (tmp_path / folder).mkdir(parents=True)
    open_dataset("voc", tmp_path).part("validation")


def test_parts_are_those_that_have_a_list(root):
    (root / voc_folder.LISTS / "test.txt").unlink()
    dataset = open_dataset("voc", root)

    assert dataset.parts == ("train", "val")
    with pytest.raises(DataError, match=r"list of images must exist, missing file=.*test.txt"):
        dataset.part("test")


@pytest.mark.parametrize(
    "content",
    [
        b"a\nb\nc",
        b"a\r\nb\r\nc\r\n",
        b"\xef\xbb\xbfa\n\nb\n  c  \n",
        b"JPEGImages/a.jpg SegmentationClass/a.png\nJPEGImages/b.jpg\tx\nc.jpg",
    ],
)
def test_lists_of_every_usual_format_are_read(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)

    assert read_list(tmp_path / "list.txt") == ("a", "b", "c")


def test_an_id_may_hold_dots(tmp_path):
    (tmp_path / "list.txt").write_text("2007.01\nJPEGImages/2007.02.jpg\n")

    assert read_list(tmp_path / "list.txt") == ("2007.01", "2007.02")


def test_a_list_that_is_no_text_or_empty_or_doubled_is_refused(root):
    path = root / voc_folder.LISTS / "train.txt"
    dataset = open_dataset("voc", root)
    for content, message in (
        (b"\xff\xfe\x00", "readable text"),
        (b"\n", "at least one image"),
        (b"a\nb\na\n", "each image once, got 'a' twice"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            dataset.part("train")
        assert str(path) in str(caught.value)


def test_a_check_finds_every_problem_at_once(root):
    (root / voc_folder.LISTS / "train.txt").write_text("a\nb\na\nc\nd\n")
    (root / voc_folder.LISTS / "test.txt").write_text("")
    (root / voc_folder.IMAGES / "b.jpg").write_bytes(b"no")
    (root / voc_folder.MASKS / "c.png").unlink()
    seen = []
    problems = check(open_dataset("voc", root), lambda done, total: seen.append((done, total)))
    expected = [
        "'a' twice in train",
        "got 0 in test",
        "got 1 in both train and val, such as 'd'",
        "b.jpg",
        "c.png",
    ]

    assert len(problems) == len(expected)
    for words, line in zip(expected, problems, strict=True):
        assert re.search(re.escape(words), line)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_broken_image_does_not_hide_its_broken_mask(root):
    (root / voc_folder.IMAGES / "b.jpg").unlink()
    write_mask(root / voc_folder.MASKS / "b.png", np.full((6, 8), 77, dtype=np.uint8))
    problems = check(open_dataset("voc", root))

    assert len(problems) == 2
    assert "id=77" in problems[1]


def test_a_missing_list_is_a_problem(root):
    (root / voc_folder.LISTS / "val.txt").unlink()

    assert ["val.txt" in line for line in check(open_dataset("voc", root))] == [True]


def test_the_content_digest_sees_every_file(root):
    digest = content_digest(open_dataset("voc", root))
    assert re.fullmatch("[0-9a-f]{20}", digest)
    assert content_digest(open_dataset("voc", root)) == digest

    (root / "notes.txt").write_text("not part of it")
    assert content_digest(open_dataset("voc", root)) == digest

    seen = {digest}
    for path in (root / voc_folder.IMAGES / "e.jpg", root / voc_folder.MASKS / "a.png"):
        path.write_bytes(path.read_bytes() + b"\0")
        seen.add(content_digest(open_dataset("voc", root)))
    (root / voc_folder.LISTS / "val.txt").write_text("d\n")
    seen.add(content_digest(open_dataset("voc", root)))
    assert len(seen) == 4

    (root / voc_folder.MASKS / "a.png").unlink()
    with pytest.raises(SemisweepError, match=r"a\.png"):
        content_digest(open_dataset("voc", root))


def test_images_and_masks_are_decoded_once_and_copied(root, monkeypatch):
    dataset = open_dataset("voc", root)
    first = dataset.image("a")
    assert dataset.decoded("a") is dataset.decoded("a")
    assert (np.asarray(dataset.decoded("a")) == first).all()
    mask = dataset.mask("a")
    for path in (dataset.image_file("a"), dataset.mask_file("a")):
        path.unlink()
    wanted = first.copy(), mask.copy()
    first[:], mask[:] = 7, 7

    assert (dataset.image("a") == wanted[0]).all()
    assert (dataset.mask("a") == wanted[1]).all()


def test_a_decoded_image_counts_what_it_takes_in_memory():
    cache = PixelCache(limit_bytes=100)
    picture = Image.new("RGB", (5, 4))
    cache.put(("image", "a"), picture)
    assert cache.used_bytes == 80
    cache.put(("mask", "a"), np.zeros(21, dtype=np.uint8))

    assert cache.get(("image", "a")) is None
    assert cache.used_bytes == 21


def test_the_cache_is_bounded_and_drops_the_least_recently_used():
    cache = PixelCache(limit_bytes=100)
    for name in "abc":
        cache.put(("image", name), np.zeros(40, dtype=np.uint8))
        cache.get(("image", "a"))
    cache.put(("image", "big"), np.zeros(101, dtype=np.uint8))

    held = [name for name in ("a", "b", "c", "big") if cache.get(("image", name)) is not None]
    assert held == ["a", "c"]
    assert cache.used_bytes == 80
    assert pickle.loads(pickle.dumps(cache)).used_bytes == 0
