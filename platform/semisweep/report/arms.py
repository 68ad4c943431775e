"""The arms of a table whose weights are kept, and the images that all of them are shown on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from semisweep.core.errors import ConfigError, StoreError
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store

if TYPE_CHECKING:
    from semisweep.data.base import DataSet
    from semisweep.study.data_roots import Roots
    from semisweep.training.method import Method

PARTS = ("test", "val")  # the first that a data set has
WEIGHTS = ("last", "best")


class Arm(NamedTuple):
    """A row of a table at one column, and the finished trial of it that is shown."""

    label: str
    key: str
    weights: str


def arms(study: ResolvedStudy, column: str, store: Store) -> list[Arm]:
    """Return the arms of a column that have a finished trial with kept weights, in order.

    Of each arm the first such trial in the order of its replicates, so that all show one seed.
    """
    cells = {cell.row: cell.trials for cell in study.cells if cell.column == column}
    found = (arm_of(row.label, cells.get(row.name, {}), store) for row in study.rows)
    return [arm for arm in found if arm is not None]


def arm_of(
    label: str, trials: Mapping[str, str], store: Store, weights: Sequence[str] = WEIGHTS
) -> Arm | None:
    """Return an arm with the first of some trials, by replicate, that has kept weights."""
    from semisweep.evaluation.kept_weights import weights_file

    for key in trials.values():
        for name in weights:
            try:
                weights_file(store.trial(key), name)
            except StoreError:
                continue
            return Arm(label, key, name)
    return None


def opened(
    arm: Arm, store: Store, roots: Roots, device: str = "cpu", *, whole: bool = False
) -> tuple[Method, DataSet]:
    """Return an arm's method with its weights, in evaluation mode, and its data set.

    `whole`: raise `StoreError` unless the weights of every network were kept.
    """
    from semisweep.evaluation.kept_weights import opened_trial, rebuild, weights_file

    folder = store.trial(arm.key)
    trial, dataset = opened_trial(folder, roots)
    file = weights_file(folder, arm.weights)
    return rebuild(trial, len(dataset.classes), file, device, whole=whole), dataset


def shown_images(dataset: DataSet, count: int) -> list[str]:
    """Return the ids of so many images, evenly spaced in a part's list: never chosen by result."""
    part = next((name for name in PARTS if name in dataset.parts), None)
    if part is None:
        raise ConfigError(f"a data set must have a part to show, got parts={dataset.parts}")
    return evenly([image for image in dataset.part(part) if dataset.has_mask(image)], count)


def evenly(ids: list[str], count: int) -> list[str]:
    """Return so many of some ids, evenly spaced in their list."""
    if count >= len(ids):
        return ids
    return [ids[(2 * index + 1) * len(ids) // (2 * count)] for index in range(count)]


def columns_of(study: ResolvedStudy) -> Iterator[tuple[str, str]]:
    """Yield name and label of each column of a table."""
    yield from ((column.name, column.label) for column in study.columns)
