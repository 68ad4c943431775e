"""A method for tests whose score falls at the end: what it sees is a count of its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from semisweep import (
    Batch,
    DataConfig,
    Method,
    MethodConfig,
    OptimizerConfig,
    Progress,
    TrainingConfig,
    Trial,
    Update,
)

BEST_STEP = 2


class Falling(Method):
    """Sees the first class everywhere after two steps, the last before, the second afterwards."""

    Config: ClassVar[type[MethodConfig]] = MethodConfig

    def __init__(self, config: MethodConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.steps = nn.Parameter(torch.zeros(()))

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group: everything."""
        return {"all": [self]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update, which adds one to the count at a learning rate of one."""
        yield Update("all", -self.steps, {})

    def predict(self, image: Tensor) -> Tensor:
        """Return logits that are one for the class that is seen."""
        logits = image.new_zeros((len(image), self.classes, *image.shape[2:]))
        logits[:, seen_class(float(self.steps), self.classes)] = 1
        return logits


def seen_class(steps: float, classes: int) -> int:
    """Return the index of the class that is seen after so many steps."""
    return (round(steps) - BEST_STEP) % classes


def falling_trial(data: DataConfig, steps: int = 3) -> Trial:
    """Return a trial that is evaluated after each step, and is best after the second of three."""
    plain = OptimizerConfig(learning_rate=1, head_multiplier=1, momentum=0, weight_decay=0)
    training = TrainingConfig(
        steps=steps,
        labelled_batch=2,
        unlabelled_batch=2,
        crop_pixels=32,
        evaluations=steps,
        optimizer=plain,
        schedule_power=0,
    )
    return Trial(method=Falling.name, config=MethodConfig(), data=data, training=training, seed=0)
