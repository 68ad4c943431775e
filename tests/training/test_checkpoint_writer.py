"""Checkpoints beside training: copies, one at a time, how often, and errors."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from states import different

from semisweep.core.errors import StoreError
from semisweep.store.checkpoint_file import Content
from semisweep.training import checkpoint_writer as module
from semisweep.training.checkpoint_writer import CheckpointWriter, copied


class Place:
    """Takes checkpoints, each when it is let."""

    def __init__(self) -> None:
        self.let, self.begun = threading.Event(), threading.Event()
        self.written: list[tuple[int, dict[str, Any]]] = []
        self.error: Exception | None = None

    def write(self, step: int, content: Content) -> None:
        self.begun.set()
        assert self.let.wait(60)
        if self.error is not None:
            raise self.error
        file = io.BytesIO()
        assert callable(content)
        content(file)
        file.seek(0)
        self.written.append((step, torch.load(file, weights_only=True)))


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.let.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Return the seconds that the writer's clock shows, which a test may change."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    yield now
    monkeypatch.undo()


def test_a_checkpoint_is_of_the_step_at_which_it_was_asked_for(place: Place) -> None:
    weight, rates = torch.ones(3), [{"lr": 0.5, "params": [0]}]
    with CheckpointWriter(place.write) as writer:
        writer.write(4, {"method": {"weight": weight}, "groups": rates, "step": 4})
        assert place.begun.wait(60), "the thread has begun, and training goes on"
        weight += 1
        rates[0]["lr"] = 0.25
        assert place.written == []
        place.let.set()
        writer.wait()

    ((step, found),) = place.written
    assert step == 4
    expected = {"method": {"weight": torch.ones(3)}, "step": 4}
    assert not different(found, expected | {"groups": [{"lr": 0.5, "params": [0]}]})


def test_a_copy_keeps_layouts_and_what_is_one() -> None:
    image = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tied = torch.rand(4)
    state = {
        "image": image,
        "tied": [tied, tied.detach()],
        "part": tied[:2],
        "empty": [torch.empty(0), torch.empty(0, 2)],
        "plain": (1, None, "text", {"a": 2.5}),
    }
    copy, arrived = copied(state)
    arrived()

    assert not different(state, copy)
    assert copy["image"].stride() == image.stride()
    assert copy["tied"][0] is copy["tied"][1]
    assert copy["tied"][0].data_ptr() != tied.data_ptr()
    assert copy["part"].untyped_storage().nbytes() == 8
    assert [own.shape for own in copy["empty"]] == [(0,), (0, 2)]
    assert isinstance(copy["plain"], tuple)


def test_tensors_that_require_gradients_are_copied_as_values() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    copy, _ = copied({"one": parameter})

    assert not copy["one"].requires_grad
    assert type(copy["one"]) is torch.Tensor


def test_one_checkpoint_is_written_at_a_time(place: Place) -> None:
    with CheckpointWriter(place.write) as writer:
        writer.write(1, {"step": 1})
        assert place.written == []
        threading.Timer(0.2, place.let.set).start()
        writer.write(2, {"step": 2})
        assert place.written[0][0] == 1, "it waited for the first"

    assert [step for step, _ in place.written] == [1, 2]


def test_the_end_of_the_block_waits_even_after_an_error(place: Place) -> None:
    def fail() -> None:
        with CheckpointWriter(place.write) as writer:
            writer.write(1, {"step": 1})
            threading.Timer(0.1, place.let.set).start()
            raise ValueError("training")

    with pytest.raises(ValueError, match="training"):
        fail()
    assert [step for step, _ in place.written] == [1]


def test_a_small_state_is_written_before_training_goes_on(place: Place) -> None:
    place.let.set()
    with CheckpointWriter(place.write) as writer:
        writer.write(1, {"step": 1})
        assert place.written == [(1, {"step": 1})]


def test_an_error_of_writing_a_small_state_is_raised_at_once(place: Place) -> None:
    place.error = StoreError("no space")
    place.let.set()
    with CheckpointWriter(place.write) as writer:
        with pytest.raises(StoreError, match="no space"):
            writer.write(1, {"step": 1})
        writer.wait()


@pytest.mark.parametrize("where", ["check", "wait", "write"])
def test_an_error_of_writing_is_raised_in_training_once(place: Place, where: str) -> None:
    place.error = StoreError("no space")
    with CheckpointWriter(place.write) as writer:
        writer.write(1, {"step": 1})
        place.let.set()
        if where == "check":
            time.sleep(0.2)
        calls = {"check": writer.check, "wait": writer.wait, "write": lambda: writer.write(2, {})}
        with pytest.raises(StoreError, match="no space"):
            calls[where]()
        writer.check()
        writer.wait()
    assert place.written == []


def after(place: Place, writer: CheckpointWriter, clock: list[float], cost: float) -> None:
    """Have a checkpoint written that took so many seconds."""
    place.let.clear()
    place.begun.clear()
    writer.write(1, {"step": 1})
    assert place.begun.wait(60)
    clock[0] += cost
    place.let.set()
    writer.wait()


def test_an_evaluation_has_its_checkpoint_where_writing_is_cheap(
    place: Place, clock: list[float]
) -> None:
    writer = CheckpointWriter(place.write)

    assert writer.is_due(evaluated=True, is_last=False), "nothing is known yet"
    assert not writer.is_due(evaluated=False, is_last=False)
    after(place, writer, clock, 0.1)
    assert writer.is_due(evaluated=True, is_last=False)
    assert not writer.is_due(evaluated=False, is_last=False)


def test_expensive_checkpoints_are_as_rare_as_a_small_share_of_the_time_asks(
    place: Place, clock: list[float]
) -> None:
    writer = CheckpointWriter(place.write)
    after(place, writer, clock, 2.0)
    clock[0] += 90.0
    assert not writer.is_due(evaluated=True, is_last=False)
    clock[0] += 8.1

    assert writer.is_due(evaluated=True, is_last=False)
    assert not writer.is_due(evaluated=False, is_last=False)
    clock[0] += 500.0
    assert writer.is_due(evaluated=False, is_last=False), "however long an evaluation takes"


def test_a_last_checkpoint_must_save_some_seconds(place: Place, clock: list[float]) -> None:
    writer = CheckpointWriter(place.write)
    clock[0] += 4.9

    assert writer.is_due(evaluated=True, is_last=False)
    assert not writer.is_due(evaluated=True, is_last=True)
    clock[0] += 0.2
    assert writer.is_due(evaluated=True, is_last=True)


def test_none_is_due_while_one_is_written_until_it_takes_too_long(
    place: Place, clock: list[float]
) -> None:
    with CheckpointWriter(place.write, seconds=100.0) as writer:
        writer.write(1, {"step": 1})
        assert not writer.is_due(evaluated=True, is_last=False)
        clock[0] += 150.0
        assert not writer.is_due(evaluated=True, is_last=False)
        assert not writer.is_due(evaluated=False, is_last=False)
        clock[0] += 51.0
        assert writer.is_due(evaluated=False, is_last=False)
        place.let.set()
