"""The main job: three methods, two seeds, a few minutes on two CPU cores."""

from __future__ import annotations

from semisweep.study import Column, Row, Study
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch
from semisweep_studies.rankmatch import FEW, MINI_AGENTS, PRESETS

# Shorter than the trials of the other studies, so that six of them take a few minutes.
QUICK = Column(
    name=FEW.name,
    set={**FEW.set, "mini": {**FEW.set["mini"], "training.steps": 700}},
    labels=FEW.labels,
)

quickstart = Study(
    name="quickstart",
    title="Quickstart: what unlabelled images bring",
    paper="rankmatch",
    table="1",
    presets=PRESETS,
    base="Sup.-only",
    seeds=2,
    rows=[
        Row(name="Sup.-only", label="Supervised", method=Supervised),
        Row(name="UniMatch", method=UniMatch),
        Row(name="RankMatch", method=RankMatch, scaled=MINI_AGENTS),
    ],
    columns=[QUICK],
    published={
        ("Sup.-only", "1/16 (92)"): 44.0,
        ("UniMatch", "1/16 (92)"): 67.4,
        ("RankMatch", "1/16 (92)"): 71.6,
    },
    published_note="Published: RankMatch, Table 1, ResNet-50.",
)
