"""Batches: pure functions of (seed, step), shared exactly, and refused where they cannot be."""

from __future__ import annotations

import copy
import gc
import os
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import get_worker_info

from semisweep import AugmentationConfig, Batch, DataConfig, TrainingConfig
from semisweep.core.config import replace
from semisweep.core.errors import ConfigError, DataError
from semisweep.core.seeding import numbers
from semisweep.data.augmentation import normalise, strong
from semisweep.data.base import DataSet
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.data.shared_pixels import shared_pixels
from semisweep.data.splits import Split, make_split
from semisweep.training import loader as loader_module
from semisweep.training.device_augmentation import CroppedBatch
from semisweep.training.loader import CPU, Loader, on_device, worker_counts
from semisweep_studies.augmentations import CPS, CSS, U2PL

TRAINING = TrainingConfig(steps=10, labelled_batch=4, unlabelled_batch=8, crop_pixels=40)
NOTHING = AugmentationConfig(jitter=0.0, grayscale=0.0, blur=0.0, cutmix=0.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=26, val=1, test=1)


@pytest.fixture(scope="module")
def dataset(root: Path) -> DataSet:
    return open_dataset("shapes", root)


@pytest.fixture(scope="module")
def split(dataset: DataSet) -> Split:
    return make_split(dataset, DataConfig(family="random", labelled=6))


@pytest.fixture(scope="module")
def loader(dataset: DataSet, split: Split) -> Loader:
    return Loader(dataset, split, TRAINING, seed=0, views=2, uses_unlabelled=True)


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_batch_has_the_shapes_and_kinds_of_the_interface(loader):
    batch = loader.batch(0)

    assert batch.image.shape == (4, 3, 40, 40)
    assert batch.label.shape == (4, 40, 40)
    assert batch.weak.shape == (8, 3, 40, 40)
    assert batch.strong.shape == (2, 8, 3, 40, 40)
    assert batch.cutmix.shape == (2, 8, 40, 40)
    assert batch.valid.shape == (8, 40, 40)
    assert batch.label.dtype == torch.int64
    assert batch.image.dtype == batch.weak.dtype == batch.strong.dtype == torch.float32
    assert batch.cutmix.dtype == batch.valid.dtype == torch.bool
    assert set(batch.label.unique().tolist()) <= {*range(8), 255}


def test_a_batch_is_the_same_whatever_was_asked_before(loader, root, split):
    forward = [loader.batch(step) for step in range(4)]
    fresh = Loader(open_dataset("shapes", root), split, TRAINING, 0, 2, True)
    torch.manual_seed(5)
    np.random.default_rng().random()
    for step in (3, 0, 2, 1, 3):
        assert equal(fresh.batch(step), forward[step])
    assert not torch.equal(forward[0].image, forward[1].image)


def test_seeds_give_different_batches(loader, dataset, split):
    other = Loader(dataset, split, TRAINING, seed=1, views=2, uses_unlabelled=True)

    assert not torch.equal(other.batch(0).image, loader.batch(0).image)
    assert other.unlabelled_items(0) != loader.unlabelled_items(0)


def test_the_order_of_the_lists_does_not_matter(loader, dataset, split):
    turned = Split(split.labelled[::-1], split.unlabelled[::-1])

    assert equal(Loader(dataset, turned, TRAINING, 0, 2, True).batch(2), loader.batch(2))


@pytest.mark.parametrize("world", [2, 4])
def test_the_shares_of_all_workers_are_the_batch_of_one(loader, dataset, split, world):
    shares = [
        Loader(dataset, split, TRAINING, 0, 2, True, rank, world).batch(3) for rank in range(world)
    ]
    whole = loader.batch(3)

    for name in ("image", "label", "weak", "valid"):
        assert torch.equal(torch.cat([getattr(s, name) for s in shares]), getattr(whole, name))
    for name in ("strong", "cutmix"):
        assert torch.equal(torch.cat([getattr(s, name) for s in shares], 1), getattr(whole, name))


def test_labelled_images_run_through_whole_passes_without_a_break(loader):
    items = [item for step in range(9) for item in loader.labelled_items(step)]
    passes = [items[start : start + 6] for start in range(0, 36, 6)]

    for number, found in enumerate(passes):
        assert {item.turn for item in found} == {number}
        assert len({item.image_id for item in found}) == 6
    assert len({tuple(item.image_id for item in found) for found in passes}) > 3


def test_a_batch_may_be_larger_than_the_labelled_list(dataset, split):
    few = Split(split.labelled[:3], split.unlabelled)
    loader = Loader(dataset, few, TRAINING, 0, 1, True)
    items = loader.labelled_items(0)
    batch = loader.batch(0)
    twice = next(i for i in range(3) if items[i].image_id == items[3].image_id)

    assert [item.turn for item in items] == [0, 0, 0, 1]
    assert not torch.equal(batch.image[twice], batch.image[3])


