"""Tests on the same images for the cells of a table, made once and kept beside the trials.

<root>/images/<digest>.json   one test: of which trials, which confusion matrices, and its numbers
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from semisweep.core.config import digest
from semisweep.core.errors import ConfigError, StoreError
from semisweep.statistics.image_bootstrap import ImageTest, image_test
from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.json_fields import Fields
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
        test = _read(path)
        if test is None and make:
            test = _made(store, name, pairs)
            if test is not None:
                of = {"of": name, "pairs": [list(pair) for pair in pairs]}
                files.write_json(path, of | {"test": list(test)})
        if test is not None:
            found[place] = test
    return found


def _read(path: Location) -> ImageTest | None:
    """Return the test that a file keeps, None without one; raise `StoreError` for another file."""
    kept = files.read_json(path)
    if kept is None:
        return None
    fields = Fields(kept, "a test on images", path)
    numbers = fields.numbers_or_nan("test")
    if len(numbers) != len(ImageTest._fields):
        raise fields.wrong("test", f"{len(ImageTest._fields)} numbers")
    return ImageTest(*numbers)


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


def _made(store: Store, name: str, pairs: Pairs) -> ImageTest | None:
    import numpy as np

    try:
        arms = [
            np.stack([store.trial(pair[arm]).read_confusion(name) for pair in pairs])
            for arm in (0, 1)
        ]
        return image_test(arms[0], arms[1])
    except (StoreError, ConfigError, ValueError):  # freed, or of other images
        return None
