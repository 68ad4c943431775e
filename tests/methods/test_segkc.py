"""SegKC: its three losses, the consultation, its switches and its promises."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS, JUNIOR

from semisweep import NetworkConfig
from semisweep.core import config as configuration
from semisweep.core.errors import ConfigError
from semisweep.testing import MethodContract, progress_at, random_batch, train_steps
from semisweep.training.functional import IGNORE
from semisweep_methods.segkc import Logits, SegKC, SegKCConfig, distillation
from semisweep_methods.unimatch_v2 import dinov2

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["segkc"]
DONOR = {0: 1, 1: 0, 2: 3, 3: 2}


def transformer(backbone):
    return NetworkConfig(backbone=backbone, decoder="dpt", channels=8, pretrained=False)


class TestSegKC(MethodContract):
    method = SegKC
    config = CONFIG
    variants = (
        replace(CONFIG, consistency_weight=0.0, distillation_weight=0.0),
        replace(CONFIG, distillation_weight=0.0, consultation="none"),
        replace(CONFIG, consistency_weight=0.0, distilled="labelled"),
        replace(CONFIG, consistency_weight=0.0, distilled="weak"),
    )
    golden = GOLDEN / "trace_segkc.json"


class TestSegKCWithEverythingElse(MethodContract):
    method = SegKC
    config = replace(
        CONFIG,
        strong_views=2,
        consultation="concat",
        detach_junior=True,
        detach_senior=False,
        distilled="all",
    )


class TestSegKCOfTransformers(MethodContract):
    method = SegKC
    config = replace(
        CONFIG, senior=transformer("test_vit3"), junior=transformer("test_vit"), threshold=0.25
    )


def made(**changes):
    return SegKC(replace(CONFIG, **changes), classes=4).train()


def consulted(**changes):
    """Return a method whose senior reads the junior's features, as after some training."""
    method = made(**changes)
    numbers = torch.Generator().manual_seed(7)
    if method.consultation is not None:
        for parameter in method.consultation.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=numbers)
    return method


def random_logits(seed, size=8, scale=2.0, dtype=torch.float32):
    numbers = torch.Generator().manual_seed(seed)
    parts = scale * torch.randn(3, 4, 4, size, size, generator=numbers)
    return Logits(*parts.to(dtype))


# Cross-consistency


def slow_consistency(student, teacher, batch, threshold):
    """Eq. 5 or 6 with the threshold of Eq. 2, over images and pixels in loops."""
    total, valid = 0.0, 0
    for image in range(4):
        strong = student[image].log_softmax(0)
        for row in range(strong.shape[1]):
            for column in range(strong.shape[2]):
                source = DONOR[image] if batch.cutmix[0, image, row, column] else image
                if not batch.valid[source, row, column]:
                    continue
                valid += 1
                probability = teacher[source, :, row, column].softmax(0)
                if probability.max() >= threshold:
                    total -= strong[probability.argmax(), row, column].item()
    return total / max(valid, 1)


@pytest.mark.parametrize("case", ["plain", "absent class", "nothing confident", "all padding"])
def test_the_consistency_equals_slow_loops_of_equations_5_and_6(case):
    senior, junior, batch = random_logits(1), random_logits(2), random_batch(0, size=8)
    threshold = 1.0 if case == "nothing confident" else 0.6
    if case == "absent class":
        senior.weak[:, 3] = junior.weak[:, 3] = -60.0
    if case == "all padding":
        batch = batch._replace(valid=torch.zeros_like(batch.valid))
    found, shares = made(threshold=threshold).cross_consistency(batch, senior, junior)
    of_senior = slow_consistency(senior.strong, junior.weak, batch, threshold)
    of_junior = slow_consistency(junior.strong, senior.weak, batch, threshold)

    assert found.item() == pytest.approx(0.5 * (of_senior + of_junior), abs=1e-5, rel=1e-5)
    alive = case in ("plain", "absent class")
    assert (found > 0) == (shares["confident_senior"] > 0) == alive
    assert (shares["confident_senior"] != shares["confident_junior"]) == alive


def test_two_views_have_one_mean_over_the_pixels_of_both():
    senior, junior, batch = random_logits(1), random_logits(2), random_batch(0, size=8)
    other = random_logits(3)
    swapped = batch._replace(cutmix=batch.cutmix.flip(0))
    both = [own._replace(strong=torch.cat([own.strong, other.strong])) for own in (senior, junior)]
    found, _ = made(strong_views=2, threshold=0.6).cross_consistency(batch, *both)
    one, _ = made(threshold=0.6).cross_consistency(batch, senior, junior)
    two, _ = made(threshold=0.6).cross_consistency(
        swapped, *(own._replace(strong=other.strong) for own in (senior, junior))
    )
    valid = [slow_valid(part) for part in (batch, swapped)]
    expected = (one.item() * valid[0] + two.item() * valid[1]) / sum(valid)

    assert found.item() == pytest.approx(expected, rel=1e-5)


