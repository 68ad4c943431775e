"""Networks' passes compiled into few kernels on a GPU, which eager torch launches one by one.

torch.compile makes kernels of an encoder's and of a decoder's passes, forward and backward, for
each size of batch that a method's step has; evaluation stays eager, as images come in any size.
What was compiled serves all networks of the same kind, so a worker pays for it once, not once a
trial. Losses are equal to the eager ones up to rounding; on a CPU nothing is compiled.

The kernels of a pass are recorded as a CUDA graph and replayed as one launch. What a pass returns
lives in the recording's memory, which the next step overwrites: `begin_step` says when that is, and
torch refuses to read what is older. A recording is of one trial's weights, so each trial records
its own; they share their memory, and are forgotten now and then.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib import import_module

import torch
from torch import nn

from semisweep.core.device import is_gpu
from semisweep.networks.network import Network
from semisweep.training.cuda_graph import Replayed

COMPILED_STEPS = 2000  # a training of fewer does not earn back the minutes of compiling
VARIANTS = 64  # of one pass: sizes of batches, modes, precisions; torch's own limit is 8
BACKEND = "inductor"
GRAPHS = True  # whether compiled passes are recorded and replayed
RECORDER = "torch._inductor.cudagraph_trees"  # takes seconds to import
RECORDED_TRIALS = 16  # after which a worker forgets all recordings, and compiles from torch's cache

logger = logging.getLogger(__name__)
_recorded: list[str] = []  # names of the methods that have been compiled since the last reset


def is_worth_it(asked: bool | None, device: str, total_steps: int, workers: int) -> bool:
    """Return whether to compile: as asked, or by the length of the training.

    Never on a CPU, nor for several workers, whose batch norms communicate in mid-pass.
    """
    if asked is False or not is_gpu(device) or workers > 1:
        return False
    return (asked is True or total_steps >= COMPILED_STEPS) and works(device)


def compile_networks(method: nn.Module) -> None:
    """Let every network inside `method` run compiled passes from its next one on, in place.

    Names of parameters stay; copies that are made later run eagerly. `Replayed` loops are recorded.
    """
    if len(_recorded) >= RECORDED_TRIALS:
        forget()
    _recorded.append(type(method).__name__)
    torch._dynamo.config.recompile_limit = VARIANTS
    options = None
    if BACKEND == "inductor":
        options = {"triton.cudagraphs": GRAPHS}
        import_module(RECORDER)  # before the first step, which `begin_step` is to announce too
    for module in method.modules():
        if isinstance(module, Replayed):
            module.records = True
        elif isinstance(module, Network):
            for part in (module.encoder, module.decoder):
                part.compile(backend=BACKEND, dynamic=False, options=options)


def forget() -> None:
    """Let go of what compiled passes hold in this process, such as the memory of recordings."""
    if _recorded:
        torch._dynamo.reset()
        _recorded.clear()


def begin_step() -> None:
    """Say that a step begins: recordings may overwrite what passes of the last step returned."""
    if RECORDER in sys.modules:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


@contextmanager
def eager(method: nn.Module) -> Iterator[None]:
    """Run the compiled passes of `method` eagerly inside the block."""
    with torch.compiler.set_stance("force_eager") if is_compiled(method) else nullcontext():
        yield


def is_compiled(method: nn.Module) -> bool:
    """Return whether any network inside `method` has compiled passes."""
    networks = (own for own in method.modules() if isinstance(own, Network))
    return any(network.encoder._compiled_call_impl is not None for network in networks)


@cache
def works(device: str) -> bool:
    """Return whether torch can compile for a device here; where it cannot, the log says why.

    It needs Triton, and a C compiler for what Triton makes.
    """
    try:
        double = torch.compile(lambda values: values * 2 + 1, backend=BACKEND)
        double(torch.ones(8, device=device))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        logger.warning("networks run uncompiled, for torch cannot compile here: %s", reason[:300])
        return False
    return True
