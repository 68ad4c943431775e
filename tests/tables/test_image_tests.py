"""Tests on the same images, kept in a store: made by a run, shown by every table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from resolved import cell, table

from semisweep import Store
from semisweep.store.query import results
from semisweep.tables.image_tests import image_tests
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.table_builder import Outside, build

STUDY = table(
    cell(["a0", "a1"], row="base"),
    cell(["b0", "b1"], row="row"),
    cell(["a0", "a1"], row="same"),
    base="base",
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store of four trials; on every image b is right a bit more often than a."""
    made = Store.open(tmp_path / "store", create=True)
    numbers = np.random.default_rng(0)
    for key, right in {"a0": 600, "a1": 620, "b0": 700, "b1": 710}.items():
        hits = numbers.normal(right, 40, (12, 2)).clip(0, 1000).astype(np.int64)
        counts = np.zeros((12, 2, 2), dtype=np.int64)
        counts[:, [0, 1], [0, 1]], counts[:, [0, 1], [1, 0]] = hits, 1000 - hits
        made.trial(key).write_confusion("last-test", counts)
        made.trial(key).complete({"last.test.miou": right / 1500})
    return made


def test_tests_are_made_on_request_and_kept(store: Store) -> None:
    place = ("row", "one")

    assert image_tests(STUDY, store, store.finished()) == {}
    made = image_tests(STUDY, store, store.finished(), make=True)
    assert set(made) == {place}
    assert made[place].low > 0
    assert made[place].image_std < made[place].total_std
    assert image_tests(STUDY, store, store.finished()) == made


def test_a_table_tells_images_and_replicates_apart(store: Store) -> None:
    rows = results(store, ["a0", "a1", "b0", "b1"])
    tests = image_tests(STUDY, store, store.finished(), make=True)
    text = to_markdown(build(STUDY, rows, {}, Outside(images=tests)), further=True)

    found = tests["row", "one"]
    of_mean = found.replicate_std / math.sqrt(2)
    assert f"images {100 * found.image_std:.1f}, replicates {100 * of_mean:.1f}." in text
    assert f"{100 * of_mean:.1f}" != f"{100 * found.replicate_std:.1f}"
    assert "Images:" not in to_markdown(build(STUDY, rows, {}), further=True)


def test_freed_matrices_and_other_images_are_no_test(store: Store) -> None:
    (store.trial("b0").path / "confusion-last-test.npz").unlink()
    assert image_tests(STUDY, store, store.finished(), make=True) == {}

    store.trial("b0").write_confusion("last-test", np.ones((5, 2, 2), dtype=np.int64))
    assert image_tests(STUDY, store, store.finished(), make=True) == {}
