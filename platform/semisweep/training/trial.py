"""A trial: one training of one method under one complete configuration, and its key.

The key is a digest of everything that can change the trained weights and of nothing else. It is the
trial's identity everywhere: folder, Parquet row, table cell, cluster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from semisweep.core.config import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    config,
    decode,
    digest,
    encode,
    identity,
    setting,
)
from semisweep.core.errors import ConfigError
from semisweep.data.augmentation import AugmentationConfig
from semisweep.data.splits import DataConfig
from semisweep.training.protocols import Protocol

if TYPE_CHECKING:
    from semisweep.data.splits import Split
    from semisweep.training.method import Method, MethodConfig

TRAINER_VERSION = 1


LENGTHS = ("steps", "epochs", "supervised_epochs", "schedule_share", "stop_share")
WEAK_FIELDS = ("scale", "scale_law", "scales", "padding", "labelled_colours", "flip")
COLOUR_FIELDS = (
    *("jitter", "brightness", "contrast", "saturation", "hue"),
    *("grayscale", "blur", "blur_sigma_pixels"),
)


@config
class OptimizerConfig:
    """One optimizer; the decoder and other heads learn at `head_multiplier` times the rate.

    No schedule takes a rate below `minimum_rate`.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.001
    head_multiplier: Positive = 10.0
    weight_decay: NonNegative = 1e-4
    momentum: Fraction = setting(0.9, matters=lambda own: own.name == "sgd")
    nesterov: bool = setting(False, neutral=False, matters=lambda own: own.name == "sgd")
    minimum_rate: NonNegative = setting(0.0, neutral=0.0)

    def __post_init__(self) -> None:
        if self.nesterov and self.name == "sgd" and self.momentum == 0:
            raise ConfigError(
                f"Nesterov's momentum must be positive, got nesterov=True, momentum={self.momentum}"
            )


Batch = Annotated[int, Field(ge=1, le=4096)]  # images


