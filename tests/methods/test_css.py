"""CSS: labels from two spaces, indicators, prototypes, contrast, and the rows of its tables."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from method_configs import CONFIGS, CONTRAST_OF_CSS
from torch import nn

from semisweep import NetworkConfig, PseudoLabel
from semisweep.core import config as configuration
from semisweep.testing import MethodContract, progress_at, random_batch, tiny_network, train_steps
from semisweep.training.functional import partner
from semisweep_methods.contrast import (
    ContrastConfig,
    Draws,
    Pixels,
    anchor_losses,
    contrastive_loss,
    draw_negatives,
    make_draws,
    negative_odds,
)
from semisweep_methods.css import (
    CSS,
    CSSConfig,
    collaborate,
    confident_pixels,
    unlabelled_loss,
)
from semisweep_methods.spaces import Prototypes, SpaceOutput, class_means, nearest, rows

GOLDEN = Path(__file__).parent.parent / "golden"
SMALL = CONTRAST_OF_CSS
CONFIG = CONFIGS["css"]
LOGITS_ALONE = replace(CONFIG, label_source="logits", contrast=replace(SMALL, weight=0.0))
TO_THE_LETTER_OF_THE_RELEASE = replace(
    CONFIG,
    unlabelled_mean="image_share",
    valid_indicator="confidence",
    indicator_temperature=0.5,
    prototype_source="student",
    contrast=replace(SMALL, ramp_share=0.5),
)
TO_THE_LETTER_OF_THE_PAPER = replace(
    CONFIG,
    contrast=replace(
        SMALL, schedule="constant", negative_sets="class", numerator="printed", class_mean="all"
    ),
)


def by(unlabelled, valid, hard):
    return {
        "unlabelled_indicator": unlabelled,
        "valid_indicator": valid,
        "contrast.hard_indicator": hard,
    }


CONFIDENCE = by("confidence", "confidence", "confidence")
OF_LABEL = by("of_label", "similarity", "similarity")
SIMILARITY = by("similarity", "similarity", "similarity")
EACH_ITS_OWN = by("confidence", "similarity", "similarity")
ROWS = {
    "baseline": {"label_source": "logits", **CONFIDENCE},
    "representation space": {"label_source": "representations", **SIMILARITY},
    "mix": {"label_source": "mix", **CONFIDENCE},
    "cross": {"label_source": "cross", **CONFIDENCE},
    "ind": {"label_source": "logits", **EACH_ITS_OWN},
    "mix + ind": {"label_source": "mix", **EACH_ITS_OWN},
    "cross + ind": {"label_source": "cross", **EACH_ITS_OWN},
    "smr, seg label": {"label_source": "logits", **SIMILARITY},
    "smr, mix label": {"label_source": "mix", **SIMILARITY},
}


class TestCSS(MethodContract):
    method = CSS
    config = CONFIG
    variants = (
        LOGITS_ALONE,
        replace(CONFIG, contrast=replace(SMALL, weight=0.0)),
        replace(CONFIG, label_source="cross", warm_up_epochs=0),
        replace(
            CONFIG,
            label_source="logits",
            valid_indicator="confidence",
            contrast=replace(SMALL, hard_sampling=False, schedule="constant"),
        ),
    )
    golden = GOLDEN / "trace_css.json"


class TestCSSOfTheReleaseToTheLetter(MethodContract):
    method = CSS
    config = TO_THE_LETTER_OF_THE_RELEASE
    variants = (
        TO_THE_LETTER_OF_THE_PAPER,
        replace(CONFIG, label_source="logits", unlabelled_indicator="similarity"),
        replace(
            CONFIG,
            label_source="cross",
            warm_up_passes="labelled",
            unlabelled_indicator="of_label",
            unlabelled_mean="confident_share",
            prototype_start="first_mean",
            contrast=replace(SMALL, schedule="labelled_ramp"),
        ),
    )
    golden = GOLDEN / "trace_css_release.json"


def numbers(seed, *shape):
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made, dtype=torch.float64)


def uniform(seed, *shape):
    made = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=made, dtype=torch.float64)


def integers(seed, high, *shape):
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def cosine(first, second):
    return float(nn.functional.cosine_similarity(first, second, dim=0))


# Contrast (Eq. 9)


def sampled(kind, own, classes=4, count=40, width=5):
    """Return pixels, prototypes and draws, among them the edge cases that the name says."""
    label = integers(1, classes, count)
    label[uniform(2, count) < 0.2] = 255
    hard = uniform(3, count) < 0.6
    if kind == "a class is absent":
        label[label == 2] = 255
    if kind == "a class is alone":
        label[:] = 1
    if kind == "no pixel has a label":
        label[:] = 255
    if kind == "no pixel is hard":
        hard[:] = False
    if kind == "a class has no hard pixel":
        hard[label == 0] = False
    if kind == "one pixel":
        label[1:] = 255
    if kind == "two pixels of two classes":
        label[:] = 255
        label[[3, 7]] = torch.tensor([0, 3])
        hard[:] = True
    sets = own.anchors if own.negative_sets == "anchor" else 1
    draws = Draws(uniform(4, count), uniform(5, count), uniform(6, classes, sets, own.negatives))
    feature = numbers(7, count, width).requires_grad_()
    return Pixels(feature, label, hard), numbers(8, classes, width), draws


def slow_contrastive_loss(pixels, prototype, draws, own):
    """Loop over classes, anchors and negatives, with Eq. 9's exponentials as printed."""
    classes, everyone = len(prototype), range(len(pixels.label))

    def first(rows, priority, count):
        return sorted(rows, key=lambda row: -float(priority[row]))[:count]

    member = [[row for row in everyone if pixels.label[row] == c] for c in range(classes)]
    candidate = [first(rows, draws.candidate, own.candidates) for rows in member]
    present = [c for c in range(classes) if member[c]]
    total = torch.zeros((), dtype=torch.float64)
    for c in present:
        anchors = first([row for row in member[c] if pixels.hard[row]], draws.anchor, own.anchors)
        others = [other for other in present if other != c]
        odds = [
            math.exp(cosine(prototype[c], prototype[other]) / own.temperature)
            if own.negative_classes == "similar"
            else 1.0
            for other in others
        ]
        for place, row in enumerate(anchors):
            if not others:
                continue
            z = pixels.feature[row] / pixels.feature[row].norm()
            positive = z @ (prototype[c] / prototype[c].norm())
            below = (positive / own.temperature).exp()
            for number in draws.negative[c, place if own.negative_sets == "anchor" else 0]:
                left, index = float(number) * sum(odds), 0
                while left >= odds[index]:
                    left -= odds[index]
                    index += 1
                pool = candidate[others[index]]
                negative = pixels.feature[pool[int(left / odds[index] * len(pool))]].detach()
                below = below + (z @ (negative / negative.norm()) / own.temperature).exp()
            scale = own.temperature if own.numerator == "scaled" else 1.0
            total = total - ((positive / scale).exp() / below).log() / len(anchors)
    return total / max(len(present) if own.class_mean == "present" else classes, 1)


