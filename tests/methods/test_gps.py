"""GPS: phases, losses, ramps, rates, its switches and its promises."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS
from torch.nn.functional import cosine_similarity

from semisweep import DataConfig, OptimizerConfig, Rate, TrainingConfig, Trial
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.data.splits import make_split
from semisweep.testing import MethodContract, progress_at, random_batch, tiny_network, train_steps
from semisweep.training.functional import IGNORE, confident_cross_entropy
from semisweep.training.iteration import autocast, iterate
from semisweep.training.optimizer import make_optimizers
from semisweep.training.trainer import Training
from semisweep_methods.cps import CPS, CPSConfig, ask, logits_of, mix
from semisweep_methods.gps import (
    GPS,
    GPSConfig,
    common_label,
    guide_loss,
    ramp_down,
    ramp_up,
    teacher_steps,
)
from semisweep_methods.supervised import Supervised

GOLDEN = Path(__file__).parent.parent / "golden"
CONFIG = CONFIGS["gps"]
TOGETHER = replace(CONFIG, teacher_share=0.0)  # so that students learn from the first step
TABLE_4 = {  # as rows of the paper, without CutMix
    "guide": {"exchange_weight": 0.0, "feedback_weight": 0.0},
    "feedback": {"guide_weight": 0.0, "exchange_weight": 0.0},
    "guide, feedback": {"exchange_weight": 0.0},
    "exchange, feedback": {"guide_weight": 0.0},
    "guide, exchange": {"feedback_weight": 0.0},
}


class TestGPS(MethodContract):
    method = GPS
    config = CONFIG
    variants = (
        replace(CONFIG, guide_weight=0.0),
        replace(CONFIG, feedback_weight=0.0),
        replace(CONFIG, ramp="none"),
        replace(CONFIG, exchange_weight=0.0, feedback_weight=0.0, guide_weight=0.0),
        replace(TOGETHER, guide_weight=0.0, feedback_weight=0.0, labelled_too=True),
        replace(TOGETHER, guide_weight=0.0, feedback_weight=0.0, exchange_weight=0.0),
    )
    golden = GOLDEN / "trace_gps.json"


class TestGPSWithEveryOtherChoice(MethodContract):
    method = GPS
    config = replace(
        TOGETHER,
        cutmix=False,
        labelled_too=True,
        guide_ramp_down=True,
        comparison="iteration",
        updates="united",
        teacher_schedule="poly",
        teacher_rate_scale=2.0,
    )
    golden = GOLDEN / "trace_gps_united.json"


def scores(seed, *shape):
    made = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(*shape, generator=made, dtype=torch.float64)


def build(config=TOGETHER):
    return GPS(config, classes=4).train()


def updates_of(method, step=40, batch=None):
    """Return the updates of an iteration in which nothing is minimised."""
    return {
        update.group: update for update in method.step(batch or random_batch(0), progress_at(step))
    }


# Losses


def slow_cross_entropy(logits, label, valid):
    total, count = 0.0, 0
    images, _, height, width = logits.shape
    for i in range(images):
        for y in range(height):
            for x in range(width):
                if valid[i, y, x]:
                    own = [math.exp(value) for value in logits[i, :, y, x].tolist()]
                    total -= math.log(own[int(label[i, y, x])] / sum(own))
                    count += 1
    return total / count if count else 0.0


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("kind", ["random", "one class absent", "nothing valid"])
def test_the_guide_equals_the_loop_of_equation_5(kind, images):
    logits, label = [scores(seed, images, 3, 4, 5) for seed in (0, 1)], scores(2, images, 3, 4, 5)
    if kind == "one class absent":
        label[:, 1] = -30.0
    label, valid = label.argmax(1), scores(3, images, 4, 5) > -1
    valid &= kind != "nothing valid"
    expected = sum(slow_cross_entropy(one, label, valid) for one in logits)
    found = guide_loss([one.float() for one in logits], label, valid)

    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_the_guide_has_the_gradient_of_its_formula():
    first, second = (scores(seed, 2, 3, 2, 3).requires_grad_() for seed in (0, 1))
    label, valid = scores(2, 2, 3, 2, 3).argmax(1), scores(3, 2, 2, 3) > -1

    assert torch.autograd.gradcheck(
        lambda *own: guide_loss(list(own), label, valid), (first, second)
    )


def test_the_common_label_equals_a_loop_over_mean_probabilities():
    students = [scores(seed, 2, 4, 3, 3) for seed in (0, 1)]
    found = common_label(students)

    for i in range(2):
        for y in range(3):
            for x in range(3):
                total = [0.0] * 4
                for one in students:
                    own = [math.exp(value) for value in one[i, :, y, x].tolist()]
                    total = [t + value / sum(own) / 2 for t, value in zip(total, own, strict=True)]
                assert found[i, y, x] == total.index(max(total))


def test_a_sure_student_outvotes_in_probability_one_who_outvotes_in_logits():
    sure, wild = torch.tensor([0.0, 3.0, 0.0]), torch.tensor([20.0, 0.0, 19.9])
    found = common_label([one.reshape(1, 3, 1, 1) for one in (sure, wild)])

    assert torch.stack([sure, wild]).mean(0).argmax() == 0
    assert found.item() == 1


@pytest.mark.parametrize("cutmix", [True, False])
def test_the_losses_of_both_updates_are_those_of_equations_7_and_10(cutmix):
    method, batch = build(replace(TOGETHER, cutmix=cutmix)), random_batch(0)
    students, teacher = updates_of(method, 40, batch).values()
    images = method.images(batch)
    with torch.no_grad():
        mixed, plain = logits_of(method.peers, images), ask(method.peers, images)
        taught, opinion = logits_of([method.teacher], images)[0], ask([method.teacher], images)[0]
        labelled = [n(batch.image).logits for n in (*method.peers, method.teacher)]
    label = [mix(one.argmax(1), images.mask) for one in (*plain, opinion)]
    mean = (plain[0].softmax(1) + plain[1].softmax(1)) / 2
    known, valid = batch.label != IGNORE, images.valid
    supervised = [slow_cross_entropy(one, batch.label, known) for one in labelled]
    guide = sum(slow_cross_entropy(one, label[2], valid) for one in mixed)
    exchange = slow_cross_entropy(mixed[0], label[1], valid)
    exchange += slow_cross_entropy(mixed[1], label[0], valid)
    feedback = slow_cross_entropy(taught, mix(mean.argmax(1), images.mask), valid)
    ramp = math.exp(-((1 - 41 / 100) ** 2))

    assert students.terms["guide"].item() == pytest.approx(guide, abs=1e-5)
    assert students.terms["exchange"].item() == pytest.approx(exchange, abs=1e-5)
    assert teacher.terms["feedback"].item() == pytest.approx(feedback, abs=1e-5)
    assert teacher.terms["ramp"].item() == pytest.approx(ramp, abs=1e-5)
    expected = supervised[0] + supervised[1] + 0.5 * guide + 1.5 * exchange
    assert students.loss.item() == pytest.approx(expected, abs=1e-4)
    expected = supervised[2] + ramp * 0.5 * feedback
    assert teacher.loss.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("row", TABLE_4)
def test_a_row_of_table_4_has_its_losses_and_no_others(row):
    found = updates_of(build(replace(TOGETHER, cutmix=False, **TABLE_4[row])))
    terms = set(found["students"].terms) | set(found["teacher"].terms)

    assert terms - {"ramp", "supervised"} == set(row.split(", "))
    assert found["teacher"].terms["supervised"] > 0
    assert found["students"].terms["supervised"] > 0


def test_what_is_switched_off_makes_no_pass():
    """Two students alone: their labelled pass, then the teacher's."""
    method = build(replace(CONFIG, guide_weight=0.0, exchange_weight=0.0, feedback_weight=0.0))
    passes = []
    for name in ("network", "teacher"):
        getattr(method, name).register_forward_hook(lambda *_, name=name: passes.append(name))
    updates_of(method)

    assert method.views == 0
    assert passes == ["network", "teacher"]


