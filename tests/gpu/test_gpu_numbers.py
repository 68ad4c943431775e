"""Losses on a GPU against the CPU's, low precision, and trainings that change their device.

A relative difference is of a term's largest value over the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from method_configs import CONFIGS
from states import different

from semisweep import DataConfig, OptimizerConfig, TrainingConfig, Trial
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split
from semisweep.study.named_values import find_method, method_names
from semisweep.testing import MethodContract
from semisweep.training.checkpoint_writer import copied
from semisweep.training.method_fixtures import train_steps
from semisweep.training.trainer import Training, TrainingState, from_bytes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("without_tf32"),
]

STEPS = 10
# In double precision devices differ by rounding, 1e-16, which ten steps of batch norm and SGD make
# some 1e-12. More than a millionth is another computation, or a draw from another generator.
DOUBLE = 1e-6
# In single precision, from the same weights before each step: rounding, 1e-7 an operation, moves a
# term by 1e-5, and single pixels over a threshold or to another rank: one of 4,096 is 2.5e-4 of a
# mean, and agents that are chosen one after the other, as RankMatch's, may take some of them along.
SINGLE = 1e-2
# Contrastive terms draw pixels from lists of those that count: one more or less moves all draws.
DRAWN = 0.1


@pytest.fixture(params=CONFIGS)
def suite(request: pytest.FixtureRequest) -> MethodContract:
    """The contract suite of a method: its class, its configuration, how many classes."""
    return suite_of(request.param)


def suite_of(name: str) -> MethodContract:
    own = MethodContract()
    own.method, own.config = find_method(name), CONFIGS[name]  # type: ignore[misc]
    return own


def test_a_checkpoint_is_of_the_moment_at_which_it_was_copied(device: str) -> None:
    """The copy is on its way while the device goes on changing what is copied."""
    weight = torch.rand(2**22, device=device)
    counts = {"step": torch.tensor(3.0), "momentum": [weight.neg()]}
    expected = {"weight": weight.to("cpu", copy=True), "step": 3.0, "momentum": -weight.cpu()}
    copy, arrived = copied({"weight": weight, **counts})
    for _ in range(20):
        weight.mul_(1.5)
        counts["momentum"][0].zero_()  # type: ignore[index]
    arrived()

    assert copy["weight"].device.type == copy["momentum"][0].device.type == "cpu"
    found = {"weight": copy["weight"], "step": float(copy["step"]), "momentum": copy["momentum"][0]}
    assert not different(expected, found)


def test_every_method_that_comes_along_is_checked() -> None:
    assert set(CONFIGS) == set(method_names())


def test_ten_steps_give_the_losses_of_a_cpu(
    device: str, suite: MethodContract, say: Callable[..., None]
) -> None:
    double = apart(alone(suite, "cpu", torch.float64), alone(suite, device, torch.float64))
    single = apart(*in_step(suite, device))

    name, worst = max(single.items(), key=lambda item: item[1])
    say(
        f"losses of {suite.method.__name__}",
        terms=len(single),
        fp64_apart=max(double.values()),
        fp32_apart=f"{worst:.3g} ({name})",
    )
    assert max(double.values()) <= DOUBLE, double
    draws = any(name.endswith(".contrast") for name in single)
    for name, found in single.items():
        loose = draws and name.endswith((".contrast", ".loss"))
        assert found <= (DRAWN if loose else SINGLE), single


def alone(suite: MethodContract, device: str, kind: torch.dtype) -> list[dict[str, float]]:
    """Return the losses of ten steps on a device, each step from where the one before has led."""
    method = suite.build().to(device, kind)
    if device != "cpu":
        method.to(memory_format=torch.channels_last)  # as the trainer does
    return train_steps(method, STEPS)


def in_step(
    suite: MethodContract, device: str
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Return the losses on a CPU and on a device, each step from the CPU's weights."""
    reference, method = suite.build(), suite.build().to(device)
    method.to(memory_format=torch.channels_last)
    expected, found = [], []
    for step in range(STEPS):
        method.load_state_dict(reference.state_dict())
        found += train_steps(method, 1, first=step)
        expected += train_steps(reference, 1, first=step)
    return expected, found


def apart(expected: list[dict[str, float]], found: list[dict[str, float]]) -> dict[str, float]:
    """Return the largest relative difference of each term."""
    assert [set(step) for step in expected] == [set(step) for step in found]
    names = sorted({name for step in expected for name in step})
    return {name: _apart(name, expected, found) for name in names}


def _apart(name: str, expected: Any, found: Any) -> float:
    pairs = [(a[name], b[name]) for a, b in zip(expected, found, strict=True) if name in a]
    assert np.isfinite(pairs).all(), f"{name}: {pairs}"
    largest = max(abs(value) for value, _ in pairs)
    difference = max(abs(value - other) for value, other in pairs)
    return difference / largest if largest else difference


