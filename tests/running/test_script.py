"""What `semisweep.run` refuses, in one line and before Ray starts."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

import semisweep
from semisweep import Column, Row, Study
from semisweep.core.errors import ConfigError, SemisweepError
from semisweep.study.request import Request, Resources, RunOptions, make_request
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import MINI

STUDY = Study(
    name="mine",
    title="A study that no module has",
    presets={"mini": MINI},
    base="one",
    rows=[Row(name="one", method=Supervised)],
    columns=[Column(name="few", set={"mini": {"data.labelled": 8}})],
)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"seed": 3}, "unknown option 'seed'; did you mean seeds"),
        ({"seeds": 0}, "a whole number from 1 to 1000, got seeds=0"),
        ({"threads": 1.5}, "a whole number from 1 to 1024, got threads=1.5"),
        ({"gpus": -1}, "a number from 0 to 1024, got gpus=-1"),
        ({"gpus": "all"}, "a number from 0 to 1024, got gpus='all'"),
        ({"race": "yes"}, "True or False, got race='yes'"),
        ({"retrain": "one"}, "a list of rows, got retrain='one'"),
        ({"set": "training.steps=3"}, "a dictionary, got set='training.steps=3'"),
        ({"keep": "some"}, "unknown weights to keep 'some'"),
        ({"scale": "huge"}, "huge"),
        ({"set": {"training.stepz": 3}}, "training.stepz"),
        ({"set": {"training.steps": -3}}, "training.steps=-3"),
        ({"data": {"voc": "nothing/there"}}, "nothing/there"),
    ],
)
def test_options_are_refused_in_one_line(
    tmp_path: Path, tiny_shapes: Path, options: Any, parts: str
) -> None:
    given = {"data": {"shapes": tiny_shapes}, **options}
    with pytest.raises(SemisweepError) as error:
        semisweep.run(STUDY, tmp_path / "store", **given)

    assert parts in str(error.value)
    assert "\n" not in str(error.value)
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()


@pytest.mark.parametrize("study", ["nothing", Supervised, None])
def test_what_is_no_study_is_refused(tmp_path: Path, study: Any) -> None:
    with pytest.raises(ConfigError, match="study"):
        semisweep.run(study, tmp_path / "store")


def test_a_method_of_a_cell_is_refused_with_what_to_do(tmp_path: Path, tiny_shapes: Path) -> None:
    own = type("Mine", (Supervised,), {"__module__": "__main__", "__qualname__": "Mine"})
    sys.modules["__main__"].Mine = own  # type: ignore[attr-defined]
    study = dataclasses.replace(STUDY, rows=[Row(name="one", method=own)])
    with pytest.raises(ConfigError) as error:
        semisweep.run(study, tmp_path / "store", data={"shapes": tiny_shapes})

    assert str(error.value) == (
        "a method must be importable by workers, got method=__main__:Mine; write its class at the "
        "top of a file beside, such as mine.py, and import it: from mine import Mine"
    )


def test_a_method_within_a_function_is_refused(tmp_path: Path, tiny_shapes: Path) -> None:
    class Inner(Supervised):
        """A class that no import finds."""

    study = dataclasses.replace(STUDY, rows=[Row(name="one", method=Inner)])
    with pytest.raises(ConfigError, match=r"importable by workers, got method=.*<locals>\.Inner"):
        semisweep.run(study, tmp_path / "store", data={"shapes": tiny_shapes})


def test_the_options_are_all_that_a_request_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {own.name for own in dataclasses.fields(Request)}
    names |= {own.name for own in dataclasses.fields(Resources)}
    names -= {"roots", "store", "changes", "resources", "any_scale"}

    assert {*RunOptions.__annotations__} == names | {"data", "set"}
    monkeypatch.setenv("SEMISWEEP_STORE", str(tmp_path / "theirs"))
    request = make_request(None, {"set": {"training.steps": 3}, "gpus": "auto", "race": True})
    assert request.store == str(tmp_path / "theirs")
    assert request.changes == {"training.steps": 3}
    assert (request.resources.gpus, request.race) == ("auto", True)
