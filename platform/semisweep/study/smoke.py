"""Studies in a reduced form: every arm for two steps, which shows that it runs and nothing else.

One seed, one draw, the first column of the scale, few and small pictures; else the code that whole
studies go through: Ray, trainer, evaluation, store and table.
"""

from __future__ import annotations

import dataclasses

from semisweep.data.shapes import make
from semisweep.study.data_roots import Roots
from semisweep.study.declaration import Study
from semisweep.study.request import Request
from semisweep.study.scales import EMBEDDED
from semisweep.training.trial import Trial

STEPS = 2
LABELLED = 16
TRAIN, SCORED = 56, 4  # pictures to train on, and in each of the other parts
NOTE = "Smoke: two steps, one seed, the first column. The numbers say that it runs, nothing else."


def smoke_roots(request: Request) -> Roots:
    """Return where the few pictures lie; they are made where nobody says where others are."""
    if EMBEDDED in request.roots.named:
        return request.roots
    root = request.roots.of(EMBEDDED)
    small = root.with_name(f"{root.name}-smoke")
    make(small, train=TRAIN, val=SCORED, test=SCORED)
    return Roots(request.roots.default, {**request.roots.named, EMBEDDED: small})


def reduced(study: Study, scale: str) -> Study:
    """Return a study of the first trained column at a scale, with one replicate."""
    trained = [column for column in study.columns if scale in column.set and not column.unit]
    presets = {
        name: dataclasses.replace(preset, draws=None, seeds=None)
        for name, preset in study.presets.items()
    }
    return dataclasses.replace(
        study, columns=trained[:1], presets=presets, seeds=1, draws=1, confirmatory=None
    )


def adapted(trial: Trial, request: Request) -> Trial:
    """Return a trial as a request wants it: shortened for a smoke run."""
    return shortened(trial) if request.smoke else trial


def shortened(trial: Trial) -> Trial:
    """Return a trial of two steps and one evaluation, with few labelled images."""
    training = dataclasses.replace(
        trial.training, steps=STEPS, epochs=None, stop_share=1.0, evaluations=1, evaluate_from=0.0
    )
    labelled = trial.data.labelled
    data = dataclasses.replace(
        trial.data, labelled=None if labelled is None else min(labelled, LABELLED)
    )
    return dataclasses.replace(trial, training=training, data=data)
