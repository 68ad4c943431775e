"""Arms that change nothing, or more than they say, are refused; sound ones are not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch

from semisweep import Column, DataConfig, Method, Preset, Rate, Row, Study, TrainingConfig
from semisweep.checks.arm_integrity import Checker, Finding, check_arm, check_arms, refuse
from semisweep.core.config import replace
from semisweep.core.errors import ConfigError
from semisweep.networks.network import Network
from semisweep.study.catalogue import find_study
from semisweep.study.factor import Probe, changed_fields
from semisweep.study.resolve import make_trial
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.css import CSS
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.gps import GPS
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.segkc import SegKC
from semisweep_methods.stpg import STPG
from semisweep_methods.u2pl import U2PL
from semisweep_methods.unimatch import UniMatch

TINY = Preset(
    data=DataConfig(labelled=16),
    training=TrainingConfig(epochs=12, labelled_batch=2, unlabelled_batch=2, crop_pixels=32),
    config={name: tiny_network() for name in ("network", "junior", "senior")},
    metric="last.test.miou",
    metric_note="",
)
# Of memories, heads and draws: what the small feature maps have room for.
SMALL: Mapping[type[Method], Mapping[str, Any]] = {
    RankMatch: {"config.agents": 8},
    CSS: {
        "config.representation_channels": 8,
        "config.warm_up_epochs": 4,
        "config.contrast.anchors": 8,
        "config.contrast.negatives": 8,
        "config.contrast.candidates": 8,
    },
    STPG: {"config.contrast.width": 8, "config.contrast.memory_size": 16},
    U2PL: {
        "config.representation_channels": 8,
        "config.anchors": 8,
        "config.negatives": 8,
        "config.memory_size": 64,
        "config.keys_per_step": 32,
        "config.supervised_epochs": 2,
    },
}
COLUMN = Column(name="few", set={"mini": {}})


def study(
    kind: type[Method],
    arm: Mapping[str, Any],
    base: Mapping[str, Any] | None = None,
    **about: Any,
) -> Study:
    """Return a study of two arms of a method: `base` and `arm` are the fields that they set."""
    small = next((own for parent, own in SMALL.items() if issubclass(kind, parent)), {})
    given = [{**small, **(base or {}), **extra} for extra in ({}, arm)]
    rows = [
        Row(name="base", method=kind, set=given[0]),
        Row(name="arm", method=kind, set=given[1], **about),
    ]
    presets = {"mini": TINY}
    return Study(name="s", title="", presets=presets, rows=rows, columns=[COLUMN], base="base")


def find(*arguments: Any, **about: Any) -> list[Finding]:
    """Return what is wrong with the one arm of such a study."""
    return check_arms(study(*arguments, **about), "mini")


def made(kind: type[Method], name: str, **members: Any) -> type[Method]:
    """Return a subclass that can be imported, as a trial's method must be."""
    name = f"{name}{kind.__name__}"
    while name in globals():
        name += "_"
    members |= {"__module__": __name__, "__qualname__": name}
    globals()[name] = type(kind)(name, (kind,), members)
    return globals()[name]  # type: ignore[no-any-return]


def with_build(kind: type[Method], name: str, change: Callable[..., Any]) -> type[Method]:
    """Return a method whose configuration and seed are changed before it is built."""

    def build(self: Method, config: Any, classes: int, seed: int = 0) -> None:
        kind.__init__(self, *change(config, classes, seed))

    return made(kind, name, __init__=build)


def value_of(config: Any, path: str) -> Any:
    for name in path.split(".")[1:]:
        config = getattr(config, name)
    return config


def unwired(kind: type[Method], path: str) -> type[Method]:
    """Return a method that never looks at a field: it has its base's value always."""
    small = SMALL.get(kind, {})
    usual = value_of(make_trial(TINY, kind, small, {}).config, path)
    inner = path.removeprefix("config.")
    return with_build(kind, "Unwired", lambda own, c, s: (replace(own, {inner: usual}), c, s))


def reseeded(kind: type[Method], path: str, value: Any) -> type[Method]:
    """Return a method that starts from another seed where a field has a value."""
    return with_build(
        kind, "Reseeded", lambda own, c, s: (own, c, s + int(value_of(own, path) == value))
    )


