"""UniMatch V2: its loss, its teacher, its complementary channels and its promises."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS

from semisweep import NetworkConfig
from semisweep.core import config as configuration
from semisweep.testing import (
    MethodContract,
    first_update,
    progress_at,
    random_batch,
    train_steps,
)
from semisweep.training.functional import IGNORE
from semisweep_methods.unimatch_v2 import UniMatchV2, UniMatchV2Config, undropped_images

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["unimatch_v2"]
TRANSFORMER = NetworkConfig(backbone="test_vit", decoder="dpt", channels=8, pretrained=False)
DONOR = {0: 1, 1: 0, 2: 3, 3: 2}


class TestUniMatchV2(MethodContract):
    method = UniMatchV2
    config = CONFIG
    variants = (
        replace(CONFIG, dropout="none"),
        replace(CONFIG, dropout="none", strong_views=1),
        replace(CONFIG, dropout="independent", strong_views=1),
        replace(CONFIG, momentum=0.0, evaluated="student"),
    )
    golden = GOLDEN / "trace_unimatch_v2.json"


class TestUniMatchV2OnATransformer(MethodContract):
    method = UniMatchV2
    config = replace(CONFIG, network=TRANSFORMER, threshold=0.282, evaluated="student")


def made(**changes):
    return UniMatchV2(replace(CONFIG, **changes), classes=4).train()


# The loss


def slow_consistency(logits, weak, batch, threshold, views):
    """Loop over views, images and pixels; the label of a pasted pixel is its donor's."""
    losses = []
    for view in range(views):
        total, valid = 0.0, 0
        for image in range(4):
            strong = logits[view * 4 + image].log_softmax(0)
            for row in range(strong.shape[1]):
                for column in range(strong.shape[2]):
                    pasted = bool(batch.cutmix[view, image, row, column])
                    source = DONOR[image] if pasted else image
                    if not batch.valid[source, row, column]:
                        continue
                    valid += 1
                    probability = weak[source, :, row, column].softmax(0)
                    if probability.max() >= threshold:
                        total -= strong[probability.argmax(), row, column].item()
        losses.append(total / max(valid, 1))
    return sum(losses) / views


def random_logits(scale=2.0, size=8):
    """Return logits of weak images and of two strong views of them."""
    numbers = torch.Generator().manual_seed(4)
    logits = scale * torch.randn(16, 4, size, size, generator=numbers)
    return logits[4:8], logits[8:]


@pytest.mark.parametrize("case", ["plain", "absent class", "nothing confident", "all padding"])
def test_the_unlabelled_loss_equals_a_slow_loop_over_pixels(case):
    (weak, strong), batch = random_logits(), random_batch(0, size=8)
    threshold = 1.0 if case == "nothing confident" else 0.6
    if case == "absent class":
        weak[:, 2] = -50.0
    if case == "all padding":
        batch = batch._replace(valid=torch.zeros_like(batch.valid))
    found, share = made(threshold=threshold).consistency(batch, weak, strong)
    expected = slow_consistency(strong, weak, batch, threshold, views=2)

    assert found.item() == pytest.approx(expected, abs=1e-5, rel=1e-5)
    assert (found > 0) == (share > 0) == (case in ("plain", "absent class"))


def test_one_view_has_the_loss_of_that_view_alone():
    (weak, strong), batch = random_logits(), random_batch(0, size=8)
    found, _ = made(strong_views=1, threshold=0.6).consistency(batch, weak, strong[:4])
    expected = slow_consistency(strong[:4], weak, batch, 0.6, views=1)

    assert found.item() == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_the_unlabelled_loss_has_the_gradient_of_its_formula():
    method, batch = made(threshold=0.6), random_batch(0, size=4)
    weak, strong = random_logits(size=4)
    own = strong.double().requires_grad_()

    assert torch.autograd.gradcheck(lambda own: method.consistency(batch, weak, own)[0], own)


def test_the_loss_is_half_of_the_supervised_loss_and_the_mean_over_views():
    method, batch = made(), random_batch(0)
    labelled, weak = method.network(batch.image).logits, method.weak_logits(batch)
    strong = method.strong_outputs(batch, progress_at(3))
    update = first_update(method, batch, progress_at(3))
    strong = slow_consistency(strong, weak, batch, CONFIG.threshold, views=2)
    total, known = 0.0, 0
    for image, label in zip(labelled.log_softmax(1), batch.label, strict=True):
        for row in range(32):
            for column in range(32):
                if label[row, column] != IGNORE:
                    total -= image[label[row, column], row, column].item()
                    known += 1

    assert 0 < update.terms["confident"] < 1
    assert update.terms["strong"].item() == pytest.approx(strong, rel=1e-5)
    assert update.terms["supervised"].item() == pytest.approx(total / known, rel=1e-5)
    assert torch.allclose(update.loss, (update.terms["supervised"] + update.terms["strong"]) / 2)


def test_a_batch_of_two_trains():
    update = first_update(made(), random_batch(0, labelled=2, unlabelled=2), progress_at(0))

    assert update.loss.isfinite()


# The teacher


def test_the_teacher_is_the_running_average_of_weights_and_statistics():
    method = made(momentum=0.6)
    names = [name for name in method.network.state_dict() if "num_batches" not in name]
    average = {name: method.teacher.state_dict()[name].clone() for name in names}
    for step in range(5):
        train_steps(method, 1, first=step)
        momentum = min(1 - 1 / (step + 1), 0.6)
        for name, latest in method.network.state_dict().items():
            if name in average:
                average[name] = momentum * average[name] + (1 - momentum) * latest
        found = method.teacher.state_dict()
        assert all(torch.allclose(found[name], average[name], atol=1e-6) for name in names)

    student = method.network.state_dict()
    assert any("running_var" in name for name in names)
    assert not all(torch.allclose(found[name], student[name]) for name in names)


