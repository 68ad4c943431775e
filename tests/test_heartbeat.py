"""The watch over a cluster's head, which here is a socket."""

import socket
import threading

import pytest

from semisweep import heartbeat
from semisweep.heartbeat import Heartbeat, answers


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(heartbeat, "LOST_SECONDS", 0.2)


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
    monkeypatch.setattr(heartbeat, "LOST_SECONDS", 20.0)
    head, address = listening()
    made, codes, _ = watched(address)
    head.close()
    while answers(address):
        pass
    back = socket.create_server(("127.0.0.1", int(address.split(":")[1])))
    monkeypatch.setattr(heartbeat, "LOST_SECONDS", 0.2)
    while not answers(address):
        pass
    made.stop()
    back.close()

    assert not codes


def test_nothing_is_said_after_the_sweep(quick, capsys):
    head, address = listening()
    made, codes, ended = watched(address)
    made.stop()
    head.close()

    assert not ended.wait(0.6)
    assert not codes
    assert not capsys.readouterr().err