def slow_valid(batch):
    """Count the pixels of the first strong view that are no padding."""
    pasted = batch.cutmix[0]
    return sum(
        int(torch.where(pasted[image], batch.valid[DONOR[image]], batch.valid[image]).sum())
        for image in range(4)
    )


def test_the_consistency_has_the_gradient_of_its_formula():
    batch = random_batch(0, size=4)
    senior, junior = (random_logits(seed, 4, dtype=torch.float64) for seed in (1, 2))
    method = made(threshold=0.6)

    def loss(first, second):
        pair = senior._replace(strong=first), junior._replace(strong=second)
        return method.cross_consistency(batch, *pair)[0]

    strong = [own.strong.clone().requires_grad_() for own in (senior, junior)]
    assert torch.autograd.gradcheck(loss, strong)


def test_pseudo_labels_are_constants():
    method, batch = consulted(distillation_weight=0.0), random_batch(0)
    senior, junior = method.outputs(batch)
    loss, shares = method.cross_consistency(batch, senior, junior)
    parts = [senior.weak, junior.weak, senior.strong, junior.strong]
    gradients = torch.autograd.grad(loss, parts, allow_unused=True)

    assert all(0 < share <= 1 for share in shares.values())
    assert gradients[0] is None
    assert gradients[1] is None
    assert all(gradient.abs().sum() > 0 for gradient in gradients[2:])


# Distillation


