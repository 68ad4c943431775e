"""Mean Teacher and CutMix-Seg: the consistency, the ramp, the teacher, the switches."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS

from semisweep.core.errors import ConfigError
from semisweep.testing import MethodContract, progress_at, random_batch, train_steps
from semisweep.training.weight_averaging import warm_momentum
from semisweep_methods.cutmix_seg import CutMixSeg, CutMixSegConfig
from semisweep_methods.mean_teacher import MeanTeacher, MeanTeacherConfig, consistency, ramp

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["mean_teacher"]
MIXED = CONFIGS["cutmix_seg"]


class TestMeanTeacher(MethodContract):
    method = MeanTeacher
    config = CONFIG
    variants = (replace(CONFIG, consistency_weight=0.0),)
    golden = GOLDEN / "trace_mean_teacher.json"


class TestMeanTeacherWithLabels(MethodContract):
    method = MeanTeacher
    config = replace(CONFIG, consistency="cross_entropy", ramp_up=0.0, cutmix=True)


class TestCutMixSeg(MethodContract):
    method = CutMixSeg
    config = MIXED
    variants = (replace(MIXED, consistency_weight=0.0), replace(MIXED, cutmix=False))
    golden = GOLDEN / "trace_cutmix_seg.json"


def random(seed, *shape):
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made, dtype=torch.float64)


# The consistency


def slow_consistency(kind, logits, target, valid, threshold):
    """Loop over pixels and classes: the mean distance, times the share of confident pixels."""
    total, count, confident = 0.0, 0, 0
    images, classes, height, width = logits.shape
    for i in range(images):
        for y in range(height):
            for x in range(width):
                if not valid[i, y, x]:
                    continue
                count += 1
                found = logits[i, :, y, x].softmax(0).tolist()
                wanted = target[i, :, y, x].tolist()
                confident += max(wanted) >= threshold
                if kind == "squared":
                    total += sum((found[c] - wanted[c]) ** 2 for c in range(classes))
                else:
                    total -= math.log(found[wanted.index(max(wanted))])
    return (total / count * confident / count, confident / count) if count else (0.0, 0.0)


@pytest.mark.parametrize("kind", ["squared", "cross_entropy"])
@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
def test_the_consistency_equals_a_loop_over_pixels_and_classes(kind, threshold):
    logits, target = random(0, 3, 4, 5, 6), (2 * random(1, 3, 4, 5, 6)).softmax(1)
    valid = random(2, 3, 5, 6) > -1
    for mask in (valid, torch.ones_like(valid), torch.zeros_like(valid)):
        term, share = consistency(kind, logits.float(), target.float(), mask, threshold)
        expected = slow_consistency(kind, logits, target, mask, threshold)

        assert (term.item(), share.item()) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", ["squared", "cross_entropy"])
def test_the_consistency_has_the_gradient_of_its_formula(kind):
    logits, target = random(0, 1, 3, 2, 3).requires_grad_(), random(1, 1, 3, 2, 3).softmax(1)
    valid = torch.tensor([[[True, True, False], [True, False, True]]])

    assert torch.autograd.gradcheck(
        lambda own: consistency(kind, own, target, valid, 0.4)[0], logits
    )


def test_equal_predictions_have_no_distance():
    logits, valid = random(0, 2, 4, 3, 3), torch.ones(2, 3, 3, dtype=torch.bool)

    assert consistency("squared", logits, logits.softmax(1), valid, 0.0)[0] == 0


def test_the_ramp_rises_from_exp_minus_five_to_one():
    assert ramp(0.5, progress_at(0)) == pytest.approx(math.exp(-5))
    assert ramp(0.5, progress_at(25)) == pytest.approx(math.exp(-5 / 4))
    assert (
        ramp(0.5, progress_at(50)) == ramp(0.5, progress_at(99)) == ramp(0.0, progress_at(0)) == 1
    )


# The method


def first_update(batch=None, step=30, config=CONFIG, **changes):
    method = MeanTeacher(replace(config, **changes), classes=4)
    updates = method.step(batch or random_batch(0), progress_at(step))
    return method, next(updates), updates


def test_the_loss_is_the_supervised_one_and_the_weighted_term():
    _, update, _ = first_update(step=10, consistency_weight=2.0, ramp_up=0.2)
    terms = update.terms

    assert terms["consistency"] > 0
    assert torch.allclose(
        update.loss, terms["supervised"] + 2 * math.exp(-5 / 4) * terms["consistency"]
    )


def test_the_term_of_mixed_images_equals_one_made_by_hand():
    """French et al.: the teacher's answers for whole images are mixed, not those for mixtures."""
    batch = random_batch(0)
    _, update, _ = first_update(batch, cutmix=True, strong_view=False)
    donors = [1, 0, 3, 2]
    student, teacher = (MeanTeacher(CONFIG, classes=4) for _ in range(2))
    target = teacher.eval().teacher(batch.weak).logits.softmax(1)
    image, expected, valid = batch.weak.clone(), target.clone(), batch.valid.clone()
    for host, donor in enumerate(donors):
        here = batch.cutmix[0, host]
        image[host][:, here] = batch.weak[donor][:, here]
        expected[host][:, here] = target[donor][:, here]
        valid[host][here] = batch.valid[donor][here]
    logits = student.student(torch.cat([batch.image, image])).logits[4:]
    by_hand, share = slow_consistency("squared", logits, expected, valid, 0.2755)

    assert 0 < share < 1
    assert update.terms["consistency"].item() == pytest.approx(by_hand, abs=1e-5)
    assert update.terms["confident"].item() == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"consistency_weight": 0.5},
        {"consistency": "cross_entropy"},
        {"confidence_threshold": 0.2765},
        {"ramp_up": 1.0},
        {"strong_view": False},
        {"cutmix": True},
    ],
)
def test_every_setting_changes_the_loss(changes):
    assert not torch.equal(first_update(**changes)[1].loss, first_update()[1].loss)