def test_without_momentum_the_teacher_is_the_student():
    method = made(momentum=0.0)
    train_steps(method, 3)
    student = method.network.state_dict()

    assert all(
        torch.equal(value, student[name]) for name, value in method.teacher.state_dict().items()
    )


def test_the_teacher_looks_in_evaluation_mode_and_learns_nothing():
    method, batch = made(), random_batch(0)
    train_steps(method, 2)
    before = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    weak = method.weak_logits(batch)
    alone = method.weak_logits(batch._replace(weak=batch.weak.roll(2, 0))).roll(2, 0)

    assert torch.allclose(weak, alone, atol=1e-5)
    assert not weak.requires_grad
    assert all(
        torch.equal(value, before[name]) for name, value in method.teacher.state_dict().items()
    )
    assert all(part.training for part in method.modules())


@pytest.mark.parametrize("evaluated", ["teacher", "student"])
def test_the_network_that_is_asked_for_is_evaluated(evaluated):
    method = made(evaluated=evaluated)
    train_steps(method, 3)
    method.eval()
    image = random_batch(1).weak
    teacher, student = method.teacher(image).logits, method.network(image).logits

    assert not torch.allclose(teacher, student)
    assert torch.equal(method.predict(image), teacher if evaluated == "teacher" else student)


# Channels


def factors(width=24, **changes):
    """Return what each channel of each image of the two views is multiplied by: [V, 4, width]."""
    method = made(**changes)
    tap = torch.ones(4 * method.views, width, 1, 1)
    return method.drop(tap, progress_at(0)).view(method.views, 4, width)


def test_the_two_views_keep_complementary_channels_doubled():
    first, second = factors(undropped=0.0)

    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(first + second, torch.full_like(first, 2.0))
    assert all(0 < row.sum() < 48 for row in first)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.5, 2), (0.6, 2), (1.0, 4)])
def test_a_share_of_the_images_drops_nothing_in_either_view(share, count):
    first, second = factors(undropped=share)
    whole = (first == 1).all(1)

    assert int(whole.sum()) == count
    assert torch.equal(whole, (second == 1).all(1))
    assert torch.equal(first + second, torch.full_like(first, 2.0))


def test_independent_views_are_not_complementary():
    first, second = factors(undropped=0.0, dropout="independent")
    both = torch.stack([first, second])

    assert set(both.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(first + second, torch.full_like(first, 2.0))
    assert torch.equal(first, factors(undropped=0.0)[0])


def test_all_taps_of_a_transformer_drop_the_same_channels():
    method = made(network=TRANSFORMER)
    taps = [torch.ones(8, 64, 2, 2) for _ in range(4)]
    first, *others = (method.drop(tap, progress_at(0)) for tap in taps)

    assert all(torch.equal(first, other) for other in others)


def test_other_steps_drop_other_channels_and_images():
    method, tap = made(), torch.ones(8, 24, 1, 1)
    chosen = {tuple(undropped_images(4, 0.5, progress_at(step)).tolist()) for step in range(12)}

    assert not torch.equal(method.drop(tap, progress_at(0)), method.drop(tap, progress_at(1)))
    assert len(chosen) > 3


def test_dropout_reaches_the_strong_views_only():
    with_it, without = (
        [update.terms for update in made(**changes).step(random_batch(0), progress_at(0))]
        for changes in ({}, {"dropout": "none"})
    )

    assert torch.equal(with_it[0]["supervised"], without[0]["supervised"])
    assert torch.equal(with_it[1]["confident"], without[1]["confident"])
    assert not torch.allclose(with_it[1]["strong"], without[1]["strong"])


# The switches


@pytest.fixture(scope="module")
def trained():
    """Return the state after a while, and what the teacher's pixels are then as likely above."""
    method = made()
    train_steps(method, 5)
    weak = method.weak_logits(random_batch(80))
    return method.state_dict(), weak.softmax(1).max(1).values.median().item()


def losses(trained, **changes):
    """Return the losses of two more steps of a trained method, late, all draws held fixed."""
    state, median = trained
    method = made(**({"threshold": median} | changes))
    method.load_state_dict(state)
    return [step["network.loss"] for step in train_steps(method, 2, first=80)]


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 0.0},
        {"strong_views": 1},
        {"dropout": "none"},
        {"dropout": "independent"},
        {"undropped": 0.0},
        {"momentum": 0.1},
    ],
)
def test_every_setting_changes_the_loss(trained, changes):
    changed, base = losses(trained, **changes), losses(trained)
    late = int("momentum" in changes)  # the teacher follows when the step is done

    assert changed[:late] == base[:late]
    assert changed[late] != pytest.approx(base[late], rel=1e-5)


def test_fields_that_cannot_matter_are_not_in_the_identity():
    kept = configuration.identity(replace(CONFIG, dropout="none"))

    assert "undropped" not in kept
    assert {"threshold", "strong_views", "momentum", "evaluated"} <= set(kept)


def test_one_view_alone_has_one_trial_for_both_kinds_of_dropout():
    own = replace(CONFIG, strong_views=1, dropout="independent")

    assert UniMatchV2.same_as(own) == (UniMatchV2, replace(own, dropout="complementary"))
    assert UniMatchV2.same_as(CONFIG) == (UniMatchV2, CONFIG)


def test_the_defaults_are_the_released_ones():
    own = UniMatchV2Config()

    assert (own.network.backbone, own.network.decoder) == (
        "vit_small_patch14_dinov2.lvd142m",
        "dpt",
    )
    assert (own.threshold, own.momentum, own.strong_views, own.undropped) == (0.95, 0.996, 2, 0.5)
    assert (own.dropout, own.evaluated) == ("complementary", "teacher")
