"""Studies of trials so small that hundreds of them take less time than Ray's start."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import moments
from torch import Tensor, nn

from semisweep import (
    Batch,
    Column,
    DataConfig,
    Method,
    MethodConfig,
    OptimizerConfig,
    Preset,
    Progress,
    Row,
    Study,
    TrainingConfig,
    Update,
)
from semisweep.training.functional import supervised_loss

if "CRASH_TOKENS" in os.environ:
    moments.install()


class Brief(Method):
    """One convolution."""

    Config = MethodConfig
    uses_unlabelled = False
    views = 0

    def __init__(self, config: MethodConfig, classes: int, seed: int = 0) -> None:
        super().__init__(config, classes, seed)
        self.network = nn.Conv2d(3, classes, 1)
        for parameter in self.network.parameters():
            nn.init.constant_(parameter, 0.01 * (seed % 97))

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the one group."""
        return {"network": [self.network]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update; in a crash test each trial has its gate, at one of its four steps."""
        if "CRASH_TOKENS" in os.environ and progress.step == progress.seed % 4:
            moments.wait_at_gate()
        loss = supervised_loss("ce", self.network(batch.image), batch.label)
        yield Update("network", loss, {})

    def predict(self, image: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.network(image)
        return logits


def make(name: str, seeds: int) -> Study:
    """Return a study of one row with so many trials."""
    training = TrainingConfig(
        steps=4,
        labelled_batch=4,
        crop_pixels=32,
        evaluations=2,
        optimizer=OptimizerConfig(learning_rate=0.01),
    )
    preset = Preset(
        data=DataConfig(name="shapes", labelled=8),
        training=training,
        config={},
        metric="last.test.miou",
        metric_note="mIoU",
    )
    return Study(
        name=name,
        title=f"{seeds} brief trials",
        presets={"mini": preset},
        base="brief",
        seeds=seeds,
        rows=[Row(name="brief", method=Brief)],
        columns=[Column(name="8 labelled", set={"mini": {}})],
    )


handful = make("handful", 8)
few = make("few", 40)
many = make("many", 200)
grid = make("grid", 64)