KINDS = (
    *("as usual", "a class is absent", "a class is alone", "no pixel has a label"),
    *("no pixel is hard", "a class has no hard pixel", "one pixel", "two pixels of two classes"),
)
READINGS = (
    ContrastConfig(anchors=5, negatives=7, candidates=4),
    ContrastConfig(anchors=40, negatives=3, candidates=40, temperature=0.1),
    ContrastConfig(anchors=60, negatives=3, candidates=50, negative_classes="uniform"),
    ContrastConfig(anchors=6, negatives=9, negative_sets="class", numerator="printed"),
    ContrastConfig(anchors=6, negatives=1, candidates=1, class_mean="all"),
)


@pytest.mark.parametrize("own", READINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_contrastive_loss_and_its_gradient_equal_a_loop(kind, own):
    pixels, prototype, draws = sampled(kind, own)
    found = contrastive_loss(pixels, prototype, draws, own)
    expected = slow_contrastive_loss(pixels, prototype, draws, own)
    gradient = torch.autograd.grad(found, pixels.feature)[0]

    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    if expected.requires_grad:
        assert torch.allclose(gradient, torch.autograd.grad(expected, pixels.feature)[0], atol=1e-6)
    else:
        assert not gradient.any()
    if kind == "as usual":
        assert found > 0.1


def test_the_contrastive_loss_in_single_precision_is_as_close():
    own = READINGS[0]
    pixels, prototype, draws = sampled("as usual", own)
    single = pixels._replace(feature=pixels.feature.detach().float())
    found = contrastive_loss(single, prototype.float(), draws, own)

    assert found.item() == pytest.approx(
        slow_contrastive_loss(pixels, prototype, draws, own).item(), abs=1e-5
    )


@pytest.mark.parametrize("numerator", ["scaled", "printed"])
def test_an_anchors_loss_has_the_gradient_of_its_formula(numerator):
    own = ContrastConfig(numerator=numerator)
    scores = (numbers(1, 2, 3).requires_grad_(), numbers(2, 2, 3, 4).requires_grad_())

    assert torch.autograd.gradcheck(lambda *given: anchor_losses(*given, own), scores)


def test_the_whole_contrast_has_the_gradient_of_its_formula_for_anchors():
    """Hard pixels are anchors and never candidates, so that no difference reaches a negative."""
    own = ContrastConfig(anchors=6, negatives=4, candidates=3)
    pixels, prototype, draws = sampled("as usual", own, count=80)
    draws = draws._replace(candidate=draws.candidate - 2.0 * pixels.hard)
    rows = pixels.hard.nonzero().squeeze(1)
    spare = [int(((pixels.label == c) & ~pixels.hard).sum()) for c in range(4)]

    def loss(anchors):
        feature = pixels.feature.detach().index_put((rows,), anchors)
        return contrastive_loss(pixels._replace(feature=feature), prototype, draws, own)

    assert min(spare) >= 3
    assert torch.autograd.gradcheck(loss, pixels.feature.detach()[rows].requires_grad_())


def test_negatives_come_by_the_odds_of_their_class_and_evenly_within_it():
    odds = torch.tensor([[-math.inf, 0.0, math.log(3.0), -math.inf]]).expand(4, -1)
    held = torch.tensor([5, 2, 4, 0])
    drawn = draw_negatives(odds, held, 5, torch.rand(4, 10, 5000))
    share = torch.bincount(drawn.flatten(), minlength=20) / drawn.numel()

    assert torch.allclose(share[5:7], torch.full((2,), 0.125), atol=4e-3)
    assert torch.allclose(share[10:14], torch.full((4,), 0.1875), atol=4e-3)
    assert share[5:7].sum() + share[10:14].sum() == pytest.approx(1.0)


def test_the_largest_uniform_number_stays_within_what_is_held():
    largest = torch.full((3, 1, 1), 1 - 2**-24)
    odds = torch.tensor([[-math.inf, 0.3, 0.1], [0.2, -math.inf, 0.7], [0.4, 0.3, -math.inf]])

    assert draw_negatives(odds, torch.tensor([1, 2, 3]), 3, largest).flatten().tolist() == [8, 8, 4]


def test_negatives_are_from_other_classes_that_are_there_and_the_more_the_liker():
    prototype = torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.2], [0.0, 1.0]])
    available = torch.tensor([True, True, True, False])
    odds = negative_odds(prototype, available, ContrastConfig())
    even = negative_odds(prototype, available, ContrastConfig(negative_classes="uniform"))

    assert odds[0, 1] > odds[0, 2] > odds[0, 0] == odds[0, 3] == -math.inf
    assert odds[0, 1].item() == pytest.approx(cosine(prototype[0], prototype[1]) / 0.5)
    assert even[0].tolist() == [-math.inf, 0.0, 0.0, -math.inf]