def slow_distillation(senior, junior, temperature, known):
    """Eqs. 7 to 9 over images and pixels in loops, on probabilities."""
    total, count = 0.0, 0
    for image in range(len(senior)):
        for row in range(senior.shape[2]):
            for column in range(senior.shape[3]):
                if not known[image, row, column]:
                    continue
                count += 1
                w, u = (
                    [math.exp(value / temperature) for value in own[image, :, row, column].tolist()]
                    for own in (senior, junior)
                )
                for c in range(len(w)):
                    p, q = w[c] / sum(w), u[c] / sum(u)
                    total += p * math.log(p / q)
    return total / max(count, 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("images", [1, 4])
def test_the_distillation_equals_a_slow_loop_of_equations_7_to_9(temperature, images):
    senior, junior = random_logits(1).weak[:images], random_logits(2).weak[:images]
    known = random_batch(0, size=8).valid[:images]
    found = distillation(senior, junior, temperature, known)
    expected = slow_distillation(senior, junior, temperature, known)

    assert found.item() == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_the_distillation_has_the_gradient_of_its_formula_in_both_networks():
    known = random_batch(0, size=4).valid
    pair = [random_logits(seed, 4, dtype=torch.float64).weak.requires_grad_() for seed in (1, 2)]

    assert torch.autograd.gradcheck(lambda *own: distillation(*own, 2.0, known), pair)


def test_the_distillation_is_zero_where_both_agree_or_nothing_is_known():
    senior, junior = random_logits(1).weak, random_logits(2).weak.requires_grad_()
    known = torch.ones(4, 8, 8, dtype=torch.bool)
    nothing = distillation(senior, junior, 1.0, ~known)
    nothing.backward()

    assert distillation(senior, senior + 3.0, 1.0, known).item() == pytest.approx(0, abs=1e-6)
    assert nothing == 0
    assert not junior.grad.any()


def test_the_distillation_is_finite_with_a_gradient_where_probabilities_underflow():
    senior = torch.tensor([500.0, 0.0, -900.0]).view(1, 3, 1, 1)
    junior = (-senior).requires_grad_()
    loss = distillation(senior, junior, 1.0, torch.ones(1, 1, 1, dtype=torch.bool))
    loss.backward()

    assert loss.isfinite()
    assert junior.grad.isfinite().all()
    assert junior.grad.abs().sum() > 0


@pytest.mark.parametrize("distilled", ["labelled", "weak", "strong", "all"])
def test_distillation_is_over_the_known_pixels_of_the_images_it_names(distilled):
    senior, junior, batch = random_logits(1), random_logits(2), random_batch(0, size=8)
    mixed = torch.stack(
        [
            torch.where(batch.cutmix[0, image], batch.valid[DONOR[image]], batch.valid[image])
            for image in range(4)
        ]
    )
    known = {"labelled": batch.label != IGNORE, "weak": batch.valid, "strong": mixed}
    names = list(known) if distilled == "all" else [distilled]
    expected = slow_distillation(
        *(torch.cat([getattr(own, name) for name in names]) for own in (senior, junior)),
        2.0,
        torch.cat([known[name] for name in names]),
    )
    found = made(distilled=distilled).distil(batch, senior, junior)

    assert found.item() == pytest.approx(expected, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("detach_senior", [True, False])
def test_distillation_teaches_the_senior_only_where_it_is_not_detached(detach_senior):
    method, batch = consulted(detach_senior=detach_senior), random_batch(0)
    senior, junior = method.outputs(batch)
    gradients = torch.autograd.grad(
        method.distil(batch, senior, junior), [senior.strong, junior.strong], allow_unused=True
    )

    assert (gradients[0] is None) == detach_senior
    assert gradients[1].abs().sum() > 0


# Consultation


def test_consultation_equals_a_slow_projection_of_each_pixel():
    numbers = torch.Generator().manual_seed(5)
    taps, others = (
        [torch.randn(2, width, 4, 4, generator=numbers) for width in own.encoder.widths]
        for own in (made().senior, made().junior)
    )
    added = consulted().consultation
    joined = consulted(consultation="concat").consultation
    for level, (tap, other) in enumerate(zip(taps, others, strict=True)):
        for layer, concat in ((added.project[level], False), (joined.project[level], True)):
            module = joined if concat else added
            found = module(taps, others)[level]
            weight, bias = layer.weight[:, :, 0, 0], layer.bias
            for row in range(4):
                for column in range(4):
                    own, read = tap[1, :, row, column], other[1, :, row, column]
                    inputs = torch.cat([own, read]) if concat else read
                    expected = weight @ inputs + bias + (0 if concat else own)
                    assert torch.allclose(found[1, :, row, column], expected, atol=1e-4)


def test_features_of_another_size_are_brought_to_the_seniors():
    method = consulted()
    image = random_batch(0).weak
    taps, others = method.senior.encode(image), method.junior.encode(image)

    assert taps[1].shape[-1] == 2 * others[1].shape[-1]
    for before, after in zip(taps, method.consultation(taps, others), strict=True):
        assert after.shape == before.shape
        assert not torch.allclose(after, before)


@pytest.mark.parametrize("consultation", ["add", "concat"])
def test_training_starts_from_the_plain_senior(consultation):
    image = random_batch(0).weak
    plain, alone = made(consultation="none").both(image)
    found, junior = made(consultation=consultation).both(image)

    assert torch.allclose(found, plain, atol=1e-5)
    assert torch.equal(junior, alone)


@pytest.mark.parametrize("consultation", ["add", "concat"])
def test_the_senior_learns_to_consult_from_the_first_step(consultation):
    method = made(consultation=consultation)
    before = [layer.weight.clone() for layer in method.consultation.project]
    train_steps(method, 1)

    for layer, weight in zip(method.consultation.project, before, strict=True):
        assert not torch.equal(layer.weight, weight)


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({}, True),
        ({"consultation": "concat"}, True),
        ({"detach_junior": True}, False),
        ({"consultation": "none"}, False),
    ],
)
def test_the_seniors_loss_reaches_the_juniors_encoder_unless_detached(changes, reached):
    method = consulted(**changes)
    senior, _ = method.both(random_batch(0).weak)
    own = list(method.junior.encoder.parameters())
    gradients = torch.autograd.grad(senior.square().sum(), own, allow_unused=True)

    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients) == reached


def test_the_junior_does_not_read_the_senior():
    method = consulted()
    _, junior = method.both(random_batch(0).weak)
    gradients = torch.autograd.grad(
        junior.sum(), list(method.senior.parameters()), allow_unused=True
    )

    assert all(gradient is None for gradient in gradients)


def test_a_senior_cannot_consult_a_junior_with_other_taps():
    with pytest.raises(ConfigError, match=r"senior.decoder='deeplabv3plus', junior.decoder='dpt'"):
        configuration.replace(CONFIG, {"junior": transformer("test_vit")})


def test_without_consultation_the_networks_may_be_of_different_kinds():
    method = made(junior=transformer("test_vit"), consultation="none")

    assert next(method.step(random_batch(0), progress_at(0))).loss.isfinite()


# The whole method


def test_the_loss_is_the_weighted_sum_of_equation_10():
    method, batch = (
        consulted(supervised_weight=0.5, consistency_weight=2.0, distillation_weight=3.0),
        random_batch(0),
    )
    update = next(method.step(batch, progress_at(0)))
    terms = update.terms
    total = 0.5 * terms["supervised"] + 2 * terms["consistency"] + 3 * terms["distillation"]

    assert min(float(value) for value in terms.values()) > 0
    assert torch.allclose(update.loss, total)


