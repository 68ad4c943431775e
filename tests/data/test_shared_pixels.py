"""Decoded pixels in shared memory: found by every forked process, bounded, never torn."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semisweep.data import shared_pixels as module
from semisweep.data.reading import PixelCache
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.data.shared_pixels import SharedPixels, available_memory, shared_pixels

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no such memory"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
NAMES = [("image", str(number)) for number in range(40)]
FORK = multiprocessing.get_context("fork")


def pixels(number: int) -> np.ndarray:
    draws = np.random.default_rng(number)
    return draws.integers(0, 256, (5 + number, 7, 3), dtype=np.uint8)


def in_a_fork(work) -> int:
    """Run it in a forked process; return how that ended."""
    process = FORK.Process(target=work)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def test_images_and_masks_come_back_as_they_were() -> None:
    cache = SharedPixels([*NAMES, ("mask", "1")], 10_000)
    assert cache.get(("image", "3")) is None
    cache.put(("image", "3"), Image.fromarray(pixels(3)))
    cache.put(("mask", "1"), pixels(1)[..., 0])
    cache.put(("image", "unknown"), pixels(2))

    found, mask = cache.get(("image", "3")), cache.get(("mask", "1"))
    assert (found == pixels(3)).all()
    assert (mask == pixels(1)[..., 0]).all()
    assert cache.get(("image", "unknown")) is None
    assert cache.get(("image", "1")) is None
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


def test_what_one_process_has_put_another_gets() -> None:
    cache = SharedPixels(NAMES, 100_000)
    assert in_a_fork(lambda: cache.put(NAMES[3], pixels(3))) == 0

    assert (cache.get(NAMES[3]) == pixels(3)).all()


def test_processes_that_put_the_same_at_once_tear_nothing() -> None:
    cache = SharedPixels(NAMES, 200_000)

    def work() -> None:
        for turn in range(30):
            for number in np.random.default_rng(os.getpid() + turn).permutation(40).tolist():
                found = cache.get(NAMES[number])
                if found is None:
                    cache.put(NAMES[number], pixels(number))
                elif not (found == pixels(number)).all():
                    os._exit(3)

    processes = [FORK.Process(target=work) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert all((cache.get(NAMES[number]) == pixels(number)).all() for number in range(40))


def test_memory_is_bounded_and_what_does_not_fit_is_not_held() -> None:
    one = pixels(0).nbytes
    cache = SharedPixels(NAMES, 3 * (one + 40))
    before = cache.used_bytes
    for name in NAMES:
        cache.put(name, pixels(0))

    assert [cache.get(name) is not None for name in NAMES[:5]] == [True, True, True, False, False]
    assert one * 3 <= cache.used_bytes - before <= 3 * (one + 40)
    cache.put(NAMES[0], pixels(9))
    assert (cache.get(NAMES[0]) == pixels(0)).all()


def test_a_process_that_is_killed_with_the_lock_holds_up_nobody() -> None:
    cache = SharedPixels(NAMES, 10_000)

    def work() -> None:
        with cache._locked():
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_fork(work) == -signal.SIGKILL
    cache.put(NAMES[0], pixels(0))
    assert (cache.get(NAMES[0]) == pixels(0)).all()


def test_it_travels_as_an_empty_cache_and_closes_its_file() -> None:
    cache = SharedPixels(NAMES, 10_000)
    cache.put(NAMES[0], pixels(0))
    file, held = cache._file, cache.get(NAMES[0])
    other = pickle.loads(pickle.dumps(cache))
    assert isinstance(other, PixelCache)
    assert other.get(NAMES[0]) is None
    del cache

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
    assert (held == pixels(0)).all()


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=6, val=1, test=1)


def test_a_data_set_has_one_as_long_as_it_lives(root, monkeypatch) -> None:
    monkeypatch.setattr(module, "available_memory", lambda: 16 * module.SMALLEST_BYTES)
    dataset = open_dataset("shapes", root)
    cache = shared_pixels(dataset)
    assert cache is not None
    assert shared_pixels(dataset) is cache
    assert shared_pixels(open_dataset("shapes", root)) is not cache
    image_id = dataset.part("train")[0]
    wanted, mask = dataset.image(image_id), dataset.mask(image_id)
    dataset.keep_decoded(cache)
    for _ in range(2):
        assert (dataset.image(image_id) == wanted).all()
        assert (dataset.mask(image_id) == mask).all()
    assert isinstance(dataset.decoded(image_id), np.ndarray)
    dataset.image(image_id)[:] = 0
    assert (dataset.image(image_id) == wanted).all()


def test_there_is_none_where_memory_is_short(root, monkeypatch) -> None:
    monkeypatch.setattr(module, "available_memory", lambda: 16 * module.SMALLEST_BYTES - 16)

    assert shared_pixels(open_dataset("shapes", root)) is None


def test_the_smallest_limit_of_the_control_groups_counts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "MEMINFO", tmp_path / "meminfo")
    assert available_memory() == 0
    (tmp_path / "meminfo").write_text("MemTotal: 999 kB\nMemAvailable:  300 kB\n")
    monkeypatch.setattr(module, "OWN_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(module, "CGROUPS", tmp_path)
    assert available_memory() == 300 * 1024
    (tmp_path / "cgroup").write_text("0::/job/step\n")
    (tmp_path / "job" / "step").mkdir(parents=True)
    (tmp_path / "job" / "step" / "memory.max").write_text("max\n")
    (tmp_path / "job" / "memory.max").write_text("5000\n")
    assert available_memory() == 5000
    (tmp_path / "memory" / "old").mkdir(parents=True)
    (tmp_path / "memory" / "old" / "memory.limit_in_bytes").write_text("4000\n")
    (tmp_path / "cgroup").write_text("0::/job/step\n7:memory:/old\n3:cpu:/old\n")
    assert available_memory() == 4000
