"""Writes tests/golden/methods_compared.parquet from stores in which `methods_compared` was run.

One row a trial: generator seed of its data set, row, seed, key and last scores; of the two cells
that a test trains anew, the losses of their first steps too. Prints the README's lines.

    python tests/benchmarks/compared.py SEED=STORE=DATA [SEED=STORE=DATA ...]
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import torch

import semisweep
from semisweep import Store, Trial
from semisweep.statistics.intervals import mean_std, paired_difference, paired_interval
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.resolve import Splits, resolve
from semisweep.training.trainer import Training

STUDY = "methods_compared"
GOLDEN = Path(__file__).parents[1] / "golden" / f"{STUDY}.parquet"
TRAINED_ANEW = ("supervised", "mean_teacher")  # with seed 0, on the first data set
FIRST_STEPS = 3


def first_losses(trial: Trial, splits: Splits) -> list[float]:
    """Return the loss of each of the first steps of a trial of one update a step."""
    torch.set_num_threads(1)
    training = Training(trial, splits.dataset(trial.data.name), splits.of(trial.data))
    losses, before = [], 0.0
    for batch in training.loader.batches(0, FIRST_STEPS):
        training.advance(batch)
        total = sum(float(value) for name, value in training.sums.items() if name.endswith(".loss"))
        losses.append(total - before)
        before = total
    return losses


def rows(generator_seed: int, store: Path, data: Path, first: bool) -> list[dict[str, Any]]:
    """Return the golden rows of one data set; every trial must have finished."""
    table = Store.open(store).read_table(STUDY, "mini")
    assert table is not None, f"{STUDY} must have been run in {store}"
    results = semisweep.load(store, study=f"{STUDY}@mini").set_index("key")
    splits = Splits(Roots(data.parent, {"shapes": data}))
    resolved = resolve(find_study(STUDY), "mini", splits)
    found = []
    for cell in table.cells:
        for replicate, key in cell.trials.items():
            seed = int(replicate.partition("/")[2])
            anew = first and seed == 0 and cell.row in TRAINED_ANEW
            row = {"generator_seed": generator_seed, "row": cell.row, "seed": seed, "key": key}
            row |= {name: float(results.at[key, name]) for name in ("last.val.miou", table.metric)}
            trial = dataclasses.replace(resolved.trials[key], seed=seed)
            row["first_losses"] = first_losses(trial, splits) if anew else None
            found.append(row)
    return found


def lines(results: pd.DataFrame) -> Iterator[str]:
    """Yield a line a method: mean and deviation, and difference to Supervised, of each data set."""
    points = results.assign(points=100 * results["last.test.miou"], replicate=results.seed.map(str))
    cells = {name: dict(zip(cell.replicate, cell.points, strict=True))
             for name, cell in points.groupby(["generator_seed", "row"])}  # fmt: skip
    for row in find_study(STUDY).rows:
        line = f"| {row.label:<12} "
        for data in sorted(results.generator_seed.unique()):
            own, base = cells[data, row.name], cells[data, "supervised"]
            mean, std = mean_std(list(own.values()))
            delta = paired_difference(own, base)
            low, high = paired_interval(delta)
            told = f"{delta.mean:+.1f} [{low:+.1f}, {high:+.1f}]"
            line += f"| {mean:.1f} ± {std:.1f} | {'–' if row.name == 'supervised' else told} "
        yield f"{line}|"


def main(arguments: list[str]) -> None:
    """Write the file."""
    given = [argument.split("=") for argument in arguments]
    made = [
        row
        for index, (seed, store, data) in enumerate(given)
        for row in rows(int(seed), Path(store), Path(data).absolute(), index == 0)
    ]
    pa.parquet.write_table(pa.Table.from_pylist(made), GOLDEN, compression="zstd")
    print(f"{len(made)} trials: {GOLDEN}")
    print(*lines(pd.read_parquet(GOLDEN)), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
