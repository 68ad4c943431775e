"""The watch over a cluster's head, which here is a socket."""

import errno
import socket
import threading

import pytest

from semisweep import heartbeat
from semisweep.heartbeat import Heartbeat, answers


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(heartbeat, "patience", lambda: 10)


def listening():
    head = socket.create_server(("127.0.0.1", 0))
    return head, f"127.0.0.1:{head.getsockname()[1]}"


def watched(address):
    """Start a heartbeat; return it and what it ended the process with, once it has."""
    codes, ended = [], threading.Event()
    made = Heartbeat(address, end=lambda code: (codes.append(code), ended.set()))
    made.start()
    return made, codes, ended


def test_a_head_that_is_lost_ends_the_process_with_one_line(quick, capsys):
    head, address = listening()
    _, codes, ended = watched(address)
    assert not ended.wait(0.5)
    head.close()

    assert ended.wait(30)
    assert codes == [1]
    assert capsys.readouterr().err.count("\n") == 1


def test_a_head_that_comes_back_in_time_is_not_lost(quick, monkeypatch):
    monkeypatch.setattr(heartbeat, "patience", lambda: 10**6)
    head, address = listening()
    made, codes, _ = watched(address)
    head.close()
    while answers(address):
        pass
    back = socket.create_server(("127.0.0.1", int(address.split(":")[1])))
    monkeypatch.setattr(heartbeat, "patience", lambda: 10)
    for _ in range(30):
        assert answers(address)
    made.stop()
    back.close()

    assert not codes


def test_it_gives_up_before_ray_does(monkeypatch):
    monkeypatch.delenv(heartbeat.PATIENCE_OF_RAY, raising=False)
    assert heartbeat.patience() * heartbeat.BEAT_SECONDS == 36
    monkeypatch.setenv(heartbeat.PATIENCE_OF_RAY, "10")
    assert heartbeat.patience() * heartbeat.BEAT_SECONDS == 6


def test_what_is_this_machines_own_failing_says_nothing_of_the_head(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "create_connection", full)
    assert answers("127.0.0.1:1")


def test_nothing_is_said_after_the_sweep(quick, capsys):
    head, address = listening()
    made, codes, ended = watched(address)
    made.stop()
    head.close()

    assert not ended.wait(0.6)
    assert not codes
    assert not capsys.readouterr().err
