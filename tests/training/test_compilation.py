"""Compiled networks train as eager ones do; by a backend that needs no compiler, on the CPU."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from method_configs import CONFIGS
from torch import nn
from torch._dynamo.utils import counters
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves

from semisweep import Method, NetworkConfig, TrainingConfig
from semisweep.networks.network import Network
from semisweep.study.named_values import find_method
from semisweep.training import compilation
from semisweep.training.compilation import compile_networks, eager, is_compiled, is_worth_it
from semisweep.training.iteration import iterate
from semisweep.training.method_fixtures import (
    progress_at,
    random_batch,
    tiny_network,
    train_steps,
)
from semisweep.training.optimizer import make_optimizers
from semisweep_methods.unimatch_v2 import dinov2

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace and differentiate passes as for a GPU, and run what comes of it with eager kernels."""
    compilation.forget()
    torch._dynamo.reset()
    monkeypatch.setattr(compilation, "BACKEND", "aot_eager")
    yield
    compilation.forget()
    torch._dynamo.reset()


def built(name: str) -> Method:
    kind = find_method(name)
    networks = ("senior", "junior") if name == "segkc" else ("network",)
    return kind(kind.Config(**dict.fromkeys(networks, tiny_network())), 4, 0).train()


def compiled_passes() -> int:
    return int(counters["stats"]["unique_graphs"])


@pytest.mark.parametrize("name", ["unimatch", "stpg", "segkc"])
def test_compiled_networks_train_as_eager_ones(name: str) -> None:
    method, reference = built(name), built(name)
    compile_networks(method)
    assert is_compiled(method)

    for found, expected in zip(train_steps(method, 3), train_steps(reference, 3), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
    for own, other in zip(method.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)
    assert list(method.state_dict()) == list(reference.state_dict())


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (NetworkConfig(backbone="resnet50s", pretrained=False), 65),
        (replace(dinov2("small"), pretrained=False), 70),
    ],
)
def test_networks_of_paper_scale_are_compiled_whole(network: NetworkConfig, size: int) -> None:
    kinds = [network.build(21, 0).train() for _ in range(2)]
    compile_networks(nn.ModuleList(kinds[:1]))
    counters.clear()
    image = torch.randn(2, 3, size, size)
    found, expected = (own(image).logits for own in kinds)

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert compiled_passes() == 2  # one of the encoder, one of the decoder
    assert not counters["graph_break"]


def test_the_next_trial_of_a_worker_compiles_nothing() -> None:
    counters.clear()
    first = built("unimatch")
    compile_networks(first)
    train_steps(first, 2)
    passes = compiled_passes()
    assert passes > 0

    second = built("unimatch")
    compile_networks(second)
    train_steps(second, 2)
    assert compiled_passes() == passes


def test_a_worker_compiles_anew_after_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "RECORDED_TRIALS", 2)
    passes = []
    for _ in range(3):
        method = built("supervised")
        counters.clear()
        compile_networks(method)
        train_steps(method, 1)
        passes.append(compiled_passes())
    assert passes[0] == passes[2] > 0
    assert passes[1] == 0


@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_that_a_pass_returned_outlives_its_step(name: str) -> None:
    """On a GPU its memory is that of a recording, which the next step overwrites."""
    method = find_method(name)(CONFIGS[name], 4, 0).train()
    returned: list[StorageWeakRef] = []

    def note(_: nn.Module, __: object, made: object) -> None:
        tensors = [own for own in tree_leaves(made) if isinstance(own, torch.Tensor)]
        returned.extend(StorageWeakRef(own.untyped_storage()) for own in tensors)

    for network in method.modules():
        if isinstance(network, Network):
            network.encoder.register_forward_hook(note)
            network.decoder.register_forward_hook(note)
    optimizers = make_optimizers(method, TrainingConfig(steps=100))
    for step in range(3):
        iterate(method, random_batch(step), progress_at(step), optimizers)
        gc.collect()
        assert returned
        assert all(own.expired() for own in returned)


def test_evaluation_of_any_size_compiles_nothing() -> None:
    method = built("fixmatch")
    compile_networks(method)
    counters.clear()
    with eager(method), torch.inference_mode():
        for size in (32, 40, 48):
            method.eval().predict(torch.zeros(1, 3, size, size))
    assert compiled_passes() == 0
    method.predict(torch.zeros(1, 3, 32, 32))
    assert compiled_passes() > 0


def test_a_copy_of_a_compiled_network_is_a_network_of_its_own() -> None:
    method = built("supervised")
    compile_networks(method)
    copy = deepcopy(method).eval()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()
    assert not is_compiled(copy)
    assert copy.predict(torch.ones(1, 3, 32, 32)).abs().sum() > 0


def test_only_long_trainings_of_one_worker_on_a_gpu_are_compiled() -> None:
    assert not is_worth_it(True, "cpu", 10**6, 1)
    assert not is_worth_it(True, "cuda", 10**6, 2)
    assert not is_worth_it(False, "cuda", 10**6, 1)
    assert not is_worth_it(None, "cuda", compilation.COMPILED_STEPS - 1, 1)


def test_where_torch_cannot_compile_it_says_so_once_and_trains_eagerly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """This machine has no GPU: nothing can be compiled for one."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU that torch can compile for")
    compilation.works.cache_clear()
    assert not is_worth_it(True, "cuda", 1, 1)
    assert not is_worth_it(None, "cuda", 10**6, 1)
    assert len(caplog.messages) == 1
    assert "cannot compile here" in caplog.messages[0]
