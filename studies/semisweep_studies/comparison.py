"""All methods side by side, at equal steps and labelled batches: at mini scale, and on photographs.

At mini scale every method has its paper's defaults, except what the small feature maps, the six
classes and the thousand steps leave no room for (sizes of memories, heads and draws), and what was
chosen on val: for all of them the learning rate and doing without CutMix (see `presets`), which
CutMix-Seg keeps, as it is nothing else; for one at a time thresholds, how quickly teachers follow,
and weights. At photo scale the defaults have room, but for RankMatch's agents and GPS's schedule.
"""

from __future__ import annotations

import dataclasses

from semisweep import Column, Row, Study
from semisweep_methods.cps import CPS
from semisweep_methods.css import CSS
from semisweep_methods.cutmix_seg import CutMixSeg
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.gps import GPS
from semisweep_methods.mean_teacher import MeanTeacher
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.segkc import SegKC
from semisweep_methods.stpg import STPG
from semisweep_methods.supervised import Supervised
from semisweep_methods.u2pl import U2PL
from semisweep_methods.unimatch import UniMatch
from semisweep_methods.unimatch_v2 import UniMatchV2
from semisweep_studies.photo import PHOTO_PRESETS, at_photo
from semisweep_studies.presets import SHORT
from semisweep_studies.rankmatch import FEWER_AGENTS
from semisweep_studies.stpg import MINI_STPG
from semisweep_studies.tables import MINI_CONTRAST, MINI_CSS, MINI_LABEL, MINI_LABELLED

# In a thousand steps few pixels become 0.95 confident, and those are of the commonest classes. Who
# learns from perturbed features too can do with less than who has nothing but the labels.
LOWER = {"config.threshold": 0.6}
# Nor do they leave time to remember the last hundred steps, which is what 0.99 does.
QUICK = {"config.momentum": 0.97}

compared = Study(
    name="methods_compared",
    title="All methods side by side",
    presets={"mini": dataclasses.replace(SHORT, draws=1, seeds=5), **PHOTO_PRESETS},
    base="supervised",
    confirmatory=("rankmatch", "css", "gps", "stpg", "segkc"),
    rows=[
        Row(name="supervised", label="Supervised", method=Supervised),
        Row(name="mean_teacher", label="Mean Teacher", method=MeanTeacher, scaled={"mini": QUICK}),
        Row(
            name="cutmix_seg",
            label="CutMix-Seg",
            method=CutMixSeg,
            # Colours are an option of its release; boxes alone, which cut shapes, teach nothing.
            scaled={
                "mini": {**QUICK, "config.strong_view": True, "training.augmentation.cutmix": 0.5}
            },
        ),
        Row(
            name="fixmatch",
            label="FixMatch",
            method=FixMatch,
            scaled={"mini": {"config.threshold": 0.9}},
        ),
        Row(name="cps", label="CPS", method=CPS, scaled={"mini": {"config.cutmix": False}}),
        Row(
            name="u2pl",
            label="U2PL",
            method=U2PL,
            scaled={"mini": {**MINI_CONTRAST["mini"], **QUICK, "config.supervised_epochs": 3}},
        ),
        Row(name="unimatch", label="UniMatch", method=UniMatch, scaled={"mini": LOWER}),
        Row(
            name="unimatch_v2",
            label="UniMatch V2",
            method=UniMatchV2,
            scaled={"mini": {"config.momentum": 0.98}},
        ),
        Row(
            name="rankmatch",
            label="RankMatch",
            method=RankMatch,
            # Six trials have 75.2 on val in the mean, with the paper's 0.1 they have 72.7.
            scaled={
                **FEWER_AGENTS,
                "mini": {**LOWER, "config.rank_weight": 0.02, **FEWER_AGENTS["mini"]},
            },
        ),
        Row(
            name="css",
            label="CSS",
            method=CSS,
            scaled={
                "mini": {
                    "config.unlabelled_threshold": 0.9,
                    "config.contrast.weight": 0.1,
                    "config.teacher_momentum": 0.97,
                    **MINI_CSS["mini"],
                }
            },
        ),
        Row(
            name="gps",
            label="GPS",
            method=GPS,
            # 200 steps do not make a teacher; as printed, it all but stops learning after them.
            set={"config.teacher_schedule": "poly"},
            scaled={"mini": {"config.cutmix": False}},
        ),
        Row(
            name="stpg",
            label="STPG",
            method=STPG,
            scaled=MINI_STPG,
        ),
        Row(name="segkc", label="SegKC", method=SegKC, scaled={"mini": {"config.threshold": 0.8}}),
    ],
    columns=[at_photo(Column(name=MINI_LABEL, set={"mini": MINI_LABELLED}))],
)
