"""What an arm differs in from the base arm of its study, and where that must show.

An arm's factor is the fields that it declares, or else those that it or the base row sets. Anything
else in which their trials differ confounds the comparison.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semisweep.core.config import encode, flatten, identity, settings
from semisweep.core.errors import ConfigError, unknown
from semisweep.training.trial import Trial, method_class, method_name

if TYPE_CHECKING:
    from semisweep.training.method import MethodConfig

METHOD = "method"
RATE = "rate"  # a learning rate that a method's own updates bring
SHARED_BY_METHODS = ("supervised_loss",)  # besides networks


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A rehearsal in which a factor must change what is trained: `steps` of a tiny network.

    They cover the stretch `progress` of a training, so that warm-ups end and ramps rise;
    classifiers are multiplied by `sharpness`, so that thresholds are passed; more steps fill larger
    memories.
    """

    steps: int = 12
    progress: tuple[float, float] = (0.0, 1.0)
    sharpness: float = 8.0

    def __post_init__(self) -> None:
        low, high = self.progress
        if self.steps < 1 or not 0 <= low < high <= 1 or self.sharpness <= 0:
            raise ConfigError(
                "a probe needs steps >= 1, 0 <= progress[0] < progress[1] <= 1 and sharpness > 0, "
                f"got steps={self.steps}, progress={self.progress}, sharpness={self.sharpness}"
            )


def changed_fields(base: Trial, arm: Trial) -> list[str]:
    """Return the dotted fields in which two trials differ, "method" for all that is one method's.

    Of two methods, those fields of the configuration count that mean the same in both: networks and
    the supervised loss.
    """
    alike = base.method == arm.method
    one, other = (set(_comparable(trial.config, alike)) for trial in (base, arm))
    leaves = [_leaves(trial, one & other) for trial in (base, arm)]
    names = dict.fromkeys([*leaves[0], *leaves[1]])
    missing = object()
    return ([] if alike else [METHOD]) + [
        name for name in names if leaves[0].get(name, missing) != leaves[1].get(name, missing)
    ]


def _comparable(config: MethodConfig, alike: bool) -> Iterator[str]:
    """Yield the fields that mean the same in the other configuration: all, if methods are alike."""
    from semisweep.networks.network import NetworkConfig

    for name, value, _ in settings(config):
        if alike or name in SHARED_BY_METHODS or isinstance(value, NetworkConfig):
            yield name


def _leaves(trial: Trial, compared: Collection[str]) -> dict[str, object]:
    """Return the leaves of a trial but its method; of its configuration those of some fields."""
    config = {name: encode(item) for name, item, _ in settings(trial.config) if name in compared}
    encoded = trial.encoded() | {"config": config}
    return flatten({name: value for name, value in encoded.items() if name != METHOD})


def covered(field: str, factor: Iterable[str]) -> bool:
    """Return whether a field is one of a factor's, or below one of them."""
    return any(field == own or field.startswith(f"{own}.") for own in factor)


def default_factor(
    base: Trial, arm: Trial, base_sets: Iterable[str], arm_sets: Iterable[str]
) -> list[str]:
    """Return the factor of an arm that declares none, from the fields that either row sets.

    Of one method those of its configuration, or, where none of these differs, those of data and
    training: a learning rate that moves along with a loss weight is no part of the factor unless it
    is declared. Of two methods all fields that are set: they are part of the recipe.
    """
    paths = dict.fromkeys([*base_sets, *arm_sets])
    if base.method != arm.method:
        return [METHOD, *paths]
    changed = changed_fields(base, arm)
    differing = [path for path in paths if any(covered(name, [path]) for name in changed)]
    inner = [path for path in differing if path.startswith("config.")]
    return inner or differing


def check_declared(factor: Sequence[str], base: Trial, arm: Trial) -> str | None:
    """Return why a declared factor is none: a field that has the same value in both trials.

    Raises `ConfigError` for a field that neither has, naming the nearest ones.
    """
    known = dict.fromkeys([*flatten(base.encoded()), *flatten(arm.encoded()), RATE])
    changed = changed_fields(base, arm)
    for path in factor:
        if not any(covered(name, [path]) for name in [*known, *changed]):
            raise unknown("field of a factor", path, known)
        if path != RATE and not any(covered(name, [path]) for name in changed):
            return f"the declared {path} has the same value in both"
    return None


def training_identity(trial: Trial) -> dict[str, object]:
    """Return what determines a trial's weights, given the images that its data names."""
    method, config = method_class(trial.method).same_as(trial.config)
    return {
        "method": method_name(method),
        "config": identity(config),
        "data": encode(trial.data),
        "training": identity(trial.training),
        "seed": trial.seed,
    }
