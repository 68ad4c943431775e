"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_store import STEPS, fill_search, fill_table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from semisweep import Store, history, load
from semisweep.core.errors import ConfigError, StoreError
from semisweep.tracking.tensorboard_events import export


@pytest.fixture
def root(tmp_path: Path, tiny_shapes: Path) -> Path:
    fill_table(tmp_path / "store", "rankmatch_agents", tiny_shapes.parent, seeds=2)
    return tmp_path / "store"


def read(folder: Path) -> Any:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_tensorboard_reads_histories_and_scores_at_their_steps(root: Path, tmp_path: Path) -> None:
    count = export(Store.open(root), "rankmatch_agents", "mini", tmp_path / "events")

    found = read(tmp_path / "events" / "agents=128" / "1-16 (92)" / "replicate 0-1")
    key = Store.open(root).read_table("rankmatch_agents", "mini").cells[1].trials["0/1"]
    own = history(root, [key])
    row = load(root, keys=[key]).iloc[0]
    curve = found.Scalars("val.miou")
    assert count == 24
    assert [event.step for event in curve] == own["step"].tolist()
    assert [event.value for event in curve] == pytest.approx(own["val.miou"].tolist())
    assert curve[-1].wall_time == pytest.approx(row["run.finished_at"])
    assert curve[0].wall_time < curve[-1].wall_time
    assert [(event.step, event.value) for event in found.Scalars("last.test.miou")] == [
        (STEPS, pytest.approx(row["last.test.miou"]))
    ]


def test_settings_are_there_for_the_page_of_hyper_parameters(root: Path, tmp_path: Path) -> None:
    export(Store.open(root), "rankmatch_agents", "mini", tmp_path / "events")

    found = read(tmp_path / "events" / "agents=64" / "1-16 (92)" / "replicate 0-0")
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["config.agents"].number_value == 8
    assert settings["method"].string_value == "semisweep_methods.rankmatch:RankMatch"


def test_running_trials_are_shown_as_far_as_they_are(root: Path, tmp_path: Path) -> None:
    store = Store.open(root)
    key = store.read_table("rankmatch_agents", "mini").cells[0].trials["0/0"]
    (store.trial(key).path / "result.parquet").unlink()

    export(store, "rankmatch_agents", "mini", tmp_path / "events")

    found = read(tmp_path / "events" / "agents=64" / "1-16 (92)" / "replicate 0-0")
    assert len(found.Scalars("val.miou")) == 5
    assert "last.test.miou" not in found.Tags()["scalars"]


def test_searches_have_a_folder_a_trial(tmp_path: Path, tiny_shapes: Path) -> None:
    fill_search(tmp_path / "store", tiny_shapes.parent, trials=3)

    count = export(Store.open(tmp_path / "store"), "rankmatch_search", "mini", tmp_path / "events")

    assert count == 3
    assert sorted(p.name for p in (tmp_path / "events").iterdir()) == [
        "trial 0000", "trial 0001", "trial 0002",
    ]  # fmt: skip


def test_a_folder_that_holds_something_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "mine").write_text("mine")

    with pytest.raises(StoreError, match=r"a folder of their own, got output=.*events"):
        export(Store.open(root), "rankmatch_agents", "mini", tmp_path / "events")

    assert [path.name for path in (tmp_path / "events").iterdir()] == ["mine"]


def test_a_study_that_never_ran_here_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown study of this store 'rankmatch_agents at paper"):
        export(Store.open(root), "rankmatch_agents", "paper", tmp_path / "events")


def test_the_command_says_how_to_open_them(
    call: Callable[..., Any], root: Path, tmp_path: Path
) -> None:
    said = call("export-tensorboard", "rankmatch_agents", "--store", root)

    assert said.code == 0
    assert said.out == "24 trials; tensorboard --logdir tensorboard\n"
    assert (tmp_path / "tensorboard" / "agents=512").is_dir()
