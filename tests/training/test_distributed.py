"""Two real gloo processes against one process that holds the whole batch.

Run as a script, this file is one of the two workers.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributed as group

from semisweep.core.errors import ConfigError
from semisweep.training.distributed import (
    average_gradients,
    global_batch_norm,
    mean_over_workers,
    own_rows,
    replicas_equal,
    sum_over_workers,
    world,
)

SHARES = (slice(0, 3), slice(3, 8))  # unequal on purpose


class ActivatedNorm(nn.BatchNorm2d):
    """As timm's: a batch norm that holds its own activation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.SiLU()

    def forward(self, feature: Tensor) -> Tensor:
        activated: Tensor = self.act(self.drop(super().forward(feature)))
        return activated


def a_network() -> nn.Sequential:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(4, 6, 1), ActivatedNorm(6), nn.BatchNorm2d(6, affine=False)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(6, momentum=None),
        nn.Linear(6, 2),
    )
    return network.double()


def the_batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    image = 3 + 2 * torch.randn(8, 3, 5, 7, generator=generator, dtype=torch.float64)
    return image, torch.randn(8, 2, generator=generator, dtype=torch.float64)


def trained(share: slice, synchronised: bool) -> dict[str, Any]:
    """Return outputs, gradients and state after two steps on a share of the batch."""
    network = a_network()
    names = list(network.state_dict())
    if synchronised:
        global_batch_norm(network)
    assert list(network.state_dict()) == names
    image, target = the_batch()
    image = image[share].clone().requires_grad_()
    losses: list[Tensor] = []
    gradients: dict[str, Any] = {}
    for _ in range(2):
        network.zero_grad()
        output = network(image)
        count = mean_over_workers(torch.tensor(len(image)))
        loss = (output - target[share]).square().sum() / count
        loss.backward()
        average_gradients(network.parameters())
        gradients = {name: value.grad for name, value in network.named_parameters()}
        with torch.no_grad():  # by hand: torch's optimizers take seconds to import
            for name, value in network.named_parameters():
                value.sub_(gradients[name], alpha=0.1)
        losses.append(mean_over_workers(loss))
    network.eval()
    return {
        "losses": losses,
        "output": output.detach(),
        "evaluated": network(image).detach(),
        "image_gradient": image.grad,
        "gradients": gradients,
        "state": network.state_dict(),
        "equal": replicas_equal(network),
    }


def layer(share: slice, kind: torch.dtype, synchronised: bool) -> dict[str, Tensor]:
    """Return output, gradient and statistics of one single-precision layer on a share."""
    network = nn.Sequential(nn.BatchNorm2d(3))
    if synchronised:
        global_batch_norm(network)
    image = the_batch()[0].to(kind)
    pull = image.flip(0).flip(2)[share]
    own = image[share].clone().requires_grad_()
    output = network(own)
    (output * pull).sum().backward()
    assert output.dtype == kind
    assert own.grad is not None
    statistics = {name: value for name, value in network.named_buffers() if "running" in name}
    return {"output": output.detach(), "gradient": own.grad, **statistics}


def presence(rank: int) -> dict[str, Any]:
    """Return what averaging makes of a gradient on both, on one and on no worker."""
    both, one, none, half = (nn.Parameter(torch.zeros(2, 2)) for _ in range(4))
    half.data = half.data.to(torch.float64)
    both.grad = torch.full((2, 2), 1.0 + rank)
    half.grad = torch.full((2, 2), 3.0 * rank, dtype=torch.float64)
    if rank == 0:
        one.grad = torch.full((2, 2), 4.0)
    average_gradients([both, one, none, half])
    return {"both": both.grad, "one": one.grad, "none": none.grad, "half": half.grad}


def small_things(rank: int) -> dict[str, Any]:
    """Return what the small functions say on this worker."""
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, 0.5)
    nn.init.constant_(layer.bias, rank)
    value = torch.tensor([1, 5]) * (rank + 1)
    return {
        "world": world(),
        "sum": sum_over_workers(value),
        "mean": mean_over_workers(value),
        "untouched": value,
        "flags": sum_over_workers(torch.tensor([True, rank == 0])),
        "rows": torch.arange(6)[own_rows(3)],
        "different": replicas_equal(layer),
    }


