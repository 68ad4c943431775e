"""Broken files and lists, one kind a case: refused in one line, or read as they are meant."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from semisweep import DataConfig
from semisweep.core.errors import DataError, SemisweepError
from semisweep.data.check import count_problems, inspect
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split
from semisweep.data.voc_folder import PALETTE

Damage = Callable[[Path], Path]
SIZE = (12, 16)
TRAIN = ["2007_1", "2007_2", "2007_3", "2007_4"]
MANIFEST = """
classes = ["background", "cell"]
values = [0, 128]
[train]
images = "images"
masks = "masks"
[val]
images = "val"
masks = "val_masks"
"""


class Case(NamedTuple):
    """A kind of damage: what is done, and words of the line that refuses it; none if it is read."""

    layout: str
    damage: Damage
    words: tuple[str, ...]


def noise(seed: int, channels: int = 3) -> np.ndarray:
    shape = (*SIZE, channels) if channels > 1 else SIZE
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def voc(root: Path) -> None:
    for seed, name in enumerate([*TRAIN, "2007_8", "2007_9"]):
        save(root / f"JPEGImages/{name}.jpg", noise(seed))
        save(root / f"SegmentationClass/{name}.png", noise(seed, 1) % 21)
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(TRAIN))
    (lists / "val.txt").write_text("2007_8\n2007_9\n")


def cityscapes(root: Path) -> None:
    for part, city in (("train", "ulm"), ("val", "bonn")):
        for number in range(2):
            name = f"{city}_00000{number}_000019"
            save(root / f"leftImg8bit/{part}/{city}/{name}_leftImg8bit.png", noise(number))
            mask = root / f"gtFine/{part}/{city}/{name}_gtFine_labelIds.png"
            save(mask, noise(number, 1) % 34)


def lucchi(root: Path) -> None:
    for seed, name in enumerate(("training", "testing")):
        write_stack(root / f"{name}.tif", [noise(10 * seed + page, 1) for page in range(3)])
        masks = [255 * (noise(page, 1) % 2) for page in range(3)]
        write_stack(root / f"{name}_groundtruth.tif", masks)


def own(root: Path) -> None:
    for seed, name in enumerate(("cat", "dog", "owl")):
        save(root / f"images/{name}.png", noise(seed))
        save(root / f"masks/{name}.png", 128 * (noise(seed, 1) % 2))
    save(root / "val/ape.png", noise(7))
    save(root / "val_masks/ape.png", 128 * (noise(7, 1) % 2))
    (root / "dataset.toml").write_text(MANIFEST)


LAYOUTS = {"voc": voc, "cityscapes": cityscapes, "lucchi": lucchi, "own": own}


def write_stack(path: Path, pages: list[np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = map(Image.fromarray, pages)
    first.save(path, save_all=True, append_images=rest)
    return path


IMAGE = "JPEGImages/2007_1.jpg"
MASK = "SegmentationClass/2007_1.png"
LIST = "ImageSets/Segmentation/train.txt"
CITY_MASK = "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"
CITY_IMAGE = "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png"


def remove(name: str) -> Damage:
    def damage(root: Path) -> Path:
        (root / name).unlink()
        return root / name

    return damage


def content(name: str, data: bytes) -> Damage:
    def damage(root: Path) -> Path:
        (root / name).write_bytes(data)
        return root / name

    return damage


def cut(name: str, share: float) -> Damage:
    def damage(root: Path) -> Path:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data[: int(share * len(data))])
        return root / name

    return damage


def picture(name: str, pixels: np.ndarray, mode: str = "", **options: object) -> Damage:
    def damage(root: Path) -> Path:
        image = Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(root / name, **options)
        return root / name

    return damage


def renamed(name: str, other: str) -> Damage:
    def damage(root: Path) -> Path:
        (root / name).rename(root / other)
        return root / other

    return damage


def lines(text: str, name: str = LIST, encoding: str = "utf-8") -> Damage:
    return content(name, text.encode(encoding))


def bomb(name: str) -> Damage:
    """A PNG of a few bytes whose header promises 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return content(name, b"\x89PNG\r\n\x1a\n" + body)


def turned(name: str, orientation: int = 6) -> Damage:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(name, noise(0), exif=exif)


def loop(name: str) -> Damage:
    def damage(root: Path) -> Path:
        (root / name).unlink()
        (root / name).symlink_to((root / name).name)
        return root / name

    return damage


def a_folder(name: str) -> Damage:
    def damage(root: Path) -> Path:
        (root / name).unlink()
        (root / name).mkdir()
        return root / name

    return damage


def without_folder(name: str) -> Damage:
    def damage(root: Path) -> Path:
        (root / name).rename(root / "elsewhere")
        return root

    return damage


