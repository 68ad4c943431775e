"""What steps, evaluations and a sweep cost on a GPU, as JSON lines, printed and kept in a file.

A step: ResNet-50 with a deep stem, 8 labelled and 8 unlabelled crops of 321 pixels, 21 classes, in
the middle of training, where every part of a method is on; fp32 (with TF32 convolutions, as torch
has them) and bf16. Peak memory is of tensors. Each section has a try and a time of its own, so that
one that fails or lasts costs no other.

    OMP_NUM_THREADS=1 python tests/benchmarks/gpu.py [--small] [--file FILE] [SECTION ...]

`--small` runs all of it on tiny networks and images, and on a CPU where there is no GPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch

from semisweep import (
    Batch,
    Column,
    DataConfig,
    Method,
    NetworkConfig,
    Preset,
    Progress,
    Row,
    Study,
    TrainingConfig,
)
from semisweep.cluster.connection import LOOPBACK_SWITCH
from semisweep.core.device import (
    begin_measuring,
    device_name,
    driver_version,
    initialise,
    peak_memory,
    peak_reserved,
    synchronise,
    usable,
)
from semisweep.core.provenance import git
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.data.splits import make_split
from semisweep.running.cost_history import gpus_here
from semisweep.study.catalogue import find_method, method_names
from semisweep.training.iteration import iterate
from semisweep.training.method_fixtures import random_batch, tiny_network
from semisweep.training.metric import predictions
from semisweep.training.optimizer import make_optimizers
from semisweep.training.protocols import Protocol
from semisweep.training.trainer import Training
from semisweep.training.trial import Trial
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch

LARGE = NetworkConfig(backbone="resnet50s", pretrained=False)
ASK = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
# At most, of each section.
STEP_SECONDS, EVALUATION_SECONDS, INPUT_SECONDS, SWEEP_SECONDS = 30, 60, 120, 240
WARM_UP = 3
PRECISIONS = ("fp32", "bf16")

busy = Study(
    name="busy",
    title="A small sweep that keeps a GPU busy",
    presets={
        "mini": Preset(
            data=DataConfig(name="shapes", labelled=16),
            training=TrainingConfig(
                steps=150, labelled_batch=8, unlabelled_batch=8, crop_pixels=193, evaluations=1
            ),
            config={"network": LARGE},
            metric="last.test.miou",
            metric_note="mIoU",
        )
    },
    base="Supervised",
    seeds=2,
    rows=[Row(name="Supervised", method=Supervised), Row(name="UniMatch", method=UniMatch)],
    columns=[Column(name="16 labelled", set={"mini": {}})],
)


class Report:
    """JSON lines, to the terminal and to a file as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line."""
        text = json.dumps(line)
        print(text, flush=True)
        with self.path.open("a") as file:
            file.write(text + "\n")

    def section(self, name: str, seconds: int, work: Callable[[], Mapping[str, Any]]) -> None:
        """Add what some work found, or why it did not, after at most so many seconds."""
        started = time.monotonic()
        try:
            with limited(seconds):
                found = work()
        except Exception as error:
            text = str(error).strip() or type(error).__name__
            found = {"error": text.splitlines()[0][:300]}
        took = time.monotonic() - started
        self.write({"section": name} | dict(found) | {"took": round(took, 1)})


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `TimeoutError` in a block that lasts longer."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def machine(device: str) -> dict[str, Any]:
    """Return what is measured on, and with which code."""
    return {
        "device": device_name(device) or device,
        "driver": driver_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        **git(Path(__file__).resolve().parents[2] / "platform" / "semisweep"),
    }


def built(name: str, network: NetworkConfig, classes: int, device: str) -> Method:
    """Return a method with its own settings and a given network, in training mode."""
    kind = find_method(name)
    networks = ("senior", "junior") if name == "segkc" else ("network",)
    method = kind(kind.Config(**dict.fromkeys(networks, network)), classes, 0).train()
    return method.to(device).to(memory_format=torch.channels_last)


def step_cost(name: str, precision: str, device: str, small: bool) -> dict[str, Any]:
    """Return the milliseconds of a method's steps and the memory that they need."""
    gc.collect()
    begin_measuring(device)
    size, count, classes, steps = (97, 2, 4, 3) if small else (321, 8, 21, 10)
    method = built(name, tiny_network() if small else LARGE, classes, device)
    optimizers = make_optimizers(method, TrainingConfig(steps=1000))
    views = max(1, method.views)
    made = random_batch(0, count, count, views=views, size=size, classes=classes)
    batch = Batch(*(values.to(device) for values in made))
    progress = Progress(step=500, total_steps=1000, epoch=20, total_epochs=40, seed=0)
    times = []
    for _ in range(WARM_UP + steps):
        synchronise(device)
        started = time.perf_counter()
        iterate(method, batch, progress, optimizers, precision=precision)
        synchronise(device)
        times.append(1e3 * (time.perf_counter() - started))
    return {
        "ms": round(median(times[WARM_UP:]), 1),
        "peak_MiB": round(peak_memory(device) / 2**20),
        "reserved_MiB": round(peak_reserved(device) / 2**20),
    }


