"""What makes steps fast on a GPU changes nothing but rounding, and no step waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from method_configs import CONFIGS

from semisweep import AugmentationConfig, DataConfig, Method, TrainingConfig, Trial
from semisweep.core.device import is_gpu
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split
from semisweep.study.named_values import find_method
from semisweep.training import compilation
from semisweep.training.compilation import compile_networks
from semisweep.training.cuda_graph import Replayed
from semisweep.training.iteration import iterate
from semisweep.training.loader import Loader
from semisweep.training.method import Batch
from semisweep.training.method_fixtures import progress_at, random_batch, train_steps
from semisweep.training.metric import evaluate
from semisweep.training.optimizer import make_optimizers
from semisweep.training.protocols import Protocol
from semisweep.training.trainer import Training
from semisweep.training.trial import method_path
from semisweep_methods.agents import orthogonal_agents

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("without_tf32"),
]

COMPILED = ("unimatch", "rankmatch", "stpg", "cps")  # a minute of compiling as it is
ROUNDING = 1e-3  # of a loss: kernels that are made for the purpose add in another order


def built(name: str, device: str) -> Method:
    method = find_method(name)(CONFIGS[name], 4, 0).train().to(device)
    return method.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_steps_have_the_losses_of_eager_ones(
    name: str, device: str, say: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_gpu(device):
        monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    eager, compiled = built(name, device), built(name, device)
    compile_networks(compiled)
    worst = 0.0
    for step in range(4):  # from the same weights each time: else differences would grow
        compiled.load_state_dict(eager.state_dict())
        found = train_steps(compiled, 1, first=step)[0]
        expected = train_steps(eager, 1, first=step)[0]
        for term, value in expected.items():
            worst = max(worst, abs(found[term] - value) / max(1e-3, abs(value)))

    say(f"{name} compiled", worst_difference=worst)
    assert worst < (10 * ROUNDING if name == "rankmatch" else ROUNDING)


@pytest.mark.parametrize("name", ["unimatch", "rankmatch"])
def test_nothing_waits_for_the_gpu_in_a_step(name: str, device: str) -> None:
    method = built(name, device)
    optimizers = make_optimizers(method, TrainingConfig(steps=100))
    batch = Batch(*(values.to(device) for values in random_batch(0)))
    iterate(method, batch, progress_at(0), optimizers)
    if not is_gpu(device):
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in (1, 2):
            iterate(method, batch, progress_at(step), optimizers)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_replayed_loop_gives_what_the_function_gives(device: str) -> None:
    own = Replayed(lambda feature, first: orthogonal_agents(feature, 16, first, True))
    own.records = True
    made = torch.Generator().manual_seed(0)
    for size in (64, 100, 64):
        for _ in range(3):
            feature = torch.randn(2, size, 8, generator=made).to(device)
            first = torch.randint(size, (2,), generator=made).to(device)
            expected = orthogonal_agents(feature, 16, first, True)
            assert torch.equal(own(feature, first), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_that_a_gpu_finishes_are_those_of_a_cpu(
    device: str, tiny_shapes: Any, workers: int, say: Callable[..., None]
) -> None:
    dataset = open_dataset("shapes", tiny_shapes)
    split = make_split(dataset, DataConfig(name="shapes", labelled=4))
    training = TrainingConfig(
        steps=10,
        labelled_batch=2,
        unlabelled_batch=4,
        crop_pixels=32,
        augmentation=AugmentationConfig(),
    )
    loader = Loader(dataset, split, training, 0, views=2, uses_unlabelled=True)
    apart = 0.0
    for step, batch in enumerate(loader.batches(0, 4, workers, torch.device(device))):
        expected = loader.batch(step)
        for found, own in zip(batch, expected, strict=True):
            if own.is_floating_point():
                difference = (found.cpu() - own).abs()
                assert float(difference.max()) <= 1.01 / (255 * 0.224)  # one level of a channel
                apart = max(apart, float((difference > 1e-4).float().mean()))
            else:
                assert torch.equal(found.cpu(), own)
    say("batches", share_of_values_a_level_apart=apart)
    assert apart < 0.01


@pytest.mark.parametrize(
    "protocol", [Protocol(), Protocol(name="window", size_pixels=24, borders="truncated")]
)
def test_matrices_of_an_evaluation_are_those_of_a_cpu(
    device: str, tiny_shapes: Any, protocol: Protocol
) -> None:
    dataset = open_dataset("shapes", tiny_shapes)
    trial = Trial(
        method=method_path(find_method("supervised")),
        config=cast(Any, CONFIGS["supervised"]),
        data=DataConfig(name="shapes", labelled=4),
        training=TrainingConfig(steps=1, labelled_batch=2, unlabelled_batch=2, crop_pixels=32),
        seed=0,
    )
    training = Training(trial, dataset, make_split(dataset, trial.data), device)
    found = evaluate(training.method, dataset, "val", protocol, device)
    expected = evaluate(training.method.cpu(), dataset, "val", protocol, "cpu")

    assert found.sum() == expected.sum()
    assert np.abs(found - expected).sum() <= 0.01 * expected.sum()
