"""What semisweep costs on a GPU: figures as JSON lines, and a table of what was asked.

A step is of ResNet-50 with a deep stem, 8 labelled and 8 unlabelled crops of 321 pixels and 21
classes, in the middle of training, where every part of a method is on; "fp32" has TF32 in
convolutions. Peak memory is of tensors. Each section has a try and a time of its own, below four
minutes, so that one that fails costs no other, and stands beside plain supervised steps.

    OMP_NUM_THREADS=1 python tests/benchmarks/gpu.py [--only SECTION ...] [--small] [--seconds S]

Without a GPU, or with `--small`, all of it runs on tiny networks and images, which shows no speed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from gpu_sections import (
    Figures,
    Pictures,
    segkc_cost,
    steps_cost,
    sweep_cost,
)

from semisweep.core.device import device_name, driver_version, initialise, is_gpu, usable
from semisweep.core.markdown import grid
from semisweep.core.provenance import CHECKOUT, git
from semisweep.running.cost_history import gpus_here
from semisweep.study.named_values import method_names
from semisweep.training import compilation

SECTION_SECONDS = 230
STEP_SECONDS = 110  # of one method, compilation included
PRECISIONS = ("fp32", "bf16")
OURS = ("unimatch", "rankmatch")
CROPS = (321, 513)
SECTIONS = ("steps", "compiled", "segkc", "input", "evaluation", "trial", "sweep")

# What was asked: section and figure, how it reads, the limit, and whether it is the most or least.
ASKED: tuple[tuple[str, str, str, float, str], ...] = (
    *(
        (f"compiled {name} {precision}", "busy_percent", "kernels run, % of a step", 90, ">=")
        for name in OURS
        for precision in PRECISIONS
    ),
    *(
        (f"input {name} {crop}", "ratio", "end to end / compute alone", 1.1, "<=")
        for name in OURS
        for crop in CROPS
    ),
    ("input core 321", "batches_a_second", "batches a second and core", 15, ">="),
    ("compiled unimatch fp32", "ms", "ms a step", 45, "<="),
    ("compiled unimatch bf16", "ms", "ms a step", 28, "<="),
    ("compiled rankmatch fp32", "ms", "ms a step", 52, "<="),
    ("compiled rankmatch bf16", "ms", "ms a step", 35, "<="),
    # Half of what eager fp32 took before, on an H200.
    ("compiled supervised bf16", "ms", "ms a step", 14, "<="),
    ("compiled gps bf16", "ms", "ms a step", 19, "<="),
    ("compiled u2pl bf16", "ms", "ms a step", 22, "<="),
    ("compiled mean_teacher bf16", "ms", "ms a step", 24.5, "<="),
    ("compiled cutmix_seg bf16", "ms", "ms a step", 28.5, "<="),
    ("compiled fixmatch bf16", "ms", "ms a step", 39, "<="),
    ("compiled unimatch_v2 bf16", "ms", "ms a step", 50, "<="),
    ("compiled css bf16", "ms", "ms a step", 51.5, "<="),
    ("compiled stpg bf16", "ms", "ms a step", 75, "<="),
    ("compiled cps bf16", "ms", "ms a step", 76.5, "<="),
    ("compiled segkc bf16", "ms", "ms a step", 77, "<="),
    ("compiled unimatch fp32", "peak_MiB", "MiB of tensors", 6158, "<="),
    ("segkc compiled tf32", "ms", "ms a step", 450, "<="),
    ("segkc compiled bf16", "ms", "ms a step", 280, "<="),
    ("segkc compiled bf16", "peak_MiB", "MiB of tensors", 45 * 1024, "<="),
    ("evaluation", "ms_an_image", "ms an image", 4, "<="),
    ("trial", "rest_percent", "% neither steps nor evaluations", 3, "<="),
)


class Report:
    """JSON lines, to the terminal and to a file as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, Mapping[str, Any]] = {}
        path.unlink(missing_ok=True)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line."""
        text = json.dumps(line)
        print(text, flush=True)
        with self.path.open("a") as file:
            file.write(text + "\n")

    def measure(self, name: str, seconds: float, work: Callable[[], Figures]) -> None:
        """Add what some work found, or why it did not, after at most so many seconds."""
        started = time.monotonic()
        try:
            with limited(seconds):
                found = work()
        except Exception as error:
            text = str(error).strip() or type(error).__name__
            found = {"error": text.splitlines()[0][:300]}
        self.found[name] = found
        took = time.monotonic() - started
        self.write({"section": name} | found | {"took": round(took, 1)})

    def table(self) -> str:
        """Return what was asked beside what was found."""
        lines = [["section", "figure", "asked", "found", ""]]
        for section, figure, text, limit, sense in ASKED:
            value = self.found.get(section, {}).get(figure)
            verdict = ""
            if value is not None:
                verdict = (
                    "met" if (value <= limit if sense == "<=" else value >= limit) else "MISSED"
                )
            shown = "not measured" if value is None else f"{value:g}"
            lines.append([section, text, f"{sense} {limit:g}", shown, verdict])
        return grid(lines)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in a block that lasts longer."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(max(1, int(seconds)))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Budget:
    """The seconds that a section has left."""

    seconds = SECTION_SECONDS  # of every section

    def __init__(self) -> None:
        self.ends = time.monotonic() + self.seconds

    def left(self, most: float = math.inf) -> float:
        """Return how many seconds the next measurement may take."""
        return min(most, self.ends - time.monotonic())


def machine(device: str) -> Figures:
    """Return what is measured on, and with which code."""
    return {
        "device": device_name(device) or device,
        "driver": driver_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)),
        "gpus": gpus_here(),
        **git(Path(__file__).resolve(), CHECKOUT),
    }


def steps(report: Report, device: str, small: bool) -> None:
    """Measure eager steps of every method."""
    budget = Budget()
    for name in ("supervised", *(own for own in method_names() if own != "supervised")):
        for precision in PRECISIONS:
            report.measure(
                f"step {name} {precision}",
                budget.left(STEP_SECONDS),
                lambda n=name, p=precision: steps_cost(n, p, False, device, small),
            )


def compiled(report: Report, device: str, small: bool) -> None:
    """Measure compiled steps: those that were asked first, and of the others what time allows."""
    budget = Budget()
    first = [(name, precision) for name in ("supervised", *OURS) for precision in PRECISIONS]
    others = [(name, "bf16") for name in method_names() if name not in ("supervised", *OURS)]
    for name, precision in [*first, *others]:
        if budget.left() > 1:
            report.measure(
                f"compiled {name} {precision}",
                budget.left(STEP_SECONDS),
                lambda n=name, p=precision: steps_cost(n, p, True, device, small),
            )


def segkc(report: Report, device: str, small: bool) -> None:
    """Measure SegKC as in its paper."""
    budget = Budget()
    for precision in ("tf32", "bf16"):
        for how in ("compiled", "eager"):
            report.measure(
                f"segkc {how} {precision}",
                budget.left(STEP_SECONDS),
                lambda p=precision, h=how: segkc_cost(p, h == "compiled", device, small),
            )


def from_pictures(report: Report, section: str, device: str, small: bool) -> None:
    """Measure what begins at image files."""
    budget = Budget()
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        pictures = Pictures(Path(folder), device, small)
        if section == "evaluation":
            report.measure(section, budget.left(), pictures.evaluation_cost)
        elif section == "trial":
            report.measure(section, budget.left(), pictures.trial_cost)
        else:
            for crop in CROPS:
                core = f"input core {crop}"
                report.measure(core, budget.left(), lambda c=crop: pictures.core_cost(c))
            for crop in CROPS:
                for name in OURS:
                    report.measure(
                        f"input {name} {crop}",
                        budget.left(STEP_SECONDS),
                        lambda n=name, c=crop: pictures.input_cost(n, c, is_gpu(device)),
                    )


def sweep(report: Report, device: str, small: bool) -> None:
    """Measure a small sweep with one trial on a GPU, and with four."""
    budget = Budget()
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        for gpus in ("1", "0.25"):
            report.measure(
                f"sweep --gpus {gpus}",
                budget.left(),
                lambda g=gpus: sweep_cost(g, device, small, Path(folder)),
            )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--small", action="store_true", help="tiny networks and images")
    parser.add_argument("--seconds", type=float, default=SECTION_SECONDS, help="of a section")
    parser.add_argument("--file", type=Path, default=Path("gpu.jsonl"))
    given = parser.parse_args()
    Budget.seconds = given.seconds
    device = usable(None)
    small = given.small or not is_gpu(device)
    if small and not given.small:
        print("no GPU is there (torch.cuda.is_available() is False): everything runs small")
    torch.set_num_threads(1)
    if not is_gpu(device):
        compilation.BACKEND = "aot_eager"  # traces as for a GPU; making C++ of it would last
    initialise(device)
    report = Report(given.file)
    report.measure("machine", 60, lambda: machine(device))
    whole = {"steps": steps, "compiled": compiled, "segkc": segkc, "sweep": sweep}
    for section in SECTIONS:
        if section not in given.only:
            continue
        if section in whole:
            whole[section](report, device, small)
        else:
            from_pictures(report, section, device, small)
    if not small:
        print(report.table())


if __name__ == "__main__":
    main()
