"""Every option and argument of every command with values that nobody should type.

python tests/fuzz/command_line.py FOLDER [--calls 500] [--seed 0] [--each]

FOLDER must be new. With --each so many calls of every option, else so many in all.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from calls import Calls
from nasty import assignment, word
from report_store import fill_search, fill_table

from semisweep import Store
from semisweep.cli.commands import cli
from semisweep.data.shapes import make

# What stands before the option; of commands that train or serve whatever they are told, nothing is
# tried: `run` is asked for its plan alone.
STUDY, SEARCH = "rankmatch_weight", "rankmatch_search"
BEGINNINGS: dict[str, list[str]] = {
    "run": [STUDY, "--dry-run"],
    **{name: [STUDY] for name in ("plan", "table", "studies", "export-tensorboard")},
    **{name: [STUDY] for name in ("weights fetch", "weights check")},
    **{name: ["KEY"] for name in ("show", "logs", "evaluate")},
    "diff": ["KEY", "KEY"],
    "predict": ["KEY", "none.jpg"],
    "rm": ["nothing", "--yes"],
    "methods": ["rankmatch"],
    "import": ["numbers.csv"],
    "export-optuna": [SEARCH],
    "data check": ["shapes"],
    "data init": ["semisweep-data"],
    "data make": ["shapes"],
    "data splits import": ["lists"],
    "store pack": ["--output", "some.tar"],
    "store merge": ["none.tar"],
}
NOT_TRIED = ("debug", "check", "dashboard")
ALWAYS = {"run": ["--dry-run"], "rm": ["--yes"]}  # with whatever argument


def main() -> int:
    """Call, and print what went wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", action="store_true")
    asked = parser.parse_args()
    key = prepare(asked.folder)
    numbers, calls = random.Random(asked.seed), Calls()
    places = list(parameters())
    chosen = places * asked.calls if asked.each else numbers.choices(places, k=asked.calls)
    for path, parameter in chosen:
        calls.run([own if own != "KEY" else key for own in call_of(path, parameter, numbers)])
    return calls.report()


def prepare(folder: Path) -> str:
    """Make a folder with data and a store and go there; return the key of a trial."""
    folder.mkdir()
    os.chdir(folder)
    make(Path("semisweep-data/shapes"), train=48, val=4, test=4, size=32)
    store, data = Path("semisweep-store"), Path("semisweep-data")
    fill_table(store, STUDY, data)
    fill_search(store, data, trials=3)
    Path("numbers.csv").write_text(f"study,row,column,value\n{STUDY},a,b,1\n")
    return Store.open(store).keys()[0]


def parameters() -> Iterator[tuple[list[str], click.Parameter]]:
    """Yield the words of each command, and each of its options and arguments."""
    for path, command in commands(cli, []):
        if path[0] not in NOT_TRIED:
            yield from ((path, own) for own in command.params if own.name != "dry_run")


def commands(command: click.Command, path: list[str]) -> Iterator[tuple[list[str], click.Command]]:
    """Yield every command and its words."""
    if isinstance(command, click.Group):
        for name, own in command.commands.items():
            yield from commands(own, [*path, name])
    if not isinstance(command, click.Group) or (path and command.invoke_without_command):
        yield path, command


def call_of(path: Sequence[str], parameter: click.Parameter, numbers: random.Random) -> list[str]:
    """Return the words of a call with one value that is not as it should be."""
    name = " ".join(path)
    value = assignment(numbers) if parameter.multiple and numbers.random() < 0.5 else word(numbers)
    value = value.replace("\0", "")  # which no process can be given
    if isinstance(parameter, click.Argument):
        return [*path, *ALWAYS.get(name, []), value]
    given = [parameter.opts[0]]
    if not getattr(parameter, "is_flag", False):
        given.append(value)
    return [*path, *BEGINNINGS.get(name, []), *given]


if __name__ == "__main__":
    sys.exit(main())
