"""Memories by class against plain lists, and the best of a class over two real processes.

Run as a script, this file is one of the two workers.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch import distributed as group

from semisweep.training.distributed import from_all_workers
from semisweep.training.feature_memory import ClassMemory, best_of_class

CLASSES, WIDTH, CELLS = 4, 3, 20


def features(seed: int, *shape: int) -> Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=made)


def held(memory: ClassMemory) -> list[list[tuple[float, ...]]]:
    """Return each class's vectors as a sorted list."""
    filled = memory.filled()
    return [
        sorted(
            tuple(row.tolist())
            for row, there in zip(memory.rows[c], filled[c].tolist(), strict=True)
            if there
        )
        for c in range(len(filled))
    ]


@pytest.mark.parametrize("size", [1, 3, 5, 8])
def test_pushing_equals_a_queue_of_each_class(size: int) -> None:
    memory = ClassMemory(CLASSES, size, WIDTH)
    queues: list[deque[tuple[float, ...]]] = [deque(maxlen=size) for _ in range(CLASSES)]
    keys = min(size, 3)
    for step in range(7):
        new = features(step, CLASSES, keys, WIDTH)
        present = features(100 + step, CLASSES, keys) > 0
        present[3] = False  # one class is always absent
        memory.push(new, present)
        for c in range(CLASSES):
            for k in range(keys):
                if present[c, k]:
                    queues[c].append(tuple(new[c, k].tolist()))

        assert held(memory) == [sorted(queue) for queue in queues]
    assert int(memory.pushed[3]) == 0
    assert not memory.filled()[3].any()


def test_a_full_push_replaces_everything() -> None:
    memory = ClassMemory(2, 4, WIDTH)
    memory.push(features(0, 2, 3, WIDTH), torch.ones(2, 3, dtype=torch.bool))
    new = features(1, 2, 4, WIDTH)
    memory.push(new, torch.ones(2, 4, dtype=torch.bool))

    assert held(memory) == [sorted(tuple(row.tolist()) for row in rows) for rows in new]


def test_the_newest_place_follows_the_one_before() -> None:
    memory = ClassMemory(1, 3, 1)
    for value in range(5):
        memory.push(torch.full((1, 1, 1), float(value)), torch.ones(1, 1, dtype=torch.bool))

    assert memory.rows.flatten().tolist() == [3, 4, 2]
    assert memory.pushed.tolist() == [5]


def test_the_state_dict_holds_all_of_it_and_no_gradient_enters() -> None:
    memory = ClassMemory(2, 3, WIDTH)
    source = features(0, 2, 2, WIDTH).requires_grad_()
    memory.push(source * 2, torch.ones(2, 2, dtype=torch.bool))
    other = ClassMemory(2, 3, WIDTH)
    other.load_state_dict(memory.state_dict())

    assert not memory.rows.requires_grad
    assert held(other) == held(memory)
    assert torch.equal(other.pushed, memory.pushed)


def test_low_precision_vectors_are_kept_in_the_memorys_precision() -> None:
    memory = ClassMemory(1, 2, WIDTH)
    memory.push(features(0, 1, 2, WIDTH).bfloat16(), torch.ones(1, 2, dtype=torch.bool))

    assert memory.rows.dtype == torch.float32
    assert torch.equal(memory.rows, features(0, 1, 2, WIDTH).bfloat16().float())


# The best of a class