@config
class TrainingConfig:
    """How long, on what batches and with which optimizers a method is trained.

    Batches are global: the number of workers that share them is a fact of the machine. Exactly one
    of `steps` and `epochs` is given; an epoch is one pass over the unlabelled images, for methods
    that see labelled images alone over those that `supervised_epochs` says. Schedules and ramps go
    over `schedule_share` of them. Training ends after `stop_share` of its schedule, as if it were
    to go on; its `evaluations` are evenly spaced from `evaluate_from`, a share of the schedule too,
    to that end. From there on its loss terms are kept after every `record_every` steps, and with
    each evaluation; this changes no weights and no key. `evaluation`: how images are shown while it
    is trained, and so what its best weights are best at.
    """

    steps: Annotated[int, Field(ge=1, le=10**9)] | None = None
    epochs: Annotated[int, Field(ge=1, le=10**6)] | None = None
    supervised_epochs: Literal["unlabelled", "labelled"] = setting(
        "unlabelled",
        neutral="unlabelled",
        code="UniMatch, RankMatch (supervised.py): labelled",
        why="the others' iterations: a row that is trained for fewer is another comparison",
    )
    schedule_share: Annotated[float, Field(gt=0, le=1)] = setting(1.0, neutral=1.0)
    stop_share: Annotated[float, Field(gt=0, le=1)] = setting(1.0, neutral=1.0)
    labelled_batch: Batch = 8
    unlabelled_batch: Batch = 8
    crop_pixels: Annotated[int, Field(ge=8, le=8192)] = 321
    optimizer: OptimizerConfig = setting(factory=OptimizerConfig)
    group_optimizers: dict[str, OptimizerConfig] = setting(factory=dict, neutral={})
    schedule_power: NonNegative = 0.9
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"  # see training.precision
    evaluations: Annotated[int, Field(ge=1, le=100_000)] = 10
    evaluate_from: Annotated[float, Field(ge=0, lt=1)] = setting(0.0, neutral=0.0)
    record_every: Count | None = setting(None, matters=lambda own: False)
    evaluation: Protocol = setting(factory=Protocol, neutral=Protocol())
    augmentation: AugmentationConfig = setting(factory=AugmentationConfig)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError(
                f"exactly one of steps and epochs must be given, "
                f"got steps={self.steps}, epochs={self.epochs}; set the other one to null, such as "
                "--set training.epochs=null"
            )
        if self.evaluate_from >= self.stop_share:
            raise ConfigError(
                f"evaluate_from must be below stop_share, "
                f"got evaluate_from={self.evaluate_from}, stop_share={self.stop_share}"
            )

    def total_steps(self, unlabelled: int) -> int:
        """Return the number of iterations, given the number of unlabelled images."""
        return self.trained_steps(self.schedule_steps(unlabelled))

    def schedule_steps(self, unlabelled: int) -> int:
        """Return the iterations of which schedules and ramps are, which may go on after the end."""
        return self._schedule(self.steps_per_epoch(unlabelled))

    def supervised_schedule_steps(self, labelled: int, unlabelled: int) -> int:
        """Return the same of a method that sees labelled images alone."""
        if self.supervised_epochs == "unlabelled":
            return self.schedule_steps(unlabelled)
        return self._schedule(max(1, labelled // self.labelled_batch))

    def trained_steps(self, schedule_steps: int) -> int:
        """Return how many iterations of a schedule are trained."""
        return max(1, round(self.stop_share * schedule_steps))

    def _schedule(self, steps_per_epoch: int) -> int:
        steps = self.steps
        if steps is None:
            assert self.epochs is not None
            steps = self.epochs * steps_per_epoch
        return max(1, round(self.schedule_share * steps))

    def steps_per_epoch(self, unlabelled: int) -> int:
        """Return the iterations of one pass over the unlabelled images; the rest is dropped."""
        return max(1, unlabelled // self.unlabelled_batch)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One training, completely described; `method` is the text of its import path."""

    method: str
    config: MethodConfig
    data: DataConfig
    training: TrainingConfig
    seed: int

    def encoded(self) -> dict[str, object]:
        """Return the trial as JSON-ready dictionaries."""
        return {name: encode(getattr(self, name)) for name in FIELDS}


FIELDS = ("method", "config", "data", "training", "seed")


def decode_trial(data: Mapping[str, object]) -> Trial:
    """Return the trial that `Trial.encoded` described; imports its method, where that is now."""
    absent = [name for name in FIELDS if name not in data]
    if absent:
        raise ConfigError(f"a described trial must have {', '.join(FIELDS)}, got none of {absent}")
    method, own, images, training, seed = (data[name] for name in FIELDS)
    path = current_path(decode(str, method))
    return Trial(
        method=path,
        config=decode(method_class(path).Config, _as_it_was_meant(own)),
        data=decode(DataConfig, images),
        training=decode(TrainingConfig, training),
        seed=decode(int, seed),
    )


def _as_it_was_meant(config: object) -> object:
    """Return a described configuration with what networks of earlier versions did unsaid."""
    if not isinstance(config, Mapping):
        return config
    return {
        name: {"normalisation": "imagenet", **value}
        if isinstance(value, Mapping) and "backbone" in value
        else value
        for name, value in config.items()
    }


def current_path(path: str) -> str:
    """Return where the method of a stored trial is now: shipped ones may have moved."""
    moved: dict[str, str] = resolve_name("semisweep_methods:MOVED")
    return moved.get(path, path)


def method_class(path: str) -> type[Method]:
    """Return the method that "package.module:Class" names, or named before it moved."""
    try:
        found = resolve_name(current_path(path))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"a method must be importable, got method={path!r}: {error}") from None
    from semisweep.training.method import Method

    if not isinstance(found, type) or not issubclass(found, Method):
        raise ConfigError(f"a method must be a class of Method, got method={path!r:.80}")
    return found


def method_path(method: type[Method]) -> str:
    """Return the text by which any process imports a method; keys hold `method_name`."""
    return f"{method.__module__}:{method.__qualname__}"


def method_name(method: type[Method]) -> str:
    """Return the name of a method that keys hold.

    Raises `ConfigError` where another class has it: each would take the other's results for its
    own.
    """
    path = method_path(method)
    other = _NAMED.setdefault(method.name, path)
    if other == path != method.name:
        other = _owner(method)
    if other != path:
        raise ConfigError(
            f"two methods must not have one name, got {path} and {other} with "
            f"name={method.name!r}; give the newer one another"
        )
    return method.name


_NAMED: dict[str, str] = {}  # name of a method and its path, of those that this process has seen


def _owner(method: type[Method]) -> str:
    """Return the path of the class that stands where a method's name says, or else its own."""
    try:
        found = method_class(method.name)
    except ConfigError:  # it has moved
        return method_path(method)
    return method_path(found) if isinstance(found, type) else method_path(method)


def sees_unlabelled(trial: Trial) -> bool:
    """Return whether unlabelled images can change the weights of a trial."""
    return method_class(trial.method).same_as(trial.config)[0].uses_unlabelled


def total_steps(trial: Trial, split: Split) -> int:
    """Return the number of iterations of a trial on the images of `split`."""
    return trial.training.trained_steps(schedule_steps(trial, split))


def schedule_steps(trial: Trial, split: Split) -> int:
    """Return the iterations of its schedules there, which may go on after the end."""
    labelled, unlabelled = len(split.labelled), len(split.unlabelled)
    if sees_unlabelled(trial):
        return trial.training.schedule_steps(unlabelled)
    return trial.training.supervised_schedule_steps(labelled, unlabelled)


def trial_identity(trial: Trial, split: Split) -> dict[str, object]:
    """Return what determines the weights of `trial`: the JSON that its key is a digest of."""
    method, config = method_class(trial.method).same_as(trial.config)
    unlabelled = {"unlabelled": split.unlabelled_digest} if method.uses_unlabelled else {}
    return {
        "method": method_name(method),
        "method_version": method.version,
        "trainer_version": TRAINER_VERSION,
        "config": identity(config),
        "data": trial.data.name,
        "lists": {"labelled": split.labelled_digest} | unlabelled,
        "training": _training_identity(
            trial.training, schedule_steps(trial, split), method.uses_unlabelled
        ),
        "seed": trial.seed,
    }


def _training_identity(
    training: TrainingConfig, schedule: int, uses_unlabelled: bool
) -> dict[str, object]:
    """Return what of a training determines the weights: of its length only the steps."""
    dropped = LENGTHS if uses_unlabelled else (*LENGTHS, "unlabelled_batch")
    found = {name: value for name, value in identity(training).items() if name not in dropped}
    total = training.trained_steps(schedule)
    found |= {"total_steps": total} | ({"schedule_steps": schedule} if total < schedule else {})
    if uses_unlabelled:
        return found
    augmentation = training.augmentation
    seen = (*WEAK_FIELDS, *COLOUR_FIELDS) if augmentation.labelled_colours else WEAK_FIELDS
    kept = {name: value for name, value in identity(augmentation).items() if name in seen}
    return found | {"augmentation": kept}


def trial_key(trial: Trial, split: Split) -> str:
    """Return the key of `trial` on the images of `split`: 20 hexadecimal digits."""
    return digest(trial_identity(trial, split))
