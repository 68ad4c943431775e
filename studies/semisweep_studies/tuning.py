"""The learning rates of mini scale, chosen on the val part by one search for every method."""

from __future__ import annotations

import dataclasses

from semisweep import Column, Study
from semisweep_studies.comparison import compared
from semisweep_studies.presets import MINI

RATES = (0.004, 0.008, 0.016)

learning_rate = Study(
    name="mini_learning_rate",
    title="Learning rates at mini scale, scored on val",
    presets={
        "mini": dataclasses.replace(
            MINI,
            metric="last.val.miou",
            metric_note="mIoU on the val part, last checkpoint",
            notes=(),
            draws=1,
        )
    },
    base="supervised",
    confirmatory=(),
    seeds=1,
    rows=compared.rows,
    columns=[
        Column(
            name=f"rate={rate}",
            set={"mini": {"training.optimizer.learning_rate": rate}},
        )
        for rate in RATES
    ],
)
