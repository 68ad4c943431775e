"""What questions to a large store cost: 10,000 trials of 100 evaluations each, by default.

The store is synthetic and lies in a temporary folder. Each question is asked three times, in a
process of its own, which imports what it needs first; the fastest counts. How many files of the
store the process opens is what the kernel says (inotify).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from semisweep import Store
from semisweep.store.compaction import compact
from semisweep.store.files import write_json
from semisweep.store.result_file import encode_row

CLASSES = 21
STUDY_TRIALS = 50
METHODS = ("first.module:First", "second.module:Second", "third.module:Third")

QUESTIONS = {
    "open and plan a study": (5.0, "plan([store.read_study('study3', 'paper')], store)"),
    "load one study": (0.2, "load(root, study='study3')"),
    "all last results": (1.0, "load(root)"),
    "history of one study": (None, "history(root, study='study3')"),
    "all history": (3.0, "history(root)"),
}
ASK = """
import sys, time
import pandas, pyarrow.parquet
from semisweep.study.plan import plan
from semisweep import history, load
from semisweep import Store

len(pandas.DataFrame({{"a": ["b"]}}).to_string())
root = sys.argv[1]
started = time.perf_counter()
store = Store.open(root)
answer = {question}
seconds = time.perf_counter() - started
size = answer.shape if hasattr(answer, "shape") else answer.wanted
print(seconds, str(size).replace(" ", ""))
"""


class Opened:
    """Counts the files that are opened in the folders below a root."""

    OPEN, FOLDER, OVERFLOW = 0x20, 0x40000000, 0x4000
    EVENT = struct.Struct("iIII")

    def __init__(self, root: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self.descriptor = library.inotify_init1(os.O_NONBLOCK)
        for folder, _, _ in os.walk(root):
            if library.inotify_add_watch(self.descriptor, os.fsencode(folder), self.OPEN) < 0:
                raise OSError(ctypes.get_errno(), "the kernel watches no more folders")
        self.count()

    def count(self) -> str:
        """Return how many files were opened since the last count, and forget them."""
        found, lost = 0, ""
        while True:
            try:
                data = os.read(self.descriptor, 1 << 20)
            except BlockingIOError:
                return f"{lost}{found}"
            start = 0
            while start < len(data):
                _, mask, _, length = self.EVENT.unpack_from(data, start)
                found += bool(mask & self.OPEN) and not mask & self.FOLDER
                lost = ">" if mask & self.OVERFLOW else lost
                start += self.EVENT.size + length


def main() -> None:
    """Make the store, ask before and after compaction, and print seconds and files opened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--before", action="store_true", help="ask before compaction too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        started = time.perf_counter()
        make_store(root, options.trials, options.evaluations)
        print(f"made {options.trials} trials x {options.evaluations} evaluations", end=" ")
        print(f"in {time.perf_counter() - started:.1f} s")
        if options.before:
            ask_all(root, "not compacted")
        for _ in range(2):
            started = time.perf_counter()
            done = compact(Store.open(root))
            seconds = time.perf_counter() - started
            print(f"compacted in {seconds:.1f} s: {sum(kind.written for kind in done)} new parts")
        parts = [path for kind in ("results", "history") for path in (root / kind).glob("part-*")]
        print(f"{len(parts)} parts, {sum(path.stat().st_size for path in parts) / 2**20:.1f} MiB")
        ask_all(root, "compacted")


def ask_all(root: Path, state: str) -> None:
    """Print what each question costs: the fastest of three."""
    print(f"{state:24} {'seconds':>8} {'at most':>8} {'opened':>7}  answer")
    watched = Opened(root)
    for name, (limit, question) in QUESTIONS.items():
        code = ASK.format(question=question)
        runs: list[tuple[float, str, str]] = []
        for _ in range(3):
            done = subprocess.run(
                [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True
            )
            seconds, size = done.stdout.split()
            runs.append((float(seconds), watched.count(), size))
        seconds, opened, size = min(runs)
        most = "" if limit is None else f"{limit:.1f}"
        print(f"{name:24} {seconds:8.3f} {most:>8} {opened:>7}  {size}", flush=True)


def make_store(root: Path, trials: int, evaluations: int) -> None:
    """Write the files of a store directly: a thousandth of them failures, the rest finished."""
    store, numbers = Store.open(root, create=True), random.Random(0)
    keys = [f"{numbers.getrandbits(80):020x}" for _ in range(trials)]
    for index, key in enumerate(keys):
        folder = store.root / "trials" / key
        folder.mkdir(parents=True)
        trial = trial_of(index)
        (folder / "trial.json").write_text(json.dumps({"format": 1, "key": key, "trial": trial}))
        if index % 1000 == 999:
            failure = {"key": key, "error": "a loss must be finite", "trial": trial}
            (folder / "failure.json").write_text(json.dumps(failure))
            continue
        (folder / "result.parquet").write_bytes(encode_row({"key": key} | row(trial, numbers)))
        lines = (json.dumps(evaluation(step, numbers)) for step in range(1, evaluations + 1))
        (folder / "history.jsonl").write_text("".join(f"{line}\n" for line in lines))
    for number in range(trials // STUDY_TRIALS):
        own = keys[number * STUDY_TRIALS : (number + 1) * STUDY_TRIALS]
        cell = {"row": "a", "column": "b", "trials": {f"0/{seed}": k for seed, k in enumerate(own)}}
        study = {"format": 1, "kind": "table", "name": f"study{number}", "cells": [cell]}
        study |= {"metric": "last.test.miou", "rows": [{"name": "a"}], "columns": [{"name": "b"}]}
        write_json(root / "studies" / f"study{number}@paper.json", study)


def trial_of(index: int) -> dict[str, object]:
    """Return a trial's description, with as many fields as true ones have."""
    kind = index // STUDY_TRIALS % len(METHODS)
    return {
        "method": METHODS[kind],
        "config": {f"weight_{number}": 0.1 * number for number in range(8 + kind)}
        | {"network": {"backbone": "resnet101s", "output_stride": 16, "pretrained": True}},
        "data": {"name": "voc", "family": "stratified", "labelled": 92, "draw": index % 3},
        "training": {"epochs": 80, "steps": None, "crop_pixels": 321, "precision": "bf16"}
        | {f"augmentation_{number}": [0.5, 2.0] for number in range(10)},
        "seed": index % 5,
    }


def row(trial: dict[str, object], numbers: random.Random) -> dict[str, object]:
    """Return a result: configuration, four times a mean and the classes, provenance."""
    from semisweep.core.config import flatten

    scores = {
        f"{name}.{part}.{metric}": numbers.random()
        for name in ("last", "best")
        for part in ("val", "test")
        for metric in ("miou", *(f"iou.{number}" for number in range(CLASSES)))
    }
    facts = {"parameters": 59_500_000, "total_steps": 40_000, "source.version": "0.1.0"}
    own = {"run.seconds": numbers.random(), "run.attempts": 1, "run.device": "cuda"}
    return flatten(trial) | facts | scores | own


def evaluation(step: int, numbers: random.Random) -> dict[str, object]:
    """Return a row of a history."""
    losses = {f"loss.{name}": numbers.random() for name in ("supervised", "strong", "rank")}
    return {"step": 400 * step, "epoch": step} | losses | {"val.miou": numbers.random()}


if __name__ == "__main__":
    main()
