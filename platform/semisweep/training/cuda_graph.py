"""Loops of many small kernels, recorded once on a GPU and launched as one from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

WARM_UP = 2  # calls before recording, in which libraries set themselves up

Kind = tuple[tuple[torch.Size, tuple[int, ...], torch.dtype, torch.device], ...]


class Recording(NamedTuple):
    """A graph, the tensors that it reads and the one that it writes."""

    graph: torch.cuda.CUDAGraph
    given: tuple[Tensor, ...]
    made: Tensor


class Replayed(nn.Module):
    """A function of tensors, without gradient, that may be recorded for each kind of arguments.

    The function must launch the same kernels whatever the values are, and draw nothing. On a CPU,
    and while `records` is False, it is merely called.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function
        self.records = False
        self._recordings: dict[Kind, Recording] = {}

    @torch.no_grad()
    def forward(self, *values: Tensor) -> Tensor:
        """Return what the function returns."""
        if not (self.records and all(value.is_cuda for value in values)):
            return self.function(*values)
        kind = tuple((own.shape, own.stride(), own.dtype, own.device) for own in values)
        if kind not in self._recordings:
            self._recordings[kind] = self._recorded(values)
        recording = self._recordings[kind]
        for own, value in zip(recording.given, values, strict=True):
            own.copy_(value)
        recording.graph.replay()
        return recording.made.clone()

    def _recorded(self, values: tuple[Tensor, ...]) -> Recording:
        given = tuple(value.clone() for value in values)
        # Recording wants a stream of its own on which everything has run before.
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.function(*given)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Threads that pin memory meanwhile must not end the recording.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            made = self.function(*given)
        return Recording(graph, given, made)
