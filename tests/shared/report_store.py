"""A store of made-up results for tests of the report: real studies, real keys, no training."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

from semisweep import Objective, Search, Store, Study, Trial
from semisweep.core.config import flatten, replace
from semisweep.store.resolved_search import Suggestion
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, make_trial, preset_of, resolve

CLASSES = ("background", "striped_disc", "striped_bar", "dotted_disc", "dotted_bar")
STEPS = 1500


def result(trial: Trial, score: float, numbers: random.Random, seconds: float) -> dict[str, object]:
    """Return a row as a trial writes one, of some test score."""
    scores = {
        f"{weights}.{part}.{name}": value
        for weights in ("last", "best")
        for part in ("val", "test")
        for name, value in {
            "miou": score,
            **{f"iou.{c}": score + 0.2 * (0.4 - 0.2 * i) for i, c in enumerate(CLASSES)},
        }.items()
    }
    facts = {
        "parameters": 1_200_000,
        "total_steps": STEPS,
        "data.labelled_digest": "0123456789abcdef0123",
        "source.version": "0.1.0",
        "source.digest": "a6331bd22b0366af5701",
        "library.torch": "2.15.0",
        "run.workers": 1,
        "run.device": "cpu",
        "run.host": "laboratory",
        "run.attempts": 1,
        "run.seconds": seconds,
        "run.device_seconds": seconds,
        "run.peak_memory_bytes": int(1.1e9),
        "run.finished_at": 1.79e9 + 60 * numbers.random(),
    }
    return {k: v for k, v in (flatten(trial.encoded()) | scores | facts).items() if k}


def fill(store: Store, key: str, trial: Trial, score: float, numbers: random.Random) -> None:
    """Finish a trial that was never trained."""
    folder = store.trial(key)
    folder.describe({"format": 1, "key": key, "trial": trial.encoded()})
    rows = [
        {
            "step": step,
            "epoch": step // 100,
            "student.loss": 1.5 * math.exp(-step / 500) + 0.02 * numbers.random(),
            "val.miou": score * (1 - 0.5 * math.exp(-step / 400)) + 0.01 * numbers.random(),
        }
        for step in range(300, STEPS + 1, 300)
    ]
    folder.append_history(rows)
    folder.complete(result(trial, score, numbers, 58.0 + 8 * numbers.random()))


def fill_table(root: Path, name: str, data: Path, seeds: int = 1, **changed: Any) -> Study:
    """Write a study of ours with a made-up score for each trial; return the study."""
    study = find_study(name)
    assert isinstance(study, Study)
    study = dataclasses.replace(study, **changed)
    resolved = resolve(study, "mini", Splits(Roots(data)), None, seeds)
    store, numbers = Store.open(root, create=True), random.Random(name)
    levels: dict[str, float] = {}
    for cell in resolved.table.cells:
        level = levels.setdefault(cell.row, 0.66 + 0.08 * numbers.random())
        for replicate, key in cell.trials.items():
            shared = 0.02 * random.Random(replicate).random()
            score = level + shared + 0.004 * numbers.random()
            if not store.trial(key).finished:
                fill(store, key, resolved.trials[key], score, numbers)
    store.write_study(study.name, "mini", resolved.table)
    return study


def fill_search(
    root: Path, data: Path, trials: int = 12, also: bool = False, confirmed: bool = False
) -> None:
    """Write the search over RankMatch's settings with made-up scores, its best again if asked."""
    from semisweep.running.search_confirmation import Confirmations
    from semisweep.search.earlier_trials import declared
    from semisweep.search.trial_outcome import outcomes
    from semisweep.store import suggestion_log

    study = find_study("rankmatch_search")
    assert isinstance(study, Search)
    store, numbers = Store.open(root, create=True), random.Random(7)
    splits, template = (
        Splits(Roots(data)),
        make_trial(preset_of(study, "mini"), study.method, {}, {}),
    )
    entries = []
    for number in range(trials):
        params = {
            "config.threshold": numbers.uniform(0.5, 0.98),
            "config.rank_weight": math.exp(numbers.uniform(math.log(0.02), 0)),
            "config.agents": round(math.exp(numbers.uniform(math.log(4), math.log(64)))),
        }
        trial = replace(template, params)
        score = 0.7 - 0.3 * (params["config.threshold"] - 0.9) ** 2 + 0.005 * numbers.random()
        key = splits.key(trial)
        fill(store, key, trial, score, numbers)
        entries.append(Suggestion(number=number, params=params, key=key, saw=()))
    more = (Objective(metric="run.seconds", direction="minimize"),) if also else ()
    request = Request(roots=Roots(data), store=str(root))
    search = declared(dataclasses.replace(study, also=more), request, Splits(request.roots))
    search = dataclasses.replace(search, trials=tuple(entries))
    store.write_study(study.name, "mini", search)
    if confirmed:
        confirmations = Confirmations(study, store, splits, template, request)
        new = confirmations.due(search, outcomes(store, search))
        assert new is not None
        suggestion_log.begin(store.root, search)
        for entry in entries:
            suggestion_log.append(store.root, search, entry)
        suggestion_log.append_confirmation(store.root, search, new)
        search = dataclasses.replace(search, confirmations=(new,))
        confirmations.begin(search)
        for key, trial in confirmations.trials.items():
            fill(store, key, trial, 0.69, numbers)
        store.write_study(study.name, "mini", search)
