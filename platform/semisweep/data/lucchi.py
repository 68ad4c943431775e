"""Mitochondria of Lucchi et al. (2012): two stacks of 165 electron microscope slices, two classes.

ROOT/{training,testing}.tif                       768 x 1024 pixels, 8 bits, one page a slice
ROOT/{training,testing}_groundtruth.tif           0 and 255, or 0 and 1

As downloaded from epfl.ch/labs/cvlab/data/data-em. An id is training_000 or testing_000, by its
page. There is no validation stack: "val" and "test" are both the testing stack, so what is
selected on "val" is selected on what it is tested on.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from semisweep.core.errors import DataError
from semisweep.data.base import DataSet, Palette
from semisweep.data.mask_values import ValueTable
from semisweep.data.reading import Pixels, read_pages, read_picture, read_size

CLASSES = ("background", "mitochondrion")
PALETTE: Palette = ((0, 0, 0), (255, 255, 255))
STACKS = {"train": "training", "val": "testing", "test": "testing"}
SUFFIXES = (".tif", ".tiff")
COUNTS = {"train": 165, "val": 165, "test": 165}

VALUES = ValueTable({0: 0, 1: 1, 255: 1}, "0 and 255, or 0 and 1", "restore the downloaded file")


class Lucchi(DataSet):
    """The slices of Lucchi's stacks as images of their own."""

    same_parts = frozenset({("val", "test")})

    def __init__(self, root: Path) -> None:
        super().__init__("lucchi", root, CLASSES, PALETTE)
        for name in dict.fromkeys(STACKS.values()):
            for path in (self._stack(name), self._stack(f"{name}_groundtruth")):
                if not path.is_file():
                    raise DataError(
                        f"Lucchi must hold the stacks training.tif, testing.tif and "
                        f"their _groundtruth.tif, missing file={path}; download it there"
                    )

    def counts(self) -> dict[str, int]:
        """Return how many slices the official stacks have."""
        return COUNTS

    def list_file(self, part: str) -> Path:
        """Return the stack of a part."""
        return self._stack(STACKS[part])

    def listed(self, part: str) -> tuple[str, ...]:
        """Return the ids of a part's slices, in their order; raise `DataError`.

        Raised as well where the stack of masks has another number of slices.
        """
        path = self.list_file(part)
        masks = self._stack(f"{STACKS[part]}_groundtruth")
        slices, labelled = read_pages(path), read_pages(masks)
        if slices != labelled:
            raise DataError(
                f"a stack and its masks must have one number of slices, got slices={slices}, "
                f"masks={labelled}, files {path} and {masks}; restore both downloaded files"
            )
        return tuple(f"{STACKS[part]}_{page:03d}" for page in range(slices))

    def image_file(self, image_id: str) -> Path:
        """Return the path of the stack that holds a slice."""
        return self._stack(_place(image_id)[0])

    def mask_file(self, image_id: str) -> Path:
        """Return the path of the stack that holds the mask of a slice."""
        return self._stack(f"{_place(image_id)[0]}_groundtruth")

    def _read_picture(self, image_id: str) -> Image.Image:
        return read_picture(self.image_file(image_id), _place(image_id)[1])

    def _read_size(self, image_id: str) -> tuple[int, int]:
        return read_size(self.image_file(image_id), _place(image_id)[1])

    def _read_mask(self, image_id: str) -> Pixels:
        return VALUES.read(self.mask_file(image_id), _place(image_id)[1])

    def _stack(self, name: str) -> Path:
        found = (self.root / f"{name}{suffix}" for suffix in SUFFIXES)
        return next((path for path in found if path.is_file()), self.root / f"{name}.tif")


def _place(image_id: str) -> tuple[str, int]:
    """Return the stack and the page of a slice."""
    name, _, page = image_id.rpartition("_")
    if name not in STACKS.values() or not page.isdecimal():
        raise DataError(
            f"an id of Lucchi must be training_ or testing_ and a page, got id={image_id!r}"
        )
    return name, int(page)
