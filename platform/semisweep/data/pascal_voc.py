"""Pascal VOC 2012 as it is downloaded, alone (1,464 training images) or with SBD (10,582).

ROOT is VOCdevkit/VOC2012, or a folder that holds it (or VOCdevkit) beside SBD; the data set's own
root is then the folder with JPEGImages. Where the training masks come from, the first that is
there:

ROOT/SegmentationClassAug/ID.png                     the usual folder of 12,031 index masks
ROOT/{SBD,sbd,benchmark_RELEASE}[/dataset]/cls/ID.mat      SBD's own files, for images without a
                                                           mask of Pascal VOC
ROOT/SegmentationClass/ID.png                        Pascal VOC's own, or all 12,031, as the
                                                           UniMatch family has them

Which images are trained on: a list ImageSets/Segmentation/{train_aug,trainaug}.txt where there is
one. Otherwise all that have such a mask, but for those of val. SBD: Hariharan et al., ICCV 2011.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from semisweep.core.errors import DataError
from semisweep.data.reading import Pixels, check_classes, read_list, read_mask
from semisweep.data.voc_folder import CLASSES, IMAGES, LISTS, MASKS, PALETTE, VocFolder

AUGMENTED_MASKS = "SegmentationClassAug"
AUGMENTED_LISTS = ("train_aug.txt", "trainaug.txt")
SBD_FOLDERS = ("SBD", "sbd", "benchmark_RELEASE", "SBD/benchmark_RELEASE")
SBD_MASKS = "cls"
NESTED = (".", "VOC2012", "VOCdevkit/VOC2012")
VAL_IMAGES = 1449
TRAIN_IMAGES = 1464
AUGMENTED_IMAGES = 10_582


class PascalVoc(VocFolder):
    """Pascal VOC 2012; with SBD where that is there as well."""

    def __init__(self, root: Path) -> None:
        root = Path(root)
        nested = (root / name for name in NESTED if (root / name / IMAGES).is_dir())
        home = next(nested, root)
        augmented = home / AUGMENTED_MASKS
        self.augmented = augmented if augmented.is_dir() else None
        self.sbd = None if self.augmented else _find_sbd(home, root)
        masks = AUGMENTED_MASKS if self.augmented else MASKS
        if (home / IMAGES).is_dir() and not (home / LISTS).is_dir():
            raise DataError(
                f"Pascal VOC must have its lists, missing folder={home / LISTS}; take it from the "
                "official archive, VOCtrainval_11-May-2012.tar"
            )
        super().__init__("voc", home, CLASSES, PALETTE, masks)
        if not (self.augmented or self.sbd) and self._has_all_masks():
            self.augmented = home / MASKS

    def _has_all_masks(self) -> bool:
        """Return whether the official folder has masks of more images than Pascal VOC has any."""
        folder = self.root / MASKS
        return folder.is_dir() and len(_stems(folder)) > TRAIN_IMAGES + VAL_IMAGES

    @property
    def parts(self) -> tuple[str, ...]:
        """Return train and val, and test where any image of it has a mask: VOC publishes none."""
        parts = super().parts
        if "test" in parts:
            ids = self.listed("test")
            if ids and not any(self.mask_file(image_id).is_file() for image_id in ids):
                return tuple(part for part in parts if part != "test")
        return parts

    def counts(self) -> dict[str, int]:
        """Return how many images the official lists have, those with SBD where it is there."""
        train = TRAIN_IMAGES if self.list_file("train").name == "train.txt" else AUGMENTED_IMAGES
        return {"train": train, "val": VAL_IMAGES}

    def remarks(self) -> Iterator[str]:
        """Yield that SBD is not there, where it is not."""
        if self.list_file("train").name == "train.txt":
            yield (
                f"Pascal VOC alone, without SBD, has {TRAIN_IMAGES:,} training images; the papers' "
                f"lists need {AUGMENTED_IMAGES:,}: put the folder {AUGMENTED_MASKS} or SBD into "
                f"root={self.root}"
            )

    def list_file(self, part: str) -> Path:
        """Return the list of a part, or the folder of masks that makes up the training part."""
        if part == "train":
            listed = (self.root / LISTS / name for name in AUGMENTED_LISTS)
            found = next((path for path in listed if path.is_file()), None)
            if source := found or self.augmented or self.sbd:
                return source
        return super().list_file(part)

    def listed(self, part: str) -> tuple[str, ...]:
        """Return the image ids of a part as they are listed, or found among the masks."""
        source = self.list_file(part)
        if not source.is_dir():
            return read_list(source)
        ids = _stems(source)
        if source == self.sbd:
            ids |= set(read_list(super().list_file("train")))
        if source.name == MASKS:
            ids -= self._test_ids
        return tuple(sorted(ids - set(self.listed("val"))))

    def mask_file(self, image_id: str) -> Path:
        """Return the path of a mask, or of the file of SBD that holds it."""
        own = super().mask_file(image_id)
        if self.augmented:
            path = self.augmented / f"{image_id}.png"
            return path if path.is_file() or not own.is_file() else own
        if self.sbd and image_id not in self._own_ids and not own.is_file():
            return self.sbd / f"{image_id}.mat"
        return own

    @cached_property
    def _own_ids(self) -> frozenset[str]:
        return self._official("train", "val")

    @cached_property
    def _test_ids(self) -> frozenset[str]:
        return self._official("test")

    def _official(self, *parts: str) -> frozenset[str]:
        """Return the images of Pascal VOC's own lists, of those that are there."""
        files = (VocFolder.list_file(self, part) for part in parts)
        return frozenset(
            image_id for path in files if path.is_file() for image_id in read_list(path)
        )

    def _read_mask(self, image_id: str) -> Pixels:
        path = self.mask_file(image_id)
        if path.suffix == ".mat":
            return check_classes(read_sbd_mask(path), len(self.classes), path)
        if not path.is_file() and not self.augmented and not self.sbd:
            raise DataError(
                f"a mask in a list must exist, missing file={path}; restore it, put the folder "
                f"{AUGMENTED_MASKS} or SBD into root={self.root}, or take its name off the lists"
            )
        return read_mask(path, len(self.classes), self.palette)


