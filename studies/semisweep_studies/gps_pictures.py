"""Figures 2 and 5 of GPS (WACV 2024): its pseudo-labels early and late, and what arms see.

Both are pictures. Their trials are declared here, so that their weights are there: a report with
images draws what the networks see, and of Figure 2 the quality of the labels is measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from semisweep import Column, Row, Study
from semisweep.study.scales import Fields
from semisweep_methods.gps import GPS
from semisweep_methods.supervised import Supervised
from semisweep_studies.gps import (
    CITYSCAPES_EIGHTH,
    GPS_CITYSCAPES,
    NO_CUTMIX,
    PASCAL_EIGHTH,
    PRESETS,
    cityscapes,
)
from semisweep_studies.gps_figures import EPOCHS, stopped

_WHOLE = {"mini": EPOCHS["mini"], "paper": 34}  # epochs of the students at 1/8 of Pascal VOC
_MOMENTS: Mapping[str, Mapping[str, Fields]] = {
    "first epoch": {
        scale: {**stopped(1, whole, teacher=True), "training.evaluations": 1}
        for scale, whole in _WHOLE.items()
    },
    "last epoch": {"mini": {}, "paper": {}},
}
_SOURCES = ("guide", "exchange", "feedback")
_CLASSES = ("person", "sofa")  # of which the figure has slices


def _column(moment: str, source: str, metric: str = "miou") -> Column:
    """Return the quality of a source's labels at a moment; of one class at paper scale alone."""
    scales = ("mini", "paper") if metric == "miou" else ("paper",)
    return dataclasses.replace(
        PASCAL_EIGHTH,
        name=f"{source}, {moment}" + ("" if metric == "miou" else f", {metric[4:]}"),
        set={s: {**PASCAL_EIGHTH.set[s], **_MOMENTS[moment][s]} for s in scales},
        metric=dict.fromkeys(scales, f"labels.{source}.{metric}"),
        labels={},
    )


pseudo_labels = Study(
    name="gps_pseudo_labels",
    title="GPS, Figure 2: quality of pseudo-labels at the first and the last epoch",
    paper="gps",
    table="fig2",
    presets={
        scale: dataclasses.replace(preset, metric_note="IoU of pseudo-labels on unlabelled images")
        for scale, preset in PRESETS.items()
    },
    base="GPS",
    rows=[Row(name="GPS", method=GPS)],
    columns=[
        *(_column(moment, source) for source in _SOURCES for moment in _MOMENTS),
        *(
            _column(moment, source, f"iou.{name}")
            for name in _CLASSES
            for source in _SOURCES
            for moment in _MOMENTS
        ),
    ],
    published_note="Published: GPS, Fig. 2, pictures alone, of persons and sofas; of which "
    "partition is not said, ours is 1/8. Guide: the teacher's labels, exchange: a student's, "
    "feedback: those of both students.",
)

_OF_CITYSCAPES = {"paper": {CITYSCAPES_EIGHTH.name: GPS_CITYSCAPES}}
examples = Study(
    name="gps_examples",
    title="GPS, Figure 5: what supervised training, GPS without and GPS with CutMix see",
    paper="gps",
    table="fig5",
    presets=PRESETS,
    base="supervised",
    rows=[
        Row(name="supervised", label="Supervised", method=Supervised),
        Row(name="GPS w/o CutMix", method=GPS, set=NO_CUTMIX, in_column=_OF_CITYSCAPES),
        Row(name="GPS", label="GPS w/ CutMix", method=GPS, in_column=_OF_CITYSCAPES),
    ],
    columns=[
        PASCAL_EIGHTH,
        dataclasses.replace(CITYSCAPES_EIGHTH, set={"paper": cityscapes("1/8")}),
    ],
    published_note="Published: GPS, Fig. 5, pictures alone: ResNet-50, 1/8 labelled.",
)
