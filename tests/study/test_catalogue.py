"""Studies and methods by name: those that come along, and other people's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semisweep import Method, Search, Study
from semisweep.core.errors import ConfigError
from semisweep.study.catalogue import (
    check_study_name,
    find_method,
    find_study,
    method_names,
    short,
    study_names,
)
from semisweep_methods.rankmatch import RankMatch
from semisweep_studies.quickstart import quickstart

Call = Callable[..., Any]
Check = Callable[..., None]

MINE = """
from semisweep import Study

mine = Study(name="mine", title="", presets={}, rows=[], columns=[], base="")
"""


def test_all_that_come_along_are_found() -> None:
    assert "quickstart" in study_names()
    for name in study_names():
        assert isinstance(find_study(name), Study | Search)
    for name in method_names():
        assert issubclass(find_method(name), Method)


def test_names_and_import_paths_lead_to_the_same() -> None:
    assert find_study("quickstart") is quickstart
    assert find_study("semisweep_studies.quickstart:quickstart") is quickstart
    assert find_method("rankmatch") is RankMatch
    assert find_method("RankMatch") is RankMatch
    assert find_method("semisweep_methods.rankmatch:RankMatch") is RankMatch


def test_a_study_of_ones_own_is_found_in_its_file_and_in_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_own_study.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)

    found = find_study("my_own_study.py:mine")

    assert found.name == "mine"
    assert find_study(f"{tmp_path}/my_own_study.py:mine") is found
    assert find_study("my_own_study:mine") is found
    del sys.modules["my_own_study"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quickstrt", "unknown study 'quickstrt'; did you mean quickstart?"),
        ("semisweep_studies.quickstart:quikstart", "did you mean quickstart?"),
        ("semisweep_studies.quickstart:Row", "must be a Study or a Search, got"),
        ("semisweep_studies.nothing:x", "No module named 'semisweep_studies.nothing'"),
        ("no_such_package.studies:x", "No module named 'no_such_package'"),
        ("here.py:x", "the file of a study must exist, got file=here.py"),
        (":x", "package.module:name"),
        ("x:", "package.module:name"),
        (".x:y", "package.module:name"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_study(name)

    assert message in str(caught.value)


def test_an_unknown_method_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown method 'rankmach'; did you mean rankmatch"):
        find_method("rankmach")


def test_plain_names_are_checked_without_importing_studies() -> None:
    check_study_name("rankmatch_agents")
    check_study_name("anything.at:all")
    with pytest.raises(ConfigError, match="unknown study"):
        check_study_name("rankmatch")


def test_a_study_is_called_by_its_last_name() -> None:
    assert short("quickstart") == "quickstart"
    assert short("my_package.studies:mine") == short("mine.py:mine") == "mine"


def test_a_bug_in_a_study_shows_its_traceback(process: Call, tmp_path: Path) -> None:
    (tmp_path / "bad_study.py").write_text('raise RuntimeError("a bug of mine")\n')

    said = process("plan", "bad_study.py:study")

    assert said.code == 1
    assert "Traceback (most recent call last)" in said.error
    assert 'bad_study.py", line 1' in said.error
    assert "RuntimeError: a bug of mine" in said.error


@pytest.mark.parametrize(
    ("number", "source", "error"),
    [
        (0, 'raise ValueError("mine")', ValueError),
        (1, "import os; os.no_such_thing", AttributeError),
        (2, "import no_such_library", ModuleNotFoundError),
        (3, "from os import no_such_name", ImportError),
        (4, 'open("no such file")', FileNotFoundError),
    ],
)
def test_no_bug_in_a_study_is_taken_for_a_wrong_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    source: str,
    error: type[Exception],
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = f"study_with_bug_{number}"
    (tmp_path / f"{module}.py").write_text(source)

    for name in (f"{tmp_path / module}.py:study", f"{module}:study"):
        with pytest.raises(error):
            find_study(name)


def test_the_file_of_a_study_may_not_hide_another_module(
    call: Call, refused: Check, tmp_path: Path
) -> None:
    (tmp_path / "statistics.py").write_text("study = 1")
    import statistics

    said = call("plan", "statistics.py:study")

    refused(said, "must not have the name of another module", "module=statistics")
    assert sys.modules["statistics"] is statistics
