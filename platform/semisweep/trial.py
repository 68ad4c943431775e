"""A trial: one training of one method under one complete configuration, and its key.

The key is a digest of everything that can change the trained weights and of nothing else. It is the
trial's identity everywhere: folder, Parquet row, table cell, cluster.
"""

from __future__ import annotations

import dataclasses
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from semisweep.config import (
    Count,
    Fraction,
    NonNegative,
    NonNegativeCount,
    Positive,
    config,
    decode,
    digest,
    encode,
    identity,
    setting,
)
from semisweep.errors import ConfigError

if TYPE_CHECKING:
    from semisweep.data.splits import Split
    from semisweep.method import Method

TRAINER_VERSION = 1

Scale = Annotated[float, Field(gt=0, le=16)]
Window = tuple[NonNegative, NonNegative]


@config
class AugmentationConfig:
    """Random changes of the training images; the defaults are the UniMatch family's."""

    scale: tuple[Scale, Scale] = setting((0.5, 2.0), code="long side x U(0.5, 2.0)")
    flip: Fraction = setting(0.5, code="horizontal, 0.5")
    jitter: Fraction = setting(0.8, code="strong view, p = 0.8")
    brightness: NonNegative = setting(0.5, code="0.5")
    contrast: NonNegative = setting(0.5, code="0.5")
    saturation: NonNegative = setting(0.5, code="0.5")
    hue: Annotated[float, Field(ge=0, le=0.5)] = setting(0.25, code="0.25")
    grayscale: Fraction = setting(0.2, code="strong view, p = 0.2")
    blur: Fraction = setting(0.5, code="strong view, p = 0.5")
    blur_sigma_pixels: Window = setting((0.1, 2.0), code="sigma ~ U(0.1, 2.0)")
    cutmix: Fraction = setting(0.5, code="one box a view, p = 0.5")
    cutmix_area: tuple[Fraction, Fraction] = setting((0.02, 0.4), code="area U(0.02, 0.4)")
    cutmix_aspect: tuple[Positive, Positive] = setting((0.3, 1 / 0.3), code="aspect U(0.3, 1/0.3)")

    def __post_init__(self) -> None:
        for name in ("scale", "blur_sigma_pixels", "cutmix_area", "cutmix_aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(f"a range must not fall, got {name}=({low}, {high})")


WEAK_FIELDS = ("scale", "flip")


@config
class DataConfig:
    """Which images are labelled, and which are not."""

    name: str = "shapes"
    family: str = "stratified"
    labelled: Count | None = None  # None: every training image
    draw: NonNegativeCount = 0


@config
class OptimizerConfig:
    """One optimizer; the decoder and other heads learn at `head_multiplier` times the rate."""

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.001
    head_multiplier: Positive = 10.0
    weight_decay: NonNegative = 1e-4
    momentum: Fraction = setting(0.9, matters=lambda own: own.name == "sgd")


@config
class TrainingConfig:
    """How long, on what batches and with which optimizers a method is trained.

    Batches are global: the number of workers that share them is a fact of the machine. Exactly one
    of `steps` and `epochs` is given; an epoch is one pass over the unlabelled images.
    """

    steps: Count | None = None
    epochs: Count | None = None
    labelled_batch: Count = 8
    unlabelled_batch: Count = 8
    crop_pixels: Count = 321
    optimizer: OptimizerConfig = setting(factory=OptimizerConfig)
    group_optimizers: dict[str, OptimizerConfig] = setting(factory=dict, neutral={})
    schedule_power: NonNegative = 0.9
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    evaluations: Count = 10
    augmentation: AugmentationConfig = setting(factory=AugmentationConfig)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError(
                f"exactly one of steps and epochs must be given, "
                f"got steps={self.steps}, epochs={self.epochs}"
            )

    def total_steps(self, unlabelled: int) -> int:
        """Return the number of iterations, given the number of unlabelled images."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return self.epochs * self.steps_per_epoch(unlabelled)

    def steps_per_epoch(self, unlabelled: int) -> int:
        """Return the iterations of one pass over the unlabelled images; the rest is dropped."""
        return max(1, unlabelled // self.unlabelled_batch)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One training, completely described; `method` is the text of an import path."""

    method: str
    config: Any
    data: DataConfig
    training: TrainingConfig
    seed: int

    def encoded(self) -> dict[str, Any]:
        """Return the trial as JSON-ready dictionaries."""
        return {name: encode(getattr(self, name)) for name in FIELDS}


FIELDS = ("method", "config", "data", "training", "seed")


def decode_trial(data: dict[str, Any]) -> Trial:
    """Return the trial that `Trial.encoded` described; imports its method."""
    method = method_class(data["method"])
    return Trial(
        method=data["method"],
        config=decode(method.Config, data["config"]),
        data=decode(DataConfig, data["data"]),
        training=decode(TrainingConfig, data["training"]),
        seed=int(data["seed"]),
    )


def method_class(path: str) -> type[Method]:
    """Return the method that "package.module:Class" names."""
    try:
        found = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"a method must be importable, got method={path!r}: {error}") from None
    return found  # type: ignore[no-any-return]


def method_path(method: type[Method]) -> str:
    """Return the text that names a method wherever it is installed."""
    return f"{method.__module__}:{method.__qualname__}"


def trial_identity(trial: Trial, split: Split) -> dict[str, Any]:
    """Return what determines the weights of `trial`: the JSON that its key is a digest of."""
    method, config = method_class(trial.method).same_as(trial.config)
    training = identity(trial.training)
    for name in ("steps", "epochs"):
        training.pop(name, None)
    training["total_steps"] = trial.training.total_steps(len(split.unlabelled))
    lists = {"labelled": split.labelled_digest}
    if method.uses_unlabelled:
        lists["unlabelled"] = split.unlabelled_digest
    else:
        training.pop("unlabelled_batch")
        training["augmentation"] = {name: training["augmentation"][name] for name in WEAK_FIELDS}
    return {
        "method": method_path(method),
        "method_version": method.version,
        "trainer_version": TRAINER_VERSION,
        "config": identity(config),
        "data": trial.data.name,
        "lists": lists,
        "training": training,
        "seed": trial.seed,
    }


def trial_key(trial: Trial, split: Split) -> str:
    """Return the key of `trial` on the images of `split`: 20 hexadecimal digits."""
    return digest(trial_identity(trial, split))
