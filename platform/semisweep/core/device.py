"""The device that a process computes on: choosing it, what it is, and how much memory it needed."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

from semisweep.core.errors import ConfigError

ASK_DRIVER = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
ASK_SECONDS = 60
# Of errors that have no type of their own: a CPU's allocator, and CUDA and its libraries where the
# allocator of tensors is not the one that asks.
NO_ROOM = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
ADVICE = (
    "out of memory: a trial needs less with a smaller batch (--set training.labelled_batch=N, "
    "--set training.unlabelled_batch=N), smaller crops (--set training.crop_pixels=N), "
    "--set training.precision=bf16, or more workers (--workers N); all of them together need less "
    "with fewer trials a GPU (a larger --gpus) or fewer at a time (--slots N)"
)

OVERWRITTEN = "accessing tensor output of CUDAGraphs that has been overwritten"  # by torch
CLONE_ADVICE = (
    "what a compiled network returns lives until the next step begins: clone what a method keeps "
    "longer, or run with --no-compile"
)


def usable(name: str | None) -> str:
    """Return the device of a name, without one a GPU where there is one; raise `ConfigError`."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"a device must be one that torch can use here, got device={name!r}: "
            f"{str(error).splitlines()[0]}"
        ) from None
    return name


def initialise(device: str) -> None:
    """Make a GPU the one that this process computes on, and CUDA ready there."""
    import torch

    if not is_gpu(device):
        return
    parsed = torch.device(device)
    if parsed.index is not None:
        torch.cuda.set_device(parsed)
    torch.zeros(1, device=parsed)  # what fails for want of a driver or of memory, fails here
    synchronise(device)


def begin_measuring(device: str) -> None:
    """Let the peaks of a GPU's memory count from here on; a CPU's count from the process's start.

    Needs no `initialise` before it.
    """
    import torch

    if is_gpu(device):
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()  # or what is held for those before would count as reserved
        torch.cuda.reset_peak_memory_stats(device)


def synchronise(device: str) -> None:
    """Wait until a GPU has done what it was given, so that a clock may be read."""
    import torch

    if is_gpu(device):
        torch.cuda.synchronize(device)


def peak_memory(device: str) -> int:
    """Return the peak memory in bytes: of a GPU's tensors, on a CPU of the whole process."""
    if is_gpu(device):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_reserved(device: str) -> int:
    """Return the most bytes that this process took of a GPU for tensors, free ones included."""
    import torch

    return int(torch.cuda.max_memory_reserved(device)) if is_gpu(device) else 0


def device_name(device: str) -> str:
    """Return what a GPU is called, such as "NVIDIA H200"; nothing for a CPU."""
    import torch

    return torch.cuda.get_device_name(device) if is_gpu(device) else ""


@cache
def driver_version() -> str:
    """Return the version of this machine's GPU driver; nothing where it does not say."""
    try:
        run = subprocess.run(
            ASK_DRIVER, capture_output=True, text=True, check=True, timeout=ASK_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(run.stdout.split()), "")


def is_gpu(device: str) -> bool:
    """Return whether a device is a GPU."""
    return device.partition(":")[0] == "cuda"


def advice_on(error: BaseException) -> str | None:
    """Return what to change after an error of a device, in one line; None for any other error.

    Of want of memory, and of a recorded pass whose memory has been used again.
    """
    if isinstance(error, RuntimeError) and OVERWRITTEN in str(error):
        return CLONE_ADVICE
    torch = sys.modules.get("torch")  # without it no tensor has asked for memory
    if torch is None:
        return None
    full = isinstance(error, torch.OutOfMemoryError)
    full |= isinstance(error, RuntimeError) and any(text in str(error) for text in NO_ROOM)
    return ADVICE if full else None
