"""One iteration of a method: each of its updates is minimised before the next is asked for.

Gradients are averaged over workers explicitly, because methods run several forwards, call
sub-modules and own several optimizers; after each step every worker holds equal weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from semisweep.core.errors import TrainingError
from semisweep.core.seeding import derive
from semisweep.training import distributed
from semisweep.training.compilation import begin_step
from semisweep.training.method import Batch, Method, Progress
from semisweep.training.optimizer import factor, parameters, set_rate
from semisweep.training.precision import autocast


def iterate(
    method: Method,
    batch: Batch,
    progress: Progress,
    optimizers: Mapping[str, torch.optim.Optimizer],
    *,
    rate: float = 1.0,
    power: float = 0.0,
    scaler: torch.amp.GradScaler | None = None,
    precision: str = "fp32",
) -> dict[str, Tensor]:
    """Run one iteration; the gradients of an update's parts add up until it is complete.

    `rate`: the factor on learning rates; `power`: of the schedules that updates bring themselves,
    0 for constant ones. Returns the loss terms, detached, as they are on this worker.
    """
    begin_step()
    _seed(derive(progress.seed, "step", progress.step))
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    terms: dict[str, Tensor] = {}
    updates = iter(method.step(batch, progress))
    adding, group = False, ""
    while True:
        with autocast(batch.image.device.type, precision):
            update = next(updates, None)
        if adding and (update is None or update.group != group):
            raise TrainingError(
                "the last part of an update must be complete, got complete=False, "
                f"group={group!r}; without it nothing is trained"
            )
        if update is None:
            return terms
        group = update.group
        optimizer = optimizers[update.group]
        if not adding:
            optimizer.zero_grad(set_to_none=True)
        scaler.scale(update.loss).backward()  # type: ignore[no-untyped-call]
        terms |= {f"{update.group}.{name}": term.detach() for name, term in update.terms.items()}
        total = f"{update.group}.loss"
        terms[total] = update.loss.detach() + (terms[total] if adding else 0)
        adding = not update.complete
        if not adding:
            set_rate(optimizer, rate if update.rate is None else factor(update.rate, power))
            distributed.average_gradients(parameters(optimizer))
            scaler.step(optimizer)
            scaler.update()


def _seed(number: int) -> None:
    """Seed torch's generators as `torch.manual_seed` does, at a tenth of its time on CPUs."""
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
