"""Somebody's own methods and studies, which the checks on a GPU train through `semisweep run`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from semisweep import (
    Batch,
    Column,
    DataConfig,
    OptimizerConfig,
    Preset,
    Progress,
    Row,
    Study,
    TrainingConfig,
    Update,
)
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch

NAP_SECONDS = 0.05


class Patient(Supervised):
    """Takes so long that it can be killed in mid-training."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        time.sleep(NAP_SECONDS)
        yield from super().step(batch, progress)


class PatientMatch(UniMatch):
    """The same, with unlabelled images."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        time.sleep(NAP_SECONDS)
        yield from super().step(batch, progress)


class Greedy(Supervised):
    """Asks for more memory than any machine has, on the device that it trains on."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update, never."""
        torch.empty(2**50, device=batch.image.device)
        yield from super().step(batch, progress)


def make(name: str, title: str, rows: list[Row], seeds: int) -> Study:
    """Return a study of small trials."""
    preset = Preset(
        data=DataConfig(name="shapes", labelled=8),
        training=TrainingConfig(
            steps=40,
            labelled_batch=4,
            unlabelled_batch=4,
            crop_pixels=32,
            evaluations=8,
            optimizer=OptimizerConfig(learning_rate=0.001),  # rounding grows with it
        ),
        config={"network": tiny_network(), "threshold": 0.2},
        metric="last.test.miou",
        metric_note="mIoU",
    )
    return Study(
        name=name,
        title=title,
        presets={"mini": preset},
        base=rows[0].name,
        seeds=seeds,
        rows=rows,
        columns=[Column(name="8 labelled", set={"mini": {}})],
    )


pair = make(
    "pair",
    "Two methods that take their time",
    [Row(name="patient", method=Patient), Row(name="match", method=PatientMatch)],
    seeds=2,
)
greedy = make("greedy", "No room", [Row(name="greedy", method=Greedy)], seeds=1)
