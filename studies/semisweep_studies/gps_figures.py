"""Figures 3, 4 and 6b of GPS (WACV 2024): first epochs, full supervision, losses; no CutMix.

Figure 4's values are only drawn, not printed. Figures 3 and 6b are of the first epochs of whole
trainings, whose teacher has been trained before: schedules are those of whole trainings, which stop
early.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from semisweep import Column, Row, Study
from semisweep.core.config import replace
from semisweep.study.scales import Fields
from semisweep_methods.cps import CPS
from semisweep_methods.gps import GPS, GPSConfig
from semisweep_methods.supervised import Supervised
from semisweep_studies.gps import (
    CITYSCAPES_HALF,
    GPS_CITYSCAPES,
    GPS_CITYSCAPES_PAPER,
    NO_CUTMIX,
    ON_CITYSCAPES,
    PRESETS,
    UPDATES,
    cityscapes,
    pascal,
)
from semisweep_studies.presets import MINI
from semisweep_studies.tables import MINI_EPOCH, MINI_LABEL, MINI_LABELLED

# Of whole schedules: at mini scale ten epochs of the students, at paper scale 128.
MINI_STEPS = MINI.training.steps or 0
TEACHER_SHARE = GPSConfig().teacher_share
EPOCHS = {"mini": round((1 - TEACHER_SHARE) * MINI_STEPS / MINI_EPOCH), "paper": 128}
CPS_WHOLE: Mapping[str, Fields] = {
    "mini": {"training.steps": EPOCHS["mini"] * MINI_EPOCH},
    # CPS, released, without CutMix
    "paper": {"config.exchange_weight": 6.0, "training.epochs": EPOCHS["paper"]},
}


def stopped(epochs: int, whole: int, *, teacher: bool) -> Fields:
    """Return the fields that end a training after some of the whole epochs of its students.

    Its schedule goes on. With a teacher, they come after its own time, which is not evaluated.
    """
    share = epochs / whole
    if not teacher:
        return {"training.stop_share": share}
    stop = TEACHER_SHARE + (1 - TEACHER_SHARE) * share
    return {"training.stop_share": stop, "training.evaluate_from": TEACHER_SHARE}


def first(
    name: str,
    column: str,
    epochs: Mapping[str, int],
    evaluations: int,
    proxy_share: float,
    note: str,
    *,
    title: str,
) -> Study:
    """Return the study of the first epochs, by scale, of whole schedules."""
    scales = {"mini": MINI, "paper": GPS_CITYSCAPES_PAPER}
    of_gps: dict[str, Fields] = {"mini": {}, "paper": GPS_CITYSCAPES}
    last = {"mini": "last.test.miou", "paper": "last.val.miou"}
    part = {"mini": "test", "paper": "val"}
    return Study(
        name=name,
        title=title,
        paper="gps",
        table="fig3",
        presets={
            scale: dataclasses.replace(
                preset,
                training=dataclasses.replace(preset.training, evaluations=evaluations),
                metric=last[scale],
                metric_note=f"mIoU on the {part[scale]} part at the end of the students' "
                + ("first epoch" if epochs[scale] == 1 else f"epoch {epochs[scale]}"),
                proxy_share=proxy_share,
            )
            for scale, preset in scales.items()
        },
        base="CPS",
        rows=[
            Row(
                name="GPS",
                method=GPS,
                set=NO_CUTMIX,
                scaled={
                    scale: {**of_gps[scale], **stopped(epochs[scale], whole, teacher=True)}
                    for scale, whole in EPOCHS.items()
                },
            ),
            Row(
                name="CPS",
                method=CPS,
                set=NO_CUTMIX,
                scaled={
                    scale: {**CPS_WHOLE[scale], **stopped(epochs[scale], whole, teacher=False)}
                    for scale, whole in EPOCHS.items()
                },
            ),
        ],
        columns=[
            Column(
                name=column,
                set={"mini": MINI_LABELLED, "paper": cityscapes("1/16")},
                labels={"mini": MINI_LABEL, "paper": f"{column}, Cityscapes 1/16 (186)"},
            )
        ],
        published_note=note,
    )


FIRST = {"mini": 1, "paper": 1}
SHOWN = {"mini": 2, "paper": 20}  # of the figure; a fifth of the students' epochs at mini scale
_FIRST = first(
    "gps_first_epoch",
    "first epoch",
    FIRST,
    1,
    1.0,  # a proxy has no less than one epoch
    "Published: GPS, Fig. 3, ResNet-50: mIoU after the first of 128 epochs. A network that "
    "calls every pixel road has more than 1 % on Cityscapes. Ours: training stops there; "
    "schedules are those of all epochs. The time of the teacher alone is not counted.",
    title="GPS, Figure 3: after the first epoch, without CutMix",
)
first_epoch = dataclasses.replace(
    _FIRST,
    rows=[*_FIRST.rows, Row(name="PS-MT", method=None)],
    published={
        ("GPS", "first epoch"): 37.82,
        ("CPS", "first epoch"): 0.06,
        ("PS-MT", "first epoch"): 0.02,
    },
)
first_epochs = first(
    "gps_first_epochs",
    "first epochs",
    SHOWN,
    20,
    0.1,
    "Published: GPS, Fig. 3, ResNet-50, only drawn: mIoU after each of the first 20 epochs, in "
    "ours val.miou of the curves. GPS's begin after its teacher's own time, 32 epochs at paper "
    "scale. Ours at mini scale: the first 2 of 10 epochs, each scored ten times.",
    title="GPS, Figure 3: the first 20 of 128 epochs, without CutMix",
)


# Figure 6b: every loss of the students' first epoch, of 240 at paper scale.
_FLOW_EPOCHS = {"mini": EPOCHS["mini"], "paper": 240}
loss_flow = Study(
    name="gps_loss_flow",
    title="GPS, Figure 6b: feedback in the first epoch of separate and united updates",
    paper="gps",
    table="fig6",
    presets={
        scale: dataclasses.replace(
            preset,
            training=replace(preset.training, {"evaluations": 1, "record_every": 1}),
            metric="last.val.miou",
            metric_note="mIoU on the val part at the end of the students' first epoch",
            proxy_share=1.0,  # a proxy has no less than one epoch
        )
        for scale, preset in (("mini", MINI), ("paper", GPS_CITYSCAPES_PAPER))
    },
    base="separate",
    rows=UPDATES,
    columns=[
        Column(
            name="first epoch",
            set={
                scale: {**CITYSCAPES_HALF.fields(scale), **stopped(1, whole, teacher=True)}
                for scale, whole in _FLOW_EPOCHS.items()
            },
            labels=CITYSCAPES_HALF.labels,
        )
    ],
    curves=["teacher.feedback"],
    published_note="Published: GPS, Fig. 6b, ResNet-50, Cityscapes 1/2: curves alone, smoothed, of "
    "the loss L_fps in the first epoch. Ours: teacher.feedback of every step, in figures the mean "
    "of a stretch. That the figure is without CutMix is chosen, as in Table 4.",
)


def against_full(name: str, columns: list[Column], weights: bool, *, title: str) -> Study:
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
    title="GPS, Figure 4: half of the labels against all of them, Pascal VOC, without CutMix",
)

_FULL = {"data.labelled": None, "training.epochs": 150}
full_cityscapes = against_full(
    "gps_full_cityscapes",
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
    title="GPS, Figure 4: half of the labels against all of them, Cityscapes, without CutMix",
)