def test_draws_depend_on_the_step_and_on_nothing_else():
    first, same, other = (
        make_draws(SMALL, progress_at(step), 4, {"labelled": 2, "unlabelled": 3}, 6)
        for step in (1, 1, 2)
    )

    assert [part.shape for part in first] == [(30,), (30,), (4, 12, 16)]
    assert all(torch.equal(*pair) for pair in zip(first, same, strict=True))
    assert not any(torch.equal(*pair) for pair in zip(first, other, strict=True))
    assert not torch.equal(first.anchor, first.candidate)


@pytest.mark.parametrize(
    ("changes", "step", "expected"),
    [
        ({"schedule": "constant"}, 99, 0.5),
        ({}, 0, 0.5),
        ({}, 50, 0.5 * math.exp(-1.25)),
        ({"ramp_share": 0.2}, 10, 0.5 * math.exp(-1.25)),
        ({"ramp_share": 0.2}, 20, 0.0),
        ({"schedule": "labelled_ramp"}, 80, 0.5 * math.exp(-5 * 0.2**2)),  # 40 of 200 passes
    ],
)
def test_the_weight_is_constant_or_falls_as_a_gaussian_and_ends(changes, step, expected):
    own = ContrastConfig(weight=0.5, **changes)

    assert own.weight_at(progress_at(step)) == pytest.approx(expected)


def test_the_ramp_of_the_release_ends_after_200_passes_over_the_labelled_images():
    own, now = ContrastConfig(schedule="labelled_ramp"), progress_at(50)
    weights = [own.weight_at(now._replace(labelled_epoch=passes)) for passes in (0, 199, 200)]

    assert weights == [1.0, pytest.approx(math.exp(-5 * 0.995**2)), 0.0]


# Prototypes and similarity (Eqs. 2 to 5)


def test_class_means_equal_a_loop_and_are_zero_for_a_class_that_is_absent():
    feature, label = numbers(1, 30, 4), integers(2, 3, 30)
    label[:4] = 255
    mean, count = class_means(feature, label, 4)
    for number in range(4):
        own = [row for row, of in zip(feature, label, strict=True) if of == number]
        expected = sum(own) / len(own) if own else torch.zeros(4, dtype=torch.float64)
        assert count[number] == len(own)
        assert torch.allclose(mean[number], expected, atol=1e-12)