def wrong_palette(root: Path) -> Path:
    """A mask of VOC's colours, saved with a palette of the colours that occur, by frequency."""
    colours = np.array(PALETTE, dtype=np.uint8)[noise(0, 1) % 3 + 4]
    Image.fromarray(colours).quantize(8).save(root / MASK)
    return root / MASK


def right_palette(root: Path) -> Path:
    mask = Image.fromarray(noise(0, 1) % 21)
    mask.putpalette(np.array(PALETTE, dtype=np.uint8).tobytes())
    mask.save(root / MASK)
    return root / MASK


def grey_palette(root: Path) -> Path:
    mask = Image.fromarray(noise(0, 1) % 21)
    mask.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    mask.save(root / MASK)
    return root / MASK


def sbd(data: bytes | None) -> Damage:
    def damage(root: Path) -> Path:
        path = root / "SBD/cls/2008_1.mat"
        path.parent.mkdir(parents=True)
        save(root / "JPEGImages/2008_1.jpg", noise(5))
        if data is None:
            savemat(path, {"GTinst": {"Segmentation": noise(0, 1) % 21}})
        else:
            path.write_bytes(data)
        return path

    return damage


def circle_of_cities(root: Path) -> Path:
    (root / "leftImg8bit/train/ulm/back").symlink_to(root / "leftImg8bit/train")
    (root / "leftImg8bit/train/circle").symlink_to("circle")
    return root


def train_ids(pixels: np.ndarray) -> Damage:
    name = CITY_MASK.replace("labelIds", "labelTrainIds")
    return picture(name, pixels)


def stack(name: str, pages: list[np.ndarray]) -> Damage:
    return lambda root: write_stack(root / f"{name}.tif", pages)


def manifest(old: str, new: str) -> Damage:
    def damage(root: Path) -> Path:
        path = root / "dataset.toml"
        path.write_text(path.read_text().replace(old, new))
        return path

    return damage


def copied(name: str, other: str) -> Damage:
    def damage(root: Path) -> Path:
        (root / other).write_bytes((root / name).read_bytes())
        return root / other

    return damage


DEEP = noise(0, 1).astype(np.uint16) * 257
SMALL = noise(1, 1)[:6, :8] % 21
COLOURS = np.array(PALETTE, dtype=np.uint8)[noise(0, 1) % 21]
ONLY_CITY_IDS = np.full(SIZE, 33, dtype=np.uint8)

