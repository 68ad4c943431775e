"""What a trial changes in its process is put back before the next one."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from semisweep.training.process_state import SETTINGS, ProcessState


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


CHANGES: dict[str, Callable[[], object]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "gradients": lambda: torch.set_grad_enabled(False),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "denormal numbers": lambda: torch.set_flush_denormal(True),
    "cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "cudnn.deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "cudnn.allow_tf32": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_put_back(name: str) -> None:
    read = SETTINGS[name][0]
    before = read()
    state = ProcessState.capture()
    try:
        CHANGES[name]()
        assert read() != before, "the change must be one"
    finally:
        state.restore()

    assert read() == before


def test_global_generators_are_put_back() -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(1).item(), np.random.rand(), random.random()

    state = ProcessState.capture()
    first = draw()
    assert draw() != first
    state.restore()
    assert draw() == first


def test_cycles_that_a_trial_leaves_are_freed() -> None:
    class Ring:
        freed = False

        def __init__(self) -> None:
            self.own = self

        def __del__(self) -> None:
            Ring.freed = True

    state = ProcessState.capture()
    Ring()
    state.restore()

    assert Ring.freed