def look(seed, images=2, classes=4, channels=5, size=6, scale=2.0):
    logits = scale * numbers(seed, images, classes, size, size)
    return SpaceOutput(logits, numbers(seed + 1, images, channels, size // 2, size // 2))


def test_prototypes_move_by_their_momentum_and_only_where_the_class_is_met():
    prototypes = Prototypes(4, 5, momentum=0.9).double()
    seen, label = look(1), integers(3, 3, 2, 6, 6)
    prototypes.move(seen, label)
    first = prototypes.centre.clone()
    prototypes.move(seen, torch.full_like(label, 1))
    pixels = [
        (seen.representation[n, :, y, x], int(label[n, 2 * y, 2 * x]))
        for n, y, x in itertools.product(range(2), range(3), range(3))
    ]
    for number in range(4):
        own = [z for z, of in pixels if of == number]
        mean = sum(own) / len(own) if own else torch.zeros(5, dtype=torch.float64)
        assert torch.allclose(first[number], 0.1 * mean)
    everything = sum(z for z, _ in pixels) / len(pixels)
    assert torch.allclose(prototypes.centre[1], 0.9 * first[1] + 0.1 * everything)
    assert torch.equal(prototypes.centre[0], first[0])
    assert prototypes.met().tolist() == [True, True, True, False]


def test_a_prototype_may_begin_with_the_whole_first_mean():
    from_zero, from_mean = (
        Prototypes(4, 5, momentum=0.9, start=start).double() for start in ("zero", "first_mean")
    )
    seen, label = look(1), integers(3, 3, 2, 6, 6)
    for prototypes in (from_zero, from_mean):
        prototypes.move(seen, label)
    first = from_mean.centre.clone()
    from_mean.move(look(7), label)
    mean, _ = class_means(rows(look(7).representation), nearest(label, (3, 3)).flatten(), 4)

    assert torch.allclose(first, 10 * from_zero.centre)
    assert from_mean.met().tolist() == [True, True, True, False]
    assert torch.allclose(from_mean.centre, 0.9 * first + 0.1 * mean)


def filled_prototypes(classes=4, channels=5, absent=()):
    prototypes = Prototypes(classes, channels, momentum=0.9).double()
    prototypes.centre.copy_(numbers(9, classes, channels))
    prototypes.centre[list(absent)] = 0
    return prototypes


@pytest.mark.parametrize("absent", [(), (2,), (0, 1, 2)])
def test_softmax_similarity_equals_a_loop(absent):
    prototypes, seen = filled_prototypes(absent=absent), look(1)
    found = prototypes(seen.representation, 0.1, (3, 3))
    for n, y, x in itertools.product(range(2), range(3), range(3)):
        z = seen.representation[n, :, y, x]
        parts = [
            0.0 if c in absent else math.exp(cosine(z, prototypes.centre[c]) / 0.1)
            for c in range(4)
        ]
        for c in range(4):
            assert found[n, c, y, x].item() == pytest.approx(parts[c] / sum(parts), abs=1e-9)


def test_without_any_prototype_nothing_is_similar_to_anything():
    assert not Prototypes(4, 5, momentum=0.9).double()(look(1).representation, 0.1, (6, 6)).any()


def test_the_indicator_of_the_release_cannot_reach_the_threshold_of_the_paper():
    """With 21 classes and a temperature of 0.5, even where cosines are 1 and -1."""
    prototypes = Prototypes(21, 2, momentum=0.9)
    prototypes.centre[:, 0] = -1.0
    prototypes.centre[3, 0] = 1.0
    pixel = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1)

    assert prototypes(pixel, 0.5, (1, 1)).max().item() == pytest.approx(0.732, abs=1e-3)
    assert prototypes(pixel, 0.1, (1, 1)).max() > 0.97


def test_the_nearest_pixel_is_that_of_torch():
    values = integers(1, 200, 2, 7, 9)
    expected = nn.functional.interpolate(values[:, None].float(), size=(3, 4), mode="nearest")

    assert torch.equal(nearest(values, (3, 4)).float(), expected[:, 0])


# Labels and their selection (Secs. 3.3 and 3.4)


def test_labels_are_mixed_crossed_or_taken_from_one_space():
    first, second = torch.tensor([0, 1, 2]), torch.tensor([0, 2, 2])
    found = {
        source: [label.tolist() for label in collaborate(first, second, source)]
        for source in ("logits", "representations", "mix", "cross")
    }

    assert found == {
        "logits": [[0, 1, 2], [0, 1, 2]],
        "representations": [[0, 2, 2], [0, 2, 2]],
        "mix": [[0, 255, 2], [0, 255, 2]],
        "cross": [[0, 2, 2], [0, 1, 2]],
    }


def with_prototypes(own, classes=4):
    method = CSS(own, classes).double()
    method.prototypes.centre.copy_(numbers(9, classes, own.representation_channels))
    return method


@pytest.mark.parametrize("indicators", [CONFIDENCE, SIMILARITY, EACH_ITS_OWN, OF_LABEL])
@pytest.mark.parametrize("source", ["logits", "representations", "mix", "cross"])
def test_labels_and_selection_equal_a_loop_over_pixels(source, indicators):
    own = configuration.replace(
        CONFIG, {"unlabelled_threshold": 0.6, "valid_threshold": 0.5, **indicators}
    )
    method, seen = with_prototypes(own), look(1, channels=8)
    valid = uniform(5, 2, 6, 6) < 0.9
    shares = method.prototypes(seen.representation, 0.1, (6, 6))
    found = method.supervision(seen, source, valid)
    counted = [0, 0]
    for n, y, x in itertools.product(range(2), range(6), range(6)):
        chance = seen.logits[n, :, y, x].softmax(0)
        by_logits, by_similarity = int(chance.argmax()), int(shares[n, :, y, x].argmax())
        labels = {
            "logits": (by_logits, by_logits),
            "representations": (by_similarity, by_similarity),
            "mix": (by_logits, by_logits) if by_logits == by_similarity else (255, 255),
            "cross": (by_similarity, by_logits),
        }[source]
        of_label = "confidence" if source in ("logits", "mix") else "similarity"
        asked = own.unlabelled_indicator
        kinds = (of_label if asked == "of_label" else asked, own.valid_indicator)
        limits = (own.unlabelled_threshold, own.valid_threshold)
        for space, (label, kind, limit) in enumerate(zip(labels, kinds, limits, strict=True)):
            label = label if valid[n, y, x] else 255
            sure = float((chance if kind == "confidence" else shares[n, :, y, x]).max())
            used = label != 255 and sure > limit
            counted[space] += used
            assert found[space].label[n, y, x] == label
            assert bool(found[space].selected[n, y, x]) == used
    assert all(0 < count < 72 for count in counted)


def test_before_there_are_prototypes_no_pixel_has_a_label_from_its_representation():
    method, valid = CSS(CONFIG, 4).double(), torch.ones(2, 6, 6, dtype=torch.bool)
    for source in ("representations", "mix"):
        for target in method.supervision(look(1, channels=8), source, valid):
            assert (target.label == 255).all()
            assert not target.selected.any()


def slow_unlabelled_loss(kind, logits, target):
    images = []
    for scores, label, selected in zip(logits, *target, strict=True):
        losses = {
            (y, x): -scores[:, y, x].log_softmax(0)[label[y, x]].item()
            for y, x in itertools.product(range(6), range(6))
            if label[y, x] != 255
        }
        images.append((losses, [place for place in losses if selected[place]]))
    if kind == "selected_pixels":
        chosen = [losses[place] for losses, places in images for place in places]
        return sum(chosen) / max(len(chosen), 1)
    every = [loss for losses, _ in images for loss in losses.values()]
    parts = [sum(own.values()) * len(places) / max(len(own), 1) for own, places in images]
    return sum(parts) / max(sum(loss > 0 for loss in every), 1)


@pytest.mark.parametrize("kind", ["selected_pixels", "image_share"])
@pytest.mark.parametrize("case", ["as usual", "nothing selected", "no label", "one image"])
def test_the_unlabelled_loss_equals_a_loop(kind, case):
    logits, label = numbers(1, 3, 4, 6, 6).requires_grad_(), integers(2, 4, 3, 6, 6)
    label[uniform(3, 3, 6, 6) < 0.3] = 255
    selected = (uniform(4, 3, 6, 6) < 0.5) & (label != 255)
    if case == "nothing selected":
        selected[:] = False
    if case == "no label":
        label[:], selected[:] = 255, False
    rows = slice(0, 1) if case == "one image" else slice(0, 3)
    target = PseudoLabel(label[rows], selected[rows])
    found = unlabelled_loss(kind, logits[rows], target)
    gradient = torch.autograd.grad(found, logits)[0]

    assert found.item() == pytest.approx(slow_unlabelled_loss(kind, logits[rows], target), abs=1e-5)
    assert bool(gradient.any()) == (case in ("as usual", "one image"))


def test_the_share_of_the_release_counts_confident_pixels_without_a_label():
    """On two images 4 and 2 of 8 labelled pixels are selected, 9 and 3 of all are confident."""
    logits, label = numbers(1, 2, 4, 4, 4), integers(2, 4, 2, 4, 4)
    label[:, 2:] = 255
    selected, confident = (torch.zeros(2, 4, 4, dtype=torch.bool) for _ in range(2))
    selected[0, 0], selected[1, 0, :2] = True, True
    confident[0, :2], confident[0, 3, 3], confident[1, 0, :3] = True, True, True
    target = PseudoLabel(label, selected)
    losses = nn.functional.cross_entropy(logits, label, ignore_index=255, reduction="none")
    per_image = losses.sum((1, 2))
    ours, released = (
        unlabelled_loss("image_share", logits, target),
        unlabelled_loss("confident_share", logits, target, confident),
    )

    assert torch.allclose(ours, (4 / 8 * per_image[0] + 2 / 8 * per_image[1]) / 16)
    assert torch.allclose(released, (9 / 8 * per_image[0] + 3 / 8 * per_image[1]) / 16)


@pytest.mark.parametrize("source", ["logits", "mix", "cross"])
def test_confident_pixels_pass_the_threshold_whatever_their_label(source):
    own = replace(CONFIG, unlabelled_threshold=0.6, unlabelled_indicator="of_label")
    method, seen = with_prototypes(own), look(1, channels=8)
    valid = uniform(5, 2, 6, 6) < 0.9
    found = confident_pixels(own, method.prototypes, seen, source, valid)
    shares = {
        "confidence": seen.logits.softmax(1),
        "similarity": method.prototypes(seen.representation, 0.1, (6, 6)),
    }["similarity" if source == "cross" else "confidence"]
    selected = method.supervision(seen, source, valid)[0].selected

    assert torch.equal(found, (shares.amax(1) > 0.6) & valid)
    assert (found | ~selected).all()
    assert found.sum() > selected.sum() or source != "mix"


@pytest.mark.parametrize("kind", ["selected_pixels", "image_share"])
def test_the_unlabelled_loss_has_the_gradient_of_its_formula(kind):
    label, selected = integers(2, 4, 2, 3, 3), uniform(4, 2, 3, 3) < 0.5
    logits = numbers(1, 2, 4, 3, 3).requires_grad_()
    target = PseudoLabel(label, selected)

    assert torch.autograd.gradcheck(lambda given: unlabelled_loss(kind, given, target), logits)


# The whole method


PROBE = replace(
    CONFIG,
    warm_up_epochs=2,
    unlabelled_threshold=0.5,
    valid_threshold=0.7,
    contrast=replace(SMALL, hard_threshold=0.8),
)


@pytest.fixture(scope="module")
def trained():
    """A state in which both spaces are sure of some pixels, tell classes apart, and differ."""
    method, batch = CSS(CONFIG, 4).train(), random_batch(0)
    train_steps(method, 3)
    made = torch.Generator().manual_seed(0)
    shapes = [network_ends(method.student)[end].weight.shape for end in range(2)]
    weights = [torch.randn(shape, generator=made) for shape in shapes]
    with torch.no_grad():
        for side in (method.student, method.teacher):
            ends = network_ends(side)
            for end, weight in zip(ends, weights, strict=True):
                end.weight.copy_(weight)
                end.bias.zero_()
            for end, values in zip(ends, side(batch.weak), strict=True):
                end.bias.copy_(-values.mean((0, 2, 3)))
            for part in side.modules():
                part.momentum = 1.0  # of batch norms: what evaluation mode will use
            side(batch.weak)
        seen = method.teacher(batch.weak).representation
        method.prototypes.centre.copy_(seen.permute(0, 2, 3, 1).flatten(0, 2)[::64])
    return method.state_dict()


def network_ends(side):
    return side.network.decoder.classifier, side.head.project


def probed(state, changes, step=40, steps=1):
    """Return the losses of a configuration that goes on from the state."""
    method = CSS(configuration.replace(PROBE, changes), 4).train()
    method.load_state_dict(state)
    return train_steps(method, steps, first=step, learning_rate=0.01)


def test_the_rows_of_tables_5_6_and_7_are_different_trainings(trained):
    losses = {name: probed(trained, row)[0]["student.loss"] for name, row in ROWS.items()}

    for first, second in itertools.combinations(losses, 2):
        assert abs(losses[first] - losses[second]) > 1e-6, f"{first} and {second} are the same"


@pytest.mark.parametrize(
    "changes",
    [
        {"unlabelled_threshold": 0.6},
        {"unlabelled_mean": "image_share"},
        {"unlabelled_mean": "confident_share"},
        {"label_source": "cross", "unlabelled_indicator": "of_label"},
        {"contrast.schedule": "labelled_ramp"},
        {"valid_threshold": 0.6},
        {"indicator_temperature": 0.5},
        {"prototype_source": "student"},
        {"prototype_momentum": 0.5},
        {"contrast.weight": 0.5},
        {"contrast.weight": 0.0},
        {"contrast.schedule": "constant"},
        {"contrast.ramp_share": 0.5},
        {"contrast.temperature": 0.1},
        {"contrast.anchors": 11},
        {"contrast.negatives": 15},
        {"contrast.candidates": 7},
        {"contrast.hard_sampling": False},
        {"contrast.hard_threshold": 0.6},
        {"contrast.negative_classes": "uniform"},
        {"contrast.negative_sets": "class"},
        {"contrast.numerator": "printed"},
    ],
    ids=str,
)
def test_every_field_changes_the_loss_of_a_network_that_knows_something(trained, changes):
    base, found = (probed(trained, own)[0]["student.loss"] for own in ({}, changes))

    assert abs(base - found) > 1e-7


@pytest.mark.parametrize(
    "changes", [{"teacher_momentum": 0.5}, {"teacher_statistics": "average"}], ids=str
)
def test_what_concerns_the_teacher_changes_the_losses_after_it_moved(trained, changes):
    base, found = (probed(trained, own, steps=4)[-1]["student.loss"] for own in ({}, changes))

    assert abs(base - found) > 1e-7


def test_the_mean_over_all_classes_counts_those_that_are_absent(trained):
    losses = []
    for kind in ("present", "all"):
        method = CSS(configuration.replace(PROBE, {"contrast.class_mean": kind}), 4).train()
        method.load_state_dict(trained)
        batch = random_batch(0)
        batch = batch._replace(label=batch.label.where(batch.label != 3, 255))
        method.prototypes.centre[3] = 0
        step = method.step(batch._replace(valid=torch.zeros_like(batch.valid)), progress_at(0))
        losses.append(next(step).terms["contrast"])

    assert losses[0].item() == pytest.approx(losses[1].item() * 4 / 3, rel=1e-5)


def test_cross_labels_begin_when_the_warm_up_ends(trained):
    rows = [{"label_source": source, "warm_up_epochs": 4} for source in ("logits", "cross")]
    during, after = ([probed(trained, row, step)[0] for row in rows] for step in (39, 40))

    assert during[0] == during[1]
    assert after[0]["student.loss"] != after[1]["student.loss"]


def test_a_warm_up_counts_passes_over_labelled_images_where_it_is_told_to(trained):
    """Of the suite's iterations 10 are an epoch of unlabelled images, 2 one of labelled ones."""
    row = {"warm_up_epochs": 4, "warm_up_passes": "labelled"}
    rows = [{"label_source": source, **row} for source in ("logits", "cross")]
    during, after = ([probed(trained, row, step)[0] for row in rows] for step in (7, 8))

    assert during[0] == during[1]
    assert after[0]["student.loss"] != after[1]["student.loss"]


def test_before_there_is_any_prototype_of_a_class_the_first_mean_is_it(trained):
    state = {name: value.clone() for name, value in trained.items()}
    state["prototypes.centre"].zero_()
    starts = [
        probed(state, {"prototype_start": start}, steps=3)[-1]["student.loss"]
        for start in ("zero", "first_mean")
    ]

    assert abs(starts[0] - starts[1]) > 1e-7


def test_beside_a_plain_head_the_representation_shares_what_it_reads():
    """As in the release: 59,520,693 parameters of ResNet-101, 58.75 M without the second head."""
    own = configuration.replace(CONFIG, {"network.head": "plain"})
    method = CSS(own, 4).train()
    losses = train_steps(method, 2)

    assert method.student.head.low_level is None
    assert method.student.head.hidden[0].in_channels == 16 + 48
    assert all(math.isfinite(step["student.loss"]) for step in losses)


def test_the_loss_is_the_sum_of_equation_6(trained):
    found = probed(trained, {"contrast.weight": 0.5, "contrast.schedule": "constant"})[0]
    parts = [found[f"student.{name}"] for name in ("supervised", "unlabelled", "contrast")]

    assert all(part > 0.01 for part in parts)
    assert 0 < found["student.selected"] < 1
    assert found["student.loss"] == pytest.approx(parts[0] + parts[1] + 0.5 * parts[2], rel=1e-5)


def test_a_ramp_that_is_over_leaves_no_contrast_and_prototypes_go_on(trained):
    found = probed(trained, {"contrast.ramp_share": 0.3}, step=30)[0]

    assert "student.contrast" not in found


def test_the_terms_equal_those_of_the_parts_on_what_was_seen(trained):
    """The labels of a mixed image are its donor's where it is pasted, in both spaces."""
    method, batch, progress = CSS(PROBE, 4).train(), random_batch(3), progress_at(10)
    method.load_state_dict(trained)
    other = CSS(PROBE, 4).train()
    other.load_state_dict(trained)
    terms = next(method.step(batch, progress)).terms
    taught = other.teach(batch)
    weak = SpaceOutput(*(part[4:] for part in taught))
    targets = other.supervision(weak, "mix", batch.valid)
    mask = batch.cutmix[0]
    mixed = [
        PseudoLabel(*(torch.where(mask, partner(part), part) for part in own)) for own in targets
    ]
    image = torch.where(mask[:, None], partner(batch.strong[0]), batch.strong[0])
    seen = other.student(torch.cat([batch.image, image]))
    unlabelled = unlabelled_loss("selected_pixels", seen.logits[4:], mixed[0])
    plain = targets[1].label.where(targets[1].selected, 255)
    other.prototypes.move(taught, torch.cat([batch.label, plain]))
    label = torch.cat([batch.label, mixed[1].label.where(mixed[1].selected, 255)])
    contrast = other.contrast(batch, seen, label, progress)

    assert torch.allclose(terms["unlabelled"], unlabelled)
    assert torch.allclose(terms["contrast"], contrast)
    assert torch.equal(method.prototypes.centre, other.prototypes.centre)


@pytest.mark.parametrize("indicator", ["similarity", "confidence"])
def test_hard_pixels_are_those_the_student_is_unsure_of_at_their_class(indicator):
    own = configuration.replace(CONFIG, {"contrast.hard_indicator": indicator})
    batch, progress = random_batch(0, labelled=1, unlabelled=1, size=6), progress_at(0)
    method, seen, label = with_prototypes(own), look(1, channels=8), integers(3, 4, 2, 6, 6)
    shares = method.prototypes(seen.representation, 0.1, (3, 3))
    chance = seen.logits.softmax(1)[:, :, ::2, ::2]
    values = shares if indicator == "similarity" else chance
    small = label[:, ::2, ::2]
    hard = torch.zeros(2, 3, 3, dtype=torch.bool)
    for n, y, x in itertools.product(range(2), range(3), range(3)):
        hard[n, y, x] = values[n, small[n, y, x], y, x] < 0.4
    feature = torch.stack(
        [
            seen.representation[n, :, y, x]
            for n, y, x in itertools.product(range(2), *[range(3)] * 2)
        ]
    )
    draws = make_draws(own.contrast, progress, 4, {"labelled": 1, "unlabelled": 1}, 9)
    pixels = Pixels(feature, small.flatten(), hard.flatten())
    expected = slow_contrastive_loss(pixels, method.prototypes.centre, draws, own.contrast)

    assert 0 < hard.sum() < 18
    assert method.contrast(batch, seen, label, progress).item() == pytest.approx(
        expected.item(), abs=1e-5
    )


def test_logits_alone_have_no_head_and_no_prototypes():
    method = CSS(LOGITS_ALONE, 4)

    assert method.student.head is None
    assert method.prototypes.centre.numel() == 0
    assert "contrast" not in next(method.step(random_batch(0), progress_at(0))).terms


def test_a_representation_is_as_large_as_the_shallow_tap_or_the_fused_map():
    image = random_batch(0).image
    dense = NetworkConfig(backbone="test_vit", decoder="dpt", channels=8, pretrained=False)
    for network, channels in ((tiny_network(), 8), (dense, 5)):
        own = replace(CONFIG, network=network, representation_channels=channels)
        student = CSS(own, 4).student
        taps = student.network.encode(image)
        fused = student.network(image).fused
        size = fused.shape[-2:] if network is dense else taps[0].shape[-2:]
        assert student(image).representation.shape == (4, channels, *size)


def test_training_on_a_transformer_gives_a_finite_loss():
    dense = NetworkConfig(backbone="test_vit", decoder="dpt", channels=8, pretrained=False)
    losses = train_steps(CSS(replace(CONFIG, network=dense), 4).train(), 2)

    assert all(math.isfinite(value) for step in losses for value in step.values())


def test_a_batch_of_two_trains():
    method = CSS(CONFIG, 4)
    update = next(method.step(random_batch(0, labelled=2, unlabelled=2), progress_at(0)))

    assert update.loss.isfinite()


def test_pseudo_labels_have_the_sources_of_table_4_and_leave_the_method_alone(trained):
    method = CSS(PROBE, 4)
    method.load_state_dict(trained)
    method.eval()
    image = random_batch(0).weak
    with torch.no_grad():
        found = method.pseudo_labels(image)
        logits = method.predict(image)
    confidence, label = logits.softmax(1).max(1)
    mix = found["mix"]

    assert list(found) == ["logits", "representations", "mix"]
    assert torch.equal(found["logits"].label, label)
    assert torch.equal(found["logits"].selected, confidence > PROBE.unlabelled_threshold)
    assert 0 < mix.selected.sum() < found["logits"].selected.sum()
    assert torch.equal(mix.label[mix.selected], found["representations"].label[mix.selected])
    assert all(torch.equal(value, trained[name]) for name, value in method.state_dict().items())
    assert list(CSS(LOGITS_ALONE, 4).eval().pseudo_labels(image)) == ["logits"]


def test_the_defaults_are_those_of_the_papers_best_row():
    own = CSSConfig()
    thresholds = (own.unlabelled_threshold, own.valid_threshold, own.contrast.hard_threshold)

    assert configuration.replace(own, ROWS["mix + ind"]) == own
    assert thresholds == (0.97, 0.7, 0.8)
    assert (own.contrast.anchors, own.contrast.negatives) == (256, 512)
    assert (own.indicator_temperature, own.contrast.temperature) == (0.1, 0.5)


def test_fields_that_cannot_matter_are_not_in_the_identity():
    kept = configuration.identity(LOGITS_ALONE)

    assert kept["contrast"] == {"weight": 0.0}
    assert set(kept) == {
        *("supervised_loss", "network", "label_source", "unlabelled_indicator"),
        *("unlabelled_threshold", "unlabelled_mean", "teacher_momentum", "teacher_statistics"),
        "contrast",
    }