# Phases


@pytest.mark.parametrize(
    ("share", "total", "steps"),
    [(0, 9, 0), (0.2, 100, 20), (0.5, 9, 4), (0.999, 9, 8), (0.9, 1, 0)],
)
def test_the_teachers_time_is_a_share_that_leaves_the_students_a_step(share, total, steps):
    assert teacher_steps(share, total) == steps


def test_the_teacher_learns_alone_before_the_students_start():
    method = build(CONFIG)
    found = [
        [update.group for update in method.step(random_batch(0), progress_at(s))] for s in (2, 3)
    ]

    assert found == [["teacher"], ["students", "teacher"]]


def test_the_students_have_their_initial_weights_when_they_start():
    method, fresh = build(CONFIG), build(CONFIG)
    train_steps(method, 3)
    changed = {
        name.split(".")[0]
        for (name, own), other in zip(method.named_parameters(), fresh.parameters(), strict=True)
        if not torch.equal(own, other)
    }

    assert changed == {"teacher"}


@pytest.mark.parametrize("updates", ["separate", "united"])
def test_only_with_separate_updates_the_teacher_hears_what_the_students_just_learned(updates):
    """Figure 6: the teacher's loss, with the students moved by their update and without."""
    losses = []
    for rate in (0.0, 1.0):
        method = build(replace(TOGETHER, updates=updates))
        plain = OptimizerConfig(learning_rate=0.5, momentum=0, weight_decay=0)
        optimizers = make_optimizers(method, TrainingConfig(steps=9, optimizer=plain))
        for group in optimizers["students"].param_groups:
            group["base_lr"] *= rate
        terms = iterate(method, random_batch(0), progress_at(40), optimizers)
        losses.append(terms["teacher.feedback"].item())

    assert (losses[0] == losses[1]) == (updates == "united")


