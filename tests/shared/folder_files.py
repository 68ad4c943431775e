"""Small data sets of a user's own on disk: squares of one colour on noise, and a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

PARTS = {"train": 10, "val": 3, "test": 3}


def write_folder_data(root: Path, size: int = 32, parts: dict[str, int] | None = None) -> Path:
    """Write a data set of two classes, equal each time, and return its folder."""
    lines = ['classes = ["ground", "square"]']
    number = 0
    for part, count in (parts or PARTS).items():
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for index in range(count):
            number += 1
            image, mask = picture(number, size)
            Image.fromarray(image).save(root / part / "images" / f"{part}{index:03d}.png")
            Image.fromarray(mask).save(root / part / "masks" / f"{part}{index:03d}.png")
        lines += [f"[{part}]", f'images = "{part}/images"', f'masks = "{part}/masks"']
    (root / "dataset.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def picture(number: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image [size, size, 3] and its mask [size, size], by number."""
    generator = np.random.default_rng(number)
    image = generator.integers(0, 90, (size, size, 3), dtype=np.uint8)
    mask = np.zeros((size, size), dtype=np.uint8)
    y, x = generator.integers(0, size // 2, 2)
    image[y : y + size // 3, x : x + size // 3] = (200, 90, 30)
    mask[y : y + size // 3, x : x + size // 3] = 1
    return image, mask


def turn_mask(path: Path) -> None:
    """Exchange the two classes of a mask, under its old name."""
    mask = np.asarray(Image.open(path))
    Image.fromarray(1 - mask).save(path)


def turn_image(path: Path) -> None:
    """Turn an image upside down, under its old name."""
    image = np.asarray(Image.open(path))
    Image.fromarray(image[::-1].copy()).save(path)
