from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from semisweep import NetworkConfig
from semisweep.core.config import decode, digest, identity
from semisweep.core.errors import ConfigError
from semisweep.networks.decoder import DPT, DeepLabV3Plus
from semisweep.networks.encoder import tap_blocks
from semisweep.networks.network import Network
from semisweep.networks.pretrained import file_digest, located

SMALL: dict[str, Any] = {"pretrained": False, "channels": 16}


def built(seed: int = 0, **changes: Any) -> Network:
    return NetworkConfig(**{"backbone": "test_resnet", **SMALL, **changes}).build(4, seed)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def an_image(height: int = 48, width: int = 64) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(5))


def test_deeplab_on_the_deep_stem_resnet_has_the_published_number_of_parameters() -> None:
    network = NetworkConfig(backbone="resnet101s", pretrained=False).build(21)

    assert parameters(network) / 1e6 == pytest.approx(59.5, abs=0.1)


def test_dpt_on_the_small_dinov2_has_the_published_number_of_parameters() -> None:
    config = NetworkConfig(backbone="vit_small_patch14_dinov2", decoder="dpt", pretrained=False)
    network = config.build(21)

    assert parameters(network) / 1e6 == pytest.approx(24.8, abs=0.1)
    assert parameters(network.encoder) / 1e6 == pytest.approx(22.1, abs=0.1)
    assert parameters(network.decoder) / 1e6 == pytest.approx(2.7, abs=0.1)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_deeplab_gives_logits_of_the_image_and_a_pyramid_at_its_stride(
    backbone: str, output_stride: int
) -> None:
    network = built(backbone=backbone, output_stride=output_stride)
    image = an_image(64, 96)
    low, high = network.encode(image)
    output = network(image)

    assert low.shape[-2:] == (16, 24)
    assert high.shape[-2:] == (64 // output_stride, 96 // output_stride)
    assert output.logits.shape == (2, 4, 64, 96)
    assert output.fused.shape == (2, 16, 64 // output_stride, 96 // output_stride)


@pytest.mark.parametrize("size", [(33, 50), (65, 129), (40, 40)])
def test_a_convolutional_network_takes_images_of_any_size(size: tuple[int, int]) -> None:
    assert built()(an_image(*size)).logits.shape == (2, 4, *size)


@pytest.mark.parametrize("backbone", ["test_vit", "test_vit2", "test_vit3"])
@pytest.mark.parametrize("size", [(48, 64), (160, 160), (16, 80)])
def test_dpt_takes_every_multiple_of_the_patch(backbone: str, size: tuple[int, int]) -> None:
    network = built(backbone=backbone, decoder="dpt")
    taps = network.encode(an_image(*size))
    output = network(an_image(*size))

    assert [tuple(tap.shape[-2:]) for tap in taps] == [(size[0] // 16, size[1] // 16)] * 4
    assert output.logits.shape == (2, 4, *size)
    assert output.fused.shape == (2, 16, size[0] // 2, size[1] // 2)


def test_a_crop_that_is_no_multiple_of_the_patch_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"patch of 16 pixels, got image=48x70.* 64 or 80"):
        built(backbone="test_vit", decoder="dpt")(an_image(48, 70))


@pytest.mark.parametrize(
    ("backbone", "decoder"), [("test_resnet", "deeplabv3plus"), ("test_vit", "dpt")]
)
def test_forward_is_decode_of_encode(backbone: str, decoder: str) -> None:
    network = built(backbone=backbone, decoder=decoder).eval()
    image = an_image()
    whole = network(image)
    parts = network.decode(network.encode(image), image.shape[-2:])

    assert torch.equal(whole.logits, parts.logits)
    assert torch.equal(whole.fused, parts.fused)


@pytest.mark.parametrize(
    ("backbone", "decoder"),
    [
        ("test_resnet", "deeplabv3plus"),
        ("test_convnext", "deeplabv3plus"),
        ("test_vit", "dpt"),
        ("test_vit2", "dpt"),
    ],
)
def test_every_parameter_gets_a_gradient(backbone: str, decoder: str) -> None:
    network = built(backbone=backbone, decoder=decoder)
    network(an_image()).logits.square().mean().backward()

    assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_encoder_parameters_are_told_by_their_names() -> None:
    network = built()
    encoder = {id(parameter) for parameter in network.encoder.parameters()}
    named = {id(value) for name, value in network.named_parameters() if "encoder." in name}

    assert named == encoder
    assert 0 < len(named) < len(list(network.parameters()))


def test_the_seed_alone_decides_the_initial_weights() -> None:
    first = built(seed=7).state_dict()
    torch.rand(3)

    assert equal(first, built(seed=7).state_dict())
    assert not equal(first, built(seed=8).state_dict())


def test_building_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    built()

    assert torch.equal(torch.rand(3), expected)


def test_another_backbone_leaves_the_initial_decoder_head_alone() -> None:
    first, second = built().decoder, built(backbone="test_convnext").decoder

    assert torch.equal(first.classifier.weight, second.classifier.weight)


def test_another_decoder_leaves_the_initial_encoder_alone() -> None:
    first, second = built(), built(channels=32, rates=(2,))

    assert equal(first.encoder.state_dict(), second.encoder.state_dict())
    assert parameters(first.decoder) != parameters(second.decoder)


def test_another_number_of_classes_changes_the_classifier_only() -> None:
    few = NetworkConfig(backbone="test_resnet", **SMALL).build(2).state_dict()
    many = NetworkConfig(backbone="test_resnet", **SMALL).build(9).state_dict()
    differ = [name for name in few if not torch.equal(few[name], many[name])]

    assert differ == ["decoder.classifier.weight", "decoder.classifier.bias"]


def test_the_weights_of_roles_do_not_repeat_each_other() -> None:
    decoder: Any = built().decoder
    first = decoder.low_level[0].weight.flatten()
    second = decoder.classifier.weight.flatten()

    assert not torch.allclose(first[:8] / first[0], second[:8] / second[0])


def test_pyramid_pooling_sees_as_far_as_its_rates() -> None:
    """A pixel at the distance of the rate is seen, and one in between is not."""
    decoder = DeepLabV3Plus((4, 4), 8, (3,), 2).eval()
    impulse = torch.zeros(1, 4, 15, 15)
    impulse[0, :, 7, 10] = 1
    flat = torch.zeros(1, 4, 15, 15)
    branch: Any = decoder.pyramid.dilated[0]
    response = [branch[0](value)[0, :, 7, 7] for value in (impulse, flat)]
    beside = branch[0](impulse)[0, :, 7, 8]

    assert not torch.equal(*response)
    assert torch.equal(beside, response[1])


def test_one_training_image_is_refused_by_the_branch_that_cannot_normalise_it() -> None:
    network = built()
    with pytest.raises(ConfigError, match=r"at least two images, got images=1"):
        network(an_image()[:1])

    assert network.eval()(an_image()[:1]).logits.shape == (1, 4, 48, 64)


@pytest.mark.parametrize(
    ("width", "channels", "expected"),
    [
        (384, 64, [48, 96, 192, 384]),
        (768, 128, [96, 192, 384, 768]),
        (1024, 256, [256, 512, 1024, 1024]),
    ],
)
def test_dpt_widths_are_those_of_the_three_published_sizes(
    width: int, channels: int, expected: list[int]
) -> None:
    decoder = DPT((width,) * 4, channels, 21)

    assert [layer.out_channels for layer in decoder.project] == expected


@pytest.mark.parametrize(
    ("blocks", "taps"),
    [(12, (2, 5, 8, 11)), (24, (4, 11, 17, 23)), (40, (9, 19, 29, 39)), (6, (1, 2, 4, 5))],
)
def test_dpt_reads_four_blocks_up_to_the_last(blocks: int, taps: tuple[int, ...]) -> None:
    assert tap_blocks(blocks) == taps


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"backbone": "resnet101z"}, r"unknown backbone 'resnet101z'; did you mean resnet101"),
        ({"backbone": "hf-hub:a/b"}, r"unknown backbone"),
        ({"backbone": "vgg11"}, r"backbone='vgg11', output_stride=16; it works with .*=32"),
        ({"backbone": "test_vit"}, r"'deeplabv3plus' needs .* backbone='test_vit'.*decoder=dpt"),
        ({"decoder": "dpt"}, r"'dpt' needs a plain transformer .* backbone='test_resnet'"),
        ({"backbone": "test_mixer", "decoder": "dpt"}, r"backbone"),
        ({"weights": "nowhere.pt"}, r"existing file, got weights='nowhere.pt'"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        built(**changes)


@pytest.mark.parametrize("field", [{"output_stride": 4}, {"rates": ()}, {"rates": (0,)}])
def test_values_out_of_range_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(field))):
        decode(NetworkConfig, field)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_local_file_gives_the_encoder_its_weights(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(13)
    whole = timm.create_model("test_resnet", num_classes=7)
    file = tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save(whole.state_dict(), file)
    else:
        save_file(whole.state_dict(), file)
    loaded = built(weights=str(file), pretrained=True).encoder.state_dict()
    source = whole.state_dict()

    assert len(loaded) == len(source) - 2  # all but the classifier
    for name, value in loaded.items():
        assert torch.equal(value, source[name.removeprefix("model.")])


def test_weights_of_the_head_are_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), file)
    built(backbone="test_efficientnet", weights=str(file), pretrained=True)

    assert not caplog.records