def test_the_feedback_is_made_with_the_students_new_weights():
    method, batch = build(), random_batch(0)
    steps = method.step(batch, progress_at(40))
    next(steps)
    with torch.no_grad():
        for student in method.peers:
            for parameter in student.decoder.parameters():
                parameter.mul_(-0.7)
    teacher = next(steps)
    images = method.images(batch)
    label = mix(common_label(ask(method.peers, images)), images.mask)
    expected = confident_cross_entropy(
        logits_of([method.teacher], images)[0], label, images.valid, images.valid
    )

    assert torch.equal(teacher.terms["feedback"], expected.detach())


def test_united_updates_have_the_gradients_of_one_loss_over_all_networks():
    """Figure 6a: labels are constants, so the two halves of the sum do not touch each other."""
    method = build(replace(TOGETHER, updates="united"))
    found = updates_of(method)
    whole = sum(update.loss for update in found.values())
    own = [parameter for parameter in method.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(whole, own, retain_graph=True)
    halves = [
        torch.autograd.grad(update.loss, own, retain_graph=True, allow_unused=True)
        for update in found.values()
    ]

    for together, first, second in zip(gradients, *halves, strict=True):
        assert (first is None) != (second is None)
        assert torch.equal(together, second if first is None else first)


def test_without_a_guide_the_students_never_meet_the_teacher():
    """Rows of Table 4 without L_gps: whatever the teacher hears, the students learn the same."""
    trained = []
    for changes in ({}, {"feedback_weight": 0.0}, {"teacher_rate_scale": 7.0}):
        method = build(replace(CONFIG, guide_weight=0.0, cutmix=False, **changes))
        train_steps(method, 6)
        trained.append([own for student in method.peers for own in student.parameters()])

    for first, second, third in zip(*trained, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first, third)


# Ramps


@pytest.mark.parametrize("epochs", [1, 8, 32])
def test_the_ramp_is_equation_9_at_the_end_of_every_epoch(epochs):
    for caught_up in range(1, epochs + 1):
        for epoch in range(1, epochs + 1):
            early = epoch <= caught_up
            expected = math.exp(-((1 - epoch / caught_up) ** 2)) if early else 1.0
            found = ramp_up(epoch / epochs, torch.tensor(caught_up / epochs))
            assert found.item() == pytest.approx(expected, abs=1e-6)


def test_the_guide_ramps_down_from_the_moment_the_ramp_up_is_complete():
    caught_up = torch.tensor(0.5)
    found = [ramp_down(moment, caught_up).item() for moment in (0.1, 0.5, 0.75, 1.0)]
    expected = [1.0, 1.0, math.exp(-0.25), math.exp(-1)]

    assert found == pytest.approx(expected)
    assert [ramp_down(m, torch.tensor(1.0)).item() for m in (0.5, 1.0)] == [1.0, 1.0]


def compared(comparison, losses, epochs):
    """Return r / E after comparing (sum over students, teacher) at moments 0.1, 0.2, ..."""
    method = build(replace(TOGETHER, comparison=comparison))
    found = []
    for index, (pair, epoch) in enumerate(zip(losses, epochs, strict=True)):
        method.compare(*(torch.tensor(value) for value in pair), epoch, (index + 1) / 10)
        found.append(round(method.caught_up.item(), 6))
    return found


WORSE, BETTER = (4.0, 1.0), (1.0, 1.0)


def test_in_iterations_the_first_good_one_counts_and_is_never_taken_back():
    assert compared("iteration", [WORSE, BETTER, WORSE, BETTER], [0] * 4) == [1, 0.2, 0.2, 0.2]


def test_half_of_the_students_sum_is_compared_and_equal_is_good_enough():
    assert compared("iteration", [(2.01, 1.0)], [0]) == [1]
    assert compared("iteration", [(2.0, 1.0)], [0]) == [0.1]


def test_in_epochs_the_mean_of_a_whole_one_counts_after_its_end():
    losses = [BETTER, WORSE, BETTER, BETTER, WORSE, WORSE]

    assert compared("epoch", losses, [3, 3, 4, 4, 5, 5]) == [1, 1, 1, 1, 0.5, 0.5]


def test_epochs_in_which_nothing_was_known_decide_nothing():
    assert compared("iteration", [(0.0, 0.0)], [0]) == [1]
    assert compared("epoch", [(0.0, 0.0)] * 3, [0, 1, 2]) == [1, 1, 1]


def test_in_training_the_ramp_jumps_when_the_students_have_caught_up():
    """A teacher that answers noise is caught up with at once; one epoch is ten steps."""
    method = build(replace(TOGETHER, teacher_rate_scale=1e-9))
    with torch.no_grad():
        method.teacher.decoder.classifier.weight.mul_(100)
    ramps = [terms["teacher.ramp"] for terms in train_steps(method, 12)]

    assert ramps[9] == pytest.approx(math.exp(-(0.9**2)))
    assert ramps[10:] == [1, 1]
    assert method.caught_up == pytest.approx(0.11)


# Rates


def rates_at(step, **changes):
    """Return the factors on the learning rates of both groups in a schedule of power 0.9."""
    config = replace(CONFIG, teacher_share=0.2, **changes)
    method = build(config)
    plain = OptimizerConfig(learning_rate=1.0, head_multiplier=1.0, momentum=0, weight_decay=0)
    optimizers = make_optimizers(method, TrainingConfig(steps=100, optimizer=plain))
    for group in (group for own in optimizers.values() for group in own.param_groups):
        group["base_lr"] = 1e-3
        group["lr"] = None
    iterate(method, random_batch(0), progress_at(step), optimizers, rate=0.123, power=0.9)
    found = {name: own.param_groups[0]["lr"] for name, own in optimizers.items()}
    return {name: rate and rate / 1e-3 for name, rate in found.items()}


def test_the_teacher_alone_has_a_whole_schedule_and_the_students_stand_still():
    assert rates_at(0) == {"students": None, "teacher": 1.0}
    assert rates_at(10)["teacher"] == pytest.approx(0.5**0.9)
    assert rates_at(19)["teacher"] == pytest.approx((1 / 20) ** 0.9)


def test_the_students_have_a_whole_schedule_and_the_teachers_rate_is_fixed_as_printed():
    first, last = rates_at(20), rates_at(99)

    assert first["students"] == 1.0
    assert last["students"] == pytest.approx((1 / 80) ** 0.9)
    assert first["teacher"] == pytest.approx(80**-0.9)
    assert last["teacher"] == pytest.approx(80**-0.9)


def test_the_teachers_rate_can_be_scaled_and_can_follow_the_students():
    assert rates_at(60, teacher_rate_scale=100.0)["teacher"] == pytest.approx(100 * 80**-0.9)
    found = rates_at(60, teacher_schedule="poly")
    assert found["teacher"] == found["students"] == pytest.approx(0.5**0.9)
    found = rates_at(60, teacher_schedule="poly", teacher_rate_scale=0.1)
    assert found["teacher"] == pytest.approx(0.1 * 0.5**0.9)


def test_the_printed_rate_is_that_of_the_facts():
    """34 epochs of 1,157 iterations at 0.01: about 7.3e-7."""
    rate = build().teacher_rate(Rate(0, 34 * 1157))

    assert 0.01 * (1 - rate.step / rate.total_steps) ** 0.9 == pytest.approx(7.3e-7, rel=0.01)


def test_a_trial_trains_with_the_rates_of_its_phases(tmp_path):
    dataset = open_dataset("shapes", make(tmp_path / "shapes", train=16, val=2, test=2, size=32))
    training = TrainingConfig(
        steps=4,
        labelled_batch=2,
        unlabelled_batch=2,
        crop_pixels=32,
        optimizer=OptimizerConfig(learning_rate=0.01),
        schedule_power=2.0,
    )
    trial = Trial(
        method="semisweep_methods.gps:GPS",
        config=replace(CONFIG, teacher_share=0.5),
        data=DataConfig(name="shapes", labelled=4),
        training=training,
        seed=0,
    )
    own = Training(trial, dataset, make_split(dataset, trial.data))
    rates = []
    for batch in own.loader.batches(0, 4, 0):
        own.advance(batch)
        rates.append([one.param_groups[0]["lr"] for one in own.optimizers.values()])
    students, teacher = zip(*rates, strict=True)

    assert teacher == pytest.approx([0.01, 0.0025, 0.0025, 0.0025])
    assert students[2:] == pytest.approx([0.01, 0.0025])


# Switches


BITES = {
    "Table 4, weights of Cityscapes": {"guide_weight": 1.0, "exchange_weight": 5.0},
    "feedback": {"feedback_weight": 1.0},
    "CutMix": {"cutmix": False},
    "labelled images as in CPS": {"labelled_too": True},
    "no ramp-up": {"ramp": "none"},
    "Sec. 4.4.3": {"guide_ramp_down": True},
    "students": {"networks": 3},
    **{f"Table 4, {row}": changes for row, changes in TABLE_4.items()},
}


def gradients(config, step):
    """Return what both updates do to a student and to the teacher; students catch up at 0.9."""
    method = build(config)
    method.caught_up.fill_(0.9)
    found = updates_of(method, step)
    own = {"students": method.network, "teacher": method.teacher}
    return torch.cat(
        [
            torch.autograd.grad(update.loss, own[name].decoder.classifier.weight)[0].flatten()
            for name, update in found.items()
        ]
    )


@pytest.mark.parametrize("factor", BITES)
def test_every_switch_bites_at_its_probe(factor):
    """Probe: step 60 of 100, before the students catch up; for the ramp-down 95, after it."""
    step = 95 if factor == "Sec. 4.4.3" else 60
    changed = gradients(replace(TOGETHER, **BITES[factor]), step)

    assert not torch.allclose(gradients(TOGETHER, step), changed, rtol=1e-3)


def test_low_precision_loses_no_gradient_to_the_passes_without_one():
    found = []
    for precision in ("fp32", "bf16"):
        method = build()
        steps = method.step(random_batch(0), progress_at(60))
        for name in ("students", "teacher"):
            with autocast("cpu", precision):
                update = next(steps)
            own = list((method.network if name == "students" else method.teacher).parameters())
            found.append(torch.cat([g.flatten() for g in torch.autograd.grad(update.loss, own)]))

    assert cosine_similarity(found[0], found[2], dim=0) > 0.98
    assert cosine_similarity(found[1], found[3], dim=0) > 0.98


def test_without_a_teacher_to_speak_of_it_is_the_cps_trial():
    alone = {"guide_weight": 0.0, "feedback_weight": 0.0}
    method, own = GPS.same_as(replace(TOGETHER, **alone, cutmix=False))

    assert method is CPS
    assert own == CPSConfig(network=tiny_network(), exchange_weight=1.5, cutmix=False)
    assert GPS.same_as(replace(TOGETHER, **alone, exchange_weight=0.0))[0] is Supervised
    assert GPS.same_as(replace(CONFIG, **alone))[0] is GPS  # its students start later


def test_the_defaults_are_the_papers_numbers():
    own = GPSConfig()

    assert (own.guide_weight, own.exchange_weight, own.feedback_weight) == (0.5, 1.5, 0.5)
    assert (own.networks, own.cutmix, own.labelled_too) == (2, True, False)
    assert (own.ramp, own.updates, own.teacher_schedule) == ("adaptive", "separate", "fixed")


def test_a_teacher_that_takes_all_the_time_is_refused():
    with pytest.raises(ValueError, match="less than 1"):
        GPSConfig(teacher_share=1.0)


def test_predictions_and_pseudo_labels_come_from_the_networks_they_name():
    method, image = build().eval(), random_batch(0).weak
    found = method.pseudo_labels(image)

    assert torch.equal(method.predict(image), method.network(image).logits)
    assert torch.equal(found["guide"].label, method.teacher(image).logits.argmax(1))
    assert torch.equal(found["exchange"].label, method.predict(image).argmax(1))
    assert found["feedback"].selected.all()
    sure = method.label_confidence(image)
    assert torch.allclose(sure["guide"], method.teacher(image).logits.softmax(1).amax(1))
    assert torch.allclose(sure["exchange"], method.predict(image).softmax(1).amax(1))
    mean = sum(student(image).logits.softmax(1) for student in method.peers) / 2
    assert torch.allclose(sure["feedback"], mean.amax(1))
