"""A folder of pictures of Pascal VOC's size and layout, with as much detail as photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from semisweep.data.reading import PixelCache
from semisweep.data.voc_folder import CLASSES, PALETTE, VocFolder

HEIGHT, WIDTH = 375, 500


def voc_pictures(root: Path, train: int, val: int = 0, scale: int = 1) -> VocFolder:
    """Write JPEG files of some 100 KB and their masks, sides divided by `scale`; cache nothing."""
    draws = np.random.default_rng(0)
    height, width = HEIGHT // scale, WIDTH // scale
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for number in range(train + val):
        coarse = draws.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        grain = draws.normal(0, 12, (height, width, 3))
        pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{number}.jpg", quality=90)
        blocks = draws.integers(0, len(CLASSES), (12, 16), dtype=np.uint8)
        mask = Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)
        mask.save(root / f"SegmentationClass/{number}.png")
    for part, numbers in (("train", range(train)), ("val", range(train, train + val))):
        names = "".join(f"{number}\n" for number in numbers)
        (root / f"ImageSets/Segmentation/{part}.txt").write_text(names)
    dataset = VocFolder("voc", root, CLASSES, PALETTE)
    dataset._cache = PixelCache(0)
    return dataset