def test_every_method_is_finite_in_low_precision(
    device: str, suite: MethodContract, say: Callable[..., None]
) -> None:
    last = {}
    for precision in ("bf16", "fp16"):
        method = suite.build().to(device)
        scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
        before = {name: value.clone() for name, value in method.named_parameters()}
        losses = train_steps(method, STEPS, precision=precision, scaler=scaler)

        values = [value for step in losses for value in step.values()]
        assert np.isfinite(values).all(), (precision, losses)
        moved = [n for n, own in method.named_parameters() if not torch.equal(own, before[n])]
        assert moved, f"no weight was changed in {precision}"
        assert all(bool(own.isfinite().all()) for own in method.parameters()), precision
        name = next(name for name in losses[-1] if name.endswith(".loss"))
        last[precision] = losses[-1][name]
    state = scaler.state_dict()
    say(f"low precision of {suite.method.__name__}", **last, scale=state["scale"])
    assert state["_growth_tracker"] > 0 or state["scale"] < 2.0**16, "no update was scaled"


def trial_of(name: str, precision: str, optimizer: str = "sgd") -> Trial:
    return Trial(
        method=method_names()[name],
        config=CONFIGS[name],
        data=DataConfig(name="shapes", labelled=8),
        training=TrainingConfig(
            steps=40,
            labelled_batch=4,
            unlabelled_batch=4,
            crop_pixels=32,
            evaluations=2,
            precision=precision,  # type: ignore[arg-type]
            optimizer=OptimizerConfig(name=optimizer, learning_rate=0.01),  # type: ignore[arg-type]
        ),
        seed=1,
    )


def training(trial: Trial, data: Path, device: str) -> Training:
    dataset = open_dataset("shapes", data)
    return Training(trial, dataset, make_split(dataset, trial.data), device)


def advance(own: Training, steps: int) -> list[dict[str, float]]:
    """Train so many steps; return the sums of the terms after each."""
    found = []
    for batch in own.loader.batches(own.step, own.step + steps, 0):
        own.advance(batch)
        found.append({name: float(value) for name, value in own.sums.items()})
    return found


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_loss_falls_in_low_precision(
    device: str, tiny_shapes: Path, precision: str, say: Callable[..., None]
) -> None:
    own = training(trial_of("supervised", precision), tiny_shapes, device)
    own.scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
    name = "network.loss"
    sums = [step[name] for step in advance(own, 40)]
    first, last = sums[9] / 10, (sums[39] - sums[29]) / 10

    say(f"training in {precision}", first_loss=first, last_loss=last)
    assert last < first
    own.check_finite()


@pytest.mark.parametrize(
    ("name", "precision", "optimizer", "tolerance"),
    [
        ("supervised", "fp16", "sgd", None),  # whose first updates are left out by a scale
        ("u2pl", "fp32", "sgd", DRAWN),  # a memory, and a teacher
        ("cps", "fp32", "adamw", SINGLE),  # moments of two kinds; counts of steps stay on the CPU
        ("unimatch_contrastive", "fp32", "sgd", DRAWN),
        ("segkc", "fp32", "adamw", SINGLE),
    ],
)
def test_a_training_goes_on_on_another_device_and_comes_back(
    device: str,
    tiny_shapes: Path,
    name: str,
    precision: str,
    optimizer: str,
    tolerance: float | None,
    say: Callable[..., None],
) -> None:
    """What is restored is equal bit for bit, and so, up to rounding, are the losses from there on.

    Of the next step alone: AdamW moves each weight by its rate whatever the size of its gradient,
    and of gradients that are next to nothing rounding decides the sign.
    """
    trial = trial_of(name, precision, optimizer)
    state = training(trial, tiny_shapes, "cpu").state().to_bytes()
    worst = 0.0
    for place in (device, "cpu", device):
        own, reference = training(trial, tiny_shapes, place), training(trial, tiny_shapes, "cpu")
        own.restore(TrainingState.from_bytes(state))
        reference.restore(TrainingState.from_bytes(state))
        given = from_bytes(state)
        restored = from_bytes(own.state().to_bytes())
        if not given["scaler"]:  # a CPU has none: this device begins one
            del given["scaler"], restored["scaler"]
        assert not different(given, restored)
        on_device(own, place)
        worst = max(worst, *apart(next_terms(reference), next_terms(own)).values())
        advance(own, 3)
        state = own.state().to_bytes()

    say(f"{name} from {device} to cpu and back", precision=precision, apart=worst)
    assert tolerance is None or worst <= tolerance
    own.check_finite()
    scaled = device == "cuda" and precision == "fp16"
    assert bool(from_bytes(state)["scaler"]) == scaled


def next_terms(own: Training) -> list[dict[str, float]]:
    """Train a step; return its terms."""
    before = {name: float(value) for name, value in own.sums.items()}
    (after,) = advance(own, 1)
    return [{name: value - before.get(name, 0.0) for name, value in after.items()}]


def on_device(own: Training, place: str) -> None:
    """Assert that weights, memories, momenta and sums are where they are to be used."""
    kind = torch.device(place).type
    tensors: dict[str, Any] = dict(own.method.state_dict()) | own.sums
    for name, optimizer in own.optimizers.items():
        for index, kept in enumerate(optimizer.state.values()):
            moments: Mapping[str, Any] = {key: v for key, v in kept.items() if key != "step"}
            tensors |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
    elsewhere = [
        name
        for name, value in tensors.items()
        if isinstance(value, torch.Tensor) and value.device.type != kind
    ]
    assert not elsewhere
