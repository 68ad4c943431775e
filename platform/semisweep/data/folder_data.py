"""Data sets of the user's own: folders of images and masks, and a manifest that names them.

ROOT/dataset.toml:

    classes = ["background", "cell"]     # in the order of their indices
    values = [0, 128]                    # optional: what masks hold for each class; else 0, 1, ...
    ignore = 255                         # optional, and the default unless a class has it
    colours = [[0, 0, 0], [0, 255, 0]]   # optional: one a class, for pictures of masks

    [train]                              # also [val], and [test] where there is one
    images = "train/images"              # a folder, without folders inside
    masks = "train/masks"                # optional in train: images without a mask are unlabelled
    mask_suffix = "_mask"                # optional: cat.jpg has the mask cat_mask.png
    list = "train.txt"                   # optional: file names, one a line; else all images

An id is the image's name without suffix, for other folders than that of [train] with the part
before it: val/cat.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated

from PIL import Image
from pydantic import Field

from semisweep.core.config import config, decode
from semisweep.core.errors import ConfigError, DataError
from semisweep.data.base import DataSet
from semisweep.data.mask_values import ValueTable
from semisweep.data.reading import (
    IGNORE,
    Colours,
    Pixels,
    read_colours,
    read_lines,
    read_orientation,
    read_picture,
)
from semisweep.data.voc_folder import voc_palette

MANIFEST = "dataset.toml"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
UPRIGHT = 1

Value = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Value, Value, Value]


@config
class Folders:
    """Where the images and masks of a part are, beneath the root."""

    images: str
    masks: str | None = None
    mask_suffix: str = ""
    list: str | None = None


@config
class Manifest:
    """What dataset.toml says."""

    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=255)]
    train: Folders
    val: Folders
    test: Folders | None = None
    values: tuple[Value, ...] | None = None
    ignore: Value | None = None
    colours: tuple[Colour, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("values", "colours"):
            given = getattr(self, name)
            if given is not None and len(given) != len(self.classes):
                raise ConfigError(
                    f"{name} must be one a class, got {len(given)} {name}, "
                    f"{len(self.classes)} classes"
                )
        for name, given in (("classes", self.classes), ("values", self.class_values)):
            if len(set(given)) != len(given):
                raise ConfigError(f"{name} must differ from each other, got {name}={list(given)}")
        if self.ignore in self.class_values:
            raise ConfigError(f"ignore must be the value of no class, got ignore={self.ignore}")
        for part in ("val", "test"):
            folders = getattr(self, part)
            if folders is not None and folders.masks is None:
                raise ConfigError(f"images to evaluate on must have masks, got no {part}.masks")

    @property
    def class_values(self) -> tuple[int, ...]:
        """Return what masks hold for each class."""
        return self.values or tuple(range(len(self.classes)))

    def table(self) -> ValueTable:
        """Return the classes of all values that masks may hold."""
        ignore = IGNORE if self.ignore is None else self.ignore
        table = {ignore: IGNORE} | {value: i for i, value in enumerate(self.class_values)}
        values = ", ".join(map(str, sorted(table)))
        remedy = f"correct the mask, or values and ignore in {MANIFEST}"
        return ValueTable(table, f"values of {MANIFEST} ({values})", remedy)


class FolderData(DataSet):
    """The data set that a manifest describes; raises `DataError` where it is wrong."""

    unique_images = True

    def __init__(self, name: str, root: Path) -> None:
        self.manifest = read_manifest(Path(root) / MANIFEST)
        classes = self.manifest.classes
        super().__init__(name, root, classes, self.manifest.colours or voc_palette(len(classes)))
        self._table = self.manifest.table()
        for part in self.parts:
            folders = self._folders(part)
            for folder in filter(None, (folders.images, folders.masks)):
                if not (self.root / folder).is_dir():
                    raise DataError(
                        f"the folders of {MANIFEST} must exist, missing folder="
                        f"{self.root / folder} of [{part}]; make it or correct the manifest"
                    )

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the parts that the manifest has."""
        return ("train", "val") if self.manifest.test is None else ("train", "val", "test")

    def description_files(self) -> tuple[Path, ...]:
        """Return the manifest, which says what the values of masks mean."""
        return (self.root / MANIFEST,)

    def meaning(self) -> dict[str, object]:
        """Return the classes, and what masks hold for each of them and for what is ignored."""
        own = self.manifest
        return super().meaning() | {"values": list(own.class_values), "ignore": own.ignore}

    def list_file(self, part: str) -> Path:
        """Return the list of a part, or its folder of images."""
        folders = self._folders(part)
        return self.root / (folders.images if folders.list is None else folders.list)

    def listed(self, part: str) -> tuple[str, ...]:
        """Return the ids of a part's images: those of its list, or sorted all of its folder."""
        folders, prefix = self._folders(part), self._prefixes[part]
        images = self._images(folders.images)
        if folders.list is None:
            return tuple(f"{prefix}{name}" for name in sorted(images))
        known = {path.name: name for name, path in images.items()} | {name: name for name in images}
        ids = []
        for line in read_lines(self.list_file(part)):
            if line not in known:
                raise DataError(
                    f"a list must name files of folder {folders.images}, got {line!r}, "
                    f"file={self.list_file(part)}; restore the image or take its name off the list"
                )
            ids.append(f"{prefix}{known[line]}")
        return tuple(ids)

    def has_mask(self, image_id: str) -> bool:
        """Return whether there is a mask of that image; those of val and test must have one."""
        part, name = self._place(image_id)
        return part != "train" or name in self._masks(part)

    def image_file(self, image_id: str) -> Path:
        """Return the path of an image."""
        part, name = self._place(image_id)
        folder = self._folders(part).images
        return self._images(folder).get(name, self.root / folder / f"{name}.png")

    def mask_file(self, image_id: str) -> Path:
        """Return the path of a mask, the one that is missing where there is none."""
        part, name = self._place(image_id)
        folders = self._folders(part)
        missing = self.root / (folders.masks or "") / f"{name}{folders.mask_suffix}.png"
        return self._masks(part).get(name, missing)

    def layout_problems(self) -> Iterator[str]:
        """Yield a line for masks of no image."""
        for part in self.parts:
            images = self._images(self._folders(part).images)
            for name, path in sorted(self._masks(part).items()):
                if name not in images:
                    yield (
                        f"a mask must belong to an image named {name}, got file={path}; "
                        "restore the image or remove the mask"
                    )

    def mask_colours(self, image_id: str) -> Colours:
        """Return the colours of the indices in a mask, where it has a palette."""
        return read_colours(self.mask_file(image_id))

    @property
    def assumes_ignore(self) -> bool:
        """Return whether the manifest does not say what is ignored."""
        return self.manifest.ignore is None

    def _read_picture(self, image_id: str) -> Image.Image:
        path = self.image_file(image_id)
        picture = read_picture(path)
        if (orientation := read_orientation(path)) != UPRIGHT:
            raise DataError(
                f"an image must be stored upright, as masks know no EXIF orientation, got "
                f"orientation={orientation}, file={path}; turn its pixels and drop the tag"
            )
        return picture

    def _read_mask(self, image_id: str) -> Pixels:
        return self._table.read(self.mask_file(image_id))

    def _folders(self, part: str) -> Folders:
        folders: Folders | None = getattr(self.manifest, part)
        if folders is None:
            raise DataError(
                f"a part must stand in {MANIFEST}, missing [{part}] in file={self.root / MANIFEST}"
            )
        return folders

    @cached_property
    def _prefixes(self) -> dict[str, str]:
        """Return what ids of each part start with: the first part with that folder of images."""
        first: dict[Path, str] = {}
        for part in self.parts:
            first.setdefault((self.root / self._folders(part).images).resolve(), part)
        found = {}
        for part in self.parts:
            owner = first[(self.root / self._folders(part).images).resolve()]
            found[part] = "" if owner == "train" else f"{owner}/"
        return found

    def _place(self, image_id: str) -> tuple[str, str]:
        """Return the part whose folders hold an image, and its name there."""
        prefix, _, name = image_id.rpartition("/")
        if prefix:
            return prefix, name
        shared = [part for part in self.parts if not self._prefixes[part]]
        owners = (part for part in shared if name in self._masks(part))
        return next(owners, "train"), name

    def _images(self, folder: str) -> dict[str, Path]:
        if folder not in self._found:
            self._found[folder] = _index(self.root / folder, IMAGE_SUFFIXES, "")
        return self._found[folder]

    def _masks(self, part: str) -> dict[str, Path]:
        folders = self._folders(part)
        if folders.masks is None:
            return {}
        place = f"{folders.masks}/*{folders.mask_suffix}"
        if place not in self._found:
            end = folders.mask_suffix
            self._found[place] = _index(self.root / folders.masks, MASK_SUFFIXES, end)
        return self._found[place]

    @cached_property
    def _found(self) -> dict[str, dict[str, Path]]:
        return {}


def read_manifest(path: Path) -> Manifest:
    """Return what a manifest says; raise `DataError` that names the file."""
    try:
        return decode(Manifest, tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:  # no TOML, no text, or a broken rule
        raise DataError(f"a manifest must be right, got file={path}: {error}") from None


def _index(folder: Path, suffixes: tuple[str, ...], end: str) -> dict[str, Path]:
    """Return the files of a folder by name, without suffix and `end`; raise `DataError`."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.stem
        hidden = name.startswith(".")  # such as ._cat.jpg, which macOS leaves on other disks
        if hidden or path.suffix.lower() not in suffixes or not name.endswith(end):
            continue
        name = name.removesuffix(end)
        if len(name.split()) != 1 or name.strip() != name:
            raise DataError(
                f"names of images must hold no white space, as lists could not name them, "
                f"got file={path}; rename it and its mask"
            )
        if name in found:
            raise DataError(
                f"names must differ in more than their suffix, got file={path} beside "
                f"{found[name].name}; rename or remove one"
            )
        found[name] = path
    return found
