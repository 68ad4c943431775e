"""What a data set is: named parts, images, masks, classes and their colours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semisweep.data.reading import (
    PixelCache,
    Pixels,
    duplicates,
    read_image,
    read_list,
    read_mask,
    read_size,
)
from semisweep.errors import DataError, unknown

Palette = tuple[tuple[int, int, int], ...]

PARTS = ("train", "val", "test")
CACHE_BYTES = 256 * 2**20

# A class that fills less of an image than this is a sliver there, and does not count as present.
PRESENT_FRACTION = 0.005


class DataSet(ABC):
    """Images and masks on disk. A subclass says where the files are; reading and checks are here.

    Decoded images are kept in a bounded memory cache; `image` and `mask` return copies of it.
    """

    def __init__(self, name: str, root: Path, classes: tuple[str, ...], palette: Palette) -> None:
        self.name = name
        self.root = Path(root)
        self.classes = classes
        self.palette = palette
        self._cache = PixelCache(CACHE_BYTES)

    @abstractmethod
    def list_file(self, part: str) -> Path:
        """Return the path of the list of a part's image ids."""

    @abstractmethod
    def image_file(self, image_id: str) -> Path:
        """Return the path of an image."""

    @abstractmethod
    def mask_file(self, image_id: str) -> Path:
        """Return the path of a mask."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Return those of train, val and test that have a list."""
        return tuple(part for part in PARTS if self.list_file(part).is_file())

    def part(self, name: str) -> tuple[str, ...]:
        """Return the image ids of "train", "val" or "test", in the order of the list.

        Raises `DataError` where there is no list, or it is empty or names an image twice.
        """
        if name not in PARTS:
            raise unknown("part", name, PARTS)
        path = self.list_file(name)
        ids = read_list(path)
        if not ids:
            raise DataError(f"a list must name at least one image, got 0, file={path}")
        if twice := duplicates(ids):
            raise DataError(
                f"a list must name each image once, got {twice[0]!r} twice "
                f"({len(twice)} such in all), file={path}"
            )
        return ids

    def image(self, image_id: str) -> Pixels:
        """Return an image [H, W, 3]; raise `DataError` where it is missing or does not decode."""
        pixels = self._cache.get(("image", image_id))
        if pixels is None:
            pixels = read_image(self.image_file(image_id))
            self._cache.put(("image", image_id), pixels)
        return pixels.copy()

    def mask(self, image_id: str) -> Pixels:
        """Return a mask [H, W] of class indices, 255 = ignore.

        Raises `DataError` where it is missing, does not decode, holds a class id that does not
        exist or has another size than its image.
        """
        pixels = self._cache.get(("mask", image_id))
        if pixels is None:
            pixels = read_mask(self.mask_file(image_id), len(self.classes))
            self._check_size(image_id, pixels)
            self._cache.put(("mask", image_id), pixels)
        return pixels.copy()

    def _check_size(self, image_id: str, mask: Pixels) -> None:
        image = self._cache.get(("image", image_id))
        path = self.image_file(image_id)
        height, width = image.shape[:2] if image is not None else read_size(path)
        if mask.shape != (height, width):
            raise DataError(
                f"an image and its mask must have one size, got image {width}x{height}, "
                f"mask {mask.shape[1]}x{mask.shape[0]}, file={self.mask_file(image_id)}; "
                "restore the mask made for this image"
            )

    @cached_property
    def train_presence(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return which classes [C] each training image shows; reads every training mask, once."""
        presence = {}
        for image_id in sorted(self.part("train")):
            mask = self.mask(image_id)
            pixels = np.bincount(mask.ravel(), minlength=256)[: len(self.classes)]
            presence[image_id] = pixels >= PRESENT_FRACTION * mask.size
        return presence
