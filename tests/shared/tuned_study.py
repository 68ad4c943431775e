"""A study of tuned rows for tests whose trials are not trained: their scores are a formula."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution

from semisweep import Column, DataConfig, Preset, Row, Search, Store, Study, TrainingConfig
from semisweep.checks.validation import check_study
from semisweep.cluster.job import Job, Outcome
from semisweep.core.config import decode
from semisweep.running.preparation import Prepared, prepare
from semisweep.running.search_run import Suggestions
from semisweep.running.tuning_run import TogetherSuggested
from semisweep.search.tuning_choice import searches_of, tunings_of
from semisweep.store.resolved_study import Place as CellPlace
from semisweep.store.resolved_tuning import Tuning
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.training.method_fixtures import tiny_network
from semisweep.training.trial import Trial
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.supervised import Supervised

RATE = "training.optimizer.learning_rate"
SPACE = {"mini": {RATE: FloatDistribution(1e-3, 0.1, log=True)}}
TUNE = Search(space=SPACE, trials=4)
STUDY = Study(
    name="tuned",
    title="Rows at their best",
    presets={
        "mini": Preset(
            data=DataConfig(name="shapes", labelled=8),
            training=TrainingConfig(
                steps=2, labelled_batch=4, unlabelled_batch=4, crop_pixels=32, evaluations=2
            ),
            config={"network": tiny_network()},
            metric="last.test.miou",
            metric_note="mIoU",
            draws=3,
            seeds=1,
        )
    },
    base="full",
    rows=[
        Row(name="full", method=FixMatch, tune=TUNE),
        Row(name="low", method=FixMatch, set={"config.threshold": 0.5}, tune=TUNE),
        Row(name="labels", method=Supervised),
    ],
    columns=[Column(name="few", set={"mini": {}})],
)


def with_tune(tune: Search | None, *names: str) -> Study:
    """Return the study with another search of some rows, or of all that are tuned."""
    names = names or ("full", "low")
    rows = [dataclasses.replace(r, tune=tune) if r.name in names else r for r in STUDY.rows]
    return dataclasses.replace(STUDY, rows=rows)


def score(trial: Mapping[str, Any], key: str) -> float:
    """Return the score of a trial, which is best at another learning rate in each row."""
    best = 0.05 if trial["config"].get("threshold", 0) > 0.9 else 0.005
    rate = trial["training"]["optimizer"]["learning_rate"]
    return 0.6 - 0.05 * abs(math.log(rate / best)) + random.Random(key).uniform(-0.01, 0.01)


class Tuned:
    """A study of tuned rows in a store; nothing is trained."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        study: Study = STUDY,
        score: Callable[[Mapping[str, Any], str], float] = score,
        **more: Any,
    ) -> None:
        self.study, self.score = study, score
        roots = Roots(root.parent, {"shapes": root})
        self.request = Request(roots=roots, store=str(folder), check=False, **more)
        self.store = Store.open(folder, create=True)
        self.ran: list[str] = []

    @property
    def splits(self) -> Splits:
        return Splits(self.request.roots, self.store.keys())

    def source(self, lag: int = 0) -> TogetherSuggested:
        """Return what hands out the trials of all searches of the study."""
        check_study(self.study, self.request, self.splits)
        stored = self.store.read_study(self.study.name, self.request.stored_scale)
        searches = searches_of(self.study, self.request, stored)  # type: ignore[arg-type]
        return TogetherSuggested(
            [
                Suggestions(search, self.request, self.store, lag, called=", ".join(place))
                for place, search in searches.items()
            ]
        )

    def finish(self, source: TogetherSuggested, job: Job) -> None:
        """Complete a trial of a search with its score."""
        self.ran.append(job.key)
        self.complete(job.key, job.trial)
        source.done(Outcome(job.key, "finished"))

    def complete(self, key: str, trial: Mapping[str, Any]) -> None:
        """Complete any trial with its score, in one minute."""
        value = self.score(trial, key)
        row = {"last.val.miou": value, "last.test.miou": value, "run.seconds": 60.0}
        self.store.trial(key).complete(row)

    def search(self, trials: int = 10**6, lag: int = 0) -> int:
        """Run so many trials of searches, or all that are left; return how many it were."""
        source = self.source(lag)
        for count in range(trials):
            job = source.next()
            if not job:
                return count
            self.finish(source, job)
        return trials

    def tunings(self) -> dict[CellPlace, Tuning]:
        """Return what the searches have come to."""
        return tunings_of(self.study, self.request, self.splits, self.store)

    def prepare(self) -> Prepared:
        """Return the table as it would be run now; it is in the store then."""
        return prepare(self.study, self.request, self.splits, self.store, lambda text: None)

    def run(self) -> Prepared:
        """Run all searches and all replicates."""
        self.search()
        found = self.prepare()
        for key in found.missing:
            self.complete(key, found.trials[key].encoded())
        return found


def trials_of(found: Prepared, row: str) -> Sequence[Trial]:
    """Return the replicates of a row."""
    (cell,) = (own for own in found.table.cells if own.row == row)
    return [found.trials[key] for key in cell.trials.values()]


def decoded(job: Job) -> Trial:
    """Return the trial of a job."""
    return decode(Trial, job.trial)