def too_few(rank: int) -> str:
    """Return the error for one value a channel over all workers; rank 1 has none."""
    network = nn.Sequential(nn.BatchNorm2d(2))
    global_batch_norm(network)
    try:
        network(torch.zeros(1 - rank, 2, 1, 1))
    except ConfigError as error:
        return str(error)
    return ""


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = (folder / "store").as_uri()
    group.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    cases: dict[str, Callable[[], Any]] = {
        "trained": lambda: trained(SHARES[rank], synchronised=True),
        "single": lambda: layer(SHARES[rank], torch.float32, synchronised=True),
        "half": lambda: layer(SHARES[rank], torch.bfloat16, synchronised=True),
        "presence": lambda: presence(rank),
        "small": lambda: small_things(rank),
        "too_few": lambda: too_few(rank),
    }
    torch.save({name: case() for name, case in cases.items()}, folder / f"{rank}.pt")
    group.destroy_process_group()


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("workers")
    command = [sys.executable, __file__, str(folder)]
    started = [
        subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return trained(slice(0, 8), synchronised=False)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def test_global_batch_norm_gives_the_outputs_of_the_whole_batch(
    workers: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for name in ("output", "evaluated"):
        close(torch.cat([worker["trained"][name] for worker in workers]), alone[name])


def test_losses_normalised_by_the_mean_count_average_to_the_loss_of_the_whole_batch(
    workers: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for worker in workers:
        close(torch.stack(worker["trained"]["losses"]), torch.stack(alone["losses"]))


def test_averaged_gradients_are_those_of_the_whole_batch(
    workers: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for worker in workers:
        assert worker["trained"]["gradients"].keys() == alone["gradients"].keys()
        for name, gradient in alone["gradients"].items():
            close(worker["trained"]["gradients"][name], gradient)


def test_input_gradients_through_global_statistics_are_those_of_the_whole_batch(
    workers: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    """Each worker divides by the mean count, so its part of the sum is twice the whole's."""
    parts = torch.cat([worker["trained"]["image_gradient"] for worker in workers]) / 2
    close(parts, alone["image_gradient"])


def test_running_statistics_are_those_of_the_whole_batch(
    workers: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    running = [name for name in alone["state"] if "running" in name or "tracked" in name]
    assert len(running) == 12
    for worker in workers:
        for name in running:
            close(worker["trained"]["state"][name], alone["state"][name])


@pytest.mark.parametrize(("name", "tolerance"), [("single", 1e-6), ("half", 1e-2)])
def test_low_precision_layers_agree_to_their_precision(
    workers: list[dict[str, Any]], name: str, tolerance: float
) -> None:
    kind = torch.float32 if name == "single" else torch.bfloat16
    expected = layer(slice(0, 8), kind, synchronised=False)
    for part in ("output", "gradient"):
        actual = torch.cat([worker[name][part] for worker in workers])
        scale = float(expected[part].abs().max())
        assert float((actual - expected[part]).abs().max()) <= tolerance * scale
    for worker in workers:
        for part in ("0.running_mean", "0.running_var"):
            torch.testing.assert_close(worker[name][part], expected[part], rtol=1e-6, atol=1e-6)


def test_workers_hold_equal_replicas_after_their_steps(workers: list[dict[str, Any]]) -> None:
    assert [worker["trained"]["equal"] for worker in workers] == [True, True]


def test_replicas_that_differ_in_one_tensor_are_not_equal(workers: list[dict[str, Any]]) -> None:
    assert [worker["small"]["different"] for worker in workers] == [False, False]


def test_a_missing_gradient_counts_as_zero_where_another_worker_has_one(
    workers: list[dict[str, Any]],
) -> None:
    for worker in workers:
        found = worker["presence"]
        assert torch.equal(found["both"], torch.full((2, 2), 1.5))
        assert torch.equal(found["one"], torch.full((2, 2), 2.0))
        assert torch.equal(found["half"], torch.full((2, 2), 1.5, dtype=torch.float64))


def test_a_gradient_that_no_worker_has_stays_missing(workers: list[dict[str, Any]]) -> None:
    assert [worker["presence"]["none"] for worker in workers] == [None, None]


def test_sums_means_and_rows_over_two_workers(workers: list[dict[str, Any]]) -> None:
    for rank, worker in enumerate(workers):
        found = worker["small"]
        assert found["world"] == (rank, 2)
        assert found["sum"].tolist() == [3, 15]
        assert found["mean"].tolist() == [1.5, 7.5]
        assert found["untouched"].tolist() == [1 + rank, 5 + 5 * rank]
        assert found["flags"].tolist() == [2, 1]
        assert found["rows"].tolist() == [3 * rank, 3 * rank + 1, 3 * rank + 2]


def test_one_value_a_channel_over_all_workers_is_refused_on_all(
    workers: list[dict[str, Any]],
) -> None:
    for worker in workers:
        assert "got values=1" in worker["too_few"]


def test_one_worker_alone_changes_nothing() -> None:
    network = a_network()
    before = list(network.modules())
    global_batch_norm(network)
    parameter = nn.Parameter(torch.zeros(2))
    average_gradients([parameter])
    value = torch.tensor([1.25, 2.5], requires_grad=True)

    assert world() == (0, 1)
    assert list(network.modules()) == before
    assert parameter.grad is None
    assert torch.equal(mean_over_workers(value), value.detach())
    assert not mean_over_workers(value).requires_grad
    assert own_rows(4) == slice(0, 4)
    assert replicas_equal(network)


def test_a_group_of_one_worker_communicates_and_changes_nothing(tmp_path: Path) -> None:
    """By this the functions are tried with NCCL where there is but one GPU."""
    from lone_group import COLLECTIVES, exercise, lone_group

    assert not exercise("cpu"), "without a group nothing communicates"
    with lone_group("gloo", tmp_path):
        calls = exercise("cpu")

    assert set(calls) == set(COLLECTIVES)
    assert not group.is_initialized()


if __name__ == "__main__":
    work(rank=int(sys.argv[2]), folder=Path(sys.argv[1]))
