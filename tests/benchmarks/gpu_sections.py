"""What `gpu.py` measures: steps, input, evaluation, whole trials, sweeps. Each returns figures."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from pictures import voc_pictures
from torch.profiler import ProfilerActivity, profile

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
from semisweep.core.device import begin_measuring, is_gpu, peak_memory, peak_reserved, synchronise
from semisweep.data.shapes import make
from semisweep.data.splits import Split
from semisweep.store.store import Store
from semisweep.study.named_values import find_method
from semisweep.training.compilation import compile_networks
from semisweep.training.iteration import iterate
from semisweep.training.loader import Loader
from semisweep.training.method_fixtures import random_batch, tiny_network
from semisweep.training.metric import evaluate
from semisweep.training.optimizer import make_optimizers
from semisweep.training.precision import set_switches
from semisweep.training.trainer import Score, Training, fit
from semisweep.training.trial import Trial, method_path
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch
from semisweep_methods.unimatch_v2 import dinov2

Figures = dict[str, Any]

LARGE = NetworkConfig(backbone="resnet50s", pretrained=False)
ASK = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
WARM_UP = 3
MIDDLE = Progress(step=500, total_steps=1000, epoch=20, total_epochs=40, seed=0)

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


def steps_cost(name: str, precision: str, compiled: bool, device: str, small: bool) -> Figures:
    """Return what steps of a method cost: ResNet-50 with a deep stem, 8 + 8 crops of 321 pixels."""
    size, count, classes = (97, 2, 4) if small else (321, 8, 21)
    network = tiny_network() if small else LARGE
    networks = ("senior", "junior") if name == "segkc" else ("network",)
    changes: dict[str, Any] = dict.fromkeys(networks, network)
    return _cost(name, changes, (count, size, classes), precision, compiled, device, small)


def segkc_cost(precision: str, compiled: bool, device: str, small: bool) -> Figures:
    """Return what steps of SegKC as in its paper cost: DINOv2-B and -S, 518 pixels, 16 + 16."""
    tiny = tiny_network()
    networks = {"senior": tiny, "junior": tiny} if small else {}
    if not small:
        sizes = {"senior": "base", "junior": "small"}
        networks = {role: replace(dinov2(own), pretrained=False) for role, own in sizes.items()}
    shape = (2, 97, 4) if small else (16, 518, 21)
    return _cost("segkc", networks, shape, precision, compiled, device, small)


def _cost(
    name: str,
    changes: Mapping[str, Any],
    shape: tuple[int, int, int],
    precision: str,
    compiled: bool,
    device: str,
    small: bool,
) -> Figures:
    count, size, classes = shape
    gc.collect()
    begin_measuring(device)
    set_switches(precision, device)
    kind = find_method(name)
    method: Method = kind(kind.Config(**changes), classes, 0).train()
    method.to(device).to(memory_format=torch.channels_last)
    if compiled:
        compile_networks(method)
    optimizers = make_optimizers(method, TrainingConfig(steps=1000))
    views = max(1, method.views)
    made = random_batch(0, count, count, views=views, size=size, classes=classes)
    batch = Batch(*(values.to(device) for values in made))

    def step() -> None:
        iterate(method, batch, MIDDLE, optimizers, precision=precision)

    found: Figures = {}
    synchronise(device)
    started = time.perf_counter()
    step()
    synchronise(device)
    found["first_step_s"] = round(time.perf_counter() - started, 1)
    for _ in range(WARM_UP):
        step()
    found["ms"] = _milliseconds(step, 2 if small else 10, device)
    found["peak_MiB"] = round(peak_memory(device) / 2**20)
    found["reserved_MiB"] = round(peak_reserved(device) / 2**20)
    found["busy_percent"] = busy_share(step, device)
    return found


def _milliseconds(step: Callable[[], None], count: int, device: str) -> float:
    """Return the milliseconds of a step of some in a row, as a training takes them: unwaited."""
    synchronise(device)
    started = time.perf_counter()
    for _ in range(count):
        step()
    synchronise(device)
    return round(1e3 * (time.perf_counter() - started) / count, 1)


def busy_share(step: Callable[[], None], device: str, steps: int = 4) -> float | None:
    """Return in how many percent of some steps' time kernels run, by the profiler; None on a CPU.

    From the first kernel's start to the last one's end.
    """
    if not is_gpu(device):
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(steps):
            step()
        synchronise(device)
    kinds = torch.autograd.DeviceType.CUDA
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiled.events()
        if event.device_type == kinds
    )
    if not spans:
        return None
    busy_time, reached = 0.0, spans[0][0]
    for start, end in spans:
        busy_time += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return round(100 * busy_time / (reached - spans[0][0]), 1)


class Pictures:
    """VOC-like pictures on the disk, and trainings on them."""

    def __init__(self, folder: Path, device: str, small: bool) -> None:
        self.device, self.small = device, small
        self.dataset = voc_pictures(folder / "voc", *((16, 4, 5) if small else (64, 64, 1)))
        names = self.dataset.part("train")
        self.split = Split(names[:8], names)
        self.folder = folder

    def training(self, method: type[Method], crop: int, compiled: bool, steps: int) -> Training:
        """Return a training of a method on 8 + 8 crops."""
        count = 2 if self.small else 8
        trial = Trial(
            method=method_path(method),
            config=method.Config(network=tiny_network() if self.small else LARGE),
            data=DataConfig(name="voc"),
            training=TrainingConfig(
                steps=steps,
                labelled_batch=count,
                unlabelled_batch=count,
                crop_pixels=3 * crop // 10 if self.small else crop,
                evaluations=4,
            ),
            seed=0,
        )
        return Training(trial, self.dataset, self.split, self.device, compiled=compiled)

    def input_cost(self, name: str, crop: int, compiled: bool) -> Figures:
        """Return what a step takes on one batch, and from image files on, by input workers."""
        training = self.training(find_method(name), crop, compiled, 1000)
        cores = len(os.sched_getaffinity(0))
        steps = 4 if self.small else 40
        batch = next(training.loader.batches(0, 1, 0, training.device))
        found: Figures = {"cores": cores}
        found["compute_ms"] = self._pace(training, [batch] * (steps + WARM_UP), WARM_UP)
        workers = 1 if self.small else cores - 1
        for count in sorted({workers, min(4, workers)}):
            ahead = WARM_UP + 2 * count  # what is made before the clock starts
            batches = training.loader.batches(0, ahead + steps, count, training.device)
            found[f"end_to_end_ms_{count}"] = self._pace(training, batches, ahead)
        found["ratio"] = round(found[f"end_to_end_ms_{workers}"] / found["compute_ms"], 2)
        return found

    def _pace(self, training: Training, batches: Iterable[Batch], skipped: int) -> float:
        started, count = time.perf_counter(), 0
        for number, batch in enumerate(batches):
            if number == skipped:
                synchronise(self.device)
                started, count = time.perf_counter(), 0
            training.advance(batch)
            count += 1
        synchronise(self.device)
        return round(1e3 * (time.perf_counter() - started) / count, 1)

    def core_cost(self, crop: int) -> Figures:
        """Return how many batches a second one core makes for a GPU, with two strong views."""
        count = 2 if self.small else 8
        training = TrainingConfig(
            steps=1, labelled_batch=count, unlabelled_batch=count, crop_pixels=crop
        )
        loader = Loader(self.dataset, self.split, training, 0, views=2, uses_unlabelled=True)
        loader.cropped(0)
        steps = 2 if self.small else 16
        started = time.process_time()
        for step in range(1, 1 + steps):
            loader.cropped(step)
        return {"batches_a_second": round(steps / (time.process_time() - started), 1)}

    def evaluation_cost(self) -> Figures:
        """Return the milliseconds of an image of 500 x 375 pixels, from files to matrices."""
        training = self.training(Supervised, 321, False, 10)
        ids = self.dataset.part("val")
        evaluate(training.method, self.dataset, "val", device=self.device)
        synchronise(self.device)
        started = time.perf_counter()
        rounds = 1 if self.small else 4
        for _ in range(rounds):
            evaluate(training.method, self.dataset, "val", device=self.device)
        seconds = time.perf_counter() - started
        return {"ms_an_image": round(1e3 * seconds / (rounds * len(ids)), 2)}

    def trial_cost(self) -> Figures:
        """Return how much of a trial's time is neither steps nor evaluations."""
        steps = 8 if self.small else 1000
        training = Timed.of(self.training(UniMatch, 321, False, steps))
        training.data_workers = 0 if self.small else len(os.sched_getaffinity(0)) - 1
        folder = Store.open(self.folder / "store", create=True).trial("a" * 20)
        with folder.lock():
            folder.start_attempt()
            started = time.perf_counter()
            fit(training, folder, lambda told: None)
            whole = time.perf_counter() - started
        rest = whole - training.stepping - training.scoring
        return {
            "steps": steps,
            "seconds": round(whole, 1),
            "in_steps_s": round(training.stepping, 1),
            "in_evaluations_s": round(training.scoring, 1),
            "rest_percent": round(100 * rest / whole, 1),
        }