def _stems(folder: Path) -> set[str]:
    """Return the names, without their ends, of the masks in a folder; hidden files are none."""
    return {
        path.stem
        for path in folder.iterdir()
        if path.suffix in (".png", ".mat") and not path.name.startswith(".")
    }


def _find_sbd(*roots: Path) -> Path | None:
    """Return SBD's folder of class masks; raise `DataError` where SBD is there without it."""
    for root in roots:
        for name in SBD_FOLDERS:
            for folder in (root / name / "dataset" / SBD_MASKS, root / name / SBD_MASKS):
                if folder.is_dir():
                    return folder
    for root in roots:
        for name in SBD_FOLDERS:
            if (root / name).is_dir():
                raise DataError(
                    f"SBD must hold the folder {SBD_MASKS} (or dataset/{SBD_MASKS}) of .mat files, "
                    f"missing in folder={root / name}; unpack benchmark.tgz there, or remove the "
                    "folder"
                )
    return None


def read_sbd_mask(path: Path) -> Pixels:
    """Return the mask [H, W] in a .mat file of SBD: GTcls.Segmentation; raise `DataError`."""
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(
            f"a mask in a list must exist, missing file={path}; restore it from SBD's "
            "benchmark.tgz or take its name off the lists"
        )
    try:
        content: dict[str, Any] = loadmat(path, variable_names=["GTcls"])
        mask = np.asarray(content["GTcls"]["Segmentation"][0, 0])
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file makes scipy stumble over
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(
            f"a mask of SBD must hold GTcls.Segmentation, got file={path} "
            f"({type(error).__name__}: {reason}); restore it from benchmark.tgz"
        ) from None
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise DataError(
            f"a mask of SBD must be 8 bits [H, W], got type={mask.dtype}, "
            f"dimensions={mask.ndim}, file={path}; restore it from benchmark.tgz"
        )
    return mask
