"""The main job: three methods, three seeds, a few minutes on two CPU cores."""

from __future__ import annotations

import dataclasses

from semisweep import Row, Study
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch
from semisweep_studies.photo import PHOTO_PRESETS, at_photo
from semisweep_studies.presets import SHORT
from semisweep_studies.rankmatch import FEW, FEWER_AGENTS, PRESETS

# With the CutMix of the papers, which mini scale leaves out elsewhere: what the README shows. So
# many steps that three seeds take no longer than two of other studies' lengths do.
_AUGMENTATION = dataclasses.replace(SHORT.training.augmentation, cutmix=0.5)
QUICK = dataclasses.replace(
    SHORT,
    training=dataclasses.replace(
        SHORT.training, steps=700, evaluations=3, augmentation=_AUGMENTATION
    ),
)

quickstart = Study(
    name="quickstart",
    title="Quickstart: what unlabelled images bring",
    paper="rankmatch",
    table="1",
    presets={**PRESETS, **PHOTO_PRESETS, "mini": QUICK},
    base="Sup.-only",
    rows=[
        Row(name="Sup.-only", label="Supervised", method=Supervised),
        Row(name="UniMatch", method=UniMatch),
        Row(name="RankMatch", method=RankMatch, scaled=FEWER_AGENTS),
    ],
    columns=[at_photo(FEW)],
    published={
        ("Sup.-only", "1/16 (92)"): 44.0,
        ("UniMatch", "1/16 (92)"): 67.4,
        ("RankMatch", "1/16 (92)"): 71.6,
    },
    published_note="Published: RankMatch, Table 1, ResNet-50.",
)