def test_an_epoch_holds_each_unlabelled_image_at_most_once(loader):
    """20 unlabelled images and a batch of 8: two steps an epoch, four images dropped."""
    for epoch in range(3):
        items = [i for step in (0, 1) for i in loader.unlabelled_items(2 * epoch + step)]
        assert {item.turn for item in items} == {epoch}
        assert max(Counter(item.image_id for item in items).values()) == 1
        assert len(items) == 16
    assert loader.unlabelled_items(0) != loader.unlabelled_items(2)


def test_a_partner_is_never_the_host(loader):
    """Partners are neighbours in pairs, and all images of a batch differ."""
    for step in range(8):
        ids = [item.image_id for item in loader.unlabelled_items(step)]
        assert all(ids[i] != ids[i + 1] for i in range(0, 8, 2))
        assert len(set(ids)) == 8


def test_strong_views_are_of_the_same_crop_and_differ(dataset, split):
    plain = replace(
        TRAINING,
        {f"augmentation.{name}": 0.0 for name in ("jitter", "grayscale", "blur", "cutmix")},
    )
    batch = Loader(dataset, split, plain, 0, 2, True).batch(0)
    changed = Loader(dataset, split, TRAINING, 0, 2, True).batch(0)

    assert torch.equal(batch.strong[0], batch.weak)
    assert torch.equal(batch.strong[1], batch.weak)
    assert not batch.cutmix.any()
    assert torch.equal(changed.weak, batch.weak)
    assert not torch.equal(changed.strong[0], changed.strong[1])
    assert not torch.equal(changed.cutmix[0], changed.cutmix[1])


def test_one_view_more_shifts_no_other(loader, dataset, split):
    three = Loader(dataset, split, TRAINING, 0, 3, True).batch(1)
    two = loader.batch(1)

    assert torch.equal(three.strong[:2], two.strong)
    assert torch.equal(three.cutmix[:2], two.cutmix)
    assert three.strong.shape[0] == 3


def test_draws_follow_the_image_and_not_its_place(dataset, split, loader):
    """The documented seeds give the very pixels of the batch."""
    item = loader.unlabelled_items(1)[5]
    batch = loader.batch(1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)

    def pixels(image: torch.Tensor) -> np.ndarray:
        back = (image * deviation + mean) * 255
        return back.round().to(torch.uint8).permute(1, 2, 0).numpy()

    generator = numbers(0, "strong", item.turn, item.image_id, 1)
    expected = strong(pixels(batch.weak[5]), generator, TRAINING.augmentation)
    assert (pixels(batch.strong[1, 5]) == expected).all()


def test_padding_is_ignored_in_labels_and_not_valid_in_unlabelled_images(dataset, split):
    small = replace(TRAINING, {"augmentation.scale": (0.5, 0.5), "augmentation.flip": 0.0})
    batch = Loader(dataset, split, small, 0, 1, True).batch(0)

    assert batch.valid[:, :32, :32].all()
    assert not batch.valid[:, 32:].any()
    assert not batch.valid[:, :, 32:].any()
    assert (batch.label[:, 32:] == 255).all()
    assert (batch.label[:, :, 32:] == 255).all()


def test_labelled_images_get_colours_where_the_preset_says_so(dataset, split, loader):
    coloured = replace(TRAINING, {"augmentation.labelled_colours": True})
    found = Loader(dataset, split, coloured, 0, 2, True)
    plain, changed = loader.batch(0), found.batch(0)

    assert torch.equal(changed.label, plain.label)
    assert torch.equal(changed.strong, plain.strong)
    assert not torch.equal(changed.image, plain.image)
    item = found.labelled_items(0)[1]
    back = plain.image[1] * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    back = (back + torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) * 255
    generator = numbers(0, "labelled colours", item.turn, item.image_id)
    pixels = back.round().to(torch.uint8).permute(1, 2, 0).numpy()
    expected = normalise(strong(pixels, generator, TRAINING.augmentation))
    assert torch.equal(changed.image[1], torch.from_numpy(expected))


def test_a_batch_is_mixed_as_a_whole_by_every_worker_where_the_preset_says_so(dataset, split):
    together = replace(TRAINING, {"augmentation.cutmix_together": True})
    workers = [Loader(dataset, split, together, 0, 1, True, rank, 2) for rank in range(2)]
    mixed = []
    for step in range(24):
        shown = [own.batch(step).cutmix.flatten(2).any(dim=2) for own in workers]
        whole = torch.cat(shown, 1)
        assert whole.all() or not whole.any()
        mixed.append(bool(whole.all()))

    assert 4 <= sum(mixed) <= 20


