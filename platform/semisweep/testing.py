"""A test suite that every method must pass, for our own methods and for other people's.

    class TestMine(MethodContract):
        method = Mine
        config = MineConfig(network=tiny_network(), threshold=0.3)
        variants = (replace(config, {"weight": 0.0}),)

Choose settings with which every part of the loss is alive on four small random images: a network
that knows nothing is never 0.95 confident. `variants` are further configurations whose claims, that
a field does not matter or that the trial is another method's, are to be proven. Two tests train in
processes of their own, so the method must be importable, as a trial's method must be anyway.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor, nn

from semisweep.core.config import decode, encode, identity, is_configuration, replace, settings
from semisweep.core.errors import ConfigError
from semisweep.networks.network import Network
from semisweep.training.kept_state import kept_state, load_kept
from semisweep.training.method import Batch, Method, MethodConfig, Update
from semisweep.training.method_fixtures import (
    Losses,
    awkward_batches,
    disturb,
    first_update,
    parameters,
    progress_at,
    random_batch,
    tiny_network,
    train_on_workers,
    train_steps,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "MethodContract",
    "first_update",
    "progress_at",
    "random_batch",
    "tiny_network",
    "train_on_workers",
    "train_steps",
]

ADVICE = "use functional.over_count(total, count), which is zero of nothing, instead of a mean"
Logits = Mapping[str, Sequence[float]]  # by network


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The losses of ten steps, and the identity of the configuration that they are of."""

    config: Mapping[str, object]
    losses: Losses


