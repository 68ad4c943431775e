"""What launches Ray on a cluster: files that are whole, valid, and say what is to be filled in.

Ray's own schema judges the files of `ray up`. KubeRay ships no JSON schema in a package, so that of
the fields used here is written below, from the names and types of its API reference (ray.io/v1).
"""

from __future__ import annotations

import importlib.resources
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CLUSTER = Path(__file__).resolve().parent.parent.parent / "cluster"
PLACEHOLDER = re.compile(r"<[A-Z_]+>")
RAY_UP = ("on_premise.yaml", "aws.yaml")
KUBERAY = ("rayjob.yaml", "raycluster.yaml")
FILES = (*RAY_UP, *KUBERAY, "slurm.sh", "Dockerfile")

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0}


def record(required: str = "", **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def several(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


TEXT = {"type": "string", "minLength": 1}
NAMED_VALUE = record(
    "name",
    name=TEXT,
    value=TEXT,
    valueFrom=record("secretKeyRef", secretKeyRef=record("name key", name=TEXT, key=TEXT)),
)
CONTAINER = record(
    "name image resources",
    name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    image=TEXT,
    env=several(NAMED_VALUE),
    ports=several(record("containerPort", name=TEXT, containerPort=COUNT)),
    resources=record("limits requests", limits=TEXTS, requests=TEXTS),
    volumeMounts=several(record("name mountPath", name=TEXT, mountPath=TEXT)),
)
VOLUME = record(
    "name persistentVolumeClaim",
    name=TEXT,
    persistentVolumeClaim=record("claimName", claimName=TEXT),
)
POD = record(
    "spec",
    spec=record(
        "containers",
        containers=several(CONTAINER),
        volumes=several(VOLUME),
        terminationGracePeriodSeconds=COUNT,
    ),
)
RAY_CLUSTER = record(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=record("mode", mode={"enum": ["disabled", "token"]}, secretName=TEXT),
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=record(
        idleTimeoutSeconds=COUNT,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    ),
    headGroupSpec=record("rayStartParams template", rayStartParams=TEXTS, template=POD),
    workerGroupSpecs=several(
        record(
            "groupName minReplicas maxReplicas rayStartParams template",
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            rayStartParams=TEXTS,
            template=POD,
        )
    ),
)
RAY_JOB = record(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT,
    shutdownAfterJobFinishes={"type": "boolean"},
    ttlSecondsAfterFinished=COUNT,
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    backoffLimit=COUNT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    rayClusterSpec=RAY_CLUSTER,
)
SPECS = {"RayJob": RAY_JOB, "RayCluster": RAY_CLUSTER}


def read(name: str) -> str:
    return (CLUSTER / name).read_text()


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read(name))
    return found


def check_kuberay(manifest: dict[str, Any]) -> None:
    kind = {"enum": list(SPECS)}
    name = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"}
    schema = record(
        "apiVersion kind metadata spec",
        apiVersion={"const": "ray.io/v1"},
        kind=kind,
        metadata=record("name", name=name),
        spec=SPECS[manifest["kind"]],
    )
    jsonschema.validate(manifest, schema)


def cluster_spec(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = load(name)["spec"]
    inner: dict[str, Any] = spec.get("rayClusterSpec", spec)
    return inner


@pytest.mark.parametrize("name", FILES)
def test_every_placeholder_of_a_file_is_explained_with_it(name: str) -> None:
    rows = [line for line in read("README.md").splitlines() if line.startswith("| `<")]
    explained = {
        found: row.rpartition("|")[0].rpartition("|")[2].split(", ")
        for row in rows
        for found in PLACEHOLDER.findall(row.split("|")[1])
    }
    explained = {found: [file.strip() for file in files] for found, files in explained.items()}

    assert PLACEHOLDER.findall(read(name))
    assert set(PLACEHOLDER.findall(read(name))) == {
        found for found, files in explained.items() if name in files
    }


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_takes_the_files_of_ray_up(name: str) -> None:
    schema = json.loads(
        (importlib.resources.files("ray.autoscaler") / "ray-schema.json").read_text()
    )
    config = load(name)

    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config | {"max_worker": 4}, schema)


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_up_fills_in_what_is_left_out_and_accepts_the_whole(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    whole = prepare_config(load(name))
    validate_config(whole)

    assert whole["available_node_types"][whole["head_node_type"]] is not None


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_knows_every_field_of_the_manifests(name: str) -> None:
    check_kuberay(load(name))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "workerGroupSpecs", 0, "minReplicas"), "0"),
        (("spec", "autoscaling"), True),
        (("apiVersion",), "ray.io/v1alpha1"),
    ],
)
def test_kuberays_schema_refuses_what_the_operator_would(path: tuple[Any, ...], value: Any) -> None:
    manifest = load("raycluster.yaml")
    place = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    with pytest.raises(jsonschema.ValidationError):
        check_kuberay(manifest)


@pytest.mark.parametrize("name", KUBERAY)
def test_on_kubernetes_the_head_has_no_gpu_and_workers_grow_from_none(name: str) -> None:
    spec = cluster_spec(name)
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    (group,) = spec["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]

    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert spec["enableInTreeAutoscaling"]
    assert group["minReplicas"] == group["replicas"] == 0 < group["maxReplicas"]


def test_a_job_on_kubernetes_takes_its_cluster_away_and_the_two_manifests_agree() -> None:
    spec = load("rayjob.yaml")["spec"]

    assert spec["shutdownAfterJobFinishes"]
    assert spec["ttlSecondsAfterFinished"] > 0
    assert cluster_spec("rayjob.yaml") == cluster_spec("raycluster.yaml")


@pytest.mark.parametrize("name", [*RAY_UP, *KUBERAY, "slurm.sh"])
def test_every_launcher_asks_for_a_token_and_none_has_one(name: str) -> None:
    asks = (
        r"^ *authOptions:\n *mode: token" if name in KUBERAY else r"RAY_AUTH_MODE(=|, value: )token"
    )
    assert re.search(asks, read(name), re.MULTILINE)
    assert not re.search(r"[0-9a-f]{32}", read(name))


def test_the_manifests_name_the_ray_that_is_pinned() -> None:
    pins = (CLUSTER.parent / "constraints.txt").read_text()
    (version,) = re.findall(r"^ray==(.*)$", pins, re.MULTILINE)

    assert {cluster_spec(name)["rayVersion"] for name in KUBERAY} == {version}


def test_the_slurm_script_is_bash_and_refuses_to_run_before_it_is_filled_in() -> None:
    path = CLUSTER / "slurm.sh"
    subprocess.run(["bash", "-n", path], check=True)
    done = subprocess.run(["bash", path], capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr == "fill in STUDY, STORE and DATA at the top of this script\n"


def test_the_image_is_built_from_what_a_build_makes() -> None:
    text = read("Dockerfile")

    assert "COPY constraints.txt dist/semisweep-*.whl" in text
    assert "ray[default]" in text
