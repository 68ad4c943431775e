"""What the finished trials of a table keep on disk at paper scale; trains nothing and needs no GPU.

135 trials, 45 cells of 3 seeds, of each method in its largest paper network, built without memory
for weights. Before: best and last weights of every network. Target: 35 GiB a table.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from semisweep.running.job_sources import reads_of
from semisweep.running.size_forecast import size_of
from semisweep.study.catalogue import find_study
from semisweep.study.declaration import Study
from semisweep.study.resolve import cell_trial

Choices = Mapping[str, float]

TRIALS = 135
CLASSES = 21
MOST_GIB = 35.0
TABLES = {
    "SegKC": ("segkc_losses",),
    "STPG": ("stpg_components", "stpg_classic"),
    "GPS": ("gps_pascal",),
}


def sizes_of_method(method: str, studies: Sequence[str]) -> Iterator[tuple[str, Choices]]:
    """Yield for each backbone what the largest row of a method keeps by each choice, in GiB."""
    found: dict[str, Choices] = {}
    for study in map(find_study, studies):
        assert isinstance(study, Study)
        reads = reads_of([study.presets["paper"].metric])
        columns = [column for column in study.columns if column.exists("paper")]
        for row, column in itertools.product(study.rows, columns):
            if row.method is None or row.method.__name__ != method:
                continue
            trial = cell_trial(study, "paper", row, column, {})
            kept = {
                choice: TRIALS * size_of(trial, CLASSES, choice, reads).kept / 2**30
                for choice in ("all", "auto")
            }
            network = getattr(trial.config, "network", None) or trial.config.senior
            found[network.backbone] = max(found.get(network.backbone, kept), kept, key=_before)
    yield from found.items()


def _before(kept: Choices) -> float:
    return kept["all"]


def main() -> None:
    """Print what is kept by 135 trials, before and after."""
    print(f"{'method':8}{'network':28}{'before':>10}{'after':>10}  GiB of {TRIALS} trials")
    for method, studies in TABLES.items():
        for backbone, kept in sizes_of_method(method, studies):
            verdict = "met" if kept["auto"] <= MOST_GIB else "MISSED"
            print(f"{method:8}{backbone:28}{kept['all']:10.1f}{kept['auto']:10.1f}  {verdict}")


if __name__ == "__main__":
    main()
