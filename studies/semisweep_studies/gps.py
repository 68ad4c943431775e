"""The ablations of GPS (WACV 2024): Table 4, Section 4.4.3 and Figure 6.

Published: Pascal VOC 2012 and Cityscapes, the partitions of CPS. There is no released code; what
the paper does not say is CPS's. The paper's epochs are those of the students; the teacher's own
come before them and are a fifth of the whole, so that a trial has 5/4 of the paper's epochs. All
arms of a table are trained for as long, those without a teacher included.
"""

from __future__ import annotations

import dataclasses

from semisweep import (
    Column,
    DataConfig,
    OptimizerConfig,
    Option,
    Preset,
    Row,
    Study,
    TrainingConfig,
)
from semisweep.study.scales import Fields
from semisweep.training.protocols import PROTOCOLS
from semisweep_methods.gps import GPS
from semisweep_studies.augmentations import CPS as CPS_AUGMENTATION
from semisweep_studies.photo import MANY, PHOTO_PRESETS, at_photo
from semisweep_studies.presets import CPS_NETWORK, DEEP_STEM, MINI
from semisweep_studies.tables import MINI_LABEL, MINI_LABELLED, numbers

GPS_PAPER = Preset(
    data=DataConfig(name="voc", family="blender"),
    training=TrainingConfig(
        epochs=43,
        labelled_batch=8,
        unlabelled_batch=8,
        crop_pixels=512,
        optimizer=OptimizerConfig(
            name="sgd", learning_rate=0.01, head_multiplier=1.0, weight_decay=1e-4
        ),
        evaluations=40,
        evaluation=PROTOCOLS["cps-voc"],
        augmentation=CPS_AUGMENTATION,
    ),
    config={"network": CPS_NETWORK},
    metric="best.val.miou",
    metric_note="mIoU on the val part, best evaluation: selected on what it is scored "
    "on, as the literature does",
    sources={
        "data": "GPS, Sec. 4.1: the partitions of CPS",
        "training": "CPS, released, which GPS is built on",
        "training.epochs": "GPS, Sec. 4.1, times 5/4: chosen, as it does not say the teacher's own",
        "training.labelled_batch": "GPS, Sec. 4.1: 8 of each",
        "training.unlabelled_batch": "GPS, Sec. 4.1: 8 of each",
        "training.optimizer": "GPS, Sec. 4.1: SGD, 0.01, momentum 0.9; decay 1e-4 and one rate for "
        "all parameters: CPS, released",
        "training.schedule_power": "GPS, Sec. 4.1: 0.9",
        "training.augmentation": "GPS, Sec. 4.1: scales, CutMix; its boxes: CPS, released",
        "training.evaluations": "chosen: about one an epoch",
        "training.evaluation": "CPS, released: windows of 512, two thirds apart",
        "config": "GPS, Sec. 4.1: ResNet-50 and ResNet-101; stem, stride, rates, leaky ReLUs and "
        "dilations 2, 4, 8 of the last stage: CPS, released",
        "config.network.backbone": DEEP_STEM,
        "metric": "chosen: as CPS, which scores the epochs of the last third",
    },
)
GPS_CITYSCAPES_PAPER = dataclasses.replace(
    GPS_PAPER,
    data=DataConfig(name="cityscapes", family="unimatch"),
    training=dataclasses.replace(
        GPS_PAPER.training,
        epochs=171,
        crop_pixels=800,
        optimizer=dataclasses.replace(GPS_PAPER.training.optimizer, learning_rate=0.02),
        evaluation=PROTOCOLS["cps-cityscapes"],
    ),
    config={**GPS_PAPER.config, "supervised_loss": "ce"},
    sources={
        **GPS_PAPER.sources,
        "training.optimizer.learning_rate": "GPS, Sec. 4.1: 0.02",
        "training.evaluation": "CPS, released: windows of 800, two thirds apart",
        "config.supervised_loss": "GPS, Eqs. 2 and 4: cross-entropy; CPS, released: OHEM",
    },
    options={
        "hard-pixels": Option(
            set={"config.supervised_loss": "ohem_50000"},
            source="CPS, released, which GPS is built on, on Cityscapes: OHEM, threshold 0.7, at "
            "least 50,000 pixels an image (exp.city/city8.res50v3+.CPS+CutMix/train.py); "
            "GPS has no release, and Eqs. 2 and 4 are cross-entropy",
        )
    },
)
PRESETS = {"mini": MINI, "paper": GPS_PAPER}
ON_CITYSCAPES = {"paper": GPS_CITYSCAPES_PAPER}
MINI_COLUMN = {"mini": MINI_LABELLED}

# The partition: labelled images, and the paper's epochs of the students times 5/4.
PASCAL = {"1/16": (662, 40), "1/8": (1323, 43), "1/4": (2646, 50), "1/2": (5291, 75)}
CITYSCAPES = {"1/16": (186, 160), "1/8": (372, 171), "1/4": (744, 200), "1/2": (1488, 300)}
GPS_CITYSCAPES: Fields = {
    "config.guide_weight": 1.0,
    "config.exchange_weight": 5.0,
    "config.feedback_weight": 1.0,
}
CPS_CITYSCAPES: Fields = {"config.exchange_weight": 5.0}  # CPS, released, with CutMix


