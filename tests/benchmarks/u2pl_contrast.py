"""What U2PL's contrastive loss costs: time and peak memory, forward and backward.

Features of two labelled and two unlabelled images, [4, 256, 65, 65], with 6 and 21 classes, all
present and every memory filled. One supervised step of DeepLabV3+ with ResNet-50 stands beside it,
to scale by: where that step took 0.70 s, the released code's loss took 0.40 s and 0.4 GiB for 6
classes, 1.18 s and 0.9 GiB for 21.

    OMP_NUM_THREADS=1 python tests/benchmarks/u2pl_contrast.py
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from semisweep.functional import supervised_loss
from semisweep.method import Progress
from semisweep.network import NetworkConfig
from semisweep_methods.u2pl_contrast import (
    Contrast,
    ContrastConfig,
    labelled_cells,
    unlabelled_cells,
)
from semisweep_methods.u2pl_partition import partition

REPEATS = 7
RELEASED_SECONDS = {6: 0.40, 21: 1.18}
RELEASED_GIB = {6: 0.4, 21: 0.9}
RELEASED_STEP_SECONDS = 0.70


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    step, step_bytes = measure(plain_step())
    print(f"DeepLabV3+ ResNet-50, batch 2, crop 129: {step:.2f} s, {step_bytes / 2**20:.0f} MiB")
    print(
        "\n| classes | anchors x negatives | seconds | of the release, scaled | peak GiB | of it |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    for classes in (6, 21):
        for anchors, negatives in ((50, 256), (256, 50)):
            seconds, peak = measure(contrastive(classes, anchors, negatives))
            scaled = RELEASED_SECONDS[classes] * step / RELEASED_STEP_SECONDS
            print(
                f"| {classes} | {anchors} x {negatives} | {seconds:.3f} | {seconds / scaled:.2f} "
                f"| {peak / 2**30:.2f} | {peak / 2**30 / RELEASED_GIB[classes]:.2f} |"
            )
    print(f"\nload average after: {os.getloadavg()[0]:.1f}")


def contrastive(classes: int, anchors: int, negatives: int) -> Callable[[], None]:
    """Return one iteration of the loss on random features, memories filled."""
    own = ContrastConfig(anchors=anchors, negatives=negatives)
    contrast = Contrast(own, classes)
    made = torch.Generator().manual_seed(0)
    contrast.memory.rows.normal_(generator=made)
    contrast.memory.pushed.fill_(own.memory_size)
    feature = torch.randn(4, 256, 65, 65, generator=made).requires_grad_()
    expected = torch.randn(4, 256, 65, 65, generator=made)
    label = torch.randint(classes, (4, 65, 65), generator=made)
    logits = 8 * torch.nn.functional.one_hot(label, classes).permute(0, 3, 1, 2).float()
    logits = logits + torch.randn(4, classes, 65, 65, generator=made)
    valid = torch.ones(2, 65, 65, dtype=torch.bool)
    progress = Progress(step=0, total_steps=100, epoch=0, total_epochs=1, seed=0)

    def blocks(one: Tensor) -> list[object]:
        parts = partition(logits[2:], valid, own, progress)
        return [
            labelled_cells(one[:2], logits[:2], label[:2]),
            unlabelled_cells(one[2:], logits[2:], label[2:], parts, own),
        ]

    def once() -> None:
        feature.grad = None
        contrast(blocks(feature), blocks(expected), progress).backward()

    return once


def plain_step() -> Callable[[], None]:
    """Return one supervised forward and backward pass."""
    network = NetworkConfig(backbone="resnet50", pretrained=False).build(21).train()
    image = torch.randn(2, 3, 129, 129, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(2, 129, 129, dtype=torch.long)

    def once() -> None:
        network.zero_grad()
        supervised_loss("ce", network(image).logits, label).backward()

    return once


def measure(once: Callable[[], None]) -> tuple[float, int]:
    """Return the median seconds and the most bytes of tensors held beyond those before."""
    once()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - started)
    return median(seconds), peak_bytes(once)


def peak_bytes(once: Callable[[], None]) -> int:
    """Return the most bytes that the allocator of the CPU handed out at a time in a call."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        once()
    held = most = 0
    for event in profiled.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


if __name__ == "__main__":
    main()
