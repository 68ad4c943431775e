"""Trials that take their time, and write down which steps they take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from semisweep import (
    Batch,
    Column,
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    Preset,
    Progress,
    Row,
    Study,
    TrainingConfig,
    Update,
)
from semisweep_methods.supervised import Supervised


class Slow(Supervised):
    """Supervised training, a second a step, whose steps are written to a file a seed."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Take a step, slowly."""
        time.sleep(float(os.environ.get("STEP_SECONDS", "1")))
        with (Path(os.environ["STEPS"]) / str(progress.seed)).open("a") as trace:
            trace.write(f"{progress.step} ")
        yield from super().step(batch, progress)


slow = Study(
    name="slow",
    title="Slow trials",
    presets={
        "mini": Preset(
            data=DataConfig(name="shapes", labelled=8),
            training=TrainingConfig(
                steps=30,
                labelled_batch=4,
                crop_pixels=32,
                evaluations=2,
                optimizer=OptimizerConfig(learning_rate=0.01),
            ),
            config={
                "network": NetworkConfig(
                    backbone="test_resnet", output_stride=8, channels=16, pretrained=False
                )
            },
            metric="last.test.miou",
            metric_note="mIoU",
        )
    },
    base="slow",
    seeds=4,
    rows=[Row(name="slow", method=Slow)],
    columns=[Column(name="8 labelled", set={"mini": {}})],
)
