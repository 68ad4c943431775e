"""What TensorBoard, W&B and MLflow have of runs, read with their own readers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Logged:
    """A run; `curves` have every point that was logged, in order, repeated ones repeatedly."""

    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    state: str = ""
    error: str = ""

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Return steps and values, to the digits that every tool keeps."""
        return [(step, round(value, 5)) for step, value in self.curves[name]]


def tensorboard_runs(folder: Path) -> dict[str, Logged]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found = {}
    for place in sorted({path.parent for path in folder.rglob("events.out.tfevents.*")}):
        events = EventAccumulator(str(place), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        run = Logged()
        for name in events.Tags()["scalars"]:
            points = [(event.step, event.value) for event in events.Scalars(name)]
            if name.startswith(("last.", "best.")):
                assert len(points) == 1
                run.scores[name] = points[0][1]
            else:
                run.curves[name] = points
                run.times = [event.wall_time for event in events.Scalars(name)]
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        start = HParamsPluginData.FromString(content).session_start_info.hparams
        run.settings = {
            name: value.number_value or value.string_value for name, value in start.items()
        }
        text = events.Tensors("trial/text_summary")[-1].tensor_proto.string_val[0].decode()
        run.tags = dict(re.findall(r"^\* (\w+): (.*)$", text, re.MULTILINE))
        run.state = run.tags.pop("state")
        run.error = (re.findall(r"```\n(.*)\n```", text, re.DOTALL) or [""])[0]
        found[str(place.relative_to(folder))] = run
    return found


def wandb_runs(folder: Path) -> dict[str, Logged]:
    from wandb.proto.wandb_internal_pb2 import Record

    from semisweep.tracking.wandb_file import records

    found: dict[str, Logged] = {}
    for path in sorted((folder / "wandb").glob("offline-run-*/run-*.wandb")):
        run = found.setdefault(path.stem, Logged())
        for record in map(Record.FromString, records(path.read_bytes())):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                for item in record.run.config.update:
                    value = json.loads(item.value_json)
                    if item.key.startswith("study."):
                        run.tags[item.key.removeprefix("study.")] = value
                    else:
                        run.settings[item.key] = value
            elif kind == "history":
                step = record.history.step.num
                for item in record.history.item:
                    name = item.key or item.nested_key[0]
                    if name == "_timestamp":
                        run.times.append(json.loads(item.value_json))
                    if not name.startswith("_"):
                        run.curves.setdefault(name, []).append((step, json.loads(item.value_json)))
            elif kind == "summary":
                for item in record.summary.update:
                    name = item.key or item.nested_key[0]
                    value = json.loads(item.value_json)
                    if name in ("state", "error"):
                        setattr(run, name, value)
                    elif name.startswith(("last.", "best.")):
                        run.scores[name] = value
    return found


def mlflow_runs(folder: Path) -> dict[str, Logged]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    (experiment,) = [own for own in client.search_experiments() if own.name == "semisweep"]
    found = {}
    for own in client.search_runs([experiment.experiment_id], max_results=1000):
        tags = own.data.tags
        run = Logged(
            settings=dict(own.data.params),
            state=tags.get("semisweep.state", ""),
            error=tags.get("semisweep.error", ""),
            tags={
                name.removeprefix("semisweep."): value
                for name, value in tags.items()
                if name.startswith("semisweep.")
            },
        )
        for name in own.data.metrics:
            history = client.get_metric_history(own.info.run_id, name)
            points = sorted((metric.step, metric.value) for metric in history)
            if name.startswith(("last.", "best.")):
                assert len(points) == 1
                run.scores[name] = points[0][1]
            else:
                run.curves[name] = points
                run.times = [metric.timestamp / 1000 for metric in history]
        assert tags["semisweep.run"] not in found
        found[tags["semisweep.run"]] = run
    return found
