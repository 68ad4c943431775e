"""The learning rates of mini and photo scale, chosen on the val part by one search for all methods.

At mini scale every method is tried, at photo scale Supervised and UniMatch, six trials in all: what
serves the base row and the method that most others are built on is to serve all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from semisweep import Column, Preset, Row, Study
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch
from semisweep_studies.comparison import compared
from semisweep_studies.photo import PHOTO, RATE, SCALE
from semisweep_studies.presets import MINI

RATES = (0.004, 0.008, 0.016)
PHOTO_RATES = (2.5e-4, 5e-4, 1e-3)


def _rates(
    name: str,
    scale: str,
    preset: Preset,
    rows: Sequence[Row],
    rates: Sequence[float],
    *,
    title: str,
) -> Study:
    """Return the study of some rates at a scale, of one draw, scored on val.

    The scale's options are without the rate that they have: it is what is chosen here.
    """
    options = {
        name: dataclasses.replace(own, set={k: v for k, v in own.set.items() if k != RATE})
        for name, own in preset.options.items()
    }
    return Study(
        name=name,
        title=title,
        presets={
            scale: dataclasses.replace(
                preset,
                metric="last.val.miou",
                metric_note="mIoU on the val part, last checkpoint",
                notes=(),
                draws=1,
                options=options,
            )
        },
        base="supervised",
        confirmatory=(),
        seeds=1,
        rows=rows,
        columns=[
            Column(
                name=f"rate={rate}",
                set={scale: {RATE: rate}},
            )
            for rate in rates
        ],
    )


learning_rate = _rates(
    "mini_learning_rate",
    "mini",
    MINI,
    compared.rows,
    RATES,
    title="Learning rates at mini scale, scored on val",
)
photo_learning_rate = _rates(
    "photo_learning_rate",
    SCALE,
    PHOTO,
    [
        Row(name="supervised", label="Supervised", method=Supervised),
        Row(name="unimatch", label="UniMatch", method=UniMatch),
    ],
    PHOTO_RATES,
    title="Learning rates at photo scale, scored on val",
)
