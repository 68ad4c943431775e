"""Secrets in the environment of a sweep are in nothing that it leaves behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from dashboard_server import serving
from driving import Driver, command, environment
from object_storage import ObjectStorage
from obstore.store import S3Store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "PlantedSecretAccessKey",
    "AWS_SESSION_TOKEN": "PlantedSessionToken",
    "AWS_SECURITY_TOKEN": "PlantedSecurityToken",
    "WANDB_API_KEY": "PlantedKeyOfWeightsAndBiases",
    "MLFLOW_TRACKING_TOKEN": "PlantedTokenOfMlflow",
    "MLFLOW_TRACKING_PASSWORD": "PlantedPasswordOfMlflow",
    "RAY_AUTH_TOKEN": "PlantedTokenOfRayThatIsLongEnoughForIt",
}
KEY_ID = {"AWS_ACCESS_KEY_ID": "AKIAPLANTEDKEYID"}
STUDY = ["crash_studies:handful", "--slots", "1"]
MODULES = Path(__file__).parents[1] / "crash"


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder for Ray whose path leaves room for those of its sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def places(secrets: dict[str, str], *folders: Path) -> list[str]:
    """Return each secret with the file below some folders that has it."""
    found = []
    for file in (file for folder in folders for file in folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            found += [
                f"{name} in {file}" for name, value in secrets.items() if value.encode() in content
            ]
    return found


def keep_objects(url: str, folder: Path) -> None:
    """Write all objects of a store into a folder."""
    storage = S3Store.from_url(url, client_options={"allow_http": True})
    for number, item in enumerate(each for some in storage.list() for each in some):
        folder.mkdir(exist_ok=True)
        (folder / str(number)).write_bytes(bytes(storage.get(item["path"]).bytes()))


@pytest.mark.parametrize("kind", ["disk", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_sweep_leaves_no_secret_behind(
    kind: str, tmp_path: Path, tiny_shapes: Path, ray_folder: Path, s3: ObjectStorage
) -> None:
    """Its workers still have the credentials of their store."""
    secrets = SECRETS | KEY_ID
    more = {"RAY_TMPDIR": str(ray_folder), "SEMISWEEP_CACHE": str(tmp_path / "cache")}
    variables = environment(MODULES, tmp_path / "ledger", **secrets, **more)
    store = s3.new() if kind == "s3" else str(tmp_path / "store")
    arguments = ["run", *STUDY, "--store", store, "--data", f"shapes={tiny_shapes}"]
    driver = Driver(command(*arguments), tmp_path, variables)

    assert driver.wait() == 0, driver.errors
    assert "table: " in driver.output
    (tmp_path / "said").write_text(driver.output + driver.errors)
    if kind == "s3":
        keep_objects(store, tmp_path / "bucket")
        assert list((tmp_path / "bucket").iterdir())
    else:
        with serving(tmp_path / "store") as address:
            secrets["token"] = parse_qs(urlsplit(address).query)["token"][0]
    assert list(ray_folder.rglob("runtime_env_agent.log")), "Ray's logs are there"
    assert not places(secrets, ray_folder, tmp_path)
