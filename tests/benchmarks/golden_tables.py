"""Writes tests/golden/mini_tables.parquet and .md: one table of each paper, at mini scale, in full.

    semisweep run STUDY... --draws 1 --seeds 3 --store STORE       # those of STUDIES
    python tests/benchmarks/mini_tables.py STORE DATA

One row a trial, with everything that its result has but for times and machines.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from semisweep import Store, Study
from semisweep.store.query import results
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.trial_records import Result
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.resolve import Splits, resolve
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.table_builder import build

# As they were trained: mini scale has had three draws of one seed since, and these are not yet.
DRAWS, SEEDS = 1, 3
STUDIES = ("segkc_losses", "stpg_selection", "gps_losses", "css_sources", "rankmatch_components")
GOLDEN = Path(__file__).parents[1] / "golden"
RESULTS, TABLES = GOLDEN / "mini_tables.parquet", GOLDEN / "mini_tables.md"
VOLATILE = ("run.", "source.", "library.")

Rows = Mapping[str, Mapping[str, Any]]


def resolved_tables(splits: Splits) -> list[ResolvedStudy]:
    """Return the tables as their studies are now, with the keys of their trials."""
    found = []
    for name in STUDIES:
        study = find_study(name)
        assert isinstance(study, Study)
        preset = dataclasses.replace(study.presets["mini"], draws=DRAWS, seeds=SEEDS)
        trained = dataclasses.replace(study, presets={**study.presets, "mini": preset})
        found.append(resolve(trained, "mini", splits).table)
    return found


def keys_of_all(tables: list[ResolvedStudy]) -> set[str]:
    """Return the keys that some tables want."""
    return {key for own in tables for key in own.keys}


def kept_rows() -> Rows:
    """Return the golden results by key."""
    return {row["key"]: row for row in pa.parquet.read_table(RESULTS).to_pylist()}


def render(tables: list[ResolvedStudy], rows: Rows) -> str:
    """Return the tables as Markdown."""
    return "\n".join(
        to_markdown(build(own, {key: Result(key, row) for key, row in rows.items()}, {}))
        for own in tables
    )


def main(arguments: list[str]) -> None:
    """Write both files."""
    store, data = Store.open(Path(arguments[0])), Path(arguments[1]).absolute()
    tables = resolved_tables(Splits(Roots(data.parent, {"shapes": data})))
    rows = results(store, keys_of_all(tables))
    unfinished = keys_of_all(tables) - rows.keys()
    assert not unfinished, f"{len(unfinished)} trials must finish first"
    kept = [
        {name: value for name, value in rows[key].items() if not name.startswith(VOLATILE)}
        for key in sorted(rows)
    ]
    pa.parquet.write_table(pa.Table.from_pylist(kept), RESULTS, compression="zstd")
    TABLES.write_text(render(tables, kept_rows()), encoding="utf-8")
    print(f"{len(kept)} trials: {RESULTS}, {TABLES}")


if __name__ == "__main__":
    main(sys.argv[1:])
