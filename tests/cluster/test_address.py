"""Addresses of clusters: those of nothing, of something else, and of Ray with and without token."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import driving
import psutil  # type: ignore[import-untyped]
import pytest
from rush import HERE, prepare

from semisweep.cluster import address as addresses
from semisweep.cluster.address import AUTH_MODE, find, fitting_mode, is_refused
from semisweep.cluster.connection import LOOPBACK_SWITCH
from semisweep.core.errors import ClusterError

RAY = str(Path(sys.executable).parent / "ray")
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
SECONDS = 60  # in which a refusal is expected on a machine that is busy; it takes one or two
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("address", ["here", "host:", ":6379", "host:port"])
def test_an_address_has_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ClusterError, match=r"host:port or auto, got address="):
        find(address)


def test_the_address_of_ray_client_is_refused_with_those_that_can_be_used() -> None:
    """Ray Client runs Tune on the head, and a sweep's dispatcher is where its driver is."""
    with pytest.raises(ClusterError, match=r"got address='ray://host:10001'.*auto or the head's"):
        find("ray://host:10001")


def test_an_address_that_nobody_listens_at_is_refused_within_seconds() -> None:
    with socket.socket() as held:  # bound but not listening: nobody else can take the port
        held.bind(("127.0.0.1", 0))
        started = time.monotonic()
        with pytest.raises(ClusterError, match=r"must answer, got address=.*refused.*ray start"):
            find(f"127.0.0.1:{held.getsockname()[1]}")

    assert time.monotonic() - started < 6


def ended(fields: bytes) -> bytes:
    """Return what a gRPC server answers that ends a call with a block of header fields."""
    return SETTINGS + len(fields).to_bytes(3, "big") + b"\1\5\0\0\0\1" + fields


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Start a server that answers once; return its address."""
    servers: list[socket.socket] = []

    def serve(server: socket.socket, answer: bytes) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

    def start(answer: bytes) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        threading.Thread(target=serve, args=(server, answer), daemon=True).start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    for server in servers:
        server.close()


def test_a_head_that_answers_is_taken_at_its_word(answering: Callable[[bytes], str]) -> None:
    assert not is_refused(answering(ended(b"\x88\0\x0bgrpc-status\x010")))
    refusal = b"\0\x0bgrpc-status\x0216\0\x0cgrpc-message\x10InvalidAuthToken"
    assert is_refused(answering(ended(refusal)))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        SETTINGS,
        SETTINGS + b"\0\0\0",
        b"\0\0\5\4\0\0\0\0\0",
        ended(b"\0\x0bgrpc-status\x0212"),
    ],
    ids=["a web server", "a silent end", "an end", "half", "a lie", "another gRPC server"],
)
def test_where_something_else_listens_is_refused(
    answering: Callable[[bytes], str], answer: bytes
) -> None:
    with pytest.raises(ClusterError, match="something else than Ray listens there"):
        find(answering(answer))


def test_who_says_nothing_is_refused_after_a_while(
    answering: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "ADDRESS_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ClusterError, match="out"):
        find(f"127.0.0.1:{server.getsockname()[1]}")


def test_long_tokens_are_sent_whole() -> None:
    """By RFC 7541, C.1: a length of seven bits, of which 1337 takes three bytes."""
    assert addresses._text("x" * 126)[:2] == b"\x7ex"
    assert addresses._text("x" * 127)[:3] == b"\x7f\0x"
    assert addresses._text("x" * (1337 + 127 - 31))[:4] == b"\x7f\x9a\x0ax"


class Head(NamedTuple):
    """A running `ray start --head` of a user, and another user's folder for its files."""

    address: str
    folder: Path
    token: str

    @property
    def named(self) -> dict[str, str]:
        """Return the variable by which `auto` finds this one."""
        return {"RAY_TMPDIR": str(self.folder)}


class Machine:
    """A machine with two clusters: one wants a token, one does not."""

    def __init__(self, root: Path, ledger: Path) -> None:
        self.root, self.ledger = root, ledger

    def home(self, token: str) -> dict[str, str]:
        """Return the variables of a user who has a token, or none."""
        folder = self.root / f"home-{token[:1]}"
        (folder / ".ray").mkdir(parents=True, exist_ok=True)
        if token:
            (folder / ".ray" / "auth_token").write_text(token)
        return {"HOME": str(folder)}

    def variables(self, more: dict[str, str]) -> dict[str, str]:
        """Return the variables of a user, of which none is one of Ray but those in `more`."""
        known = driving.environment(HERE, self.ledger, OMP_NUM_THREADS="1")
        return {name: known[name] for name in known if not name.startswith("RAY_")} | more

    def start(self, token: str, folder: Path, ray: Sequence[str] = (RAY,)) -> Head:
        """Start a head as a user does, but that it listens on loopback only."""
        with ExitStack() as stack:
            held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
            port, client = (server.getsockname()[1] for server in held)
        more = {LOOPBACK_SWITCH: "0", "RAY_TMPDIR": str(folder), **self.home(token)}
        arguments = ["--head", "--num-cpus=2", f"--port={port}", "--include-dashboard=false"]
        arguments += [f"--ray-client-server-port={client}", "--disable-usage-stats"]
        started = subprocess.run(
            [*ray, "start", *arguments], env=self.variables(more), capture_output=True, text=True
        )
        assert started.returncode == 0, started.stdout + started.stderr
        return Head(f"127.0.0.1:{port}", folder, token)

    def run(self, address: str, more: dict[str, str]) -> Any:
        """Run a sweep of one trial in a new store; return how it ended."""
        store = tempfile.mkdtemp(dir=self.root)
        arguments = ["slot_studies:swift", "--seeds", "1", "--store", f"{store}/store"]
        arguments += ["--data", f"shapes={self.root}/shapes", "--address", address]
        started = time.monotonic()
        done = subprocess.run(
            driving.command("run", *arguments),
            cwd=self.root,
            env=self.variables(more),
            capture_output=True,
            text=True,
            timeout=200,
        )
        done.seconds = time.monotonic() - started  # type: ignore[attr-defined]
        return done


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Head, Head]]:
    root = tmp_path_factory.mktemp("address")
    machine = Machine(root, prepare(root))
    folders = [
        Path(tempfile.mkdtemp(prefix="ssa-", dir="/tmp")) for _ in range(2)
    ]  # short: sockets
    try:
        yield (machine, machine.start("7" * 64, folders[0]), machine.start("", folders[1]))
    finally:
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            if any(str(folder) in line for folder in folders):
                with suppress(psutil.Error):
                    process.kill()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.ray
