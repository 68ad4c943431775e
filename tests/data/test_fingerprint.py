"""Which data a trial sees: what changes its fingerprint, and what does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from folder_files import turn_image, turn_mask, write_folder_data

from semisweep.data.fingerprint import Fingerprint, fingerprint
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.data.splits import DataConfig, make_split

DATA = DataConfig(name="mine", family="random", labelled=4)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMISWEEP_CACHE", str(tmp_path / "cache"))
    return write_folder_data(tmp_path / "mine")


def found(root: Path, *, uses_unlabelled: bool = True) -> Fingerprint:
    """Return the fingerprint that a process which starts now finds."""
    dataset = open_dataset("mine", root)
    return fingerprint(dataset, make_split(dataset, DATA), uses_unlabelled=uses_unlabelled)


def labelled(root: Path) -> str:
    dataset = open_dataset("mine", root)
    return make_split(dataset, DATA).labelled[0]


def unlabelled(root: Path) -> str:
    dataset = open_dataset("mine", root)
    return make_split(dataset, DATA).unlabelled[0]


def manifest(root: Path, line: str) -> None:
    path = root / "dataset.toml"
    path.write_text(f"{line}\n{path.read_text()}")


CHANGES: dict[str, tuple[Callable[[Path], object], bool, bool]] = {
    # what is changed: whether `seen` changes, whether `test` does
    "a labelled mask": (
        lambda root: turn_mask(root / f"train/masks/{labelled(root)}.png"),
        True,
        False,
    ),
    "a labelled image": (
        lambda root: turn_image(root / f"train/images/{labelled(root)}.png"),
        True,
        False,
    ),
    "an unlabelled image": (
        lambda root: turn_image(root / f"train/images/{unlabelled(root)}.png"),
        True,
        False,
    ),
    "the mask of an unlabelled image": (
        lambda root: turn_mask(root / f"train/masks/{unlabelled(root)}.png"),
        False,
        False,
    ),
    "a validation mask": (lambda root: turn_mask(root / "val/masks/val000.png"), True, False),
    "a validation image": (lambda root: turn_image(root / "val/images/val000.png"), True, False),
    "a test mask": (lambda root: turn_mask(root / "test/masks/test000.png"), False, True),
    "a test image": (lambda root: turn_image(root / "test/images/test000.png"), False, True),
    "what is ignored": (lambda root: manifest(root, "ignore = 9"), True, False),
    "colours": (lambda root: manifest(root, "colours = [[0, 0, 0], [9, 9, 9]]"), False, False),
    "a remark": (lambda root: manifest(root, "# ours"), False, False),
    "a file beside": (lambda root: (root / "notes.txt").write_text("x"), False, False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_trial_sees_changes_its_fingerprint(root: Path, name: str) -> None:
    change, seen, test = CHANGES[name]
    before = found(root)
    change(root)
    after = found(root)
    assert (after.seen != before.seen, after.test != before.test) == (seen, test)
    assert (after.suffix != before.suffix) == (seen or test)


def test_images_without_labels_count_where_they_are_used(root: Path) -> None:
    before = found(root, uses_unlabelled=False)
    turn_image(root / f"train/images/{unlabelled(root)}.png")
    assert found(root, uses_unlabelled=False) == before


def test_a_copy_elsewhere_has_the_same_fingerprint(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "elsewhere" / "mine")
    assert found(tmp_path / "elsewhere" / "mine") == found(root)


def test_two_images_that_exchange_their_names_are_other_data(root: Path) -> None:
    before = found(root)
    one, two = (root / f"val/images/val00{index}.png" for index in (0, 1))
    shutil.move(one, root / "kept.png")
    shutil.move(two, one)
    shutil.move(root / "kept.png", two)
    assert found(root).seen != before.seen


def test_generated_data_count_by_what_generates_them(tmp_path: Path) -> None:
    """The bytes of JPEG files differ between versions of the library that writes them."""
    config = DataConfig(labelled=4, family="random")

    def of(root: Path) -> Fingerprint:
        dataset = open_dataset("shapes", root)
        return fingerprint(dataset, make_split(dataset, config), uses_unlabelled=True)

    small = {"train": 8, "val": 2, "test": 2}
    one = make(tmp_path / "one" / "shapes", size=32, **small)
    two = make(tmp_path / "two" / "shapes", size=48, **small)
    before = of(one)
    for path in (one / "JPEGImages").iterdir():
        path.write_bytes(path.read_bytes() + b"\0")
    assert of(one) == before
    assert of(two) != before, "equal names and lists, other pictures"
    assert before.suffix


def test_the_standard_generated_data_add_nothing_to_a_trials_name(tmp_path: Path) -> None:
    dataset = open_dataset("shapes", make(tmp_path / "shapes"))
    split = make_split(dataset, DataConfig(labelled=4, family="random"))
    found = fingerprint(dataset, split, uses_unlabelled=True)
    assert found.suffix == ""
    assert found.seen
