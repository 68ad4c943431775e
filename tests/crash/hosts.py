"""Hosts of a cluster on one machine: network namespaces joined by a bridge, Ray on each.

Everything is in namespaces of its own: no process of theirs can be reached from elsewhere, nor
reaches anything but the others. Making namespaces takes root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil  # type: ignore[import-untyped]

PORT = 6379
STARTED = "Ray runtime started."
TIMES = {  # of Ray, so that what is lost is missed within seconds
    "RAY_health_check_initial_delay_ms": "2000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
}


def may_make_namespaces() -> bool:
    """Return whether this process may make network namespaces."""
    name = f"semisweep-{os.getpid()}-try"
    ip = shutil.which("ip")
    if ip is None or subprocess.run([ip, "netns", "add", name], capture_output=True).returncode:
        return False
    subprocess.run([ip, "netns", "delete", name], check=True)
    return True


class Hosts:
    """Hosts 1, 2, 3, ... with addresses 10.84.0.1, 10.84.0.2, ...; use as a context manager."""

    def __init__(self, count: int, variables: Mapping[str, str]) -> None:
        self.count, self.variables = count, variables
        self.families: dict[int, list[psutil.Process]] = {}
        self.temporary = Path(tempfile.mkdtemp(prefix="ssh-", dir="/tmp"))  # short: sockets
        self.started = 0
        self._log = (self.temporary / "output").open("wb")

    def __enter__(self) -> Hosts:
        self._ip("netns", "add", self._name(0))
        self._inside(0, "link", "add", "bridge", "type", "bridge")
        self._inside(0, "link", "set", "bridge", "up")
        for host in range(1, self.count + 1):
            inner, outer = f"ss{os.getpid() % 100000}-{host}", f"port{host}"
            self._ip("netns", "add", self._name(host))
            self._inside(0, "link", "add", outer, "type", "veth", "peer", "name", inner)
            self._inside(0, "link", "set", inner, "netns", self._name(host))
            self._inside(0, "link", "set", outer, "master", "bridge", "up")
            self._inside(host, "address", "add", f"{self.address(host)}/24", "dev", inner)
            self._inside(host, "link", "set", inner, "up")
            self._inside(host, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for host in list(self.families):
            self.kill(host)
        for host in range(self.count + 1):
            self._ip("netns", "delete", self._name(host))
        self._log.close()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def address(self, host: int) -> str:
        """Return a host's address."""
        return f"10.84.0.{host}"

    def command(self, host: int, *command: str) -> list[str]:
        """Return a command as it runs on a host."""
        return ["ip", "netns", "exec", self._name(host), *command]

    def environment(self) -> dict[str, str]:
        """Return the variables of all that runs on hosts."""
        return {
            **os.environ,
            **TIMES,
            **self.variables,
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "5" * 64,  # of tests in namespaces that nobody else is in
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def start(self, host: int, cpus: int = 1, **variables: str) -> None:
        """Start Ray on a host: on host 1 the head, on others a node that joins it."""
        ray = str(Path(sys.executable).parent / "ray")
        options = [f"--node-ip-address={self.address(host)}", f"--num-cpus={cpus}", "--block"]
        if host == 1:
            options += ["--head", f"--port={PORT}", "--include-dashboard=false"]
            options += [f"--temp-dir={self.temporary}"]
        else:
            options += [f"--address={self.address(1)}:{PORT}"]
        process = subprocess.Popen(
            self.command(host, ray, "start", *options),
            env=self.environment() | variables,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.families[host] = [psutil.Process(process.pid)]
        self.started += 1
        until(lambda: self.output().count(STARTED) == self.started, 120, self.output)

    def processes(self, host: int) -> list[psutil.Process]:
        """Return the processes of Ray on a host, remembering those that there were."""
        known = self.families[host]
        for process in list(known):
            try:
                found = process.children(recursive=True)
            except psutil.NoSuchProcess:
                continue
            known += [child for child in found if child not in known]
        return known

    def has(self, host: int, process: int) -> bool:
        """Return whether a process id is, or was, one of Ray on a host."""
        return process in {known.pid for known in self.processes(host)}

    def kill(self, host: int) -> None:
        """End all processes of Ray on a host at once, as a loss of power does."""
        doomed = self.processes(host)
        for process in doomed:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(doomed, timeout=20)
        del self.families[host]

    def cut_off(self, host: int) -> None:
        """Take a host's cable out."""
        self._inside(0, "link", "set", f"port{host}", "down")

    def give_notice(self, host: int) -> None:
        """Tell Ray that a host will be taken away, as a cloud does of a spot machine."""
        script = (
            "import ray; ray.init(address='auto', log_to_driver=False); print(*(node['NodeID'] for "
            f"node in ray.nodes() if node['NodeManagerAddress'] == '{self.address(host)}'))"
        )
        address, tools = f"{self.address(1)}:{PORT}", Path(sys.executable).parent
        command = self.command(1, sys.executable, "-c", script.replace("auto", address))
        asked = {"env": self.environment(), "check": True, "capture_output": True, "text": True}
        node = subprocess.run(command, **asked).stdout.split()[-1]
        drain = ["drain-node", f"--address={address}", f"--node-id={node}"]
        drain += ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot"]
        drain += ["--deadline-remaining-seconds=600"]
        subprocess.run(self.command(1, str(tools / "ray"), *drain), **asked)

    def demands(self) -> str:
        """Return what the head's autoscaler last saw to be wanted and not there."""
        logs = self.temporary.glob("session_2*/logs/monitor.log")
        text = "".join(path.read_text() for path in logs)
        return text.rpartition("Pending Demands:")[2]

    def output(self) -> str:
        """Return what Ray's starters said."""
        return (self.temporary / "output").read_text(errors="replace")

    def _name(self, host: int) -> str:
        return f"semisweep-{os.getpid()}-{host}"

    def _inside(self, host: int, *arguments: str) -> None:
        self._ip("-n", self._name(host), *arguments)

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


def until(true: Callable[[], bool], seconds: float, said: Callable[[], str]) -> None:
    """Wait until something is true; what was said explains why it does not come true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(said())
        time.sleep(0.1)
