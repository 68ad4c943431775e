"""Leases: one holder at a time, passed on when it gives no sign, whatever the clocks say."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from semisweep import Store
from semisweep.core.errors import ConfigError, LeaseError, StoreError
from semisweep.store import files, lease


class Hands(lease.Clock):
    """A clock that a test moves, and that moves by itself where somebody waits."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def place(any_place: str) -> files.Location:
    return Store.open(any_place, create=True).root / "right"


def stop_renewing(held: lease.Lease) -> None:
    """Let a holder be as one whose process hangs."""
    held._ended.set()
    held._thread.join()


def test_who_has_the_right_keeps_it_and_gives_it_back_at_once(place: files.Location) -> None:
    with lease.held(place, wait=False, seconds=0.6) as first:
        assert first is not None
        for _ in range(3):
            with lease.held(place, wait=False) as second:
                assert second is None
            lease.Clock().sleep(0.5)  # longer than it lives without being renewed
        first.confirm()
        assert lease.is_held(place)
    assert not lease.is_held(place)
    with lease.held(place, wait=False) as second:
        assert second is not None
        assert second.number == first.number + 1
    assert [name for name in files.below(place) if name.startswith("lease-")] == [second.path.name]


def test_a_right_ends_when_it_has_not_changed_for_its_time_to_live(tmp_path: Path) -> None:
    """As the one who waits measures it: from when it looked first."""
    clock = Hands()
    with lease.held(tmp_path, wait=True, seconds=50) as first:
        assert first is not None
        stop_renewing(first)
        for passed in (0, 30, 19):
            clock.time += passed
            with lease.held(tmp_path, wait=False, seconds=1, clock=clock) as second:
                assert second is None
        clock.time += 2
        with lease.held(tmp_path, wait=False, seconds=1, clock=clock) as second:
            assert second is not None
            assert second.number == 2
            with pytest.raises(LeaseError, match="which another one took over"):
                first.confirm()
            with pytest.raises(LeaseError):
                first.check()


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"[" * 100_000, b'{"released": false, "seconds": 1%s}' % (b"0" * 400)],
    ids=["empty", "a list", "nested", "too large"],
)
def test_a_lease_that_is_none_is_told_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lease-000001.json").write_bytes(content)

    with (
        pytest.raises(StoreError, match="a lease must be as it was written"),
        lease.held(tmp_path, wait=False),
    ):
        pass


def test_a_right_that_has_ended_stays_so_however_often_it_is_asked_for(
    place: files.Location,
) -> None:
    dead = lease.Lease(place, 1, 0.5, lease.Clock())
    assert dead.acquire()
    stop_renewing(dead)
    assert lease.is_held(place)
    lease.Clock().sleep(0.6)

    assert not lease.is_held(place)
    assert not lease.is_held(place)
    with lease.held(place, wait=False) as second:
        assert second is not None
        assert lease.is_held(place)


def test_a_sign_of_life_starts_the_time_to_live_again(tmp_path: Path) -> None:
    clock = Hands()
    with lease.held(tmp_path, wait=True, seconds=50) as first:
        assert first is not None
        stop_renewing(first)
        for _ in range(5):
            clock.time += 40
            first._write()
            with lease.held(tmp_path, wait=False, clock=clock) as second:
                assert second is None


def test_who_waits_gets_the_right_of_the_dead(tmp_path: Path) -> None:
    clock = Hands()
    first = lease.Lease(tmp_path, 7, 50, clock)
    assert first.acquire()
    stop_renewing(first)

    with lease.held(tmp_path, wait=True, clock=clock) as second:
        assert second is not None
        assert second.number == 8
        assert 1050 < clock.time < 1060


def test_numbers_only_grow(tmp_path: Path) -> None:
    """Else one that was long gone could fence off the one that trains."""
    with lease.held(tmp_path, wait=True, above=41) as first:
        assert first is not None
        assert first.number == 42
    with lease.held(tmp_path, wait=True) as second:
        late = lease.Lease(tmp_path, 42, 30, lease.Clock())  # which `second` has removed
        assert not late.acquire()
        assert second is not None
        second.confirm()


def test_a_right_that_was_lost_is_not_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Hands()
    with lease.held(tmp_path, wait=True, seconds=1) as first:
        assert first is not None
        stop_renewing(first)
        with lease.held(tmp_path, wait=True, clock=clock, seconds=5) as second:
            assert second is not None
            with pytest.raises(LeaseError):
                first.confirm()
            first.release()
            assert lease.is_held(tmp_path)
            second.confirm()


@pytest.mark.parametrize("text", ["0", "never", "nan", "1e9"])
def test_a_time_to_live_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SEMISWEEP_LEASE_SECONDS", text)

    with pytest.raises(ConfigError, match=f"SEMISWEEP_LEASE_SECONDS={text}"):
        lease.lease_seconds()


def test_a_damaged_lease_is_named(tmp_path: Path) -> None:
    (tmp_path / "lease-000001.json").write_text(json.dumps({"released": False}))

    with (
        pytest.raises(StoreError, match=r"lease-000001\.json; remove"),
        lease.held(tmp_path, wait=True),
    ):
        pass


def test_a_holder_that_cannot_renew_for_a_while_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "right"
    with caplog.at_level(logging.WARNING), lease.held(place, wait=True, seconds=0.3) as first:
        assert first is not None
        place.rename(tmp_path / "away")
        place.write_text("a file where a folder should be")
        lease.Clock().sleep(0.5)
        place.unlink()
        (tmp_path / "away").rename(place)
        lease.Clock().sleep(0.2)
        first.check()

    assert "tried again" in caplog.text


def test_an_error_that_ends_the_renewing_is_raised_where_the_right_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would end unseen, and another process take the trial over."""
    with lease.held(tmp_path, wait=False, seconds=0.1) as first:
        assert first is not None
        first.check()
        monkeypatch.setattr(first, "confirm", lambda: 1 / 0)
        assert first._thread is not None
        first._thread.join(10)
        with pytest.raises(ZeroDivisionError):
            first.check()


def test_a_holder_looks_who_has_the_right_once_its_time_has_passed(place: files.Location) -> None:
    """By its own clock; before that it need not look, and nobody can have taken over."""
    clock = Hands()
    held = lease.Lease(place, 1, 50, clock)
    assert held.acquire()
    stop_renewing(held)
    other = lease.Lease(place, 2, 50, clock)
    assert other.acquire()

    for passed in (0, 30, 20):  # 50 in all, and no more
        clock.time += passed
        held.check()
    clock.time += 0.1
    with pytest.raises(LeaseError, match="gave no sign for 50 s"):
        held.check()
    other.release()
    clock.time -= 50
    with pytest.raises(LeaseError):  # what is lost stays so, whatever the clock says
        held.check()


def test_a_right_that_nobody_took_over_stays_however_late_it_is(place: files.Location) -> None:
    """Time alone takes nothing away: a machine that slept goes on where nobody else has begun."""
    clock = Hands()
    held = lease.Lease(place, 1, 50, clock)
    assert held.acquire()
    stop_renewing(held)
    clock.time += 1000

    held.check()
    held.confirm()
