"""The page says of every cell what the table in Markdown says, and what is bold there is bold."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from resolved import METRIC, cell, table

from semisweep import Store
from semisweep.report import page
from semisweep.store.resolved_study import Label, ResolvedStudy
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.tables.imported_numbers import ImportedNumber, keep
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.rendering import make_table

SCORES = {  # of each trial of a row: its score, an error, or nothing yet
    "base": [0.40, 0.42, 0.41, 0.43],
    "best": [0.51, 0.52, 0.53, 0.56],
    "worse": [0.30, 0.31, 0.29, 0.32],
    "partial": [0.90, None, "broke", None],
    "failed": ["broke", "broke", "broke", "broke"],
    "some failed": ["broke", None, None, None],
    "missing": [None, None, None, None],
    "theirs": [],
    "elsewhere": [],
}
DRAWS = ("0/0", "1/0", "2/0", "2/1")
COUNTS = {"base": 12345.0, "best": 9.25}
Shown = dict[tuple[int, str], tuple[list[str], bool]]  # grid and row -> texts, whether ours is bold


def fill(store: Store) -> ResolvedStudy:
    """Keep trials that ended in every way there is, and return the table of them."""
    cells = []
    for row, outcomes in SCORES.items():
        trials = {name: f"{row}-{name}".replace("/", "-").replace(" ", "_")
                  for name, _ in zip(DRAWS, outcomes, strict=False)}  # fmt: skip
        for key, outcome in zip(trials.values(), outcomes, strict=True):
            if isinstance(outcome, str):
                store.trial(key).fail({"error": outcome})
            elif outcome is not None:
                source = {"source.code": "then", "method": "semisweep_methods.stpg:STPG"}
                other = source if row == "worse" else {}
                store.trial(key).complete({METRIC: outcome, **other})
        published = {"published": 71.6, "published_std": 0.35} if row != "missing" else {}
        cells.append(cell(trials, row, "scores", **published))
        if row in COUNTS:
            cells.append(cell((), row, "counts", published=43_000.0, value=COUNTS[row]))
    rows = tuple(Label(row, f"{row} row", row == "theirs") for row in SCORES)
    columns = (Label("scores", "Scores"), Label("counts", "Counts", unit="images"))
    return table(*cells, name="all_kinds", base="base", rows=rows, columns=columns)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    store = Store.open(tmp_path / "store", create=True)
    study = fill(store)
    store.write_study(study.name, study.scale, study)
    number = ImportedNumber(
        study=study.name,
        scale="mini",
        row="best",
        column="scores",
        replicate="0/0",
        value=70.5,
        source="theirs.csv",
    )
    keep(store, [number])
    return Request(roots=Roots(tmp_path), store=str(store.root))


def of_markdown(text: str) -> Shown:
    """Return what each row of each grid of a table says."""
    found: Shown = {}
    grid = -1
    for line in text.splitlines():
        grid += line.startswith("###")
        label, *texts = ([part.strip() for part in line.strip("|").split(" | ")]
                         if line.startswith("| ") else [""])  # fmt: skip
        if label and not label.startswith("-"):
            bold = texts[1].startswith("**")
            found[grid, label.strip("| ")] = ([part.strip("* |") for part in texts], bold)
    return found


def of_page(text: str) -> Shown:
    """Return what each row of each grid of a page says."""
    found: Shown = {}
    for grid, source in enumerate(re.findall(r'<table class="cells">.*?</table>', text, re.S)):
        root = ElementTree.fromstring(source.replace("&nbsp;", " "))
        for row in root.findall("tbody/tr"):
            head = row.find("th")
            assert head is not None
            notes = [(small.text or "") for small in head.findall("small")]
            told = "".join(f" ({note})" for note in notes if note != "base")
            texts = [shown(part) for part in row.findall("td")]
            bold = row.find(".//span[@class='best']") is not None
            found[grid, f"{(head.text or '').strip()}{told}"] = (texts, bold)
    return found


def shown(part: ElementTree.Element) -> str:
    """Return what a cell says without its picture, its keys and its command."""
    for inner in (".//summary", ".//span[@class='bounds']"):
        if (found := part.find(inner)) is not None:
            part = found
    for picture in part.findall("svg"):
        picture.clear()
    return " ".join("".join(part.itertext()).split())


def test_the_page_says_what_the_table_says(request_: Request) -> None:
    study = Store.open(request_.store).read_table("all_kinds", "mini")
    assert study is not None
    markdown = of_markdown(to_markdown(make_table(study, request_)))
    sections = page.sections_for([study], request_)
    seen = of_page(page.page(sections, request_.store))

    assert len(markdown) == 2 * len(SCORES) + 1
    for place, (texts, bold) in markdown.items():
        own, is_bold = seen[place]
        if all(text == "–" for text in texts):
            texts = texts[: len(own)]
        assert (own, is_bold) == (texts, bold), place
    assert [place for place, (_, bold) in seen.items() if bold] == [(0, "best row")]
    assert seen[0, "worse row"][0][1].endswith("†")
    assert seen[0, "best row"][0][1] == "52.5 ± 1.8 (3 draws, 4 trials)"
    assert seen[0, "partial row"][0][1] == "90.0 (1 of 4, 1 failed)"
    assert seen[1, "base row"][0] == ["43,000", "12,345"]
    assert len(seen) == len(markdown)