def test_a_file_of_a_package_is_named_without_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "some_package" / "files"
    folder.mkdir(parents=True)
    (tmp_path / "some_package" / "__init__.py").write_text("raise AssertionError")
    (folder / "weights.pt").write_bytes(b"content")
    monkeypatch.syspath_prepend(tmp_path)

    assert located("some_package.files:weights.pt").read_bytes() == b"content"
    assert file_digest("some_package.files:weights.pt") == file_digest(str(folder / "weights.pt"))
    for missing in ("some_package:weights.pt", "no_package:weights.pt", "some package:x", ":x"):
        with pytest.raises(ConfigError, match="existing file, got weights="):
            located(missing)


def test_a_transformer_takes_weights_of_another_image_size(tmp_path: Path) -> None:
    torch.manual_seed(13)
    whole = timm.create_model("test_vit", img_size=96)
    torch.save({"state_dict": whole.state_dict()}, tmp_path / "weights.pt")
    network = built(backbone="test_vit", decoder="dpt", weights=str(tmp_path / "weights.pt"))
    name = "blocks.3.attn.qkv.weight"

    assert torch.equal(network.encoder.state_dict()[f"model.{name}"], whole.state_dict()[name])
    assert network(an_image(96, 96)).logits.shape == (2, 4, 96, 96)


