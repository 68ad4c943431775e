"""How many trials share a GPU, by what trials of their kinds were measured to need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from semisweep.cost import Past
from semisweep.past import history_of, kind_of_trial
from semisweep.store import Store

if TYPE_CHECKING:
    from semisweep.trial import Trial

RESERVE = 1.25  # what the allocator holds, as a multiple of what tensors had at their peak
CONTEXT_BYTES = 2**30  # of each process: CUDA itself, and the workspaces of its libraries
MOST = 8  # on one GPU


def gpu_share(trials: Iterable[Trial], store: Store) -> float | None:
    """Return what share of a GPU each of some trials is to have, so that all of them fit.

    None where a kind of them was never measured on a GPU. Four digits, as Ray has; a third is
    0.3333, of which three fit.
    """
    past = history_of(store)
    needed = [_peak(trial, past) for trial in trials]
    room = min((own.device_bytes for own in past if own.device_bytes), default=0.0)
    if not needed or not room or not all(needed):
        return None
    largest = RESERVE * max(needed) + CONTEXT_BYTES
    together = max(1, min(MOST, int(room // largest)))
    return int(10_000 / together) / 10_000


def _peak(trial: Trial, past: Iterable[Past]) -> float:
    """Return the most memory that trials of a trial's kind had on a GPU; 0 for unknown."""
    kind = kind_of_trial(trial, "cuda", 1)
    return max((own.memory_bytes for own in past if own.kind == kind), default=0.0)
