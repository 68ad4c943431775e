"""A training loop as people write it without semisweep: timm, torchvision, torch and nothing else.

The measure of `Supervised` at scale `photo`: the same images, steps, batch, crop, optimizer and
rate, with torchvision's DeepLabV3 head and transforms. That head has twice the channels and no
shallow tap, so the two differ in the network too. Only the lists of images and the reading of masks
are semisweep's. Prints mIoU on val and test in percent, a JSON line a draw.

    python tests/benchmarks/plain_training.py --data DIR --weights FILE [--draws N] [--steps N ...]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.transforms import v2

from semisweep.data.base import DataSet
from semisweep.data.registry import open_dataset
from semisweep.data.splits import DataConfig, make_split
from semisweep_studies.photo import LABELLED, PHOTO, PHOTO_NETWORK

IGNORE = 255
HALF = [0.5, 0.5, 0.5]  # mean and deviation that the weights were trained with
TRAINING = PHOTO.training


class Plain(nn.Module):
    """timm's encoder at stride 16 and torchvision's DeepLabV3 head."""

    def __init__(self, weights: Path, classes: int) -> None:
        super().__init__()
        self.encoder = timm.create_model(
            PHOTO_NETWORK.backbone,
            features_only=True,
            output_stride=PHOTO_NETWORK.output_stride,
            pretrained=True,
            pretrained_cfg_overlay={"file": str(weights)},
        )
        self.head = DeepLabHead(
            self.encoder.feature_info.channels()[-1], classes, PHOTO_NETWORK.rates
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, C, H, W] of images [B, 3, H, W]."""
        logits = self.head(self.encoder(image)[-1])
        return functional.interpolate(
            logits, image.shape[-2:], mode="bilinear", align_corners=False
        )


def pictures(
    dataset: DataSet, ids: Sequence[str]
) -> list[tuple[tv_tensors.Image, tv_tensors.Mask]]:
    """Return images [3, H, W] of bytes and masks [H, W], decoded once."""
    return [
        (
            tv_tensors.Image(torch.from_numpy(dataset.image(own)).permute(2, 0, 1).contiguous()),
            tv_tensors.Mask(torch.from_numpy(dataset.mask(own))),
        )
        for own in ids
    ]


def transforms(crop: int, side: int) -> v2.Compose:
    """Return what torchvision's own reference for segmentation does: scale, flip, crop."""
    return v2.Compose(
        [
            v2.RandomResize(side // 2, side * 2),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomCrop(
                crop,
                pad_if_needed=True,
                fill={tv_tensors.Image: 0, tv_tensors.Mask: IGNORE},
            ),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(mean=HALF, std=HALF),
        ]
    )


def train(
    model: Plain,
    found: Sequence[tuple[tv_tensors.Image, tv_tensors.Mask]],
    steps: int,
    crop: int,
    rate: float,
    device: str,
) -> None:
    """Train for so many steps, with polynomial decay, as the scale says."""
    own = TRAINING.optimizer
    optimizer = torch.optim.AdamW(
        [
            {"params": model.encoder.parameters(), "lr": rate},
            {"params": model.head.parameters(), "lr": rate * own.head_multiplier},
        ],
        weight_decay=own.weight_decay,
    )
    decay = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, TRAINING.schedule_power)
    change = transforms(crop, min(found[0][1].shape))
    order: list[int] = []
    model.train()
    for _ in range(steps):
        while len(order) < TRAINING.labelled_batch:
            order += torch.randperm(len(found)).tolist()
        batch = [change(*found[order.pop(0)]) for _ in range(TRAINING.labelled_batch)]
        image = torch.stack([pair[0] for pair in batch]).to(device)
        label = torch.stack([pair[1] for pair in batch]).to(device).long()
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = model(image)
        loss = functional.cross_entropy(logits.float(), label, ignore_index=IGNORE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        decay.step()


@torch.inference_mode()
def miou(model: Plain, dataset: DataSet, ids: Sequence[str], device: str) -> float:
    """Return the mean IoU over classes that occur, in percent, of whole images."""
    classes = len(dataset.classes)
    confusion = torch.zeros(classes, classes, dtype=torch.long)
    model.eval()
    for own in ids:
        ((picture, mask),) = pictures(dataset, [own])
        image = v2.functional.normalize(picture.float() / 255, HALF, HALF)
        found = model(image[None].to(device)).argmax(1)[0].cpu()
        counted = mask != IGNORE
        pairs = mask[counted].long() * classes + found[counted]
        confusion += torch.bincount(pairs, minlength=classes**2).view(classes, classes)
    both = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - both
    return float((both[union > 0] / union[union > 0]).mean()) * 100


def main() -> None:
    """Train and score each draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of CamVid")
    parser.add_argument("--weights", type=Path, required=True, help="a file of ImageNet's weights")
    parser.add_argument("--draws", type=int, default=PHOTO.draws)
    parser.add_argument("--steps", type=int, default=TRAINING.steps)
    parser.add_argument("--crop", type=int, default=TRAINING.crop_pixels)
    parser.add_argument("--rate", type=float, default=TRAINING.optimizer.learning_rate)
    parser.add_argument("--images", type=int, help="of val and of test, instead of all")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    load_file(given.weights)  # an error that names the file, before anything is trained
    dataset = open_dataset("camvid", given.data)
    for draw in range(given.draws):
        torch.manual_seed(draw)
        data = DataConfig(name="camvid", family="random", labelled=LABELLED, draw=draw)
        labelled = make_split(dataset, data).labelled
        started = time.monotonic()
        model = Plain(given.weights, len(dataset.classes)).to(device)
        train(model, pictures(dataset, labelled), given.steps, given.crop, given.rate, device)
        line = {"plain": draw, "steps": given.steps, "crop": given.crop, "device": device}
        for part in ("val", "test"):
            line[part] = round(miou(model, dataset, dataset.part(part)[: given.images], device), 2)
        print(json.dumps(line | {"seconds": round(time.monotonic() - started, 1)}), flush=True)


if __name__ == "__main__":
    main()
