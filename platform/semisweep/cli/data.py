"""Commands that make and check data sets."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from semisweep.cli.options import any_count_option, verify_data_option
from semisweep.cli.splits import splits
from semisweep.core.errors import DataError


@click.group()
def data() -> None:
    """Make and check data sets."""


data.add_command(splits)


@data.command("make")
@click.argument("name", type=click.Choice(["shapes"]))
@click.option("--root", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def make_data(name: str, root: Path, seed: int) -> None:
    """Write the embedded data set NAME in the Pascal VOC layout."""
    from semisweep.data.check import content_digest
    from semisweep.data.registry import open_dataset
    from semisweep.data.shapes import make

    make(root, seed=seed)
    dataset = open_dataset(name, root)
    counts = ", ".join(f"{part} {len(dataset.part(part))}" for part in dataset.parts)
    click.echo(f"{root}: {counts} images; content digest {content_digest(dataset)}")


@data.command("init")
@click.argument("root", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--val", type=click.IntRange(1), help="Draw so many images to validate on.")
@click.option("--test", type=click.IntRange(1), help="Draw so many images to test on.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def init_data(root: Path, val: int | None, test: int | None, seed: int) -> None:
    """Look at a folder of images and masks and write a first dataset.toml there.

    Where all images are in one folder, --val and --test draw some of them, in lists beside it.
    """
    from semisweep.data.folder_data import MANIFEST
    from semisweep.data.manifest_draft import draft

    asked = {part: count for part, count in (("val", val), ("test", test)) if count is not None}
    found = draft(root, asked, seed)
    lists = {name: "".join(f"{own}\n" for own in names) for name, names in found.lists.items()}
    written = {**lists, MANIFEST: found.text}
    there = [str(root / name) for name in written if (root / name).exists()]
    if there:
        raise DataError(f"a new file must not be there yet, got file={there[0]}; remove it")
    for name, text in written.items():
        with (root / name).open("x", encoding="utf-8") as file:
            file.write(text)
    path = root / MANIFEST
    click.echo(found.text)
    click.echo(f"{path}: read it, correct it, then: semisweep data check {root.name} --root {root}")


@data.command("check")
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), required=True)
@any_count_option
@verify_data_option
def check_data(name: str, root: Path, any_count: bool, verify_data: bool) -> int:
    """Read every image and mask of data set NAME and say what to mend, file by file.

    What was read before is read again only where its size or times have changed.

    NAME is voc, cityscapes, lucchi, camvid or shapes; any other name is that of a folder of your
    own with a dataset.toml.
    """
    from semisweep.data.check import content_digest, count_problems, inspect
    from semisweep.data.content import Content
    from semisweep.data.registry import open_dataset

    dataset = open_dataset(name, root)
    with click.progressbar(length=1, label="reading", file=sys.stderr) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        found = inspect(dataset, advance, content=Content(dataset, verify=verify_data))
    problems = found.problems
    if not any_count and not problems:
        problems = count_problems(dataset)
    for note in found.notes:
        click.echo(f"note: {note}")
    for problem in problems:
        click.echo(problem)
    if problems:
        raise DataError(f"{len(problems)} files of {name} at {root} are to be mended")
    counts = ", ".join(f"{part} {len(dataset.part(part))}" for part in dataset.parts)
    click.echo(f"{name} is whole: {counts} images; content digest {content_digest(dataset)}")
    return 0
