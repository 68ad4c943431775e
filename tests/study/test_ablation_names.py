"""Names of ablations: METHOD/DESIGN and its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from semisweep.core.errors import ConfigError
from semisweep.study.ablation_names import ablation_name, is_ablation, parse
from semisweep.study.catalogue import default_scale, find_study
from semisweep.study.declaration import Study
from semisweep.study.named_values import method_names

OWN = """
from semisweep import Ablation, MethodConfig, NetworkConfig, config, functional, setting, Update
from semisweep import Method, Column
from semisweep_studies.presets import MINI

@config
class MineConfig(MethodConfig):
    one: float = setting(1.0, off=0.0)
    two: float = setting(1.0, off=0.0)

class Mine(Method):
    Config = MineConfig

whole = Ablation(
    method=Mine, name="mine", presets={"tiny": MINI},
    columns=[Column(name="a", set={"tiny": {"data.labelled": 8}})],
)
"""


def test_a_name_is_made_and_read_again() -> None:
    name = ablation_name("gps", "shapley", switches="guide,exchange", budget=6)

    assert name == "gps/shapley/switches=guide,exchange/budget=6"
    assert parse(name) == ("gps", "shapley", ("guide", "exchange"), 6, None)
    assert parse("a/b.py:Mine/factorial/resolution=4") == (
        "a/b.py:Mine",
        "factorial",
        None,
        None,
        4,
    )


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("gps/path", True),
        ("x.py:Mine/path", True),
        ("a/x.py:study", False),
        ("gps_losses", False),
        ("a/x.py", False),
        ("/gps", False),
    ],
)
def test_other_names_are_no_ablations(name: str, found: bool) -> None:
    assert is_ablation(name) is found


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gps/", "unknown design ''"),
        ("gps/leave", "unknown design 'leave'; did you mean leave-one-out"),
        ("gps/path/budget=3", "must be given its own options, got budget=3 for path"),
        ("gps/shapley/budget=1", "a whole number from 2, got budget='1'"),
        ("gps/shapley/budget=x", "got budget='x'"),
        ("gps/shapley/budget=" + "9" * 99, "got budget='999"),
        ("gps/shapley/bud=4", "unknown option of a design 'bud'"),
        ("gps/shapley/budget=4/budget=5", "unknown option of a design 'budget'"),
        ("gps/one-in/switches=guide,", "unknown switch of GPS ''"),
        ("supervised/path", "must have a switch that is on"),
    ],
)
def test_a_wrong_name_is_told(name: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_study(name)

    assert told in str(error.value)


@pytest.mark.parametrize("method", method_names())
def test_every_method_with_a_switch_can_be_taken_apart(method: str) -> None:
    if method == "supervised":
        return
    study = find_study(f"{method}/leave-one-out")

    assert isinstance(study, Study)
    assert study.name == f"{method}/leave-one-out"
    assert default_scale([study.name]) == "mini"


def test_a_method_and_an_ablation_of_ones_own_are_found(tmp_path: Path) -> None:
    file = tmp_path / "mine_to_ablate.py"
    file.write_text(OWN)

    method = find_study(f"{file}:Mine/one-in")
    whole = find_study(f"{file}:whole/one-in/switches=two")

    assert isinstance(method, Study)
    assert isinstance(whole, Study)
    assert (method.name, list(method.presets)) == ("mine/one-in", ["mini", "photo"])
    assert (whole.name, list(whole.presets)) == ("mine/one-in/switches=two", ["tiny"])
    assert default_scale([f"{file}:whole/one-in"]) == "tiny"
