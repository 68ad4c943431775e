"""What U2PL's contrastive loss costs: time and peak memory, forward and backward.

Features of two labelled and two unlabelled images, [4, 256, 65, 65], with 6 and 21 classes, all
present and every memory filled. One supervised step of DeepLabV3+ with ResNet-50 stands beside it,
to scale by: where that step took 0.70 s, the released code's loss took 0.40 s and 0.4 GiB for 6
classes, 1.18 s and 0.9 GiB for 21.

    OMP_NUM_THREADS=1 python tests/benchmarks/u2pl_contrast.py
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from measuring import RELEASED_STEP_SECONDS, measure, plain_step
from torch import Tensor

from semisweep import Progress
from semisweep_methods.u2pl_contrast import (
    Contrast,
    ContrastConfig,
    labelled_cells,
    unlabelled_cells,
)
from semisweep_methods.u2pl_partition import partition

RELEASED_SECONDS = {6: 0.40, 21: 1.18}
RELEASED_GIB = {6: 0.4, 21: 0.9}


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    step = measure(plain_step())
    print(
        f"DeepLabV3+ ResNet-50, batch 2, crop 129: {step.seconds:.2f} s, {step.mebibytes:.0f} MiB"
    )
    print(
        "\n| classes | anchors x negatives | seconds | of the release, scaled | peak GiB | of it |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    for classes in (6, 21):
        for anchors, negatives in ((50, 256), (256, 50)):
            seconds, mebibytes = measure(contrastive(classes, anchors, negatives))
            scaled = RELEASED_SECONDS[classes] * step.seconds / RELEASED_STEP_SECONDS
            peak = mebibytes / 1024
            print(
                f"| {classes} | {anchors} x {negatives} | {seconds:.3f} | {seconds / scaled:.2f} "
                f"| {peak:.2f} | {peak / RELEASED_GIB[classes]:.2f} |"
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


if __name__ == "__main__":
    main()
