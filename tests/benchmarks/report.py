"""What tables and a page over a large store cost: 10,000 trials, a million evaluations, by default.

The store is that of `queries`, compacted, with studies of five rows, two columns and five seeds.
Each figure is the fastest of three, in processes of their own that have imported what they need.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from queries import STUDY_TRIALS, make_store

from semisweep import Store
from semisweep.store.compaction import compact
from semisweep.store.files import write_json

ROWS, COLUMNS, SEEDS = 5, 2, 5
LIMIT_SECONDS = 2.0
ASK = """
import sys, time
import numpy, pandas, pyarrow.parquet, jinja2, scipy.special
from semisweep.tables import rendering
from semisweep.report import page
from semisweep import Store
from semisweep.study.request import Request, Roots
from pathlib import Path

request = Request(roots=Roots(Path("absent")), store=sys.argv[1], scale="paper")
started = time.perf_counter()
rendering.render([name for name, _ in Store.open(request.store).studies()], request)
rendered = time.perf_counter()
started, used, tables = rendered, time.process_time(), rendered - started
sections = page.sections_for(page.studies_for((), request), request)
read = time.perf_counter()
text = page.page(sections, request.store)
page.write(text, Path(sys.argv[1]).parent / "report.html")
done = time.perf_counter()
used = time.process_time() - used
print(tables, read - started, done - read, used, len(sections), len(text))
"""


def main() -> None:
    """Make the store, write its page three times, and print seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--evaluations", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        make_store(root, options.trials, options.evaluations)
        lay_out(Store.open(root))
        compact(Store.open(root))
        runs = [ask(root) for _ in range(3)]
        tables = min(run[0] for run in runs)
        _, read, written, used, sections, size = min(runs, key=lambda run: run[3])
        met = "met" if tables <= LIMIT_SECONDS else "MISSED"
        print(f"{sections:.0f} tables of {options.trials} trials: {tables:.2f} s", end=" ")
        print(f"(target {LIMIT_SECONDS:g} s: {met})")
        print(f"a page of them with curves: read and drawn in {read:.2f} s,")
        print(f"written in {written:.2f} s, {size / 2**20:.1f} MiB; {used:.2f} s of computing")


def ask(root: Path) -> list[float]:
    """Return what one process says of one page."""
    command = [sys.executable, "-c", ASK, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(part) for part in done.stdout.split()]


def lay_out(store: Store) -> None:
    """Make a table of each of the store's studies."""
    for name, scale in store.studies():
        keys = store.study_keys(name, scale)
        assert len(keys) == STUDY_TRIALS == ROWS * COLUMNS * SEEDS
        cells = [
            {"row": f"row {index // COLUMNS}", "column": f"column {index % COLUMNS}"}
            | {"published": 70.0 + index, "published_std": None}
            | {"trials": {f"0/{s}": keys[index * SEEDS + s] for s in range(SEEDS)}}
            for index in range(ROWS * COLUMNS)
        ]
        table = {"format": 1, "kind": "table", "name": name, "title": name, "scale": scale}
        table |= {"paper": "", "table": "", "base": "row 0", "metric": "last.test.miou"}
        table |= {"rows": [{"name": f"row {index}"} for index in range(ROWS)]}
        table |= {"columns": [{"name": f"column {index}"} for index in range(COLUMNS)]}
        write_json(store.root / "studies" / f"{name}@{scale}.json", table | {"cells": cells})


if __name__ == "__main__":
    main()
