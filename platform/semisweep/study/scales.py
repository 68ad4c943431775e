"""Scales: what a study trains in minutes, as its paper has it, or in between.

Studies say what they are at `mini` and at `paper` scale, some also at `photo`: real photographs and
a network that starts from ImageNet. `proxy` is made of `paper`: its data and networks, with a part
of the schedule. What was reduced stands beneath the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from semisweep.data.splits import DataConfig
from semisweep.training.trial import TrainingConfig

T = TypeVar("T")
Fields = Mapping[str, object]

SCALES = ("mini", "photo", "paper")
PROXY = "proxy"
EMBEDDED = "shapes"  # the data set that comes along
PROXY_EVALUATIONS = 10


@dataclass(frozen=True, kw_only=True)
class Option:
    """What a preset could be instead, such as what the release does where the paper says otherwise.

    `set`: the fields that differ, by dotted name; `source`: where it stands, and what it says.
    """

    set: Fields
    source: str


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a scale trains: images, schedule, method fields such as the network, and what counts.

    `sources`: where values come from, by dotted field or the section it is in: a place in the
    paper, released code, or that it was chosen, and why; in `notes`, "{data}" stands for the data
    set that is trained on. `proxy_share`: how much of the schedule
    the proxy keeps. `draws` and `seeds`: of a cell, where the scale has others than the study.
    `options`, by name: what a user may choose instead, as where paper and release differ.
    """

    data: DataConfig
    training: TrainingConfig
    config: Fields
    metric: str
    metric_note: str
    notes: Sequence[str] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    proxy_share: float = 0.1
    draws: int | None = None
    seeds: int | None = None
    options: Mapping[str, Option] = field(default_factory=dict)

    def notes_on(self, data: str) -> list[str]:
        """Return the notes, with the name of the data set that is trained on."""
        words = f"the {'embedded ' if data == EMBEDDED else ''}data set `{data}`"
        return [note.replace("{data}", words) for note in self.notes]

    def source(self, path: str) -> str:
        """Return where the value of a dotted field comes from, "" where nothing says it."""
        while path not in self.sources and "." in path:
            path = path.rpartition(".")[0]
        return self.sources.get(path, "")


def has_scale(scaled: Mapping[str, object], scale: str) -> bool:
    """Return whether something that is said by scale exists at one."""
    return _origin(scaled, scale) in scaled


def at_scale(scaled: Mapping[str, T], scale: str, default: T) -> T:
    """Return what is said for a scale: for the proxy, where nothing is, that of the paper's."""
    return scaled.get(_origin(scaled, scale), default)


def _origin(scaled: Mapping[str, object], scale: str) -> str:
    return "paper" if scale == PROXY and PROXY not in scaled else scale


def preset_at(presets: Mapping[str, Preset], scale: str) -> Preset | None:
    """Return the preset of a scale, None where there is none; for the proxy a reduced one."""
    if scale in presets or scale != PROXY or "paper" not in presets:
        return presets.get(scale)
    return reduced(presets["paper"])


def reduced(preset: Preset) -> Preset:
    """Return a preset with a part of its schedule, and frozen encoders of plain transformers.

    DINOv2 as it is frozen, with a decoder that learns, is within some points of what fine-tuning
    gives on Pascal VOC (UniMatch-V2's release), and a convolutional encoder is not known to be.
    """
    from semisweep.networks.network import NetworkConfig

    frozen = {
        name: dataclasses.replace(own, frozen=True)
        for name, own in preset.config.items()
        if isinstance(own, NetworkConfig) and own.decoder == "dpt"
    }
    training = dataclasses.replace(
        preset.training,
        schedule_share=preset.proxy_share * preset.training.schedule_share,
        evaluations=min(PROXY_EVALUATIONS, preset.training.evaluations),
    )
    note = (
        f"Proxy: ours is trained for {preset.proxy_share:.0%} of the schedule of paper scale"
        + (", with the encoders of transformers frozen" if frozen else "")
        + f", and scored {training.evaluations} times. Compare orders and differences, not values."
    )
    return dataclasses.replace(
        preset,
        training=training,
        config={**preset.config, **frozen},
        notes=(*preset.notes, note),
    )
