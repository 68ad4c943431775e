"""Lucchi's stacks: pages as images, binary masks, and stacks that do not fit each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semisweep.core.errors import DataError
from semisweep.data.check import check, content_digest
from semisweep.data.registry import open_dataset

SLICES = {"training": 5, "testing": 3}
PARTS = {"training": "train", "testing": "val"}


def write_stack(path: Path, stack: np.ndarray) -> None:
    first, *rest = (Image.fromarray(page) for page in stack)
    first.save(path, save_all=True, append_images=rest)


def stacks() -> dict[str, np.ndarray]:
    draws = np.random.default_rng(0)
    made = {}
    for name, count in SLICES.items():
        made[name] = draws.integers(0, 255, (count, 6, 8), dtype=np.uint8)
        made[f"{name}_groundtruth"] = (made[name] > 128).astype(np.uint8) * 255
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, stack in stacks().items():
        write_stack(tmp_path / f"{name}.tif", stack)
    return tmp_path


def test_every_page_is_an_image_and_its_mask(root):
    dataset = open_dataset("lucchi", root)
    made = stacks()

    for name, part in PARTS.items():
        ids = dataset.part(part)
        assert ids == tuple(f"{name}_{page:03d}" for page in range(SLICES[name]))
        for page in (2, 0, 1):
            image = dataset.image(ids[page])
            assert image.shape == (6, 8, 3)
            assert (image == made[name][page][..., None]).all()
            assert (dataset.mask(ids[page]) == made[f"{name}_groundtruth"][page] // 255).all()
    assert dataset.part("test") == dataset.part("val")
    assert check(dataset) == []
    assert dataset.classes == ("background", "mitochondrion")


def test_masks_of_zeros_and_ones_are_read_as_well(root):
    masks = stacks()["training_groundtruth"] // 255
    write_stack(root / "training_groundtruth.tif", masks)

    assert (open_dataset("lucchi", root).mask("training_003") == masks[3]).all()


def test_other_values_are_refused_with_their_page(root):
    masks = stacks()["training_groundtruth"]
    masks[3, 0, 0] = 7
    path = root / "training_groundtruth.tif"
    write_stack(path, masks)

    (line,) = check(open_dataset("lucchi", root))
    assert f"must hold 0 and 255, or 0 and 1, got value=7 at 1 pixels, file={path}, page=3" in line


def test_stacks_of_different_depth_or_size_are_refused(root):
    path = root / "testing_groundtruth.tif"
    write_stack(path, stacks()["testing_groundtruth"][:2])
    (line,) = check(open_dataset("lucchi", root))
    assert "got slices=3, masks=2, files " in line
    assert str(path) in line

    write_stack(path, stacks()["testing_groundtruth"][:, :5])
    lines = check(open_dataset("lucchi", root))
    assert len(lines) == 1
    assert "got image 8x6, mask 8x5" in lines[0]


def test_sixteen_bits_are_refused(root):
    path = root / "training.tif"
    write_stack(path, stacks()["training"].astype(np.uint16) * 200)

    assert all(
        f"must have 8 bits a channel, got mode=I;16, file={path}" in line
        for line in check(open_dataset("lucchi", root))
    )
    with pytest.raises(DataError, match="8 bits a channel"):
        open_dataset("lucchi", root).image("training_000")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_missing_or_broken_stack_is_named(root):
    path = root / "testing.tif"
    whole = path.read_bytes()
    path.write_bytes(b"no TIFF")
    assert all(str(path) in line for line in check(open_dataset("lucchi", root)))
    path.write_bytes(whole[: len(whole) // 2])
    lines = check(open_dataset("lucchi", root))
    assert lines
    assert all(str(path) in line for line in lines)
    path.unlink()
    with pytest.raises(DataError, match=r"missing file=.*testing\.tif; download it there"):
        open_dataset("lucchi", root)


def test_the_content_digest_sees_the_masks(root):
    before = content_digest(open_dataset("lucchi", root))
    path = root / "testing_groundtruth.tif"
    write_stack(path, 255 - stacks()["testing_groundtruth"])

    assert content_digest(open_dataset("lucchi", root)) != before
