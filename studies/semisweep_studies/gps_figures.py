"""Figures 3 and 4 of GPS (WACV 2024): the first epoch, and full supervision; no CutMix in either.

Figure 4's values are only drawn, not printed. Figure 3 is of the first epochs of whole trainings,
whose teacher has been trained before. Here a training ends with the students' first epoch, and so
does its schedule, in all arms; the teacher's time before it is that of a whole training.
"""

from __future__ import annotations

import dataclasses

from semisweep import Column, Row, Study
from semisweep_methods.cps import CPS
from semisweep_methods.gps import GPS
from semisweep_methods.supervised import Supervised
from semisweep_studies.gps import (
    GPS_CITYSCAPES,
    GPS_CITYSCAPES_PAPER,
    NO_CUTMIX,
    ON_CITYSCAPES,
    PRESETS,
    cityscapes,
    pascal,
)
from semisweep_studies.presets import MINI
from semisweep_studies.tables import MINI_EPOCH, MINI_LABEL, MINI_LABELLED

# Iterations of the students; at paper scale 1 of 128 epochs.
MINI_STUDENTS = int(0.8 * (MINI.training.steps or 0))
MINI_TEACHER = int(0.2 * (MINI.training.steps or 0))
FIRST_EPOCH = {
    "mini": {
        "training.steps": MINI_TEACHER + MINI_EPOCH,
        "config.teacher_share": MINI_TEACHER / (MINI_TEACHER + MINI_EPOCH),
        "config.teacher_rate_scale": (MINI_EPOCH / MINI_STUDENTS) ** 0.9,
    },
    "paper": {
        **GPS_CITYSCAPES,
        "training.epochs": 33,
        "config.teacher_share": 32 / 33,
        "config.teacher_rate_scale": (1 / 128) ** 0.9,  # the paper's rate is of all its epochs
    },
}

FIRST = dataclasses.replace(
    GPS_CITYSCAPES_PAPER,
    training=dataclasses.replace(GPS_CITYSCAPES_PAPER.training, evaluations=1),
    metric="last.val.miou",
    metric_note="mIoU on the val part after the students' first epoch",
    proxy_share=1.0,  # it is of one whole epoch
)
first_epoch = Study(
    name="gps_first_epoch",
    title="GPS, Figure 3: after the first epoch, without CutMix",
    paper="gps",
    table="fig3",
    presets={
        "mini": dataclasses.replace(
            MINI, training=dataclasses.replace(MINI.training, evaluations=1)
        ),
        "paper": FIRST,
    },
    base="CPS",
    rows=[
        Row(name="GPS", method=GPS, set=NO_CUTMIX, scaled=FIRST_EPOCH),
        Row(
            name="CPS",
            method=CPS,
            set=NO_CUTMIX,
            scaled={
                "mini": {"training.steps": MINI_EPOCH},
                # CPS, released, without CutMix
                "paper": {"config.exchange_weight": 6.0, "training.epochs": 1},
            },
        ),
        Row(name="PS-MT", method=None),
    ],
    columns=[
        Column(
            name="first epoch",
            set={"mini": MINI_LABELLED, "paper": cityscapes("1/16")},
            labels={"mini": MINI_LABEL, "paper": "first epoch, Cityscapes 1/16 (186)"},
        )
    ],
    published={
        ("GPS", "first epoch"): 37.82,
        ("CPS", "first epoch"): 0.06,
        ("PS-MT", "first epoch"): 0.02,
    },
    published_note="Published: GPS, Fig. 3, ResNet-50: mIoU after the first of 128 epochs. A "
    "network that calls every pixel road has more than 1 % on Cityscapes. Ours: a training that "
    "ends with the students' first epoch. The time of the teacher alone is not counted.",
)


def against_full(name: str, title: str, columns: list[Column], weights: bool) -> Study:
    """Return the study of one data set in Figure 4; `weights`: those of Cityscapes."""
    scaled = {"paper": GPS_CITYSCAPES} if weights else {}
    return Study(
        name=name,
        title=title,
        paper="gps",
        table="fig4",
        presets=PRESETS,
        base="supervised",
        rows=[
            Row(name="supervised", label="Supervised", method=Supervised),
            Row(name="GPS", method=GPS, set=NO_CUTMIX, scaled=scaled),
        ],
        columns=columns,
    )


NETWORK = "config.network.backbone"
RESNET101 = "resnet101s.gluon_in1k"
full_pascal = against_full(
    "gps_full_pascal",
    "GPS, Figure 4: half of the labels against all of them, Pascal VOC, without CutMix",
    [
        Column(
            name="resnet50 1/2",
            set={"mini": {"data.labelled": 256}, "paper": pascal("1/2")},
            labels={"mini": "1/2 (256)"},
        ),
        Column(
            name="resnet50 full",
            set={
                "mini": {"data.labelled": None},
                "paper": {"data.labelled": None, "training.epochs": 38},
            },
            labels={"mini": "all (512)"},
        ),
        Column(name="resnet101 1/2", set={"paper": {**pascal("1/2"), NETWORK: RESNET101}}),
        Column(
            name="resnet101 full",
            set={
                "paper": {
                    "data.labelled": None,
                    "training.epochs": 38,  # as many iterations as of 1/2
                    NETWORK: RESNET101,
                }
            },
        ),
    ],
    weights=False,
)

_FULL = {"data.labelled": None, "training.epochs": 150}
full_cityscapes = against_full(
    "gps_full_cityscapes",
    "GPS, Figure 4: half of the labels against all of them, Cityscapes, without CutMix",
    [
        Column(
            name="resnet50 1/2",
            set={"mini": {"data.labelled": 256}, "paper": cityscapes("1/2")},
            labels={"mini": "1/2 (256)"},
            presets=ON_CITYSCAPES,
        ),
        Column(
            name="resnet50 full",
            set={"paper": {**cityscapes("1/2"), **_FULL}},
            presets=ON_CITYSCAPES,
        ),
        Column(
            name="resnet101 1/2",
            set={"paper": {**cityscapes("1/2"), NETWORK: RESNET101}},
            presets=ON_CITYSCAPES,
        ),
        Column(
            name="resnet101 full",
            set={"paper": {**cityscapes("1/2"), **_FULL, NETWORK: RESNET101}},
            presets=ON_CITYSCAPES,
        ),
    ],
    weights=True,
)
