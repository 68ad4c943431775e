"""The pictures that the encoder of mini scale learns from, and the file that it is."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from semisweep.data.patterns import OUTLINES, PATTERNS, SIZE, Painter, make_patterns, save, train
from semisweep.networks.pretrained import file_digest
from semisweep_studies.presets import MINI

ENCODER_DIGEST = "b21de8878caa2b536be7"


def test_equal_seeds_paint_equal_pictures_whatever_was_drawn_before():
    torch.manual_seed(1)
    first = Painter(3).batch(4)
    torch.manual_seed(2)
    second = Painter(3).batch(4)

    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not torch.equal(first[0], Painter(4).batch(4)[0])


def test_pictures_are_in_range_and_hold_every_pattern_and_outline():
    picture, pattern, outline = Painter(0).batch(400)

    assert picture.shape == (400, 3, SIZE, SIZE)
    assert 0 <= picture.min() < 0.1
    assert 0.9 < picture.max() <= 1
    assert set(pattern.tolist()) == set(range(PATTERNS))
    assert set(outline.tolist()) == set(range(OUTLINES))


def test_a_picture_is_painted_over_only_where_the_object_is():
    painter = Painter(0)
    blank = torch.full((64, 3, SIZE, SIZE), -5.0)  # no colour of a pattern is as dark
    pattern, outline = torch.arange(64) % PATTERNS, torch.arange(64) % OUTLINES
    share = (
        (painter.paint(blank, pattern, outline, size=1.0, margin=22) > -5).float().mean((1, 2, 3))
    )

    assert (share > 0.05).all()
    assert (share < 0.6).all()


def test_every_pattern_has_its_first_wave_and_no_two_are_alike():
    patterns = make_patterns()

    assert (patterns.height[:, 0] == 1).all()
    assert len(torch.unique(torch.cat([patterns.angle, patterns.height], dim=1), dim=0)) == PATTERNS


def test_a_few_steps_learn_the_same_every_time_and_fit_the_file(tmp_path: Path):
    first, second = (train(steps=3).state_dict() for _ in range(2))
    save(train(steps=3), tmp_path / "encoder.safetensors")
    written = load_file(tmp_path / "encoder.safetensors")

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert set(first) - set(written) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(written[name], first[name].to(written[name].dtype)) for name in written)


def test_the_file_of_mini_scale_is_the_one_its_results_belong_to():
    weights = MINI.config["network"].weights

    assert file_digest(weights) == ENCODER_DIGEST