def test_the_momentum_changes_the_teacher_and_not_the_first_loss():
    losses, teachers = [], []
    for momentum in (0.99, 0.5):
        method = MeanTeacher(replace(CONFIG, momentum=momentum), classes=4)
        losses.append(train_steps(method, 2, first=40))
        teachers.append(method.teacher.state_dict())

    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]
    assert any(not torch.equal(teachers[0][name], teachers[1][name]) for name in teachers[0])


def test_the_teacher_follows_after_the_student_has_moved():
    method, _, rest = first_update(step=40)
    before = {name: value.clone() for name, value in method.teacher.named_parameters()}
    with torch.no_grad():
        for parameter in method.student.parameters():
            parameter.add_(1.0)
    assert list(rest) == []
    momentum = warm_momentum(0.99, 40)

    for name, value in method.teacher.named_parameters():
        expected = momentum * before[name] + (1 - momentum) * method.student.get_parameter(name)
        assert torch.allclose(value, expected, atol=1e-6)


def test_the_teacher_looks_in_evaluation_mode_and_gets_no_gradient():
    method, update, _ = first_update()
    before = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    update.loss.backward()

    assert method.teacher.training
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    fresh = MeanTeacher(CONFIG, classes=4).teacher.state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in before.items())


def test_it_predicts_with_the_teacher():
    method = MeanTeacher(CONFIG, classes=4)
    train_steps(method, 3, first=40)
    method.eval()
    image = random_batch(1).weak
    with torch.no_grad():
        assert torch.equal(method.predict(image), method.teacher(image).logits)
        assert not torch.allclose(method.predict(image), method.student(image).logits)


@pytest.mark.parametrize(
    ("changes", "views"),
    [({}, 1), ({"strong_view": False}, 0), ({"strong_view": False, "cutmix": True}, 1)],
)
def test_strong_views_and_boxes_are_asked_for_where_they_are_used(changes, views):
    method, update, _ = first_update(**changes)

    assert method.views == views
    assert update.loss.isfinite()
    assert first_update(consistency_weight=0.0, **changes)[0].views == 0


def test_without_boxes_one_unlabelled_image_is_enough_and_with_them_it_is_refused():
    batch = random_batch(0, unlabelled=1)

    assert first_update(batch)[1].loss.isfinite()
    with pytest.raises(ConfigError, match="unlabelled images per worker=1"):
        first_update(batch, cutmix=True)


def test_cutmix_seg_is_mean_teacher_with_the_values_of_its_paper():
    kind, config = CutMixSeg.same_as(CutMixSegConfig())

    assert (kind, type(config)) == (MeanTeacher, MeanTeacherConfig)
    assert (config.cutmix, config.strong_view, config.ramp_up) == (True, False, 0.0)
    assert (config.confidence_threshold, config.consistency, config.momentum) == (
        0.97,
        "squared",
        0.99,
    )
    assert not MeanTeacherConfig().cutmix