class MethodContract:
    """What trainer, store and cluster rely on in a method; set `method` and `config`."""

    method: ClassVar[type[Method]]
    config: ClassVar[MethodConfig]
    variants: ClassVar[Sequence[MethodConfig]] = ()
    golden: ClassVar[Path | None] = None
    classes: ClassVar[int] = 4
    prototype: ClassVar[bool] = False  # its fields need not say where their values come from

    def build(self, config: MethodConfig | None = None, seed: int = 0) -> Method:
        """Return a fresh method in training mode."""
        return self.method(config or self.config, self.classes, seed).train()

    def batch(self, seed: int = 0) -> Batch:
        """Return a small random batch."""
        return random_batch(seed, classes=self.classes)

    def test_initial_weights_come_from_the_seed_alone(self) -> None:
        disturb(1)
        first = self.build().state_dict()
        disturb(2)
        second, other = self.build().state_dict(), self.build(seed=1).state_dict()

        assert not differences(first, second), (
            "initial weights depend on earlier draws: build networks with the seed that is given, "
            "as config.network.build(classes, seed) does"
        )
        assert differences(first, other), (
            "initial weights do not depend on the seed: pass it to config.network.build"
        )

    def test_the_state_dict_is_the_whole_memory(self, tmp_path: Path) -> None:
        straight = self.build()
        train_steps(straight, 2)
        torch.save(straight.state_dict(), tmp_path / "state.pt")
        resumed = self.build()
        resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        expected = train_steps(straight, 2, first=2)
        found = train_steps(resumed, 2, first=2)

        assert expected == found, (
            "losses differ after resuming: what a step remembers must be a parameter or a buffer "
            "(register_buffer), and draws must come of functional.generator"
        )
        apart = differences(straight.state_dict(), resumed.state_dict())
        assert not apart, (
            f"{', '.join(apart)} differ after resuming: what a step remembers must be a parameter "
            "or a buffer (register_buffer)"
        )

    def test_the_updates_do_not_depend_on_the_data(self) -> None:
        parts = self.parts(self.batch())

        assert parts, "a step yields at least one update"
        assert parts[-1][1], "the last part of an update is complete"
        for (group, complete), (following, _) in itertools.pairwise(parts):
            assert complete or group == following, f"{following} within an update of {group}"
        for kind, batch in awkward_batches(self.batch()).items():
            assert self.parts(batch) == parts, (
                f"other updates when {kind}: yield the same ones always, with a loss that is zero "
                "on the graph, such as functional.over_count gives of nothing"
            )

    def test_losses_and_gradients_are_finite_whatever_the_data(self) -> None:
        blank = self.build()
        for parameter in blank.parameters():
            nn.init.zeros_(parameter)
        check_finite("all weights are zero", blank, self.batch())
        for kind, batch in awkward_batches(self.batch()).items():
            check_finite(kind, self.build(), batch)

    def test_groups_are_disjoint_and_hold_every_trainable_parameter(self) -> None:
        method = self.build()
        members = [id(own) for name in method.groups() for own in parameters(method, name)]

        assert len(members) == len(set(members)), "a parameter is in two groups"
        missing = [
            name
            for name, own in method.named_parameters()
            if own.requires_grad and id(own) not in members
        ]
        assert not missing, (
            f"{', '.join(missing)}: name every trained parameter in groups(), or freeze it "
            "(requires_grad_(False), weight_averaging.frozen_copy)"
        )
        trained = {id(own) for own in method.parameters() if own.requires_grad}
        assert set(members) == trained, "a group has a parameter that is frozen or none of its own"

    def test_an_update_reaches_its_own_group_only(self) -> None:
        method = self.build()
        for update in method.step(self.batch(), progress_at(0)):
            for name in method.groups():
                reached = reaches(update, parameters(method, name))
                assert reached == (name == update.group), f"{update.group}'s loss and {name}"

    def test_draws_do_not_depend_on_what_was_drawn_before(self) -> None:
        results = []
        for seed in (1, 2):
            method = self.build()
            disturb(seed)
            results.append(train_steps(method, 2, first=3))

        assert results[0] == results[1], (
            "losses depend on earlier draws: draw with functional.generator(progress, purpose) "
            "instead of torch's own generator"
        )

    def test_two_workers_on_halves_give_the_losses_of_one(self, tmp_path: Path) -> None:
        alone = self.build().double()
        expected = train_steps(alone, 5)
        workers = train_on_workers(2, self.method, self.config, self.classes, tmp_path)

        assert not differences(workers[0].state, workers[1].state), "replicas differ"
        assert all(worker.equal for worker in workers)
        for step, losses in enumerate(expected):
            for name, loss in losses.items():
                shares = [worker.losses[step][name] for worker in workers]
                assert abs(sum(shares) / 2 - loss) < 1e-5, (
                    f"{name} at step {step} is {loss:.6g} on one worker and on two the mean of "
                    f"{shares}: divide sums over pixels or images by "
                    "functional.over_count(total, count), whose count workers share, not by .mean()"
                )

    def test_predict_gives_logits_of_each_image_on_its_own(self) -> None:
        method = self.build()
        train_steps(method, 1)
        method.eval()
        before = {name: value.clone() for name, value in method.state_dict().items()}
        image = torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            together = method.predict(image)
            alone = method.predict(image[1:2])

        assert together.shape == (3, self.classes, 32, 48)
        assert torch.allclose(together[1:2], alone, atol=1e-4), "predictions depend on other images"
        assert not differences(before, method.state_dict()), "predict changes the method"
        assert not method.training, "predict changes the mode"

    def test_what_is_reported_is_all_that_predict_reads(self) -> None:
        image = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
        for own in (self.config, *self.variants):
            trained = self.build(own)
            train_steps(trained, 2)
            state = {name: value.clone() for name, value in kept_state(trained).items()}
            fresh = self.build(own, seed=1)
            load_kept(fresh, state, "what is reported")
            with torch.inference_mode():
                expected, found = (one.eval().predict(image) for one in (trained, fresh))
            assert torch.equal(expected, found), (
                f"predict reads more than is reported, with {own}: name all networks that it reads "
                "in reported()"
            )

    def test_a_step_in_low_precision_is_finite(self) -> None:
        losses = train_steps(self.build(), 2, precision="bf16")

        assert all(np.isfinite(value) for step in losses for value in step.values()), losses

    def test_a_configuration_survives_json(self) -> None:
        for own in (self.config, *self.variants):
            assert decode(self.method.Config, json.loads(json.dumps(encode(own)))) == own

    def test_every_setting_says_where_its_value_comes_from(self) -> None:
        if self.prototype:
            return
        bare = [
            name
            for name, _, about in settings(self.config)
            if not (about.paper or about.code or about.why)
        ]
        assert not bare, (
            f"{', '.join(bare)}: say where the value comes from, as in setting(0.5, "
            'paper="0.5 (Sec. 4)") or why="..."; or set prototype = True in the test'
        )

    def test_fields_left_out_of_the_key_change_nothing(self) -> None:
        for own in (self.config, *self.variants):
            kind, resolved = self.method.same_as(own)
            expected = self.weights(kind, resolved)
            for path, changed in inert_changes(resolved):
                found = self.weights(kind, changed)
                assert not differences(expected, found), f"{path} is not in the key, yet matters"

    def test_a_trial_that_claims_to_be_another_is_that_one(self) -> None:
        for own in (self.config, *self.variants):
            kind, resolved = self.method.same_as(own)
            assert kind.same_as(resolved) == (kind, resolved), "a claim leads to another claim"
            if (kind, resolved) != (self.method, own):
                expected, found = self.weights(kind, resolved), self.weights(self.method, own)
                missing = {name: found[name] for name in expected if name in found}
                assert not differences(expected, missing), f"{own} is not {resolved}"

    def test_ten_steps_give_the_recorded_losses_and_logits(self) -> None:
        """Records are made where there are none; a change that alters one needs a new `version`."""
        if self.golden is None:
            return
        method = self.build().double()
        losses = Recorded(config=identity(self.config), losses=train_steps(method, 10))
        logits = evaluated_logits(method)
        beside = self.golden.with_name(f"logits_{self.golden.name.removeprefix('trace_')}")
        made = {self.golden: vars(losses), beside: logits}
        missing = [file for file in made if not file.exists()]
        for file in missing:
            file.write_text(json.dumps(made[file], indent=1) + "\n")
        names = " and ".join(file.name for file in missing)
        assert not missing, f"there was no record; {names} is written, look at it"
        check_losses(losses, Recorded(**json.loads(self.golden.read_text())))
        check_logits(logits, json.loads(beside.read_text()))

    def parts(self, batch: Batch) -> list[tuple[str, bool]]:
        """Return the group of each part of a first step's updates, and whether it is the last."""
        updates = self.build().step(batch, progress_at(0))
        return [(update.group, update.complete) for update in updates]

    def weights(
        self, kind: type[Method], config: MethodConfig, steps: int = 3
    ) -> dict[str, Tensor]:
        """Return the weights after a few steps of a method under a configuration."""
        method = kind(config, self.classes, 0).train()
        train_steps(method, steps)
        return method.state_dict()


