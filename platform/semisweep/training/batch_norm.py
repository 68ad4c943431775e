"""Batch norm over the batches of all workers, for the devices torch has none for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as group
from torch.autograd.function import once_differentiable
from torch.nn import functional

from semisweep.core.errors import ConfigError


class GlobalBatchNorm(nn.Module):
    """A batch norm whose training statistics are over all workers' values; shares may be unequal.

    Takes over the parameters and buffers of `norm`, and timm's activation where it holds one. The
    running variance is the unbiased one of the global batch, as torch has it for one process.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.eps = norm.eps
        self.momentum = norm.momentum
        for name in ("weight", "bias"):
            self.register_parameter(name, getattr(norm, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(norm, name))
        for name, child in norm.named_children():
            self.add_module(name, child)
        self.train(norm.training)

    def forward(self, feature: Tensor) -> Tensor:
        """Return the normalised [N, C, ...]; raise `ConfigError` for one value a channel in all."""
        if not self.training and self.running_mean is not None:
            normalised = functional.batch_norm(
                feature, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        else:
            normalised, mean, variance, count = _GlobalNormalise.apply(
                feature, self.weight, self.bias, self.eps
            )
            if self.training and self.running_mean is not None:
                self._remember(mean, variance * count / (count - 1))
        for name in ("drop", "act"):  # timm's BatchNormAct2d holds its activation
            if name in self._modules:
                normalised = getattr(self, name)(normalised)
        return normalised

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / int(self.num_batches_tracked)
        for running, value in ((self.running_mean, mean), (self.running_var, variance)):
            running.mul_(1 - share).add_(value.to(running.dtype), alpha=share)


class _GlobalNormalise(torch.autograd.Function):
    """Two passes for the statistics, one for the gradient; each is one small sum over workers."""

    @staticmethod
    def forward(
        ctx: Any, feature: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = _wide(feature)
        axes = _axes(feature)
        number = feature.new_tensor([feature.numel() // max(1, feature.shape[1])])
        summed = _summed(torch.cat([wide.sum(axes).double(), number.double()]))
        count = summed[-1]
        if count <= 1:
            raise ConfigError(
                "batch statistics need more than one value a channel over all workers, "
                f"got values={int(count)}; use a larger batch or crop"
            )
        mean = summed[:-1] / count
        centred = wide - _shaped(mean, wide)
        variance = _summed(centred.square().sum(axes).double()) / count
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(feature, weight, mean, scale, count)
        normalised = centred.mul_(_shaped(scale if weight is None else scale * weight, wide))
        if bias is not None:
            normalised += _shaped(bias, wide)
        ctx.mark_non_differentiable(mean, variance, count)
        return normalised.to(feature.dtype), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Tensor, *unused: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        feature, weight, mean, scale, count = ctx.saved_tensors
        axes = _axes(feature)
        wide = _wide(gradient)
        standard = (_wide(feature) - _shaped(mean, wide)) * _shaped(scale, wide)
        bias_part = wide.sum(axes)
        weight_part = (wide * standard).sum(axes)
        means = _summed(torch.stack([bias_part, weight_part]).double()) / count
        inner = wide - _shaped(means[0], wide) - standard * _shaped(means[1], wide)
        inner *= _shaped(scale if weight is None else scale * weight, wide)
        own = (None, None) if weight is None else (weight_part, bias_part)
        return inner.to(feature.dtype), *own, None


def _wide(feature: Tensor) -> Tensor:
    return feature if feature.dtype == torch.float64 else feature.float()


def _axes(feature: Tensor) -> list[int]:
    return [axis for axis in range(feature.dim()) if axis != 1]


def _shaped(values: Tensor, like: Tensor) -> Tensor:
    """Return one value a channel, ready to be broadcast over a map."""
    return values.to(like.dtype).view(1, -1, *[1] * (like.dim() - 2))


def _summed(values: Tensor) -> Tensor:
    if group.is_available() and group.is_initialized():
        group.all_reduce(values)
    return values
