"""What a data set is: named parts, images, masks, classes and their colours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from semisweep.core.errors import DataError, unknown
from semisweep.data.reading import (
    Colours,
    Decoded,
    DecodedCache,
    PixelCache,
    Pixels,
    decoded_size,
    duplicates,
    read_list,
    read_mask,
    read_picture,
    read_size,
)

Palette = tuple[tuple[int, int, int], ...]

PARTS = ("train", "val", "test")
CACHE_BYTES = 256 * 2**20


class DataSet(ABC):
    """Images and masks on disk. A subclass says where the files are; reading and checks are here.

    Decoded images are kept in a bounded memory cache; `image` and `mask` return copies of it,
    `decoded` does not.
    """

    # Pairs of parts that are meant to be the same images; all others must not share any.
    same_parts: frozenset[tuple[str, str]] = frozenset()
    # Whether no two files may hold equal images.
    unique_images = False

    def __init__(self, name: str, root: Path, classes: tuple[str, ...], palette: Palette) -> None:
        self.name = name
        self.root = Path(root)
        self.classes = classes
        self.palette = palette
        self._cache: DecodedCache = PixelCache(CACHE_BYTES)

    @abstractmethod
    def list_file(self, part: str) -> Path:
        """Return the list of a part's image ids, or the folder or file in which they are found."""

    @abstractmethod
    def image_file(self, image_id: str) -> Path:
        """Return the path of an image."""

    @abstractmethod
    def mask_file(self, image_id: str) -> Path:
        """Return the path of a mask."""

    def listed(self, part: str) -> tuple[str, ...]:
        """Return the image ids of a part as they are listed, duplicates kept."""
        return read_list(self.list_file(part))

    def has_mask(self, image_id: str) -> bool:
        """Return whether an image is meant to have a mask; without one it cannot be labelled."""
        return True

    def description_files(self) -> tuple[Path, ...]:
        """Return the files, besides lists, images and masks, that say what the images mean."""
        return ()

    def meaning(self) -> dict[str, object]:
        """Return what the values in masks mean, as JSON has it."""
        return {"classes": list(self.classes)}

    def mask_colours(self, image_id: str) -> Colours:
        """Return the colours of the indices in a mask whose palette has never been compared."""
        return ()

    @property
    def assumes_ignore(self) -> bool:
        """Return whether nobody said that 255 stands for no class."""
        return False

    def generator(self) -> str:
        """Return what makes all files of a generated data set; nothing for photographs."""
        return ""

    def counts(self) -> dict[str, int]:
        """Return how many images the parts of the published data set have, where it has one."""
        return {}

    def remarks(self) -> Iterator[str]:
        """Yield what is to be known of this copy, a line each, though nothing is wrong with it."""
        yield from ()

    def layout_problems(self) -> Iterator[str]:
        """Yield what is wrong with the files as a whole, one line a problem."""
        yield from ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Return those of train, val and test that have a list."""
        return tuple(part for part in PARTS if self.list_file(part).exists())

    def part(self, name: str) -> tuple[str, ...]:
        """Return the image ids of "train", "val" or "test", in the order of the list.

        Raises `DataError` where there is no list, or it is empty or names an image twice.
        """
        if name not in PARTS:
            raise unknown("part", name, PARTS)
        path = self.list_file(name)
        ids = self.listed(name)
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
        return np.array(self.decoded(image_id))

    def decoded(self, image_id: str) -> Decoded:
        """Return what `image` does as an array, or as PIL has decoded it; nobody may change it."""
        held = self._cache.get(("image", image_id))
        if held is not None:
            return held
        picture = self._read_picture(image_id)
        self._cache.put(("image", image_id), picture)
        return picture

    def keep_decoded(self, cache: DecodedCache) -> None:
        """Keep decoded images and masks in another cache from now on."""
        self._cache = cache

    def mask(self, image_id: str) -> Pixels:
        """Return a mask [H, W] of class indices, 255 = ignore.

        Raises `DataError` where it is missing, does not decode, holds a class id that does not
        exist or has another size than its image.
        """
        held = self._cache.get(("mask", image_id))
        if held is not None:
            return np.array(held)
        image = self._cache.get(("image", image_id))
        pixels = self.read_mask_uncached(image_id, None if image is None else decoded_size(image))
        self._cache.put(("mask", image_id), pixels)
        return pixels.copy()

    def read_uncached(self, image_id: str) -> Decoded:
        """Return what `decoded` does, read from its file and kept nowhere."""
        return self._read_picture(image_id)

    def read_size(self, image_id: str) -> tuple[int, int]:
        """Return height and width of an image from the header of its file; raise `DataError`."""
        return self._read_size(image_id)

    def read_mask_uncached(self, image_id: str, size: tuple[int, int] | None = None) -> Pixels:
        """Return what `mask` does, read from its file and kept nowhere.

        `size` is that of its image, read from the header where it is not known.
        """
        mask = self._read_mask(image_id)
        height, width = self._read_size(image_id) if size is None else size
        if mask.shape != (height, width):
            raise DataError(
                f"an image and its mask must have one size, got image {width}x{height}, "
                f"mask {mask.shape[1]}x{mask.shape[0]}, file={self.mask_file(image_id)}; "
                "restore the mask made for this image"
            )
        return mask

    def _read_picture(self, image_id: str) -> Image.Image:
        return read_picture(self.image_file(image_id))

    def _read_size(self, image_id: str) -> tuple[int, int]:
        return read_size(self.image_file(image_id))

    def _read_mask(self, image_id: str) -> Pixels:
        return read_mask(self.mask_file(image_id), len(self.classes), self.palette)
