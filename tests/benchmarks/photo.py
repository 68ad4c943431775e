"""The scale `photo` on a GPU: its rates, its tables, and a plain loop beside Supervised.

Sections, each with a time of its own: "rates", six trials that choose the learning rate on val;
"tables", the studies in their order, each with what `plan --probe` forecast, what it took and how
busy the GPU was; "plain", a loop of timm and torchvision, which Supervised must at least equal.
JSON lines go to the terminal and to photo.jsonl, tables to the terminal and to the store.

    python tests/benchmarks/photo.py --data DIR --weights DIR [--only SECTION ...] [--gpus SHARE]

Small, on a CPU: --steps 2 --crop 128 --images 3 --draws 1, with some images of CamVid in DIR.
RankMatch has 48 agents, which a crop below 112 pixels has no room for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from gpu_sections import Watch

import semisweep
from semisweep.training.trial import method_path
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch
from semisweep_studies.photo import LABELLED, PHOTO, PHOTO_NETWORK, RATE, SCALE

SECTIONS = ("rates", "tables", "plain")
RATES = "photo_learning_rate"
TABLES = (
    *("methods_compared", "rankmatch_components", "gps_losses", "segkc_losses"),
    *("css_sources", "stpg_components", "stpg_selection"),
)
COMPARED_HOURS = 0.2  # asked of the first
SHARE = "0.25"  # of a GPU for a trial


class Runs:
    """Commands of semisweep on one store, and what they are given."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.gpu = torch.cuda.is_available()
        self.places = ["--scale", SCALE, "--store", str(given.store), "--any-count"]
        self.places += ["--data", f"camvid={given.data}"]
        if given.draws:
            self.places += ["--draws", str(given.draws)]
        changes = {"training.steps": given.steps, "training.crop_pixels": given.crop}
        if not self.gpu:
            changes["training.precision"] = "fp32"
        self.changes = {name: value for name, value in changes.items() if value is not None}
        self.environment = os.environ | {"SEMISWEEP_WEIGHTS": str(given.weights)}

    def command(self, name: str, study: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Return what a command said, after so long; raise `RuntimeError` with its last line."""
        words = [sys.executable, "-m", "semisweep", name, study, *self.places, *more]
        for field, value in self.changes.items():
            words += ["--set", f"{field}={value}"]
        done = subprocess.run(
            words,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=self.given.seconds,
        )
        if done.returncode:
            raise RuntimeError(last_line(done))
        return done

    def study(self, name: str) -> dict[str, Any]:
        """Run a study; print its table, and return the forecast, seconds and busy share."""
        slots = ["--gpus", self.given.gpus] if self.gpu else ["--slots", "1"]
        forecast = self.command("plan", name, "--probe", *slots).stdout
        started = time.monotonic()
        with Watch() as watch:
            done = self.command("run", name, *slots)
        took = time.monotonic() - started
        print(done.stdout)
        told = [line.split() for line in forecast.splitlines() if "hours" in line]
        hours = {" ".join(words[:-3]): float(words[-3]) for words in told}
        return {"hours": round(took / 3600, 3), "forecast": hours} | watch.summary()


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a process that failed said at last."""
    return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]


def rates(runs: Runs) -> dict[str, Any]:
    """Try the rates, and return val scores in percent by row and rate, and the best mean."""
    found = runs.study(RATES)
    frame = semisweep.load(runs.given.store)
    frame = frame[(frame["data.labelled"] == LABELLED) & (frame["data.draw"] == 0)]
    frame = frame[frame["method"].isin([method_path(Supervised), method_path(UniMatch)])]
    scores = (frame.groupby([RATE, "method"])["last.val.miou"].mean() * 100).round(2).unstack()
    named = {f"{rate:g}": list(own) for rate, own in scores.iterrows()}
    return found | {"methods": list(scores), "val": named, "best": scores.mean(axis=1).idxmax()}


def tables(runs: Runs) -> list[dict[str, Any]]:
    """Run the studies in their order, each with a try of its own."""
    lines = []
    for name in runs.given.studies:
        try:
            line = runs.study(name)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            line = {"error": str(error)[:300]}
        if name == TABLES[0] and "hours" in line:
            line["in_time"] = "met" if line["hours"] <= COMPARED_HOURS else "MISSED"
        lines.append({"table": name} | line)
        write(runs.given.file, lines[-1])
    return lines


def plain(runs: Runs) -> dict[str, Any]:
    """Run the plain loop and return its scores on test beside those of Supervised, in percent."""
    given = runs.given
    weights = given.weights / f"{PHOTO_NETWORK.backbone}.safetensors"
    words = [sys.executable, str(Path(__file__).with_name("plain_training.py"))]
    words += ["--data", str(given.data), "--weights", str(weights)]
    for name in ("draws", "steps", "crop", "images"):
        if getattr(given, name) is not None:
            words += [f"--{name}", str(getattr(given, name))]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=given.seconds, env=runs.environment
    )
    if done.returncode:
        raise RuntimeError(last_line(done))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    scores = {line["plain"]: line["test"] for line in lines}
    stored = semisweep.load(given.store)
    alike = {
        "method": method_path(Supervised),
        "data.labelled": LABELLED,
        RATE: PHOTO.training.optimizer.learning_rate,
        "training.steps": lines[0]["steps"],
        "training.crop_pixels": lines[0]["crop"],
    }
    for name, value in alike.items():
        stored = stored[stored[name] == value]
    own = (stored.set_index("data.draw")["last.test.miou"] * 100).round(2).to_dict()
    found: dict[str, Any] = {"plain": scores, "supervised": own}
    if own.keys() >= scores.keys() and given.images is None:  # the same draws and test images
        better = sum(own[draw] for draw in scores) >= sum(scores.values())
        found["supervised_at_least_equal"] = "met" if better else "MISSED"
    return found


def write(file: Path, line: dict[str, Any]) -> None:
    """Add a line to the file and the terminal."""
    text = json.dumps(line)
    print(text, flush=True)
    with file.open("a") as lines:
        lines.write(text + "\n")


def main() -> None:
    """Run the sections."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of CamVid")
    parser.add_argument("--weights", type=Path, required=True, help="a folder of weights")
    parser.add_argument("--store", type=Path, default=Path("photo-store"))
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--gpus", default=SHARE, help="share of a GPU for a trial, or auto")
    parser.add_argument("--seconds", type=float, default=1500, help="of a command at most")
    parser.add_argument("--file", type=Path, default=Path("photo.jsonl"))
    parser.add_argument("--studies", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--draws", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--crop", type=int)
    parser.add_argument("--images", type=int, help="that the plain loop is scored on")
    given = parser.parse_args()
    runs = Runs(given)
    works = {"rates": rates, "tables": tables, "plain": plain}
    for section in given.only:
        started = time.monotonic()
        try:
            found = works[section](runs)
        except (RuntimeError, OSError, LookupError, ValueError, subprocess.TimeoutExpired) as error:
            found = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        if section != "tables" or isinstance(found, dict):
            write(given.file, {"section": section} | found)  # type: ignore[operator]
        print(f"{section}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
