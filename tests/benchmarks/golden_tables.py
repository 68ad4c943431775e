"""Writes tests/golden/SCALE_tables.parquet and .md: tables that were trained in full.

    semisweep run STUDY... --scale mini --draws 1 --seeds 3 --store STORE        # those of mini
    semisweep run STUDY... --scale photo --option cpu --data camvid=DATA --store STORE  # of photo
    python tests/benchmarks/golden_tables.py SCALE STORE DATA

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
from semisweep.study.scales import Fields
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.table_builder import build

FOLDER = Path(__file__).parents[1] / "golden"
VOLATILE = ("run.", "source.", "library.")

Rows = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Golden:
    """Tables of one scale on one data set, and what was set for them.

    `draws` and `seeds`: where they were trained with others than the scale has now.
    """

    scale: str
    studies: tuple[str, ...]
    data: str
    changes: Fields = dataclasses.field(default_factory=dict)
    draws: int | None = None
    seeds: int | None = None

    @property
    def results(self) -> Path:
        """The results, a row a trial."""
        return FOLDER / f"{self.scale}_tables.parquet"

    @property
    def tables(self) -> Path:
        """The tables, as Markdown."""
        return FOLDER / f"{self.scale}_tables.md"

    def resolved(self, data: Path) -> list[ResolvedStudy]:
        """Return the tables as their studies are now, with the keys of their trials."""
        splits = Splits(Roots(data.parent, {self.data: data}))
        found = []
        for name in self.studies:
            study = find_study(name)
            assert isinstance(study, Study)
            preset = study.presets[self.scale]
            if self.draws is not None:
                preset = dataclasses.replace(preset, draws=self.draws, seeds=self.seeds)
            trained = dataclasses.replace(study, presets={**study.presets, self.scale: preset})
            found.append(resolve(trained, self.scale, splits, self.changes).table)
        return found

    def rows(self) -> Rows:
        """Return the kept results by key."""
        return {row["key"]: row for row in pa.parquet.read_table(self.results).to_pylist()}


MINI = Golden(
    scale="mini",
    studies=("segkc_losses", "stpg_selection", "gps_losses", "css_sources", "rankmatch_components"),
    data="shapes",
    draws=1,
    seeds=3,
)
PHOTO = Golden(
    scale="photo",
    studies=("photo_learning_rate", "quickstart"),
    data="camvid",
    changes={"option": "cpu"},
)
SCALES = {own.scale: own for own in (MINI, PHOTO)}


def keys_of_all(tables: list[ResolvedStudy]) -> set[str]:
    """Return the keys that some tables want."""
    return {key for own in tables for key in own.keys}


def render(tables: list[ResolvedStudy], rows: Rows) -> str:
    """Return the tables as Markdown."""
    return "\n".join(
        to_markdown(build(own, {key: Result(key, row) for key, row in rows.items()}, {}))
        for own in tables
    )


def main(arguments: list[str]) -> None:
    """Write both files."""
    golden = SCALES[arguments[0]]
    store, data = Store.open(Path(arguments[1])), Path(arguments[2]).absolute()
    tables = golden.resolved(data)
    rows = results(store, keys_of_all(tables))
    unfinished = keys_of_all(tables) - rows.keys()
    assert not unfinished, f"{len(unfinished)} trials must finish first"
    kept = [
        {name: value for name, value in rows[key].items() if not name.startswith(VOLATILE)}
        for key in sorted(rows)
    ]
    pa.parquet.write_table(pa.Table.from_pylist(kept), golden.results, compression="zstd")
    golden.tables.write_text(render(tables, golden.rows()), encoding="utf-8")
    print(f"{len(kept)} trials: {golden.results}, {golden.tables}")


if __name__ == "__main__":
    main(sys.argv[1:])
