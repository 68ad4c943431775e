"""What a sweep counts for Prometheus; the export itself is Ray's."""

from __future__ import annotations

import io

import pytest

from semisweep.cluster.progress import SweepProgress
from semisweep.cluster.prometheus import SweepMetrics
from semisweep.store.trial_records import TrialProgress


def metrics_of(total: int) -> SweepMetrics:
    return SweepMetrics("a study", SweepProgress(total, {}, io.StringIO()))


def test_trials_are_counted_by_what_has_become_of_them() -> None:
    metrics = metrics_of(10)
    for key, status in (("a", "finished"), ("b", "failed"), ("c", "known")):
        metrics.progress.finished(key, status, "")

    assert metrics.counts(running=4) == {
        "trials_finished": 2,
        "trials_failed": 1,
        "trials_running": 4,
        "trials_waiting": 3,
    }


def test_the_steps_of_all_running_trials_are_counted() -> None:
    metrics = metrics_of(3)
    at = metrics._at

    def said(**steps: int) -> dict[str, TrialProgress | None]:
        return {
            key: TrialProgress(step=step, total_steps=200) if step else None
            for key, step in steps.items()
        }

    assert metrics.steps_per_second(said(a=100), at + 1) == 0  # when it began is not known
    assert metrics.steps_per_second(said(a=110, b=0), at + 3) == pytest.approx(5)
    assert metrics.steps_per_second(said(b=30), at + 4) == pytest.approx(30)