def reaches(update: Update, own: Sequence[nn.Parameter]) -> bool:
    """Return whether the loss of an update has a gradient that is not zero in any of `own`."""
    gradients = torch.autograd.grad(update.loss, own, retain_graph=True, allow_unused=True)
    return any(gradient is not None and bool(gradient.any()) for gradient in gradients)


def check_finite(kind: str, method: Method, batch: Batch) -> None:
    """Assert that each update's loss hangs on the graph and is finite, gradients included."""
    for update in method.step(batch, progress_at(0)):
        assert update.loss.requires_grad, (
            f"{update.group}'s loss is off the graph when {kind}: it must be made of the group's "
            "outputs, not of detached ones, also where nothing counts"
        )
        assert update.loss.isfinite(), f"{update.group}'s loss is not finite when {kind}: {ADVICE}"
        own = parameters(method, update.group)
        gradients = torch.autograd.grad(update.loss, own, retain_graph=True, allow_unused=True)
        finite = all(bool(found.isfinite().all()) for found in gradients if found is not None)
        assert finite, f"{update.group}'s gradient is not finite when {kind}: {ADVICE}"


def evaluated_logits(method: Method) -> Logits:
    """Return logits of two images in evaluation mode, of `predict` and of each network by its name.

    Means [2, C, 2, 2] over quarters of the images, flat. They depend on batch statistics, which
    losses of training mode do not see.
    """
    some = next(method.parameters())
    made = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 32, 48, generator=made).to(some.device, some.dtype)
    method.eval()
    with torch.inference_mode():
        found = {"predict": method.predict(image)}
        for name, module in method.named_modules():
            if isinstance(module, Network):
                found[name] = module(image).logits
    quarters = {name: nn.functional.adaptive_avg_pool2d(own, 2) for name, own in found.items()}
    return {name: own.flatten().tolist() for name, own in quarters.items()}


def check_losses(found: Recorded, record: Recorded) -> None:
    """Assert that losses are the recorded ones, up to the rounding of other CPUs."""
    assert record.config == found.config, "the record is of other settings"
    for step, (expected, own) in enumerate(zip(record.losses, found.losses, strict=True)):
        assert expected.keys() == own.keys()
        for name, loss in expected.items():
            assert abs(own[name] - loss) <= 1e-4 * abs(loss), f"{name} at step {step}"


def check_logits(found: Logits, record: Logits) -> None:
    """Assert that logits are the recorded ones, up to the same share of a network's largest."""
    assert record.keys() == found.keys(), f"networks must be {', '.join(record)}"
    for name, expected in record.items():
        most = 1e-4 * max(map(abs, expected))
        apart = max(abs(a - b) for a, b in zip(expected, found[name], strict=True))
        assert apart <= most, f"logits of {name} in evaluation mode: {apart} apart, {most} allowed"


def differences(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Return the names under which two states do not hold the very same bits."""
    names = sorted(set(first) ^ set(second))
    shared = set(first) & set(second)
    return names + [name for name in sorted(shared) if not torch.equal(first[name], second[name])]


def inert_changes(config: MethodConfig) -> Iterator[tuple[str, MethodConfig]]:
    """Yield each field that is said not to matter, and the configuration changed in it.

    Raises `AssertionError` where no other value of such a field can be found to try.
    """
    for path in _inert_fields(config):
        for value in _other_values(config, path):
            try:
                changed = replace(config, {path: value})
            except ConfigError:
                continue
            if identity(changed) == identity(config):
                yield path, changed
                break
        else:
            raise AssertionError(f"no other value to try for {path}, which is said not to matter")


def _inert_fields(config: DataclassInstance, prefix: str = "") -> Iterator[str]:
    for name, value, about in settings(config):
        if about.matters is not None and not about.matters(config):
            yield prefix + name
        elif is_configuration(value):
            yield from _inert_fields(value, f"{prefix}{name}.")


def _other_values(config: object, path: str) -> Iterator[object]:
    *parents, name = path.split(".")
    for parent in parents:
        config = getattr(config, parent)
    value, hint = getattr(config, name), get_type_hints(type(config))[name]
    if get_origin(hint) is Literal:
        yield from (other for other in get_args(hint) if other != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value / 2, value + 0.25)
    elif isinstance(value, tuple):
        yield value[:-1]