def test_the_masks_of_unlabelled_images_are_never_read(tmp_path):
    root = make(tmp_path / "shapes", train=12, val=1, test=1)
    dataset = open_dataset("shapes", root)
    split = make_split(dataset, DataConfig(family="random", labelled=4))
    for image_id in split.unlabelled:
        dataset.mask_file(image_id).unlink()

    assert Loader(dataset, split, TRAINING, 0, 1, True).batch(0).valid.any()


def test_a_method_without_unlabelled_images_gets_none(loader, dataset, split):
    nothing = Split(split.labelled, ())
    batch = Loader(dataset, nothing, TRAINING, 0, 1, False).batch(2)

    assert torch.equal(batch.image, loader.batch(2).image)
    assert batch.weak.shape == (0, 3, 40, 40)
    assert batch.strong.shape == (1, 0, 3, 40, 40)
    assert batch.cutmix.shape == (1, 0, 40, 40)
    assert batch.valid.shape == (0, 40, 40)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_prefetched_batches_are_those_of_a_plain_loop(loader):
    """Takes a second or two: it starts processes."""
    torch.manual_seed(0)
    state = torch.get_rng_state()
    plain = list(loader.batches(1, 5))
    one = list(loader.batches(1, 5, workers=1))
    fetched = list(loader.batches(1, 5, workers=2))

    assert len(plain) == len(one) == len(fetched) == 4
    assert all(equal(a, b) for a, b in zip(plain, one, strict=True))
    assert all(equal(a, b) for a, b in zip(plain, fetched, strict=True))
    assert isinstance(fetched[0], Batch)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("preset", [TRAINING.augmentation, CSS, CPS, U2PL, NOTHING])
@pytest.mark.parametrize(("crop", "step"), [(40, 2), (63, 5), (8, 0)])
def test_a_batch_that_a_gpu_finishes_is_the_batch_of_the_cpu(dataset, split, preset, crop, step):
    training = replace(TRAINING, {"crop_pixels": crop, "augmentation": preset})
    own = Loader(dataset, split, training, 0, 2, True)
    found, expected = on_device(own.cropped(step), CPU), own.batch(step)

    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    for name, one, other in zip(Batch._fields, found, expected, strict=True):
        assert one.shape == other.shape, name
        assert one.dtype == other.dtype, name
        if not one.is_floating_point():
            assert torch.equal(one, other), name
        elif name == "strong" or (name == "image" and preset.labelled_colours):
            levels = ((one - other) * deviation * 255).abs()
            assert levels.max() < 1.01, name
            assert (levels > 0.01).float().mean() < 2e-3, name
        else:
            assert torch.allclose(one, other, rtol=0, atol=2e-6), name
    assert found.image.is_contiguous(memory_format=torch.channels_last)


def test_what_crosses_to_a_gpu_are_bytes_without_strong_views(loader):
    raw, cropped = loader.raw(2), loader.cropped(2)
    tensors = (*cropped[:5], *cropped.strong_colours)

    assert sum(own.nbytes for own in raw) == loader.made_bytes()
    assert cropped.labelled_colours is None
    drawn = sum(own.nbytes for own in tensors) - loader.made_bytes(torch.device("cuda"))
    assert 0 < drawn < 4096
    for name in ("image", "label", "weak", "valid"):
        assert torch.equal(getattr(cropped, name), getattr(raw, name))


