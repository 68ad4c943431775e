"""Two arms rehearsed side by side, on the same batches, until one trains otherwise.

Both start from the same weights, so that as long as they have not parted they are in the same
state, and the first difference is the factor's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from semisweep.checks.miniature_training import SIZES, Rehearsal
from semisweep.core.errors import ConfigError
from semisweep.networks.network import Network

LOOKS = 2  # at so many sizes: where all pixels of a small map are chosen, choice does not show
STRIDE = 8  # a second look at larger images takes every eighth step only
TOLERANCE = 1e-9  # of a parameter's size: far above the rounding of double precision


class Lockstep(NamedTuple):
    """What the rehearsal of two arms showed; `step` is the first at which they part."""

    weights: list[str]  # of the common parts that do not start equal
    step: int | None = None
    loss_step: int | None = None
    rates_differ: bool = False
    draws_differ: bool = False
    broken: str = ""
    buffers: tuple[str, ...] = ()  # which both have in different sizes


def compare(
    base: Rehearsal, arm: Rehearsal, *, same_method: bool, most_looks: int = LOOKS
) -> Lockstep:
    """Return where two rehearsals part; `weights` are those of common parts that start unequal."""
    weights = unequal_weights(base, arm, same_method=same_method)
    found, steps = Lockstep(weights), base.probe.steps
    looks = 0
    for size in SIZES:
        try:
            found = _walk(base, arm, size, steps if looks == 0 else -(-steps // STRIDE), found)
        except ConfigError as error:
            found = found._replace(broken=str(error))
            continue
        looks += 1
        if found.step is not None or found.broken or looks == most_looks:
            break
    return found._replace(buffers=tuple(resized_buffers(base, arm)))


def hold(arm: Rehearsal) -> None:
    """Take all steps of one arm's rehearsal, at the first size that its networks have room for."""
    for size in SIZES:
        try:
            arm.at(arm.probe.steps - 1, size, arm.probe.steps)
        except ConfigError:
            continue
        arm.predictions()
        return


def _walk(base: Rehearsal, arm: Rehearsal, size: int, steps: int, before: Lockstep) -> Lockstep:
    found = before._replace(broken="")
    for step in range(steps):
        first, second = base.at(step, size, steps), arm.at(step, size, steps)
        found = found._replace(
            rates_differ=found.rates_differ or first.rates != second.rates,
            draws_differ=found.draws_differ or first.draws != second.draws,
        )
        if found.loss_step is None and first.losses != second.losses:
            found = found._replace(loss_step=step)
        losses = [own.losses.values() for own in (first, second)]
        if not np.isfinite([value for own in losses for terms in own for value in terms]).all():
            return found._replace(broken="a loss was not finite")
        if parted(first.parameters, second.parameters):
            return found._replace(step=step)
    one, other = base.predictions(), arm.predictions()
    alike = torch.allclose(one, other, rtol=0, atol=TOLERANCE)
    return found if alike else found._replace(step=steps - 1)


def parted(
    first: Mapping[str, tuple[float, float, float]],
    second: Mapping[str, tuple[float, float, float]],
) -> bool:
    """Return whether any parameter that both have is of another shape or value."""
    for name in first.keys() & second.keys():
        one, other = first[name], second[name]
        size = 1e-6 + max(one[2], other[2]) ** 0.5
        if one[0] != other[0] or any(
            abs(a - b) > TOLERANCE * max(size, abs(a))
            for a, b in zip(one[1:], other[1:], strict=True)
        ):
            return True
    return False


def unequal_weights(base: Rehearsal, arm: Rehearsal, *, same_method: bool) -> list[str]:
    """Return the common parts of two arms that do not start from the same weights.

    Common are the modules that both have under one name with the same shapes; of two methods, the
    first network of each.
    """
    methods = (base.initial, arm.initial)
    if same_method:
        return list(_unequal(*methods, ""))
    networks = [
        next((part for part in own.modules() if isinstance(part, Network)), None) for own in methods
    ]
    if networks[0] is None or networks[1] is None:
        return []
    return list(_unequal(networks[0], networks[1], "network"))


def resized_buffers(base: Rehearsal, arm: Rehearsal) -> list[str]:
    """Return the buffers that both arms have, in different sizes: what takes long to fill."""
    sizes = dict(base.initial.named_buffers())
    return [
        name
        for name, own in arm.initial.named_buffers()
        if name in sizes and own.shape != sizes[name].shape
    ]


def _unequal(first: nn.Module, second: nn.Module, name: str) -> Iterator[str]:
    states = first.state_dict(), second.state_dict()
    shapes = [{key: own.shape for key, own in state.items()} for state in states]
    if shapes[0] == shapes[1]:
        if any(not torch.equal(states[0][key], states[1][key]) for key in states[0]):
            yield name or "the method"
        return
    if name and not any(isinstance(part, Network) for part in first.modules()):
        return  # a part that starts from draws of its own, and of another shape
    children = dict(second.named_children())
    for key, child in first.named_children():
        if key in children:
            yield from _unequal(child, children[key], f"{name}.{key}" if name else key)
