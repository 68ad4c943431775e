"""Checkpoints that are written while training goes on, as often as they are worth it.

At a step everything that training needs is copied to this machine's memory; a thread of its own
then brings the copy to the store. One checkpoint is on its way at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import torch
from torch import Tensor

from semisweep.core import background
from semisweep.store.checkpoint_file import Content

CHECKPOINT_SECONDS = 600.0  # of training, which a kill may cost
SHORT_SECONDS = 5.0  # what a last checkpoint would save; writing it may take as long
CHEAP_SECONDS = 0.2  # training waits so long; what took no longer is written at each evaluation
MOST_SHARE = 0.02  # of the time that writing others for evaluations may take

Write = Callable[[int, Content], None]


class CheckpointWriter:
    """Writes a training's checkpoints with `write`, which gets steps and contents, in a thread.

    It is closed by its `with` statement, which waits for what is being written.
    """

    def __init__(self, write: Write, seconds: float = CHECKPOINT_SECONDS) -> None:
        self._write, self._seconds = write, seconds
        self._saved = time.monotonic()  # when the newest state was copied
        self._cost = 0.0  # seconds that the last checkpoint took, copying included
        self._ends: Callable[[], None] = lambda: None  # waits for the one being written
        self._busy = False
        self._error: BaseException | None = None

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._ends()

    def check(self) -> None:
        """Raise what writing a checkpoint has raised, such as `StoreError`."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def is_due(self, *, evaluated: bool, is_last: bool) -> bool:
        """Return whether a checkpoint should be written after a step.

        Time asks for one where a kill would cost more than the seconds of this writer; an
        evaluation, whose repetition it saves, where writing takes a small share of the time. After
        the last step there is little to save. None is due while one is being written, unless that
        takes longer than a kill may cost: training then waits for it.
        """
        passed = time.monotonic() - self._saved
        if self._busy and passed <= 2 * self._seconds:
            return False
        if passed > self._seconds:
            return True
        if not evaluated or (is_last and passed < SHORT_SECONDS):
            return False
        return self._cost <= max(CHEAP_SECONDS, MOST_SHARE * passed)

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        """Copy a state and begin to write it, after waiting for the checkpoint before it.

        `state` may change as soon as this returns. A moment passes here, in which a small state is
        written: its training loses nothing when it is killed. Raises what writing has raised.
        """
        self.wait()
        begun = self._saved = time.monotonic()
        copy, arrived = copied(state)

        def run() -> None:
            try:
                arrived()
                self._write(step, lambda file: _save(copy, file))
                self._cost = time.monotonic() - begun
            finally:
                self._busy = False

        self._busy = True
        thread = background.start(run, name="checkpoint", on_error=self._keep_error)
        self._ends = thread.join
        thread.join(CHEAP_SECONDS)
        self.check()

    def wait(self) -> None:
        """Wait until nothing is being written; raise what writing has raised."""
        self._ends()
        self.check()

    def _keep_error(self, error: BaseException) -> None:
        self._error = error


def copied(state: Mapping[str, Any]) -> tuple[dict[str, Any], Callable[[], None]]:
    """Return a copy of a nested state in this machine's memory, and what waits for its arrival.

    What is on a GPU is copied on its current stream into pinned memory, behind what was begun and
    before what comes: nothing waits here. Tensors that are one in the state are one in the copy.
    """
    known: dict[tuple[object, ...], Tensor] = {}
    devices: set[torch.device] = set()

    def tensor(value: Tensor) -> Tensor:
        value = value.detach()
        place = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
        if place not in known or not value.numel():
            known[place] = _to_host(value)
            if value.is_cuda:
                devices.add(value.device)
        return known[place]

    def copy(value: Any) -> Any:
        if isinstance(value, Tensor):
            return tensor(value)
        if isinstance(value, Mapping):
            return {name: copy(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(copy(item) for item in value)
        return value

    whole = {name: copy(value) for name, value in state.items()}
    events = [torch.cuda.current_stream(device).record_event() for device in devices]

    def arrived() -> None:
        for event in events:
            event.synchronize()

    return whole, arrived


def _to_host(value: Tensor) -> Tensor:
    if not value.is_cuda:
        return value.clone()
    host = torch.empty_like(value, device="cpu", pin_memory=True)
    return host.copy_(value, non_blocking=True)


def _save(state: Mapping[str, Any], file: BinaryIO) -> None:
    torch.save(dict(state), file)
