"""Every field of how a trial is trained changes its key, or is shown to be inert.

All fields are walked, those that are added later too. Each is changed in several situations; where
the key stays, a condition must be stated below, and the weights of both trainings must be equal bit
for bit.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import torch

from semisweep import DataConfig, OptimizerConfig, TrainingConfig, Trial
from semisweep.core.config import is_configuration, replace
from semisweep.core.errors import ConfigError
from semisweep.study.data_roots import Roots
from semisweep.study.resolve import Splits
from semisweep.training.method_fixtures import tiny_network
from semisweep.training.protocols import Protocol
from semisweep.training.trainer import Training
from semisweep_methods.supervised import Supervised, SupervisedConfig
from semisweep_methods.unimatch import UniMatch, UniMatchConfig

SUPERVISED = Trial(
    method=Supervised.name,
    config=SupervisedConfig(network=tiny_network()),
    data=DataConfig(labelled=8),
    training=TrainingConfig(
        steps=3,
        labelled_batch=4,
        unlabelled_batch=4,
        crop_pixels=32,
        evaluations=2,
        optimizer=OptimizerConfig(learning_rate=0.01),
    ),
    seed=3,
)
UNIMATCH = dataclasses.replace(
    SUPERVISED,
    method=UniMatch.name,
    config=UniMatchConfig(network=tiny_network(), threshold=0.2),
)
WINDOW = Protocol(name="window", size_pixels=24, stride_pixels=12)
SITUATIONS: dict[str, Mapping[str, object]] = {
    "as usual": {},
    "AdamW": {"training.optimizer.name": "adamw"},
    "epochs": {"training.steps": None, "training.epochs": 2},
    "an optimizer of a group": {"training.group_optimizers": {"network": OptimizerConfig()}},
    "a list of scales": {"training.augmentation.scales": (0.5, 1.0)},
    "colours for labelled images": {"training.augmentation.labelled_colours": True},
    "boxes by width": {"training.augmentation.cutmix_shape": "width"},
    "windows": {"training.evaluation": WINDOW},
    "a center": {"training.evaluation": Protocol(name="center", size_pixels=24)},
    "mirrored sides": {"training.evaluation": Protocol(name="reflect", size_pixels=40)},
    "all images labelled": {"data.labelled": None},
}
TRIALS = {
    f"{trial.method.partition(':')[2]}, {name}": replace(trial, changes)
    for trial in (SUPERVISED, UNIMATCH)
    for name, changes in SITUATIONS.items()
}
TEXTS = {"data.name": "voc", "data.family": "random"}  # what else such a field may be

Condition = Callable[[Trial], bool]


def unlabelled_unseen(trial: Trial) -> bool:
    """No loss looks at unlabelled images, and an epoch's length is no matter either."""
    return trial.method == Supervised.name and trial.training.steps is not None


def epochs_unused(trial: Trial) -> bool:
    """Only epochs of a method that sees labelled images alone can be of these."""
    return trial.method != Supervised.name or trial.training.steps is not None


def strong_views_unseen(trial: Trial) -> bool:
    return trial.method == Supervised.name


def colours_unseen(trial: Trial) -> bool:
    return strong_views_unseen(trial) and not trial.training.augmentation.labelled_colours


def all_labelled(trial: Trial) -> bool:
    return trial.data.labelled is None


def scales_listed(trial: Trial) -> bool:
    return bool(trial.training.augmentation.scales)


def unlabelled_scale_unused(trial: Trial) -> bool:
    return trial.method == Supervised.name or scales_listed(trial)


def without_momentum(trial: Trial) -> bool:
    return trial.training.optimizer.name == "adamw"


def no_aspect(trial: Trial) -> bool:
    return strong_views_unseen(trial) or trial.training.augmentation.cutmix_shape != "aspect"


COLOURS = ("jitter", "brightness", "contrast", "saturation", "hue")
COLOURS += ("grayscale", "blur", "blur_sigma_pixels")
CUTMIX = ("cutmix", "cutmix_area", "cutmix_boxes", "cutmix_shape", "cutmix_together")
INERT: dict[str, Condition] = {
    "training.record_every": lambda trial: True,
    "data.family": all_labelled,
    "data.draw": all_labelled,
    "data.unlabelled": lambda trial: all_labelled(trial) or unlabelled_unseen(trial),
    "training.unlabelled_batch": unlabelled_unseen,
    "training.supervised_epochs": epochs_unused,
    "training.optimizer.momentum": without_momentum,
    "training.optimizer.nesterov": without_momentum,
    "training.augmentation.scale": scales_listed,
    "training.augmentation.scale_law": scales_listed,
    "training.augmentation.unlabelled_scale": unlabelled_scale_unused,
    "training.augmentation.cutmix_aspect": no_aspect,
    **{f"training.augmentation.{name}": colours_unseen for name in COLOURS},
    **{f"training.augmentation.{name}": strong_views_unseen for name in CUTMIX},
}


