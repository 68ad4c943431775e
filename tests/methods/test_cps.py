"""CPS and n-CPS: the exchange of labels, CutMix, and which trial they are."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS

from semisweep.core.errors import ConfigError
from semisweep.testing import MethodContract, progress_at, random_batch, tiny_network, train_steps
from semisweep.training.functional import IGNORE
from semisweep.training.iteration import autocast
from semisweep_methods.cps import CPS, CPSConfig, ask, exchange_loss, logits_of, mix, mixed_label
from semisweep_methods.supervised import Supervised, SupervisedConfig

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["cps"]
DONOR = {0: 1, 1: 0, 2: 3, 3: 2}


class TestCPS(MethodContract):
    method = CPS
    config = CONFIG
    variants = (replace(CONFIG, exchange_weight=0.0, cutmix=False, labelled_too=True),)
    golden = GOLDEN / "trace_cps.json"


class TestThreeNetworksWithoutCutMix(MethodContract):
    method = CPS
    config = replace(CONFIG, networks=3, cutmix=False, labelled_too=True)
    golden = GOLDEN / "trace_cps_three.json"


def scores(seed, *shape):
    made = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(*shape, generator=made, dtype=torch.float64)


# Equation 3 of CPS


def slow_cross_entropy(logits, label, valid):
    """Loop over images and pixels: the mean of -log p_y over valid ones."""
    total, count = 0.0, 0
    images, _, height, width = logits.shape
    for i in range(images):
        for y in range(height):
            for x in range(width):
                if valid[i, y, x]:
                    own = logits[i, :, y, x].tolist()
                    exponentials = [math.exp(value) for value in own]
                    total -= math.log(exponentials[int(label[i, y, x])] / sum(exponentials))
                    count += 1
    return total / count if count else 0.0


def case(networks, images=2, kind="random"):
    """Return logits [M, C, H, W] and labels of each network, and where pixels count."""
    logits = [scores(seed, images, 3, 4, 5) for seed in range(networks)]
    if kind == "one class absent":
        logits = [one.index_fill(1, torch.tensor([1]), -30.0) for one in logits]
    labels = [one.argmax(1) for one in logits]
    valid = scores(9, images, 4, 5) > (1e9 if kind == "nothing valid" else -1)
    return logits, labels, valid


@pytest.mark.parametrize("networks", [2, 3, 4])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("kind", ["random", "one class absent", "nothing valid"])
def test_the_exchange_equals_a_loop_over_pairs_and_pixels(networks, images, kind):
    logits, labels, valid = case(networks, images, kind)
    expected = sum(
        slow_cross_entropy(logits[i], labels[j], valid)
        for i in range(networks)
        for j in range(networks)
        if i != j
    ) / (networks - 1)
    found = exchange_loss([one.float() for one in logits], labels, valid)

    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_the_exchange_has_the_gradient_of_its_formula():
    logits, labels, valid = case(3)
    inputs = [one.requires_grad_() for one in logits]

    assert torch.autograd.gradcheck(lambda *own: exchange_loss(own, labels, valid), inputs)


def test_networks_that_agree_have_the_same_exchange_however_many_they_are():
    own = scores(0, 2, 3, 4, 5)
    valid = torch.ones(2, 4, 5, dtype=torch.bool)
    found = [
        exchange_loss([own] * n, [own.argmax(1)] * n, valid) / n for n in (2, 3, 5)
    ]  # of each network

    assert found[0] > 0
    assert torch.allclose(torch.stack(found), found[0])


# The step


def slow_mix(values, mask):
    mixed = values.clone()
    for i in range(len(mask)):
        for y in range(mask.shape[1]):
            for x in range(mask.shape[2]):
                if mask[i, y, x]:
                    mixed[i, ..., y, x] = values[DONOR[i], ..., y, x]
    return mixed


def terms_of(config, batch=None):
    method = CPS(config, classes=4).train()
    update = next(method.step(batch or random_batch(0), progress_at(0)))
    return method, update


def test_with_cutmix_the_terms_equal_a_slow_loop():
    batch = random_batch(0)
    method, update = terms_of(CONFIG, batch)
    image, valid = (slow_mix(values, batch.cutmix[0]) for values in (batch.weak, batch.valid))
    mixed = [network(image).logits.detach() for network in method.peers]
    plain = [network(batch.weak).logits.argmax(1) for network in method.peers]
    labels = [slow_mix(one, batch.cutmix[0]) for one in plain]
    exchange = slow_cross_entropy(mixed[0], labels[1], valid)
    exchange += slow_cross_entropy(mixed[1], labels[0], valid)
    known = batch.label != IGNORE
    supervised = sum(
        slow_cross_entropy(network(batch.image).logits.detach(), batch.label, known)
        for network in method.peers
    )

    assert update.terms["exchange"].item() == pytest.approx(exchange, abs=1e-5)
    assert update.terms["supervised"].item() == pytest.approx(supervised, abs=1e-5)
    assert update.loss.item() == pytest.approx(supervised + 1.5 * exchange, abs=1e-4)


def test_labelled_images_without_their_labels_are_never_mixed():
    batch = random_batch(0)
    images = CPS(replace(CONFIG, labelled_too=True), classes=4).images(batch)

    assert torch.equal(images.mixed[:4], slow_mix(batch.weak, batch.cutmix[0]))
    assert torch.equal(images.mixed[4:], batch.image)
    assert torch.equal(images.valid[4:], batch.label != IGNORE)
    assert torch.equal(mix(images.plain, images.mask[:0]), images.plain)


def test_without_cutmix_one_pass_gives_labels_and_predictions():
    method = CPS(replace(CONFIG, cutmix=False), classes=4)
    images = method.images(random_batch(0))
    logits = logits_of(method.peers, images)
    opinions = ask(method.peers, images, logits)

    assert method.views == 0
    assert images.mixed is images.plain
    assert all(torch.equal(one, other) for one, other in zip(logits, opinions, strict=True))
    assert not any(one.requires_grad for one in opinions)
    assert torch.equal(mixed_label(opinions[0], images), logits[0].argmax(1))


def test_a_label_teaches_the_other_network_and_not_its_author():
    logits = [scores(seed, 2, 3, 4, 5).requires_grad_() for seed in (0, 1)]
    labels = [one.argmax(1) for one in logits]
    valid = torch.ones(2, 4, 5, dtype=torch.bool)
    exchange_loss(logits, [labels[0], torch.full_like(labels[1], IGNORE)], valid).backward()

    assert not logits[0].grad.any()
    assert logits[1].grad.any()


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange_weight": 6.0},
        {"exchange_weight": 0.0},
        {"cutmix": False},
        {"labelled_too": True},
        {"networks": 3},
    ],
)
def test_every_switch_changes_the_gradient_of_the_first_network(changes):
    """Probe: the first step, all weights, batches and draws equal."""

    def gradient(config):
        method, update = terms_of(config)
        return torch.autograd.grad(update.loss, method.network.decoder.classifier.weight)[0]

    assert not torch.allclose(gradient(CONFIG), gradient(replace(CONFIG, **changes)), rtol=1e-3)


def test_low_precision_loses_no_gradient_to_the_passes_without_one():
    """Autocast keeps converted weights: those made without a gradient must not serve others."""
    gradients = []
    for precision in ("fp32", "bf16"):
        method = CPS(CONFIG, classes=4).train()
        with autocast("cpu", precision):
            update = next(method.step(random_batch(0), progress_at(0)))
        found = torch.autograd.grad(update.loss, list(method.others.parameters()))
        gradients.append(torch.cat([one.flatten() for one in found]))

    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.98


def test_all_networks_start_apart_and_learn():
    method = CPS(replace(CONFIG, networks=3), classes=4).train()
    weights = [network.decoder.classifier.weight.clone() for network in method.peers]
    train_steps(method, 1)

    assert len({one.sum().item() for one in weights}) == 3
    for before, network in zip(weights, method.peers, strict=True):
        assert not torch.equal(before, network.decoder.classifier.weight)


def test_without_exchange_it_is_the_supervised_trial():
    method, own = CPS.same_as(replace(CONFIG, exchange_weight=0.0, supervised_loss="ohem"))

    assert method is Supervised
    assert own == SupervisedConfig(network=tiny_network(), supervised_loss="ohem")


@pytest.mark.parametrize(("cutmix", "weight"), [(True, 1.0), (False, 1.5)])
def test_the_weight_that_nobody_gives_is_the_releases_with_and_without_cutmix(cutmix, weight):
    config = replace(CONFIG, exchange_weight=None, cutmix=cutmix)
    _, update = terms_of(config)
    expected = update.terms["supervised"] + weight * update.terms["exchange"]

    assert update.loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert CPS.same_as(config) == (CPS, replace(config, exchange_weight=weight))


def test_a_batch_of_two_trains_and_one_network_is_refused():
    _, update = terms_of(CONFIG, random_batch(0, labelled=2, unlabelled=2))

    assert update.terms["exchange"] > 0
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        CPSConfig(networks=1)
    with pytest.raises(ConfigError, match="unlabelled images per worker=1"):
        terms_of(CONFIG, random_batch(0, unlabelled=1))


def test_pseudo_labels_are_the_first_networks_everywhere():
    method, image = CPS(CONFIG, classes=4).eval(), random_batch(0).weak
    found = method.pseudo_labels(image)["exchange"]

    assert torch.equal(found.label, method.predict(image).argmax(1))
    assert found.selected.all()
