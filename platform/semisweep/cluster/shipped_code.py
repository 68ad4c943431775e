"""The user's own code on its way to a cluster: a copy of the folders of named files.

Ray brings the copy to every machine (its `working_dir`). Left out is what is no code: hidden
folders, environments, caches, stores and data sets.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from semisweep.core.errors import ConfigError

MOST_BYTES = 100 * 2**20  # Ray keeps the copy in the memory of its head
NO_CODE = ("pyvenv.cfg", "semisweep.json", "dataset.toml", "ImageSets", "leftImg8bit")
CACHES = ("__pycache__", "node_modules")


def copy_code(folders: Sequence[str], target: Path, most_bytes: int = MOST_BYTES) -> None:
    """Copy what may be code from some folders into one.

    Raises `ConfigError` where it is too much, naming the largest part, and where two folders have
    different files of one name.
    """
    for folder in map(Path, folders):
        found = list(code_files(folder))
        check_size(folder, found, most_bytes)
        for file in found:
            copy = target / file.relative_to(folder)
            if copy.exists() and not filecmp.cmp(file, copy, shallow=False):
                raise ConfigError(
                    "files of one command must not have one name on a cluster, got "
                    f"file={file}, which another folder has too; run the studies one by one"
                )
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def code_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that may be code, or be read by code."""
    for place, below, names in os.walk(folder):
        below[:] = [name for name in sorted(below) if _may_have_code(Path(place, name))]
        yield from (Path(place, name) for name in sorted(names) if Path(place, name).is_file())


def check_size(folder: Path, found: Sequence[Path], most_bytes: int = MOST_BYTES) -> None:
    """Raise `ConfigError` where the code of a folder is too much to be brought to a cluster."""
    sizes: Counter[str] = Counter()
    for file in found:
        sizes[file.relative_to(folder).parts[0]] += file.stat().st_size
    if sizes.total() > most_bytes:
        name, size = sizes.most_common(1)[0]
        raise ConfigError(
            f"code for a cluster must be at most {most_bytes / 2**20:.0f} MiB, got folder={folder} "
            f"with {sizes.total() / 2**20:.0f} MiB, of which {name} has {size / 2**20:.0f}; move "
            "the study's file and what it imports into a folder of their own"
        )


def _may_have_code(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in CACHES:
        return False
    return not any((folder / name).exists() for name in NO_CODE)
