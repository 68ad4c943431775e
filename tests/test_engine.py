"""What a cluster must be for a sweep; nothing here starts Ray."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from semisweep.engine import (
    LOOPBACK_SWITCH,
    WORKER_CPU,
    Engine,
    check_address,
    environment,
    fit_slots,
)
from semisweep.errors import ClusterError
from semisweep.request import Resources

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
    from semisweep.engine import SLOT_CPU

    for cores in (1, 2, 64):
        slots, worker = fit_slots([{"CPU": float(cores)}], Resources())
        assert slots * (worker["CPU"] + SLOT_CPU) <= cores


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


@pytest.mark.parametrize("address", ["here", "host:", ":6379", "ray://host:port"])
def test_an_address_has_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ClusterError, match=r"host:port or auto, got address="):
        check_address(address)


def test_an_address_that_nobody_listens_at_is_refused_within_seconds() -> None:
    with socket.socket() as held:  # bound but not listening: nobody else can take the port
        held.bind(("127.0.0.1", 0))
        started = time.monotonic()
        with pytest.raises(ClusterError, match=r"must answer, got address=.*refused.*ray start"):
            check_address(f"ray://127.0.0.1:{held.getsockname()[1]}")

    assert time.monotonic() - started < 6


def answering(server: socket.socket, answer: bytes) -> threading.Thread:
    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_an_address_where_somebody_speaks_as_ray_does_is_taken() -> None:
    settings = b"\0\0\0" + b"\4" + b"\0" * 5  # an empty SETTINGS frame, first word of HTTP/2
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = answering(server, settings)
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    check_address("auto")


def test_an_address_where_something_else_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = answering(server, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ClusterError, match="something else than Ray listens there"):
            check_address(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def test_an_engine_refuses_a_dead_address_before_it_starts_anything() -> None:
    with (
        Engine(Resources(address="127.0.0.1:1")) as engine,
        pytest.raises(ClusterError, match=r"address='127.0.0.1:1'"),
    ):
        engine.connect()

    assert engine.ray is None


def test_a_cluster_of_our_own_stays_on_loopback_and_the_user_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(LOOPBACK_SWITCH, raising=False)
    assert environment(None)[LOOPBACK_SWITCH] == "0"
    assert LOOPBACK_SWITCH not in environment("host:6379")
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    assert environment(None)["RAY_DEDUP_LOGS"] == "0"


def test_a_running_cluster_is_shown_the_users_token_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "RAY_AUTH_MODE" not in environment("host:6379")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    assert environment("host:6379")["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_MODE" not in environment(None), "Ray does so itself"


def test_an_engine_gives_the_handler_of_termination_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Engine(Resources(address="nonsense")) as engine, pytest.raises(ClusterError):
        engine.connect()

    assert signal.getsignal(signal.SIGTERM) is before
