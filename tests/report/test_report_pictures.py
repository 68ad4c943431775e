"""Pictures and features of trained weights in the report."""

from __future__ import annotations

import base64
import io
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from semisweep import (
    Column,
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    Preset,
    Row,
    Store,
    Study,
    TrainingConfig,
)
from semisweep.cluster.trial_execution import execute
from semisweep.data.augmentation import normalise
from semisweep.data.splits import make_split
from semisweep.evaluation.prediction import predict
from semisweep.report import page
from semisweep.report.arms import Arm, arms, opened, shown_images
from semisweep.report.feature_map import features, flat, pixels
from semisweep.report.label_maps import label_maps
from semisweep.report.picture_strips import strips
from semisweep.running.job_sources import job_for
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve
from semisweep.training.protocols import Protocol
from semisweep_methods.stpg import STPG, STPGConfig
from semisweep_methods.stpg_contrast import ContrastConfig
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch

NETWORK = NetworkConfig(
    backbone="test_resnet", pretrained=False, output_stride=8, channels=16, rates=(1, 2)
)
STUDY = Study(
    name="pictures",
    title="Pictures",
    presets={
        "mini": Preset(
            data=DataConfig(labelled=8),
            training=TrainingConfig(
                steps=2, labelled_batch=2, unlabelled_batch=2, crop_pixels=32, evaluations=1,
                optimizer=OptimizerConfig(name="adamw"),
            ),
            config={"network": NETWORK},
            metric="last.test.miou",
            metric_note="",
        )
    },
    base="supervised",
    seeds=1,
    rows=[
        Row(name="supervised", method=Supervised),
        Row(name="unimatch", label="UniMatch", method=UniMatch),
    ],
    columns=[Column(name="8", set={"mini": {}})],
)  # fmt: skip


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory, tiny_shapes: Path) -> Request:
    """Train both arms for two steps; return the request whose store has them."""
    root = tmp_path_factory.mktemp("pictures") / "store"
    request = Request(roots=Roots(tiny_shapes.parent), store=str(root))
    store, splits = Store.open(root, create=True), Splits(request.roots)
    resolved = resolve(STUDY, "mini", splits)
    store.write_study("pictures", "mini", resolved.table)
    for key, trial in resolved.trials.items():
        execute(job_for(key, trial, store, splits, request), lambda _: None, raise_errors=True)
    return request


def found_arms(request: Request) -> tuple[Store, list[Arm]]:
    store = Store.open(request.store)
    study = store.read_table("pictures", "mini")
    assert study is not None
    return store, arms(study, "8", store)


def test_strips_show_what_kept_weights_see(request_: Request) -> None:
    store, found = found_arms(request_)
    study = store.read_table("pictures", "mini")
    assert study is not None

    (figure,) = strips(study, store, request_.roots, 2)

    text = str(figure.svg)
    addresses = re.findall(r'src="data:image/(png|webp);base64,([^"]+)"', text)
    assert [kind for kind, _ in addresses] == ["webp", "png", "png", "png"] * 2
    method, dataset = opened(found[1], store, request_.roots)
    image_id = shown_images(dataset, 2)[0]
    colours = pixels_of(addresses[3][1])
    expected = predict(method, dataset.image(image_id), Protocol())
    assert (colours == np.asarray(dataset.palette, dtype=np.uint8)[expected]).all()
    assert [name for _, name in figure.legend] == list(dataset.classes)


def test_images_are_spaced_evenly_whatever_the_results(request_: Request) -> None:
    store, found = found_arms(request_)
    _, dataset = opened(found[0], store, request_.roots)
    ids = dataset.part("test")

    assert shown_images(dataset, 2) == [ids[1], ids[3]]
    assert shown_images(dataset, 99) == list(ids)


def test_features_are_the_decoders_at_the_same_pixels_for_all_arms(request_: Request) -> None:
    store, found = found_arms(request_)
    method, dataset = opened(found[0], store, request_.roots)
    places = pixels(dataset)

    values = features(method, dataset, places)

    assert values is not None
    assert values.shape == (len(places), 16)
    assert pixels(dataset) == places
    assert {dataset.mask(i)[row, column] for i, row, column, _ in places} == {p[3] for p in places}
    assert not np.allclose(values[0], values[-1])
    points = flat(values)
    assert points.shape == (len(places), 2)
    assert (flat(values) == points).all()


