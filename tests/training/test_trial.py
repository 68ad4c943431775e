"""Trials and their keys: what changes a key, what does not, and keys that may never change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from semisweep import DataConfig, Method, OptimizerConfig, TrainingConfig, Trial
from semisweep.core.config import identity, replace
from semisweep.core.errors import ConfigError
from semisweep.data.splits import Split
from semisweep.study.data_roots import Roots
from semisweep.study.named_values import find_method, method_names
from semisweep.study.resolve import Splits
from semisweep.training.trial import (
    TRAINER_VERSION,
    decode_trial,
    method_class,
    method_name,
    method_path,
    total_steps,
    trial_identity,
    trial_key,
)
from semisweep_methods import MOVED
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch

GOLDEN = Path(__file__).parent.parent / "golden" / "keys.json"

SPLIT = Split(("a", "b"), tuple("cdefghijklmnopqrst"))
OTHER_LABELLED = Split(("a", "c"), SPLIT.unlabelled)
OTHER_UNLABELLED = Split(SPLIT.labelled, (*SPLIT.unlabelled[:-1], "z"))

Changes = dict[str, Any]


def trial(method: type[Method] = RankMatch, changes: Changes | None = None) -> Trial:
    made = Trial(
        method=method_path(method),
        config=method.Config(),
        data=DataConfig(labelled=2),
        training=TrainingConfig(steps=100),
        seed=0,
    )
    return replace(made, changes or {})


# What is changed, whether the key stays the same, and the methods for which that holds.
EVERY = (Supervised, UniMatch, RankMatch)
SEMI = (UniMatch, RankMatch)
CASES: list[tuple[str, Changes, str, tuple[type[Method], ...]]] = [
    ("nothing", {}, "same", EVERY),
    ("the seed", {"seed": 1}, "other", EVERY),
    ("the number of steps", {"training.steps": 101}, "other", EVERY),
    ("steps for epochs of as many", {"training.steps": None, "training.epochs": 50}, "same", EVERY),
    ("steps for other epochs", {"training.steps": None, "training.epochs": 51}, "other", EVERY),
    ("the learning rate", {"training.optimizer.learning_rate": 0.002}, "other", EVERY),
    ("the optimizer", {"training.optimizer.name": "adamw"}, "other", EVERY),
    ("the momentum of SGD", {"training.optimizer.momentum": 0.8}, "other", EVERY),
    ("the crop", {"training.crop_pixels": 65}, "other", EVERY),
    ("the precision", {"training.precision": "bf16"}, "other", EVERY),
    ("the labelled batch", {"training.labelled_batch": 4}, "other", EVERY),
    ("the weak augmentation", {"training.augmentation.scale": (0.8, 1.25)}, "other", EVERY),
    ("how often images are mirrored", {"training.augmentation.flip": 0.1}, "other", EVERY),
    ("evaluations, of which one is best", {"training.evaluations": 3}, "other", EVERY),
    (
        "an optimizer for one group",
        {"training.group_optimizers": {"network": OptimizerConfig(learning_rate=1.0)}},
        "other",
        EVERY,
    ),
    ("no optimizer for any one group", {"training.group_optimizers": {}}, "same", EVERY),
    ("the data set", {"data.name": "voc"}, "other", EVERY),
    ("how equal lists were found", {"data.family": "random", "data.draw": 3}, "same", EVERY),
    ("the backbone", {"config.network.backbone": "resnet50s"}, "other", EVERY),
    ("the initial weights", {"config.network.pretrained": False}, "other", EVERY),
    ("dilation of DeepLabV3+", {"config.network.rates": (1, 2, 3)}, "other", EVERY),
    ("the supervised loss", {"config.supervised_loss": "ohem"}, "other", EVERY),
    ("a whole number for a float", {"training.optimizer.head_multiplier": 10}, "same", EVERY),
    ("the unlabelled batch", {"training.unlabelled_batch": 6}, "same", (Supervised,)),
    ("the unlabelled batch", {"training.unlabelled_batch": 6}, "other", SEMI),
    ("the strong augmentation", {"training.augmentation.blur": 0.1}, "same", (Supervised,)),
    ("the strong augmentation", {"training.augmentation.blur": 0.1}, "other", SEMI),
    ("CutMix", {"training.augmentation.cutmix": 0.9}, "same", (Supervised,)),
    ("CutMix", {"training.augmentation.cutmix": 0.9}, "other", SEMI),
    ("the threshold", {"config.threshold": 0.9}, "other", SEMI),
    ("the weight of the views", {"config.view_weight": 0.5}, "other", SEMI),
    ("the perturbation of features", {"config.feature_dropout": 0.4}, "other", SEMI),
    ("the weight of the rank loss", {"config.rank_weight": 0.2}, "other", (RankMatch,)),
    ("the number of agents", {"config.agents": 64}, "other", (RankMatch,)),
    ("how agents are chosen", {"config.selection": "random"}, "other", (RankMatch,)),
    ("what is compared", {"config.consistency": "kl"}, "other", (RankMatch,)),
    ("how many agents are ranked", {"config.ranked": 3}, "other", (RankMatch,)),
    ("the sign of similarity, after a ReLU", {"config.orthogonality": "cosine"}, "same", SEMI[1:]),
]

# Changes on top of others: (what it is about, the others, the changes, same or other).
COMBINED: list[tuple[str, type[Method], Changes, Changes, str]] = [
    (
        "the momentum of AdamW, which has none",
        Supervised,
        {"training.optimizer.name": "adamw"},
        {"training.optimizer.momentum": 0.5},
        "same",
    ),
    (
        "dilation, which DPT has not",
        UniMatch,
        {"config.network.decoder": "dpt"},
        {"config.network.rates": (1, 2, 3), "config.network.output_stride": 32},
        "same",
    ),
    (
        "dropout of features that are not looked at",
        UniMatch,
        {"config.feature_weight": 0},
        {"config.feature_dropout": 0.1},
        "same",
    ),
    (
        "the number of agents where all pixels are",
        RankMatch,
        {"config.selection": "all"},
        {"config.agents": 7},
        "same",
    ),
    (
        "how many agents are ranked where none are",
        RankMatch,
        {"config.consistency": "l2"},
        {"config.ranked": 3},
        "same",
    ),
    (
        "cross-entropy, which is KL plus a constant",
        RankMatch,
        {"config.consistency": "kl"},
        {"config.consistency": "ce"},
        "same",
    ),
    (
        "squared distance for KL",
        RankMatch,
        {"config.consistency": "kl"},
        {"config.consistency": "l2"},
        "other",
    ),
]


@pytest.mark.parametrize(
    ("method", "changes", "expected"),
    [
        pytest.param(method, changes, expected, id=f"{method.__name__}: {about}: {expected}")
        for about, changes, expected, methods in CASES
        for method in methods
    ],
)
def test_a_key_changes_with_what_matters_and_with_nothing_else(
    method: type[Method], changes: Changes, expected: str
) -> None:
    before, after = trial_key(trial(method), SPLIT), trial_key(trial(method, changes), SPLIT)

    assert ("same" if before == after else "other") == expected


@pytest.mark.parametrize(
    ("method", "first", "second", "expected"),
    [pytest.param(*rest, id=about) for about, *rest in COMBINED],
)
def test_a_field_that_cannot_matter_beside_others_is_not_in_the_key(
    method: type[Method], first: Changes, second: Changes, expected: str
) -> None:
    before = trial_key(trial(method, first), SPLIT)
    after = trial_key(trial(method, first | second), SPLIT)

    assert ("same" if before == after else "other") == expected


@pytest.mark.parametrize(
    ("method", "split", "expected"),
    [
        (Supervised, OTHER_LABELLED, "other"),
        (RankMatch, OTHER_LABELLED, "other"),
        (Supervised, OTHER_UNLABELLED, "same"),
        (UniMatch, OTHER_UNLABELLED, "other"),
        (RankMatch, OTHER_UNLABELLED, "other"),
        (RankMatch, Split(SPLIT.labelled[::-1], SPLIT.unlabelled[::-1]), "same"),
    ],
)
def test_a_key_changes_with_the_images_that_a_method_sees(
    method: type[Method], split: Split, expected: str
) -> None:
    before, after = trial_key(trial(method), SPLIT), trial_key(trial(method), split)

    assert ("same" if before == after else "other") == expected


def test_supervised_for_some_epochs_depends_on_how_many_steps_those_are() -> None:
    epochs = {"training.steps": None, "training.epochs": 5}
    fewer = Split(SPLIT.labelled, SPLIT.unlabelled[:8])

    assert trial(Supervised, epochs).training.total_steps(len(SPLIT.unlabelled)) == 10
    assert trial_key(trial(Supervised, epochs), SPLIT) == trial_key(
        trial(Supervised, {"training.steps": 10}), SPLIT
    )
    assert trial_key(trial(Supervised, epochs), fewer) == trial_key(
        trial(Supervised, {"training.steps": 5}), SPLIT
    )


@pytest.mark.parametrize("off", [{"config.rank_weight": 0}, {"config.consistency": "none"}])
def test_rankmatch_without_agents_has_the_key_of_unimatch(off: Changes) -> None:
    for changes in ({}, {"config.threshold": 0.8}, {"config.view_weight": 0}):
        assert trial_key(trial(RankMatch, off | changes), SPLIT) == trial_key(
            trial(UniMatch, changes), SPLIT
        )
    assert trial_key(trial(RankMatch), SPLIT) != trial_key(trial(UniMatch), SPLIT)


def test_a_raised_version_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [trial_key(trial(RankMatch), SPLIT)]
    monkeypatch.setattr(RankMatch, "version", RankMatch.version + 1)
    keys.append(trial_key(trial(RankMatch), SPLIT))
    monkeypatch.setattr("semisweep.training.trial.TRAINER_VERSION", TRAINER_VERSION + 1)
    keys.append(trial_key(trial(RankMatch), SPLIT))

    assert len(set(keys)) == 3


def test_where_the_images_and_weights_lie_is_not_in_the_key(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "another" / "place"
    elsewhere.parent.mkdir()
    elsewhere.symlink_to(tiny_shapes)
    for name in ("first.pth", "second.pth"):
        (tmp_path / name).write_bytes(b"equal weights")
    roots = (tiny_shapes, elsewhere)
    files = ("first.pth", "second.pth")

    keys = {
        Splits(Roots(tmp_path, {"shapes": root})).key(
            trial(RankMatch, {"config.network.weights": str(tmp_path / file)})
        )
        for root, file in zip(roots, files, strict=True)
    }

    assert len(keys) == 1
    (tmp_path / "second.pth").write_bytes(b"other weights")
    other = trial(RankMatch, {"config.network.weights": str(tmp_path / "second.pth")})
    assert Splits(Roots(tmp_path, {"shapes": tiny_shapes})).key(other) not in keys


def test_a_key_holds_nothing_of_the_machine() -> None:
    text = json.dumps(trial_identity(trial(), SPLIT))

    for word in ("worker", "device", "thread", "root", "store", "address", str(Path.home())):
        assert word not in text


@pytest.mark.parametrize("method", EVERY)
def test_json_brings_back_an_equal_trial(method: type[Method]) -> None:
    before = trial(method, {"training.optimizer.name": "adamw", "seed": 7})

    after = decode_trial(json.loads(json.dumps(before.encoded())))

    assert after == before
    assert trial_key(after, SPLIT) == trial_key(before, SPLIT)


def test_a_method_is_found_by_the_text_that_names_it() -> None:
    assert method_path(RankMatch) == "semisweep_methods.rankmatch:RankMatch"
    assert method_class(method_path(RankMatch)) is RankMatch
    for path in ("semisweep_methods.rankmatch:Rankmatch", "semisweep_methods.nope:X", "nope"):
        with pytest.raises(ConfigError, match="got method="):
            method_class(path)


KEY_OF = """
import json, sys
from semisweep.data.splits import Split
from semisweep.training.trial import decode_trial, trial_key