def detached(kind: type[Method], name: str) -> type[Method]:
    """Return a method one of whose loss terms has no gradient."""

    def term(self: Method, *arguments: Any) -> Any:
        found = getattr(kind, name)(self, *arguments)
        if isinstance(found, tuple):
            return (found[0].detach(), *found[1:])
        return found.detach()

    return made(kind, "Detached", **{name: term})


def with_step(
    kind: type[Method], name: str, path: str, value: Any, change: Callable[[Any], Any]
) -> type[Method]:
    """Return a method whose updates are changed where a field has a value."""

    def step(self: Method, *arguments: Any) -> Iterator[Any]:
        on = value_of(self.config, path) == value
        for update in kind.step(self, *arguments):
            yield change(update) if on else update

    return made(kind, name, step=step)


def drawing(kind: type[Method], path: str, value: Any) -> type[Method]:
    """Return a method that takes a number from torch's generator where a field has a value."""

    def change(update: Any) -> Any:
        torch.rand(1)
        return update

    return with_step(kind, "Drawing", path, value, change)


def faster(kind: type[Method], path: str, value: Any) -> type[Method]:
    """Return a method that learns at twice the rate where a field has a value."""
    return with_step(
        kind, "Faster", path, value, lambda update: update._replace(rate=Rate(0, 10, 2.0))
    )


def undrawn(kind: type[Method]) -> type[Method]:
    """Return a method whose classifiers start from whatever was drawn before."""

    def build(self: Method, *arguments: Any) -> None:
        kind.__init__(self, *arguments)
        for part in self.modules():
            if isinstance(part, Network):
                torch.nn.init.normal_(part.decoder.classifier.weight)

    return made(kind, "Undrawn", __init__=build)


RANK, CONTRAST = "config.rank_weight", "config.contrast.weight"
RATE, DRAW = "training.optimizer.learning_rate", "data.draw"
FIRST = {  # a factor of each method that bites
    RankMatch: (RANK, 0.5),
    UniMatch: ("config.threshold", 0.5),
    CSS: (CONTRAST, 0.3),
    STPG: ("config.unlabelled_weight", 0.5),
    GPS: ("config.exchange_weight", 3.0),
    SegKC: ("config.distillation_weight", 3.0),
}
UNWIRED = [
    *((kind, *factor) for kind, factor in FIRST.items()),
    (RankMatch, "config.selection", "random"),
    (RankMatch, "config.agents", 4),
    (UniMatch, "config.feature_weight", 0.0),
    (FixMatch, "config.threshold", 0.5),
    (CSS, "config.label_source", "cross"),
    (CSS, "config.warm_up_epochs", 9),
    (STPG, "config.select_low_mismatched", True),
    (SegKC, "config.temperature", 2.0),
]
UNWIRED_BASES = {"config.warm_up_epochs": {"config.label_source": "cross"}}
TYPOS = [
    (RankMatch, "config.rank_wieght", 0.5),
    (UniMatch, "config.treshold", 0.5),
    (CSS, "config.contrast.wieght", 1.0),
    (SegKC, "config.temprature", 2.0),
    (STPG, "training.optimiser.learning_rate", 0.1),
]
BESIDE = [
    (RankMatch, {RATE: 0.1}),
    (GPS, {RATE: 0.002}),
    (CSS, {"training.optimizer.head_multiplier": 1.0}),
    (UniMatch, {DRAW: 1}),
    (STPG, {DRAW: 2}),
    (SegKC, {"data.labelled": 32}),
    (RankMatch, {"data.family": "uniform"}),
    (UniMatch, {"training.epochs": 24}),
    (CSS, {"training.crop_pixels": 64}),
    (STPG, {"training.augmentation.cutmix": 1.0}),
    (GPS, {"training.unlabelled_batch": 4}),
]
DETACHED = [
    (RankMatch, "agent_consistency", RANK, 0.5),
    (CSS, "contrast", CONTRAST, 0.3),
    (SegKC, "distil", "config.distillation_weight", 3.0),
    (SegKC, "cross_consistency", "config.consistency_weight", 3.0),
]
INERT = [
    (UniMatch, "config.threshold", 0.5, {"config.view_weight": 0.0, "config.feature_weight": 0.0}),
    (RankMatch, "config.agents", 4, {RANK: 0.0}),
    (RankMatch, "config.consistency", "ce", {"config.consistency": "kl"}),
    (STPG, "config.contrast.temperature", 0.1, {CONTRAST: 0.0}),
]

