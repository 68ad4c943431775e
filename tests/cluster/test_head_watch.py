"""The watch over processes of Ray, which here are sockets."""

import errno
import logging
import socket
import threading

import pytest

from semisweep.cluster import head_watch
from semisweep.cluster.head_watch import ANSWERS, REFUSES, HeadWatch, head, own, state


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(head_watch, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(head_watch, "patience", lambda: 10)


def listening():
    server = socket.create_server(("127.0.0.1", 0))
    return server, f"127.0.0.1:{server.getsockname()[1]}"


MADE = []


@pytest.fixture(autouse=True)
def stopped():
    """Let no watch of a test hear what is logged in the next one."""
    yield
    while MADE:
        MADE.pop().stop()


def watched(*processes, **options):
    """Start a head watch; return it and what it ended the process with, once it has."""
    codes, ended = [], threading.Event()
    made = HeadWatch(processes, end=lambda code: (codes.append(code), ended.set()), **options)
    made.start()
    MADE.append(made)
    return made, codes, ended


def test_a_head_that_is_lost_ends_the_process_with_one_line(quick, capsys):
    server, address = listening()
    _, codes, ended = watched(head(address))
    assert not ended.wait(0.5)
    server.close()

    assert ended.wait(30)
    assert codes == [1]
    assert capsys.readouterr().err.count("\n") == 1


def test_what_a_signal_ends_with_the_sweep_is_no_loss(quick, capsys):
    server, address = listening()
    _, codes, ended = watched(own("raylet", address), is_interrupted=lambda: True)
    server.close()

    assert ended.wait(30)
    assert codes == [130]
    assert capsys.readouterr().err.startswith("interrupted; what is finished is kept. To go on: ")


def test_a_head_that_comes_back_in_time_is_not_lost(quick, monkeypatch):
    monkeypatch.setattr(head_watch, "patience", lambda: 10**6)
    server, address = listening()
    made, codes, _ = watched(head(address))
    server.close()
    while state(address) == ANSWERS:
        pass
    back = socket.create_server(("127.0.0.1", int(address.split(":")[1])))
    monkeypatch.setattr(head_watch, "patience", lambda: 10)
    for _ in range(30):
        assert state(address) == ANSWERS
    made.stop()
    back.close()

    assert not codes


def test_it_gives_up_before_ray_does(monkeypatch):
    monkeypatch.delenv(head_watch.PATIENCE_OF_RAY, raising=False)
    assert head_watch.patience() * head_watch.BEAT_SECONDS == 36
    monkeypatch.setenv(head_watch.PATIENCE_OF_RAY, "10")
    assert head_watch.patience() * head_watch.BEAT_SECONDS == 6


def test_what_is_this_machines_own_failing_says_nothing_of_the_head(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "create_connection", full)
    assert state("127.0.0.1:1") == ANSWERS


def test_nothing_is_said_after_the_sweep(quick, capsys):
    server, address = listening()
    made, codes, ended = watched(head(address))
    made.stop()
    server.close()

    assert not ended.wait(0.6)
    assert not codes
    assert not capsys.readouterr().err


def test_a_process_of_our_own_is_lost_when_it_refuses_and_not_while_it_is_slow(quick, capsys):
    server, address = listening()
    _, codes, ended = watched(own("raylet", address))
    assert not ended.wait(0.3)
    server.close()

    assert ended.wait(30)
    assert codes == [1]
    said = capsys.readouterr().err
    assert said.startswith("error: Ray's raylet, which this sweep has started, must answer")
    assert said.endswith("nothing finished is lost: run the same command\n")


def test_what_cannot_be_reached_from_the_outset_is_not_watched(quick):
    server, address = listening()
    server.close()
    assert state(address) == REFUSES
    made, codes, ended = watched(own("raylet", address))
    assert not ended.wait(0.5)
    made.stop()

    assert not codes


def test_an_error_that_ray_logs_is_an_occasion_to_ask_before_anything_comes_of_it(monkeypatch):
    monkeypatch.setattr(head_watch, "BEAT_SECONDS", 60)
    server, address = listening()
    made, codes, _ = watched(own("raylet", address))
    log = logging.getLogger("ray.tune.somewhere")
    log.error("a trial has failed")
    assert not codes, "it is none of Ray's"
    server.close()
    log.warning("something is odd")
    assert not codes
    log.error("an actor has died")
    assert codes == [1]
    made.stop()
    log.error("whatever")
    assert codes == [1]


def test_a_machine_that_the_cluster_has_given_up_is_lost_though_it_answers(monkeypatch):
    monkeypatch.setattr(head_watch, "BEAT_SECONDS", 60)
    monkeypatch.setattr(head_watch, "LAST_WORDS", (0.0,))
    here = [True]
    server, address = listening()
    made, codes, _ = watched(head(address), is_here=lambda: here[0])
    made.confirm()
    assert not codes
    here[0] = False
    made.confirm()
    assert codes == [1]
    made.stop()
    server.close()


def test_an_error_of_the_watch_itself_ends_the_process_with_its_traceback(quick, capsys):
    def broken(code):
        codes.append(code)
        ended.set()

    codes, ended = [], threading.Event()
    server, address = listening()
    made = HeadWatch([own("raylet", address)], end=broken)
    made.watched = [None]
    made.start()

    assert ended.wait(30)
    assert codes == [1]
    assert "AttributeError" in capsys.readouterr().err
    server.close()
