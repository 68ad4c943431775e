"""Averages of networks: the rule, its buffers, its warm start, and the mode a teacher looks in."""

import pytest
import torch
from torch import nn

from semisweep.training.weight_averaging import evaluating, follow, frozen_copy, warm_momentum


def network(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)).double()
        made(torch.randn(5, 3, 6, 6, dtype=torch.float64))  # statistics of its own
    return made


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_a_frozen_copy_is_equal_separate_and_out_of_reach():
    source = network(0)
    copy = frozen_copy(source)

    assert snapshot(copy).keys() == snapshot(source).keys()
    for mine, other in zip(copy.state_dict().values(), source.state_dict().values(), strict=True):
        assert torch.equal(mine, other)
        assert mine.data_ptr() != other.data_ptr()
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    assert all(parameter.requires_grad for parameter in source.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.25, 0.996])
def test_parameters_follow_as_an_exponential_moving_average(momentum):
    average, source = frozen_copy(network(0)), network(1)
    expected = {name: value.clone() for name, value in average.named_parameters()}
    for step in range(3):
        with torch.no_grad():
            for parameter in source.parameters():
                parameter.add_(0.1 * step)
        for name, new in source.named_parameters():
            expected[name] = momentum * expected[name] + (1 - momentum) * new.detach()
        before = snapshot(source)
        follow(average, source, momentum)
        assert all(torch.equal(before[name], value) for name, value in source.state_dict().items())

    for name, value in average.named_parameters():
        assert torch.allclose(value, expected[name], atol=1e-12)
        assert value.grad_fn is None


@pytest.mark.parametrize("buffers", ["average", "copy", "own"])
def test_batch_statistics_are_averaged_copied_or_left(buffers):
    average, source = frozen_copy(network(0)), network(1)
    source[1].num_batches_tracked.fill_(7)
    before, new = snapshot(average), snapshot(source)
    follow(average, source, 0.75, buffers)
    found = average.state_dict()
    for name in ("1.running_mean", "1.running_var"):
        mean = 0.75 * before[name] + 0.25 * new[name]
        expected = {"average": mean, "copy": new[name], "own": before[name]}[buffers]
        assert torch.allclose(found[name], expected, atol=1e-12)

    assert int(found["1.num_batches_tracked"]) == (1 if buffers == "own" else 7)


def test_momentum_zero_gives_the_very_bits_of_the_source():
    average, source = frozen_copy(network(0)), network(1)
    follow(average, source, 0.0)

    for name, value in source.state_dict().items():
        assert torch.equal(average.state_dict()[name], value)


def test_other_architectures_are_refused():
    with pytest.raises(ValueError, match="argument"):
        follow(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), 0.5)


def test_the_warm_start_is_a_plain_mean_at_first():
    assert [warm_momentum(0.99, step) for step in (0, 1, 3)] == [0.0, 0.5, 0.75]
    assert warm_momentum(0.99, 98) < 0.99
    assert warm_momentum(0.99, 100) == warm_momentum(0.99, 10**6) == 0.99
    assert warm_momentum(0.0, 50) == 0.0


def test_evaluating_gives_each_part_its_own_mode_back():
    module = network(0).train()
    module[1].eval()  # a frozen batch norm
    with evaluating(module):
        assert not any(part.training for part in module.modules())

    assert [part.training for part in module] == [True, False, True]
    assert module.training


def test_evaluating_restores_the_mode_after_an_error():
    module = network(0).train()
    with pytest.raises(RuntimeError, match="look away"), evaluating(module):
        raise RuntimeError("look away")

    assert all(part.training for part in module.modules())


def test_evaluating_leaves_batch_statistics_alone():
    module = network(0).train()
    before = snapshot(module)
    with evaluating(module), torch.no_grad():
        module(torch.full((2, 3, 6, 6), 9.0, dtype=torch.float64))

    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