def test_features_may_be_in_the_space_that_a_method_learns(request_: Request) -> None:
    """STPG's projection: unit vectors; supervised training has none."""
    store, found = found_arms(request_)
    method, dataset = opened(found[0], store, request_.roots)
    places = pixels(dataset, 3)
    contrast = ContrastConfig(width=8)
    own = STPG(STPGConfig(network=NETWORK, contrast=contrast), len(dataset.classes)).eval()
    off = STPG(STPGConfig(network=NETWORK, contrast=ContrastConfig(weight=0.0)), 6).eval()

    values = features(own, dataset, places, project=True)
    assert values is not None
    assert values.shape == (len(places), 8)
    assert np.allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)
    assert features(off, dataset, places, project=True) is None
    assert features(method, dataset, places, project=True) is None
    assert max(Counter(place[3] for place in places).values()) == 3


def test_a_page_with_pictures_has_one_part_for_each_kind(request_: Request) -> None:
    studies = page.studies_for((), request_)

    (section,) = page.sections_for(studies, request_, images=1, features=True)

    titles = [part.title for part in section.parts]
    assert titles[-2:] == ["Pictures", "Features"]
    assert len(section.parts[-1].figures) == 2
    assert "data:image/png" in page.page([section], request_.store)


def test_without_the_libraries_of_t_sne_the_page_says_so_in_place_of_the_map(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)  # as where it is not installed
    studies = page.studies_for((), request_)

    (section,) = page.sections_for(studies, request_, images=1, features=True)

    text = page.page([section], request_.store)
    assert [part.title for part in section.parts][-2:] == ["Pictures", "Features"]
    assert "The map of features is left out: it needs t-SNE, pip install" in text
    assert "t-SNE of the features of" not in text


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_maps_show_pseudo_labels_and_their_confidence_beside_the_truth(
    tmp_path: Path, tiny_shapes: Path, threshold: float
) -> None:
    request = Request(roots=Roots(tiny_shapes.parent), store=str(tmp_path / "store"), keep="all")
    store, splits = Store.open(request.store, create=True), Splits(request.roots)
    column = Column(name="weak", set={"mini": {}}, metric={"mini": "labels.weak.miou"})
    preset = replace(STUDY.presets["mini"], config={"network": NETWORK, "threshold": threshold})
    labels = replace(STUDY, base="unimatch", rows=[STUDY.rows[1]], columns=[column],
                     presets={"mini": preset})  # fmt: skip
    resolved = resolve(labels, "mini", splits)
    store.write_study("labels", "mini", resolved.table)
    assert list(label_maps(resolved.table, store, request.roots, 2)) == []
    for key, trial in resolved.trials.items():
        execute(job_for(key, trial, store, splits, request), lambda _: None, raise_errors=True)

    (figure,) = label_maps(resolved.table, store, request.roots, 2)

    text = str(figure.svg)
    assert re.findall(r"<th scope='col'>([^<]*)", text) == ["image", "truth", "weak", "weak: confidence"]  # fmt: skip  # noqa: E501
    addresses = re.findall(r'src="data:image/(png|webp);base64,([^"]+)"', text)
    assert [kind for kind, _ in addresses] == ["webp", "png", "png", "webp"] * 2
    method, dataset = opened(Arm("", key, "last"), store, request.roots, whole=True)
    image_id = re.findall(r'title="image ([^"]+)"', text)[0]
    assert image_id in make_split(dataset, trial.data).unlabelled
    image = torch.as_tensor(normalise(dataset.image(image_id))).unsqueeze(0)
    with torch.inference_mode():
        label, selected = (part[0].numpy() for part in method.pseudo_labels(image)["weak"])
        sure = method.label_confidence(image)["weak"][0].numpy()
    assert selected.mean() == 1 - threshold  # at 1 no pixel is sure enough: white
    palette = np.asarray([*dataset.palette, (255, 255, 255)], dtype=np.uint8)
    shown = np.where(selected, label, len(dataset.palette))
    assert (pixels_of(addresses[2][1]) == palette[shown]).all()
    assert np.abs(pixels_of(addresses[3][1])[:, :, 0] / 255 - sure).max() < 0.1  # WebP is lossy


def pixels_of(text: str) -> np.ndarray:
    """Return the pixels [H, W, 3] of a picture in an address."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as shown:
        return np.asarray(shown.convert("RGB"))


def test_arms_without_weights_are_left_out(request_: Request, tmp_path: Path) -> None:
    store, found = found_arms(request_)
    study = store.read_table("pictures", "mini")
    assert study is not None
    assert [arm.label for arm in found] == ["supervised", "UniMatch"]

    empty = Store.open(tmp_path / "empty", create=True)

    assert arms(study, "8", empty) == []
    assert list(strips(study, empty, request_.roots, 1)) == []