# Refused; the line names the file and what to do.
REFUSED = {
    "missing image": Case("voc", remove(IMAGE), ("image in a list must exist", "restore it")),
    "missing mask": Case("voc", remove(MASK), ("mask in a list must exist", "restore it")),
    "truncated JPEG": Case("voc", cut(IMAGE, 0.7), ("image must decode", "replace the file")),
    "header alone": Case("voc", cut(IMAGE, 0.2), ("image must decode", "replace the file")),
    "truncated mask": Case("voc", cut(MASK, 0.6), ("mask must decode", "replace the file")),
    "empty image": Case("voc", content(IMAGE, b""), ("image must decode", "replace the file")),
    "text for an image": Case("voc", content(IMAGE, b"404"), ("image must decode", "replace")),
    "HTML for a mask": Case("voc", content(MASK, b"<html>"), ("mask must decode", "replace")),
    "decompression bomb": Case("voc", bomb(IMAGE), ("image must decode", "exceeds limit")),
    "bomb for a mask": Case("voc", bomb(MASK), ("mask must decode", "exceeds limit")),
    "link to itself": Case("voc", loop(IMAGE), ("image must decode", "symbolic links")),
    "folder for an image": Case("voc", a_folder(IMAGE), ("image must decode", "directory")),
    "16 bits an image": Case("voc", picture(IMAGE, DEEP, format="PNG"), ("8 bits", "convert")),
    "floats": Case("voc", picture(IMAGE, DEEP, "F", format="TIFF"), ("8 bits", "convert it")),
    "upper-case suffix": Case(
        "voc", renamed(IMAGE, "JPEGImages/2007_1.JPG"), ("rename 2007_1.JPG",)
    ),
    "PNG for JPEG": Case("voc", renamed(IMAGE, "JPEGImages/2007_1.png"), ("rename 2007_1.png",)),
    "RGB mask": Case("voc", picture(MASK, COLOURS), ("mode=RGB", "convert its colours")),
    "RGBA mask": Case("voc", picture(MASK, COLOURS, "RGBA"), ("mode=RGBA", "convert")),
    "mask with alpha": Case("voc", picture(MASK, SMALL, "LA"), ("mode=LA", "convert")),
    "mask of one bit": Case("voc", picture(MASK, SMALL, "1"), ("mode=1", "convert")),
    "16-bit mask": Case("voc", picture(MASK, DEEP), ("mode=I;16", "convert its 16 bits")),
    "wrong palette": Case("voc", wrong_palette, ("colours of the classes", "map its colours")),
    "class that does not exist": Case(
        "voc", picture(MASK, ONLY_CITY_IDS), ("id=33 at 192 pixels", "correct the mask")
    ),
    "mask of another size": Case("voc", picture(MASK, SMALL), ("image 16x12, mask 8x6", "restore")),
    "no list": Case("voc", remove(LIST), ("list of images must exist", "restore it")),
    "list in UTF-16": Case("voc", lines("2007_1", encoding="utf-16"), ("text", "save it as UTF-8")),
    "list with zero bytes": Case("voc", lines("2007_1\0\0"), ("zero byte", "save it as UTF-8")),
    "duplicate ids": Case("voc", lines("2007_1\n2007_2\n2007_1"), ("once", "'2007_1' twice")),
    "duplicate by format": Case(
        "voc", lines("2007_1\nJPEGImages/2007_1.jpg m/2007_1.png"), ("once", "'2007_1' twice")
    ),
    "names with spaces": Case("voc", lines("2007_1\nmy cat"), ("'my cat'", "rename files")),
    "three words a line": Case("voc", lines("a.jpg a.png c.png"), ("rename files",)),
    "path traversal": Case(
        "voc", lines("2007_2\n../../etc/2007_1.jpg"), ("beneath the root", "take it off")
    ),
    "traversal by backslash": Case("voc", lines("..\\x\\2007_1"), ("beneath the root", "take it")),
    "image in two parts": Case("voc", lines("2007_8"), ("must not share images", "2007_8")),
    "no folder of images": Case("voc", without_folder("JPEGImages"), ("folder JPEGImages",)),
    "SBD of another kind": Case("voc", sbd(None), ("GTcls.Segmentation", "restore it")),
    "SBD of text": Case("voc", sbd(b"not found"), ("GTcls.Segmentation", "restore it")),
    "no SBD masks": Case(
        "voc", lambda root: (root / "SBD").mkdir() or root / "SBD", ("unpack benchmark.tgz",)
    ),
    "34 ids as train ids": Case(
        "cityscapes", train_ids(noise(0, 1) % 34), ("train ids up to 18", "delete it")
    ),
    "colours as label ids": Case(
        "cityscapes", picture(CITY_MASK, COLOURS), ("mode=RGB", "convert its colours")
    ),
    "instance ids as label ids": Case(
        "cityscapes", picture(CITY_MASK, DEEP), ("mode=I;16", "convert its 16 bits")
    ),
    "value that is no label id": Case(
        "cityscapes", picture(CITY_MASK, ONLY_CITY_IDS + 4), ("value=37", "restore it")
    ),
    "image of a city misnamed": Case(
        "cityscapes",
        renamed(CITY_IMAGE, CITY_IMAGE.replace("_leftImg8bit.png", ".png")),
        ("must be named CITY/ID_leftImg8bit.png", "restore its name"),
    ),
    "city without masks": Case("cityscapes", remove(CITY_MASK), ("have its mask", "restore it")),
    "no folder of masks": Case("cityscapes", without_folder("gtFine"), ("gtFine", "unzip")),
    "stack of another depth": Case(
        "lucchi", stack("training", [noise(0, 1)] * 2), ("slices=2, masks=3", "restore")
    ),
    "stack of 16 bits": Case("lucchi", stack("training", [DEEP] * 3), ("8 bits", "convert it")),
    "stack of other values": Case(
        "lucchi", stack("training_groundtruth", [ONLY_CITY_IDS] * 3), ("value=33", "restore")
    ),
    "missing stack": Case("lucchi", remove("testing.tif"), ("missing file", "download it")),
    "turned by EXIF": Case("own", turned("images/cat.png"), ("EXIF", "turn its pixels")),
    "file name with spaces": Case(
        "own", renamed("images/cat.png", "images/my cat.png"), ("white space", "rename it")
    ),
    "names that differ in suffix": Case(
        "own", copied("images/cat.png", "images/cat.bmp"), ("more than their suffix", "rename")
    ),
    "the same image twice": Case(
        "own", copied("images/cat.png", "val/cat.png"), ("of val, equal to", "remove one")
    ),
    "mask without image": Case("own", remove("images/cat.png"), ("belong to an image", "restore")),
    "value outside the manifest": Case(
        "own", picture("masks/cat.png", ONLY_CITY_IDS), ("value=33", "correct the mask")
    ),
    "unknown word in the manifest": Case("own", manifest("masks =", "mask ="), ("manifest",)),
    "folder of the manifest missing": Case(
        "own", manifest('"masks"', '"labels"'), ("missing folder", "correct the manifest")
    ),
}