def all_tensors(batch: CroppedBatch) -> list[torch.Tensor]:
    changes = (batch.strong_colours, batch.labelled_colours or ())
    return [*batch[:5], *changes[0], *changes[1]]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_input_workers_make_the_same_for_a_gpu(dataset, split):
    """Takes a second or two: it starts processes."""
    training = replace(TRAINING, {"augmentation": CSS})
    own = Loader(dataset, split, training, 0, 2, True)
    nowhere = torch.device("meta")  # not a CPU: it gets what a GPU gets
    plain = list(own.made(1, 4, 0, nowhere))
    for workers in (1, 2):
        fetched = list(own.made(1, 4, workers, nowhere))
        assert len(plain) == len(fetched) == 3
        for one, other in zip(plain, fetched, strict=True):
            assert isinstance(other, CroppedBatch)
            pairs = zip(all_tensors(one), all_tensors(other), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
    batches = list(own.batches(1, 4, 0, nowhere))

    assert [own.device.type for own in batches[0]] == ["meta"] * 6
    assert batches[2].strong.shape == (2, 8, 3, 40, 40)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such memory")
def test_input_workers_decode_an_image_once_for_all_that_come_later(root, split):
    dataset = open_dataset("shapes", root)
    own = Loader(dataset, split, TRAINING, 0, 2, True)
    first = list(own.batches(0, 4, workers=2))
    shared = shared_pixels(dataset)
    assert shared is not None
    filled = shared.used_bytes
    shown = {item.image_id for step in range(4) for item in own.unlabelled_items(step)}
    assert all(shared.get(("image", image_id)) is not None for image_id in shown)
    second = list(own.batches(0, 4, workers=1))

    assert all(equal(a, b) for a, b in zip(first, second, strict=True))
    assert shared.used_bytes == filled


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_input_worker_that_is_killed_is_one_line(loader):
    class Killing(type(loader.dataset)):
        def decoded(self, image_id):
            if get_worker_info() is not None:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().decoded(image_id)

    own = copy.copy(loader)
    own.dataset = copy.copy(loader.dataset)
    own.dataset.__class__ = Killing
    with pytest.raises(RuntimeError, match=r"an input worker must live, got .*\(pid") as caught:
        list(own.batches(0, 2, workers=1))

    assert "\n" not in str(caught.value)
    assert "--data-workers" in str(caught.value)


def test_too_little_shared_memory_is_refused_before_any_process_starts(loader, monkeypatch):
    monkeypatch.setattr(loader_module, "free_shared_memory", lambda: loader.made_bytes() * 3)
    with pytest.raises(ConfigError, match=r"shared memory must hold .*data_workers=2.*--shm-size"):
        next(loader.batches(0, 2, workers=2))
    assert len(list(loader.batches(0, 2, workers=0))) == 2


def test_memory_is_flat_over_epochs(dataset, split):
    """Traced blocks of Python and numpy after the second and the sixth epoch."""
    small = replace(TRAINING, {"labelled_batch": 2, "unlabelled_batch": 10, "crop_pixels": 33})
    loader = Loader(dataset, split, small, 0, 2, True)
    epoch = small.steps_per_epoch(len(split.unlabelled))
    tracemalloc.start()
    try:
        held = []
        for first, last in ((0, 2), (2, 6)):
            for step in range(first * epoch, last * epoch):
                loader.batch(step)
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert epoch == 2
    assert held[1] - held[0] < 100_000, held


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_is_one_line_from_any_process(tmp_path, workers):
    root = make(tmp_path / "shapes", train=12, val=1, test=1)
    dataset = open_dataset("shapes", root)
    split = make_split(dataset, DataConfig(family="random", labelled=4))
    dataset.image_file(split.labelled[0]).write_bytes(b"no")
    loader = Loader(dataset, split, TRAINING, 0, 1, True)
    with pytest.raises(DataError, match="image must decode") as caught:
        list(loader.batches(0, 2, workers))

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "uses", "expected"),
    [
        (8, 8, True, [1, 2, 4]),
        (8, 8, False, [1, 2, 4, 8]),
        (6, 12, True, [1, 2, 3, 6]),
        (4, 6, True, [1]),
        (3, 5, True, [1]),
        (16, 16, True, [1, 2, 4, 8]),
    ],
)
def test_worker_counts_divide_batches_into_whole_pairs(labelled, unlabelled, uses, expected):
    training = replace(TRAINING, {"labelled_batch": labelled, "unlabelled_batch": unlabelled})

    assert worker_counts(training, uses) == expected


def test_a_number_of_workers_that_does_not_fit_is_refused_with_those_that_do(dataset, split):
    with pytest.raises(
        ConfigError, match=r"got workers=3, labelled_batch=4, unlabelled_batch=8; .*work: 1, 2, 4"
    ):
        Loader(dataset, split, TRAINING, 0, 2, True, rank=0, world=3)
    with pytest.raises(ConfigError, match=r"got workers=8, labelled_batch=4; .*: 1, 2, 4"):
        Loader(dataset, split, TRAINING, 0, 2, False, rank=0, world=8)


def test_too_few_unlabelled_images_are_refused(dataset, split):
    few = Split(split.labelled, split.unlabelled[:7])
    with pytest.raises(ConfigError, match="got unlabelled_batch=8, unlabelled images=7"):
        Loader(dataset, few, TRAINING, 0, 2, True)


def test_one_image_has_nothing_to_be_mixed_with(dataset, split):
    single = replace(TRAINING, {"unlabelled_batch": 1})
    with pytest.raises(ConfigError, match=r"got unlabelled_batch=1, augmentation\.cutmix=0\.5"):
        Loader(dataset, split, single, 0, 2, True)
    off = replace(single, {"augmentation.cutmix": 0.0})

    assert Loader(dataset, split, off, 0, 2, True).batch(0).weak.shape[0] == 1


def test_no_labelled_image_is_refused(dataset, split):
    with pytest.raises(ConfigError, match="labelled images=0"):
        Loader(dataset, Split((), split.unlabelled), TRAINING, 0, 2, True)


def test_data_sets_and_splits_need_no_torch():
    """Takes a second: it starts a process."""
    code = (
        "import sys, semisweep.data, semisweep.data.registry, semisweep.data.splits,"
        "semisweep.data.augmentation, semisweep.data.shapes;"
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
