"""A process group of one worker, and everything of semisweep.training.distributed in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import distributed as group
from torch import nn
from torch.profiler import ProfilerActivity, profile

from semisweep.training import distributed

COLLECTIVES = ("allreduce_", "allgather_", "broadcast_", "barrier")


@contextmanager
def lone_group(backend: str, folder: Path) -> Iterator[None]:
    """Be the only worker of a group for the time of a block."""
    meeting = (folder / "meeting").as_uri()
    group.init_process_group(backend, init_method=meeting, rank=0, world_size=1)
    try:
        yield
    finally:
        group.destroy_process_group()


def exercise(device: str) -> Counter[str]:
    """Call each function where a group of one changes nothing; return how often it communicated."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        _exercise(device)
    events = [event.name.removeprefix("c10d::") for event in profiled.events()]
    return Counter(name for name in events if name in COLLECTIVES)


def _exercise(device: str) -> None:
    value = torch.tensor([1.25, -2.0], device=device)
    flags = torch.tensor([True, False], device=device)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).to(device)
    distributed.global_batch_norm(network)
    network(torch.stack([value, -value])).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in network.parameters()]

    distributed.average_gradients(network.parameters())
    distributed.barrier()

    assert distributed.world() == (0, 1)
    assert torch.equal(distributed.sum_over_workers(value), value)
    assert distributed.sum_over_workers(flags).tolist() == [1, 0]
    assert torch.equal(distributed.mean_over_workers(value), value)
    assert torch.equal(distributed.from_all_workers(value), value.unsqueeze(0))
    assert distributed.own_rows(3) == slice(0, 3)
    assert distributed.replicas_equal(network)
    assert distributed.share({"step": 3, "state": b"bytes"}) == {"step": 3, "state": b"bytes"}
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)
