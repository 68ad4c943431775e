"""Studies and methods by name: those that come along, and other people's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semisweep import Method, Search, Study
from semisweep.core.errors import ConfigError
from semisweep.study.catalogue import check_study_name, find_study, short, study_names
from semisweep.study.named_values import find_method, method_names
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


@pytest.mark.parametrize("name", ["./study_beside.py", "../mine/study_beside.py"])
def test_a_file_finds_what_lies_beside_it_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "title_beside.py").write_text('TITLE = "from beside"\n')
    (folder / "study_beside.py").write_text(
        "from title_beside import TITLE\n" + MINE.replace('title=""', "title=TITLE")
    )
    monkeypatch.chdir(folder)

    assert find_study(f"{name}:mine").title == "from beside"


def test_a_file_of_a_package_may_import_relatively(tmp_path: Path) -> None:
    package = tmp_path / "lab_of_tests"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text('TITLE = "from a package"\n')
    (package / "work.py").write_text(
        "from .words import TITLE\n" + MINE.replace('title=""', "title=TITLE")
    )

    found = find_study(f"{package}/work.py:mine")

    assert found.title == "from a package"
    assert find_study("lab_of_tests.work:mine") is found


def test_what_lies_beside_a_file_never_hides_pythons_own_modules(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text("raise RuntimeError\n")
    (tmp_path / "study_at_peace.py").write_text("import statistics\n" + MINE)

    assert find_study(f"{tmp_path}/study_at_peace.py:mine").name == "mine"


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
    ("number", "source", "told"),
    [
        (0, 'raise ValueError("mine")', "ValueError: mine"),
        (1, "import os; os.no_such_thing", "AttributeError: module 'os' has no attribute"),
        (2, "import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        (3, "from os import no_such_name", "ImportError: cannot import name 'no_such_name'"),
        (4, "import json; json.loads('{')", "JSONDecodeError: "),
        (5, "x = (1", "SyntaxError: "),
        (6, "from semisweep import Row; Row(nmae='x')", "did you mean name?"),
        (7, "from semisweep import Column; Column(name='x', set={})", "must name a scale"),
        (8, "undefined", "NameError: name 'undefined' is not defined"),
        (9, "from semisweep import NetworkConfig; NetworkConfig(decoder='x')", "decoder='x'"),
    ],
)
def test_a_mistake_in_a_study_is_one_line_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, source: str, told: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = f"study_with_bug_{number}"
    (tmp_path / f"{module}.py").write_text(f"\n{source}\n")

    for name in (f"{tmp_path / module}.py:study", f"{module}:study"):
        with pytest.raises(ConfigError) as caught:
            find_study(name)
        assert told in str(caught.value)
        assert f"`{source}`" in str(caught.value)
        assert f"{module}.py, line 2" in str(caught.value)
        assert "must be importable, got study=" not in str(caught.value)


def test_a_mistake_in_a_sibling_is_told_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "faulty_sibling.py").write_text("\n\nundefined\n")
    (tmp_path / "study_of_siblings.py").write_text("import faulty_sibling\n")

    with pytest.raises(ConfigError, match=r"faulty_sibling\.py, line 3"):
        find_study(f"{tmp_path}/study_of_siblings.py:study")


def test_what_is_no_mistake_of_a_declaration_is_raised_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "study_that_reads.py").write_text('open("no such file")\n')

    with pytest.raises(FileNotFoundError):
        find_study(f"{tmp_path}/study_that_reads.py:study")


def test_the_file_of_a_study_may_not_hide_another_module(
    call: Call, refused: Check, tmp_path: Path
) -> None:
    (tmp_path / "statistics.py").write_text("study = 1")
    import statistics

    said = call("plan", "statistics.py:study")

    refused(said, "must not have the name of another module", "module=statistics")
    assert sys.modules["statistics"] is statistics
