"""Splits: drawn, stratified and listed; digests; what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from semisweep import DataConfig
from semisweep.core.config import replace
from semisweep.core.errors import ConfigError, DataError
from semisweep.data.base import DataSet
from semisweep.data.content import train_presence
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.data.splits import Split, ids_digest, make_split
from semisweep.data.voc_folder import VocFolder

TRAIN = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=TRAIN, val=1, test=1)


@pytest.fixture(scope="module")
def dataset(made: Path) -> DataSet:
    return open_dataset("shapes", made)


@pytest.fixture
def listed(tmp_path: Path) -> DataSet:
    """Return a data set of its own, for tests that write lists beside it."""
    return open_dataset("shapes", make(tmp_path / "shapes", train=6, val=1, test=1))


def write_lists(dataset: DataSet, labelled: str, unlabelled: str, count: int = 2) -> Path:
    folder = dataset.root / "splits" / "mine" / str(count)
    folder.mkdir(parents=True)
    (folder / "labeled.txt").write_bytes(labelled.encode())
    (folder / "unlabeled.txt").write_bytes(unlabelled.encode())
    return folder


def mine(count: int = 2, draw: int = 0) -> DataConfig:
    return DataConfig(family="mine", labelled=count, draw=draw)


@pytest.mark.parametrize("family", ["random", "stratified"])
def test_a_drawn_split_parts_the_training_images(dataset, family):
    split = make_split(dataset, DataConfig(family=family, labelled=9))

    assert len(set(split.labelled)) == 9
    assert set(split.labelled).isdisjoint(split.unlabelled)
    assert sorted(split.labelled + split.unlabelled) == sorted(dataset.part("train"))


@pytest.mark.parametrize("family", ["random", "stratified"])
def test_a_draw_is_the_same_every_time_and_draws_differ(dataset, made, family):
    splits = [make_split(dataset, DataConfig(family=family, labelled=9, draw=d)) for d in range(3)]
    fresh = open_dataset("shapes", made)

    assert len({split.labelled_digest for split in splits}) == 3
    assert make_split(fresh, DataConfig(family=family, labelled=9, draw=1)) == splits[1]


@pytest.mark.parametrize("family", ["random", "stratified"])
def test_the_order_of_the_training_list_does_not_matter(listed, family):
    data = DataConfig(family=family, labelled=3)
    before = make_split(listed, data)
    path = listed.list_file("train")
    path.write_text("\n".join(reversed(path.read_text().split())))

    assert make_split(open_dataset("shapes", listed.root), data) == before


@pytest.mark.parametrize("draw", range(5))
def test_a_stratified_split_holds_every_class_about_equally_often(dataset, draw):
    presence = train_presence(dataset)
    labelled = make_split(dataset, DataConfig(labelled=12, draw=draw)).labelled
    drawn = make_split(dataset, DataConfig(family="random", labelled=12, draw=draw)).labelled
    counts, random_counts = (
        np.sum([presence[image_id] for image_id in ids], axis=0) for ids in (labelled, drawn)
    )

    assert counts.min() >= 3
    assert counts[1:].std() < random_counts[1:].std()


def test_presence_follows_the_masks_and_leaves_slivers_out(dataset):
    presence = train_presence(dataset)
    for image_id in dataset.part("train")[:10]:
        mask = dataset.mask(image_id)
        for kind in range(len(dataset.classes)):
            large = (mask == kind).sum() >= 0.005 * 64 * 64
            assert presence[image_id][kind] == large


def test_a_stratified_split_may_be_the_whole_part(dataset):
    split = make_split(dataset, DataConfig(labelled=TRAIN))

    assert len(split.labelled) == TRAIN
    assert split.unlabelled == ()


def test_without_a_count_every_image_is_labelled_and_unlabelled(dataset):
    split = make_split(dataset, DataConfig(labelled=None))

    assert set(split.labelled) == set(split.unlabelled) == set(dataset.part("train"))


@pytest.mark.parametrize("family", ["random", "stratified"])
def test_all_images_may_be_unlabelled_beside_a_few_labelled_ones(dataset, family):
    data = DataConfig(family=family, labelled=8)
    rest, every = (
        make_split(dataset, replace(data, {"unlabelled": name})) for name in ("rest", "all")
    )

    assert every.labelled == rest.labelled
    assert set(every.unlabelled) == set(dataset.part("train"))
    assert len(every.unlabelled) == len(rest.unlabelled) + 8


def test_lists_may_have_their_labelled_images_unlabelled_too(listed):
    ids = sorted(listed.part("train"))
    write_lists(listed, "\n".join(ids[2:4]), "\n".join(ids[4:5]))
    split = make_split(listed, replace(mine(), {"unlabelled": "all"}))

    assert split.labelled == tuple(ids[2:4])
    assert split.unlabelled == tuple(ids[2:5])


def test_digests_see_ids_and_not_their_order():
    one = Split(("a", "b", "c"), ("d",))
    other = Split(("c", "a", "b"), ("e",))

    assert re.fullmatch("[0-9a-f]{20}", one.labelled_digest)
    assert one.labelled_digest == other.labelled_digest
    assert one.unlabelled_digest != other.unlabelled_digest
    assert ids_digest(("ab", "c")) != ids_digest(("a", "bc"))


def test_the_digest_of_ids_is_pinned():
    """Keys of stored trials hold these digests: they may never change."""
    assert ids_digest(("2007_000033", "2007_000032")) == "2b0ba5bd89d5a7cfeba8"


def test_the_format_of_lists_does_not_change_their_digest(listed):
    ids = listed.part("train")
    write_lists(listed, "\n".join(ids[:2]), "\n".join(ids[2:]))
    lines = [f"JPEGImages/{i}.jpg SegmentationClass/{i}.png" for i in reversed(ids)]
    folder = listed.root / "splits" / "other" / "2"
    folder.mkdir(parents=True)
    (folder / "labeled.txt").write_bytes(("\ufeff" + "\r\n".join(lines[4:])).encode())
    (folder / "unlabeled.txt").write_bytes(("\r\n\r\n".join(lines[:4]) + "\r\n").encode())
    split = make_split(listed, mine())
    other = make_split(listed, DataConfig(family="other", labelled=2))

    assert set(split.labelled) == set(ids[:2])
    assert set(split.unlabelled) == set(ids[2:])
    assert other.labelled_digest == split.labelled_digest
    assert other.unlabelled_digest == split.unlabelled_digest


def test_more_labels_than_images_are_refused(dataset):
    with pytest.raises(ConfigError, match="got labelled=61, training images=60"):
        make_split(dataset, DataConfig(labelled=61))


def test_missing_lists_are_named(listed):
    with pytest.raises(DataError, match=r"missing file=.*splits/mine/2/labelled\.txt.*stratified"):
        make_split(listed, mine())
    (write_lists(listed, "a", "b") / "unlabeled.txt").unlink()
    with pytest.raises(DataError, match=r"missing file=.*splits/mine/2/unlabelled\.txt"):
        make_split(listed, mine())


def test_an_id_outside_the_training_part_is_named(listed):
    ids = listed.part("train")
    write_lists(listed, f"{ids[0]}\nghost", ids[3])
    with pytest.raises(
        DataError, match=r"got 'ghost' \(1 such in all; .*: 6\), file=.*/labeled\.txt"
    ):
        make_split(listed, mine())


def test_lists_that_overlap_are_refused_with_an_id_and_the_count(listed):
    ids = listed.part("train")
    write_lists(listed, "\n".join(ids[:3]), "\n".join(ids[1:]), count=3)
    with pytest.raises(DataError, match=f"got 2 images in both, such as '{ids[1]}'"):
        make_split(listed, mine(3))


def test_an_image_listed_twice_is_refused(listed):
    ids = listed.part("train")
    write_lists(listed, "\n".join(ids[:2]), "\n".join([*ids[2:], ids[3]]))
    with pytest.raises(DataError, match=rf"got '{ids[3]}' twice .*unlabeled\.txt"):
        make_split(listed, mine())


def test_a_list_of_another_length_than_its_folder_says_is_refused(listed):
    ids = listed.part("train")
    write_lists(listed, "\n".join(ids[:3]), "\n".join(ids[3:]))
    with pytest.raises(DataError, match=r"got labelled=2, lines=3, file=.*labeled\.txt"):
        make_split(listed, mine())


def test_further_draws_of_lists_lie_in_folders_of_their_own(listed):
    ids = listed.part("train")
    folder = write_lists(listed, "\n".join(ids[:2]), "\n".join(ids[2:]))
    with pytest.raises(DataError, match=r"draw 1, .* missing file=.*mine/2/draw_1/labelled\.txt"):
        make_split(listed, mine(draw=1))
    (folder / "draw_1").mkdir()
    (folder / "draw_1" / "labelled.txt").write_text("\n".join(ids[3:5]))
    (folder / "draw_1" / "unlabelled.txt").write_text("\n".join([*ids[:3], ids[5]]))

    assert set(make_split(listed, mine()).labelled) == set(ids[:2])
    assert set(make_split(listed, mine(draw=1)).labelled) == set(ids[3:5])


def test_a_list_may_name_images_by_path_and_with_the_suffix_of_cityscapes(listed):
    ids = listed.part("train")
    lines = [f"leftImg8bit/train/x/{image_id}_leftImg8bit.png" for image_id in ids]
    write_lists(listed, "\n".join(lines[:2]), "\n".join(lines[2:]))

    assert set(make_split(listed, mine()).labelled) == set(ids[:2])


@pytest.mark.parametrize("family", ["../x", "a/b", "..", ".x"])
def test_a_family_that_leaves_the_folder_of_splits_is_refused(listed, family):
    with pytest.raises(ConfigError, match="plain name"):
        make_split(listed, DataConfig(family=family, labelled=2))


class Augmented(VocFolder):
    """A data set whose training images are more than its own list of the official layout."""

    def list_file(self, part: str) -> Path:
        name = "augmented" if part == "train" else part
        return self.root / "ImageSets/Segmentation" / f"{name}.txt"


@pytest.fixture
def augmented(listed: DataSet) -> DataSet:
    own = listed.list_file("train")
    ids = own.read_text().split()
    own.with_name("augmented.txt").write_text("\n".join(ids))
    own.write_text("\n".join(ids[:4]))
    return Augmented("shapes", listed.root, listed.classes, listed.palette)


@pytest.mark.parametrize("family", ["random-own", "stratified-own"])
def test_a_draw_from_the_own_list_leaves_all_other_images_unlabelled(augmented, family):
    ids = augmented.part("train")
    splits = [
        make_split(augmented, DataConfig(family=family, labelled=2, draw=draw)) for draw in range(9)
    ]

    drawn = set().union(*(split.labelled for split in splits))
    assert drawn == set(ids[:4]) if family == "random-own" else drawn < set(ids[:4])
    for split in splits:
        assert sorted(split.labelled + split.unlabelled) == sorted(ids)
        assert len(split.labelled) == 2


def test_a_draw_from_the_own_list_is_refused_where_it_is_short_or_missing(augmented):
    with pytest.raises(ConfigError, match=r"labelled=5, training images=4 .*'random-own'"):
        make_split(augmented, DataConfig(family="random-own", labelled=5))
    (augmented.root / "ImageSets/Segmentation/train.txt").unlink()
    with pytest.raises(ConfigError, match=r"own training list, .*missing file="):
        make_split(augmented, DataConfig(family="random-own", labelled=2))


class PartlyMasked(VocFolder):
    """A data set whose first training images have no mask."""

    def has_mask(self, image_id: str) -> bool:
        return image_id not in self.part("train")[:2]


def test_images_without_a_mask_are_never_labelled(listed):
    partly = PartlyMasked("shapes", listed.root, listed.classes, listed.palette)
    ids = listed.part("train")
    everything = make_split(partly, DataConfig(labelled=None))

    assert set(everything.labelled) == set(ids[2:])
    assert set(everything.unlabelled) == set(ids)
    for draw in range(5):
        split = make_split(partly, DataConfig(family="random", labelled=4, draw=draw))
        assert set(split.labelled) == set(ids[2:])
        assert set(split.unlabelled) == set(ids[:2])
    write_lists(listed, "\n".join(ids[1:3]), ids[5])
    with pytest.raises(DataError, match=f"must have a mask, got '{ids[1]}'"):
        make_split(partly, mine())
