"""Sweeps on several hosts, of which some are lost, cut off, late or started again.

Each host is a network namespace with an address of its own, and all share the files, as machines
with a shared file system do. The final table is to be that of an undisturbed sweep.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import driving
import hosts as hosts_module
import pytest
from driving import Driver
from hosts import PORT, Hosts
from undisturbed import train_undisturbed

from semisweep import Store, export
from semisweep.data.shapes import make

HERE = Path(__file__).parent.parent
PATIENCE = 400  # seconds; on an idle machine each wait is a tenth of it
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not hosts_module.may_make_namespaces(), reason="network namespaces take root and iproute2"
    ),
]


class Place:
    """A folder that all hosts see: data, store, ledger, and the steps that trials take."""

    def __init__(self, root: Path) -> None:
        self.root, self.ledger, self.steps = root, root / "ledger", root / "steps"
        self.data = make(root / "data" / "shapes", train=24, val=4, test=4, size=32)
        self.ledger.touch()
        self.steps.mkdir()
        self.hold = self.steps / "hold"
        path = f"{HERE / 'crash'}:{HERE / 'benchmarks'}"
        self.variables = {
            "PYTHONPATH": path,
            "SEMISWEEP_LEDGER": str(self.ledger),
            "STEPS": str(self.steps),
            "STEP_SECONDS": "0.05",
        }

    def drive(self, hosts: Hosts, study: str, *options: str) -> Driver:
        """Start `semisweep run` on host 1."""
        arguments = ["run", f"cluster_studies:{study}", "--store", str(self.root / "store")]
        arguments += ["--data", f"shapes={self.data}", "--address", f"{hosts.address(1)}:{PORT}"]
        command = hosts.command(1, *driving.command(*arguments, *options))
        return Driver(command, self.root, hosts.environment())

    def training_on(self, hosts: Hosts, host: int) -> bool:
        """Return whether a host is in mid-training, a checkpoint of it written."""
        lines = driving.read_ledger(self.ledger)
        ended = {line.key for line in lines if line.event == "finished"}
        begun = (line for line in lines if line.event == "training" and line.key not in ended)
        return any(
            (self.root / "store" / "trials" / line.key / "history.jsonl").exists()
            and hosts.has(host, line.process)
            for line in begun
        )

    def moved(self, hosts: Hosts, source: int, target: int) -> bool:
        """Return whether a trial was trained on one host and then on another."""
        lines = [line for line in driving.read_ledger(self.ledger) if line.event == "training"]
        there = {line.key for line in lines if hosts.has(source, line.process)}
        return any(line.key in there and hosts.has(target, line.process) for line in lines)

    def finished(self) -> Counter[str]:
        """Return how often each trial was brought to its end."""
        lines = driving.read_ledger(self.ledger)
        return Counter(line.key for line in lines if line.event == "finished")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place(tmp_path)
    monkeypatch.setenv("STEPS", str(tmp_path / "quiet"))
    (tmp_path / "quiet").mkdir()
    yield made
    shutil.rmtree(tmp_path, ignore_errors=True)


def check_undisturbed(place: Place, driver: Driver, name: str) -> None:
    """Check that a sweep has the results and the table of one that nothing happened to."""
    store, trials = train_undisturbed(
        f"cluster_studies:{name}", place.root / "undisturbed", place.data
    )
    found = Store.open(place.root / "store")
    assert driver.process.returncode == 0, driver.errors
    assert found.finished() == set(trials)
    assert not found.failures()
    assert export(found) == export(store)
    assert f"({len(trials)})" in driver.output  # the table's cell, of so many trials
    assert place.finished() == Counter(list(trials))


def repeated(place: Place) -> int:
    """Return how many steps were taken more than once."""
    traces = (Counter(path.read_text().split()) for path in place.steps.glob("[0-9]*"))
    return sum(count - 1 for trace in traces for count in trace.values())


def test_a_sweep_on_three_hosts_survives_the_loss_of_one(place: Place) -> None:
    with Hosts(3, place.variables) as hosts:
        for host in (1, 2, 3):
            hosts.start(host)
        place.hold.touch()
        driver = place.drive(hosts, "nine")
        driver.until(lambda: place.training_on(hosts, 3), PATIENCE)
        hosts.kill(3)
        place.hold.unlink()
        driver.wait(PATIENCE)

        check_undisturbed(place, driver, "nine")
    assert repeated(place) <= 4  # what one trial had done since its last checkpoint


@pytest.mark.cluster
def test_a_host_that_is_cut_off_is_done_without(place: Place) -> None:
    with Hosts(3, place.variables) as hosts:
        for host in (1, 2, 3):
            hosts.start(host)
        place.hold.touch()
        driver = place.drive(hosts, "twelve")
        driver.until(lambda: place.training_on(hosts, 2), PATIENCE)
        hosts.cut_off(2)
        place.hold.unlink()
        driver.wait(PATIENCE)

        check_undisturbed(place, driver, "twelve")


@pytest.mark.cluster
def test_hosts_that_join_late_are_used_and_a_sweep_can_begin_without_any(place: Place) -> None:
    """As with a cluster that an autoscaler makes grow from none, which hears what is wanted."""
    with Hosts(3, place.variables) as hosts:
        hosts.start(1, cpus=0)
        place.hold.touch()
        driver = place.drive(hosts, "twelve", "--slots", "2")
        driver.until(lambda: "{'CPU': 0.99}" in hosts.demands(), PATIENCE)
        hosts.start(2)
        driver.until(lambda: place.training_on(hosts, 2), PATIENCE)
        hosts.start(3)
        driver.until(lambda: place.training_on(hosts, 3), PATIENCE)
        place.hold.unlink()
        driver.wait(PATIENCE)

        check_undisturbed(place, driver, "twelve")


@pytest.mark.cluster
def test_a_sweep_grows_into_a_host_that_joins_where_nothing_was_said_of_slots(place: Place) -> None:
    with Hosts(2, place.variables) as hosts:
        hosts.start(1)
        place.hold.touch()
        driver = place.drive(hosts, "twelve")
        driver.until(lambda: place.training_on(hosts, 1), PATIENCE)
        hosts.start(2)
        driver.until(lambda: place.training_on(hosts, 2), PATIENCE)
        place.hold.unlink()
        driver.wait(PATIENCE)

        check_undisturbed(place, driver, "twelve")


@pytest.mark.cluster
def test_a_host_that_gives_notice_costs_no_step(place: Place) -> None:
    """The trial there writes a checkpoint, although it is in mid-epoch, and goes on elsewhere."""
    place.variables["STEP_SECONDS"] = "2"
    with Hosts(2, place.variables) as hosts:
        hosts.start(1)
        hosts.start(2)
        driver = place.drive(hosts, "three")
        driver.until(lambda: place.training_on(hosts, 2), PATIENCE)
        hosts.give_notice(2)
        driver.until(lambda: place.moved(hosts, 2, 1), PATIENCE)
        hosts.kill(2)
        driver.wait(PATIENCE)

        check_undisturbed(place, driver, "three")
    assert repeated(place) == 0


@pytest.mark.cluster
def test_a_lost_head_ends_the_sweep_with_one_line_and_the_same_command_goes_on(
    place: Place,
) -> None:
    with Hosts(2, place.variables) as hosts:
        hosts.start(1)
        hosts.start(2)
        place.hold.touch()
        first = place.drive(hosts, "nine")
        first.until(lambda: place.training_on(hosts, 2), PATIENCE)
        hosts.kill(1)
        place.hold.unlink()
        first.wait(PATIENCE)
        hosts.kill(2)

        assert first.process.returncode != 0
        hosts.start(1)
        hosts.start(2)
        again = place.drive(hosts, "nine")
        again.wait(PATIENCE)

        check_undisturbed(place, again, "nine")
    assert re.search(r"^error: the head of the cluster .* same command$", first.errors, re.M)


@pytest.mark.cluster
def test_each_host_has_its_own_data_and_one_with_other_images_is_refused_by_name(
    place: Place,
) -> None:
    make(place.root / "other" / "shapes", train=24, val=4, test=4, size=32, seed=1)
    shutil.copytree(place.root / "data", place.root / "copy")
    with Hosts(3, place.variables) as hosts:
        hosts.start(1, cpus=0)
        hosts.start(2, SEMISWEEP_NODE_DATA=str(place.root / "copy"))
        hosts.start(3, SEMISWEEP_NODE_DATA=str(place.root / "other"))
        refused = place.drive(hosts, "nine")
        assert refused.wait(PATIENCE) == 2
        last = refused.errors.strip().splitlines()[-1]
        assert "a machine must have the driver's images of 'shapes'" in last
        assert "(10.84.0.3)" in last
        assert "(10.84.0.2)" not in last

        hosts.kill(3)
        driver = place.drive(hosts, "nine", "--slots", "1")
        driver.wait(PATIENCE)
        check_undisturbed(place, driver, "nine")