@pytest.mark.parametrize(
    "form",
    ["127.0.0.1", *(pytest.param(name, marks=pytest.mark.slow) for name in ("localhost", "auto"))],
)
@pytest.mark.parametrize("has_token", [True, False], ids=["with token", "without"])
def test_a_cluster_of_this_machine_is_used_whether_it_has_a_token_or_not(
    heads: tuple[Machine, Head, Head], form: str, has_token: bool
) -> None:
    """The user has one in both cases: a cluster may be older than the token."""
    machine, secret, free = heads
    head = secret if has_token else free
    address = head.address.replace("127.0.0.1", form) if form != "auto" else form
    done = machine.run(address, {**machine.home(secret.token), **head.named})

    assert done.returncode == 0, done.stderr
    assert "[1/1] finished" in done.stderr
    assert "InvalidAuthToken" not in done.stderr


@pytest.mark.ray
@pytest.mark.parametrize(
    ("wants_token", "token", "more", "said"),
    [
        (True, "8" * 64, {}, "and another; set RAY_AUTH_TOKEN, or copy ~/.ray/auth_token"),
        (True, "", {}, "and no token; set RAY_AUTH_TOKEN, or copy ~/.ray/auth_token"),
        (True, "", {AUTH_MODE: "token"}, "and no token; set RAY_AUTH_TOKEN"),
        (True, "7" * 64, {AUTH_MODE: "disabled"}, "RAY_AUTH_MODE='disabled'; unset RAY_AUTH_MODE"),
        (True, "", {"RAY_AUTH_TOKEN_PATH": "/none"}, "a token must be readable: RAY_AUTH_TOKEN_PA"),
        (False, "7" * 64, {AUTH_MODE: "token"}, "which asks for none; unset RAY_AUTH_MODE"),
    ],
    ids=["another", "none", "none by choice", "disabled", "no file", "none wanted"],
)
def test_a_token_that_cannot_fit_is_one_line_within_seconds(
    heads: tuple[Machine, Head, Head],
    wants_token: bool,
    token: str,
    more: dict[str, str],
    said: str,
) -> None:
    machine, *both = heads
    head = both[0 if wants_token else 1]
    done = machine.run(head.address, {**machine.home(token), **more})

    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.seconds < SECONDS


@pytest.mark.ray
def test_auto_is_the_cluster_of_ray_start_or_the_only_one(
    heads: tuple[Machine, Head, Head], tmp_path: Path
) -> None:
    machine, *both = heads
    done = machine.run("auto", {**machine.home("7" * 64), "RAY_TMPDIR": str(tmp_path)})

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: one Ray cluster must run on this machine, got address='a")
    assert all(head.address in done.stderr for head in both)
    assert done.stderr.count("\n") == 1
    assert done.seconds < SECONDS


@pytest.mark.ray
def test_the_mode_that_fits_is_the_clusters(
    heads: tuple[Machine, Head, Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret, free = heads
    monkeypatch.delenv(AUTH_MODE, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", secret.token)
    assert fitting_mode(secret.address) == "token"
    assert fitting_mode(free.address) == "disabled"
    assert is_refused(secret.address)
    assert is_refused(secret.address, secret.token[:-1])
    assert not is_refused(secret.address, secret.token)


OTHER_VERSION = """
import sys
import ray
ray.__version__ = "2.0.0"
from ray.scripts.scripts import main
main()
"""


@pytest.mark.slow
@pytest.mark.ray
def test_a_cluster_of_another_version_is_one_line_with_both(
    heads: tuple[Machine, Head, Head],
) -> None:
    machine, _, free = heads
    folder = free.folder / "other"
    folder.mkdir()
    other = machine.start("", folder, [sys.executable, "-c", OTHER_VERSION])
    done = machine.run(other.address, machine.home(""))

    assert done.returncode == 2, done.stderr
    assert "error: a Ray cluster must have the driver's versions, got address=" in done.stderr
    assert "Ray: 2.0.0" in done.stderr
    assert [line for line in done.stderr.splitlines() if "error" in line] == [
        done.stderr.splitlines()[-1]
    ]
    assert done.seconds < SECONDS
