"""What several workers agree on: sums, gradients, batch statistics and random rows.

Each worker holds an equal share of the global batch. A loss is divided by `mean_over_workers` of
the number it is normalised by (pixels, images), so that the mean of the workers' losses is the loss
of the global batch, and the mean of their gradients, which `average_gradients` makes, is its
gradient. Without a group nothing here communicates or changes anything; a group of one worker does
communicate, with itself, and changes nothing either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as group

from semisweep.training.batch_norm import GlobalBatchNorm

T = TypeVar("T")

BUCKET_BYTES = 25 * 1024 * 1024


def world() -> tuple[int, int]:
    """Return this worker's rank and the number of workers; (0, 1) where there is no group."""
    if grouped():
        return group.get_rank(), group.get_world_size()
    return 0, 1


def grouped() -> bool:
    """Return whether there is a group to communicate with."""
    return group.is_available() and group.is_initialized()


def sum_over_workers(value: Tensor) -> Tensor:
    """Return the elementwise sum over all workers, detached; every worker must call it."""
    total = value.detach()
    total = total.long() if total.dtype == torch.bool else total
    if grouped():
        total = total.clone(memory_format=torch.contiguous_format)
        group.all_reduce(total)
    return total


def mean_over_workers(value: Tensor) -> Tensor:
    """Return the elementwise mean over all workers, detached; integers become floats."""
    return sum_over_workers(value) / world()[1]


def from_all_workers(value: Tensor) -> Tensor:
    """Return every worker's value, detached, [workers, ...]; shapes must be the same everywhere."""
    own = value.detach()
    if not grouped():
        return own.unsqueeze(0)
    own = own.contiguous()
    gathered = [torch.empty_like(own) for _ in range(world()[1])]
    group.all_gather(gathered, own)
    return torch.stack(gathered)


def own_rows(count: int) -> slice:
    """Return this worker's rows of something drawn for `count` rows on each worker.

    Draw for the whole batch, with the same generator everywhere, and keep the own rows: then a draw
    belongs to an image, not to the number of workers.
    """
    rank, _ = world()
    return slice(rank * count, (rank + 1) * count)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the workers; all give the same list of parameters.

    A missing gradient counts as zero where another worker has one, and stays missing where none
    has one.
    """
    _, size = world()
    listed = list(parameters)
    if not grouped() or not listed:
        return
    with torch.no_grad():
        for bucket in _buckets(_with_gradient(listed)):
            gradients = [_gradient(parameter) for parameter in bucket]
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            group.all_reduce(flat)
            flat /= size
            parts = torch.split(flat, [gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view(gradient.shape))


def _with_gradient(parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    present = torch.tensor(
        [parameter.grad is not None for parameter in parameters],
        dtype=torch.int32,
        device=parameters[0].device,
    )
    anywhere = sum_over_workers(present).tolist()
    return [parameter for parameter, count in zip(parameters, anywhere, strict=True) if count]


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    kinds: dict[tuple[torch.dtype, torch.device], list[nn.Parameter]] = {}
    for parameter in parameters:
        kinds.setdefault((parameter.dtype, parameter.device), []).append(parameter)
    for kind in kinds.values():
        bucket: list[nn.Parameter] = []
        held = 0
        for parameter in kind:
            bucket.append(parameter)
            held += parameter.numel() * parameter.element_size()
            if held >= BUCKET_BYTES:
                yield bucket
                bucket, held = [], 0
        if bucket:
            yield bucket


def global_batch_norm(module: nn.Module) -> None:
    """Make the batch norms inside `module` normalise over the batches of all workers, in place.

    Parameters and buffers stay the same objects under the same names. On GPUs torch's synchronised
    batch norm does it, elsewhere our own. Call it once the group exists; with one worker nothing
    changes. `module` itself must not be a batch norm.
    """
    if world()[1] == 1:
        return
    for name, child in list(module.named_children()):
        if not isinstance(child, nn.modules.batchnorm._BatchNorm):
            global_batch_norm(child)
        elif isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
            setattr(module, name, _global_norm(child))


def _global_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    device = next((tensor.device for tensor in norm.state_dict().values()), torch.device("cpu"))
    if device.type != "cuda":
        return GlobalBatchNorm(norm)
    from timm.layers.norm_act import convert_sync_batchnorm  # timm takes seconds to import

    return convert_sync_batchnorm(norm)  # type: ignore[no-any-return,no-untyped-call]


def replicas_equal(module: nn.Module) -> bool:
    """Return whether every worker holds the same state, bit for bit; all get the same answer."""
    content = hashlib.blake2b(digest_size=8)
    device = torch.device("cpu")
    for name, value in module.state_dict().items():
        content.update(f"{name}\x1f{value.dtype}\x1f{tuple(value.shape)}\x1f".encode())
        content.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        device = value.device
    own = int.from_bytes(content.digest(), "big") >> 1
    seen = torch.tensor([own, -own], dtype=torch.int64, device=device)
    if grouped():
        group.all_reduce(seen, op=group.ReduceOp.MAX)
    largest, smallest = int(seen[0]), -int(seen[1])
    return largest == smallest


def share(value: T | None) -> T:
    """Return the first worker's value on every worker; what the others pass is not looked at."""
    box: list[Any] = [value]
    if grouped():
        group.broadcast_object_list(box, src=0)
    shared: T = box[0]
    return shared


def barrier() -> None:
    """Wait until every worker is here."""
    if grouped():
        group.barrier()