def evaluation_cost(device: str, small: bool) -> dict[str, Any]:
    """Return the milliseconds of an image of Pascal VOC's size, from pixels to classes."""
    height, width, count, classes = (32, 48, 4, 4) if small else (375, 500, 32, 21)
    network = tiny_network() if small else LARGE
    method = built("supervised", network, classes, device).eval()
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    times = []
    with torch.inference_mode():
        for image in images:
            started = time.perf_counter()
            predictions(method, [image], Protocol(), device)
            times.append(1e3 * (time.perf_counter() - started))
    return {"ms_an_image": round(median(times[1:]), 1), "pixels": f"{width}x{height}"}


def input_cost(crop: int, device: str, small: bool, folder: Path) -> dict[str, Any]:
    """Return what a UniMatch step takes on one batch, and from image files on, by input workers."""
    data = folder / ("tiny" if small else "large")
    if not data.exists():
        make(data, train=24, val=4, test=4, size=40 if small else 432)
    count, steps = (2, 4) if small else (8, 24)
    if small:
        crop //= 10
    training = TrainingConfig(
        steps=1000, labelled_batch=count, unlabelled_batch=count, crop_pixels=crop
    )
    network = tiny_network() if small else LARGE
    config = UniMatch.Config(network=network)
    trial = Trial(
        method=f"{UniMatch.__module__}:{UniMatch.__name__}",
        config=config,
        data=DataConfig(name="shapes", labelled=8),
        training=training,
        seed=0,
    )
    dataset = open_dataset("shapes", data)
    prepared = Training(trial, dataset, make_split(dataset, trial.data), device)
    cores = os.cpu_count() or 1
    found: dict[str, Any] = {"crop": crop, "cores": cores}
    batch = next(prepared.loader.batches(0, 1, 0, prepared.device))
    found["compute_ms"] = _pace(prepared, lambda: [batch] * (steps + WARM_UP), device)
    for workers in (0, 1) if small else (0, 4, cores - 1):
        ahead = WARM_UP + steps + 2 * workers  # those that are made before the clock starts
        found[f"end_to_end_ms_{workers}"] = _pace(
            prepared,
            lambda count=workers, last=ahead: prepared.loader.batches(
                0, last, count, prepared.device
            ),
            device,
            skipped=WARM_UP + 2 * workers,
        )
    return found


def _pace(
    training: Training, batches: Callable[[], Iterable[Batch]], device: str, skipped: int = WARM_UP
) -> float:
    """Return the milliseconds of a step over some batches, without the first ones."""
    started, count = time.perf_counter(), 0
    for number, batch in enumerate(batches()):
        if number == skipped:
            synchronise(device)
            started, count = time.perf_counter(), 0
        training.advance(batch)
        count += 1
    synchronise(device)
    return round(1e3 * (time.perf_counter() - started) / count, 1)


