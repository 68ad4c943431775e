"""A whole training in a few steps of tiny networks, in which a factor can show.

Progress runs from start to end, logits are made confident first, memories fill. Everything is drawn
anew from seeds, so that two arms whose factor does not show stay in the very same state.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from semisweep.core.config import identity, replace, settings
from semisweep.core.seeding import derive
from semisweep.networks.network import Network, NetworkConfig
from semisweep.study.factor import Probe
from semisweep.training.method import Batch, Method, MethodConfig, Progress, Rate
from semisweep.training.method_fixtures import disturb, random_batch
from semisweep.training.optimizer import factor

CLASSES = 4
IMAGES = 2  # labelled, and as many unlabelled: CutMix needs two
SIZES = (32, 48, 64, 128, 256)  # pixels; the next where the feature map is too small
LEARNING_RATE = 0.05
SCHEDULE_POWER = 0.9  # of the schedules that updates bring
FIRST_WIDTH, NEXT_WIDTH = 16, 8  # channels of the decoders of networks that differ


class Moment(NamedTuple):
    """What a step left behind: a few numbers a parameter, and what should be equal in both arms."""

    parameters: dict[str, tuple[float, float, float]]
    losses: dict[str, list[float]]
    rates: list[tuple[str, Rate | None]]
    draws: int  # a digest of the global generators after the step


class Rehearsal:
    """One arm's training in miniature; its steps are made as they are asked for, and kept."""

    def __init__(
        self,
        kind: type[Method],
        config: MethodConfig,
        seed: int,
        epochs: int,
        probe: Probe,
        disturbance: int = 1,
    ) -> None:
        self.probe, self.epochs, self.seed = probe, epochs, seed
        with undisturbed():
            disturb(disturbance)  # initial weights must not depend on what was drawn before
            self.initial = kind(config, CLASSES, seed).train()
        self.size, self.steps = SIZES[0], probe.steps
        self._prepare()

    def _prepare(self) -> None:
        self.moments: list[Moment] = []
        self.method = copy.deepcopy(self.initial).double()
        sharpen(self.method, self.probe.sharpness)
        self.optimizers = {
            name: torch.optim.SGD(
                [
                    parameter
                    for module in modules
                    for parameter in module.parameters()
                    if parameter.requires_grad
                ],
                lr=LEARNING_RATE,
            )
            for name, modules in self.method.groups().items()
        }

    def at(self, step: int, size: int, steps: int) -> Moment:
        """Return what a step of so many leaves; raise `ConfigError` where images are too small."""
        if (size, steps) != (self.size, self.steps):
            self.size, self.steps = size, steps
            self._prepare()
        while len(self.moments) <= step:
            self.moments.append(self._advance(len(self.moments)))
        return self.moments[step]

    def _progress(self, step: int) -> Progress:
        low, high = self.probe.progress
        total = max(self.probe.steps, round(self.probe.steps / (high - low)))
        gone = (step + 1) * self.probe.steps // self.steps - 1
        now = min(round(low * total) + gone, total - 1)
        epoch = now * self.epochs // total
        return Progress(now, total, epoch, self.epochs, self.seed, labelled_epoch=epoch)

    def _advance(self, step: int) -> Moment:
        batch = double(random_batch(step, IMAGES, IMAGES, size=self.size, classes=CLASSES))
        rates: list[tuple[str, Rate | None]] = []
        losses: dict[str, list[float]] = {}
        with undisturbed():
            disturb(derive("rehearsal", step) % 2**32)
            adding = False
            for update in self.method.step(batch, self._progress(step)):
                optimizer = self.optimizers[update.group]
                own = 1.0 if update.rate is None else factor(update.rate, SCHEDULE_POWER)
                for group in optimizer.param_groups:
                    group["lr"] = LEARNING_RATE * own
                if not adding:
                    optimizer.zero_grad(set_to_none=True)
                update.loss.backward()  # type: ignore[no-untyped-call]
                losses.setdefault(update.group, []).append(float(update.loss.detach()))
                adding = not update.complete
                if not adding:
                    optimizer.step()
                    rates.append((update.group, update.rate))
            draws = hash((torch.get_rng_state().numpy().tobytes(), random.getstate(), _numpy()))
        return Moment(summaries(self.method), losses, rates, draws)

    def predictions(self) -> Tensor:
        """Return the logits for a batch after the last step, with the statistics of that batch."""
        image = double(random_batch(0, IMAGES, IMAGES, size=self.size, classes=CLASSES)).image
        with torch.no_grad():
            return self.method.train().predict(image)


def summaries(method: nn.Module) -> dict[str, tuple[float, float, float]]:
    """Return each trained parameter's elements, a weighted sum of them, and that of squares."""
    found = {}
    for name, own in method.named_parameters():
        if own.requires_grad:
            flat = own.detach().flatten()
            weights = torch.arange(1, len(flat) + 1, dtype=flat.dtype).sin()
            found[name] = (float(len(flat)), float(flat @ weights), float(flat @ flat))
    return found


def sharpen(method: nn.Module, sharpness: float) -> None:
    """Multiply the classifiers of all networks, so that their predictions are confident."""
    with torch.no_grad():
        for part in method.modules():
            if isinstance(part, Network):
                for own in part.decoder.classifier.parameters():
                    own.mul_(sharpness)


def tiny(*configs: MethodConfig) -> list[MethodConfig]:
    """Return configurations with tiny networks: equal ones for equal ones, others for others."""
    seen: list[Mapping[str, object]] = []

    def network(own: NetworkConfig) -> NetworkConfig:
        mark = identity(own)
        if mark not in seen:
            seen.append(mark)
        channels = FIRST_WIDTH + NEXT_WIDTH * seen.index(mark)
        backbone = "test_vit" if own.decoder == "dpt" else "test_resnet"
        return NetworkConfig(
            backbone=backbone,
            decoder=own.decoder,
            head=own.head,
            output_stride=8,
            channels=channels,
            pretrained=False,
        )

    def shrunk(config: MethodConfig) -> MethodConfig:
        networks = {
            name: network(value)
            for name, value, _ in settings(config)
            if isinstance(value, NetworkConfig)
        }
        return replace(config, networks)

    return [shrunk(config) for config in configs]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put the global generators back where they were after the block."""
    numpy_state, state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        yield
    np.random.set_state(numpy_state)
    random.setstate(state)


def double(batch: Batch) -> Batch:
    """Return a batch with images in double precision."""
    return Batch(*(own.double() if own.is_floating_point() else own for own in batch))


def _numpy() -> tuple[object, ...]:
    state = np.random.get_state()
    assert isinstance(state, tuple)
    return (state[1].tobytes(), *state[2:])