def test_the_supervised_loss_equals_a_slow_loop_of_equation_4():
    method, batch = made(), random_batch(0)
    senior, junior = method.outputs(batch)
    total, known = 0.0, 0
    for image in range(4):
        for row in range(32):
            for column in range(32):
                label = batch.label[image, row, column]
                if label != IGNORE:
                    known += 1
                    for own in (senior, junior):
                        logits = own.labelled[image, :, row, column].tolist()
                        total += math.log(sum(map(math.exp, logits))) - logits[label]
    update = next(made().step(batch, progress_at(0)))

    assert update.terms["supervised"].item() == pytest.approx(0.5 * total / known, rel=1e-5)


def test_the_junior_alone_is_evaluated():
    method = consulted()
    train_steps(method, 1)
    method.eval()
    image = random_batch(1).weak
    before = method.predict(image)
    for parameter in method.senior.parameters():
        torch.nn.init.zeros_(parameter)

    assert torch.equal(before, method.junior(image).logits)
    assert torch.equal(before, method.predict(image))


def test_two_networks_of_one_kind_start_from_different_weights():
    method = made(senior=JUNIOR)
    pairs = zip(method.senior.parameters(), method.junior.parameters(), strict=True)

    assert any(not torch.equal(first, second) for first, second in pairs)


def test_a_batch_of_two_trains():
    update = next(made().step(random_batch(0, labelled=2, unlabelled=2), progress_at(0)))

    assert update.loss.isfinite()


@pytest.mark.parametrize(
    ("changes", "weak", "strong"),
    [
        ({}, 4, 4),
        ({"strong_views": 2}, 4, 8),
        ({"distilled": "labelled"}, 0, 0),
        ({"distilled": "weak"}, 4, 0),
        ({"distilled": "strong"}, 0, 4),
        ({"distillation_weight": 0.0}, 0, 0),
    ],
)
def test_what_no_loss_looks_at_is_not_computed(changes, weak, strong):
    alone = "distilled" in changes or "distillation_weight" in changes
    method = made(**({"consistency_weight": 0.0} if alone else {}), **changes)
    for seen in method.outputs(random_batch(0)):
        assert [len(part) for part in seen] == [4, weak, strong]


# The switches


def probe(**changes):
    """Return a step's loss and its gradient in the junior's encoder, all draws held fixed."""
    method = consulted(**changes)
    loss = next(method.step(random_batch(0), progress_at(80))).loss
    own = list(method.junior.encoder.parameters())
    gradients = torch.autograd.grad(loss, own, allow_unused=True)
    flat = [gradient.flatten() for gradient in gradients if gradient is not None]
    return loss.item(), torch.cat(flat)


@pytest.mark.parametrize(
    "changes",
    [
        {"distillation_weight": 0.0},
        {"distillation_weight": 0.0, "consistency_weight": 0.0},
        {"consistency_weight": 0.5},
        {"supervised_weight": 2.0},
        {"distillation_weight": 0.5},
        {"senior": JUNIOR},
        {"threshold": 0.5},
        {"strong_views": 2},
        {"temperature": 1.0},
        {"distilled": "labelled"},
        {"distilled": "weak"},
        {"distilled": "all"},
        {"detach_senior": False},
        {"consultation": "none"},
        {"consultation": "concat"},
        {"detach_junior": True},
    ],
)
def test_every_switch_changes_what_the_junior_learns(changes):
    loss, gradient = probe()
    other_loss, other = probe(**changes)

    assert not torch.allclose(gradient, other, rtol=1e-3, atol=1e-6)
    detached = "detach_senior" in changes or "detach_junior" in changes
    assert (other_loss == loss) == detached


@pytest.mark.parametrize("size", ["small", "base", "large"])
def test_each_pair_of_tables_5_and_6_is_one_changed_field(size):
    backbone = f"vit_{size}_patch14_dinov2.lvd142m"
    own = configuration.replace(SegKCConfig(), {"senior.backbone": backbone})
    own.senior.check()
    own.junior.check()

    assert own.senior == dinov2(size)
    assert own.junior == dinov2("small")


def test_fields_that_cannot_matter_are_not_in_the_identity():
    only = replace(CONFIG, consistency_weight=0.0, distillation_weight=0.0, consultation="none")
    kept = set(configuration.identity(only))

    assert kept == {
        "supervised_loss",
        "senior",
        "junior",
        "supervised_weight",
        "consistency_weight",
        "distillation_weight",
        "consultation",
    }
    assert "strong_views" not in configuration.identity(
        replace(CONFIG, consistency_weight=0.0, distilled="weak")
    )
