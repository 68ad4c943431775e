"""What the contrastive loss of CSS costs, beside a plain training step of DeepLabV3+.

Time and memory of the sampling, the loss and its gradient on [4, 256, 65, 65] random
representations, with all pixels valid and hard: 256 anchors of each class, 512 negatives of each
anchor. The released code took 22.5 s and 3.3 GiB for 21 classes on one thread on which the plain
step took 0.70 s; what counts here is the ratio to the plain step.

    OMP_NUM_THREADS=1 python tests/benchmarks/css_contrast.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

import torch
from measuring import RELEASED_STEP_SECONDS, Cost, judge, measure, plain_step

from semisweep import Progress
from semisweep_methods.contrast import ContrastConfig, Pixels, contrastive_loss, make_draws
from semisweep_methods.spaces import rows

SHAPE = (4, 256, 65, 65)
RELEASED_SECONDS = 22.5
RELEASED_MEBIBYTES = 3.3 * 1024


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(f"load average: {os.getloadavg()[0]:.1f}\n")
    print("| work | seconds | peak memory of tensors |\n|---|--:|--:|")
    step = show("DeepLabV3+ R50, batch 2, crop 129", plain_step())
    show("contrast, 6 classes", contrast(6, "anchor"))
    own = show("contrast, 21 classes", contrast(21, "anchor"))
    show("contrast, 21 classes, one negative set a class", contrast(21, "class"))
    released = RELEASED_SECONDS * step.seconds / RELEASED_STEP_SECONDS
    print()
    judge("share of the release's time, scaled by the plain step", own.seconds / released, 1 / 20)
    judge("share of its memory", own.mebibytes / RELEASED_MEBIBYTES, 1 / 10)


def show(name: str, work: Callable[[], None]) -> Cost:
    """Print a row of the table; return what it shows."""
    cost = measure(work)
    print(f"| {name} | {cost.seconds:.2f} | {cost.mebibytes:.0f} MiB |", flush=True)
    return cost


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


if __name__ == "__main__":
    main()
