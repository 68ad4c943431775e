"""The front door: what guides say to type is understood, and what lies beside is right."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import click
import pandas as pd
import pytest
from guide_lines import PAGES, ROOT, files, lines

from semisweep.cli.commands import cli

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("words", lines(), ids=" ".join)
def test_every_line_of_a_guide_is_understood(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and options are parsed; that they do what is said, the tests of the commands show."""
    monkeypatch.chdir(tmp_path)
    for name in ("results.csv", "IMAGE", *files()):  # files of one's own
        (tmp_path / name).touch()
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]

    assert command.make_context(command.name, words).params is not None


def test_there_are_lines_to_understand() -> None:
    assert len(lines()) > 20


def test_what_make_is_to_do_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", page.read_text(), re.MULTILINE)
        assert {first or second for first, second in named} <= targets, page


def test_the_picture_is_made_of_the_golden_results() -> None:
    sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
    from readme_picture import GOLDEN, PICTURE, picture

    text = PICTURE.read_text(encoding="utf-8")
    assert text == picture(pd.read_parquet(GOLDEN))
    root = ElementTree.fromstring(text)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 12 * 5
    assert len(text) < 10_000


def test_licence_and_citation_are_those_of_the_project() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    licence = (ROOT / "LICENSE").read_text()

    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["authors"] == [{"name": "the semisweep developers"}]
    for line in ("license: Apache-2.0", "  - name: the semisweep developers"):
        assert f"\n{line}\n" in citation
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_the_readme_names_the_wheel_that_is_built() -> None:
    assert f"semisweep-{PROJECT['version']}-py3-none-any.whl" in (ROOT / "README.md").read_text()
