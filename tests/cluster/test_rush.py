"""Nine sweeps at once that want the same 64 trials; `make test-once` does it twenty times."""

from __future__ import annotations

from pathlib import Path

import pytest
from rush import clusters, rush

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def test_what_nine_sweeps_on_two_clusters_want_at_once_is_trained_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight of them share a cluster that has room for two workers."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with clusters(tmp_path, shared=8, cpus=2) as (addresses, ledger):
        found = rush(tmp_path, addresses, ledger)

    with capsys.disabled():
        print(f"\n{found}")
    assert found.is_good, found.said
    assert sum(found.trained.values()) == 64