@pytest.mark.parametrize(
    ("backbone", "decoder"),
    [("test_resnet", "deeplabv3plus"), ("test_efficientnet", "deeplabv3plus"), ("test_vit", "dpt")],
)
@pytest.mark.parametrize("damage", ["missing", "extra", "shape"])
def test_weights_that_are_not_the_backbones_are_refused(
    tmp_path: Path, backbone: str, decoder: str, damage: str
) -> None:
    weights = timm.create_model(backbone).state_dict()
    name = next(name for name, value in weights.items() if value.dim() == 4)
    if damage == "missing":
        del weights[name]
    elif damage == "extra":
        weights["stray.weight"] = torch.zeros(2)
    else:
        weights[name] = weights[name][:1]
    torch.save(weights, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"weights.pt'"):
        built(backbone=backbone, decoder=decoder, weights=str(tmp_path / "weights.pt"))


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\x80\x02N."])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    for suffix in ("pt", "safetensors"):
        file = tmp_path / f"weights.{suffix}"
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"weights\.(pt|safetensors)'"):
            built(weights=str(file))


def test_a_file_without_a_single_tensor_is_refused(tmp_path: Path) -> None:
    torch.save({"note": "nothing"}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match=r"weights.pt' with none"):
        built(weights=str(tmp_path / "weights.pt"))


