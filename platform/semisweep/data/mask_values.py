"""Masks whose values are not class indices: tables from the values on disk to classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semisweep.core.errors import DataError
from semisweep.data.reading import IGNORE, Pixels, read_values


@dataclass(frozen=True)
class ValueTable:
    """Which class each value of a mask on disk stands for, 255 = ignore; all others are refused.

    `meaning` says in a few words what the values may be, for the error.
    """

    classes: Mapping[int, int]
    meaning: str
    remedy: str

    def read(self, path: Path, page: int | None = None) -> Pixels:
        """Return a mask [H, W] of class indices, 255 = ignore; raise `DataError`."""
        values = read_values(path, page)
        table = np.full(256, IGNORE, dtype=np.uint8)
        known = np.zeros(256, dtype=np.bool_)
        for value, index in self.classes.items():
            table[value], known[value] = index, True
        pixels = np.bincount(values.ravel(), minlength=256)
        if strange := [int(value) for value in np.flatnonzero(pixels) if not known[value]]:
            more = f" and {len(strange) - 1} values more" if strange[1:] else ""
            place = f"{path}, page={page}" if page else f"{path}"
            raise DataError(
                f"a mask must hold {self.meaning}, got value={strange[-1]} at "
                f"{pixels[strange[-1]]} pixels{more}, file={place}; {self.remedy}"
            )
        mask: Pixels = table[values]
        return mask
