"""Devices: their names, what CUDA needs to be asked, and what to do when memory runs out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from semisweep.core.device import (
    ADVICE,
    advice_on,
    begin_measuring,
    device_name,
    driver_version,
    initialise,
    is_gpu,
    peak_memory,
    peak_reserved,
    usable,
)
from semisweep.core.errors import ConfigError
from semisweep.core.provenance import machine


def test_a_device_is_a_gpu_where_there_is_one_and_must_be_there() -> None:
    assert usable(None) == ("cuda" if torch.cuda.is_available() else "cpu")
    assert usable("cpu") == "cpu"
    for name in ("cuda:99", "gpu"):
        with pytest.raises(ConfigError, match=rf"torch can use here, got device='{name}': \S"):
            usable(name)
    assert [is_gpu(name) for name in ("cuda", "cuda:1", "cpu", "")] == [True, True, False, False]


def test_a_cpu_is_measured_by_its_process_and_has_no_driver() -> None:
    initialise("cpu")
    begin_measuring("cpu")

    assert peak_memory("cpu") > 50e6
    assert peak_reserved("cpu") == 0
    assert device_name("cpu") == ""
    assert sorted(machine("cpu")) == ["run.host", "run.platform"]


def test_the_driver_is_what_its_program_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for script, expected in (
        ("echo 570.86.15\necho 570.86.15", "570.86.15"),
        ("exit 9", ""),
        ("true", ""),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        driver_version.cache_clear()
        assert driver_version() == expected
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    driver_version.cache_clear()
    assert driver_version() == ""
    driver_version.cache_clear()


def test_a_cpu_without_room_for_a_tensor_is_told_what_to_change() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)

    advice = advice_on(caught.value)
    assert advice == ADVICE
    assert "\n" not in advice
    for name in ("labelled_batch", "unlabelled_batch", "crop_pixels", "precision=bf16"):
        assert f"--set training.{name}" in advice
    for option in ("--workers", "--gpus", "--slots"):
        assert option in advice


@pytest.mark.parametrize(
    ("error", "advised"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("DefaultCPUAllocator: can't allocate memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_an_error_for_want_of_memory_is_given_advice(error: Any, advised: bool) -> None:
    assert (advice_on(error) is not None) == advised


def test_an_error_is_looked_at_without_importing_torch() -> None:
    script = (
        "import sys; from semisweep.core.device import advice_on; "
        "print(advice_on(RuntimeError('CUDA error: out of memory')), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.split() == ["None", "False"]


def test_a_tensor_of_a_recorded_pass_that_was_kept_too_long_is_explained() -> None:
    text = "Error: accessing tensor output of CUDAGraphs that has been overwritten by a run."
    assert "--no-compile" in (advice_on(RuntimeError(text)) or "")
    assert advice_on(ValueError(text)) is None