def test_a_pickle_that_runs_code_is_refused_without_running_it(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"weight": Trap()}, tmp_path / "weights.pt")
    with pytest.raises(ConfigError, match="weights must be"):
        built(weights=str(tmp_path / "weights.pt"))

    assert not (tmp_path / "sprung").exists()


def test_without_network_or_weights_the_error_names_the_file_to_fetch_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        built(pretrained=True)

    assert time.monotonic() - started < 5
    assert "model.safetensors of timm/test_resnet.r160_in1k" in str(caught.value)
    assert "--set config.network.weights=FILE" in str(caught.value)


def test_a_hub_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens at the discard port of this machine."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(ConfigError, match="over the network"):
        built(pretrained=True)

    assert time.monotonic() - started < 5


def test_the_key_holds_the_content_of_a_weights_file_and_not_its_place(tmp_path: Path) -> None:
    keys = []
    for name, content in (("a.pt", b"one"), ("b.pt", b"one"), ("c.pt", b"two")):
        (tmp_path / name).write_bytes(content)
        keys.append(digest(identity(NetworkConfig(weights=str(tmp_path / name)))))

    assert keys[0] == keys[1]
    assert keys[0] != keys[2]
    assert "weights" not in identity(NetworkConfig())


def test_fields_that_cannot_matter_are_not_in_the_key() -> None:
    dense = NetworkConfig(decoder="dpt", backbone="test_vit", output_stride=8, rates=(1,))

    assert identity(dense) == identity(NetworkConfig(decoder="dpt", backbone="test_vit"))
    assert identity(NetworkConfig(output_stride=8)) != identity(NetworkConfig())


def test_images_are_normalised_by_the_numbers_of_the_weights(tmp_path: Path) -> None:
    """test_resnet's are 0.5 and 0.5, test_efficientnet's ImageNet's."""
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), file)
    usual = built(weights=str(file), pretrained=False, normalisation="imagenet").eval()
    own = built(weights=str(file), pretrained=False).eval()
    bytes_ = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(5))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)

    with torch.no_grad():
        found = own((bytes_ - mean) / deviation).logits
        expected = usual((bytes_ - 0.5) / 0.5).logits
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, usual((bytes_ - mean) / deviation).logits, atol=1e-3)
    assert own.state_dict().keys() == usual.state_dict().keys()


def test_no_key_changes_where_weights_know_the_numbers_of_imagenet_or_there_are_none() -> None:
    for backbone in ("resnet50s", "vit_small_patch14_dinov2", "test_efficientnet"):
        own = NetworkConfig(backbone=backbone)
        assert identity(own) == identity(replace(own, normalisation="imagenet"))
    for backbone in ("tf_efficientnet_lite0", "resnet50_clip", "vit_small_patch16_224"):
        own = NetworkConfig(backbone=backbone)
        assert identity(own)["normalisation"] == "backbone"
        without = NetworkConfig(backbone=backbone, pretrained=False)
        assert "normalisation" not in identity(without)
    assert "position_embeddings" not in identity(NetworkConfig(position_embeddings="dinov2"))


def test_positions_of_dinov2_need_a_class_token_and_its_position() -> None:
    with pytest.raises(ConfigError, match="use position_embeddings=timm"):
        built(backbone="vit_small_patch14_reg4_dinov2", decoder="dpt", position_embeddings="dinov2")
