"""Trials with next to no training in them: what is left is what a trial costs beyond it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from semisweep import (
    Batch,
    Column,
    DataConfig,
    Method,
    MethodConfig,
    Preset,
    Progress,
    Row,
    Study,
    TrainingConfig,
    Update,
)
from semisweep.training.functional import supervised_loss

TRIALS = 21
NAPS = 1000
NAP_SECONDS = 0.1


class Trivial(Method):
    """One convolution."""

    Config = MethodConfig
    uses_unlabelled = False
    views = 0

    def __init__(self, config: MethodConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.network = nn.Conv2d(3, classes, 1)

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group."""
        return {"network": [self.network]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        loss = supervised_loss("ce", self.network(batch.image), batch.label)
        yield Update("network", loss, {})

    def predict(self, image: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.network(image)
        return logits


class Napping(Trivial):
    """A tenth of a second a trial, in which its process does nothing."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        time.sleep(NAP_SECONDS / progress.total_steps)
        yield from super().step(batch, progress)


trivial = Study(
    name="trivial",
    title="Trivial trials",
    presets={
        "mini": Preset(
            data=DataConfig(name="shapes", labelled=8),
            training=TrainingConfig(steps=2, labelled_batch=4, crop_pixels=32, evaluations=1),
            config={},
            metric="last.test.miou",
            metric_note="mIoU",
        )
    },
    base="trivial",
    seeds=TRIALS,
    rows=[Row(name="trivial", method=Trivial)],
    columns=[Column(name="8 labelled", set={"mini": {}})],
)
naps = replace(
    trivial,
    name="naps",
    title="A thousand trials of a tenth of a second",
    base="nap",
    seeds=NAPS,
    rows=[Row(name="nap", method=Napping)],
)
