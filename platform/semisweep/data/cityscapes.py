"""Cityscapes as it is downloaded: 19 classes, 2,975 images to train on and 500 to validate.

ROOT/leftImg8bit/{train,val}/CITY/ID_leftImg8bit.png              leftImg8bit_trainvaltest.zip
ROOT/gtFine/{train,val}/CITY/ID_gtFine_labelTrainIds.png          made by cityscapesscripts, or
ROOT/gtFine/{train,val}/CITY/ID_gtFine_labelIds.png               gtFine_trainvaltest.zip

An id is CITY_SEQUENCE_FRAME. Where a mask of train ids is there, it is read; otherwise label ids
are turned into train ids while reading, and kept in memory like any mask. Nothing is written: the
folder may be read-only or shared, and the look-up takes a fraction of what decoding takes. The test
part is never read: its masks are not public. Classes, ids and colours:
github.com/mcordts/cityscapesScripts, labels.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from semisweep.core.errors import DataError
from semisweep.data.base import DataSet, Palette
from semisweep.data.mask_values import ValueTable
from semisweep.data.reading import CITYSCAPES_SUFFIX, IGNORE, Pixels

IMAGES = "leftImg8bit"
MASKS = "gtFine"
IMAGE_END = f"{CITYSCAPES_SUFFIX}.png"
LABEL_IDS_END = "_gtFine_labelIds.png"
TRAIN_IDS_END = "_gtFine_labelTrainIds.png"
PARTS_WITH_MASKS = ("train", "val")
COUNTS = {"train": 2975, "val": 500}

# Class, its label id and its colour, in the order of the train ids.
LABELS: tuple[tuple[str, int, tuple[int, int, int]], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
CLASSES = tuple(name for name, _, _ in LABELS)
PALETTE: Palette = tuple(colour for _, _, colour in LABELS)

LABEL_IDS = ValueTable(
    dict.fromkeys((*range(34), IGNORE), IGNORE)
    | {label_id: index for index, (_, label_id, _) in enumerate(LABELS)},
    "label ids up to 33",
    "restore it from gtFine_trainvaltest.zip",
)
TRAIN_IDS = ValueTable(
    {index: index for index in range(len(LABELS))} | {IGNORE: IGNORE},
    f"train ids up to {len(LABELS) - 1}, or {IGNORE} to ignore",
    "delete it, so that the labelIds beside it are read, or make it anew with cityscapesscripts",
)


class Cityscapes(DataSet):
    """Cityscapes; `root` is the folder that holds leftImg8bit and gtFine."""

    def __init__(self, root: Path) -> None:
        super().__init__("cityscapes", root, CLASSES, PALETTE)
        for folder in (IMAGES, MASKS):
            if not (self.root / folder).is_dir():
                raise DataError(
                    f"Cityscapes must hold the folder {folder}, missing in root={self.root}; "
                    f"unzip {folder}_trainvaltest.zip there, or point to where it was unzipped"
                )

    @property
    def parts(self) -> tuple[str, ...]:
        """Return those of train and val whose folder is there."""
        return tuple(part for part in PARTS_WITH_MASKS if self.list_file(part).is_dir())

    def counts(self) -> dict[str, int]:
        """Return how many images the official parts have."""
        return COUNTS

    def list_file(self, part: str) -> Path:
        """Return the folder of a part's cities."""
        return self.root / IMAGES / part

    def listed(self, part: str) -> tuple[str, ...]:
        """Return the ids of the images in the folders of a part's cities, sorted."""
        folder = self.list_file(part)
        if part not in PARTS_WITH_MASKS or not folder.is_dir():
            raise DataError(
                f"a part of Cityscapes must be a folder of cities with public masks (train, val), "
                f"got part={part}, folder={folder}; unzip {IMAGES}_trainvaltest.zip in the root"
            )
        return tuple(_ids(folder, IMAGE_END))

    def image_file(self, image_id: str) -> Path:
        """Return the path of an image."""
        return self._file(IMAGES, image_id, IMAGE_END)

    def mask_file(self, image_id: str) -> Path:
        """Return the path of a mask: of train ids where there is one, else of label ids."""
        made = self._file(MASKS, image_id, TRAIN_IDS_END)
        return made if made.is_file() else self._file(MASKS, image_id, LABEL_IDS_END)

    def layout_problems(self) -> Iterator[str]:
        """Yield a line for every mask without an image, and image named otherwise."""
        for part in self.parts:
            images = set(self.listed(part))
            folder = self.root / MASKS / part
            ends = (TRAIN_IDS_END, LABEL_IDS_END)
            masks = {image_id for end in ends for image_id in _ids(folder, end)}
            for image_id in sorted(masks - images):
                wanted = self.list_file(part) / _city(image_id) / f"{image_id}{IMAGE_END}"
                yield (
                    f"a mask must belong to an image, missing file={wanted}; "
                    f"restore it from {IMAGES}_trainvaltest.zip"
                )
            for name in _others(self.list_file(part)):
                yield (
                    f"images must be named CITY/ID{IMAGE_END}, got file={name}; "
                    "restore its name or remove it"
                )

    def _read_mask(self, image_id: str) -> Pixels:
        path = self.mask_file(image_id)
        if not path.is_file():
            raise DataError(
                f"an image must have its mask, missing file={path}; restore it from "
                f"{MASKS}_trainvaltest.zip"
            )
        return (TRAIN_IDS if path.name.endswith(TRAIN_IDS_END) else LABEL_IDS).read(path)

    def _file(self, folder: str, image_id: str, end: str) -> Path:
        name = Path(_city(image_id), f"{image_id}{end}")
        for part in PARTS_WITH_MASKS:
            if (self.root / IMAGES / part / _city(image_id) / f"{image_id}{IMAGE_END}").is_file():
                return self.root / folder / part / name
        return self.root / folder / "train" / name


def _city(image_id: str) -> str:
    return image_id.partition("_")[0]


def _entries(folder: Path) -> Iterator[Path]:
    """Yield the files in the folders of cities; links that lead in circles are no folders."""
    for city in sorted(folder.iterdir()) if folder.is_dir() else ():
        if city.is_dir():
            yield from (Path(city, name) for name in sorted(os.listdir(city)))


def _ids(folder: Path, end: str) -> Iterator[str]:
    for path in _entries(folder):
        if path.name.endswith(end) and path.name.startswith(f"{path.parent.name}_"):
            yield path.name.removesuffix(end)


def _others(folder: Path) -> Iterator[Path]:
    named = {f"{image_id}{IMAGE_END}" for image_id in _ids(folder, IMAGE_END)}
    for path in _entries(folder):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg") and path.name not in named:
            yield path
