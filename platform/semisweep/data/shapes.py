"""The embedded data set: pictures of textured shapes, generated, in the Pascal VOC layout.

What a picture looks like is in `scene`; here are the classes, and the writing of a whole data set.
Equal parameters give equal pixels on every machine; the bytes of the JPEG files also depend on the
version of the JPEG library, so `pixel_digest` is what identifies the content.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from semisweep.core.errors import ConfigError, DataError
from semisweep.data.base import PARTS
from semisweep.data.reading import IGNORE, Pixels
from semisweep.data.scene import KINDS, render
from semisweep.data.voc_folder import IMAGES, LISTS, MASKS, VocFolder, voc_palette

GENERATOR_VERSION = 1

CLASSES = ("background", *(f"{texture}_{shape}" for shape, texture in KINDS))
PALETTE = voc_palette(len(CLASSES))

DESCRIPTION = "shapes.json"
JPEG_QUALITY = 95
SMALLEST_SIZE = 32  # below, textures and borders leave nothing to see

Description = dict[str, int]
STANDARD: Description = {"train": 512, "val": 96, "test": 192, "size": 64}


class Shapes(VocFolder):
    """The embedded data set; `root` is a folder that `make` has written."""

    def __init__(self, root: Path) -> None:
        super().__init__("shapes", root, CLASSES, PALETTE)

    def generator(self) -> str:
        """Return the parameters that it was made with; nothing where the folder has none."""
        try:
            return json.dumps(json.loads((self.root / DESCRIPTION).read_text()), sort_keys=True)
        except (OSError, ValueError):
            return ""


def make(
    root: Path,
    seed: int = 0,
    train: int = STANDARD["train"],
    val: int = STANDARD["val"],
    test: int = STANDARD["test"],
    size: int = STANDARD["size"],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the data set into the folder `root` and return its path.

    Everything is written into a folder beside it, which is renamed when complete. A folder that
    holds the very same data set already is left alone. Raises `DataError` where the folder holds
    anything else or cannot be written, `ConfigError` for numbers that make no data set.
    """
    counts = {"train": train, "val": val, "test": test}
    _check(seed, counts, size)
    description = {"generator_version": GENERATOR_VERSION, "seed": seed, **counts, "size": size}
    root = Path(root).absolute()
    if _is_made(root, description):
        return root
    partial = root.with_name(f".{root.name}.partial-{os.getpid()}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _write(partial, description, progress)
        _rename(partial, root, description)
    except OSError as error:
        raise DataError(
            f"the folder of a new data set must be writable, got root={root} ({error.strerror})"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def is_standard(generator: str) -> bool:
    """Return whether a generator's text is that of `make` without further arguments."""
    found: Description = json.loads(generator)
    return found == {"generator_version": GENERATOR_VERSION, "seed": found.get("seed"), **STANDARD}


def pixel_digest(seed: int, indices: Iterable[int], size: int = 64) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of pictures and masks before encoding.

    The bytes of each picture [size, size, 3], then of its mask [size, size], in the order of
    `indices`.
    """
    total = hashlib.sha256()
    for index in indices:
        picture, mask = render(seed, index, size)
        total.update(picture.tobytes())
        total.update(mask.tobytes())
    return total.hexdigest()[:20]


def _check(seed: int, counts: dict[str, int], size: int) -> None:
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, got seed={seed}")
    if size < SMALLEST_SIZE:
        raise ConfigError(f"size must be at least {SMALLEST_SIZE} pixels, got size={size}")
    for part, count in counts.items():
        if count < 1:
            raise ConfigError(f"every part must have at least one image, got {part}={count}")


def _is_made(root: Path, description: Description) -> bool:
    """Return whether `root` holds this very data set; raise `DataError` where it holds another."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / DESCRIPTION).read_text())
    except (OSError, ValueError):
        raise DataError(
            f"a new data set must be made in an empty folder, got root={root}, which holds "
            "something else; name another folder"
        ) from None
    if found == description:
        return True
    wanted = ", ".join(f"{name}={value}" for name, value in description.items())
    raise DataError(
        f"a folder must hold one data set, got root={root}, which holds one made with other "
        f"parameters than {wanted}; name another folder"
    )


def _write(
    folder: Path, description: Description, progress: Callable[[int, int], None] | None
) -> None:
    for name in (IMAGES, MASKS, LISTS):
        (folder / name).mkdir(parents=True)
    total = sum(description[part] for part in PARTS)
    index = 0
    for part in PARTS:
        ids = []
        for _ in range(description[part]):
            ids.append(f"v{GENERATOR_VERSION}s{description['seed']}_{index:06d}")
            picture, mask = render(description["seed"], index, description["size"])
            _save(folder, ids[-1], picture, mask)
            index += 1
            if progress is not None:
                progress(index, total)
        (folder / LISTS / f"{part}.txt").write_text("".join(f"{image_id}\n" for image_id in ids))
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


def _save(folder: Path, image_id: str, picture: Pixels, mask: Pixels) -> None:
    Image.fromarray(picture).save(
        folder / IMAGES / f"{image_id}.jpg", quality=JPEG_QUALITY, subsampling=0
    )
    coloured = Image.fromarray(mask)
    coloured.putpalette(np.array(voc_palette(IGNORE + 1), dtype=np.uint8).tobytes())
    coloured.save(folder / MASKS / f"{image_id}.png")


def _rename(partial: Path, root: Path, description: Description) -> None:
    try:
        partial.rename(root)
    except OSError:
        # Another process may have finished the same data set meanwhile.
        if not _is_made(root, description):
            raise
