"""The contract catches what it is there to catch."""

import pytest
import torch
from torch import nn

from semisweep import Method, MethodConfig, Update, config, setting
from semisweep.testing import MethodContract, random_batch
from semisweep.training.functional import confident_cross_entropy, cross_entropy, pseudo_label


@config
class ToyConfig(MethodConfig):
    """What may go wrong, each as a switch."""

    weight: float = setting(1.0, why="of a second term")
    ignored: float = setting(1.0, why="said not to matter", matters=lambda own: False)
    fault: str = setting("", why="the rule to break")


class Toy(Method):
    """Two pixel classifiers, each a group; correct unless told otherwise."""

    Config = ToyConfig

    def __init__(self, config, classes, seed=0):
        super().__init__(config, classes, seed)
        made = torch.Generator().manual_seed(seed)
        self.first, self.second = (nn.Conv2d(3, classes, 1) for _ in range(2))
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5, generator=made)
        if config.fault == "unseeded":
            nn.init.normal_(self.first.weight)
        self.register_buffer("mean", torch.zeros(classes))
        self.remembered = 0.0

    @classmethod
    def same_as(cls, config):
        if config.fault == "false claim" and config.weight != 1.0:
            return cls, ToyConfig(fault="false claim")
        return cls, config

    def groups(self):
        return {"first": [self.first], "second": [self.second]}

    def step(self, batch, progress):
        fault, (logits, other) = (
            self.config.fault,
            (self.first(batch.image), self.second(batch.weak)),
        )
        loss = self.config.weight * cross_entropy(logits, batch.label)
        if fault == "local mean":
            loss = nn.functional.cross_entropy(logits, batch.label, ignore_index=255)
        if fault == "memory":
            loss, self.remembered = loss * (1 + self.remembered), self.remembered + 1.0
        if fault == "global draw":
            loss = loss * (1 + torch.rand(1, generator=EARLIER).item())
        if fault == "leak":
            loss = loss + self.second.weight.square().sum()
        if fault == "key":
            loss = loss * self.config.ignored
        if fault == "detached":
            loss = loss.detach() if not batch.valid.any() else loss
        yield Update("first", loss, {"loss": loss.detach()})
        label, confidence = pseudo_label(self.first(batch.weak))
        if fault == "data decides" and not batch.valid.any():
            return
        loss = confident_cross_entropy(other, label, confidence >= 0.3, batch.valid)
        yield Update("second", loss, {"mean": self.mean.mean()})
        with torch.no_grad():
            self.mean.lerp_(self.second.bias, 0.1)

    def reported(self):
        return [self.second if self.config.fault == "unreported" else self.first]

    def predict(self, image):
        if self.config.fault == "predict changes":
            self.mean.add_(1.0)
        return self.first(image)


EARLIER = torch.Generator().manual_seed(0)


def contract(fault, **changes):
    """Return the suite for a toy with one fault."""
    suite = type("TestToy", (MethodContract,), {"method": Toy, "config": ToyConfig(fault=fault)})
    suite.variants = (ToyConfig(fault=fault, **changes),)
    return suite()


FAULTS = {
    "unseeded": "test_initial_weights_come_from_the_seed_alone",
    "memory": "test_the_state_dict_is_the_whole_memory",
    "data decides": "test_the_updates_do_not_depend_on_the_data",
    "local mean": "test_losses_and_gradients_are_finite_whatever_the_data",
    "detached": "test_losses_and_gradients_are_finite_whatever_the_data",
    "leak": "test_an_update_reaches_its_own_group_only",
    "global draw": "test_draws_do_not_depend_on_what_was_drawn_before",
    "predict changes": "test_predict_gives_logits_of_each_image_on_its_own",
    "unreported": "test_what_is_reported_is_all_that_predict_reads",
    "key": "test_fields_left_out_of_the_key_change_nothing",
    "false claim": "test_a_trial_that_claims_to_be_another_is_that_one",
}
NEED_A_FOLDER = ("test_the_state_dict_is_the_whole_memory",)
NEED_PROCESSES = ("test_two_workers_on_halves_give_the_losses_of_one",)


def call(suite, name, tmp_path):
    getattr(suite, name)(*([tmp_path] if name in NEED_A_FOLDER else []))


@pytest.mark.parametrize("name", [n for n in dir(MethodContract) if n.startswith("test_")])
def test_a_correct_method_passes(name, tmp_path):
    if name not in NEED_PROCESSES:
        call(contract(""), name, tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_test(fault, tmp_path):
    changes = {"weight": 2.0} if fault == "false claim" else {}
    with pytest.raises(AssertionError):
        call(contract(fault, **changes), FAULTS[fault], tmp_path)


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("unseeded", "build networks with the seed"),
        ("memory", "register_buffer"),
        ("data decides", "yield the same ones always"),
        ("local mean", "use functional.over_count"),
        ("detached", "not of detached ones"),
        ("global draw", "draw with functional.generator"),
        ("unreported", r"in reported\(\)"),
    ],
)
def test_a_failure_says_what_to_do(fault, advice, tmp_path):
    with pytest.raises(AssertionError, match=advice):
        call(contract(fault), FAULTS[fault], tmp_path)


@config
class BareConfig(MethodConfig):
    weight: float = 1.0


def test_fields_say_where_they_are_from_but_in_a_prototype():
    suite = type("TestBare", (MethodContract,), {"method": Toy, "config": BareConfig()})

    with pytest.raises(AssertionError, match="weight: say where the value comes from"):
        suite().test_every_setting_says_where_its_value_comes_from()
    suite.prototype = True
    suite().test_every_setting_says_where_its_value_comes_from()


def test_random_batches_repeat_and_hold_what_methods_need():
    first, again, other = random_batch(1), random_batch(1), random_batch(2)

    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.image, other.image)
    assert 0 < first.valid.float().mean() < 1
    assert 0 < first.cutmix.float().mean() < 1
    assert (first.label == 255).any()
    assert not torch.equal(first.strong[0], first.strong[1])
