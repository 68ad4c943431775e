"""What a trial may leave behind in its process, put back so that the next one starts as the first.

A method is somebody else's code: it may change torch's defaults, draw from global generators or
keep garbage in cycles. None of it may reach the next trial of the same worker.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class ProcessState:
    """Global settings and generators as they were when captured."""

    settings: Mapping[str, object]
    generators: tuple[Callable[[], object], ...]  # which put back those of torch, NumPy and Python

    @classmethod
    def capture(cls) -> ProcessState:
        """Return the present state.

        What there is now is kept out of later collections of garbage: it is all that was imported,
        and going through it would cost every trial a tenth of a second.
        """
        gc.collect()
        gc.freeze()
        return cls(
            {name: read() for name, (read, _) in SETTINGS.items()},
            (
                partial(torch.set_rng_state, torch.get_rng_state()),
                partial(np.random.set_state, np.random.get_state()),
                partial(random.setstate, random.getstate()),
            ),
        )

    def restore(self) -> None:
        """Go back to it, and free what the trial before has left."""
        for name, (read, write) in SETTINGS.items():
            if read() != self.settings[name]:
                write(self.settings[name])
        for put_back in self.generators:
            put_back()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


# How each setting is read, and how what was read is written.
SETTINGS: Mapping[str, tuple[Callable[[], object], Callable[[Any], object]]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, torch.set_default_device),
    "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "matrix products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "denormal numbers": (lambda: _denormals_vanish(), torch.set_flush_denormal),
    "cudnn.benchmark": (
        lambda: torch.backends.cudnn.benchmark,
        lambda value: setattr(torch.backends.cudnn, "benchmark", value),
    ),
    "cudnn.deterministic": (
        lambda: torch.backends.cudnn.deterministic,
        lambda value: setattr(torch.backends.cudnn, "deterministic", value),
    ),
    "cudnn.allow_tf32": (
        lambda: torch.backends.cudnn.allow_tf32,
        lambda value: setattr(torch.backends.cudnn, "allow_tf32", value),
    ),
}


def _denormals_vanish() -> bool:
    """Return whether numbers too small for float32's usual form are taken for zero."""
    smallest = torch.tensor([1e-40], dtype=torch.float32)
    return float((smallest * 1.0).item()) == 0.0
