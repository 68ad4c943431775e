"""How long data sets of full size take to be read first, and to be planned on from then on.

    python tests/benchmarks/large_trees.py [FOLDER]

Makes a tree of Pascal VOC with SBD's size (10,582 + 1,449 images, 500 x 375) and one of Cityscapes'
size (2,975 + 500 images, 2048 x 1024), of links to a few generated files, and stacks of Lucchi's
size, with lists for all splits that studies of paper scale ask for; then runs `plan` on them as a
user would, and prints when the first words came, how long it took and the most memory it held.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from semisweep import DataConfig, Study
from semisweep.checks.validation import sample_trials
from semisweep.data.splits import DRAWN_FAMILIES, lists_folder
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import replicates

VOC = {"train": 10_582, "val": 1449}
CITYSCAPES = {"train": 2975, "val": 500}
FILES = {"voc": 40, "cityscapes": 8}


def main(folder: Path) -> None:
    """Make the trees and time the commands."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = {"voc": make_voc(folder / "voc"), "cityscapes": make_cityscapes(folder / "cityscapes")}
    ids["lucchi"] = make_lucchi(folder / "lucchi")
    for data in paper_splits():
        if data.family not in DRAWN_FAMILIES and data.labelled and data.name in ids:
            write_lists(folder / data.name, data, ids[data.name])
    environment = os.environ | {"SEMISWEEP_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "semisweep", "plan", "--scale", "paper"]
    command += ["--store", str(folder / "no-store")]
    command += [word for name in ids for word in ("--data", f"{name}={folder / name}")]
    for title, studies in (
        ("one study, nothing read yet", ["segkc_classic"]),
        ("the same again", ["segkc_classic"]),
        ("all studies, Cityscapes not read yet", ["all"]),
        ("all studies again", ["all"]),
        ("all studies, reading everything again", ["all", "--verify-data"]),
    ):
        run(title, [*command, *studies], environment)


def run(title: str, command: Sequence[str], environment: dict[str, str]) -> None:
    """Run a command; print its words with their times, and what it took."""
    print(f"== {title}")
    started, first = time.monotonic(), 0.0
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert process.stdout is not None
    while data := os.read(process.stdout.fileno(), 1 << 16):
        now = time.monotonic() - started
        first = first or now
        for line in data.decode().splitlines():
            print(f"  {now:6.1f} s  {line[:110]}")
    _, status, used = os.wait4(process.pid, 0)
    print(
        f"== {title}: first words after {first:.1f} s, all of it {time.monotonic() - started:.1f} "
        f"s, {used.ru_utime + used.ru_stime:.1f} s of a core, {used.ru_maxrss / 1024:.0f} MiB, "
        f"exit {os.waitstatus_to_exitcode(status)}",
        flush=True,
    )


def paper_splits() -> Iterator[DataConfig]:
    """Yield the data of every trial of paper scale."""
    request = Request(roots=Roots(Path()), scale="paper")
    seen: dict[DataConfig, None] = {}
    for name in study_names():
        study = find_study(name)
        if "paper" not in study.presets:
            continue
        seen |= dict.fromkeys(trial.data for trial in sample_trials(study, request))
        for row in study.rows if isinstance(study, Study) else ():
            for column in study.columns:
                if column.exists("paper"):
                    trials = replicates(study, "paper", row, column, {})
                    seen |= dict.fromkeys(trial.data for _, trial in trials)
    yield from seen


def write_lists(root: Path, data: DataConfig, ids: Sequence[str]) -> None:
    """Write the two lists of a split, drawn at random."""
    assert data.labelled is not None
    folder = lists_folder(root, data.family, data.labelled, data.draw)
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(data.draw).permutation(len(ids)).tolist()
    labelled = {ids[index] for index in order[: data.labelled]}
    rest = [image_id for image_id in ids if image_id not in labelled]
    (folder / "labelled.txt").write_text("\n".join(sorted(labelled)))
    (folder / "unlabelled.txt").write_text("\n".join(rest))


def make_voc(root: Path) -> list[str]:
    """Write a tree of Pascal VOC with masks for all images; return the ids of training images."""
    files = list(pictures(root.parent / "files", "voc", (375, 500), 21))
    lists = {part: [f"{part}_{i:06d}" for i in range(count)] for part, count in VOC.items()}
    for index, image_id in enumerate([*lists["train"], *lists["val"]]):
        image, mask = files[index % len(files)]
        link(image, root / "JPEGImages" / f"{image_id}.jpg")
        link(mask, root / "SegmentationClassAug" / f"{image_id}.png")
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True, exist_ok=True)
    names = {"train_aug": lists["train"], "train": lists["train"][:1464], "val": lists["val"]}
    for name, ids in names.items():
        (folder / f"{name}.txt").write_text("\n".join(ids))
    return lists["train"]


def make_cityscapes(root: Path) -> list[str]:
    """Write a tree of Cityscapes with masks of train ids; return the ids of training images."""
    files = list(pictures(root.parent / "files", "cityscapes", (1024, 2048), 19))
    train, number = [], 0
    for part, count in CITYSCAPES.items():
        for index in range(count):
            city, number = f"city{index % 18}", number + 1
            image_id = f"{city}_{number:06d}_000019"
            image, mask = files[number % len(files)]
            link(image, root / "leftImg8bit" / part / city / f"{image_id}_leftImg8bit.png")
            link(mask, root / "gtFine" / part / city / f"{image_id}_gtFine_labelTrainIds.png")
            train += [image_id] if part == "train" else []
    return sorted(train)


def make_lucchi(root: Path) -> list[str]:
    """Write the stacks of Lucchi; return the ids of training images."""
    root.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for name in ("training", "testing", "training_groundtruth", "testing_groundtruth"):
        path = root / f"{name}.tif"
        most = 2 if name.endswith("_groundtruth") else 256
        pages = [
            Image.fromarray(generator.integers(0, most, (24, 32), dtype=np.uint8)).resize(
                (1024, 768), Image.Resampling.NEAREST
            )
            for _ in range(165)
        ]
        if not path.exists():
            pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")
    return [f"training_{page:03d}" for page in range(165)]


def pictures(
    folder: Path, name: str, size: tuple[int, int], classes: int
) -> Iterator[tuple[Path, Path]]:
    """Yield files of smooth images with noise, as large as photographs are, and of their masks."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    height, width = size
    for index in range(FILES[name]):
        image = folder / f"{name}{index}{'.jpg' if name == 'voc' else '.png'}"
        mask = folder / f"{name}{index}_mask.png"
        if not image.exists():
            coarse = generator.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
            smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            pixels = np.asarray(smooth).astype(int) + generator.integers(-6, 7, (*size, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(image)
            areas = generator.integers(0, classes, (height // 64, width // 64), dtype=np.uint8)
            Image.fromarray(areas).resize((width, height), Image.Resampling.NEAREST).save(mask)
        yield image, mask


def link(source: Path, target: Path) -> None:
    """Make another name of a file, unless it is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        os.link(source, target)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
