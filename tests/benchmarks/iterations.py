"""What whole iterations of UniMatch and RankMatch cost, and RankMatch's agents alone.

Iterations: ResNet-50, two labelled and two unlabelled images of 129 pixels, forward and backward,
no optimizer. Each figure is a share of what the released code took where the plain step, measured
here beside it, took 0.70 s: 3.6 s and 581 MiB for UniMatch, 3.4 s and 647 MiB for RankMatch; 0.23 s
and 59 MiB, 0.40 s and 109 MiB for 64 and 128 agents on two maps [256, 64, 64].

    OMP_NUM_THREADS=1 python tests/benchmarks/iterations.py
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from measuring import (
    RELEASED_STEP_SECONDS,
    judge,
    measure,
    peak_mebibytes,
    plain_step,
    shares,
)

from semisweep import Method, NetworkConfig
from semisweep.training.method_fixtures import progress_at, random_batch
from semisweep_methods.agents import (
    agent_scores,
    all_orders,
    orthogonal_agents,
    pixels,
    rank_loss,
)
from semisweep_methods.rankmatch import RankMatch, RankMatchConfig
from semisweep_methods.unimatch import UniMatch, UniMatchConfig


def iteration(method: type[Method], config: Any) -> Callable[[], None]:
    """Return one iteration without its optimizer; every pixel is confident enough to count."""
    own = method(config, 21).train().to(memory_format=torch.channels_last)  # as the trainer does
    batch = random_batch(0, labelled=2, unlabelled=2, size=129, classes=21)

    def once() -> None:
        own.zero_grad(set_to_none=True)
        for update in own.step(batch, progress_at(0)):
            update.loss.backward()  # type: ignore[no-untyped-call]

    return once


def agents(count: int) -> Callable[[], None]:
    """Return the selection of agents, the rank loss and its gradient."""
    made = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(2, 256, 64, 64, generator=made) / 16 for _ in range(2))
    student.requires_grad_()
    orders, first = all_orders(4), torch.zeros(2, dtype=torch.long)

    def once() -> None:
        student.grad = None
        expected, found = pixels(teacher), pixels(student)
        chosen = orthogonal_agents(expected, count, first, absolute=True)
        scores = agent_scores(expected, chosen), agent_scores(found, chosen)
        rank_loss(*scores, orders, "mean_all").backward()  # type: ignore[no-untyped-call]

    return once


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(f"load average: {os.getloadavg()[0]:.1f}")
    plain = plain_step()
    step = measure(plain)
    print(f"plain step: {step.seconds:.2f} s, {step.mebibytes:.0f} MiB (229 there)")
    network = NetworkConfig(backbone="resnet50", pretrained=False)
    ranked = RankMatchConfig(network=network, agents=64)
    works = (
        ("UniMatch", iteration(UniMatch, UniMatchConfig(network=network)), 3.6, 581, 0.8),
        ("RankMatch", iteration(RankMatch, ranked), 3.4, 647, 0.8),
        ("64 agents and rank loss", agents(64), 0.23, 59, 0.6),
        ("128 agents and rank loss", agents(128), 0.40, 109, 0.6),
    )
    beside = shares(plain, [work for _, work, *_ in works])
    for (name, work, seconds, mebibytes, target), share in zip(works, beside, strict=True):
        print(f"\n{name}: {share:.2f} plain steps, {seconds / RELEASED_STEP_SECONDS:.2f} there")
        judge("  share of the release's time", share * RELEASED_STEP_SECONDS / seconds, target)
        judge("  share of its memory", peak_mebibytes(work) / mebibytes, target)


if __name__ == "__main__":
    main()
