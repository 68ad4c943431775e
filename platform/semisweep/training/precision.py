"""What the names of precisions mean: the switches that each sets on a GPU.

A GPU with tensor cores can round the factors of float32 products to TF32: 10 bits of mantissa
instead of 23, sums in float32, at several times the speed. torch does so in convolutions unless
told otherwise, and not in matrix products; "fp32" is this, and what released code without mixed
precision trained with on such GPUs. On a CPU "fp32" and "tf32" are both float32 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor
from torch.amp import is_autocast_available

from semisweep.core.device import is_gpu


class Switches(NamedTuple):
    """What a precision sets; `half` is the type of autocast's convolutions and products."""

    convolutions_tf32: bool
    products_tf32: bool
    half: torch.dtype | None = None


PRECISIONS: Mapping[str, Switches] = {
    "fp32": Switches(convolutions_tf32=True, products_tf32=False),
    "tf32": Switches(convolutions_tf32=True, products_tf32=True),
    # What autocast leaves in float32 is as in "fp32".
    "bf16": Switches(convolutions_tf32=True, products_tf32=False, half=torch.bfloat16),
    "fp16": Switches(convolutions_tf32=True, products_tf32=False, half=torch.float16),
}


def set_switches(precision: str, device: str) -> None:
    """Set what a precision means for a GPU; `ProcessState.restore` sets it back. Not for a CPU."""
    if not is_gpu(device):
        return
    switches = PRECISIONS[precision]
    torch.backends.cudnn.allow_tf32 = switches.convolutions_tf32
    torch.set_float32_matmul_precision("high" if switches.products_tf32 else "highest")


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """Return the context in which the forward passes of one update run."""
    half = PRECISIONS[precision].half
    return nullcontext() if half is None else torch.autocast(device, dtype=half)


def without_autocast(like: Tensor) -> AbstractContextManager[object]:
    """Return a context for computing in the types that tensors have, wherever `like` is."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if is_autocast_available(kind) else nullcontext()
