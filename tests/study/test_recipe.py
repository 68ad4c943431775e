"""What `semisweep studies STUDY` prints is what every cell trains, and says where it is from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from semisweep import Column, DataConfig, Row, Search, Study
from semisweep.core.config import flatten, replace
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.recipe import PRESET, UNTOLD, cells_of, cells_text, entries, sources_table
from semisweep.study.resolve import make_trial, preset_of, replicates, resolve
from semisweep.study.scales import SCALES, at_scale, has_scale
from semisweep.study.search_space import fields_of, leaf_text, samples, unfold
from semisweep.study.tuned_rows import space_of
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.rankmatch import RankMatch
from semisweep_studies.presets import MINI

Call = Callable[..., Any]
ALL = [
    pytest.param(study, scale, id=f"{study.name}-{scale}")
    for study in map(find_study, study_names())
    for scale in (*SCALES, "proxy")
    if has_scale(study.presets, scale)
]
STUDY = Study(
    name="two",
    title="Two",
    presets={"mini": MINI},
    base="fix",
    seeds=2,
    draws=3,
    rows=[
        Row(name="fix", method=FixMatch),
        Row(name="rank", method=RankMatch, set={"config.rank_weight": 0.25}),
        Row(name="no rank", method=RankMatch, set={"training.steps": 7}),
    ],
    columns=[
        Column(name="few", set={"mini": {"data.labelled": 8}}),
        Column(name="many", set={"mini": {"data.labelled": 16}}),
    ],
)


def trained(study: Study, scale: str) -> Iterator[tuple[tuple[str, str], list[dict[str, Any]]]]:
    """Yield each cell that is trained and the fields of all its trials, as they are resolved.

    What a row is tuned in has the text of its distribution.
    """
    for row in study.rows:
        space = {name: leaf_text(unfold(own)[1]) for name, own in space_of(row, scale).items()}
        for column in study.columns:
            if column.exists(scale):
                trials = [trial for _, trial in replicates(study, scale, row, column, {})]
                if trials:
                    fields = [flatten(trial.encoded()) | space for trial in trials]
                    yield (row.name, column.name), fields


def printed(text: str) -> dict[str, set[str]]:
    """Return the values that the tables of a text show for each field."""
    found: dict[str, set[str]] = {}
    for line in text.partition("### Options")[0].splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)]
        if line.startswith("| ") and cells[1] != "field":
            found.setdefault(cells[1], set()).add(cells[2].replace("\\|", "|"))
    return found


def is_told(path: str, value: object) -> bool:
    return not (path in UNTOLD and value is None)


def over_replicates(path: str, trials: list[dict[str, Any]]) -> object:
    """Return a field's value: a list of those that replicates differ in by their nature."""
    values = list(dict.fromkeys(str(trial[path]) for trial in trials))
    if path == "seed" or len(values) > 1:
        assert path in ("seed", "data.draw")
        return [int(value) for value in values]
    return trials[0][path]


@pytest.mark.parametrize(("study", "scale"), ALL)
def test_what_is_printed_is_what_cells_train(study: Study | Search, scale: str) -> None:
    if isinstance(study, Search):
        return
    shown = printed(sources_table(study, scale))
    expected: dict[str, set[str]] = {}
    places: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for place, trials in trained(study, scale):
        for path in trials[0]:
            value = over_replicates(path, trials)
            if is_told(path, value):
                expected.setdefault(path, set()).add(str(value))
                places.setdefault((path, str(value)), set()).add(place)
    metrics = shown.pop("metric", set())

    assert shown == expected
    found = {(own.field, str(own.value)): set(own.places) for own in entries(
        cells_of(study, scale, {})) if own.field != "metric"}  # fmt: skip
    assert found == places
    table = resolve(study, scale, None).table
    cells = {place for place, _ in trained(study, scale)}
    assert metrics == {table.at[place].metric or table.metric for place in cells}


@pytest.mark.parametrize(("study", "scale"), ALL)
def test_what_a_search_prints_is_what_it_does_not_vary_and_what_it_does(
    study: Study | Search, scale: str
) -> None:
    if isinstance(study, Study):
        return
    shown = printed(sources_table(study, scale))
    space = at_scale(study.space, scale, {})
    template = make_trial(preset_of(study, scale), study.method, at_scale(study.set, scale, {}), {})
    varied = {path for fields in samples(space) for path in fields} | set(space)
    for fields in samples(space):
        trial = flatten(replace(template, fields).encoded())
        for path, value in trial.items():
            if is_told(path, value) and not any(
                path == own or path.startswith(f"{own}.") for own in varied
            ):
                assert shown[path] == {str(value)}, path
    assert set(space) <= shown.keys()
    assert fields_of(space, {}) == {}


