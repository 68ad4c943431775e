"""A store that has been moved away while a sweep runs is not made anew at its old place."""

from __future__ import annotations

from pathlib import Path

import pytest

from semisweep.core.errors import StoreError
from semisweep.store.files import make_folder

KEY = "0123456789abcdef0123"


@pytest.mark.parametrize(
    "name", [KEY, f"{KEY}-0a1b2c3d", f"{KEY}-0a1b2c3d-4e5f6071", f"{KEY}-r2", f"{KEY}-0a1b2c3d-r3"]
)
def test_no_trial_of_any_name_makes_its_store(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "store" / "trials" / name
    with pytest.raises(StoreError, match="must stay where it is while a sweep runs"):
        make_folder(folder)
    assert not (tmp_path / "store").exists()

    (tmp_path / "store").mkdir()
    make_folder(folder)
    assert folder.is_dir()
