"""Optimizers against the updates of their papers, written by hand, for every field of settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from semisweep import Batch, Method, MethodConfig, OptimizerConfig, Progress, TrainingConfig, Update
from semisweep.core.config import replace
from semisweep.training.iteration import iterate
from semisweep.training.method_fixtures import progress_at, random_batch
from semisweep.training.optimizer import make_optimizers

STEPS = 3
RATES = (1.0, 0.5, 0.001)  # what the schedule gives at each step
GRADIENTS = {
    "first.encoder": (0.3, -0.2, 0.5),
    "first.head": (-0.4, 0.1, 0.2),
    "second.encoder": (0.7, 0.6, -0.1),
    "second.head": (0.2, -0.3, -0.6),
}
SGD = OptimizerConfig(
    name="sgd",
    learning_rate=0.1,
    head_multiplier=3.0,
    weight_decay=0.25,
    momentum=0.6,
    nesterov=False,
    minimum_rate=0.002,
)
ADAMW = replace(SGD, {"name": "adamw"})
OTHERS: Mapping[str, object] = {
    "learning_rate": 0.07,
    "head_multiplier": 2.0,
    "weight_decay": 0.05,
    "momentum": 0.3,
    "nesterov": True,
    "minimum_rate": 0.02,
}


class Part(nn.Module):
    """A number in an encoder and a number in a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ParameterDict({"value": nn.Parameter(torch.tensor(1.0))})
        self.head = nn.ParameterDict({"value": nn.Parameter(torch.tensor(-2.0))})


class TwoGroups(Method):
    """Two groups of an encoder and a head, with gradients that are known at each step."""

    Config = MethodConfig

    def __init__(self) -> None:
        super().__init__(MethodConfig(), classes=2)
        self.first, self.second = Part(), Part()

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"first": [self.first], "second": [self.second]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        for group, part in (("first", self.first), ("second", self.second)):
            loss = part.encoder["value"] * GRADIENTS[f"{group}.encoder"][progress.step]
            loss = loss + part.head["value"] * GRADIENTS[f"{group}.head"][progress.step]
            yield Update(group, loss, {})

    def predict(self, image: Tensor) -> Tensor:
        return image


def trained(training: TrainingConfig) -> dict[str, float]:
    """Return the four numbers after a few iterations of the trainer's."""
    method = TwoGroups().double()
    optimizers = make_optimizers(method, training)
    for step, rate in enumerate(RATES):
        iterate(method, random_batch(0), progress_at(step), optimizers, rate=rate)
    return {name.removesuffix(".value"): own.item() for name, own in method.named_parameters()}


def expected(settings: OptimizerConfig, name: str) -> float:
    """Return a number after the same updates, by the definitions of SGD and AdamW.

    SGD with momentum as torch has it (decay is part of the gradient, Nesterov's step looks ahead);
    I. Loshchilov and F. Hutter, Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2.
    """
    value, buffer, first, second = (-2.0 if name.endswith("head") else 1.0), 0.0, 0.0, 0.0
    base = settings.learning_rate * (settings.head_multiplier if name.endswith("head") else 1)
    for step, gradient in enumerate(GRADIENTS[name]):
        rate = max(base * RATES[step], settings.minimum_rate)
        if settings.name == "sgd":
            slope = gradient + settings.weight_decay * value
            buffer = slope if step == 0 else settings.momentum * buffer + slope
            value -= rate * (slope + settings.momentum * buffer if settings.nesterov else buffer)
        else:
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            value -= rate * settings.weight_decay * value
            unbiased = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
            value -= rate * unbiased[0] / (unbiased[1] ** 0.5 + 1e-8)
    return value


def cases() -> Iterator[tuple[str, OptimizerConfig]]:
    """Yield settings of both optimizers, and such that differ from these in one field."""
    for settings in (SGD, ADAMW):
        yield settings.name, settings
        for field, value in OTHERS.items():
            yield f"{settings.name}, {field}", replace(settings, {field: value})


CASES = dict(cases())


@pytest.mark.parametrize("case", CASES)
def test_updates_are_those_of_the_definition(case: str) -> None:
    """Of encoder and head, in a group with settings of its own and in one without."""
    training = TrainingConfig(
        steps=STEPS, optimizer=CASES[case], group_optimizers={"second": ADAMW}
    )
    turned = TrainingConfig(steps=STEPS, optimizer=SGD, group_optimizers={"second": CASES[case]})

    for found, first, second in (
        (trained(training), CASES[case], ADAMW),
        (trained(turned), SGD, CASES[case]),
    ):
        settings = {"first": first, "second": second}
        hand = {name: expected(settings[name.partition(".")[0]], name) for name in GRADIENTS}
        assert found == pytest.approx(hand, rel=1e-12)


@pytest.mark.parametrize("settings", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_every_field_of_settings_moves_every_number(settings: OptimizerConfig) -> None:
    """Or, of AdamW, is said not to matter; the encoder's number has no part in the multiplier.

    The fields are those of the class: one that is added later has to be written down here.
    """
    before = trained(TrainingConfig(steps=STEPS, optimizer=settings))

    assert {field.name for field in dataclasses.fields(OptimizerConfig)} == {"name", *OTHERS}
    for field, value in OTHERS.items():
        other = replace(settings, {field: value})
        after = trained(TrainingConfig(steps=STEPS, optimizer=other))
        moved = {name for name in before if after[name] != before[name]}
        inert = settings.name == "adamw" and field in ("momentum", "nesterov")
        heads = field == "head_multiplier"
        wanted = {name for name in before if not inert and (name.endswith("head") or not heads)}
        assert moved == wanted, field
