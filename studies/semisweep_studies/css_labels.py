"""Table 4 of CSS (ICCV 2023): the quality of pseudo-labels, class by class, and their coverage.

Measured after training on the unlabelled images, on the pixels that a loss would use. The rows are
those of Table 5, each with the labels that it learns from: our reading, as the paper does not say
whether it has one network or three.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from semisweep import Column, Study
from semisweep.data.shapes import CLASSES as EMBEDDED
from semisweep.data.voc_folder import CLASSES as VOC
from semisweep_studies.css import FEW, PRESETS, sources
from semisweep_studies.tables import numbers

_SOURCES = {"logit": "logits", "representation": "representations", "mix": "mix"}
_BOTH = set(VOC) & set(EMBEDDED)


def _column(name: str, metric: str, scales: Sequence[str] = ("mini", "paper")) -> Column:
    return dataclasses.replace(
        FEW,
        name=name,
        set={scale: FEW.set[scale] for scale in scales},
        metric=dict.fromkeys(scales, f"labels.{{source}}.{metric}"),
        labels={},
    )


_CLASSES = [
    _column(name, f"iou.{name}", ("mini", "paper") if name in _BOTH else ("paper",)) for name in VOC
]
_MEAN = _column("mIoU", "miou")
labels = Study(
    name="css_labels",
    title="CSS, Table 4: quality of pseudo-labels, and how many pixels have one",
    paper="css",
    table="4",
    presets={
        scale: dataclasses.replace(
            preset, metric_note="IoU of pseudo-labels on the selected pixels of unlabelled images"
        )
        for scale, preset in PRESETS.items()
    },
    base="logit",
    confirmatory=(("mix", "mIoU"),),
    rows=[
        dataclasses.replace(row, words={"source": _SOURCES[row.name]})
        for row in sources.rows
        if row.name in _SOURCES
    ],
    columns=[
        *_CLASSES,
        _MEAN,
        *(_column(name, f"iou.{name}", ("mini",)) for name in EMBEDDED if name not in _BOTH),
        _column("coverage", "coverage"),
    ],
    published=numbers(
        [*_CLASSES, _MEAN],
        {
            "logit": (
                *(96.78, 95.14, 77.47, 93.38, 81.37, 87.54, 96.76, 95.48, 94.47, 4.09, 92.15),
                *(58.34, 94.12, 93.01, 91.37, 93.68, 50.33, 91.10, 18.16, 86.65, 64.89, 78.87),
            ),
            "representation": (
                *(90.71, 96.50, 61.42, 75.75, 53.30, 54.65, 84.46, 80.55, 91.11, 28.03, 88.16),
                *(52.23, 86.97, 73.22, 88.70, 91.75, 56.13, 66.78, 35.25, 88.51, 62.61, 71.57),
            ),
            "mix": (
                *(96.66, 98.12, 82.76, 94.47, 85.12, 89.94, 97.03, 95.98, 94.65, 19.01, 94.81),
                *(64.35, 94.33, 93.65, 91.50, 93.01, 55.64, 91.56, 29.74, 93.54, 69.48, 82.17),
            ),
        },
    ),
    published_note="Published: CSS, Table 4, 92 labels. IoU rises when fewer and easier pixels are "
    "selected; the coverage, which the paper does not state, says how few.",
)