class Timed(Training):
    """A training that keeps the time of its steps and evaluations, without any waits between."""

    stepping = scoring = 0.0

    @classmethod
    def of(cls, training: Training) -> Timed:
        """Return a training that keeps its times from now on."""
        training.__class__ = cls
        assert isinstance(training, Timed)
        return training

    def advance(self, batch: Batch) -> None:
        """Time one iteration; the wait for its batch is none of it."""
        started = time.perf_counter()
        super().advance(batch)
        synchronise(str(self.device))
        self.stepping += time.perf_counter() - started

    def score(self, part: str) -> Score:
        """Time one evaluation."""
        started = time.perf_counter()
        found = super().score(part)
        self.scoring += time.perf_counter() - started
        return found


def sweep_cost(gpus: str, device: str, small: bool, folder: Path) -> Figures:
    """Return how long a sweep of four trials takes, and how busy it keeps a GPU."""
    data = folder / "shapes"
    if not data.exists():
        make(data, train=48, val=4, test=4, size=32 if small else 256)
    store = folder / f"store-{gpus}"
    command = [sys.executable, "-m", "semisweep", "run", "gpu_sections:busy", "--no-check"]
    command += ["--store", str(store), "--data", f"shapes={data}"]
    command += ["--gpus", gpus] if is_gpu(device) else ["--slots", "2"]
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

    def summary(self) -> Figures:
        """Return percent of the seconds that the GPU was busy in, and the most memory in use."""
        if not self.busy:
            return {"busy_percent": None}
        training = [share for share in self.busy if share > 0]
        return {
            "busy_percent": round(mean(self.busy)),
            "busy_percent_once_training": round(mean(training)) if training else 0,
            "most_used_MiB": round(max(self.used)),
        }
