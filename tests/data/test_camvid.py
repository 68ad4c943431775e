"""CamVid as SegNet's tutorial distributes it, and copies that are not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semisweep.core.errors import DataError
from semisweep.data.check import check, count_problems
from semisweep.data.registry import open_dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "CamVid"
    for number, (part, name) in enumerate(
        [
            *(("train", "0001TP_1.png"), ("train", "0001TP_2.jpg")),
            *(("val", "0016E5_3.png"), ("test", "Seq05VD_4.png")),
        ]
    ):
        pixels = np.random.default_rng(number).integers(0, 255, (6, 12, 3), dtype=np.uint8)
        for folder in (part, f"{part}annot"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(home / part / name)
        mask = np.resize(np.arange(12, dtype=np.uint8), (6, 12))
        Image.fromarray(mask).save(home / f"{part}annot" / f"{Path(name).stem}.png")
    (home / "train/._0001TP_1.png").write_bytes(b"\0")
    return home


def test_its_folders_are_parts_and_void_is_ignored(root: Path) -> None:
    for place in (root, root.parent):
        dataset = open_dataset("camvid", place)
        assert dataset.part("train") == ("0001TP_1", "0001TP_2")
        assert dataset.part("val") == ("0016E5_3",)
        assert dataset.parts == ("train", "val", "test")
        assert check(dataset) == []
    assert dataset.mask("0016E5_3")[0].tolist() == [*range(11), 255]
    assert len(dataset.classes) == len(dataset.palette) == 11


def test_counts_are_those_of_the_distributed_copy(root: Path) -> None:
    lines = count_problems(open_dataset("camvid", root))
    assert [line.partition(",")[0] for line in lines] == [
        "train of camvid must have 367 images",
        "val of camvid must have 101 images",
        "test of camvid must have 233 images",
    ]


def test_another_layout_is_refused_with_what_to_do(root: Path) -> None:
    (root / "valannot").rename(root / "val_labels")
    with pytest.raises(DataError, match=r"missing folder=.*valannot; .* semisweep data init"):
        open_dataset("camvid", root)


def test_a_copy_of_another_layout_may_have_a_manifest(root: Path) -> None:
    (root / "dataset.toml").write_text(
        'classes = ["a", "b"]\n[train]\nimages = "train"\nmasks = "trainannot"\n'
        '[val]\nimages = "val"\nmasks = "valannot"\n'
    )
    assert open_dataset("camvid", root).classes == ("a", "b")
