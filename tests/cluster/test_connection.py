"""What a cluster must be for a sweep; nothing here starts Ray."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import pytest

from semisweep.cluster.connection import (
    LOOPBACK_SWITCH,
    MOST_DATA_WORKERS,
    WORKER_CPU,
    Connection,
    environment,
    fit_slots,
    spare_cores,
)
from semisweep.core.errors import ClusterError
from semisweep.study.request import Resources

CPUS = {"CPU": 8.0, "memory": 1e9}
GPUS = {"CPU": 16.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("have", "resources", "slots"),
    [
        (CPUS, Resources(), 8),
        (CPUS, Resources(workers=3), 2),
        (CPUS, Resources(slots=3), 3),
        (CPUS, Resources(slots=4, workers=2), 4),
        (GPUS, Resources(), 4),
        (GPUS, Resources(workers=2), 2),
        ({"CPU": 1.0}, Resources(), 1),
    ],
)
def test_as_many_slots_run_as_fit_or_as_are_asked_for(
    have: Mapping[str, float], resources: Resources, slots: int
) -> None:
    found, worker = fit_slots([have], resources)

    assert found == slots
    for kind, share in worker.items():
        assert share * resources.workers * slots <= have[kind]
    assert ("GPU" in worker) == ("GPU" in have)


def test_workers_leave_room_for_the_actors_of_as_many_slots() -> None:
    from semisweep.cluster.connection import SLOT_CPU

    for cores in (1, 2, 64):
        slots, worker = fit_slots([{"CPU": float(cores)}], Resources())
        assert slots * (worker["CPU"] + SLOT_CPU) <= cores


@pytest.mark.parametrize(
    ("node", "resources", "expected"),
    [
        (CPUS, Resources(), 0),
        (GPUS, Resources(), 3),  # 16 cores for four workers, one of each launches kernels
        (GPUS, Resources(slots=1), 15),
        (GPUS, Resources(gpus=0.25), 1),  # at least one
        ({"CPU": 64.0, "GPU": 1.0}, Resources(), MOST_DATA_WORKERS),
    ],
)
def test_on_gpus_the_cores_of_a_worker_make_its_batches(
    node: Mapping[str, float], resources: Resources, expected: int
) -> None:
    slots, worker = fit_slots([node], resources)
    assert spare_cores([node], worker, slots * resources.workers) == expected


def test_fractions_of_gpus_let_workers_share_one_as_long_as_there_are_cpus() -> None:
    assert fit_slots([GPUS], Resources(gpus=0.25)) == (16, {"CPU": WORKER_CPU, "GPU": 0.25})
    assert fit_slots([GPUS], Resources(gpus=1, workers=2))[0] == 2
    assert fit_slots([{"CPU": 3.0, "GPU": 1.0}], Resources(gpus=0.25))[0] == 3
    assert fit_slots([GPUS], Resources(gpus=2))[0] == 2
    assert fit_slots([GPUS], Resources(gpus=0)) == (16, {"CPU": WORKER_CPU})


def test_a_worker_must_fit_one_node_and_a_slots_workers_may_be_on_several() -> None:
    halves = [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0}]

    assert fit_slots(halves, Resources(workers=2))[0] == 1
    assert fit_slots(halves, Resources(gpus=0.75))[0] == 2, "what is left over of each is lost"
    with pytest.raises(ClusterError, match="at most 0 slots"):
        fit_slots(halves, Resources(gpus=2))


@pytest.mark.parametrize(
    ("have", "resources", "message"),
    [
        ([CPUS], Resources(slots=9), r"nodes, 8 CPUs, got slots=9, workers=1; at most 8 slots"),
        ([CPUS], Resources(workers=9), r"8 CPUs, got slots=1, workers=9; at most 0 slots"),
        ([CPUS], Resources(slots=3, workers=3), r"got slots=3, workers=3; at most 2 slots"),
        ([CPUS, CPUS], Resources(slots=17), r"8 CPUs \+ 8 CPUs, got slots=17"),
        ([GPUS], Resources(slots=5), r"\(1 CPU, 1 GPU\) .* 16 CPUs and 4 GPUs, got slots=5"),
        ([CPUS], Resources(gpus=0.5), r"\(1 CPU, 0.5 GPU\) .*8 CPUs and 0 GPUs.*at most 0 slots"),
        ([GPUS], Resources(gpus=1.5), r"a fraction of one, or a whole number, got gpus=1.5"),
        (
            [GPUS],
            Resources(gpus=0.5, workers=2),
            r"must have a GPU each, got workers=2, gpus=0.5; take --gpus 1, or --workers 1",
        ),
        ([], Resources(), r"no node"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_can(
    have: list[Mapping[str, float]], resources: Resources, message: str
) -> None:
    with pytest.raises(ClusterError, match=message):
        fit_slots(have, resources)


def test_an_connection_refuses_a_dead_address_before_it_starts_anything() -> None:
    with (
        Connection(Resources(address="127.0.0.1:1")) as connection,
        pytest.raises(ClusterError, match=r"address='127.0.0.1:1'"),
    ):
        connection.connect()

    assert connection.ray is None


def test_a_cluster_of_our_own_stays_on_loopback_and_the_user_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(LOOPBACK_SWITCH, raising=False)
    assert environment(None)[LOOPBACK_SWITCH] == "0"
    assert LOOPBACK_SWITCH not in environment("host:6379")
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    assert environment(None)["RAY_DEDUP_LOGS"] == "0"


def test_an_connection_gives_the_handler_of_termination_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Connection(Resources(address="nonsense")) as connection, pytest.raises(ClusterError):
        connection.connect()

    assert signal.getsignal(signal.SIGTERM) is before