def the_cells() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return features, candidates (one class has none, one few), one priority, one a class."""
    feature = features(0, CELLS, WIDTH)
    candidates = features(1, CLASSES, CELLS) > 0
    candidates[2] = False
    candidates[3] = False
    candidates[3, [4, 15]] = True
    return feature, candidates, features(2, CELLS), features(3, CLASSES, CELLS)


def slow_best(count: int, by_class: bool) -> list[list[list[float]]]:
    feature, candidates, shared, own = the_cells()
    found = []
    for c in range(CLASSES):
        priority = own[c] if by_class else shared
        chosen = [m for m in range(CELLS) if candidates[c, m]]
        chosen.sort(key=lambda m, priority=priority: -float(priority[m]))
        found.append([feature[m].tolist() for m in chosen[:count]])
    return found


def as_lists(best: Tensor, present: Tensor) -> list[list[list[float]]]:
    assert all((row.int().diff() <= 0).all() for row in present), "present ones come first"
    return [rows[there].tolist() for rows, there in zip(best, present, strict=True)]


@pytest.mark.parametrize("by_class", [False, True])
@pytest.mark.parametrize("count", [1, 4, CELLS, CELLS + 5])
def test_the_best_of_a_class_equal_a_sorted_list(count: int, by_class: bool) -> None:
    feature, candidates, shared, own = the_cells()
    best, present = best_of_class(feature, candidates, own if by_class else shared, count)

    assert best.shape == (CLASSES, count, WIDTH)
    assert present.shape == (CLASSES, count)
    assert as_lists(best, present) == slow_best(count, by_class)


def test_the_best_of_a_class_carry_no_gradient() -> None:
    feature, candidates, shared, _ = the_cells()
    best, _ = best_of_class((feature.requires_grad_() * 2), candidates, shared, 3)

    assert not best.requires_grad


def test_one_worker_alone_gathers_its_own_value() -> None:
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    found = from_all_workers(value)

    assert found.tolist() == [[1.0, 2.0]]
    assert not found.requires_grad


# Two workers


def on_a_worker(rank: int) -> dict[str, Any]:
    share = slice(rank * CELLS // 2, (rank + 1) * CELLS // 2)
    feature, candidates, shared, own = the_cells()
    mine = (feature[share], candidates[:, share])
    found: dict[str, Any] = {}
    for count in (1, 4, CELLS, CELLS + 5):
        found[f"shared {count}"] = best_of_class(*mine, shared[share], count)
        found[f"own {count}"] = best_of_class(*mine, own[:, share], count)
    memory = ClassMemory(CLASSES, 6, WIDTH)
    for _ in range(2):
        memory.push(*best_of_class(*mine, shared[share], 4))
    found["memory"] = memory.state_dict()
    value = (torch.arange(6.0).view(2, 3) + 10 * rank).T.requires_grad_()  # not contiguous
    found["gathered"] = from_all_workers(value)
    found["flags"] = from_all_workers(torch.tensor([True, rank == 0]))
    found["scalar"] = from_all_workers(torch.tensor(rank + 1))
    return found


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = (folder / "store").as_uri()
    group.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.save(on_a_worker(rank), folder / f"{rank}.pt")
    group.destroy_process_group()


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("workers")
    command = [sys.executable, __file__, str(folder)]
    started = [
        subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("count", [1, 4, CELLS, CELLS + 5])
def test_two_workers_choose_what_one_would(workers: list[dict[str, Any]], count: int) -> None:
    for worker in workers:
        assert as_lists(*worker[f"shared {count}"]) == slow_best(count, by_class=False)
        assert as_lists(*worker[f"own {count}"]) == slow_best(count, by_class=True)


def test_memories_of_two_workers_are_those_of_one(workers: list[dict[str, Any]]) -> None:
    alone = ClassMemory(CLASSES, 6, WIDTH)
    feature, candidates, shared, _ = the_cells()
    for _ in range(2):
        alone.push(*best_of_class(feature, candidates, shared, 4))

    for worker in workers:
        assert torch.equal(worker["memory"]["pushed"], alone.pushed)
        other = ClassMemory(CLASSES, 6, WIDTH)
        other.load_state_dict(worker["memory"])
        assert held(other) == held(alone)


def test_values_are_gathered_in_the_order_of_ranks(workers: list[dict[str, Any]]) -> None:
    own = torch.arange(6.0).view(2, 3).T
    for worker in workers:
        assert torch.equal(worker["gathered"], torch.stack([own, own + 10]))
        assert not worker["gathered"].requires_grad
        assert worker["flags"].tolist() == [[True, True], [True, False]]
        assert worker["scalar"].tolist() == [1, 2]


if __name__ == "__main__":
    work(rank=int(sys.argv[2]), folder=Path(sys.argv[1]))
