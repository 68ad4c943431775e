"""How many trials are out on a cluster that grows and shrinks; nothing here starts Ray."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from semisweep.cluster.elastic_slots import MOST_SLOTS, Room, names_wanted
from semisweep.cluster.job import Job
from semisweep.cluster.mailbox import SlotState, View
from semisweep.study.request import Resources


class Machines:
    """Stands for Ray: machines with CPUs that come and go, and what the dispatcher is told."""

    def __init__(self, *cpus: float) -> None:
        self.known = [
            {"NodeID": f"node-{index}", "Alive": True, "Resources": {"CPU": count}}
            for index, count in enumerate(cpus)
        ]
        self.told: list[str] = []
        self.lost = SimpleNamespace(remote=self.told.append)
        self.leave = SimpleNamespace(remote=lambda slot: self.told.append(f"leave {slot}"))
        self.let_go = SimpleNamespace(remote=lambda slot: self.told.append(f"let go {slot}"))
        self.drained: dict[str, int] = {}
        state = SimpleNamespace(get_draining_nodes=lambda: self.drained)
        self._private = SimpleNamespace(state=SimpleNamespace(state=state))

    def nodes(self) -> list[dict[str, Any]]:
        return self.known

    def lose(self, index: int) -> None:
        self.known[index]["Alive"] = False


def room_on(machines: Machines, resources: Resources, slots: int = 1, climbs: bool = False) -> Room:
    connection: Any = SimpleNamespace(
        resources=resources,
        ray=machines,
        dispatcher=machines,
        slots=slots,
        worker={"CPU": 0.99},
        climbs=climbs,
    )
    return Room(connection, names_wanted(connection, 100))


JOB = Job(key="k", trial={}, store="somewhere", data_root="")


def slot(node: str, job: bool = True) -> SlotState:
    return SlotState(job=JOB if job else None, processes=((node, 1),))


def view(slots: dict[str, SlotState]) -> View:
    return View({}, slots, [], "")


@pytest.mark.parametrize(
    ("resources", "cpus", "trials"),
    [
        (Resources(address="a:1"), (2, 2), 4),
        (Resources(address="a:1", workers=2), (3, 2), 2),
        (Resources(address="a:1", slots=3), (2, 2), 3),
        (Resources(address="a:1", slots=8), (2, 2), 4),
        (Resources(address="a:1", slots=8), (), 1),
    ],
)
def test_as_many_trials_are_out_as_fit_or_are_asked_for_and_one_always(
    resources: Resources, cpus: tuple[float, ...], trials: int
) -> None:
    room = room_on(Machines(*cpus), resources)
    room.follow(view({}))

    assert room.trials == trials
    assert not room.is_full(trials - 1)
    assert room.is_full(trials) == (trials != resources.slots)  # else Tune itself keeps count


def test_room_follows_machines_that_join_and_are_lost() -> None:
    machines = Machines(1, 1)
    room = room_on(machines, Resources(address="a:1"))
    seen = []
    for change in (lambda: None, lambda: machines.known.extend(Machines(4).known)):
        change()
        room.follow(view({}))
        seen.append(room.trials)
    machines.lose(0)
    room.follow(view({}))

    assert [*seen, room.trials] == [2, 6, 5]


def test_trials_of_lost_machines_are_taken_back_and_no_others() -> None:
    machines = Machines(1, 1)
    machines.lose(1)
    room = room_on(machines, Resources(address="a:1"))
    room.follow(view({"a": slot("node-0"), "b": slot("node-1"), "c": slot("node-1", job=False)}))

    assert machines.told == ["b"]


def test_a_slot_is_lost_with_any_of_its_machines() -> None:
    machines = Machines(1, 1)
    machines.lose(1)
    room = room_on(machines, Resources(address="a:1", workers=2))
    both = SlotState(job=JOB, processes=(("node-0", 1), ("node-1", 2)))
    room.follow(view({"a": both, "b": SlotState(job=JOB)}))

    assert machines.told == ["a"]


def test_a_machine_that_gives_notice_is_no_room_and_is_left_in_time() -> None:
    machines = Machines(1, 2)
    machines.drained = {"node-1": 0}
    room = room_on(machines, Resources(address="a:1"))
    room.follow(view({"a": slot("node-0"), "b": slot("node-1"), "c": slot("node-1", job=False)}))

    assert room.trials == 1
    assert machines.told == ["leave b", "let go c"]


def test_a_cluster_of_our_own_stays_as_it_is() -> None:
    machines = Machines(1)
    room = room_on(machines, Resources(), slots=7)
    machines.lose(0)
    room.follow(view({"a": slot("node-0")}))

    assert (room.trials, machines.told) == (7, [])


def test_a_sweep_has_names_for_the_slots_that_it_may_come_to_have() -> None:
    def wanted(resources: Resources, total: int) -> int:
        return names_wanted(room_on(Machines(2), resources, slots=2).connection, total)

    assert wanted(Resources(), 100) == 2
    assert wanted(Resources(address="a:1"), 100) == 100
    assert wanted(Resources(address="a:1"), 10_000) == MOST_SLOTS
    assert wanted(Resources(address="a:1", slots=4), 100) == 4
    assert wanted(Resources(address="a:1", slots=4), 0) == 1


def test_on_a_gpu_that_trials_share_one_begins_and_others_are_added() -> None:
    room = room_on(Machines(2), Resources(), slots=4, climbs=True)
    assert (room.trials, room.is_full(0), room.is_full(1)) == (1, False, True)
    assert room.climb is not None
    assert room.climb.most == 4

    room.climb.limit = 3
    assert room.follow(view({"a": slot("node-0", job=False)})) == ""
    assert (room.trials, room.is_full(2), room.is_full(3)) == (3, False, True)


def test_trials_that_share_a_gpu_must_fit_the_machines_too() -> None:
    machines = Machines(2, 2)
    room = room_on(machines, Resources(address="a:1"), slots=4, climbs=True)
    assert room.climb is not None
    room.climb.limit = 4
    room.follow(view({}))
    assert room.trials == 4

    machines.lose(1)
    room.follow(view({}))
    assert room.trials == 2
    assert room_on(machines, Resources(), slots=1, climbs=True).climb is None
