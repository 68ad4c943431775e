"""What the contrastive loss of CSS costs, beside a plain training step of DeepLabV3+.

Time and memory of the sampling, the loss and its gradient on [4, 256, 65, 65] random
representations, with all pixels valid and hard: 256 anchors of each class, 512 negatives of each
anchor. The released code took 22.5 s and 3.3 GiB for 21 classes on one thread on which the plain
step took 0.70 s; what counts here is the ratio to the plain step.

    OMP_NUM_THREADS=1 python tests/benchmarks/css_contrast.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Literal

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from semisweep.functional import supervised_loss
from semisweep.method import Progress
from semisweep.network import NetworkConfig
from semisweep_methods.contrast import ContrastConfig, Pixels, contrastive_loss, make_draws
from semisweep_methods.spaces import rows

SHAPE = (4, 256, 65, 65)
REPEATS = 5
RELEASED_SECONDS = 22.5
RELEASED_STEP_SECONDS = 0.70
RELEASED_MEBIBYTES = 3.3 * 1024


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(f"load average: {os.getloadavg()[0]:.1f}\n")
    print("| work | seconds | peak memory of tensors |\n|---|--:|--:|")
    step = show("DeepLabV3+ R50, batch 2, crop 129", plain_step())
    show("contrast, 6 classes", contrast(6, "anchor"))
    seconds, mebibytes = show("contrast, 21 classes", contrast(21, "anchor"))
    show("contrast, 21 classes, one negative set a class", contrast(21, "class"))
    released = RELEASED_SECONDS * step[0] / RELEASED_STEP_SECONDS
    for what, value, target in (
        ("times faster than the release, scaled by the plain step", released / seconds, 20.0),
        ("times less memory", RELEASED_MEBIBYTES / mebibytes, 10.0),
    ):
        verdict = "met" if value >= target else "MISSED"
        print(f"\n{what}: {value:.0f}, target {target:.0f}: {verdict}")


def show(name: str, work: Callable[[], None]) -> tuple[float, float]:
    """Print a row of the table; return its seconds and mebibytes."""
    work()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    found = median(seconds), peak_mebibytes(work)
    print(f"| {name} | {found[0]:.2f} | {found[1]:.0f} MiB |", flush=True)
    return found


def plain_step() -> Callable[[], None]:
    """Return a supervised forward and backward pass."""
    network = NetworkConfig(backbone="resnet50", pretrained=False).build(21)
    image = torch.randn(2, 3, 129, 129)
    label = torch.randint(21, (2, 129, 129))

    def work() -> None:
        supervised_loss("ce", network(image).logits, label).backward()  # type: ignore[no-untyped-call]
        clear(network)

    return work


def clear(network: nn.Module) -> None:
    """Forget the gradients."""
    network.zero_grad(set_to_none=True)


def contrast(classes: int, sets: Literal["anchor", "class"]) -> Callable[[], None]:
    """Return draws, loss and gradient for representations of so many classes."""
    own = ContrastConfig(negative_sets=sets)
    images, channels, height, width = SHAPE
    feature = torch.randn(SHAPE).requires_grad_()
    label = torch.randint(classes, (images * height * width,))
    prototype = torch.randn(classes, channels)
    hard = torch.ones_like(label, dtype=torch.bool)
    progress = Progress(0, 100, 0, 10, 0)

    def work() -> None:
        draws = make_draws(own, progress, classes, {"labelled": images}, height * width)
        pixels = Pixels(rows(feature), label, hard)
        loss = contrastive_loss(pixels, prototype, draws, own)
        loss.backward()  # type: ignore[no-untyped-call]
        feature.grad = None

    return work


def peak_mebibytes(work: Callable[[], None]) -> float:
    """Return the most memory that tensors made by `work` hold at any one time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    assert profiled.profiler is not None
    found: Any = profiled.profiler.kineto_results
    events = [event for event in found.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most / 2**20


if __name__ == "__main__":
    main()