trial = decode_trial(json.loads(sys.argv[1]) | {"method": sys.argv[2]})
print(trial_key(trial, Split(("a", "b"), tuple("cdefghijklmnopqrst"))))
"""
MINE = """
from semisweep_methods.supervised import Supervised

class Mine(Supervised):
    name = {name!r}
"""


def key_elsewhere(home: Path, path: str) -> subprocess.CompletedProcess[str]:
    """Make the key of a trial of a method that lies in `home`, in a process of its own."""
    command = [sys.executable, "-c", KEY_OF, json.dumps(trial(Supervised).encoded()), path]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)


def test_a_method_that_moves_keeps_its_keys_by_its_name(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for home, text in (
        (here / "old_home.py", MINE.replace("name = {name!r}", "pass")),
        (there / "new_home.py", MINE.format(name="old_home:Mine")),
    ):
        home.parent.mkdir()
        home.write_text(text)

    before, after = key_elsewhere(here, "old_home:Mine"), key_elsewhere(there, "new_home:Mine")

    assert len(before.stdout.strip()) == 20, before.stderr
    assert after.stdout == before.stdout, after.stderr
    assert before.stdout.strip() != trial_key(trial(Supervised), SPLIT)


def test_a_copy_of_a_method_that_kept_its_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "copied.py").write_text(MINE.format(name=Supervised.name))

    said = key_elsewhere(tmp_path, "copied:Mine").stderr

    assert said.splitlines()[-1].endswith(
        "two methods must not have one name, got copied:Mine and "
        "semisweep_methods.supervised:Supervised with "
        "name='semisweep_methods.supervised:Supervised'; give the newer one another"
    )


def test_two_methods_with_one_new_name_are_refused() -> None:
    class First(Supervised):
        name = "the name of two"

    class Second(Supervised):
        name = "the name of two"

    assert method_name(First) == "the name of two"
    with pytest.raises(ConfigError, match=r"must not have one name, got .*Second and .*First"):
        method_name(Second)


def test_a_class_that_states_no_name_has_its_own_and_not_its_parents() -> None:
    class Child(Supervised):
        pass

    assert method_name(Child) == method_path(Child) != Supervised.name


def test_every_shipped_method_states_its_name_and_is_found_by_it() -> None:
    for short in method_names():
        kind = find_method(short)
        assert "name" in vars(kind)
        assert method_name(kind) == kind.name
        assert method_class(kind.name) is kind


def test_a_stored_trial_that_says_nothing_of_normalisation_had_that_of_imagenet() -> None:
    """As all networks had before the field came, whatever their weights."""
    data: Any = json.loads(json.dumps(trial(Supervised).encoded()))
    assert decode_trial(data).config.network.normalisation == "backbone"
    del data["config"]["network"]["normalisation"]
    assert decode_trial(data).config.network.normalisation == "imagenet"


def test_a_stored_trial_of_a_shipped_method_that_has_moved_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = "semisweep_methods.before:Supervised"
    data = trial(Supervised).encoded() | {"method": old}
    with pytest.raises(ConfigError, match="must be importable"):
        decode_trial(data)

    monkeypatch.setitem(MOVED, old, method_path(Supervised))

    assert decode_trial(data) == trial(Supervised)


def test_steps_or_epochs_are_given_but_not_both() -> None:
    for steps, epochs in ((None, None), (3, 4)):
        with pytest.raises((ConfigError, ValueError), match="exactly one of steps and epochs"):
            TrainingConfig(steps=steps, epochs=epochs)


@pytest.mark.parametrize(
    ("unlabelled", "batch", "epochs", "steps"), [(18, 8, 5, 10), (16, 8, 5, 10), (7, 8, 5, 5)]
)
def test_an_epoch_is_one_pass_over_the_unlabelled_images(
    unlabelled: int, batch: int, epochs: int, steps: int
) -> None:
    training = TrainingConfig(epochs=epochs, unlabelled_batch=batch)

    assert training.total_steps(unlabelled) == steps


def test_ranges_must_not_fall() -> None:
    with pytest.raises(ConfigError, match=r"must not fall, got cutmix_area=\(0\.4, 0\.1\)"):
        trial(RankMatch, {"training.augmentation.cutmix_area": (0.4, 0.1)})


class TestGoldenKeys:
    """A key that changes orphans every result in every store, so it changes only on purpose.

    The file holds whole trials and, for each pair of versions of a method and the trainer, the key
    that they had. Lines are added to it and none is ever changed.
    """

    record = json.loads(GOLDEN.read_text())

    @pytest.mark.parametrize("name", record["trials"])
    def test_keys_change_only_with_a_version(self, name: str) -> None:
        fixed = decode_trial(self.record["trials"][name])
        found = trial_identity(fixed, SPLIT)
        entry = {
            "trial": name,
            "method_version": found["method_version"],
            "trainer_version": found["trainer_version"],
            "key": trial_key(fixed, SPLIT),
        }
        versions = ("trial", "method_version", "trainer_version")
        same = [
            known
            for known in self.record["keys"]
            if all(known[part] == entry[part] for part in versions)
        ]

        assert same, (
            f"the version of the method or the trainer is new: add the line {json.dumps(entry)} "
            f"to {GOLDEN.name}, and leave the others as they are"
        )
        assert [known["key"] for known in same] == [entry["key"]], (
            "the key of a trial changed, but neither its method's version nor TRAINER_VERSION did: "
            "all results in all stores would be lost to it. Give a new field its neutral value "
            "(setting(..., neutral=...)), or raise the version if equal settings now give other "
            f"weights. What the key is of: {json.dumps(found)}"
        )

    def test_no_two_lines_have_one_key(self) -> None:
        keys = [known["key"] for known in self.record["keys"]]

        assert len(set(keys)) == len(keys)

    def test_a_new_field_at_its_neutral_value_would_change_no_key(self) -> None:
        """What the advice above promises: the trials were written without the field."""
        fixed = self.record["trials"]["rankmatch"]
        without = {**fixed, "training": dict(fixed["training"])}
        del without["training"]["group_optimizers"]

        assert trial_key(decode_trial(without), SPLIT) == trial_key(decode_trial(fixed), SPLIT)


def test_fields_that_later_versions_added_are_in_no_key_at_their_neutral_values() -> None:
    own = {
        "training": {
            *("schedule_share", "stop_share", "evaluate_from", "evaluation"),
            "supervised_epochs",
        },
        "optimizer": {"nesterov", "minimum_rate"},
        "augmentation": {
            *("scale_law", "scales", "padding", "labelled_colours"),
            *("cutmix_boxes", "cutmix_shape", "cutmix_together"),
        },
    }
    training = identity(TrainingConfig(steps=1))

    assert not own["training"] & set(training)
    assert identity(TrainingConfig(steps=1, record_every=2)) == training
    assert not {"unlabelled"} & set(identity(DataConfig()))
    assert not own["optimizer"] & set(training["optimizer"])
    assert not own["augmentation"] & set(training["augmentation"])


def test_colours_of_labelled_images_are_in_the_key_of_supervised_training() -> None:
    def key(**augmentation: object) -> str:
        changes = {f"training.augmentation.{name}": own for name, own in augmentation.items()}
        return trial_key(trial(Supervised, changes), SPLIT)

    assert key() == key(jitter=0.3) == key(cutmix_boxes=3)
    assert key(labelled_colours=True) != key()
    assert key(labelled_colours=True, jitter=0.3) != key(labelled_colours=True)
    assert key(labelled_colours=True, cutmix_boxes=3) == key(labelled_colours=True)
    assert key(scales=(1.0,), scale=(0.1, 3.0)) == key(scales=(1.0,)) != key()


def test_epochs_of_supervised_training_may_be_of_the_labelled_images() -> None:
    """UniMatch's supervised.py: 80 epochs of 92 labelled images in batches of 8 are 880 steps."""
    images = [f"image {number}" for number in range(10_582)]
    split = Split(tuple(images[:92]), tuple(images[92:]))
    epochs = {"training.steps": None, "training.epochs": 80}
    released = {**epochs, "training.supervised_epochs": "labelled"}

    assert total_steps(trial(Supervised, epochs), split) == 104_880
    assert total_steps(trial(Supervised, released), split) == 880
    assert total_steps(trial(RankMatch, released), split) == 104_880
    steps = trial(Supervised, {"training.steps": 880})
    assert trial_key(trial(Supervised, released), split) == trial_key(steps, split)
    assert trial_key(trial(RankMatch, released), split) == trial_key(
        trial(RankMatch, epochs), split
    )


def test_a_share_of_a_schedule_is_the_trial_of_so_many_steps() -> None:
    half = trial(Supervised, {"training.steps": 100, "training.schedule_share": 0.5})

    assert trial_key(half, SPLIT) == trial_key(trial(Supervised, {"training.steps": 50}), SPLIT)


def test_a_training_that_stops_early_is_of_its_steps_and_of_its_schedule() -> None:
    def key(**training: object) -> str:
        changes = {f"training.{name}": value for name, value in training.items()}
        return trial_key(trial(Supervised, {"training.steps": 100, **changes}), SPLIT)

    assert key(stop_share=0.999) == key()
    assert len({key(), key(steps=50), key(stop_share=0.5), key(steps=80, stop_share=0.625)}) == 4
    assert key(schedule_share=0.8, stop_share=0.625) == key(steps=80, stop_share=0.625)
    with pytest.raises(ConfigError, match=r"got evaluate_from=0.5, stop_share=0.5"):
        key(stop_share=0.5, evaluate_from=0.5)
