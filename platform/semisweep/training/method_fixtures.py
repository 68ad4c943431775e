"""Small networks, random batches and a few training steps: what tests of methods are made of.

`semisweep.testing` offers all of it to other people's tests.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from semisweep.core.seeding import derive
from semisweep.networks.network import NetworkConfig
from semisweep.training import distributed
from semisweep.training.functional import IGNORE
from semisweep.training.iteration import iterate
from semisweep.training.method import Batch, Method, MethodConfig, Progress, Update
from semisweep.training.optimizer import make_optimizers
from semisweep.training.trial import OptimizerConfig, TrainingConfig

Losses = list[dict[str, float]]

TOTAL_STEPS = 100
STEPS_PER_EPOCH = 10
WORKER_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class WorkerEnd:
    """What a worker has after training: each step's losses, and its state."""

    losses: Losses
    state: Mapping[str, Tensor]
    equal: bool  # whether every worker's state is the same


def tiny_network() -> NetworkConfig:
    """Return a network that trains a step in milliseconds; needs no download."""
    return NetworkConfig(backbone="test_resnet", output_stride=8, channels=16, pretrained=False)


def random_batch(
    seed: int,
    labelled: int = 4,
    unlabelled: int = 4,
    views: int = 2,
    size: int = 32,
    classes: int = 4,
) -> Batch:
    """Return a batch of noise with coarse labels, ignored and padded pixels, and CutMix boxes."""
    made = torch.Generator().manual_seed(derive("batch", seed))
    coarse = torch.randint(classes, (labelled, 1, 4, 4), generator=made).float()
    label = nn.functional.interpolate(coarse, size=(size, size)).squeeze(1).long()
    label[torch.rand(label.shape, generator=made) < 0.1] = IGNORE
    # Colour depends on the class in the same way in every batch, so there is something to learn.
    tints = torch.randn(classes + 1, 3, generator=torch.Generator().manual_seed(0))
    tint = tints[label.clamp_max(classes)]
    image = tint.permute(0, 3, 1, 2) + 0.3 * torch.randn(labelled, 3, size, size, generator=made)
    weak = torch.randn(unlabelled, 3, size // 4, size // 4, generator=made)
    weak = nn.functional.interpolate(weak, size=(size, size), mode="bilinear")
    noise = torch.randn(views, unlabelled, 3, size, size, generator=made)
    cutmix = torch.zeros(views, unlabelled, size, size, dtype=torch.bool)
    corners = torch.randint(size // 2, (views, unlabelled, 2), generator=made)
    for view, image_index in np.ndindex(views, unlabelled):
        top, left = corners[view, image_index].tolist()
        cutmix[view, image_index, top : top + size // 2, left : left + size // 2] = True
    valid = torch.ones(unlabelled, size, size, dtype=torch.bool)
    valid[0, -size // 4 :] = False
    return Batch(image, label, weak, weak + 0.3 * noise, cutmix, valid)


def awkward_batches(batch: Batch) -> dict[str, Batch]:
    """Return versions of a batch in which something a method may count on is missing."""
    ignored = torch.full_like(batch.label, IGNORE)
    nowhere = torch.zeros_like(batch.valid)
    return {
        "every label is ignored": batch._replace(label=ignored),
        "no pixel is valid": batch._replace(valid=nowhere),
        "nothing is known": batch._replace(label=ignored, valid=nowhere),
        "there is one class": batch._replace(label=torch.zeros_like(batch.label)),
        "images are black": batch._replace(
            image=torch.zeros_like(batch.image),
            weak=torch.zeros_like(batch.weak),
            strong=torch.zeros_like(batch.strong),
        ),
        "the donor covers all": batch._replace(cutmix=torch.ones_like(batch.cutmix)),
    }


def progress_at(step: int, seed: int = 0) -> Progress:
    """Return where a training of 100 steps, 10 epochs or 50 labelled ones, stands at `step`."""
    epochs = TOTAL_STEPS // STEPS_PER_EPOCH
    return Progress(step, TOTAL_STEPS, step // STEPS_PER_EPOCH, epochs, seed, step // 2)


def train_steps(
    method: Method,
    steps: int,
    *,
    first: int = 0,
    learning_rate: float = 0.1,
    precision: str = "fp32",
    scaler: torch.amp.GradScaler | None = None,
) -> Losses:
    """Train on random batches with the trainer's own iterations; return each step's losses.

    Where the method is, on a CPU or a GPU. One SGD without memory per group.
    Among several workers each trains on its rows of the batch.
    """
    plain = OptimizerConfig(
        learning_rate=learning_rate, head_multiplier=1.0, weight_decay=0.0, momentum=0.0
    )
    optimizers = make_optimizers(method, TrainingConfig(steps=TOTAL_STEPS, optimizer=plain))
    some = next(method.parameters())
    history: Losses = []
    for step in range(first, first + steps):
        batch = own_share(random_batch(step, classes=method.classes), some.dtype)
        batch = Batch(*(values.to(some.device) for values in batch))
        terms = iterate(
            method, batch, progress_at(step), optimizers, precision=precision, scaler=scaler
        )
        history.append({name: float(value) for name, value in terms.items()})
    return history


def own_share(batch: Batch, kind: torch.dtype) -> Batch:
    """Return this worker's rows of a whole batch, with images of the given type."""
    rank, workers = distributed.world()

    def rows(values: Tensor, dim: int) -> Tensor:
        share = values.chunk(workers, dim)[rank]
        return share.to(kind) if share.is_floating_point() else share

    dims = (0, 0, 0, 1, 1, 0)
    return Batch(*(rows(values, dim) for values, dim in zip(batch, dims, strict=True)))


def first_update(method: Method, batch: Batch, progress: Progress) -> Update:
    """Return the first update of a step with its parts put together."""
    parts = []
    for update in method.step(batch, progress):
        parts.append(update)
        if update.complete:
            break
    loss = torch.stack([part.loss for part in parts]).sum()
    terms = {name: term for part in parts for name, term in part.terms.items()}
    return parts[-1]._replace(loss=loss, terms=terms)


def train_on_workers(
    count: int,
    kind: type[Method],
    config: MethodConfig,
    classes: int,
    folder: Path,
    steps: int = 5,
) -> list[WorkerEnd]:
    """Return what each of `count` processes has after training together, in double precision."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [__name__, "semisweep.networks.encoder"]
    )  # torch and timm, once for all
    arguments = (count, kind, config, classes, str(folder), steps)
    workers = [context.Process(target=_work, args=(rank, *arguments)) for rank in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(WORKER_SECONDS)
    codes = [worker.exitcode for worker in workers]
    for worker in workers:
        worker.kill()
    assert codes == [0] * count, f"workers must end well, got exit codes={codes}"
    files = [folder / f"worker-{rank}.pt" for rank in range(count)]
    return [WorkerEnd(**torch.load(file, weights_only=True)) for file in files]


def _work(
    rank: int,
    count: int,
    kind: type[Method],
    config: MethodConfig,
    classes: int,
    folder: str,
    steps: int,
) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=WORKER_SECONDS),
    )
    method = kind(config, classes, 0).train().double()
    distributed.global_batch_norm(method)
    losses = train_steps(method, steps)
    equal = bool(distributed.replicas_equal(method))
    end = WorkerEnd(losses=losses, state=method.state_dict(), equal=equal)
    torch.save(vars(end), Path(folder) / f"worker-{rank}.pt")
    torch.distributed.destroy_process_group()


def parameters(method: Method, group: str) -> list[nn.Parameter]:
    """Return the trainable parameters of a group."""
    return [
        parameter
        for module in method.groups()[group]
        for parameter in module.parameters()
        if parameter.requires_grad
    ]


def disturb(seed: int) -> None:
    """Put every global generator somewhere else."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
