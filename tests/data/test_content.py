"""What is remembered of the files of a data set, and when it counts no longer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from folder_files import turn_image, turn_mask, write_folder_data
from PIL import Image

from semisweep.core.errors import DataError
from semisweep.data.base import DataSet
from semisweep.data.content import (
    PRESENT_FRACTION,
    Content,
    content_of,
    listed_images,
    train_presence,
    whole_contents,
)
from semisweep.data.registry import open_dataset

MASK, IMAGE = "train/masks/train000.png", "train/images/train000.png"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMISWEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder_data(tmp_path / "mine")


def opened(root: Path) -> DataSet:
    """Return a data set as a process that starts now has it."""
    return open_dataset("mine", root)


def unread(root: Path) -> list[str]:
    """Return which images a process that starts now would have to read."""
    dataset = opened(root)
    return Content(dataset).unread(listed_images(dataset))


def read(root: Path) -> None:
    dataset = opened(root)
    content_of(dataset).of(listed_images(dataset))


def test_contents_are_those_of_the_files(root: Path) -> None:
    dataset = opened(root)
    for image_id, content in whole_contents(dataset, listed_images(dataset)).items():
        mask = dataset.mask(image_id)
        shares = [(mask == index).mean() for index in range(2)]
        assert content.size == mask.shape
        assert content.shown == tuple(i for i, share in enumerate(shares) if share > 0)
        assert content.present == tuple(
            i for i, share in enumerate(shares) if share >= PRESENT_FRACTION
        )
    files = {content.image for content in whole_contents(dataset, listed_images(dataset)).values()}
    assert len(files) == 16


def test_files_are_read_once_a_machine(root: Path) -> None:
    assert len(unread(root)) == 16
    read(root)
    assert unread(root) == []


@pytest.mark.parametrize(
    ("change", "image_id"),
    [
        (lambda root: turn_mask(root / MASK), "train000"),
        (lambda root: turn_image(root / IMAGE), "train000"),
        (lambda root: os.utime(root / MASK, ns=(0, 0)), "train000"),
        (lambda root: (root / MASK).unlink(), "train000"),
        (lambda root: turn_mask(root / "test/masks/test002.png"), "test/test002"),
    ],
)
def test_what_has_changed_is_read_again_and_nothing_else(root: Path, change, image_id) -> None:
    read(root)
    change(root)
    assert unread(root) == [image_id]
    read(root)
    assert unread(root) == []


def test_files_of_equal_size_and_time_are_told_apart_by_the_time_of_their_entry(
    root: Path, tmp_path: Path
) -> None:
    """As copying with times kept leaves them."""
    read(root)
    stamp, other = os.stat(root / MASK), tmp_path / "other.png"
    shutil.copy(root / MASK, other)
    data = bytearray(other.read_bytes())
    data[-20] ^= 1
    (root / MASK).write_bytes(data)
    os.utime(root / MASK, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert os.stat(root / MASK).st_size == stamp.st_size
    assert unread(root) == ["train000"]


def test_links_are_followed(root: Path, tmp_path: Path) -> None:
    """Masks behind a link that leads elsewhere now are other masks."""
    shutil.move(root / "train/masks", tmp_path / "masks")
    (root / "train/masks").symlink_to(tmp_path / "masks")
    read(root)
    assert unread(root) == []
    shutil.copytree(tmp_path / "masks", tmp_path / "others")
    (root / "train/masks").unlink()
    (root / "train/masks").symlink_to(tmp_path / "others")
    assert len(unread(root)) == 10


def test_other_files_below_the_root_do_not_count(root: Path) -> None:
    read(root)
    (root / "splits").mkdir()
    (root / "splits" / "list.txt").write_text("train000\n")
    assert unread(root) == []


def test_what_masks_mean_counts(root: Path) -> None:
    """With other values every mask must be looked at again."""
    read(root)
    manifest = root / "dataset.toml"
    manifest.write_text("ignore = 7\n" + manifest.read_text())
    assert len(unread(root)) == 16


def test_a_reading_that_was_killed_goes_on(root: Path, cache: Path) -> None:
    read(root)
    (path,) = cache.glob("data/*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + lines[5][:30])
    assert len(unread(root)) == 11
    read(root)  # which adds lines after the torn one
    assert unread(root) == []


def test_lines_of_another_shape_are_as_if_they_were_not_there(root: Path, cache: Path) -> None:
    read(root)
    (path,) = cache.glob("data/*.jsonl")
    path.write_text('{"id": 1}\n["train000"]\n["train001", 1, 2, 3, 4, 5, 6, 7]\nnull\n\xff\n')
    assert len(unread(root)) == 16
    read(root)
    assert unread(root) == []


def test_with_verify_nothing_that_was_remembered_is_believed(root: Path) -> None:
    read(root)
    content = Content(opened(root), verify=True)
    ids = listed_images(content.dataset)
    assert content.unread(ids) == ids
    content.of(ids)
    assert content.unread(ids) == []


def test_a_cache_that_cannot_be_written_costs_a_warning(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEMISWEEP_CACHE", str(tmp_path / "file"))
    dataset = opened(root)
    assert len(content_of(dataset).of(listed_images(dataset))) == 16
    assert "SEMISWEEP_CACHE" in caplog.text


def test_wrong_files_are_told_once_read_or_remembered(root: Path) -> None:
    (root / MASK).write_bytes(b"no picture")
    for _ in range(2):
        with pytest.raises(DataError, match="must decode"):
            whole_contents(opened(root), ["train000"])


def test_processes_that_read_at_the_same_time_read_each_file_once(root: Path, cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from semisweep.data.registry import open_dataset; "
        "from semisweep.data.content import content_of, listed_images; "
        "d = open_dataset('mine', Path(sys.argv[1])); content_of(d).of(listed_images(d))"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, root]) for _ in range(4)]
    assert [process.wait() for process in started] == [0] * 4
    (path,) = cache.glob("data/*.jsonl")
    assert len(path.read_bytes().splitlines()) == 16


def test_presence_needs_no_mask_of_an_image_that_is_to_have_none(root: Path) -> None:
    (root / MASK).unlink()
    assert not train_presence(opened(root))["train000"].any()
    assert np.asarray(Image.open(root / IMAGE)).any()
