"""The folder layout of Pascal VOC, which other data sets use as well.

ROOT/JPEGImages/ID.jpg
ROOT/SegmentationClass/ID.png                        class indices: palette (P) or grey (L)
ROOT/ImageSets/Segmentation/{train,val,test}.txt     one id a line
"""

from __future__ import annotations

from pathlib import Path

from semisweep.core.errors import DataError
from semisweep.data.base import DataSet, Palette

IMAGES = "JPEGImages"
MASKS = "SegmentationClass"
LISTS = "ImageSets/Segmentation"

CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc_palette(count: int) -> Palette:
    """Return the first `count` colours of Pascal VOC's palette.

    The bits of the index are spread: 0, 3, 6 go to red, 1, 4, 7 to green and 2, 5 to blue, each
    from the highest bit down.
    """
    colours = []
    for index in range(count):
        channels = [0, 0, 0]
        for bit in range(8):
            channels[bit % 3] |= (index >> bit & 1) << (7 - bit // 3)
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)


PALETTE = voc_palette(len(CLASSES))


class VocFolder(DataSet):
    """A data set in the folder layout of Pascal VOC."""

    def __init__(
        self,
        name: str,
        root: Path,
        classes: tuple[str, ...],
        palette: Palette,
        masks: str = MASKS,
    ) -> None:
        super().__init__(name, root, classes, palette)
        for folder in (IMAGES, masks, LISTS):
            if not (self.root / folder).is_dir():
                raise DataError(
                    f"a data set in the Pascal VOC layout must hold the folder {folder}, "
                    f"missing in root={self.root}"
                )

    def list_file(self, part: str) -> Path:
        """Return the path of the list of a part's image ids."""
        return self.root / LISTS / f"{part}.txt"

    def image_file(self, image_id: str) -> Path:
        """Return the path of an image."""
        return self.root / IMAGES / f"{image_id}.jpg"

    def mask_file(self, image_id: str) -> Path:
        """Return the path of a mask."""
        return self.root / MASKS / f"{image_id}.png"
