"""Every point of a worker's life x {raises, killed, hangs} x {one worker, two}: how each ends.

`python tests/crash/fault_matrix.py [--jobs 3] [--points join,train] [--kinds raises] [--workers 1]`
runs real sweeps, prints a line a cell with what was promised, what came, and its seconds, and exits
with 1 if any cell did not end as promised.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from driving import command, environment

from semisweep import Store
from semisweep.cluster.supervisor import FEWEST_START_SECONDS
from semisweep.core.fault_injection import FAULT, KINDS, LEDGER, POINTS
from semisweep.core.faults import TRIES
from semisweep.data.shapes import make

HERE = Path(__file__).parent
BEFORE = ("spawn", "import", "device", "group", "join", "take")  # a trial is taken
AFTER = ("report", "release")  # it has its result
HUNG_SECONDS = 30
SAID_SECONDS = 25  # within which a fault is to be said; beside others on two cores
WAIT_SECONDS = 600
REASONS = {
    "raises": "RuntimeError: an injected fault at point=",
    "killed": "its process is gone",
    "hangs": "killed",
}


class Cell(NamedTuple):
    """A place in the matrix; of two workers the second one has the fault."""

    point: str
    kind: str
    workers: int

    @property
    def promise(self) -> str:
        """How it is to end."""
        if self.point in BEFORE:
            return "sweep ends"
        if self.point == "complete" and self.workers > 1:
            return "finished"  # the first worker, which has no fault, has completed it
        return "finished" if self.point in AFTER else "failed row"


class End(NamedTuple):
    """How a cell ended."""

    cell: Cell
    code: int
    came: str
    faults: int
    said_after: float
    seconds: float
    wrong: str
    output: str

    def line(self) -> str:
        """Return the row of a Markdown table."""
        cell = self.cell
        return (
            f"| {cell.point} | {cell.kind} | {cell.workers} | {self.came} | {self.code} | "
            f"{self.faults} | {self.said_after:.0f} | {self.seconds:.0f} | {self.wrong or 'ok'} |"
        )


HEADER = (
    "| point | kind | workers | end | exit code | faults | said after s | whole s | as promised |\n"
    "|---|---|--:|---|--:|--:|--:|--:|---|"
)


def run_cell(cell: Cell, data: Path) -> End:
    """Run a sweep with a fault, and return how it ended."""
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        root = Path(folder)
        faults, store = root / "faults", root / "store"
        rank = f":{cell.workers - 1}"
        variables = environment(
            HERE,
            root / "ledger",
            **{FAULT: f"{cell.point}:{cell.kind}{rank}", LEDGER: str(faults)},
            OMP_NUM_THREADS="1",
        )
        arguments = ["run", "fault_studies:single", "--data", f"shapes={data}", "--slots", "1"]
        arguments += ["--store", str(store), "--workers", str(cell.workers), "--no-check"]
        arguments += ["--hung-minutes", str(HUNG_SECONDS / 60)]
        started = time.time()
        lines, code = _run(command(*arguments), root, variables)
        seconds = time.time() - started
        text = faults.read_text() if faults.exists() else ""
        fired = [float(line.split()[3]) for line in text.splitlines()]
        opened = Store.open(store, create=True)
        failures, finished = opened.failures(), opened.finished()
        came = "failed row" if failures else "finished" if finished else "sweep ends"
        said = next((at for at, line in lines if REASONS[cell.kind] in line), None)
        allowed = SAID_SECONDS + (FEWEST_START_SECONDS if cell.kind == "hangs" else 0)
        after = said - fired[0] if said is not None and fired else float("inf")
        wrong = [
            not fired and "no fault has happened",
            came != cell.promise and f"promised: {cell.promise}",
            code != (0 if cell.promise == "finished" else 1) and "exit code",
            after > allowed and "not said in time",
            cell.promise != "finished" and len(fired) != TRIES and f"{len(fired)} tries",
            any("Traceback" in line for _, line in lines) and "a traceback in the terminal",
            came == "failed row" and not _is_logged(opened, cell) and "not in the log",
        ]
        output = "\n".join(line for _, line in lines)
        reasons = ", ".join(item for item in wrong if item)
        return End(cell, code, came, len(fired), after, seconds, reasons, output)


def _is_logged(store: Store, cell: Cell) -> bool:
    """Return whether the trial's log says why it failed, and with a traceback where it raised."""
    (key,) = store.failures()
    text = "".join(path.read_text() for path in store.trial(key).path.glob("log-*.txt"))  # type: ignore[union-attr]
    return REASONS[cell.kind] in text and (cell.kind != "raises" or "Traceback" in text)


def _run(
    words: Sequence[str], folder: Path, variables: dict[str, str]
) -> tuple[list[tuple[float, str]], int]:
    """Return the lines that a command says on stderr, each with its time, and its exit code."""
    lines: list[tuple[float, str]] = []
    with subprocess.Popen(
        words,
        cwd=folder,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(WAIT_SECONDS, process.kill)
        timer.start()
        assert process.stderr is not None
        for line in process.stderr:
            lines.append((time.time(), line.rstrip()))
        process.wait()
        timer.cancel()
    return lines, process.returncode


def cells(
    points: Sequence[str] = POINTS, kinds: Sequence[str] = KINDS, workers: Sequence[int] = (1, 2)
) -> Iterator[Cell]:
    """Yield the places of the matrix; with one worker there is no group to join."""
    for count, kind, point in itertools.product(workers, kinds, points):
        yield Cell(point, kind, count)


def main() -> int:
    """Run the matrix and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--points", default=",".join(POINTS))
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--workers", default="1,2")
    chosen = parser.parse_args()
    workers = [int(count) for count in chosen.workers.split(",")]
    wanted = list(cells(chosen.points.split(","), chosen.kinds.split(","), workers))
    print(HEADER, flush=True)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(chosen.jobs) as pool:
        data = make(Path(folder) / "shapes", train=24, val=4, test=4, size=32)
        for end in pool.map(lambda cell: run_cell(cell, data), wanted):
            print(end.line(), flush=True)
            if end.wrong:
                wrong += 1
                print(end.output, file=sys.stderr, flush=True)
    print(f"{len(wanted) - wrong} of {len(wanted)} cells ended as promised")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
