"""The learning rates of mini scale, chosen on the val part by one search for every method."""

from __future__ import annotations

import dataclasses

from semisweep.study import Column, Row, Study
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch
from semisweep_studies.presets import MINI
from semisweep_studies.rankmatch import MINI_AGENTS

RATES = (0.004, 0.008, 0.016, 0.032)

learning_rate = Study(
    name="mini_learning_rate",
    title="Learning rates at mini scale, scored on val",
    presets={
        "mini": dataclasses.replace(
            MINI,
            metric="last.val.miou",
            metric_note="mIoU in percent on the val part, last checkpoint",
            notes=(),
        )
    },
    base="supervised",
    seeds=1,
    rows=[
        Row(name="supervised", label="Supervised", method=Supervised),
        Row(name="unimatch", label="UniMatch", method=UniMatch),
        Row(name="rankmatch", label="RankMatch", method=RankMatch, scaled=MINI_AGENTS),
    ],
    columns=[
        Column(
            name=f"rate={rate}",
            set={"mini": {"training.optimizer.learning_rate": rate}},
        )
        for rate in RATES
    ],
)