def fields(value: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield the dotted name, type and value of each field inside of a configuration."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from fields(item, f"{path}.{name}")
    if not is_configuration(value):
        return
    hints = get_type_hints(type(value), include_extras=True)
    for field in dataclasses.fields(value):
        name, item = f"{path}.{field.name}", getattr(value, field.name)
        if not is_configuration(item):
            yield name, hints[field.name], item
        yield from fields(item, name)


def other_values(path: str, hint: Any, value: Any) -> Iterator[object]:
    """Yield values that a field of this type may have besides `value`, some of them refused."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from other_values(path, inner[0], value)
    elif origin is Literal:
        yield from (item for item in inner if item != value)
    elif origin in (Union, types.UnionType):
        for kind in inner:
            if kind is type(None):
                yield from [None] * (value is not None)
            else:
                yield from other_values(path, kind, value)
    elif origin is tuple:
        if inner[-1] is Ellipsis:
            yield (*(value or ()), 0.75)
        elif value is None:
            yield (0.5, 0.75)
        else:
            for at, item in enumerate(value):
                yield (*value[:at], 0.8 * item + 0.01, *value[at + 1 :])
    elif origin is dict:
        yield {} if value else {"network": OptimizerConfig(learning_rate=0.002)}
    elif hint is bool:
        yield not value
    elif hint is int:
        yield 1 if value is None else value + 1
        yield from [2 * value] if value else []
    elif hint is float:
        yield 0.5 * value + 0.01
    elif path in TEXTS:
        yield TEXTS[path]
    else:
        pytest.fail(f"say what else {path} may be, of type {hint}")


def changed(trial: Trial, section: str) -> Iterator[tuple[str, Trial]]:
    """Yield the name of each field of a section, and the trial with another value of it."""
    for path, hint, value in fields(getattr(trial, section), section):
        for other in other_values(path, hint, value):
            assert other != value
            try:
                yield path, replace(trial, {path: other})
            except ConfigError:  # a rule forbids it here
                continue


@pytest.fixture(scope="module")
def splits(tiny_shapes: Path) -> Splits:
    return Splits(Roots(tiny_shapes.parent, {"shapes": tiny_shapes, "voc": tiny_shapes}))


@pytest.fixture(scope="module")
def weights(splits: Splits) -> Callable[[Trial], dict[str, torch.Tensor]]:
    """Return a function that trains a trial to its end and returns its weights."""

    def train(trial: Trial) -> dict[str, torch.Tensor]:
        torch.set_num_threads(1)
        dataset = splits.dataset(trial.data.name)
        training = Training(trial, dataset, splits.of(trial.data))
        for batch in training.loader.batches(0, training.total_steps, 0, training.device):
            training.advance(batch)
        return training.method.state_dict()

    return train


def equal(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def is_proof(situation: str, path: str) -> bool:
    """Return whether weights are compared: as usual, and where a field is inert here alone."""
    method, _, name = situation.partition(", ")
    return name == "as usual" or not INERT[path](TRIALS[f"{method}, as usual"])


@pytest.mark.parametrize("situation", TRIALS)
def test_a_field_changes_the_key_or_nothing(
    situation: str, splits: Splits, weights: Callable[[Trial], dict[str, torch.Tensor]]
) -> None:
    trial = TRIALS[situation]
    key, before = splits.key(trial), cache(lambda: weights(trial))
    for section in ("data", "training"):
        for path, other in changed(trial, section):
            stated = path in INERT and INERT[path](trial)
            assert (splits.key(other) == key) == stated, path
            if stated and is_proof(situation, path):
                assert equal(before(), weights(other)), path


def test_every_field_is_changed_in_some_situation() -> None:
    walked = {path for trial in TRIALS.values() for path, _ in changed(trial, "training")}
    walked |= {path for trial in TRIALS.values() for path, _ in changed(trial, "data")}
    known = {
        path
        for trial in TRIALS.values()
        for section in ("data", "training")
        for path, *_ in fields(getattr(trial, section), section)
    }

    assert walked == known
    assert set(INERT) <= known
    assert len(known) > 50


def test_what_is_stated_to_be_inert_is_not_so_elsewhere(
    splits: Splits, weights: Callable[[Trial], dict[str, torch.Tensor]]
) -> None:
    """Else the weights that are compared would not depend on anything."""
    some = {"momentum": 0.5, "unlabelled_batch": 2, "jitter": 0.1, "scale": (0.4, 0.6)}
    paths = {name: path for path in INERT if (name := path.rpartition(".")[2]) in some}
    before = weights(UNIMATCH)

    assert len(paths) == len(some)
    for name, path in paths.items():
        assert not equal(before, weights(replace(UNIMATCH, {path: some[name]}))), path