def sweep_cost(gpus: float, device: str, small: bool, folder: Path) -> dict[str, Any]:
    """Return how long a sweep of four trials takes, and how busy it keeps a GPU."""
    data = folder / "shapes"
    if not data.exists():
        make(data, train=48, val=4, test=4, size=32 if small else 256)
    store = folder / f"store-{gpus:g}"
    command = [sys.executable, "-m", "semisweep", "run", "gpu:busy", "--no-check"]
    command += ["--store", str(store), "--data", f"shapes={data}"]
    command += ["--gpus", f"{gpus:g}"] if device == "cuda" else ["--slots", "2"]
    if small:
        changes = ("config.network.backbone=test_resnet", "config.network.channels=16")
        changes += ("training.crop_pixels=32", "training.steps=4")
        changes += ("training.labelled_batch=4", "training.unlabelled_batch=4")
        command += [word for change in changes for word in ("--set", change)]
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent), known)))
    started = time.monotonic()
    with Watch() as watch:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, LOOPBACK_SWITCH: "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _, errors = process.communicate()
        finally:
            process.terminate()  # as Ctrl-C does; nothing where it has ended
    if process.returncode:
        raise RuntimeError(errors.strip().splitlines()[-1])
    took = time.monotonic() - started
    return {"trials": 4, "seconds": round(took, 1)} | watch.summary()


class Watch:
    """How busy the GPUs are, asked once a second for the time of a block."""

    def __init__(self) -> None:
        self.busy: list[float] = []
        self.used: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(1.0):
            try:
                said = subprocess.run(ASK, capture_output=True, text=True, check=True, timeout=10)
                share, used = said.stdout.splitlines()[0].split(",")
                self.busy.append(float(share))
                self.used.append(float(used))
            except (OSError, subprocess.SubprocessError, ValueError, IndexError):
                return

    def summary(self) -> dict[str, Any]:
        """Return percent of the seconds that the GPU was busy in, and the most memory in use."""
        if not self.busy:
            return {"busy_percent": None}
        training = [share for share in self.busy if share > 0]
        return {
            "busy_percent": round(mean(self.busy)),
            "busy_percent_once_training": round(mean(training)) if training else 0,
            "most_used_MiB": round(max(self.used)),
        }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="tiny networks and images")
    parser.add_argument("--file", type=Path, default=Path("gpu.jsonl"))
    parser.add_argument("sections", nargs="*", help="step, evaluation, input, sweep; all of them")
    given = parser.parse_args()
    device = usable(None)
    if device == "cpu" and not given.small:
        sys.exit("a GPU must be there, got torch.cuda.is_available()=False; try --small")
    wanted = given.sections or ["step", "evaluation", "input", "sweep"]
    torch.set_num_threads(1)
    initialise(device)
    report = Report(given.file)
    report.section("machine", 60, lambda: machine(device) | {"gpus": gpus_here()})
    if "step" in wanted:
        for name in method_names():
            for precision in PRECISIONS:
                report.section(
                    f"step {name} {precision}",
                    STEP_SECONDS,
                    lambda n=name, p=precision: step_cost(n, p, device, given.small),
                )
    if "evaluation" in wanted:
        report.section(
            "evaluation", EVALUATION_SECONDS, lambda: evaluation_cost(device, given.small)
        )
    if "input" in wanted:
        with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
            for crop in (321, 513):
                report.section(
                    f"input, crop {crop}",
                    INPUT_SECONDS,
                    lambda c=crop: input_cost(c, device, given.small, Path(folder)),
                )
    if "sweep" in wanted:
        with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
            for gpus in (1.0, 0.25):
                report.section(
                    f"sweep --gpus {gpus:g}",
                    SWEEP_SECONDS,
                    lambda g=gpus: sweep_cost(g, device, given.small, Path(folder)),
                )


if __name__ == "__main__":
    main()
