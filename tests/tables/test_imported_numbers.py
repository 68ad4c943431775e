"""Numbers from elsewhere: read strictly, kept apart, shown as what they are."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from resolved import cell, table

from semisweep import Store
from semisweep.core.errors import ConfigError, StoreError
from semisweep.store.files import write_json
from semisweep.tables.imported_numbers import keep, read_csv, read_imported, summaries

Call = Callable[..., Any]
Check = Callable[..., None]
HEAD = "study,row,column,value,replicate,source\n"
STUDY = "rankmatch_weight"
PLACE = f"{STUDY},lambda=0.1,1/16 (92)"


def written(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "numbers.csv"
    path.write_text(head + "".join(f"{line}\n" for line in lines))
    return path


def test_imported_numbers_stand_in_a_line_of_their_own(call: Call, tmp_path: Path) -> None:
    file = written(tmp_path, f"{PLACE},70.0,,lab log", f"{PLACE},72.0,,lab log")
    store = tmp_path / "store"

    assert call("import", file, "--store", store).out.startswith("2 of 2 numbers are new")
    assert call("import", file, "--store", store).out.startswith("0 of 2 numbers are new")
    shown = call("table", STUDY, "--scale", "paper", "--store", store, "--notes").out
    lines = call("table", STUDY, "--scale", "paper", "--store", store, "--format", "csv").out
    found = [row for row in csv.DictReader(lines.splitlines()) if row["verdict"] == "imported"]

    assert "lambda=0.1 (imported)" in shown
    assert "71.0 ± 1.4 (2 imported)" in shown
    assert "Imported: trained elsewhere, counted with nothing else: lab log." in shown
    assert [(row["row"], row["mean"], row["n"], row["keys"]) for row in found] == [
        ("lambda=0.1", "71.0", "2", "")
    ]


def test_the_seeds_of_a_draw_are_one_unit(tmp_path: Path) -> None:
    values = [("0/0", 60.0), ("0/1", 62.0), ("1/0", 70.0), ("1/1", 72.0)]
    lines = read_csv(written(tmp_path, *(f"{PLACE},{v},{r}," for r, v in values)))
    found = summaries(lines)["lambda=0.1", "1/16 (92)"]

    assert (found.n, found.mean, found.sources) == (2, 66.0, ("numbers.csv",))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{PLACE},seventy,,", "value='seventy' in .*line 2"),
        (f"{PLACE},170,,", "0 to 100, got value='170'"),
        (f"{PLACE},nan,,", "value='nan'"),
        (f"{PLACE},70,first,", "draw/seed"),
        (f"{STUDY},,1/16 (92),70,,", "must name its row, got none in .*line 2"),
    ],
)
def test_a_number_that_will_not_do_is_named_by_its_line(
    tmp_path: Path, line: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_csv(written(tmp_path, line))


def test_other_columns_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must have the columns study, row, column, value"):
        read_csv(written(tmp_path, head="study,row,mIoU\n"))
    with pytest.raises(ConfigError, match="must hold numbers"):
        read_csv(written(tmp_path))
    with pytest.raises(ConfigError, match="given once"):
        read_csv(written(tmp_path, f"{PLACE},70,0/0,", f"{PLACE},71,0/0,"))


@pytest.mark.parametrize(
    ("place", "parts"),
    [
        (f"{STUDY},lambda=0.3,1/16 (92)", ("unknown row of rankmatch_weight", "lambda=0.2")),
        (f"{STUDY},lambda=0.1,1/8", ("unknown column of rankmatch_weight",)),
        ("no_such_study,a,b", ("unknown study",)),
        ("rankmatch_search,a,b", ("must be of a table",)),
    ],
)
def test_a_place_that_does_not_exist_is_refused_and_nothing_is_kept(
    call: Call, refused: Check, tmp_path: Path, place: str, parts: tuple[str, ...]
) -> None:
    said = call("import", written(tmp_path, f"{place},70,,"), "--store", tmp_path / "store")

    refused(said, *parts)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", ["notes.py:x", "./notes.py:x", "notes:x", "notes"])
def test_a_file_of_numbers_runs_no_code(
    call: Call, refused: Check, tmp_path: Path, name: str
) -> None:
    (tmp_path / "notes.py").write_text("open('ran', 'w').close()\n")

    said = call("import", written(tmp_path, f"{name},a,b,70,,"), "--store", tmp_path / "store")

    refused(said, f"unknown study to import numbers of '{name}'")
    assert not (tmp_path / "ran").exists()


def test_a_study_of_the_store_takes_numbers(call: Call, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    own = table(cell(["aaaa"], row="a", column="b"), name="mine", scale="paper")
    store.write_study("mine", "paper", own)

    said = call("import", written(tmp_path, "mine,a,b,70,,"), "--store", tmp_path / "store")

    assert said.code == 0, said.error
    assert "1 of 1 numbers are new" in said.out


def test_a_kept_number_does_not_change(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    keep(store, read_csv(written(tmp_path, f"{PLACE},70,,log")))

    with pytest.raises(StoreError, match=r"value=71\.0, kept=70\.0"):
        keep(store, read_csv(written(tmp_path, f"{PLACE},71,,log")))
    assert keep(store, read_csv(written(tmp_path, f"{PLACE},71,,other"))) == 1
    assert [number.value for number in read_imported(store, STUDY, "paper")] == [70.0, 71.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 2, "entries": []}, "must have format, 1, got 2"),
        ({"format": 1, "entries": [{"row": "a"}]}, "an imported number must have column, a text"),
        ({"format": 1, "entries": [3]}, "must be a JSON object, got 3"),
    ],
)
def test_a_file_of_another_shape_is_one_error(
    tmp_path: Path, content: dict[str, object], message: str
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    write_json(store.root / "imported" / f"{STUDY}@paper.json", content)

    with pytest.raises(StoreError, match=message):
        read_imported(store, STUDY, "paper")
