"""No step of a method waits for the GPU: steps on the meta device, which has no values to read."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from semisweep import Batch, Method, TrainingConfig
from semisweep.study.named_values import find_method, method_names
from semisweep.training.functional import channel_dropout, moved
from semisweep.training.iteration import iterate
from semisweep.training.method_fixtures import progress_at, random_batch, tiny_network
from semisweep.training.optimizer import make_optimizers

# Their result, or its size, is only known when the GPU has done its work.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "bincount", "_unique2")
WAITING += ("unique_consecutive", "is_nonzero", "repeat_interleave", "item")


class Waits(TorchDispatchMode):
    """Notes what would wait for a GPU, if the meta device were one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.name().removeprefix("aten::").partition(".")[0]
        given = [value for value in args if isinstance(value, Tensor)]
        if name in WAITING and any(value.is_meta for value in given):
            self.found.append(name)
        if name in ("index", "index_put", "index_put_") and args[0].is_meta:
            places = [place for place in args[1] if place is not None]
            if any(place.dtype == torch.bool for place in places):
                self.found.append(f"{name} by a mask")
            if any(not place.is_meta for place in places):
                self.found.append(f"{name} by places on the CPU")
        if name == "_to_copy":
            target = torch.device(kwargs.get("device") or args[0].device)
            if target.type != args[0].device.type and not kwargs.get("non_blocking"):
                self.found.append(f"a copy from {args[0].device.type} to {target.type}")
        if name == "copy_" and given[0].is_meta != given[1].is_meta:
            waits = not (args[2:] and args[2]) and not kwargs.get("non_blocking")
            self.found += ["a copy into another device's tensor"] * waits
        return func(*args, **kwargs)


def waits_of(method: Method, steps: tuple[int, ...] = (50, 51)) -> list[str]:
    """Return what would wait for a GPU in some steps of a method."""
    method = method.train().to("meta")
    optimizers = make_optimizers(method, TrainingConfig(steps=100))
    batch = random_batch(0, size=64)
    batch = Batch(*(values.to("meta") for values in batch))
    with Waits() as waits:
        for step in steps:
            iterate(method, batch, progress_at(step), optimizers)
    return waits.found


@pytest.mark.parametrize("name", method_names())
def test_no_step_of_a_method_waits_for_the_gpu(name: str) -> None:
    kind = find_method(name)
    networks = ("senior", "junior") if name == "segkc" else ("network",)
    changes: dict[str, Any] = dict.fromkeys(networks, tiny_network())
    if name == "rankmatch":
        changes["agents"] = 16
    assert waits_of(kind(kind.Config(**changes), 4, 0)) == []


class Curious(Method):
    """A method that reads one of its values in each of several ways."""

    Config = find_method("supervised").Config

    def __init__(self, way: str) -> None:
        super().__init__(self.Config(network=tiny_network()), 4)
        self.way = way
        self.network = self.config.network.build(4)

    def groups(self) -> Any:
        return {"network": [self.network]}

    def step(self, batch: Batch, progress: Any) -> Any:
        from semisweep import Update

        loss = self.predict(batch.image).mean()
        if self.way == "mask":
            loss = loss + batch.image[batch.image > 0].sum()
        elif self.way == "places":
            loss = loss + batch.image[torch.tensor([0, 1])].sum()
        elif self.way == "copy":
            loss = loss + torch.ones(3).to(loss.device).sum()
        elif self.way == "count":
            loss = loss + torch.nonzero(batch.label).sum()
        yield Update("network", loss, {})

    def predict(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image).logits
        return logits


@pytest.mark.parametrize(
    ("way", "found"),
    [("places", "index by places on the CPU"), ("copy", "a copy from cpu to meta")],
)
def test_what_waits_is_noticed(way: str, found: str) -> None:
    assert found in waits_of(Curious(way))


@pytest.mark.parametrize("way", ["mask", "count"])
def test_a_size_that_depends_on_values_is_refused_by_the_meta_device(way: str) -> None:
    with pytest.raises(RuntimeError):
        waits_of(Curious(way))


def test_moved_values_are_the_same_and_a_draw_does_not_wait() -> None:
    values = torch.arange(6.0)
    assert torch.equal(moved(values, torch.device("cpu")), values)
    generator = torch.Generator().manual_seed(0)
    with Waits() as waits:
        channel_dropout(torch.ones(2, 4, 3, 3, device="meta"), 0.5, generator)
    assert waits.found == []