def pascal(part: str) -> dict[str, object]:
    """Return the fields of a partition of Pascal VOC, "1/16" to "1/2"."""
    labelled, epochs = PASCAL[part]
    return {"data.labelled": labelled, "training.epochs": epochs}


def cityscapes(part: str) -> dict[str, object]:
    """Return the fields of a partition of Cityscapes."""
    labelled, epochs = CITYSCAPES[part]
    return {"data.labelled": labelled, "training.epochs": epochs}


PASCAL_EIGHTH = Column(
    name="Pascal VOC",
    set={**MINI_COLUMN, "paper": pascal("1/8")},
    labels={"mini": MINI_LABEL, "paper": "Pascal VOC 1/8 (1323)"},
)
CITYSCAPES_EIGHTH = Column(
    name="Cityscapes",
    set={"paper": {**cityscapes("1/8"), **GPS_CITYSCAPES}},
    labels={"paper": "Cityscapes 1/8 (372)"},
    presets=ON_CITYSCAPES,
)
CITYSCAPES_HALF = Column(
    name="Cityscapes",
    set={**MINI_COLUMN, "paper": {**cityscapes("1/2"), **GPS_CITYSCAPES}},
    labels={"mini": MINI_LABEL, "paper": "Cityscapes 1/2 (1488)"},
    presets=ON_CITYSCAPES,
)
NO_CUTMIX: Fields = {"config.cutmix": False}

losses = Study(
    name="gps_losses",
    title="GPS, Table 4: loss configurations, without CutMix",
    paper="gps",
    table="4",
    presets={**PRESETS, **PHOTO_PRESETS},
    base="gps+cps+fps",
    confirmatory=("gps+fps", "cps+fps", "gps+cps"),
    rows=[
        Row(
            name=name,
            label=label,
            method=GPS,
            set={**NO_CUTMIX, **{f"config.{term}_weight": 0.0 for term in without}},
        )
        for name, label, without in (
            ("gps", "guide", ("exchange", "feedback")),
            ("fps", "feedback", ("guide", "exchange")),
            ("gps+fps", "guide + feedback", ("exchange",)),
            ("cps+fps", "exchange + feedback", ("guide",)),
            ("gps+cps", "guide + exchange", ("feedback",)),
            ("gps+cps+fps", "guide + exchange + feedback", ()),
        )
    ],
    columns=[at_photo(PASCAL_EIGHTH), CITYSCAPES_EIGHTH, MANY],
    published=numbers(
        [PASCAL_EIGHTH, CITYSCAPES_EIGHTH],
        {
            "gps": (72.25, 72.36),
            "fps": (70.89, 71.25),
            "gps+fps": (72.82, 72.39),
            "cps+fps": (72.99, 73.51),
            "gps+cps": (72.72, 72.92),
            "gps+cps+fps": (73.95, 74.62),
        },
    ),
    published_note="Published: GPS, Table 4, ResNet-50, 1/8 labelled. The learning rate of the "
    "teacher beside the students is printed as four orders below theirs: feedback hardly moves it. "
    "Without a guide the students never meet the teacher: there feedback changes nothing that is "
    "scored, and the row of feedback alone is supervised training.",
)

_RAMP_COLUMNS = [
    Column(
        name="Pascal 1/16",
        set={**MINI_COLUMN, "paper": pascal("1/16")},
        labels={"mini": MINI_LABEL, "paper": "Pascal VOC 1/16 (662)"},
    ),
    Column(
        name="Pascal 1/8",
        set={"paper": pascal("1/8")},
        labels={"paper": "Pascal VOC 1/8 (1323)"},
    ),
]
ramp_down = Study(
    name="gps_ramp_down",
    title="GPS, Section 4.4.3: ramp-down of the guide",
    paper="gps",
    table="sec4.4.3",
    presets=PRESETS,
    base="no ramp-down",
    rows=[
        Row(name="guide ramp-down", method=GPS, set={"config.guide_ramp_down": True}),
        Row(name="no ramp-down", method=GPS),
    ],
    columns=_RAMP_COLUMNS,
    published=numbers(
        _RAMP_COLUMNS, {"guide ramp-down": (70.73, 73.57), "no ramp-down": (72.91, 75.72)}
    ),
    published_note="Published: GPS, Sec. 4.4.3, ResNet-50, with CutMix.",
)

UPDATES = (
    Row(name="separate", label="two updates", method=GPS, set=NO_CUTMIX),
    Row(
        name="united",
        label="one update",
        method=GPS,
        set={**NO_CUTMIX, "config.updates": "united"},
    ),
)
updates = Study(
    name="gps_updates",
    title="GPS, Figure 6: separate and united updates, without CutMix",
    paper="gps",
    table="fig6",
    presets=PRESETS,
    base="separate",
    rows=UPDATES,
    columns=[CITYSCAPES_HALF],
    curves=["teacher.feedback"],
    published_note="Published: GPS, Fig. 6, ResNet-50, Cityscapes 1/2: curves alone, of the loss "
    "L_fps in the first epoch, which gps_loss_flow has. Ours here: what becomes of both in whole "
    "trainings. That the figure is without CutMix is chosen, as in Table 4.",
)