Fault = tuple[str, str, Callable[[], list[Finding]]]  # kind, a part of the reason, how to find it


def faults() -> Iterator[tuple[str, Fault]]:
    """Yield a name, the kind and a word of the reason, and the check of every seeded fault."""

    def seeded(kind: type[Method], *arguments: Any, **about: Any) -> Callable[[], list[Finding]]:
        return lambda: find(kind, *arguments, **about)

    for kind, path, value in UNWIRED:
        check = seeded(unwired(kind, path), {path: value}, UNWIRED_BASES.get(path))
        yield f"{kind.__name__} without {path}", ("no-op", path, check)
    for kind, path, value in TYPOS:
        yield f"{kind.__name__} {path}", ("no-op", "unknown field", seeded(kind, {path: value}))
    for kind, beside in BESIDE:
        path, value = FIRST[kind]
        check = seeded(kind, {path: value, **beside})
        yield (
            f"{kind.__name__} with {next(iter(beside))}",
            ("confounded", next(iter(beside)), check),
        )
    for kind, name, path, value in DETACHED:
        check = seeded(detached(kind, name), {path: value})
        yield f"{kind.__name__} detaches {name}", ("no-op", "detached", check)
    for kind, path, value, base in INERT:
        check = seeded(kind, {path: value}, base)
        yield f"{kind.__name__} inert {path}", ("no-op", "very training", check)
    for kind, (path, value) in list(FIRST.items())[:5]:
        check = seeded(reseeded(kind, path, value), {path: value})
        yield f"{kind.__name__} of another seed", ("confounded", "base row's weights", check)
    for kind, (path, value) in list(FIRST.items())[:3]:
        check = seeded(drawing(kind, path, value), {path: value})
        yield f"{kind.__name__} draws more", ("confounded", "global generators", check)
    for kind in (RankMatch, GPS):
        path, value = FIRST[kind]
        check = seeded(undrawn(kind), {path: value})
        yield f"{kind.__name__} starts anyhow", ("confounded", "base row's weights", check)
    for kind in (UniMatch, CSS):
        path, value = FIRST[kind]
        check = seeded(faster(kind, path, value), {path: value})
        yield f"{kind.__name__} learns faster", ("confounded", "learning rates", check)


FAULTS = dict(faults())


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_refused_with_its_reason(name: str) -> None:
    kind, words, check = FAULTS[name]
    reasons = [finding for finding in check() if finding.refused]

    assert any(own.kind == kind and words in own.reason for own in reasons), reasons


SHIPPED = {
    "segkc_losses": 2,
    "segkc_backbones": 1,
    "segkc_seniors": 1,
    "stpg_components": 5,
    "stpg_selection": 3,
    "gps_losses": 5,
    "gps_ramp_down": 1,
    "gps_updates": 1,
    "css_sources": 3,
    "css_components": 5,
    "rankmatch_components": 4,
    "rankmatch_selection": 3,
    "rankmatch_consistency": 3,
    "rankmatch_agents": 1,
    "quickstart": 2,
}
OWN: list[tuple[type[Method], Mapping[str, Any], Mapping[str, Any] | None]] = [
    (CSS, {"config.warm_up_epochs": 9}, {"config.label_source": "cross"}),
    (CSS, {"config.teacher_momentum": 0.9}, None),
    (U2PL, {"config.supervised_epochs": 9}, None),
    (U2PL, {"config.memory_size": 30_000}, None),
    (UniMatch, {"config.threshold": 0.99}, None),
    (RankMatch, {"config.threshold": 0.9}, {"config.threshold": 0.98}),
    (SegKC, {"config.threshold": 0.99}, None),
    (STPG, {"config.contrast.memory_size": 4096}, None),
    (GPS, {"config.ramp": "none"}, None),
    (UniMatch, {RATE: 0.1}, None),
]
SOUND = [
    *((name, index) for name, count in SHIPPED.items() for index in range(count)),
    *(("own", index) for index in range(len(OWN))),
]
CHECKER = Checker()


