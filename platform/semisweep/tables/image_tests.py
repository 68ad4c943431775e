"""Tests on the same images for the cells of a table, made once and kept beside the trials.

<root>/images/<digest>.json   one test: of which trials, which confusion matrices, and its numbers
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterator, Mapping
from typing import Any

from semisweep.core.config import digest
from semisweep.core.errors import ConfigError, StoreError
from semisweep.statistics.image_bootstrap import ImageTest, image_test
from semisweep.store import files
from semisweep.store.store import Store
from semisweep.tables.table_values import Place

METRIC = re.compile(r"(last|best)\.(\w+)\.miou")
VERSION = 1

Pairs = list[tuple[str, str]]  # keys of a cell and of the base row, by replicate


def image_tests(
    study: Mapping[str, Any], store: Store, finished: Container[str], *, make: bool = False
) -> dict[Place, Any]:
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
    study: Mapping[str, Any], finished: Container[str]
) -> Iterator[tuple[Place, str, Pairs]]:
    """Yield place, name of the confusion matrices and keys of all cells that could be tested."""
    cells = {(cell["row"], cell["column"]): cell for cell in study["cells"]}
    for (row, column), cell in cells.items():
        base = cells.get((study.get("base", ""), column))
        metric = METRIC.fullmatch(cell.get("metric", study["metric"]))
        if base is None or row == study.get("base") or not metric:
            continue
        pairs = [
            (key, base["trials"][replicate])
            for replicate, key in cell["trials"].items()
            if replicate in base["trials"]
        ]
        trials = {key for pair in pairs for key in pair}
        if any(a != b for a, b in pairs) and all(key in finished for key in trials):
            yield (row, column), f"{metric[1]}-{metric[2]}", pairs


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