# Read as it is meant.
READ = {
    "Windows line ends": Case("voc", lines("2007_1\r\n2007_2\r\n"), ()),
    "byte order mark": Case("voc", lines("2007_1\n2007_2", encoding="utf-8-sig"), ()),
    "blank lines": Case("voc", lines("\n2007_1\n \n\n2007_2\n\n"), ()),
    "no last line end": Case("voc", lines("2007_1\n2007_2"), ()),
    "paths and tabs": Case("voc", lines("JPEGImages/2007_1.jpg\tx/2007_1.png\n2007_2"), ()),
    "Windows paths": Case("voc", lines("JPEGImages\\2007_1.jpg\n2007_2"), ()),
    "grey image": Case("voc", picture(IMAGE, noise(0), "L"), ()),
    "CMYK image": Case("voc", picture(IMAGE, noise(0), "CMYK"), ()),
    "PNG named JPEG": Case("voc", picture(IMAGE, noise(0), "RGBA", format="PNG"), ()),
    "palette of the classes": Case("voc", right_palette, ()),
    "palette of greys": Case("voc", grey_palette, ()),
    "image of VOC with an EXIF tag": Case("voc", turned(IMAGE), ()),
    "links in circles": Case("cityscapes", circle_of_cities, ()),
    "masks of zero and one": Case(
        "lucchi", stack("training_groundtruth", [noise(0, 1) % 2] * 3), ()
    ),
    "image without a mask": Case("own", remove("masks/cat.png"), ()),
}


def damaged(case: Case, root: Path) -> tuple[Path, list[str]]:
    """Return what was damaged, and the lines that reading the data set gives."""
    LAYOUTS[case.layout](root)
    clean = inspect(open_dataset(case.layout, root))
    assert clean.problems == []
    path = case.damage(root)
    try:
        return path, inspect(open_dataset(case.layout, root)).problems
    except SemisweepError as error:
        return path, [str(error)]


def test_there_are_more_than_thirty_kinds_of_broken_data() -> None:
    assert len(REFUSED) >= 50
    assert len(REFUSED) + len(READ) >= 65


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_it_is_refused_in_one_line_that_names_the_file_and_the_remedy(
    case: Case, tmp_path: Path
) -> None:
    path, problems = damaged(case, tmp_path)
    found = [line for line in problems if all(word in line for word in case.words)]

    assert found, problems
    named = path.with_suffix("").name
    assert named in found[0] or str(path.parent) in found[0]
    assert "\n" not in found[0]
    assert len(found[0]) < 600 + len(str(path))


@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_it_is_read_as_it_is_meant(case: Case, tmp_path: Path) -> None:
    _, problems = damaged(case, tmp_path)
    dataset = open_dataset(case.layout, tmp_path)

    assert problems == []
    for image_id in dataset.part("train"):
        assert dataset.image(image_id).shape == (*SIZE, 3)
        assert dataset.image(image_id).dtype == np.uint8
    if case.layout == "voc":
        assert dataset.part("train")[:2] == ("2007_1", "2007_2")


def test_a_whole_copy_with_an_image_less_is_refused_by_its_count(tmp_path: Path) -> None:
    cityscapes(tmp_path)
    (line, _) = count_problems(open_dataset("cityscapes", tmp_path))

    assert "train of cityscapes must have 2975 images, got 2" in line
    assert "restore those that are missing" in line


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "words"),
    [
        ("2007_1\n2007_2", "2007_2\n2007_3", ("must not overlap", "take them off")),
        ("2007_1\n2007_8", "2007_2", ("training images only", "2007_8")),
        ("2007_1\n2007_1", "2007_2", ("each image once", "2007_1")),
        ("2007_1", "2007_2", ("named after its number", "lines=1")),
        ("../2007_1\n2007_2", "2007_3", ("beneath the root", "take it off")),
        ("2007_1\nmy cat", "2007_3", ("rename files", "'my cat'")),
    ],
)
def test_broken_lists_of_a_split_are_refused_by_name(
    tmp_path: Path, labelled: str, unlabelled: str, words: tuple[str, ...]
) -> None:
    voc(tmp_path)
    folder = tmp_path / "splits/mine/2"
    folder.mkdir(parents=True)
    (folder / "labelled.txt").write_text(labelled)
    (folder / "unlabelled.txt").write_text(unlabelled)
    with pytest.raises(DataError) as caught:
        make_split(open_dataset("voc", tmp_path), DataConfig(name="voc", family="mine", labelled=2))

    assert all(word in str(caught.value) for word in words)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