def test_there_are_fifty_of_both() -> None:
    assert (len(FAULTS), len(SOUND)) == (50, 50)


@pytest.mark.parametrize(("name", "index"), SOUND)
def test_a_sound_arm_is_not_refused(name: str, index: int) -> None:
    if name == "own":
        found = find(*OWN[index])
    else:
        shipped = find_study(name)
        assert isinstance(shipped, Study)
        arms = [row for row in shipped.rows if row.method and row.name != shipped.base]
        column = next(own for own in shipped.columns if "mini" in own.set)
        found = check_arm(shipped, "mini", arms[index], column, {}, CHECKER)

    assert not [str(finding) for finding in found if finding.refused]


def test_a_factor_without_a_probe_is_a_warning() -> None:
    kind = unwired(UniMatch, "config.threshold")
    found = find(kind, {"config.threshold": 0.5}, probe=None)

    assert [(own.kind, own.refused) for own in found] == [("not probed", False)]


def test_a_field_that_only_training_has_is_a_warning() -> None:
    assert [own.kind for own in find(UniMatch, {RATE: 0.1})] == ["not probed"]


def test_a_declared_bundle_may_hold_a_learning_rate() -> None:
    arm = {RANK: 0.5, RATE: 0.1}

    assert not find(RankMatch, arm, factor=(RANK, RATE))
    assert find(RankMatch, arm, factor=(RANK,))[0].kind == "confounded"


def test_a_declared_field_must_exist_and_differ() -> None:
    missing = find(RankMatch, {RANK: 0.5}, factor=(RANK, "config.thresholt"))
    equal = find(RankMatch, {RANK: 0.5}, factor=(RANK, "config.threshold"))

    assert "did you mean config.threshold" in missing[0].reason
    assert "same value" in equal[0].reason


def test_a_probe_before_the_warm_up_ends_shows_nothing() -> None:
    arm, base = {"config.warm_up_epochs": 9}, {"config.label_source": "cross"}

    assert find(CSS, arm, base, probe=Probe(steps=4, progress=(0.0, 0.2)))[0].kind == "no-op"
    assert not find(CSS, arm, base, probe=Probe(steps=8, progress=(0.3, 0.7)))


def test_methods_are_compared_by_networks_and_supervised_loss() -> None:
    base = make_trial(TINY, UniMatch, {}, {})
    other = make_trial(TINY, GPS, {"config.supervised_loss": "ohem"}, {})

    assert changed_fields(base, other) == ["method", "config.supervised_loss"]


@pytest.mark.parametrize("fields", [{"steps": 0}, {"progress": (0.5, 0.5)}, {"sharpness": 0.0}])
def test_a_probe_that_cannot_be_held_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Probe(**fields)


def test_the_refusal_names_the_arm_and_counts_the_others() -> None:
    found = find(RankMatch, {RANK: 0.5, RATE: 0.1, DRAW: 1})
    row = dataclasses.replace(found[0], row="other")

    with pytest.raises(ConfigError, match=r"arm, few: confounded: .*and 1 more"):
        refuse([*found, row])


def test_the_command_prints_warnings_and_passes(call: Callable[..., Any]) -> None:
    said = call("check", "segkc_backbones")

    assert (said.code, said.error) == (0, "")
    assert "segkc_backbones: 2 rows, 0 refused" in said.out


def test_the_command_exits_with_two_and_the_reason(call: Callable[..., Any], tmp_path: Any) -> None:
    changed = json.dumps({RANK: 0.5, RATE: 0.1})
    (tmp_path / "confounded_study.py").write_text(
        "import dataclasses\n"
        "from semisweep_studies.rankmatch import weight\n"
        f"arm = dataclasses.replace(weight.rows[2], set={changed})\n"
        "confounded = dataclasses.replace(weight, rows=[weight.rows[1], arm])\n"
    )
    said = call("check", "confounded_study.py:confounded")

    assert said.code == 2
    assert "confounded" in said.error
    assert RATE in said.error
