"""Data sets before training: cheapest checks first, files once, and words while it takes time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from folder_files import PARTS, turn_mask, write_folder_data

from semisweep import DataConfig
from semisweep.checks import data_preparation
from semisweep.checks.data_preparation import prepare_data
from semisweep.core.errors import DataError
from semisweep.data.registry import open_dataset
from semisweep.study.data_roots import Roots
from semisweep.study.resolve import Splits

DATA = DataConfig(name="mine", family="random", labelled=4)
LISTED = DataConfig(name="mine", family="own", labelled=4)
DRAWN = DataConfig(name="mine", family="stratified", labelled=4)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMISWEEP_CACHE", str(tmp_path / "cache"))
    return write_folder_data(tmp_path / "mine")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every reading count as a long one."""
    monkeypatch.setattr(data_preparation, "MANY", 1)
    monkeypatch.setattr(data_preparation, "TELL_SECONDS", 0.0)


def prepared(root: Path, *configs: DataConfig, verify: bool = False) -> Splits:
    """Return the splits of a command that starts now."""
    splits = Splits(Roots(root.parent))
    prepare_data(configs or (DATA,), splits, verify=verify)
    return splits


def remembered(tmp_path: Path) -> list[list[object]]:
    (path,) = (tmp_path / "cache").glob("data/*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_missing_list_is_told_before_any_file_is_read(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must have its lists on disk"):
        prepared(root, LISTED)
    assert not (tmp_path / "cache").exists()


def test_a_missing_mask_is_told_before_any_file_is_decoded(root: Path, tmp_path: Path) -> None:
    (root / "val/masks/val002.png").unlink()
    with pytest.raises(DataError, match="val002"):
        prepared(root)
    assert not list((tmp_path / "cache").glob("data/*.jsonl"))


def test_files_are_read_once_whatever_is_asked_of_them(root: Path, tmp_path: Path) -> None:
    """The check, the drawing of splits and fingerprints all know what one reading found."""
    splits = prepared(root, DATA, DRAWN)
    splits.state_of("mine")
    prepared(root, DRAWN)
    assert len(remembered(tmp_path)) == sum(PARTS.values())


def test_several_studies_of_one_command_look_at_files_once(
    root: Path,
) -> None:
    splits = prepared(root)
    turn_mask(root / "val/masks/val000.png")
    before = splits.state_of("mine")
    prepare_data([DATA, DRAWN], splits)
    assert splits.state_of("mine") == before, "as long as the command runs"
    assert prepared(root).state_of("mine") != before


def test_wrong_files_are_told_every_time(root: Path) -> None:
    (root / "train/masks/train003.png").write_bytes(b"no picture")
    for _ in range(2):
        with pytest.raises(DataError, match="train003"):
            prepared(root)


def test_equal_images_of_two_parts_are_told(root: Path) -> None:
    first, second = (root / f"train/images/train00{n}.png" for n in (0, 1))
    second.write_bytes(first.read_bytes())
    prepared(root)  # within a part it is a note
    val = next((root / "val/images").iterdir())
    val.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match="parts must not share images"):
        prepared(root)


def test_verifying_reads_what_is_remembered_again(root: Path, tmp_path: Path) -> None:
    """Here what is remembered is wrong: as after a change that left size and times as they were."""
    right = prepared(root).state_of("mine")
    (path,) = (tmp_path / "cache").glob("data/*.jsonl")
    lines = remembered(tmp_path)
    lines[0][2] = "0" * 64
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert prepared(root).state_of("mine") != right
    assert prepared(root, verify=True).state_of("mine") == right
    assert prepared(root).state_of("mine") == right


@pytest.mark.usefixtures("few")
def test_a_long_reading_says_what_it_does_and_how_far_it_is(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(root)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"reading mine at {root}: 16 images, once on this machine"
    assert "reading mine: 5 of 16 images" in said
    assert said[-1] == "reading mine: 16 images read"
    prepared(root)
    assert capsys.readouterr().err == "", "nothing is left to read"


def test_a_short_reading_says_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(root)
    assert capsys.readouterr() == ("", "")


def test_the_command_verifies_where_that_is_asked(root: Path, call: object) -> None:
    options = ("data", "check", "mine", "--root", str(root))
    first = call(*options)  # type: ignore[operator]
    assert first.code == 0, first.error
    again = call(*options, "--verify-data")  # type: ignore[operator]
    assert again.out == first.out


def test_the_embedded_data_set_is_made_where_it_is_not_there(tmp_path: Path) -> None:
    splits = Splits(Roots(tmp_path))
    prepare_data([DataConfig(labelled=4)], splits)
    assert len(open_dataset("shapes", tmp_path / "shapes").part("train")) == 512
