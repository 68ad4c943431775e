"""Pretrained weights ahead of time: which are here, and fetching them from a hub on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from semisweep import NetworkConfig
from semisweep.core.errors import ConfigError
from semisweep.networks import pretrained
from semisweep.study.needed_weights import (
    NeededWeights,
    fetch_missing,
    find_weights,
    needed_weights,
)

STUDY = """
import dataclasses
from semisweep.core.config import replace
from semisweep import NetworkConfig
from semisweep import Column, Row, Study
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import RANKMATCH_PAPER

network = NetworkConfig(backbone="test_resnet", output_stride=8, channels=16)
paper = dataclasses.replace(RANKMATCH_PAPER, config={"network": network})
small = Study(
    name="small", title="", presets={"paper": paper}, base="a",
    rows=[Row(name="a", method=Supervised)],
    columns=[
        Column(name="one", set={"paper": {"data.labelled": 92}}),
        Column(name="own", set={"paper": {"config.network.pretrained": False}}),
    ],
)
"""
REPOSITORY = "timm/test_resnet.r160_in1k"
COMMIT = "a" * 40


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file of weights such as the hub has it, classifier included."""
    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("hub") / "model.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path.read_bytes()


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nobody at the hub's address: the discard port of this machine."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture
def hub(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """A hub on loopback that has one file, and the paths it was asked for."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def answer(self) -> bytes:
            asked.append(f"{self.command} {self.path}")
            known = self.path == f"/{REPOSITORY}/resolve/main/model.safetensors"
            body = content if known else b"{}" if self.path.startswith("/api/models/") else b""
            self.send_response(200 if body else 404)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{sha256(body).hexdigest()}"')
            if not body:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:20]


def test_weights_are_fetched_once_from_the_hub_and_found_without_it(
    process: Callable[..., Any],
    hub: tuple[str, list[str]],
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Takes seconds: two processes, as the hub's address is read when its client is imported."""
    address, asked = hub
    (tmp_path / "mine.py").write_text(STUDY)
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")

    said = process("weights", "fetch", "mine.py:small", "--weights-dir", "taken along")
    assert said.code == 0, said.error
    assert digest(content) in said.out
    assert (tmp_path / "taken along/test_resnet.safetensors").read_bytes() == content
    assert f"GET /{REPOSITORY}/resolve/main/model.safetensors" in asked

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said = process("weights", "check", "mine.py:small")
    assert said.code == 0, said.error
    assert "there" in said.out
    assert digest(content) in said.out
    assert "hub's cache" in said.out


def test_what_is_missing_is_one_line_at_once(
    call: Callable[..., Any], refused: Callable[..., None], no_hub: Path
) -> None:
    (no_hub / "missing.py").write_text(STUDY)
    started = time.monotonic()
    fetched = call("weights", "fetch", "missing.py:small")
    checked = call("weights", "check", "missing.py:small")

    assert time.monotonic() - started < 30
    refused(fetched, "over the network", f"model.safetensors of {REPOSITORY}")
    refused(checked, "missing test_resnet", "semisweep weights fetch missing.py:small")
    assert checked.out.split() == ["test_resnet", "missing"]


def test_every_missing_backbone_is_named_and_the_hub_is_asked_once(no_hub: Path) -> None:
    wanted = [NeededWeights("resnet50s"), NeededWeights("vit_small_patch14_dinov2")]
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        list(fetch_missing(wanted))

    assert time.monotonic() - started < 2 * pretrained.ANSWER_SECONDS
    assert "resnet50s.gluon_in1k" in str(caught.value)
    assert "vit_small_patch14_dinov2.lvd142m" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_folder_of_local_files_goes_before_the_hub_and_a_network_starts_from_it(
    no_hub: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    folder = no_hub / "local"
    folder.mkdir()
    path = folder / f"test_resnet{suffix}"
    path.write_bytes(content)
    if suffix == ".pth":
        from safetensors.torch import load

        torch.save(load(content), path)
    monkeypatch.setenv("SEMISWEEP_WEIGHTS", str(folder))
    network = NetworkConfig(backbone="test_resnet", output_stride=8, channels=16)
    found = find_weights(NeededWeights("test_resnet"))
    expected = pretrained.read(str(path), "test_resnet")
    state = network.build(3).encoder.state_dict()

    assert (found.place, found.path) == ("local folder", path)
    assert (found.digest, found.bytes) == (digest(path.read_bytes()), path.stat().st_size)
    assert all(torch.equal(state[f"model.{name}"], own) for name, own in expected.items())


def test_a_local_file_that_holds_no_weights_is_refused_by_name(
    call: Callable[..., Any], refused: Callable[..., None], no_hub: Path
) -> None:
    (no_hub / "broken.py").write_text(STUDY)
    file = no_hub / "test_resnet.safetensors"
    file.write_bytes(b"no weights")
    said = call("weights", "check", "broken.py:small", "--weights-dir", no_hub)

    refused(said, "must be a safetensors file", str(file))
    refused(
        call("weights", "check", "broken.py:small", "--weights-dir", no_hub / "nowhere"),
        "folder of weights must exist",
        str(no_hub / "nowhere"),
    )


def test_the_weights_of_a_study_are_those_of_its_trained_rows(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    from semisweep.checks.validation import sample_trials
    from semisweep.study.catalogue import find_study
    from semisweep.study.data_roots import Roots
    from semisweep.study.request import Request

    def backbones(name: str, scale: str) -> list[NeededWeights]:
        request = Request(scale=scale, roots=Roots(tmp_path))
        return needed_weights(sample_trials(find_study(name), request))

    assert backbones("segkc_seniors", "paper") == [
        NeededWeights(f"vit_{size}_patch14_dinov2.lvd142m") for size in ("base", "large", "small")
    ]
    assert backbones("gps_pascal", "proxy") == [
        NeededWeights("resnet101s.gluon_in1k"),
        NeededWeights("resnet50s.gluon_in1k"),
    ]
    mini = backbones("quickstart", "mini")
    assert [own.file for own in mini] == ["semisweep_studies:encoder.safetensors"]
    said = call("weights", "check", "quickstart", "--scale", "mini")
    assert said.code == 0
    assert "the file named" in said.out
