"""Optimizers of a method's groups, and the schedule of their learning rates."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from semisweep.core.errors import ConfigError
from semisweep.training.method import Method, Rate
from semisweep.training.trial import OptimizerConfig, TrainingConfig


def schedule(step: int, total_steps: int, power: float) -> float:
    """Return the factor on the learning rate: polynomial decay, 1 at step 0."""
    return float((1 - step / total_steps) ** power)


def factor(rate: Rate, power: float) -> float:
    """Return the factor on the learning rate of an update that stands in its own schedule."""
    return rate.scale * schedule(rate.step, rate.total_steps, power)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rates of an optimizer to `factor` times what they are in its settings.

    None falls below the least rate of the settings.
    """
    for group in optimizer.param_groups:
        group["lr"] = max(group["base_lr"] * factor, group.get("minimum_rate", 0.0))


def parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return the parameters of an optimizer in order."""
    return [item for group in optimizer.param_groups for item in group["params"]]


def make_optimizers(method: Method, training: TrainingConfig) -> dict[str, torch.optim.Optimizer]:
    """Return an optimizer for each of the method's groups.

    Parameters below a module called `encoder` learn at the base rate, all others at
    `head_multiplier` times it.
    """
    groups = method.groups()
    unknown = sorted(set(training.group_optimizers) - set(groups))
    if unknown:
        raise ConfigError(
            f"group_optimizers must name groups of the method, got {unknown[0]!r}; "
            f"its groups: {', '.join(groups)}"
        )
    return {
        name: _optimizer(modules, training.group_optimizers.get(name, training.optimizer))
        for name, modules in groups.items()
    }


def _optimizer(modules: Iterable[nn.Module], config: OptimizerConfig) -> torch.optim.Optimizer:
    encoder: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    for module in modules:
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                (encoder if "encoder" in name.split(".") else head).append(parameter)
    rates = (config.learning_rate, config.learning_rate * config.head_multiplier)
    groups = [
        {"params": members, "lr": rate, "base_lr": rate}
        for members, rate in zip((encoder, head), rates, strict=True)
        if members
    ]
    if config.minimum_rate:
        groups = [{**group, "minimum_rate": config.minimum_rate} for group in groups]
    # One kernel for all parameters; equal to one after the other up to rounding.
    fused = True if encoder + head and all(own.is_cuda for own in encoder + head) else None
    if config.name == "adamw":
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=fused)
    return torch.optim.SGD(
        groups,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
        fused=fused,
    )