@pytest.mark.parametrize(("study", "scale"), ALL)
def test_every_value_of_a_paper_says_where_it_comes_from(study: Study | Search, scale: str) -> None:
    untold = [own.field for own in entries(cells_of(study, scale, {})) if own.source == PRESET]

    assert untold == [] or scale == "mini"


def test_sources_are_the_row_the_column_the_preset_the_user_and_the_method() -> None:
    text = sources_table(STUDY, "mini", {"training.crop_pixels": 48})

    def sources(path: str) -> dict[str, list[str]]:
        lines = [line for line in text.splitlines() if line.startswith(f"| {path} ")]
        rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]
        return {row[0]: row[1:] for row in rows}

    assert sources("training.crop_pixels") == {"48": ["--set"]}
    assert sources("training.labelled_batch") == {"4": ["preset"]}
    assert sources("data.labelled") == {
        "8": ["all rows at few", "column"],
        "16": ["all rows at many", "column"],
    }
    assert sources("training.steps") == {"1500": ["fix, rank", "preset"], "7": ["no rank", "row"]}
    assert sources("config.rank_weight")["0.25"] == ["rank", "row"]
    assert sources("config.rank_weight")["0.1"][0] == "no rank"
    assert sources("config.rank_weight")["0.1"][1].startswith("default of RankMatch: paper 0.1")
    assert sources("config.agents")["128"][0] == "rank, no rank"
    assert sources("data.draw") == {"[0, 1, 2]": ["draws of the study"]}
    assert sources("seed") == {"[0]": ["seeds of the study"]}
    assert f"\n- {MINI.notes_on('shapes')[0]}" in text
    assert "Ours: the embedded data set `shapes` with" in text


def test_cells_are_told_by_rows_and_columns() -> None:
    cells = cells_of(STUDY, "mini", {})

    assert cells_text([("fix", "few"), ("rank", "many")], cells) == "fix at few; rank at many"
    assert cells_text([cell.place for cell in cells], cells) == "all rows"


def test_values_that_no_cell_has_are_not_printed(call: Call) -> None:
    """Presets of these two say 16 and 171, and no cell has them."""
    paper = ("--scale", "paper")
    seniors = call("studies", "segkc_seniors", *paper).out
    first = call("studies", "gps_first_epoch", *paper).out

    assert printed(seniors)["training.labelled_batch"] == {"8"}
    assert printed(first)["training.epochs"] == {"160", "128"}
    assert printed(seniors)["data.labelled"] > {"92", "183", "1464"}
    assert "config.guide_weight" in printed(first)
    assert printed(
        call("studies", "gps_first_epoch", *paper, "--set", "training.crop_pixels=64").out
    )["training.crop_pixels"] == {"64"}


def test_a_change_that_does_not_fit_is_refused(call: Call, refused: Callable[..., None]) -> None:
    refused(call("studies", "quickstart", "--set", "training.stebs=3"), "training.stebs")


def test_a_study_that_trains_nothing_says_so(call: Call) -> None:
    said = call("studies", "gps_images")

    assert "No cell is trained" in said.out
    assert "| field" not in said.out


def test_a_study_of_one_row_has_no_differences() -> None:
    one = dataclasses.replace(STUDY, rows=STUDY.rows[:1], columns=STUDY.columns[:1])

    assert "###" not in sources_table(one, "mini")


def test_notes_name_the_data_that_is_trained_on() -> None:
    own = dataclasses.replace(MINI, data=DataConfig(name="cells", labelled=8))
    study = dataclasses.replace(STUDY, presets={"mini": own})
    (note,) = [note for note in resolve(study, "mini", None).table.notes if "Ours:" in note]
    (other,) = [
        note
        for note in resolve(STUDY, "mini", None, {"data.name": "cells"}).table.notes
        if "Ours:" in note
    ]
    assert note == other
    assert note.startswith("Ours: the data set `cells` with small networks.")
