"""Split lists of public repositories: formats, digests, families, what is refused and shown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import resolved
from resolved import decoded

from semisweep import DataConfig
from semisweep.core.errors import ConfigError, DataError
from semisweep.data import known_splits
from semisweep.data.base import DataSet
from semisweep.data.known_splits import KNOWN, known_split
from semisweep.data.registry import DATA_SETS, open_dataset
from semisweep.data.shapes import make
from semisweep.data.split_lists import (
    Imported,
    Lists,
    Origin,
    find_lists,
    import_lists,
    list_problems,
    read_lists,
    recognise,
)
from semisweep.data.split_report import split_lines, split_notes, splits_here
from semisweep.data.splits import Split, ids_digest, make_split
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.tables.footnotes import mixture_notes
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.table_builder import build

METRIC = "last.test.miou"
SAMPLES = os.environ.get("SEMISWEEP_SPLIT_SAMPLES")
needs_samples = pytest.mark.skipif(
    SAMPLES is None, reason="SEMISWEEP_SPLIT_SAMPLES names no folder of original split lists"
)
SHARED_IMAGE = "2008_004822"

LABELLED = ["aachen_000001_000019", "bochum_000000_000313", "ulm_000002_000019"]
REST = ["jena_000003_000019", "zurich_000004_000019"]


def image(name: str) -> str:
    return f"leftImg8bit/train/{name.partition('_')[0]}/{name}_leftImg8bit.png"


def mask(name: str) -> str:
    return f"gtFine/train/{name.partition('_')[0]}/{name}_gtFine_labelTrainIds.png"


# File names of the lists, a line for an id, and the end of a line.
FORMATS: dict[str, tuple[str, Callable[[str], str], str]] = {
    "UniMatch": ("1_2/{}labeled.txt", lambda name: f"{image(name)} {mask(name)}", "\n"),
    "U2PL": ("3/{}labeled.txt", image, "\n"),
    "CPS": (
        "train_aug_{}labeled_1-2.txt",
        lambda name: f"/images/train/{name}.png\t/segmentation/train/{name}_gtFine.png",
        "\r\n",
    ),
    "CSS": ("3/7/{}labeled_filename.txt", lambda name: name, "\n"),
}


def write(folder: Path, form: str, labelled: Sequence[str], rest: Sequence[str] | None) -> Path:
    names, line, end = FORMATS[form]
    for prefix, ids in (("", labelled), ("un", rest)):
        if ids is not None:
            path = folder / names.format(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(end.join(map(line, ids)).encode())
    return folder / names.format("")


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    return make(tmp_path / "shapes", train=6, val=1, test=1, size=32)


def run(folder: Path, root: Path, **options: object) -> list[Imported]:
    def here(name: str):
        return open_dataset("shapes", root) if name == "shapes" else None

    return list(import_lists(folder, here, tuple(DATA_SETS), **options))


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_gives_the_same_ids_and_digest(tmp_path: Path, form: str) -> None:
    file = write(tmp_path, form, list(reversed(LABELLED)), REST)

    found = read_lists(file)

    assert list(find_lists(tmp_path)) == [file]
    assert sorted(found.labelled) == LABELLED
    assert sorted(found.unlabelled or ()) == REST
    assert found.digest == ids_digest(LABELLED)
    assert list(list_problems(found)) == []


def test_only_lists_of_labelled_images_are_found(tmp_path: Path) -> None:
    for name in ("val.txt", "unlabeled.txt", "relabeling.txt", ".git/labeled.txt", "labeled.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "Labeled.txt").write_text("a")

    assert [path.name for path in find_lists(tmp_path)] == ["Labeled.txt"]
    with pytest.raises(DataError, match="must be a folder"):
        list(find_lists(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("form", "labelled", "rest", "told"),
    [
        ("CPS", [], REST, "at least one image, got 0"),
        ("CPS", [*LABELLED, LABELLED[0]], REST, f"got '{LABELLED[0]}' twice"),
        ("CPS", LABELLED, [*REST, REST[1]], f"got '{REST[1]}' twice .* among the unlabelled"),
        ("CPS", LABELLED, [*REST, LABELLED[2]], f"got 1 images in both, such as '{LABELLED[2]}'"),
        ("U2PL", LABELLED[:2], REST, "got folder=3, images=2"),
    ],
)
def test_what_is_wrong_with_lists_is_said_in_one_line(
    tmp_path: Path, form: str, labelled: list[str], rest: list[str], told: str
) -> None:
    (problem,) = list_problems(read_lists(write(tmp_path, form, labelled, rest)))

    assert re.search(told, problem)
    assert "file=" in problem


def test_the_table_of_known_splits_names_each_digest_once() -> None:
    digests = [known.digest for known in KNOWN]

    assert len(set(digests)) == len({known[:4] for known in KNOWN}) == len(KNOWN)
    assert len({known.rest_digest for known in KNOWN}) == len(KNOWN)
    assert all(known_split(known.digest) is known for known in KNOWN)
    assert known_split("0" * 20) is None
    assert known_splits.FAMILIES == ("classic", "blender", "u2pl", "unimatch", "pseudoseg")


def test_the_shares_of_high_quality_masks_are_as_published() -> None:
    shares = {
        (known.family, known.labelled): round(100 * known.high_quality / known.labelled)
        for known in KNOWN
        if known.high_quality is not None
    }

    assert [shares["u2pl", count] for count in (662, 1323, 2646, 5291)] == [100, 100, 55, 28]
    assert {shares["blender", count] for count in (662, 1323, 2646, 5291)} == {14, 15}
    assert {share for (family, _), share in shares.items() if family == "classic"} == {100}


def test_lists_of_ones_own_are_kept_under_a_family_and_train(tmp_path: Path, shapes: Path) -> None:
    dataset = open_dataset("shapes", shapes)
    ids = sorted(dataset.part("train"))
    for seed in (0, 4):
        own = tmp_path / "own" / "3" / str(seed)
        own.mkdir(parents=True)
        (own / "labeled_filename.txt").write_text("\n".join(ids[seed // 2 : seed // 2 + 3]))

    (skipped, *_) = run(tmp_path / "own", shapes)
    imported = run(tmp_path / "own", shapes, family="mine")
    again = run(tmp_path / "own", shapes, family="mine")
    split = make_split(
        open_dataset("shapes", shapes), DataConfig(family="mine", labelled=3, draw=4)
    )

    assert (skipped.state, skipped.origin) == ("skipped", None)
    assert [str(item.origin) for item in imported] == ["shapes mine 3", "shapes mine 3 draw 4"]
    assert {item.state for item in imported} == {"imported"}
    assert {item.state for item in again} == {"there"}
    assert split == Split(tuple(ids[2:5]), (*ids[:2], ids[5]))
    files = sorted(path.name for path in (shapes / "splits/mine/3").iterdir())
    assert files == ["draw_4", "labelled.txt", "unlabelled.txt"]


def test_other_lists_of_the_same_name_are_not_replaced(tmp_path: Path, shapes: Path) -> None:
    ids = sorted(open_dataset("shapes", shapes).part("train"))
    for name, listed in (("a", ids[:2]), ("b", ids[2:4])):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "labeled.txt").write_text("\n".join(listed))

    first, second = run(tmp_path / "own", shapes, family="mine")

    assert (first.state, second.state) == ("imported", "refused")
    assert "must not be replaced" in second.reason
    assert (shapes / "splits/mine/2/labelled.txt").read_text() == f"{ids[0]}\n{ids[1]}\n"


def test_a_shared_image_is_refused_and_dropped_only_when_asked(
    tmp_path: Path, shapes: Path
) -> None:
    ids = sorted(open_dataset("shapes", shapes).part("train"))
    own = tmp_path / "own"
    own.mkdir()
    (own / "labeled.txt").write_text("\n".join(ids[:2]))
    (own / "unlabeled.txt").write_text("\n".join(ids[1:]))

    (refused,) = run(own, shapes, family="mine")
    nothing = not (shapes / "splits").exists()
    (dropped,) = run(own, shapes, family="mine", drop_shared=True)

    assert (refused.state, nothing) == ("refused", True)
    assert f"such as {ids[1]!r}" in refused.reason
    assert dropped.state == "imported"
    assert (shapes / "splits/mine/2/unlabelled.txt").read_text().split() == ids[2:]


def test_a_file_that_is_no_text_is_refused_and_the_others_imported(
    tmp_path: Path, shapes: Path
) -> None:
    ids = sorted(open_dataset("shapes", shapes).part("train"))
    own = tmp_path / "own"
    (own / "sub").mkdir(parents=True)
    (own / "labeled.txt").write_bytes(b"\xff\xfe\x00")
    (own / "sub/labeled.txt").write_text(ids[0])

    bad, good = run(own, shapes, family="mine")

    assert (bad.state, good.state) == ("refused", "imported")
    assert "labeled.txt" in bad.reason


@pytest.mark.parametrize("family", ["classic", "random", "../out", "", "a/b"])
def test_a_family_needs_a_plain_name_of_its_own(tmp_path: Path, family: str) -> None:
    with pytest.raises(ConfigError, match="family="):
        list(import_lists(tmp_path, lambda name: None, (), family=family))


def test_the_splits_that_are_here_are_shown_with_what_is_wrong(shapes: Path) -> None:
    dataset = open_dataset("shapes", shapes)
    ids = sorted(dataset.part("train"))
    for place, labelled, rest in (
        ("one/2", ids[:2], ids[2:]),
        ("two/2", ids[1:3], ids[3:]),
        ("two/2/draw_1", ids[:2], ids[1:]),
    ):
        folder = shapes / "splits" / place
        folder.mkdir(parents=True)
        (folder / "labelled.txt").write_text("\n".join(labelled))
        (folder / "unlabelled.txt").write_text("\n".join(rest))

    here = list(splits_here(dataset))
    lines = {tuple(line[:4]): line[4:] for line in split_lines(here)}
    notes = list(split_notes(here))

    assert lines["shapes", "one", "2", "0"] == ["4", ids_digest(ids[:2]), "–", "yes"]
    assert lines["shapes", "two", "2", "1"][-1] == "broken"
    assert lines["voc", "blender", "662", "0"] == ["–", "baa85754594fcd33c7f0", "14 %", "–"]
    assert "shapes one 2 and shapes two 2: 1 of 2 labelled images in common" in notes
    assert any("two 2 draw 1: labelled and unlabelled lists must not overlap" in n for n in notes)


def test_the_commands_import_and_show(
    call: Callable[..., object], tmp_path: Path, shapes: Path
) -> None:
    ids = sorted(open_dataset("shapes", shapes).part("train"))
    own = tmp_path / "own"
    own.mkdir()
    (own / "labeled.txt").write_text(ids[0])
    place = ("--data", f"shapes={shapes}")

    read = call("data", "splits", "import", own, *place, "--family", "mine")
    shown = call("data", "splits", *place)
    (own / "unlabeled.txt").write_text(ids[0])
    refused = call("data", "splits", "import", own, *place, "--family", "other")
    empty = call("data", "splits", "import", shapes / "JPEGImages", *place)

    assert [said.code for said in (read, shown, refused, empty)] == [0, 0, 2, 2]
    assert read.out.split()[:4] == ["imported", "shapes", "mine", "1"]
    assert ids_digest(ids[:1]) in shown.out
    assert "1 of 1 lists are refused" in refused.error
    assert "such as labeled.txt" in empty.error


def mixing(digests: dict[str, str], base: str = "base") -> tuple[ResolvedStudy, dict]:
    """Return a resolved study of a row for each digest, with three results each."""
    results, cells = {}, []
    for index, (row, digest) in enumerate(digests.items()):
        trials = {f"0/{seed}": f"{row}{seed}" for seed in range(3)}
        for seed, key in enumerate(trials.values()):
            results[key] = {METRIC: 0.5 + 0.1 * index + 0.01 * seed}
            results[key] |= {"data.labelled_digest": digest} if digest else {}
        cells.append({"row": row, "column": "c", "published": 50 + index, "trials": trials})
    study = {
        "format": 1,
        "name": "t",
        "base": base,
        "metric": METRIC,
        "cells": cells,
        "rows": [{"name": row} for row in digests],
        "columns": [{"name": "c"}],
    }
    return decoded(study), resolved.results(results)


def test_cells_are_compared_only_within_one_digest_and_a_mixture_is_told() -> None:
    made = build(*mixing({"base": "aaa", "same": "aaa", "other": "bbb"}), {})
    (note,) = mixture_notes(made)
    text = to_markdown(made, further=True)

    assert note.startswith("Mixed splits: draw 0, aaa: base, same; bbb: other.")
    assert note in text
    assert made.cells["same", "c"].delta == pytest.approx(10)
    assert made.cells["other", "c"].decision is None
    assert made.cells["other", "c"].delta != made.cells["other", "c"].delta
    assert (made.comparisons, made.order) == (1, None)
    assert "**" not in text


@pytest.mark.parametrize("last", ["aaa", ""])
def test_one_digest_or_an_unknown_one_is_no_mixture(last: str) -> None:
    made = build(*mixing({"base": "aaa", "other": last}), {})

    assert list(mixture_notes(made)) == []
    assert made.comparisons == 1
    assert "**" in to_markdown(made)


def test_without_a_base_row_a_mixture_is_told_too() -> None:
    assert len(list(mixture_notes(build(*mixing({"a": "x", "b": "y"}, base=""), {})))) == 1


# Below: the original lists, where they are.


def samples(*parts: str) -> Path:
    assert SAMPLES is not None
    return Path(SAMPLES).joinpath(*parts)


def names(*parts: str) -> str:
    return str(recognise(read_lists(samples(*parts))))


class ListsAlone(DataSet):
    """Pascal VOC without images: the list to train on, and beside it the official one."""

    def __init__(self, root: Path, train: Sequence[str], official: Sequence[str]) -> None:
        super().__init__("voc", root, ("background",), ((0, 0, 0),))
        for path, ids in (
            (self.list_file("train"), train),
            (root / "ImageSets/Segmentation/train.txt", official),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(ids))

    def list_file(self, part: str) -> Path:
        return self.root / f"{part}.txt"

    def image_file(self, image_id: str) -> Path:
        raise AssertionError("nothing here reads images")

    mask_file = image_file


def voc_ids() -> tuple[list[str], list[str]]:
    """Return the 10,582 training images of Pascal VOC with SBD, and its own 1,464."""
    lists = read_lists(samples("u2pl", "pascal", "662", "labeled.txt"))
    own = read_lists(samples("u2pl", "pascal", "1464", "labeled.txt")).labelled
    return [*lists.labelled, *(lists.unlabelled or ())], list(own)


@needs_samples
def test_every_sample_is_recognised_whatever_its_format() -> None:
    found = {file: recognise(read_lists(file)) for file in find_lists(samples())}

    assert len(found) == 36
    assert None not in found.values()
    assert names("unimatch", "pascal", "u2pl_1_8", "labeled.txt") == "voc u2pl 1323"
    assert names("cps", "pascal_voc", "train_aug_labeled_1-2.txt") == "voc blender 5291"
    assert names("stplusplus", "pascal", "92", "split_2", "labeled.txt") == "voc classic 92 draw 2"
    assert names("u2pl", "cityscapes", "744", "labeled.txt") == "cityscapes u2pl 744"


@needs_samples
@pytest.mark.parametrize("count", [92, 183, 366, 732, 1464])
def test_classic_lists_agree_between_repositories(count: int) -> None:
    digests = {
        read_lists(samples(where, "pascal", str(count), "labeled.txt")).digest
        for where in ("unimatch", "u2pl")
    }

    assert len(digests) == 1


@needs_samples
@pytest.mark.parametrize(("part", "count"), [(16, 662), (8, 1323), (4, 2646)])
def test_blender_lists_are_of_two_families(part: int, count: int) -> None:
    cps = read_lists(samples("cps", "pascal_voc", f"train_aug_labeled_1-{part}.txt")).digest
    unimatch = read_lists(samples("unimatch", "pascal", f"1_{part}", "labeled.txt")).digest
    u2pl = read_lists(samples("u2pl", "pascal", str(count), "labeled.txt")).digest
    copied = read_lists(samples("unimatch", "pascal", f"u2pl_1_{part}", "labeled.txt")).digest

    assert (cps, u2pl) == (unimatch, copied)
    assert cps != u2pl


@pytest.fixture(scope="module")
def by_digest() -> dict[str, Lists]:
    return {lists.digest: lists for lists in map(read_lists, find_lists(samples()))}


@needs_samples
@pytest.mark.parametrize("known", KNOWN, ids=lambda known: str(Origin(*known[:4])))
def test_the_table_is_what_the_samples_give(
    known: known_splits.Known, by_digest: dict[str, Lists]
) -> None:
    # The pools from the two samples that come with their unlabelled list.
    files = {
        "voc": samples("u2pl", "pascal", "662", "labeled.txt"),
        "cityscapes": samples("unimatch", "cityscapes", "1_16", "labeled.txt"),
    }
    lists = read_lists(files[known.dataset])
    pool = {*lists.labelled, *(lists.unlabelled or ())}
    own = set(by_digest["129f1fe991729b186211"].labelled)
    labelled = set(by_digest[known.digest].labelled)

    assert len(labelled) == known.labelled
    assert ids_digest(pool) == known_splits.WHOLE[known.dataset].digest
    assert len(pool) == known_splits.WHOLE[known.dataset].images
    assert labelled < pool
    assert ids_digest(pool - labelled) == known.rest_digest
    if known.dataset == "voc":
        assert len(labelled & own) == known.high_quality


@needs_samples
def test_the_further_classic_draws_share_few_images() -> None:
    draws = [samples("u2pl", "pascal", "92", "labeled.txt")]
    draws += [samples("stplusplus", "pascal", "92", f"split_{k}", "labeled.txt") for k in (1, 2)]
    first, *others = (set(read_lists(file).labelled) for file in draws)

    assert [len(first & other) for other in others] == [4, 8]


@needs_samples
def test_the_image_that_pseudoseg_lists_share_is_found() -> None:
    lists = read_lists(samples("cps", "pascal_voc", "pseudoseg_labeled_1-16.txt"))

    assert lists.shared == [SHARED_IMAGE]
    assert lists.pool == known_splits.VOC_OWN
    assert str(recognise(lists)) == "voc pseudoseg 92"


@needs_samples
def test_a_checkout_is_imported_and_trained_on(tmp_path: Path) -> None:
    dataset = ListsAlone(tmp_path, *voc_ids())

    def here(name: str) -> DataSet | None:
        return dataset if name == "voc" else None

    done = list(import_lists(samples(), here, tuple(DATA_SETS)))
    refused = [item for item in done if item.state == "refused"]
    cityscapes = [item for item in done if "cityscapes is not here" in item.reason]
    split = make_split(dataset, DataConfig(name="voc", family="u2pl", labelled=1323))
    draw = make_split(dataset, DataConfig(name="voc", family="classic", labelled=92, draw=2))
    shown = list(splits_here(dataset))

    assert [item.file.name for item in refused] == ["pseudoseg_labeled_1-16.txt"]
    assert SHARED_IMAGE in refused[0].reason
    assert len(cityscapes) == 9
    assert (len(split.labelled), len(split.unlabelled)) == (1323, 9259)
    assert split.labelled_digest == "23921931a21324cfefdf"
    assert draw.labelled_digest == "89c08fc17f50ff6ed0bb"
    assert len(shown) == sum(known.dataset == "voc" for known in KNOWN)
    shares = {(item.origin.family, item.origin.labelled): item.high_quality for item in shown}
    assert shares["blender", 662] == 93 / 662
    assert any("4 of 92 labelled images in common" in note for note in split_notes(shown))


@needs_samples
def test_pseudoseg_lists_are_imported_once_the_shared_image_is_dropped(tmp_path: Path) -> None:
    dataset = ListsAlone(tmp_path, *voc_ids())
    folder = samples("cps", "pascal_voc")
    done = list(import_lists(folder, lambda name: dataset, ("voc",), drop_shared=True))
    split = make_split(dataset, DataConfig(name="voc", family="pseudoseg", labelled=92))

    assert {item.state for item in done} == {"imported"}
    assert (len(split.labelled), len(split.unlabelled)) == (92, 1372)
    assert SHARED_IMAGE in split.labelled


@needs_samples
def test_three_draws_from_the_own_list_keep_all_other_images_unlabelled(tmp_path: Path) -> None:
    train, own = voc_ids()
    dataset = ListsAlone(tmp_path, train, own)
    draws = [
        make_split(dataset, DataConfig(name="voc", family="random-own", labelled=92, draw=draw))
        for draw in range(3)
    ]

    assert all(set(split.labelled) < set(own) for split in draws)
    assert [len(split.unlabelled) for split in draws] == [10_490] * 3
    assert len({split.labelled_digest for split in draws}) == 3


@needs_samples
def test_a_draw_from_the_own_list_wants_the_official_one(tmp_path: Path) -> None:
    train, _ = voc_ids()
    with pytest.raises(DataError, match="official one of 1464 images, got 10582"):
        make_split(
            ListsAlone(tmp_path, train, train),
            DataConfig(name="voc", family="random-own", labelled=92),
        )


@needs_samples
def test_without_sbd_the_lists_of_the_larger_pool_are_refused(tmp_path: Path) -> None:
    _, own = voc_ids()
    dataset = ListsAlone(tmp_path, own, own)

    done = list(import_lists(samples("u2pl", "pascal"), lambda name: dataset, ("voc",)))

    assert {item.state for item in done} == {"refused"}
    assert any("Pascal VOC with SBD, 10582 images" in item.reason for item in done)
