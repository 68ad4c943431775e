"""Tests on the same images for the cells of a table, made once and kept beside the trials.

<root>/images/<digest>.json   one test: of which trials, which confusion matrices, and its numbers
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterator
from typing import Any

from semisweep.core.config import digest
from semisweep.core.errors import ConfigError, StoreError
from semisweep.statistics.image_bootstrap import ImageTest, image_test
from semisweep.store import files
from semisweep.store.resolved_study import Place, ResolvedStudy
from semisweep.store.store import Store

METRIC = re.compile(r"(last|best)\.(\w+)\.miou")
VERSION = 1

Pairs = list[tuple[str, str]]  # keys of a cell and of the base row, by replicate


def image_tests(
    study: ResolvedStudy, store: Store, finished: Container[str], *, make: bool = False
) -> dict[Place, ImageTest]:
    """Return the test of each complete cell against the base row's; only kept ones unless `make`.

    `finished`: the keys of finished trials. Cells whose confusion matrices are gone, or of other
    images than the base row's, have none.
    """
    found: dict[Place, ImageTest] = {}
    for place, name, pairs in comparisons(study, finished):
        path = store.root / "images" / f"{digest([VERSION, name, pairs])}.json"
        kept = files.read_json(path)
        if kept is None and make:
            kept = _made(store, name, pairs)
            if kept is not None:
                files.write_json(path, kept)
        if kept is not None:
            numbers = kept["test"]
            found[place] = ImageTest(*(math.nan if n is None else float(n) for n in numbers))
    return found


def comparisons(
    study: ResolvedStudy, finished: Container[str]
) -> Iterator[tuple[Place, str, Pairs]]:
    """Yield place, name of the confusion matrices and keys of all cells that could be tested."""
    for place, cell in study.at.items():
        base = study.at.get((study.base, cell.column))
        metric = METRIC.fullmatch(cell.metric or study.metric)
        if base is None or cell.row == study.base or not metric:
            continue
        pairs = [
            (key, base.trials[replicate])
            for replicate, key in cell.trials.items()
            if replicate in base.trials
        ]
        trials = {key for pair in pairs for key in pair}
        if any(a != b for a, b in pairs) and all(key in finished for key in trials):
            yield place, f"{metric[1]}-{metric[2]}", pairs


def _made(store: Store, name: str, pairs: Pairs) -> dict[str, Any] | None:
    import numpy as np

    try:
        arms = [
            np.stack([store.trial(pair[arm]).read_confusion(name) for pair in pairs])
            for arm in (0, 1)
        ]
        test = image_test(arms[0], arms[1])
    except (StoreError, ConfigError, ValueError):  # freed, or of other images
        return None
    return {"of": name, "pairs": [list(pair) for pair in pairs], "test": list(test)}
