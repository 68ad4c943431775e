"""Curves of a study: what was measured while its trials trained, by the cell that it belongs to."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError
from semisweep.store.query import history
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store
from semisweep.store.study_choice import choose

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

PLACE = ("study", "row", "column", "replicate", "key")


def curves(
    store: str | Path | Store,
    study: str,
    names: Sequence[str],
    *,
    scale: str = "mini",
    changes: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    """Return rows of the history of each trial of a study's table: its place, step and values.

    `names` are columns of the history, such as "val.miou" or a loss "teacher.feedback", the mean
    since the row before: one an evaluation, and of losses one every training.record_every steps
    too. Rows with none of the names are left out where the trial has others; a trial whose method
    has no such loss has NaN. A trial that several
    cells share is in each of them. Raises `ConfigError` for a study that was never run, or a name
    that no trial has. `changes`: those with which the study was run.
    """
    import pandas as pd

    opened = store if isinstance(store, Store) else Store.open(store)
    table, note = choose(opened, study, scale, changes)
    if note:
        logger.warning("%s", note)
    if not isinstance(table, ResolvedStudy):
        raise ConfigError(
            f"curves must be of a table that was run, got study={study!r}, scale={scale!r}"
        )
    places = pd.DataFrame(
        [
            (study, cell.row, cell.column, replicate, key)
            for cell in table.cells
            for replicate, key in cell.trials.items()
        ],
        columns=pd.Index(PLACE),
    )
    keys = dict.fromkeys(key for cell in table.cells for key in cell.trials.values())
    found = history(opened, list(keys), columns=list(names))
    there = found[list(names)].notna().any(axis=1)
    found = found[there | ~there.groupby(found["key"]).transform("any")]
    return places.merge(found, on="key", how="inner").reset_index(drop=True)
